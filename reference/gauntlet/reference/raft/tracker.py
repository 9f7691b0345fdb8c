"""The configuration in force and the progress of each of its members.

The progress map is kept in ascending order of ids, so that visiting it sends messages in that order.
"""

from __future__ import annotations

from dataclasses import dataclass

from .progress import Inflights, Progress
from .quorum import NO_VOTERS, Joint, VoteResult
from .types import ConfState


@dataclass(frozen=True, slots=True)
class Membership:
    """Who votes and who learns. Learner tuples ascend.

    `learners_next` are voters of the outgoing half that become learners when the joint configuration is
    left: nobody is voter and learner at once. `auto_leave`: the leader leaves the joint configuration on
    its own as soon as it is applied.
    """

    voters: Joint = NO_VOTERS
    learners: tuple[int, ...] = ()
    learners_next: tuple[int, ...] = ()
    auto_leave: bool = False

    @property
    def joint(self) -> bool:
        return len(self.voters.outgoing) > 0

    def __str__(self) -> str:
        text = f"voters={self.voters}"
        if self.learners:
            text += f" learners=({' '.join(f'{i:x}' for i in self.learners)})"
        if self.learners_next:
            text += f" learners_next=({' '.join(f'{i:x}' for i in self.learners_next)})"
        return text + " autoleave" if self.auto_leave else text


ProgressMap = dict[int, Progress]


class ProgressTracker:
    __slots__ = ("max_inflight", "max_inflight_bytes", "membership", "progress", "votes")

    def __init__(self, max_inflight: int, max_inflight_bytes: int) -> None:
        self.max_inflight = max_inflight
        self.max_inflight_bytes = max_inflight_bytes
        self.membership = Membership()
        self.progress: ProgressMap = {}
        self.votes: dict[int, bool] = {}

    def new_inflights(self) -> Inflights:
        return Inflights(self.max_inflight, self.max_inflight_bytes)

    def use(self, membership: Membership, progress: ProgressMap) -> None:
        self.membership = membership
        self.progress = {member: progress[member] for member in sorted(progress)}

    def conf_state(self) -> ConfState:
        membership = self.membership
        return ConfState(
            voters=list(membership.voters.incoming.ids),
            learners=list(membership.learners),
            voters_outgoing=list(membership.voters.outgoing.ids),
            learners_next=list(membership.learners_next),
            auto_leave=membership.auto_leave,
        )

    @property
    def singleton(self) -> bool:
        """One voter in all, so that it alone is a quorum."""
        voters = self.membership.voters
        return len(voters.incoming) == 1 and not voters.outgoing.ids

    def committed(self) -> int:
        """The highest index that a quorum is known to hold."""
        return self.membership.voters.committed_index({i: pr.match for i, pr in self.progress.items()})

    def quorum_active(self) -> bool:
        heard = {i: pr.recent_active for i, pr in self.progress.items() if not pr.is_learner}
        return self.membership.voters.vote_result(heard) is VoteResult.WON

    def reset_votes(self) -> None:
        self.votes = {}

    def record_vote(self, voter: int, granted: bool) -> None:
        """The first answer of a voter counts."""
        self.votes.setdefault(voter, granted)

    def tally(self) -> tuple[int, int, VoteResult]:
        """(granted, refused, result). The counts leave out learners and strangers."""
        granted = refused = 0
        for member, progress in self.progress.items():
            vote = self.votes.get(member)
            if vote is None or progress.is_learner:
                continue
            if vote:
                granted += 1
            else:
                refused += 1
        return granted, refused, self.membership.voters.vote_result(self.votes)
