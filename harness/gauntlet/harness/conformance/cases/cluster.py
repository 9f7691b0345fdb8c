"""Cluster: members and how they are changed. One cluster for each case that changes it."""

from __future__ import annotations

import asyncio
from typing import Any

from gauntlet.api import errors
from gauntlet.api.errors import Code, RpcError
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.harness.conformance.case import case
from gauntlet.harness.conformance.expect import Mismatch, expect, expect_in, expect_that, expect_values
from gauntlet.harness.conformance.talk import Talk

NOBODY = ["http://127.0.0.1:1"]  # a peer URL where nobody listens


async def members(t: Talk, via: str = "") -> list[Any]:
    return list((await t.call(pb.MemberListRequest(linearizable=True), via=via)).members)


@case("cluster")
async def member_list_of_one(t: Talk) -> None:
    listed = await members(t)
    expect("members", len(listed), 1)
    member = listed[0]
    expect_that("ID", member.ID != 0, "not 0", member.ID)
    expect_that("name", member.name != "", "not empty", member.name)
    expect("peerURLs", len(member.peerURLs), 1)
    expect("clientURLs", len(member.clientURLs), 1)
    expect("isLearner", member.isLearner, False)


@case("cluster")
async def member_list_serializable_is_the_same(t: Talk) -> None:
    local = await t.call(pb.MemberListRequest(linearizable=False))
    expect("IDs", [member.ID for member in local.members], [member.ID for member in await members(t)])


@case("cluster")
async def the_header_names_the_member_that_answered(t: Talk) -> None:
    answer = await t.call(pb.MemberListRequest(linearizable=True))
    expect("member_id", answer.header.member_id, answer.members[0].ID)


@case("cluster")
async def member_list_has_no_revision(t: Talk) -> None:
    answer = await t.call(pb.MemberListRequest(linearizable=True))
    expect("revision", answer.header.revision, 0)


def refusal(title: str, request: Any, error: RpcError) -> None:
    async def body(t: Talk) -> None:
        await t.refused(request, error)

    body.__name__ = f"refuses_{title}"
    case("cluster")(body)


refusal("to_add_a_member_with_a_bad_url", pb.MemberAddRequest(peerURLs=["no url"]), errors.MEMBER_BAD_URLS)
refusal("to_add_a_member_without_a_url", pb.MemberAddRequest(), errors.MEMBER_BAD_URLS)
refusal(
    "to_add_a_url_without_port", pb.MemberAddRequest(peerURLs=["http://127.0.0.1"]), errors.MEMBER_BAD_URLS
)
refusal(
    "to_add_a_url_with_a_path", pb.MemberAddRequest(peerURLs=["http://127.0.0.1:1/x"]), errors.MEMBER_BAD_URLS
)
refusal("to_remove_an_unknown_member", pb.MemberRemoveRequest(ID=4711), errors.MEMBER_NOT_FOUND)
refusal(
    "to_update_an_unknown_member", pb.MemberUpdateRequest(ID=4711, peerURLs=NOBODY), errors.MEMBER_NOT_FOUND
)
refusal("to_promote_an_unknown_member", pb.MemberPromoteRequest(ID=4711), errors.MEMBER_NOT_FOUND)


@case("cluster")
async def refuses_a_peer_url_that_is_in_use(t: Talk) -> None:
    urls = (await members(t))[0].peerURLs
    await t.refused(pb.MemberAddRequest(peerURLs=urls), errors.PEER_URL_EXIST)


@case("cluster")
async def refuses_to_promote_a_voter(t: Talk) -> None:
    member = (await members(t))[0]
    await t.refused(pb.MemberPromoteRequest(ID=member.ID), errors.MEMBER_NOT_LEARNER)


@case("cluster", fresh=True)
async def a_learner_is_added_and_removed(t: Talk) -> None:
    answer = await t.call(pb.MemberAddRequest(peerURLs=NOBODY, isLearner=True))
    learner = answer.member
    expect("isLearner", learner.isLearner, True)
    expect("name", learner.name, "")
    expect("peerURLs", list(learner.peerURLs), NOBODY)
    expect("members", len(answer.members), 2)
    expect("listed learners", [m.isLearner for m in await members(t)].count(True), 1)
    removed = await t.call(pb.MemberRemoveRequest(ID=learner.ID))
    expect("members after removal", len(removed.members), 1)
    await t.refused(pb.MemberRemoveRequest(ID=learner.ID), errors.MEMBER_NOT_FOUND)


@case("cluster", fresh=True)
async def a_learner_does_not_count_for_the_quorum(t: Talk) -> None:
    await t.call(pb.MemberAddRequest(peerURLs=NOBODY, isLearner=True))
    await t.put("a", "1")
    expect_values(await t.get("a"), b"1")


@case("cluster", fresh=True)
async def a_second_learner_is_too_many(t: Talk) -> None:
    await t.call(pb.MemberAddRequest(peerURLs=NOBODY, isLearner=True))
    request = pb.MemberAddRequest(peerURLs=["http://127.0.0.1:2"], isLearner=True)
    await t.refused(request, errors.TOO_MANY_LEARNERS)


@case("cluster", fresh=True)
async def a_learner_that_never_started_is_not_promoted(t: Talk) -> None:
    learner = (await t.call(pb.MemberAddRequest(peerURLs=NOBODY, isLearner=True))).member
    await t.refused(pb.MemberPromoteRequest(ID=learner.ID), errors.LEARNER_NOT_READY)


@case("cluster", fresh=True)
async def a_learner_may_get_other_urls(t: Talk) -> None:
    learner = (await t.call(pb.MemberAddRequest(peerURLs=NOBODY, isLearner=True))).member
    urls = ["http://127.0.0.1:3", "http://127.0.0.1:2"]
    answer = await t.call(pb.MemberUpdateRequest(ID=learner.ID, peerURLs=urls))
    found = next(member for member in answer.members if member.ID == learner.ID)
    expect("peerURLs", sorted(found.peerURLs), sorted(urls))


@case("cluster", fresh=True)
async def the_only_voter_is_not_removed(t: Talk) -> None:
    """Strict reconfiguration: the last started member must stay while a learner is all that is left."""
    member = (await members(t))[0]
    await t.call(pb.MemberAddRequest(peerURLs=NOBODY, isLearner=True))
    error = RpcError(Code.UNKNOWN, errors.MEMBER_NOT_ENOUGH_STARTED.message)
    await t.refused(pb.MemberRemoveRequest(ID=member.ID), error)


@case("cluster", fresh=True)
async def a_second_voter_that_never_started_takes_the_quorum(t: Talk) -> None:
    """Two of two are needed then: nothing is written any more, and reads that ask nobody else go on."""
    await t.put("a", "1")
    answer = await t.call(pb.MemberAddRequest(peerURLs=NOBODY))
    expect("isLearner", answer.member.isLearner, False)
    expect("members", len(answer.members), 2)
    try:  # out of sight of a comparison: either end may be the first to say that the deadline has passed
        await t.client().put(t.k("a"), b"2", timeout=1.5)
    except RpcError as error:
        expect_in("code", error.code, (Code.DEADLINE_EXCEEDED, Code.UNAVAILABLE))
    else:
        raise Mismatch("put", "no success", "one")
    expect_values(await t.get("a", serializable=True), b"1")
    listed = await t.call(pb.MemberListRequest(linearizable=False))
    expect("members listed", len(listed.members), 2)


# ---- three members ----


@case("cluster", nodes=3)
async def all_members_list_the_same_members(t: Talk) -> None:
    lists = [sorted(member.ID for member in await members(t, via)) for via in ("m1", "m2", "m3")]
    expect("members", len(set(lists[0])), 3)
    expect("second member's list", lists[1], lists[0])
    expect("third member's list", lists[2], lists[0])


@case("cluster", nodes=3)
async def a_write_is_read_on_every_member(t: Talk) -> None:
    await t.put("a", "1", via="m1")
    for via in ("m1", "m2", "m3"):
        expect_values(await t.get("a", via=via), b"1")


@case("cluster", nodes=3)
async def every_member_takes_writes(t: Talk) -> None:
    revisions = [(await t.put("a", via, via=via)).header.revision for via in ("m1", "m2", "m3")]
    expect("revisions", revisions, [revisions[0], revisions[0] + 1, revisions[0] + 2])


@case("cluster", nodes=3)
async def cluster_ids_are_equal_and_member_ids_are_not(t: Talk) -> None:
    headers = [(await t.put("a", via=via)).header for via in ("m1", "m2", "m3")]
    expect("cluster ids", len({header.cluster_id for header in headers}), 1)
    expect("member ids", len({header.member_id for header in headers}), 3)


@case("cluster", nodes=3)
async def watchers_on_every_member_see_the_same(t: Talk) -> None:
    watchers = [await t.watch("a", via=via) for via in ("m1", "m2", "m3")]
    revision = (await t.put("a", "1", via="m2")).header.revision
    seen = [(await watcher.event()).kv.mod_revision for watcher in watchers]
    expect("revisions", seen, [revision] * 3)


@case("cluster", nodes=3)
async def leases_work_through_every_member(t: Talk) -> None:
    lease = await t.grant(60, via="m1")
    for via in ("m1", "m2", "m3"):
        await t.put(via, lease=lease, via=via)
        channel = await t.open(
            "/etcdserverpb.Lease/LeaseKeepAlive", pb.LeaseKeepAliveRequest(ID=lease), via=via
        )
        expect("TTL", (await channel.receive()).TTL, 60)
        answer = await t.call(pb.LeaseTimeToLiveRequest(ID=lease), via=via)
        expect("grantedTTL", answer.grantedTTL, 60)
    await t.call(pb.LeaseRevokeRequest(ID=lease), via="m3")
    expect("count", (await t.call(t.all(), via="m1")).count, 0)


async def leader(t: Talk) -> tuple[str, str]:
    """The connections to the leader and to a follower."""
    ids = {via: (await t.call(pb.StatusRequest(), via=via)) for via in ("m1", "m2", "m3")}
    first = next(via for via, status in ids.items() if status.header.member_id == status.leader)
    return first, next(via for via in ids if via != first)


@case("cluster", nodes=3)
async def every_member_knows_the_same_leader(t: Talk) -> None:
    leaders = {(await t.call(pb.StatusRequest(), via=via)).leader for via in ("m1", "m2", "m3")}
    expect("leaders", len(leaders), 1)


@case("cluster", nodes=3, compared=False)
async def the_leader_is_moved(t: Talk) -> None:
    first, other = await leader(t)
    target = (await t.call(pb.StatusRequest(), via=other)).header.member_id
    await t.call(pb.MoveLeaderRequest(targetID=target), via=first)
    expect("leader", (await t.call(pb.StatusRequest(), via=other)).leader, target)


@case("cluster", nodes=3, compared=False)
async def a_follower_cannot_move_the_leader(t: Talk) -> None:
    first, other = await leader(t)
    target = (await t.call(pb.StatusRequest(), via=first)).header.member_id
    await t.refused(pb.MoveLeaderRequest(targetID=target), errors.NOT_LEADER, via=other)


@case("cluster", nodes=3, compared=False)
async def the_leader_is_not_moved_to_a_stranger(t: Talk) -> None:
    first, _ = await leader(t)
    await t.refused(pb.MoveLeaderRequest(targetID=4711), errors.BAD_LEADER_TRANSFEREE, via=first)


@case("cluster", nodes=3, compared=False)
async def hashes_of_all_members_are_equal(t: Talk) -> None:
    await t.put("a", "1")
    revision = await t.revision()
    hashes = set()
    for via in ("m1", "m2", "m3"):
        await t.get("a", via=via)  # linearizable: the member has caught up
        answer = await t.call(pb.HashKVRequest(revision=revision), via=via)
        hashes.add((answer.hash, answer.compact_revision))
    expect("hashes", len(hashes), 1)


@case("cluster", nodes=3, timeout=30, compared=False)
async def a_learner_is_added_and_removed_through_a_follower(t: Talk) -> None:
    """Members must have been connected for 5 s before a change is let through; until then: unhealthy."""
    _, other = await leader(t)
    add = pb.MemberAddRequest(peerURLs=NOBODY, isLearner=True)
    while True:
        got = await t.outcome(add, via=other)
        if got != errors.UNHEALTHY:
            break
        await asyncio.sleep(0.1)
    expect_that("answer", not isinstance(got, RpcError), "no error", got)
    remove = pb.MemberRemoveRequest(ID=got.member.ID)
    await t.call(remove, via=other)
    expect("members", len(await members(t)), 3)
    await t.refused(remove, errors.MEMBER_NOT_FOUND, via=other)
