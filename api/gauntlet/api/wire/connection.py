"""One HTTP/2 connection, the server's side, as a state machine: bytes in, calls on streams, bytes out.

PURE: no clock, no socket. The owner calls `receive(data, now)` with whatever arrived, `take()` for what is to
be written, `refill()` when it was. How the input is cut into pieces makes no difference.

Rules (RFC 9113):

- The client begins with the preface and a SETTINGS frame (3.4). We begin with SETTINGS and a WINDOW_UPDATE.
- A header block is one HEADERS and its CONTINUATION frames with nothing between (6.10).
- Streams of the client have odd, rising numbers. A number above the highest seen is idle, and idle streams
  take only HEADERS and PRIORITY. A number that was passed over is closed for ever; using it is a
  PROTOCOL_ERROR, using one that was open before is STREAM_CLOSED (5.1).
- A breach of the protocol costs the stream where the RFC says so, else the connection: GOAWAY, and the owner
  closes. Nothing is read after that.

Against hostile clients: a header block has a bounded number of frames and bytes. Frames that make work for
nothing (resets, SETTINGS, empty DATA, small CONTINUATION, PRIORITY, unknown types) are paid for. Pings have
gRPC's own rule: a ping sooner than the agreed time earns a strike, sending headers or data wipes the strikes,
the third strike is the end. While answers pile up, input waits (SATURATED), and new streams are refused
(Limits.backlog_bytes). Of what one client sends at once, so many requests are looked at in a turn
(STREAMS_A_TURN): other connections come between.
"""

from __future__ import annotations

from collections.abc import Callable

from gauntlet.api.wire import frames
from gauntlet.api.wire.frames import ConnectionFault, ErrorCode, Setting, StreamFault
from gauntlet.api.wire.hpack_cache import Head, HeaderDecoder
from gauntlet.api.wire.limits import Limits
from gauntlet.api.wire.streams import DRAIN_PING, Streams

CONTINUATIONS = 64
SMALL_CONTINUATION = 1024
SKIPPED_RANGES = 64
MAX_PING_STRIKES = 2
PING_WITHOUT_STREAM = 7200.0
SATURATED = 4 << 20
STREAMS_A_TURN = 256

Accept = Callable[["Connection", int, Head, bool], object]

_unpack = frames.HEAD.unpack_from


class Connection(Streams):
    """`accept(connection, stream id, head, ended)` is called for each request; it makes the Stream.

    `wake()` is called when there is something to `take` and `scheduled` was not set. `pong(payload)` is
    called for each answer to a `ping`.
    """

    __slots__ = (
        "_accept",
        "_block",
        "_block_flags",
        "_block_frames",
        "_block_stream",
        "_buffer",
        "_decoder",
        "_last_ping",
        "_pong",
        "_preface_left",
        "_recv_left",
        "_settings_seen",
        "_skipped",
        "_strikes",
        "partial_bytes",
    )

    def __init__(
        self,
        accept: Accept,
        wake: Callable[[], None],
        limits: Limits,
        pong: Callable[[bytes], None] | None = None,
    ) -> None:
        super().__init__(wake, limits)
        self.partial_bytes = 0
        self._accept = accept
        self._pong = pong
        self._decoder = HeaderDecoder(limits.header_list_bytes)
        self._buffer = b""
        self._preface_left = frames.PREFACE
        self._settings_seen = False
        self._recv_left = limits.connection_window
        self._block: list[bytes] | None = None
        self._block_stream = self._block_flags = self._block_frames = 0
        self._skipped: list[tuple[int, int]] = []
        self._strikes = 0
        self._last_ping = -PING_WITHOUT_STREAM

    # For the owner.

    def start(self, now: float) -> None:
        """Send our half of the opening."""
        self.now = self._allowance_at = now
        values: list[tuple[int, int]] = [
            (Setting.MAX_CONCURRENT_STREAMS, self.max_streams),
            (Setting.INITIAL_WINDOW_SIZE, self.stream_window),
            (Setting.MAX_HEADER_LIST_SIZE, self.limits.header_list_bytes),
        ]
        extra = self.limits.connection_window - frames.DEFAULT_WINDOW
        self.write(frames.settings(values) + (frames.window_update(0, extra) if extra > 0 else b""))

    @property
    def unparsed(self) -> bool:
        """Whether `receive` stopped early: call it again, with nothing, in another turn."""
        buffer = self._buffer
        if len(buffer) < frames.HEADER_SIZE or self.closing:
            return False
        return len(buffer) >= frames.HEADER_SIZE + int.from_bytes(buffer[:3])

    def receive(self, data: bytes, now: float, stop_saturated: bool = True) -> None:
        """Take in some bytes. Never raises over what they are.

        It stops early after STREAMS_A_TURN new streams, and with `stop_saturated` also when too much output
        waits, see `unparsed`.
        """
        if self.closing:
            return
        self.now = now
        if self._preface_left:
            data = self._match_preface(data)
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        if not data:
            return
        try:
            position = self._parse(data, stop_saturated)
        except ConnectionFault as fault:
            self.fail(fault.code, fault.reason.encode())
            return
        if position < len(data) and not self.closing:
            self._buffer = data[position:] if position else data

    def lose_all(self) -> None:
        self._buffer = b""
        super().lose_all()

    def let_go(self) -> None:
        super().let_go()
        self._pong = None

    # Receiving.

    def _match_preface(self, data: bytes) -> bytes:
        left = self._preface_left
        size = min(len(left), len(data))
        if data[:size] != left[:size]:
            self.fail(ErrorCode.PROTOCOL_ERROR, b"invalid preface")
            return b""
        self._preface_left = left[size:]
        return data[size:]

    def _parse(self, data: bytes, stop_saturated: bool) -> int:
        """Handle the whole frames in `data`; returns where the rest begins."""
        position = 0
        last = len(data) - frames.HEADER_SIZE
        enough = self.last_stream_id + 2 * STREAMS_A_TURN - 1
        while position <= last:
            word, flags, stream_id = _unpack(data, position)
            size = word >> 8
            if size > frames.DEFAULT_FRAME_SIZE:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "frame larger than allowed")
            start = position + 9
            stop = start + size
            if stop - 9 > last:
                break
            payload = data[start:stop]
            kind = word & 0xFF
            stream_id &= 0x7FFFFFFF
            try:
                if self._block is not None and kind != frames.CONTINUATION:
                    raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "header block interrupted")
                if kind == 0:
                    self._data(stream_id, flags, payload)
                elif kind == 1:
                    if flags & 0x2C == 4:
                        self._header_block(stream_id, flags, payload)
                    else:
                        self._headers(stream_id, flags, payload)
                elif kind < 10:
                    if not self._settings_seen and kind != frames.SETTINGS:
                        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "the first frame is not SETTINGS")
                    _HANDLERS[kind](self, stream_id, flags, payload)
                else:
                    self._pay(1.0)
            except StreamFault as fault:
                self._reset_for(stream_id, fault)
            position = stop
            if self.closing or self.last_stream_id >= enough or (stop_saturated and self.backlog > SATURATED):
                break
        return position

    def _data(self, stream_id: int, flags: int, payload: bytes) -> None:
        size = len(payload)
        left = self._recv_left - size
        if left < 0:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "more DATA than the connection's window")
        self._recv_left = left
        window = self.limits.connection_window
        if left + left < window:
            self._recv_left = window
            self.write(frames.window_update(0, window - left))
        stream = self.streams.get(stream_id)
        if stream is None:
            self._data_for_none(stream_id, flags)
            return
        if flags & frames.PADDED:
            payload = frames.unpad(payload, flags)
        if stream.ended:
            raise StreamFault(ErrorCode.STREAM_CLOSED, "DATA after the end of the stream")
        stream.recv_left -= size
        if stream.recv_left < 0:
            raise StreamFault(ErrorCode.FLOW_CONTROL_ERROR, "more DATA than the stream's window")
        ended = flags & 1
        if stream.content_left is not None:
            stream.content_left -= len(payload)
            if stream.content_left < 0 or (ended and stream.content_left):
                raise StreamFault(ErrorCode.PROTOCOL_ERROR, "content-length is not kept")
        if ended:
            stream.ended = True
            if payload:
                stream.data_received(payload)
            else:
                stream.end_received()
        elif payload:
            stream.data_received(payload)
            self.consume(stream)
        else:
            self._pay(1.0)
            self.consume(stream)

    def _data_for_none(self, stream_id: int, flags: int) -> None:
        """DATA for a stream that is not open."""
        was_reset = self.lingering.get(stream_id)
        if was_reset is not None:
            if flags & 1 and not was_reset:
                del self.lingering[stream_id]
            return
        self._refuse_idle(stream_id)
        raise StreamFault(ErrorCode.STREAM_CLOSED, "DATA for a closed stream")

    def _headers(self, stream_id: int, flags: int, payload: bytes) -> None:
        """A HEADERS frame that has padding or a priority, or is not the whole block."""
        if stream_id == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "HEADERS on stream 0")
        fragment = frames.unpad(payload, flags)
        if flags & frames.PRIORITY_FLAG:
            if len(fragment) < 5:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "HEADERS too short for its priority")
            if frames.depends_on(fragment) == stream_id:
                # The block cannot be left out: the table's state would be lost. So the connection goes.
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "stream depends on itself")
            fragment = fragment[5:]
        if flags & frames.END_HEADERS:
            self._header_block(stream_id, flags, fragment)
            return
        self._block = [fragment]
        self._block_stream = stream_id
        self._block_flags = flags
        self._block_frames = 0

    def _continuation(self, stream_id: int, flags: int, payload: bytes) -> None:
        if self._block is None or stream_id != self._block_stream:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "CONTINUATION out of place")
        self._block.append(payload)
        self._block_frames += 1
        if len(payload) < SMALL_CONTINUATION and not flags & frames.END_HEADERS:
            self._pay(1.0)
        whole = sum(map(len, self._block))
        if self._block_frames > CONTINUATIONS or whole > self.limits.header_list_bytes:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "header block too large")
        if flags & frames.END_HEADERS:
            block = b"".join(self._block)
            self._block = None
            self._header_block(stream_id, self._block_flags, block)

    def _header_block(self, stream_id: int, flags: int, block: bytes) -> None:
        """A whole header block: a request, or the trailers of one."""
        decoder = self._decoder
        head = decoder.blocks.get(block)
        if head is None:
            head = decoder.decode(block)
        ended = flags & 1
        if stream_id > self.last_stream_id:
            if not stream_id & 1:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a client's stream has an even number")
            if not self._settings_seen:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "the first frame is not SETTINGS")
            if stream_id - self.last_stream_id > 2:
                self._skip(stream_id)
            self.last_stream_id = stream_id
            if head.malformed is not None:
                raise StreamFault(ErrorCode.PROTOCOL_ERROR, head.malformed)
            if ended and head.content_length:
                raise StreamFault(ErrorCode.PROTOCOL_ERROR, "content-length is not kept")
            if len(self.streams) >= self.max_streams or self.takes_no_more:
                raise StreamFault(ErrorCode.REFUSED_STREAM, "too many streams")
            if self.backlog > self.limits.backlog_bytes:
                raise StreamFault(ErrorCode.ENHANCE_YOUR_CALM, "take your answers first")
            self._accept(self, stream_id, head, bool(ended))
            return
        stream = self.streams.get(stream_id)
        if stream is None:
            self._trailers_for_none(stream_id, ended)
            return
        if stream.ended:
            raise StreamFault(ErrorCode.STREAM_CLOSED, "HEADERS after the end of the stream")
        if not ended or head.bad_trailers is not None or stream.content_left:
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, head.bad_trailers or "malformed trailers")
        stream.ended = True
        stream.end_received()

    def _trailers_for_none(self, stream_id: int, ended: int) -> None:
        was_reset = self.lingering.get(stream_id)
        if was_reset is not None:
            if ended and not was_reset:
                del self.lingering[stream_id]
            return
        if stream_id & 1 and not any(low <= stream_id <= high for low, high in self._skipped):
            raise ConnectionFault(ErrorCode.STREAM_CLOSED, "HEADERS for a closed stream")
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "stream numbers must rise")

    def _skip(self, stream_id: int) -> None:
        """Remember which numbers were passed over."""
        self._skipped.append((self.last_stream_id + 1, stream_id - 1))
        if len(self._skipped) > SKIPPED_RANGES:
            del self._skipped[0]

    def _priority(self, stream_id: int, flags: int, payload: bytes) -> None:
        if stream_id == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PRIORITY on stream 0")
        self._pay(1.0)
        if len(payload) != 5:
            raise StreamFault(ErrorCode.FRAME_SIZE_ERROR, "PRIORITY is not 5 bytes long")
        if frames.depends_on(payload) == stream_id:
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, "stream depends on itself")

    def _rst_stream(self, stream_id: int, flags: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "RST_STREAM is not 4 bytes long")
        self._refuse_idle(stream_id)
        stream = self.streams.pop(stream_id, None)
        if stream is not None:
            self._lose(stream)
        if stream is not None or self.lingering.pop(stream_id, None) is None:
            self._pay(1.0)

    def _settings(self, stream_id: int, flags: int, payload: bytes) -> None:
        if stream_id != 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "SETTINGS on a stream")
        if flags & frames.ACK:
            if payload:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS ACK with a payload")
            if not self._settings_seen:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "the first frame is not SETTINGS")
            self._pay(1.0)
            return
        values = frames.parse_settings(payload)
        self._settings_seen = True
        self._pay(1.0 + len(values) / 16)
        for name, value in values:
            if name == Setting.INITIAL_WINDOW_SIZE:
                if not self.change_peer_window(value):
                    raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "a stream's window passes 2^31-1")
            elif name == Setting.MAX_FRAME_SIZE:
                self.peer_frame_size = value
            elif name == Setting.HEADER_TABLE_SIZE:
                self.forget_table()
        self.write(frames.SETTINGS_ACK)
        self.pump()

    def _push_promise(self, stream_id: int, flags: int, payload: bytes) -> None:
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a client cannot promise")

    def _ping(self, stream_id: int, flags: int, payload: bytes) -> None:
        if stream_id != 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PING on a stream")
        if len(payload) != 8:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "PING is not 8 bytes long")
        if flags & frames.ACK:
            self._pay(1.0)
            if payload == DRAIN_PING:
                self._drain_heard()
            elif self._pong is not None:
                self._pong(payload)
            return
        self.write(frames.ping(payload, ack=True))
        since = self.now - self._last_ping
        self._last_ping = self.now
        if self.sent_since_ping:
            self.sent_since_ping = False
            self._strikes = 0
            return
        lawful = self.streams or self.limits.keepalive_without_stream
        if since < (self.limits.keepalive_min_time if lawful else PING_WITHOUT_STREAM):
            self._strikes += 1
        if self._strikes > MAX_PING_STRIKES:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too_many_pings")

    def _goaway(self, stream_id: int, flags: int, payload: bytes) -> None:
        if stream_id != 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "GOAWAY on a stream")
        if len(payload) < 8:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "GOAWAY is too short")
        self._pay(1.0)

    def _window_update(self, stream_id: int, flags: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "WINDOW_UPDATE is not 4 bytes long")
        increment = frames.u32(payload) & frames.STREAM_MASK
        if stream_id == 0:
            if increment == 0:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE of 0")
            if not self.open_window(None, increment):
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "the window passes 2^31-1")
            return
        stream = self.streams.get(stream_id)
        if stream is None:
            self._refuse_idle(stream_id)
            return
        if increment == 0:
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE of 0")
        if not self.open_window(stream, increment):
            raise StreamFault(ErrorCode.FLOW_CONTROL_ERROR, "the stream's window passes 2^31-1")


_HANDLERS: dict[int, Callable[[Connection, int, int, bytes], None]] = {
    frames.PRIORITY: Connection._priority,
    frames.RST_STREAM: Connection._rst_stream,
    frames.SETTINGS: Connection._settings,
    frames.PUSH_PROMISE: Connection._push_promise,
    frames.PING: Connection._ping,
    frames.GOAWAY: Connection._goaway,
    frames.WINDOW_UPDATE: Connection._window_update,
    frames.CONTINUATION: Connection._continuation,
}
