"""A short run against real etcd, with txns, ranges, leases and compactions, is judged valid."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from gauntlet.api.errors import RpcError
from gauntlet.checkers.etcd import calls as c
from gauntlet.checkers.etcd import decide
from gauntlet.checkers.etcd.diagnose import diagnose
from gauntlet.checkers.etcd.replay import certify
from gauntlet.harness.client import EtcdClient
from porcupine.history import Operation, Outcome
from porcupine.search import Verdict

pytestmark = pytest.mark.upstream

PATHS = {
    c.Range: "/etcdserverpb.KV/Range",
    c.Put: "/etcdserverpb.KV/Put",
    c.Delete: "/etcdserverpb.KV/DeleteRange",
    c.Txn: "/etcdserverpb.KV/Txn",
    c.Compact: "/etcdserverpb.KV/Compact",
    c.Grant: "/etcdserverpb.Lease/LeaseGrant",
    c.Revoke: "/etcdserverpb.Lease/LeaseRevoke",
}


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        assert isinstance(port, int)
        return port


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[str]:
    """The client endpoint of a fresh member."""
    binary = os.environ.get("GAUNTLET_TEST_ETCD") or shutil.which("etcd")
    if not binary or not Path(binary).is_file():
        pytest.skip("no etcd: set GAUNTLET_TEST_ETCD, or have it on PATH")
    client, peer = (f"http://127.0.0.1:{unused_port()}" for _ in range(2))
    arguments = [
        *("--name", "m1", "--data-dir", str(tmp_path / "data"), "--log-level", "error"),
        *("--listen-client-urls", client, "--advertise-client-urls", client),
        *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
        *("--initial-cluster", f"m1={peer}"),
    ]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([binary, *arguments], stdout=log, stderr=subprocess.STDOUT)
        try:
            yield client
        finally:
            process.kill()
            process.wait(20)


async def record(
    endpoint: str,
    wire: Any,
    random_calls: Any,
    seed: int,
    count: int,
    timeout: float = 10,
    think: float = 0,
) -> list[Operation]:
    """Four clients, `count` random calls each, with up to `think` seconds between them."""
    rng = random.Random(f"{seed}:pace")
    chooser = random_calls(random.Random(f"{seed}:upstream"))
    operations: list[Operation] = []

    async def client(number: int) -> None:
        async with EtcdClient(endpoint, timeout=timeout) as session:
            await session.ready(30)
            for _ in range(count):
                await asyncio.sleep(think * rng.random())
                call = chooser.next()
                called = time.monotonic_ns()
                answer: c.Answer | None = None
                outcome = Outcome.OK
                try:
                    response: Any = await session.call(PATHS[type(call)], wire.request(call))
                    answer = wire.answer(call, response)
                    chooser.revision = max(chooser.revision, response.header.revision)
                except RpcError as error:
                    answer = c.Refused(error.message)
                    if answer not in c.REFUSALS:
                        answer, outcome = None, Outcome.FAILED if error.definite else Outcome.UNKNOWN
                returned = time.monotonic_ns()
                operations.append(Operation(number, call, called, returned, outcome, answer))

    await asyncio.gather(*map(client, range(4)))
    operations.sort(key=lambda operation: operation.call_time_ns)
    for number, operation in enumerate(operations):
        operation.id = number
    return operations


def calm(random_calls: Any, ttl: tuple[int, int]) -> Any:
    """Calls whose leases have a TTL between these two."""

    class Calm(random_calls):  # type: ignore[misc]  # a class from a fixture
        """Without the puts that bring etcd down: keeping a value in a txn that deletes as well."""

        def next(self) -> c.Call:
            call: c.Call = super().next()
            if isinstance(call, c.Grant) and call.ttl < 600:
                return c.Grant(call.id, self.rng.randint(*ttl))
            return call

        def txn(self, depth: int = 0) -> c.Txn:
            txn: c.Txn = super().txn(depth)
            while "Delete(" in repr(txn) and ("value=True" in repr(txn) or "lease=True" in repr(txn)):
                txn = super().txn(depth)
            return txn

    return Calm


@pytest.mark.parametrize("seed", range(3))
def test_real_etcd_is_judged_valid(seed: int, etcd: str, wire: Any, random_calls: Any) -> None:
    operations = asyncio.run(record(etcd, wire, calm(random_calls, (600, 600)), seed, 120))
    assert sum(operation.is_ok for operation in operations) > 400
    judgement = decide(operations, clock=time.monotonic, seconds=60)
    stuck = judgement.resolved
    shown = None if stuck is None else (stuck.stuck, stuck.rejection)
    assert judgement.verdict is Verdict.VALID, f"seed {seed}: {judgement.how} {judgement.reason} {shown}"


@pytest.mark.parametrize("seed", range(2))
def test_one_altered_answer_of_a_real_run_is_refuted(
    seed: int,
    etcd: str,
    wire: Any,
    random_calls: Any,
    altered: Any,
    fitting: dict[str, set[str]],
    possible: set[str],
) -> None:
    operations = asyncio.run(record(etcd, wire, calm(random_calls, (600, 600)), seed, 40))
    assert decide(operations, clock=time.monotonic, seconds=60).verdict is Verdict.VALID, f"seed {seed}"
    rng = random.Random(f"{seed}:altered")
    answered = [at for at, operation in enumerate(operations) if operation.is_ok]
    refuted, strange = 0, []
    for at in rng.sample(answered, 40):
        call, answer = operations[at].call, operations[at].response
        for name, other in altered(rng, call, answer):
            bent = [*operations[:at], replace(operations[at], response=other), *operations[at + 1 :]]
            judgement = decide(bent, clock=time.monotonic, seconds=60)
            told = f"seed {seed}, {name}: {operations[at]} bent to {other}: {judgement.how}"
            if judgement.verdict is Verdict.VALID:
                assert name in possible, told
                assert certify(judgement.operations, judgement.order) is None, told
                continue
            assert judgement.verdict is Verdict.INVALID, told
            refuted += 1
            label = diagnose(judgement).label
            if label not in fitting[name]:
                strange.append(f"{told}: {label}")
    assert refuted > 80
    assert len(strange) <= 0.05 * refuted, strange


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(30))
def test_leases_that_run_out_and_answers_that_are_lost(
    seed: int, etcd: str, wire: Any, random_calls: Any
) -> None:
    """Leases of 2 to 5 s run out on the way, and are granted again under the same number; some answers come
    too late for their client."""
    calls = calm(random_calls, (2, 5))
    operations = asyncio.run(record(etcd, wire, calls, seed, 100, timeout=0.02, think=0.15))
    assert operations[-1].call_time_ns - operations[0].call_time_ns > 5_000_000_000
    assert sum(operation.is_ok for operation in operations) > 40
    judgement = decide(operations, clock=time.monotonic, seconds=60)
    stuck = judgement.resolved
    shown = None if stuck is None else (stuck.stuck, stuck.rejection)
    lost = sum(operation.is_unknown for operation in operations)
    print(seed, len(operations), lost, len(judgement.witness.gaps), judgement.how, judgement.verdict)
    told = f"seed {seed}: {lost} unknown, {judgement.how} {judgement.reason} {shown}"
    assert judgement.verdict is not Verdict.INVALID, told
    assert judgement.verdict is Verdict.VALID or lost > 20, told
