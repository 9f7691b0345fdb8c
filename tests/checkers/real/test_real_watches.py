"""Watches of a real cluster under a writing load are judged valid; the same without one event are not."""

from __future__ import annotations

import asyncio
import copy
import random
from collections.abc import Callable
from typing import Any

import pytest
from gauntlet.checkers.records import Run
from gauntlet.checkers.watch import check_watch
from porcupine.search import Verdict

pytestmark = pytest.mark.chaos

WRITERS, WRITES = 4, 60
REQUESTS: dict[str, dict[str, Any]] = {
    "all": {"range_end": "\0"},
    "previous": {"range_end": "\0", "prev_kv": True, "progress_notify": True},
    "range": {"key": "k2", "range_end": "k6", "prev_kv": True},
    "one": {"key": "k3", "prev_kv": True},
    "no puts": {"range_end": "\0", "filters": ["noput"], "prev_kv": True},
    "no deletes": {"key": "k", "range_end": "l", "filters": ["nodelete"]},
    "fragments": {"range_end": "\0", "fragment": True, "start_revision": 2, "prev_kv": True},
}


async def write(client: Any, rng: random.Random, number: int) -> None:
    for turn in range(WRITES):
        key, value = f"k{rng.randrange(9)}", f"{number}.{turn}"
        match rng.randrange(10):
            case 0 | 1:
                await client.delete(key)
            case 2:
                await client.delete(key, f"k{rng.randrange(9)}")
            case 3 | 4:
                await client.txn({f"k{at}": value for at in rng.sample(range(9), 3)})
            case _:
                await client.put(key, value)


async def record(endpoints: dict[str, str], tools: Any, seed: int) -> Any:
    log = tools.log(endpoints)
    members = list(endpoints)
    clients: list[Any] = []

    def client(name: str) -> Any:
        clients.append(tools.client(log, name, members[len(clients) % len(members)]))
        return clients[-1]

    goal: int | None = None
    first = client("first")
    for turn in range(30):  # more than one answer can hold, so that it comes in fragments
        await first.put("big", f"{turn}" + "x" * 100_000)
    followers = []
    for name, request in REQUESTS.items():
        watch = tools.watch(client(f"watch {name}"), "w1", **request)
        await watch.open()
        followers.append(asyncio.create_task(watch.follow(lambda: goal)))

    async def restarting() -> None:
        """Watches to the first event or progress, and goes on from there with another watcher."""
        start, number = 2, 0
        mine = client("restarting")
        while goal is None or start <= goal:
            number += 1
            watch = tools.watch(mine, f"w{number}", range_end="\0", start_revision=start, prev_kv=True)
            await watch.open()
            await watch.follow(lambda begin=start: begin)
            assert not watch.ended
            start = watch.reached + 1

    followers.append(asyncio.create_task(restarting()))
    writers = [write(client(f"writer {n}"), random.Random(f"{seed}:{n}"), n) for n in range(WRITERS)]
    await tools.gather(*writers)
    last = await first.put("k0", "last")
    goal = last.header.revision
    await tools.gather(*followers)
    compacted = goal - 20
    await first.compact(compacted)
    for name, start in (("below", compacted - 30), ("at", compacted), ("above", compacted + 5)):
        watch = tools.watch(first, name, range_end="\0", start_revision=start, prev_kv=True)
        await watch.open()
        await watch.follow(lambda: goal)
        assert watch.ended == (name == "below")
    await first.get("", "\0")
    for each in clients:
        await each.close()
    return log


def test_real_watches_are_valid_and_a_lost_event_is_seen(cluster: Callable[..., Any], tools: Any) -> None:
    seed = random.SystemRandom().randrange(1 << 30)
    print(f"seed {seed}")

    async def play() -> Any:
        async with cluster(nodes=3) as endpoints:
            return await asyncio.wait_for(record(endpoints, tools, seed), 4 * tools.patience)

    log = asyncio.run(play())
    assert any(line.get("fragment") for line in log.watches), "nothing came in fragments"
    run = log.run()
    result = check_watch(run)
    assert result.verdict is Verdict.VALID, result.summary + str(result.details["findings"][:3])
    states = {name: each["state"] for name, each in result.details["guarantees"].items()}
    assert {name for name, state in states.items() if state != "valid"} <= {"agreement"}

    rng = random.Random(seed)
    told = [each for each in run.watches if sum(bool(delivery.events) for delivery in each.deliveries) > 1]
    for watcher in rng.sample(told, min(len(told), 8)):
        bent = copy.deepcopy(watcher)
        chosen = rng.choice([each for each in bent.deliveries if each.events][:-1])
        place = rng.randrange(len(chosen.events))
        del chosen.events[place], chosen.prev[place]
        others = [each if each is not watcher else bent for each in run.watches]
        result = check_watch(Run(run.history, watches=others, notes=dict(run.notes)))
        assert result.verdict is Verdict.INVALID, f"{watcher} without an event"
