"""The schedule on a target that is only endpoints: client faults, records, and healing whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from gauntlet.harness.faults import FaultPlan, PlannedFault, Schedule
from gauntlet.harness.targets import Target, TargetError, TargetOptions, create_target
from gauntlet.harness.toxiproxy.adapter import ToxiproxyRefused

Run = Callable[[Coroutine[Any, Any, None]], None]
Healthy = Callable[[int], AbstractAsyncContextManager[list[str]]]


@asynccontextmanager
async def endpoints(healthy: Healthy, folder: Path) -> AsyncIterator[Target]:
    async with healthy(2) as addresses:
        options = TargetOptions(directory=folder, toxiproxy="embedded")
        async with create_target("endpoints:" + ",".join(addresses), options) as target:
            yield target


def plan(*faults: tuple[str, float, float, dict[str, Any]]) -> FaultPlan:
    planned = [PlannedFault(f"f{n}", name, a, b, params) for n, (name, a, b, params) in enumerate(faults, 1)]
    return FaultPlan("test", 10.0, tuple(planned), ())


EVERY_CLIENT_FAULT = plan(
    ("client-cut", 0.0, 0.4, {"member": "m1"}),
    ("client-latency", 0.1, 0.5, {"member": "m2", "latency": 40, "jitter": 10}),
    ("client-mute", 0.7, 1.0, {"member": "m1", "lost": "requests"}),
    ("client-mute", 0.7, 1.0, {"member": "m2", "lost": "answers"}),
    ("client-bandwidth", 1.1, 1.4, {"member": "m1", "rate": 8}),
    ("client-reset", 1.1, 1.5, {"member": "m2", "every": 0.1}),
)


def test_faults_bite_are_recorded_and_healed(
    run: Run, clock: Any, lines: Any, healthy: Healthy, tmp_path: Path
) -> None:
    async def main() -> None:
        async with endpoints(healthy, tmp_path) as target:
            schedule = Schedule(EVERY_CLIENT_FAULT, target, lines, recovery=5.0)
            await schedule.run(clock)
            assert schedule.active == []
            assert schedule.records == lines.lines
            assert schedule.recovered_ns is not None
            assert await target.links.unclean() == []

    run(main())
    assert sorted(record["id"] for record in lines.lines) == ["f1", "f2", "f3", "f4", "f5", "f6"]
    for record in lines.lines:
        assert set(record) == {"id", "name", "kind", "start_ns", "end_ns", "targets", "params", "evidence"}
        assert record["evidence"]["bit"] is True, record
        planned = next(fault for fault in EVERY_CLIENT_FAULT.faults if fault.id == record["id"])
        assert record["start_ns"] >= planned.start * 1e9
        assert record["end_ns"] >= planned.end * 1e9
        assert record["targets"] == [f"client>{planned.params['member']}"]
    cut = next(record for record in lines.lines if record["name"] == "client-cut")
    assert cut["evidence"]["probes"][0]["result"] == "refused"


def test_overlapping_faults_on_one_link(
    run: Run, clock: Any, lines: Any, healthy: Healthy, tmp_path: Path
) -> None:
    """The second outlives the first on the same link; each still shows that it bit."""
    together = plan(
        ("client-cut", 0.0, 0.3, {"member": "m1"}),
        ("client-cut", 0.1, 0.6, {"member": "m1"}),
        ("client-latency", 0.1, 0.4, {"member": "m1", "latency": 20, "jitter": 0}),
        ("client-mute", 0.0, 0.5, {"member": "m1", "lost": "answers"}),
    )

    async def main() -> None:
        async with endpoints(healthy, tmp_path) as target:
            schedule = Schedule(together, target, lines, recovery=5.0)
            await schedule.run(clock)
            assert await target.links.unclean() == []

    run(main())
    assert [record["evidence"]["bit"] for record in lines.lines] == [True] * 4


def test_a_cancelled_schedule_heals_and_records(
    run: Run, clock: Any, lines: Any, healthy: Healthy, tmp_path: Path
) -> None:
    forever = plan(
        ("client-cut", 0.0, 60.0, {"member": "m1"}),
        ("client-reset", 0.0, 60.0, {"member": "m2", "every": 0.05}),
        ("client-cut", 50.0, 60.0, {"member": "m2"}),
    )

    async def main() -> None:
        async with endpoints(healthy, tmp_path) as target:
            schedule = Schedule(forever, target, lines)
            task = asyncio.create_task(schedule.run(clock))
            while (await target.links.probe(target.links.client("m1")))["result"] != "refused":
                assert not task.done()
            assert any(shown.startswith("client-cut") for shown in schedule.active)
            task.cancel()
            await asyncio.sleep(0)
            task.cancel()  # an impatient user
            with pytest.raises(asyncio.CancelledError):
                await task
            assert schedule.active == []
            assert await target.links.unclean() == []

    run(main())
    assert sorted(record["id"] for record in lines.lines) == ["f1", "f2"]
    assert all(record["evidence"]["cut short"] for record in lines.lines)


def test_what_a_target_cannot_do_is_refused_with_the_reason(
    run: Run, clock: Any, lines: Any, healthy: Healthy, tmp_path: Path
) -> None:
    async def main() -> None:
        async with endpoints(healthy, tmp_path) as target:
            await Schedule(plan(("kill", 0.0, 0.2, {"member": "m1"})), target, lines).run(clock)

    run(main())
    (record,) = lines.lines
    assert record["targets"] == []
    assert record["start_ns"] == record["end_ns"]
    assert record["evidence"]["bit"] is False
    assert "no processes of ours" in record["evidence"]["refused"]


def test_a_failing_server_fails_the_run_and_the_rest_is_healed(
    run: Run, clock: Any, lines: Any, healthy: Healthy, tmp_path: Path
) -> None:
    async def main() -> None:
        async with endpoints(healthy, tmp_path) as target:
            schedule = Schedule(
                plan(
                    ("client-cut", 0.0, 60.0, {"member": "m2"}),
                    ("client-latency", 0.2, 60.0, {"member": "m1", "latency": 5, "jitter": 0}),
                ),
                target,
                lines,
            )
            api = target.links._api
            # Somebody's toxic is in the way of ours.
            await asyncio.to_thread(
                api.add_toxic, "client-m1", "noop", name="f2-latency-upstream", stream="upstream"
            )
            with pytest.raises(ToxiproxyRefused, match="already exists"):
                await schedule.run(clock)
            assert (await target.links.state(target.links.client("m2"))).enabled

    run(main())
    assert {record["id"] for record in lines.lines} == {"f1", "f2"}
    assert any("already exists" in record["evidence"].get("error", "") for record in lines.lines)


def test_a_cluster_that_stays_ill_fails_the_run(
    run: Run, clock: Any, lines: Any, healthy: Healthy, tmp_path: Path
) -> None:
    async def main() -> None:
        async with endpoints(healthy, tmp_path) as target:
            # Not the schedule's doing, so not the schedule's to heal.
            await asyncio.to_thread(target.links._api.disable, "client-m1")
            with pytest.raises(TargetError, match="client-m1 is disabled"):
                await Schedule(plan(), target, lines).run(clock)

    run(main())
