"""Majorities, and pairs of majorities.

Rules (Raft thesis, chapters 3.4 and 4.3):
1. A majority configuration of n voters decides with n // 2 + 1 of them.
2. An index is committed when a majority has acknowledged it or a higher one; whoever has not been heard
   of counts as zero.
3. A vote is won once a majority said yes, lost once a majority of yes is out of reach, else pending.
4. The empty configuration agrees with everything: its committed index is infinite, its votes are won. A
   joint configuration with an empty half therefore behaves as the other half alone.
5. A joint configuration needs both halves: the lower of the two indexes; lost if either half is lost.

Voters are sorted tuples, so nothing here depends on the order of a hash table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum

from .types import NO_LIMIT

INFINITE_INDEX = NO_LIMIT


class VoteResult(IntEnum):
    PENDING = 1
    LOST = 2
    WON = 3


class Majority:
    """A set of voters that decides by majority. Immutable; `ids` ascend."""

    __slots__ = ("ids",)

    def __init__(self, ids: Iterable[int] = ()) -> None:
        self.ids: tuple[int, ...] = tuple(sorted(set(ids)))

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, voter: object) -> bool:
        return voter in self.ids

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Majority) and self.ids == other.ids

    def __hash__(self) -> int:
        return hash(self.ids)

    def __str__(self) -> str:
        return "(" + " ".join(f"{voter:x}" for voter in self.ids) + ")"

    __repr__ = __str__

    def committed_index(self, acked: Mapping[int, int]) -> int:
        """The highest index that a majority has acknowledged (rule 2)."""
        ids = self.ids
        if not ids:
            return INFINITE_INDEX
        indexes = sorted([acked.get(voter, 0) for voter in ids])
        return indexes[(len(ids) - 1) // 2]

    def vote_result(self, votes: Mapping[int, bool]) -> VoteResult:
        if not self.ids:
            return VoteResult.WON
        needed = len(self.ids) // 2 + 1
        granted = missing = 0
        for voter in self.ids:
            vote = votes.get(voter)
            if vote is None:
                missing += 1
            elif vote:
                granted += 1
        if granted >= needed:
            return VoteResult.WON
        if granted + missing >= needed:
            return VoteResult.PENDING
        return VoteResult.LOST


EMPTY = Majority()


@dataclass(frozen=True, slots=True)
class Joint:
    """Two majorities that must agree. `outgoing` is empty except during a joint membership change."""

    incoming: Majority = EMPTY
    outgoing: Majority = EMPTY

    def __str__(self) -> str:
        return f"{self.incoming}&&{self.outgoing}" if self.outgoing.ids else str(self.incoming)

    def ids(self) -> tuple[int, ...]:
        """All voters of both halves, ascending."""
        if not self.outgoing.ids:
            return self.incoming.ids
        return tuple(sorted({*self.incoming.ids, *self.outgoing.ids}))

    def committed_index(self, acked: Mapping[int, int]) -> int:
        index = self.incoming.committed_index(acked)
        if self.outgoing.ids:
            index = min(index, self.outgoing.committed_index(acked))
        return index

    def vote_result(self, votes: Mapping[int, bool]) -> VoteResult:
        one = self.incoming.vote_result(votes)
        two = self.outgoing.vote_result(votes)
        if one == two:
            return one
        if VoteResult.LOST in (one, two):
            return VoteResult.LOST
        return VoteResult.PENDING


NO_VOTERS = Joint()
