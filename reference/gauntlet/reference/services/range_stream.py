"""RangeStream: a range as a stream of messages, each about as big as a request may be.

Rules (new in etcd 3.7):

- Sort orders other than ascending by key, and bounds on revisions, are refused: they would need the whole
  answer first.
- All messages show one revision: the one asked for, or that of the store when the first was read. One that
  is compacted away meanwhile ends the stream with COMPACTED.
- The first message holds up to ten pairs. The number doubles after a message below half of the size aimed
  at (the largest request), and halves after one above twice of it.
- Only the last message has a header, whose revision is that of the store at the first, and `more` and
  `count`, which are what a plain range would have said.
- Who calls is asked once, before the first message.
- Nothing is read ahead: the next chunk is read once the client has taken enough of what was sent.
- A sort target without an order sorts each chunk by itself, and the next chunk goes on behind its last key.
  Such a stream may skip and repeat keys, as upstream's does.
"""

from __future__ import annotations

from gauntlet.api import errors
from gauntlet.api.errors import Code, RpcError
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.messages import mvccpb
from gauntlet.api.wire.types import ServerStream
from gauntlet.reference.mvcc import operations
from gauntlet.reference.services.base import REQUIRE_LEADER, Service

FIRST_CHUNK = 10  # pairs
# Bytes that may wait for a slow client before reading stops; above the wire's own low-water mark.
BACKLOG = 1024 * 1024

_NO_SORTING = RpcError(Code.UNIMPLEMENTED, "RangeStream does not support custom sort orders", definite=True)
_NO_FILTERS = RpcError(Code.UNIMPLEMENTED, "RangeStream does not support revision filters", definite=True)


def check_range_stream(request: pb.RangeRequest) -> None:
    """Raises the error that refuses a request which cannot be streamed."""
    operations.check_range(request)
    if not operations.in_key_order(request):
        raise _NO_SORTING.fresh()
    if operations.has_filters(request):
        raise _NO_FILTERS.fresh()


def next_chunk(pairs: int, size: int, target: int) -> int:
    """How many pairs to read after a chunk of `pairs` pairs took `size` bytes, with `target` the aim."""
    if size < target // 2:
        return pairs * 2
    if size > target * 2:
        return max(1, pairs // 2)
    return pairs


class RangeStream:
    """One call: the receiver of its request, and the sender of what that asks for.

    `chunk_bytes` is the size a message is meant to have.
    """

    def __init__(self, service: Service, stream: ServerStream, chunk_bytes: int) -> None:
        self._service = service
        self._store = service.node.machine.store
        self._stream = stream
        self._chunk_bytes = chunk_bytes
        self._needs_leader = stream.context.metadata.get(REQUIRE_LEADER) == "true"
        self._ended = False
        self._started = False
        self._revision = 0
        self._sent = 0

    def on_message(self, message: pb.RangeRequest) -> None:
        node = self._service.node
        if self._needs_leader:
            if not node.leader:
                raise errors.NO_LEADER.fresh()
            node.on_leader_loss.append(self._leader_lost)
        try:
            check_range_stream(message)
        except RpcError as error:
            self._end(error)
            return
        self._request = message
        self._pairs = FIRST_CHUNK
        if message.serializable:
            self._begin(None)
        else:
            node.read(self._begin)

    def on_half_close(self) -> None:
        return

    def on_cancel(self) -> None:
        self._leave()

    def _leader_lost(self) -> None:
        self._end(errors.NO_LEADER)

    def _end(self, error: RpcError | None = None) -> None:
        if not self._ended:
            self._leave()
            self._stream.finish(error)

    def _leave(self) -> None:
        self._ended = True
        listeners = self._service.node.on_leader_loss
        if self._needs_leader and self._leader_lost in listeners:
            listeners.remove(self._leader_lost)

    def _begin(self, error: RpcError | None) -> None:
        if self._ended:
            return
        if error is not None:
            self._end(error)
            return
        guard, request = self._service.guard, self._request
        guard.read(
            self._stream.context,
            lambda caller: guard.permissions.range(caller, request),
            self._serve,
            self._end,
        )

    def _serve(self) -> None:
        self._stream.on_drain(self._pump)
        self._pump()

    def _pump(self) -> None:
        try:
            while not self._ended and self._stream.backlog < BACKLOG:
                self._send_next()
        except RpcError as error:
            self._end(error)

    def _send_next(self) -> None:
        """Sends one message. Raises COMPACTED or FUTURE_REV."""
        request, store = self._request, self._store
        if request.count_only:
            result = store.range(request.key, request.range_end, request.revision, 0, True)
            self._revision = result.revision
            self._send_last([], result.count, more=False)
            return
        limit = request.limit
        wanted = min(self._pairs, limit - self._sent) if limit else self._pairs
        # With a limit below zero there is none, and no chunks either.
        page = operations.read_page(store, request, wanted)
        if not self._revision:
            self._revision = store.current_revision
            if not request.revision:
                request.revision = self._revision
        self._sent += len(page.kvs)
        if page.more:
            request.key = page.kvs[-1].key + b"\x00"
        if not page.more or self._sent == limit:
            count = self._sent
            if page.more:
                count += store.range(request.key, request.range_end, request.revision, 0, True).count
            self._send_last(page.kvs, count, page.more)
            return
        body = pb.RangeResponse(kvs=page.kvs)
        self._stream.send(pb.RangeStreamResponse(range_response=body))
        self._pairs = next_chunk(wanted, page.size, self._chunk_bytes)

    def _send_last(self, kvs: list[mvccpb.KeyValue], count: int, more: bool) -> None:
        response = pb.RangeResponse(
            header=self._service.header(self._revision), kvs=kvs, more=more, count=count
        )
        self._stream.send(pb.RangeStreamResponse(range_response=response))
        self._end()
