"""One partition of a history, laid out for the search: small integers instead of operations and states.

Required operations are numbered by the end of their interval. The search keeps a *frontier*: the first number
not yet placed. Everything before it is placed; an operation after it can come next when its interval began no
later than the frontier's ends, because otherwise the frontier returned before it was called. Those operations
form the frontier's *layer*; each has a bit that no other operation of any shared layer has, so what is placed
beyond the frontier is a mask as wide as the greatest concurrency, however long the history is.
"""

from __future__ import annotations

import itertools
from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from porcupine.history import Operation, Outcome
from porcupine.interned import Interned
from porcupine.model import Model
from porcupine.pool import Pool
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

    window: int = 32
    """Before an unknown operation is used, other ways are tried that begin so many required operations before
    the furthest frontier; at least 1."""

    @property
    def as_recorded(self) -> bool:
        """May `porcupine.quick` try a short history? It always applies some of these."""
        return self.no_effect and self.pool and self.tighten


ALL = Reductions()

Entry = tuple[int, int, int, bool]
"""Of a layer: the operation's number, its bit, its kind, and whether it never changes any state."""

_BY_CALL = attrgetter("call_time_ns")
_BY_RETURN = attrgetter("return_time_ns")


class Problem:
    """See the module's text. `required[i]` and `pool.operations[j]` are the operations by number."""

    def __init__(self, operations: Sequence[Operation], model: Model[Any], reductions: Reductions) -> None:
        self.model = model
        self.reductions = reductions
        self.contradiction: tuple[Operation, ...] = ()
        if reductions.tighten:
            optional, calls = self._narrowed(operations)
        else:
            optional, calls = self._as_recorded(operations)
        self.blocked = self._blocked() if reductions.tighten else -1
        self.interned = Interned(model)
        self._reads: dict[int, bool] = {}  # by kind: it never changes any state
        self.hinted = type(model).hint is not Model.hint or type(model).sequence is not Model.sequence
        self.hint = [model.hint(operation) for operation in self.required] if self.hinted else []
        self.before = self._order_of_effects() if self.hinted and reductions.tighten else []
        self.bit = [0] * len(self.required)
        self.width = 0
        self.layers: list[tuple[Entry, ...]] = []
        self._free: list[int] = []
        self._pending: list[Entry] = []
        self._by_call = sorted(range(len(self.low)), key=self.low.__getitem__)
        self._arrived = 0
        self.pool = Pool(optional, calls, model, self.interned, reductions.pool)

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

    def _order_of_effects(self) -> list[int]:
        """For each operation the one that the system itself says took effect just before it, or -1."""
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
                kind = self.interned.kind_of(self.required[index])
                quiet = self._reads.get(kind)
                if quiet is None:
                    quiet = self._reads[kind] = no_effect and self.model.is_read(self.required[index])
                insort(pending, (index, bit, kind, quiet))
            layers.append(tuple(pending))
        self._arrived = arrived
        return layers[frontier]

    def optional_before(self, frontier: int) -> list[Operation]:
        """The operations of unknown outcome that had been called by then."""
        end = self.high[frontier]
        return [operation for operation in self.pool.operations if operation.call_time_ns <= end]
