"""The same random requests to a real etcd and to our store: every answer must be the same, byte for byte,
except for the ids in the outermost header."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from gauntlet.api.errors import RpcError
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.messages import mvccpb
from gauntlet.reference.backend import MemoryBackend
from gauntlet.reference.mvcc import operations
from gauntlet.reference.mvcc.store import Store
from gauntlet.reference.mvcc.watch import Watcher, WatchHub
from google.protobuf.message import Message

pytestmark = [pytest.mark.upstream, pytest.mark.slow]

# At most twelve: upstream's sort is stable up to there, so that even the order of equals can be compared.
KEYS = [b"a", b"a\x00", b"ab", b"b", b"b/1", b"b/2", b"c", b"m", b"m\xff", b"z", b"\xff", b"\x00"]
ENDS = [*KEYS, b"b0", b"n", b"\xff\xff", b"\x00\x00"]
VALUES = [b"", b"1", b"2", b"3", b"long" * 50, b"\x00\xff"]
LEASES = [0, 0, 0, 11, 12, (1 << 62) + 5]
UNKNOWN_LEASE = 99
PATHS: dict[type[Message], str] = {
    pb.RangeRequest: "/etcdserverpb.KV/Range",
    pb.PutRequest: "/etcdserverpb.KV/Put",
    pb.DeleteRangeRequest: "/etcdserverpb.KV/DeleteRange",
    pb.TxnRequest: "/etcdserverpb.KV/Txn",
    pb.CompactionRequest: "/etcdserverpb.KV/Compact",
    pb.HashKVRequest: "/etcdserverpb.Maintenance/HashKV",
}
MAX_TXN_OPS = 128


class Generator:
    """Requests that hit as many branches as possible, wrong ones included."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.revision = 1  # of the store, to name revisions around it
        self.from_key = False  # the last txn could delete from a key on
        self.never_compacted: set[int] = set()

    def key(self) -> bytes:
        return b"" if self.random.random() < 0.01 else self.random.choice(KEYS)

    def end(self) -> bytes:
        roll = self.random.random()
        return b"" if roll < 0.45 else b"\x00" if roll < 0.6 else self.random.choice(ENDS)

    def a_revision(self) -> int:
        if self.random.random() < 0.1:
            return self.random.choice([-1, -7, 0, 1, self.revision + 1, 1 << 62])
        return self.random.randint(max(1, self.revision - 60), self.revision)

    def flag(self, chance: float) -> bool:
        return self.random.random() < chance

    def bound(self) -> int:
        return self.a_revision() if self.flag(0.1) else 0

    def range(self) -> pb.RangeRequest:
        unsorted = self.flag(0.6)
        return pb.RangeRequest(
            key=self.key(),
            range_end=self.end(),
            limit=self.random.choice([0, 0, 0, 1, 2, 5, 12, -3, (1 << 63) - 1]),
            revision=self.a_revision() if self.flag(0.3) else 0,
            sort_order=0 if unsorted else self.random.choice([0, 1, 2]) if self.flag(0.98) else 3,
            sort_target=0 if unsorted else self.random.choice([0, 1, 2, 3, 4]) if self.flag(0.98) else 5,
            serializable=self.flag(0.5),
            keys_only=self.flag(0.2),
            count_only=self.flag(0.1),
            min_mod_revision=self.bound(),
            max_mod_revision=self.bound(),
            min_create_revision=self.bound(),
            max_create_revision=self.bound(),
        )

    def put(self, keep: bool = True) -> pb.PutRequest:
        ignore_value = keep and self.flag(0.12)
        ignore_lease = keep and self.flag(0.12)
        request = pb.PutRequest(
            key=self.key(),
            prev_kv=self.flag(0.3),
            ignore_value=ignore_value,
            ignore_lease=ignore_lease,
        )
        if not ignore_value or self.flag(0.05):
            request.value = self.random.choice(VALUES)
        if not ignore_lease or self.flag(0.05):
            request.lease = UNKNOWN_LEASE if self.flag(0.02) else self.random.choice(LEASES)
        return request

    def delete(self, from_key: bool = True) -> pb.DeleteRangeRequest:
        end = b"" if self.flag(0.6) else self.end()
        if end == b"\x00" and not from_key:
            end = b""
        return pb.DeleteRangeRequest(key=self.key(), range_end=end, prev_kv=self.flag(0.4))

    def compare(self) -> pb.Compare:
        compare = pb.Compare(
            key=self.key(),
            range_end=self.end() if self.flag(0.3) else b"",
            result=self.random.choice([0, 1, 2, 3]) if self.flag(0.97) else 9,
            target=self.random.choice([0, 1, 2, 3, 4]) if self.flag(0.97) else 9,
        )
        field = ["version", "create_revision", "mod_revision", "value", "lease"]
        name = field[compare.target] if compare.target < 5 and self.flag(0.9) else self.random.choice(field)
        if name == "value":
            compare.value = self.random.choice(VALUES)
        elif name == "version":
            compare.version = self.random.choice([0, 1, 2, 3])
        elif name == "lease":
            compare.lease = self.random.choice(LEASES)
        elif self.flag(0.9):
            setattr(compare, name, self.random.choice([0, self.a_revision(), self.a_revision()]))
        return compare

    def txn(self, depth: int = 0, from_key: bool | None = None) -> pb.TxnRequest:
        # Upstream crashes when a put keeps the value of a key deleted "from a key on" before it in the same
        # txn. So a txn has such deletes or such puts, never both.
        if from_key is None:
            from_key = self.from_key = self.flag(0.3)
        request = pb.TxnRequest()
        for _ in range(self.random.choice([0, 1, 1, 2])):
            request.compare.append(self.compare())
        for branch in (request.success, request.failure):
            for _ in range(self.random.choice([0, 1, 1, 2, 3])):
                branch.append(self.operation(depth, from_key))
        return request

    def operation(self, depth: int, from_key: bool) -> pb.RequestOp:
        roll = self.random.random()
        if roll < 0.01:
            return pb.RequestOp()
        if roll < 0.3:
            return pb.RequestOp(request_range=self.range())
        if roll < 0.6:
            return pb.RequestOp(request_put=self.put(keep=not from_key))
        if roll < 0.8 or depth == 2:
            return pb.RequestOp(request_delete_range=self.delete(from_key))
        return pb.RequestOp(request_txn=self.txn(depth + 1, from_key))

    def compaction(self) -> pb.CompactionRequest:
        # Physical ones are answered when the space is free, so that both sides stand at the same point.
        revision = self.a_revision()
        while revision in self.never_compacted:
            revision += 1
        return pb.CompactionRequest(revision=revision, physical=True)

    def applied(self, request: Message, revision: int) -> None:
        """To be told of every request once it is carried out."""
        if isinstance(request, pb.TxnRequest) and self.from_key:
            # Upstream loses a key that one txn deletes and puts again, if the compaction is at the very
            # revision of that txn, and crashes when it is read. Only "from a key on" lets such a txn pass.
            self.never_compacted.add(revision)
        self.revision = revision

    def request(self) -> Message:
        roll = self.random.random()
        if roll < 0.25:
            return self.range()
        if roll < 0.55:
            return self.put()
        if roll < 0.65:
            return self.delete()
        if roll < 0.93:
            return self.txn()
        if roll < 0.97:
            return pb.HashKVRequest(revision=self.a_revision() if self.flag(0.6) else 0)
        return self.compaction()


class Ours:
    """What the services would make of a request, without network and log."""

    def __init__(self) -> None:
        self.store = Store(MemoryBackend())
        self.hub = WatchHub(self.store)

    def answer(self, request: Message) -> Message | tuple[int, str]:
        try:
            return self._carry_out(request)
        except RpcError as error:
            return int(error.code), error.message

    def _carry_out(self, request: Message) -> Message:
        store = self.store
        if isinstance(request, pb.RangeRequest):
            operations.check_range(request)
            return operations.range_keys(store, request)
        if isinstance(request, pb.HashKVRequest):
            value = store.hash_kv(request.revision)
            response = pb.HashKVResponse(hash=value.hash, compact_revision=value.compact_revision)
            response.hash_revision = value.hash_revision
            response.header.revision = value.current_revision
            return response
        if isinstance(request, pb.CompactionRequest):
            compacted, job = operations.compact(store, request)
            while not job.step(7):
                pass
            return compacted
        result: Any
        if isinstance(request, pb.PutRequest):
            operations.check_put(request)
            result, events = operations.put(store, request, self.lease_exists)
        elif isinstance(request, pb.DeleteRangeRequest):
            operations.check_delete(request)
            result, events = operations.delete_range(store, request)
        else:
            assert isinstance(request, pb.TxnRequest)
            operations.check_txn(request, MAX_TXN_OPS)
            result, events = operations.txn(store, request, self.lease_exists)
        self.hub.notify(store.current_revision, events)
        assert isinstance(result, Message)
        return result

    @staticmethod
    def lease_exists(lease: int) -> bool:
        return lease in LEASES


def normalized(answer: Message | tuple[int, str]) -> Any:
    """Without what differs between any two clusters."""
    if isinstance(answer, tuple):
        return answer
    plain = type(answer)()
    plain.CopyFrom(answer)
    header: Any = plain.header  # type: ignore[attr-defined]  # every response has one
    header.cluster_id = header.member_id = header.raft_term = 0
    return plain


def run(upstream: Any, generator: Generator, ours: Ours, count: int) -> dict[str, int]:
    for lease in sorted(set(LEASES) - {0}):
        upstream.call("/etcdserverpb.Lease/LeaseGrant", pb.LeaseGrantRequest(ID=lease, TTL=100_000))
    seen: dict[str, int] = {}
    for number in range(count):
        request = generator.request()
        theirs = normalized(upstream.call(PATHS[type(request)], request))
        mine = normalized(ours.answer(request))
        assert mine == theirs, f"request {number}: {request}"
        kind = theirs[1] if isinstance(theirs, tuple) else type(request).__name__
        seen[kind] = seen.get(kind, 0) + 1
        generator.applied(request, ours.store.current_revision)
    return seen


@pytest.mark.parametrize("seed", range(4))
def test_every_answer_is_upstreams(upstream: Any, seed: int) -> None:
    ours = Ours()
    seen = run(upstream, Generator(seed), ours, 2500)
    assert seen["TxnRequest"] > 200  # the requests were not mostly refused
    assert seen["etcdserver: duplicate key given in txn request"] > 5
    assert seen["etcdserver: mvcc: required revision has been compacted"] > 5
    assert seen["HashKVRequest"] > 20


def test_a_restored_store_goes_on_answering_the_same(upstream: Any) -> None:
    generator, ours = Generator(100), Ours()
    run(upstream, generator, ours, 1200)
    copy = MemoryBackend()
    copy.load(ours.store.backend.dump(ours.store.backend.freeze()))
    ours.store = Store(copy)
    ours.hub = WatchHub(ours.store)
    generator.random = Random(101)
    for revision in range(max(ours.store.compact_revision, 1) + 1, ours.store.current_revision):
        # The compaction revision itself is left out: upstream still has the hash its compaction left.
        request = pb.HashKVRequest(revision=revision)
        theirs = normalized(upstream.call(PATHS[pb.HashKVRequest], request))
        assert normalized(ours.answer(request)) == theirs
    for number in range(300):
        request_ = generator.range() if number % 2 else generator.put()
        theirs = normalized(upstream.call(PATHS[type(request_)], request_))
        assert normalized(ours.answer(request_)) == theirs, request_


def watch_upstream(upstream: Any, create: pb.WatchCreateRequest, last: int) -> list[mvccpb.Event]:
    """All events of a watch up to a revision; a put marks the end, so `last` must be one that it sees."""
    requests: queue.Queue[pb.WatchRequest | None] = queue.Queue()
    requests.put(pb.WatchRequest(create_request=create))
    stream = upstream.stream("/etcdserverpb.Watch/Watch", iter(requests.get, None))
    events: list[mvccpb.Event] = []
    for response in stream:
        events.extend(response.events)
        if response.canceled or (events and events[-1].kv.mod_revision >= last):
            break
    requests.put(None)
    stream.cancel()
    return events


def watch_ours(hub: WatchHub, create: pb.WatchCreateRequest) -> list[mvccpb.Event]:
    events: list[mvccpb.Event] = []

    def sink(watcher: Watcher, revision: int, batch: list[mvccpb.Event]) -> bool:
        events.extend(batch)
        return True

    watcher = hub.watch(
        create.key,
        create.range_end,
        create.start_revision,
        sink,
        no_put=pb.WatchCreateRequest.NOPUT in create.filters,
        no_delete=pb.WatchCreateRequest.NODELETE in create.filters,
        prev_kv=create.prev_kv,
    )
    while hub.sync(5):
        pass
    hub.cancel(watcher)
    return events


def watches(compacted: int, last: int) -> Iterator[pb.WatchCreateRequest]:
    every: dict[str, Any] = {"key": b"\x00", "range_end": b"\x00"}
    for start in sorted({compacted, compacted + 1, (compacted + last) // 2, last - 20, last}):
        for prev_kv in (False, True):
            yield pb.WatchCreateRequest(**every, start_revision=start, prev_kv=prev_kv)
    for key, end in ((b"end", b""), (b"b", b"f"), (b"d", b"\x00")):
        yield pb.WatchCreateRequest(key=key, range_end=end, start_revision=compacted, prev_kv=True)
    yield pb.WatchCreateRequest(**every, start_revision=compacted, filters=[pb.WatchCreateRequest.NODELETE])


def test_watches_from_the_past_see_what_upstreams_see(upstream: Any) -> None:
    generator, ours = Generator(7), Ours()
    run(upstream, generator, ours, 800)
    final = pb.PutRequest(key=b"end", value=b"end")
    assert normalized(upstream.call(PATHS[pb.PutRequest], final)) == normalized(ours.answer(final))
    last = ours.store.current_revision
    for create in watches(ours.store.compact_revision, last):
        assert watch_ours(ours.hub, create) == watch_upstream(upstream, create, last), create
