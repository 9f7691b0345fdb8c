"""Leases across changes of the leader, with and without the feature gates that are about them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from gauntlet.api import errors
from gauntlet.api.errors import RpcError
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.messages import leasepb, membershippb
from gauntlet.reference import node as node_module
from gauntlet.reference.apply import Applied
from gauntlet.reference.services.base import Quota
from gauntlet.reference.services.guard import Guard
from gauntlet.reference.services.lease import LeaseService

MakeWorld = Callable[..., Any]
TTL = 1000
INTERVAL = 300  # seconds between checkpoints
ELECTION = 1.0  # seconds that a new leader adds
CHECKPOINTS = {"lease_checkpoints": True}
PERSISTENT = {"lease_checkpoints": True, "persist_checkpoints": True}


class Elsewhere:
    """The leader, as a follower reaches it: nobody here asks it."""

    def renew(self, lease_id: int, then: Callable[[int | RpcError], None]) -> None:
        raise AssertionError("renewed elsewhere")

    def time_to_live(self, request: pb.LeaseTimeToLiveRequest, then: Callable[[Any], None]) -> None:
        raise AssertionError("looked up elsewhere")


def renew(cluster: Any, member: Any, lease_id: int) -> int | RpcError:
    answers: list[int | RpcError] = []
    guard = Guard(member.node)
    LeaseService(member.node, guard, Quota(member.node, 1 << 30), Elsewhere()).local_renew(
        lease_id, answers.append
    )
    cluster.settle()
    assert len(answers) == 1
    return answers[0]


def grant(cluster: Any, **machine: Any) -> Any:
    """A leader with a lease of TTL seconds."""
    leader = cluster.leader()
    cluster.tick(2)
    request = pb.LeaseGrantRequest(ID=7, TTL=TTL)
    assert cluster.ask(leader, lease_grant=request).error is None
    return leader


def left(cluster: Any, member: Any) -> float:
    return float(member.node.machine.lessor.remaining(7, cluster.now))


def pass_time(cluster: Any, seconds: float) -> None:
    """Lets time go by in one step, with a few heartbeats before and after: nobody loses the leader."""
    cluster.now += seconds
    for _ in range(2):
        for member in cluster.members.values():
            member.node.tick()
            # Everybody has stood still together: the leader is only believed to have stalled.
            cluster.settle()
    cluster.tick(3)


def depose(cluster: Any, leader: Any) -> Any:
    """Somebody else leads."""
    cluster.crash(leader)
    successor = cluster.leader()
    cluster.tick(1)
    assert successor is not leader
    return successor


def test_without_checkpoints_a_new_leader_gives_the_whole_ttl(world: MakeWorld) -> None:
    cluster = world(3)
    leader = grant(cluster)
    pass_time(cluster, INTERVAL + 1)
    assert left(cluster, leader) == pytest.approx(TTL - INTERVAL, abs=10)
    assert left(cluster, depose(cluster, leader)) == pytest.approx(TTL + ELECTION, abs=5)


def test_with_checkpoints_a_new_leader_goes_on_where_the_old_one_was(world: MakeWorld) -> None:
    cluster = world(3, machine=CHECKPOINTS)
    leader = grant(cluster)
    pass_time(cluster, INTERVAL + 1)
    for member in cluster.members.values():
        assert member.node.machine.lessor.lookup(7).checkpoint == pytest.approx(TTL - INTERVAL, abs=10)
    successor = depose(cluster, leader)
    assert left(cluster, successor) == pytest.approx(TTL - INTERVAL + ELECTION, abs=10)
    # Renewing gives the whole TTL again, here and, because the remainder is cleared in the log, everywhere.
    assert renew(cluster, successor, 7) == TTL
    cluster.tick(2)
    assert left(cluster, successor) == pytest.approx(TTL, abs=5)
    assert {
        m.node.machine.lessor.lookup(7).checkpoint for m in cluster.members.values() if m is not leader
    } == {0}
    cluster.restart(leader)
    cluster.tick(20)
    assert left(cluster, depose(cluster, successor)) == pytest.approx(TTL + ELECTION, abs=5)


def stored_remainder(member: Any) -> int:
    backend = member.node.machine.backend
    return int(leasepb.Lease.FromString(backend.get("lease", (7).to_bytes(8, "big"))).RemainingTTL)


@pytest.mark.parametrize(
    ("version", "machine", "stored"),
    [
        ("3.5.0", CHECKPOINTS, False),
        ("3.5.0", PERSISTENT, True),
        ("3.6.0", CHECKPOINTS, True),
        (None, CHECKPOINTS, False),
    ],
)
def test_what_is_stored_of_a_checkpoint(
    world: MakeWorld, version: str | None, machine: dict[str, bool], stored: bool
) -> None:
    cluster = world(3, machine=machine)
    leader = grant(cluster)
    if version is not None:
        request = membershippb.ClusterVersionSetRequest(ver=version)
        assert cluster.ask(leader, cluster_version_set=request).error is None
    pass_time(cluster, INTERVAL + 1)
    for member in cluster.members.values():
        assert member.node.machine.lessor.lookup(7).checkpoint > 0
        assert (stored_remainder(member) > 0) == stored


def test_keep_alive_waits_for_what_is_committed_unless_it_is_fast(world: MakeWorld) -> None:
    for fast in (True, False):
        cluster = world(1, fast_keep_alive=fast)
        leader = grant(cluster)
        node = leader.node
        answers: list[Any] = []
        service = LeaseService(node, Guard(node), Quota(node, 1 << 30), Elsewhere())
        node.commit_index += 1  # something is committed that is not applied yet
        service.local_renew(7, answers.append)
        assert answers == ([TTL] if fast else [])
        service.local_renew(8, answers.append)  # it may be in what is not applied yet
        assert len(answers) == fast
        assert cluster.put(leader, b"k", b"v").error is None
        assert answers[-2:] == [TTL, errors.LEASE_NOT_FOUND]


def test_revoking_has_priority_where_the_gate_says_so(
    world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_module, "MAX_APPLY_GAP", 5)
    monkeypatch.setattr(node_module, "MAX_PRIORITY_GAP", 10)
    for priority in (False, True):
        cluster = world(1, priority_requests=priority)
        node = grant(cluster).node
        refused: dict[tuple[str, int], bool] = {}
        for gap in (6, 11):
            node.commit_index = node.machine.applied_index + gap
            for name, request in (
                ("put", pb.InternalRaftRequest(put=pb.PutRequest(key=b"k"))),
                ("revoke", pb.InternalRaftRequest(lease_revoke=pb.LeaseRevokeRequest(ID=99))),
            ):
                answers: list[Applied] = []
                node.propose(request, answers.append)
                refused[name, gap] = bool(answers) and answers[0].error == node_module.TOO_MANY_REQUESTS
        assert refused == {
            ("put", 6): True,
            ("revoke", 6): not priority,
            ("put", 11): True,
            ("revoke", 11): True,
        }
