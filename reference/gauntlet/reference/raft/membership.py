"""What an applied membership change, and a received snapshot, do to a member.

Rules (Raft thesis, chapter 4; Raft paper, section 7):
1. A configuration is in force on a member from the moment the member applies it.
2. A smaller quorum may commit more at once: the leader looks, and else sends newcomers what they lack.
3. A leader that is removed, or made a learner, goes on leading until somebody else is elected, unless
   step_down_on_removal: it is no longer counted, but it may be the only one that knows that.
4. A snapshot older than the commit index brings nothing. One whose last entry is in our log only tells that
   all up to there is committed. Any other replaces log and configuration.
5. A snapshot that does not know this member is refused: a member outside its own configuration could
   neither vote nor be fed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import confchange, replication
from .describe import describe_conf_state
from .tracker import Membership, ProgressMap, ProgressTracker
from .types import NONE, ConfChangeV2, ConfState, Message, MessageType, Role, Snapshot

if TYPE_CHECKING:
    from .core import Raft


def apply_change(raft: Raft, change: ConfChangeV2) -> ConfState:
    """Put a committed change into force. ConfChangeRefused if it does not fit the present configuration."""
    changer = confchange.Changer(raft.tracker, raft.raft_log.last_index())
    return _switch(raft, *changer.change(change))


def adopt_conf_state(raft: Raft, state: ConfState, last_index: int) -> None:
    """Put a stored configuration into force, whatever was there before."""
    old = raft.tracker
    raft.tracker = ProgressTracker(old.max_inflight, old.max_inflight_bytes)
    result = _switch(raft, *confchange.restore(raft.tracker, last_index, state))
    if not confchange.equivalent(state, result):
        raft.log.fatal(
            "ConfStates not equivalent after sorting: "
            f"{describe_conf_state(state)} and {describe_conf_state(result)}"
        )


def _switch(raft: Raft, membership: Membership, progress: ProgressMap) -> ConfState:
    tracker = raft.tracker
    tracker.use(membership, progress)
    raft.log.info(f"{raft.id:x} switched to configuration {membership}")
    state = tracker.conf_state()
    own = tracker.progress.get(raft.id)
    raft.is_learner = own is not None and own.is_learner
    if raft.role is not Role.LEADER:
        return state
    if own is None or own.is_learner:
        if raft.step_down_on_removal:
            raft.become_follower(raft.term, NONE)
        return state
    if not state.voters:
        return state
    if replication.maybe_commit(raft):
        replication.broadcast_append(raft)
    else:
        replication.probe_all(raft)
    if raft.lead_transferee not in membership.voters.ids():
        raft.lead_transferee = NONE
    return state


def on_snapshot(raft: Raft, message: Message) -> None:
    """The leader sent a snapshot. The answer tells it up to where the logs match now."""
    snapshot = message.snapshot if message.snapshot is not None else Snapshot()
    restored = _restore(raft, snapshot)
    log = raft.raft_log
    raft.log.info(
        f"{raft.id:x} [commit: {log.committed}] {'restored' if restored else 'ignored'} snapshot "
        f"[index: {snapshot.index}, term: {snapshot.term}]"
    )
    index = log.last_index() if restored else log.committed
    raft.send(Message(MessageType.APP_RESP, to=message.sender, index=index))


def _restore(raft: Raft, snapshot: Snapshot) -> bool:
    """Whether the snapshot replaced the log (rules 4 and 5)."""
    log = raft.raft_log
    if snapshot.index <= log.committed:
        return False
    if raft.role is not Role.FOLLOWER:
        raft.log.warning(f"{raft.id:x} attempted to restore snapshot as leader; should never happen")
        raft.become_follower(raft.term + 1, NONE)
        return False
    state = snapshot.conf_state
    if raft.id not in (*state.voters, *state.learners, *state.voters_outgoing):
        raft.log.warning(
            f"{raft.id:x} attempted to restore snapshot but it is not in the ConfState "
            f"{describe_conf_state(state)}; should never happen"
        )
        return False
    if log.find_term(snapshot.index) == snapshot.term:
        raft.log.info(f"{_position(raft)} fast-forwarded commit to snapshot {_identity(snapshot)}")
        log.commit_to(snapshot.index)
        return False
    log.restore(snapshot)
    adopt_conf_state(raft, state, log.last_index())
    raft.log.info(f"{_position(raft)} restored snapshot {_identity(snapshot)}")
    return True


def _position(raft: Raft) -> str:
    term, index = raft.raft_log.last_id()
    return f"{raft.id:x} [commit: {raft.raft_log.committed}, lastindex: {index}, lastterm: {term}]"


def _identity(snapshot: Snapshot) -> str:
    return f"[index: {snapshot.index}, term: {snapshot.term}]"
