"""A first-in first-out queue, in one pass (after Jepsen's total-queue, and the order as well). O(n log n).

    enqueue   args {"element": e}
    dequeue   response {"element": e}, null when the queue was empty
    drain     response {"elements": [...]}: dequeues until the queue was empty

Rules (Bouajjani, Emmi, Enea, Hamza, "On Reducing Linearizability to State Reachability", has 1, 2, 4, 5 as
the four ways in which a queue can be wrong):
1. A dequeued element was enqueued: its enqueue did not fail, and was called before the dequeue returned.
2. It is dequeued no more often than it was enqueued.
3. Lost: a queue that was found empty (or drained) holds nothing. Elements whose enqueue had returned before
   and that are never dequeued are more than the dequeues of unknown outcome could have taken.
4. Order: when one enqueue returned before another was called, and the second element's dequeue returned
   before the first's was called (or the first is never dequeued), the queue was no queue.
5. Empty: at every moment of a dequeue that found nothing, some element was certainly in the queue.

Promise: what is reported cannot be explained by any order. Exact where each element is enqueued once, nothing
is of unknown outcome, and there is no drain: then no report means linearizable. Missed: the order of elements
that are enqueued more than once; which element a dequeue of unknown outcome took (rules 3 to 5 give it
whatever excuses most); that a drain took its elements one after the other. Without drains what is missed is
then searched for, in histories that are not too large (objects.py). With ``fifo=False`` rule 4 is left out: a
bag. An element that is in the queue at the end is no loss.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from gauntlet.checkers.objects import NEVER, Op, Report, by_end, judge_objects, say
from gauntlet.checkers.records import Run
from gauntlet.checkers.verdict import CheckResult
from porcupine.labels import FUTURE_READ
from porcupine.models import Queue

NAME = "queue"
SHAPES: dict[str, tuple[str | None, str | None]] = {
    "enqueue": ("element", None),
    "dequeue": (None, "element"),
    "drain": (None, "elements"),
}

UNEXPECTED = "element never enqueued"
FAILED_SEEN = "failed enqueue seen"
DUPLICATED = "dequeued twice"
LOST = "lost element"
ORDER = "out of order"
NOT_EMPTY = "empty answer of a queue that held something"


def check_queues(run: Run, fifo: bool = True) -> CheckResult:
    """Every queue of the run."""

    def model_of(ops: Sequence[Op]) -> Queue | None:
        return Queue() if fifo and not any(op.name == "drain" for op in ops) else None

    return judge_objects(NAME, run, SHAPES, lambda ops: check_queue(ops, fifo), model_of)


@dataclass(slots=True)
class _Element:
    """`added`: enqueues that may have happened; `taken`: dequeues that were answered with it."""

    added: list[Op] = field(default_factory=list)
    taken: list[Op] = field(default_factory=list)


@dataclass(slots=True)
class _History:
    elements: dict[Hashable, _Element] = field(default_factory=dict)
    failed: dict[Hashable, Op] = field(default_factory=dict)
    empty: list[Op] = field(default_factory=list)  # dequeues that found nothing, and drains
    unknown: list[float] = field(default_factory=list)  # calls of the dequeues of unknown outcome
    drains_unknown: bool = False


def check_queue(ops: Sequence[Op], fifo: bool = True) -> Report:
    """One queue; `ops` in the order of their calls."""
    report = Report()
    history = _read(ops)
    for element, each in history.elements.items():
        _taken(report, history, element, each)
    lost = _never_taken(history)
    sure = not history.unknown and not history.drains_unknown
    if not history.drains_unknown:
        _lost(report, history, lost)
    single = [each for each in history.elements.values() if len(each.added) == 1 and len(each.taken) <= 1]
    if fifo:
        _order(report, single, sure)
    _empty(report, history, single, sure)
    report.exact = (
        fifo
        and all(len(each.added) <= 1 for each in history.elements.values())
        and not any(op.unknown or op.name == "drain" for op in ops)
    )
    report.details = {
        "enqueued": sum(1 for each in history.elements.values() for add in each.added if add.ok),
        "dequeued": sum(len(each.taken) for each in history.elements.values()),
        "found_empty": len(history.empty),
        "never_dequeued": len(lost),
        "unknown_dequeues": len(history.unknown),
        "recovered": sum(
            1
            for each in history.elements.values()
            if each.taken and each.added and not any(add.ok for add in each.added)
        ),
    }
    return report


def _read(ops: Sequence[Op]) -> _History:
    history = _History()
    elements = history.elements
    for op in ops:
        ok, unknown = op.ok, op.unknown
        if op.name == "enqueue":
            if ok or unknown:
                _of(elements, op.argument).added.append(op)
            else:
                history.failed[op.argument] = op
        elif unknown:
            history.unknown.append(op.call)
            history.drains_unknown |= op.name == "drain"
        elif ok and op.name == "dequeue":
            if op.answer is None:
                history.empty.append(op)
            else:
                _of(elements, op.answer).taken.append(op)
        elif ok:
            for element in op.answer or ():
                _of(elements, element).taken.append(op)
            history.empty.append(op)
    return history


def _of(elements: dict[Hashable, _Element], element: Hashable) -> _Element:
    found = elements.get(element)
    if found is None:
        found = elements[element] = _Element([], [])
    return found


def _taken(report: Report, history: _History, element: Hashable, each: _Element) -> None:
    """Rules 1 and 2."""
    if not each.taken:
        return
    first = min(each.taken, key=by_end) if len(each.taken) > 1 else each.taken[0]
    taken = first.operation
    if not each.added:
        failed = history.failed.get(element)
        if failed is not None:
            refused = failed.operation
            report.add(
                FAILED_SEEN,
                lambda: f"{say(taken)} gave {element!r}, but {say(refused)} had failed.",
                refused,
                taken,
            )
        else:
            report.add(UNEXPECTED, lambda: f"{say(taken)} gave {element!r}, which nobody enqueued.", taken)
        return
    if first.end < each.added[0].call:
        added = each.added[0].operation
        report.add(FUTURE_READ, lambda: f"{say(taken)} gave {element!r} before {say(added)}.", taken, added)
    if len(each.taken) > len(each.added):
        takers = [op.operation for op in each.taken]
        report.add(
            DUPLICATED,
            lambda: (
                f"{element!r} was enqueued {len(each.added)} times and dequeued {len(takers)} times: "
                + ", ".join(map(say, takers[:3]))
                + "."
            ),
            each.added[0].operation,
            *takers,
        )


def _never_taken(history: _History) -> list[Op]:
    """Answered enqueues of elements that nobody was given, by their ends. Of an element enqueued more than
    once the earliest enqueues are taken to be the dequeued ones."""
    left: list[Op] = []
    for each in history.elements.values():
        added, taken = each.added, len(each.taken)
        if len(added) <= taken:
            continue
        answered = sorted((add for add in added if add.ok), key=by_end) if len(added) > 1 else added
        left.extend(add for add in answered[taken:] if add.ok)
    left.sort(key=by_end)
    return left


def _lost(report: Report, history: _History, lost: Sequence[Op]) -> None:
    """Rule 3, told of the first dequeue that found nothing after each loss."""
    ends = [op.end for op in lost]
    told = 0
    for empty in history.empty:
        before = bisect_left(ends, empty.call)
        excused = bisect_right(history.unknown, empty.end)
        if before - excused <= told:
            continue
        for add in lost[max(told, excused) : before]:
            _lose(report, add, empty, excused)
        told = before - excused


def _lose(report: Report, add: Op, empty: Op, excused: int) -> None:
    one, other = add.operation, empty.operation
    but = (
        f", not even by the {excused} dequeues of unknown outcome, which others account for"
        if excused
        else ""
    )
    report.add(
        LOST,
        lambda: (
            f"{say(one)} had returned; {say(other)} found the queue empty, and {add.argument!r} was never "
            f"dequeued{but}."
        ),
        one,
        other,
    )


def _order(report: Report, single: Sequence[_Element], sure: bool) -> None:
    """Rule 4: in the order of enqueue calls, the latest dequeue call among the enqueues that had returned."""
    ended = sorted(
        (each for each in single if each.added[0].end is not NEVER and (each.taken or sure)),
        key=lambda each: each.added[0].end,
    )
    position = 0
    latest: _Element | None = None
    for each in sorted(single, key=lambda each: each.added[0].call):
        if not each.taken:
            continue
        while position < len(ended) and ended[position].added[0].end < each.added[0].call:
            if latest is None or _taken_at(ended[position]) > _taken_at(latest):
                latest = ended[position]
            position += 1
        if latest is not None and each.taken[0].end < _taken_at(latest):
            _overtaken(report, latest, each)


def _taken_at(each: _Element) -> float:
    return each.taken[0].call if each.taken else NEVER


def _overtaken(report: Report, first: _Element, second: _Element) -> None:
    add, later, taken = first.added[0].operation, second.added[0].operation, second.taken[0].operation
    own = first.taken[0].operation if first.taken else None

    def text() -> str:
        end = f"{say(own)} was called only after that" if own is not None else "the first was never dequeued"
        return (
            f"{say(add)} had returned before {say(later)} was called, but {say(taken)} had returned; {end}."
        )

    report.add(ORDER, text, add, later, taken, *([own] if own is not None else []))


def _empty(report: Report, history: _History, single: Sequence[_Element], sure: bool) -> None:
    """Rule 5: the times at which some element was certainly there, merged; elements that overlap by a moment
    leave no moment in between."""
    spans = sorted(
        (
            (each.added[0].end, _taken_at(each), each)
            for each in single
            if each.added[0].end < _taken_at(each) and (each.taken or sure)
        ),
        key=lambda span: span[0],
    )
    starts: list[float] = []
    ends: list[float] = []
    members: list[list[_Element]] = []
    for start, end, each in spans:
        if ends and start < ends[-1]:
            ends[-1] = max(ends[-1], end)
            members[-1].append(each)
        else:
            starts.append(start)
            ends.append(end)
            members.append([each])
    for op in history.empty:
        if op.name == "drain":
            continue  # it found what it gave; what it left behind is rule 3
        at = bisect_left(starts, op.call) - 1
        if at >= 0 and op.end < ends[at]:
            _held(report, op, members[at])


def _held(report: Report, op: Op, there: Sequence[_Element]) -> None:
    """Names elements that together cover the dequeue."""
    cover: list[_Element] = []
    for each in there:
        if cover and _taken_at(cover[-1]) > op.end:
            break
        start = each.added[0].end
        if cover and _taken_at(each) <= _taken_at(cover[-1]):
            continue
        while cover and start < (op.call if len(cover) == 1 else _taken_at(cover[-2])):
            cover.pop()  # this one does its part as well
        cover.append(each)
    operation = op.operation
    named = [each.added[0].operation for each in cover]
    report.add(
        NOT_EMPTY,
        lambda: (
            f"{say(operation)} found nothing, but all the time something was there: "
            + ", ".join(map(say, named[:4]))
            + "."
        ),
        *named[:4],
        operation,
    )
