"""What a leader owes the leases: those that ran out are revoked, remaining times are logged now and then.

Rules (etcd's lessor loop, 3.7.1):

- Revoking is a proposal like any other, at most MAX_PENDING_REVOKES of them at a time. A leader that has
  stalled revokes nothing: somebody else may lead by now.
- With the feature gate LeaseCheckpoint the remaining time of leases longer than the checkpoint interval is
  logged every interval, so that the next leader goes on from there instead of giving the whole TTL again.
- With it, renewing a lease that has a logged remainder logs first that there is none any more.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.reference.apply import Applied, StateMachine
from gauntlet.reference.auth.store import ROOT
from gauntlet.reference.proposals import Answer

# Revocations of expired leases under way at once.
MAX_PENDING_REVOKES = 16

Propose = Callable[[pb.InternalRaftRequest, Answer], None]


class LeaseDuty:
    """`expired` counts the leases that were revoked because their time had run out."""

    def __init__(self, machine: StateMachine, propose: Propose) -> None:
        self.expired = 0
        self._machine = machine
        self._propose = propose
        self._revoking: set[int] = set()

    def tick(self, now: float) -> None:
        """To be called on the leader, every heartbeat interval in which it has not stalled."""
        self._revoke(now)
        due = self._machine.lessor.due_checkpoints(now)
        if due:
            self._log(due, lambda _: None)

    def clear(self, lease_id: int, then: Answer) -> None:
        """Logs that nothing of a lease's TTL has been used up; `then` hears when that is applied."""
        self._log([(lease_id, 0)], then)

    def deposed(self) -> None:
        self._machine.lessor.demote()
        self._revoking.clear()

    def _log(self, remaining: list[tuple[int, int]], then: Answer) -> None:
        checkpoints = [pb.LeaseCheckpoint(ID=lease_id, remaining_TTL=left) for lease_id, left in remaining]
        request = pb.LeaseCheckpointRequest(checkpoints=checkpoints)
        self._propose(pb.InternalRaftRequest(lease_checkpoint=request), then)

    def _revoke(self, now: float) -> None:
        room = MAX_PENDING_REVOKES - len(self._revoking)
        if room <= 0:
            return
        for lease_id in self._machine.lessor.expired(now, room):
            if lease_id in self._revoking:
                continue
            self._revoking.add(lease_id)
            request = pb.InternalRaftRequest(lease_revoke=pb.LeaseRevokeRequest(ID=lease_id))
            if self._machine.auth.enabled:
                request.header.username = ROOT
                request.header.auth_revision = self._machine.auth.revision
            self._propose(request, partial(self._revoked, lease_id))

    def _revoked(self, lease_id: int, result: Applied) -> None:
        self.expired += result.error is None
        self._revoking.discard(lease_id)
