"""Every fault on a real cluster: it bites, it is healed, the cluster serves again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from gauntlet.harness.client import EtcdClient
from gauntlet.harness.faults import FAULTS, FaultPlan, LeaderObserver, PlannedFault, Schedule
from gauntlet.harness.targets import TargetOptions, create_target
from gauntlet.harness.tools.cache import ToolError
from gauntlet.harness.tools.find import find_etcd, find_toxiproxy

pytestmark = [pytest.mark.upstream, pytest.mark.slow]

Run = Callable[[Coroutine[Any, Any, None]], None]

# Each fault once, some over each other; five members so that rings and splits are what they say.
SIDES = [["m1", "m2"], ["m3", "m4", "m5"]]
FAULTS_OF_A_RUN: list[tuple[str, float, float, dict[str, Any]]] = [
    ("cut", 0.0, 1.0, {"pair": ["m1", "m2"]}),
    ("client-latency", 0.2, 1.0, {"member": "m1", "latency": 50, "jitter": 10}),
    ("mute", 1.0, 2.0, {"from": "m2", "to": "m3"}),
    ("client-cut", 1.0, 2.0, {"member": "m2"}),
    ("isolate", 2.5, 3.5, {"member": "m3"}),
    ("pause", 2.5, 3.5, {"member": "m4"}),
    ("split", 4.5, 5.5, {"sides": SIDES}),
    ("latency", 4.7, 5.5, {"member": "m4", "latency": 30, "jitter": 5}),
    ("ring", 7.0, 8.0, {"circle": ["m1", "m3", "m5", "m2", "m4"]}),
    ("bridge", 9.5, 10.5, {"bridge": "m1", "sides": [["m2", "m3"], ["m4", "m5"]]}),
    ("client-mute", 9.5, 10.5, {"member": "m5", "lost": "answers"}),
    ("bandwidth", 11.5, 12.5, {"member": "m5", "rate": 8}),
    ("reset", 11.5, 12.5, {"member": "m1", "every": 0.3}),
    ("client-bandwidth", 11.5, 12.5, {"member": "m3", "rate": 32}),
    ("client-reset", 11.5, 12.5, {"member": "m4", "every": 0.3}),
    ("kill", 13.5, 14.5, {"member": "leader", "otherwise": "m1"}),
    ("isolate-leader", 17.0, 19.0, {"member": "leader", "otherwise": "m1"}),
    ("comeback", 21.0, 24.0, {"member": "m2", "otherwise": "m3", "lag": 0.5}),
    ("kill-all", 26.0, 26.5, {}),
]


@pytest.mark.parametrize("toxiproxy", ["embedded", "real"])
def test_every_fault_bites(run: Run, clock: Any, lines: Any, tmp_path: Path, toxiproxy: str) -> None:
    try:
        find_etcd("3.7.1", print)
    except ToolError as error:
        pytest.skip(f"etcd 3.7.1: {error}")
    if toxiproxy == "real" and find_toxiproxy() is None:
        pytest.skip("there is no toxiproxy-server on PATH or in the cache")
    assert {name for name, *_ in FAULTS_OF_A_RUN} == set(FAULTS)
    faults = [PlannedFault(f"f{n}", *fault) for n, fault in enumerate(FAULTS_OF_A_RUN, 1)]

    async def main() -> None:
        options = TargetOptions(directory=tmp_path, nodes=5, toxiproxy=toxiproxy)
        async with create_target("etcd:3.7.1", options) as target:
            clients = {name: EtcdClient(endpoint) for name, endpoint in target.direct_endpoints.items()}
            observer = LeaderObserver(clients, clock, type(lines)())
            observing = asyncio.create_task(observer.run())
            try:
                schedule = Schedule(
                    FaultPlan("all", 30.0, tuple(faults), ()), target, lines, leader=observer.current
                )
                await schedule.run(clock)
                target.check()
                await observer.sample()
                assert observer.current() is not None
            finally:
                observing.cancel()
                for client in clients.values():
                    await client.close()

    run(main())
    missed = [record for record in lines.lines if not record["evidence"]["bit"]]
    assert not missed
    assert len(lines.lines) == len(faults)
    kill = next(record for record in lines.lines if record["name"] == "kill")
    (victim,) = kill["targets"]
    assert kill["evidence"]["new_pids"][victim] != kill["evidence"]["pids"][victim]
    pause = next(record for record in lines.lines if record["name"] == "pause")
    assert pause["evidence"]["states"]["m4"] != "T"  # after the heal
