"""Runs for test suites: what the pytest plugin gives to tests, usable without pytest as well.

    result = run_once(Settings(plan=Plan(faults="cut,kill", duration=5)), Path("out"))
    with ClusterUnderTest(Settings(), Path("out")) as cluster:
        cluster.run(faults="network").assert_valid()

Everything here blocks, and must be called on the thread that made it and outside any event loop.
"""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from gauntlet.harness.plan import Plan, PlanError
from gauntlet.harness.run import (
    RunResult,
    begin,
    conclude,
    default_directory,
    finish,
    play,
    prepare,
    record,
    target_options,
)
from gauntlet.harness.targets import Target, create_target

T = TypeVar("T")

DURATION = 10.0  # seconds of load where nothing else is said; tests should be short

_FIELDS = {each.name for each in dataclasses.fields(Plan)}


@dataclass(frozen=True, slots=True)
class Settings:
    """The plan of every run, before a run says otherwise. Where no seed is fixed each run draws its own."""

    plan: Plan = field(default_factory=lambda: Plan(duration=DURATION))
    draws_seed: bool = False

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """From named values as in Plan. PlanError for names and values that make none."""
        return cls(_plan(Plan(duration=DURATION), given), draws_seed="seed" not in given)

    def changed(self, changes: Mapping[str, Any]) -> Plan:
        """The plan of one run."""
        seed = {"seed": secrets.randbelow(2**31)} if self.draws_seed else {}
        return _plan(self.plan, {**seed, **changes})


def _plan(plan: Plan, given: Mapping[str, Any]) -> Plan:
    unknown = sorted(set(given) - _FIELDS)
    if unknown:
        raise PlanError(f"a run has no {unknown[0]!r}; it has {', '.join(sorted(_FIELDS))}")
    values = {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}
    return Plan.from_json({**plan.to_json(), **values})


def run_once(settings: Settings, parent: Path) -> RunResult:
    """A whole run on a cluster of its own, in a new directory below `parent`, judged."""
    plan = settings.changed({})
    return conclude(asyncio.run(record(plan, default_directory(plan, parent))))


class ClusterUnderTest:
    """A cluster that stands from `with` to the end of it, for any number of runs.

    endpoints: member -> HOST:PORT through the links that faults break.
    direct_endpoints: the same members past them.
    """

    def __init__(self, settings: Settings, parent: Path) -> None:
        self.settings = settings
        self.directory = default_directory(settings.plan, parent)
        self.results: list[RunResult] = []
        self.on_result: Callable[[RunResult], None] = lambda _result: None
        self._runner = asyncio.Runner()
        self.target: Target = create_target(
            settings.plan.target, target_options(settings.plan, self.directory / "members")
        )

    @property
    def endpoints(self) -> dict[str, str]:
        return self.target.endpoints

    @property
    def direct_endpoints(self) -> dict[str, str]:
        return self.target.direct_endpoints

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Does something to the cluster: `cluster.call(cluster.target.members["m1"].kill())`."""
        return self._runner.run(work)

    def run(self, **changes: Any) -> RunResult:
        """A workload under faults on this cluster; named values as in Plan, but target, nodes and what
        belongs to the members' start stay as they are. The cluster is healed afterwards."""
        fixed = {"target", "nodes", "toxiproxy", "flags", "env"} & set(changes)
        if fixed:
            raise PlanError(f"{sorted(fixed)[0]} cannot change while the cluster stands")
        number = len(self.results) + 1
        plan = self.settings.changed({"prefix": f"/gauntlet/{number}", **changes})
        path = default_directory(plan, self.directory / "runs")
        prepare(plan, path)
        directory = begin(plan, path)
        self.call(finish(play(plan, self.target, directory), directory))
        result = conclude(directory)
        self.results.append(result)
        self.on_result(result)
        return result

    def assert_valid(self) -> None:
        """Every run so far was valid, and there was one."""
        if not self.results:
            raise AssertionError("nothing has been run on this cluster")
        for result in self.results:
            result.check()

    def __enter__(self) -> Self:
        try:
            self.call(self.target.start())
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        try:
            self.call(self.target.stop())
        finally:
            self._runner.close()
