"""The .snap file and its name."""

from __future__ import annotations

import pytest
from gauntlet.api.messages import raftpb as pb
from gauntlet.api.messages import snappb
from gauntlet.reference.formats import snapshot as snapfile
from gauntlet.reference.raft.types import ConfState, Snapshot

SNAPSHOT = Snapshot(42, 7, ConfState([1, 2, 3], [4]), b"the store")


def test_round_trip_and_envelope() -> None:
    content = snapfile.encode_snapshot_file(SNAPSHOT)
    assert snapfile.decode_snapshot_file(content) == SNAPSHOT
    envelope = snappb.snapshot.FromString(content)
    inner = pb.Snapshot.FromString(envelope.data)
    assert (inner.metadata.index, inner.metadata.term, inner.data) == (42, 7, b"the store")
    assert envelope.SerializeToString() == content


def test_every_cut_and_every_flipped_byte_is_noticed() -> None:
    content = snapfile.encode_snapshot_file(SNAPSHOT)
    for length in range(len(content)):
        with pytest.raises(snapfile.BrokenSnapshotError):
            snapfile.decode_snapshot_file(content[:length])
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 0x55
        with pytest.raises(snapfile.BrokenSnapshotError):
            snapfile.decode_snapshot_file(bytes(damaged))


@pytest.mark.parametrize(
    ("name", "parsed"),
    [
        ("0000000000000007-000000000000002a.snap", (7, 42)),
        ("000000000000002a.snap.db", None),
        ("0000000000000007-000000000000002a.snap.broken", None),
        ("0000000000000007-000000000000002a.snap.tmp", None),
        ("db", None),
    ],
)
def test_names(name: str, parsed: tuple[int, int] | None) -> None:
    assert snapfile.parse_snapshot_name(name) == parsed
    if parsed is not None:
        assert snapfile.snapshot_name(*parsed) == name
