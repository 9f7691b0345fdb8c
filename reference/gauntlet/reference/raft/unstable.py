"""The tail of the log that is not yet known to be durable.

Rules:
1. `entries[k]` has index `offset + k`. The stable log may reach beyond `offset`: then the next write
   replaces what it holds from there on.
2. Entries below `offset_in_progress`, and the snapshot if `snapshot_in_progress`, have been handed out for
   writing and are not handed out again; they stay here until the write is acknowledged.
3. An acknowledgement counts only if index and term are those of an entry that is still here: the entry may
   have been replaced while it was being written.
4. A received snapshot replaces the log: it is the new beginning, and no entry may be applied before it.
"""

from __future__ import annotations

from .logger import Logger
from .types import Entry, Snapshot


class Unstable:
    __slots__ = ("_log", "entries", "offset", "offset_in_progress", "snapshot", "snapshot_in_progress")

    def __init__(self, offset: int, log: Logger) -> None:
        self.snapshot: Snapshot | None = None
        self.snapshot_in_progress = False
        self.entries: list[Entry] = []
        self.offset = offset
        self.offset_in_progress = offset
        self._log = log

    def find_term(self, index: int) -> int | None:
        """The term at `index` if the unstable part knows it."""
        position = index - self.offset
        if position >= 0:
            entries = self.entries
            return entries[position].term if position < len(entries) else None
        if self.snapshot is not None and self.snapshot.index == index:
            return self.snapshot.term
        return None

    def has_next_entries(self) -> bool:
        return len(self.entries) > self.offset_in_progress - self.offset

    def next_entries(self) -> list[Entry]:
        """Entries to be written that no Ready has carried yet."""
        return self.entries[self.offset_in_progress - self.offset :]

    def next_snapshot(self) -> Snapshot | None:
        return None if self.snapshot_in_progress else self.snapshot

    def accept_in_progress(self) -> None:
        """All there is has now been handed out for writing."""
        if self.entries:
            self.offset_in_progress = self.offset + len(self.entries)
        if self.snapshot is not None:
            self.snapshot_in_progress = True

    def stable_to(self, term: int, index: int) -> None:
        """The log up to entry (term, index) is durable, if that entry is still the one here (rule 3)."""
        found = self.find_term(index)
        if found is None:
            self._log.info(f"entry at index {index} missing from unstable log; ignoring")
        elif index < self.offset:
            self._log.info(f"entry at index {index} matched unstable snapshot; ignoring")
        elif found != term:
            self._log.info(
                f"entry at (index,term)=({index},{term}) mismatched with "
                f"entry at ({index},{found}) in unstable log; ignoring"
            )
        else:
            del self.entries[: index + 1 - self.offset]
            self.offset = index + 1
            self.offset_in_progress = max(self.offset_in_progress, self.offset)

    def stable_snapshot_to(self, index: int) -> None:
        if self.snapshot is not None and self.snapshot.index == index:
            self.snapshot = None
            self.snapshot_in_progress = False

    def restore(self, snapshot: Snapshot) -> None:
        self.offset = self.offset_in_progress = snapshot.index + 1
        self.entries = []
        self.snapshot = snapshot
        self.snapshot_in_progress = False

    def truncate_and_append(self, entries: list[Entry]) -> None:
        """Put `entries` at their indexes; whatever was there, or follows, is gone."""
        first = entries[0].index
        if first == self.offset + len(self.entries):
            self.entries.extend(entries)
        elif first <= self.offset:
            self._log.info(f"replace the unstable entries from index {first}")
            self.entries = list(entries)
            self.offset = self.offset_in_progress = first
        else:
            self._log.info(f"truncate the unstable entries before index {first}")
            del self.entries[first - self.offset :]
            self.entries.extend(entries)
            self.offset_in_progress = min(self.offset_in_progress, first)
