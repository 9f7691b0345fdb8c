"""RangeStream against a store of our own: chunks, pinned revision, pacing, refusals."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from gauntlet.api import errors
from gauntlet.api.errors import Code, RpcError
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.wire.types import Context
from gauntlet.reference.apply import StateMachine
from gauntlet.reference.backend import MemoryBackend
from gauntlet.reference.services.base import Service
from gauntlet.reference.services.guard import Guard
from gauntlet.reference.services.range_stream import BACKLOG, RangeStream, next_chunk


class SlowStream:
    """A client that takes what was sent only when told to."""

    def __init__(self, **metadata: str) -> None:
        self.context = Context(metadata)
        self.sent: list[pb.RangeResponse] = []
        self.backlog = 0
        self.finished = False
        self.error: RpcError | None = None
        self._drained: Callable[[], None] = lambda: None

    def send(self, message: Any) -> None:
        assert not self.finished
        self.sent.append(message.range_response)
        self.backlog += message.ByteSize()

    def finish(self, error: RpcError | None = None) -> None:
        assert not self.finished
        self.finished = True
        self.error = error

    def on_drain(self, callback: Callable[[], None]) -> None:
        self._drained = callback

    def drain(self) -> None:
        self.backlog = 0
        self._drained()


class OneNode:
    """What the stream needs of a node: a state machine, and reads that wait until they are released."""

    def __init__(self) -> None:
        self.machine = StateMachine(MemoryBackend(), cluster_id=7, min_lease_ttl=2, quota_bytes=1 << 30)
        self.config = SimpleNamespace(cluster_id=7, member_id=8, max_request_bytes=1000)
        self.term = 9
        self.leader = 8
        self.on_leader_loss: list[Callable[[], None]] = []
        self.reads: list[Callable[[RpcError | None], None]] = []

    def read(self, release: Callable[[RpcError | None], None]) -> None:
        self.reads.append(release)

    def put(self, count: int, size: int = 0, prefix: str = "k") -> None:
        for number in range(count):
            change = self.machine.store.write()
            change.put(f"{prefix}{number:04d}".encode(), b"v" * size)
            change.end()


@pytest.fixture
def node() -> OneNode:
    return OneNode()


def ask(node: Any, stream: SlowStream, chunk_bytes: int = 1000, **fields: Any) -> RangeStream:
    receiver = RangeStream(Service(node, Guard(node)), stream, chunk_bytes)
    receiver.on_message(pb.RangeRequest(**{"key": b"k", "range_end": b"l", "serializable": True, **fields}))
    return receiver


def keys(stream: SlowStream) -> list[str]:
    return [kv.key.decode() for response in stream.sent for kv in response.kvs]


def test_chunks_grow_until_they_are_about_the_size_aimed_at(node: OneNode) -> None:
    node.put(300, 20)
    stream = SlowStream()
    ask(node, stream)
    assert stream.finished
    assert stream.error is None
    assert [len(response.kvs) for response in stream.sent][:4] == [10, 20, 20, 20]
    assert keys(stream) == [f"k{number:04d}" for number in range(300)]


def test_only_the_last_message_has_header_and_count(node: OneNode) -> None:
    node.put(25)
    stream = SlowStream()
    ask(node, stream)
    first, last = stream.sent
    assert not first.HasField("header")
    assert (first.count, first.more) == (0, False)
    assert last.header == pb.ResponseHeader(cluster_id=7, member_id=8, revision=26, raft_term=9)
    assert (last.count, last.more) == (25, False)


@pytest.mark.parametrize(
    ("limit", "sizes"), [(5, [5]), (10, [10]), (12, [10, 2]), (25, [10, 15]), (-3, [25])]
)
def test_limits(node: OneNode, limit: int, sizes: list[int]) -> None:
    node.put(25)
    stream = SlowStream()
    ask(node, stream, limit=limit)
    assert [len(response.kvs) for response in stream.sent] == sizes
    assert stream.sent[-1].count == 25
    assert stream.sent[-1].more is (0 < limit < 25)


def test_all_chunks_show_the_revision_of_the_first(node: OneNode) -> None:
    node.put(100, 100_000)
    stream = SlowStream()
    ask(node, stream)
    assert not stream.finished
    assert 0 < stream.backlog < BACKLOG + 1_500_000
    sent = len(stream.sent)
    change = node.machine.store.write()
    change.delete_range(b"k0050", b"l")
    change.put(b"k0020a", b"new")
    change.end()
    stream.drain()
    assert sent < len(stream.sent)
    while not stream.finished:
        stream.drain()
    assert keys(stream) == [f"k{number:04d}" for number in range(100)]
    assert stream.sent[-1].header.revision == 101


def test_compaction_of_the_revision_ends_the_stream(node: OneNode) -> None:
    node.put(100, 100_000)
    stream = SlowStream()
    ask(node, stream)
    node.put(1, prefix="other")
    node.machine.store.compact(102)
    stream.drain()
    assert stream.error == errors.COMPACTED


def test_nothing_is_sent_after_a_cancel(node: OneNode) -> None:
    node.put(100, 100_000)
    stream = SlowStream(hasleader="true")
    receiver = ask(node, stream)
    assert node.on_leader_loss
    sent = len(stream.sent)
    receiver.on_cancel()
    stream.drain()
    assert len(stream.sent) == sent
    assert not node.on_leader_loss


def test_count_only(node: OneNode) -> None:
    node.put(25)
    stream = SlowStream()
    ask(node, stream, count_only=True, limit=3)
    (only,) = stream.sent
    assert (only.count, only.more, len(only.kvs)) == (25, False, 0)
    assert only.header.revision == 26


def test_keys_only(node: OneNode) -> None:
    node.put(3, 10)
    stream = SlowStream()
    ask(node, stream, keys_only=True)
    assert [kv.value for kv in stream.sent[0].kvs] == [b""] * 3
    assert [kv.mod_revision for kv in stream.sent[0].kvs] == [2, 3, 4]


def test_linearizable_reads_wait(node: OneNode) -> None:
    node.put(3)
    stream, failing = SlowStream(), SlowStream()
    ask(node, stream, serializable=False)
    ask(node, failing, serializable=False)
    assert stream.sent == []
    node.put(1, prefix="kz")
    node.reads[0](None)
    node.reads[1](errors.TIMEOUT)
    assert keys(stream) == ["k0000", "k0001", "k0002", "kz0000"]
    assert failing.error == errors.TIMEOUT


def test_leader_required(node: OneNode) -> None:
    node.leader = 0
    with pytest.raises(RpcError, match="no leader"):
        ask(node, SlowStream(hasleader="true"))
    node.leader = 8
    node.put(100, 100_000)
    stream = SlowStream(hasleader="true")
    ask(node, stream)
    (lost,) = node.on_leader_loss
    lost()
    assert stream.error == errors.NO_LEADER
    assert not node.on_leader_loss


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"key": b""}, Code.INVALID_ARGUMENT),
        ({"sort_order": 3}, Code.INVALID_ARGUMENT),
        ({"sort_target": 5}, Code.INVALID_ARGUMENT),
        ({"sort_order": pb.RangeRequest.DESCEND}, Code.UNIMPLEMENTED),
        ({"sort_order": pb.RangeRequest.ASCEND, "sort_target": pb.RangeRequest.MOD}, Code.UNIMPLEMENTED),
        ({"min_mod_revision": 1}, Code.UNIMPLEMENTED),
        ({"max_create_revision": 1}, Code.UNIMPLEMENTED),
        ({"revision": 100}, Code.OUT_OF_RANGE),
    ],
)
def test_refusals(node: OneNode, fields: dict[str, Any], code: Code) -> None:
    node.put(3)
    stream = SlowStream()
    ask(node, stream, **fields)
    assert stream.sent == []
    assert stream.error is not None
    assert stream.error.code == code


@pytest.mark.parametrize(
    ("pairs", "size", "after"), [(10, 499, 20), (10, 500, 10), (10, 2000, 10), (10, 2001, 5), (1, 9999, 1)]
)
def test_next_chunk(pairs: int, size: int, after: int) -> None:
    assert next_chunk(pairs, size, 1000) == after
