"""A session of aetcd: `python aetcd_session.py HOST:PORT`. With `USER PASSWORD` behind it, of a user."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import aetcd
from aetcd.rpc import AioRpcError
from transcript import address, failed, say

PATIENCE = 20


def shown(value: Any) -> Any:
    return None if value is None else (value.key, value.value, value.version, value.lease != 0)


async def refused(what: str, work: Any) -> None:
    try:
        await work
    except (aetcd.ClientError, AioRpcError, TypeError) as error:
        failed(what, error)
    else:
        say(what, "no error")


async def keys(client: aetcd.Client) -> None:
    for key in (b"a", b"ab", b"b", b"c"):
        await client.put(key, b"v-" + key)
    again = await client.put(b"a", b"again", prev_kv=True)
    say("put", shown(again.prev_kv))
    say("get", shown(await client.get(b"a")), await client.get(b"nothing"))
    say("prefix", [shown(pair) for pair in await client.get_prefix(b"a")])
    say("all", [shown(pair) for pair in await client.get_all(sort_order="descend", sort_target="mod")])
    say("range", [shown(pair) for pair in await client.get_range(b"ab", b"c")])
    say("serializable", shown(await client.get(b"a", serializable=True)))
    say("replace", await client.replace(b"b", b"v-b", b"new"), await client.replace(b"b", b"v-b", b"newer"))
    deleted = await client.delete(b"c", prev_kv=True)
    say("delete", None if deleted is None else shown(deleted.prev_kv), await client.delete(b"c"))
    say("delete prefix", (await client.delete_prefix(b"a")).deleted)
    await refused("put of no key", client.put(b"", b"x"))
    await refused("put of too much", client.put(b"big", bytes(1_600_000)))


async def transactions(client: aetcd.Client) -> None:
    build = client.transactions
    done, answers = await client.transaction(
        compare=[build.value(b"b") == b"new", build.version(b"b") > 1, build.create(b"none") == 0],
        success=[build.put(b"t", b"1"), build.get(b"b"), build.delete(b"b")],
        failure=[build.get(b"b")],
    )
    say("transaction", done, len(answers), [(pair[0], pair[1].version) for pair in answers[1]])
    done, answers = await client.transaction(
        compare=[build.value(b"t") == b"2"], success=[build.put(b"t", b"3")], failure=[build.get(b"t")]
    )
    say("failed transaction", done, [pair[0] for pair in answers[0]])
    twice = [build.put(b"twice", b"1"), build.put(b"twice", b"2")]
    await refused("key twice", client.transaction(compare=[], success=twice, failure=[]))


async def leases(client: aetcd.Client) -> None:
    lease = await client.lease(60)
    await client.put(b"leased", b"x", lease=lease)
    say("lease", lease.ttl, await lease.granted_ttl(), list(await lease.keys()))
    say("refresh", (await lease.refresh()).TTL)
    await refused("lease twice", client.lease(60, lease_id=lease.id))
    await lease.revoke()
    say("revoked", await client.get(b"leased"))
    await refused("revoke again", lease.revoke())
    await refused("put with no lease", client.put(b"x", b"x", lease=12345))
    say("refresh of what is gone", (await lease.refresh()).TTL)
    lock = client.lock(b"lock", ttl=30)
    other = client.lock(b"lock", ttl=30)
    say("lock", await lock.acquire(timeout=PATIENCE), await other.acquire(timeout=0))
    waiting = asyncio.create_task(other.acquire(timeout=PATIENCE))
    say("released", await lock.release(), await waiting, await other.is_acquired())
    await other.release()


async def watches(client: aetcd.Client) -> None:
    first = (await client.put(b"w/1", b"one")).header.revision
    watch = await client.watch_prefix(b"w/", start_revision=first, prev_kv=True)
    deletes = await client.watch_prefix(b"w/", kind=aetcd.rtypes.EventKind.DELETE)
    await client.put(b"w/1", b"two")
    await client.delete(b"w/1")
    await client.put(b"w/2", b"x")
    events: list[Any] = []
    async with asyncio.timeout(PATIENCE):
        async for event in watch:
            events.append((str(event.kind), event.kv.key, event.kv.value, event.kv.mod_revision - first))
            if len(events) == 4:
                break
        async for event in deletes:
            say("deleted", event.kv.key)
            break
    say("watch", events)
    await watch.cancel()
    await deletes.cancel()
    await client.compact(first + 2, physical=True)
    await refused("compact again", client.compact(first + 2))
    await refused("read of what was compacted", client.get(b"w/1", revision=first))
    await refused("watch of what was compacted", client.watch_once(b"w/1", PATIENCE, start_revision=first))


async def maintenance(client: aetcd.Client) -> None:
    status = await client.status()
    say("status", status.version, status.leader is not None)
    say("members", [(member.name, len(member.client_urls)) async for member in client.members()])
    say("alarms", [alarm async for alarm in client.list_alarms()])
    await client.defragment()
    await refused("remove nobody", client.remove_member(1234))


async def main() -> None:
    host, port = address()
    if sys.argv[2:]:
        await of_user(host, port, *sys.argv[2:])
        return
    async with aetcd.Client(host, port, timeout=PATIENCE) as client:
        for part in (keys, transactions, leases, watches, maintenance):
            await part(client)
    say("done")


async def of_user(host: str, port: int, user: str, password: str) -> None:
    """With authentication on: the user may read from a to b."""
    await refused("wrong password", aetcd.Client(host, port, user, "wrong").connect())
    async with aetcd.Client(host, port, timeout=PATIENCE) as nobody:
        await refused("nobody", nobody.get(b"a"))
    async with aetcd.Client(host, port, user, password, timeout=PATIENCE) as client:
        say("allowed", shown(await client.get(b"a")))
        await refused("not allowed", client.put(b"a", b"x"))
        await refused("too much", client.get_all())
    say("done")


asyncio.run(main())
