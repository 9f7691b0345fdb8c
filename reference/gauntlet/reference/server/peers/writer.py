"""The sending end of a peer stream: a GET of the peer's that we answer for as long as it lasts.

Rules (etcd's rafthttp, 3.7.1):

- The peer dials; the newest connection takes the place of the one before.
- Every third of the read time-out a heartbeat goes out, so that a silent stream is a broken one.
- While the peer takes less than is sent, at most `MAX_QUEUED` messages wait; more are dropped, and raft is
  told that the peer is unreachable. A peer that takes nothing for the write time-out loses the connection.

Only what is encoded counts for the state of a msgappv2 stream, so messages wait as messages.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from gauntlet.api.wire.http_types import HttpResponder
from gauntlet.reference.raft.types import Message
from gauntlet.reference.server.peers.codec import AppendEncoder, MessageEncoder
from gauntlet.reference.server.peers.status import PeerStatus

MAX_QUEUED = 4096
# Bytes handed to the connection and not taken by the peer, above which messages wait in the queue.
MAX_BACKLOG = 1 << 20


class StreamWriter:
    """`kind` is "message" or "msgapp"; `unreachable` is called when messages are lost. `timeout` in
    seconds."""

    def __init__(
        self,
        kind: str,
        status: PeerStatus,
        clock: Callable[[], float],
        unreachable: Callable[[], None],
        timeout: float,
    ) -> None:
        self.kind = kind
        self._status = status
        self._clock = clock
        self._unreachable = unreachable
        self._timeout = timeout
        self._responder: HttpResponder | None = None
        self._encoder: MessageEncoder | AppendEncoder = MessageEncoder()
        self._queue: deque[Message] = deque()
        self._written = 0
        self._taken = 0
        self._taken_at = 0.0

    @property
    def working(self) -> bool:
        return self._responder is not None

    def attach(self, responder: HttpResponder) -> None:
        """Use this answer, whose head has been sent, from now on."""
        self.close()
        self._encoder = AppendEncoder() if self.kind == "msgapp" else MessageEncoder()
        self._responder = responder
        self._written = self._taken = 0
        self._taken_at = self._clock()
        responder.on_close(lambda: self._lost(responder, "the peer closed the stream"))
        responder.on_drain(lambda: self._flush(responder))
        self._status.streams.add(f"{self.kind} out")
        self._status.activate()

    def send(self, messages: Sequence[Message]) -> None:
        """Write or queue; the stream must be working."""
        responder = self._responder
        if responder is None:
            raise RuntimeError("no stream is attached")
        if self._queue or responder.backlog > MAX_BACKLOG:
            room = MAX_QUEUED - len(self._queue)
            self._queue.extend(messages[:room])
            dropped = len(messages) - room
            if dropped > 0:
                self._status.sent_failures += dropped
                self._unreachable()
            return
        self._write(responder, self._encoder.encode(messages))

    def tick(self) -> None:
        """Every third of the read time-out: a heartbeat, and a look at whether the peer takes anything."""
        responder = self._responder
        if responder is None:
            return
        taken = self._written - responder.backlog
        now = self._clock()
        # Chunk framing is not counted, so `taken` may lag behind the truth, but it grows only with progress.
        if taken > self._taken or taken >= self._written:
            self._taken = taken
            self._taken_at = now
        elif now - self._taken_at >= self._timeout:
            self._lost(responder, f"the peer took nothing for {self._timeout:g} s")
            responder.abort()
            return
        if not self._queue:
            self._write(responder, self._encoder.heartbeat)

    def close(self) -> None:
        """Let go of the stream. Messages still queued are lost."""
        responder, self._responder = self._responder, None
        if responder is not None:
            self._status.streams.discard(f"{self.kind} out")
            if responder.backlog:
                # Waiting for what is in the way would keep the peer on a stream that nobody writes.
                responder.abort()
            else:
                responder.end()
        self._drop_queue()

    def _lost(self, responder: HttpResponder, reason: str) -> None:
        if responder is not self._responder:
            return
        self._responder = None
        self._status.streams.discard(f"{self.kind} out")
        self._status.deactivate(f"{self.kind} stream to it: {reason}")
        self._drop_queue()

    def _drop_queue(self) -> None:
        if self._queue:
            self._status.sent_failures += len(self._queue)
            self._queue.clear()
            self._unreachable()

    def _flush(self, responder: HttpResponder) -> None:
        if responder is self._responder and self._queue:
            messages = list(self._queue)
            self._queue.clear()
            self._write(responder, self._encoder.encode(messages))

    def _write(self, responder: HttpResponder, data: bytes) -> None:
        responder.write(data)
        self._written += len(data)
        self._status.sent_bytes += len(data)
