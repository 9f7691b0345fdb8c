"""Hostile clients of every kind (wire_fuzzers.py) on a node that serves a hundred good ones meanwhile.

The good ones are not disturbed: no error, no wrong answer, no event lost or out of order, no long wait. The
node's memory stays bounded and does not grow, and when the hostile ones are gone so are their connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import statistics
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.harness.client import EtcdClient, Stream

SECONDS = float(os.environ.get("GAUNTLET_FUZZ_SECONDS", "600"))
SEED = os.environ.get("GAUNTLET_SEED", "1")
KINDS = os.environ.get("GAUNTLET_FUZZ_KINDS", "").split()
CLIENTS = 100
DEADLINE = 20.0  # of one operation, seconds
PAUSE = 1.0
P99 = 5.0  # of all operations of the good clients, seconds
# Bytes. What the greedy kinds ask for at once: two workers each of slow_reader and window_games, 200 and 100
# reads of 200,000 bytes; the same again of those that were just aborted, unheard; and what is between.
GROWTH = 2 * 2 * (200 + 100) * 200_000 + (128 << 20)
LEAK = 25 << 20  # bytes from the third quarter to the last
COMPACT_EVERY = 5.0
START = 60.0
ENOUGH = 10  # measurements of memory that make a quarter worth comparing


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


@contextlib.asynccontextmanager
async def lone_node(folder: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, int, int]]:
    """A node with a plain and a TLS port; its process and the two."""
    plain, secure, peer = free_ports(3)
    urls = f"http://127.0.0.1:{plain},https://127.0.0.1:{secure}"
    with (folder / "node.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gauntlet.reference.server.main", "--name", "m", "--auto-tls"),
            *("--data-dir", str(folder / "data"), "--snapshot-count", "2000", "--unsafe-no-fsync"),
            *("--listen-client-urls", urls, "--advertise-client-urls", urls),
            *("--listen-peer-urls", f"http://127.0.0.1:{peer}"),
            *("--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}"),
            *("--initial-cluster", f"m=http://127.0.0.1:{peer}"),
            stdout=log,
            stderr=log,
        )
    try:
        yield process, plain, secure
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


class Good:
    """One client: puts, reads what it put, and sees it on its watch."""

    def __init__(self, endpoint: str, number: int, stop: asyncio.Event) -> None:
        self.client = EtcdClient(endpoint)
        self.prefix = b"good/%03d/" % number
        self.waits: list[float] = []
        self.stop = stop

    async def run(self, offset: float) -> None:
        await self.client.ready(START)
        create = pb.WatchCreateRequest(key=self.prefix, range_end=self.prefix[:-1] + b"0")
        watch = await self.client.watch(pb.WatchRequest(create_request=create))
        created = await watch.receive(timeout=START)
        assert created is not None
        assert created.created
        await self._rest(offset)
        number = 0
        while not self.stop.is_set():
            number += 1
            await self._round(watch, number)
            await self._rest(PAUSE)
        await watch.close()
        await self.client.close()

    async def _rest(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.stop.wait(), seconds)

    async def _round(self, watch: Stream[Any, pb.WatchResponse], number: int) -> None:
        key, value = self.prefix + b"%d" % (number % 5), b"%d" % number
        clock = asyncio.get_running_loop().time
        begun = clock()
        put = await self.client.put(key, value, timeout=DEADLINE)
        self.waits.append(clock() - begun)
        begun = clock()
        event = await watch.receive(timeout=DEADLINE)
        self.waits.append(clock() - begun)
        assert event is not None
        seen = [(item.kv.key, item.kv.value, item.kv.mod_revision) for item in event.events]
        assert seen == [(key, value, put.header.revision)]
        begun = clock()
        answer = await self.client.get(key, timeout=DEADLINE)
        self.waits.append(clock() - begun)
        assert [(pair.value, pair.mod_revision) for pair in answer.kvs] == [(value, put.header.revision)]


class Gauge:
    """The node's memory, and one client that compacts the store so that it is not the history that grows."""

    def __init__(self, pid: int, client: EtcdClient, stop: asyncio.Event) -> None:
        self._process = psutil.Process(pid)
        self._client = client
        self._stop = stop
        self.memory = [self.rss()]

    def rss(self) -> int:
        return int(self._process.memory_info().rss)

    def sockets(self) -> set[tuple[int, int, str]]:
        """The client's port, ours, and the state of each connection."""
        open_ = self._process.net_connections("tcp")
        return {(one.raddr.port, one.laddr.port, one.status) for one in open_ if one.raddr}

    async def run(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), COMPACT_EVERY)
            answer = await self._client.put(b"gauge", b"", timeout=DEADLINE)
            await self._client.compact(answer.header.revision, timeout=DEADLINE)
            self.memory.append(self.rss())

    def verdict(self) -> str:
        """What memory did. Compares the quarters after the first half."""
        start, peak = self.memory[0], max(self.memory)
        print("MiB:", *(size >> 20 for size in self.memory))
        assert peak < start + GROWTH, f"memory went from {start:,} to {peak:,} bytes"
        half = self.memory[len(self.memory) // 2 :]
        middle = len(half) // 2
        if middle >= ENOUGH:
            earlier, later = statistics.median(half[:middle]), statistics.median(half[middle:])
            assert later < earlier + LEAK, f"memory still grows: median {earlier:,}, then {later:,} bytes"
        return (
            f"memory {start >> 20} MiB at the start, {peak >> 20} at most, {self.memory[-1] >> 20} at the end"
        )


def left_open(gauge: Gauge, shares: dict[str, Any]) -> list[tuple[str, str]]:
    """The hostile connections that are still open: kind and state."""
    kinds = {tuple(ends): kind for kind, share in shares.items() for ends in share["ends"]}
    return [(kinds[far, near], state) for far, near, state in gauge.sockets() if (far, near) in kinds]


async def until(holds: Callable[[], bool], what: Callable[[], str]) -> None:
    deadline = asyncio.get_running_loop().time() + START
    while not holds():
        assert asyncio.get_running_loop().time() < deadline, f"waited {START:g} s in vain for {what()}"
        await asyncio.sleep(0.1)


async def fuzz(folder: Path, seconds: float, seed: str, kinds: list[str]) -> None:
    async with lone_node(folder) as (process, plain, secure):
        stop = asyncio.Event()
        keeper = EtcdClient(f"127.0.0.1:{plain}")
        await keeper.ready(START)
        goods = [Good(f"127.0.0.1:{plain}", number, stop) for number in range(CLIENTS)]
        async with asyncio.TaskGroup() as group:
            for number, good in enumerate(goods):
                group.create_task(good.run(PAUSE * number / CLIENTS))
            await until(
                lambda: min(len(good.waits) for good in goods) >= 3, lambda: "a round of every client"
            )
            gauge = Gauge(process.pid, keeper, stop)
            calm = len(goods[0].waits)
            group.create_task(gauge.run())
            hostile = await asyncio.create_subprocess_exec(
                *(sys.executable, str(Path(__file__).with_name("wire_fuzzers.py"))),
                *(str(plain), str(secure), str(seconds), seed, *kinds),
                stdout=asyncio.subprocess.PIPE,
            )
            printed, _ = await hostile.communicate()
            assert hostile.returncode == 0
            shares = json.loads(printed)
            await until(
                lambda: not left_open(gauge, shares), lambda: f"{left_open(gauge, shares)} to be closed"
            )
            stop.set()
        report(shares, goods, calm, gauge)
        assert process.returncode is None
        assert (await keeper.get(b"gauge", timeout=DEADLINE)).count == 1
        await keeper.close()
    assert b'"level":"error"' not in (folder / "node.log").read_bytes()


def report(shares: dict[str, Any], goods: list[Good], calm: int, gauge: Gauge) -> None:
    for kind, had in shares.items():
        connections, refused, megabytes = had["connections"], had["refused"], had["sent"] / 1e6
        print(f"{kind:22} {connections:7,} connections, {refused:7,} cut off, {megabytes:9,.1f} MB")
        assert connections, f"{kind} never had a connection"
    waits = sorted(wait for good in goods for wait in good.waits[calm:])
    shown = {name: waits[int(len(waits) * share)] for name, share in (("p50", 0.5), ("p99", 0.99))}
    print(
        f"{len(waits):,} operations of {CLIENTS} clients, "
        + ", ".join(
            f"{name} {1000 * value:.1f} ms" for name, value in (*shown.items(), ("longest", waits[-1]))
        )
    )
    print(gauge.verdict())
    assert shown["p99"] < P99


@pytest.mark.campaign
def test_good_clients_are_not_disturbed(tmp_path: Path) -> None:
    print(f"seed {SEED}: GAUNTLET_SEED={SEED} GAUNTLET_FUZZ_SECONDS={SECONDS:g} tox -e fuzz")
    asyncio.run(fuzz(tmp_path, SECONDS, SEED, KINDS))


@pytest.mark.slow
def test_good_clients_are_not_disturbed_for_ten_seconds(tmp_path: Path) -> None:
    asyncio.run(fuzz(tmp_path, 10.0, SEED, KINDS))
