"""Operations of unknown outcome: a pool that the search draws from only where it makes a difference.

Those of equal call and response form a group. A group of m has m bits, and using one sets its lowest free
bit, for the one that was called first: so "used no more than" is a subset test.

An unknown operation is used only where some operation that may come next is accepted only after it, or leads
somewhere else than without it, or than before it. Take a shortest order with its unknown operations as late
as possible: an unknown operation that the next one ignores could be left out or moved behind it.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from porcupine.history import Operation
from porcupine.interned import REJECTED, Interned
from porcupine.model import ANYTHING, NOTHING, LastWriter, Model


@dataclass(slots=True)
class Group:
    """Interchangeable operations, earliest call first."""

    kind: int
    members: list[int]  # positions in Pool.operations
    calls: list[float]
    shift: int  # lowest bit of the group
    full: int  # as many bits as members
    needs: Hashable  # the token it reads: NOTHING when it is accepted everywhere, whatever was there before


class Pool:
    """`operations[i]` by number. Without `reduced` each is a group of its own, and tried everywhere."""

    def __init__(
        self,
        operations: Iterable[Operation],
        calls: Iterable[float],
        model: Model[Any],
        interned: Interned,
        reduced: bool = True,
    ) -> None:
        """The operations are given in the order of their calls."""
        self._model = model
        self._interned = interned
        self._reduced = reduced
        self._groups_at: dict[int, list[int]] = {}
        self._choosy: dict[int, list[int]] = {}
        self._needing: dict[Hashable, list[int]] = {}
        self._vague: list[int] = []  # accepted depending on the state in a way that no token names
        self._anywhere: list[int] = []
        self.operations: list[Operation] = []
        groups: dict[Hashable, Group] = {}
        for operation, call in zip(operations, calls, strict=True):
            kind = interned.kind_of(operation)
            position = len(self.operations)
            group = groups.get(kind) if reduced else None
            if group is None:
                if reduced and model.is_read(operation):
                    continue  # it can change nothing, and nobody waits for it
                needs = model.reads(operation) if isinstance(model, LastWriter) else ANYTHING
                group = groups[kind if reduced else (kind, position)] = Group(kind, [], [], 0, 0, needs)
                number = len(groups) - 1
                if needs is NOTHING:
                    self._anywhere.append(number)
                elif needs is ANYTHING:
                    self._vague.append(number)
                else:
                    self._needing.setdefault(needs, []).append(number)
            self.operations.append(operation)
            group.members.append(position)
            group.calls.append(call)
        self.groups = list(groups.values())
        shift = 0
        for group in self.groups:
            group.shift = shift
            group.full = (1 << len(group.members)) - 1
            shift += len(group.members)

    def branches(self, state: int, used: int, pending: Sequence[int], end: float) -> list[tuple[int, int]]:
        """(-1 - group, following state) of those worth using now, the most promising first.

        `pending` are the kinds of the required operations that may come next, the first of which returns at
        `end`. Tried first is what a required operation waits for rather than another of unknown outcome; and
        of those, what can be used in fewer places.
        """
        step_of, groups, row = self._interned.step, self.groups, self._interned.row(state)
        found: list[tuple[int, bool, int, int]] = []
        for number in self._at(state):
            group = groups[number]
            calls = group.calls
            if calls[0] > end:
                break
            step = row.get(group.kind)
            if step is None:
                step = step_of(state, group.kind)
            if step in (REJECTED, state):
                continue
            member = (used >> group.shift & group.full).bit_length()
            if member == len(calls) or calls[member] > end:
                continue
            for after in (step,) if isinstance(step, int) else step:
                rank = self._matters(state, group.kind, after, pending, end) if self._reduced else 1
                if rank:
                    found.append((rank, group.needs is NOTHING, number, after))
        if len(found) > 1:
            found.sort(key=_by_rank)
        return [(-1 - number, after) for _, _, number, after in found]

    def _matters(self, state: int, kind: int, after: int, pending: Sequence[int], end: float) -> int:
        """Is there an operation that may come next and that tells `state` from `after`?

        1 for a required operation, 2 only for another of unknown outcome, 0 for none.
        """
        step_of = self._interned.step
        row, row_after = self._interned.row(state), self._interned.row(after)
        for other in pending:
            with_it = row_after.get(other)
            if with_it is None:
                with_it = step_of(after, other)
            if with_it == REJECTED:
                continue
            without = row.get(other)
            if without is None:
                without = step_of(state, other)
            if with_it == without:
                continue
            if not isinstance(without, int) or without == REJECTED or step_of(without, kind) != with_it:
                return 1
        groups = self.groups
        for number in self._choosy_at(after):
            group = groups[number]
            if group.calls[0] > end:
                break
            with_it = row_after.get(group.kind)
            if with_it is None:
                with_it = step_of(after, group.kind)
            if with_it != REJECTED and with_it != step_of(state, group.kind):
                return 2
        return 0

    def use(self, branch: int, used: int) -> tuple[int, int]:
        """(operation, used with it)."""
        group = self.groups[-1 - branch]
        member = (used >> group.shift & group.full).bit_length()
        return group.members[member], used | 1 << (group.shift + member)

    def _at(self, state: int) -> list[int]:
        """The groups that may be accepted in a state, by number: earliest first call first."""
        known = self._groups_at.get(state)
        if known is None:
            known = self._groups_at[state] = sorted(self._anywhere + self._choosy_at(state))
        return known

    def _choosy_at(self, state: int) -> list[int]:
        """Those of them that are not accepted everywhere."""
        known = self._choosy.get(state)
        if known is None:
            known = self._vague
            if self._needing and isinstance(self._model, LastWriter):
                needing = self._needing.get(self._model.token(self._interned.states[state]))
                known = sorted(known + needing) if needing else known
            self._choosy[state] = known
        return known


def _by_rank(found: tuple[int, bool, int, int]) -> tuple[int, bool]:
    return found[:2]
