"""The two encodings of raft messages on a peer stream, as pure functions of bytes.

Rules (etcd's rafthttp, 3.7.1; integers are big-endian u64):

- message stream: `length | Message`. The link's own heartbeat is a MsgHeartbeat from 0 to 0, which raft never
  sends.
- msgappv2 stream, one type byte first:
  0  the link's heartbeat, nothing follows;
  1  `n | n x (length | Entry) | commit`: a MsgApp that starts where the last one on this stream ended, in the
     same term. Sender, receiver, term and index are not sent: both ends count them;
  2  `length | Message`: any other MsgApp. It sets the term and the index both ends count from.
- A received snapshot is `length | Message | the database, raw, to the end of the body`.

An encoder belongs to one stream from its first byte, since form 1 depends on all that went before.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct

from gauntlet.reference.formats.raftpb import decode_entry, decode_message, encode_entry, encode_message
from gauntlet.reference.raft.types import Entry, Message, MessageType

READ_LIMIT = 512 << 20
SNAPSHOT_MESSAGE_LIMIT = 64 << 20

_U64 = Struct(">Q")
_HEARTBEAT, _ENTRIES, _APPEND = 0, 1, 2
_MESSAGE_HEARTBEAT_BODY = encode_message(Message(MessageType.HEARTBEAT))
_MESSAGE_HEARTBEAT = _U64.pack(len(_MESSAGE_HEARTBEAT_BODY)) + _MESSAGE_HEARTBEAT_BODY


class CodecError(ValueError):
    """The stream cannot be what a member sends."""


class MessageEncoder:
    heartbeat = _MESSAGE_HEARTBEAT

    def encode(self, messages: Iterable[Message]) -> bytes:
        parts: list[bytes] = []
        for message in messages:
            body = encode_message(message)
            parts += (_U64.pack(len(body)), body)
        return b"".join(parts)


class AppendEncoder:
    """For MsgApp only."""

    heartbeat = b"\x00"

    def __init__(self) -> None:
        self._term = 0
        self._index = 0

    def encode(self, messages: Iterable[Message]) -> bytes:
        parts: list[bytes] = []
        pack = _U64.pack
        for message in messages:
            entries = message.entries
            if message.index == self._index and message.log_term == self._term == message.term:
                parts.append(b"\x01" + pack(len(entries)))
                for entry in entries:
                    body = encode_entry(entry)
                    parts.append(pack(len(body)))
                    parts.append(body)
                self._index += len(entries)
                parts.append(pack(message.commit))
            else:
                body = encode_message(message)
                parts += (b"\x02", pack(len(body)), body)
                self._term = message.term
                self._index = entries[-1].index if entries else message.index
        return b"".join(parts)


class _Buffered:
    """Keeps what is left of a stream after its last whole frame.

    Pieces are joined only when the next frame (or entry) is whole, so a large one is not copied again with
    every piece of it.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pieces: list[bytes] = []
        self._have = 0
        self._need = 1

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are complete now; the link's heartbeats are not among them."""
        out: list[Message] = []
        if self._have:
            self._pieces.append(data)
            self._have += len(data)
            if self._have < self._need:
                return out
            data = b"".join(self._pieces)
        self._need = 1
        used = self._scan(data, out)
        rest = data[used:]
        self._pieces = [rest]
        self._have = len(rest)
        return out

    @property
    def pending(self) -> int:
        """Bytes of a frame that is not complete yet."""
        return self._have

    def _scan(self, data: bytes, out: list[Message]) -> int:
        """Add the messages in `data` and return how much of it they took; `_need` says what is missing."""
        raise NotImplementedError

    def _body(self, data: bytes, pos: int) -> tuple[bytes, int] | None:
        """The length-prefixed bytes at `pos` and where they end, or None when they are not all there."""
        start = pos + 8
        if start > len(data):
            return None
        (length,) = _U64.unpack_from(data, pos)
        if length > self._limit:
            raise CodecError(f"a frame of {length} bytes; the limit is {self._limit}")
        end = start + length
        if end > len(data):
            self._need = 8 + length
            return None
        return data[start:end], end


class MessageDecoder(_Buffered):
    def __init__(self, limit: int = READ_LIMIT) -> None:
        super().__init__(limit)

    def _scan(self, data: bytes, out: list[Message]) -> int:
        pos = 0
        while (found := self._body(data, pos)) is not None:
            body, pos = found
            message = decode_message(body)
            if not is_link_heartbeat(message):
                out.append(message)
        return pos


class AppendDecoder(_Buffered):
    """`local` and `remote` are the member ids that form 1 leaves out."""

    def __init__(self, local: int, remote: int, limit: int = READ_LIMIT) -> None:
        super().__init__(limit)
        self._local = local
        self._remote = remote
        self._term = 0
        self._index = 0
        # The frame of form 1 under way, and how many of its entries are still to come.
        self._open: Message | None = None
        self._left = 0

    def _scan(self, data: bytes, out: list[Message]) -> int:
        pos = 0
        size = len(data)
        while True:
            if self._open is not None:
                pos, done = self._continue(data, pos, self._open)
                if not done:
                    return pos
                out.append(self._open)
                self._open = None
                continue
            if pos >= size:
                return pos
            kind = data[pos]
            if kind == _HEARTBEAT:
                pos += 1
            elif kind == _ENTRIES:
                if pos + 9 > size:
                    return pos
                (self._left,) = _U64.unpack_from(data, pos + 1)
                pos += 9
                self._open = Message(
                    MessageType.APP,
                    to=self._local,
                    sender=self._remote,
                    term=self._term,
                    log_term=self._term,
                    index=self._index,
                )
            elif kind == _APPEND:
                found = self._body(data, pos + 1)
                if found is None:
                    return pos
                body, pos = found
                message = decode_message(body)
                self._term = message.term
                self._index = message.entries[-1].index if message.entries else message.index
                out.append(message)
            else:
                raise CodecError(f"unknown frame type {kind} in a msgappv2 stream")

    def _continue(self, data: bytes, pos: int, message: Message) -> tuple[int, bool]:
        # The hottest loop of a follower: no calls but the two that decode.
        entries: list[Entry] = message.entries
        append = entries.append
        unpack = _U64.unpack_from
        size = len(data)
        left = had = self._left
        while left:
            start = pos + 8
            if start > size:
                break
            length = unpack(data, pos)[0]
            end = start + length
            if end > size:
                if length > self._limit:
                    raise CodecError(f"an entry of {length} bytes; the limit is {self._limit}")
                self._need = 8 + length
                break
            append(decode_entry(data[start:end]))
            pos = end
            left -= 1
        self._left = left
        self._index += had - left
        if left or pos + 8 > size:
            return pos, False
        message.commit = unpack(data, pos)[0]
        return pos + 8, True


class SnapshotDecoder:
    """Splits the body of a snapshot request into its message and the pieces of the database."""

    def __init__(self, limit: int = SNAPSHOT_MESSAGE_LIMIT) -> None:
        self._limit = limit
        self._head = bytearray()
        self.message: Message | None = None

    def feed(self, data: bytes) -> bytes:
        """Take a piece of the body and return the database bytes in it; `message` is set before the first."""
        if self.message is not None:
            return data
        head = self._head
        head += data
        if len(head) < 8:
            return b""
        (length,) = _U64.unpack_from(head)
        if length > self._limit:
            raise CodecError(f"a snapshot message of {length} bytes; the limit is {self._limit}")
        end = 8 + length
        if len(head) < end:
            return b""
        self.message = decode_message(bytes(head[8:end]))
        rest = bytes(head[end:])
        head.clear()
        return rest


def snapshot_head(message: Message) -> bytes:
    """What goes before the database in the body of a snapshot request."""
    body = encode_message(message)
    return _U64.pack(len(body)) + body


def is_link_heartbeat(message: Message) -> bool:
    return message.type is MessageType.HEARTBEAT and message.sender == 0 and message.to == 0
