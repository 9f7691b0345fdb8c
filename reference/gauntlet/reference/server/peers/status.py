"""What is known of the connection to a peer, and which of its URLs to use."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gauntlet.reference.server.metrics.tally import Histogram, SnapshotTally, powers
from gauntlet.reference.server.peers.identity import format_id

log = logging.getLogger(__name__)


@dataclass(slots=True)
class PeerStatus:
    """Times are those of `clock`, in seconds; counts are bytes and messages since the peer was added.

    `active_since` is infinite while the peer is not connected: "connected before t" is one comparison.
    """

    member_id: int
    clock: Callable[[], float]
    active: bool = False
    active_since: float = math.inf
    last_seen: float = -math.inf
    round_trip: float | None = None
    """Seconds a probe took, smoothed; None before the first."""
    sent_bytes: int = 0
    received_bytes: int = 0
    sent_failures: int = 0
    received_failures: int = 0
    disconnects: int = 0
    round_trips: Histogram = field(default_factory=lambda: Histogram(powers(0.0001, 2, 16)))
    snapshots: SnapshotTally = field(default_factory=SnapshotTally)
    """Those sent to it."""
    streams: set[str] = field(default_factory=set)
    """Streams that are up: `message in`, `msgapp out` and so on."""

    def activate(self) -> None:
        self.last_seen = self.clock()
        if not self.active:
            self.active = True
            self.active_since = self.last_seen
            log.info("peer %s became active", format_id(self.member_id))

    def deactivate(self, reason: str) -> None:
        if self.active:
            self.active = False
            self.active_since = math.inf
            self.disconnects += 1
            log.warning("peer %s became inactive: %s", format_id(self.member_id), reason)
        else:
            log.debug("peer %s is still inactive: %s", format_id(self.member_id), reason)

    def received(self, count: int) -> None:
        self.received_bytes += count
        self.last_seen = self.clock()

    def probed(self, seconds: float) -> None:
        self.round_trips.observe(seconds)
        held = self.round_trip
        self.round_trip = seconds if held is None else held + (seconds - held) / 8


class UrlPicker:
    """One of a peer's URLs, until it fails; then the next."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._urls = list(urls)
        self._at = 0

    def pick(self) -> str:
        return self._urls[self._at]

    def failed(self, url: str) -> None:
        if url == self._urls[self._at]:
            self._at = (self._at + 1) % len(self._urls)

    def update(self, urls: Sequence[str]) -> None:
        self._urls = list(urls)
        self._at = 0

    @property
    def urls(self) -> list[str]:
        return list(self._urls)
