"""What clients asked a system, what it answered, and when: the one input of every checker.

An operation has one of three outcomes:

- ``ok``: the answer arrived; the operation took effect at one moment between its call and its return.
- ``failed``: a definite error; the operation did not happen and never will.
- ``unknown``: a time-out or a lost connection; it may have happened at any moment after its call, even after
  the client gave up, or never. A return time, where there is one, only says when the client gave up.

Operation A comes before operation B in real time when A returned strictly before B was called. Equal times
count as concurrent, which never accuses a system of more than the clock can show.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from operator import attrgetter
from types import MappingProxyType
from typing import Any, overload


class Outcome(StrEnum):
    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"


_OK, _UNKNOWN = Outcome.OK, Outcome.UNKNOWN  # a member costs more to look up through its class
_NO_TAGS: Mapping[str, object] = MappingProxyType({})
_CALLED = attrgetter("call_time_ns")


@dataclass(slots=True, eq=False)
class Operation:
    """One operation of one client. Treat it as read-only: the checker shares it freely.

    `call` and `response` are whatever the model understands; both must be hashable, because operations with
    equal call and response are interchangeable to the search. `tags` (the member that answered, a span id)
    travel along into explanations and never change a verdict.
    """

    client: Hashable
    call: Hashable
    call_time_ns: int
    return_time_ns: int | None = None
    outcome: Outcome = Outcome.OK
    response: Hashable = None
    id: int = -1
    tags: Mapping[str, object] = field(default_factory=lambda: _NO_TAGS)

    @property
    def is_ok(self) -> bool:
        return self.outcome is _OK

    @property
    def is_unknown(self) -> bool:
        return self.outcome is _UNKNOWN


class HistoryError(ValueError):
    """A history that contradicts itself, or a line that cannot be read (`line` counts from 1)."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason if line is None else f"line {line}: {reason}")
        self.reason = reason
        self.line = line


class History(Sequence[Operation]):
    """Validated operations in the order of their calls. Operations without an id get their position."""

    __slots__ = ("_operations", "columns")

    columns: Any
    """What the native kernel made of it (`porcupine.kernel`); None before that."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        ordered = sorted(operations, key=_CALLED)
        validate(ordered)
        for position, operation in enumerate(ordered):
            if operation.id < 0:
                operation.id = position
        self._operations = ordered
        self.columns = None

    @overload
    def __getitem__(self, index: int) -> Operation: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Operation]: ...
    def __getitem__(self, index: int | slice) -> Operation | Sequence[Operation]:
        return self._operations[index]

    def __len__(self) -> int:
        return len(self._operations)

    def __iter__(self) -> Iterator[Operation]:
        return iter(self._operations)


def validate(operations: Sequence[Operation]) -> None:
    """Refuse a history, sorted by call time, that no client could have recorded.

    A client has one operation at a time. After an unknown operation without a return time it may go on:
    nobody knows when it gave up.
    """
    busy_until: dict[Hashable, Operation] = {}
    for operation in operations:
        returned = operation.return_time_ns
        if returned is not None and returned < operation.call_time_ns:
            raise HistoryError(f"{_where(operation)} returned before it was called")
        if returned is None and operation.outcome is Outcome.OK:
            raise HistoryError(f"{_where(operation)} is ok but has no return time")
        before = busy_until.get(operation.client)
        if (
            before is not None
            and before.return_time_ns is not None
            and before.return_time_ns > operation.call_time_ns
        ):
            raise HistoryError(f"{_where(operation)} was called while {_where(before)} was still running")
        busy_until[operation.client] = operation


def _where(operation: Operation) -> str:
    name = f"operation {operation.id}" if operation.id >= 0 else "operation"
    return f"{name} of client {operation.client} ({operation.call!r} at {operation.call_time_ns} ns)"
