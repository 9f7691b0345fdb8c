"""Counters as plain numbers: the paths that are taken often add to an integer and nothing more. The collector
turns them into metrics when somebody asks.

Counters of the disk's thread are written by that thread alone and read by the loop: a reader may see a
histogram whose sum is one observation ahead of its count, never a torn number.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence


def powers(start: float, factor: float, count: int) -> tuple[float, ...]:
    """Upper bounds of buckets, each `factor` times the one before."""
    return tuple(start * factor**at for at in range(count))


MILLISECONDS_UP = powers(0.001, 2, 14)
APPLY_BOUNDS = powers(0.0001, 2, 20)
SNAPSHOT_BOUNDS = powers(0.1, 2, 10)


class Histogram:
    """Counts per bucket, not cumulative; the last one is for what is above all bounds."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float] = MILLISECONDS_UP) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


class RpcTally:
    """One RPC: calls, messages, outcomes by status code, and with `timed` how long they took (seconds)."""

    __slots__ = ("handled", "received", "sent", "started", "times")

    def __init__(self, timed: bool) -> None:
        self.started = 0
        self.received = 0
        self.sent = 0
        self.handled: dict[int, int] = {}
        self.times = Histogram(DEFAULT_BOUNDS) if timed else None

    def over(self, code: int) -> None:
        self.handled[code] = self.handled.get(code, 0) + 1


DEFAULT_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class SnapshotTally:
    """Snapshots from one sender, or to one peer: under way, done, failed, and how long the done ones took."""

    __slots__ = ("done", "failed", "running", "times")

    def __init__(self) -> None:
        self.running = 0
        self.done = 0
        self.failed = 0
        self.times = Histogram(SNAPSHOT_BOUNDS)

    @property
    def used(self) -> bool:
        return bool(self.running or self.done or self.failed)


class DiskTally:
    """What the disk's threads add to. Seconds and bytes."""

    def __init__(self) -> None:
        self.fsync = Histogram()
        self.write = Histogram()
        self.written_bytes = 0
        self.snapshot_encode = Histogram()
        self.snapshot_fsync = Histogram()
        self.snapshot_save = Histogram()
        # Of snapshots that the leader sent.
        self.received_fsync = Histogram()
        self.received_save = Histogram(SNAPSHOT_BOUNDS)


class Tally:
    """Everything counted since the process started."""

    def __init__(self) -> None:
        self.disk = DiskTally()
        # Requests of clients.
        self.requests: dict[tuple[str, str], int] = {}
        self.request_times: dict[tuple[str, bool], Histogram] = {}
        self.range_times: dict[bool, Histogram] = {}
        self.received_bytes = 0
        self.sent_bytes = 0
        self.stream_failures: dict[tuple[str, str], int] = {}
        # Applied entries.
        self.apply_times: dict[tuple[str, bool], Histogram] = {}
        self.slow_applies = 0
        self.puts = 0
        self.put_bytes = 0
        self.deletes = 0
        self.ranges = 0
        self.txns = 0
        self.leases_granted = 0
        self.leases_revoked = 0
        self.leases_renewed = 0
        self.lease_ttls = Histogram(powers(1, 2, 24))
        # Watches.
        self.watch_streams = 0
        self.events = 0
        self.watch_sends = Histogram()
        self.watch_sends_per_event = Histogram()
        self.watch_controls = Histogram()
        self.watch_progress = Histogram()
        # The member.
        self.late_heartbeats = 0
        self.compactions_at = 0.0
        self.compacted_keys = 0
        self.compaction_total = Histogram(powers(100, 2, 14))
        self.compaction_pauses = Histogram(powers(1, 2, 13))
        self.index_compaction_pauses = Histogram(powers(0.5, 2, 14))
        self.promotions: dict[str, int] = {}  # by what was wrong; "" counts those that succeeded
        self.received_snapshots: Mapping[str, SnapshotTally] = {}  # by sender
        self.client_snapshots = Histogram(powers(0.01, 2, 17))
        self.hash_times = Histogram(powers(0.01, 2, 15))
        self.hash_kv_times = Histogram(powers(0.01, 2, 15))
        self.defrag_times = Histogram(powers(0.1, 2, 13))
        # Pages.
        self.health_successes = 0
        self.health_failures = 0
        self.check_results: dict[tuple[str, str], bool] = {}
        self.checks: dict[tuple[str, str, str], int] = {}
        self.scrapes: dict[str, int] = {"200": 0, "500": 0, "503": 0}
