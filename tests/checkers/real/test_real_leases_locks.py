"""Leases, locks and elections of a real cluster are judged valid; with one answer altered they are not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from gauntlet.checkers.election import check_elections
from gauntlet.checkers.etcd import calls as c
from gauntlet.checkers.lease import check_leases
from gauntlet.checkers.lock import check_locks
from gauntlet.checkers.records import Run
from gauntlet.checkers.verdict import CheckResult
from porcupine.history import History, Operation
from porcupine.search import Verdict

pytestmark = pytest.mark.chaos

TTL = 2  # seconds: the shortest that a cluster with the default election time-out grants
LONG = 600
PAUSE = 0.25


def broken(result: CheckResult) -> list[str]:
    return [name for name, each in result.details["guarantees"].items() if each["state"] == "invalid"]


def bent(run: Run, chosen: Operation, response: Any) -> Run:
    """The run with one answer altered."""
    return Run(
        History([replace(each, response=response) if each is chosen else each for each in run.history])
    )


async def until_gone(client: Any, lease: int) -> None:
    """The caller bounds the time."""
    while True:
        if not (await client.time_to_live(lease)).grantedTTL:
            return
        await asyncio.sleep(PAUSE)


async def kept_and_left(client: Any, log: Any, tools: Any) -> None:
    """A lease that is kept for three times its TTL, and then left alone until it and its key are gone."""
    lease = await client.grant(TTL)
    key = f"key {client.name}"
    await client.put(key, "v", lease)
    begin = log.ns()
    while log.ns() - begin < 3 * TTL * 1e9:
        await client.keep_alive(lease)
        await client.time_to_live(lease)
        await client.get(key)
        await asyncio.sleep(PAUSE)
    await until_gone(client, lease)
    await client.get(key)
    await client.keep_alive(lease)


async def revoked(client: Any) -> None:
    lease = await client.grant(LONG)
    await client.put("revoked", "v", lease)
    await client.put("freed", "v", lease)
    await client.put("freed", "w")
    await client.time_to_live(lease)
    await client.revoke(lease)
    await client.get("revoked")
    await client.get("freed")
    await client.time_to_live(lease)
    assert await client.put("revoked", "v", lease) is None


def test_real_leases_are_valid_and_an_early_end_is_seen(cluster: Callable[..., Any], tools: Any) -> None:
    async def play() -> Run:
        async with cluster(nodes=3) as endpoints:
            log = tools.log(endpoints)
            clients = [tools.client(log, f"c{n}", member) for n, member in enumerate(endpoints)]
            calls = [kept_and_left(each, log, tools) for each in clients[:2]]
            await asyncio.wait_for(tools.gather(*calls, revoked(clients[2])), 2 * tools.patience)
            for each in clients:
                await each.close()
            run: Run = log.run()
            return run

    run = asyncio.run(play())
    result = check_leases(run)
    assert not broken(result), result.details["findings"]
    assert result.verdict is Verdict.VALID, result.summary

    answers = [each for each in run.history if isinstance(each.response, c.TimeToLiveAnswer)]
    one: Any = next(each for each in answers if getattr(each.response, "granted_ttl", 0) == LONG)
    gone = c.TimeToLiveAnswer(1, one.call.id, -1, 0, ())
    assert "lives" in broken(check_leases(bent(run, one, gone)))
    after = [each for each in answers if getattr(each.call, "id", 0) == one.call.id][-1]
    back = c.TimeToLiveAnswer(1, one.call.id, 1, LONG, ())
    assert "final" in broken(check_leases(bent(run, after, back)))


async def contender(client: Any, turns: int) -> None:
    lease = await client.grant(LONG)
    for turn in range(turns):
        token = await client.lock("l", lease)
        await client.txn({"resource": f"{client.name} {turn}"}, (f"l/{lease:x}", token))
        await client.unlock("l", lease)


async def forgetful(client: Any) -> None:
    """Goes on after its lease has run out: the fence holds it off."""
    lease = await client.grant(TTL)
    token = await client.lock("l", lease)
    await until_gone(client, lease)
    answer = await client.txn({"resource": "late"}, (f"l/{lease:x}", token))
    assert not answer.succeeded


def test_real_locks_are_valid_and_two_holders_are_seen(cluster: Callable[..., Any], tools: Any) -> None:
    async def play() -> Run:
        async with cluster(nodes=3) as endpoints:
            log = tools.log(endpoints)
            members = list(endpoints)
            clients = [tools.client(log, f"c{n}", members[n % 3]) for n in range(5)]
            calls = [contender(each, 6) for each in clients[1:]]
            await asyncio.wait_for(tools.gather(forgetful(clients[0]), *calls), 3 * tools.patience)
            for each in clients:
                await each.close()
            run: Run = log.run()
            return run

    run = asyncio.run(play())
    result = check_locks(run)
    assert result.verdict is Verdict.VALID, result.summary + str(result.details["findings"])
    assert result.details["guarded_writes"] == 24
    assert result.details["guarded_writes_refused"] == 1
    # A write of the first holder, moved behind all others, is one of a former holder.
    writes = [
        each for each in run.history if isinstance(each.response, c.TxnAnswer) and each.response.succeeded
    ]
    answers: list[Any] = [each.response for each in writes]
    late = answers[0]._replace(revision=answers[-1].revision + 1)
    assert "fencing" in broken(check_locks(bent(run, writes[0], late)))
    # The first to let go keeps what it holds: the next one overlaps, and its lease lives.
    released = next(each for each in run.history if isinstance(each.call, tuple) and each.call[0] == "unlock")
    without = Run(History([each for each in run.history if each is not released]))
    assert check_locks(without).verdict is Verdict.INVALID


async def candidate(client: Any, turns: int, elected: list[int]) -> None:
    lease = await client.grant(LONG)
    for turn in range(turns):
        leader = await client.campaign("e", lease, f"{client.name} {turn}")
        await client.leader("e")
        await client.proclaim(leader, f"{client.name} {turn} again")
        elected.append(leader.rev)
        await client.leader("e")
        await client.resign(leader)


def test_real_elections_are_valid_and_an_older_leader_is_seen(
    cluster: Callable[..., Any], tools: Any
) -> None:
    async def play() -> Run:
        async with cluster(nodes=3) as endpoints:
            log = tools.log(endpoints)
            members = list(endpoints)
            clients = [tools.client(log, f"c{n}", members[n % 3]) for n in range(5)]
            watching = [tools.client(log, f"o{n}", members[n % 3]) for n in range(2)]
            elected: list[int] = []
            last: list[int] = []
            observers = [
                asyncio.create_task(each.observe("e", lambda seen: bool(last) and seen >= last[0]))
                for each in watching
            ]
            calls = [candidate(each, 4, elected) for each in clients[1:]]
            await asyncio.wait_for(tools.gather(*calls), 3 * tools.patience)
            lease = await clients[0].grant(LONG)
            leader = await clients[0].campaign("e", lease, "the last")
            last.append(leader.rev)
            await clients[0].proclaim(leader, "and out")
            await asyncio.wait_for(tools.gather(*observers), tools.patience)
            for each in (*clients, *watching):
                await each.close()
            assert elected == sorted(elected)
            run: Run = log.run()
            return run

    run = asyncio.run(play())
    result = check_elections(run)
    assert result.verdict is Verdict.VALID, result.summary + str(result.details["findings"])
    states = {name: each["state"] for name, each in result.details["guarantees"].items()}
    exercised = {"granted", "one_leader", "order", "observe", "proclaim", "resign", "exclusion"}
    assert all(states[name] == "valid" for name in exercised), states
    shown = [each for each in run.history if isinstance(each.call, tuple) and each.call[0] == "leader"]
    answers: list[Any] = [each.response for each in shown]
    first, later = dict(answers[0]), dict(answers[-1])
    swapped = tuple(sorted({**later, "kv": first["kv"]}.items()))
    assert check_elections(bent(run, shown[-1], swapped)).verdict is Verdict.INVALID
