"""The sending half of an HTTP/2 connection: flow control, fair sharing, and one gathered output (RFC 9113,
5.2).

Rules:

- Everything to be sent is appended to one list, which the owner takes and writes once per loop turn. The
  first append of a turn calls `wake`.
- DATA leaves only within three bounds: the stream's window, the connection's window, and `budget`, the number
  of DATA bytes the owner is willing to hold for the socket until it says `refill`. What does not fit waits in
  its stream's queue; HEADERS, resets and acknowledgements never wait.
- Streams with waiting data take turns, one frame each. A stream whose own window is used up loses its turn
  until the window opens; it never holds up another.
- What ends a stream (trailers, or an empty last DATA frame) goes out right behind its last byte.
- Senders are told that their backlog is low only in `refill`, never from within their own or another's
  `send`.
- A small answer may pass streams that wait for budget, since it fits into what is left of it.
- Work that makes answers can be put off (`put_off`) while more than ANSWERS bytes of whole answers wait for
  a client that does not take them. It is done a few pieces a turn, so that their answers count in time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from struct import Struct
from typing import TYPE_CHECKING

from gauntlet.api.wire import frames
from gauntlet.api.wire.hpack_cache import FORGET_TABLE, Head
from gauntlet.api.wire.types import LOW_WATER

if TYPE_CHECKING:
    from gauntlet.api.wire.connection import Connection

BUDGET = 256 << 10
"""DATA bytes put out between two refills, so that one connection cannot fill the memory with its backlog."""

ANSWERS = 4 << 20
"""Bytes of answers that wait; above it `put_off` is called for."""

PUT_OFF_A_TURN = 8

_UNARY = Struct(">BI")
_HEAD = frames.HEAD
_FRAME = frames.HEADER_SIZE


class Block:
    """A header block that is sent often: its HEADERS frame around the stream id, ready made.

    `block` may not exceed the smallest frame size (16,384 bytes); other blocks go through `send_headers`.
    """

    __slots__ = ("block", "end_stream", "prefix")

    def __init__(self, block: bytes, end_stream: bool) -> None:
        if len(block) > frames.DEFAULT_FRAME_SIZE:
            raise ValueError("a constant block must fit into one frame")
        flags = frames.END_HEADERS | (frames.END_STREAM if end_stream else 0)
        self.block = block
        self.end_stream = end_stream
        self.prefix = _HEAD.pack(len(block) << 8 | frames.HEADERS, flags, 0)[:5]


class Stream:
    """One stream of a connection. Subclasses give it meaning through the five methods at the end.

    `ended`: the client has sent its last byte. `over`: our end is done, or the stream was reset or lost; then
    nothing is sent or received any more. `held`: the client's window is not opened again until `release`.
    """

    __slots__ = (
        "connection",
        "content_left",
        "ended",
        "finishing",
        "held",
        "id",
        "over",
        "pending",
        "pending_bytes",
        "pending_end",
        "recv_left",
        "recv_unread",
        "send_window",
    )

    def __init__(self, connection: Connection, stream_id: int, head: Head, ended: bool) -> None:
        self.connection = connection
        self.id = stream_id
        self.ended = ended
        self.over = False
        self.held = False
        self.finishing = False
        self.content_left = head.content_length
        self.send_window = connection.peer_window
        self.recv_left = connection.stream_window
        self.pending: deque[bytes | memoryview] | None = None
        self.pending_bytes = 0
        self.pending_end: bytes | None = None
        connection.streams[stream_id] = self

    # What a subclass answers to. None of them is called once the stream is over.

    def data_received(self, data: bytes) -> None:
        """Some of the body. `ended` is True already if it is the last of it."""

    def end_received(self) -> None:
        """The client's last byte was before this; not called when it came along with data."""

    def lost(self) -> None:
        """The stream was reset by either side, or its connection lost. `over` is True already."""

    def drained(self) -> None:
        """The backlog has fallen to LOW_WATER or less after having been above it."""


class Outflow:
    """The sending half. Connection adds the receiving one."""

    __slots__ = (
        "_drained",
        "_forget_table",
        "_put_off",
        "_wake",
        "answers",
        "backlog",
        "budget",
        "out",
        "peer_frame_size",
        "peer_window",
        "scheduled",
        "send_window",
        "sent_since_ping",
        "streams",
        "waiting",
    )

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._drained: list[Stream] = []
        self._forget_table = False
        self._put_off: deque[Callable[[], None]] = deque()
        self.answers = 0
        self.out: list[bytes] = []
        self.scheduled = False
        self.streams: dict[int, Stream] = {}
        self.waiting: dict[Stream, None] = {}
        self.budget = BUDGET
        self.backlog = 0
        self.send_window = frames.DEFAULT_WINDOW
        self.peer_window = frames.DEFAULT_WINDOW
        self.peer_frame_size = frames.DEFAULT_FRAME_SIZE
        self.sent_since_ping = False

    # For the owner.

    def take(self) -> bytes:
        """What is to be written now."""
        if not self.out:
            return b""
        data = b"".join(self.out)
        self.out.clear()
        return data

    def refill(self) -> None:
        """The socket took what was taken: put out more of what waits."""
        self.budget = BUDGET
        if self.waiting:
            self.pump()
        if self._drained:
            drained, self._drained = self._drained, []
            for stream in drained:
                if not stream.over:
                    stream.drained()
        if self._put_off:
            self._catch_up()

    def throttle(self) -> None:
        """The socket is full: keep DATA in the streams until `refill`."""
        self.budget = 0

    # For streams.

    def put_off(self, work: Callable[[], None]) -> None:
        """Do it once the client has taken the answers it has (or never, if it leaves)."""
        self._put_off.append(work)

    @property
    def behind(self) -> bool:
        """Whether work is to be put off."""
        return self.answers > ANSWERS or bool(self._put_off)

    def _catch_up(self) -> None:
        for _ in range(PUT_OFF_A_TURN):
            if not self._put_off or self.answers > ANSWERS:
                return
            self._put_off.popleft()()
        if self._put_off and not self.scheduled:
            self.scheduled = True
            self._wake()

    def write(self, data: bytes) -> None:
        self.out.append(data)
        if not self.scheduled:
            self.scheduled = True
            self._wake()

    def send_block(self, stream: Stream, block: Block) -> None:
        """Send a constant header block; one with END_STREAM goes behind what the stream has pending."""
        if stream.over:
            return
        if self._forget_table:
            self.send_headers(stream, block.block, block.end_stream)
            return
        data = block.prefix + stream.id.to_bytes(4) + block.block
        self._send_header_frames(stream, data, block.end_stream)

    def send_headers(self, stream: Stream, block: bytes, end_stream: bool) -> None:
        if stream.over:
            return
        if self._forget_table:
            self._forget_table = False
            block = FORGET_TABLE + block
        data = frames.header_frames(stream.id, block, end_stream, self.peer_frame_size)
        self._send_header_frames(stream, data, end_stream)

    def _send_header_frames(self, stream: Stream, data: bytes, end_stream: bool) -> None:
        self.sent_since_ping = True
        if not end_stream:
            self.write(data)
        elif stream.pending_bytes:
            stream.pending_end = data
            stream.finishing = True
            self.answers += stream.pending_bytes
        else:
            self.write(data)
            self.local_end(stream)

    def send_data(self, stream: Stream, data: bytes) -> None:
        size = len(data)
        if stream.over or not size:
            return
        if (
            size <= self.budget
            and size <= stream.send_window
            and size <= self.send_window
            and size <= self.peer_frame_size
            and not stream.pending_bytes
        ):
            self.sent_since_ping = True
            self.budget -= size
            self.send_window -= size
            stream.send_window -= size
            self.write(_HEAD.pack(size << 8, 0, stream.id) + data)
            return
        if stream.pending is None:
            stream.pending = deque()
        stream.pending.append(data)
        stream.pending_bytes += size
        self.backlog += size
        self.waiting[stream] = None
        self.pump()

    def end_data(self, stream: Stream) -> None:
        """End the stream with an empty DATA frame (a response without trailers)."""
        if stream.over:
            return
        data = frames.frame(frames.DATA, frames.END_STREAM, stream.id)
        self._send_header_frames(stream, data, True)

    def send_unary(self, stream: Stream, opening: Block, flag: int, body: bytes, closing: Block) -> None:
        """Headers, one gRPC message and trailers: a whole answer, in one piece where it fits."""
        if stream.over:
            return
        size = len(body) + 5
        if (
            size <= self.budget
            and size <= self.send_window
            and size <= stream.send_window
            and size <= self.peer_frame_size
            and not self._forget_table
            and not stream.pending_bytes
        ):
            self.sent_since_ping = True
            self.budget -= size
            self.send_window -= size
            stream_id = stream.id
            name = stream_id.to_bytes(4)
            self.out.append(
                b"".join(
                    (
                        opening.prefix,
                        name,
                        opening.block,
                        _HEAD.pack(size << 8, 0, stream_id),
                        _UNARY.pack(flag, size - 5),
                        body,
                        closing.prefix,
                        name,
                        closing.block,
                    )
                )
            )
            if not self.scheduled:
                self.scheduled = True
                self._wake()
            self.local_end(stream)
            return
        self.send_block(stream, opening)
        self.send_data(stream, _UNARY.pack(flag, size - 5) + body)
        self.send_block(stream, closing)

    def local_end(self, stream: Stream) -> None:
        """Our last frame of the stream is out."""
        raise NotImplementedError

    # Waiting data.

    def pump(self) -> None:
        """Let the waiting streams take turns while the bounds allow."""
        waiting = self.waiting
        while waiting and self.budget > 0 and self.send_window > 0:
            stream = next(iter(waiting))
            del waiting[stream]
            if stream.send_window <= 0 or stream.over:
                continue
            before = stream.pending_bytes
            self._send_piece(stream)
            if stream.pending_bytes:
                waiting[stream] = None
            elif stream.pending_end is not None:
                data, stream.pending_end = stream.pending_end, None
                self.write(data)
                self.local_end(stream)
            if stream.pending_bytes <= LOW_WATER < before:
                self._drained.append(stream)

    def _send_piece(self, stream: Stream) -> None:
        """Put out one DATA frame of what the stream has pending."""
        size = min(stream.pending_bytes, stream.send_window, self.send_window, self.peer_frame_size)
        pending = stream.pending
        assert pending is not None
        pieces: list[bytes | memoryview] = [_HEAD.pack(size << 8, 0, stream.id)]
        left = size
        while left:
            piece = pending[0]
            if len(piece) <= left:
                pieces.append(pending.popleft())
                left -= len(piece)
            else:
                view = memoryview(piece)
                pieces.append(view[:left])
                pending[0] = view[left:]
                left = 0
        stream.pending_bytes -= size
        stream.send_window -= size
        self.send_window -= size
        self.backlog -= size
        if stream.pending_end is not None:
            self.answers -= size
        self.budget -= size
        self.sent_since_ping = True
        self.write(b"".join(pieces))

    def drop_pending(self, stream: Stream) -> None:
        """Forget what a stream that is over still had to send."""
        self.waiting.pop(stream, None)
        self.backlog -= stream.pending_bytes
        if stream.pending_end is not None:
            self.answers -= stream.pending_bytes
        stream.pending = None
        stream.pending_bytes = 0
        stream.pending_end = None

    def open_window(self, stream: Stream | None, increment: int) -> bool:
        """A WINDOW_UPDATE arrived, for a stream or the connection. False if the window passes 2^31 - 1."""
        if stream is None:
            self.send_window += increment
            if self.send_window > frames.LARGEST_WINDOW:
                return False
        else:
            stream.send_window += increment
            if stream.send_window > frames.LARGEST_WINDOW:
                return False
            if stream.pending_bytes:
                self.waiting[stream] = None
        if self.waiting:
            self.pump()
        return True

    def change_peer_window(self, window: int) -> bool:
        """The peer changed its INITIAL_WINDOW_SIZE: every open stream's window moves along, even below 0.

        False if a window passes 2^31 - 1. The caller pumps, once the change is acknowledged.
        """
        change = window - self.peer_window
        self.peer_window = window
        for stream in self.streams.values():
            stream.send_window += change
            if stream.send_window > frames.LARGEST_WINDOW:
                return False
            if change > 0 and stream.pending_bytes:
                self.waiting[stream] = None
        return True

    def forget_table(self) -> None:
        """The peer changed the limit of our dynamic table: say in the next block that we use none."""
        self._forget_table = True
