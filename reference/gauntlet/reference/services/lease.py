"""Leases: granting and revoking go through the log; keeping alive and looking up are the leader's.

A follower passes keep-alives and look-ups to the leader over the peer port, as etcd does. The header of a
keep-alive is taken before the renewal, so that its revision never overtakes the lease's revocation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from gauntlet.api import errors
from gauntlet.api.errors import RpcError
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.wire.types import Context, Reply, ServerStream
from gauntlet.reference.auth.tokens import AuthInfo
from gauntlet.reference.lease import RevokePendingError, choose_id
from gauntlet.reference.node import Node
from gauntlet.reference.quota import LEASE_COST
from gauntlet.reference.services.base import REQUIRE_LEADER, Quota, Service
from gauntlet.reference.services.guard import Guard

Renewed = Callable[[int | RpcError], None]
LookedUp = Callable[[pb.LeaseTimeToLiveResponse | RpcError], None]


class LeaderLeases(Protocol):
    """Asks the leader, through its peer URLs, until it answers or the request times out."""

    def renew(self, lease_id: int, then: Renewed) -> None: ...

    def time_to_live(self, request: pb.LeaseTimeToLiveRequest, then: LookedUp) -> None: ...


class LeaseService(Service):
    def __init__(self, node: Node, guard: Guard, quota: Quota, leader: LeaderLeases) -> None:
        super().__init__(node, guard)
        self._quota = quota
        self._leader = leader

    def grant(self, context: Context, request: pb.LeaseGrantRequest, reply: Reply) -> None:
        if request.ID == 0:
            request.ID = choose_id(self.node.next_id)
        if self._quota.admits(LEASE_COST, reply):
            proposal = pb.InternalRaftRequest(lease_grant=request)
            self.guard.require_user(context, lambda: self.propose(context, proposal, reply), reply)

    def revoke(self, context: Context, request: pb.LeaseRevokeRequest, reply: Reply) -> None:
        proposal = pb.InternalRaftRequest(lease_revoke=request)
        self.guard.require_user(context, lambda: self.propose(context, proposal, reply), reply)

    def leases(self, context: Context, request: pb.LeaseLeasesRequest, reply: Reply) -> None:
        """Who may not read a key of every lease may not see any."""
        ids = self.node.machine.lessor.leases()

        def serve() -> None:
            reply(pb.LeaseLeasesResponse(header=self.header(), leases=[pb.LeaseStatus(ID=i) for i in ids]))

        def check(caller: AuthInfo | None) -> RpcError | None:
            if caller is None:
                return errors.USER_EMPTY
            refusals = (self.guard.permissions.lease_reads(caller, lease_id) for lease_id in ids)
            return next((refusal for refusal in refusals if refusal is not None), None)

        self.guard.allow(context, check, serve, reply)

    def _refuses_reading(self, caller: AuthInfo | None, lease_id: int) -> RpcError | None:
        if caller is None:
            return errors.USER_EMPTY
        return self.guard.permissions.lease_reads(caller, lease_id)

    def _refuses_writing(self, caller: AuthInfo | None, lease_id: int) -> RpcError | None:
        if caller is None:
            return errors.USER_EMPTY
        return self.guard.permissions.lease_writes(caller, lease_id)

    def time_to_live(self, context: Context, request: pb.LeaseTimeToLiveRequest, reply: Reply) -> None:
        store = self.guard.store
        revision = store.revision

        def answer(result: pb.LeaseTimeToLiveResponse | RpcError) -> None:
            stale = request.keys and store.enabled and store.revision != revision
            if stale and not isinstance(result, RpcError):
                reply(errors.AUTH_OLD_REVISION)
                return
            if isinstance(result, RpcError):
                if result != errors.LEASE_NOT_FOUND:
                    reply(result)
                    return
                result = pb.LeaseTimeToLiveResponse(ID=request.ID, TTL=-1)
            self.fill(result.header)
            reply(result)

        def serve() -> None:
            if self.node.is_leader:
                self.local_time_to_live(request, answer)
            else:
                self._leader.time_to_live(request, answer)

        if request.keys:
            self.guard.allow(context, lambda caller: self._refuses_reading(caller, request.ID), serve, reply)
        else:
            self.guard.require_user(context, serve, reply)

    def local_time_to_live(self, request: pb.LeaseTimeToLiveRequest, then: LookedUp) -> None:
        """The leader's own answer, once it has applied everything committed."""

        def look(error: RpcError | None) -> None:
            if error is not None:
                then(error)
                return
            node = self.node
            try:
                left, granted, keys = node.machine.lessor.time_to_live(
                    request.ID, node.now(), keys=request.keys
                )
            except RpcError as refusal:
                then(refusal)
                return
            then(pb.LeaseTimeToLiveResponse(ID=request.ID, TTL=left, grantedTTL=granted, keys=keys))

        self.node.when_applied(look)

    def renew(self, context: Context, lease_id: int, then: Renewed) -> None:
        """Renews here if this member leads, else through the leader; for who may write the lease's keys."""
        self.guard.allow(
            context,
            lambda caller: self._refuses_writing(caller, lease_id),
            lambda: self._renew(lease_id, then),
            then,
        )

    def _renew(self, lease_id: int, then: Renewed) -> None:
        if not self.node.is_leader:
            self._leader.renew(lease_id, then)
            return

        def renewed(result: int | RpcError) -> None:
            if result == errors.NOT_LEADER:
                # Elected, but not yet in charge of leases; or deposed meanwhile.
                self._leader.renew(lease_id, then)
            else:
                then(result)

        def lead(leading: bool) -> None:
            if leading:
                self.local_renew(lease_id, renewed)
            else:
                then(errors.NOT_LEADER)

        self.node.ensure_leadership(lead)

    def local_renew(self, lease_id: int, then: Renewed) -> None:
        """Renews in this member's lessor. A lease not there yet may be in an entry not applied yet."""
        node = self.node
        lessor = node.machine.lessor

        def applied(error: RpcError | None) -> None:
            if error is not None:
                then(error)
            elif lessor.needs_clearing(lease_id, node.now()):
                node.lease_duty.clear(lease_id, lambda _: renew())
            else:
                renew()

        def renew() -> None:
            try:
                ttl = lessor.renew(lease_id, node.now())
            except RevokePendingError:
                lessor.when_revoked(lease_id, then)
            except RpcError as refusal:
                then(refusal)
            else:
                then(ttl)

        if node.config.fast_keep_alive and lessor.lookup(lease_id) is not None:
            applied(None)
        else:
            node.when_applied(applied)

    def keep_alive(self, stream: ServerStream) -> KeepAliveStream:
        return KeepAliveStream(self, stream)


class KeepAliveStream:
    """One stream of keep-alives: requests are answered one after the other, in their order."""

    def __init__(self, service: LeaseService, stream: ServerStream) -> None:
        self._service = service
        self._stream = stream
        self._queue: list[int] = []
        self._busy = False
        self._half_closed = False
        self._ended = False
        self._needs_leader = stream.context.metadata.get(REQUIRE_LEADER) == "true"
        if self._needs_leader:
            if not service.node.leader:
                self._end(errors.NO_LEADER)
            else:
                service.node.on_leader_loss.append(self._leader_lost)

    def on_message(self, message: pb.LeaseKeepAliveRequest) -> None:
        self._queue.append(message.ID)
        self._next()

    def on_half_close(self) -> None:
        self._half_closed = True
        self._next()

    def on_cancel(self) -> None:
        self._end(None, silent=True)

    def _leader_lost(self) -> None:
        self._end(errors.NO_LEADER)

    def _next(self) -> None:
        if self._busy or self._ended:
            return
        if not self._queue:
            if self._half_closed:
                self._end(None)
            return
        lease_id = self._queue.pop(0)
        response = pb.LeaseKeepAliveResponse(ID=lease_id, header=self._service.header())
        self._busy = True

        def renewed(result: int | RpcError) -> None:
            self._busy = False
            if self._ended:
                return
            if isinstance(result, RpcError) and result != errors.LEASE_NOT_FOUND:
                self._end(result)
                return
            response.TTL = 0 if isinstance(result, RpcError) else result
            self._stream.send(response)
            self._next()

        self._service.renew(self._stream.context, lease_id, renewed)

    def _end(self, error: RpcError | None, silent: bool = False) -> None:
        if self._ended:
            return
        self._ended = True
        if self._needs_leader and self._leader_lost in self._service.node.on_leader_loss:
            self._service.node.on_leader_loss.remove(self._leader_lost)
        if not silent:
            self._stream.finish(error)
