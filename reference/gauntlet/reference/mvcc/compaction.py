"""Physical compaction: deletes, in small steps, what a compaction has made unreachable.

Rules:

- The compaction itself is immediate (`Store.compact`): from then on older revisions are refused. This job
  only frees the space, so it can be spread over as many steps as the node likes.
- First the index forgets, key by key; then the `key` bucket is walked in revision order up to the compaction
  revision, dropped changes are deleted, and all are hashed as they pass.
- Jobs run in the order in which they were asked for; a step of a later one works on the earlier first.
- `finishedCompactRev` is written when the walk is over. A member that stops before that begins the job again.
- The hash is stored only if the compaction before this one had been finished when this one was asked for:
  only then has it seen every change since.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gauntlet.reference.backend import KEY, META
from gauntlet.reference.mvcc import revision
from gauntlet.reference.mvcc.hashing import Hasher

if TYPE_CHECKING:
    from gauntlet.reference.mvcc.store import Store

SCHEDULED = b"scheduledCompactRev"
FINISHED = b"finishedCompactRev"


class CompactionJob:
    """One compaction in progress. `done` once the space is free, or the store was replaced meanwhile."""

    def __init__(self, store: Store, compact_revision: int, previous: int, keep_hash: bool) -> None:
        self.revision = compact_revision
        self.done = False
        self.deleted = 0
        self.store = store
        self._keys: list[bytes] | None = None
        self._at = 0
        self._dropped: set[bytes] = set()  # for membership tests only
        self._start = b""
        self._end = revision.bound_after(compact_revision)
        self._hasher = Hasher(previous, compact_revision)
        self._keep_hash = keep_hash

    @property
    def sweeping(self) -> bool:
        """Whether the index is done with."""
        return self._keys is not None and self._at >= len(self._keys)

    def step(self, limit: int = 1000) -> bool:
        """Handles at most `limit` keys or changes; returns whether this job is done."""
        if not self.done:
            first = self.store.compactions[0]
            first._advance(limit)
            if first.done:
                self.store.compactions.popleft()
        return self.done

    def _advance(self, limit: int) -> None:
        if self._keys is None:
            self._keys = list(self.store.index.histories)
        if self._at < len(self._keys):
            keys = self._keys[self._at : self._at + limit]
            self._compact_index(keys)
            self._at += len(keys)
            limit -= len(keys)
        if limit:
            self._sweep(limit)

    def _compact_index(self, keys: list[bytes]) -> None:
        index = self.store.index
        for key in keys:
            self._dropped.update(index.compact(key, self.revision))

    def _sweep(self, limit: int) -> None:
        store, dropped = self.store, self._dropped
        pairs = store.backend.range(KEY, self._start, self._end, limit)
        self._hasher.add(pairs, dropped=dropped)
        for key, _ in pairs:
            if key in dropped:
                store.backend.delete(KEY, key)
                self.deleted += 1
        if len(pairs) == limit:
            self._start = revision.successor(pairs[-1][0])
            return
        store.backend.put(META, FINISHED, revision.key_of(self.revision))
        if self._keep_hash:
            store.hashes.store(self._hasher.result())
        self.done = True
