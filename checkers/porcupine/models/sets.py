"""A set. Calls: ``("add", element)``, ``("remove", element)`` answered by whether it was there (or by
nothing), ``("contains", element)`` answered by a bool, ``("read",)`` answered by a frozenset of all
elements."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from dataclasses import replace
from typing import Any

from porcupine.history import Operation
from porcupine.model import Model, Rejected

Elements = frozenset[Hashable]


def _element(call: Any) -> Hashable:
    """None for a read of all."""
    return call[1] if len(call) == 2 else None


class Set(Model[Elements]):
    name = "set"

    def init(self) -> Elements:
        return frozenset()

    def step(self, state: Elements, operation: Operation) -> Elements | Rejected:
        match operation.call:
            case ("add", element):
                return state | {element}
            case ("remove", element):
                there = element in state
                if operation.is_ok and operation.response is not None and operation.response != there:
                    return Rejected(
                        "remove told wrongly whether the element was there", there, operation.response
                    )
                return state - {element}
            case ("contains", element):
                if operation.is_unknown or operation.response == (element in state):
                    return state
                return Rejected("membership is the other way round", element in state, operation.response)
            case ("read",):
                if operation.is_unknown or operation.response == state:
                    return state
                return Rejected("the set holds other elements", state, operation.response)
        raise ValueError(f"not an operation of a set: {operation.call!r}")

    def describe(self, operation: Operation) -> str:
        if operation.is_ok and isinstance(operation.response, frozenset):
            seen = operation.response
            shown = (
                f"{len(seen)} elements" if len(seen) > 8 else "{" + ", ".join(sorted(map(repr, seen))) + "}"
            )
            return f"read() -> {shown}"
        return super().describe(operation)

    def without(
        self, operations: Sequence[Operation], chunk: Collection[Operation]
    ) -> Sequence[tuple[Operation, Operation]]:
        """An element goes with all that was done to it, and from the answers of reads. Elements do not touch
        each other, so what stays is as linearizable as the whole was. A read goes alone."""
        gone = {_element(operation.call) for operation in chunk} - {None}
        reads = {id(operation) for operation in chunk if operation.call == ("read",)}
        staying = []
        for operation in operations:
            call: Any = operation.call
            if id(operation) in reads or _element(call) in gone:
                continue
            seen, given = operation.response, operation
            if call == ("read",) and isinstance(seen, frozenset) and seen & gone:
                given = replace(operation, response=seen - gone)
            staying.append((operation, given))
        return staying

    def is_read(self, operation: Operation) -> bool:
        match operation.call:
            case ("contains", _) | ("read",):
                return True
            case ("remove", _):
                return operation.is_ok and operation.response is False
        return False
