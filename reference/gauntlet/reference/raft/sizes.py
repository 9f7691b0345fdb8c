"""Sizes of entries on the wire: what the limits on messages and batches count.

They are those of the protocol buffer encoding that etcd 3.7 gives an entry: term and index always, the type
unless it is normal, the data unless it is empty.
"""

from __future__ import annotations

from .types import NO_LIMIT, Entry

# Bytes of a varint by the bit length of its value.
_VARINT_BYTES = tuple(max(1, (bits + 6) // 7) for bits in range(65))

# No entry without data is longer: 2 for the type, 11 each for term and index, 6 for the header of data.
_OVERHEAD_BOUND = 30


def entry_size(entry: Entry) -> int:
    """Encoded bytes of one entry."""
    size = 2 + _VARINT_BYTES[entry.term.bit_length()] + _VARINT_BYTES[entry.index.bit_length()]
    if entry.type:
        size += 2
    length = len(entry.data)
    return size + 1 + _VARINT_BYTES[length.bit_length()] + length if length else size


def entries_size(entries: list[Entry]) -> int:
    """Encoded bytes of all entries."""
    return sum(map(entry_size, entries))


def payload_size(entries: list[Entry]) -> int:
    """Bytes of data alone: what the limits on uncommitted entries and on messages in flight count."""
    return sum([len(entry.data) for entry in entries])


def limit_size(entries: list[Entry], max_size: int) -> list[Entry]:
    """The longest prefix of at most `max_size` encoded bytes, but at least one entry if there is one."""
    if len(entries) < 2 or max_size >= NO_LIMIT:
        return entries
    if payload_size(entries) + len(entries) * _OVERHEAD_BOUND <= max_size:
        return entries
    size = 0
    for position, entry in enumerate(entries):
        size += entry_size(entry)
        if size > max_size and position:
            return entries[:position]
    return entries
