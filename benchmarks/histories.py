"""Valid etcd histories from a seed, for benchmarks and tests of the checkers.

A store that runs one operation at a time, and clients that overlap: every operation takes effect at one
moment between its call and its return. The store here is a small one of its own; nothing is shared with the
checkers but the shapes of calls and answers.
"""

from __future__ import annotations

import heapq
import random
from bisect import bisect_left, insort
from dataclasses import dataclass, field
from typing import Any

from gauntlet.checkers.etcd import calls as c
from porcupine.history import Operation, Outcome


@dataclass(frozen=True, slots=True)
class Mix:
    """Shares of the operations; what they leave over are gets of one key."""

    put: float = 0.33
    swap: float = 0.08  # a txn: if mod_revision is as last seen, put, else get
    several: float = 0.02  # a txn that puts two keys and reads a third
    delete: float = 0.04
    range: float = 0.04
    past: float = 0.01  # a get at an earlier revision
    lease: float = 0.02  # grants, puts with a lease, revocations
    compact: float = 0.0005
    serializable: float = 0.01
    unknown: float = 0.002  # of all that write: the answer is lost
    expire: float = 0.1  # of all grants: the lease runs out

    @classmethod
    def plain(cls) -> Mix:
        """Gets, puts, swaps and deletes of single keys, all answered."""
        return cls(several=0, range=0, past=0, lease=0, compact=0, serializable=0, unknown=0)


@dataclass(slots=True)
class _Store:
    revision: int = 1
    compacted: int = -1
    kvs: dict[bytes, c.KV] = field(default_factory=dict)
    keys: list[bytes] = field(default_factory=list)
    past: dict[bytes, list[tuple[int, c.KV | None]]] = field(default_factory=dict)
    leases: dict[int, set[bytes]] = field(default_factory=dict)
    recent: list[int] = field(default_factory=list)

    def put(self, key: bytes, value: bytes, lease: int, revision: int) -> c.KV | None:
        old = self.kvs.get(key)
        if old is None:
            kv = c.KV(key, value, revision, revision, 1, lease)
            insort(self.keys, key)
        else:
            kv = c.KV(key, value, old[2], revision, (old[4] or 0) + 1, lease)
            if old[5]:
                self.leases[old[5]].discard(key)
        if lease:
            self.leases[lease].add(key)
        self.kvs[key] = kv
        self.past.setdefault(key, []).append((revision, kv))
        return old

    def delete(self, key: bytes, revision: int) -> None:
        kv = self.kvs.pop(key)
        del self.keys[bisect_left(self.keys, key)]
        if kv.lease:
            self.leases[kv.lease].discard(key)
        self.past[key].append((revision, None))

    def drop_lease(self, number: int) -> int:
        keys = sorted(self.leases.pop(number))
        if keys:
            self.revision += 1
        for key in keys:
            kv = self.kvs.pop(key)
            del self.keys[bisect_left(self.keys, kv.key)]
            self.past[key].append((self.revision, None))
        return self.revision

    def run(self, call: Any) -> c.Answer:
        match call:
            case c.Range():
                return self._range(call)
            case c.Put():
                if call.lease and call.lease not in self.leases:
                    return c.LEASE_NOT_FOUND
                self.revision += 1
                old = self.put(call.key, call.value, call.lease, self.revision)
                return c.PutAnswer(self.revision, old if call.prev_kv else None)
            case c.Delete():
                if call.key not in self.kvs:
                    return c.DeleteAnswer(self.revision, 0, ())
                self.revision += 1
                self.delete(call.key, self.revision)
                return c.DeleteAnswer(self.revision, 1, ())
            case c.Txn():
                return self._txn(call)
            case c.Grant():
                self.leases[call.id] = set()
                return c.GrantAnswer(self.revision, call.id, call.ttl)
            case c.Revoke() | c.Expire():
                if call.id not in self.leases:
                    return c.LEASE_NOT_FOUND
                return c.RevokeAnswer(self.drop_lease(call.id))
            case c.Compact():
                if call.revision <= self.compacted:
                    return c.COMPACTED
                self.compacted = call.revision
                return c.CompactAnswer(self.revision)
        raise ValueError(call)

    def _txn(self, call: c.Txn) -> c.Answer:
        holds = all(
            (self.kvs[each.key].mod_revision if each.key in self.kvs else 0) == each.value
            for each in call.compare
        )
        branch = call.success if holds else call.failure
        writing = any(isinstance(each, c.Put) for each in branch)
        answers: list[c.Answer] = []
        for each in branch:
            if isinstance(each, c.Put):
                self.put(each.key, each.value, 0, self.revision + 1)
                answers.append(c.PutAnswer(None))
            elif isinstance(each, c.Range):
                kv = self.kvs.get(each.key)
                kvs = () if kv is None else (kv,)
                answers.append(c.RangeAnswer(None, kvs, False, len(kvs)))
        self.revision += writing
        return c.TxnAnswer(self.revision, holds, tuple(answers))

    def _range(self, call: c.Range) -> c.Answer:
        if call.revision:
            if call.revision < self.compacted:
                return c.COMPACTED
            versions = self.past.get(call.key, [])
            place = bisect_left(versions, call.revision + 1, key=lambda version: version[0])
            kv = versions[place - 1][1] if place else None
            found = [] if kv is None else [kv]
        elif call.end:
            low, high = bisect_left(self.keys, call.key), bisect_left(self.keys, call.end)
            found = [self.kvs[key] for key in self.keys[low:high]]
        else:
            kv = self.kvs.get(call.key)
            found = [] if kv is None else [kv]
        count = len(found)
        more = 0 < call.limit < count
        return c.RangeAnswer(self.revision, tuple(found[: call.limit] if more else found), more, count)


class _Clients:
    """Chooses what each client does next."""

    def __init__(self, rng: random.Random, keys: int, mix: Mix) -> None:
        self.rng = rng
        self.keys = [b"/bench/%06d" % number for number in range(keys)]
        self.mix = mix
        self.kinds = ["put", "swap", "several", "delete", "range", "past", "lease", "compact", "serializable"]
        shares = [getattr(mix, kind) for kind in self.kinds]
        self.kinds.append("get")
        self.weights = [*shares, max(0.0, 1 - sum(shares))]
        self.draws: list[str] = []
        self.seen: dict[bytes, int] = {}
        self.lease = 0
        self.alive: list[int] = []
        self.written = 0

    def value(self) -> bytes:
        self.written += 1
        return b"value-%012d" % self.written

    def next(self, store: _Store) -> c.Call:
        if not self.draws:
            self.draws = self.rng.choices(self.kinds, self.weights, k=1024)
        kind = self.draws.pop()
        keys = self.keys
        key = keys[int(self.rng.random() * len(keys))]
        match kind:
            case "get":
                return c.Range(key)
            case "put":
                return c.Put(key, self.value())
            case "swap":
                unchanged = c.Compare(key, "mod", "=", self.seen.get(key, 0))
                return c.Txn((unchanged,), (c.Put(key, self.value()),), (c.Range(key),))
            case "several":
                one, two, three = self.rng.sample(keys, 3) if len(keys) > 2 else (key, key + b"a", key + b"b")
                return c.Txn((), (c.Put(one, self.value()), c.Put(two, self.value()), c.Range(three)))
            case "delete":
                return c.Delete(key)
            case "range":
                return c.Range(key, key[:-1] + b":", limit=self.rng.choice([0, 3]))
            case "past":
                back = self.rng.randint(0, 50)
                return c.Range(key, revision=max(store.revision - back, store.compacted, 1))
            case "serializable":
                return c.Range(key, serializable=True)
            case "compact":
                return c.Compact(max(store.revision - 100, 1))
        return self._lease(key)

    def _lease(self, key: bytes) -> c.Call:
        draw = self.rng.random()
        if not self.alive or draw < 0.3:
            self.lease += 1
            return c.Grant(self.lease, 60)
        number = self.alive[-1]
        if draw < 0.8:
            return c.Put(key, self.value(), number)
        return c.Revoke(self.alive.pop())


def generate(
    seed: int, operations: int, clients: int = 50, keys: int = 200, mix: Mix | None = None
) -> list[Operation]:
    """A valid history in the order of its calls, in the vocabulary of `gauntlet.checkers.etcd`.

    Outcome ok, or unknown where the answer was lost; refusals are answers (`calls.Refused`). Values are never
    written twice. Member m1 to m3 in the tags would cost memory at a million operations, so tags are empty.
    """
    mix = mix or Mix()
    rng = random.Random(f"{seed}:histories")
    store, chooser = _Store(), _Clients(rng, keys, mix)
    history: list[Operation] = []
    # (effect, tie, call time, (client, call)); a call time of -1: nobody waits for the answer, only the call
    pending: list[tuple[int, int, int, Any]] = []
    uniform = rng.random
    tie = 0

    def begin(client: int, at: int) -> None:
        nonlocal tie
        tie += 1
        called = at + int(uniform() * 20_000)
        effect = called + 50_000 + int(uniform() * 900_000)
        heapq.heappush(pending, (effect, tie, called, (client, chooser.next(store))))

    for client in range(clients):
        begin(client, client * 1000)
    while pending and len(history) < operations:
        effect, _, called, subject = heapq.heappop(pending)
        if called < 0:
            store.run(subject)  # a lease runs out, or a write whose answer was lost takes effect
            continue
        client, call = subject
        returned = effect + 50_000 + int(uniform() * 400_000)
        writing = isinstance(call, (c.Put, c.Txn, c.Delete, c.Grant, c.Revoke))
        if writing and mix.unknown and uniform() < mix.unknown:
            history.append(Operation(client, call, called, returned, Outcome.UNKNOWN))
            draw = uniform()
            if draw < 0.7:
                tie += 1
                late = effect if draw < 0.5 else returned + int(uniform() * 5_000_000)
                heapq.heappush(pending, (late, tie, -1, call))
        else:
            answer = store.run(call)
            _note(chooser, call, answer)
            history.append(Operation(client, call, called, returned, Outcome.OK, answer))
            if isinstance(call, c.Grant) and uniform() < mix.expire:
                tie += 1
                heapq.heappush(pending, (returned + int(uniform() * 20_000_000), tie, -1, c.Expire(call.id)))
        begin(client, returned)
    history.sort(key=lambda operation: operation.call_time_ns)
    for number, operation in enumerate(history):
        operation.id = number
    return history


def _note(chooser: _Clients, call: c.Call, answer: c.Answer) -> None:
    """What clients learn from answers: mod_revisions to expect, leases that are gone."""
    if isinstance(call, c.Range) and isinstance(answer, c.RangeAnswer) and not call.revision:
        for kv in answer.kvs or ():
            chooser.seen[kv.key] = kv.mod_revision or 0
        if not answer.kvs and not call.end:
            chooser.seen[call.key] = 0
    elif isinstance(answer, c.PutAnswer) and isinstance(call, c.Put):
        chooser.seen[call.key] = answer.revision or 0
    elif isinstance(answer, c.GrantAnswer):
        chooser.alive.append(answer.id)
    elif answer == c.LEASE_NOT_FOUND and isinstance(call, c.Put) and call.lease in chooser.alive:
        chooser.alive.remove(call.lease)
