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
5. Then on unknown operations, and only where using one makes a difference *now*: where some operation that
   may come next is accepted only after it, or leads somewhere else than without it, or than before it. Take a
   shortest order with its unknown operations as late as possible: an unknown operation that the next one
   ignores could be left out or moved behind it.

When nothing is left to try, no order exists. The furthest frontier that was reached is the stuck point.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from porcupine.history import Operation
from porcupine.intervals import NEVER
from porcupine.model import NOTHING, Model
from porcupine.problem import REJECTED, PoolGroup, Problem, Reductions

Clock = Callable[[], float]

STUCK_KEPT = 8
CHECK_EVERY = 512
BYTES_PER_CONFIGURATION = 120  # measured: an int key, its set entry, and the branches it leaves on the stack


class Verdict(StrEnum):
    VALID = "valid"
    INVALID = "invalid"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Budget:
    """Where to give up and answer unknown. `seconds` needs a clock; None means no bound."""

    configurations: int | None = None
    seconds: float | None = None
    memory_bytes: int | None = 2 << 30


@dataclass(slots=True)
class Stats:
    """What the search cost. `configurations` were visited, `steps` are calls of the model's step."""

    configurations: int = 0
    steps: int = 0
    peak_configurations: int = 0
    width: int = 0
    operations: int = 0

    def add(self, other: Stats) -> None:
        self.configurations += other.configurations
        self.steps += other.steps
        self.peak_configurations = max(self.peak_configurations, other.peak_configurations)
        self.width = max(self.width, other.width)
        self.operations += other.operations


@dataclass(slots=True)
class DeadEnd:
    """A configuration at the furthest frontier: the state, and the operations that could have come next."""

    state: Any
    pending: tuple[Operation, ...]


@dataclass(slots=True)
class Outcome:
    """What the search found. `order` is a whole order (valid) or the longest prefix that was reached."""

    verdict: Verdict
    order: list[Operation]
    stats: Stats
    dead_ends: list[DeadEnd] = field(default_factory=list)
    frontier: Operation | None = None
    """The operation that could not be placed before it returned."""
    reason: str = ""
    contradiction: tuple[Operation, ...] = ()


@dataclass(slots=True)
class _Branching:
    frontier: int
    mask: int
    used: int
    length: int  # of the order when the configuration was reached
    state: int
    branches: list[tuple[int, int]]  # (operation, following state); a negative operation -1-g is pool group g
    next: int
    pool_pending: bool  # its pool branches are looked for only when the others have failed


def search(
    operations: Sequence[Operation],
    model: Model[Any],
    reductions: Reductions | None = None,
    budget: Budget | None = None,
    clock: Clock | None = None,
) -> Outcome:
    """Find an order of the operations that the model accepts, or show that there is none."""
    budget = budget or Budget()
    if budget.seconds is not None and clock is None:
        raise ValueError("a budget of seconds needs a clock, for example time.monotonic")
    problem = Problem(operations, model, reductions or Reductions())
    return _Search(problem, budget, clock).run()


class _Search:
    def __init__(self, problem: Problem, budget: Budget, clock: Clock | None) -> None:
        self.problem = problem
        self.interned = problem.interned
        self.clock = clock
        self.deadline = clock() + budget.seconds if clock is not None and budget.seconds is not None else None
        self.limit = budget.configurations
        if problem.blocked >= 0:
            # The verdict is known; the search only says how far an order gets.
            enough = 10_000 + 4 * len(problem.required)
            self.limit = min(enough, self.limit or enough)
        self.memory = None if budget.memory_bytes is None else budget.memory_bytes // BYTES_PER_CONFIGURATION
        self.count = len(problem.required)
        self.stack: list[_Branching] = []
        self.order: list[int] = []  # numbers of required operations, -1-j for optional[j]
        self.seen: dict[int, set[int]] = {}
        self.seen_used: dict[int, dict[int, list[int]]] = {}
        self.remembered = 0
        self.stats = Stats(width=problem.width, operations=len(problem.required) + len(problem.optional))
        self.best = -1
        self.best_length = 0
        self.best_tail: list[int] = []
        self.best_ends: list[tuple[int, int]] = []
        self.waiting = NEVER
        self.predecessors = {index for index in problem.before if index >= 0}

    def run(self) -> Outcome:
        problem = self.problem
        frontier = mask = state = used = 0
        visited = 0
        while True:
            visited += 1
            if visited % CHECK_EVERY == 0:
                reason = self._exhausted(visited)
                if reason:
                    return self._finish(Verdict.UNKNOWN, visited, reason)
            frontier, mask, branches = self._close(frontier, mask, state)
            if frontier == self.count:
                return self._finish(Verdict.VALID, visited)
            if frontier == problem.blocked:
                self._dead_end(frontier, mask, state)
                return self._finish(Verdict.INVALID, visited)
            if self._is_new(frontier, mask, state, used):
                if frontier >= self.best:
                    self._dead_end(frontier, mask, state)
                pool = bool(problem.groups)
                if pool and branches and self._waits_for_unknown(branches):
                    branches = self._pool_branches(frontier, mask, state, used) + branches
                    pool = False
                if branches or pool:
                    here = _Branching(frontier, mask, used, len(self.order), state, branches, 0, pool)
                    self.stack.append(here)
            following = self._next()
            if following is None:
                return self._finish(Verdict.INVALID, visited)
            frontier, mask, state, used = following

    def _close(self, frontier: int, mask: int, state: int) -> tuple[int, int, list[tuple[int, int]]]:
        """Place what changes nothing, move the frontier, and list the branches that remain.

        Sets `waiting` to the least hint of an operation that the state rejects.
        """
        problem, interned, order = self.problem, self.interned, self.order
        bit, kind, before, quiet = problem.bit, problem.kind, problem.before, problem.quiet
        interchangeable = problem.reductions.interchangeable
        count, predecessors, hint = self.count, self.predecessors, problem.hint
        row = interned.row(state)
        while frontier < count:
            branches: list[tuple[int, int]] = []
            kinds: set[int] = set()
            self.waiting = NEVER
            again = False
            for index in problem.layer(frontier):
                if mask & bit[index]:
                    continue
                last = before[index]
                if last >= frontier and not mask & bit[last]:
                    continue
                own = kind[index]
                step = row.get(own)
                if step is None:
                    step = interned.step(state, own)
                if step == REJECTED:
                    guess = hint[index]
                    if guess is not None and guess < self.waiting:
                        self.waiting = guess
                    continue
                if quiet[index]:
                    mask |= bit[index]
                    order.append(index)
                    again = again or index in predecessors
                elif not interchangeable or own not in kinds:
                    kinds.add(own)
                    if isinstance(step, int):
                        branches.append((index, step))
                    else:
                        branches.extend((index, each) for each in step)
            start = frontier
            while frontier < count and mask & bit[frontier]:
                mask ^= bit[frontier]
                frontier += 1
            if frontier == start and not again:
                if problem.hinted and len(branches) > 1:
                    branches.sort(key=self._guess)
                return frontier, mask, branches
        return frontier, mask, []

    def _guess(self, branch: tuple[int, int]) -> tuple[float, int]:
        hint = self.problem.hint[branch[0]]
        return (-1 if hint is None else hint, branch[0])

    def _waits_for_unknown(self, branches: list[tuple[int, int]]) -> bool:
        """By the hints, a rejected operation comes before all that could come now: something unknown did."""
        if self.waiting == NEVER:
            return False
        first = self.problem.hint[branches[0][0]]
        return first is not None and self.waiting < first

    def _is_new(self, frontier: int, mask: int, state: int, used: int) -> bool:
        """Remember the configuration; False when it, or one that leaves at least as much open, was met."""
        key = (state << self.problem.width) | mask
        if not self.problem.groups:
            seen = self.seen.setdefault(frontier, set())
            if key in seen:
                return False
            seen.add(key)
            self.remembered += 1
            return True
        entries = self.seen_used.setdefault(frontier, {}).setdefault(key, [])
        if self.problem.reductions.pool:
            if any(entry & ~used == 0 for entry in entries):
                return False
            kept = [entry for entry in entries if used & ~entry != 0]
            self.remembered -= len(entries) - len(kept)
            entries[:] = kept
        elif used in entries:
            return False
        entries.append(used)
        self.remembered += 1
        return True

    def _pool_branches(self, frontier: int, mask: int, state: int, used: int) -> list[tuple[int, int]]:
        problem, interned = self.problem, self.interned
        end = problem.high[frontier]
        branches: list[tuple[int, int]] = []
        for number in problem.groups_at(state):
            group = problem.groups[number]
            if group.calls[0] > end:
                break
            member = ((used >> group.shift) & ((1 << len(group.members)) - 1)).bit_length()
            if member == len(group.members) or group.calls[member] > end:
                continue
            step = interned.step(state, group.kind)
            if step in (REJECTED, state):
                continue
            for following in (step,) if isinstance(step, int) else step:
                if not problem.reductions.pool or self._matters(frontier, mask, state, group, following):
                    branches.append((-1 - number, following))
        return branches

    def _matters(self, frontier: int, mask: int, state: int, group: PoolGroup, after: int) -> bool:
        """Rule 5: is there an operation that may come next and that tells `state` from `after`?"""
        problem, interned = self.problem, self.interned
        for index in problem.layer(frontier):
            if mask & problem.bit[index]:
                continue
            with_it = interned.step(after, problem.kind[index])
            if with_it == REJECTED:
                continue
            without = interned.step(state, problem.kind[index])
            if with_it == without:
                continue
            if not isinstance(without, int) or without == REJECTED:
                return True
            if interned.step(without, group.kind) != with_it:
                return True
        end = problem.high[frontier]
        for number in problem.groups_at(after):
            other = problem.groups[number]
            if other.calls[0] > end:
                break
            if other.needs is NOTHING:
                continue
            with_it = interned.step(after, other.kind)
            if with_it != REJECTED and with_it != interned.step(state, other.kind):
                return True
        return False

    def _next(self) -> tuple[int, int, int, int] | None:
        """The next untried branch, deepest first; None when all have been tried."""
        stack, problem = self.stack, self.problem
        while stack:
            top = stack[-1]
            if top.next == len(top.branches):
                if top.pool_pending:
                    top.pool_pending = False
                    top.branches = self._pool_branches(top.frontier, top.mask, top.state, top.used)
                    top.next = 0
                if top.next == len(top.branches):
                    self._pop()
                    continue
            index, state = top.branches[top.next]
            top.next += 1
            self._cut(top.length)
            mask, used = top.mask, top.used
            if index >= 0:
                mask |= problem.bit[index]
                self.order.append(index)
            else:
                group = problem.groups[-1 - index]
                size = len(group.members)
                member = ((used >> group.shift) & ((1 << size) - 1)).bit_length()
                used |= 1 << (group.shift + member)
                self.order.append(-1 - group.members[member])
            if top.next == len(top.branches) and not top.pool_pending:
                self._pop()
            return top.frontier, mask, state, used
        return None

    def _pop(self) -> None:
        self.stack.pop()
        if self.stack:
            return
        # Nothing earlier is left to try, so no earlier configuration can be met again.
        self.stats.peak_configurations = max(self.stats.peak_configurations, self.remembered)
        self.remembered = 0
        self.seen.clear()
        self.seen_used.clear()

    def _cut(self, length: int) -> None:
        """Shorten the order; keep what the longest prefix would lose."""
        if length < self.best_length:
            self.best_tail[:0] = self.order[length : self.best_length]
            self.best_length = length
        del self.order[length:]

    def _dead_end(self, frontier: int, mask: int, state: int) -> None:
        if frontier > self.best:
            self.best = frontier
            self.best_ends.clear()
            self.best_length, self.best_tail = len(self.order), []
        if len(self.best_ends) < STUCK_KEPT:
            self.best_ends.append((mask, state))

    def _exhausted(self, visited: int) -> str:
        if self.limit is not None and visited >= self.limit:
            return f"gave up after {visited} configurations"
        if self.memory is not None and self.remembered + len(self.interned.states) >= self.memory:
            return f"gave up: {self.remembered} configurations fill the memory allowed"
        if self.deadline is not None and self.clock is not None and self.clock() >= self.deadline:
            return f"gave up: out of time after {visited} configurations"
        return ""

    def _operation(self, number: int) -> Operation:
        return self.problem.required[number] if number >= 0 else self.problem.optional[-1 - number]

    def _finish(self, verdict: Verdict, visited: int, reason: str = "") -> Outcome:
        problem, stats = self.problem, self.stats
        stats.configurations = visited
        stats.steps = self.interned.steps
        stats.peak_configurations = max(stats.peak_configurations, self.remembered)
        if verdict is Verdict.VALID:
            return Outcome(verdict, [self._operation(number) for number in self.order], stats)
        if problem.blocked >= 0:
            verdict, reason = Verdict.INVALID, ""
        prefix = self.order[: self.best_length] + self.best_tail
        dead_ends = []
        for mask, state in self.best_ends:
            pending = tuple(
                problem.required[index] for index in problem.layer(self.best) if not mask & problem.bit[index]
            )
            dead_ends.append(DeadEnd(self.interned.states[state], pending))
        frontier = problem.required[self.best] if 0 <= self.best < self.count else None
        return Outcome(
            verdict,
            [self._operation(number) for number in prefix],
            stats,
            dead_ends,
            frontier,
            reason,
            problem.contradiction,
        )
