"""The node as a state machine: writes, reads, crashes, snapshots, leases, time-outs, without a socket."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from gauntlet.api import errors
from gauntlet.api.messages import etcdserverpb as pb

MakeWorld = Callable[..., Any]


@pytest.mark.parametrize("count", [1, 3, 5])
def test_a_write_is_read_by_every_member(world: MakeWorld, count: int) -> None:
    cluster = world(count)
    leader = cluster.leader()
    applied = cluster.put(leader, b"k", b"v")
    assert applied.error is None
    assert applied.response.header.revision == 2
    for member in cluster.members.values():
        assert cluster.read(member, b"k") == b"v"


def test_a_follower_forwards(world: MakeWorld) -> None:
    cluster = world(3)
    leader = cluster.leader()
    follower = next(m for m in cluster.members.values() if m is not leader)
    assert cluster.put(follower, b"k", b"v").error is None
    assert cluster.read(leader, b"k") == b"v"


def test_an_acknowledged_write_survives_the_crash_of_all(world: MakeWorld) -> None:
    cluster = world(3)
    leader = cluster.leader()
    for number in range(50):
        cluster.put(leader, b"k%d" % number, b"v%d" % number)
    for member in cluster.members.values():
        cluster.crash(member)
    for member in cluster.members.values():
        cluster.restart(member)
    leader = cluster.leader()
    for number in range(50):
        assert cluster.read(leader, b"k%d" % number) == b"v%d" % number


def test_snapshots_compact_the_log_and_bring_back_a_member_that_lagged(world: MakeWorld) -> None:
    cluster = world(3, snapshot_count=20, catch_up_entries=5)
    leader = cluster.leader()
    laggard = next(m for m in cluster.members.values() if m is not leader)
    cluster.crash(laggard)
    for number in range(100):
        cluster.put(leader, b"k%d" % (number % 7), b"v%d" % number)
    assert leader.snapshot is not None
    assert leader.log[0].index > 20
    cluster.restart(laggard)
    cluster.tick(30)
    assert laggard.snapshot is not None
    assert laggard.snapshot.index > 20
    assert cluster.read(laggard, b"k0") == b"v98"
    hashes = {m.node.machine.store.hash_kv(0).hash for m in cluster.members.values()}
    assert len(hashes) == 1
    assert set(laggard.peers.known) == {m.id for m in cluster.members.values()} - {laggard.id}


def test_a_member_restarts_from_its_snapshot(world: MakeWorld) -> None:
    cluster = world(1, snapshot_count=10, catch_up_entries=2)
    member = cluster.leader()
    cluster.ask(member, lease_grant=pb.LeaseGrantRequest(ID=5, TTL=60))
    for number in range(35):
        cluster.put(member, b"k", b"v%d" % number)
    cluster.ask(member, put=pb.PutRequest(key=b"leased", value=b"x", lease=5))
    before = member.node.machine.store.current_revision
    cluster.crash(member)
    cluster.restart(member)
    assert cluster.leader() is member
    assert member.node.machine.store.current_revision == before
    assert cluster.read(member, b"k") == b"v34"
    assert member.node.machine.lessor.lookup(5).keys == {b"leased"}


def test_a_cluster_restarts_from_snapshots_and_its_members_know_each_other(world: MakeWorld) -> None:
    cluster = world(3, snapshot_count=10, catch_up_entries=2)
    leader = cluster.leader()
    for number in range(30):
        cluster.put(leader, b"k", b"v%d" % number)
    for member in cluster.members.values():
        cluster.crash(member)
    for member in cluster.members.values():
        assert member.snapshot is not None
        cluster.restart(member)
        assert set(member.peers.known) == set(cluster.members) - {member.id}
    assert cluster.read(cluster.leader(), b"k") == b"v29"


def test_without_a_quorum_nothing_is_answered_and_the_reason_is_indefinite(world: MakeWorld) -> None:
    cluster = world(3)
    leader = cluster.leader()
    for member in cluster.members.values():
        if member is not leader:
            cluster.crash(member)
    applied = cluster.put(leader, b"k", b"v")
    assert applied.error in (errors.TIMEOUT, errors.TIMEOUT_DUE_TO_LEADER_FAIL)
    assert not applied.error.definite
    results: list[Any] = []
    leader.node.read(results.append)
    cluster.tick(100)
    assert results == [errors.TIMEOUT]


def test_a_deposed_leader_does_not_serve_a_stale_read(world: MakeWorld) -> None:
    cluster = world(3)
    old = cluster.leader()
    cluster.put(old, b"k", b"old")
    cluster.crash(old)
    new = cluster.leader()
    cluster.put(new, b"k", b"new")
    cluster.down = {member.id for member in cluster.members.values() if member is not old}
    results: list[Any] = []
    old.node.read(results.append)
    cluster.settle()
    assert results == []
    cluster.tick(80)
    assert results == [errors.TIMEOUT]


def test_leases_expire_by_the_leader_and_take_their_keys(world: MakeWorld) -> None:
    cluster = world(3)
    leader = cluster.leader()
    cluster.ask(leader, lease_grant=pb.LeaseGrantRequest(ID=9, TTL=5))
    cluster.ask(leader, put=pb.PutRequest(key=b"k", value=b"v", lease=9))
    cluster.tick(45)
    assert cluster.read(leader, b"k") == b"v"
    assert leader.node.machine.lessor.renew(9, cluster.now) == 5
    cluster.tick(45)
    assert cluster.read(leader, b"k") == b"v"
    cluster.tick(10)
    for member in cluster.members.values():
        assert cluster.read(member, b"k") is None
        assert member.node.machine.lessor.lookup(9) is None


def test_a_new_leader_gives_every_lease_its_time_again(world: MakeWorld) -> None:
    cluster = world(3)
    leader = cluster.leader()
    cluster.ask(leader, lease_grant=pb.LeaseGrantRequest(ID=9, TTL=5))
    cluster.tick(40)
    cluster.crash(leader)
    successor = cluster.leader()
    cluster.tick(30)
    assert successor.node.machine.lessor.lookup(9) is not None
    cluster.tick(40)
    assert successor.node.machine.lessor.lookup(9) is None


def test_leadership_is_handed_over(world: MakeWorld) -> None:
    cluster = world(3)
    leader = cluster.leader()
    target = next(m for m in cluster.members.values() if m is not leader)
    results: list[Any] = []
    leader.node.transfer_leadership(target.id, results.append)
    cluster.settle()
    cluster.tick(5)
    assert results == [None]
    assert cluster.leader() is target


def test_requests_that_cannot_be_taken_are_refused_at_once(world: MakeWorld) -> None:
    cluster = world(1, max_request_bytes=1000)
    member = cluster.leader()
    refused = cluster.put(member, b"k", b"x" * 2000)
    assert refused.error is errors.REQUEST_TOO_LARGE
    assert cluster.ask(member, compaction=pb.CompactionRequest(revision=99)).error == errors.FUTURE_REV
    member.node.stop()
    assert cluster.put(member, b"k", b"v").error is errors.STOPPED


def test_watchers_see_each_revision_once_and_in_order(world: MakeWorld) -> None:
    cluster = world(3)
    leader = cluster.leader()
    follower = next(m for m in cluster.members.values() if m is not leader)
    seen: list[tuple[int, int]] = []

    def sink(watcher: Any, revision: int, events: Any) -> bool:
        seen.append((revision, len(events)))
        return True

    follower.node.machine.watches.watch(b"a", b"z", 0, sink)
    for number in range(5):
        cluster.put(leader, b"k%d" % number, b"v")
    put = [pb.RequestOp(request_put=pb.PutRequest(key=key, value=b"")) for key in (b"b", b"c")]
    cluster.ask(leader, txn=pb.TxnRequest(success=put))
    cluster.tick(2)
    assert seen == [(2, 1), (3, 1), (4, 1), (5, 1), (6, 1), (7, 2)]
