"""What every service shares: response headers, the leader check, and the way a proposal answers a call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gauntlet.api import errors
from gauntlet.api.errors import RpcError
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.wire.types import Context, Reply, ServerStream, StreamHandler, StreamReceiver, UnaryHandler
from gauntlet.reference.apply import Applied
from gauntlet.reference.node import Node
from gauntlet.reference.services.guard import Guard

REQUIRE_LEADER = "hasleader"
CLIENT_VERSION = "client-api-version"


class Service:
    """Base of the services: they speak to one node and stamp its identity on their answers."""

    def __init__(self, node: Node, guard: Guard) -> None:
        self.node = node
        self.guard = guard

    def fill(self, header: pb.ResponseHeader) -> None:
        """Stamps member, cluster and term; the revision only where the operation has not set one."""
        node = self.node
        header.cluster_id = node.config.cluster_id
        header.member_id = node.config.member_id
        header.raft_term = node.term
        if header.revision == 0:
            header.revision = node.machine.store.current_revision

    def bare_header(self) -> pb.ResponseHeader:
        """A header without a revision, as answers have that are not about the store."""
        node = self.node
        return pb.ResponseHeader(
            cluster_id=node.config.cluster_id, member_id=node.config.member_id, raft_term=node.term
        )

    def header(self, revision: int = 0) -> pb.ResponseHeader:
        header = pb.ResponseHeader(revision=revision)
        self.fill(header)
        return header

    def propose(self, context: Context, request: pb.InternalRaftRequest, reply: Reply) -> None:
        """Takes `request` through the log and answers the call with what applying it gave."""

        def answer(result: Applied) -> None:
            if result.error is not None:
                reply(result.error)
            else:
                response: Any = result.response
                self.fill(response.header)
                reply(response)

        self.guard.propose(context, request, answer)

    def local(self, compute: Callable[[], Any], reply: Reply) -> None:
        """Answers with `compute()`, a local read; an RpcError it raises is the answer."""
        try:
            response = compute()
        except RpcError as error:
            reply(error)
            return
        self.fill(response.header)
        reply(response)

    def when_linearizable(self, serve: Callable[[], None], reply: Reply) -> None:
        """Calls `serve` once the member has caught up with what the leader had committed when asked."""

        def release(error: RpcError | None) -> None:
            if error is not None:
                reply(error)
            else:
                serve()

        self.node.read(release)


def leader_checked(node: Node, handler: UnaryHandler) -> UnaryHandler:
    """`handler` behind what etcd asks of every call: what a learner does not answer is refused (all but its
    status and serializable ranges), so is a client version that is no text, and a call that asks for a leader
    (metadata `hasleader: true`) while there is none."""

    def checked(context: Context, request: Any, reply: Reply) -> None:
        if node.learner and not _learner_answers(request):
            reply(errors.NOT_SUPPORTED_FOR_LEARNER)
        elif _garbled_version(context):
            reply(errors.INVALID_CLIENT_API_VERSION)
        elif context.metadata.get(REQUIRE_LEADER) == "true" and not node.leader:
            reply(errors.NO_LEADER)
        else:
            handler(context, request, reply)

    return checked


def _learner_answers(request: Any) -> bool:
    return isinstance(request, pb.StatusRequest) or (
        isinstance(request, pb.RangeRequest) and request.serializable
    )


def _garbled_version(context: Context) -> bool:
    """Whether the client's version is not UTF-8; such bytes arrive as lone surrogates."""
    version = context.metadata.get(CLIENT_VERSION)
    return version is not None and not version.isascii() and any("\ud800" <= c <= "\udfff" for c in version)


def checked_stream(node: Node, handler: StreamHandler, *, learners: bool = False) -> StreamHandler:
    """`handler` behind the same checks, but for the leader, whom streams watch themselves.

    `learners`: whether a learner offers it.
    """

    def checked(stream: ServerStream) -> StreamReceiver:
        if node.learner and not learners:
            stream.finish(errors.NOT_SUPPORTED_FOR_LEARNER)
        elif _garbled_version(stream.context):
            stream.finish(errors.INVALID_CLIENT_API_VERSION)
        else:
            return handler(stream)
        return Refused()

    return checked


class Refused:
    """The receiver of a stream that is over already."""

    def on_message(self, message: Any) -> None:
        return

    def on_half_close(self) -> None:
        return

    def on_cancel(self) -> None:
        return


class Quota:
    """Refuses what would take the store over its quota, and raises the alarm that refuses it everywhere."""

    def __init__(self, node: Node, quota_bytes: int) -> None:
        self._node = node
        self._quota = quota_bytes

    def admits(self, cost: int, reply: Reply) -> bool:
        """Whether `cost` bytes more have room; if not, the call is answered once the alarm is up."""
        node = self._node
        if not cost or node.machine.backend.size() + cost < self._quota:
            return True
        alarm = pb.AlarmRequest(
            action=pb.AlarmRequest.ACTIVATE, memberID=node.config.member_id, alarm=pb.NOSPACE
        )
        node.propose(pb.InternalRaftRequest(alarm=alarm), lambda _: reply(errors.NO_SPACE))
        return False
