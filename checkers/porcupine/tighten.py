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
from typing import Any

from porcupine.contradiction import find
from porcupine.history import Operation
from porcupine.intervals import NEVER, Groups, Intervals, plain
from porcupine.model import ANYTHING, NOTHING, LastWriter, Model

ROUNDS = 4


def tighten(operations: Sequence[Operation], model: Model[Any]) -> Intervals:
    """The narrowed intervals of operations that are ok or unknown."""
    intervals = plain(operations)
    groups = Groups(operations, model) if isinstance(model, LastWriter) else None
    if groups is not None:
        groups.promote(intervals)
    intervals.contradiction = find(operations, model, groups, intervals)
    if groups is not None:
        for _ in range(ROUNDS):
            changed = narrow_members(groups, intervals)
            changed |= keep_others_out(groups, intervals)
            if not changed:
                break
    _follow_sequence(operations, model, intervals)
    return intervals


def contradiction(operations: Sequence[Operation], model: LastWriter[Any]) -> tuple[Operation, ...]:
    """Operations that cannot all have happened, where `porcupine.contradiction` shows some."""
    candidates = [operation for operation in operations if operation.is_ok or operation.is_unknown]
    intervals = plain(candidates)
    groups = Groups(candidates, model)
    groups.promote(intervals)
    return tuple(candidates[index] for index in find(candidates, model, groups, intervals))


def narrow_members(groups: Groups, intervals: Intervals) -> bool:
    """Rules 2 and 4."""
    low, high = intervals.low, intervals.high
    changed = False
    for token, members in groups.readers.items():
        writer = groups.writer.get(token)
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
            if groups.writes[index] is not NOTHING:
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


def keep_others_out(groups: Groups, intervals: Intervals) -> bool:
    """Rule 5. Zones that overlap contradict each other (`porcupine.contradiction`); the first counts."""
    zones = groups.zones(intervals)
    disjoint: list[tuple[float, float, Hashable]] = []
    for zone in zones:
        if not disjoint or disjoint[-1][1] <= zone[0]:
            disjoint.append(zone)
    if not disjoint:
        return False
    starts = [zone[0] for zone in disjoint]
    low, high = intervals.low, intervals.high
    changed = False
    for index, (read, written) in enumerate(zip(groups.reads, groups.writes, strict=True)):
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
