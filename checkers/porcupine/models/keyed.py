"""Many objects of one kind, each under a key: every key is a partition, judged by the model of one object."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from porcupine.history import Operation
from porcupine.model import Model


class On(NamedTuple):
    """A call on the object of a key."""

    key: Hashable
    call: Hashable


class Keyed(Model[Any]):
    """`one` judges each key. Calls are `On`; within a partition they are those of `one`."""

    def __init__(self, one: Model[Any]) -> None:
        self.one = one
        self.name = f"{one.name} by key"  # type: ignore[misc]  # the name of an instance, not of the class

    def partition(self, operations: Sequence[Operation]) -> Mapping[Hashable, Sequence[Operation]]:
        parts: dict[Hashable, list[Operation]] = {}
        for operation in operations:
            if not isinstance(operation.call, On):
                raise ValueError(f"a call without a key among others that have one: {operation.call!r}")
            key, call = operation.call
            parts.setdefault(key, []).append(replace(operation, call=call))
        return parts

    def for_part(self, operations: Sequence[Operation]) -> Model[Any]:
        return self.one.for_part(operations)

    def plain(self, operations: Sequence[Operation]) -> Model[Any]:
        return self.one.plain(operations)

    def is_read(self, operation: Operation) -> bool:
        return self.one.is_read(operation)
