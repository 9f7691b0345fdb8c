"""The contract: after a crash at any instant, everything that was synced is there, and writing goes on.

Two kinds of crash. A power cut loses what was written after the last sync, as a cut or as sectors that keep
their old bytes, in any combination. A killed process stops between any two calls to the operating system.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gauntlet.reference.formats import wal
from gauntlet.reference.ports import Recovered
from gauntlet.reference.raft.types import ConfState, Entry, HardState, Snapshot
from gauntlet.reference.server.disk import FileDisk

OpenDisk = Callable[..., FileDisk]
NODE, CLUSTER = 0xA1, 0xC1
SECTOR = wal.SECTOR_BYTES


def batch(first: int, last: int, size: int = 30) -> list[Entry]:
    return [Entry(1, index, data=(b"%d." % index).ljust(size, b"x")) for index in range(first, last + 1)]


class Crashed:
    """A log whose last batch was being written when the power went."""

    def __init__(self, open_disk: OpenDisk, path: Path, last_batch: list[Entry]) -> None:
        self._open = open_disk
        self.path = path / "data"
        disk = open_disk(self.path)
        disk.create(NODE, CLUSTER)
        disk.save(HardState(1, NODE, 2), batch(1, 4), True)
        disk.save(HardState(1, NODE, 4), batch(5, 6), True)
        self.synced = batch(1, 6)
        self.written = self.synced + last_batch
        self.segment = next(disk.wal_dir.glob("*.wal"))
        self.before = self.segment.read_bytes()
        self.start = len(self.before.rstrip(b"\0")) + 7 & ~7
        disk.save(HardState(1, NODE, 6), last_batch, False)
        disk.close()
        self.after = self.segment.read_bytes()
        self.end = len(self.after.rstrip(b"\0"))

    def check(self, content: bytes) -> Recovered:
        """Opens the log with this content, writes on, opens it again. Returns what was found first."""
        for broken in self.segment.parent.glob("*.broken"):
            broken.unlink()
        self.segment.write_bytes(content)
        disk = self._open(self.path)
        found = disk.load()
        assert found.entries[:6] == self.synced
        assert found.entries == self.written[: len(found.entries)]
        assert found.hard_state in (HardState(1, NODE, 4), HardState(1, NODE, 6))
        assert found.hard_state.commit <= len(found.entries)
        more = [Entry(2, len(found.entries) + 1, data=b"after the crash")]
        disk.save(HardState(2, NODE, found.hard_state.commit), more, True)
        disk.close()
        disk = self._open(self.path)
        again = disk.load()
        disk.close()
        assert again.entries == found.entries + more
        assert again.hard_state.term == 2
        return found


def test_the_last_batch_cut_at_every_byte(open_disk: OpenDisk, tmp_path: Path) -> None:
    crashed = Crashed(open_disk, tmp_path, batch(7, 10))
    for cut in range(crashed.start, crashed.end + 1):
        head = crashed.after[:cut]
        short = crashed.check(head)  # the file itself ends there
        if cut < crashed.end:
            assert short.hard_state.commit == 4
    assert crashed.check(crashed.after).entries == crashed.written


@pytest.mark.parametrize("size", [30, 500, 1200])
def test_every_set_of_lost_sectors(open_disk: OpenDisk, tmp_path: Path, size: int) -> None:
    crashed = Crashed(open_disk, tmp_path, batch(7, 7 + 3000 // (size + 35), size))
    first, last = crashed.start // SECTOR, (crashed.end - 1) // SECTOR
    count = last - first + 1
    assert count >= 5
    kept_more = 0
    for lost in range(1, 1 << count):
        content = bytearray(crashed.after)
        for number in range(count):
            if lost >> number & 1:
                at = (first + number) * SECTOR
                content[at : at + SECTOR] = crashed.before[at : at + SECTOR]
        found = crashed.check(bytes(content))
        kept_more += len(found.entries) > 6
    assert kept_more, "sectors lost at the end leave the records before them"


def test_pieces_of_a_lost_batch_never_come_back(open_disk: OpenDisk, tmp_path: Path) -> None:
    """The first sector was lost, later ones were not: no new frame may end right before an old one."""
    crashed = Crashed(open_disk, tmp_path, batch(7, 20, 100))
    end = (crashed.start // SECTOR + 1) * SECTOR
    content = crashed.before[:end] + crashed.after[end:]
    for size in range(400, 700, 8):
        crashed.segment.write_bytes(content)
        disk = open_disk(crashed.path)
        assert disk.load().entries == crashed.synced
        disk.save(None, batch(7, 7, size), True)
        disk.close()
        disk = open_disk(crashed.path)
        assert disk.load().entries == crashed.synced + batch(7, 7, size)
        disk.close()


def test_a_torn_file_is_kept_for_inspection(open_disk: OpenDisk, tmp_path: Path) -> None:
    crashed = Crashed(open_disk, tmp_path, batch(7, 8, 2000))
    content = bytearray(crashed.after)
    at = crashed.start // SECTOR * SECTOR + 2 * SECTOR
    content[at : at + SECTOR] = bytes(SECTOR)
    crashed.check(bytes(content))
    assert crashed.segment.with_name(crashed.segment.name + ".broken").read_bytes() == bytes(content)


# ---- a killed process


class Killed(BaseException):
    """Not an OSError: nothing may catch it."""


STEPS = ("pwrite", "fsync", "fdatasync", "rename", "unlink", "ftruncate", "posix_fallocate", "open", "mkdir")


def _no_sync(fd: int) -> None:
    os.fstat(fd)


class Killer:
    """Lets `budget` calls to the operating system through; the next one never happens.

    Syncs are counted and left out: a killed process loses nothing of what the system has taken.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.budget = -1
        for name in STEPS:
            real = _no_sync if name in ("fsync", "fdatasync") else getattr(os, name)
            monkeypatch.setattr(os, name, self._counted(real))

    def _counted(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            if self.budget == 0:
                raise Killed
            self.budget -= 1
            return real(*args, **options)

        return call


def live(disk: FileDisk, acknowledged: list[Any]) -> None:
    """A short life with cuts, snapshots, releases, and a snapshot from the leader."""
    if not disk.has_log:
        disk.create(NODE, CLUSTER, HardState(1, 0, 1), batch(1, 1))
        acknowledged.append(("entry", 1))
    for index in range(2, 41):
        disk.save(HardState(1, NODE, index), batch(index, index, 700), True)
        acknowledged.append(("entry", index))
        if index % 10 == 0:
            disk.save_snapshot(Snapshot(index - 2, 1, ConfState([NODE]), b"image"))
            acknowledged.append(("snapshot", index - 2))
            disk.release(index - 5)
    disk.save_snapshot(Snapshot(90, 3, ConfState([NODE]), b"from the leader"), HardState(3, 0, 90))
    acknowledged.append(("snapshot", 90))
    disk.save(HardState(3, 0, 91), [Entry(3, 91, data=b"new")], True)
    acknowledged.append(("entry", 91))


def check_survival(found: Recovered, acknowledged: list[Any]) -> None:
    snapshot_index = found.snapshot.index if found.snapshot else 0
    last = snapshot_index + len(found.entries)
    for kind, index in acknowledged:
        assert index <= (last if kind == "entry" else snapshot_index), (kind, index)
    assert [entry.index for entry in found.entries] == list(range(snapshot_index + 1, last + 1))
    assert snapshot_index <= found.hard_state.commit <= last


def test_killed_between_any_two_system_calls(
    open_disk: OpenDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With fsync on, so that every step of the real thing is there."""
    killer = Killer(monkeypatch)
    options = {"sync": True, "segment_bytes": 4096, "max_wals": 2, "max_snapshots": 2}
    rounds = 0
    while True:
        path = tmp_path / "data"
        shutil.rmtree(path, ignore_errors=True)
        acknowledged: list[Any] = []
        disk = open_disk(path, **options)
        killer.budget = rounds
        try:
            live(disk, acknowledged)
        except Killed:
            pass
        else:
            break
        finally:
            killer.budget = -1
            disk.close()
        disk = open_disk(path, **options)
        if disk.has_log:
            check_survival(disk.load(), acknowledged)
            disk.save(None, [], True)
        else:
            assert acknowledged == []
            disk.create(NODE, CLUSTER)
        disk.close()
        rounds += 1
    assert rounds > 150


def test_killed_again_and_again(open_disk: OpenDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One directory through many kills, some of them while it is being opened."""
    killer = Killer(monkeypatch)
    chance = random.Random("killed again and again")
    options = {"sync": False, "segment_bytes": 4096, "max_wals": 2, "max_snapshots": 2}
    acknowledged = 0
    for _ in range(200):
        killer.budget = chance.randrange(4, 40)
        disk = None
        try:
            disk = open_disk(tmp_path / "data", **options)
            if disk.has_log:
                found = disk.load()
                last = (found.snapshot.index if found.snapshot else 0) + len(found.entries)
            else:
                disk.create(NODE, CLUSTER)
                last = 0
            assert last >= acknowledged
            acknowledged = last
            while True:
                disk.save(HardState(1, NODE, last), batch(last + 1, last + 3, 400), True)
                last += 3
                acknowledged = last
                if chance.random() < 0.3:
                    disk.save_snapshot(Snapshot(last - 1, 1, ConfState([NODE]), b"image"))
                    disk.release(last - 2)
        except Killed:
            continue
        finally:
            killer.budget = -1
            if disk is not None:
                disk.close()
    assert acknowledged > 500
