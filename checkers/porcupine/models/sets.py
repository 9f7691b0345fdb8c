"""A set. Calls: ``("add", element)``, ``("remove", element)`` answered by whether it was there (or by
nothing), ``("contains", element)`` answered by a bool, ``("read",)`` answered by a frozenset of all
elements."""

from __future__ import annotations

from collections.abc import Hashable

from porcupine.history import Operation
from porcupine.model import Model, Rejected

Elements = frozenset[Hashable]


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

    def is_read(self, operation: Operation) -> bool:
        match operation.call:
            case ("contains", _) | ("read",):
                return True
            case ("remove", _):
                return operation.is_ok and operation.response is False
        return False
