"""What a leader knows of one member's log, and how it feeds that member.

Rules (etcd's raft design notes; Raft thesis, chapters 3.5 and 10.2.1):
1. `match` is the last index known to be equal in both logs, `next` the first index not yet sent;
   match < next always.
2. PROBE: the end of the member's log is unknown. One append at a time; the next one only after an answer
   or, if the answer is lost, after the next heartbeat answer.
3. REPLICATE: appends are sent without waiting, until the window of unanswered ones is full. A full window
   lets only empty appends through, one per heartbeat answer, so that a member whose messages were all
   lost is found again.
4. SNAPSHOT: what the member needs is compacted away; a snapshot is on its way and nothing else is sent.
   Any answer that reconnects the member to the leader's log ends this state, whichever snapshot it applied.
5. `sent_commit` is the highest commit index on its way; it spares appends that would only repeat it.
"""

from __future__ import annotations

from collections import deque
from enum import IntEnum

from .errors import InvariantBroken


class ProgressState(IntEnum):
    PROBE = 0
    REPLICATE = 1
    SNAPSHOT = 2


_STATE_NAMES = ("StateProbe", "StateReplicate", "StateSnapshot")


class Inflights:
    """The window of append messages that were sent and not answered: the last index and bytes of each.

    Full at `max_messages`, or at `max_bytes` if that is not 0; one message may overshoot the bytes.
    """

    __slots__ = ("_window", "bytes", "max_bytes", "max_messages")

    def __init__(self, max_messages: int, max_bytes: int = 0) -> None:
        self.max_messages = max_messages
        self.max_bytes = max_bytes
        self.bytes = 0
        self._window: deque[tuple[int, int]] = deque()

    def __len__(self) -> int:
        return len(self._window)

    @property
    def full(self) -> bool:
        return len(self._window) >= self.max_messages or (0 < self.max_bytes <= self.bytes)

    def add(self, index: int, size: int) -> None:
        if self.full:
            raise InvariantBroken("cannot add into a Full inflights")
        self._window.append((index, size))
        self.bytes += size

    def free_through(self, index: int) -> None:
        """Forget the messages whose last index is at most `index`: they have arrived."""
        window = self._window
        while window and window[0][0] <= index:
            self.bytes -= window.popleft()[1]

    def clear(self) -> None:
        self._window.clear()
        self.bytes = 0

    def copy(self) -> Inflights:
        other = Inflights(self.max_messages, self.max_bytes)
        other._window = self._window.copy()
        other.bytes = self.bytes
        return other


class Progress:
    __slots__ = (
        "flow_paused",
        "inflights",
        "is_learner",
        "match",
        "next",
        "pending_snapshot",
        "recent_active",
        "sent_commit",
        "state",
    )

    def __init__(
        self,
        inflights: Inflights,
        *,
        match: int = 0,
        next_index: int = 1,
        is_learner: bool = False,
        recent_active: bool = False,
    ) -> None:
        self.match = match
        self.next = next_index
        self.sent_commit = 0
        self.state = ProgressState.PROBE
        self.pending_snapshot = 0
        self.recent_active = recent_active
        self.flow_paused = False
        self.inflights = inflights
        self.is_learner = is_learner

    def copy(self, inflights: Inflights | None = None) -> Progress:
        """A copy that shares the window, or takes the one given."""
        other = Progress(
            self.inflights if inflights is None else inflights,
            match=self.match,
            next_index=self.next,
            is_learner=self.is_learner,
            recent_active=self.recent_active,
        )
        other.sent_commit = self.sent_commit
        other.state = self.state
        other.pending_snapshot = self.pending_snapshot
        other.flow_paused = self.flow_paused
        return other

    def _enter(self, state: ProgressState) -> None:
        self.state = state
        self.flow_paused = False
        self.pending_snapshot = 0
        self.inflights.clear()

    def become_probe(self) -> None:
        """Probe after `match`, or after the snapshot that the member was sent if that is higher."""
        after = self.match
        if self.state is ProgressState.SNAPSHOT:
            after = max(after, self.pending_snapshot)
        self._enter(ProgressState.PROBE)
        self.next = after + 1
        self.sent_commit = min(self.sent_commit, after)

    def become_replicate(self) -> None:
        self._enter(ProgressState.REPLICATE)
        self.next = self.match + 1

    def become_snapshot(self, index: int) -> None:
        self._enter(ProgressState.SNAPSHOT)
        self.pending_snapshot = index
        self.next = index + 1
        self.sent_commit = index

    def sent_entries(self, count: int, size: int) -> None:
        """Account for an append of `count` entries of `size` payload bytes that has just been sent."""
        if self.state is ProgressState.REPLICATE:
            inflights = self.inflights
            if count:
                self.next += count
                inflights.add(self.next - 1, size)
            self.flow_paused = inflights.full
        elif self.state is ProgressState.PROBE:
            if count:
                self.flow_paused = True
        else:
            raise InvariantBroken(f"sending append in unhandled state {_STATE_NAMES[self.state]}")

    def can_bump_commit(self, index: int) -> bool:
        """Whether telling the member that `index` is committed could move its commit index."""
        return index > self.sent_commit and self.sent_commit < self.next - 1

    def maybe_update(self, index: int) -> bool:
        """The member has acknowledged `index`. False if that is old news."""
        if index <= self.match:
            return False
        self.match = index
        if self.next <= index:
            self.next = index + 1
        self.flow_paused = False
        return True

    def maybe_decrease(self, rejected: int, match_hint: int) -> bool:
        """The member refused the append after index `rejected`, and may match at `match_hint`.

        False, and nothing changed, if the refusal belongs to an append that is not the current one.
        """
        if self.state is ProgressState.REPLICATE:
            if rejected <= self.match:
                return False
            self.next = self.match + 1
            self.sent_commit = min(self.sent_commit, self.next - 1)
            return True
        if self.next - 1 != rejected:
            return False
        self.next = max(min(rejected, match_hint + 1), self.match + 1)
        self.sent_commit = min(self.sent_commit, self.next - 1)
        self.flow_paused = False
        return True

    @property
    def paused(self) -> bool:
        return self.flow_paused or self.state is ProgressState.SNAPSHOT

    def __str__(self) -> str:
        parts = [f"{_STATE_NAMES[self.state]} match={self.match} next={self.next}"]
        if self.is_learner:
            parts.append("learner")
        if self.paused:
            parts.append("paused")
        if self.pending_snapshot:
            parts.append(f"pendingSnap={self.pending_snapshot}")
        if not self.recent_active:
            parts.append("inactive")
        if len(self.inflights):
            parts.append(f"inflight={len(self.inflights)}{'[full]' if self.inflights.full else ''}")
        return " ".join(parts)
