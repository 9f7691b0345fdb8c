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

import itertools
from bisect import insort
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from porcupine.history import Operation, Outcome
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
    tokens: bool = True
    """What no read can tell apart, or some read rules out, is not tried (`porcupine.tokens`)."""
    cut_after: int | None = 1 << 16
    """With more configurations than this, those before a moment with nothing pending are finished and
    forgotten; None: never."""


REJECTED = -1
Step = int | tuple[int, ...]
Entry = tuple[int, int, int, bool]
"""Of a layer: the operation's number, its bit, its kind, and whether it never changes any state."""

_BY_CALL = attrgetter("call_time_ns")
_BY_RETURN = attrgetter("return_time_ns")


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
    """See the module's text. `required[i]` and `optional[j]` are the operations by number.

    `tightened` False lays the operations out as recorded: less is known, but nothing is prepared.
    """

    def __init__(
        self,
        operations: Sequence[Operation],
        model: Model[Any],
        reductions: Reductions,
        tightened: bool = True,
    ) -> None:
        self.model = model
        self.reductions = reductions
        self.tightened = tightened and reductions.tighten
        self.contradiction: tuple[Operation, ...] = ()
        if self.tightened:
            optional, calls = self._narrowed(operations)
        else:
            optional, calls = self._as_recorded(operations)
        self.blocked = self._blocked() if self.tightened else -1
        self.interned = Interned(model)
        self._kinds: dict[Hashable, int] = {}
        self._plain_identity = type(model).identity is Model.identity and not model.uses_client
        self._reads: list[bool] = []  # by kind: it never changes any state
        self.hinted = type(model).hint is not Model.hint or type(model).sequence is not Model.sequence
        self.hint = [model.hint(operation) for operation in self.required] if self.hinted else []
        self.before = self._order_of_effects() if self.hinted and self.tightened else []
        self.bit = [0] * len(self.required)
        self.width = 0
        self.layers: list[tuple[Entry, ...]] = []
        self._free: list[int] = []
        self._pending: list[Entry] = []
        self._by_call = sorted(range(len(self.low)), key=self.low.__getitem__)
        self._arrived = 0
        self.optional: list[Operation] = []
        self._groups_at: dict[int, list[int]] = {}
        self.groups = self._pool(optional, calls)

    def _as_recorded(self, operations: Sequence[Operation]) -> tuple[list[Operation], list[float]]:
        ordered = sorted(operations, key=_BY_CALL)
        ok, unknown = Outcome.OK, Outcome.UNKNOWN
        self.required = [operation for operation in ordered if operation.outcome is ok]
        self.required.sort(key=_BY_RETURN)
        self.low: list[float] = [operation.call_time_ns for operation in self.required]
        self.high: list[float] = list(map(_BY_RETURN, self.required))
        optional = [operation for operation in ordered if operation.outcome is unknown]
        return optional, [operation.call_time_ns for operation in optional]

    def _narrowed(self, operations: Sequence[Operation]) -> tuple[list[Operation], list[float]]:
        candidates = [operation for operation in operations if operation.outcome is not Outcome.FAILED]
        intervals = tighten(candidates, self.model)
        low, high, needed, dropped = intervals.low, intervals.high, intervals.required, intervals.dropped
        order = [index for index, required in enumerate(needed) if required]
        order.sort(key=lambda index: (high[index], low[index]))
        self.required = [candidates[index] for index in order]
        self.low = [low[index] for index in order]
        self.high = [high[index] for index in order]
        self.contradiction = tuple(candidates[index] for index in intervals.contradiction)
        optional = [index for index, required in enumerate(needed) if not required and not dropped[index]]
        optional.sort(key=low.__getitem__)
        return [candidates[index] for index in optional], [low[index] for index in optional]

    def _blocked(self) -> int:
        """The first required operation whose interval is empty, or that ends a known contradiction."""
        culprits = [
            index for index, (low, high) in enumerate(zip(self.low, self.high, strict=True)) if low > high
        ]
        if self.contradiction:
            last = self.contradiction[-1]
            culprits += [index for index, operation in enumerate(self.required) if operation is last]
        return min(culprits, default=-1)

    def _kind_of(self, operation: Operation) -> int:
        key: Hashable
        if self._plain_identity:
            key = (operation.call, operation.response, operation.outcome is Outcome.OK)
        else:
            key = self.model.identity(operation)
        kind = self._kinds.get(key)
        if kind is None:
            kind = self._kinds[key] = len(self._reads)
            self.interned.kinds.append(operation)
            self._reads.append(self.model.is_read(operation))
        return kind

    def _order_of_effects(self) -> list[int]:
        """For each operation the one that the system itself says took effect just before it, or -1."""
        if not self.reductions.tighten:
            return []
        places = [(self.model.sequence(operation), index) for index, operation in enumerate(self.required)]
        numbered = sorted((place, index) for place, index in places if place is not None)
        if not numbered:
            return []
        before = [-1] * len(self.required)
        for (place, index), (next_place, next_index) in itertools.pairwise(numbered):
            if place < next_place:
                before[next_index] = index
        return before

    def layer(self, frontier: int) -> tuple[Entry, ...]:
        """What may come next while `frontier` is the first one not placed, lowest number first.

        Layers are made when the search gets there. Bits are given out on arrival and used again: those that
        share a layer differ.
        """
        layers, pending, free = self.layers, self._pending, self._free
        low, by_call, arrived, no_effect = self.low, self._by_call, self._arrived, self.reductions.no_effect
        count = len(by_call)
        for number in range(len(layers), frontier + 1):
            if pending and pending[0][0] < number:
                free.append(pending[0][1])
                del pending[0]
            end = self.high[number]
            while arrived < count and low[by_call[arrived]] <= end:
                index = by_call[arrived]
                arrived += 1
                if index < number:
                    continue  # an empty interval: it can never be placed
                if free:
                    bit = free.pop()
                else:
                    bit = 1 << self.width
                    self.width += 1
                self.bit[index] = bit
                kind = self._kind_of(self.required[index])
                insort(pending, (index, bit, kind, no_effect and self._reads[kind]))
            layers.append(tuple(pending))
        self._arrived = arrived
        return layers[frontier]

    def optional_before(self, frontier: int) -> list[Operation]:
        """The operations of unknown outcome that had been called by then."""
        end = self.high[frontier]
        return [operation for operation in self.optional if operation.call_time_ns <= end]

    def _pool(self, optional: Sequence[Operation], calls: Sequence[float]) -> list[PoolGroup]:
        groups: dict[Hashable, PoolGroup] = {}
        self._needing: dict[Hashable, list[int]] = {}
        self._always: list[int] = []
        pool, model, kind_of = self.reductions.pool, self.model, self._kind_of
        for operation, call in zip(optional, calls, strict=True):
            kind = kind_of(operation)
            if pool and self._reads[kind]:
                continue  # it can change nothing, and nobody waits for it
            position = len(self.optional)
            self.optional.append(operation)
            key: Hashable = kind if pool else (kind, position)
            group = groups.get(key)
            if group is None:
                needs = model.reads(operation) if isinstance(model, LastWriter) else ANYTHING
                group = groups[key] = PoolGroup(kind, [], [], 0, needs)
                if needs is not NOTHING and needs is not ANYTHING:
                    self._needing.setdefault(needs, []).append(len(groups) - 1)
                else:
                    self._always.append(len(groups) - 1)
            group.members.append(position)
            group.calls.append(call)
        shift = 0
        for group in groups.values():
            group.shift = shift
            shift += len(group.members)
        return list(groups.values())

    def groups_at(self, state: int) -> list[int]:
        """The pool groups that may be accepted in a state, by number: earliest first call first."""
        known = self._groups_at.get(state)
        if known is None:
            needing: list[int] = []
            if self._needing and isinstance(self.model, LastWriter):
                needing = self._needing.get(self.model.token(self.interned.states[state]), needing)
            known = self._groups_at[state] = sorted(self._always + needing) if needing else self._always
        return known
