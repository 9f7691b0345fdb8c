"""A short history, tried as it was recorded: most need less than it costs to prepare the search.

The rules are those of `porcupine.search` that need no preparation (1 to 3 and 5). Required operations are
numbered by their calls; a configuration is (what is placed, state, unknown operations used). What may come
next is found in one pass over the operations that are not placed, in the order of their calls: it ends at the
first that was called after another of them had returned. On the way every operation that changes nothing is
placed.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from porcupine.history import Operation
from porcupine.history import Outcome as Ended
from porcupine.interned import REJECTED, Interned
from porcupine.intervals import NEVER
from porcupine.model import Model
from porcupine.outcome import BYTES_PER_CONFIGURATION, STUCK_KEPT, DeadEnd, Outcome, Stats, Verdict
from porcupine.pool import Pool

OPERATIONS = 400
CONFIGURATIONS = 256
QUIET = REJECTED - 1  # a step that leaves every state as it is

_BITS = [1 << position for position in range(OPERATIONS + 1)]
_BY_CALL, _BY_RETURN = attrgetter("call_time_ns"), attrgetter("return_time_ns")
_OK, _UNKNOWN = Ended.OK, Ended.UNKNOWN
_BEYOND = float("nan")  # the call of what comes after the last operation: neither before nor after anything

Order = tuple[int, "Order"] | None
"""What was placed last, and what before it. Numbers of required operations, -1-j for pool.operations[j]."""
Branch = tuple[float, int, int]
"""(the greatest is tried last, operation or pool group, following state); they are taken from the end."""
Frame = tuple[int, int, int, Order, int, list[int] | None, float, list[Branch]]
"""(first not placed, placed, used, order, state, the operations that may come next, when the first of them
returned, branches not tried). Without those operations its unknown ones are among the branches already."""


def quick(operations: Sequence[Operation], model: Model[Any], most: int = CONFIGURATIONS) -> Outcome:
    """An order, or that there is none; unknown when that takes more than `most` configurations.

    For up to `OPERATIONS` operations.
    """
    return _Quick(operations, model).run(most)


class _Quick:
    def __init__(self, operations: Sequence[Operation], model: Model[Any]) -> None:
        ordered = sorted(operations, key=_BY_CALL)
        self.model = model
        self.required = [operation for operation in ordered if operation.outcome is _OK]
        self.interned = Interned(model)
        self.interned.kinds += self.required  # each its own kind: most are met only once
        unknown = [operation for operation in ordered if operation.outcome is _UNKNOWN]
        self.pool = Pool(unknown, map(_BY_CALL, unknown), model, self.interned)
        self.remembered = self.width = 0
        self.best_ends: list[tuple[int, list[int]]] = []

    def run(self, most: int) -> Outcome:
        required, interned, model, pool, bits = self.required, self.interned, self.model, self.pool, _BITS
        calls: list[float] = list(map(_BY_CALL, required))
        calls.append(_BEYOND)
        ends: list[float] = list(map(_BY_RETURN, required))
        rank = self._ranks(ends)
        rows, pooled = interned.rows, bool(pool.groups)
        stack: list[Frame] = []
        seen: dict[tuple[int, int], tuple[int, ...]] = {}
        base = placed = used = state = visited = 0
        order: Order = None
        best, best_order, best_ends = -NEVER, order, self.best_ends
        while True:
            visited += 1
            while placed & bits[base]:
                base += 1
            row = rows.get(state)
            if row is None:
                row = interned.row(state)
            first, position = NEVER, base
            branches: list[Branch] = []
            pending: list[int] = []
            while calls[position] <= first:
                if not placed & bits[position]:
                    step = row.get(position)
                    if step is None:
                        step = interned.ask(row, state, position)
                        if step != REJECTED and model.is_read(required[position]):
                            if step != state:
                                raise interned.no_read(position)
                            step = row[position] = QUIET
                    if step == QUIET:
                        placed |= bits[position]
                        order = (position, order)
                        position += 1
                        continue
                    pending.append(position)
                    if ends[position] < first:
                        first = ends[position]
                    if step != REJECTED:
                        if isinstance(step, int):
                            branches.append((rank[position], position, step))
                        else:
                            branches += [(rank[position], position, each) for each in step]
                position += 1
            if not pending:
                return self._finish(Verdict.VALID, visited, order)
            if first >= best:
                if first > best:
                    best, best_order = first, order
                    best_ends.clear()
                if len(best_ends) < STUCK_KEPT:
                    best_ends.append((state, pending))
            if visited >= most:
                return self._finish(Verdict.UNKNOWN, visited, best_order)
            if len(pending) == 1 == len(branches) and pool.ignored(pending[0]):
                _, number, state = branches[0]  # there is nothing else to try
                placed |= bits[number]
                order = (number, order)
                continue
            # Given up when the same was met before, or what used less.
            key = placed, state
            known = seen.get(key, ())
            for entry in known:
                if entry & used == entry:
                    break
            else:
                seen[key] = (*known, used)
                self.remembered += 1
                if len(pending) > self.width:
                    self.width = len(pending)
                if len(branches) > 1:
                    branches.sort(reverse=True)
                if branches or pooled:
                    left = pending if pooled else None
                    stack.append((base, placed, used, order, state, left, first, branches))
            while True:
                if not stack:
                    return self._finish(Verdict.INVALID, visited, best_order)
                base, placed, used, order, state, left, first, branches = stack[-1]
                if branches:
                    break
                stack.pop()
                if left is not None:
                    worth = pool.branches(state, used, left, first)
                    if worth:
                        branches = [(0, branch, after) for branch, after in reversed(worth)]
                        stack.append((base, placed, used, order, state, None, first, branches))
                        break
            _, number, state = branches.pop()
            if number < 0:
                number, used = pool.use(number, used)
                number = -1 - number
            else:
                placed |= bits[number]
            order = (number, order)

    def _ranks(self, ends: list[float]) -> list[float]:
        """What to try first: what the model guesses to come first, otherwise what returned first."""
        model = type(self.model)
        if model.hint is Model.hint and model.sequence is Model.sequence:
            return ends
        hints = [self.model.hint(operation) for operation in self.required]
        return [-1 if hint is None else hint for hint in hints]

    def _finish(self, verdict: Verdict, visited: int, order: Order) -> Outcome:
        required, unknown, states = self.required, self.pool.operations, self.interned.states
        size = (self.remembered + len(states)) * BYTES_PER_CONFIGURATION
        count = len(required) + len(unknown)
        stats = Stats(visited, self.interned.steps, self.remembered, self.width, count, size)
        placed = []
        while order is not None:
            number, order = order
            placed.append(required[number] if number >= 0 else unknown[-1 - number])
        placed.reverse()
        found = Outcome(verdict, placed, stats)
        if verdict is Verdict.INVALID:
            by_return = _BY_RETURN
            for state, pending in self.best_ends:
                operations = sorted((required[position] for position in pending), key=by_return)
                found.dead_ends.append(DeadEnd(states[state], tuple(operations)))
            found.frontier = found.dead_ends[0].pending[0]
        return found
