"""What the later sights of a key demand of a gap: one more write, a delete, nothing, or to leave it alone.

The key is kept as the known writes, and the choices so far, leave it before the gap. The next sight that is
whole decides: of an absent key, that it was deleted until then; of a pair, by its create_revision and
version, how many writes are missing. Between a pair's mod_revision and its sight nothing can have happened to
the key.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from typing import Final, NamedTuple

from gauntlet.checkers.etcd.calls import KV
from gauntlet.checkers.etcd.gaps import Sight
from porcupine.history import Operation

NEVER: Final = float("inf")


class Need(NamedTuple):
    """What the next sight of a key says of its next gap."""

    wanted: str  # "put", "delete" or ""
    deadline: float  # a revision
    put: int  # may it be written? 0: no, 1: yes, 2: and nobody looks again
    delete: int
    amount: int = 1  # of puts


_FREE: Final = Need("", NEVER, 2, 2)
_EITHER: Final = Need("", NEVER, 1, 1)
_WRITABLE: Final = Need("", NEVER, 1, 0)
_CLOSED: Final = Need("", NEVER, 0, 0)


class Key:
    """A key under way. Events are (revision, is it a put, lease)."""

    __slots__ = (
        *("create", "events", "lease", "looked", "mod", "need", "passed", "sights", "stamp", "version"),
        *("deletes", "plain", "shared", "swaps"),
    )

    def __init__(self) -> None:
        self.events: list[tuple[int, bool, int]] = []
        self.sights: list[Sight] = []
        self.passed = self.looked = self.stamp = 0
        self.mod = self.create = self.lease = 0  # mod 0: absent
        self.version: int | None = 0
        self.need = _FREE
        self.plain: deque[Operation] = deque()  # what may be done to it, by call
        self.swaps: dict[int, deque[Operation]] = {}  # by the mod_revision that they compare
        self.deletes: deque[Operation] = deque()
        self.shared: list[Operation] = []  # these concern other keys too

    def put(self, revision: int, lease: int) -> None:
        if not self.mod:
            self.create, self.version = revision, 0
        self.mod, self.lease = revision, lease
        self.version = None if self.version is None else self.version + 1

    def vanish(self) -> None:
        self.mod = self.lease = 0

    def advance(self, revision: int) -> None:
        """The key as it is before this revision."""
        events = self.events
        while self.passed < len(events) and events[self.passed][0] < revision:
            at, put, lease = events[self.passed]
            if put:
                self.put(at, lease)
            else:
                self.vanish()
            self.passed += 1
        sights = self.sights
        while self.looked < len(sights) and sights[self.looked].revision < revision:
            self.looked += 1

    def next_change(self) -> float:
        """The revision after which `need` has to be asked again."""
        event = self.events[self.passed][0] if self.passed < len(self.events) else NEVER
        sight = self.sights[self.looked].revision if self.looked < len(self.sights) else NEVER
        return min(event, sight)

    def demand(self, gap: int, ended: dict[int, int]) -> Need:
        """What the next sights ask of this gap. The key has been advanced to it."""
        if self.looked == len(self.sights):
            return _FREE
        at, kv = self.sights[self.looked]
        if kv is not None and kv.mod_revision is not None and kv.mod_revision < gap:
            return _CLOSED
        there = kv is not None and kv.mod_revision is None
        if there and not self.mod and self._last(at) is None:
            return Need("put", at, 1, 0)
        need = self._by_whole(gap, ended)
        return need._replace(delete=0) if there and self._last(at) is None else need

    def _by_whole(self, gap: int, ended: dict[int, int]) -> Need:
        """By the next sight that is whole: absent, or a pair with its create_revision."""
        until = NEVER
        for place in range(self.looked, len(self.sights)):
            at, kv = self.sights[place]
            if kv is None:
                return self._absent(gap, at, ended)
            if kv.mod_revision is not None:
                until = min(until, kv.mod_revision)  # nothing can be written between this and its sight
            create = kv.create_revision
            if create is None:
                continue
            if create == gap:
                return Need("put", gap, 0 if self.mod else 1, 0)
            return self._missing(kv, until) if create < gap else self._absent(gap, create - 1, ended)
        return _EITHER

    def _absent(self, gap: int, at: int, ended: dict[int, int]) -> Need:
        """The key is absent after revision `at`."""
        ends = bool(self.mod and self.lease) and gap <= ended.get(self.lease, 0) <= at
        if ends or self._last(at) is not None:
            return _EITHER
        return Need("delete", at, 1, 1) if self.mod else _CLOSED

    def _missing(self, kv: KV, until: float) -> Need:
        """By its version, of a key that was created before and is never deleted until then."""
        if not self.mod or self.version is None or kv.version is None:
            return _WRITABLE
        missing = kv.version - self.version - self._puts(kv.mod_revision or 0)
        return Need("put", until, 1, 0, missing) if missing > 0 else _CLOSED

    def scarce(self, used: set[int], until: float) -> bool:
        """Are swaps needed, because the plain puts called until that time are too few?"""
        if self.need.wanted != "put" or not self.swaps:
            return False
        plain = sum(each.call_time_ns <= until and id(each) not in used for each in self.plain)
        return self.need.amount > plain

    def _puts(self, until: int) -> int:
        last = bisect_right(self.events, until, lo=self.passed, key=lambda event: event[0])
        return sum(put for _, put, _ in self.events[self.passed : last])

    def _last(self, until: int) -> bool | None:
        """Is the last event up to a revision a put? None: there is none."""
        last = bisect_right(self.events, until, lo=self.passed, key=lambda event: event[0])
        return self.events[last - 1][1] if last > self.passed else None
