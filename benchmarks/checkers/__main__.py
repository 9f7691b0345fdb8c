"""The linearizability checker beside the Go checker porcupine: one command, one table, one picture.

    python benchmarks/checkers [--rounds 3] [--quick] [--no-growth] [--page docs/checkers-benchmark.md]

Builds porcupine from its Go module in a temporary folder, judges the same histories with it and with our
kernels (the native one where it is installed) and prints times, ratios, machine and versions. Only the check
is timed, inside each process: from a history that has been read to the verdict. The kernels take turns for
some rounds, and the best time of each counts. `--page` writes the results between the page's two marks.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # the generator of histories, which other benchmarks use too
import etcd
import plot
import theirs
import tracks
from common import GIVE_UP, child, peak, resident, shown
from porcupine import Budget, KernelError, Result, check
from porcupine.kernel import Kernel, choose
from porcupine.models import by_name

ENOUGH = 2.0  # seconds of repeats for one history in one round
SIZES = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
GROWTH_SECONDS = {"go": 5.0, "python": 30.0, "native": 30.0}  # the next size is left out after so long
GROWTH_GIVE_UP = 120.0
LOST = ", 1 % unknown"  # of a kernel's name: the growth with so many operations of unknown outcome
GO_MOST = 30_000  # its bitsets grow with the square: 100,000 operations are over a gigabyte
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"

GO, NATIVE, FULL, PYTHON = "Go", "native", "native, check()", "pure Python"


@dataclass
class Timing:
    """Best seconds of each history, by who judged it."""

    track: tracks.Track
    seconds: dict[str, dict[str, float]] = field(default_factory=dict)

    def note(self, who: str, case: str, seconds: float) -> None:
        best = self.seconds.setdefault(who, {})
        best[case] = min(seconds, best.get(case, math.inf))

    def best(self, who: str, case: str) -> float | None:
        return self.seconds.get(who, {}).get(case)

    def total(self, who: str) -> float:
        return sum(self.seconds[who].values())

    def mean(self, who: str) -> float:
        return statistics.geometric_mean(self.seconds[who].values())


def judge(case: tracks.Case, kernel: str, seconds: float = GIVE_UP) -> Result:
    budget = Budget(seconds=seconds)
    model = by_name(case.model)
    return check(
        case.history,
        model,
        budget=budget,
        clock=time.monotonic,
        explained=False,
        first_failure=True,
        kernel=kernel,
    )


def verdict_only(native: Kernel, case: tracks.Case) -> str:
    columns = native.columns(case.history)
    deadline = time.monotonic() + GIVE_UP
    judged = native.native.check(
        columns, case.model, threads=0, clock=time.monotonic, deadline=deadline, hasty=True
    )
    return str(judged.verdict)


def timed(run: Callable[[], str], wanted: str, repeats: int, name: str) -> float:
    best, begun = math.inf, time.perf_counter()
    gc.collect()
    gc.disable()
    try:
        for repeat in range(repeats):
            if repeat and time.perf_counter() - begun > ENOUGH:
                break
            started = time.perf_counter()
            verdict = run()
            best = min(best, time.perf_counter() - started)
            if verdict == "unknown":
                return math.inf
            if verdict != wanted:
                raise SystemExit(f"{name}: {verdict}, but it is {wanted}")
    finally:
        gc.enable()
    return best


def measure(every: list[tracks.Track], program: Path, rounds: int, native: Kernel | None) -> list[Timing]:
    timings = [Timing(track) for track in every]
    gc.freeze()  # the histories need not be looked at before every measurement
    for number in range(rounds):
        for timing in timings:
            track = timing.track
            print(f"round {number + 1}: {track.name}", file=sys.stderr, flush=True)
            for who, run in _ours(native):
                for case in track.cases:
                    seconds = timed(partial(run, case), case.verdict, track.repeats, case.name)
                    timing.note(who, case.name, seconds)
            again = [case for case in track.cases if timing.best(GO, case.name) != math.inf]
            for answer in theirs.run(program, [_for_go(case, track.repeats) for case in again]):
                case = next(each for each in track.cases if each.name == answer["name"])
                given_up = answer["verdict"] == "unknown"
                if not given_up and answer["verdict"] != case.verdict:
                    raise SystemExit(f"Go, {case.name}: {answer['verdict']}, but it is {case.verdict}")
                timing.note(GO, case.name, math.inf if given_up else answer["seconds"])
    return timings


def _ours(native: Kernel | None) -> list[tuple[str, Callable[[tracks.Case], str]]]:
    runs: list[tuple[str, Callable[[tracks.Case], str]]] = []
    if native is not None:
        runs.append((NATIVE, partial(verdict_only, native)))
        runs.append((FULL, lambda case: judge(case, "native").verdict.value))
    runs.append((PYTHON, lambda case: judge(case, "python").verdict.value))
    return runs


def _for_go(case: tracks.Case, repeats: int) -> dict[str, object]:
    calls = theirs.neutral(case.history)
    limits = {"repeats": repeats, "enough": ENOUGH, "seconds": GIVE_UP}
    return {"name": case.name, "model": case.model, **limits, "calls": calls}


def table(timings: list[Timing]) -> list[str]:
    whos = [who for who in (GO, NATIVE, FULL, PYTHON) if who in timings[0].seconds]
    head = [
        "track",
        "aim: native, pure",
        *(f"{who}" if who == GO else f"{who} (times faster than Go)" for who in whos),
    ]
    rows = [head, ["---"] * len(head)]
    for timing in timings:
        if len(timing.track.cases) > 1:
            rows.append(_row(timing.track.name + ", geometric mean", timing.track.wanted, timing.mean, whos))
            rows.append(_row(timing.track.name + ", in all", timing.track.in_all, timing.total, whos))
        else:
            rows.append(_row(timing.track.name, timing.track.wanted, timing.total, whos))
    return ["| " + " | ".join(row) + " |" for row in rows]


def _row(name: str, wanted: str, value: Callable[[str], float], whos: list[str]) -> list[str]:
    cells = [name, wanted]
    go = value(GO)
    for who in whos:
        own = value(who)
        if who == GO:
            cells.append(shown(own))
        else:
            ratio = "more" if math.isinf(go) else f"{go / own:.1f}x"
            cells.append(f"{shown(own)} ({ratio})")
    return cells


def one_size(who: str, size: int, program: str) -> dict[str, float]:
    """Judge a simulated history of that size; run in a process of its own, for its memory."""
    who, lost, _ = who.partition(LOST)
    history = tracks.simulate(7, size, unknown=0.01 if lost else 0)
    case = tracks.Case(str(size), "cas-register", history, "valid")
    if who == "go":
        answer = theirs.run(Path(program), [_for_go(case, 1)])[0]
        seconds = math.inf if answer["verdict"] == "unknown" else answer["seconds"]
        return {"seconds": seconds, "bytes": float(answer["bytes"])}
    if who == "native":
        choose("native").columns(history)
    gc.collect()
    before = resident()
    started = time.perf_counter()
    result = judge(case, who, GROWTH_GIVE_UP)
    took = time.perf_counter() - started
    if result.verdict != "valid":
        took = math.inf
    return {"seconds": took, "bytes": float(max(peak() - before, result.stats.peak_bytes))}


def one(who: str, size: int, program: str) -> dict[str, float]:
    """What a child process measures."""
    if who == "etcd":
        return etcd.from_operations(size, program)
    if who.startswith("etcd-"):
        return etcd.from_lines(who.removeprefix("etcd-"), size, program)
    return one_size(who, size, program)


def growth(program: Path, whos: list[str], most: int) -> dict[str, list[tuple[int, float, float]]]:
    curves: dict[str, list[tuple[int, float, float]]] = {}
    for who in whos:
        for size in SIZES:
            if size > most or (who == "go" and size > GO_MOST):
                break
            print(f"growth: {who} {size}", file=sys.stderr, flush=True)
            found = child(who, size, str(program))
            if math.isinf(found["seconds"]):
                break
            curves.setdefault(who, []).append((size, found["seconds"], found["bytes"]))
            if found["seconds"] > GROWTH_SECONDS[who.removesuffix(LOST)]:
                break
    return curves


def growth_table(curves: dict[str, list[tuple[int, float, float]]]) -> list[str]:
    rows = [["operations", *curves], ["---"] * (len(curves) + 1)]
    for size in SIZES:
        row = [f"{size:,}"]
        for points in curves.values():
            found = next((point for point in points if point[0] == size), None)
            row.append("" if found is None else f"{shown(found[1])}, {found[2] / 1e6:.1f} MB")
        if any(row[1:]):
            rows.append(row)
    return ["| " + " | ".join(row) + " |" for row in rows]


def machine() -> str:
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if "model name" in line
        ]
        cpu = names[0] if names else cpu
    return f"{cpu}, {os.cpu_count()} processors, {platform.system()}, Python {platform.python_version()}"


def write_page(page: Path, text: str) -> None:
    old = page.read_text(encoding="utf-8")
    before, rest = old.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="benchmarks/checkers", description="Our kernels beside Go porcupine."
    )
    parser.add_argument("--rounds", type=int, default=3, help="turns that each kernel takes")
    parser.add_argument("--quick", action="store_true", help="one round, growth up to 10,000 operations")
    parser.add_argument("--no-growth", action="store_true", help="leave out the growth of time and memory")
    parser.add_argument("--page", type=Path, help="a Markdown page to write the results into")
    parser.add_argument("--child", nargs=3, metavar=("WHO", "SIZE", "PROGRAM"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        who, size, program = chosen.child[0], int(chosen.child[1]), chosen.child[2]
        print(json.dumps(one(who, size, program)))
        return
    try:
        native = choose("native")
    except KernelError as error:
        native = None
        print(f"without the native kernel: {error}", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        try:
            program = theirs.build(Path(folder))
            every = tracks.recorded(theirs.module()) + tracks.unknown_half()
        except theirs.MissingError as error:
            raise SystemExit(str(error)) from error
        timings = measure(every, program, 1 if chosen.quick else chosen.rounds, native)
        kernels = f"porcupine-py {native.name if native else 'without the native kernel'}"
        lines = [f"{machine()}; {theirs.version()}; {kernels}.", "", *table(timings)]
        if not chosen.quick:
            lines += [
                "",
                "Histories of the whole-store model, judged by the revision witness:",
                "",
                *etcd.table(native is not None),
            ]
        if not chosen.no_growth:
            ours = ["python"] + (["native"] if native is not None else [])
            whos = ["go", *ours, *(who + LOST for who in ours)]
            curves = growth(program, whos, 10_000 if chosen.quick else SIZES[-1])
            lines += [
                "",
                "A valid compare-and-swap register, 10 clients, five values, all answered or 1 % unknown:",
                "",
                *growth_table(curves),
            ]
            time_curves = {
                who: [(size, seconds) for size, seconds, _ in points] for who, points in curves.items()
            }
            memory = {
                who: [(size, max(bytes_ / 1e6, 0.01)) for size, _, bytes_ in points]
                for who, points in curves.items()
            }
            picture = plot.draw([("Time", "s", time_curves), ("Memory", "MB", memory)])
            if chosen.page:
                name = chosen.page.with_suffix(".svg").name
                chosen.page.with_suffix(".svg").write_text(picture, encoding="utf-8")
                lines += ["", f"![growth of time and memory]({name})"]
    text = "\n".join(lines)
    print(text)
    if chosen.page:
        write_page(chosen.page, text)


if __name__ == "__main__":
    main()
