"""What people see of a run: a live display on a terminal, plain lines elsewhere, the verdict at the end."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

from gauntlet.harness.observer import Observer, View
from gauntlet.harness.run import RunResult
from porcupine.search import Verdict
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

PLAIN_EVERY = 5.0  # seconds between two lines where there is no terminal
_RATE_OVER = 2.0  # seconds that the shown rate is an average of
_COLOURS = {Verdict.VALID: "green", Verdict.INVALID: "red", Verdict.UNKNOWN: "yellow"}
_MEANING = {
    Verdict.VALID: "every answer of the cluster can be explained",
    Verdict.INVALID: "the cluster broke a promise",
    Verdict.UNKNOWN: "this run proves nothing",
}


def make_observer(console: Console) -> Observer:
    """The display that suits where the output goes."""
    return LiveObserver(console) if console.is_terminal else PlainObserver(console)


class Rate:
    """Operations a second over the last moments."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()

    def of(self, total: int) -> float:
        now = time.monotonic()
        self._samples.append((now, total))
        while len(self._samples) > 2 and now - self._samples[0][0] > _RATE_OVER:
            self._samples.popleft()
        begin, before = self._samples[0]
        return (total - before) / (now - begin) if now > begin else 0.0


def _counts(view: View) -> str:
    outcomes = view.counts.outcomes
    return f"{outcomes['ok']} ok, {outcomes['failed']} failed, {outcomes['unknown']} unknown"


def _title(view: View) -> str:
    plan = view.plan
    members = f"{plan.nodes} member{'s' if plan.nodes > 1 else ''}"
    cluster = plan.target if plan.target.startswith("endpoints:") else f"{plan.target}, {members}"
    return f"{plan.workload} on {cluster}; faults {plan.faults}; seed {plan.seed}"


class PlainObserver(Observer):
    """A line when something changes, and one every few seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._rate = Rate()
        self._next = 0.0

    def begin(self, view: View) -> None:
        self.say(_title(view))
        self.say(f"run directory: {view.directory}")

    def phase(self, view: View) -> None:
        self.say(f"{view.elapsed:5.1f} s  {view.phase}")

    def tick(self, view: View) -> None:
        rate = self._rate.of(view.counts.total)
        if time.monotonic() < self._next or view.elapsed == 0:
            return
        self._next = time.monotonic() + PLAIN_EVERY
        faults = ", ".join(view.active()) or "none"
        self.say(
            f"{view.elapsed:5.1f} s  {_counts(view)}; {rate:.0f}/s; leader {view.leader() or 'none'}; "
            f"faults {faults}; {view.left:.0f} s left"
        )

    def say(self, message: str) -> None:
        self._console.print(message, markup=False, highlight=False, soft_wrap=True)


class LiveObserver(Observer):
    """One block that is redrawn in place."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._rate = Rate()
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def begin(self, view: View) -> None:
        self._console.print(_title(view), markup=False, highlight=False)
        self._live.start()
        self.tick(view)

    def phase(self, view: View) -> None:
        self.tick(view)

    def tick(self, view: View) -> None:
        self._live.update(self.render(view), refresh=True)

    def say(self, message: str) -> None:
        self._console.print(message, markup=False, highlight=False)

    def end(self) -> None:
        self._live.stop()

    def render(self, view: View) -> Group:
        duration = view.plan.duration
        head = Table.grid(padding=(0, 1))
        head.add_row(
            Text(view.phase, style="bold"),
            ProgressBar(total=duration, completed=min(view.elapsed, duration), width=30),
            Text(f"{view.elapsed:.1f} s, {view.left:.1f} s left"),
        )
        active = view.active()
        body = Table.grid(padding=(0, 2))
        rate = self._rate.of(view.counts.total)
        body.add_row("operations", Text(f"{_counts(view)}  {rate:.0f}/s"))
        body.add_row("leader", Text(view.leader() or "none"))
        faults = ", ".join(active) or "none"
        style = "red" if active else ""
        body.add_row("faults", Text(f"{faults}  ({view.faults_done()} over)", style=style))
        return Group(head, body)


def show_result(console: Console, result: RunResult) -> None:
    """The verdict, counts, why, where, and how to repeat it."""
    verdict = result.verdict
    line = Text(f"{verdict.value.upper()}: {_MEANING[verdict]}", style=f"bold {_COLOURS[verdict]}")
    console.print(line, soft_wrap=True)
    for text in _summary(result.results):
        console.print(text, markup=False, highlight=False, soft_wrap=True)
    for words in result.last_words:
        console.print(f"    {words}", markup=False, highlight=False, soft_wrap=True)
    if result.explanation:
        console.print()
        console.print(result.explanation, markup=False, highlight=False, soft_wrap=True)
        console.print()
    lines = [f"report       {result.directory.report_file}", f"repeat with  {result.command}"]
    console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)


def _summary(results: dict[str, Any] | Any) -> list[str]:
    lines = []
    counts: dict[str, int] = {}
    for by_outcome in results["stats"].get("counts", {}).values():
        for outcome, count in by_outcome.items():
            counts[outcome] = counts.get(outcome, 0) + count
    numbers = ", ".join(f"{counts.get(outcome, 0)} {outcome}" for outcome in ("ok", "failed", "unknown"))
    lines.append(f"operations   {numbers}")
    by_name = ", ".join(f"{name} {count}" for name, count in results["faults"]["by_name"].items())
    if by_name:
        lines.append(f"under        {by_name}")
    for check in results["checks"]:
        lines.append(f"{check['name']:<12} {check['verdict']}: {check['summary']}")
    return lines
