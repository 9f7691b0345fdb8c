"""200 SIGKILLs over a loaded cluster: every acknowledged write is there at the end, and the members agree.

Snapshots are taken every few hundred entries, so that kills meet them too. One kill in ten takes two members
at once, one in ten all of them.
"""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest
from gauntlet.api.errors import RpcError
from gauntlet.harness.client import EtcdClient
from gauntlet.harness.targets import Target, TargetOptions, create_target

KILLS = int(os.environ.get("GAUNTLET_KILLS", "200"))
SEED = int(os.environ.get("GAUNTLET_SEED", "1"))
WRITERS = 6
PREFIX = "kills/"


class Writers:
    """Clients that put one new key after the other and remember what was acknowledged."""

    def __init__(self, target: Target) -> None:
        endpoints = list(target.direct_endpoints.values())
        self._clients = [EtcdClient(endpoints[number % len(endpoints)]) for number in range(WRITERS)]
        self.acknowledged: dict[str, int] = {}
        self.attempts = 0
        self._stop = False

    async def run(self) -> None:
        await asyncio.gather(*(self._write(number) for number in range(WRITERS)))

    async def _write(self, number: int) -> None:
        count = 0
        while not self._stop:
            key = f"{PREFIX}{number}/{count:07d}"
            count += 1
            self.attempts += 1
            try:
                answer = await self._clients[number].put(key.encode(), key.encode(), timeout=2.0)
            except RpcError:
                await asyncio.sleep(0.02)
                continue
            self.acknowledged[key] = answer.header.revision

    async def stop(self, task: asyncio.Task[None]) -> None:
        self._stop = True
        await task
        for client in self._clients:
            await client.close()


async def kill_and_restart(target: Target, rng: random.Random) -> None:
    names = list(target.members)
    draw = rng.random()
    victims = names if draw < 0.1 else rng.sample(names, 2 if draw < 0.2 else 1)
    await asyncio.sleep(rng.random() * 0.3)  # the instant of the kill is drawn, not waited for
    await asyncio.gather(*(target.members[name].kill() for name in victims))
    await asyncio.gather(*(target.members[name].restart() for name in victims))
    await target.wait_healthy(30.0)


async def hashes(target: Target) -> set[tuple[int, int]]:
    found = set()
    for endpoint in target.direct_endpoints.values():
        client = EtcdClient(endpoint)
        # A linearizable read first, so that the member has caught up.
        await client.get(PREFIX.encode(), timeout=10.0)
        answer = await client.hash_kv(timeout=10.0)
        found.add((answer.hash, answer.header.revision))
        await client.close()
    return found


async def campaign(directory: Path, kills: int, seed: int) -> None:
    rng = random.Random(f"{seed}:kills")
    options = TargetOptions(directory=directory, nodes=3, toxiproxy="auto", flags=("--snapshot-count=300",))
    async with create_target("reference", options) as target:
        await target.wait_healthy(30.0)
        writers = Writers(target)
        task = asyncio.create_task(writers.run())
        for _ in range(kills):
            await kill_and_restart(target, rng)
        await writers.stop(task)
        await target.wait_healthy(30.0)

        client = EtcdClient(target.direct_endpoints["m1"])
        answer = await client.get(PREFIX.encode(), PREFIX.encode() + b"\xff", timeout=30.0)
        await client.close()
        stored = {pair.key.decode(): pair.mod_revision for pair in answer.kvs}
        lost = sorted(set(writers.acknowledged) - set(stored))
        print(f"{kills} kills, {len(writers.acknowledged)} of {writers.attempts} writes acknowledged")
        assert len(writers.acknowledged) > 10 * kills
        assert not lost, f"{len(lost)} acknowledged writes are gone, the first {lost[:5]}"
        moved = [key for key, revision in writers.acknowledged.items() if stored[key] != revision]
        assert not moved, f"acknowledged at another revision: {moved[:5]}"
        found = await hashes(target)
        assert len(found) == 1, f"the members differ: {found}"


@pytest.mark.campaign
def test_no_acknowledged_write_is_lost(tmp_path: Path) -> None:
    print(f"seed {SEED}: GAUNTLET_SEED={SEED} GAUNTLET_KILLS={KILLS} tox -e kills")
    asyncio.run(campaign(tmp_path, KILLS, SEED))


@pytest.mark.chaos
def test_no_acknowledged_write_is_lost_in_ten_kills(tmp_path: Path) -> None:
    asyncio.run(campaign(tmp_path, 10, SEED))
