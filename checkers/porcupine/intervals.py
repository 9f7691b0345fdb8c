"""When each operation can have taken effect, and who wrote and read what.

The material of `porcupine.tighten` and `porcupine.contradiction`. Rule 3 of the former is applied here
(`Groups.promote`), because who counts as a reader depends on it.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

from porcupine.history import Operation
from porcupine.model import ANYTHING, NOTHING, LastWriter

NEVER = float("inf")


@dataclass(slots=True)
class Intervals:
    """For each operation: effect lies in [low, high]; `required` is False for unknown ones that may be
    skipped, `dropped` True for those that cannot matter."""

    low: list[float]
    high: list[float]
    required: list[bool]
    dropped: list[bool]
    contradiction: tuple[int, ...] = ()
    """Operations that cannot all have happened, where the rules alone show it; the last called comes last."""


def plain(operations: Sequence[Operation]) -> Intervals:
    """The intervals as recorded: [call, return], open for unknown outcomes."""
    return Intervals(
        [operation.call_time_ns for operation in operations],
        [
            operation.return_time_ns if operation.is_ok and operation.return_time_ns is not None else NEVER
            for operation in operations
        ],
        [operation.is_ok for operation in operations],
        [False] * len(operations),
    )


@dataclass(slots=True)
class Groups:
    """Who wrote each token and who read it."""

    operations: Sequence[Operation]
    model: LastWriter[Any]
    reads: list[Hashable] = field(init=False)
    writes: list[Hashable] = field(init=False)
    writer: dict[Hashable, int] = field(init=False)  # of unique tokens
    readers: dict[Hashable, list[int]] = field(init=False)  # the required ones

    def __post_init__(self) -> None:
        self.reads = [self.model.reads(operation) for operation in self.operations]
        self.writes = [self.model.writes(operation) for operation in self.operations]
        self.writer = {}
        repeated = {self.model.initial_token()}
        for index, token in enumerate(self.writes):
            if token is NOTHING:
                continue
            if token in self.writer or token == self.reads[index]:
                repeated.add(token)
            self.writer[token] = index
        for token in repeated:
            self.writer.pop(token, None)
        self.readers = {}

    def promote(self, intervals: Intervals) -> None:
        """Rule 3: fill `readers`, make observed unknown writes required, drop unobservable ones."""
        read_by_someone: set[Hashable] = set()
        opaque = ANYTHING in self.reads  # does something depend on the state beyond tokens?
        work = [index for index, required in enumerate(intervals.required) if required]
        while work:
            index = work.pop()
            token = self.reads[index]
            if token is NOTHING or token is ANYTHING:
                continue
            read_by_someone.add(token)
            self.readers.setdefault(token, []).append(index)
            writer = self.writer.get(token)
            if writer is not None and not intervals.required[writer]:
                intervals.required[writer] = True
                work.append(writer)
        for index, required in enumerate(intervals.required):
            if required:
                continue
            token = self.writes[index]
            intervals.dropped[index] = token is NOTHING or (not opaque and token not in read_by_someone)
        if opaque:
            # An optional write that only another optional operation reads must stay as well.
            return
        self._keep_what_the_kept_read(intervals)

    def _keep_what_the_kept_read(self, intervals: Intervals) -> None:
        """A kept optional operation may need the token of one that was dropped: bring that one back."""
        writers: dict[Hashable, list[int]] = {}
        for index, token in enumerate(self.writes):
            if token is not NOTHING and intervals.dropped[index]:
                writers.setdefault(token, []).append(index)
        work = [
            index
            for index, required in enumerate(intervals.required)
            if not required and not intervals.dropped[index]
        ]
        while work:
            for index in writers.pop(self.reads[work.pop()], ()):
                intervals.dropped[index] = False
                work.append(index)

    def zones(self, intervals: Intervals) -> list[tuple[float, float, Hashable]]:
        low, high = intervals.low, intervals.high
        zones: list[tuple[float, float, Hashable]] = []
        initial = self.model.initial_token()
        for token, members in self.readers.items():
            writer = self.writer.get(token)
            if writer is None:
                continue
            first = min(high[writer], min(high[index] for index in members))
            last = max(low[writer], max(low[index] for index in members))
            if first < last:
                zones.append((first, last, token))
        if initial in self.readers and initial not in self.writes:
            zones.append((-NEVER, max(low[index] for index in self.readers[initial]), initial))
        zones.sort(key=lambda zone: (zone[0], zone[1]))
        return zones
