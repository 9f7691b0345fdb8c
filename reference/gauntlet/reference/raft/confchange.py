"""Membership changes as a function: configuration in, configuration out.

Rules (Raft thesis, chapter 4; etcd's confchange notes):
1. A simple change alters at most one voter, so old and new majorities overlap.
2. Anything larger goes through a joint configuration: on entry the voters are copied to the outgoing half
   and the changes are applied to the incoming half; decisions need both; leaving drops the outgoing half.
3. Nobody is voter and learner at once. A voter of the outgoing half that shall become a learner waits in
   `learners_next` until the joint configuration is left.
4. Member 0 is ignored: the application writes 0 where it refuses a change that is already committed.
5. A configuration without voters can be filled, but never reached by removal.
6. A member that is added counts as recently active, or a check of the quorum could depose the leader
   before the newcomer had a chance to answer.
"""

from __future__ import annotations

from collections.abc import Sequence

from .errors import ConfChangeRefused
from .progress import Inflights, Progress
from .quorum import Joint, Majority
from .tracker import Membership, ProgressMap, ProgressTracker
from .types import ConfChange, ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, ConfState

Result = tuple[Membership, ProgressMap]


def as_v2(change: ConfChange | ConfChangeV2) -> ConfChangeV2:
    """The same change in the newer form."""
    if isinstance(change, ConfChangeV2):
        return change
    return ConfChangeV2(changes=[ConfChangeSingle(change.type, change.node_id)], context=change.context)


def enters_joint(change: ConfChangeV2) -> tuple[bool, bool]:
    """(whether the change goes through a joint configuration, whether that one is left automatically)."""
    if change.transition == ConfChangeTransition.AUTO and len(change.changes) <= 1:
        return False, False
    return True, change.transition != ConfChangeTransition.JOINT_EXPLICIT


def leaves_joint(change: ConfChangeV2) -> bool:
    return change.transition == ConfChangeTransition.AUTO and not change.changes


class _Draft:
    """A configuration while it is being changed. The progress map holds copies."""

    def __init__(self, membership: Membership, progress: ProgressMap) -> None:
        self.incoming = set(membership.voters.incoming.ids)
        self.outgoing = set(membership.voters.outgoing.ids)
        self.learners = set(membership.learners)
        self.learners_next = set(membership.learners_next)
        self.auto_leave = membership.auto_leave
        self.progress = {member: each.copy() for member, each in progress.items()}

    def finish(self) -> Result:
        membership = Membership(
            voters=Joint(Majority(self.incoming), Majority(self.outgoing)),
            learners=tuple(sorted(self.learners)),
            learners_next=tuple(sorted(self.learners_next)),
            auto_leave=self.auto_leave,
        )
        check_invariants(membership, self.progress)
        return membership, {member: self.progress[member] for member in sorted(self.progress)}


def check_invariants(membership: Membership, progress: ProgressMap) -> None:
    """Raise ConfChangeRefused unless the configuration and the progress map fit each other."""
    voters = membership.voters
    for member in (*voters.ids(), *membership.learners, *membership.learners_next):
        if member not in progress:
            raise ConfChangeRefused(f"no progress for {member}")
    for member in membership.learners_next:
        if member not in voters.outgoing:
            raise ConfChangeRefused(f"{member} is in LearnersNext, but not Voters[1]")
        if progress[member].is_learner:
            raise ConfChangeRefused(f"{member} is in LearnersNext, but is already marked as learner")
    for member in membership.learners:
        if member in voters.outgoing:
            raise ConfChangeRefused(f"{member} is in Learners and Voters[1]")
        if member in voters.incoming:
            raise ConfChangeRefused(f"{member} is in Learners and Voters[0]")
        if not progress[member].is_learner:
            raise ConfChangeRefused(f"{member} is in Learners, but is not marked as learner")
    if not membership.joint:
        if membership.learners_next:
            raise ConfChangeRefused("cfg.LearnersNext must be nil when not joint")
        if membership.auto_leave:
            raise ConfChangeRefused("AutoLeave must be false when not joint")


class Changer:
    """Computes successors of one configuration. `last_index` is where a new member is first probed."""

    def __init__(self, tracker: ProgressTracker, last_index: int) -> None:
        self.membership = tracker.membership
        self.progress = tracker.progress
        self.last_index = last_index
        self._limits = (tracker.max_inflight, tracker.max_inflight_bytes)

    def change(self, change: ConfChangeV2) -> Result:
        """Whichever of the three below `change` asks for."""
        if leaves_joint(change):
            return self.leave_joint()
        joint, auto_leave = enters_joint(change)
        return self.enter_joint(auto_leave, change.changes) if joint else self.simple(change.changes)

    def enter_joint(self, auto_leave: bool, changes: Sequence[ConfChangeSingle]) -> Result:
        draft = self._draft()
        if self.membership.joint:
            raise ConfChangeRefused("config is already joint")
        if not draft.incoming:
            raise ConfChangeRefused("can't make a zero-voter config joint")
        draft.outgoing = set(draft.incoming)
        self._apply(draft, changes)
        draft.auto_leave = auto_leave
        return draft.finish()

    def leave_joint(self) -> Result:
        draft = self._draft()
        if not self.membership.joint:
            raise ConfChangeRefused("can't leave a non-joint config")
        for member in self.membership.learners_next:
            draft.learners.add(member)
            draft.progress[member].is_learner = True
        draft.learners_next.clear()
        for member in self.membership.voters.outgoing.ids:
            if member not in draft.incoming and member not in draft.learners:
                del draft.progress[member]
        draft.outgoing.clear()
        draft.auto_leave = False
        return draft.finish()

    def simple(self, changes: Sequence[ConfChangeSingle]) -> Result:
        draft = self._draft()
        if self.membership.joint:
            raise ConfChangeRefused("can't apply simple config change in joint config")
        self._apply(draft, changes)
        if len(draft.incoming ^ set(self.membership.voters.incoming.ids)) > 1:
            raise ConfChangeRefused("more than one voter changed without entering joint config")
        return draft.finish()

    def _draft(self) -> _Draft:
        check_invariants(self.membership, self.progress)
        return _Draft(self.membership, self.progress)

    def _apply(self, draft: _Draft, changes: Sequence[ConfChangeSingle]) -> None:
        for change in changes:
            member = change.node_id
            if member == 0:
                continue
            if change.type == ConfChangeType.ADD_NODE:
                self._make_voter(draft, member)
            elif change.type == ConfChangeType.ADD_LEARNER_NODE:
                self._make_learner(draft, member)
            elif change.type == ConfChangeType.REMOVE_NODE:
                self._remove(draft, member)
            elif change.type != ConfChangeType.UPDATE_NODE:
                raise ConfChangeRefused(f"unexpected conf type {int(change.type)}")
        if not draft.incoming:
            raise ConfChangeRefused("removed all voters")

    def _make_voter(self, draft: _Draft, member: int) -> None:
        progress = draft.progress.get(member)
        if progress is None:
            progress = draft.progress[member] = self._new_progress(is_learner=False)
        progress.is_learner = False
        draft.learners.discard(member)
        draft.learners_next.discard(member)
        draft.incoming.add(member)

    def _make_learner(self, draft: _Draft, member: int) -> None:
        progress = draft.progress.get(member)
        if progress is None:
            draft.progress[member] = self._new_progress(is_learner=True)
            draft.learners.add(member)
            return
        if progress.is_learner:
            return
        self._remove(draft, member)
        draft.progress[member] = progress
        if member in draft.outgoing:
            draft.learners_next.add(member)
        else:
            progress.is_learner = True
            draft.learners.add(member)

    def _remove(self, draft: _Draft, member: int) -> None:
        if member not in draft.progress:
            return
        draft.incoming.discard(member)
        draft.learners.discard(member)
        draft.learners_next.discard(member)
        if member not in draft.outgoing:
            del draft.progress[member]

    def _new_progress(self, is_learner: bool) -> Progress:
        return Progress(
            Inflights(*self._limits),
            next_index=max(self.last_index, 1),
            is_learner=is_learner,
            recent_active=True,
        )


def restore(tracker: ProgressTracker, last_index: int, state: ConfState) -> Result:
    """The configuration that `state` describes, reached from the empty one in `tracker` by legal changes."""
    changer = Changer(tracker, last_index)
    add, drop, learn = ConfChangeType.ADD_NODE, ConfChangeType.REMOVE_NODE, ConfChangeType.ADD_LEARNER_NODE
    outgoing = [ConfChangeSingle(add, member) for member in state.voters_outgoing]
    incoming = [ConfChangeSingle(drop, member) for member in state.voters_outgoing]
    incoming += [ConfChangeSingle(add, member) for member in state.voters]
    incoming += [ConfChangeSingle(learn, member) for member in (*state.learners, *state.learners_next)]
    for change in outgoing or incoming:
        changer.membership, changer.progress = changer.simple([change])
    if outgoing:
        changer.membership, changer.progress = changer.enter_joint(state.auto_leave, incoming)
    return changer.membership, changer.progress


def equivalent(one: ConfState, two: ConfState) -> bool:
    """Whether both name the same configuration, in whatever order."""
    return (
        sorted(one.voters) == sorted(two.voters)
        and sorted(one.learners) == sorted(two.learners)
        and sorted(one.voters_outgoing) == sorted(two.voters_outgoing)
        and sorted(one.learners_next) == sorted(two.learners_next)
        and one.auto_leave == two.auto_leave
    )
