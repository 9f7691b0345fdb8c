"""How a member asks for votes, gives them, and counts them.

Rules (Raft paper, section 5.2; thesis, sections 3.4, 3.10, 9.6):
1. Only a voter that has applied all committed membership changes campaigns: it would otherwise count the
   votes of a configuration that is no longer in force.
2. With pre_vote a member first asks whether it would be elected, for the term after its own, and raises its
   term only if a quorum would. A campaign that the leader asked for skips this.
3. A vote is given if it was given to the same candidate before, or if there is neither vote nor leader in
   this term, or if it is a pre-vote for a later term; and only to a log that is at least as new. Learners
   vote too: they may have been promoted without knowing it yet.
4. An answer carries the term of the request when it is a yes: a pre-candidate ignores others.
5. Everybody, the candidate included, is counted when the vote is durable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import replication
from .describe import MESSAGE_NAMES, ROLE_NAMES
from .errors import ProposalDropped
from .quorum import VoteResult
from .types import NONE, Message, MessageType, Role

if TYPE_CHECKING:
    from .core import Raft

_ANSWER = {MessageType.VOTE: MessageType.VOTE_RESP, MessageType.PRE_VOTE: MessageType.PRE_VOTE_RESP}

CAMPAIGN_TRANSFER = b"CampaignTransfer"
"""The context of a vote request that the leader asked for: it overrides the leader's lease."""

FROM_LEADER = frozenset({MessageType.APP, MessageType.HEARTBEAT, MessageType.SNAP})
"""Messages that only the leader of their term sends."""


def hup(raft: Raft, message: Message) -> None:
    """The election timer ran out, or the application asks for a campaign."""
    _try_campaign(raft, pre=raft.pre_vote)


def campaign_for_transfer(raft: Raft) -> None:
    _try_campaign(raft, pre=False, context=CAMPAIGN_TRANSFER)


def _try_campaign(raft: Raft, pre: bool, context: bytes = b"") -> None:
    if raft.role is Role.LEADER:
        raft.log.debug(f"{raft.id:x} ignoring MsgHup because already leader")
        return
    if not raft.promotable():
        raft.log.warning(f"{raft.id:x} is unpromotable and can not campaign")
        return
    if raft.raft_log.has_unapplied_conf_changes():
        raft.log.warning(
            f"{raft.id:x} cannot campaign at term {raft.term} since there are still pending "
            "configuration changes to apply"
        )
        return
    raft.log.info(f"{raft.id:x} is starting a new election at term {raft.term}")
    _campaign(raft, pre, context)


def _campaign(raft: Raft, pre: bool, context: bytes = b"") -> None:
    if pre:
        raft.become_pre_candidate()
        kind, term = MessageType.PRE_VOTE, raft.term + 1
    else:
        raft.become_candidate()
        kind, term = MessageType.VOTE, raft.term
    for voter in raft.tracker.membership.voters.ids():
        if voter == raft.id:
            raft.send(Message(_ANSWER[kind], to=voter, term=term))
            continue
        last_term, last_index = raft.raft_log.last_id()
        raft.log.info(
            f"{raft.id:x} [logterm: {last_term}, index: {last_index}] sent {MESSAGE_NAMES[kind]} request "
            f"to {voter:x} at term {raft.term}"
        )
        raft.send(Message(kind, to=voter, term=term, index=last_index, log_term=last_term, context=context))


def may_vote(raft: Raft, request: Message) -> bool:
    """Rule 3."""
    allowed = (
        raft.vote == request.sender
        or (raft.vote == NONE and raft.lead == NONE)
        or (request.type == MessageType.PRE_VOTE and request.term > raft.term)
    )
    return allowed and raft.raft_log.is_up_to_date(request.log_term, request.index)


def on_vote_request(raft: Raft, message: Message) -> None:
    """Another member asks for our vote or pre-vote, in our term or, a pre-vote, in a later one."""
    answer = _ANSWER[message.type]
    if not may_vote(raft, message):
        raft.log.info(describe_request(raft, message, "rejected"))
        raft.send(Message(answer, to=message.sender, term=raft.term, reject=True))
        return
    raft.log.info(describe_request(raft, message, "cast"))
    raft.send(Message(answer, to=message.sender, term=message.term))
    if message.type == MessageType.VOTE:
        raft.election_elapsed = 0
        raft.vote = message.sender


def describe_request(raft: Raft, request: Message, verdict: str) -> str:
    """The log line for a vote request that was "cast", "rejected" or "ignored"."""
    last_term, last_index = raft.raft_log.last_id()
    preposition = "for" if verdict == "cast" else "from"
    return (
        f"{raft.id:x} [logterm: {last_term}, index: {last_index}, vote: {raft.vote:x}] {verdict} "
        f"{MESSAGE_NAMES[request.type]} {preposition} {request.sender:x} "
        f"[logterm: {request.log_term}, index: {request.index}] at term {raft.term}"
    )


def step(raft: Raft, message: Message) -> None:
    """A message for a candidate or pre-candidate."""
    kind = message.type
    expected = MessageType.PRE_VOTE_RESP if raft.role is Role.PRE_CANDIDATE else MessageType.VOTE_RESP
    if kind == expected:
        _count(raft, message)
    elif kind in FROM_LEADER:
        # There is a leader in our term: the election is over, and what it says is for a follower.
        raft.become_follower(message.term, message.sender)
        raft.step(message)
    elif kind == MessageType.PROP:
        raft.log.info(f"{raft.id:x} no leader at term {raft.term}; dropping proposal")
        raise ProposalDropped
    elif kind == MessageType.TIMEOUT_NOW:
        raft.log.debug(
            f"{raft.id:x} [term {raft.term} state {ROLE_NAMES[raft.role]}] ignored MsgTimeoutNow "
            f"from {message.sender:x}"
        )


def _count(raft: Raft, answer: Message) -> None:
    name = MESSAGE_NAMES[answer.type]
    rejection = " rejection" if answer.reject else ""
    raft.log.info(f"{raft.id:x} received {name}{rejection} from {answer.sender:x} at term {raft.term}")
    raft.tracker.record_vote(answer.sender, not answer.reject)
    granted, refused, result = raft.tracker.tally()
    raft.log.info(f"{raft.id:x} has received {granted} {name} votes and {refused} vote rejections")
    if result is VoteResult.WON:
        if raft.role is Role.PRE_CANDIDATE:
            _campaign(raft, pre=False)
        else:
            raft.become_leader()
            replication.broadcast_append(raft)
    elif result is VoteResult.LOST:
        # A refused pre-vote may carry the later term it asked for; ours is still right.
        raft.become_follower(raft.term, NONE)
