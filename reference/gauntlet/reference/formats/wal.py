"""etcd's write-ahead log: records, frames, segments, and how to read them back after a crash.

Source: go.etcd.io/etcd/server/v3 v3.7.1, storage/wal.

A log is a row of segment files `SEQ-INDEX.wal`, both 16 hex digits: SEQ counts from 0, INDEX is the raft
index that the first entry of the segment would have. Each holds frames:

    8 bytes    little-endian: low 56 bits the length of the record; if padded, top byte 0x80 | pad
    record     protobuf {type = 1, crc = 2, data = 3}
    0-7 zeros  so that every frame starts on 8 bytes and no length can be torn in two

1. `crc` is a CRC32C that runs over the data of all records since the log began. A CRC record carries it
   from one segment into the next and is itself not summed.
2. The first segment begins CRC(0), metadata, snapshot(0, 0); every later one CRC, metadata, hard state.
3. Segments are preallocated with zeros. A zero length, like the end of the file, ends a segment.
4. An entry replaces the entry of its index and all after it (raft truncated its log there).
5. A snapshot record says that the .snap file of its (index, term) was complete. Reading starts from one of
   them, and only counts if that record is met. It is only valid if the last hard state has committed it.
6. Reading may fail in two ways. Only the last segment can be *torn*: it stops in the middle of a frame, or
   a bad record has a 512-byte sector (counted from the start of the file) that is all zeros, which is what
   a sector looks like that never reached the disk. A torn record was never acknowledged, so it and what
   follows is cut off. Everything else (a checksum that does not match, nonsense, a gap) is corruption.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum

from gauntlet.reference.formats import raftpb
from gauntlet.reference.formats.varint import DecodeError, encode, field_bytes, skip, take
from gauntlet.reference.formats.varint import decode as read_varint
from gauntlet.reference.raft.types import ConfState, Entry, HardState, Snapshot
from google_crc32c import extend as crc32c

SEGMENT_BYTES = 64_000_000
SECTOR_BYTES = 512
_FRAME_HEAD = struct.Struct("<Q")
_LENGTH_MASK = (1 << 56) - 1
_PADDING = tuple(bytes(n) for n in range(8))
# The bits of a frame's length that tell how much padding (0-7 bytes) follows the record.
_PAD_BITS = tuple((0x80 | n) << 56 if n else 0 for n in range(8))


class RecordType(IntEnum):
    METADATA = 1
    ENTRY = 2
    STATE = 3
    CRC = 4
    SNAPSHOT = 5


class WalError(Exception):
    """The log cannot be used as it is. The message says what is wrong; the caller knows which file."""


class CorruptWalError(WalError):
    """Bytes that were once on the disk are no longer what they were."""


class TornWalError(WalError):
    """The last write never reached the disk as a whole. `offset` is where the whole records end."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


@dataclass(slots=True, frozen=True)
class Metadata:
    """Whose log this is."""

    node_id: int = 0
    cluster_id: int = 0


@dataclass(slots=True)
class Record:
    type: int
    crc: int
    data: bytes


def segment_name(sequence: int, index: int) -> str:
    return f"{sequence:016x}-{index:016x}.wal"


def parse_segment_name(name: str) -> tuple[int, int] | None:
    """(sequence, index), or None when `name` is no segment's."""
    stem, dot, suffix = name.partition(".")
    sequence, dash, index = stem.partition("-")
    if not dot or suffix != "wal" or not dash or len(sequence) != 16 or len(index) != 16:
        return None
    try:
        return int(sequence, 16), int(index, 16)
    except ValueError:
        return None


# ---- metadata and snapshot records


def encode_metadata(metadata: Metadata) -> bytes:
    return b"\x08" + encode(metadata.node_id) + b"\x10" + encode(metadata.cluster_id)


def decode_metadata(data: bytes) -> Metadata:
    numbers = _numbers(data)
    return Metadata(numbers.get(1, 0), numbers.get(2, 0))


def encode_snapshot_mark(index: int, term: int, conf_state: ConfState | None) -> bytes:
    """What a snapshot record carries. The configuration is required for every index but 0."""
    mark = b"\x08" + encode(index) + b"\x10" + encode(term)
    if conf_state is not None:
        mark += field_bytes(b"\x1a", raftpb.encode_conf_state(conf_state))
    return mark


def decode_snapshot_mark(data: bytes) -> tuple[int, int]:
    """(index, term)."""
    numbers = _numbers(data)
    return numbers.get(1, 0), numbers.get(2, 0)


def _numbers(data: bytes) -> dict[int, int]:
    """The varint fields of a small message, by number."""
    numbers: dict[int, int] = {}
    pos = 0
    try:
        while pos < len(data):
            tag, pos = read_varint(data, pos)
            if tag & 7 == 0 and tag >= 8:
                numbers[tag >> 3], pos = read_varint(data, pos)
            else:
                pos = skip(data, pos, tag)
    except IndexError:
        raise DecodeError("cut short") from None
    return numbers


# ---- writing


class Encoder:
    """Turns records into frames and keeps the running checksum. Collect with `take`."""

    __slots__ = ("_frames", "crc")

    def __init__(self, crc: int = 0) -> None:
        self.crc = crc
        self._frames: list[bytes] = []

    def take(self) -> bytes:
        """The bytes encoded since the last `take`."""
        frames = b"".join(self._frames)
        self._frames = []
        return frames

    def entries(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            self._add(b"\x08\x02\x10", raftpb.encode_entry(entry))

    def hard_state(self, state: HardState) -> None:
        """The empty state is not written: it says nothing."""
        if state.term or state.vote or state.commit:
            self._add(b"\x08\x03\x10", raftpb.encode_hard_state(state))

    def snapshot(self, index: int, term: int, conf_state: ConfState | None) -> None:
        self._add(b"\x08\x05\x10", encode_snapshot_mark(index, term, conf_state))

    def metadata(self, metadata: Metadata) -> None:
        self._add(b"\x08\x01\x10", encode_metadata(metadata))

    def carry_crc(self) -> None:
        """Opens a segment: the checksum so far."""
        self._frame(b"\x08\x04\x10" + encode(self.crc))

    def _add(self, head: bytes, data: bytes) -> None:
        self.crc = crc = crc32c(self.crc, data)
        self._frame(head + encode(crc) + b"\x1a" + encode(len(data)) + data)

    def _frame(self, record: bytes) -> None:
        size = len(record)
        pad = -size & 7
        self._frames += (_FRAME_HEAD.pack(size | _PAD_BITS[pad]), record, _PADDING[pad])


def first_segment(encoder: Encoder, metadata: Metadata) -> None:
    """The records a new log begins with."""
    encoder.carry_crc()
    encoder.metadata(metadata)
    encoder.snapshot(0, 0, None)


def next_segment(encoder: Encoder, metadata: Metadata, state: HardState) -> None:
    """The records every later segment begins with."""
    encoder.carry_crc()
    encoder.metadata(metadata)
    encoder.hard_state(state)


# ---- reading


class SegmentReader:
    """Iterates over the records of one segment.

    `crc` and `offset` stand after the last good record. `last` says whether this is the log's last segment,
    the only one that may be torn.
    """

    __slots__ = ("_data", "_last", "crc", "offset")

    def __init__(self, data: bytes, crc: int, *, last: bool) -> None:
        self._data = data
        self._last = last
        self.crc = crc
        self.offset = 0

    def __iter__(self) -> Iterator[Record]:
        data = self._data
        total = len(data)
        while self.offset < total:
            start = self.offset + 8
            if start > total:
                raise self._cut("a frame's length")
            (head,) = _FRAME_HEAD.unpack_from(data, self.offset)
            if head == 0:
                return
            size = head & _LENGTH_MASK
            end = start + size + (head >> 56 & 7 if head >> 63 else 0)
            if end > total:
                raise self._cut(f"a record of {size} bytes")
            try:
                record = _record(data[start : start + size])
            except DecodeError as error:
                raise self._bad(f"no record ({error})", start, end) from None
            if record.type == RecordType.CRC:
                crc = self.crc or record.crc  # who starts in the middle of the log knows no checksum yet
            else:
                crc = crc32c(self.crc, record.data)
            if record.crc != crc:
                raise self._bad(f"checksum {record.crc:08x} recorded, {crc:08x} computed", start, end)
            self.crc = crc
            self.offset = end
            yield record

    def _cut(self, what: str) -> WalError:
        message = f"the file ends within {what} at offset {self.offset}"
        return TornWalError(message, self.offset) if self._last else CorruptWalError(message)

    def _bad(self, what: str, start: int, end: int) -> WalError:
        message = f"{what} at offset {self.offset}"
        if self._last and has_zero_sector(self._data, start, end):
            return TornWalError(message, self.offset)
        return CorruptWalError(message)


def has_zero_sector(data: bytes, start: int, end: int) -> bool:
    """Whether some sector's share of data[start:end] is all zeros."""
    while start < end:
        stop = min(end, start - start % SECTOR_BYTES + SECTOR_BYTES)
        if data.count(0, start, stop) == stop - start:
            return True
        start = stop
    return False


def _record(body: bytes) -> Record:
    try:
        if body[0] == 0x08 and body[1] < 0x80 and body[2] == 0x10:
            # As etcd and we write them: type, checksum, data.
            crc, pos = read_varint(body, 3)
            if pos < len(body) and body[pos] == 0x1A:
                size, pos = read_varint(body, pos + 1)
                if pos + size == len(body):
                    return Record(body[1], crc, body[pos:])
        return _any_record(body)
    except IndexError:
        raise DecodeError("cut short") from None


def _any_record(body: bytes) -> Record:
    kind = crc = 0
    data = b""
    pos = 0
    while pos < len(body):
        tag = body[pos]
        pos += 1
        if tag == 0x08:
            kind, pos = read_varint(body, pos)
        elif tag == 0x10:
            crc, pos = read_varint(body, pos)
        elif tag == 0x1A:
            data, pos = take(body, pos)
        else:
            tag, pos = read_varint(body, pos - 1)
            pos = skip(body, pos, tag)
    return Record(kind, crc & 0xFFFFFFFF, data)


@dataclass(slots=True)
class Replay:
    """What the log says happened after the snapshot (`index`, `term`); (0, 0) is the beginning.

    Feed it every record from the segment on that `first_needed` names; then ask `valid`.
    """

    index: int = 0
    term: int = 0
    metadata: Metadata | None = None
    hard_state: HardState = field(default_factory=HardState)
    entries: list[Entry] = field(default_factory=list)
    last_index: int = 0
    matched: bool = False

    @property
    def valid(self) -> bool:
        """Whether the snapshot asked for is one that the log knows, and committed."""
        return self.matched and self.index <= self.hard_state.commit

    def feed(self, record: Record) -> None:
        """WalError where the records contradict each other, DecodeError where one cannot be read."""
        kind = record.type
        if kind == RecordType.ENTRY:
            self._entry(raftpb.decode_entry(record.data))
        elif kind == RecordType.STATE:
            self.hard_state = raftpb.decode_hard_state(record.data)
        elif kind == RecordType.METADATA:
            metadata = decode_metadata(record.data)
            if self.metadata is not None and self.metadata != metadata:
                raise CorruptWalError(f"conflicting metadata: {self.metadata} and {metadata}")
            self.metadata = metadata
        elif kind == RecordType.SNAPSHOT:
            index, term = decode_snapshot_mark(record.data)
            self.last_index = max(self.last_index, index)
            if index == self.index and term == self.term:
                self.matched = True
        elif kind != RecordType.CRC:
            raise CorruptWalError(f"record of unknown type {kind}")

    def _entry(self, entry: Entry) -> None:
        self.last_index = entry.index
        if entry.index <= self.index:
            return
        keep = entry.index - self.index - 1
        if keep > len(self.entries):
            raise CorruptWalError(
                f"gap before entry {entry.index}: only {len(self.entries)} entries after {self.index}"
            )
        if keep < len(self.entries):
            del self.entries[keep:]
        self.entries.append(entry)


def first_needed(segments: list[tuple[int, int]], index: int) -> int | None:
    """Which of the (sequence, index) segments, in order, to start from to read all after `index`."""
    for position in range(len(segments) - 1, -1, -1):
        if segments[position][1] <= index:
            return position
    return None


def starting_point(snapshot: Snapshot | None) -> Replay:
    return Replay() if snapshot is None else Replay(snapshot.index, snapshot.term)
