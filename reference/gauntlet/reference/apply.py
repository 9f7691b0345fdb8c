"""The replicated state machine: one committed entry in, one change of state and one answer out.

Rules:

- Every member applies the same entries in the same order and comes to the same state and the same answers.
  Nothing here depends on the clock but the deadlines of leases, which are each member's own and matter only
  to the leader.
- An entry is applied once: the index of the last one is kept with the data (`meta` bucket), and entries at or
  before it are left out when the log is replayed.
- An answer is a response or an error, never an exception: the entry counts as applied either way.
- Leases follow the keys: a put attaches its key to the lease it names and takes it off the one it had; a
  delete takes it off; revoking a lease deletes its keys as one revision.
- While an alarm says that space has run out, what would add data is refused; while one says that data
  differs between members, nearly everything is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from gauntlet.api import errors
from gauntlet.api.errors import RpcError
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.messages import mvccpb
from gauntlet.reference import backend as buckets
from gauntlet.reference import quota
from gauntlet.reference.alarm import Alarms
from gauntlet.reference.apply_auth import AuthRequests, Permissions
from gauntlet.reference.auth.store import AuthStore
from gauntlet.reference.auth.tokens import AuthInfo, SimpleTokens, TokenProvider
from gauntlet.reference.backend import Backend, MemoryBackend
from gauntlet.reference.lease import Lessor
from gauntlet.reference.membership import Cluster, Downgrade
from gauntlet.reference.mvcc import operations
from gauntlet.reference.mvcc.compaction import CompactionJob
from gauntlet.reference.mvcc.store import Store
from gauntlet.reference.mvcc.watch import WatchHub
from gauntlet.reference.raft.types import ConfChange, ConfState

CONSISTENT_INDEX = b"consistent_index"
TERM = b"term"
CONF_STATE = b"confState"
# From this cluster version on the remaining TTLs of leases are always stored.
CHECKPOINTS_PERSIST = (3, 6)

# An entry that only a later version, or a part of etcd that this node lacks, could have proposed.
UNKNOWN_REQUEST = RpcError(errors.Code.UNIMPLEMENTED, "etcdserver: unknown request in the log", definite=True)


@dataclass(slots=True)
class Applied:
    """What applying an entry gave: a response, or the error that is the answer.

    `job` is the physical part of a compaction, for a caller that wants to wait for it.
    """

    response: Any = None
    error: RpcError | None = None
    job: CompactionJob | None = None


@dataclass(frozen=True, slots=True)
class Frozen:
    """The whole state at (index, term); another thread may turn it into bytes."""

    index: int
    term: int
    conf_state: ConfState
    image: buckets.Frozen

    @property
    def size(self) -> int:
        """Bytes of all chunks together."""
        return self.image.dump_size

    def chunks(self) -> Iterator[bytes]:
        return buckets.dump(self.image)


@dataclass(frozen=True, slots=True)
class Image:
    """The data of a snapshot made out: what a state machine takes over at once."""

    backend: MemoryBackend
    store: Store
    attachments: list[tuple[bytes, int]]

    @classmethod
    def of(cls, data: bytes) -> Image:
        """A large one takes seconds. Nothing else is touched, so any thread may do it. CorruptDumpError."""
        backend = MemoryBackend()
        backend.load([data])
        store = Store(backend)
        return cls(backend, store, list(store.attachments()))


class StateMachine:
    """Everything the log decides: keys, leases, members, alarms; and the watchers, who follow the keys."""

    def __init__(
        self,
        backend: Backend,
        *,
        cluster_id: int,
        min_lease_ttl: int,
        quota_bytes: int,
        max_learners: int = 1,
        compaction_batch: int = 1000,
        tokens: TokenProvider | None = None,
        lease_checkpoints: bool = False,
        persist_checkpoints: bool = False,
    ) -> None:
        """The last two are feature gates: remaining TTLs are logged, and are stored even by a cluster whose
        version is not yet one that always does."""
        self.backend = backend
        self.store = Store(backend)
        self.watches = WatchHub(self.store)
        self.lessor = Lessor(backend, min_lease_ttl, checkpoints=lease_checkpoints)
        self.cluster = Cluster(backend, id=cluster_id, max_learners=max_learners)
        self.alarms = Alarms(backend)
        self.auth = AuthStore(backend, SimpleTokens() if tokens is None else tokens)
        self.auth_requests = AuthRequests(self.auth, lambda: self.applied_index)
        self.permissions = Permissions(self.auth, self.lessor)
        self.conf_state = ConfState()
        self.applied_index = 0
        self.applied_term = 0
        self._quota = quota_bytes
        self._compaction_batch = compaction_batch
        self._persist_checkpoints = persist_checkpoints
        self._handlers: dict[str, Callable[[Any, float], Applied]] = {
            "range": self._range,
            "put": self._put,
            "delete_range": self._delete_range,
            "txn": self._txn,
            "compaction": self._compaction,
            "lease_grant": self._lease_grant,
            "lease_revoke": self._lease_revoke,
            "lease_checkpoint": self._lease_checkpoint,
            "alarm": self._alarm,
            "cluster_version_set": self._cluster_version_set,
            "cluster_member_attr_set": self._cluster_member_attr_set,
            "downgrade_info_set": self._downgrade_info_set,
        }
        for name, apply_auth in self.auth_requests.handlers.items():
            self._handlers[name] = _applied(apply_auth)
        self._read_position()

    def wrap_handlers(
        self, wrap: Callable[[str, Callable[[Any, float], Applied]], Callable[[Any, float], Applied]]
    ) -> None:
        """Puts `wrap(name, handler)` in the place of every handler: for those who count or time applies."""
        self._handlers = {name: wrap(name, handler) for name, handler in self._handlers.items()}

    # Entries.

    def apply(self, index: int, term: int, request: pb.InternalRaftRequest, now: float) -> Applied:
        """Applies one request; `now` is this member's monotonic clock in seconds."""
        self._advance(index, term)
        handlers = self._handlers
        fields = ((descriptor.name, body) for descriptor, body in request.ListFields())
        name, body = next((field for field in fields if field[0] in handlers), ("", None))
        if not name:
            return Applied(error=UNKNOWN_REQUEST)
        if self.alarms.active(pb.CORRUPT) and name in _REFUSED_WHEN_CORRUPT:
            return Applied(error=errors.CORRUPT)
        if self.auth.enabled and (refusal := self._forbidden(name, request)) is not None:
            return Applied(error=refusal)
        try:
            return handlers[name](body, now)
        except RpcError as error:
            return Applied(error=error)

    def skip(self, index: int, term: int) -> None:
        """An entry without content, such as a new leader's first."""
        self._advance(index, term)

    def apply_conf_change(self, index: int, term: int, *changes: ConfChange) -> Applied:
        """Applies membership changes, all of them, or refuses them as every member will."""
        self._advance(index, term)
        try:
            self.cluster.apply_all(changes)
        except RpcError as error:
            return Applied(error=error)
        return Applied(response=self.cluster.members())

    def set_conf_state(self, conf_state: ConfState) -> None:
        """Keeps raft's configuration with the data, in etcd's JSON, which leaves empty lists out."""
        self.conf_state = conf_state
        lists = {
            "voters": conf_state.voters,
            "learners": conf_state.learners,
            "voters_outgoing": conf_state.voters_outgoing,
            "learners_next": conf_state.learners_next,
        }
        fields: dict[str, Any] = {name: members for name, members in lists.items() if members}
        fields["auto_leave"] = conf_state.auto_leave
        self.backend.put(buckets.META, CONF_STATE, json.dumps(fields, separators=(",", ":")).encode())

    def compact_some(self) -> None:
        """One step of the oldest physical compaction under way, if there is one."""
        if self.store.compactions:
            self.store.compactions[0].step(self._compaction_batch)

    # The whole.

    def freeze(self) -> Frozen:
        return Frozen(self.applied_index, self.applied_term, self.conf_state, self.backend.freeze())

    def load(self, data: bytes) -> None:
        """Replaces everything by the data of a snapshot. CorruptDumpError leaves all as it was."""
        self.adopt(Image.of(data))

    def adopt(self, image: Image) -> None:
        """Replaces everything by the image, which is not to be used any more."""
        self.backend.adopt(image.backend)
        self.store.adopt(image.store)
        self.lessor.recover(self.backend)
        for key, lease_id in image.attachments:
            self._attach(lease_id, key)
        self.cluster.recover(self.backend)
        self.alarms.recover(self.backend)
        self.auth.recover(self.backend)
        self._read_position()
        self.watches.restored()

    # The inside.

    def _advance(self, index: int, term: int) -> None:
        backend = self.backend
        self.applied_index = index
        backend.put(buckets.META, CONSISTENT_INDEX, index.to_bytes(8, "big"))
        if term != self.applied_term:
            self.applied_term = term
            backend.put(buckets.META, TERM, term.to_bytes(8, "big"))

    def _read_position(self) -> None:
        backend = self.backend
        self.applied_index = int.from_bytes(backend.get(buckets.META, CONSISTENT_INDEX) or b"", "big")
        self.applied_term = int.from_bytes(backend.get(buckets.META, TERM) or b"", "big")
        stored = backend.get(buckets.META, CONF_STATE)
        self.conf_state = ConfState() if stored is None else ConfState(**json.loads(stored))

    def _forbidden(self, name: str, request: pb.InternalRaftRequest) -> RpcError | None:
        """Why the proposer may not do it; that space has run out is said first."""
        body = getattr(request, name)
        if self.alarms.active(pb.NOSPACE) and _cost(name, body):
            return errors.NO_SPACE
        header = request.header
        return self.permissions.refuses(name, AuthInfo(header.username, header.auth_revision), body)

    def _lease_exists(self, lease_id: int) -> bool:
        return self.lessor.lookup(lease_id) is not None

    def _attach(self, lease_id: int, key: bytes) -> None:
        if self._lease_exists(lease_id):
            self.lessor.attach(lease_id, key)

    def _room(self, cost: int) -> RpcError | None:
        """The answer to a request that adds `cost` bytes: raised while the alarm is up. Without the alarm
        etcd writes first and then answers that it was too much; the alarm follows."""
        if cost and self.alarms.active(pb.NOSPACE):
            raise errors.NO_SPACE.fresh()
        return errors.NO_SPACE if cost and self.backend.size() + cost >= self._quota else None

    def _changed(self, events: list[mvccpb.Event]) -> None:
        """Lets leases and watchers follow a revision."""
        if not events:
            return
        lessor = self.lessor
        for event in events:
            kv = event.kv
            attached = lessor.lease_of(kv.key)
            if attached != kv.lease:
                if attached:
                    lessor.detach(attached, kv.key)
                if kv.lease:
                    lessor.attach(kv.lease, kv.key)
        self.watches.notify(self.store.current_revision, events)

    # Requests.

    def _range(self, request: pb.RangeRequest, now: float) -> Applied:
        return Applied(operations.range_keys(self.store, request))

    def _put(self, request: pb.PutRequest, now: float) -> Applied:
        room = self._room(quota.put_cost(request))
        response, events = operations.put(self.store, request, self._lease_exists)
        self._changed(events)
        return Applied(response, room)

    def _delete_range(self, request: pb.DeleteRangeRequest, now: float) -> Applied:
        response, events = operations.delete_range(self.store, request)
        self._changed(events)
        return Applied(response)

    def _txn(self, request: pb.TxnRequest, now: float) -> Applied:
        room = self._room(quota.txn_cost(request))
        response, events = operations.txn(self.store, request, self._lease_exists)
        self._changed(events)
        return Applied(response, room)

    def _compaction(self, request: pb.CompactionRequest, now: float) -> Applied:
        response, job = operations.compact(self.store, request)
        self.compact_some()  # a small one is over at once
        return Applied(response, job=job)

    def _lease_grant(self, request: pb.LeaseGrantRequest, now: float) -> Applied:
        room = self._room(quota.LEASE_COST)
        lease = self.lessor.grant(request.ID, request.TTL, now)
        return Applied(pb.LeaseGrantResponse(ID=lease.id, TTL=lease.ttl, header=self._header()), room)

    def _lease_revoke(self, request: pb.LeaseRevokeRequest, now: float) -> Applied:
        keys = self.lessor.revoke(request.ID)
        change = self.store.write()
        for key in keys:
            change.delete_range(key, b"")
        self._changed(change.end())
        return Applied(pb.LeaseRevokeResponse(header=self._header()))

    def _header(self) -> pb.ResponseHeader:
        """The revision here and now: what is applied next must not show in the answer."""
        return pb.ResponseHeader(revision=self.store.current_revision)

    def _lease_checkpoint(self, request: pb.LeaseCheckpointRequest, now: float) -> Applied:
        persist = self._persist_checkpoints or self.cluster.at_least(CHECKPOINTS_PERSIST)
        for checkpoint in request.checkpoints:
            self.lessor.checkpoint(checkpoint.ID, checkpoint.remaining_TTL, now, persist=persist)
        return Applied(pb.LeaseCheckpointResponse())

    def _alarm(self, request: pb.AlarmRequest, now: float) -> Applied:
        response = pb.AlarmResponse()
        if request.action == pb.AlarmRequest.GET:
            response.alarms.extend(self.alarms.get(request.alarm))
        elif request.action == pb.AlarmRequest.ACTIVATE:
            if request.alarm != pb.NONE:
                response.alarms.append(self.alarms.activate(request.memberID, request.alarm))
        else:
            lowered = self.alarms.deactivate(request.memberID, request.alarm)
            if lowered is not None:
                response.alarms.append(lowered)
        return Applied(response)

    def _cluster_version_set(self, request: Any, now: float) -> Applied:
        self.cluster.set_version(request.ver)
        return Applied()

    def _cluster_member_attr_set(self, request: Any, now: float) -> Applied:
        attributes = request.member_attributes
        self.cluster.set_attributes(request.member_ID, attributes.name, attributes.client_urls)
        return Applied()

    def _downgrade_info_set(self, request: Any, now: float) -> Applied:
        self.cluster.set_downgrade(Downgrade(request.enabled, request.ver if request.enabled else ""))
        return Applied()


def _applied(handler: Callable[[Any, float], Any]) -> Callable[[Any, float], Applied]:
    return lambda request, now: Applied(handler(request, now))


def _cost(name: str, body: Any) -> int:
    if name == "put":
        return quota.put_cost(body)
    if name == "txn":
        return quota.txn_cost(body)
    return quota.LEASE_COST if name == "lease_grant" else 0


# What an alarm about differing data still lets through: looking at alarms, and the members' own affairs.
_REFUSED_WHEN_CORRUPT = frozenset(
    {"range", "put", "delete_range", "txn", "compaction", "lease_grant", "lease_revoke"}
)
