"""The election service."""

from __future__ import annotations

import asyncio

from gauntlet.api import errors
from gauntlet.api.errors import Code, RpcError
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.messages import v3electionpb as v3
from gauntlet.harness.conformance.case import case
from gauntlet.harness.conformance.expect import expect, expect_that
from gauntlet.harness.conformance.talk import Channel, Talk

OBSERVE = "/v3electionpb.Election/Observe"
LEADER = "/v3electionpb.Election/Leader"
NO_LEADER = RpcError(Code.UNKNOWN, "election: no leader")
NOT_LEADER = RpcError(Code.UNKNOWN, "election: not leader")
MISSING_KEY = RpcError(Code.UNKNOWN, '"leader" field must be provided')


def campaign(t: Talk, lease: int, value: bytes = b"me", name: str = "e") -> v3.CampaignRequest:
    return v3.CampaignRequest(name=t.k(name), lease=lease, value=value)


async def observe(t: Talk, name: str = "e") -> Channel:
    return await t.open(OBSERVE, v3.LeaderRequest(name=t.k(name)), via="/observer")


@case("election")
async def the_only_candidate_wins(t: Talk) -> None:
    lease = await t.grant()
    answer = await t.call(campaign(t, lease))
    leader = answer.leader
    expect("name", leader.name, t.k("e"))
    expect("key", leader.key, t.k("e") + f"/{lease:x}".encode())
    expect("lease", leader.lease, lease)
    kv = (await t.get(leader.key)).kvs[0]
    expect("rev", leader.rev, kv.create_revision)
    expect("value", kv.value, b"me")


@case("election", compared=False)
async def without_a_lease_one_is_made(t: Talk) -> None:
    answer = await t.call(campaign(t, 0))
    expect_that("lease", answer.leader.lease != 0, "not 0", answer.leader.lease)
    t.names.lease_named(answer.leader.lease)
    ttl = await t.client().lease_time_to_live(answer.leader.lease)
    expect("grantedTTL", ttl.grantedTTL, 60)


@case("election")
async def an_unknown_lease_is_refused(t: Talk) -> None:
    error = RpcError(Code.UNKNOWN, errors.LEASE_NOT_FOUND.message)
    await t.refused(campaign(t, t.new_lease()), error)


@case("election")
async def campaigning_again_changes_the_value(t: Talk) -> None:
    lease = await t.grant()
    one = await t.call(campaign(t, lease, b"1"))
    other = await t.call(campaign(t, lease, b"2"))
    expect("rev", other.leader.rev, one.leader.rev)
    expect("value", (await t.get(one.leader.key)).kvs[0].value, b"2")


@case("election")
async def the_leader_is_told(t: Talk) -> None:
    lease = await t.grant()
    await t.call(campaign(t, lease, b"boss"))
    answer = await t.call(v3.LeaderRequest(name=t.k("e")), LEADER)
    expect("value", answer.kv.value, b"boss")
    expect("lease", answer.kv.lease, lease)


@case("election")
async def an_election_without_leader_says_so(t: Talk) -> None:
    await t.refused(v3.LeaderRequest(name=t.k("e")), NO_LEADER, LEADER)


@case("election")
async def the_second_candidate_waits(t: Talk) -> None:
    one, other = await t.grant(), await t.grant()
    first = await t.call(campaign(t, one, b"1"))
    waiting = asyncio.create_task(t.call(campaign(t, other, b"2"), via="/b"))
    await t.until_keys(2)
    answer = await t.call(v3.LeaderRequest(name=t.k("e")), LEADER)
    expect("leader", answer.kv.value, b"1")
    await t.call(v3.ResignRequest(leader=first.leader))
    expect("lease of the next leader", (await waiting).leader.lease, other)


@case("election")
async def proclaim_changes_the_value(t: Talk) -> None:
    lease = await t.grant()
    leader = (await t.call(campaign(t, lease, b"1"))).leader
    await t.call(v3.ProclaimRequest(leader=leader, value=b"2"))
    expect("value", (await t.get(leader.key)).kvs[0].value, b"2")


@case("election")
async def proclaim_of_who_does_not_lead_is_refused(t: Talk) -> None:
    lease = await t.grant()
    leader = (await t.call(campaign(t, lease, b"1"))).leader
    await t.call(v3.ResignRequest(leader=leader))
    await t.refused(v3.ProclaimRequest(leader=leader, value=b"2"), NOT_LEADER)


@case("election")
async def proclaim_without_leader_key_is_refused(t: Talk) -> None:
    await t.refused(v3.ProclaimRequest(value=b"1"), MISSING_KEY)


@case("election")
async def resign_without_leader_key_is_refused(t: Talk) -> None:
    await t.refused(v3.ResignRequest(), MISSING_KEY)


@case("election")
async def resign_removes_the_key(t: Talk) -> None:
    lease = await t.grant()
    leader = (await t.call(campaign(t, lease))).leader
    await t.call(v3.ResignRequest(leader=leader))
    expect("count", (await t.get(leader.key)).count, 0)
    await t.refused(v3.LeaderRequest(name=t.k("e")), NO_LEADER, LEADER)


@case("election")
async def resign_with_a_wrong_revision_removes_nothing(t: Talk) -> None:
    lease = await t.grant()
    leader = (await t.call(campaign(t, lease))).leader
    leader.rev -= 1
    await t.call(v3.ResignRequest(leader=leader))
    expect("count", (await t.get(leader.key)).count, 1)


@case("election")
async def observe_tells_the_present_leader(t: Talk) -> None:
    lease = await t.grant()
    await t.call(campaign(t, lease, b"1"))
    expect("value", (await (await observe(t)).receive()).kv.value, b"1")


@case("election")
async def observe_waits_for_the_first_leader(t: Talk) -> None:
    observer = await observe(t)
    lease = await t.grant()
    await t.call(campaign(t, lease, b"1"))
    expect("value", (await observer.receive()).kv.value, b"1")


@case("election")
async def observe_tells_proclamations(t: Talk) -> None:
    lease = await t.grant()
    leader = (await t.call(campaign(t, lease, b"1"))).leader
    observer = await observe(t)
    expect("value", (await observer.receive()).kv.value, b"1")
    await t.call(v3.ProclaimRequest(leader=leader, value=b"2"))
    expect("next value", (await observer.receive()).kv.value, b"2")


@case("election")
async def observe_tells_the_next_leader(t: Talk) -> None:
    one, other = await t.grant(), await t.grant()
    first = (await t.call(campaign(t, one, b"1"))).leader
    observer = await observe(t)
    await observer.receive()
    waiting = asyncio.create_task(t.call(campaign(t, other, b"2"), via="/b"))
    await t.until_keys(2)
    await t.call(v3.ResignRequest(leader=first))
    expect("value", (await observer.receive()).kv.value, b"2")
    await waiting


@case("election")
async def revoking_the_lease_ends_the_leadership(t: Talk) -> None:
    one, other = await t.grant(), await t.grant()
    await t.call(campaign(t, one, b"1"))
    waiting = asyncio.create_task(t.call(campaign(t, other, b"2"), via="/b"))
    await t.until_keys(2)
    await t.call(pb.LeaseRevokeRequest(ID=one))
    expect("lease", (await waiting).leader.lease, other)
