"""Cluster: who the members are, and changing it.

Rules (etcd 3.7.1):

- Changing is root's. The change goes through the log as a configuration change; the answer is the members
  after it. There is no time-out: without a leader, or without a quorum, the caller's patience decides.
- With strict reconfiguration (the default) a change that could cost the cluster its quorum is refused before
  it is proposed: too few members started (an added voter counts as not started), or this member has not been
  connected to enough of them for five seconds. Removing one that is not connected is always safe.
- A learner is promoted by the leader, who alone knows how far it has come; others pass the request on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from gauntlet.api import errors
from gauntlet.api.errors import RpcError
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.wire.types import Context, Reply
from gauntlet.reference import membership
from gauntlet.reference.apply import Applied
from gauntlet.reference.membership import ClusterConfigError, Member
from gauntlet.reference.node import Node
from gauntlet.reference.raft.types import ConfChange
from gauntlet.reference.services.base import Service
from gauntlet.reference.services.guard import AUTHORIZATION, TOKEN, Guard

HEALTHY_SECONDS = 5.0
# Upstream hands out its client's form of this error, which gRPC takes for one without a code.
# etcd counts failed promotions under its internal words, and some of those differ from what clients see.
_INTERNAL_WORDS = {
    errors.MEMBER_NOT_FOUND: "membership: ID not found",
    errors.MEMBER_NOT_LEARNER: "membership: can only promote a learner member",
    errors.PERMISSION_DENIED: "auth: permission denied",
}
NOT_ENOUGH_STARTED = RpcError(errors.Code.UNKNOWN, errors.MEMBER_NOT_ENOUGH_STARTED.message, definite=True)

Promoted = Callable[[Sequence[Member] | RpcError], None]


class LeaderMembers(Protocol):
    """Asks the leader, through its peer URLs, until it answers or the request times out."""

    def promote(self, member_id: int, token: str | None, then: Promoted) -> None: ...


def to_message(member: Member) -> pb.Member:
    return pb.Member(
        ID=member.id,
        name=member.name,
        peerURLs=member.peer_urls,
        clientURLs=member.client_urls,
        isLearner=member.is_learner,
    )


class ClusterService(Service):
    """`strict` is --strict-reconfig-check; `wall` gives seconds since 1970."""

    def __init__(
        self, node: Node, guard: Guard, leader: LeaderMembers, strict: bool, wall: Callable[[], float]
    ) -> None:
        super().__init__(node, guard)
        self._leader = leader
        self._strict = strict
        self._wall = wall
        self._cluster = node.machine.cluster
        self.promotions: dict[str, int] = {}  # decided here, by what was wrong; "" counts the successes

    def member_list(self, context: Context, request: pb.MemberListRequest, reply: Reply) -> None:
        def answer() -> None:
            self._answer(pb.MemberListResponse(), self._cluster.members(), reply)

        def authorized() -> None:
            self.guard.require_user(context, answer, reply)

        if request.linearizable:
            self.when_linearizable(authorized, reply)
        else:
            authorized()

    def member_add(self, context: Context, request: pb.MemberAddRequest, reply: Reply) -> None:
        try:
            urls = membership.check_urls(request.peerURLs)
        except ClusterConfigError:
            reply(errors.MEMBER_BAD_URLS)
            return
        member = Member.from_urls("", urls, "", added_at=int(self._wall()), learner=request.isLearner)
        response = pb.MemberAddResponse(
            member=pb.Member(ID=member.id, peerURLs=member.peer_urls, isLearner=member.is_learner)
        )

        def proceed() -> None:
            refusal = self._refuses_adding(member)
            if refusal is not None:
                reply(refusal)
            else:
                self._change(context, membership.add_change(member), response, reply)

        self.guard.require_root(context, proceed, reply)

    def member_remove(self, context: Context, request: pb.MemberRemoveRequest, reply: Reply) -> None:
        def proceed() -> None:
            refusal = self._refuses_removing(request.ID)
            if refusal is not None:
                reply(refusal)
            else:
                change = membership.remove_change(request.ID)
                self._change(context, change, pb.MemberRemoveResponse(), reply)

        self.guard.require_root(context, proceed, reply)

    def member_update(self, context: Context, request: pb.MemberUpdateRequest, reply: Reply) -> None:
        change = membership.update_change(request.ID, list(request.peerURLs))

        def proceed() -> None:
            self._change(context, change, pb.MemberUpdateResponse(), reply)

        self.guard.require_root(context, proceed, reply)

    def member_promote(self, context: Context, request: pb.MemberPromoteRequest, reply: Reply) -> None:
        def promoted(result: Sequence[Member] | RpcError) -> None:
            if isinstance(result, RpcError):
                reply(result)
            else:
                self._answer(pb.MemberPromoteResponse(), result, reply)

        self.promote(context, request.ID, promoted)

    def promote(self, context: Context, member_id: int, then: Promoted) -> None:
        """Promotes here if this member leads, else through the leader."""

        def decided(result: Sequence[Member] | RpcError) -> None:
            why = _INTERNAL_WORDS.get(result, result.message) if isinstance(result, RpcError) else ""
            self.promotions[why] = self.promotions.get(why, 0) + 1
            then(result)

        def caught_up(error: RpcError | None) -> None:
            if error is not None:
                decided(error)
                return
            refusal = self._refuses_promoting(member_id)
            if refusal == errors.NOT_LEADER:
                metadata = context.metadata
                self._leader.promote(member_id, metadata.get(TOKEN, metadata.get(AUTHORIZATION)), then)
            elif refusal is not None:
                decided(refusal)
            else:
                change = membership.promote_change(member_id)
                context.on_cancel(self.node.propose_conf_change(change, changed))

        def changed(result: Applied) -> None:
            decided(result.response if result.error is None else result.error)

        self.guard.require_root(context, lambda: self.node.when_applied(caught_up), decided)

    # What strict reconfiguration has against it.

    def _refuses_adding(self, member: Member) -> RpcError | None:
        if not self._strict:
            return None
        if not member.is_learner and not self._cluster.may_add_voter():
            return NOT_ENOUGH_STARTED
        voters = self._cluster.voters()
        enough = len(voters) == 1 or self._connected(voters) >= (len(voters) + 1) // 2 + 1
        return None if enough else errors.UNHEALTHY

    def _refuses_removing(self, member_id: int) -> RpcError | None:
        if not self._strict or self._cluster.is_learner(member_id):
            return None
        if not self._cluster.may_remove(member_id):
            return NOT_ENOUGH_STARTED
        node = self.node
        if member_id != node.config.member_id and node.peers.connected_since(member_id) > node.now():
            return None
        voters = self._cluster.voters()
        enough = self._connected(voters) - 1 >= 1 + (len(voters) - 1) // 2
        return None if enough else errors.UNHEALTHY

    def _refuses_promoting(self, member_id: int) -> RpcError | None:
        progress = self.node.raft.status().progress
        if not progress:
            return errors.NOT_LEADER
        if member_id not in progress:
            return errors.MEMBER_NOT_FOUND
        if not membership.learner_ready(
            progress[member_id].match, progress[self.node.config.member_id].match
        ):
            return errors.LEARNER_NOT_READY
        if self._strict and not self._cluster.may_promote():
            return NOT_ENOUGH_STARTED
        return None

    def _connected(self, voters: Sequence[Member]) -> int:
        """How many of them are this member, or have been connected to it for long enough."""
        node = self.node
        since = node.now() - HEALTHY_SECONDS
        own = node.config.member_id
        return sum(m.id == own or node.peers.connected_since(m.id) < since for m in voters)

    # The change and the answer.

    def _change(self, context: Context, change: ConfChange, response: Any, reply: Reply) -> None:
        def answer(result: Applied) -> None:
            if result.error is not None:
                reply(result.error)
            else:
                self._answer(response, result.response, reply)

        context.on_cancel(self.node.propose_conf_change(change, answer))

    def _answer(self, response: Any, members: Sequence[Member], reply: Reply) -> None:
        response.header.CopyFrom(self.bare_header())
        response.members.extend(to_message(member) for member in members)
        reply(response)
