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
    intervals = plain(operations)
    if isinstance(model, LastWriter):
        groups = _Groups(operations, model)
        groups.promote(intervals)
        intervals.contradiction = groups.contradiction(intervals)
        for _ in range(ROUNDS):
            changed = groups.narrow_members(intervals)
            changed |= groups.keep_others_out(intervals)
            if not changed:
                break
    _follow_sequence(operations, model, intervals)
    return intervals


@dataclass(slots=True)
class _Groups:
    operations: Sequence[Operation]
    model: LastWriter[Any]
    reads: list[Hashable] = field(init=False)
    writes: list[Hashable] = field(init=False)
    writer: dict[Hashable, int] = field(init=False)  # of unique tokens
    readers: dict[Hashable, list[int]] = field(
        init=False
    )  # required readers, of unique tokens and the initial one

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

    def _zones(self, intervals: Intervals) -> list[tuple[float, float, Hashable]]:
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

    def contradiction(self, intervals: Intervals) -> tuple[int, ...]:
        """Two groups that both need their token at one instant, or one operation inside another's zone.

        Looks at the times as recorded, so that the operations it names fail on their own, and takes the
        contradiction that was complete first.
        """
        zones = self._zones(intervals)
        found: list[tuple[float, Hashable, Hashable]] = []
        open_zone: tuple[float, float, Hashable] | None = None
        for zone in zones:
            if open_zone is not None and zone[0] < open_zone[1]:
                found.append((min(zone[1], open_zone[1]), open_zone[2], zone[2]))
            if open_zone is None or zone[1] > open_zone[1]:
                open_zone = zone
        if found:
            _, one, other = min(found, key=lambda pair: pair[0])
            members = {*self._extremes(one, intervals), *self._extremes(other, intervals)}
            return tuple(sorted(members, key=lambda index: intervals.low[index]))
        return self._inside(zones, intervals)

    def _inside(self, zones: list[tuple[float, float, Hashable]], intervals: Intervals) -> tuple[int, ...]:
        """The first required operation that lies wholly inside the zone of another token."""
        starts = [zone[0] for zone in zones]
        best: tuple[float, int, Hashable] | None = None
        for index, required in enumerate(intervals.required):
            read, written = self.reads[index], self.writes[index]
            if not required or (written is NOTHING and (read is NOTHING or read is ANYTHING)):
                continue
            position = bisect_right(starts, intervals.low[index]) - 1
            if position < 0:
                continue
            start, end, token = zones[position]
            if token in (read, written) or not (start < intervals.low[index] and intervals.high[index] < end):
                continue
            if best is None or end < best[0]:
                best = (end, index, token)
        if best is None:
            return ()
        _, index, token = best
        members = {index, *self._extremes(token, intervals)}
        own_writer = self.writer.get(self.reads[index])
        if own_writer is not None:
            members.add(own_writer)
        return tuple(sorted(members, key=lambda member: intervals.low[member]))

    def _extremes(self, token: Hashable, intervals: Intervals) -> tuple[int, ...]:
        """The write of a token, the member of its group that returned first, and the one called last."""
        members = list(self.readers[token])
        if token in self.writer:
            members.append(self.writer[token])
            first = min(members, key=lambda index: intervals.high[index])
            last = max(members, key=lambda index: intervals.low[index])
            return (self.writer[token], first, last)
        return (max(members, key=lambda index: intervals.low[index]),)

    def keep_others_out(self, intervals: Intervals) -> bool:
        """Rule 5. Zones that overlap contradict each other (see `contradiction`); the first counts here."""
        zones = self._zones(intervals)
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
