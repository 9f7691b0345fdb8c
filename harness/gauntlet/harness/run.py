"""One test run, from the plan to the verdict directory.

    result = await run(Plan(target="etcd:3.7.1", seed=7), Path("out"))
    result.verdict, result.directory, result.explanation
    result.check()                           # RunFailed, with the explanation and the command that repeats it

`record` is the half that needs a cluster and `conclude` the half that judges; the command line calls them one
after the other so that nothing waits in a thread while somebody presses Ctrl-C.
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import secrets
import shutil
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gauntlet.checkers.story import in_words
from gauntlet.harness.faults import FaultPlan, make_plan, parse_faults
from gauntlet.harness.judge import judge
from gauntlet.harness.observer import Observer, Stop, Stopped, View, ended
from gauntlet.harness.plan import Plan, PlanError
from gauntlet.harness.play import Play, settings_of
from gauntlet.harness.report import write_report
from gauntlet.harness.rundir import COMPLETE, FAILED, INTERRUPTED, RUNNING, RunDirectory
from gauntlet.harness.targets import Target, TargetOptions, create_target
from gauntlet.harness.toxiproxy.launch import check_spec as check_toxiproxy
from gauntlet.harness.versions import versions
from gauntlet.workloads.registry import make
from porcupine.search import Verdict

LAST_WORDS = 5  # lines of the log of a member that ended by itself
RUNS = Path("gauntlet-runs")
TICK_SECONDS = 0.2  # between two looks at the display
START_SECONDS = 30.0  # until every member serves


class RunFailed(AssertionError):
    """The verdict of a run is not valid; the message says why and how to repeat it."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """A judged run; `results` is the content of results.json."""

    directory: RunDirectory
    results: Mapping[str, Any]

    @property
    def verdict(self) -> Verdict:
        return Verdict(self.results["verdict"])

    @property
    def exit_code(self) -> int:
        return int(self.results["exit_code"])

    @property
    def interrupted(self) -> bool:
        return bool(self.results["state"] == INTERRUPTED)

    @property
    def command(self) -> str:
        """Repeats the run."""
        return str(self.results["command"])

    @property
    def reasons(self) -> list[str]:
        """One sentence for every check that did not pass, the gravest first."""
        failed = [each for each in self.results["checks"] if each["verdict"] != Verdict.VALID]
        failed.sort(key=lambda each: each["verdict"] != Verdict.INVALID)
        return [f"{each['name']}: {each['summary']}" for each in failed]

    @property
    def last_words(self) -> list[str]:
        """The end of the log of a member that ended by itself."""
        for check in self.results["checks"]:
            for died in check["details"].get("died") or ():
                return str(died["log"]).splitlines()[-LAST_WORDS:]
        return []

    @property
    def explanation(self) -> str:
        """In words, which operations contradict each other, under which faults, and what was expected; empty
        when nothing can be said."""
        found = self.results["explanation"]
        return "\n".join(in_words(found)) if found else ""

    def describe(self) -> str:
        """The whole story in a few lines."""
        lines = [f"verdict: {self.verdict.value}", *self.reasons, *self.last_words]
        if self.explanation:
            lines += ["", self.explanation, ""]
        lines += [f"report: {self.directory.report_file}", f"repeat: {self.command}"]
        return "\n".join(lines)

    def check(self) -> None:
        """RunFailed unless the verdict is valid: unknown is no pass."""
        if self.verdict is not Verdict.VALID:
            raise RunFailed(self.describe())

    assert_valid = check


def default_directory(plan: Plan, parent: Path = RUNS) -> Path:
    """A name that is not taken yet, with the time (UTC) in front so that the newest run sorts last."""
    now = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
    path = parent / f"{now}-{plan.workload}-{plan.seed}"
    number = 2
    while path.exists():
        path = parent / f"{now}-{plan.workload}-{plan.seed}-{number}"
        number += 1
    return path


def on_keys_of_its_own(plan: Plan) -> Plan:
    """Somebody's cluster is not empty, and not for us alone: there every run has keys that nobody used."""
    if plan.target.startswith("endpoints:") and plan.prefix == Plan().prefix:
        return dataclasses.replace(plan, prefix=f"{plan.prefix}/{secrets.token_hex(6)}")
    return plan


def prepare(plan: Plan, members: Path) -> tuple[Target, FaultPlan]:
    """What the plan asks for, with nothing started or written: whatever is wrong with it shows here."""
    make(plan.workload, settings_of(plan))
    check_toxiproxy(plan.toxiproxy)
    kinds = parse_faults(plan.faults)
    target = create_target(plan.target, target_options(plan, members))
    faults = make_plan(kinds, target.member_names, str(plan.seed), plan.duration, target.capabilities)
    if kinds and len(faults.refused) == len(kinds):
        raise PlanError(f"--faults {plan.faults}: {faults.refused[0]}")
    return target, faults


def target_options(plan: Plan, members: Path, observer: Observer | None = None) -> TargetOptions:
    flags: list[str] = []
    env: dict[str, str] = {}
    member_flags: dict[str, tuple[str, ...]] = {}
    member_env: dict[str, dict[str, str]] = {}
    names = {f"m{number}" for number in range(1, plan.nodes + 1)}
    for setting in (*plan.flags, *plan.env):
        member, _ = Plan.for_member(setting)
        if member is not None and member not in names:
            raise PlanError(f"{setting}: there is no member {member} among {plan.nodes}")
    for setting in plan.flags:
        member, flag = Plan.for_member(setting)
        if member is None:
            flags.append(flag)
        else:
            member_flags[member] = (*member_flags.get(member, ()), flag)
    for setting in plan.env:
        member, assignment = Plan.for_member(setting)
        name, _, value = assignment.partition("=")
        (env if member is None else member_env.setdefault(member, {}))[name] = value
    return TargetOptions(
        directory=members,
        nodes=plan.nodes,
        toxiproxy=plan.toxiproxy,
        flags=tuple(flags),
        member_flags=member_flags,
        env=env,
        member_env=member_env,
        start_timeout=START_SECONDS,
        say=observer.say if observer is not None else lambda _message: None,
    )


def begin(plan: Plan, path: Path) -> RunDirectory:
    """The directory of a run that is about to begin."""
    directory = RunDirectory.create(path)
    stamp = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    directory.write_plan(
        {
            **plan.to_json(),
            "state": RUNNING,
            "started": stamp,
            "command": plan.command(),
            "versions": versions(),
        }
    )
    return directory


async def record(
    plan: Plan, path: Path | None = None, observer: Observer | None = None, stop: Stop | None = None
) -> RunDirectory:
    """Runs the plan on a cluster of its own. The directory's state is complete or interrupted afterwards.

    Whatever goes wrong, the cluster is stopped before this returns or raises. Errors about what was asked for
    (PlanError, TargetSpecError, FaultSpecError, UnknownWorkload, RunDirectoryError) come before anything is
    made; with any later one the directory stays, its state failed, unless there is nothing in it to look at.
    """
    observer, stop = observer or Observer(), stop or Stop()
    path = path or default_directory(plan)
    plan = on_keys_of_its_own(plan)
    prepare(plan, path / "members")
    directory = begin(plan, path)
    options = target_options(plan, directory.members, observer)
    target = create_target(plan.target, options)
    view = View(plan, directory.path)
    observer.begin(view)
    try:
        await finish(_attempt(plan, target, directory, view, observer, stop), directory)
    finally:
        observer.end()
    return directory


async def _attempt(
    plan: Plan, target: Target, directory: RunDirectory, view: View, observer: Observer, stop: Stop
) -> None:
    ticks = asyncio.create_task(_tick(observer, view), name="display")
    try:
        view.phase = f"starting {plan.target}"
        observer.phase(view)
        await stop.unless(target.start())
        await play(plan, target, directory, view, observer, stop)
    finally:
        view.phase = "stopping the cluster"
        observer.phase(view)
        await asyncio.shield(target.stop())
        await ended(ticks)


async def _tick(observer: Observer, view: View) -> None:
    while True:
        observer.tick(view)
        await asyncio.sleep(TICK_SECONDS)


async def finish(work: Coroutine[Any, Any, None], directory: RunDirectory) -> None:
    """Does the work of a run and writes into the plan how it ended. Stopped is an end, not an error."""
    state, error = FAILED, ""
    try:
        await work
        state = COMPLETE
    except Stopped:
        state = INTERRUPTED
    except asyncio.CancelledError:
        state = INTERRUPTED
        raise
    except BaseException as raised:
        error = str(raised) or type(raised).__name__
        raise
    finally:
        directory.update_plan(state=state, **({"error": error} if error else {}))
        if state == FAILED:
            discard(directory)


async def play(
    plan: Plan,
    target: Target,
    directory: RunDirectory,
    view: View | None = None,
    observer: Observer | None = None,
    stop: Stop | None = None,
) -> None:
    """Runs the plan on a target that is started already, and leaves it standing, healed."""
    observer, stop = observer or Observer(), stop or Stop()
    kinds = parse_faults(plan.faults)
    faults = make_plan(kinds, target.member_names, str(plan.seed), plan.duration, target.capabilities)
    directory.update_plan(
        schedule=faults.as_json(), versions={**versions(), "members": dict(target.versions)}
    )
    view = view or View(plan, directory.path)
    await Play(plan, faults, target, directory, view, observer, stop).run()


def conclude(directory: RunDirectory) -> RunResult:
    """Judges the run and writes its report. RunDirectoryError for a run that cannot be judged."""
    results = judge(RunDirectory.open(directory.path))
    write_report(directory.path)
    return RunResult(directory, results)


async def run(
    plan: Plan, path: Path | None = None, observer: Observer | None = None, stop: Stop | None = None
) -> RunResult:
    """`record`, then `conclude` in a thread."""
    directory = await record(plan, path, observer, stop)
    return await asyncio.to_thread(conclude, directory)


def discard(directory: RunDirectory) -> bool:
    """Removes a failed run that has nothing to show: no history and no log. True when it did."""
    if any(directory.members.iterdir()) or directory.history_file.exists():
        return False
    shutil.rmtree(directory.path)
    return True
