"""What a follower does: obey the leader of its term, and send it what clients ask.

Rules (Raft paper, section 5.3):
1. Any message of the term's leader restarts the election timer.
2. An append anchored at a committed entry below our commit index is answered with the commit index: all up
   to there is known to match.
3. A refused append is answered with the best guess where the logs still match: the last entry here that is
   neither beyond the anchor nor of a later term. That skips a whole divergent tail in one round trip.
4. A heartbeat's commit index never exceeds what the leader knows us to hold.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from . import election, membership
from .errors import ProposalDropped
from .types import NONE, Message, MessageType, ReadState

if TYPE_CHECKING:
    from .core import Raft


def step(raft: Raft, message: Message) -> None:
    handler = _HANDLERS.get(message.type)
    if handler is not None:
        handler(raft, message)


def _heard_leader(raft: Raft, message: Message) -> None:
    raft.election_elapsed = 0
    raft.lead = message.sender


def _on_append(raft: Raft, message: Message) -> None:
    _heard_leader(raft, message)
    log = raft.raft_log
    if message.index < log.committed:
        raft.send(Message(MessageType.APP_RESP, to=message.sender, index=log.committed))
        return
    last = log.maybe_append(message.log_term, message.index, message.entries, message.commit)
    if last is not None:
        raft.send(Message(MessageType.APP_RESP, to=message.sender, index=last))
        return
    raft.log.debug(
        f"{raft.id:x} [logterm: {log.find_term(message.index) or 0}, index: {message.index}] rejected MsgApp "
        f"[logterm: {message.log_term}, index: {message.index}] from {message.sender:x}"
    )
    hint, hint_term = log.find_conflict_by_term(min(message.index, log.last_index()), message.log_term)
    raft.send(
        Message(
            MessageType.APP_RESP,
            to=message.sender,
            index=message.index,
            log_term=hint_term,
            reject=True,
            reject_hint=hint,
        )
    )


def _on_heartbeat(raft: Raft, message: Message) -> None:
    _heard_leader(raft, message)
    raft.raft_log.commit_to(message.commit)
    raft.send(Message(MessageType.HEARTBEAT_RESP, to=message.sender, context=message.context))


def _on_snapshot(raft: Raft, message: Message) -> None:
    _heard_leader(raft, message)
    membership.on_snapshot(raft, message)


def _forward(raft: Raft, message: Message) -> None:
    """Send it to the leader. A new message: the one we got may still be the transport's."""
    raft.send(
        Message(
            message.type,
            to=raft.lead,
            sender=message.sender,
            entries=message.entries,
            context=message.context,
        )
    )


def _on_proposal(raft: Raft, message: Message) -> None:
    if raft.lead == NONE:
        raft.log.info(f"{raft.id:x} no leader at term {raft.term}; dropping proposal")
        raise ProposalDropped
    if raft.disable_proposal_forwarding:
        raft.log.info(
            f"{raft.id:x} not forwarding to leader {raft.lead:x} at term {raft.term}; dropping proposal"
        )
        raise ProposalDropped
    _forward(raft, message)


def _on_read_index(raft: Raft, message: Message) -> None:
    if raft.lead == NONE:
        raft.log.info(f"{raft.id:x} no leader at term {raft.term}; dropping index reading msg")
        return
    _forward(raft, message)


def _on_read_index_answer(raft: Raft, message: Message) -> None:
    if len(message.entries) != 1:
        raft.log.error(
            f"{raft.id:x} invalid format of MsgReadIndexResp from {message.sender:x}, "
            f"entries count: {len(message.entries)}"
        )
        return
    raft.read_states.append(ReadState(message.index, message.entries[0].data))


def _on_transfer(raft: Raft, message: Message) -> None:
    if raft.lead == NONE:
        raft.log.info(f"{raft.id:x} no leader at term {raft.term}; dropping leader transfer msg")
        return
    _forward(raft, message)


def _on_timeout_now(raft: Raft, message: Message) -> None:
    """The leader hands over to us."""
    raft.log.info(
        f"{raft.id:x} [term {raft.term}] received MsgTimeoutNow from {message.sender:x} "
        "and starts an election to get leadership."
    )
    election.campaign_for_transfer(raft)


def _on_forget_leader(raft: Raft, message: Message) -> None:
    if raft.read_only_lease_based:
        raft.log.error("ignoring MsgForgetLeader due to ReadOnlyLeaseBased")
        return
    if raft.lead != NONE:
        raft.log.info(f"{raft.id:x} forgetting leader {raft.lead:x} at term {raft.term}")
        raft.lead = NONE


_HANDLERS: dict[MessageType, Callable[[Raft, Message], None]] = {
    MessageType.APP: _on_append,
    MessageType.HEARTBEAT: _on_heartbeat,
    MessageType.SNAP: _on_snapshot,
    MessageType.PROP: _on_proposal,
    MessageType.READ_INDEX: _on_read_index,
    MessageType.READ_INDEX_RESP: _on_read_index_answer,
    MessageType.TRANSFER_LEADER: _on_transfer,
    MessageType.TIMEOUT_NOW: _on_timeout_now,
    MessageType.FORGET_LEADER: _on_forget_leader,
}
