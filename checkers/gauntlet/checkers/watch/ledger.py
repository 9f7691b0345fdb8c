"""What each revision did: the yardstick of the watchers.

It comes from the linearized history where there is one: a sequence of ``(revision, effects)``, one effect for
each key that the revision changed. Revisions of which the history says nothing are filled in from the
watchers themselves: what one of them was told, the others must have been told too.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gauntlet.checkers.watch.records import ALL_FROM, Event, Request, Watcher, order


class Effect(NamedTuple):
    """What one revision did to one key. A value of None: it was deleted. None elsewhere: not known."""

    key: str
    value: str | None
    create_revision: int | None = None
    version: int | None = None
    lease: int | None = None


Effects = Sequence[tuple[int, Sequence[Effect]]]


@dataclass(frozen=True, slots=True)
class Compaction:
    """A compaction at `revision` that may have happened at any time after `call_ns`."""

    revision: int
    call_ns: int


@dataclass(slots=True)
class Clash:
    """Two watchers that were told different things about one key at one revision."""

    one: tuple[Watcher, Event]
    other: tuple[Watcher, Event]


def same(one: Event, other: Event) -> bool:
    """Equal in everything that both know."""
    return one == other or all(a is None or b is None or a == b for a, b in _known(one, other))


def _known(one: Event, other: Event) -> list[tuple[object, object]]:
    # A value of None is knowledge: the key was deleted.
    return [
        *zip(one[:2], other[:2], strict=True),
        ((one.value,), (other.value,)),
        *zip(one[3:], other[3:], strict=True),
    ]


class Ledger:
    """Events in the order of revisions, by key and by filter.

    `first` and `last`: the history accounts for every revision between them (`history_revisions` of them);
    outside of it, and in its holes, only the watchers speak. The store was empty before `first` when that is
    at most 2.
    """

    def __init__(self, effects: Effects | None, watchers: Sequence[Watcher], complete: bool = False) -> None:
        self.sure: dict[int, tuple[Event, ...]] = {}
        for revision, changes in effects or ():
            self.sure[revision] = tuple(_event(revision, change) for change in changes)
        self.first = min(self.sure, default=0)
        self.last = max(self.sure, default=-1)
        self.complete = complete and effects is not None
        self.seen_by: dict[tuple[int, str], Watcher] = {}
        self.clashes: list[Clash] = []
        found: dict[tuple[int, str], Event] = {}
        for watcher in watchers:
            self._collect(watcher, found)
        events = [event for changes in self.sure.values() for event in changes]
        events += found.values()
        events.sort(key=_revision)
        self.events = events
        self.by_key: dict[str, list[Event]] = {}
        for event in events:
            self.by_key.setdefault(event.key, []).append(event)
        self._keys = sorted(self.by_key, key=order)
        self._orders = [order(key) for key in self._keys]
        self._selected: dict[tuple[str, str, bool, bool], tuple[list[int], list[Event]]] = {}

    def _collect(self, watcher: Watcher, found: dict[tuple[int, str], Event]) -> None:
        sure, seen_by = self.sure, self.seen_by
        for delivery in watcher.deliveries:
            for event in delivery.events:
                revision = event[0]
                if revision in sure or self.accounts_for(revision):
                    continue
                place = (revision, event[1])
                known = found.setdefault(place, event)
                if known is event:
                    seen_by[place] = watcher
                elif known != event and not same(known, event):
                    self.clashes.append(Clash((seen_by[place], known), (watcher, event)))

    def accounts_for(self, revision: int) -> bool:
        """Does the history say what this revision did (nothing, where it names no effect)?"""
        return revision in self.sure or (self.complete and self.first <= revision <= self.last)

    def select(self, request: Request) -> tuple[list[int], list[Event]]:
        """(revisions, events) that such a watch delivers, from the beginning on."""
        name = (request.key, request.range_end, request.noput, request.nodelete)
        chosen = self._selected.get(name)
        if chosen is None:
            events = self._covered(request)
            if request.filtered:
                events = [event for event in events if request.wants(event)]
            chosen = self._selected[name] = ([event[0] for event in events], events)
        return chosen

    def _covered(self, request: Request) -> list[Event]:
        if not request.range_end:
            return self.by_key.get(request.key, [])
        start = bisect_left(self._orders, order(request.key))
        end = len(self._keys)
        if request.range_end != ALL_FROM:
            end = bisect_left(self._orders, order(request.range_end))
        if (start, end) == (0, len(self._keys)):
            return self.events
        # Sorting is stable and the runs are sorted already, so this merges; by place, to keep a txn's order.
        return sorted((event for key in self._keys[start:end] for event in self.by_key[key]), key=_revision)

    def before(self, key: str, revision: int) -> Event | None:
        """The key's last event before the revision, as far as known."""
        events = self.by_key.get(key, [])
        position = bisect_left(events, revision, key=_revision) - 1
        return events[position] if position >= 0 else None

    def at(self, key: str, revision: int) -> Event | None:
        events = self.by_key.get(key, [])
        position = bisect_right(events, revision, key=_revision) - 1
        return events[position] if position >= 0 and events[position][0] == revision else None

    def knows_before(self, key: str, revision: int) -> bool:
        """Does the history account for everything from the key's last known event, or the empty store, on?"""
        if not self.complete or revision - 1 > self.last:
            return False
        before = self.before(key, revision)
        return self.first <= 2 if before is None else before.mod_revision >= self.first


def _revision(event: Event) -> int:
    return event[0]


def _event(revision: int, change: Effect) -> Event:
    if change.value is None:
        return Event(revision, change.key, None, False, 0, 0, 0)
    created = change.create_revision
    is_create = None if created is None else created == revision
    return Event(revision, change.key, change.value, is_create, created, change.version, change.lease)
