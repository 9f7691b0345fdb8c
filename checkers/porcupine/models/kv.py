"""A map from keys to strings with put, append and get; keys are checked apart from each other.

Calls: ``("get", key)`` answered by the value (the empty string when absent), ``("put", key, value)``,
``("append", key, value)``.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

from porcupine.history import Operation
from porcupine.model import Model, Rejected


class Kv(Model[str]):
    """One key: the state is its value."""

    name = "kv"

    def init(self) -> str:
        return ""

    def step(self, state: str, operation: Operation) -> str | Rejected:
        match operation.call:
            case ("get", _):
                if operation.is_unknown or operation.response == state:
                    return state
                return Rejected("the key holds another value", state, operation.response)
            case ("put", _, str(value)):
                return value
            case ("append", _, str(value)):
                return state + value
        raise ValueError(f"not an operation of a map: {operation.call!r}")

    def partition(self, operations: Sequence[Operation]) -> Mapping[Hashable, Sequence[Operation]]:
        return by_key(operations)

    def is_read(self, operation: Operation) -> bool:
        return isinstance(operation.call, tuple) and operation.call[0] == "get"


class KvWhole(Model[tuple[tuple[str, str], ...]]):
    """The whole map as one state: slower, and needed only where operations would touch several keys."""

    name = "kv-whole"

    def init(self) -> tuple[tuple[str, str], ...]:
        return ()

    def step(
        self, state: tuple[tuple[str, str], ...], operation: Operation
    ) -> tuple[tuple[str, str], ...] | Rejected:
        one = Kv()
        call = operation.call
        if not isinstance(call, tuple) or len(call) < 2:
            raise ValueError(f"not an operation of a map: {call!r}")
        key = call[1]
        values = dict(state)
        before = values.get(key, "")
        after = one.step(before, operation)
        if isinstance(after, Rejected):
            return after
        if after == before:
            return state
        values[key] = after
        return tuple(sorted(values.items()))

    def is_read(self, operation: Operation) -> bool:
        return isinstance(operation.call, tuple) and operation.call[0] == "get"


def by_key(operations: Sequence[Operation]) -> dict[Hashable, list[Operation]]:
    """Split calls of the form (name, key, ...) by their key."""
    parts: dict[Hashable, list[Operation]] = {}
    for operation in operations:
        if not isinstance(operation.call, tuple) or len(operation.call) < 2:
            raise ValueError(f"not an operation with a key: {operation.call!r}")
        parts.setdefault(operation.call[1], []).append(operation)
    return parts
