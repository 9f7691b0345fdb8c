"""From a list of events (invoke, ok, fail, info by process) to operations: what Jepsen and its relatives
record.

There are no clock times in many of these logs; the position of an event is its time, which is exactly the
order that was recorded: the number of its line, or its place where lines hold several events. A process whose
operation ended in ``info`` is never used again; an operation that never ended is of unknown outcome as well.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from porcupine.history import History, HistoryError, Operation, Outcome

TIMES = "times"  # the tag that says what an operation's times count; without it, nanoseconds
_LINES: Mapping[str, object] = MappingProxyType({TIMES: "line"})
_EVENTS: Mapping[str, object] = MappingProxyType({TIMES: "event"})


@dataclass(slots=True)
class Pairing:
    """Feed it the events in order, then take the history."""

    operations: list[Operation] = field(default_factory=list)
    _open: dict[Hashable, Operation] = field(default_factory=dict)
    _time: int = 0

    def invoke(self, process: Hashable, call: Hashable, line: int) -> None:
        if process in self._open:
            raise HistoryError(f"process {process} calls again before its operation has ended", line)
        now = self._tick(line)
        tags = _LINES if now == line else _EVENTS
        operation = Operation(process, call, now, None, Outcome.UNKNOWN, None, len(self.operations), tags)
        self._open[process] = operation
        self.operations.append(operation)

    def end(self, process: Hashable, outcome: Outcome, response: Hashable, line: int) -> None:
        operation = self._open.pop(process, None)
        if operation is None:
            raise HistoryError(f"process {process} ends an operation that it never called", line)
        now = self._tick(line)
        operation.outcome = outcome
        if outcome is not Outcome.UNKNOWN:
            operation.return_time_ns = now
        if outcome is Outcome.OK:
            operation.response = response

    def running(self, process: Hashable, line: int) -> Operation:
        operation = self._open.get(process)
        if operation is None:
            raise HistoryError(f"process {process} ends an operation that it never called", line)
        return operation

    def history(self) -> History:
        return History(self.operations)

    def _tick(self, line: int) -> int:
        self._time = max(self._time + 1, line)
        return self._time
