"""Contradictions that two or three operations show by themselves, found without a search.

Each rule names operations that no order can hold, whatever the others did (the rules of `porcupine.tighten`
say why). They look at times as recorded, so that the operations named fail on their own. Of several
contradictions the one that was complete first is taken: the earliest in the run says most.

1. A read of a token that nobody wrote, or that was written only after the read had returned, or whose writer
   cannot have left what was read.
2. Two effects with one place in the system's own order, or an effect placed before another that had returned
   before it was called.
3. Two tokens that both had to be there at one moment, or an operation on one token wholly inside the time in
   which another had to be there.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Any

from porcupine.history import Operation
from porcupine.intervals import NEVER, Groups, Intervals
from porcupine.model import ANYTHING, NOTHING, Model

Core = tuple[int, ...]


def find(
    operations: Sequence[Operation], model: Model[Any], groups: Groups | None, intervals: Intervals
) -> Core:
    """Positions of the operations of the first contradiction, the last called last; empty when none shows."""
    best: Core = ()
    best_at = NEVER
    low = intervals.low
    for core in _all(operations, model, groups, intervals):
        at = max(low[index] for index in core)
        if at < best_at:
            best, best_at = core, at
    return tuple(sorted(best, key=low.__getitem__))


def _all(
    operations: Sequence[Operation], model: Model[Any], groups: Groups | None, intervals: Intervals
) -> Iterator[Core]:
    yield from _out_of_sequence(operations, model, intervals)
    if groups is not None:
        yield from _impossible_reads(groups, intervals)
        zones = groups.zones(intervals)
        yield from _overlapping(zones, groups, intervals)
        yield from _inside(zones, groups, intervals)


def _out_of_sequence(
    operations: Sequence[Operation], model: Model[Any], intervals: Intervals
) -> Iterator[Core]:
    """Rule 2: sweep in the order of calls, with the greatest place that had returned by then."""
    placed = [
        (index, place)
        for index, operation in enumerate(operations)
        if intervals.required[index] and (place := model.sequence(operation)) is not None
    ]
    by_place: dict[int, int] = {}
    for index, place in placed:
        if place in by_place:
            yield by_place[place], index
        by_place.setdefault(place, index)
    by_return = sorted(placed, key=lambda entry: intervals.high[entry[0]])
    greatest, holder, done = -1, -1, 0
    for index, place in sorted(placed, key=lambda entry: intervals.low[entry[0]]):
        while done < len(by_return) and intervals.high[by_return[done][0]] < intervals.low[index]:
            if by_return[done][1] > greatest:
                holder, greatest = by_return[done]
            done += 1
        if holder >= 0 and place < greatest:
            yield holder, index


def _impossible_reads(groups: Groups, intervals: Intervals) -> Iterator[Core]:
    """Rule 1."""
    initial = groups.model.initial_token()
    writers: dict[Hashable, list[int]] = {}
    for index, token in enumerate(groups.writes):
        if token is not NOTHING and token in groups.readers:
            writers.setdefault(token, []).append(index)
    for token, readers in groups.readers.items():
        if token == initial:
            continue
        known = writers.get(token, [])
        for reader in readers:
            operation = groups.operations[reader]
            possible = (
                index
                for index in known
                if intervals.low[index] <= intervals.high[reader]
                and groups.model.agrees(operation, groups.operations[index])
            )
            if next(possible, None) is None:
                yield (*known[:2], reader)


def _overlapping(
    zones: Sequence[tuple[float, float, Hashable]], groups: Groups, intervals: Intervals
) -> Iterator[Core]:
    """Rule 3, first half."""
    reaching: tuple[float, float, Hashable] | None = None
    for zone in zones:
        if reaching is not None and zone[0] < reaching[1]:
            one = _extremes(reaching[2], groups, intervals)
            yield _distinct((*one, *_extremes(zone[2], groups, intervals)))
        if reaching is None or zone[1] > reaching[1]:
            reaching = zone


def _inside(
    zones: Sequence[tuple[float, float, Hashable]], groups: Groups, intervals: Intervals
) -> Iterator[Core]:
    """Rule 3, second half."""
    starts = [zone[0] for zone in zones]
    low, high = intervals.low, intervals.high
    for index, required in enumerate(intervals.required):
        read, written = groups.reads[index], groups.writes[index]
        if not required or (written is NOTHING and (read is NOTHING or read is ANYTHING)):
            continue
        position = bisect_right(starts, low[index]) - 1
        if position < 0:
            continue
        start, end, token = zones[position]
        if token in (read, written) or not (start < low[index] and high[index] < end):
            continue
        own = groups.writer.get(read)
        yield _distinct((index, *_extremes(token, groups, intervals), *(() if own is None else (own,))))


def _extremes(token: Hashable, groups: Groups, intervals: Intervals) -> Core:
    """The write of a token, the member of its group that returned first, and the one called last."""
    members = list(groups.readers[token])
    writer = groups.writer.get(token)
    if writer is None:
        return (max(members, key=lambda index: intervals.low[index]),)
    members.append(writer)
    first = min(members, key=lambda index: intervals.high[index])
    last = max(members, key=lambda index: intervals.low[index])
    return (writer, first, last)


def _distinct(indices: Iterable[int]) -> Core:
    return tuple(dict.fromkeys(indices))
