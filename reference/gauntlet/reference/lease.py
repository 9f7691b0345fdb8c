"""The lessor: which leases exist, which keys hang on them, and when they run out.

Rules (source: go.etcd.io/etcd/server/v3 v3.7.1, package lease):

1. Every member knows every lease and its keys: grant, revoke, attach, detach and checkpoint happen when an
   entry is applied, so they are the same everywhere and depend on no clock.
2. Only the primary (the raft leader, once it has applied an entry of its own term) counts time. Everywhere
   else a lease never runs out. Renewing is the primary's own affair and never enters the log.
3. Whoever becomes primary gives every lease its whole TTL again (or the remainder of its last checkpoint)
   plus an extension, because it cannot know what its predecessor promised. Where too many would then run
   out within the same second they are spread, so that revoking keeps up.
4. A lease that has run out still exists until its revocation is applied. Meanwhile it can neither be
   renewed nor called gone: the leader may change first, and then it lives on.
5. A TTL shorter than the minimum is raised to it: a leader election must not cost anybody a lease.

Time is a parameter: seconds on a monotonic clock. Expiries wait in a heap that holds one place per lease;
renewing only moves the lease's own expiry, and the heap finds out when the old place comes up. So a
keep-alive costs the same with 100,000 leases as with one.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass, field

from gauntlet.api import errors
from gauntlet.api.errors import RpcError
from gauntlet.api.messages import leasepb
from gauntlet.reference import backend as buckets
from gauntlet.reference.backend import Backend

MAX_TTL = 9_000_000_000  # seconds
REVOKE_RATE = 1000  # leases a second
EXPIRED_LIMIT = REVOKE_RATE // 2  # at once; upstream looks every 500 ms
RETRY_INTERVAL = 3.0  # seconds until a lease whose revocation did not come through is named again
CHECKPOINT_INTERVAL = 300  # seconds
CHECKPOINT_BATCH = 1000
FOREVER = math.inf
_MASK64 = (1 << 64) - 1


class RevokePendingError(RpcError):
    """The lease has run out, but its revocation is not applied yet. See `Lessor.when_revoked`."""

    def __init__(self) -> None:
        super().__init__(errors.TIMEOUT.code, errors.TIMEOUT.message, definite=True)


@dataclass(slots=True)
class Lease:
    """`ttl` as granted, in seconds; `checkpoint` the remaining TTL last written to the log, 0 for none."""

    id: int
    ttl: int
    checkpoint: int = 0
    expiry: float = FOREVER
    keys: set[bytes] = field(default_factory=set)

    @property
    def span(self) -> int:
        """Seconds it gets when its clock is started anew."""
        return self.checkpoint if self.checkpoint > 0 else self.ttl

    @property
    def demoted(self) -> bool:
        """Whether nobody here counts its time."""
        return self.expiry == FOREVER


Revoked = Callable[[RpcError], None]


def min_ttl(election_ticks: int, heartbeat: float) -> int:
    """The shortest TTL that is granted, in seconds: one and a half election time-outs, rounded up."""
    return math.ceil(3 * election_ticks // 2 * heartbeat)


def choose_id(next_id: Callable[[], int]) -> int:
    """An id for a lease whose client gave none: positive, 63 bits. Chosen before the request is proposed."""
    while True:
        lease_id = next_id() & (1 << 63) - 1
        if lease_id:
            return lease_id


class Lessor:
    def __init__(
        self,
        backend: Backend,
        min_ttl: int,
        *,
        checkpoints: bool = False,
        checkpoint_interval: float = CHECKPOINT_INTERVAL,
        revoke_rate: int = REVOKE_RATE,
    ) -> None:
        """`checkpoints` turns on LeaseCheckpoint: the primary then asks for remaining TTLs to be logged."""
        self._backend = backend
        self._min_ttl = min_ttl
        self._checkpoints = checkpoints
        self._checkpoint_interval = checkpoint_interval
        self._revoke_rate = revoke_rate
        self._primary = False
        self._leases: dict[int, Lease] = {}
        self._lease_of: dict[bytes, int] = {}
        self._heap: list[tuple[float, int]] = []
        self._place: dict[int, float] = {}  # the one time in the heap that counts for a lease
        self._checkpoint_heap: list[tuple[float, int]] = []
        self._waiting: dict[int, list[Revoked]] = {}
        self.recover(backend)

    @property
    def is_primary(self) -> bool:
        return self._primary

    def __len__(self) -> int:
        return len(self._leases)

    # ---- applied from the log

    def grant(self, lease_id: int, ttl: int, now: float) -> Lease:
        """Errors: LEASE_NOT_FOUND for id 0, LEASE_TTL_TOO_LARGE, LEASE_EXIST."""
        if lease_id == 0:
            raise errors.LEASE_NOT_FOUND.fresh()
        if ttl > MAX_TTL:
            raise errors.LEASE_TTL_TOO_LARGE.fresh()
        if lease_id in self._leases:
            raise errors.LEASE_EXIST.fresh()
        lease = Lease(lease_id, max(ttl, self._min_ttl))
        self._leases[lease_id] = lease
        self._persist(lease)
        if self._primary:
            self._restart(lease, now)
        return lease

    def revoke(self, lease_id: int) -> list[bytes]:
        """Forgets the lease. Returns its keys in the order in which they must be deleted on every member.

        The deletion of the keys belongs into the same transaction. Error: LEASE_NOT_FOUND.
        """
        lease = self._get(lease_id)
        keys = sorted(lease.keys)
        for key in keys:
            self._lease_of.pop(key, None)
        del self._leases[lease_id]
        self._place.pop(lease_id, None)
        self._backend.delete(buckets.LEASE, _key(lease_id))
        for waiting in self._waiting.pop(lease_id, ()):
            waiting(errors.LEASE_NOT_FOUND)
        return keys

    def checkpoint(self, lease_id: int, remaining_ttl: int, now: float, *, persist: bool = True) -> None:
        """Notes the remaining TTL for the next primary. An unknown lease is passed over.

        `persist` is whether the cluster version (3.6 and later) or the configuration has it stored.
        """
        lease = self._leases.get(lease_id)
        if lease is None:
            return
        lease.checkpoint = remaining_ttl
        if persist:
            self._persist(lease)
        if self._primary:
            self._schedule_checkpoint(lease, now)

    def attach(self, lease_id: int, key: bytes) -> None:
        """Hangs the key on the lease. Error: LEASE_NOT_FOUND."""
        self._get(lease_id).keys.add(key)
        self._lease_of[key] = lease_id

    def detach(self, lease_id: int, key: bytes) -> None:
        """Error: LEASE_NOT_FOUND."""
        self._get(lease_id).keys.discard(key)
        self._lease_of.pop(key, None)

    # ---- looked up

    def lookup(self, lease_id: int) -> Lease | None:
        return self._leases.get(lease_id)

    def lease_of(self, key: bytes) -> int:
        """The id of the lease the key hangs on, 0 for none."""
        return self._lease_of.get(key, 0)

    def leases(self) -> list[int]:
        """All ids, the one that runs out first at the front."""
        return [lease.id for lease in sorted(self._leases.values(), key=_by_expiry)]

    def remaining(self, lease_id: int, now: float) -> float:
        """Seconds left, infinite where this member is not the primary. Error: LEASE_NOT_FOUND."""
        return self._get(lease_id).expiry - now

    def time_to_live(self, lease_id: int, now: float, *, keys: bool = False) -> tuple[int, int, list[bytes]]:
        """(whole seconds left, TTL granted, keys in order if asked for).

        Errors: LEASE_NOT_FOUND; LEADER_CHANGED where this member does not count the time.
        """
        lease = self._get(lease_id)
        if lease.demoted:
            raise errors.LEADER_CHANGED.fresh()
        return int(lease.expiry - now), lease.ttl, sorted(lease.keys) if keys else []

    # ---- the primary's own

    def renew(self, lease_id: int, now: float) -> int:
        """Starts the lease's time anew and returns its TTL.

        Errors: NOT_LEADER, LEASE_NOT_FOUND, RevokePendingError (rule 4: then wait with `when_revoked`).
        Where `needs_clearing`, a checkpoint of 0 is to be logged first.
        """
        if not self._primary:
            raise errors.NOT_LEADER.fresh()
        lease = self._get(lease_id)
        if lease.expiry <= now:
            raise RevokePendingError
        self._expire_at(lease, now + lease.span)
        return lease.ttl

    def needs_clearing(self, lease_id: int, now: float) -> bool:
        """Whether renewing must first clear a logged remaining TTL: that of a lease that lives."""
        lease = self._leases.get(lease_id)
        counts = self._checkpoints and self._primary
        return counts and lease is not None and lease.checkpoint > 0 and lease.expiry > now

    def when_revoked(self, lease_id: int, then: Revoked) -> None:
        """Calls `then` once: with LEASE_NOT_FOUND when the lease is gone, with NOT_LEADER on `demote`.

        At once if either is so already.
        """
        if lease_id not in self._leases:
            then(errors.LEASE_NOT_FOUND)
        elif not self._primary:
            then(errors.NOT_LEADER)
        else:
            self._waiting.setdefault(lease_id, []).append(then)

    def expired(self, now: float, limit: int = EXPIRED_LIMIT) -> list[int]:
        """At most `limit` leases to revoke now, the longest overdue first.

        One that is still there RETRY_INTERVAL later is named again.
        """
        due: list[int] = []
        heap = self._heap
        while heap and heap[0][0] <= now and len(due) < limit:
            time, lease_id = heapq.heappop(heap)
            lease = self._leases.get(lease_id)
            if lease is None or self._place.get(lease_id) != time:
                continue
            if lease.expiry > time:
                self._put(lease_id, lease.expiry)
                continue
            due.append(lease_id)
            self._put(lease_id, now + RETRY_INTERVAL)
        return due

    def due_checkpoints(self, now: float, limit: int = CHECKPOINT_BATCH) -> list[tuple[int, int]]:
        """(id, remaining TTL in seconds) of at most `limit` leases whose remaining TTL is to be logged."""
        due: list[tuple[int, int]] = []
        heap = self._checkpoint_heap
        while heap and heap[0][0] <= now and len(due) < limit:
            _, lease_id = heapq.heappop(heap)
            lease = self._leases.get(lease_id)
            if lease is None or lease.expiry <= now:
                continue
            remaining = math.ceil(lease.expiry - now)
            if remaining < lease.ttl:
                due.append((lease_id, remaining))
        return due

    def promote(self, now: float, extend: float) -> None:
        """Becomes primary: rule 3. `extend` is the election time-out in seconds."""
        self._primary = True
        for lease in self._leases.values():
            self._restart(lease, now, extend)
        if len(self._leases) >= self._revoke_rate:
            self._spread(now, extend)

    def _spread(self, now: float, extend: float) -> None:
        """Lets at most three quarters of the revoke rate run out in any second; the rest come later.

        Leases are taken in the order they run out, in windows of one second. A window that is full is
        stretched, and what falls into it is put off accordingly.
        """
        leases = sorted(self._leases.values(), key=_by_expiry)
        per_second = 3 * self._revoke_rate // 4
        base = leases[0].expiry - now
        window_end = base + 1
        count = 0
        for lease in leases:
            remaining = lease.expiry - now
            if remaining > window_end:
                base = remaining
                window_end = base + 1
                count = 1
                continue
            count += 1
            if count <= per_second:
                continue
            delay = count / per_second - (remaining - base)
            window_end = base + delay
            self._restart(lease, now, delay + extend)

    def demote(self) -> None:
        """Stops counting time."""
        self._primary = False
        for lease in self._leases.values():
            lease.expiry = FOREVER
        self._heap = []
        self._place = {}
        self._checkpoint_heap = []
        waiting, self._waiting = self._waiting, {}
        for callbacks in waiting.values():
            for then in callbacks:
                then(errors.NOT_LEADER)

    # ---- from the store

    def recover(self, backend: Backend) -> None:
        """Reads the leases again from `backend`, as a member that counts no time.

        The keys come back through `attach` when the store is read.
        """
        self.demote()
        self._backend = backend
        self._leases = {}
        self._lease_of = {}
        for _, value in backend.range(buckets.LEASE, b"", b""):
            stored = leasepb.Lease.FromString(value)
            self._leases[stored.ID] = Lease(stored.ID, max(stored.TTL, self._min_ttl), stored.RemainingTTL)

    # ---- inside

    def _get(self, lease_id: int) -> Lease:
        lease = self._leases.get(lease_id)
        if lease is None:
            raise errors.LEASE_NOT_FOUND.fresh()
        return lease

    def _persist(self, lease: Lease) -> None:
        stored = leasepb.Lease(ID=lease.id, TTL=lease.ttl, RemainingTTL=lease.checkpoint)
        self._backend.put(buckets.LEASE, _key(lease.id), stored.SerializeToString())

    def _restart(self, lease: Lease, now: float, extend: float = 0.0) -> None:
        self._expire_at(lease, now + extend + lease.span)
        self._schedule_checkpoint(lease, now)

    def _expire_at(self, lease: Lease, expiry: float) -> None:
        lease.expiry = expiry
        place = self._place.get(lease.id)
        if place is None or place > expiry:
            self._put(lease.id, expiry)

    def _put(self, lease_id: int, time: float) -> None:
        self._place[lease_id] = time
        heapq.heappush(self._heap, (time, lease_id))

    def _schedule_checkpoint(self, lease: Lease, now: float) -> None:
        if self._checkpoints and lease.span > self._checkpoint_interval:
            heapq.heappush(self._checkpoint_heap, (now + self._checkpoint_interval, lease.id))


def _by_expiry(lease: Lease) -> tuple[float, int]:
    return lease.expiry, lease.id


def _key(lease_id: int) -> bytes:
    return (lease_id & _MASK64).to_bytes(8, "big")
