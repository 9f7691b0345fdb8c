"""The data directory: what goes in comes out, and what cannot be used is refused in one line."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gauntlet.reference.formats import wal
from gauntlet.reference.ports import DiskFailedError, Recovered
from gauntlet.reference.raft.types import ConfState, Entry, HardState, Snapshot
from gauntlet.reference.server.disk import (
    CorruptDataError,
    DataDirError,
    DataDirLockedError,
    FileDisk,
    WrongOwnerError,
)

OpenDisk = Callable[..., FileDisk]
NODE, CLUSTER = 0xA1, 0xC1


def batch(first: int, last: int, term: int = 1, size: int = 20) -> list[Entry]:
    return [Entry(term, index, data=(b"%d." % index).ljust(size, b"x")) for index in range(first, last + 1)]


def snapshot(index: int, term: int = 1, data: bytes = b"the store") -> Snapshot:
    return Snapshot(index, term, ConfState([NODE]), data)


def reopen(open_disk: OpenDisk, disk: FileDisk, **options: Any) -> tuple[FileDisk, Recovered]:
    disk.close()
    disk = open_disk(disk.data_dir, **options)
    return disk, disk.load()


@pytest.fixture
def disk(open_disk: OpenDisk, tmp_path: Path) -> FileDisk:
    disk = open_disk(tmp_path / "data")
    disk.create(NODE, CLUSTER)
    return disk


def test_a_new_directory_has_etcds_layout(open_disk: OpenDisk, tmp_path: Path) -> None:
    disk = open_disk(tmp_path / "data", segment_bytes=wal.SEGMENT_BYTES, sync=True)
    assert not disk.has_log
    disk.create(NODE, CLUSTER)
    assert disk.has_log
    segment = tmp_path / "data/member/wal/0000000000000000-0000000000000000.wal"
    assert segment.stat().st_size == 64_000_000
    assert segment.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    assert sorted(os.listdir(tmp_path / "data/member")) == ["snap", "wal"]


def test_what_was_saved_is_loaded(open_disk: OpenDisk, disk: FileDisk) -> None:
    disk.save(HardState(1, NODE, 0), batch(1, 5), True)
    disk.save(HardState(1, NODE, 5), [], False)
    disk.save(None, batch(6, 8), True)
    disk, found = reopen(open_disk, disk)
    assert found == Recovered(NODE, CLUSTER, HardState(1, NODE, 5), None, batch(1, 8))
    disk.save(HardState(2, 0, 5), batch(7, 7, term=2), True)
    _, found = reopen(open_disk, disk)
    assert found.entries == batch(1, 6) + batch(7, 7, term=2)
    assert found.hard_state == HardState(2, 0, 5)


def test_a_log_can_be_born_with_its_first_entries(open_disk: OpenDisk, tmp_path: Path) -> None:
    disk = open_disk(tmp_path / "data")
    disk.create(NODE, CLUSTER, HardState(1, 0, 3), batch(1, 3))
    _, found = reopen(open_disk, disk)
    assert found == Recovered(NODE, CLUSTER, HardState(1, 0, 3), None, batch(1, 3))


def test_one_batch_is_one_write_and_one_sync(
    open_disk: OpenDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = open_disk(tmp_path / "data", sync=True)
    disk.create(NODE, CLUSTER)
    calls: list[str] = []
    for name in ("pwrite", "fdatasync", "fsync"):
        real = getattr(os, name)

        def counted(*args: Any, name: str = name, real: Callable[..., Any] = real) -> Any:
            calls.append(name)
            return real(*args)

        monkeypatch.setattr(os, name, counted)
    disk.save(HardState(1, NODE, 0), batch(1, 50), True)
    assert calls == ["pwrite", "fdatasync"]
    disk.save(HardState(1, NODE, 1), [], False)
    assert calls == ["pwrite", "fdatasync", "pwrite"]


def test_segments_are_cut_and_read_through(open_disk: OpenDisk, disk: FileDisk) -> None:
    for index in range(1, 400):
        disk.save(HardState(1, NODE, index), batch(index, index, size=200), True)
    names = sorted(os.listdir(disk.wal_dir))
    assert len(names) > 4
    parsed = [wal.parse_segment_name(name) for name in names]
    assert [pair[0] for pair in parsed if pair] == list(range(len(names)))
    for name, pair in zip(names[1:], parsed[1:], strict=True):
        assert pair is not None
        # Every segment is complete in itself: a reader may start there with a snapshot.
        replay = wal.Replay(pair[1] - 1, 1)
        for record in wal.SegmentReader((disk.wal_dir / name).read_bytes(), 0, last=name == names[-1]):
            replay.feed(record)
        assert replay.metadata == wal.Metadata(NODE, CLUSTER)
        assert replay.entries[0].index == pair[1]
        assert replay.hard_state.term == 1
    _, found = reopen(open_disk, disk)
    assert found.entries == batch(1, 399, size=200)
    assert found.hard_state.commit == 399


def test_the_newest_snapshot_and_what_follows(open_disk: OpenDisk, disk: FileDisk) -> None:
    disk.save(HardState(1, NODE, 10), batch(1, 12), True)
    disk.save_snapshot(snapshot(5))
    disk.save_snapshot(snapshot(10, data=b"later"))
    _, found = reopen(open_disk, disk)
    assert found.snapshot == snapshot(10, data=b"later")
    assert found.entries == batch(11, 12)


def test_a_snapshot_from_the_leader_replaces_the_log(open_disk: OpenDisk, disk: FileDisk) -> None:
    disk.save(HardState(1, NODE, 3), batch(1, 3), True)
    disk.save_snapshot(snapshot(100, term=4), HardState(4, 0, 100))
    disk.save(None, batch(101, 102, term=4), True)
    _, found = reopen(open_disk, disk)
    assert found.snapshot == snapshot(100, term=4)
    assert found.hard_state == HardState(4, 0, 100)
    assert found.entries == batch(101, 102, term=4)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (HardState(1, NODE, 3), HardState(1, NODE, 7)),
        (HardState(2, NODE, 3), HardState(2, NODE, 7)),
        (HardState(0, 0, 0), HardState(1, 0, 7)),
        (HardState(1, NODE, 9), HardState(1, NODE, 9)),
    ],
)
def test_a_saved_snapshot_always_counts(
    open_disk: OpenDisk, disk: FileDisk, before: HardState, after: HardState
) -> None:
    """Whatever the hard state was when the member snapshotted what it had applied."""
    disk.save(before, batch(1, 9), True)
    disk.save_snapshot(snapshot(7))
    _, found = reopen(open_disk, disk)
    assert found.snapshot == snapshot(7)
    assert found.hard_state == after
    assert found.entries == batch(8, 9)


def test_a_file_without_its_mark_does_not_count(open_disk: OpenDisk, disk: FileDisk) -> None:
    """A snapshot's file is written beside the log, while the log goes on; only the mark makes it count."""
    disk.save(HardState(1, NODE, 3), batch(1, 3), True)
    disk.write_snapshot(snapshot(2), 6, (b"ab", b"", b"cdef"))
    disk.save(HardState(1, NODE, 5), batch(4, 5), True)
    disk, found = reopen(open_disk, disk)
    assert found.snapshot is None
    assert found.entries == batch(1, 5)
    disk.write_snapshot(snapshot(2), 6, (b"ab", b"", b"cdef"))
    disk.save(HardState(1, NODE, 6), batch(6, 6), True)
    disk.mark_snapshot(snapshot(2))
    _, found = reopen(open_disk, disk)
    assert found.snapshot == snapshot(2, data=b"abcdef")
    assert found.hard_state.commit == 6
    assert found.entries == batch(3, 6)


def test_a_mark_may_come_after_that_of_a_later_snapshot(open_disk: OpenDisk, disk: FileDisk) -> None:
    """The leader's snapshot overtook one of this member's own that was still being written."""
    disk.save(HardState(1, NODE, 3), batch(1, 3), True)
    disk.write_snapshot(snapshot(2), 1, (b"x",))
    disk.save_snapshot(snapshot(100, term=4), HardState(4, 0, 100))
    disk.mark_snapshot(snapshot(2))
    disk.save(None, batch(101, 102, term=4), True)
    _, found = reopen(open_disk, disk)
    assert found.snapshot == snapshot(100, term=4)
    assert found.hard_state == HardState(4, 0, 100)
    assert found.entries == batch(101, 102, term=4)


def test_the_empty_snapshot_is_refused(disk: FileDisk) -> None:
    with pytest.raises(ValueError, match="empty snapshot"):
        disk.save_snapshot(Snapshot())


def test_a_broken_snapshot_makes_way_for_an_older_one(open_disk: OpenDisk, disk: FileDisk) -> None:
    disk.save(HardState(1, NODE, 10), batch(1, 12), True)
    disk.save_snapshot(snapshot(5))
    disk.save_snapshot(snapshot(10))
    newest = disk.snap_dir / "0000000000000001-000000000000000a.snap"
    newest.write_bytes(newest.read_bytes()[:-1])
    disk, found = reopen(open_disk, disk)
    assert found.snapshot == snapshot(5)
    assert found.entries == batch(6, 12)
    assert sorted(os.listdir(disk.snap_dir)) == [
        "0000000000000001-0000000000000005.snap",
        "0000000000000001-000000000000000a.snap.broken",
    ]


def test_a_snapshot_file_without_its_mark_is_ignored(open_disk: OpenDisk, disk: FileDisk) -> None:
    disk.save(HardState(1, NODE, 10), batch(1, 12), True)
    disk.save_snapshot(snapshot(5))
    shutil.copy(
        disk.snap_dir / "0000000000000001-0000000000000005.snap",
        disk.snap_dir / "0000000000000003-0000000000000009.snap",
    )
    marked = disk.snap_dir / "0000000000000003-0000000000000009.snap"
    from gauntlet.reference.formats import snapshot as snapfile

    marked.write_bytes(snapfile.encode_snapshot_file(snapshot(9, term=3)))
    _, found = reopen(open_disk, disk)
    assert found.snapshot == snapshot(5)
    assert found.entries == batch(6, 12)


def test_old_files_go_and_the_rest_is_enough(open_disk: OpenDisk, tmp_path: Path) -> None:
    disk = open_disk(tmp_path / "data", max_wals=2, max_snapshots=2)
    disk.create(NODE, CLUSTER)
    for index in range(1, 601):
        disk.save(HardState(1, NODE, index), batch(index, index, size=300), True)
        if index % 60 == 0:
            disk.save_snapshot(snapshot(index))
            disk.release(index - 30)
    assert len(list(disk.snap_dir.glob("*.snap"))) == 2
    assert len(list(disk.wal_dir.glob("*.wal"))) <= 3
    _, found = reopen(open_disk, disk)
    assert found.snapshot == snapshot(600)
    assert found.entries == []
    assert found.hard_state.commit == 600


def test_what_is_not_released_stays(open_disk: OpenDisk, tmp_path: Path) -> None:
    disk = open_disk(tmp_path / "data", max_wals=1)
    disk.create(NODE, CLUSTER)
    disk.save(HardState(1, NODE, 300), batch(1, 300, size=300), True)
    disk.save(None, batch(301, 600, size=300), True)
    disk.release(0)
    _, found = reopen(open_disk, disk)
    assert found.entries == batch(1, 600, size=300)


# ---- refusals


def test_a_second_process_is_refused(open_disk: OpenDisk, disk: FileDisk) -> None:
    with pytest.raises(DataDirLockedError, match=r"data directory .*data is used by another process"):
        open_disk(disk.data_dir)
    disk.close()
    open_disk(disk.data_dir).load()


def test_a_directory_that_cannot_be_made(open_disk: OpenDisk, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataDirError, match=r"cannot use data directory .*file"):
        open_disk(tmp_path / "file")


def test_creating_twice_is_refused(disk: FileDisk) -> None:
    with pytest.raises(DataDirError, match="already holds a member"):
        disk.create(NODE, CLUSTER)


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        ({"node_id": 0xA2}, "belongs to member a1, not to member a2"),
        ({"cluster_id": 0xC2}, "belongs to cluster c1, not to cluster c2"),
    ],
)
def test_another_owners_directory_is_refused(
    open_disk: OpenDisk, disk: FileDisk, expected: dict[str, int], message: str
) -> None:
    disk.close()
    with pytest.raises(WrongOwnerError, match=message):
        open_disk(disk.data_dir).load(**expected)


def damage_middle(disk: FileDisk) -> None:
    path = disk.wal_dir / "0000000000000001-0000000000000040.wal"
    path = next(iter(sorted(disk.wal_dir.glob("0000000000000001-*.wal"))), path)
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(bytes(content))


def damage_last(disk: FileDisk) -> None:
    path = max(disk.wal_dir.glob("*.wal"))
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(bytes(content))


def cut_middle(disk: FileDisk) -> None:
    path = min(disk.wal_dir.glob("0000000000000001-*.wal"))
    os.truncate(path, path.stat().st_size - 3)


def remove_middle(disk: FileDisk) -> None:
    min(disk.wal_dir.glob("0000000000000001-*.wal")).unlink()


def remove_first(disk: FileDisk) -> None:
    min(disk.wal_dir.glob("*.wal")).unlink()


def remove_all(disk: FileDisk) -> None:
    for path in disk.wal_dir.glob("*.wal"):
        path.unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_middle, r"corrupt log: .*0000000000000001-\w+\.wal: checksum .* at offset"),
        (damage_last, r"corrupt log: .*\.wal: checksum .* at offset"),
        (cut_middle, r"corrupt log: .*0000000000000001-\w+\.wal: the file ends within"),
        (remove_middle, "log segment 0000000000000001 is missing"),
        (remove_first, "the log begins at index .* and no snapshot reaches it"),
        (remove_all, "no log"),
    ],
)
def test_damage_is_named_and_nothing_is_started(
    open_disk: OpenDisk, disk: FileDisk, damage: Callable[[FileDisk], None], message: str
) -> None:
    for index in range(1, 200):
        disk.save(HardState(1, NODE, index), batch(index, index, size=300), True)
    disk.close()
    damage(disk)
    with pytest.raises(CorruptDataError, match=message) as caught:
        open_disk(disk.data_dir).load()
    assert "\n" not in str(caught.value)


# ---- a disk that fails


@pytest.mark.parametrize("call", ["pwrite", "fdatasync"])
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_a_failure_is_final(
    open_disk: OpenDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, error: int
) -> None:
    disk = open_disk(tmp_path / "data", sync=True)
    disk.create(NODE, CLUSTER)
    disk.save(HardState(1, NODE, 0), batch(1, 3), True)
    attempts = 0

    def fail(*args: Any) -> int:
        nonlocal attempts
        attempts += 1
        raise OSError(error, os.strerror(error))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(DiskFailedError, match=os.strerror(error)):
            disk.save(None, batch(4, 4), True)
    assert attempts == 1
    # The disk works again, but what the failed call left behind is unknown.
    for again in (
        lambda: disk.save(None, batch(4, 4), True),
        lambda: disk.save_snapshot(snapshot(3)),
        lambda: disk.release(1),
        lambda: disk.load(),
    ):
        with pytest.raises(DiskFailedError, match=os.strerror(error)):
            again()
    disk.close()
    found = open_disk(disk.data_dir).load()
    assert found.entries[:3] == batch(1, 3)


def test_a_file_system_that_cannot_preallocate(
    open_disk: OpenDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*args: Any) -> None:
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr(os, "posix_fallocate", unsupported)
    disk = open_disk(tmp_path / "data")
    disk.create(NODE, CLUSTER)
    assert next(disk.wal_dir.glob("*.wal")).stat().st_size == 16 * 1024
    disk.save(HardState(1, NODE, 2), batch(1, 200, size=200), True)
    _, found = reopen(open_disk, disk)
    assert found.entries == batch(1, 200, size=200)


def test_a_full_disk_cannot_preallocate(
    open_disk: OpenDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    disk = open_disk(tmp_path / "data")
    with pytest.raises(DiskFailedError, match=r"cannot create the log: .*No space left"):
        disk.create(NODE, CLUSTER)
    assert not disk.has_log
