"""The real disk: etcd's data directory, `<data-dir>/member/{snap,wal}`.

Rules (their sources: etcd server v3.7.1, storage/wal and etcdserver/api/snap; fsync: Rebello et al.,
"Can Applications Recover from fsync Failures?", USENIX ATC 2020):

1. One process owns the directory: by flock, and, against etcd itself, by the lock etcd takes on the log.
2. A log appears whole or not at all: it is made in `wal.tmp`, synced, renamed, and the parent synced.
3. A batch is one write and one fdatasync.
4. After any failed write or sync the disk is dead for good. A sync is never repeated, because the kernel
   may have dropped the dirty pages and would then report success for data that is lost.
5. A snapshot file is written beside its place, synced, renamed, its directory synced, and only then marked
   in the log. A file without its mark is ignored, a broken one is renamed `*.broken`, and the next older
   one is used.
6. A segment that has reached its size is cut: truncated and synced, the next one made whole under another
   name and renamed. At no instant is the log without its newest synced record.
7. A torn tail is cut off (a copy of the file is kept as `*.broken`); any other damage stops the member.
"""

from __future__ import annotations

import errno
import fcntl
import itertools
import logging
import os
import shutil
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

from gauntlet.reference.formats import snapshot as snapfile
from gauntlet.reference.formats import wal
from gauntlet.reference.formats.varint import DecodeError
from gauntlet.reference.ports import DiskFailedError, Recovered
from gauntlet.reference.raft.types import Entry, HardState, Snapshot
from gauntlet.reference.server.metrics.tally import DiskTally

log = logging.getLogger(__name__)

_DIR_MODE = 0o700
_FILE_MODE = 0o600
# So much of a snapshot at most is written and not yet synced.
_SYNC_BYTES = 4 << 20
# struct flock: F_WRLCK, SEEK_SET, from 0 to the end, no process.
_WHOLE_FILE = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)


class DataDirError(Exception):
    """The data directory cannot be used. The message is one clear line."""


class DataDirLockedError(DataDirError):
    """Another process uses the directory."""


class WrongOwnerError(DataDirError):
    """The directory belongs to another member or another cluster."""


class CorruptDataError(DataDirError):
    """What the directory holds contradicts itself."""


class FileDisk:
    """Implements ports.Disk on a directory. First `create` or `load`, as `has_log` says.

    `sync` False leaves out every fsync (etcd's --unsafe-no-fsync). `max_wals` and `max_snapshots` bound the
    files kept once they are released; 0 keeps all.
    """

    def __init__(
        self,
        data_dir: Path | str,
        *,
        wal_dir: Path | str | None = None,
        segment_bytes: int = wal.SEGMENT_BYTES,
        max_wals: int = 5,
        max_snapshots: int = 5,
        sync: bool = True,
    ) -> None:
        """DataDirLockedError when another process has it, DataDirError when it cannot be made."""
        self.data_dir = Path(data_dir)
        self.snap_dir = self.data_dir / "member" / "snap"
        self.wal_dir = Path(wal_dir) if wal_dir else self.data_dir / "member" / "wal"
        self._segment_bytes = segment_bytes
        self._max_wals = max_wals
        self._max_snapshots = max_snapshots
        self._sync = sync
        self.tally = DiskTally()
        self._failed: str | None = None
        self._fd = -1
        self._wal_dir_fd = -1
        self._offset = 0
        self._encoder = wal.Encoder()
        self._metadata = wal.Metadata()
        self._hard_state = HardState()
        self._last_index = 0
        self._segments: list[tuple[int, int]] = []
        self._released = 0
        self._lock_fd = self._claim()

    # ---- opening

    def _claim(self) -> int:
        try:
            self.data_dir.mkdir(mode=_DIR_MODE, parents=True, exist_ok=True)
            self.snap_dir.mkdir(mode=_DIR_MODE, parents=True, exist_ok=True)
            fd = os.open(self.data_dir, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise DataDirError(f"cannot use data directory {self.data_dir}: {error.strerror}") from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            raise DataDirLockedError(f"data directory {self.data_dir} is used by another process") from None
        return fd

    @property
    def has_log(self) -> bool:
        """Whether a member lived here before."""
        return bool(self._segment_names())

    def create(
        self,
        node_id: int,
        cluster_id: int,
        hard_state: HardState | None = None,
        entries: Sequence[Entry] = (),
    ) -> None:
        """Starts the log of a new member. It appears with these entries and this state, or not at all."""
        if self.has_log:
            raise DataDirError(f"data directory {self.data_dir} already holds a member")
        with self._fatal("create the log"):
            self._metadata = wal.Metadata(node_id, cluster_id)
            making = self.wal_dir.with_name(self.wal_dir.name + ".tmp")
            shutil.rmtree(making, ignore_errors=True)
            making.mkdir(mode=_DIR_MODE, parents=True)
            self._encoder = wal.Encoder()
            wal.first_segment(self._encoder, self._metadata)
            self._record(hard_state, entries)
            self._start_segment(making / wal.segment_name(0, 0))
            self._sync_dir(making)
            if self.wal_dir.exists():
                self.wal_dir.rmdir()
            making.rename(self.wal_dir)
            for directory in (self.wal_dir.parent, self.snap_dir, self.snap_dir.parent, self.data_dir):
                self._sync_dir(directory)
            self._segments = [(0, 0)]
            self._wal_dir_fd = os.open(self.wal_dir, os.O_RDONLY | os.O_DIRECTORY)

    def _close_log(self) -> None:
        for fd in (self._fd, self._wal_dir_fd):
            if fd >= 0:
                os.close(fd)
        self._fd = self._wal_dir_fd = -1

    def load(self, *, node_id: int | None = None, cluster_id: int | None = None) -> Recovered:
        """Reads the newest usable snapshot and the log after it; the log is then ready for more.

        Given ids must be those of the directory, else WrongOwnerError. CorruptDataError for any damage that
        is not a torn tail.
        """
        with self._fatal("read the log"):
            self._close_log()
            self._remove_leftovers()
            self._segments = self._continuous(self._segment_names())
            self._fd = os.open(self.wal_dir / wal.segment_name(*self._segments[-1]), os.O_WRONLY)
            self._lock_against_etcd()
            snapshot, replay, reader = self._newest()
            if replay.metadata is None:
                raise CorruptDataError(f"{self.wal_dir}: the log does not say whose it is")
            self._check_owner(replay.metadata, node_id, cluster_id)
            self._resume(replay, reader)
        owner = replay.metadata
        return Recovered(owner.node_id, owner.cluster_id, replay.hard_state, snapshot, replay.entries)

    def _segment_names(self) -> list[tuple[int, int]]:
        try:
            names = os.listdir(self.wal_dir)
        except FileNotFoundError:
            return []
        return sorted(parsed for name in names if (parsed := wal.parse_segment_name(name)) is not None)

    def _continuous(self, segments: list[tuple[int, int]]) -> list[tuple[int, int]]:
        if not segments:
            raise CorruptDataError(f"{self.wal_dir}: no log")
        for (before, _), (after, _) in itertools.pairwise(segments):
            if after != before + 1:
                raise CorruptDataError(f"{self.wal_dir}: log segment {before + 1:016x} is missing")
        return segments

    def _remove_leftovers(self) -> None:
        for directory in (self.wal_dir, self.snap_dir):
            for path in directory.glob("*.tmp"):
                path.unlink()

    def _newest(self) -> tuple[Snapshot | None, wal.Replay, wal.SegmentReader]:
        for snapshot in self._snapshots():
            replay = wal.starting_point(snapshot)
            position = wal.first_needed(self._segments, replay.index)
            if position is None:
                continue
            reader = self._replay(replay, position)
            if replay.valid:
                return snapshot, replay, reader
        raise CorruptDataError(
            f"{self.data_dir}: the log begins at index {self._segments[0][1]}, and no snapshot reaches it"
        )

    def _snapshots(self) -> Iterator[Snapshot | None]:
        """The readable snapshots, newest first, then None: the empty state the log itself begins from."""
        for name in self._snapshot_names():
            path = self.snap_dir / name
            try:
                yield snapfile.decode_snapshot_file(path.read_bytes())
            except snapfile.BrokenSnapshotError as error:
                log.warning("snapshot %s is broken (%s), using an older one", path, error)
                path.rename(path.with_name(name + ".broken"))
        yield None

    def _snapshot_names(self) -> list[str]:
        names = [name for name in os.listdir(self.snap_dir) if snapfile.parse_snapshot_name(name) is not None]
        return sorted(names, reverse=True)

    def _replay(self, replay: wal.Replay, position: int) -> wal.SegmentReader:
        """Feeds `replay` from the segment at `position` on. The reader returned stands at the log's end."""
        crc = 0
        segments = self._segments[position:]
        for segment in segments:
            path = self.wal_dir / wal.segment_name(*segment)
            reader = wal.SegmentReader(path.read_bytes(), crc, last=segment == segments[-1])
            try:
                for record in reader:
                    replay.feed(record)
            except wal.TornWalError as torn:
                self._cut_torn_tail(path, torn)
            except (wal.CorruptWalError, DecodeError) as error:
                raise CorruptDataError(f"corrupt log: {path}: {error}") from error
            crc = reader.crc
        return reader

    def _cut_torn_tail(self, path: Path, torn: wal.TornWalError) -> None:
        log.warning("cutting off a torn write: %s: %s", path, torn)
        shutil.copyfile(path, path.with_name(path.name + ".broken"))
        os.truncate(path, torn.offset)

    def _check_owner(self, owner: wal.Metadata, node_id: int | None, cluster_id: int | None) -> None:
        for what, ours, theirs in (
            ("cluster", cluster_id, owner.cluster_id),
            ("member", node_id, owner.node_id),
        ):
            if ours is not None and ours != theirs:
                raise WrongOwnerError(
                    f"data directory {self.data_dir} belongs to {what} {theirs:x}, not to {what} {ours:x}"
                )

    def _resume(self, replay: wal.Replay, reader: wal.SegmentReader) -> None:
        assert replay.metadata is not None
        self._metadata = replay.metadata
        last = replay.hard_state
        self._hard_state = HardState(last.term, last.vote, last.commit)
        self._last_index = replay.last_index
        self._encoder = wal.Encoder(reader.crc)
        self._offset = reader.offset
        self._wal_dir_fd = os.open(self.wal_dir, os.O_RDONLY | os.O_DIRECTORY)
        # Behind the last whole frame there may be pieces of a batch that never became durable. If they
        # stayed, a later frame that ends just before one of them would seem to be followed by it.
        os.ftruncate(self._fd, self._offset)
        self._preallocate(self._fd)
        if self._sync:
            os.fsync(self._fd)

    # ---- writing

    def save(self, hard_state: HardState | None, entries: Sequence[Entry], sync: bool) -> None:
        with self._fatal("write the log"):
            self._record(hard_state, entries)
            self._append(sync)
            if self._offset >= self._segment_bytes:
                self._cut()

    def save_snapshot(self, snapshot: Snapshot, hard_state: HardState | None = None) -> None:
        self.write_snapshot(snapshot, len(snapshot.data), (snapshot.data,), received=True)
        self.mark_snapshot(snapshot, hard_state)

    def write_snapshot(
        self, snapshot: Snapshot, size: int, pieces: Iterable[bytes], *, received: bool = False
    ) -> None:
        """Makes the file durable; it counts once it is marked. `size` is that of all pieces, in bytes; the
        snapshot's own data is not looked at. Another thread may write the log meanwhile."""
        if not snapshot.index:
            raise ValueError("the empty snapshot is never saved")
        with self._fatal("save a snapshot"):
            began = perf_counter()
            name = snapfile.snapshot_name(snapshot.term, snapshot.index)
            making = self.snap_dir / (name + ".tmp")
            fd = os.open(making, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _FILE_MODE)
            try:
                self._write_pieces(fd, snapfile.SnapshotFrame(snapshot, size), pieces)
                written = perf_counter()
                self.tally.snapshot_encode.observe(written - began)
                if self._sync:
                    os.fsync(fd)
                synced = perf_counter() - written
                self.tally.snapshot_fsync.observe(synced)
            finally:
                os.close(fd)
            making.rename(self.snap_dir / name)
            self._sync_dir(self.snap_dir)
            took = perf_counter() - began
            self.tally.snapshot_save.observe(took)
            if received:
                self.tally.received_fsync.observe(synced)
                self.tally.received_save.observe(took)

    def _write_pieces(self, fd: int, frame: snapfile.SnapshotFrame, pieces: Iterable[bytes]) -> None:
        _write_all(fd, frame.head, 0)
        offset = synced = len(frame.head)
        for piece in pieces:
            frame.add(piece)
            _write_all(fd, piece, offset)
            offset += len(piece)
            if self._sync and offset - synced >= _SYNC_BYTES:
                # What lies in the cache at the end would have to be written in one go, before the log's next.
                os.fdatasync(fd)
                synced = offset
        _write_all(fd, frame.tail, offset)
        _write_all(fd, frame.checksum, snapfile.CHECKSUM_AT)

    def mark_snapshot(self, snapshot: Snapshot, hard_state: HardState | None = None) -> None:
        """Says in the log that the snapshot's file is there; see ports.Disk.save_snapshot."""
        with self._fatal("mark a snapshot"):
            self._encoder.snapshot(snapshot.index, snapshot.term, snapshot.conf_state)
            self._last_index = max(self._last_index, snapshot.index)
            self._record(hard_state or self._raised(snapshot), ())
            self._append(sync=True)

    def _raised(self, snapshot: Snapshot) -> HardState | None:
        """The hard state that makes the snapshot count, if the last one does not."""
        last = self._hard_state
        if last.commit >= snapshot.index:
            return None
        term = max(last.term, snapshot.term)
        return HardState(term, last.vote if term == last.term else 0, snapshot.index)

    def _record(self, hard_state: HardState | None, entries: Sequence[Entry]) -> None:
        """Encodes entries first: a state must never be on disk before the entries it commits."""
        if entries:
            self._encoder.entries(entries)
            self._last_index = entries[-1].index
        if hard_state is not None:
            self._encoder.hard_state(hard_state)
            # A copy, because the caller may change its object and the next segment begins with this one.
            self._hard_state = HardState(hard_state.term, hard_state.vote, hard_state.commit)

    def _append(self, sync: bool) -> None:
        frames = self._encoder.take()
        if frames:
            began = perf_counter()
            _write_all(self._fd, frames, self._offset)
            self._offset += len(frames)
            self.tally.write.observe(perf_counter() - began)
            self.tally.written_bytes += len(frames)
        if sync and self._sync:
            began = perf_counter()
            os.fdatasync(self._fd)
            self.tally.fsync.observe(perf_counter() - began)

    def _cut(self) -> None:
        os.ftruncate(self._fd, self._offset)
        if self._sync:
            os.fsync(self._fd)
        full, self._fd = self._fd, -1
        os.close(full)
        segment = (self._segments[-1][0] + 1, self._last_index + 1)
        making = self.wal_dir / "0.tmp"
        wal.next_segment(self._encoder, self._metadata, self._hard_state)
        self._start_segment(making)
        making.rename(self.wal_dir / wal.segment_name(*segment))
        if self._sync:
            os.fsync(self._wal_dir_fd)
        self._segments.append(segment)

    def _start_segment(self, path: Path) -> None:
        """Makes a preallocated file that holds what the encoder has, and goes on in it."""
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _FILE_MODE)
        self._lock_against_etcd()
        self._preallocate(self._fd)
        self._offset = 0
        frames = self._encoder.take()
        _write_all(self._fd, frames, 0)
        self._offset = len(frames)
        if self._sync:
            os.fsync(self._fd)

    def _lock_against_etcd(self) -> None:
        """Takes the open file description lock that etcd takes on Linux; elsewhere there is none to take."""
        command = getattr(fcntl, "F_OFD_SETLK", None)
        if command is None:
            return
        try:
            fcntl.fcntl(self._fd, command, _WHOLE_FILE)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            raise DataDirLockedError(f"the log in {self.wal_dir} is used by another process") from None

    def _preallocate(self, fd: int) -> None:
        """Room for a whole segment, as zeros, so that fdatasync need not write the file's size each time."""
        try:
            os.posix_fallocate(fd, 0, self._segment_bytes)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                raise
            if os.fstat(fd).st_size < self._segment_bytes:
                os.ftruncate(fd, self._segment_bytes)

    # ---- letting go

    def release(self, index: int) -> None:
        """Deletes the oldest files beyond the limits, as far as a restart at `index` does not need them."""
        with self._fatal("delete old files"):
            position = wal.first_needed(self._segments, index)
            if position is not None:
                self._released = max(self._released, self._segments[position][0])
            while self._max_wals and len(self._segments) > self._max_wals:
                if self._segments[0][0] >= self._released:
                    break
                (self.wal_dir / wal.segment_name(*self._segments[0])).unlink()
                del self._segments[0]
            if self._max_snapshots:
                for name in self._snapshot_names()[self._max_snapshots :]:
                    (self.snap_dir / name).unlink()

    def close(self) -> None:
        """Syncs what was written and gives up the directory. A dead disk is closed without a sync."""
        if self._lock_fd < 0:
            return
        try:
            if self._fd >= 0 and self._sync and self._failed is None:
                with self._fatal("sync the log"):
                    os.fdatasync(self._fd)
        finally:
            self._close_log()
            os.close(self._lock_fd)
            self._lock_fd = -1

    # ---- shared

    def _sync_dir(self, directory: Path) -> None:
        if not self._sync:
            return
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    @contextmanager
    def _fatal(self, doing: str) -> Iterator[None]:
        """Turns any error of the operating system into the end of this disk."""
        if self._failed is not None:
            raise DiskFailedError(self._failed)
        try:
            yield
        except OSError as error:
            where = error.filename or self.wal_dir
            self._failed = f"cannot {doing}: {where}: {error.strerror or error}"
            raise DiskFailedError(self._failed) from error


def _write_all(fd: int, data: bytes, offset: int) -> None:
    """One pwrite, unless the system takes less than all of it."""
    written = os.pwrite(fd, data, offset)
    while written < len(data):
        written += os.pwrite(fd, memoryview(data)[written:], offset + written)
