"""Which operations may have seen which writes, by real time alone (`LastWriter` models).

A read cannot have seen a write that was called after the read had returned, nor one that was certainly
overwritten before: where another write was called after the first had returned, and returned before the read
was called. Everything else may have been seen. Leaving a write out can only disturb those who may have seen
it; all readers of a token that only one operation wrote count among them, because a read without its write
would explain nothing to people.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Sequence
from typing import Any

from porcupine.history import Operation
from porcupine.model import ANYTHING, NOTHING, LastWriter

_NEVER = float("inf")


def returned(operation: Operation) -> float:
    """When it had happened at the latest; never for an unknown outcome."""
    if operation.is_ok and operation.return_time_ns is not None:
        return operation.return_time_ns
    return _NEVER


class Dependence:
    """The possible sources of each read and the possible readers of each write, among some operations."""

    def __init__(self, operations: Sequence[Operation], model: LastWriter[Any]) -> None:
        self._model = model
        self._writers: dict[Hashable, list[Operation]] = {}
        self._readers: dict[Hashable, list[Operation]] = {}
        certain: list[Operation] = []
        for operation in operations:
            token = model.writes(operation)
            if token is not NOTHING:
                self._writers.setdefault(token, []).append(operation)
                if operation.is_ok:
                    certain.append(operation)
            self._readers.setdefault(model.reads(operation), []).append(operation)
        certain.sort(key=lambda operation: operation.call_time_ns)
        self._calls = [operation.call_time_ns for operation in certain]
        self._first_return = [returned(operation) for operation in certain]
        for index in range(len(certain) - 2, -1, -1):
            self._first_return[index] = min(self._first_return[index], self._first_return[index + 1])
        self._vague = sorted(self._readers.pop(ANYTHING, []), key=lambda operation: operation.call_time_ns)
        self._vague_calls = [operation.call_time_ns for operation in self._vague]
        self._vague_until: list[float] = []
        latest = -_NEVER
        for operation in self._vague:
            latest = max(latest, returned(operation))
            self._vague_until.append(latest)

    def overwritten(self, write: Operation) -> float:
        """The moment by which something else had certainly taken the write's place."""
        index = bisect_right(self._calls, returned(write))
        return self._first_return[index] if index < len(self._first_return) else _NEVER

    def dependents(self, write: Operation) -> list[Operation]:
        """Who may have seen it: readers of its token, and those whose dependence no token names."""
        token, end = self._model.writes(write), self.overwritten(write)
        if token is NOTHING:
            return []
        only = len(self._writers.get(token, ())) == 1
        found = [
            reader
            for reader in self._readers.get(token, ())
            if only or (reader.call_time_ns <= end and returned(reader) >= write.call_time_ns)
        ]
        index = bisect_right(self._vague_calls, end) - 1
        while index >= 0 and self._vague_until[index] >= write.call_time_ns:
            if returned(self._vague[index]) >= write.call_time_ns:
                found.append(self._vague[index])
            index -= 1
        return found

    def sources(self, reader: Operation) -> list[Operation]:
        """The writes that it may have seen."""
        token = self._model.reads(reader)
        if token is NOTHING:
            return []
        if token is ANYTHING:
            candidates = [write for writers in self._writers.values() for write in writers]
        else:
            candidates = self._writers.get(token, [])
        return [
            write
            for write in candidates
            if write is not reader
            and write.call_time_ns <= returned(reader)
            and self.overwritten(write) >= reader.call_time_ns
        ]
