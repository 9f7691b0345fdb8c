"""What need not be tried where the state is what the last write left (`LastWriter`).

1. *Nothing leaves a token behind that is still needed.* Where a required operation reads the token of the
   current state and no operation that is left can write it again, only the readers of that token may come
   next; a reader that overwrites it only as the last of them.
2. *A write that nobody reads goes along.* A plain write, of a token that no operation still has to read, can
   be placed just before any other plain write: nobody sees it there. So all such writes that may come next
   are placed together, and only one of them is tried as the last. Operations whose answer depends on the
   state in a way that no token names (a refused compare-and-swap) could tell: the rule is left aside where
   one of them can come before the write has certainly been overwritten.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from porcupine.intervals import NEVER
from porcupine.model import ANYTHING, NOTHING, LastWriter

if TYPE_CHECKING:
    from porcupine.problem import Problem

Branch = tuple[int, int]


class Tokens:
    __slots__ = (
        "_bit",
        "_first_vague",
        "_high",
        "_low",
        "_model",
        "_needed",
        "_overwritten",
        "_pooled",
        "_readers",
        "_states",
        "_token_of",
        "_vague",
        "_writers",
        "reads",
        "writes",
    )

    @staticmethod
    def of(problem: Problem) -> Tokens | None:
        """None where the rules cannot help: another kind of model, or not asked for."""
        if (
            not problem.reductions.tokens
            or not problem.reductions.tighten
            or not isinstance(problem.model, LastWriter)
        ):
            return None
        return Tokens(problem, problem.model)

    def __init__(self, problem: Problem, model: LastWriter[Any]) -> None:
        self._model = model
        self._bit = problem.bit
        self._states = problem.interned.states
        self._token_of: dict[int, Hashable] = {}
        self.reads = [model.reads(operation) for operation in problem.required]
        self.writes = [model.writes(operation) for operation in problem.required]
        self._readers: dict[Hashable, list[int]] = {}
        self._writers: dict[Hashable, list[int]] = {}
        for index, token in enumerate(self.reads):
            if token is not NOTHING:
                self._readers.setdefault(token, []).append(index)
        for index, token in enumerate(self.writes):
            if token is not NOTHING:
                self._writers.setdefault(token, []).append(index)
        self._pooled = {model.writes(operation) for operation in problem.pool.operations}
        self._needed = {model.reads(operation) for operation in problem.pool.operations}
        # Rule 2: when each write has certainly been overwritten, and which vague operations are left by then.
        self._vague = self._readers.get(ANYTHING, [])
        low, high = self._low, self._high = problem.low, problem.high
        self._first_vague = [NEVER] * (len(self._vague) + 1)
        for position in range(len(self._vague) - 1, -1, -1):
            first = low[self._vague[position]]
            self._first_vague[position] = min(first, self._first_vague[position + 1])
        self._overwritten: list[float] = []
        if self._vague and ANYTHING not in self._needed:
            self._overwritten = self._when_overwritten(low, high)

    def _when_overwritten(self, low: list[float], high: list[float]) -> list[float]:
        certain = sorted(
            (low[index], high[index]) for index, token in enumerate(self.writes) if token is not NOTHING
        )
        calls = [start for start, _ in certain]
        ends = [end for _, end in certain] + [NEVER]
        for position in range(len(certain) - 1, -1, -1):
            ends[position] = min(ends[position], ends[position + 1])
        return [ends[bisect_right(calls, end)] for end in high]

    def prune(
        self, frontier: int, mask: int, state: int, branches: list[Branch]
    ) -> tuple[list[Branch], tuple[int, ...]]:
        """The branches worth trying, and the writes that go along with a plain one."""
        token = self._token(state)
        left = self.still_needed(state, frontier, mask)
        if left >= 0:
            # With several readers left none of them may overwrite what the others need.
            return [each for each in branches if each[0] == left or self._token(each[1]) == token], ()
        if len(branches) == 1 or ANYTHING in self._needed:
            return branches, ()
        along = [index for index, _ in branches if self._unseen(index, frontier, mask)]
        if not along:
            return branches, ()
        first = along[0]
        others = set(along[1:])
        return [branch for branch in branches if branch[0] == first or branch[0] not in others], tuple(along)

    def _token(self, state: int) -> Hashable:
        if state not in self._token_of:
            self._token_of[state] = self._model.token(self._states[state])
        return self._token_of[state]

    def is_plain(self, index: int) -> bool:
        """A write that is accepted whatever was there."""
        return self.reads[index] is NOTHING and self.writes[index] is not NOTHING

    def still_needed(self, state: int, frontier: int, mask: int) -> int:
        """Rule 1: -1 when the state may be left; else its only reader not placed, or `len` for several."""
        token = self._token(state)
        readers = self._readers.get(token)
        if readers is None or readers[-1] < frontier or token in self._pooled:
            return -1
        writers = self._writers.get(token)
        if writers is not None and self._open(writers, frontier, mask, 1):
            return -1
        found = self._open(readers, frontier, mask, 2)
        if not found:
            return -1
        return found[0] if len(found) == 1 else len(self.reads)

    def _open(self, indices: list[int], frontier: int, mask: int, most: int) -> list[int]:
        """Up to `most` of the operations that are not placed."""
        found: list[int] = []
        bit, low, end = self._bit, self._low, self._high[frontier]
        for position in range(len(indices) - 1, -1, -1):
            index = indices[position]
            if index < frontier or len(found) == most:
                break
            if low[index] > end or not mask & bit[index]:  # outside the layer its bit may be another's
                found.append(index)
        return found

    def _unseen(self, index: int, frontier: int, mask: int) -> bool:
        token = self.writes[index]
        if not self.is_plain(index) or token in self._needed:
            return False
        readers = self._readers.get(token)
        if readers is not None and self._open(readers, frontier, mask, 1):
            return False
        if not self._vague:
            return True
        position = bisect_left(self._vague, frontier)
        return self._first_vague[position] > self._overwritten[index]
