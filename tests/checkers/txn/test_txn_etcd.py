"""Transactions of real clients on one member, ours and etcd's: valid as recorded, refuted when altered.

Lists are read, and then written in a transaction that compares every mod_revision that was read; registers
run as one etcd transaction of ranges and puts, in the order of the micro-operations.
"""

from __future__ import annotations

import asyncio
import copy
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gauntlet.api.errors import RpcError
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.checkers import by_name
from gauntlet.checkers.records import load
from gauntlet.harness.client import EtcdClient
from porcupine import Verdict

Record = dict[str, Any]
RELEASE = "3.7.1"
SECONDS = 40.0
CLIENTS, EACH, KEYS = 8, 40, 4


def _etcd() -> str | None:
    for candidate in (os.environ.get("GAUNTLET_TEST_ETCD"), shutil.which("etcd")):
        if candidate:
            said = subprocess.run([candidate, "--version"], capture_output=True, text=True, check=False)
            if f"etcd Version: {RELEASE}" in said.stdout:
                return candidate
    return None


def _port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(params=["reference", pytest.param("etcd", marks=pytest.mark.upstream)])
def endpoint(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A member of one kind, ready to serve."""
    command = [sys.executable, "-m", "gauntlet.reference.server.main"]
    if request.param == "etcd":
        etcd = _etcd()
        if etcd is None:
            pytest.skip(f"no etcd {RELEASE}: set GAUNTLET_TEST_ETCD or put it on PATH")
        command = [etcd]
    address, peer = f"127.0.0.1:{_port()}", f"http://127.0.0.1:{_port()}"
    client = f"http://{address}"
    flags = ["--name", "m1", "--data-dir", str(tmp_path / "m1"), "--initial-cluster", f"m1={peer}"]
    flags += ["--listen-client-urls", client, "--advertise-client-urls", client]
    flags += ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([*command, *flags], stdout=log, stderr=log)
    try:
        asyncio.run(_until_it_serves(address, process))
        yield address
    finally:
        process.kill()
        process.wait()


async def _until_it_serves(address: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + SECONDS
    async with EtcdClient(address) as client:
        while True:
            assert process.poll() is None, "the member has ended"
            try:
                await client.get(b"x", timeout=2.0)
                return
            except RpcError:
                assert time.monotonic() < deadline, "the member does not serve"
                await asyncio.sleep(0.05)  # polls a server that is starting


class Recorder:
    """Clients that run random transactions at the same time."""

    def __init__(self, seed: int, lists: bool) -> None:
        self.seed = seed
        self.lists = lists
        self.records: list[Record] = []
        self.written = 0

    async def run(self, address: str) -> list[Record]:
        await asyncio.gather(*(self._client(number, address) for number in range(CLIENTS)))
        return self.records

    async def _client(self, number: int, address: str) -> None:
        rng = random.Random(f"{self.seed}:{number}")
        async with EtcdClient(address, timeout=SECONDS) as client:
            for _ in range(EACH):
                await self._one(number, client, self._draw(rng))

    def _draw(self, rng: random.Random) -> list[list[Any]]:
        micro: list[list[Any]] = []
        written = set()
        for _ in range(rng.randint(1, 4)):
            key = f"k{rng.randrange(KEYS)}"
            if rng.random() < 0.5 or (key in written and not self.lists):
                micro.append(["r", key, None])  # etcd refuses two puts of a key in one transaction
            else:
                written.add(key)
                self.written += 1
                micro.append(["append" if self.lists else "w", key, self.written])
        return micro

    async def _one(self, number: int, client: EtcdClient, asked: list[list[Any]]) -> None:
        record: Record = {
            "id": len(self.records),
            "client": number,
            "op": "txn",
            "args": {"txn": asked},
            "call_ns": time.monotonic_ns(),
            "outcome": "unknown",
            "response": None,
        }
        self.records.append(record)
        try:
            record["response"] = await (self._append if self.lists else self._registers)(client, asked)
            record["outcome"] = "ok" if record["response"] is not None else "failed"
        finally:
            record["return_ns"] = time.monotonic_ns()

    async def _registers(self, client: EtcdClient, asked: list[list[Any]]) -> Record:
        answer = await client.txn(success=[_op(f, key, str(value)) for f, key, value in asked])
        micro, mods = [], []
        for (f, key, value), response in zip(asked, answer.responses, strict=True):
            kvs = response.response_range.kvs if f == "r" else []
            micro.append([f, key, (int(kvs[0].value) if kvs else None) if f == "r" else value])
            mods.append((kvs[0].mod_revision if kvs else 0) if f == "r" else None)
        return {"txn": micro, "revision": answer.header.revision, "mod_revisions": mods}

    async def _append(self, client: EtcdClient, asked: list[list[Any]]) -> Record | None:
        keys = sorted({key for _, key, _ in asked})
        seen = await client.txn(success=[_op("r", key) for key in keys])
        lists: dict[str, list[int]] = {}
        found: dict[str, int] = {}
        for key, response in zip(keys, seen.responses, strict=True):
            kvs = response.response_range.kvs
            lists[key] = json.loads(kvs[0].value) if kvs else []
            found[key] = kvs[0].mod_revision if kvs else 0
        micro, mods = [], []
        for f, key, value in asked:
            if f == "append":
                lists[key] = [*lists[key], value]
            micro.append([f, key, list(lists[key]) if f == "r" else value])
            mods.append(found[key] if f == "r" else None)
        changed = {key for f, key, _ in asked if f == "append"}
        revision = seen.header.revision
        if changed:
            unchanged = [
                pb.Compare(
                    result=pb.Compare.EQUAL, target=pb.Compare.MOD, key=key.encode(), mod_revision=found[key]
                )
                for key in keys
            ]
            puts = [_op("w", key, json.dumps(lists[key])) for key in sorted(changed)]
            answer = await client.txn(unchanged, puts)
            if not answer.succeeded:
                return None
            revision = answer.header.revision
        return {"txn": micro, "revision": revision, "mod_revisions": mods}


def _op(f: str, key: str, value: str = "") -> pb.RequestOp:
    if f == "r":
        return pb.RequestOp(request_range=pb.RangeRequest(key=key.encode()))
    return pb.RequestOp(request_put=pb.PutRequest(key=key.encode(), value=value.encode()))


def _older(records: list[Record]) -> None:
    """A late read shows what an early one showed."""
    reads = [
        (record, micro)
        for record in records
        if record["outcome"] == "ok" and all(f == "r" for f, _, _ in record["args"]["txn"])
        for micro in record["response"]["txn"]
    ]
    early, late = next(
        (early, late)
        for _, early in reads
        for record, late in reversed(reads)
        if early[2] and early[1] == late[1] and early[2] != late[2] and len(record["response"]["txn"]) == 1
    )
    late[2] = early[2]


def _invented(records: list[Record]) -> None:
    """A read shows what nobody wrote."""
    read = next(
        m for r in records if r["outcome"] == "ok" for m in r["response"]["txn"] if m[0] == "r" and m[2]
    )
    read[2] = [*read[2], 10**6] if isinstance(read[2], list) else 10**6


def _misplaced(records: list[Record]) -> None:
    """Two writers exchange their revisions."""
    writers = [
        r for r in records if r["outcome"] == "ok" and any(f != "r" for f, _, _ in r["response"]["txn"])
    ]
    one, other = writers[3]["response"], writers[-3]["response"]
    one["revision"], other["revision"] = other["revision"], one["revision"]


@pytest.mark.slow
@pytest.mark.parametrize("lists", [True, False], ids=["lists", "registers"])
def test_recorded_transactions_are_valid_and_altered_ones_are_not(endpoint: str, lists: bool) -> None:
    seed = 7
    records = asyncio.run(Recorder(seed, lists).run(endpoint))
    result = _judge(records)
    assert result.verdict is Verdict.VALID, (seed, result.explanation)
    assert result.details["transactions"] > CLIENTS * EACH / 4
    assert result.details["by_revision"]["edges"] > 0
    alterations: list[Callable[[list[Record]], None]] = [_older, _invented, _misplaced]
    for alter in alterations:
        changed = copy.deepcopy(records)
        alter(changed)
        altered = _judge(changed)
        assert altered.verdict is Verdict.INVALID, alter
        assert altered.explanation["operations"]
        lies_about_revisions = "values alone could be explained" in altered.details.get("disagreement", "")
        assert lies_about_revisions == (alter is _misplaced)


def _judge(records: list[Record]) -> Any:
    return by_name("txn")(load([json.dumps(record) for record in records]))
