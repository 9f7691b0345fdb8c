"""Protocol buffer varints, fast enough to be called several times for every entry.

A varint carries seven bits in each byte, lowest first; the top bit says that more follow. Numbers below
2^14 come from a table; longer ones are put together from 14-bit halves, so a 28-bit number costs one
concatenation and a 64-bit one four.
"""

from __future__ import annotations

from struct import unpack

MASK64 = (1 << 64) - 1

_LOW, _CONTINUED = bytes(range(0x80)), bytes(range(0x80, 0x100))


def _two_bytes(second: bytes) -> tuple[bytes, ...]:
    """Every continued first byte before each of the second ones; made as one string: that is fast."""
    pairs = bytearray(2 * len(_CONTINUED) * len(second))
    pairs[::2] = _CONTINUED * len(second)
    pairs[1::2] = b"".join(bytes((byte,)) * len(_CONTINUED) for byte in second)
    return unpack("2s" * (len(pairs) // 2), pairs)


_MORE = _two_bytes(_CONTINUED)
_SHORT = tuple(bytes((byte,)) for byte in _LOW) + _two_bytes(_LOW)[len(_LOW) :]


class DecodeError(ValueError):
    """The bytes are not the message they should be."""


def encode(n: int) -> bytes:
    """The shortest varint of 0 <= n < 2^64."""
    if n < 0x4000:
        return _SHORT[n]
    if n < 0x10000000:
        return _MORE[n & 0x3FFF] + _SHORT[n >> 14]
    return _MORE[n & 0x3FFF] + _MORE[n >> 14 & 0x3FFF] + encode(n >> 28)


def encode_padded(n: int, length: int) -> bytes:
    """A varint of 0 <= n < 2^64 in `length` bytes: for a number that is put in its place later."""
    more = bytes(n >> shift & 0x7F | 0x80 for shift in range(0, 7 * (length - 1), 7))
    return more + bytes((n >> 7 * (length - 1),))


def decode(buf: bytes, pos: int) -> tuple[int, int]:
    """(value, position after it), the value cut to 64 bits. IndexError at the end of `buf`."""
    byte = buf[pos]
    pos += 1
    if byte < 0x80:
        return byte, pos
    value = byte & 0x7F
    byte = buf[pos]
    pos += 1
    if byte < 0x80:
        return value | byte << 7, pos
    value |= (byte & 0x7F) << 7
    shift = 14
    while True:
        byte = buf[pos]
        pos += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & MASK64, pos
        shift += 7
        if shift > 63:
            raise DecodeError("varint longer than ten bytes")


def field_uint(tag: bytes, n: int) -> bytes:
    """A varint field, or nothing for zero."""
    return tag + encode(n) if n else b""


def field_bytes(tag: bytes, data: bytes) -> bytes:
    """A length-delimited field, or nothing for empty data."""
    return tag + encode(len(data)) + data if data else b""


def skip(buf: bytes, pos: int, tag: int) -> int:
    """The position after the value of an unknown field whose whole tag (number and wire type) is `tag`."""
    wire = tag & 7
    if tag < 8:
        raise DecodeError("field number 0")
    if wire == 0:
        return decode(buf, pos)[1]
    if wire == 1:
        pos += 8
    elif wire == 2:
        size, pos = decode(buf, pos)
        pos += size
    elif wire == 5:
        pos += 4
    else:
        raise DecodeError(f"wire type {wire}")
    if pos > len(buf):
        raise DecodeError("field runs over the end")
    return pos


def take(buf: bytes, pos: int) -> tuple[bytes, int]:
    """(the bytes of a length-delimited value, position after them)."""
    size, pos = decode(buf, pos)
    end = pos + size
    if end > len(buf):
        raise DecodeError("field runs over the end")
    return buf[pos:end], end
