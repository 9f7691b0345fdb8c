"""Lock: a name that one at a time owns, for as long as its key lives. See recipes.py for how."""

from __future__ import annotations

from gauntlet.api import errors
from gauntlet.api.errors import RpcError
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.messages import v3lockpb
from gauntlet.api.wire.types import Context, Reply
from gauntlet.reference.services.kv import KvService
from gauntlet.reference.services.lease import LeaseService
from gauntlet.reference.services.recipes import Steps, created_at, oldest

SESSION_EXPIRED = RpcError(errors.Code.UNKNOWN, "mutex: session is expired")


class LockService:
    def __init__(self, kv: KvService, leases: LeaseService) -> None:
        self.kv = kv
        self.leases = leases

    def lock(self, context: Context, request: v3lockpb.LockRequest, reply: Reply) -> None:
        Locking(self, context, request, reply)

    def unlock(self, context: Context, request: v3lockpb.UnlockRequest, reply: Reply) -> None:
        def deleted(response: pb.DeleteRangeResponse) -> None:
            reply(v3lockpb.UnlockResponse(header=response.header))

        Steps(self.kv, self.leases, context, reply).delete(request.key, deleted)


class Locking:
    """One call of Lock: puts its key, waits for its turn, and makes sure that the key is still there."""

    def __init__(
        self, service: LockService, context: Context, request: v3lockpb.LockRequest, reply: Reply
    ) -> None:
        self._service = service
        self._prefix = request.name + b"/"
        self._reply = reply
        self._key = b""
        self._waiting = False
        self._steps = Steps(service.kv, service.leases, context, self._failed)
        context.on_cancel(self._cancelled)
        self._steps.session(request.lease, self._acquire)

    def _acquire(self, lease: int) -> None:
        self._key = self._prefix + f"{lease:x}".encode()
        owner = pb.RequestOp(request_range=oldest(self._prefix))
        mine = pb.PutRequest(key=self._key, lease=lease)
        request = pb.TxnRequest(
            compare=[created_at(self._key, 0)],
            success=[pb.RequestOp(request_put=mine), owner],
            failure=[pb.RequestOp(request_range=pb.RangeRequest(key=self._key)), owner],
        )
        self._steps.txn(request, self._acquired)

    def _acquired(self, response: pb.TxnResponse) -> None:
        revision = response.header.revision
        if not response.succeeded:
            revision = response.responses[0].response_range.kvs[0].create_revision
        owner = response.responses[1].response_range.kvs
        if not owner or owner[0].create_revision == revision:
            self._answer(response.header)
            return
        self._waiting = True
        self._steps.wait_deletes(self._prefix, revision - 1, self._confirm)

    def _confirm(self) -> None:
        def found(response: pb.RangeResponse) -> None:
            self._waiting = False
            if response.kvs:
                self._answer(response.header)
            else:
                self._steps.fail(SESSION_EXPIRED)

        self._steps.range(pb.RangeRequest(key=self._key), found)

    def _answer(self, header: pb.ResponseHeader) -> None:
        self._steps.end()
        self._reply(v3lockpb.LockResponse(header=header, key=self._key))

    def _failed(self, error: RpcError) -> None:
        self._clean_up()
        self._reply(error)

    def _cancelled(self) -> None:
        self._steps.end()
        self._clean_up()

    def _clean_up(self) -> None:
        """Gives up the place in the queue."""
        if self._waiting:
            self._waiting = False
            service = self._service
            steps = Steps(service.kv, service.leases, Context(), lambda error: None)
            steps.delete(self._key, lambda response: None)
