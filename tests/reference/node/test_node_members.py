"""Configuration changes on a simulated cluster, and what the cluster service has against them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from gauntlet.api import errors
from gauntlet.api.errors import RpcError
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.messages import membershippb
from gauntlet.api.wire.types import Context
from gauntlet.reference import membership
from gauntlet.reference.membership import Member
from gauntlet.reference.raft.types import ConfChangeSingle, ConfChangeType, ConfChangeV2
from gauntlet.reference.services.cluster import NOT_ENOUGH_STARTED, ClusterService
from gauntlet.reference.services.guard import Guard

MakeWorld = Callable[..., Any]
PEER = "http://127.0.0.1:3001"


class Elsewhere:
    """The leader, as a follower reaches it: remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, str | None]] = []

    def promote(
        self, member_id: int, token: str | None, then: Callable[[Sequence[Member] | RpcError], None]
    ) -> None:
        self.asked.append((member_id, token))
        then(errors.LEARNER_NOT_READY)


def service(node: Any, strict: bool = True, wall: float = 1e9) -> ClusterService:
    return ClusterService(node, Guard(node), Elsewhere(), strict, lambda: wall)


def name_all(world: Any) -> None:
    """Lets every member announce itself, as starting does."""
    for member in world.members.values():
        attributes = membershippb.Attributes(name=f"n{member.id}", client_urls=["http://127.0.0.1:1"])
        request = membershippb.ClusterMemberAttrSetRequest(member_ID=member.id, member_attributes=attributes)
        assert world.ask(world.leader(), cluster_member_attr_set=request).error is None


def call(world: Any, handler: Any, request: Any, ticks: int = 0) -> Any:
    answers: list[Any] = []
    handler(Context(), request, answers.append)
    world.settle()
    if ticks:
        world.tick(ticks)
    assert len(answers) == 1
    return answers[0]


def test_changes_one_after_the_other_are_all_taken(world: MakeWorld) -> None:
    cluster = world(3)
    node = cluster.leader().node
    gone = next(member for member in cluster.members if member != node.config.member_id)
    results: list[Any] = []

    def next_change(result: Any) -> None:
        # Asked the moment the one before is answered: raft must be past that already.
        results.append(result)
        if len(results) == 1:
            node.propose_conf_change(membership.update_change(node.config.member_id, [PEER]), next_change)
        elif len(results) == 2:
            node.propose_conf_change(membership.remove_change(gone), next_change)

    learner = Member(900, ["http://127.0.0.1:3002"], is_learner=True)
    node.propose_conf_change(membership.add_change(learner), next_change)
    cluster.settle()
    assert [result.error for result in results] == [None, None, None]
    assert [member.id for member in results[2].response] == sorted({*cluster.members, 900} - {gone})
    assert node.peers.known.keys() == {900, *cluster.members} - {gone, node.config.member_id}


def test_a_change_waits_for_a_leader(world: MakeWorld) -> None:
    cluster = world(3)
    member = next(iter(cluster.members.values()))
    results: list[Any] = []
    change = membership.add_change(Member(900, [PEER], is_learner=True))
    member.node.propose_conf_change(change, results.append)
    cluster.settle()
    assert results == []
    cluster.leader()
    cluster.tick(5)
    assert [result.error for result in results] == [None]


def test_a_change_waits_as_long_as_its_caller_does(world: MakeWorld) -> None:
    """There is no time-out of the member's own."""
    cluster = world(3)
    first, second, third = cluster.members.values()
    cluster.crash(second)
    cluster.crash(third)
    patient, hasty = Context(), Context()
    answers: list[Any] = []
    adds = service(first.node, strict=False)
    adds.member_add(patient, pb.MemberAddRequest(peerURLs=[PEER]), answers.append)
    adds.member_add(hasty, pb.MemberAddRequest(peerURLs=["http://127.0.0.1:3009"]), answers.append)
    cluster.tick(300)
    assert answers == []
    hasty.cancel()
    cluster.restart(second)
    cluster.restart(third)
    cluster.leader()
    cluster.tick(30)
    assert [type(answer) for answer in answers] == [pb.MemberAddResponse]
    assert len(first.node.machine.cluster.members()) == 4
    assert first.node.pending == 0


def test_a_change_that_nobody_waits_for_any_more_is_not_proposed(world: MakeWorld) -> None:
    cluster = world(3)
    first, second, third = cluster.members.values()
    cluster.crash(second)
    cluster.crash(third)
    results: list[Any] = []
    give_up = first.node.propose_conf_change(membership.add_change(Member(900, [PEER])), results.append)
    cluster.tick(80)
    give_up()
    cluster.restart(second)
    cluster.restart(third)
    cluster.leader()
    cluster.tick(20)
    assert first.node.machine.cluster.member(900) is None
    assert results == []


def conf(member: Any) -> tuple[list[int], list[int], list[int]]:
    state = member.node.machine.conf_state
    return sorted(state.voters), sorted(state.learners), sorted(state.voters_outgoing)


def test_joint_consensus(world: MakeWorld) -> None:
    """Two voters leave and a learner comes in one change: through a joint configuration, and out of it."""
    cluster = world(5)
    leader = cluster.leader()
    gone = [member for member in cluster.members.values() if member is not leader][:2]
    learner = Member(900, ["http://127.0.0.1:3002"], is_learner=True)
    change = ConfChangeV2(
        changes=[
            ConfChangeSingle(ConfChangeType.REMOVE_NODE, gone[0].id),
            ConfChangeSingle(ConfChangeType.ADD_LEARNER_NODE, 900),
            ConfChangeSingle(ConfChangeType.REMOVE_NODE, gone[1].id),
        ],
        context=b"[%s]" % membership.encode_member(learner),
    )
    seen: list[Any] = []
    keep = leader.node.machine.set_conf_state
    leader.node.machine.set_conf_state = lambda state: (seen.append(state), keep(state))
    leader.node.raft.propose_conf_change(change)
    cluster.tick(5)
    assert [bool(state.voters_outgoing) for state in seen] == [True, False]
    staying = sorted(member for member in cluster.members if member not in {each.id for each in gone})
    for member in (cluster.members[number] for number in staying):
        assert conf(member) == (staying, [900], [])
        assert member.node.machine.cluster.member_ids() == sorted([*staying, 900])
        assert member.node.peers.known.keys() == {*staying, 900} - {member.id}
    assert all(member.node.outbox.removed for member in gone)
    # Two of the three left are enough from now on.
    for member in gone:
        cluster.crash(member)
    cluster.crash(next(m for m in cluster.members.values() if m is not leader and m not in gone))
    assert cluster.put(cluster.leader(), b"k", b"v").error is None


def test_a_joint_change_counts_as_a_whole_or_not_at_all(world: MakeWorld) -> None:
    cluster = world(3)
    leader = cluster.leader()
    before = leader.node.machine.backend.freeze().buckets["members"]
    other = next(member for member in cluster.members if member != leader.id)
    change = ConfChangeV2(
        changes=[
            ConfChangeSingle(ConfChangeType.REMOVE_NODE, other),
            ConfChangeSingle(ConfChangeType.REMOVE_NODE, 12345),
        ]
    )
    leader.node.raft.propose_conf_change(change)
    cluster.tick(5)
    for member in cluster.members.values():
        assert conf(member) == (sorted(cluster.members), [], [])
        assert member.node.machine.cluster.member_ids() == sorted(cluster.members)
        assert member.node.machine.backend.freeze().buckets["members"] == before
        assert member.node.machine.backend.freeze().buckets["members_removed"] == {}
    leader.node.raft.propose_conf_change(ConfChangeV2(changes=change.changes[:1]))
    cluster.tick(5)
    assert conf(leader)[0] == sorted(set(cluster.members) - {other})


def test_raft_does_not_follow_a_refused_change(world: MakeWorld) -> None:
    """Were raft told of the change as it was proposed, a voter would count that is no member."""
    cluster = world(3)
    leader = cluster.leader()
    urls = next(m.node.machine.cluster.member(m.id).peer_urls for m in cluster.members.values())
    results: list[Any] = []
    leader.node.propose_conf_change(membership.add_change(Member(900, urls)), results.append)
    cluster.tick(3)
    leader.node.propose_conf_change(membership.remove_change(12345), results.append)
    cluster.tick(3)
    assert [result.error for result in results] == [errors.PEER_URL_EXIST, errors.MEMBER_NOT_FOUND]
    for member in cluster.members.values():
        assert conf(member) == (sorted(cluster.members), [], [])
        assert sorted(member.node.raft.raft.tracker.progress) == sorted(cluster.members)
    # It does not stand in the way of the next, on this leader or another.
    for number, proposer in enumerate([leader, leader, *cluster.members.values()]):
        learner = Member(900 + number, [f"http://127.0.0.1:{3100 + number}"], is_learner=True)
        for change in (membership.add_change(learner), membership.remove_change(learner.id)):
            proposer.node.propose_conf_change(change, results.append)
            cluster.tick(3)
            assert results[-1].error is None


def test_urls_that_nobody_can_dial_harm_nobody(world: MakeWorld) -> None:
    cluster = world(3)
    node = cluster.leader().node
    other = next(member for member in cluster.members if member != node.config.member_id)
    for member in cluster.members.values():

        def refuse(member_id: int, urls: list[str]) -> None:
            raise ValueError(urls)

        member.node.peers.update_peer = refuse
    answer = call(
        cluster, service(node).member_update, pb.MemberUpdateRequest(ID=other, peerURLs=["nonsense"])
    )
    assert isinstance(answer, pb.MemberUpdateResponse)
    assert cluster.put(cluster.leader(), b"k", b"v").error is None


def test_a_removed_member_knows_it(world: MakeWorld) -> None:
    cluster = world(3)
    leader = cluster.leader()
    gone = next(member for member in cluster.members.values() if member is not leader)
    results: list[Any] = []
    leader.node.propose_conf_change(membership.remove_change(gone.id), results.append)
    cluster.tick(3)
    assert gone.node.outbox.removed
    assert not leader.node.outbox.removed


def test_strict_reconfiguration(world: MakeWorld) -> None:
    cluster = world(3)
    node = cluster.leader().node
    cluster.tick(100)
    members = service(node)
    add = pb.MemberAddRequest(peerURLs=[PEER])
    remove = pb.MemberRemoveRequest(ID=next(m for m in cluster.members if m != node.config.member_id))
    # Nobody has announced a name: nobody counts as started.
    assert call(cluster, members.member_add, add) == NOT_ENOUGH_STARTED
    assert call(cluster, members.member_remove, remove) == NOT_ENOUGH_STARTED
    name_all(cluster)
    # Not connected for five seconds: who is connected at all must not be removed, nor may a member be added.
    node.peers.connected_since = lambda member: node.now() - 1.0
    assert call(cluster, members.member_add, add) == errors.UNHEALTHY
    assert call(cluster, members.member_remove, remove) == errors.UNHEALTHY
    node.peers.connected_since = lambda member: node.now() - 6.0
    answer = call(cluster, members.member_add, add)
    assert [each.peerURLs for each in answer.members].count([PEER]) == 1
    expected = membership.member_id([PEER], "", 10**9)
    assert expected == answer.member.ID
    gone = call(cluster, members.member_remove, pb.MemberRemoveRequest(ID=answer.member.ID))
    assert len(gone.members) == 3


def test_a_lost_member_may_always_be_removed(world: MakeWorld) -> None:
    cluster = world(3)
    node = cluster.leader().node
    name_all(cluster)
    lost = next(member for member in cluster.members if member != node.config.member_id)
    node.peers.connected_since = lambda member: float("inf")
    answer = call(cluster, service(node).member_remove, pb.MemberRemoveRequest(ID=lost))
    assert len(answer.members) == 2


def test_learners_are_promoted_by_the_leader_when_they_have_caught_up(world: MakeWorld) -> None:
    cluster = world(3)
    leader = cluster.leader()
    name_all(cluster)
    leader.node.peers.connected_since = lambda member: 0.0
    add = pb.MemberAddRequest(peerURLs=[PEER], isLearner=True)
    added = call(cluster, service(leader.node).member_add, add)
    learner = added.member.ID
    assert added.member.isLearner
    promote = pb.MemberPromoteRequest(ID=learner)
    assert call(cluster, service(leader.node).member_promote, promote) == errors.LEARNER_NOT_READY
    missing = pb.MemberPromoteRequest(ID=1)
    assert call(cluster, service(leader.node).member_promote, missing) == errors.MEMBER_NOT_FOUND
    voter = pb.MemberPromoteRequest(ID=leader.id)
    assert call(cluster, service(leader.node).member_promote, voter) == errors.MEMBER_NOT_LEARNER
    follower = next(member for member in cluster.members.values() if member is not leader)
    passing_on = service(follower.node)
    elsewhere = passing_on._leader
    answers: list[Any] = []
    passing_on.member_promote(Context({"token": "t"}), promote, answers.append)
    assert answers == [errors.LEARNER_NOT_READY]
    assert isinstance(elsewhere, Elsewhere)
    assert elsewhere.asked == [(learner, "t")]


@pytest.mark.parametrize("urls", [[], ["nonsense"], ["http://a:1/path"], ["ftp://a:1"]])
def test_urls_of_no_member(world: MakeWorld, urls: list[str]) -> None:
    cluster = world(1)
    request = pb.MemberAddRequest(peerURLs=urls)
    assert call(cluster, service(cluster.leader().node).member_add, request) == errors.MEMBER_BAD_URLS
