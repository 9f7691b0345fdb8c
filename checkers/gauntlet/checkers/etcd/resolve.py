"""For what the first guess of the witness leaves open: a replay in the order of revisions that can go back.

The order by (revision, write before read, call) is forced for every answer that shows its revision. Open is
1. who took a gap: each unknown operation that was called early enough and that the model and the evidence
   accept there is tried, the ones that are missed most first;
2. where answers without a revision stand (`floating`): one that changes nothing is placed as soon as it is
   accepted; one that has an effect (a compaction) when it is due, or when what comes next needs it;
3. unknown events that take no revision (a grant, the end of a lease without keys, a compaction): only when
   what comes next is refused without them and accepted with them.

Going back is bounded. A failure after all was tried is a proof wherever rule 3 and effects of floating
answers are not in play (`Resolved.exhausted`); the general search decides the rest.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final, NamedTuple

from gauntlet.checkers.etcd.calls import Compact, Expire, Grant, GrantAnswer, Refused, Revoke
from gauntlet.checkers.etcd.gaps import Evidence
from gauntlet.checkers.etcd.model import Etcd, unordered
from gauntlet.checkers.etcd.store import State
from gauntlet.checkers.etcd.witness import NEVER, used_leases
from porcupine.history import Operation
from porcupine.model import Rejected

TRIES: Final = 20_000  # times it goes back
STEPS: Final = 200_000  # of the model, in all; looked at when going back
STEPS_EACH: Final = 10  # and for each operation
_SILENT: Final = (Grant, Revoke, Expire, Compact)


@dataclass(slots=True)
class Resolved:
    """`order` is all of it, or the longest prefix that was reached; then `stuck` could not follow in
    `state`."""

    complete: bool
    order: list[Operation]
    exhausted: bool = False
    stuck: Operation | None = None
    rejection: Rejected | None = None
    state: State | None = None
    tries: int = 0


class _Here(NamedTuple):
    item: int  # the position of the next one
    state: State
    used: int  # mask of unknown operations
    waiting: tuple[int, ...]  # floating ones that may be placed


class _Move(NamedTuple):
    operation: Operation | None
    to: _Here


class Resolver:
    def __init__(
        self,
        items: Sequence[Operation],
        revisions: Sequence[tuple[int, bool]],
        floating: Sequence[Operation],
        unknown: Sequence[Operation],
        model: Etcd,
        evidence: Evidence | None,
        filled: Mapping[int, Operation],
    ) -> None:
        """`items` in the order of their revisions; `revisions`: of each (revision, does it take it).
        `filled`: who is guessed to have taken a gap, and is tried first."""
        self.items = items
        self.revisions = revisions
        self.floating = floating
        self.unknown = sorted(unknown, key=lambda operation: operation.call_time_ns)
        place = {id(operation): number for number, operation in enumerate(self.unknown)}
        self.hints = {gap: place[id(operation)] for gap, operation in filled.items()}
        self.calls = [operation.call_time_ns for operation in self.unknown]
        self.model = model
        self.evidence = evidence
        self.quiet = [isinstance(operation.response, Refused) for operation in floating]
        returns = [
            NEVER if operation.return_time_ns is None else operation.return_time_ns for operation in items
        ]
        self.deadline = list(accumulate(reversed(returns), min, initial=NEVER))
        self.deadline.reverse()
        self._place_floating(returns)

    def _place_floating(self, returns: list[float]) -> None:
        """Each may stand before any of the items from `begin` to `end`."""
        self.arriving: dict[int, tuple[int, ...]] = {}
        self.due: list[int] = []
        if not self.floating:
            return
        by_return = sorted(range(len(returns)), key=returns.__getitem__)
        times = [returns[position] for position in by_return]
        furthest = list(accumulate(by_return, max, initial=-1))
        strict = [position for position, item in enumerate(self.items) if not unordered(item)]
        strict.sort(key=lambda position: self.items[position].call_time_ns)
        calls = [self.items[position].call_time_ns for position in strict]
        nearest = list(accumulate(reversed(strict), min, initial=len(self.items)))
        nearest.reverse()
        for number, operation in enumerate(self.floating):
            begin = furthest[bisect_left(times, operation.call_time_ns)] + 1
            self.arriving[begin] = (*self.arriving.get(begin, ()), number)
            self.due.append(nearest[bisect_left(calls, (operation.return_time_ns or 0) + 1)])

    def run(self) -> Resolved:
        order: list[Operation] = []
        here = _Here(0, self.model.init(), 0, self.arriving.get(0, ()))
        stack: list[tuple[int, Iterator[_Move]]] = []
        best = Resolved(False, [], not self._silent())
        tries = 0
        left = STEPS + STEPS_EACH * len(self.items)
        while here.item < len(self.items) or here.waiting:
            left -= 1
            single, moves = self._moves(here)
            move = single
            if move is None:
                move = next(moves, None)
                if move is not None:
                    stack.append((len(order), moves))
                else:
                    if len(order) >= len(best.order):
                        best.order, best.state = list(order), here.state
                        best.stuck, best.rejection = self._stuck(here)
            while move is None:
                tries += 1
                if not stack or tries > TRIES or left < 0:
                    best.exhausted = best.exhausted and not stack
                    best.tries = tries
                    return best
                length, moves = stack[-1]
                move = next(moves, None)
                if move is None:
                    stack.pop()
                else:
                    del order[length:]
            if move.operation is not None:
                order.append(move.operation)
            here = move.to
        return Resolved(True, order, tries=tries)

    def _silent(self) -> bool:
        """Are there events whose place is more than a matter of revisions?"""
        calls = [operation.call for operation in (*self.unknown, *self.items, *self.floating)]
        return any(isinstance(call, _SILENT) for call in calls)

    # ---- moves ----

    def _moves(self, here: _Here) -> tuple[_Move | None, Iterator[_Move]]:
        """The one move there is, or several to try."""
        state = here.state
        for number in here.waiting:
            operation = self.floating[number]
            if not self.quiet[number] or not self._free(number, here):
                continue
            if not isinstance(self.model.step(state, operation), Rejected):
                return _Move(operation, self._without(here, number)), iter(())
        for number in here.waiting:
            if self.due[number] <= here.item or here.item == len(self.items):
                return None, self._due(here, number)
        item = self.items[here.item]
        revision, taking = self.revisions[here.item]
        if state.revision < revision - taking:
            # A revocation takes its revision or not, as its lease has keys or not.
            early = isinstance(item.call, Revoke) and state.revision == revision - 1
            if not early or isinstance(self.model.step(state, item), Rejected):
                return None, self._fill(here)
        following = self.model.step(state, item)
        if isinstance(following, Rejected):
            return None, self._help(here, item)
        after = here.item + 1
        waiting = here.waiting
        if after in self.arriving:
            waiting += self.arriving[after]
        return _Move(item, _Here(after, following, here.used, waiting)), iter(())

    def _free(self, number: int, here: _Here) -> bool:
        """Does nothing that waits have to come before it?"""
        called = self.floating[number].call_time_ns
        return all((self.floating[each].return_time_ns or 0) >= called for each in here.waiting)

    def _without(self, here: _Here, number: int, state: State | None = None) -> _Here:
        waiting = tuple(each for each in here.waiting if each != number)
        return here._replace(waiting=waiting, state=here.state if state is None else state)

    def _due(self, here: _Here, number: int) -> Iterator[_Move]:
        operation = self.floating[number]
        if self._free(number, here):
            following = self.model.step(here.state, operation)
            if not isinstance(following, Rejected):
                yield _Move(operation, self._without(here, number, following))
        else:
            for other in here.waiting:  # what must come first
                if other != number and not self.quiet[other] and self._free(other, here):
                    following = self.model.step(here.state, self.floating[other])
                    if not isinstance(following, Rejected):
                        yield _Move(self.floating[other], self._without(here, other, following))
        yield from self._help(here, operation)

    def _fill(self, here: _Here) -> Iterator[_Move]:
        """Rule 1."""
        gap = here.state.revision + 1
        hint = self.hints.get(gap)
        if hint is not None and not here.used >> hint & 1:
            following = self.model.step(here.state, self.unknown[hint])
            if not isinstance(following, Rejected) and following.revision == gap:
                yield _Move(self.unknown[hint], here._replace(state=following, used=here.used | 1 << hint))
        found: list[tuple[int, int, State]] = []
        for number in self._available(here):
            if number == hint:
                continue
            operation = self.unknown[number]
            following = self.model.step(here.state, operation)
            if not isinstance(following, Rejected) and following.revision == gap:
                missed = self._missed(operation.call, gap, here.state)
                found.append((-missed, number, following))
        found.sort(key=lambda entry: entry[:2])
        seen: set[State] = set()
        for _, number, following in found:
            if following not in seen:
                seen.add(following)
                after = here._replace(state=following, used=here.used | 1 << number)
                yield _Move(self.unknown[number], after)

    def _missed(self, call: Any, gap: int, state: State) -> int:
        if self.evidence is None:
            return 0
        return self.evidence.missed(call, gap, state)

    def _available(self, here: _Here) -> Iterator[int]:
        deadline = self.deadline[here.item]
        for number in here.waiting:
            deadline = min(deadline, self.floating[number].return_time_ns or 0)
        last = len(self.calls) if deadline == NEVER else bisect_left(self.calls, deadline + 1)
        return (number for number in range(last) if not here.used >> number & 1)

    def _help(self, here: _Here, target: Operation) -> Iterator[_Move]:
        """Rules 2 and 3: something without a revision that makes the target possible."""
        state = here.state
        for number in here.waiting:
            operation = self.floating[number]
            if not self.quiet[number] and operation is not target and self._free(number, here):
                following = self.model.step(state, operation)
                if not isinstance(following, Rejected) and self._allows(following, target):
                    yield _Move(operation, self._without(here, number, following))
        leases = used_leases(target.call)
        if isinstance(target.call, Grant):  # it needs the lease to be gone, or to be there to be refused
            answer = target.response
            leases = [answer.id if isinstance(answer, GrantAnswer) else target.call.id]
        for number in self._available(here):
            call = self.unknown[number].call
            if isinstance(call, Compact) or (isinstance(call, (Grant, Revoke, Expire)) and call.id in leases):
                following = self.model.step(state, self.unknown[number])
                if isinstance(following, Rejected) or following.revision != state.revision:
                    continue
                if self._allows(following, target):
                    yield _Move(
                        self.unknown[number],
                        here._replace(state=following, used=here.used | 1 << number),
                    )

    def _allows(self, state: State, target: Operation) -> bool:
        return not isinstance(self.model.step(state, target), Rejected)

    def _stuck(self, here: _Here) -> tuple[Operation | None, Rejected | None]:
        for number in here.waiting:
            if self.due[number] <= here.item or here.item == len(self.items):
                answer = self.model.step(here.state, self.floating[number])
                if isinstance(answer, Rejected):
                    return self.floating[number], answer
        if here.item == len(self.items):
            return None, None
        item = self.items[here.item]
        revision, taking = self.revisions[here.item]
        if here.state.revision < revision - taking:
            gap = here.state.revision + 1
            return item, Rejected(
                "no operation can have taken a revision before it", f"revision {gap}", revision
            )
        answer = self.model.step(here.state, item)
        return item, answer if isinstance(answer, Rejected) else None
