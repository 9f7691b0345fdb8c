"""The replicated log: the stable part in Storage, the unstable tail, and three positions in it.

Rules (Raft paper, sections 5.3 and 5.4; etcd's raft log):
1. applied <= applying <= committed <= last index. `applying` was handed to the application, `applied` came
   back. A conflict at or below `committed` means that safety is lost: the member stops.
2. An append is taken only if the log holds the entry it is anchored at. Entries that are already here are
   skipped, the first that differs replaces the rest.
3. Of two logs the one whose last entry has the later term is newer; with equal terms, the longer one.
4. At most `max_applying_size` encoded bytes are with the application at a time; one entry always may be.
5. No entry is handed out while a snapshot waits to be applied.
"""

from __future__ import annotations

from .errors import Compacted, Unavailable
from .logger import Logger
from .sizes import entries_size, limit_size
from .storage import Storage
from .types import NO_LIMIT, Entry, EntryType, Snapshot
from .unstable import Unstable


class RaftLog:
    __slots__ = (
        "_log",
        "applied",
        "applying",
        "applying_paused",
        "applying_size",
        "committed",
        "max_applying_size",
        "storage",
        "unstable",
    )

    def __init__(self, storage: Storage, log: Logger, max_applying_size: int = NO_LIMIT) -> None:
        self.storage = storage
        self.unstable = Unstable(storage.last_index() + 1, log)
        self.committed = self.applying = self.applied = storage.first_index() - 1
        self.max_applying_size = max_applying_size
        self.applying_size = 0
        self.applying_paused = False
        self._log = log

    def __str__(self) -> str:
        unstable = self.unstable
        return (
            f"committed={self.committed}, applied={self.applied}, applying={self.applying}, "
            f"unstable.offset={unstable.offset}, unstable.offsetInProgress={unstable.offset_in_progress}, "
            f"len(unstable.Entries)={len(unstable.entries)}"
        )

    # --- what is in the log ---

    def first_index(self) -> int:
        snapshot = self.unstable.snapshot
        return self.storage.first_index() if snapshot is None else snapshot.index + 1

    def last_index(self) -> int:
        unstable = self.unstable
        if unstable.entries:
            return unstable.offset + len(unstable.entries) - 1
        if unstable.snapshot is not None:
            return unstable.snapshot.index
        return self.storage.last_index()

    def find_term(self, index: int) -> int | None:
        """The term at `index`, or None if it is compacted or beyond the end."""
        unstable = self.unstable
        if index >= unstable.offset or unstable.snapshot is not None:
            # Nothing follows the unstable part, and nothing precedes a snapshot.
            return unstable.find_term(index)
        try:
            return self.storage.term(index)
        except (Compacted, Unavailable):
            return None

    def last_id(self) -> tuple[int, int]:
        """(term, index) of the last entry."""
        index = self.last_index()
        term = self.find_term(index)
        if term is None:
            self._log.fatal(f"unexpected error when getting the last term at {index}")
        return term, index

    def is_up_to_date(self, term: int, index: int) -> bool:
        """Whether a log that ends in (term, index) is at least as new as this one (rule 3)."""
        return (term, index) >= self.last_id()

    def entries(self, lo: int, max_size: int) -> list[Entry]:
        """The entries from `lo` on, cut to `max_size` encoded bytes but at least one. Compacted."""
        last = self.last_index()
        return [] if lo > last else self.slice(lo, last + 1, max_size)

    def slice(self, lo: int, hi: int, max_size: int) -> list[Entry]:
        """Entries [lo, hi), cut to `max_size` encoded bytes but at least one. Compacted."""
        unstable = self.unstable
        self._check_bounds(lo, hi)
        if lo == hi:
            return []
        offset = unstable.offset
        if lo >= offset:
            return limit_size(unstable.entries[lo - offset : hi - offset], max_size)
        cut = min(hi, offset)
        try:
            entries = self.storage.entries(lo, cut, max_size)
        except Unavailable:
            self._log.fatal(f"entries[{lo}:{cut}) is unavailable from storage")
        if hi <= offset or len(entries) < cut - lo:
            return entries
        tail = unstable.entries[: hi - offset]
        if max_size >= NO_LIMIT:
            return entries + tail
        size = entries_size(entries)
        if size >= max_size:
            return entries
        tail = limit_size(tail, max_size - size)
        if len(tail) == 1 and size + entries_size(tail) > max_size:
            return entries
        return entries + tail

    def _check_bounds(self, lo: int, hi: int) -> None:
        if lo > hi:
            self._log.fatal(f"invalid slice {lo} > {hi}")
        first = self.first_index()
        if lo < first:
            raise Compacted
        last = self.last_index()
        if hi > last + 1:
            self._log.fatal(f"slice[{lo},{hi}) out of bound [{first},{last}]")

    def snapshot(self) -> Snapshot:
        """The newest snapshot, written or not. SnapshotTemporarilyUnavailable."""
        snapshot = self.unstable.snapshot
        return self.storage.snapshot() if snapshot is None else snapshot

    # --- how it grows ---

    def maybe_append(
        self, prev_term: int, prev_index: int, entries: list[Entry], committed: int
    ) -> int | None:
        """Take a leader's append (rule 2). The last index it covers, or None if the anchor is not here."""
        if self.find_term(prev_index) != prev_term:
            return None
        conflict = self.find_conflict(entries)
        if conflict:
            if conflict <= self.committed:
                self._log.fatal(
                    f"entry {conflict} conflict with committed entry [committed({self.committed})]"
                )
            skip = conflict - prev_index - 1
            self.append(entries[skip:] if skip else entries)
        last = prev_index + len(entries)
        self.commit_to(min(committed, last))
        return last

    def append(self, entries: list[Entry]) -> None:
        if not entries:
            return
        after = entries[0].index - 1
        if after < self.committed:
            self._log.fatal(f"after({after}) is out of range [committed({self.committed})]")
        self.unstable.truncate_and_append(entries)

    def find_conflict(self, entries: list[Entry]) -> int:
        """The index of the first entry that is not in this log as it is, or 0 if all are."""
        for entry in entries:
            found = self.find_term(entry.index)
            if found != entry.term:
                if entry.index <= self.last_index():
                    self._log.info(
                        f"found conflict at index {entry.index} "
                        f"[existing term: {found or 0}, conflicting term: {entry.term}]"
                    )
                return entry.index
        return 0

    def find_conflict_by_term(self, index: int, term: int) -> tuple[int, int]:
        """The highest (index', term') with index' <= `index` where a log that ends in `term` could match.

        Terms only grow along a log, so an entry here with a later term cannot be in the other log. An index
        whose term is unknown may match; its term is then 0.
        """
        while index > 0:
            ours = self.find_term(index)
            if ours is None:
                return index, 0
            if ours <= term:
                return index, ours
            index -= 1
        return 0, 0

    def restore(self, snapshot: Snapshot) -> None:
        self._log.info(
            f"log [{self}] starts to restore snapshot [index: {snapshot.index}, term: {snapshot.term}]"
        )
        self.committed = snapshot.index
        self.unstable.restore(snapshot)

    # --- commit and apply ---

    def commit_to(self, index: int) -> None:
        """Raise the commit index; it never falls."""
        if self.committed < index:
            last = self.last_index()
            if last < index:
                self._log.fatal(
                    f"tocommit({index}) is out of range [lastIndex({last})]. "
                    "Was the raft log corrupted, truncated, or lost?"
                )
            self.committed = index

    def maybe_commit(self, term: int, index: int) -> bool:
        """Commit up to `index` if the entry there is of `term`. Whether that changed anything."""
        if term != 0 and index > self.committed and self.find_term(index) == term:
            self.commit_to(index)
            return True
        return False

    def appliable_index(self, allow_unstable: bool) -> int:
        """The last index that may be applied; without `allow_unstable` it must be durable here."""
        return self.committed if allow_unstable else min(self.committed, self.unstable.offset - 1)

    def has_next_committed(self, allow_unstable: bool) -> bool:
        return (
            not self.applying_paused
            and self.unstable.snapshot is None
            and self.applying < self.appliable_index(allow_unstable)
        )

    def next_committed(self, allow_unstable: bool) -> list[Entry]:
        """Committed entries for the application, within its quota (rules 4 and 5)."""
        if not self.has_next_committed(allow_unstable):
            return []
        room = self.max_applying_size - self.applying_size
        if room <= 0:
            self._log.fatal(
                f"applying entry size ({self.max_applying_size}-{self.applying_size})={room} not positive"
            )
        try:
            return self.slice(self.applying + 1, self.appliable_index(allow_unstable) + 1, room)
        except Compacted as error:
            self._log.fatal(f"unexpected error when getting unapplied entries ({error})")

    def accept_applying(self, index: int, size: int, allow_unstable: bool) -> None:
        """Entries up to `index`, of `size` encoded bytes, are with the application now."""
        if self.committed < index:
            self._log.fatal(
                f"applying({index}) is out of range "
                f"[prevApplying({self.applying}), committed({self.committed})]"
            )
        self.applying = index
        self.applying_size += size
        # If fewer entries were taken than there are, the next one would have exceeded the quota.
        self.applying_paused = self.applying_size >= self.max_applying_size or index < self.appliable_index(
            allow_unstable
        )

    def applied_to(self, index: int, size: int) -> None:
        """The application has applied everything up to `index`; `size` encoded bytes of quota are free."""
        if self.committed < index or index < self.applied:
            self._log.fatal(
                f"applied({index}) is out of range [prevApplied({self.applied}), committed({self.committed})]"
            )
        self.applied = index
        self.applying = max(self.applying, index)
        self.applying_size = max(0, self.applying_size - size)
        self.applying_paused = self.applying_size >= self.max_applying_size

    def has_unapplied_conf_changes(self) -> bool:
        """Whether a committed membership change waits to be applied. Reads in pages of the quota's size."""
        lo, hi = self.applied + 1, self.committed + 1
        while lo < hi:
            page = self.slice(lo, hi, self.max_applying_size)
            if any(entry.type != EntryType.NORMAL for entry in page):
                return True
            lo += len(page)
        return False
