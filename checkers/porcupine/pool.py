"""Operations of unknown outcome: a pool that the search draws from only where it makes a difference.

Those of equal call and response form a group. A group of m has m bits, and using one sets its lowest free
bit, for the one that was called first: so "used no more than" is a subset test.

An unknown operation is used only where some operation that may come next is accepted only after it, or leads
somewhere else than without it, or than before it. Take a shortest order with its unknown operations as late
as possible: an unknown operation that the next one ignores could be left out or moved behind it.

So unknown operations stand in chains, each of which ends just before a required operation that tells the
difference. Where the state is what the last write left (`LastWriter`), that one reads what the last of the
chain wrote, which reads what the one before it wrote, and so on: the chain is found backwards, from the
tokens that the required operations wait for.
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

    def free(self, used: int, end: float) -> bool:
        """Is there a member that was called by then and not used?"""
        member = (used >> self.shift & self.full).bit_length()
        return member < len(self.calls) and self.calls[member] <= end


class _Waits(dict[int, Hashable]):
    """By kind: the token that an operation reads."""

    def __init__(self, model: LastWriter[Any], interned: Interned) -> None:
        self.model = model
        self._interned = interned

    def __missing__(self, kind: int) -> Hashable:
        token = self[kind] = self.model.reads(self._interned.kinds[kind])
        return token


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
        self._writing: dict[Hashable, list[int]] = {}
        self._vague: list[int] = []  # accepted depending on the state in a way that no token names
        self._anywhere: list[int] = []
        self.operations: list[Operation] = []
        groups: dict[Hashable, Group] = {}
        last_writer = model if isinstance(model, LastWriter) else None
        for operation, call in zip(operations, calls, strict=True):
            if reduced and model.is_read(operation):
                continue  # it can change nothing, and nobody waits for it
            kind = interned.kind_of(operation)
            position = len(self.operations)
            self.operations.append(operation)
            group = groups.get(kind)
            if group is not None and reduced:
                group.members.append(position)
                group.calls.append(call)
                continue
            number = len(groups)
            needs = ANYTHING if last_writer is None else last_writer.reads(operation)
            groups[kind if reduced else (kind, position)] = Group(kind, [position], [call], 0, 0, needs)
            if last_writer is not None:
                self._writing.setdefault(last_writer.writes(operation), []).append(number)
            if needs is NOTHING:
                self._anywhere.append(number)
            elif needs is ANYTHING:
                self._vague.append(number)
            else:
                self._needing.setdefault(needs, []).append(number)
        self.groups = list(groups.values())
        self._waits: _Waits | None = None
        if last_writer is not None and reduced and not self._vague:
            self._waits = _Waits(last_writer, interned)
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
        if self._waits is not None:
            waited = set(map(self._waits.__getitem__, pending))
            if ANYTHING not in waited:
                waited.discard(NOTHING)
                return self._chains(self._waits.model, state, used, waited, end) if waited else []
        step_of, groups, row = self._interned.step, self.groups, self._interned.row(state)
        found: list[tuple[int, bool, int, int]] = []
        for number in self._at(state):
            group = groups[number]
            if group.calls[0] > end:
                break
            step = row.get(group.kind)
            if step is None:
                step = step_of(state, group.kind)
            if step in (REJECTED, state):
                continue
            if not group.free(used, end):
                continue
            for after in (step,) if isinstance(step, int) else step:
                rank = self._matters(state, group.kind, after, pending, end) if self._reduced else 1
                if rank:
                    found.append((rank, group.needs is NOTHING, number, after))
        if len(found) > 1:
            found.sort(key=_by_rank)
        return [(-1 - number, after) for _, _, number, after in found]

    def _chains(
        self, model: LastWriter[Any], state: int, used: int, waited: set[Hashable], end: float
    ) -> list[tuple[int, int]]:
        """The beginnings of chains that lead to a token that is waited for."""
        now = model.token(self._interned.states[state])
        waited.discard(now)
        work = list(waited)
        required = len(work)  # what others of unknown outcome wait for comes behind
        found = []
        for place, token in enumerate(work):
            for number in self._writing.get(token, ()):
                group = self.groups[number]
                if group.calls[0] > end:
                    break
                needs = group.needs
                if needs is not NOTHING and needs != now and needs in waited:
                    continue
                if not group.free(used, end):
                    continue
                if needs is NOTHING or needs == now:
                    step = self._interned.step(state, group.kind)
                    for after in (step,) if isinstance(step, int) else step:
                        if after not in (REJECTED, state):
                            found.append((place >= required, needs is NOTHING, number, after))
                else:
                    waited.add(needs)
                    work.append(needs)
        if len(found) > 1:
            found.sort(key=_by_rank)
        return [(-1 - number, after) for _, _, number, after in found]

    def ignored(self, kind: int) -> bool:
        """Does a required operation that is accepted tell no difference that an unknown one could make?"""
        return not self.groups or (self._waits is not None and self._waits[kind] is not ANYTHING)

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
