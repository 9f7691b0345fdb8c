"""etcd's .snap files: `TERM-INDEX.snap` (16 hex digits each) holds {crc = 1, data = 2}.

`data` is a raftpb.Snapshot, `crc` the CRC32C of its bytes. Source: go.etcd.io/etcd/server/v3 v3.7.1,
etcdserver/api/snap.
"""

from __future__ import annotations

from gauntlet.reference.formats import raftpb
from gauntlet.reference.formats.varint import DecodeError, encode, skip, take
from gauntlet.reference.formats.varint import decode as read_varint
from gauntlet.reference.raft.types import Snapshot
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
