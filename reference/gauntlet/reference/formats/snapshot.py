"""etcd's .snap files: `TERM-INDEX.snap` (16 hex digits each) holds {crc = 1, data = 2}.

`data` is a raftpb.Snapshot, `crc` the CRC32C of its bytes. Source: go.etcd.io/etcd/server/v3 v3.7.1,
etcdserver/api/snap.
"""

from __future__ import annotations

from gauntlet.reference.formats import raftpb
from gauntlet.reference.formats.varint import DecodeError, encode, encode_padded, skip, take
from gauntlet.reference.formats.varint import decode as read_varint
from gauntlet.reference.raft.types import Snapshot
from google_crc32c import extend
from google_crc32c import value as crc32c

SUFFIX = ".snap"


class BrokenSnapshotError(Exception):
    """The file is empty, cut short, or not what its checksum says."""


def snapshot_name(term: int, index: int) -> str:
    return f"{term:016x}-{index:016x}{SUFFIX}"


def parse_snapshot_name(name: str) -> tuple[int, int] | None:
    """(term, index), or None when `name` is no snapshot's."""
    if not name.endswith(SUFFIX):
        return None
    term, dash, index = name[: -len(SUFFIX)].partition("-")
    if not dash or len(term) != 16 or len(index) != 16:
        return None
    try:
        return int(term, 16), int(index, 16)
    except ValueError:
        return None


def encode_snapshot_file(snapshot: Snapshot) -> bytes:
    data = raftpb.encode_snapshot(snapshot)
    return b"".join((b"\x08", encode(crc32c(data)), b"\x12", encode(len(data)), data))


class SnapshotFrame:
    """A snapshot file around data that comes piece by piece: `head`, the data, `tail`; and when the checksum
    over all of it is known, `checksum` at CHECKSUM_AT."""

    def __init__(self, snapshot: Snapshot, size: int) -> None:
        """`snapshot` without its data; `size` is that of the data in bytes."""
        self.tail = raftpb.encode_snapshot_metadata(snapshot)
        inner = b"\x0a" + encode(size)
        self._crc = crc32c(inner)
        length = len(inner) + size + len(self.tail)
        self.head = b"".join((b"\x08", encode_padded(0, 5), b"\x12", encode(length), inner))

    def add(self, data: bytes) -> None:
        """Counts a piece of the data for the checksum."""
        self._crc = extend(self._crc, data)

    @property
    def checksum(self) -> bytes:
        return encode_padded(extend(self._crc, self.tail), 5)


CHECKSUM_AT = 1
"""Where in the file the checksum of a SnapshotFrame is."""


def decode_snapshot_file(content: bytes) -> Snapshot:
    crc = 0
    data = b""
    pos = 0
    try:
        while pos < len(content):
            tag, pos = read_varint(content, pos)
            if tag == 0x08:
                crc, pos = read_varint(content, pos)
            elif tag == 0x12:
                data, pos = take(content, pos)
            else:
                pos = skip(content, pos, tag)
        if not data or not crc:
            raise BrokenSnapshotError("empty snapshot")
        computed = crc32c(data)
        if computed != crc:
            raise BrokenSnapshotError(f"checksum {crc:08x} recorded, {computed:08x} computed")
        return raftpb.decode_snapshot(data)
    except IndexError:
        raise BrokenSnapshotError("cut short") from None
    except DecodeError as error:
        raise BrokenSnapshotError(str(error)) from None
