"""What a node may ask of the world. The node is pure; a shell (real or simulated) implements these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gauntlet.reference.raft.types import Entry, HardState, Message, Snapshot


class Peers(Protocol):
    """The other members, by member id. Sending never blocks and may lose anything."""

    def send(self, messages: list[Message]) -> None: ...

    def add_peer(self, member_id: int, urls: list[str]) -> None: ...

    def remove_peer(self, member_id: int) -> None: ...

    def update_peer(self, member_id: int, urls: list[str]) -> None: ...

    def replace(self, urls_by_id: dict[int, list[str]]) -> None:
        """Makes these the peers, whoever they were before."""

    def connected_since(self, member_id: int) -> float:
        """Since when (seconds, monotonic) there is a connection; infinite when there is none."""


@dataclass(slots=True)
class Recovered:
    """What a disk remembers: the newest usable snapshot, and the log after it."""

    node_id: int
    cluster_id: int
    hard_state: HardState = field(default_factory=HardState)
    snapshot: Snapshot | None = None
    entries: list[Entry] = field(default_factory=list)


class Disk(Protocol):
    """Stable storage of one member.

    Every method may raise DiskFailedError. The member is then dead: it must stop at once, without sending
    or acknowledging anything more, because nobody knows what reached the disk. Nothing is ever retried.
    """

    def save(self, hard_state: HardState | None, entries: Sequence[Entry], sync: bool) -> None:
        """Appends to the log. With `sync`, everything written so far is on stable storage afterwards."""

    def save_snapshot(self, snapshot: Snapshot, hard_state: HardState | None = None) -> None:
        """Makes `snapshot` durable, marks it in the log, and syncs.

        A snapshot only counts if the log has a hard state with commit >= snapshot.index. For a snapshot that
        came from the leader pass that hard state here. For one of this member's own, the commit index is
        raised where the log lags behind. Mark and state go into the log in one write.
        """

    def release(self, index: int) -> None:
        """Says that no entry up to `index` is needed any more: old log and snapshot files may go."""

    def close(self) -> None: ...


class DiskFailedError(Exception):
    """The disk refused to read, write or sync. Fatal for the member, and indefinite: it may have happened."""
