"""KV: ranges, puts, deletes, txns, compactions.

A linearizable read waits until this member has caught up with the leader, then reads locally; a serializable
one reads at once. Everything that may change something goes through the log.
"""

from __future__ import annotations

from gauntlet.api.errors import RpcError
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.wire.types import Context, Reply, ServerStream
from gauntlet.reference.apply import Applied
from gauntlet.reference.mvcc import operations
from gauntlet.reference.node import Node
from gauntlet.reference.quota import put_cost, txn_cost
from gauntlet.reference.services.base import Quota, Service
from gauntlet.reference.services.guard import Guard
from gauntlet.reference.services.range_stream import RangeStream


class KvService(Service):
    def __init__(self, node: Node, guard: Guard, quota: Quota, max_txn_ops: int) -> None:
        super().__init__(node, guard)
        self._auth = guard.store
        self._quota = quota
        self._max_txn_ops = max_txn_ops

    def range(self, context: Context, request: pb.RangeRequest, reply: Reply) -> None:
        operations.check_range(request)
        if request.serializable:
            self._answer_range(context, request, reply)
            return

        def release(error: RpcError | None) -> None:
            if error is not None:
                reply(error)
            else:
                self._answer_range(context, request, reply)

        self.node.read(release)

    def _answer_range(self, context: Context, request: pb.RangeRequest, reply: Reply) -> None:
        if not self._auth.enabled:
            self._serve_range(request, reply)
            return
        self.guard.read(
            context,
            lambda caller: self.guard.permissions.range(caller, request),
            lambda: self._serve_range(request, reply),
            reply,
        )

    def _serve_range(self, request: pb.RangeRequest, reply: Reply) -> None:
        """The pairs go out as they are stored; only the header is encoded anew."""
        try:
            body, revision = operations.range_body(self.node.machine.store, request)
        except RpcError as error:
            reply(error)
            return
        head = pb.RangeResponse(header=self.header(revision)).SerializeToString()
        reply(head + body)

    def range_stream(self, stream: ServerStream) -> RangeStream:
        return RangeStream(self, stream, self.node.config.max_request_bytes)

    def put(self, context: Context, request: pb.PutRequest, reply: Reply) -> None:
        operations.check_put(request)
        if self._quota.admits(put_cost(request), reply):
            self.propose(context, pb.InternalRaftRequest(put=request), reply)

    def delete_range(self, context: Context, request: pb.DeleteRangeRequest, reply: Reply) -> None:
        operations.check_delete(request)
        self.propose(context, pb.InternalRaftRequest(delete_range=request), reply)

    def txn(self, context: Context, request: pb.TxnRequest, reply: Reply) -> None:
        operations.check_txn(request, self._max_txn_ops)
        if not operations.is_read_only(request):
            if self._quota.admits(txn_cost(request), reply):
                self.propose(context, pb.InternalRaftRequest(txn=request), reply)
            return

        def compute() -> pb.TxnResponse:
            response, _ = operations.txn(self.node.machine.store, request, _no_lease)
            return response

        def serve() -> None:
            self.guard.read(
                context,
                lambda caller: self.guard.permissions.txn(caller, request),
                lambda: self.local(compute, reply),
                reply,
            )

        if operations.is_serializable(request):
            serve()
        else:
            self.when_linearizable(serve, reply)

    def compact(self, context: Context, request: pb.CompactionRequest, reply: Reply) -> None:
        def answer(result: Applied) -> None:
            if result.error is not None:
                reply(result.error)
                return
            response: pb.CompactionResponse = result.response
            response.header.revision = self.node.machine.store.current_revision
            self.fill(response.header)
            if request.physical and result.job is not None:
                self.node.when_compacted(result.job, lambda: reply(response))
            else:
                reply(response)

        self.guard.propose(context, pb.InternalRaftRequest(compaction=request), answer)


def _no_lease(lease_id: int) -> bool:
    """A read-only txn puts nothing, so it never asks."""
    return False
