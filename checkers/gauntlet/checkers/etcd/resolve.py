"""For what the first guess of the witness leaves open: a replay in the order of revisions that can go back.

The order by (revision, write before read, call) is forced for every answer that shows its revision. Open is
1. who took a gap: each unknown operation that was called early enough and that the model and the evidence
   accept there is tried, the ones that are missed most first;
2. where answers without a revision stand (`floating`), and those that leave it open whether they took theirs
   (grants, revocations, writes whose answer is known in part): one that changes nothing is placed as soon as
   it is accepted; one that has an effect when it is due, or when what comes next needs it;
3. unknown events that take no revision (a grant, the end of a lease without keys, a compaction): only when
   what comes next is refused without them and accepted with them.

Going back is bounded. A failure after all was tried is a proof wherever rule 3 and effects of floating
answers are not in play (`Resolved.exhausted`); the general search decides the rest.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, compress
from typing import Any, Final, NamedTuple

from gauntlet.checkers.etcd.calls import (
    LEASE_NOT_FOUND,
    Compact,
    DeleteAnswer,
    Expire,
    Grant,
    GrantAnswer,
    Refused,
    Revoke,
    Txn,
    TxnAnswer,
    answer_of,
    call_of,
    effective,
    writes,
)
from gauntlet.checkers.etcd.gaps import Evidence
from gauntlet.checkers.etcd.model import Etcd, shown_revision, unordered
from gauntlet.checkers.etcd.store import State
from gauntlet.checkers.etcd.witness import NEVER, used_leases
from porcupine.history import Operation
from porcupine.model import Rejected
from porcupine.outcome import Outcome

TRIES: Final = 20_000  # times it goes back
TRIES_SILENT: Final = 5_000  # where it proves nothing by that, and the search comes after it
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


def further(resolved: Resolved, found: Outcome, model: Etcd) -> Resolved:
    """Where the search gave up, if it got further: it explains more, and nearer to the fault."""
    explained = [sum(operation.is_ok for operation in order) for order in (resolved.order, found.order)]
    if explained[1] <= explained[0]:
        return resolved
    for end in found.dead_ends:
        for operation in sorted(end.pending, key=lambda each: each.return_time_ns or 0):
            answer = operation.response
            shown = None if answer is None else shown_revision(call_of(operation), answer_of(operation))
            if shown is not None and shown - effective(answer_of(operation)) != end.state.revision:
                continue  # it is stuck there because of what went wrong before
            rejection = model.step(end.state, operation)
            if isinstance(rejection, Rejected):
                return replace(
                    resolved, order=found.order, stuck=operation, rejection=rejection, state=end.state
                )
    return resolved


def open_ended(operation: Operation) -> bool:
    """Does the answer leave it open whether it changed something?"""
    answer = operation.response
    if isinstance(operation.call, (Grant, Revoke)):
        return True
    untold = isinstance(answer, DeleteAnswer) and answer.deleted is None
    untold = untold or (isinstance(answer, TxnAnswer) and answer.answers is None)
    return untold and writes(call_of(operation))


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
        either = list(map(open_ended, items))
        fixed = [not each for each in either]
        self.items = list(compress(items, fixed))
        self.revisions = list(compress(revisions, fixed))
        # Where these stand among the others at their revision, or just before it, nothing tells.
        bound = {id(items[at]): revisions[at][0] for at, each in enumerate(either) if each}
        self.floating = floating = [*floating, *compress(items, either)]
        self.unknown = sorted(unknown, key=lambda operation: operation.call_time_ns)
        place = {id(operation): number for number, operation in enumerate(self.unknown)}
        self.hints = {gap: place[id(operation)] for gap, operation in filled.items()}
        self.calls = [operation.call_time_ns for operation in self.unknown]
        self.model = model
        self.evidence = evidence
        self.quiet = [isinstance(operation.response, Refused) for operation in floating]
        returns = [
            NEVER if operation.return_time_ns is None else operation.return_time_ns
            for operation in self.items
        ]
        self.told: dict[int, list[tuple[int, bool]]] = {}  # by lease: (position, must it be there?)
        for position, operation in enumerate(self.items):
            self._tell(position, operation)
        self._place_floating(returns, bound)
        for begin, numbers in self.arriving.items():  # until then they have to wait, and nothing passes them
            if begin:
                ended = min(floating[number].return_time_ns or 0 for number in numbers)
                returns[begin - 1] = min(returns[begin - 1], ended)
        self.deadline = list(accumulate(reversed(returns), min, initial=NEVER))
        self.deadline.reverse()
        for told in self.told.values():
            told.sort()

    def _place_floating(self, returns: list[float], bound: Mapping[int, int]) -> None:
        """Each may stand before any of the items from `begin` to `due`: by time, and by the revision that it
        shows, if any (`bound`)."""
        self.arriving: dict[int, tuple[int, ...]] = {}
        self.due = [0] * len(self.floating)
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
        ended = sorted((operation.return_time_ns or 0, id(operation)) for operation in self.floating)
        begins: dict[int, int] = {}
        after = passed = 0  # none that is called later may stand before `after`
        for number, operation in sorted(enumerate(self.floating), key=lambda each: each[1].call_time_ns):
            while passed < len(ended) and ended[passed][0] < operation.call_time_ns:
                after = max(after, begins[ended[passed][1]])
                passed += 1
            begin = furthest[bisect_left(times, operation.call_time_ns)] + 1
            due = nearest[bisect_left(calls, (operation.return_time_ns or 0) + 1)]
            revision = bound.get(id(operation))
            if revision is not None:
                begin = max(begin, bisect_left(self.revisions, (revision, False)))
                due = min(due, bisect_left(self.revisions, (revision + 1, False)))
            begins[id(operation)] = begin = max(begin, after)
            self.arriving[begin] = (*self.arriving.get(begin, ()), number)
            self._tell(begin, operation)
            self.due[number] = due

    def _tell(self, position: int, operation: Operation) -> None:
        """Notes what an answer tells of the one lease that it depends on."""
        answer = operation.response
        if isinstance(operation.call, Grant):
            number = answer.id if isinstance(answer, GrantAnswer) else operation.call.id
            self.told.setdefault(number, []).append((position, isinstance(answer, Refused)))
            return
        leases = set(used_leases(operation.call))
        if len(leases) == 1 and not (isinstance(answer, Refused) and answer != LEASE_NOT_FOUND):
            taken = operation.call
            if isinstance(taken, Txn) and isinstance(answer, TxnAnswer):
                leases = set(used_leases(Txn((), taken.success if answer.succeeded else taken.failure)))
            for lease in leases:
                self.told.setdefault(lease, []).append((position, not isinstance(answer, Refused)))

    def _may_end(self, lease: int, position: int) -> int:
        """2 where the next answer that tells of the lease needs it gone, 0 where it needs it, else 1."""
        told = self.told.get(lease, [])
        place = bisect_left(told, (position, False))
        return 1 if place == len(told) else 0 if told[place][1] else 2

    def run(self) -> Resolved:
        order: list[Operation] = []
        here = _Here(0, self.model.init(), 0, self.arriving.get(0, ()))
        stack: list[tuple[int, Iterator[_Move]]] = []
        best = Resolved(False, [], not self._silent())
        furthest = (-1, 0)  # answers explained, and how little was assumed for it
        tries = 0
        most = TRIES if best.exhausted else TRIES_SILENT
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
                    assumed = here.used.bit_count()
                    if (len(order) - assumed, -assumed) > furthest:
                        furthest = (len(order) - assumed, -assumed)
                        best.order, best.state = list(order), here.state
                        best.stuck, best.rejection = self._stuck(here)
            while move is None:
                tries += 1
                if not stack or tries > most or left < 0:
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
        if not all(self.quiet):
            return True
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
        if here.item < len(self.items) and self._open(here):
            yield from self._fill(here)

    def _fill(self, here: _Here) -> Iterator[_Move]:
        """Rule 1. Some that wait may be it, too: a revocation, or a write that lost its revision."""
        gap = here.state.revision + 1
        for number in here.waiting:
            if not self.quiet[number] and self._free(number, here):
                following = self.model.step(here.state, self.floating[number])
                if not isinstance(following, Rejected) and following.revision == gap:
                    yield _Move(self.floating[number], self._without(here, number, following))
        hint = self.hints.get(gap)
        if hint is not None and hint in self._available(here):
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
                missed = self._missed(operation.call, gap, here, following)
                found.append((-missed, number, following))
        found.sort(key=lambda entry: entry[:2])
        seen: set[State] = set()
        for _, number, following in found:
            if following not in seen:
                seen.add(following)
                after = here._replace(state=following, used=here.used | 1 << number)
                yield _Move(self.unknown[number], after)

    def _missed(self, call: Any, gap: int, here: _Here, following: State) -> int:
        """How much speaks for this call at this gap."""
        missed = 0 if self.evidence is None else self.evidence.missed(call, gap, here.state)
        if isinstance(call, (Revoke, Expire)):
            end = self._may_end(call.id, here.item)
            missed = missed + end if end and missed else -1
        for number in here.waiting:
            target = self.floating[number]
            if self.quiet[number] and self._allows(following, target):
                missed += 2 * (not self._allows(here.state, target))
        return missed

    def _open(self, here: _Here) -> bool:
        """Is the next revision a gap?"""
        if here.item == len(self.items):
            return True  # nobody saw what follows
        revision, taking = self.revisions[here.item]
        return here.state.revision < revision - taking

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
        last = here.item == len(self.items)
        gap = self._open(here)
        for number in self._available(here):
            call = self.unknown[number].call
            lease = isinstance(call, (Grant, Revoke, Expire)) and call.id in leases
            if last or lease or isinstance(call, Compact):
                following = self.model.step(state, self.unknown[number])
                if isinstance(following, Rejected) or (following.revision != state.revision and not gap):
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
