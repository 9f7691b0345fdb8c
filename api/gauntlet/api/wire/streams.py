"""What a connection keeps of its streams: how they end on either side, and what a client has to pay for.

Rules (RFC 9113):

- When we are done with a stream before the client is, it lingers: what the client still sends is ignored. At
  most LINGERING streams do so; the oldest is then reset. A stream we reset ourselves lingers the same way.
- A client's window is opened again by what has arrived, once half of it is used up; not while the stream is
  held.
- Cheap frames that make work for nothing are paid for from an allowance of ALLOWANCE frames that refills with
  ALLOWANCE_RATE a second; a client that runs out of it is sent away with ENHANCE_YOUR_CALM.
- A graceful end (6.8) is a GOAWAY that names no stream, a ping to learn when the client has read it, and a
  GOAWAY with the last stream that is served.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from gauntlet.api.wire import frames
from gauntlet.api.wire.frames import ConnectionFault, ErrorCode, StreamFault
from gauntlet.api.wire.limits import Limits
from gauntlet.api.wire.outflow import Outflow, Stream

LINGERING = 256
ALLOWANCE = 2000.0
ALLOWANCE_RATE = 500.0
DRAIN_PING = b"gauntlet"


def _nobody() -> None:
    """To be woken when the owner is gone."""


class Streams(Outflow):
    """Connection adds the reading of frames."""

    __slots__ = (
        "_allowance",
        "_allowance_at",
        "_drain_state",
        "closing",
        "last_stream_id",
        "limits",
        "lingering",
        "max_streams",
        "now",
        "stream_window",
    )

    def __init__(self, wake: Callable[[], None], limits: Limits) -> None:
        super().__init__(wake)
        self.limits = limits
        self.now = 0.0
        self.closing = False
        self.last_stream_id = 0
        self.lingering: dict[int, bool] = {}
        self.stream_window = limits.stream_window
        self.max_streams = min(limits.max_concurrent_streams, limits.stream_ceiling)
        self._allowance = ALLOWANCE
        self._allowance_at = 0.0
        self._drain_state = 0

    # For the owner.

    def fail(self, code: ErrorCode, debug: bytes = b"") -> None:
        """Send GOAWAY and give up everything. The owner closes once the output is written (`closing`)."""
        if self.closing:
            return
        self.write(frames.goaway(self.last_stream_id, code, debug))
        self.closing = True
        self.lose_all()

    def lose_all(self) -> None:
        """The connection is gone: so are its streams."""
        self.closing = True
        self._put_off.clear()
        streams = list(self.streams.values())
        self.streams.clear()
        self.lingering.clear()
        with ExitStack() as stack:  # each is told, even if what another makes of it is a defect
            for stream in streams:
                stack.callback(self._lose, stream)

    def let_go(self) -> None:
        """Nothing can be sent any more. Owner and connection hold each other: without this what waits to be
        written would wait for the collector."""
        self.out.clear()
        self._wake = _nobody

    def drain(self) -> None:
        """Begin a graceful end (6.8): no new streams once the client has heard of it; the open ones go on."""
        if self._drain_state or self.closing:
            return
        self._drain_state = 1
        self.write(frames.goaway(frames.LARGEST_WINDOW, ErrorCode.NO_ERROR) + frames.ping(DRAIN_PING))

    def _drain_heard(self) -> None:
        """The client knows that we are about to go: what it opens from now on is refused."""
        if self._drain_state == 1:
            self._drain_state = 2
            self.write(frames.goaway(self.last_stream_id, ErrorCode.NO_ERROR))

    @property
    def takes_no_more(self) -> bool:
        """Whether the client has heard that new streams are refused."""
        return self._drain_state == 2

    @property
    def drained_out(self) -> bool:
        """Whether a graceful end is complete."""
        return self.takes_no_more and not self.streams and not self.backlog

    def ping(self, payload: bytes) -> None:
        self.write(frames.ping(payload))

    # For streams.

    def local_end(self, stream: Stream) -> None:
        stream.over = True
        self.streams.pop(stream.id, None)
        if not stream.ended:
            self._linger(stream.id, False)

    def reset(self, stream: Stream, code: ErrorCode) -> None:
        """End a stream at once. Its `lost` is not called: the caller is the one who knows."""
        if stream.over:
            return
        stream.over = True
        self.streams.pop(stream.id, None)
        self.drop_pending(stream)
        self.write(frames.rst_stream(stream.id, code))
        self._linger(stream.id, True)

    def consume(self, stream: Stream) -> None:
        """Open the client's window again by what has arrived, unless the stream is held or about to end."""
        if stream.held or stream.ended or stream.over:
            return
        missing = self.stream_window - stream.recv_left
        if missing * 2 >= self.stream_window:
            stream.recv_left = self.stream_window
            self.write(frames.window_update(stream.id, missing))

    def release(self, stream: Stream) -> None:
        """End `stream.held`."""
        stream.held = False
        self.consume(stream)

    def _linger(self, stream_id: int, was_reset: bool) -> None:
        lingering = self.lingering
        lingering[stream_id] = was_reset
        if len(lingering) > LINGERING:
            oldest = next(iter(lingering))
            if not lingering.pop(oldest):
                self.write(frames.rst_stream(oldest, ErrorCode.NO_ERROR))

    def _lose(self, stream: Stream) -> None:
        if not stream.over:
            stream.over = True
            self.drop_pending(stream)
            stream.lost()

    def _reset_for(self, stream_id: int, fault: StreamFault) -> None:
        """The client's fault ends a stream. It pays, since resets on demand are work for nothing too."""
        self._pay(1.0)
        stream = self.streams.pop(stream_id, None)
        self.write(frames.rst_stream(stream_id, fault.code))
        self._linger(stream_id, True)
        if stream is not None:
            self._lose(stream)

    def _pay(self, price: float) -> None:
        gained = (self.now - self._allowance_at) * ALLOWANCE_RATE
        self._allowance_at = self.now
        self._allowance = min(ALLOWANCE, self._allowance + gained) - price
        if self._allowance < 0:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too many frames that do nothing")

    def _refuse_idle(self, stream_id: int) -> None:
        if stream_id > self.last_stream_id or not stream_id & 1:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "frame for an idle stream")
