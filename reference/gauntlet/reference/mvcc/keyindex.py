"""The index: for every key, which revisions it had; in memory, rebuilt from the `key` bucket at start.

Rules (etcd's key index):

- A key's life runs from the put that creates it to the tombstone that ends it: a generation. A key put again
  after that begins a new generation with version 1 and a new create revision.
- A key exists at revision R if its newest generation that began at or before R has no tombstone at or
  before R.
- Compacting at R keeps, of every key, the newest change at or before R in the generation that lives at R
  or ended at R exactly, and everything after R. All else goes. A tombstone exactly at R stays, so that a
  watch from R still sees the delete.
- A hash leaves that tombstone out: releases that removed it must come to the same hash (`kept_for_hash`).
- A key whose generations are all gone leaves the index.

A revision is kept as its backend key (see `revision`): one bytes object shared with the bucket.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from heapq import merge
from itertools import islice
from typing import NamedTuple

from gauntlet.reference.mvcc import revision
from sortedcontainers import SortedList


class Found(NamedTuple):
    """One key as the index alone knows it; no value and no lease."""

    key: bytes
    revision: bytes
    create_revision: int
    version: int


class Generation:
    """One life of a key. `version` is that of the last revision, a tombstone counting like a put."""

    __slots__ = ("created", "revisions", "version")

    def __init__(self, created: int, version: int, revisions: list[bytes]) -> None:
        self.created = created
        self.version = version
        self.revisions = revisions


class History:
    """All generations of a key: the ended ones, oldest first, and the living one."""

    __slots__ = ("live", "past")

    def __init__(self) -> None:
        self.past: list[Generation] = []
        self.live: Generation | None = None

    def at(self, main: int) -> tuple[Generation, int] | None:
        """The generation and the place in it of the change that is in force at `main`."""
        bound = revision.bound_after(main)
        live = self.live
        if live is not None and live.revisions[0] < bound:
            return live, bisect_left(live.revisions, bound) - 1
        for generation in reversed(self.past):
            if generation.revisions[-1] < bound:
                return None
            if generation.revisions[0] < bound:
                return generation, bisect_left(generation.revisions, bound) - 1
        return None

    def survivor(self, main: int) -> tuple[int, int]:
        """What a compaction at `main` meets: the index of the generation (past ones first, then the living
        one) and the place in it of the revision to keep; -1 if it has none at or before `main`."""
        start = revision.key_of(main) if main >= 0 else b""
        bound = revision.bound_after(main)
        for number, generation in enumerate(self.past):
            if generation.revisions[-1] >= start:
                return number, bisect_left(generation.revisions, bound) - 1
        if self.live is None:
            return len(self.past), -1
        return len(self.past), bisect_left(self.live.revisions, bound) - 1

    def compact(self, main: int) -> list[bytes]:
        """Forgets what a compaction at `main` removes; returns those revisions."""
        number, place = self.survivor(main)
        dropped: list[bytes] = []
        for generation in self.past[:number]:
            dropped += generation.revisions
        del self.past[:number]
        first = self.past[0] if self.past else self.live
        if place > 0 and first is not None:
            dropped += first.revisions[:place]
            del first.revisions[:place]
        return dropped

    def kept_for_hash(self, main: int) -> bytes | None:
        """The revision at or before `main` that a hash at `main` counts for this key."""
        number, place = self.survivor(main)
        if place < 0:
            return None
        if number < len(self.past):
            revisions = self.past[number].revisions
            return revisions[place] if place < len(revisions) - 1 else None
        return self.live.revisions[place] if self.live is not None else None

    @property
    def empty(self) -> bool:
        return self.live is None and not self.past


class KeyIndex:
    """Histories by key, and the keys in order: those that exist now apart from those that only have a past,
    so that counting and reading the present costs nothing for deleted keys."""

    def __init__(self) -> None:
        self.histories: dict[bytes, History] = {}
        self._live: SortedList = SortedList()
        self._dead: SortedList = SortedList()

    def __len__(self) -> int:
        """The number of keys that exist now."""
        return len(self._live)

    def put(self, key: bytes, rev: bytes, main: int) -> tuple[int, int]:
        """Records a put; returns the key's create revision and version."""
        history = self.histories.get(key)
        if history is None:
            history = self.histories[key] = History()
            self._live.add(key)
        live = history.live
        if live is None:
            if history.past:
                self._dead.remove(key)
                self._live.add(key)
            history.live = Generation(main, 1, [rev])
            return main, 1
        live.revisions.append(rev)
        live.version += 1
        return live.created, live.version

    def tombstone(self, key: bytes, rev: bytes) -> bool:
        """Records a delete; False if the key does not exist."""
        history = self.histories.get(key)
        if history is None or history.live is None:
            return False
        live = history.live
        live.revisions.append(rev)
        live.version += 1
        history.past.append(live)
        history.live = None
        self._live.remove(key)
        self._dead.add(key)
        return True

    def current(self, key: bytes) -> Generation | None:
        """The living generation of a key."""
        history = self.histories.get(key)
        return None if history is None else history.live

    def live_keys(self, key: bytes, end: bytes) -> list[bytes]:
        """The keys of a range that exist now."""
        if not end:
            history = self.histories.get(key)
            return [] if history is None or history.live is None else [key]
        low, high = self._bounds(key, end)
        return list(self._live.islice(low, high))

    def revisions(self, key: bytes, end: bytes, limit: int) -> tuple[list[bytes], int]:
        """The present revisions of a range in key order, at most `limit` when positive, and how many
        there are."""
        if not end:
            live = self.current(key)
            return ([], 0) if live is None else ([live.revisions[-1]], 1)
        low, high = self._bounds(key, end)
        last = min(high, low + limit) if limit > 0 else high
        histories = self.histories
        found = [
            history.live.revisions[-1]
            for history in map(histories.__getitem__, self._live.islice(low, last))
            if history.live is not None
        ]
        return found, max(0, high - low)

    def revisions_at(self, key: bytes, end: bytes, main: int, limit: int) -> tuple[list[bytes], int]:
        """The same as of a past revision."""
        found = []
        count = 0
        for _, generation, place in self._at(key, end, main):
            count += 1
            if limit <= 0 or count <= limit:
                found.append(generation.revisions[place])
        return found, count

    def entries(self, key: bytes, end: bytes, main: int | None, limit: int) -> tuple[list[Found], int]:
        """What the index knows of the keys of a range, now (None) or as of a past revision."""
        if main is None:
            return self._entries_now(key, end, limit)
        found = []
        count = 0
        for name, generation, place in self._at(key, end, main):
            count += 1
            if limit <= 0 or count <= limit:
                found.append(_found(name, generation, place))
        return found, count

    def first_entries(self, key: bytes, end: bytes, main: int, limit: int) -> list[Found]:
        """The first `limit` keys (0: all) of a range as of a past revision; looks at no more than those."""
        there = self._at(key, end, main)
        return [_found(*entry) for entry in (islice(there, limit) if limit > 0 else there)]

    def _entries_now(self, key: bytes, end: bytes, limit: int) -> tuple[list[Found], int]:
        names: Iterable[bytes]
        if end:
            low, high = self._bounds(key, end)
            count = max(0, high - low)
            names = self._live.islice(low, min(high, low + limit) if limit > 0 else high)
        else:
            count = 0 if self.current(key) is None else 1
            names = (key,)
        found = []
        for name in names:
            live = self.current(name)
            if live is not None:
                found.append(Found(name, live.revisions[-1], live.created, live.version))
        return found, count

    def count(self, key: bytes, end: bytes) -> int:
        """The number of keys of a range that exist now."""
        if not end:
            return 0 if self.current(key) is None else 1
        low, high = self._bounds(key, end)
        return max(0, high - low)

    def compact(self, key: bytes, main: int) -> list[bytes]:
        """Compacts one key; see `History.compact`."""
        history = self.histories.get(key)
        if history is None:
            return []
        dropped = history.compact(main)
        if history.empty:
            del self.histories[key]
            self._dead.remove(key)
        return dropped

    def kept_for_hash(self, main: int) -> set[bytes]:
        """The revisions at or before `main` that a hash at `main` counts. For membership tests only."""
        kept = set()
        for history in self.histories.values():
            rev = history.kept_for_hash(main)
            if rev is not None:
                kept.add(rev)
        return kept

    def restore(self, changes: Iterable[tuple[bytes, bytes, int, int]]) -> None:
        """Rebuilds the index from (revision key, key, create revision, version) in revision order.

        The first change seen of a key may be in the middle of a generation, the rest having been compacted:
        create revision and version then come from the stored value. A tombstone that comes first tells
        neither; its generation counts from nothing.
        """
        histories: dict[bytes, History] = {}
        for rev, key, created, version in changes:
            history = histories.get(key)
            if history is None:
                history = histories[key] = History()
                if revision.is_tombstone(rev):
                    history.past.append(Generation(0, 1, [rev]))
                else:
                    history.live = Generation(created, version, [rev])
            elif revision.is_tombstone(rev):
                if history.live is not None:
                    history.live.revisions.append(rev)
                    history.live.version += 1
                    history.past.append(history.live)
                    history.live = None
            elif history.live is None:
                history.live = Generation(revision.main_of(rev), 1, [rev])
            else:
                history.live.revisions.append(rev)
                history.live.version += 1
        self.histories = histories
        self._live = SortedList(key for key, history in histories.items() if history.live is not None)
        self._dead = SortedList(key for key, history in histories.items() if history.live is None)

    def _bounds(self, key: bytes, end: bytes) -> tuple[int, int]:
        live = self._live
        high = len(live) if end == b"\x00" else live.bisect_left(end)
        return live.bisect_left(key), high

    def _at(self, key: bytes, end: bytes, main: int) -> Iterator[tuple[bytes, Generation, int]]:
        histories = self.histories
        names: Iterable[bytes]
        if not end:
            names = (key,) if key in histories else ()
        else:
            high = None if end == b"\x00" else end
            if high is not None and high <= key:
                return
            span = {"minimum": key, "maximum": high, "inclusive": (True, False)}
            names = merge(self._live.irange(**span), self._dead.irange(**span))
        for name in names:
            found = histories[name].at(main)
            if found is not None:
                yield name, *found


def _found(name: bytes, generation: Generation, place: int) -> Found:
    version = generation.version - (len(generation.revisions) - 1 - place)
    return Found(name, generation.revisions[place], generation.created, version)
