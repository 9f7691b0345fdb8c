"""The key-value store: every change under its revision, one writer, reads at any revision not yet compacted.

Rules (etcd's mvcc store):

- The revision starts at 1 and grows by one with every transaction that changed something, whatever the
  number of changes; each change has its place within the transaction (sub).
- A change is stored once, under its revision key, as a serialized mvccpb.KeyValue; a delete stores a
  tombstone that holds only the key. Nothing is ever written over.
- A transaction sees its own writes. There is no rollback: callers check everything before the first write.
- Reads name a revision; zero or less means the present. Above the present is FUTURE_REV, below the compaction
  revision COMPACTED; the compaction revision itself can be read.
- At start the index is rebuilt from the bucket. If the newest changes were compacted away, the compaction
  revision, finished or only scheduled, tells how far the store had come; an unfinished compaction is
  taken up again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from gauntlet.api import errors
from gauntlet.api.messages import mvccpb
from gauntlet.reference.backend import KEY, META, Backend
from gauntlet.reference.mvcc import revision
from gauntlet.reference.mvcc.compaction import FINISHED, SCHEDULED, CompactionJob
from gauntlet.reference.mvcc.hashing import HashCache, hash_changes, hash_everything
from gauntlet.reference.mvcc.keyindex import Found, KeyIndex

_RESTORE_CHUNK = 10_000


class RangeResult:
    """What a read found: at most `limit` pairs as stored bytes, and how many there are without the limit.

    `revision` is that of the store when it was read, not the one that was read.
    """

    __slots__ = ("count", "encoded", "revision")

    def __init__(self, encoded: list[bytes], count: int, store_revision: int) -> None:
        self.encoded = encoded
        self.count = count
        self.revision = store_revision

    @property
    def kvs(self) -> list[mvccpb.KeyValue]:
        """The pairs decoded, new messages at each call."""
        return [mvccpb.KeyValue.FromString(raw) for raw in self.encoded]


class HashResult(NamedTuple):
    """The answer of HashKV."""

    hash: int
    current_revision: int
    compact_revision: int  # the compaction that the hash takes into account
    hash_revision: int  # what has been hashed; asked for the present after a compaction at 0, upstream says 0


class Store:
    """Committed state. Reads of it must not be mixed with an open `WriteTxn`; that one has reads of its
    own."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.index = KeyIndex()
        self.hashes = HashCache()
        self.compactions: deque[CompactionJob] = deque()
        self.current_revision = 1
        self.compact_revision = -1
        self.restore()

    # Reading. WriteTxn has the same three methods: what `operations` calls a view.

    def range(
        self, key: bytes, end: bytes, revision: int = 0, limit: int = 0, count_only: bool = False
    ) -> RangeResult:
        """Reads one key (empty end), everything from a key on (end of one zero byte), or [key, end)."""
        return self.range_as_of(self.current_revision, key, end, revision, limit, count_only)

    def keys(self, key: bytes, end: bytes, revision: int = 0, limit: int = 0) -> tuple[list[Found], int]:
        """The same from the index alone: no values, no leases."""
        return self.keys_as_of(self.current_revision, key, end, revision, limit)

    def first_keys(self, key: bytes, end: bytes, at: int, limit: int) -> list[Found]:
        """The first `limit` keys (0: all) without counting the others."""
        current = self.current_revision
        if at <= 0 or at == current:
            return self.index.entries(key, end, None, limit)[0]
        self._check_revision(current, at)
        return self.index.first_entries(key, end, at, limit)

    def stored(self, rev: bytes) -> bytes:
        """The serialized pair under a revision key which the index has named."""
        raw = self.backend.get(KEY, rev)
        if raw is None:
            raise RuntimeError("the index names a revision that the store does not hold")
        return raw

    def write(self) -> WriteTxn:
        return WriteTxn(self)

    def range_as_of(
        self, current: int, key: bytes, end: bytes, at: int, limit: int, count_only: bool
    ) -> RangeResult:
        """`range` for a view whose present is `current`."""
        present = at <= 0 or at == current
        if not present:
            self._check_revision(current, at)
        index = self.index
        if count_only:
            count = index.count(key, end) if present else index.revisions_at(key, end, at, 1)[1]
            return RangeResult([], count, current)
        if present:
            found, count = index.revisions(key, end, limit)
        else:
            found, count = index.revisions_at(key, end, at, limit)
        get = self.backend.get
        encoded = [raw for rev in found if (raw := get(KEY, rev)) is not None]
        if len(encoded) != len(found):
            raise RuntimeError("the index names a revision that the store does not hold")
        return RangeResult(encoded, count, current)

    def keys_as_of(
        self, current: int, key: bytes, end: bytes, at: int, limit: int
    ) -> tuple[list[Found], int]:
        """`keys` for a view whose present is `current`."""
        if at <= 0 or at == current:
            return self.index.entries(key, end, None, limit)
        self._check_revision(current, at)
        return self.index.entries(key, end, at, limit)

    def _check_revision(self, current: int, at: int) -> None:
        if at > current:
            raise errors.FUTURE_REV.fresh()
        if at < self.compact_revision:
            raise errors.COMPACTED.fresh()

    def changes(self, first: int, limit: int) -> tuple[list[mvccpb.Event], int]:
        """The changes from revision `first` on as events, at least `limit` if there are that many, and always
        whole revisions; with the revision that reading goes on from."""
        end = revision.bound_after(self.current_revision)
        pairs = self.backend.range(KEY, revision.key_of(max(first, 0)), end, limit)
        if len(pairs) < limit:
            return [event_of(rev, raw) for rev, raw in pairs], max(first, self.current_revision + 1)
        last = revision.main_of(pairs[-1][0])
        rest = self.backend.range(KEY, revision.successor(pairs[-1][0]), revision.bound_after(last))
        return [event_of(rev, raw) for rev, raw in (*pairs, *rest)], last + 1

    def attachments(self) -> Iterator[tuple[bytes, int]]:
        """(key, lease) of every key that exists and has a lease, in key order."""
        for raw in self.range(b"\x00", b"\x00").encoded:
            kv = mvccpb.KeyValue.FromString(raw)
            if kv.lease:
                yield kv.key, kv.lease

    # Compaction.

    def compact(self, at: int) -> CompactionJob:
        """Makes everything before revision `at` unreachable. The job that comes back frees the space."""
        if at <= self.compact_revision:
            raise errors.COMPACTED.fresh()
        if at > self.current_revision:
            raise errors.FUTURE_REV.fresh()
        finished = self._read_revision(SCHEDULED) == self._read_revision(FINISHED)
        job = CompactionJob(self, at, self.compact_revision, finished)
        self.compact_revision = at
        self.backend.put(META, SCHEDULED, revision.key_of(at))
        self.compactions.append(job)
        return job

    # Hashes.

    def hash_kv(self, at: int = 0) -> HashResult:
        """The hash of all changes up to a revision, zero for the present one."""
        stored = self.hashes.find(at)
        if stored is not None:
            return HashResult(stored.hash, self.current_revision, stored.compact_revision, at)
        if at > 0:
            if at < self.compact_revision:
                raise errors.COMPACTED.fresh()
            if at > self.current_revision:
                raise errors.FUTURE_REV.fresh()
        hashed = self.current_revision if at == 0 else at
        # An empty set counts as no set: a compaction that keeps nothing leaves nothing out of the hash.
        kept = (self.index.kept_for_hash(hashed) or None) if self.compact_revision >= 0 else None
        value = hash_changes(self.backend, self.compact_revision, hashed, kept)
        return HashResult(value.hash, self.current_revision, value.compact_revision, hashed)

    def hash(self) -> int:
        """The hash of the whole backend, all buckets."""
        return hash_everything(self.backend)

    # Start.

    def restore(self) -> None:
        """Reads everything anew from the backend."""
        self._give_up_compactions()
        self.hashes = HashCache()
        self.index = KeyIndex()
        self.current_revision = 1
        finished = self._read_revision(FINISHED)
        scheduled = self._read_revision(SCHEDULED)
        self.compact_revision = -1 if finished is None else finished
        self.index.restore(self._stored_changes())
        self.current_revision = max(self.current_revision, self.compact_revision, scheduled or 0)
        if scheduled is not None and scheduled > max(self.compact_revision, 0):
            self.compact(scheduled)

    def adopt(self, other: Store) -> None:
        """Becomes what `other` is, once its backend has been adopted by this one's."""
        self._give_up_compactions()
        self.index, self.hashes = other.index, other.hashes
        self.current_revision, self.compact_revision = other.current_revision, other.compact_revision
        for job in other.compactions:
            job.store = self
            self.compactions.append(job)

    def _give_up_compactions(self) -> None:
        for job in self.compactions:
            job.done = True
        self.compactions.clear()

    def _stored_changes(self) -> Iterator[tuple[bytes, bytes, int, int]]:
        start = revision.key_of(1)
        parse = mvccpb.KeyValue.FromString
        while True:
            pairs = self.backend.range(KEY, start, b"", _RESTORE_CHUNK)
            for rev, raw in pairs:
                kv = parse(raw)
                yield rev, kv.key, kv.create_revision, kv.version
            if pairs:
                self.current_revision = revision.main_of(pairs[-1][0])
            if len(pairs) < _RESTORE_CHUNK:
                return
            start = revision.successor(pairs[-1][0])

    def _read_revision(self, name: bytes) -> int | None:
        raw = self.backend.get(META, name)
        return None if raw is None else revision.main_of(raw)


class WriteTxn:
    """Changes that become one revision. Exactly one may be open; `end` makes its changes the present."""

    __slots__ = ("_main", "_store", "changes")

    def __init__(self, store: Store) -> None:
        self._store = store
        self._main = store.current_revision + 1
        self.changes: list[mvccpb.Event] = []

    @property
    def current_revision(self) -> int:
        """The present as this transaction sees it: one further once it has changed something."""
        return self._main if self.changes else self._main - 1

    @property
    def compact_revision(self) -> int:
        return self._store.compact_revision

    def range(
        self, key: bytes, end: bytes, revision: int = 0, limit: int = 0, count_only: bool = False
    ) -> RangeResult:
        return self._store.range_as_of(self.current_revision, key, end, revision, limit, count_only)

    def keys(self, key: bytes, end: bytes, revision: int = 0, limit: int = 0) -> tuple[list[Found], int]:
        return self._store.keys_as_of(self.current_revision, key, end, revision, limit)

    def put(self, key: bytes, value: bytes, lease: int = 0) -> int:
        """Writes a key; returns the revision it gets."""
        store, main, changes = self._store, self._main, self.changes
        rev = revision.key_of(main, len(changes))
        event = mvccpb.Event()
        kv = event.kv
        kv.key = key
        kv.create_revision, kv.version = store.index.put(key, rev, main)
        kv.mod_revision = main
        kv.value = value
        if lease:
            kv.lease = lease
        store.backend.put(KEY, rev, kv.SerializeToString())
        changes.append(event)
        return main

    def delete_range(self, key: bytes, end: bytes) -> int:
        """Deletes the keys of a range; returns how many there were."""
        store, main, changes = self._store, self._main, self.changes
        keys = store.index.live_keys(key, end)
        for name in keys:
            rev = revision.tombstone_of(main, len(changes))
            store.index.tombstone(name, rev)
            event = mvccpb.Event(type=mvccpb.Event.DELETE)
            event.kv.key = name
            store.backend.put(KEY, rev, event.kv.SerializeToString())
            # Not stored, but told to watchers: the delete's own revision.
            event.kv.mod_revision = main
            changes.append(event)
        return len(keys)

    def end(self) -> list[mvccpb.Event]:
        """Publishes the changes and returns them in order, as watchers see them. They all have revision
        `current_revision`, the store's from here on; without changes nothing happens."""
        if self.changes:
            self._store.current_revision = self._main
        return self.changes


def event_of(rev: bytes, raw: bytes) -> mvccpb.Event:
    """A stored change as watchers see it."""
    event = mvccpb.Event()
    event.kv.MergeFromString(raw)
    if revision.is_tombstone(rev):
        event.type = mvccpb.Event.DELETE
        event.kv.mod_revision = revision.main_of(rev)
    return event
