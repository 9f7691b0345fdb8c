"""Depth-first search for an order that explains one partition of a history.

After Wing and Gong (1993) with Lowe's memory of configurations (2017); what differs is stated here.

A configuration is (frontier, mask, state, used): see `porcupine.problem` for the first two, a state is an
interned integer, and `used` is the mask of unknown operations that were assumed to have happened. From it:

1. *Close*: place every enabled operation that never changes any state (a read, a refused compare), and move
   the frontier over what is placed. Placing such an operation early never takes a possibility away, so there
   is nothing to branch on. (A write of the value that is there already is another matter: later it may be
   needed.)
2. If the frontier passed the last operation, the order is found.
3. If the closed configuration was met before, give it up. Met before with fewer unknown operations used
   counts too: whatever can follow here can follow there, because unused unknown operations never have to be
   used.
4. Branch on the enabled operations, the one whose interval ends first first; of interchangeable ones only
that.
5. Then on unknown operations, and only where using one makes a difference *now* (`porcupine.pool`); and not
before every other way has been tried that begins at most `Reductions.window` operations in front of the
furthest frontier reached. One that is used where it need not be is missed much later, and whatever lies
between is searched in vain. Where all that does not help, the window is doubled.

When nothing is left to try, no order exists. The furthest frontier that was reached is the stuck point.

*Cuts.* Between two operations of which one returned before the other, and all others, were called, nothing is
pending: whatever follows depends only on the state there (and on the unknown operations used). When more
configurations are remembered than `Reductions.cut_after`, the search stops at the next cut, finishes what is
left to try before it, forgets all that, and goes on from the states that it found there. So memory grows with
the operations between two cuts and not with the history. Where finishing takes more than four times the
configurations that are remembered, the search goes on with the states that it has and keeps the rest for
later.

*Short histories* are first tried as recorded (`porcupine.quick`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from itertools import count
from typing import Any

from porcupine import quick as as_recorded
from porcupine.history import Operation
from porcupine.interned import REJECTED
from porcupine.intervals import NEVER
from porcupine.model import Model
from porcupine.outcome import (
    BYTES_PER_CONFIGURATION,
    STUCK_KEPT,
    Budget,
    Clock,
    DeadEnd,
    Outcome,
    Stats,
    Verdict,
)
from porcupine.problem import ALL, Problem, Reductions
from porcupine.tokens import Tokens

__all__ = ["Budget", "Clock", "DeadEnd", "Outcome", "Stats", "Verdict", "search"]

CHECK_EVERY = 512
STAY = 1 << 62  # the number of a branch that places nothing


Order = tuple[int, "Order"] | None
"""What was placed last, and what before it. Numbers of required operations, -1-j for pool.operations[j]."""


@dataclass(slots=True)
class _Branching:
    frontier: int
    mask: int
    used: int
    order: Order
    state: int
    branches: list[tuple[int, int]]  # (operation, following state); a negative operation -1-g is pool group g
    next: int
    pool_pending: bool  # its pool branches are looked for only when the others have failed
    along: tuple[int, ...] = ()  # writes that are placed together with any plain write (`porcupine.tokens`)


def search(
    operations: Sequence[Operation],
    model: Model[Any],
    reductions: Reductions | None = None,
    budget: Budget | None = None,
    clock: Clock | None = None,
    quick: bool = True,
) -> Outcome:
    """Find an order of the operations that the model accepts, or show that there is none.

    Without `quick` a short history is prepared like a long one: then `Outcome.contradiction` is looked for.
    """
    budget = budget or Budget()
    reductions = reductions or ALL
    if budget.seconds is not None and clock is None:
        raise ValueError("a budget of seconds needs a clock, for example time.monotonic")
    spent = 0
    if quick and reductions.as_recorded and len(operations) <= as_recorded.OPERATIONS:
        most = as_recorded.CONFIGURATIONS
        found = as_recorded.quick(operations, model, min(most, budget.configurations or most))
        if found.verdict is not Verdict.UNKNOWN:
            return found
        spent = found.stats.configurations
        if budget.configurations is not None:
            budget = replace(budget, configurations=max(1, budget.configurations - spent))
    found = _Search(Problem(operations, model, reductions), budget, clock).run()
    found.stats.configurations += spent
    return found


class _Search:
    def __init__(self, problem: Problem, budget: Budget, clock: Clock | None) -> None:
        self.problem = problem
        self.interned = problem.interned
        self.clock = clock
        self.deadline = clock() + budget.seconds if clock is not None and budget.seconds is not None else None
        self.limit = budget.configurations
        self.count = len(problem.required)
        if problem.blocked >= 0:
            # The verdict is known; the search only says how far an order gets.
            enough = 2_000 + 2 * self.count
            self.limit = min(enough, self.limit or enough)
        self.memory = budget.memory_bytes
        self.stack: list[_Branching] = []
        # What has only unknown operations left to try: (the furthest first, the latest first, where).
        self.deferred: list[tuple[int, int, _Branching]] = []
        self.ties = count(0, -1)
        self.window = problem.reductions.window
        self.seen: set[int] = set()
        self.seen_used: dict[int, list[int]] = {}
        self.remembered = self.peak = 0
        self.best = -1
        self.best_order: Order = None
        self.best_ends: list[tuple[int, int]] = []
        self.waiting = NEVER
        self.tokens = Tokens.of(problem)
        self.along: tuple[int, ...] = ()
        after = problem.reductions.cut_after
        self.cut_after = NEVER if after is None else after
        self.stop = 0  # at which frontier to collect states: none (0), at the next cut (-1)
        self.patience = NEVER
        self.ends: list[_Branching] = []

    def run(self) -> Outcome:
        problem, stack, seen, count = self.problem, self.stack, self.seen, self.count
        pooled, blocked = bool(problem.pool.groups), problem.blocked
        frontier = mask = state = used = 0
        order: Order = None
        visited = 0
        check_at = self._next_check(0)
        while True:
            visited += 1
            if visited >= check_at:
                reason = self._exhausted(visited)
                if reason:
                    return self._finish(Verdict.UNKNOWN, visited, None, reason)
                check_at = self._next_check(visited)
            self.along = ()
            frontier, mask, order, branches = self._close(frontier, mask, state, order)
            if frontier == count:
                return self._finish(Verdict.VALID, visited, order)
            if frontier == blocked:
                self._dead_end(frontier, mask, state, order)
                return self._finish(Verdict.INVALID, visited, None)
            key = (mask << 64) | (frontier << 32) | state
            if branches is None:
                key = ~key  # collected, and still to be visited
            if pooled:
                new = self._is_new(key, used)
            else:
                new = key not in seen
                if new:
                    seen.add(key)
                    self.remembered += 1
            if new:
                if frontier >= self.best:
                    self._dead_end(frontier, mask, state, order)
                if branches is None:
                    if self.stop < 0:
                        self.stop, self.patience = frontier, visited + 4 * self.remembered + 64
                    self.ends.append(_Branching(frontier, 0, used, order, state, [(STAY, state)], 0, False))
                else:
                    pool = pooled
                    if pool and branches and self._waits_for_unknown(branches):
                        branches = self._pool_branches(frontier, mask, state, used) + branches
                        pool = False
                    if branches or pool:
                        stack.append(
                            _Branching(frontier, mask, used, order, state, branches, 0, pool, self.along)
                        )
            if self.remembered > self.cut_after and not self.stop:
                self.stop = -1
            elif visited > self.patience:
                self._go_on(2 * self.remembered)
            following = self._next()
            if following is None:
                return self._finish(Verdict.INVALID, visited, None)
            frontier, mask, state, used, order = following

    def _close(
        self, frontier: int, mask: int, state: int, order: Order
    ) -> tuple[int, int, Order, list[tuple[int, int]] | None]:
        """Place what changes nothing, move the frontier, and list the branches that remain; None for them at
        the cut where states are collected.

        Sets `waiting` to the least hint of an operation that the state rejects.
        """
        problem, interned = self.problem, self.interned
        bit, layers, before, hint = problem.bit, problem.layers, problem.before, problem.hint
        interchangeable, count, stop = problem.reductions.interchangeable, self.count, self.stop
        row = interned.rows.get(state)
        if row is None:
            row = interned.row(state)
        while frontier < count:
            branches: list[tuple[int, int]] = []
            kinds: list[int] = []
            self.waiting = NEVER
            again = False
            for index, own_bit, own, quiet in (
                layers[frontier] if frontier < len(layers) else problem.layer(frontier)
            ):
                if mask & own_bit:
                    continue
                if before and (last := before[index]) >= frontier and not mask & bit[last]:
                    continue
                step = row.get(own)
                if step is None:
                    step = interned.step(state, own)
                if step == REJECTED:
                    if hint and (guess := hint[index]) is not None and guess < self.waiting:
                        self.waiting = guess
                elif quiet:
                    mask |= own_bit
                    order = (index, order)
                    again = again or bool(before)
                elif not interchangeable or own not in kinds:
                    kinds.append(own)
                    if isinstance(step, int):
                        branches.append((index, step))
                    else:
                        branches.extend((index, each) for each in step)
            start = frontier
            while frontier < count and mask & bit[frontier]:
                mask ^= bit[frontier]
                frontier += 1
                if stop and (frontier == stop or (stop < 0 and len(problem.layer(frontier - 1)) == 1)):
                    return frontier, mask, order, None if frontier < count else []
            if frontier == start and not again:
                if len(branches) > 1 and hint:
                    branches.sort(key=self._guess)
                if branches and self.tokens is not None:
                    branches, self.along = self.tokens.prune(frontier, mask, state, branches)
                return frontier, mask, order, branches
        return frontier, mask, order, []

    def _guess(self, branch: tuple[int, int]) -> tuple[float, int]:
        hint = self.problem.hint[branch[0]]
        return (-1 if hint is None else hint, branch[0])

    def _waits_for_unknown(self, branches: list[tuple[int, int]]) -> bool:
        """By the hints, a rejected operation comes before all that could come now: something unknown did."""
        if self.waiting == NEVER:
            return False
        first = self.problem.hint[branches[0][0]]
        return first is not None and self.waiting < first

    def _is_new(self, key: int, used: int) -> bool:
        """Remember the configuration; False when it, or one that leaves at least as much open, was met."""
        entries = self.seen_used.get(key)
        if entries is None:
            self.seen_used[key] = [used]
            self.remembered += 1
            return True
        if self.problem.reductions.pool:
            for entry in entries:
                if entry & used == entry:
                    return False
            kept = [entry for entry in entries if entry & used != used]
            self.remembered -= len(entries) - len(kept)
            entries[:] = kept
        elif used in entries:
            return False
        entries.append(used)
        self.remembered += 1
        return True

    def _pool_branches(self, frontier: int, mask: int, state: int, used: int) -> list[tuple[int, int]]:
        problem = self.problem
        if self.tokens is not None and self.tokens.still_needed(state, frontier, mask) >= 0:
            return []
        pending = [kind for _, bit, kind, _ in problem.layer(frontier) if not mask & bit]
        return problem.pool.branches(state, used, pending, problem.high[frontier])

    def _next(self) -> tuple[int, int, int, int, Order] | None:
        """The next untried branch, deepest first; None when all have been tried."""
        stack, deferred, problem = self.stack, self.deferred, self.problem
        while True:
            if deferred and (not stack or stack[-1].frontier < self.best - self.window):
                self._try_unknown(heappop(deferred)[-1])
                continue
            if not stack:
                self._forget()
                if not self.ends:
                    return None
                self._go_on(self.problem.reductions.cut_after or 0)
            top = stack[-1]
            if top.pool_pending and top.frontier < self.best - self.window:
                self.window *= 2
            if top.next == len(top.branches):
                stack.pop()
                if top.pool_pending:
                    heappush(deferred, (-top.frontier, next(self.ties), top))
                continue
            index, state = top.branches[top.next]
            top.next += 1
            mask, used, order = top.mask, top.used, top.order
            if index == STAY:
                pass
            elif index >= 0:
                if top.along and self.tokens is not None and self.tokens.is_plain(index):
                    for other in top.along:
                        if other != index:
                            mask |= problem.bit[other]
                            order = (other, order)
                mask |= problem.bit[index]
                order = (index, order)
            else:
                member, used = problem.pool.use(index, used)
                order = (-1 - member, order)
            if top.next == len(top.branches) and not top.pool_pending:
                stack.pop()
                if not stack and not deferred and not self.stop and self.best <= top.frontier:
                    self._forget()
            return top.frontier, mask, state, used, order

    def _try_unknown(self, where: _Branching) -> None:
        where.pool_pending, where.next = False, 0
        where.branches = self._pool_branches(where.frontier, where.mask, where.state, where.used)
        if where.branches:
            self.stack.append(where)

    def _forget(self) -> None:
        """Nothing earlier is left to try and nothing later was met: nothing remembered can be met again."""
        self.peak = max(self.peak, self.remembered)
        self.remembered = 0
        self.seen.clear()
        self.seen_used.clear()

    def _go_on(self, cut_after: float) -> None:
        """From the states collected at the cut, the first one found first."""
        self.stack.extend(reversed(self.ends))
        self.ends, self.stop, self.patience, self.cut_after = [], 0, NEVER, cut_after

    def _dead_end(self, frontier: int, mask: int, state: int, order: Order) -> None:
        if frontier > self.best:
            self.best, self.best_order = frontier, order
            self.window = self.problem.reductions.window
            self.best_ends.clear()
        if len(self.best_ends) < STUCK_KEPT:
            self.best_ends.append((mask, state))

    def _next_check(self, visited: int) -> int:
        following = visited + CHECK_EVERY
        return following if self.limit is None else min(following, max(self.limit, visited + 1))

    def _bytes(self, remembered: int) -> int:
        problem = self.problem
        wide = (problem.width + len(problem.pool.operations)) // 8
        configurations = remembered * (BYTES_PER_CONFIGURATION + wide)
        return configurations + len(self.interned.states) * BYTES_PER_CONFIGURATION

    def _exhausted(self, visited: int) -> str:
        if self.limit is not None and visited >= self.limit:
            return f"gave up after {visited} configurations"
        if self.memory is not None and self._bytes(self.remembered) >= self.memory:
            return f"gave up: {self.remembered} configurations fill the memory allowed"
        if self.deadline is not None and self.clock is not None and self.clock() >= self.deadline:
            return f"gave up: out of time after {visited} configurations"
        return ""

    def _crowded(self) -> tuple[tuple[Operation, ...], str]:
        """Where most configurations lie: the operations concurrent there, and the same in words."""
        problem = self.problem
        counts = Counter((key >> 32) & 0xFFFFFFFF for key in (self.seen_used or self.seen) if key >= 0)
        if not counts:
            return (), ""
        # Every order of a crowd ends behind it: a layer of one operation holds them all and explains nothing.
        frontier, most = max(
            counts.items(), key=lambda entry: (entry[1] * (len(problem.layer(entry[0])) - 1), entry[1])
        )
        crowd = tuple(problem.required[entry[0]] for entry in problem.layer(frontier))
        optional = problem.optional_before(frontier)
        words = f"; {most} of {sum(counts.values())} where {len(crowd)} operations were concurrent"
        if optional:
            words += f" and {len(optional)} of unknown outcome could have happened"
        return crowd + tuple(optional), words + f", the first {problem.model.describe(crowd[0])}"

    def _placed(self, order: Order) -> list[Operation]:
        required, optional = self.problem.required, self.problem.pool.operations
        placed = []
        while order is not None:
            number, order = order
            placed.append(required[number] if number >= 0 else optional[-1 - number])
        placed.reverse()
        return placed

    def _finish(self, verdict: Verdict, visited: int, order: Order, reason: str = "") -> Outcome:
        problem = self.problem
        peak = max(self.peak, self.remembered)
        stats = Stats(
            visited,
            self.interned.steps,
            peak,
            max(map(len, problem.layers), default=0),
            self.count + len(problem.pool.operations),
            self._bytes(peak),
        )
        if verdict is Verdict.VALID:
            return Outcome(verdict, self._placed(order), stats)
        crowded: tuple[Operation, ...] = ()
        if problem.blocked >= 0:
            verdict, reason = Verdict.INVALID, ""
        elif verdict is Verdict.UNKNOWN:
            crowded, words = self._crowded()
            reason += words
        dead_ends = []
        for mask, state in self.best_ends:
            pending = tuple(
                problem.required[index] for index, bit, _, _ in problem.layer(self.best) if not mask & bit
            )
            dead_ends.append(DeadEnd(self.interned.states[state], pending))
        frontier = problem.required[self.best] if 0 <= self.best < self.count else None
        return Outcome(
            verdict,
            self._placed(self.best_order),
            stats,
            dead_ends,
            frontier,
            reason,
            problem.contradiction,
            crowded,
        )
