"""When to compact by itself: the two modes of --auto-compaction-mode, without a clock of their own.

Rules (etcd's v3compactor):

- Periodic, with period P: ten times within P, or within an hour where P is longer, the revision is noted.
  Once P has passed, the store is compacted at the revision of P ago; from then on every P, at most every
  hour. A compaction that failed is tried again at the next note.
  Nothing is done where the revision did not move.
- By revision, keeping R: every five minutes at the present revision less R, if that moved.
- Only a leader compacts; the notes go on meanwhile.
"""

from __future__ import annotations

from typing import Protocol

HOUR = 3600.0
NOTES = 10
REVISION_INTERVAL = 300.0


class Compactor(Protocol):
    interval: float
    """Seconds between two calls of `due`."""

    def due(self, now: float, revision: int, leads: bool) -> int | None:
        """The revision to compact at, if it is time."""

    def compacted(self, now: float, revision: int) -> None:
        """It was done, or had been done already."""


class Periodic:
    """`now` is in seconds and starts when the compactor does."""

    def __init__(self, period: float, now: float) -> None:
        within = min(period, HOUR)
        self.interval = within / NOTES
        self._period = period
        self._wait = period
        self._kept = int(period / self.interval + 1e-9) + 1
        self._notes: list[int] = []
        self._last_success = now
        self._last_revision = 0

    def due(self, now: float, revision: int, leads: bool) -> int | None:
        oldest = self._notes[0] if self._notes else None
        self._notes.append(revision)
        del self._notes[: -self._kept]
        if oldest is None or not leads or oldest == self._last_revision:
            return None
        # Timers may be early by less than a clock's tick.
        if now - self._last_success < self._wait - 1e-3:
            return None
        self._wait = min(self._period, HOUR)
        return oldest

    def compacted(self, now: float, revision: int) -> None:
        self._last_revision = revision
        self._last_success = now


class ByRevision:
    interval = REVISION_INTERVAL

    def __init__(self, retention: int) -> None:
        self._retention = retention
        self._last_revision = 0

    def due(self, now: float, revision: int, leads: bool) -> int | None:
        at = revision - self._retention
        return at if leads and at > 0 and at != self._last_revision else None

    def compacted(self, now: float, revision: int) -> None:
        self._last_revision = revision
