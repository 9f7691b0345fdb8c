"""The options of one raft member."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .errors import InvalidConfig
from .logger import LogSink
from .storage import Storage
from .types import LOCAL_APPEND_THREAD, LOCAL_APPLY_THREAD, NO_LIMIT, NONE


@dataclass
class Config:
    """Times are in ticks, sizes in bytes.

    `random(n)` returns an integer in [0, n), evenly spread; it staggers elections and must differ between
    members. An election starts after election_tick to 2 * election_tick - 1 ticks without a leader.

    - applied: the application's position after a restart; nothing up to it is handed out again.
    - max_size_per_msg: encoded entries in one append; 0: one entry, NO_LIMIT: all.
    - max_committed_size_per_ready: encoded entries that may be with the application at once; 0: as above.
    - max_uncommitted_entries_size: payload that a leader holds uncommitted before it drops proposals;
      0: no limit.
    - max_inflight_msgs, max_inflight_bytes: appends sent to one member and not answered; 0 bytes: no limit.
    - check_quorum: a leader that hears from no quorum for election_tick ticks steps down, and members that
      hear a leader refuse to vote.
    - pre_vote: ask whether an election could be won before raising the term.
    - read_only_lease_based: answer reads on the strength of the leader's lease instead of a round of
      heartbeats. Only as safe as the clocks are even; needs check_quorum.
    - disable_proposal_forwarding: a follower drops proposals instead of sending them to the leader.
    - async_storage_writes: storage work comes as messages to LOCAL_APPEND_THREAD and LOCAL_APPLY_THREAD.
    - disable_conf_change_validation: do not compare proposed membership changes with the configuration in
      force, which may lag behind the log.
    - step_down_on_removal: a leader that applies its own removal becomes a follower.
    - log: receives level and line of everything worth logging.
    """

    id: int
    election_tick: int
    heartbeat_tick: int
    storage: Storage
    random: Callable[[int], int]
    applied: int = 0
    max_size_per_msg: int = 1 << 20
    max_committed_size_per_ready: int = 0
    max_uncommitted_entries_size: int = 0
    max_inflight_msgs: int = 512
    max_inflight_bytes: int = 0
    check_quorum: bool = False
    pre_vote: bool = False
    read_only_lease_based: bool = False
    disable_proposal_forwarding: bool = False
    async_storage_writes: bool = False
    disable_conf_change_validation: bool = False
    step_down_on_removal: bool = False
    log: LogSink | None = None

    def validate(self) -> None:
        """Raise InvalidConfig if the options cannot work."""
        if self.id == NONE:
            raise InvalidConfig("cannot use none as id")
        if self.id in (LOCAL_APPEND_THREAD, LOCAL_APPLY_THREAD):
            raise InvalidConfig("cannot use local target as id")
        if self.heartbeat_tick <= 0:
            raise InvalidConfig("heartbeat tick must be greater than 0")
        if self.election_tick <= self.heartbeat_tick:
            raise InvalidConfig("election tick must be greater than heartbeat tick")
        if self.max_inflight_msgs <= 0:
            raise InvalidConfig("max inflight messages must be greater than 0")
        if self.max_inflight_bytes and self.max_inflight_bytes < self.max_size_per_msg:
            raise InvalidConfig("max inflight bytes must be >= max message size")
        if self.read_only_lease_based and not self.check_quorum:
            raise InvalidConfig("CheckQuorum must be enabled when ReadOnlyOption is ReadOnlyLeaseBased")

    @property
    def applying_limit(self) -> int:
        return self.max_committed_size_per_ready or self.max_size_per_msg

    @property
    def uncommitted_limit(self) -> int:
        return self.max_uncommitted_entries_size or NO_LIMIT
