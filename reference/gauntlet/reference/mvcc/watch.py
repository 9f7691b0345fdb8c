"""Watches: who is told of which change, in which order, and what happens to those who cannot keep up.

A watcher is in one of four states:

    synced     has been given everything up to the present; `notify` gives it each commit as it happens
    unsynced   is behind: it began in the past, or could not take something; `sync` reads the store for it
    blocked    its sink was full; it holds what it could not deliver, and `sync` offers that again
    ended      cancelled, or told that what it needs next has been compacted

Rules (etcd's watchable store):

- A watcher gets every change of its keys from its start revision on, in order of revision, each once, and all
  changes of one revision together. Zero means from the next revision on; a start in the future waits.
- A watcher that needs a revision below the compaction revision is told so, once, and ends. Reading again may
  meet a compaction that came meanwhile: the same holds.
- A slow watcher never holds up the others, nor a commit. It goes on from where it stopped.
- Unsynced watchers take turns. One turn reads a bounded number of changes and serves all watchers whose next
  revision lies in that piece, so watchers near each other are served by one read.
- Progress is known only of watchers that are synced and whose start has come (upstream once sent it to others
  too, which told clients that they had seen events that were still on their way).
- A change that filters hide counts as delivered. A change in which the previous value is asked for
  carries the pair as it was one revision earlier, unless it was created just now or that revision is
  compacted.
- Every commit is notified before anything else is asked of the hub.
- When the store was replaced by a snapshot, watchers that were synced go on from the revision they had
  reached.

Sinks: `sink(watcher, revision, events)` takes a batch or returns False, which changes nothing and means
"later". `revision` is for the response header: the store's when the batch was made. No events mean that
the watch has ended because of a compaction, at `watcher.compact_revision`. The same list object may go to
many watchers, so that a response can be serialized once; sinks do not change it. A sink may cancel
watchers, its own included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum

from gauntlet.api.messages import mvccpb
from gauntlet.reference.mvcc.intervals import IntervalMap
from gauntlet.reference.mvcc.store import Store

Events = list[mvccpb.Event]
Sink = Callable[["Watcher", int, Events], bool]

_FROM_KEY = b"\x00"
_PUT = mvccpb.Event.PUT

# The most watchers that one turn of `sync` serves.
WATCHERS_PER_TURN = 512


class EmptyWatchRangeError(ValueError):
    """A range whose end is not after its start."""

    def __init__(self) -> None:
        super().__init__("mvcc: watcher range is empty")


def check_range(key: bytes, end: bytes) -> None:
    """Raises EmptyWatchRangeError."""
    if end and end != _FROM_KEY and key >= end:
        raise EmptyWatchRangeError


class State(Enum):
    SYNCED = "synced"
    UNSYNCED = "unsynced"
    BLOCKED = "blocked"
    ENDED = "ended"


class Watcher:
    """One watch. The hub owns its fields; others read them."""

    __slots__ = (
        "compact_revision",
        "end",
        "key",
        "next_revision",
        "no_delete",
        "no_put",
        "pending",
        "prev_kv",
        "sink",
        "start_revision",
        "state",
    )

    def __init__(self, key: bytes, end: bytes, start_revision: int, sink: Sink) -> None:
        self.key = key
        self.end = end
        self.start_revision = start_revision
        self.sink = sink
        self.no_put = False
        self.no_delete = False
        self.prev_kv = False
        self.next_revision = start_revision  # the first it has not been given
        self.state = State.ENDED
        self.pending: tuple[int, Events] | None = None  # what a full sink refused
        self.compact_revision = 0  # not zero: ended, or about to, because of this compaction

    def wants(self, event: mvccpb.Event) -> bool:
        return not (self.no_put if event.type == _PUT else self.no_delete)


class _Group:
    """Watchers by what they watch, in the order in which they came."""

    def __init__(self) -> None:
        self.watchers: dict[Watcher, None] = {}
        self._by_key: dict[bytes, dict[Watcher, None]] = {}
        self._by_range: IntervalMap[Watcher] = IntervalMap()

    def add(self, watcher: Watcher) -> None:
        self.watchers[watcher] = None
        if watcher.end:
            self._by_range.add(watcher.key, _upper(watcher), watcher)
        else:
            self._by_key.setdefault(watcher.key, {})[watcher] = None

    def remove(self, watcher: Watcher) -> None:
        del self.watchers[watcher]
        if watcher.end:
            self._by_range.remove(watcher.key, _upper(watcher), watcher)
            return
        same_key = self._by_key[watcher.key]
        del same_key[watcher]
        if not same_key:
            del self._by_key[watcher.key]

    def watching(self, key: bytes) -> list[Watcher]:
        """A new list: sinks may change the group while it is gone through."""
        found = list(self._by_key.get(key, ()))
        for members in self._by_range.containing(key):
            found.extend(members)
        return found


def _upper(watcher: Watcher) -> bytes | None:
    return None if watcher.end == _FROM_KEY else watcher.end


class _Batches:
    """Events for watchers out of one list of changes. Watchers that get the same events get the same list."""

    def __init__(self, store: Store, events: Events) -> None:
        self._store = store
        self._events = events
        self._with_previous: dict[int, mvccpb.Event] = {}
        self._made: dict[tuple[tuple[int, ...], bool], Events] = {}

    def of(self, watcher: Watcher, places: list[int]) -> Events:
        chosen = (tuple(places), watcher.prev_kv)
        made = self._made.get(chosen)
        if made is None:
            pick = self._previous if watcher.prev_kv else self._events.__getitem__
            made = self._made[chosen] = [pick(place) for place in places]
        return made

    def _previous(self, place: int) -> mvccpb.Event:
        event = self._with_previous.get(place)
        if event is None:
            event = self._with_previous[place] = self._add_previous(self._events[place])
        return event

    def _add_previous(self, event: mvccpb.Event) -> mvccpb.Event:
        kv = event.kv
        before = kv.mod_revision - 1
        created = event.type == _PUT and kv.create_revision == kv.mod_revision
        if created or before < self._store.compact_revision:
            return event
        encoded = self._store.range(kv.key, b"", before).encoded
        if not encoded:
            return event
        full = mvccpb.Event()
        full.CopyFrom(event)
        full.prev_kv.MergeFromString(encoded[0])
        return full


class WatchHub:
    """All watchers of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._synced = _Group()
        self._unsynced: dict[Watcher, None] = {}  # in order of their turns
        self._blocked: dict[Watcher, None] = {}
        self._notified = store.current_revision

    def __len__(self) -> int:
        return len(self._synced.watchers) + self.slow

    @property
    def slow(self) -> int:
        """How many watchers are not synced."""
        return len(self._unsynced) + len(self._blocked)

    @property
    def blocked(self) -> int:
        """How many wait for their sink to have room."""
        return len(self._blocked)

    @property
    def pending_events(self) -> int:
        """How many events wait with them."""
        return sum(len(watcher.pending[1]) for watcher in self._blocked if watcher.pending is not None)

    def watch(
        self,
        key: bytes,
        end: bytes,
        start_revision: int,
        sink: Sink,
        *,
        no_put: bool = False,
        no_delete: bool = False,
        prev_kv: bool = False,
    ) -> Watcher:
        """Adds a watcher; nothing is delivered before this returns. Empty end: one key; one zero byte: from
        the key on. Raises `EmptyWatchRangeError`."""
        check_range(key, end)
        watcher = Watcher(key, end, start_revision, sink)
        watcher.no_put, watcher.no_delete, watcher.prev_kv = no_put, no_delete, prev_kv
        following = self._store.current_revision + 1
        if start_revision == 0 or start_revision >= following:
            watcher.next_revision = max(following, start_revision)
            self._to_synced(watcher)
        else:
            self._to_unsynced(watcher)
        return watcher

    def cancel(self, watcher: Watcher) -> None:
        """Ends a watcher; no sink is called. One that has ended already stays so."""
        self._leave(watcher)
        watcher.state = State.ENDED
        watcher.pending = None

    def notify(self, revision: int, events: Events) -> None:
        """Gives the changes of a commit to the synced watchers."""
        self._notified = revision
        if not events or not self._synced.watchers:
            return
        batches = _Batches(self._store, events)
        if len(events) == 1:
            event = events[0]
            for watcher in self._synced.watching(event.kv.key):
                if watcher.next_revision <= revision and watcher.wants(event):
                    self._notify_one(watcher, revision, batches.of(watcher, [0]))
            return
        hits: dict[Watcher, list[int]] = {}
        for place, event in enumerate(events):
            for watcher in self._synced.watching(event.kv.key):
                if watcher.next_revision <= revision and watcher.wants(event):
                    hits.setdefault(watcher, []).append(place)
        for watcher, places in hits.items():
            self._notify_one(watcher, revision, batches.of(watcher, places))

    def _notify_one(self, watcher: Watcher, revision: int, events: Events) -> None:
        if watcher.state is not State.SYNCED:
            return  # an earlier sink of this commit cancelled it
        watcher.next_revision = revision + 1
        self._offer(watcher, revision, events)

    def sync(self, limit: int = 1000) -> bool:
        """One turn for those who are behind, reading about `limit` changes. Returns whether another turn now
        would find work; blocked watchers do not count, they wait for room."""
        self._retry()
        if self._unsynced:
            self._catch_up(limit)
        return bool(self._unsynced)

    def _retry(self) -> None:
        for watcher in list(self._blocked):
            pending = watcher.pending
            if watcher.state is not State.BLOCKED or pending is None:
                continue  # an earlier sink of this round cancelled it
            if watcher.sink(watcher, *pending) and watcher.state is State.BLOCKED:
                self._leave(watcher)
                watcher.pending = None
                if watcher.compact_revision:
                    watcher.state = State.ENDED
                else:
                    self._rejoin(watcher)

    def _catch_up(self, limit: int) -> None:
        chosen = _Group()
        first = None
        for watcher in list(self._unsynced)[:WATCHERS_PER_TURN]:
            if watcher.state is not State.UNSYNCED:
                continue  # the sink of one that ended here cancelled it
            if watcher.next_revision < self._store.compact_revision:
                self._end_compacted(watcher)
                continue
            first = watcher.next_revision if first is None else first
            if watcher.next_revision >= first:
                chosen.add(watcher)
        if first is None:
            return
        revision = self._store.current_revision
        events, following = self._store.changes(first, limit)
        hits: dict[Watcher, list[int]] = {}
        for place, event in enumerate(events):
            for watcher in chosen.watching(event.kv.key):
                if watcher.next_revision <= event.kv.mod_revision and watcher.wants(event):
                    hits.setdefault(watcher, []).append(place)
        batches = _Batches(self._store, events)
        for watcher in chosen.watchers:
            if watcher.state is not State.UNSYNCED or watcher.next_revision >= following:
                continue
            self._leave(watcher)
            watcher.next_revision = max(watcher.next_revision, following)
            self._rejoin(watcher)
            places = hits.get(watcher)
            if places is None:
                continue
            self._offer(watcher, revision, batches.of(watcher, places))

    def _end_compacted(self, watcher: Watcher) -> None:
        revision = self._store.compact_revision
        watcher.compact_revision = revision
        if watcher.sink(watcher, revision, []):
            self.cancel(watcher)
        elif watcher.state is State.UNSYNCED:
            self._block(watcher, revision, [])

    def progress_revision(self, watchers: Iterable[Watcher]) -> int | None:
        """The revision up to which all these watchers have been given everything; None if that cannot be
        said of one of them, or there is none. The caller sends it behind what their sinks were given."""
        revision = self._store.current_revision
        if self._notified != revision:
            return None
        known = None
        for watcher in watchers:
            if watcher.state is not State.SYNCED or watcher.start_revision > revision:
                return None
            known = revision
        return known

    def restored(self) -> None:
        """The store was replaced: watchers go on from where they were. To be called after `Store.restore`."""
        reached = self._notified + 1
        self._notified = self._store.current_revision
        for watcher in list(self._synced.watchers):
            self._leave(watcher)
            watcher.next_revision = max(watcher.next_revision, reached)
            self._rejoin(watcher)

    def _offer(self, watcher: Watcher, revision: int, events: Events) -> None:
        if not watcher.sink(watcher, revision, events) and watcher.state is not State.ENDED:
            self._block(watcher, revision, events)

    # Moving between states.

    def _leave(self, watcher: Watcher) -> None:
        if watcher.state is State.SYNCED:
            self._synced.remove(watcher)
        elif watcher.state is State.UNSYNCED:
            del self._unsynced[watcher]
        elif watcher.state is State.BLOCKED:
            del self._blocked[watcher]

    def _to_synced(self, watcher: Watcher) -> None:
        watcher.state = State.SYNCED
        self._synced.add(watcher)

    def _to_unsynced(self, watcher: Watcher) -> None:
        watcher.state = State.UNSYNCED
        self._unsynced[watcher] = None

    def _rejoin(self, watcher: Watcher) -> None:
        if watcher.next_revision > self._store.current_revision:
            self._to_synced(watcher)
        else:
            self._to_unsynced(watcher)

    def _block(self, watcher: Watcher, revision: int, events: Events) -> None:
        self._leave(watcher)
        watcher.state = State.BLOCKED
        watcher.pending = (revision, events)
        self._blocked[watcher] = None
