"""An etcd that runs one call at a time: the whole store as one immutable value.

Rules (etcd's own, see its mvcc, txn and lease packages):

1. A put, delete, txn, revocation or expiry that changes a key takes the next revision, once; it is the
   mod_revision of every key that it wrote. A key that was absent gets it as create_revision too, and version
   1; otherwise its version grows by one. What changes no key takes no revision.
2. A range reads the store at a revision, by default the current one: compacted below the compaction's, future
   above the current one. `count` is what the range holds, whatever limit and filters leave of it; `more` says
   that the limit cut something off. With a sort target, but neither an order nor filters, the limit cuts
   before the sort. The header always shows the current revision.
3. The compares of a txn, those of nested txns too, see the store before the txn and choose one path. All
   operations on it are checked before any is carried out; each then sees what the ones before it did. A
   compare of an absent key sees zeroes; of its value it fails.
4. A put needs its lease to exist, then its key where it keeps value or lease. It detaches the key from the
   lease that it had. Revoking or running out deletes all keys of a lease at one revision, or none at all.
5. A compaction raises the compacted revision: compacted up to the present one, future above the current one.

What cannot be known is None in the answers here, and agrees with anything: the content of a revision before
the history began, the lease in a keys-only answer (it depends on the release).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from gauntlet.checkers.etcd.calls import (
    COMPACTED,
    FROM_KEY,
    FUTURE_REVISION,
    KEY_NOT_FOUND,
    KV,
    LEASE_EXISTS,
    LEASE_NOT_FOUND,
    TTL_TOO_LARGE,
    Answer,
    Call,
    Compact,
    CompactAnswer,
    Compare,
    Delete,
    DeleteAnswer,
    Expire,
    Grant,
    GrantAnswer,
    KeepAlive,
    KeepAliveAnswer,
    Leases,
    LeasesAnswer,
    Put,
    PutAnswer,
    Range,
    RangeAnswer,
    Refused,
    Request,
    Revoke,
    RevokeAnswer,
    TimeToLive,
    TimeToLiveAnswer,
    Txn,
    TxnAnswer,
)
from gauntlet.checkers.etcd.requests import refusal
from gauntlet.checkers.etcd.tree import Tree

MAX_TTL: Final = 9_000_000_000
ALIVE: Final = 1
"""The remaining seconds of a lease that exists: the model has no clock, any positive number will do."""


class Lease(NamedTuple):
    ttl: int | None  # as granted, in seconds
    keys: frozenset[bytes] = frozenset()


class Past:
    """The keys as they were at earlier revisions, newest first."""

    __slots__ = ("_hash", "keys", "older", "revision")

    def __init__(self, revision: int, keys: Tree[KV], older: Past | None) -> None:
        self.revision = revision
        self.keys = keys
        self.older = older
        self._hash = hash((revision, keys, older))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        mine: Past | None = self
        while mine is not other:
            if mine is None or not isinstance(other, Past) or mine._hash != other._hash:
                return False
            if mine.revision != other.revision or mine.keys != other.keys:
                return False
            mine, other = mine.older, other.older
        return True


class State:
    """Everything that decides the answers to come. `past` holds the revisions that somebody may ask for."""

    __slots__ = ("_hash", "compacted", "keys", "leases", "past", "revision", "start")

    def __init__(
        self,
        revision: int = 1,
        compacted: int = -1,
        keys: Tree[KV] | None = None,
        leases: Tree[Lease] | None = None,
        past: Past | None = None,
        start: int = 1,
    ) -> None:
        self.revision = revision
        self.compacted = compacted
        self.keys: Tree[KV] = Tree() if keys is None else keys
        self.leases: Tree[Lease] = Tree() if leases is None else leases
        self.past = past
        self.start = start  # the revision the history began at: nothing is known of those before
        self._hash = hash((revision, compacted, self.keys, self.leases, past))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, State)
            and self._hash == other._hash
            and self.revision == other.revision
            and self.compacted == other.compacted
            and self.keys == other.keys
            and self.leases == other.leases
            and self.past == other.past
        )

    def __repr__(self) -> str:
        return f"State(revision={self.revision}, compacted={self.compacted}, keys={self.keys!r})"

    def lease(self, number: int) -> Lease | None:
        return self.leases.get(lease_key(number))


def lease_key(number: int) -> bytes:
    return (number + (1 << 63)).to_bytes(9, "big")


def lease_id(key: bytes) -> int:
    """The inverse of `lease_key`."""
    return int.from_bytes(key, "big") - (1 << 63)


class SortedAnswer(NamedTuple):
    """A range sorted by something else than its keys: equal elements come in any order, so any pairs of
    `pool` whose elements are the first of `elements` will do."""

    revision: int | None
    kvs: tuple[KV, ...]
    more: bool
    count: int  # type: ignore[assignment]  # as in RangeAnswer
    pool: tuple[KV, ...]
    elements: tuple[bytes | int, ...]  # what each pair of the pool is sorted by


Expected = Answer | SortedAnswer
Keeps = Callable[[int], bool]


def everything(revision: int) -> bool:
    """Every past revision may be asked for."""
    return True


def span(key: bytes, end: bytes) -> tuple[bytes, bytes | None]:
    """[start, end) as etcd means it; None: no end."""
    if not end:
        return key, key + b"\x00"
    return key, None if end == FROM_KEY else end


def apply(state: State, call: Call, keeps: Keeps = everything) -> tuple[State, Expected]:
    """The state after the call, and what etcd answers. Refused leaves the state as it was."""
    refused = refusal(call)
    if refused is not None:
        return state, refused
    change = _Change(state, keeps)
    match call:
        case Range():
            return state, change.check(call) or change.range(call)
        case Put():
            refused = change.check(call)
            if refused is not None:
                return state, refused
            answer: Expected = change.put(call)
        case Delete():
            answer = change.delete(call)
        case Txn():
            path: list[bool] = []
            change.choose(call, path)
            refused = change.check_path(call, iter(path))
            if refused is not None:
                return state, refused
            answer = change.txn(call, iter(path))
            answer = answer._replace(revision=change.revision)
        case Grant():
            return _grant(state, call)
        case Revoke() | Expire():
            if state.lease(call.id) is None:
                return state, LEASE_NOT_FOUND
            change.revoke(call.id)
            answer = RevokeAnswer(change.revision)
        case Compact():
            return _compact(state, call)
        case KeepAlive():
            alive = state.lease(call.id) is not None
            return state, KeepAliveAnswer(None, call.id, ALIVE if alive else 0)
        case TimeToLive():
            return state, _time_to_live(state, call)
        case Leases():
            return state, LeasesAnswer(None, tuple(map(lease_id, dict(state.leases.range(b"")))))
    return change.end(), answer


def _grant(state: State, call: Grant) -> tuple[State, Expected]:
    if call.ttl > MAX_TTL:
        return state, TTL_TOO_LARGE
    if state.lease(call.id) is not None:
        return state, LEASE_EXISTS
    # A TTL below the server's minimum is raised to it, which nobody outside knows.
    leases = state.leases.put(lease_key(call.id), Lease(call.ttl if call.ttl > 0 else None))
    after = State(state.revision, state.compacted, state.keys, leases, state.past, state.start)
    return after, GrantAnswer(state.revision, call.id, call.ttl)


def _compact(state: State, call: Compact) -> tuple[State, Expected]:
    if call.revision <= state.compacted:
        return state, COMPACTED
    if call.revision > state.revision:
        return state, FUTURE_REVISION
    after = State(state.revision, call.revision, state.keys, state.leases, state.past, state.start)
    return after, CompactAnswer(None)


def _time_to_live(state: State, call: TimeToLive) -> TimeToLiveAnswer:
    lease = state.lease(call.id)
    if lease is None:
        return TimeToLiveAnswer(None, call.id, -1)
    keys = tuple(sorted(lease.keys)) if call.keys else ()
    return TimeToLiveAnswer(None, call.id, ALIVE, lease.ttl, keys)


_ABSENT: Final = KV(b"", None, 0, 0, 0, 0)


class _Change:
    """One call under way: the state before it, and what it has changed so far."""

    __slots__ = ("before", "changed", "keeps", "keys", "leases")

    def __init__(self, state: State, keeps: Keeps) -> None:
        self.before = state
        self.keeps = keeps
        self.keys = state.keys
        self.leases = state.leases
        self.changed = False

    @property
    def revision(self) -> int:
        return self.before.revision + 1 if self.changed else self.before.revision

    def end(self) -> State:
        state = self.before
        if not self.changed:
            if self.leases is state.leases:
                return state
            return State(state.revision, state.compacted, state.keys, self.leases, state.past, state.start)
        past = state.past
        if self.keeps(state.revision):
            past = Past(state.revision, state.keys, past)
        return State(state.revision + 1, state.compacted, self.keys, self.leases, past, state.start)

    # ---- checks, on the state before ----

    def check(self, request: Request) -> Refused | None:
        if isinstance(request, Range):
            if request.revision > self.before.revision:
                return FUTURE_REVISION
            at = request.revision
            return COMPACTED if 0 < at < self.before.compacted else None
        if isinstance(request, Put):
            if request.lease and self.before.lease(request.lease) is None:
                return LEASE_NOT_FOUND
            keeps = request.ignore_value or request.ignore_lease
            if keeps and self.before.keys.get(request.key) is None:
                return KEY_NOT_FOUND
        return None

    def choose(self, txn: Txn, path: list[bool]) -> None:
        """Which branch this txn takes, then those of its nested txns on that branch, in order."""
        succeeded = all(self._holds(compare) for compare in txn.compare)
        path.append(succeeded)
        for request in txn.success if succeeded else txn.failure:
            if isinstance(request, Txn):
                self.choose(request, path)

    def check_path(self, txn: Txn, path: Iterator[bool]) -> Refused | None:
        for request in txn.success if next(path) else txn.failure:
            if isinstance(request, Txn):
                found = self.check_path(request, path)
            elif isinstance(request, Range) and request.revision < 0:
                found = COMPACTED if request.revision < self.before.compacted else None
            else:
                found = self.check(request)
            if found is not None:
                return found
        return None

    def _holds(self, compare: Compare) -> bool:
        found = [kv for _, kv in self.before.keys.range(*span(compare.key, compare.end))]
        if not found:
            return compare.target != "value" and related(compare, _ABSENT)
        return all(related(compare, kv) for kv in found)

    # ---- operations ----

    def txn(self, txn: Txn, path: Iterator[bool]) -> TxnAnswer:
        succeeded = next(path)
        answers: list[Expected] = []
        for request in txn.success if succeeded else txn.failure:
            if isinstance(request, Range):
                answers.append(self.range(request))
            elif isinstance(request, Put):
                answers.append(self.put(request))
            elif isinstance(request, Delete):
                answers.append(self.delete(request))
            else:
                answers.append(self.txn(request, path))
        return TxnAnswer(None, succeeded, tuple(answers))  # type: ignore[arg-type]  # sorted ones among them

    def put(self, request: Put) -> PutAnswer:
        key = request.key
        previous = self.keys.get(key)
        value, lease = request.value, request.lease
        if request.ignore_value:
            value = (previous.value if previous is not None else None) or b""
        if request.ignore_lease:
            lease = (previous.lease if previous is not None else None) or 0
        self.changed = True
        revision = self.before.revision + 1
        if previous is None:
            kv = KV(key, value, revision, revision, 1, lease)
        else:
            version = None if previous.version is None else previous.version + 1
            kv = KV(key, value, previous.create_revision, revision, version, lease)
        if previous is not None and previous.lease and previous.lease != lease:
            self._detach(previous.lease, key)
        if lease and (previous is None or previous.lease != lease):
            self._attach(lease, key)
        self.keys = self.keys.put(key, kv)
        return PutAnswer(revision, previous if request.prev_kv else None)

    def delete(self, request: Delete) -> DeleteAnswer:
        gone = [kv for _, kv in self.keys.range(*span(request.key, request.end))]
        for kv in gone:
            self.keys = self.keys.remove(kv.key)
            if kv.lease:
                self._detach(kv.lease, kv.key)
        self.changed = self.changed or bool(gone)
        return DeleteAnswer(self.revision, len(gone), tuple(gone) if request.prev_kv else ())

    def revoke(self, number: int) -> None:
        lease = self.before.lease(number)
        for key in lease.keys if lease is not None else ():
            self.keys = self.keys.remove(key)
            self.changed = True
        self.leases = self.leases.remove(lease_key(number))

    def _attach(self, number: int, key: bytes) -> None:
        lease = self.leases.get(lease_key(number))
        if lease is not None:
            self.leases = self.leases.put(lease_key(number), Lease(lease.ttl, lease.keys | {key}))

    def _detach(self, number: int, key: bytes) -> None:
        lease = self.leases.get(lease_key(number))
        if lease is not None:
            self.leases = self.leases.put(lease_key(number), Lease(lease.ttl, lease.keys - {key}))

    def range(self, request: Range) -> Expected:
        keys = self._at(request.revision)
        if keys is None:
            return RangeAnswer(self.revision, None)
        found = [kv for _, kv in keys.range(*span(request.key, request.end))]
        if request.count_only:
            return RangeAnswer(self.revision, (), False, len(found))
        return select(request, found, self.revision)

    def _at(self, revision: int) -> Tree[KV] | None:
        """The keys at a revision; None where nothing is known of it."""
        if revision <= 0 or revision == self.revision:
            return self.keys
        if revision == self.before.revision:
            return self.before.keys
        past = self.before.past
        while past is not None and past.revision > revision:
            past = past.older
        return past.keys if past is not None and past.revision == revision else None


def select(request: Range, found: Sequence[KV], revision: int) -> Expected:
    """What a range answers of the pairs that it found, which are in key order."""
    count, limit, target = len(found), request.limit, request.sort_target
    pool = [kv for kv in found if _passes(request, kv)] if _filtered(request) else list(found)
    more = 0 < limit < len(pool)
    if more and request.sort_order == "none" and not _filtered(request):
        pool = pool[: limit + 1]  # etcd reads no more than these, and then sorts them
    pool = _ordered(request, pool)
    elements = () if target == "key" else tuple(element(kv, target) for kv in pool)
    if request.keys_only:
        pool = [kv._replace(value=b"", lease=None) for kv in pool]
    kvs = tuple(pool[:limit]) if more else tuple(pool)
    if target == "key":
        return RangeAnswer(revision, kvs, more, count)
    return SortedAnswer(revision, kvs, more, count, tuple(pool), elements)


def _ordered(request: Range, pool: list[KV]) -> list[KV]:
    if request.sort_target == "key" and request.sort_order != "descend":
        return pool
    target = request.sort_target
    return sorted(pool, key=lambda kv: element(kv, target), reverse=request.sort_order == "descend")


def element(kv: KV, target: str) -> bytes | int:
    """What a range is sorted by."""
    match target:
        case "key":
            return kv.key
        case "value":
            return kv.value or b""
        case "version":
            return kv.version or 0
        case "create":
            return kv.create_revision or 0
    return kv.mod_revision or 0


def _filtered(request: Range) -> bool:
    return bool(
        request.min_mod_revision
        or request.max_mod_revision
        or request.min_create_revision
        or request.max_create_revision
    )


def _passes(request: Range, kv: KV) -> bool:
    mod, create = kv.mod_revision or 0, kv.create_revision or 0
    return (
        (not request.max_mod_revision or mod <= request.max_mod_revision)
        and (not request.min_mod_revision or mod >= request.min_mod_revision)
        and (not request.max_create_revision or create <= request.max_create_revision)
        and (not request.min_create_revision or create >= request.min_create_revision)
    )


def related(compare: Compare, kv: KV) -> bool:
    """Does the compare hold for this pair?"""
    wanted = compare.value
    if compare.target == "value":
        held: bytes | int = kv.value or b""
    elif compare.target == "lease":
        held = kv.lease or 0
    else:
        held = element(kv, compare.target)
    match compare.result:
        case "=":
            return held == wanted
        case "!=":
            return held != wanted
        case ">":
            return held > wanted  # type: ignore[operator]  # both are numbers, or both are bytes
    return held < wanted  # type: ignore[operator]  # likewise
