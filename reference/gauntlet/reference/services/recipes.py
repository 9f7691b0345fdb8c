"""What locks and elections are made of: one call that takes several steps against the store.

Rules (etcd 3.7.1, client/v3/concurrency, which upstream's server runs inside itself):

- Who takes part has a key `<name>/<lease in hex>` under a lease; the key with the lowest create revision is
  first. A caller that gives no lease gets one of 60 s.
- Each waits for the youngest key that is older than its own to be deleted, then looks again; so a deletion
  wakes one waiter.
- The steps are ordinary requests in the caller's name. What clean-up follows a cancelled call is done in
  nobody's name, and comes to nothing while authentication is on; the lease then removes the key.
- Errors lose their code on the way: all are Unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gauntlet.api import errors
from gauntlet.api.errors import RpcError
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.messages import mvccpb
from gauntlet.api.wire.types import Answer, Context, UnaryHandler
from gauntlet.reference.mvcc.watch import Watcher
from gauntlet.reference.services.guard import answering
from gauntlet.reference.services.kv import KvService
from gauntlet.reference.services.lease import LeaseService

SESSION_TTL = 60  # seconds

Failed = Callable[[RpcError], None]


def plain(error: RpcError) -> RpcError:
    """The error as it leaves the server."""
    return RpcError(errors.Code.UNKNOWN, error.message, error.definite)


def prefix_end(prefix: bytes) -> bytes:
    """The end of the range of all keys that begin with `prefix`."""
    for at in range(len(prefix) - 1, -1, -1):
        if prefix[at] < 0xFF:
            return prefix[:at] + bytes([prefix[at] + 1])
    return b"\x00"


def oldest(prefix: bytes) -> pb.RangeRequest:
    """The key below `prefix` that was created first."""
    return pb.RangeRequest(
        key=prefix,
        range_end=prefix_end(prefix),
        limit=1,
        sort_order=pb.RangeRequest.ASCEND,
        sort_target=pb.RangeRequest.CREATE,
    )


def created_at(key: bytes, revision: int) -> pb.Compare:
    """Holds while `key` is the one created at `revision`; 0: while there is no such key."""
    return pb.Compare(key=key, target=pb.Compare.CREATE, result=pb.Compare.EQUAL, create_revision=revision)


class Steps:
    """The requests of one call, made in the name of `context`. After `failed` nothing more happens."""

    def __init__(self, kv: KvService, leases: LeaseService, context: Context, failed: Failed) -> None:
        self._kv = kv
        self._leases = leases
        self._context = context
        self._failed = failed
        self._watcher: Watcher | None = None
        self.over = False

    def fail(self, error: RpcError) -> None:
        if not self.over:
            self.end()
            self._failed(plain(error))

    def end(self) -> None:
        """Forgets what is under way."""
        self.over = True
        self.stop_watching()

    def stop_watching(self) -> None:
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            self._kv.node.machine.watches.cancel(watcher)

    def session(self, lease: int, then: Callable[[int], None]) -> None:
        """Gives `lease`, or a new one for 0."""
        if lease:
            then(lease)
        else:
            request = pb.LeaseGrantRequest(TTL=SESSION_TTL)
            self._call(self._leases.grant, request, pb.LeaseGrantResponse, lambda response: then(response.ID))

    def range(self, request: pb.RangeRequest, then: Callable[[pb.RangeResponse], None]) -> None:
        self._call(self._kv.range, request, pb.RangeResponse, then)

    def txn(self, request: pb.TxnRequest, then: Callable[[pb.TxnResponse], None]) -> None:
        self._call(self._kv.txn, request, pb.TxnResponse, then)

    def delete(self, key: bytes, then: Callable[[pb.DeleteRangeResponse], None]) -> None:
        request = pb.DeleteRangeRequest(key=key)
        self._call(self._kv.delete_range, request, pb.DeleteRangeResponse, then)

    def watch(
        self,
        key: bytes,
        end: bytes,
        revision: int,
        then: Callable[[int, list[mvccpb.Event]], bool],
    ) -> None:
        """Calls `then` with the store's revision and changes from `revision` on, until `stop_watching`.

        What it returns False for comes again later.
        """

        def sink(watcher: Watcher, now: int, events: list[mvccpb.Event]) -> bool:
            if self.over:
                return True
            if watcher.compact_revision:
                self._watcher = None
                self.fail(errors.COMPACTED)
                return True
            return then(now, events)

        self._watcher = self._kv.node.machine.watches.watch(key, end, revision, sink)
        self._kv.node.wake()

    def wait_deletes(self, prefix: bytes, revision: int, then: Callable[[], None]) -> None:
        """Calls `then` once no key below `prefix` is left that was created at or before `revision`."""
        request = pb.RangeRequest(
            key=prefix,
            range_end=prefix_end(prefix),
            limit=1,
            sort_order=pb.RangeRequest.DESCEND,
            sort_target=pb.RangeRequest.CREATE,
            max_create_revision=revision,
        )

        def found(response: pb.RangeResponse) -> None:
            if not response.kvs:
                then()
                return

            def changed(now: int, events: list[mvccpb.Event]) -> bool:
                if any(event.type == mvccpb.Event.DELETE for event in events):
                    self.stop_watching()
                    self.range(request, found)
                return True

            self.watch(response.kvs[0].key, b"", response.header.revision, changed)

        self.range(request, found)

    def _call(
        self, handler: UnaryHandler, request: Any, response: type[Any], then: Callable[[Any], None]
    ) -> None:
        def answer(result: Answer) -> None:
            if self.over:
                return
            if isinstance(result, RpcError):
                self.fail(result)
            else:
                then(response.FromString(result) if isinstance(result, bytes) else result)

        answering(handler, self._context, request, answer)
