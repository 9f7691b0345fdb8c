"""gRPC's own texts and encodings: status blocks, time-outs, compression, content types.

The texts are those of grpc-go, which every etcd client knows; a helper here builds each that needs an
argument.
"""

from __future__ import annotations

import zlib
from functools import lru_cache

from gauntlet.api.errors import Code, RpcError
from gauntlet.api.wire.hpack_cache import encode_headers
from gauntlet.api.wire.outflow import Block

CONTENT_TYPE = "application/grpc"
LARGEST_MESSAGE_TEXT = 8 << 10

_PLAIN = frozenset(range(0x20, 0x7F)) - {0x25}
_TIMEOUT_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_LONGEST_TIMEOUT = (2**63 - 1) / 1e9
_GZIP = 31
_GO_ESCAPES = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}

DEADLINE_EXCEEDED = RpcError(Code.DEADLINE_EXCEEDED, "context deadline exceeded")
NO_REQUEST = RpcError(Code.UNKNOWN, "EOF")
TORN_REQUEST = RpcError(Code.UNKNOWN, "unexpected EOF")
TORN_STREAM_REQUEST = RpcError(Code.INTERNAL, "unexpected EOF")
NO_SINGLE_REQUEST = RpcError(
    Code.INTERNAL, "cardinality violation: received no request message from non-client-streaming RPC"
)
SECOND_REQUEST = RpcError(
    Code.INTERNAL, "cardinality violation: received multiple request messages for non-client-streaming RPC"
)
COMPRESSED_IDENTITY = RpcError(Code.INTERNAL, "grpc: compressed flag set with identity or empty encoding")
TOO_MUCH_UNFINISHED = RpcError(
    Code.RESOURCE_EXHAUSTED, "grpc: too many unfinished messages on one connection"
)


def go_quote(text: str) -> str:
    """`text` as Go's %q prints it."""
    quoted = []
    for character in text:
        if character in '"\\':
            quoted.append("\\" + character)
        elif character in _GO_ESCAPES:
            quoted.append(_GO_ESCAPES[character])
        elif character.isprintable():
            quoted.append(character)
        elif ord(character) < 0x80:
            quoted.append(f"\\x{ord(character):02x}")
        else:
            quoted.append(f"\\u{ord(character):04x}")
    return f'"{"".join(quoted)}"'


def too_large(size: int, limit: int) -> RpcError:
    return RpcError(Code.RESOURCE_EXHAUSTED, f"grpc: received message larger than max ({size} vs. {limit})")


def unknown_format(flag: int) -> RpcError:
    return RpcError(Code.INTERNAL, f"grpc: received unexpected payload format {flag}")


def unknown_encoding(name: str) -> RpcError:
    text = f"grpc: Decompressor is not installed for grpc-encoding {go_quote(name)}"
    return RpcError(Code.UNIMPLEMENTED, text)


def undecodable(detail: str) -> RpcError:
    return RpcError(Code.INTERNAL, f"grpc: error unmarshalling request: proto: {detail}")


def unknown_method(path: str, services: frozenset[str]) -> RpcError:
    """What grpc-go says of a path it does not serve."""
    if not path.startswith("/") or "/" not in path[1:]:
        return RpcError(Code.UNIMPLEMENTED, f"malformed method name: {go_quote(path)}")
    service, _, method = path[1:].rpartition("/")
    if service not in services:
        return RpcError(Code.UNIMPLEMENTED, f"unknown service {service}")
    return RpcError(Code.UNIMPLEMENTED, f"unknown method {method} for service {service}")


def content_subtype(content_type: str) -> str | None:
    """`proto` of `application/grpc+proto`, empty for the bare type, None for anything that is not gRPC."""
    if content_type == CONTENT_TYPE:
        return ""
    if content_type.startswith((CONTENT_TYPE + "+", CONTENT_TYPE + ";")):
        return content_type[len(CONTENT_TYPE) + 1 :]
    return None


@lru_cache(1024)
def parse_timeout(text: str) -> float:
    """Seconds of a grpc-timeout value. Raises RpcError as grpc-go words it."""
    problem = ""
    if len(text) < 2:
        problem = f"transport: timeout string is too short: {go_quote(text)}"
    elif len(text) > 9:
        problem = f"transport: timeout string is too long: {go_quote(text)}"
    elif text[-1] not in _TIMEOUT_UNITS:
        problem = f"transport: timeout unit is not recognized: {go_quote(text)}"
    elif not (text[:-1].isascii() and text[:-1].isdigit()):
        problem = f"strconv.ParseUint: parsing {go_quote(text[:-1])}: invalid syntax"
    if problem:
        raise RpcError(Code.INTERNAL, f"malformed grpc-timeout: {problem}")
    return min(int(text[:-1]) * _TIMEOUT_UNITS[text[-1]], _LONGEST_TIMEOUT)


def encode_message(text: str) -> bytes:
    """A status message as the value of grpc-message: percent encoding of all but printable ASCII."""
    raw = text.encode("utf-8", "replace")[:LARGEST_MESSAGE_TEXT]
    if _PLAIN.issuperset(raw):
        return raw
    return b"".join(bytes((byte,)) if byte in _PLAIN else b"%%%02X" % byte for byte in raw)


def _status_fields(code: int, message: str) -> list[tuple[bytes, bytes]]:
    fields = [(b"grpc-status", b"%d" % code)]
    if message:
        fields.append((b"grpc-message", encode_message(message)))
    return fields


def _content_type(subtype: str) -> bytes:
    return f"{CONTENT_TYPE}+{subtype}".encode("latin-1") if subtype else CONTENT_TYPE.encode()


@lru_cache(256)
def trailers(code: int, message: str) -> Block:
    """The trailers that end a call whose headers were sent."""
    return Block(encode_headers(_status_fields(code, message)), True)


@lru_cache(256)
def trailers_only(code: int, message: str, subtype: str = "", http_status: int = 200) -> Block:
    """The whole answer to a call that failed before anything was sent."""
    fields = [(b":status", b"%d" % http_status), (b"content-type", _content_type(subtype))]
    return Block(encode_headers(fields + _status_fields(code, message)), True)


@lru_cache(64)
def opening(subtype: str, gzip: bool) -> Block:
    """The headers in front of a call's first message."""
    fields = [(b":status", b"200"), (b"content-type", _content_type(subtype))]
    if gzip:
        fields.append((b"grpc-encoding", b"gzip"))
    return Block(encode_headers(fields), False)


def compress(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=_GZIP)
    return packer.compress(data) + packer.flush()


def decompress(data: bytes, limit: int) -> bytes:
    """The content of a gzip stream, of several members too. Raises RpcError; makes no more than limit + 1."""
    if data[:2] != b"\x1f\x8b":
        raise RpcError(Code.INTERNAL, "grpc: failed to decompress the message: gzip: invalid header")
    parts: list[bytes] = []
    size = 0
    while data:
        unpacker = zlib.decompressobj(wbits=_GZIP)
        try:
            part = unpacker.decompress(data, limit + 1 - size)
        except zlib.error as error:
            text = f"grpc: failed to read decompressed data: {error}"
            raise RpcError(Code.INTERNAL, text) from None
        parts.append(part)
        size += len(part)
        if size > limit:
            text = f"grpc: received message after decompression larger than max {limit}"
            raise RpcError(Code.RESOURCE_EXHAUSTED, text)
        if not unpacker.eof:
            raise RpcError(Code.INTERNAL, "grpc: failed to read decompressed data: unexpected EOF")
        data = unpacker.unused_data
    return b"".join(parts)
