"""Leases: grant, attach, keep alive, time to live, revoke, expire."""

from __future__ import annotations

from gauntlet.api import errors
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.harness.conformance.case import case
from gauntlet.harness.conformance.expect import Mismatch, expect, expect_that
from gauntlet.harness.conformance.talk import Channel, Talk

KEEP_ALIVE = "/etcdserverpb.Lease/LeaseKeepAlive"


async def keep_alive(t: Talk, *leases: int) -> Channel:
    return await t.open(KEEP_ALIVE, *(pb.LeaseKeepAliveRequest(ID=lease) for lease in leases))


@case("lease")
async def grant_with_a_chosen_id(t: Talk) -> None:
    lease = t.new_lease()
    answer = await t.call(pb.LeaseGrantRequest(ID=lease, TTL=60))
    expect("ID", answer.ID, lease)
    expect("TTL", answer.TTL, 60)
    expect("error", answer.error, "")


@case("lease")
async def grant_without_id_chooses_one(t: Talk) -> None:
    one = await t.call(pb.LeaseGrantRequest(TTL=60))
    other = await t.call(pb.LeaseGrantRequest(TTL=60))
    expect_that("ID", one.ID > 0, "above 0", one.ID)
    expect_that("second ID", other.ID not in (0, one.ID), "another one", other.ID)


@case("lease")
async def grant_makes_no_revision(t: Talk) -> None:
    before = await t.revision()
    answer = await t.call(pb.LeaseGrantRequest(ID=t.new_lease(), TTL=60))
    expect("revision", answer.header.revision, before)


@case("lease")
async def grant_of_an_existing_id_is_refused(t: Talk) -> None:
    lease = await t.grant()
    await t.refused(pb.LeaseGrantRequest(ID=lease, TTL=60), errors.LEASE_EXIST)


@case("lease")
async def the_longest_ttl_is_granted(t: Talk) -> None:
    answer = await t.call(pb.LeaseGrantRequest(ID=t.new_lease(), TTL=9_000_000_000))
    expect("TTL", answer.TTL, 9_000_000_000)


@case("lease")
async def a_longer_ttl_is_refused(t: Talk) -> None:
    for ttl in (9_000_000_001, 2**63 - 1):
        await t.refused(pb.LeaseGrantRequest(ID=t.new_lease(), TTL=ttl), errors.LEASE_TTL_TOO_LARGE)


@case("lease")
async def a_tiny_ttl_is_raised_to_the_least(t: Talk) -> None:
    """A lease must outlive an election: 1.5 election time-outs, in whole seconds; 2 s by default."""
    for ttl in (1, 0, -1, -(2**63)):
        answer = await t.call(pb.LeaseGrantRequest(ID=t.new_lease(), TTL=ttl))
        expect("TTL", answer.TTL, 2)


@case("lease")
async def negative_ids_are_ids(t: Talk) -> None:
    lease = -t.new_lease()
    expect("ID", (await t.call(pb.LeaseGrantRequest(ID=lease, TTL=60))).ID, lease)
    await t.call(pb.LeaseRevokeRequest(ID=lease))


# ---- time to live ----


@case("lease")
async def time_to_live_of_a_lease(t: Talk) -> None:
    lease = await t.grant(100)
    answer = await t.call(pb.LeaseTimeToLiveRequest(ID=lease))
    expect("ID", answer.ID, lease)
    expect("grantedTTL", answer.grantedTTL, 100)
    expect_that("TTL", 97 <= answer.TTL <= 100, "97 to 100", answer.TTL)
    expect("keys", list(answer.keys), [])


@case("lease")
async def time_to_live_names_keys_when_asked(t: Talk) -> None:
    lease = await t.grant()
    for name in "ba":
        await t.put(name, lease=lease)
    expect("keys unasked", list((await t.call(pb.LeaseTimeToLiveRequest(ID=lease))).keys), [])
    asked = (await t.call(pb.LeaseTimeToLiveRequest(ID=lease, keys=True))).keys
    expect("keys", sorted(asked), [t.k("a"), t.k("b")])


@case("lease")
async def time_to_live_of_an_unknown_lease_is_minus_one(t: Talk) -> None:
    answer = await t.call(pb.LeaseTimeToLiveRequest(ID=t.new_lease()))
    expect("TTL", answer.TTL, -1)
    expect("grantedTTL", answer.grantedTTL, 0)


@case("lease")
async def time_to_live_of_lease_zero(t: Talk) -> None:
    expect("TTL", (await t.call(pb.LeaseTimeToLiveRequest())).TTL, -1)


# ---- list ----


@case("lease")
async def leases_lists_them(t: Talk) -> None:
    one, other = await t.grant(), await t.grant()
    listed = {status.ID for status in (await t.call(pb.LeaseLeasesRequest())).leases}
    expect_that("leases", {one, other} <= listed, "both of them", listed)


@case("lease")
async def leases_does_not_list_revoked_ones(t: Talk) -> None:
    lease = await t.grant()
    await t.call(pb.LeaseRevokeRequest(ID=lease))
    listed = {status.ID for status in (await t.call(pb.LeaseLeasesRequest())).leases}
    expect_that("leases", lease not in listed, f"without {lease}", listed)


@case("lease", group="alone")
async def leases_is_empty_at_first(t: Talk) -> None:
    expect("leases", len((await t.call(pb.LeaseLeasesRequest())).leases), 0)


# ---- attach ----


@case("lease")
async def a_key_moves_from_lease_to_lease(t: Talk) -> None:
    one, other = await t.grant(), await t.grant()
    await t.put("a", lease=one)
    await t.put("a", lease=other)
    expect("keys of the first", list((await t.call(pb.LeaseTimeToLiveRequest(ID=one, keys=True))).keys), [])
    keys = (await t.call(pb.LeaseTimeToLiveRequest(ID=other, keys=True))).keys
    expect("keys of the second", list(keys), [t.k("a")])


@case("lease")
async def attaching_to_an_unknown_lease_is_refused(t: Talk) -> None:
    await t.refused(pb.PutRequest(key=t.k("a"), lease=t.new_lease()), errors.LEASE_NOT_FOUND)
    expect("count", (await t.get("a")).count, 0)


@case("lease")
async def attaching_to_a_revoked_lease_is_refused(t: Talk) -> None:
    lease = await t.grant()
    await t.call(pb.LeaseRevokeRequest(ID=lease))
    await t.refused(pb.PutRequest(key=t.k("a"), lease=lease), errors.LEASE_NOT_FOUND)


# ---- revoke ----


@case("lease")
async def revoke_deletes_the_keys(t: Talk) -> None:
    lease = await t.grant()
    for name in "abc":
        await t.put(name, lease=lease)
    await t.put("d")
    before = await t.revision()
    answer = await t.call(pb.LeaseRevokeRequest(ID=lease))
    expect("revision", answer.header.revision, before + 1)
    expect("keys left", [kv.key for kv in (await t.call(t.all())).kvs], [t.k("d")])


@case("lease")
async def revoke_of_a_lease_without_keys_makes_no_revision(t: Talk) -> None:
    lease = await t.grant()
    before = await t.revision()
    await t.call(pb.LeaseRevokeRequest(ID=lease))
    expect("revision", await t.revision(), before)


@case("lease")
async def revoke_of_an_unknown_lease_is_refused(t: Talk) -> None:
    await t.refused(pb.LeaseRevokeRequest(ID=t.new_lease()), errors.LEASE_NOT_FOUND)


@case("lease")
async def revoke_of_lease_zero_is_refused(t: Talk) -> None:
    await t.refused(pb.LeaseRevokeRequest(), errors.LEASE_NOT_FOUND)


@case("lease")
async def revoke_twice_is_refused(t: Talk) -> None:
    lease = await t.grant()
    await t.call(pb.LeaseRevokeRequest(ID=lease))
    await t.refused(pb.LeaseRevokeRequest(ID=lease), errors.LEASE_NOT_FOUND)


@case("lease")
async def a_revoked_id_may_be_granted_again_without_its_keys(t: Talk) -> None:
    lease = await t.grant()
    await t.put("a", lease=lease)
    await t.call(pb.LeaseRevokeRequest(ID=lease))
    await t.call(pb.LeaseGrantRequest(ID=lease, TTL=60))
    expect("keys", list((await t.call(pb.LeaseTimeToLiveRequest(ID=lease, keys=True))).keys), [])


# ---- keep alive ----


@case("lease")
async def keep_alive_answers_with_the_granted_ttl(t: Talk) -> None:
    lease = await t.grant(77)
    answer = await (await keep_alive(t, lease)).receive()
    expect("ID", answer.ID, lease)
    expect("TTL", answer.TTL, 77)


@case("lease")
async def keep_alive_of_an_unknown_lease_answers_zero(t: Talk) -> None:
    lease = t.new_lease()
    answer = await (await keep_alive(t, lease)).receive()
    expect("ID", answer.ID, lease)
    expect("TTL", answer.TTL, 0)


@case("lease")
async def keep_alive_answers_each_request_in_order(t: Talk) -> None:
    one, other, gone = await t.grant(60), await t.grant(70), t.new_lease()
    channel = await keep_alive(t, one, gone, other, one)
    answers = [await channel.receive() for _ in range(4)]
    expect("answers", [(a.ID, a.TTL) for a in answers], [(one, 60), (gone, 0), (other, 70), (one, 60)])


@case("lease")
async def keep_alive_goes_on_after_an_unknown_lease(t: Talk) -> None:
    channel = await keep_alive(t, t.new_lease())
    await channel.receive()
    lease = await t.grant(60)
    await channel.send(pb.LeaseKeepAliveRequest(ID=lease))
    expect("TTL", (await channel.receive()).TTL, 60)


@case("lease")
async def keep_alive_ends_when_the_client_half_closes(t: Talk) -> None:
    lease = await t.grant()
    channel = await keep_alive(t, lease)
    await channel.receive()
    await channel.half_close()
    expect("answer", await channel.receive(), None)


@case("lease")
async def keep_alive_after_revoke_answers_zero(t: Talk) -> None:
    lease = await t.grant()
    channel = await keep_alive(t, lease)
    await channel.receive()
    await t.call(pb.LeaseRevokeRequest(ID=lease))
    await channel.send(pb.LeaseKeepAliveRequest(ID=lease))
    expect("TTL", (await channel.receive()).TTL, 0)


# ---- expiry ----


@case("lease", timeout=20)
async def an_expired_lease_takes_its_keys_along(t: Talk) -> None:
    lease = await t.grant(2)
    await t.put("a", lease=lease)
    await t.put("b", lease=lease)
    watcher = await t.watch("a", "z")
    events = await watcher.events(2)
    expect("keys", [event.kv.key for event in events], [t.k("a"), t.k("b")])
    expect("revisions", len({event.kv.mod_revision for event in events}), 1)
    expect("TTL", (await t.call(pb.LeaseTimeToLiveRequest(ID=lease))).TTL, -1)


@case("lease", timeout=20, compared=False)
async def keep_alive_keeps_it_alive(t: Talk) -> None:
    """Two equal leases; the one that is renewed outlives the other by about its TTL."""
    kept, dropped = await t.grant(2), await t.grant(2)
    await t.put("kept", lease=kept)
    watcher = await t.watch("dropped")
    await t.put("dropped", lease=dropped)
    await watcher.event()
    channel = await keep_alive(t)
    for _ in range(100):
        await channel.send(pb.LeaseKeepAliveRequest(ID=kept))
        expect("TTL", (await channel.receive()).TTL, 2)
        try:
            await watcher.event(0.3)
        except Mismatch:
            continue  # not expired yet
        break
    expect("kept", (await t.get("kept")).count, 1)
