"""Locks and elections on a simulated cluster, and the checks that every call passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from gauntlet.api import errors
from gauntlet.api.errors import RpcError
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.messages import v3electionpb, v3lockpb
from gauntlet.api.wire.types import Context
from gauntlet.reference.services.base import Quota, checked_stream, leader_checked
from gauntlet.reference.services.election import ElectionService
from gauntlet.reference.services.guard import Guard
from gauntlet.reference.services.kv import KvService
from gauntlet.reference.services.lease import LeaseService
from gauntlet.reference.services.lock import SESSION_EXPIRED, LockService
from gauntlet.reference.services.recipes import prefix_end

MakeWorld = Callable[..., Any]


class FakeStream:
    """The server's end of a stream: keeps what is sent."""

    def __init__(self, **metadata: str) -> None:
        self.context = Context(metadata)
        self.backlog = 0
        self.sent: list[Any] = []
        self.finished: list[RpcError | None] = []
        self.drained: Callable[[], None] = lambda: None

    def send(self, message: Any) -> None:
        self.sent.append(message)

    def finish(self, error: RpcError | None = None) -> None:
        self.finished.append(error)

    def on_drain(self, callback: Callable[[], None]) -> None:
        self.drained = callback


class Served:
    """A single member and its services."""

    def __init__(self, cluster: Any) -> None:
        self.cluster = cluster
        self.node = cluster.leader().node
        guard = Guard(self.node)
        quota = Quota(self.node, 1 << 30)
        self.kv = KvService(self.node, guard, quota, 128)
        leases = LeaseService(self.node, guard, quota, None)  # type: ignore[arg-type]  # one member leads
        self.locks = LockService(self.kv, leases)
        self.elections = ElectionService(self.kv, leases)

    def settle(self) -> None:
        for _ in range(3):
            self.cluster.settle()
            self.node.sync_watches()
        self.cluster.settle()

    def start(self, handler: Any, request: Any) -> tuple[Context, list[Any]]:
        answers: list[Any] = []
        context = Context()
        handler(context, request, answers.append)
        self.settle()
        return context, answers

    def ask(self, handler: Any, request: Any) -> Any:
        _, answers = self.start(handler, request)
        assert len(answers) == 1
        return answers[0]

    def lease(self, number: int) -> None:
        granted = self.cluster.ask(
            self.cluster.leader(), lease_grant=pb.LeaseGrantRequest(ID=number, TTL=600)
        )
        assert granted.error is None

    def keys(self, prefix: bytes) -> list[bytes]:
        return [kv.key for kv in self.node.machine.store.range(prefix, prefix_end(prefix)).kvs]

    def watchers(self) -> int:
        return len(self.node.machine.watches)


@pytest.fixture
def served(world: MakeWorld) -> Served:
    return Served(world(1))


def test_locks_pass_on_in_the_order_of_asking(served: Served) -> None:
    waiting = []
    for lease in (1, 2, 3):
        served.lease(lease)
        waiting.append(served.start(served.locks.lock, v3lockpb.LockRequest(name=b"n", lease=lease))[1])
    assert [len(answers) for answers in waiting] == [1, 0, 0]
    for turn in range(3):
        assert waiting[turn][0].key == b"n/%x" % (turn + 1)
        served.ask(served.locks.unlock, v3lockpb.UnlockRequest(key=waiting[turn][0].key))
        assert [len(answers) for answers in waiting] == [1, min(turn + 1, 1), 1 if turn > 0 else 0]
    assert served.keys(b"n/") == []
    assert served.watchers() == 0


def test_a_cancelled_wait_leaves_nothing_behind(served: Served) -> None:
    for lease in (1, 2, 3):
        served.lease(lease)
    served.ask(served.locks.lock, v3lockpb.LockRequest(name=b"n", lease=1))
    context, second = served.start(served.locks.lock, v3lockpb.LockRequest(name=b"n", lease=2))
    _, third = served.start(served.locks.lock, v3lockpb.LockRequest(name=b"n", lease=3))
    context.cancel()
    served.settle()
    assert served.keys(b"n/") == [b"n/1", b"n/3"]
    assert (second, third) == ([], [])
    served.ask(served.locks.unlock, v3lockpb.UnlockRequest(key=b"n/1"))
    assert third[0].key == b"n/3"
    assert served.watchers() == 0


def test_a_lock_whose_lease_ran_out_while_waiting_is_not_given(served: Served) -> None:
    for lease in (1, 2):
        served.lease(lease)
    served.ask(served.locks.lock, v3lockpb.LockRequest(name=b"n", lease=1))
    _, second = served.start(served.locks.lock, v3lockpb.LockRequest(name=b"n", lease=2))
    served.cluster.ask(served.cluster.leader(), lease_revoke=pb.LeaseRevokeRequest(ID=2))
    served.settle()
    assert second == []
    served.ask(served.locks.unlock, v3lockpb.UnlockRequest(key=b"n/1"))
    assert second == [SESSION_EXPIRED]


def test_an_observer_hears_of_every_leader_and_every_word(served: Served) -> None:
    for lease in (1, 2):
        served.lease(lease)
    stream = FakeStream()
    observer = served.elections.observe(stream)
    observer.on_message(v3electionpb.LeaderRequest(name=b"e"))
    served.settle()
    campaign = v3electionpb.CampaignRequest
    first = served.ask(served.elections.campaign, campaign(name=b"e", lease=1, value=b"a"))
    _, second = served.start(served.elections.campaign, campaign(name=b"e", lease=2, value=b"b"))
    served.ask(served.elections.proclaim, v3electionpb.ProclaimRequest(leader=first.leader, value=b"c"))
    assert second == []
    served.ask(served.elections.resign, v3electionpb.ResignRequest(leader=first.leader))
    assert second[0].leader.key == b"e/2"
    assert [response.kv.value for response in stream.sent] == [b"a", b"c", b"b"]
    observer.on_cancel()
    assert served.watchers() == 0


def test_an_observer_that_reads_slowly_misses_nothing(served: Served) -> None:
    served.lease(1)
    first = served.ask(
        served.elections.campaign, v3electionpb.CampaignRequest(name=b"e", lease=1, value=b"0")
    )
    stream = FakeStream()
    observer = served.elections.observe(stream)
    observer.on_message(v3electionpb.LeaderRequest(name=b"e"))
    served.settle()
    stream.backlog = 1 << 30
    for value in (b"1", b"2"):
        served.ask(served.elections.proclaim, v3electionpb.ProclaimRequest(leader=first.leader, value=value))
    assert [response.kv.value for response in stream.sent] == [b"0"]
    stream.backlog = 0
    served.settle()
    assert [response.kv.value for response in stream.sent] == [b"0", b"1", b"2"]


def test_a_cancelled_candidate_withdraws(served: Served) -> None:
    for lease in (1, 2):
        served.lease(lease)
    served.ask(served.elections.campaign, v3electionpb.CampaignRequest(name=b"e", lease=1))
    context, answers = served.start(
        served.elections.campaign, v3electionpb.CampaignRequest(name=b"e", lease=2)
    )
    assert served.keys(b"e/") == [b"e/1", b"e/2"]
    context.cancel()
    served.settle()
    assert served.keys(b"e/") == [b"e/1"]
    assert answers == []


@pytest.mark.parametrize(
    ("prefix", "end"), [(b"a", b"b"), (b"a\xff", b"b"), (b"\xff\xff", b"\x00"), (b"n/", b"n0")]
)
def test_the_end_of_a_prefix(prefix: bytes, end: bytes) -> None:
    assert prefix_end(prefix) == end


def test_what_every_call_passes_first(served: Served) -> None:
    node = served.node
    handler = leader_checked(node, lambda context, request, reply: reply(pb.PutResponse()))

    def answer(request: Any, **metadata: str) -> Any:
        answers: list[Any] = []
        handler(Context(metadata), request, answers.append)
        return answers[0]

    put, version = pb.PutRequest(key=b"k"), "client-api-version"
    assert answer(put) == pb.PutResponse()
    assert answer(put, **{version: "3.7"}) == pb.PutResponse()
    assert answer(put, **{version: "\u00e9"}) == pb.PutResponse()
    assert answer(put, **{version: "3\udcff"}) == errors.INVALID_CLIENT_API_VERSION
    assert answer(put, hasleader="true") == pb.PutResponse()
    node.leadership.leader = 0
    assert answer(put, hasleader="true") == errors.NO_LEADER
    node.learner = True
    assert answer(put) == errors.NOT_SUPPORTED_FOR_LEARNER
    assert answer(pb.RangeRequest(key=b"k")) == errors.NOT_SUPPORTED_FOR_LEARNER
    assert answer(pb.RangeRequest(key=b"k", serializable=True)) == pb.PutResponse()
    assert answer(pb.StatusRequest()) == pb.PutResponse()


def test_what_every_stream_passes_first(served: Served) -> None:
    opened: list[Any] = []

    def handler(stream: Any) -> Any:
        opened.append(stream)
        return stream

    plain, for_all = checked_stream(served.node, handler), checked_stream(served.node, handler, learners=True)
    good, garbled = FakeStream(), FakeStream(**{"client-api-version": "\udc80"})
    plain(good)
    plain(garbled)
    assert (opened, garbled.finished) == ([good], [errors.INVALID_CLIENT_API_VERSION])
    served.node.learner = True
    refused, allowed = FakeStream(), FakeStream()
    plain(refused)
    for_all(allowed)
    assert refused.finished == [errors.NOT_SUPPORTED_FOR_LEARNER]
    assert opened == [good, allowed]
