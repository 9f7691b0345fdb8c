"""The lock service."""

from __future__ import annotations

import asyncio

from gauntlet.api import errors
from gauntlet.api.errors import Code, RpcError
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.messages import v3lockpb
from gauntlet.harness.conformance.case import case
from gauntlet.harness.conformance.expect import expect, expect_that
from gauntlet.harness.conformance.talk import Talk


def lock(t: Talk, lease: int, name: str = "l") -> v3lockpb.LockRequest:
    return v3lockpb.LockRequest(name=t.k(name), lease=lease)


def key_of(t: Talk, lease: int, name: str = "l") -> bytes:
    """What the service writes: the name, a slash, the lease in hexadecimal."""
    return t.k(name) + f"/{lease:x}".encode()


def through(error: RpcError) -> RpcError:
    """As the service passes it on: it is a client itself, and its client's errors have lost their code."""
    return RpcError(Code.UNKNOWN, error.message)


@case("lock")
async def a_free_lock_is_taken(t: Talk) -> None:
    lease = await t.grant()
    answer = await t.call(lock(t, lease))
    expect("key", answer.key, key_of(t, lease))
    kv = (await t.get(answer.key)).kvs[0]
    expect("lease of the key", kv.lease, lease)
    expect("value of the key", kv.value, b"")


@case("lock")
async def taking_it_is_one_revision(t: Talk) -> None:
    lease = await t.grant()
    before = await t.revision()
    answer = await t.call(lock(t, lease))
    expect("revision", answer.header.revision, before + 1)


@case("lock", compared=False)
async def without_a_lease_one_is_made(t: Talk) -> None:
    answer = await t.call(lock(t, 0))
    kv = (await t.client().get(answer.key)).kvs[0]
    expect_that("lease of the key", kv.lease != 0, "not 0", kv.lease)
    ttl = await t.client().lease_time_to_live(kv.lease)
    expect("grantedTTL", ttl.grantedTTL, 60)


@case("lock")
async def taking_it_again_with_the_same_lease_succeeds(t: Talk) -> None:
    lease = await t.grant()
    one = await t.call(lock(t, lease))
    other = await t.call(lock(t, lease))
    expect("key", other.key, one.key)


@case("lock")
async def an_unknown_lease_is_refused(t: Talk) -> None:
    await t.refused(lock(t, t.new_lease()), through(errors.LEASE_NOT_FOUND))


@case("lock")
async def different_names_do_not_meet(t: Talk) -> None:
    one, other = await t.grant(), await t.grant()
    await t.call(lock(t, one, "x"))
    await t.call(lock(t, other, "y"))
    expect("keys", (await t.call(t.all())).count, 2)


@case("lock")
async def the_second_waits_for_the_first(t: Talk) -> None:
    one, other = await t.grant(), await t.grant()
    first = await t.call(lock(t, one))
    waiting = asyncio.create_task(t.call(lock(t, other), via="/b"))
    await t.until_keys(2)
    done, _ = await asyncio.wait({waiting}, timeout=0.3)
    expect("taken while the first holds it", len(done), 0)
    await t.call(v3lockpb.UnlockRequest(key=first.key))
    expect("key", (await waiting).key, key_of(t, other))


@case("lock")
async def contenders_are_served_in_order(t: Talk) -> None:
    leases = [await t.grant() for _ in range(4)]
    held = await t.call(lock(t, leases[0]))
    waiting = []
    for number, lease in enumerate(leases[1:], 2):
        waiting.append(asyncio.create_task(t.call(lock(t, lease), via=f"/{number}")))
        await t.until_keys(number)
    for task in waiting:
        await t.call(v3lockpb.UnlockRequest(key=held.key))
        held = await task
    expect("last key", held.key, key_of(t, leases[3]))


@case("lock")
async def unlock_removes_the_key(t: Talk) -> None:
    lease = await t.grant()
    answer = await t.call(lock(t, lease))
    before = await t.revision()
    unlocked = await t.call(v3lockpb.UnlockRequest(key=answer.key))
    expect("revision", unlocked.header.revision, before + 1)
    expect("count", (await t.get(answer.key)).count, 0)


@case("lock")
async def unlock_of_a_key_that_is_not_there_succeeds(t: Talk) -> None:
    await t.call(v3lockpb.UnlockRequest(key=t.k("nothing")))


@case("lock")
async def unlock_without_key_is_refused(t: Talk) -> None:
    await t.refused(v3lockpb.UnlockRequest(), through(errors.EMPTY_KEY))


@case("lock")
async def revoking_the_lease_lets_go(t: Talk) -> None:
    one, other = await t.grant(), await t.grant()
    await t.call(lock(t, one))
    waiting = asyncio.create_task(t.call(lock(t, other), via="/b"))
    await t.until_keys(2)
    await t.call(pb.LeaseRevokeRequest(ID=one))
    expect("key", (await waiting).key, key_of(t, other))


@case("lock")
async def a_contender_that_gives_up_leaves_no_key(t: Talk) -> None:
    one, other = await t.grant(), await t.grant()
    await t.call(lock(t, one))
    waiting = asyncio.create_task(t.call(lock(t, other), via="/b"))
    await t.until_keys(2)
    waiting.cancel()
    await asyncio.wait({waiting})
    await t.until_keys(1)


@case("lock")
async def a_contender_whose_lease_is_revoked_gets_an_error(t: Talk) -> None:
    one, other = await t.grant(), await t.grant()
    held = await t.call(lock(t, one))
    waiting = asyncio.create_task(t.outcome(lock(t, other), via="/b"))
    await t.until_keys(2)
    await t.call(pb.LeaseRevokeRequest(ID=other))
    await t.call(v3lockpb.UnlockRequest(key=held.key))
    got = await waiting
    expect_that("answer", isinstance(got, errors.RpcError), "an error", got)


@case("lock", nodes=3)
async def a_lock_holds_across_members(t: Talk) -> None:
    one, other = await t.grant(), await t.grant()
    first = await t.call(lock(t, one), via="m1")
    waiting = asyncio.create_task(t.call(lock(t, other), via="m2"))
    await t.until_keys(2)
    await t.call(v3lockpb.UnlockRequest(key=first.key), via="m3")
    expect("key", (await waiting).key, key_of(t, other))
