"""Election: candidates for a name, one of whom leads; observers who hear of each. See recipes.py for how."""

from __future__ import annotations

from collections.abc import Callable

from gauntlet.api import errors
from gauntlet.api.errors import RpcError
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.messages import mvccpb, v3electionpb
from gauntlet.api.wire.types import Context, Reply, ServerStream
from gauntlet.reference.services.base import REQUIRE_LEADER
from gauntlet.reference.services.kv import KvService
from gauntlet.reference.services.lease import LeaseService
from gauntlet.reference.services.recipes import Steps, created_at, oldest, prefix_end

MISSING_LEADER = RpcError(errors.Code.UNKNOWN, '"leader" field must be provided', definite=True)
NOT_LEADER = RpcError(errors.Code.UNKNOWN, "election: not leader", definite=True)
NO_LEADER = RpcError(errors.Code.UNKNOWN, "election: no leader", definite=True)

# Bytes that may wait for a slow observer before its watch is held back.
MAX_BACKLOG = 1024 * 1024

Proclaimed = Callable[[pb.ResponseHeader], None]


class ElectionService:
    def __init__(self, kv: KvService, leases: LeaseService) -> None:
        self.kv = kv
        self.leases = leases

    def campaign(self, context: Context, request: v3electionpb.CampaignRequest, reply: Reply) -> None:
        Campaign(self, context, request, reply)

    def proclaim(self, context: Context, request: v3electionpb.ProclaimRequest, reply: Reply) -> None:
        if not request.HasField("leader"):
            reply(MISSING_LEADER)
            return
        steps = Steps(self.kv, self.leases, context, reply)
        leader = request.leader

        def proclaimed(header: pb.ResponseHeader) -> None:
            reply(v3electionpb.ProclaimResponse(header=header))

        steps.session(
            leader.lease,
            lambda lease: proclaim(steps, leader.key, leader.rev, request.value, lease, proclaimed),
        )

    def resign(self, context: Context, request: v3electionpb.ResignRequest, reply: Reply) -> None:
        if not request.HasField("leader"):
            reply(MISSING_LEADER)
            return
        steps = Steps(self.kv, self.leases, context, reply)
        leader = request.leader

        def resigned(response: pb.TxnResponse) -> None:
            reply(v3electionpb.ResignResponse(header=response.header))

        steps.session(leader.lease, lambda _: resign(steps, leader.key, leader.rev, resigned))

    def leader(self, context: Context, request: v3electionpb.LeaderRequest, reply: Reply) -> None:
        steps = Steps(self.kv, self.leases, context, reply)

        def found(response: pb.RangeResponse) -> None:
            if response.kvs:
                reply(v3electionpb.LeaderResponse(header=response.header, kv=response.kvs[0]))
            else:
                steps.fail(NO_LEADER)

        steps.range(oldest(request.name + b"/"), found)

    def observe(self, stream: ServerStream) -> Observer:
        return Observer(self, stream)


def proclaim(steps: Steps, key: bytes, revision: int, value: bytes, lease: int, then: Proclaimed) -> None:
    """Puts a new value under the leader's key, if it is still that leader's."""

    def done(response: pb.TxnResponse) -> None:
        if response.succeeded:
            then(response.header)
        else:
            steps.fail(NOT_LEADER)

    put = pb.PutRequest(key=key, value=value, lease=lease)
    success = [pb.RequestOp(request_put=put)]
    steps.txn(pb.TxnRequest(compare=[created_at(key, revision)], success=success), done)


def resign(steps: Steps, key: bytes, revision: int, then: Callable[[pb.TxnResponse], None]) -> None:
    """Deletes the leader's key, if it is still that leader's; otherwise there is nothing to do."""
    success = [pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=key))]
    steps.txn(pb.TxnRequest(compare=[created_at(key, revision)], success=success), then)


class Campaign:
    """One call of Campaign: puts its key with the value, and waits until it is the oldest."""

    def __init__(
        self,
        service: ElectionService,
        context: Context,
        request: v3electionpb.CampaignRequest,
        reply: Reply,
    ) -> None:
        self._service = service
        self._request = request
        self._prefix = request.name + b"/"
        self._reply = reply
        self._key = b""
        self._lease = 0
        self._revision = 0
        self._resigns = False  # whether a failure takes the key away
        self._waiting = False
        self._steps = Steps(service.kv, service.leases, context, self._failed)
        context.on_cancel(self._cancelled)
        self._steps.session(request.lease, self._enter)

    def _enter(self, lease: int) -> None:
        self._lease = lease
        self._key = self._prefix + f"{lease:x}".encode()
        put = pb.PutRequest(key=self._key, value=self._request.value, lease=lease)
        request = pb.TxnRequest(
            compare=[created_at(self._key, 0)],
            success=[pb.RequestOp(request_put=put)],
            failure=[pb.RequestOp(request_range=pb.RangeRequest(key=self._key))],
        )
        self._steps.txn(request, self._entered)

    def _entered(self, response: pb.TxnResponse) -> None:
        self._header = response.header
        self._revision = response.header.revision
        if response.succeeded:
            self._wait()
            return
        # The key is there from an earlier campaign under the same lease.
        kv = response.responses[0].response_range.kvs[0]
        self._revision = kv.create_revision
        if kv.value == self._request.value:
            self._wait()
            return
        self._resigns = True
        proclaim(self._steps, self._key, self._revision, self._request.value, self._lease, self._proclaimed)

    def _proclaimed(self, header: pb.ResponseHeader) -> None:
        self._resigns = False
        self._wait()

    def _wait(self) -> None:
        self._waiting = True
        self._steps.wait_deletes(self._prefix, self._revision - 1, self._elected)

    def _elected(self) -> None:
        self._waiting = False
        self._steps.end()
        leader = v3electionpb.LeaderKey(
            name=self._request.name, key=self._key, rev=self._revision, lease=self._lease
        )
        self._reply(v3electionpb.CampaignResponse(header=self._header, leader=leader))

    def _failed(self, error: RpcError) -> None:
        if self._resigns:
            self._clean_up()
        self._reply(error)

    def _cancelled(self) -> None:
        self._steps.end()
        if self._waiting:
            self._waiting = False
            self._clean_up()

    def _clean_up(self) -> None:
        service = self._service
        steps = Steps(service.kv, service.leases, Context(), lambda error: None)
        resign(steps, self._key, self._revision, lambda response: None)


class Observer:
    """One call of Observe: the leader of the moment, each new value it proclaims, then the next leader.

    It ends without an error whatever ends it, as upstream's does; but for a leader lost by who asked for one.
    """

    def __init__(self, service: ElectionService, stream: ServerStream) -> None:
        self._stream = stream
        self._node = service.kv.node
        self._prefix = b""
        self._steps = Steps(service.kv, service.leases, stream.context, self._failed)
        self._needs_leader = stream.context.metadata.get(REQUIRE_LEADER) == "true"
        stream.on_drain(self._node.wake)

    def on_message(self, message: v3electionpb.LeaderRequest) -> None:
        if self._needs_leader:
            if not self._node.leader:
                self._finish(errors.NO_LEADER)
                return
            self._node.on_leader_loss.append(self._leader_lost)
        self._prefix = message.name + b"/"
        self._look()

    def on_half_close(self) -> None:
        return

    def on_cancel(self) -> None:
        self._leave()

    def _look(self) -> None:
        self._steps.range(oldest(self._prefix), self._found)

    def _found(self, response: pb.RangeResponse) -> None:
        if response.kvs:
            self._follow(response.header, response.kvs[0])
            return

        def first(now: int, events: list[mvccpb.Event]) -> bool:
            put = next((event.kv for event in events if event.type == mvccpb.Event.PUT), None)
            if put is not None:
                self._steps.stop_watching()
                self._follow(self._service_header(put.mod_revision), put)
            return True

        end = prefix_end(self._prefix)
        self._steps.watch(self._prefix, end, response.header.revision, first)

    def _follow(self, header: pb.ResponseHeader, leader: mvccpb.KeyValue) -> None:
        self._send(header, leader)

        def changed(now: int, events: list[mvccpb.Event]) -> bool:
            if self._stream.backlog > MAX_BACKLOG:
                return False
            for event in events:
                if event.type == mvccpb.Event.DELETE:
                    self._steps.stop_watching()
                    self._look()
                    break
                self._send(self._service_header(now), event.kv)
            return True

        self._steps.watch(leader.key, b"", header.revision + 1, changed)

    def _send(self, header: pb.ResponseHeader, kv: mvccpb.KeyValue) -> None:
        self._stream.send(v3electionpb.LeaderResponse(header=header, kv=kv))

    def _service_header(self, revision: int) -> pb.ResponseHeader:
        config = self._node.config
        return pb.ResponseHeader(
            cluster_id=config.cluster_id,
            member_id=config.member_id,
            revision=revision,
            raft_term=self._node.term,
        )

    def _failed(self, error: RpcError) -> None:
        self._finish(None)

    def _leader_lost(self) -> None:
        self._finish(errors.NO_LEADER)

    def _finish(self, error: RpcError | None) -> None:
        self._leave()
        self._stream.finish(error)

    def _leave(self) -> None:
        self._steps.end()
        if self._needs_leader and self._leader_lost in self._node.on_leader_loss:
            self._node.on_leader_loss.remove(self._leader_lost)
