"""The bytes inside conf change entries: two small protocol buffer messages.

The core must read what it is asked to change before it lets the change into the log, and it imports nothing
outside this package; so it has this one encoding of its own. Whole entries and messages are encoded by
gauntlet.reference.formats.raftpb, which writes these two in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator

from .errors import MalformedConfChange
from .types import (
    NO_LIMIT,
    ConfChange,
    ConfChangeSingle,
    ConfChangeTransition,
    ConfChangeType,
    ConfChangeV2,
)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _blob(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def encode_conf_change(change: ConfChange) -> bytes:
    data = _number(1, change.id) if change.id else b""
    data += _number(2, change.type) + _number(3, change.node_id)
    return data + _blob(4, change.context) if change.context else data


def encode_conf_change_v2(change: ConfChangeV2) -> bytes:
    data = _number(1, change.transition) if change.transition else b""
    for single in change.changes:
        data += _blob(2, _number(1, single.type) + _number(2, single.node_id))
    return data + _blob(3, change.context) if change.context else data


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    """(value, position after it)."""
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise MalformedConfChange("conf change: truncated or oversized number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value & NO_LIMIT, at


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(field number, value) of each field; fixed-width values, which none of ours uses, come as bytes."""
    at = 0
    while at < len(data):
        key, at = _read_varint(data, at)
        wire = key & 7
        if wire == 0:
            number, at = _read_varint(data, at)
            yield key >> 3, number
            continue
        if wire == 2:
            length, at = _read_varint(data, at)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise MalformedConfChange(f"conf change: unknown wire type {wire}")
        if at + length > len(data):
            raise MalformedConfChange("conf change: truncated field")
        yield key >> 3, data[at : at + length]
        at += length


def _split(data: bytes) -> tuple[dict[int, int], dict[int, list[bytes]]]:
    """Numbers and byte strings by field; unknown fields do no harm."""
    numbers: dict[int, int] = {}
    blobs: dict[int, list[bytes]] = {}
    for field, value in _fields(data):
        if isinstance(value, int):
            numbers[field] = value
        else:
            blobs.setdefault(field, []).append(value)
    return numbers, blobs


def decode_conf_change(data: bytes) -> ConfChange:
    """The content of an entry of type CONF_CHANGE. MalformedConfChange."""
    numbers, blobs = _split(data)
    try:
        kind = ConfChangeType(numbers.get(2, 0))
    except ValueError as error:
        raise MalformedConfChange(f"conf change: {error}") from error
    context = blobs.get(4, [b""])[-1]
    return ConfChange(type=kind, node_id=numbers.get(3, 0), context=context, id=numbers.get(1, 0))


def decode_conf_change_v2(data: bytes) -> ConfChangeV2:
    """The content of an entry of type CONF_CHANGE_V2. No bytes: leave the joint configuration."""
    numbers, blobs = _split(data)
    changes = []
    try:
        transition = ConfChangeTransition(numbers.get(1, 0))
        for blob in blobs.get(2, []):
            single, _ = _split(blob)
            changes.append(ConfChangeSingle(ConfChangeType(single.get(1, 0)), single.get(2, 0)))
    except ValueError as error:
        raise MalformedConfChange(f"conf change: {error}") from error
    return ConfChangeV2(transition=transition, changes=changes, context=blobs.get(3, [b""])[-1])
