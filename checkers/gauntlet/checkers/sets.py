"""A set that only grows: adds and reads of the whole, in one pass (after Jepsen's set-full).

    add    args {"element": e}
    read   response {"elements": [...]}

Rules:
1. A read shows each element once, and only elements whose add was called before the read returned and did not
   fail.
2. An element is known from the moment at which its add was answered or a read that shows it returned. A read
   called after that shows it: otherwise it is stale, or lost, when no later read shows the element again.
3. Of two reads, one shows everything that the other does.
4. The reads, ordered by what they show, put every add in its place: before the first read that shows it and
   after the last that does not. No operation is placed before one that returned before it was called.

Promise: exact. For adds and reads these rules fail if and only if the history is not linearizable. (By rule 3
the reads form groups in a strict order and each add falls between two; an order of that kind agrees with real
time unless two operations alone contradict it.) An element may be added more than once: one of its adds has
to be in the place of rule 4, none may be before it. A set with removes, or with questions for single
elements, is judged by `members` instead.

Details per key: attempts, acknowledged, stable, lost, stale (stable after having been missed), never_read,
recovered (seen although the add was of unknown outcome), and quantiles in ms of the time from being known
until the last read that missed the element was called (stable_latency_ms) and until the last that showed it
was (lost_latency_ms).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field

from gauntlet.checkers.members import NEVER_ADDED, check_members
from gauntlet.checkers.objects import NEVER, Op, Report, judge_objects, say
from gauntlet.checkers.records import Run
from gauntlet.checkers.stats import quantiles
from gauntlet.checkers.verdict import CheckResult
from porcupine.labels import FUTURE_READ, LOST_WRITE, STALE_READ
from porcupine.models import Set

NAME = "set"
SHAPES: dict[str, tuple[str | None, str | None]] = {
    "add": ("element", None),
    "read": (None, "elements"),
    "remove": ("element", "present"),
    "contains": ("element", "present"),
}

DUPLICATED = "duplicated element"
FAILED_ADD = "failed add seen"
SPLIT = "reads without an order"
WRONG_ORDER = "adds against real time"

Elements = frozenset[Hashable]


def check_sets(run: Run) -> CheckResult:
    """Every set of the run. ValueError for an answer that is no collection."""
    return judge_objects(NAME, run, SHAPES, check_set, lambda ops: Set())


class _Read:
    __slots__ = ("elements", "op")

    def __init__(self, op: Op, report: Report) -> None:
        self.op = op
        self.elements = _elements(op, report)


def _elements(op: Op, report: Report) -> Elements:
    """What a read shows, each element once; the operation's answer from now on."""
    shown = op.answer
    if not isinstance(shown, frozenset | tuple):
        raise ValueError(f"operation {op.operation.id}: {say(op.operation)} is no read of a set")
    op.answer = elements = frozenset(shown)
    if isinstance(shown, tuple) and len(shown) != len(elements):
        twice = next(each for each, count in Counter(shown).items() if count > 1)
        text = f"{say(op.operation)} shows {twice!r} more than once."
        report.add(DUPLICATED, lambda: text, op.operation)
    return elements


@dataclass(slots=True)
class _History:
    reads: list[_Read] = field(default_factory=list)
    adds: dict[Hashable, list[Op]] = field(default_factory=dict)  # ok or unknown, by element
    failed: dict[Hashable, Op] = field(default_factory=dict)
    known: dict[Hashable, float] = field(default_factory=dict)  # rule 2, by adds alone


def check_set(ops: Sequence[Op]) -> Report:
    """One set; `ops` in the order of their calls."""
    report = Report()
    if any(op.name not in ("add", "read") for op in ops):
        for op in ops:
            if op.name == "read" and op.ok:
                _elements(op, report)
        check_members(ops, report)
        return report
    report.exact = True
    history = _History()
    for op in ops:
        if op.name == "read":
            if op.ok:
                history.reads.append(_Read(op, report))
        elif op.ok or op.unknown:
            history.adds.setdefault(op.argument, []).append(op)
        else:
            history.failed[op.argument] = op
    _shown(history, report)
    _missed(history, report)
    groups = _groups(history, report)
    if groups is not None and not report.labels:
        _places(history, groups, report)
    _describe(history, report)
    return report


def _shown(history: _History, report: Report) -> None:
    """Rule 1."""
    calls = {element: adds[0].call for element, adds in history.adds.items()}  # by call
    ordered = sorted(calls, key=calls.__getitem__)
    called: set[Hashable] = set()
    position = 0
    for read in sorted(history.reads, key=lambda read: read.op.end):
        while position < len(ordered) and calls[ordered[position]] <= read.op.end:
            called.add(ordered[position])
            position += 1
        if not read.elements <= called:
            for element in sorted(read.elements - called, key=repr)[:1]:
                _unfounded(history, report, read, element)


def _unfounded(history: _History, report: Report, read: _Read, element: Hashable) -> None:
    operation = read.op.operation
    if element in history.adds:
        add = history.adds[element][0].operation
        report.add(
            FUTURE_READ, lambda: f"{say(operation)} shows {element!r} before {say(add)}.", add, operation
        )
    elif element in history.failed:
        add = history.failed[element].operation
        report.add(
            FAILED_ADD,
            lambda: f"{say(operation)} shows {element!r}, but {say(add)} had failed.",
            add,
            operation,
        )
    else:
        report.add(NEVER_ADDED, lambda: f"{say(operation)} shows {element!r}, which nobody added.", operation)


def _missed(history: _History, report: Report) -> None:
    """Rule 2: sweep in the order of calls, with the elements known by then."""
    events: list[tuple[float, Hashable, _Read | None]] = []
    for element, adds in history.adds.items():
        end = _known_by(adds)
        if end is not NEVER:
            events.append((end, element, None))
    events.extend((read.op.end, None, read) for read in history.reads)
    events.sort(key=lambda event: event[0])
    known: set[Hashable] = set()
    witness: dict[Hashable, _Read] = {}
    position = 0
    last_seen = _last_seen(history)
    for read in history.reads:
        while position < len(events) and events[position][0] < read.op.call:
            _, element, other = events[position]
            if other is None:
                known.add(element)
            else:
                for each in other.elements - known:
                    witness[each] = other
                known |= other.elements
            position += 1
        if not known <= read.elements:
            element = min(known - read.elements, key=repr)
            _stale_or_lost(history, report, read, element, witness.get(element), last_seen.get(element))


def _last_seen(history: _History) -> dict[Hashable, _Read]:
    """The last read, by its call, that shows each element."""
    found: dict[Hashable, _Read] = {}
    seen: set[Hashable] = set()
    for read in reversed(history.reads):
        for element in read.elements - seen:
            found[element] = read
        seen |= read.elements
    return found


def _stale_or_lost(
    history: _History,
    report: Report,
    read: _Read,
    element: Hashable,
    witness: _Read | None,
    last: _Read | None,
) -> None:
    operation = read.op.operation
    before = witness.op.operation if witness is not None else None
    if before is None:
        before = min(history.adds[element], key=lambda add: add.end).operation
    again = last is not None and last.op.end >= read.op.call
    later = last.op.operation if last is not None and again else None

    def text() -> str:
        story = f"{say(before)} had returned; {say(operation)}, called after that, does not show {element!r}"
        return f"{story}; {say(later)} does." if later is not None else f"{story}, and no later read does."

    named = [before, operation] if later is None else [before, operation, later]
    report.add(STALE_READ if again else LOST_WRITE, text, *named)


def _groups(history: _History, report: Report) -> list[_Read] | None:
    """Rule 3: one read of each group, in order; None when there is no order."""
    groups: list[_Read] = []
    for read in sorted(history.reads, key=lambda read: len(read.elements)):
        if not groups:
            groups.append(read)
            continue
        last = groups[-1]
        if last.elements <= read.elements:
            if len(last.elements) < len(read.elements):
                groups.append(read)
            continue
        _split(report, last, read)
        return None
    return groups


def _split(report: Report, first: _Read, second: _Read) -> None:
    one, other = first.op.operation, second.op.operation
    mine = min(first.elements - second.elements, key=repr)
    theirs = min(second.elements - first.elements, key=repr)
    report.add(
        SPLIT,
        lambda: f"{say(one)} shows {mine!r} and not {theirs!r}, {say(other)} the other way round.",
        one,
        other,
    )


def _places(history: _History, groups: Sequence[_Read], report: Report) -> None:
    """Rule 4. Places: 2g + 1 for the reads of group g, 2g for adds between the groups g - 1 and g."""
    place: dict[Hashable, int] = {}
    before: Elements = frozenset()
    number = {}
    for g, read in enumerate(groups):
        number[len(read.elements)] = 2 * g + 1
        for element in read.elements - before:
            place[element] = 2 * g
        before = read.elements
    behind = 2 * len(groups)
    calls: list[tuple[int, int, Op]] = []
    ends: list[tuple[float, int, Op]] = []
    for read in history.reads:
        calls.append((read.op.call, number[len(read.elements)], read.op))
        ends.append((read.op.end, number[len(read.elements)], read.op))
    for element, adds in history.adds.items():
        at = place.get(element, behind)
        ends.extend((add.end, at, add) for add in adds if add.end is not NEVER)
        if element in place:  # one never shown has the last place: nothing is behind it
            calls.append((adds[0].call, at, adds[0]))
    calls.sort(key=lambda each: each[0])
    ends.sort(key=lambda each: each[0])
    position, furthest, holder = 0, -1, None
    for called, at, op in calls:
        while position < len(ends) and ends[position][0] < called:
            if ends[position][1] > furthest:
                _, furthest, holder = ends[position]
            position += 1
        if furthest > at and holder is not None:
            _against_time(report, groups, holder, furthest, op, at)


def _against_time(report: Report, groups: Sequence[_Read], early: Op, its: int, late: Op, at: int) -> None:
    between = groups[at // 2].op.operation
    one, other = early.operation, late.operation
    report.add(
        WRONG_ORDER,
        lambda: (
            f"{say(between)} shows {late.argument!r} and not {early.argument!r}, but {say(one)} had returned "
            f"before {say(other)} was called."
        ),
        one,
        other,
        between,
    )


def _describe(history: _History, report: Report) -> None:
    last_present = _last_seen(history)
    known = _known(history)
    stable = lost = never_read = stale = 0
    stable_latency: list[int] = []
    lost_latency: list[int] = []
    for element, (missed, since) in _last_missed(history, known):
        present = last_present.get(element)
        if present is None and missed is None:
            never_read += 1
        elif missed is None or (present is not None and present.op.call > missed.op.call):
            stable += 1
            late = missed is not None and missed.op.call > since
            stale += late
            stable_latency.append(int(missed.op.call - since) if missed is not None and late else 0)
        elif missed.op.call > since:
            lost += 1
            lost_latency.append(max(0, int(present.op.call - since)) if present is not None else 0)
        else:
            never_read += 1
    report.details = {
        "attempts": sum(map(len, history.adds.values())) + len(history.failed),
        "acknowledged": sum(1 for adds in history.adds.values() for add in adds if add.ok),
        "reads": len(history.reads),
        "stable": stable,
        "stale": stale,
        "lost": lost,
        "never_read": never_read,
        "recovered": sum(
            1
            for element in last_present
            if element in history.adds and not any(add.ok for add in history.adds[element])
        ),
        "stable_latency_ms": quantiles(stable_latency),
        "lost_latency_ms": quantiles(lost_latency),
    }


def _known_by(adds: Sequence[Op]) -> float:
    return adds[0].end if len(adds) == 1 else min(add.end for add in adds)


def _known(history: _History) -> dict[Hashable, float]:
    """When each element was known, by an add or by a read."""
    known = {element: _known_by(adds) for element, adds in history.adds.items()}
    seen: set[Hashable] = set()
    for read in sorted(history.reads, key=lambda read: read.op.end):
        for element in read.elements - seen:
            if read.op.end < known.get(element, NEVER):
                known[element] = read.op.end
        seen |= read.elements
    return {element: since for element, since in known.items() if since is not NEVER}


def _last_missed(
    history: _History, known: dict[Hashable, float]
) -> Iterator[tuple[Hashable, tuple[_Read | None, float]]]:
    """For each known element the last read, by its call, that does not show it."""
    left = set(known)
    for read in reversed(history.reads):
        missing = left - read.elements
        if missing:
            left &= read.elements
            for element in missing:
                yield element, (read, known[element])
    for element in left:
        yield element, (None, known[element])
