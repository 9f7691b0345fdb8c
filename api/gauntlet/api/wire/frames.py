"""HTTP/2 frames as bytes: constants, builders, and the parsing of whole payloads (RFC 9113, sections 4 and
6).

Nothing here keeps state. A payload that breaks a rule raises `ConnectionFault` or `StreamFault`, by what the
RFC says the rule's breach costs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import IntEnum
from struct import Struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

HEADER_SIZE = 9
DEFAULT_FRAME_SIZE = 1 << 14
LARGEST_FRAME_SIZE = (1 << 24) - 1
DEFAULT_WINDOW = (1 << 16) - 1
LARGEST_WINDOW = (1 << 31) - 1
STREAM_MASK = 0x7FFFFFFF

HEAD = Struct(">IBI")
"""A frame's header as (length << 8 | type, flags, stream id with its reserved bit)."""

_SETTING = Struct(">HI")
_U32 = Struct(">I")
_GOAWAY = Struct(">II")

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    range(10)
)

END_STREAM = ACK = 0x01
END_HEADERS = 0x04
PADDED = 0x08
PRIORITY_FLAG = 0x20

SETTINGS_ACK = HEAD.pack(SETTINGS, ACK, 0)


class ErrorCode(IntEnum):
    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


class Setting(IntEnum):
    HEADER_TABLE_SIZE = 1
    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5
    MAX_HEADER_LIST_SIZE = 6


class ConnectionFault(Exception):
    """The peer broke a rule that costs it the connection."""

    def __init__(self, code: ErrorCode, reason: str) -> None:
        super().__init__(f"{code.name}: {reason}")
        self.code = code
        self.reason = reason


class StreamFault(Exception):
    """The peer broke a rule that costs it one stream."""

    def __init__(self, code: ErrorCode, reason: str) -> None:
        super().__init__(f"{code.name}: {reason}")
        self.code = code
        self.reason = reason


# Building.


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    return HEAD.pack(len(payload) << 8 | kind, flags, stream_id) + payload


def settings(values: Iterable[tuple[int, int]]) -> bytes:
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(name, value) for name, value in values))


def window_update(stream_id: int, increment: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream_id, _U32.pack(increment))


def rst_stream(stream_id: int, code: int) -> bytes:
    return frame(RST_STREAM, 0, stream_id, _U32.pack(code))


def goaway(last_stream_id: int, code: int, debug: bytes = b"") -> bytes:
    return frame(GOAWAY, 0, 0, _GOAWAY.pack(last_stream_id, code) + debug)


def ping(payload: bytes, ack: bool = False) -> bytes:
    return frame(PING, ACK if ack else 0, 0, payload)


def header_frames(stream_id: int, block: bytes, end_stream: bool, frame_size: int) -> bytes:
    """A header block as one HEADERS frame and as many CONTINUATION frames as it needs."""
    flags = END_STREAM if end_stream else 0
    if len(block) <= frame_size:
        return frame(HEADERS, flags | END_HEADERS, stream_id, block)
    pieces = [frame(HEADERS, flags, stream_id, block[:frame_size])]
    last = (len(block) - 1) // frame_size * frame_size
    for start in range(frame_size, len(block), frame_size):
        end = END_HEADERS if start == last else 0
        pieces.append(frame(CONTINUATION, end, stream_id, block[start : start + frame_size]))
    return b"".join(pieces)


# Parsing.


def split_frames(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """The whole frames in `data` as (type, flags, stream id, payload). For tests and tools."""
    position = 0
    while len(data) - position >= HEADER_SIZE:
        word, flags, stream_id = HEAD.unpack_from(data, position)
        stop = position + HEADER_SIZE + (word >> 8)
        if stop > len(data):
            return
        yield word & 0xFF, flags, stream_id & STREAM_MASK, data[position + HEADER_SIZE : stop]
        position = stop


def unpad(payload: bytes, flags: int) -> bytes:
    """The payload of a DATA or HEADERS frame without its padding."""
    if not flags & PADDED:
        return payload
    if not payload:
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "padded frame without a pad length")
    pad = payload[0]
    if pad >= len(payload):
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "padding as long as the frame or longer")
    return payload[1 : len(payload) - pad]


def depends_on(payload: bytes) -> int:
    """The stream a priority block depends on."""
    dependency: int = _U32.unpack_from(payload)[0]
    return dependency & STREAM_MASK


def u32(payload: bytes) -> int:
    value: int = _U32.unpack_from(payload)[0]
    return value


def parse_settings(payload: bytes) -> list[tuple[int, int]]:
    """The settings of a SETTINGS payload, checked value by value; unknown names are left out."""
    if len(payload) % 6:
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS length is no multiple of 6")
    values = []
    for name, value in _SETTING.iter_unpack(payload):
        if name == Setting.ENABLE_PUSH and value > 1:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "ENABLE_PUSH is neither 0 nor 1")
        if name == Setting.INITIAL_WINDOW_SIZE and value > LARGEST_WINDOW:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE above 2^31-1")
        if name == Setting.MAX_FRAME_SIZE and not DEFAULT_FRAME_SIZE <= value <= LARGEST_FRAME_SIZE:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "MAX_FRAME_SIZE out of range")
        if 1 <= name <= 6:
            values.append((name, value))
    return values
