"""Refusals and time-outs of the node that a healthy cluster never shows, each with its exact error."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from gauntlet.api import errors
from gauntlet.api.errors import Code
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.wire.types import Context
from gauntlet.reference.services.downgrade import DowngradeService
from gauntlet.reference.services.guard import Guard

MakeWorld = Callable[..., Any]


def proposed(member: Any) -> list[Any]:
    """Where the answer to a put will be."""
    answers: list[Any] = []
    member.node.propose(pb.InternalRaftRequest(put=pb.PutRequest(key=b"k")), answers.append)
    return answers


def answered(cluster: Any, answers: list[Any]) -> Any:
    for _ in range(200):
        if answers:
            return answers[0].error
        cluster.tick()
    raise AssertionError("no answer")


def a_follower(cluster: Any) -> Any:
    leader = cluster.leader()
    return next(member for member in cluster.members.values() if member is not leader)


def lose_proposals(cluster: Any) -> None:
    """What followers pass on to the leader is lost on its way; everything else arrives."""
    post = cluster.post
    cluster.post = lambda messages: post(m for m in messages if m.type.name != "PROP")


def test_a_proposal_that_was_lost_times_out(world: MakeWorld) -> None:
    cluster = world(3)
    follower = a_follower(cluster)
    cluster.tick(50)  # the election is long over
    lose_proposals(cluster)
    assert answered(cluster, proposed(follower)) == errors.TIMEOUT


def test_a_proposal_to_a_leader_that_was_dialed_since_blames_the_connection(world: MakeWorld) -> None:
    cluster = world(3)
    follower = a_follower(cluster)
    cluster.tick(50)
    lose_proposals(cluster)
    follower.peers.connected_since = lambda _member: math.inf
    assert answered(cluster, proposed(follower)) == errors.TIMEOUT_DUE_TO_CONNECTION_LOST


def test_a_proposal_before_an_election_blames_the_old_leader(world: MakeWorld) -> None:
    cluster = world(3)
    leader = cluster.leader()
    follower = a_follower(cluster)
    cluster.tick(50)
    cluster.crash(leader)
    lose_proposals(cluster)
    assert answered(cluster, proposed(follower)) == errors.TIMEOUT_DUE_TO_LEADER_FAIL


def test_a_member_far_behind_its_commits_takes_no_more(
    world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """etcd gives this text no code, so clients see it as Unknown."""
    cluster = world(1)
    leader = cluster.leader()
    assert cluster.put(leader, b"k", b"v").error is None
    monkeypatch.setattr("gauntlet.reference.node.MAX_APPLY_GAP", -1)
    error = answered(cluster, proposed(leader))
    assert (error.code, error.message) == (Code.UNKNOWN, errors.REQUEST_TOO_MANY_REQUESTS.message)
    assert error.definite


def test_a_downgrade_before_the_cluster_has_a_version(world: MakeWorld) -> None:
    """A real leader decides on the version within a moment; here nobody does."""
    node = world(1).leader().node
    assert node.machine.cluster.version is None
    answers: list[Any] = []
    request = pb.DowngradeRequest(action=pb.DowngradeRequest.VALIDATE, version="3.6.0")
    DowngradeService(node, Guard(node)).downgrade(Context(), request, answers.append)
    assert answers == [errors.CLUSTER_VERSION_UNAVAILABLE]
