"""Whole runs on the cluster of conftest.py, which is quick and does as it is told."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from gauntlet.harness.observer import Observer, Stop, Stopped, View
from gauntlet.harness.plan import Plan, PlanError
from gauntlet.harness.run import RunFailed, conclude, default_directory, prepare, record, run, target_options
from gauntlet.harness.rundir import INTERRUPTED, RunDirectory, RunDirectoryError, read_lines
from gauntlet.harness.targets import TargetError, TargetSpecError
from gauntlet.harness.tools.cache import ToolError
from gauntlet.workloads.registry import UnknownWorkload
from porcupine.search import Verdict

QUICK = Plan(target="fake", faults="none", duration=0.5, rate=400.0, seed=5)


class StopsAfter(Observer):
    """Asks the run to stop once so many operations are over."""

    def __init__(self, stop: Stop, operations: int) -> None:
        self.stop = stop
        self.operations = operations
        self.phases: list[str] = []
        self.ended = False

    def phase(self, view: View) -> None:
        self.phases.append(view.phase)

    def tick(self, view: View) -> None:
        if view.counts.total >= self.operations:
            self.stop.ask()

    def end(self) -> None:
        self.ended = True


def test_a_run_from_plan_to_verdict(fakes: list[Any], tmp_path: Path) -> None:
    result = asyncio.run(run(QUICK, tmp_path / "run"))
    result.check()
    assert result.verdict is Verdict.VALID
    assert result.exit_code == 0
    directory = RunDirectory.open(tmp_path / "run")
    history = list(read_lines(directory.history_file))
    finals = [line for line in history if line["client"] >= QUICK.clients]
    assert len(history) - len(finals) >= 100
    assert {(line["member"], line["key"]) for line in finals} == {
        (member, f"/gauntlet/register/{key}") for member in ("m1", "m2", "m3") for key in range(QUICK.keys)
    }
    assert {line["op"] for line in history} == {"get", "put", "delete", "cas"}
    for line in history:
        if line["client"] < QUICK.clients:
            assert line["member"] == f"m{line['client'] % 3 + 1}"
    ends = [line["return_ns"] for line in history]
    assert ends == sorted(ends)
    plan = directory.read_plan()
    assert plan["state"] == "complete"
    assert plan["versions"]["members"] == {"m1": "3.7.1", "m2": "3.7.1", "m3": "3.7.1"}
    assert Plan.from_json(plan) == QUICK
    assert directory.report_file.stat().st_size > 1000
    assert fakes[-1].stopped


def timeless(results: Any) -> Any:
    """Results without what says where and how fast they were found."""
    if isinstance(results, dict):
        differs = {"run_dir", "judged_in_seconds", "seconds"}
        return {key: timeless(value) for key, value in results.items() if key not in differs}
    return [timeless(each) for each in results] if isinstance(results, list) else results


def test_a_recheck_says_the_same(fakes: list[Any], tmp_path: Path) -> None:
    result = asyncio.run(run(QUICK, tmp_path / "run"))
    moved = (tmp_path / "run").rename(tmp_path / "moved")
    again = conclude(RunDirectory.open(moved))
    assert timeless(again.results) == timeless(result.results)


def test_the_seed_decides_the_operations(fakes: list[Any], tmp_path: Path) -> None:
    def calls(name: str, seed: int) -> list[tuple[str, str, str | None]]:
        plan = dataclasses.replace(QUICK, clients=1, seed=seed)
        asyncio.run(run(plan, tmp_path / name))
        lines = read_lines(tmp_path / name / "history.jsonl")
        return [(line["op"], line["key"], line["args"].get("value")) for line in lines if line["client"] == 0]

    first, second, other = calls("a", 1), calls("b", 1), calls("c", 2)
    least = min(len(first), len(second))
    assert least > 50
    assert first[:least] == second[:least]
    assert first[:50] != other[:50]


def test_a_stale_member_is_found(fakes: list[Any], tmp_path: Path) -> None:
    result = asyncio.run(run(dataclasses.replace(QUICK, target="fake:stale"), tmp_path / "run"))
    assert result.exit_code == 1
    assert "stale read" in " ".join(result.reasons)
    assert " on m3 " in result.explanation
    with pytest.raises(RunFailed) as failed:
        result.check()
    assert result.explanation in str(failed.value)
    assert "gauntlet run --target fake:stale" in str(failed.value)


def test_different_hashes_are_found(
    fakes: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gauntlet.harness.play.HASH_SECONDS", 0.3)
    result = asyncio.run(run(dataclasses.replace(QUICK, target="fake:differs"), tmp_path / "run"))
    assert result.exit_code == 1
    assert "members differ" in " ".join(result.reasons)


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        ("dies", "m3 ended by itself with signal 11"),
        ("unhealthy", "m3 does not serve"),
        ("refuses", "no operation succeeded"),
    ],
)
def test_what_is_no_pass(fakes: list[Any], tmp_path: Path, behaviour: str, words: str) -> None:
    plan = dataclasses.replace(QUICK, target=f"fake:{behaviour}")
    result = asyncio.run(run(plan, tmp_path / "run"))
    assert result.exit_code == 2
    assert words in " ".join(result.reasons)
    with pytest.raises(RunFailed, match=words):
        result.check()


def test_a_death_ends_the_load_and_keeps_the_log(fakes: list[Any], tmp_path: Path) -> None:
    plan = dataclasses.replace(QUICK, target="fake:dies", duration=60.0)
    result = asyncio.run(run(plan, tmp_path / "run"))
    assert result.directory.read_members()["died"][0]["log"] == "the end of its log"
    assert max(line["return_ns"] for line in read_lines(result.directory.history_file)) < 20e9


def test_a_request_to_stop_keeps_what_was_recorded(fakes: list[Any], tmp_path: Path) -> None:
    async def interrupted() -> RunDirectory:
        stop = Stop()
        observer = StopsAfter(stop, 40)
        directory = await record(dataclasses.replace(QUICK, duration=60.0), tmp_path / "run", observer, stop)
        assert observer.ended
        assert observer.phases[-1] == "stopping the cluster"
        return directory

    directory = asyncio.run(interrupted())
    assert directory.read_plan()["state"] == INTERRUPTED
    assert len(list(read_lines(directory.history_file))) >= 40
    assert fakes[-1].stopped
    result = conclude(directory)
    assert result.interrupted
    assert result.verdict is Verdict.UNKNOWN
    assert directory.report_file.exists()


def test_a_request_before_the_start(fakes: list[Any], tmp_path: Path) -> None:
    async def interrupted() -> RunDirectory:
        stop = Stop()
        stop.ask()
        return await record(QUICK, tmp_path / "run", stop=stop)

    directory = asyncio.run(interrupted())
    assert directory.read_plan()["state"] == INTERRUPTED
    with pytest.raises(RunDirectoryError, match=r"history\.jsonl"):
        conclude(directory)


def test_a_cancelled_run_stops_its_cluster(fakes: list[Any], tmp_path: Path) -> None:
    async def cancelled() -> None:
        stop = Stop()
        observer = StopsAfter(stop, 20)
        plan = dataclasses.replace(QUICK, duration=60.0)
        task = asyncio.create_task(record(plan, tmp_path / "run", observer))
        await stop.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert fakes[-1].stopped
    assert RunDirectory.open(tmp_path / "run").read_plan()["state"] == INTERRUPTED


def test_a_target_that_does_not_start_leaves_nothing(fakes: list[Any], tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="the fake is broken"):
        asyncio.run(record(dataclasses.replace(QUICK, target="fake:broken"), tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_failed_run_with_logs_stays_and_is_not_judged(
    fakes: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_arguments: Any) -> None:
        (tmp_path / "run" / "members" / "m1.log").write_text("what it said")
        raise ToolError("the disk is full")

    monkeypatch.setattr("gauntlet.harness.run.play", fail)
    with pytest.raises(ToolError):
        asyncio.run(record(QUICK, tmp_path / "run"))
    plan = json.loads((tmp_path / "run" / "plan.json").read_text())
    assert (plan["state"], plan["error"]) == ("failed", "the disk is full")
    with pytest.raises(RunDirectoryError, match="the disk is full"):
        RunDirectory.open(tmp_path / "run")


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"target": "nonsense"}, TargetSpecError, "nonsense"),
        ({"workload": "nonsense"}, UnknownWorkload, "nonsense.*register"),
        ({"faults": "cut,nonsense"}, ToolError, "nonsense"),
        ({"toxiproxy": "nonsense"}, ToolError, "nonsense"),
        ({"faults": "kill"}, PlanError, "process"),
        ({"env": ("m9:A=b",)}, PlanError, "m9"),
    ],
)
def test_nonsense_is_refused_before_anything_is_made(
    fakes: list[Any], tmp_path: Path, changes: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        asyncio.run(record(dataclasses.replace(QUICK, **changes), tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_same_seed_same_faults(tmp_path: Path) -> None:
    plan = Plan(target="reference", seed=9, duration=20.0)
    (_, first), (_, second) = prepare(plan, tmp_path / "a"), prepare(plan, tmp_path / "b")
    _, other = prepare(dataclasses.replace(plan, seed=10), tmp_path / "c")
    assert first == second
    assert first.faults != other.faults
    assert len(first.faults) >= 5


def test_flags_and_environment_reach_the_members(tmp_path: Path) -> None:
    plan = Plan(flags=("--a", "m2:--b=1", "m2:--c"), env=("X=1=2", "m3:Y="))
    options = target_options(plan, tmp_path)
    assert options.flags == ("--a",)
    assert options.member_flags == {"m2": ("--b=1", "--c")}
    assert options.env == {"X": "1=2"}
    assert options.member_env == {"m3": {"Y": ""}}


def test_names_of_directories_are_not_taken_twice(tmp_path: Path) -> None:
    taken = set()
    for _ in range(3):
        path = default_directory(QUICK, tmp_path)
        assert path not in taken
        assert path.name.endswith(("register-5", "register-5-2", "register-5-3"))
        path.mkdir()
        taken.add(path)


def test_work_ends_before_stopped_is_raised() -> None:
    cleaned = []

    async def work(begun: asyncio.Event) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(True)

    async def scenario() -> None:
        stop, begun = Stop(), asyncio.Event()
        task = asyncio.create_task(stop.unless(work(begun)))
        await begun.wait()
        stop.ask()
        with pytest.raises(Stopped):
            await task

    asyncio.run(scenario())
    assert cleaned == [True]


def test_work_that_is_done_wins() -> None:
    async def seven() -> int:
        return 7

    assert asyncio.run(Stop().unless(seven())) == 7
