"""What goes into a Node, and what comes out of it: its settings, and the work it leaves to its shell."""

from __future__ import annotations

from dataclasses import dataclass, field

from gauntlet.reference.apply import Frozen, Image
from gauntlet.reference.raft.types import Entry, HardState, Message, Snapshot


@dataclass(slots=True)
class NodeConfig:
    """What a member needs to know of itself. Times in seconds, counts in entries, sizes in bytes.

    The last two are feature gates: leases are revoked even while other requests are turned away, and leases
    are renewed without waiting for what is committed to be applied.
    """

    member_id: int
    cluster_id: int
    tick_seconds: float = 0.1
    election_ticks: int = 10
    snapshot_count: int = 10_000
    catch_up_entries: int = 5_000
    max_request_bytes: int = 1_572_864
    priority_requests: bool = False
    fast_keep_alive: bool = True

    @property
    def election_timeout(self) -> float:
        return self.election_ticks * self.tick_seconds

    @property
    def request_timeout(self) -> float:
        return 5.0 + 2 * self.election_timeout


@dataclass(slots=True)
class Effects:
    """What the shell must do now. `snapshot` is one received from the leader, to be saved with its data."""

    messages: list[Message]
    hard_state: HardState | None
    entries: list[Entry]
    snapshot: Snapshot | None
    must_sync: bool
    image: Image | None = None
    """The data of `snapshot` made out, where the shell does that in a thread; for `persisted`."""

    @property
    def needs_write(self) -> bool:
        return self.hard_state is not None or bool(self.entries) or self.snapshot is not None


@dataclass(slots=True)
class Outbox:
    """Work for the shell beside the cycle; each list is emptied by the shell."""

    snapshots_to_send: list[tuple[Message, Frozen]] = field(default_factory=list)
    snapshot_to_save: Frozen | None = None
    removed: bool = False
