"""Hashes of the store that members compare, equal to etcd's for an equal history.

Rules:

- CRC32C over the bucket name `key`, then key and value of every change up to the hashed revision, in order.
- A change at or before the compaction revision counts only if the compaction keeps it, whether or not it
  has been deleted already. If nothing at all is kept, nothing is left out.
- A tombstone exactly at the compaction revision never counts: older releases delete it, newer ones keep it.
- A finished compaction leaves the hash of everything it read, hashed with the compaction revision before it.
  That is the answer to a later question for its revision, so that a member that has compacted can still be
  compared with one that has not. The newest ten are kept, in memory only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import google_crc32c
from gauntlet.reference.backend import BUCKETS, KEY, META, Backend, Pair
from gauntlet.reference.mvcc import revision

_SEED: int = google_crc32c.value(KEY.encode())
_STORED = 10
_CHUNK = 10_000  # entries read from the backend at a time

# Set by the log and not by users, and different between members that agree on everything else.
_IGNORED = frozenset({b"consistent_index", b"term", b"storageVersion"})


class KeyValueHash(NamedTuple):
    hash: int
    compact_revision: int
    revision: int


class Hasher:
    """Hashes changes given in revision order. `dropped` tells which of the compacted ones do not count."""

    __slots__ = ("_bound", "_compacted", "_hash", "_tombstone", "compact_revision", "revision")

    def __init__(self, compact_revision: int, hashed_revision: int) -> None:
        self.compact_revision = compact_revision
        self.revision = hashed_revision
        self._bound = revision.bound_after(hashed_revision)
        self._compacted = revision.bound_after(compact_revision)
        # Every tombstone of the compaction revision lies between this and `_compacted`.
        self._tombstone = revision.key_of(compact_revision) if compact_revision >= 0 else b""
        self._hash = _SEED

    def add(
        self, pairs: Iterable[Pair], kept: set[bytes] | None = None, dropped: set[bytes] | None = None
    ) -> None:
        """Counts changes. Compacted ones count when they are in `kept`, or else when they are not in
        `dropped`; when both are None all do."""
        parts: list[bytes] = []
        bound, compacted = self._bound, self._compacted
        for key, value in pairs:
            if key >= bound:
                break
            if key < compacted:
                if kept is not None:
                    if key not in kept:
                        continue
                elif dropped is not None and key in dropped:
                    continue
                if key >= self._tombstone and revision.is_tombstone(key):
                    continue
            parts += (key, value)
        if parts:
            self._hash = google_crc32c.extend(self._hash, b"".join(parts))

    def result(self) -> KeyValueHash:
        return KeyValueHash(self._hash, self.compact_revision, self.revision)


class HashCache:
    """The hashes that finished compactions left."""

    def __init__(self) -> None:
        self._stored: list[KeyValueHash] = []

    def store(self, value: KeyValueHash) -> None:
        self._stored.append(value)
        self._stored.sort(key=lambda stored: stored.revision)
        del self._stored[:-_STORED]

    def find(self, hashed_revision: int) -> KeyValueHash | None:
        return next((stored for stored in self._stored if stored.revision == hashed_revision), None)

    def all(self) -> list[KeyValueHash]:
        """Oldest first."""
        return list(self._stored)


def hash_changes(
    backend: Backend, compact_revision: int, hashed_revision: int, kept: set[bytes] | None
) -> KeyValueHash:
    """Hashes the `key` bucket up to a revision."""
    hasher = Hasher(compact_revision, hashed_revision)
    start = b""
    end = revision.bound_after(hashed_revision)
    while end:
        pairs = backend.range(KEY, start, end, _CHUNK)
        hasher.add(pairs, kept)
        if len(pairs) < _CHUNK:
            break
        start = revision.successor(pairs[-1][0])
    return hasher.result()


def hash_everything(backend: Backend) -> int:
    """CRC32C over the names, keys and values of all buckets in order of name."""
    total = 0
    for bucket in BUCKETS:
        total = google_crc32c.extend(total, bucket.encode())
        start = b""
        while True:
            pairs = backend.range(bucket, start, b"", _CHUNK)
            ignored = _IGNORED if bucket == META else frozenset()
            parts = [part for pair in pairs if pair[0] not in ignored for part in pair]
            total = google_crc32c.extend(total, b"".join(parts))
            if len(pairs) < _CHUNK:
                break
            start = revision.successor(pairs[-1][0])
    return total
