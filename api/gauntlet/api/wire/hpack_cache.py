"""Header blocks: decoding behind a cache of whole blocks, and stateless encoding.

Decoding. A client sends nearly the same header block with every call, and once its entries are in the dynamic
table, exactly the same bytes. So a decoded block is kept under its bytes, under these rules:

- The meaning of a block depends on its bytes and on the dynamic table (RFC 7541, section 2.2). So the cache
  is valid for one state of the table: a block that changes the table (an insertion, a resize) empties the
  cache and is itself not kept.
- What a list of header fields means (`Head`) does not depend on the table at all. A second cache keeps that
  by the fields without `grpc-timeout`, whose value some clients change with every call.

Both caches are bounded in entries and in the size of what they keep.

Encoding never touches the client's dynamic table: every field is either an entry of the static table or a
literal without indexing, so the same response is the same bytes on every connection.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gauntlet.api.wire.frames import ConnectionFault, ErrorCode
from gauntlet.api.wire.hpack_decoder import Field, HpackDecoder, HpackFault, ListTooLarge

CACHED_BLOCKS = 256
CACHED_BLOCK_BYTES = 2048

Fields = tuple[Field, ...]

_CONNECTION_HEADERS = frozenset(
    (b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade", b"http2-settings")
)
_REQUEST_PSEUDO = frozenset((b":method", b":scheme", b":path", b":authority", b":protocol"))
_NAME_BYTES = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")
_BAD_VALUE_BYTES = (b"\0", b"\r", b"\n")


class Head:
    """A decoded header block, and what HTTP/2 itself makes of it.

    `malformed` says which rule of RFC 9113, section 8 a request with these fields breaks, or is None.
    `bad_trailers` says the same of these fields as trailers. `route` is for the layer above: what it worked
    out for this head, kept as long as the head is; `base` is the head that this one differs from only in its
    timeout (itself when there is none), so that what does not depend on the timeout can be kept there.
    """

    __slots__ = (
        "authority",
        "bad_trailers",
        "base",
        "content_length",
        "fields",
        "malformed",
        "method",
        "path",
        "route",
        "timeout",
    )

    def __init__(self, fields: Fields) -> None:
        self.fields = fields
        self.base = self
        self.timeout: str | None = None
        self.route: Any = None
        self.method = self.path = self.authority = ""
        self.content_length: int | None = None
        self.bad_trailers: str | None = None
        self.malformed = self._check(fields)

    def with_timeout(self, timeout: str) -> Head:
        """The same head with the value of its `grpc-timeout`."""
        head = object.__new__(Head)
        head.authority = self.authority
        head.bad_trailers = self.bad_trailers
        head.base = self
        head.content_length = self.content_length
        head.fields = self.fields
        head.malformed = self.malformed
        head.method = self.method
        head.path = self.path
        head.route = self.route
        head.timeout = timeout
        return head

    def _check(self, fields: Fields) -> str | None:
        pseudo: dict[bytes, bytes] = {}
        fault: str | None = None
        regular = False
        for name, value in fields:
            if name[:1] == b":":
                self.bad_trailers = "pseudo header in trailers"
                if name not in _REQUEST_PSEUDO:
                    fault = fault or "unknown pseudo header"
                elif regular:
                    fault = fault or "pseudo header after a regular one"
                elif name in pseudo:
                    fault = fault or "pseudo header twice"
                pseudo[name] = value
            else:
                regular = True
                problem = self._check_regular(name, value)
                if problem is not None:
                    fault = fault or problem
                    self.bad_trailers = self.bad_trailers or problem
            if any(bad in value for bad in _BAD_VALUE_BYTES):
                fault = fault or "control byte in a header value"
                self.bad_trailers = self.bad_trailers or "control byte in a header value"
        return fault or self._check_pseudo(pseudo)

    def _check_regular(self, name: bytes, value: bytes) -> str | None:
        if not name or not _NAME_BYTES.issuperset(name):
            return "invalid header name"
        if name in _CONNECTION_HEADERS:
            return "connection-specific header"
        if name == b"te" and value != b"trailers":
            return "te other than trailers"
        if name == b"content-length":
            if not value.isdigit() or len(value) > 18:
                return "invalid content-length"
            length = int(value)
            if self.content_length is not None and self.content_length != length:
                return "content-length twice"
            self.content_length = length
        return None

    def _check_pseudo(self, pseudo: dict[bytes, bytes]) -> str | None:
        method = pseudo.get(b":method", b"")
        path = pseudo.get(b":path", b"")
        self.method = method.decode("latin-1")
        self.path = path.decode("latin-1")
        self.authority = pseudo.get(b":authority", b"").decode("latin-1")
        if not method:
            return "no :method"
        if method == b"CONNECT":
            return "CONNECT is not offered"
        if not pseudo.get(b":scheme"):
            return "no :scheme"
        if not path:
            return "no :path"
        if b":protocol" in pseudo:
            return ":protocol is not offered"
        return None


class HeaderDecoder:
    """The receiving side's HPACK state of one connection."""

    __slots__ = ("_decoder", "_heads", "blocks")

    def __init__(self, header_list_bytes: int) -> None:
        self._decoder = HpackDecoder(header_list_bytes)
        self._heads: dict[Fields, Head] = {}
        self.blocks: dict[bytes, Head] = {}
        """Decoded blocks that are valid in the present state of the table. Look here before `decode`."""

    def decode(self, block: bytes) -> Head:
        """The head in `block`. Raises ConnectionFault, since after an error the table's state is unknown."""
        decoder = self._decoder
        try:
            decoded = decoder.decode(block)
        except ListTooLarge:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "header list too large") from None
        except HpackFault as fault:
            raise ConnectionFault(ErrorCode.COMPRESSION_ERROR, f"header block: {fault}") from None
        head = self._head(decoded)
        if decoder.changed:
            self.blocks.clear()
        elif len(block) <= CACHED_BLOCK_BYTES:
            if len(self.blocks) >= CACHED_BLOCKS:
                self.blocks.clear()
            self.blocks[block] = head
        return head

    def _head(self, decoded: list[Field]) -> Head:
        timeout: bytes | None = None
        for position, field in enumerate(decoded):
            if field[0] == b"grpc-timeout":
                timeout = field[1]
                del decoded[position]
                break
        fields = tuple(decoded)
        head = self._heads.get(fields)
        if head is None:
            head = Head(fields)
            if sum(len(name) + len(value) for name, value in fields) <= 2 * CACHED_BLOCK_BYTES:
                if len(self._heads) >= CACHED_BLOCKS:
                    self._heads.clear()
                self._heads[fields] = head
        return head if timeout is None else head.with_timeout(timeout.decode("latin-1"))


_STATIC_FIELDS = {
    (b":status", b"200"): b"\x88",
    (b":status", b"204"): b"\x89",
    (b":status", b"206"): b"\x8a",
    (b":status", b"304"): b"\x8b",
    (b":status", b"400"): b"\x8c",
    (b":status", b"404"): b"\x8d",
    (b":status", b"500"): b"\x8e",
}
_STATIC_NAMES = {b":status": 8, b"content-length": 28, b"content-type": 31, b"date": 33, b"location": 46}


def _integer(value: int, bits: int, first: int) -> bytes:
    """An HPACK integer with a prefix of `bits` bits, `first` being the bits before it (RFC 7541, 5.1)."""
    limit = (1 << bits) - 1
    if value < limit:
        return bytes((first | value,))
    encoded = bytearray((first | limit,))
    value -= limit
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def encode_headers(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A header block that leaves the peer's dynamic table alone. Names must be lower case."""
    block = bytearray()
    for name, value in fields:
        known = _STATIC_FIELDS.get((name, value))
        if known is not None:
            block += known
            continue
        index = _STATIC_NAMES.get(name)
        if index is not None:
            block += _integer(index, 4, 0)
        else:
            block += b"\0" + _integer(len(name), 7, 0) + name
        block += _integer(len(value), 7, 0) + value
    return bytes(block)


FORGET_TABLE = b"\x20"
"""A resize of the sending table to nothing. It opens the first block after the peer has changed the limit,
as RFC 7541, section 4.2 wants, and keeps every later change of the limit satisfied."""
