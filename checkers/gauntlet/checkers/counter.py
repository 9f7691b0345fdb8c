"""A counter: adds of any amount, and reads, each held against the sums that were possible. O(n log n).

    add    args {"amount": n}, optionally a response {"value": the new sum}
    read   response {"value": n}        (porcupine's model calls it get)

Rules:
1. A read lies between two sums. Certain are the adds that returned before it was called; possible, one by
   one, are those called before it returned, those of unknown outcome included. The least sum takes the
   negative of the possible ones, the greatest the positive ones. An add that tells the new sum is a read that
   includes itself.
2. Where no amount is negative (or none is positive), the sum never goes back: a read called after another one
   returned is not smaller (not greater).
3. Where no amount is zero either, no two adds tell the same new sum.

Promise: what is reported cannot be explained by any order. Missed: sums within the bounds that no choice of
the possible adds makes (bounds 0 to 10 made of one add of 10, and a read of 3), and reads that contradict
each other without going back (two reads during the same two adds, one showing only the first, one only the
second). In histories that are not too large the search then decides these (objects.py).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from gauntlet.checkers.objects import Op, Report, by_end, judge_objects, say
from gauntlet.checkers.records import Run
from gauntlet.checkers.verdict import CheckResult
from porcupine.labels import STALE_READ
from porcupine.models import Counter

NAME = "counter"
SHAPES: dict[str, tuple[str | None, str | None]] = {
    "add": ("amount", "value"),
    "read": (None, "value"),
    "get": (None, "value"),
}

TOO_SMALL = "sum too small"
TOO_GREAT = "sum too great"
SAME_SUM = "two adds told the same sum"


def check_counters(run: Run) -> CheckResult:
    """Every counter of the run. ValueError for amounts and values that are no integers."""
    return judge_objects(NAME, run, SHAPES, check_counter, lambda ops: Counter())


class _Sums(NamedTuple):
    """Adds in the order of a time, and the running sums of their amounts: of the positive, of the
    negative."""

    times: list[float]
    positive: list[int]
    negative: list[int]
    adds: list[Op]

    @classmethod
    def of(cls, adds: Sequence[Op], times: Sequence[float]) -> _Sums:
        order = sorted(range(len(adds)), key=times.__getitem__)
        amounts = [adds[i].argument for i in order]
        positive = accumulate((max(0, each) for each in amounts), initial=0)
        negative = accumulate((min(0, each) for each in amounts), initial=0)
        return cls([times[i] for i in order], list(positive), list(negative), [adds[i] for i in order])


def check_counter(ops: Sequence[Op]) -> Report:
    """One counter; `ops` in the order of their calls."""
    report = Report()
    adds = [op for op in ops if op.name == "add" and (op.ok or op.unknown)]
    for add in adds:
        _integer(add, add.argument)
    readings = [op for op in ops if op.ok and (op.name != "add" or op.answer is not None)]
    for reading in readings:
        _integer(reading, reading.answer)
    known = [add for add in adds if add.ok]
    ended = _Sums.of(known, [add.end for add in known])
    called = _Sums.of(adds, [add.call for add in adds])
    widest = 0
    for reading in readings:
        widest = max(widest, _within(report, reading, ended, called))
    amounts = [add.argument for add in adds]
    for sign in (1, -1):
        if all(sign * amount >= 0 for amount in amounts):
            _forward(report, readings, sign)
        if all(sign * amount > 0 for amount in amounts):
            _distinct(report, readings)
    report.details = {
        "adds": len(known),
        "unknown_adds": len(adds) - len(known),
        "reads": len(readings),
        "certain_sum": ended.positive[-1] + ended.negative[-1],
        "widest_bounds": widest,
    }
    return report


def _integer(op: Op, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"operation {op.operation.id}: {say(op.operation)}: {value!r} is no integer")


def _within(report: Report, reading: Op, ended: _Sums, called: _Sums) -> int:
    """Rule 1; gives the distance of the bounds."""
    certain = bisect_left(ended.times, reading.call)
    possible = bisect_right(called.times, reading.end)
    own = reading.argument if reading.name == "add" else 0
    least = ended.positive[certain] + called.negative[possible] + max(0, own)
    greatest = ended.negative[certain] + called.positive[possible] + min(0, own)
    if least <= reading.answer <= greatest:
        return greatest - least
    operation = reading.operation
    small = reading.answer < least
    word = "at least" if small else "at most"
    bound = least if small else greatest
    others = _to_blame(reading, ended.adds[:certain] if small else called.adds[:possible], small)
    why = (
        f"{certain} adds had returned before it was called"
        if small
        else f"{possible} adds had been called before it returned"
    )
    told = f", the last of them {say(others[-1].operation)}" if others else ""
    report.add(
        TOO_SMALL if small else TOO_GREAT,
        lambda: f"{say(operation)}: the sum was {word} {bound}; {why}{told}.",
        *(each.operation for each in others),
        operation,
    )
    return greatest - least


def _to_blame(reading: Op, adds: Sequence[Op], small: bool) -> list[Op]:
    """The last adds that the sum lacks, as far as one can tell; else the last of them."""
    others = [add for add in adds[-8:] if add is not reading]
    return [add for add in others if (add.argument > 0) == small][-2:] or others[-1:]


def _forward(report: Report, readings: Sequence[Op], sign: int) -> None:
    """Rule 2."""
    ends = sorted(readings, key=by_end)
    position = 0
    best: Op | None = None
    for reading in readings:
        while position < len(ends) and ends[position].end < reading.call:
            if best is None or sign * ends[position].answer > sign * best.answer:
                best = ends[position]
            position += 1
        own = reading.argument if reading.name == "add" else 0
        if best is not None and sign * (reading.answer - own) < sign * best.answer:
            _went_back(report, best, reading)


def _went_back(report: Report, earlier: Op, later: Op) -> None:
    one, other = earlier.operation, later.operation
    report.add(
        STALE_READ,
        lambda: f"{say(one)} had returned; {say(other)}, called after that, was answered from an older sum.",
        one,
        other,
    )


def _distinct(report: Report, readings: Sequence[Op]) -> None:
    """Rule 3."""
    told: dict[int, Op] = {}
    for reading in readings:
        if reading.name == "add":
            other = told.setdefault(reading.answer, reading)
            if other is not reading:
                _same(report, other, reading)


def _same(report: Report, first: Op, second: Op) -> None:
    one, other = first.operation, second.operation
    report.add(SAME_SUM, lambda: f"{say(one)} and {say(other)} both made the sum {first.answer}.", one, other)
