"""Narrow the time in which each operation can have taken effect, before any search.

Rules, for models whose state is what the last write left (`LastWriter`), from the idea of zones in Gibbons
and Korach, "Testing shared memories" (1997), extended to compare-and-swap and to unknown outcomes:

1. A token that exactly one operation writes, and that is not the initial one, is *unique*: between that write
   and the last operation that read it, nothing else was written.
2. So a unique write happened no later than the earliest return of a reader, and a reader happened no earlier
   than the call of the write.
3. An operation of unknown outcome whose unique token was read did happen: it becomes required, and what it
   read itself counts as read. One whose token nobody reads can be dropped, unless something depends on the
   state in a way that tokens do not name: then it stays optional.
4. A reader that overwrites (compare-and-swap) comes after every other reader of that token.
5. When the earliest return in a group (write and readers) lies before its latest call, the token was there
   from the one to the other, and every other write and read of another token lies outside.

For every model that knows a place in the order of effects (`Model.sequence`): of two such operations the
later one cannot happen before the call of the earlier one, nor the earlier one after the return of the later.

Each rule follows from linearizability alone, so the narrowed history has exactly the same linearizations.
The rules run a few rounds; stopping early costs precision, never soundness.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

from porcupine.history import Operation
from porcupine.model import ANYTHING, NOTHING, LastWriter, Model

NEVER = float("inf")
ROUNDS = 4


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


def tighten(operations: Sequence[Operation], model: Model[Any]) -> Intervals:
    """The narrowed intervals of operations that are ok or unknown."""
    from porcupine.contradiction import find

    intervals = plain(operations)
    groups = Groups(operations, model) if isinstance(model, LastWriter) else None
    if groups is not None:
        groups.promote(intervals)
    intervals.contradiction = find(operations, model, groups, intervals)
    if groups is not None:
        for _ in range(ROUNDS):
            changed = groups.narrow_members(intervals)
            changed |= groups.keep_others_out(intervals)
            if not changed:
                break
    _follow_sequence(operations, model, intervals)
    return intervals


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
        """Rules 3: fill `readers`, make observed unknown writes required, drop unobservable ones."""
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

    def narrow_members(self, intervals: Intervals) -> bool:
        """Rules 2 and 4."""
        low, high = intervals.low, intervals.high
        changed = False
        for token, members in self.readers.items():
            writer = self.writer.get(token)
            if writer is None:
                continue
            first = min(high[index] for index in members)
            if first < high[writer]:
                high[writer] = first
                changed = True
            called = low[writer]
            overwriting = -1
            for index in members:
                if low[index] < called:
                    low[index] = called
                    changed = True
                if self.writes[index] is not NOTHING:
                    overwriting = index if overwriting == -1 else -2
            if overwriting >= 0:
                last = max(low[index] for index in members)
                if low[overwriting] < last:
                    low[overwriting] = last
                    changed = True
                end = high[overwriting]
                for index in members:
                    if high[index] > end:
                        high[index] = end
                        changed = True
        return changed

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

    def keep_others_out(self, intervals: Intervals) -> bool:
        """Rule 5. Zones that overlap contradict each other (`porcupine.contradiction`); the first counts."""
        zones = self.zones(intervals)
        disjoint: list[tuple[float, float, Hashable]] = []
        for zone in zones:
            if not disjoint or disjoint[-1][1] <= zone[0]:
                disjoint.append(zone)
        if not disjoint:
            return False
        starts = [zone[0] for zone in disjoint]
        low, high = intervals.low, intervals.high
        changed = False
        for index, (read, written) in enumerate(zip(self.reads, self.writes, strict=True)):
            if intervals.dropped[index]:
                continue
            names_state = read is not NOTHING and read is not ANYTHING
            if written is NOTHING and not names_state:
                continue
            position = bisect_right(starts, low[index]) - 1
            if position >= 0:
                start, end, token = disjoint[position]
                if start < low[index] < end and token != read and token != written:
                    low[index] = end
                    changed = True
            position = bisect_right(starts, high[index]) - 1
            if position >= 0:
                start, end, token = disjoint[position]
                if start < high[index] < end and token != read and token != written:
                    high[index] = start
                    changed = True
        return changed


def _follow_sequence(operations: Sequence[Operation], model: Model[Any], intervals: Intervals) -> None:
    numbered = [
        (place, index)
        for index, operation in enumerate(operations)
        if intervals.required[index] and (place := model.sequence(operation)) is not None
    ]
    numbered.sort()
    low, high = intervals.low, intervals.high
    latest = -NEVER
    for _, index in numbered:
        latest = max(latest, low[index])
        low[index] = latest
    earliest = NEVER
    for _, index in reversed(numbered):
        earliest = min(earliest, high[index])
        high[index] = earliest
