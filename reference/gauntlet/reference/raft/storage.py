"""What the core reads of the stable log, and an implementation in memory.

Rules for any Storage:
1. Everything it returns is durable, and was handed out by a Ready before.
2. `term(i)` is known for first_index() - 1 as well: the entry itself is compacted, its term is kept, since
   an append is anchored at it.
3. Entries are shared, never changed. Lists that are returned belong to the caller.
"""

from __future__ import annotations

from typing import Protocol

from .errors import Compacted, InvariantBroken, SnapshotOutOfDate, Unavailable
from .sizes import limit_size
from .types import NO_LIMIT, ConfState, Entry, HardState, Snapshot


class Storage(Protocol):
    def initial_state(self) -> tuple[HardState, ConfState]:
        """What was saved last; the zero values if nothing was."""

    def entries(self, lo: int, hi: int, max_size: int) -> list[Entry]:
        """Entries [lo, hi), cut to `max_size` encoded bytes but at least one. Compacted, Unavailable."""

    def term(self, index: int) -> int:
        """The term at `index` in [first_index() - 1, last_index()]. Compacted, Unavailable."""

    def last_index(self) -> int: ...

    def first_index(self) -> int:
        """The first index whose entry is there, or would be if the log is empty."""

    def snapshot(self) -> Snapshot:
        """The newest snapshot. SnapshotTemporarilyUnavailable: ask again later."""


class MemoryStorage:
    """The whole log in a list. An etcd member uses it too: the write-ahead log holds the durable copy."""

    __slots__ = ("_base", "_base_term", "_entries", "_hard_state", "_snapshot")

    def __init__(self) -> None:
        self._hard_state = HardState()
        self._snapshot = Snapshot()
        # Index and term of what precedes _entries[0].
        self._base = 0
        self._base_term = 0
        self._entries: list[Entry] = []

    def initial_state(self) -> tuple[HardState, ConfState]:
        state = self._hard_state
        return HardState(state.term, state.vote, state.commit), self._snapshot.conf_state

    def set_hard_state(self, state: HardState) -> None:
        self._hard_state = state

    def first_index(self) -> int:
        return self._base + 1

    def last_index(self) -> int:
        return self._base + len(self._entries)

    def term(self, index: int) -> int:
        position = index - self._base
        if position <= 0:
            if position < 0:
                raise Compacted
            return self._base_term
        if position > len(self._entries):
            raise Unavailable
        return self._entries[position - 1].term

    def entries(self, lo: int, hi: int, max_size: int = NO_LIMIT) -> list[Entry]:
        base = self._base
        if lo <= base:
            raise Compacted
        if hi > base + len(self._entries) + 1 or not self._entries:
            raise Unavailable
        return limit_size(self._entries[lo - base - 1 : hi - base - 1], max_size)

    def snapshot(self) -> Snapshot:
        return self._snapshot

    def append(self, entries: list[Entry]) -> None:
        """Add `entries`, which follow or overwrite what is there. What is compacted stays so."""
        if not entries:
            return
        position = entries[0].index - self._base - 1
        if position < 0:
            entries = entries[-position:]
            if not entries:
                return
            position = 0
        if position > len(self._entries):
            raise InvariantBroken(
                f"missing log entry [last: {self.last_index()}, append at: {entries[0].index}]"
            )
        if position < len(self._entries):
            del self._entries[position:]
        self._entries.extend(entries)

    def apply_snapshot(self, snapshot: Snapshot) -> None:
        """Replace everything by `snapshot`. SnapshotOutOfDate if there is one at that index or later."""
        if self._snapshot.index and self._snapshot.index >= snapshot.index:
            raise SnapshotOutOfDate
        self._snapshot = snapshot
        self._base = snapshot.index
        self._base_term = snapshot.term
        self._entries = []

    def create_snapshot(self, index: int, conf_state: ConfState | None, data: bytes) -> Snapshot:
        """Remember the application's state at `index`. None: the configuration is the previous one's."""
        if index <= self._snapshot.index:
            raise SnapshotOutOfDate
        if index > self.last_index():
            raise InvariantBroken(f"snapshot {index} is out of bound lastindex({self.last_index()})")
        if conf_state is None:
            conf_state = self._snapshot.conf_state
        self._snapshot = Snapshot(index=index, term=self.term(index), conf_state=conf_state, data=data)
        return self._snapshot

    def compact(self, index: int) -> None:
        """Drop the entries up to and including `index`, which must be applied."""
        if index <= self._base:
            raise Compacted
        if index > self.last_index():
            raise InvariantBroken(f"compact {index} is out of bound lastindex({self.last_index()})")
        self._base_term = self.term(index)
        del self._entries[: index - self._base]
        self._base = index
