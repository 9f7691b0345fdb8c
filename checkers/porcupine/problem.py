"""One partition of a history, laid out for the search: small integers instead of operations and states.

Required operations are numbered by the end of their interval. The search keeps a *frontier*: the first number
not yet placed. Everything before it is placed; an operation after it can come next when its interval began no
later than the frontier's ends, because otherwise the frontier returned before it was called. Those operations
form the frontier's *layer*; each has a bit that no other operation of any shared layer has, so what is placed
beyond the frontier is a mask as wide as the greatest concurrency, however long the history is.

Operations of unknown outcome wait in a pool, grouped by equal call and response; a group of m has m bits, and
using one sets its lowest free bit, so that "used no more than" is a subset test.
"""

from __future__ import annotations

import heapq
import itertools
from bisect import insort
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from porcupine.history import Operation
from porcupine.intervals import Intervals, plain
from porcupine.model import ANYTHING, NOTHING, LastWriter, Model, OneOf, Rejected
from porcupine.tighten import tighten


@dataclass(frozen=True, slots=True)
class Reductions:
    """What the search may leave out without changing a verdict. All on; tests turn them off one by one."""

    no_effect: bool = True
    """An enabled operation that never changes any state is placed at once, without a branch."""
    interchangeable: bool = True
    """Of operations with equal call and response only the one whose interval ends first is tried."""
    pool: bool = True
    """Unknown operations are counted per group, tried last, and only where they make a difference."""
    tighten: bool = True
    """Intervals are narrowed first (`porcupine.tighten`)."""


REJECTED = -1
Step = int | tuple[int, ...]


class Interned:
    """States as integers, and each (state, kind of operation) stepped once.

    A state behaves the same wherever it is met, so its row of answers is shared by all configurations. Rows
    are a cache: they are dropped together when they have grown past `limit` answers.
    """

    __slots__ = ("_ids", "_model", "_size", "kinds", "limit", "rows", "states", "steps")

    def __init__(self, model: Model[Any], limit: int = 2_000_000) -> None:
        self._model = model
        self._ids: dict[Hashable, int] = {}
        self._size = 0
        self.limit = limit
        self.kinds: list[Operation] = []
        self.states: list[Any] = []
        self.rows: dict[int, dict[int, Step]] = {}
        self.steps = 0
        self.state(model.init())

    def state(self, value: Any) -> int:
        number = self._ids.get(value)
        if number is None:
            number = self._ids[value] = len(self.states)
            self.states.append(value)
        return number

    def row(self, state: int) -> dict[int, Step]:
        row = self.rows.get(state)
        if row is None:
            if self._size > self.limit:
                self.rows.clear()
                self._size = 0
            row = self.rows[state] = {}
        return row

    def step(self, state: int, kind: int) -> Step:
        """The state that follows, several for `OneOf`, or REJECTED."""
        row = self.row(state)
        known = row.get(kind)
        if known is not None:
            return known
        self.steps += 1
        self._size += 1
        answer = self._model.step(self.states[state], self.kinds[kind])
        following: Step
        if isinstance(answer, Rejected):
            following = REJECTED
        elif isinstance(answer, OneOf):
            numbers = tuple(self.state(value) for value in answer.states)
            following = numbers if len(numbers) > 1 else (numbers[0] if numbers else REJECTED)
        else:
            following = self.state(answer)
            if following != state and self._model.is_read(self.kinds[kind]):
                raise ValueError(f"the model calls {self.kinds[kind]!r} a read, but it changes the state")
        row[kind] = following
        return following

    def rejection(self, state: int, operation: Operation) -> Rejected | None:
        answer = self._model.step(self.states[state], operation)
        return answer if isinstance(answer, Rejected) else None


@dataclass(slots=True)
class PoolGroup:
    """Interchangeable operations of unknown outcome, earliest call first."""

    kind: int
    members: list[int]  # positions in Problem.optional
    calls: list[float]
    shift: int  # lowest bit of the group in the pool's mask
    needs: Hashable  # the token it reads: NOTHING when it is accepted everywhere, whatever was there before


class Problem:
    """See the module's text. `required[i]` and `optional[j]` are the operations by number."""

    def __init__(self, operations: Sequence[Operation], model: Model[Any], reductions: Reductions) -> None:
        self.model = model
        self.reductions = reductions
        candidates = [operation for operation in operations if operation.is_ok or operation.is_unknown]
        self.intervals: Intervals = tighten(candidates, model) if reductions.tighten else plain(candidates)
        low, high, needed = self.intervals.low, self.intervals.high, self.intervals.required
        order = [index for index, required in enumerate(needed) if required]
        order.sort(key=lambda index: (high[index], low[index]))
        self.required = [candidates[index] for index in order]
        self.low = [low[index] for index in order]
        self.high = [high[index] for index in order]
        number = {index: position for position, index in enumerate(order)}
        self.contradiction = tuple(candidates[index] for index in self.intervals.contradiction)
        self.blocked = self._blocked(number)
        self.interned = Interned(model)
        self._kinds: dict[Hashable, int] = {}
        self.kind = [self._kind_of(operation) for operation in self.required]
        self.quiet = [reductions.no_effect and model.is_read(operation) for operation in self.required]
        self.hint = [model.hint(operation) for operation in self.required]
        self.hinted = any(hint is not None for hint in self.hint)
        self.before = self._order_of_effects()
        self.bit = self._bits()
        self._layers: list[tuple[int, ...]] = []
        self._pending: list[int] = []
        self._by_call = sorted(range(len(order)), key=self.low.__getitem__)
        self._arrived = 0
        optional = [
            index
            for index, required in enumerate(needed)
            if not required
            and not self.intervals.dropped[index]
            and not (reductions.pool and model.is_read(candidates[index]))
        ]
        optional.sort(key=low.__getitem__)
        self.optional = [candidates[index] for index in optional]
        self.groups = self._pool([low[index] for index in optional])

    def _blocked(self, number: dict[int, int]) -> int:
        """The first required operation whose interval is empty, or that ends a known contradiction."""
        culprits = [number[index] for index in self.intervals.contradiction[-1:] if index in number]
        culprits += [index for index, start in enumerate(self.low) if start > self.high[index]]
        return min(culprits, default=-1)

    def _kind_of(self, operation: Operation) -> int:
        key = self.model.identity(operation)
        kind = self._kinds.get(key)
        if kind is None:
            kind = self._kinds[key] = len(self.interned.kinds)
            self.interned.kinds.append(operation)
        return kind

    def _order_of_effects(self) -> list[int]:
        """For each operation the one that the system itself says took effect just before it, or -1."""
        before = [-1] * len(self.required)
        if not self.reductions.tighten:
            return before
        places = [(self.model.sequence(operation), index) for index, operation in enumerate(self.required)]
        numbered = sorted((place, index) for place, index in places if place is not None)
        for (place, index), (next_place, next_index) in itertools.pairwise(numbered):
            if place < next_place:
                before[next_index] = index
        return before

    def _bits(self) -> list[int]:
        """Colour the intervals: operations that share a layer get different bits, and bits are used again."""
        arrivals = sorted(range(len(self.required)), key=self.low.__getitem__)
        bits = [0] * len(arrivals)
        free: list[int] = []
        width = 0
        arrived = 0
        for number, end in enumerate(self.high):
            while arrived < len(arrivals) and self.low[arrivals[arrived]] <= end:
                index = arrivals[arrived]
                arrived += 1
                if index < number:
                    continue  # an empty interval: it can never be placed
                if free:
                    bits[index] = heapq.heappop(free)
                else:
                    bits[index] = 1 << width
                    width += 1
            if bits[number]:
                heapq.heappush(free, bits[number])
        self.width = width
        return bits

    def layer(self, frontier: int) -> tuple[int, ...]:
        """The operations that may come next while `frontier` is the first one not placed."""
        layers = self._layers
        while len(layers) <= frontier:
            number = len(layers)
            pending = self._pending
            if pending and pending[0] < number:
                del pending[0]
            end = self.high[number]
            while self._arrived < len(self._by_call) and self.low[self._by_call[self._arrived]] <= end:
                index = self._by_call[self._arrived]
                self._arrived += 1
                if index >= number:
                    insort(pending, index)
            layers.append(tuple(pending))
        return layers[frontier]

    def _pool(self, calls: list[float]) -> list[PoolGroup]:
        groups: dict[Hashable, PoolGroup] = {}
        self._needing: dict[Hashable, list[int]] = {}
        self._always: list[int] = []
        for position, operation in enumerate(self.optional):
            kind = self._kind_of(operation)
            key: Hashable = kind if self.reductions.pool else (kind, position)
            group = groups.get(key)
            if group is None:
                known = isinstance(self.model, LastWriter)
                needs = self.model.reads(operation) if isinstance(self.model, LastWriter) else ANYTHING
                group = groups[key] = PoolGroup(kind, [], [], 0, needs)
                if known and needs is not NOTHING and needs is not ANYTHING:
                    self._needing.setdefault(needs, []).append(len(groups) - 1)
                else:
                    self._always.append(len(groups) - 1)
            group.members.append(position)
            group.calls.append(calls[position])
        shift = 0
        for group in groups.values():
            group.shift = shift
            shift += len(group.members)
        return list(groups.values())

    def groups_at(self, state: int) -> list[int]:
        """The pool groups that may be accepted in a state, by number: earliest first call first."""
        needing: list[int] = []
        if self._needing and isinstance(self.model, LastWriter):
            needing = self._needing.get(self.model.token(self.interned.states[state]), needing)
        return sorted(self._always + needing) if needing else self._always
