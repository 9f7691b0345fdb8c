"""Who leads, as a member sees it: changes, transfers asked for, and those to be told when nobody leads.

Rules (etcd 3.7.1): a transfer is done when the member that was asked leads, and has failed after the request
time-out. Streams that want a leader end once there has been none for three election time-outs.
"""

from __future__ import annotations

from collections.abc import Callable

from gauntlet.api import errors
from gauntlet.api.errors import RpcError

Release = Callable[[RpcError | None], None]

TRANSFER_TIMEOUT = RpcError(
    errors.Code.UNKNOWN, "etcdserver: request timed out, leader transfer took too long", definite=False
)
# Without a leader for so many election time-outs, those who want one are told.
PATIENCE = 3


class Leadership:
    """Times are seconds on the caller's clock."""

    def __init__(self, now: float) -> None:
        self.leader = 0
        self.elected_at = now
        self.changes = 0
        self.on_loss: list[Callable[[], None]] = []
        self._leaderless_since: float | None = now
        self._transfers: list[tuple[int, float, Release]] = []

    def follow(self, leader: int, now: float) -> bool:
        """Raft says who leads, 0 for nobody. True when it is somebody new."""
        changed = leader not in (0, self.leader)
        self.leader = leader
        if changed:
            self.elected_at = now
            self.changes += 1
        if not leader:
            self._leaderless_since = now
        self._settle(now)
        return changed

    def transfer(self, to: int, now: float, timeout: float, then: Release) -> None:
        """`then` hears None once `to` leads, or that it took too long."""
        self._transfers.append((to, now + timeout, then))
        self._settle(now)

    def tick(self, now: float, election_timeout: float) -> None:
        self._settle(now)
        since = self._leaderless_since
        if not self.leader and since is not None and now - since >= PATIENCE * election_timeout:
            self._leaderless_since = None
            listeners, self.on_loss = self.on_loss, []
            for listener in listeners:
                listener()

    def _settle(self, now: float) -> None:
        transfers, self._transfers = self._transfers, []
        for to, deadline, then in transfers:
            if self.leader == to:
                then(None)
            elif now >= deadline:
                then(TRANSFER_TIMEOUT)
            else:
                self._transfers.append((to, deadline, then))
