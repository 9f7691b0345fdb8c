"""A set from which elements are taken out again: what each element certainly was, in one sweep through time.

    add       args {"element": e}
    remove    args {"element": e}, optionally a response {"present": was it there?}
    contains  args {"element": e}, response {"present": bool}
    read      response {"elements": [...]}

Rules, for each element by itself:
1. An element is certainly *there* from the return of an add that was answered, or of an answer that shows it,
   if no remove can stand behind that: each one that was called by then had returned before the add (or the
   question) was called. It stays so until the next remove is called, one of unknown outcome included.
2. It is certainly *gone* from the return of a remove, or of an answer that shows that it is not there, if no
   add can stand behind that, until the next add is called; and before the first add is called.
3. An answer called while the element was there, and returned before the next remove was called, shows it. One
   called while it was gone, and returned before the next add was called, does not.

Promise: what is reported cannot be explained by any order. Missed: contradictions in which several answers
would need one concurrent add or remove to have happened at different moments, and those between elements. The
search then decides these, in histories that are not too large (objects.py).

The sets of all that is there or gone are kept as a whole, so that a read of all is compared with them at
once.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from itertools import islice
from operator import itemgetter
from typing import Any, Final

from gauntlet.checkers.objects import Op, Report, say
from porcupine.history import Operation
from porcupine.labels import FUTURE_READ, LOST_WRITE, STALE_READ

NEVER_ADDED = "element never added"
CAME_BACK = "removed element seen"
ADD, REMOVE, CONTAINS, READ = "add", "remove", "contains", "read"
MOST_SUSPECTS: Final = 1000  # elements of one read


def check_members(ops: Sequence[Op], report: Report) -> None:
    """One set; `ops` in the order of their calls, reads with a frozenset for an answer."""
    events: list[tuple[float, bool, int]] = []
    for number, op in enumerate(ops):
        if op.ok or (op.unknown and op.name in (ADD, REMOVE)):
            events.append((op.call, False, number))
        if op.ok:
            events.append((op.end, True, number))
    events.sort(key=itemgetter(0, 1))  # equal times are concurrent: calls come first
    sweep = _Sweep(report, {op.argument for op in ops if op.name == ADD and not op.failed})
    for _, ended, number in events:
        if ended:
            sweep.ended(ops[number], number)
        else:
            sweep.called(ops[number], number)
    counted = [op.name for op in ops if op.ok]
    report.details = {"answered": {name: counted.count(name) for name in (ADD, REMOVE, CONTAINS, READ)}}
    report.details |= {"there": len(sweep.there.sure), "gone": len(sweep.gone.sure)}


class _Side:
    """What is certainly so, and by which operation. `ends`: of what makes it otherwise, the last one called.
    `suspects`: the running operations, by the elements that they answer otherwise."""

    __slots__ = ("ends", "holder", "sure", "suspects")

    def __init__(self) -> None:
        self.sure: set[Hashable] = set()
        self.holder: dict[Hashable, Op] = {}
        self.ends: dict[Hashable, float] = {}
        self.suspects: dict[Hashable, set[int]] = {}

    def hold(self, op: Op, elements: Iterable[Hashable]) -> None:
        for element in elements:
            if self.ends.get(element, -1) < op.call:
                self.sure.add(element)
                self.holder[element] = op

    def shake(self, op: Op, element: Hashable) -> None:
        """An operation was called that may make it otherwise: whoever is running is excused."""
        self.sure.discard(element)
        self.suspects.pop(element, None)
        self.ends[element] = max(op.end, self.ends.get(element, -1))

    def suspect(self, number: int, elements: Iterable[Hashable]) -> list[Hashable]:
        found = list(islice(elements, MOST_SUSPECTS))
        for element in found:
            self.suspects.setdefault(element, set()).add(number)
        return found

    def convicted(self, number: int, elements: Iterable[Hashable]) -> list[Hashable]:
        found = []
        for element in elements:
            running = self.suspects.get(element, set())
            if number in running:
                running.remove(number)
                found.append(element)
        return found


class _Sweep:
    def __init__(self, report: Report, ever: set[Hashable]) -> None:
        self.report = report
        self.ever = ever  # elements of adds that may have happened
        self.there, self.gone = _Side(), _Side()
        self.added: set[Hashable] = set()  # an add was called
        self.suspected: dict[int, tuple[list[Hashable], list[Hashable]]] = {}

    def called(self, op: Op, number: int) -> None:
        """Rule 3: who would be wrong if nothing happened meanwhile."""
        if op.name == READ:
            missing: Iterable[Hashable] = self.there.sure - op.answer
            extra: Iterable[Hashable] = self.gone.sure & op.answer
        else:
            told, own = _told(op), {op.argument}
            missing = own & self.there.sure if told is False else ()
            extra = own & self.gone.sure if told is True else ()
        if op.name == ADD:
            self.added.add(op.argument)
            self.gone.shake(op, op.argument)
        elif op.name == REMOVE:
            self.there.shake(op, op.argument)
        if missing or extra:
            self.suspected[number] = self.there.suspect(number, missing), self.gone.suspect(number, extra)

    def ended(self, op: Op, number: int) -> None:
        missing, extra = self.suspected.pop(number, ((), ()))
        for element in self.there.convicted(number, missing):
            self._missed(op, element)
        for element in self.gone.convicted(number, extra):
            self._came_back(op, element)
        if op.name == READ:
            self._never_added(op, op.answer - self.added)
            self.there.hold(op, op.answer - self.there.sure)
            self.gone.hold(op, self.added - op.answer - self.gone.sure)
            return
        told, own = _told(op), (op.argument,)
        if told is True and op.argument not in self.added:
            self._never_added(op, own)
        if op.name == ADD or (op.name == CONTAINS and told is True):
            self.there.hold(op, own)
        elif op.name == REMOVE or told is False:
            self.gone.hold(op, own)

    def _never_added(self, op: Op, elements: Iterable[Hashable]) -> None:
        for element in elements:
            label = FUTURE_READ if element in self.ever else NEVER_ADDED
            self._add(label, f"shows {element!r}, which nobody had called an add of", None, op.operation)

    def _missed(self, op: Op, element: Hashable) -> None:
        before = self.there.holder[element]
        label = LOST_WRITE if before.name == ADD else STALE_READ
        why = f"does not show {element!r}, and nobody had called a remove of it since"
        self._add(label, why, before.operation, op.operation)

    def _came_back(self, op: Op, element: Hashable) -> None:
        why = f"shows {element!r}, and nobody had called an add of it since"
        self._add(CAME_BACK, why, self.gone.holder[element].operation, op.operation)

    def _add(self, label: str, why: str, before: Operation | None, after: Operation) -> None:
        def text() -> str:
            if before is None:
                return f"{say(after)} {why}."
            return f"{say(before)} had returned; {say(after)}, called after that, {why}."

        self.report.add(label, text, *([before] if before is not None else []), after)


def _told(op: Op) -> bool | None:
    """Was the element there, by the answer? For a remove: until then."""
    answer: Any = op.answer
    return answer if isinstance(answer, bool) and op.name != ADD and op.ok else None
