"""Watch: many watchers on one stream, each told of its keys' changes in order.

Rules (etcd's watch server): a watcher's events never come before the message that announces it. A progress
answer has the watch id -1, speaks for all watchers of the stream, and is left out unless every one of them
has been given everything up to its revision. Regular progress notes are sent per watcher, only to those that
had no event since the last one. A response larger than a request may be is sent in fragments if the watcher
asked for that. A watcher that a compaction has ended keeps its id until the client cancels it, and the cancel
is answered as any other. A stream whose client reads too slowly gets nothing more until it has caught up; its
watchers wait without holding up anybody else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gauntlet.api import errors
from gauntlet.api.errors import RpcError
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.messages import mvccpb
from gauntlet.api.wire.types import ServerStream
from gauntlet.reference.auth.tokens import NOBODY
from gauntlet.reference.mvcc.watch import EmptyWatchRangeError, Watcher, check_range
from gauntlet.reference.node import Node
from gauntlet.reference.services.base import REQUIRE_LEADER, Service
from gauntlet.reference.services.guard import Guard

# Bytes that may wait for a slow client before its watchers are held back.
MAX_BACKLOG = 4 * 1024 * 1024
ALL_WATCHERS = -1
# How Go writes the codes that a refused watch may have.
_GO_CODES = {
    errors.Code.INVALID_ARGUMENT: "InvalidArgument",
    errors.Code.PERMISSION_DENIED: "PermissionDenied",
    errors.Code.UNAUTHENTICATED: "Unauthenticated",
}
DUPLICATE_ID = "mvcc: duplicate watch ID provided on the WatchStream"


@dataclass(slots=True)
class Watch:
    """A watcher as its stream knows it."""

    watcher: Watcher
    fragment: bool
    progress: bool
    quiet: bool = True

    @property
    def told_compacted(self) -> bool:
        return self.watcher.compact_revision != 0


class WatchService(Service):
    """`progress_interval` in seconds; `max_response` in bytes, above which fragments are cut."""

    def __init__(self, node: Node, guard: Guard, progress_interval: float, max_response: int) -> None:
        super().__init__(node, guard)
        self.progress_interval = progress_interval
        self.max_response = max_response
        self._streams: dict[WatchStream, None] = {}

    def watch(self, stream: ServerStream) -> WatchStream:
        receiver = WatchStream(self, stream)
        if not receiver.ended:
            self._streams[receiver] = None
        return receiver

    def forget(self, stream: WatchStream) -> None:
        self._streams.pop(stream, None)

    def tick(self) -> None:
        """Sends the regular progress notes that are due."""
        now = self.node.now()
        for stream in list(self._streams):
            stream.progress_due(now)


class WatchStream:
    """One client stream; the receiver of its requests and the sink of its watchers."""

    def __init__(self, service: WatchService, stream: ServerStream) -> None:
        self.ended = False
        self._service = service
        self._node = service.node
        self._stream = stream
        self._watches: dict[int, Watch] = {}
        self._next_id = 0
        # Spread the notes of streams that began together over a tenth of the interval.
        spread = 1 + (service.node.next_id() & 0xFF) / 2560
        self._interval = service.progress_interval * spread
        self._next_progress = service.node.now() + self._interval
        stream.on_drain(service.node.wake)
        self._needs_leader = stream.context.metadata.get(REQUIRE_LEADER) == "true"
        if self._needs_leader:
            if service.node.leader:
                service.node.on_leader_loss.append(self._leader_lost)
            else:
                self._leader_lost()

    # What the client sends.

    def on_message(self, message: pb.WatchRequest) -> None:
        kind = message.WhichOneof("request_union")
        if kind == "create_request":
            self._create(message.create_request)
        elif kind == "cancel_request":
            self._cancel(message.cancel_request.watch_id)
        elif kind == "progress_request":
            live = (watch.watcher for watch in self._watches.values() if not watch.told_compacted)
            self._progress(ALL_WATCHERS, live)

    def on_half_close(self) -> None:
        """A client that has nothing more to ask still wants its events."""

    def on_cancel(self) -> None:
        self._end()

    def _create(self, request: pb.WatchCreateRequest) -> None:
        if request.start_revision < 0:
            self._refuse(errors.COMPACTED.message)
            return
        guard = self._service.guard
        if not guard.store.enabled:
            self._start(request)
            return
        asked = pb.RangeRequest(key=request.key or b"\x00", range_end=request.range_end)
        guard.allow(
            self._stream.context,
            lambda caller: guard.permissions.range(caller or NOBODY, asked),
            lambda: self._start(request),
            self._refuse_caller,
        )

    def _refuse_caller(self, error: RpcError) -> None:
        # The header of a call says code and message; of a watch only this text is left.
        self._refuse(f"rpc error: code = {_GO_CODES[error.code]} desc = {error.message}")

    def _start(self, request: pb.WatchCreateRequest) -> None:
        if self.ended:
            return
        key = request.key or b"\x00"
        try:
            check_range(key, request.range_end)
        except EmptyWatchRangeError as error:
            self._refuse(str(error))
            return
        watch_id = request.watch_id
        if watch_id == 0:
            while self._next_id in self._watches:
                self._next_id += 1
            watch_id = self._next_id
        elif watch_id in self._watches:
            self._refuse(DUPLICATE_ID)
            return
        watcher = self._node.machine.watches.watch(
            key,
            request.range_end,
            request.start_revision,
            lambda watcher, revision, events: self._deliver(watch_id, watcher, revision, events),
            no_put=pb.WatchCreateRequest.NOPUT in request.filters,
            no_delete=pb.WatchCreateRequest.NODELETE in request.filters,
            prev_kv=request.prev_kv,
        )
        # Only now: a refused watch uses up no id.
        if request.watch_id == 0:
            self._next_id += 1
        self._watches[watch_id] = Watch(watcher, request.fragment, request.progress_notify)
        self._stream.send(pb.WatchResponse(header=self._service.header(), watch_id=watch_id, created=True))
        self._node.wake()

    def _refuse(self, reason: str) -> None:
        self._stream.send(
            pb.WatchResponse(
                header=self._service.header(),
                watch_id=ALL_WATCHERS,
                created=True,
                canceled=True,
                cancel_reason=reason,
            )
        )

    def _cancel(self, watch_id: int) -> None:
        watch = self._watches.pop(watch_id, None)
        if watch is None:
            return
        self._node.machine.watches.cancel(watch.watcher)
        self._stream.send(pb.WatchResponse(header=self._service.header(), watch_id=watch_id, canceled=True))

    # What the watchers have for the client.

    def _deliver(self, watch_id: int, watcher: Watcher, revision: int, events: list[mvccpb.Event]) -> bool:
        if self._stream.backlog > MAX_BACKLOG:
            return False
        watch = self._watches[watch_id]
        response = pb.WatchResponse(header=self._service.header(revision), watch_id=watch_id)
        if watcher.compact_revision:
            response.header.revision = 0  # etcd leaves it out here
            response.canceled = True
            response.compact_revision = watcher.compact_revision
        response.events.extend(events)
        watch.quiet = False
        if watch.fragment and len(events) > 1 and response.ByteSize() >= self._service.max_response:
            for fragment in fragments(response, self._service.max_response):
                self._stream.send(fragment)
        else:
            self._stream.send(response)
        return True

    def progress_due(self, now: float) -> None:
        if now < self._next_progress:
            return
        self._next_progress = now + self._interval
        for watch_id, watch in self._watches.items():
            if watch.progress and not watch.told_compacted:
                if watch.quiet:
                    self._progress(watch_id, (watch.watcher,))
                watch.quiet = True

    def _progress(self, watch_id: int, watchers: Iterable[Watcher]) -> None:
        revision = self._node.machine.watches.progress_revision(watchers)
        if revision is not None:
            self._stream.send(pb.WatchResponse(header=self._service.header(revision), watch_id=watch_id))

    # The end.

    def _leader_lost(self) -> None:
        if not self.ended:
            self._end()
            self._stream.finish(errors.NO_LEADER)

    def _end(self) -> None:
        self.ended = True
        for watch in self._watches.values():
            self._node.machine.watches.cancel(watch.watcher)
        self._watches.clear()
        if self._needs_leader and self._leader_lost in self._node.on_leader_loss:
            self._node.on_leader_loss.remove(self._leader_lost)
        self._service.forget(self)


def fragments(response: pb.WatchResponse, limit: int) -> Iterable[pb.WatchResponse]:
    """The events of `response` over several responses, each below `limit` bytes if one event allows it."""
    rest = list(response.events)
    head = pb.WatchResponse()
    head.CopyFrom(response)
    del head.events[:]
    while rest:
        piece = pb.WatchResponse()
        piece.CopyFrom(head)
        piece.fragment = True
        taken = 0
        for event in rest:
            piece.events.append(event)
            if len(piece.events) > 1 and piece.ByteSize() >= limit:
                del piece.events[-1]
                break
            taken += 1
        del rest[:taken]
        piece.fragment = bool(rest)
        yield piece
