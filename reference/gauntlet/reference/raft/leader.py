"""What a leader does with the messages it gets.

Rules (Raft paper, sections 5.3, 6 and 8; thesis, sections 3.10, 6.2 and 6.4):
1. Proposals are appended and sent on at once, except while leadership is being handed over and after the
   leader itself was removed.
2. At most one membership change is in the log and not applied; in a joint configuration only leaving it may
   be proposed, else anything but that. A change that breaks this becomes an empty entry, so that the other
   proposals of the message keep their places.
3. An acknowledgement moves `match`, opens the window, and may commit. A refusal moves `next` back to where
   the logs may match: the member's hint, and within it past all entries of terms later than the hint's.
4. A read waits for the first commit of this term: only then does the commit index cover all that earlier
   leaders committed. With a single voter the commit index is the answer.
5. Handing over: when the chosen voter holds the whole log it is told to campaign at once. One at a time,
   and for one election timeout at most.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from . import replication
from .confchange import as_v2
from .describe import describe_conf_change
from .encoding import decode_conf_change, decode_conf_change_v2
from .errors import ProposalDropped
from .progress import Progress, ProgressState
from .types import (
    NONE,
    ConfChange,
    ConfChangeV2,
    Entry,
    EntryType,
    Message,
    MessageType,
    ReadState,
)

if TYPE_CHECKING:
    from .core import Raft


def step(raft: Raft, message: Message) -> None:
    kind = message.type
    handler = _HANDLERS.get(kind)
    if handler is not None:
        handler(raft, message)
        return
    progress = raft.tracker.progress.get(message.sender)
    if progress is None:
        raft.log.debug(f"{raft.id:x} no progress available for {message.sender:x}")
        return
    about_member = _MEMBER_HANDLERS.get(kind)
    if about_member is not None:
        about_member(raft, message, progress)


# --- proposals ---


def _on_proposal(raft: Raft, message: Message) -> None:
    entries = message.entries
    if not entries or raft.id not in raft.tracker.progress:
        raise ProposalDropped
    if raft.lead_transferee != NONE:
        raft.log.debug(
            f"{raft.id:x} [term {raft.term}] transfer leadership to {raft.lead_transferee:x} "
            "is in progress; dropping proposal"
        )
        raise ProposalDropped
    for position, entry in enumerate(entries):
        if entry.type and not _admit_conf_change(raft, entry, position):
            if entries is message.entries:
                entries = list(entries)
            entries[position] = Entry()
    if not replication.append_proposals(raft, entries):
        raise ProposalDropped
    replication.broadcast_append(raft)


def _admit_conf_change(raft: Raft, entry: Entry, position: int) -> bool:
    """Rule 2, for the entry that would come `position` after the next one."""
    change: ConfChange | ConfChangeV2
    if entry.type == EntryType.CONF_CHANGE:
        change = decode_conf_change(entry.data)
    else:
        change = decode_conf_change_v2(entry.data)
    membership = raft.tracker.membership
    wants_leave = not as_v2(change).changes
    applied = raft.raft_log.applied
    reason = ""
    if raft.pending_conf_index > applied:
        reason = f"possible unapplied conf change at index {raft.pending_conf_index} (applied to {applied})"
    elif membership.joint and not wants_leave:
        reason = "must transition out of joint config first"
    elif not membership.joint and wants_leave:
        reason = "not in joint state; refusing empty conf change"
    if reason and not raft.disable_conf_change_validation:
        raft.log.info(
            f"{raft.id:x} ignoring conf change {describe_conf_change(change)} "
            f"at config {membership}: {reason}"
        )
        return False
    raft.pending_conf_index = raft.raft_log.last_index() + position + 1
    return True


# --- reads ---


def _on_read_index(raft: Raft, message: Message) -> None:
    if len(message.entries) != 1:
        raft.log.error(
            f"{raft.id:x} invalid format of MsgReadIndex from {message.sender:x}, "
            f"entries count: {len(message.entries)}"
        )
    elif raft.tracker.singleton:
        _answer_read(raft, message, raft.raft_log.committed)
    elif _committed_in_term(raft):
        _start_read(raft, message)
    else:
        raft.pending_reads.append(message)


def _committed_in_term(raft: Raft) -> bool:
    return raft.raft_log.find_term(raft.raft_log.committed) == raft.term


def _start_read(raft: Raft, message: Message) -> None:
    committed = raft.raft_log.committed
    if raft.read_only_lease_based:
        _answer_read(raft, message, committed)
        return
    raft.read_only.add(message, committed)
    raft.read_only.acknowledge(raft.id, raft.read_only.heartbeat_context())
    replication.broadcast_heartbeat(raft)


def _release_reads(raft: Raft) -> None:
    """The commit index has moved: start the reads that waited for the first commit of this term."""
    if not raft.pending_reads:
        return
    if not _committed_in_term(raft):
        raft.log.error("pending MsgReadIndex should be released only after first commit in current term")
        return
    waiting, raft.pending_reads = raft.pending_reads, []
    for message in waiting:
        _start_read(raft, message)


def _answer_read(raft: Raft, request: Message, index: int) -> None:
    if request.sender in (NONE, raft.id):
        raft.read_states.append(ReadState(index, request.entries[0].data))
    else:
        raft.send(
            Message(MessageType.READ_INDEX_RESP, to=request.sender, index=index, entries=request.entries)
        )


# --- time ---


def _on_beat(raft: Raft, message: Message) -> None:
    replication.broadcast_heartbeat(raft)


def _on_check_quorum(raft: Raft, message: Message) -> None:
    if not raft.tracker.quorum_active():
        raft.log.warning(f"{raft.id:x} stepped down to follower since quorum is not active")
        raft.become_follower(raft.term, NONE)
    for member, progress in raft.tracker.progress.items():
        if member != raft.id:
            progress.recent_active = False


def _on_forget_leader(raft: Raft, message: Message) -> None:
    """A leader knows who leads."""


# --- answers of members ---


def _on_append_answer(raft: Raft, message: Message, progress: Progress) -> None:
    progress.recent_active = True
    if message.reject:
        _on_append_refused(raft, message, progress)
        return
    index = message.index
    # A member in PROBE that repeats what we know still proves that it answers, and may leave PROBE.
    if not progress.maybe_update(index) and not (
        progress.match == index and progress.state is ProgressState.PROBE
    ):
        return
    member = message.sender
    log = raft.raft_log
    if progress.state is ProgressState.REPLICATE:
        progress.inflights.free_through(index)
    elif progress.state is ProgressState.PROBE:
        progress.become_replicate()
    elif progress.match + 1 >= log.first_index():
        raft.log.debug(
            f"{raft.id:x} recovered from needing snapshot, resumed sending replication messages "
            f"to {member:x} [{progress}]"
        )
        progress.become_probe()
        progress.become_replicate()

    if replication.maybe_commit(raft):
        _release_reads(raft)
        replication.broadcast_append(raft)
    elif member != raft.id and progress.can_bump_commit(log.committed):
        replication.send_append(raft, member)
    if member != raft.id:
        while replication.maybe_send_append(raft, member, progress, send_if_empty=False):
            pass
    if member == raft.lead_transferee and progress.match == log.last_index():
        raft.log.info(f"{raft.id:x} sent MsgTimeoutNow to {member:x} after received MsgAppResp")
        raft.send(Message(MessageType.TIMEOUT_NOW, to=member))


def _on_append_refused(raft: Raft, message: Message, progress: Progress) -> None:
    member = message.sender
    raft.log.debug(
        f"{raft.id:x} received MsgAppResp(rejected, hint: (index {message.reject_hint}, term "
        f"{message.log_term})) from {member:x} for index {message.index}"
    )
    hint = message.reject_hint
    if message.log_term > 0:
        hint, _ = raft.raft_log.find_conflict_by_term(hint, message.log_term)
    if progress.maybe_decrease(message.index, hint):
        raft.log.debug(f"{raft.id:x} decreased progress of {member:x} to [{progress}]")
        if progress.state is ProgressState.REPLICATE:
            progress.become_probe()
        replication.send_append(raft, member)


def _on_heartbeat_answer(raft: Raft, message: Message, progress: Progress) -> None:
    progress.recent_active = True
    progress.flow_paused = False
    # Also if the window is full: an append without entries finds out whether the window was lost.
    if progress.match < raft.raft_log.last_index() or progress.state is ProgressState.PROBE:
        replication.send_append(raft, message.sender)
    if raft.read_only_lease_based or not message.context:
        return
    raft.read_only.acknowledge(message.sender, message.context)
    for request, index in raft.read_only.take_confirmed(raft.tracker.membership.voters):
        _answer_read(raft, request, index)


def _on_snapshot_status(raft: Raft, message: Message, progress: Progress) -> None:
    """The transport tells whether the snapshot reached the member. The member itself has not answered yet."""
    if progress.state is not ProgressState.SNAPSHOT:
        return
    if message.reject:
        progress.pending_snapshot = 0
    progress.become_probe()
    verdict = "failed" if message.reject else "succeeded"
    raft.log.debug(
        f"{raft.id:x} snapshot {verdict}, resumed sending replication messages "
        f"to {message.sender:x} [{progress}]"
    )
    # Wait for the member's answer, or for a heartbeat, before the next append.
    progress.flow_paused = True


def _on_unreachable(raft: Raft, message: Message, progress: Progress) -> None:
    """The transport lost something. In REPLICATE, probably an append."""
    if progress.state is ProgressState.REPLICATE:
        progress.become_probe()
    raft.log.debug(
        f"{raft.id:x} failed to send message to {message.sender:x} because it is unreachable [{progress}]"
    )


def _on_transfer(raft: Raft, message: Message, progress: Progress) -> None:
    """Rule 5. The sender of the message is the member that shall lead."""
    if progress.is_learner:
        raft.log.debug(f"{raft.id:x} is learner. Ignored transferring leadership")
        return
    heir, previous = message.sender, raft.lead_transferee
    if previous != NONE:
        if previous == heir:
            raft.log.info(
                f"{raft.id:x} [term {raft.term}] transfer leadership to {heir:x} is in progress, "
                f"ignores request to same node {heir:x}"
            )
            return
        raft.lead_transferee = NONE
        raft.log.info(
            f"{raft.id:x} [term {raft.term}] abort previous transferring leadership to {previous:x}"
        )
    if heir == raft.id:
        raft.log.debug(f"{raft.id:x} is already leader. Ignored transferring leadership to self")
        return
    raft.log.info(f"{raft.id:x} [term {raft.term}] starts to transfer leadership to {heir:x}")
    raft.election_elapsed = 0
    raft.lead_transferee = heir
    if progress.match == raft.raft_log.last_index():
        raft.send(Message(MessageType.TIMEOUT_NOW, to=heir))
        raft.log.info(
            f"{raft.id:x} sends MsgTimeoutNow to {heir:x} immediately as {heir:x} already has up-to-date log"
        )
    else:
        replication.send_append(raft, heir)


_HANDLERS: dict[MessageType, Callable[[Raft, Message], None]] = {
    MessageType.BEAT: _on_beat,
    MessageType.CHECK_QUORUM: _on_check_quorum,
    MessageType.PROP: _on_proposal,
    MessageType.READ_INDEX: _on_read_index,
    MessageType.FORGET_LEADER: _on_forget_leader,
}

_MEMBER_HANDLERS: dict[MessageType, Callable[[Raft, Message, Progress], None]] = {
    MessageType.APP_RESP: _on_append_answer,
    MessageType.HEARTBEAT_RESP: _on_heartbeat_answer,
    MessageType.SNAP_STATUS: _on_snapshot_status,
    MessageType.UNREACHABLE: _on_unreachable,
    MessageType.TRANSFER_LEADER: _on_transfer,
}
