"""From the files of a run directory to what the charts draw.

Rules for size: every operation that was not plainly ok is kept, up to a bound far above what a run has; of
the ok ones an even sample, with the slowest and the contradicting ones always among them. Rates, counts and
quantiles are taken over all operations, and what was left out is said.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gauntlet.harness.rundir import RunDirectory, RunDirectoryError, read_lines

Record = dict[str, Any]

OK_POINTS = 30_000
OTHER_POINTS = 60_000
SLOWEST_KEPT = 500
RATE_BINS = 240
LEAST_BIN_NS = 500_000_000
OUTCOMES = ("ok", "failed", "unknown")


@dataclass(slots=True)
class RunFiles:
    """What is in the run directory. Missing optional files are empty."""

    path: Path
    plan: Record
    results: Record
    faults: list[Record]
    leaders: list[Record]
    history: list[Record] = field(default_factory=list)

    @property
    def end_ns(self) -> int:
        """The last moment that anything happened at."""
        times = [_end(record) for record in self.history]
        times += [fault["end_ns"] for fault in self.faults if isinstance(fault.get("end_ns"), int)]
        return max(times, default=1)

    def explanation(self) -> Record | None:
        """Why the run is invalid: the judge's choice, or the first check's that has one."""
        chosen = self.results.get("explanation")
        if isinstance(chosen, dict):
            return chosen
        for check in self.results.get("checks") or []:
            if check.get("verdict") == "invalid" and isinstance(check.get("explanation"), dict):
                found: Record = check["explanation"]
                return found
        return None


def load_run(path: Path) -> RunFiles:
    """Read a run directory. RunDirectoryError in one line for one that cannot be read."""
    run = RunDirectory(path)
    plan = run.read_plan()
    results: Record = {}
    if run.results_file.exists():
        results = _one_object(run.results_file)
    faults = [fault for fault in run.faults() if isinstance(fault.get("start_ns"), int)]
    leaders = list(read_lines(run.leaders_file)) if run.leaders_file.exists() else []
    files = RunFiles(path, plan, results, faults, leaders)
    for number, record in enumerate(read_lines(run.history_file), 1):
        if not isinstance(record.get("call_ns"), int) or record.get("outcome") not in OUTCOMES:
            raise RunDirectoryError(f"{run.history_file}: line {number}: not an operation")
        files.history.append(record)
    files.history.sort(key=lambda record: record["call_ns"])
    return files


def _one_object(path: Path) -> Record:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunDirectoryError(f"cannot read {path}: {error}") from error
    if not isinstance(value, dict):
        raise RunDirectoryError(f"{path} is not a JSON object")
    return value


def _end(record: Record) -> int:
    end = record.get("return_ns")
    return int(end) if isinstance(end, int) else int(record["call_ns"])


class _Names:
    """Numbers for repeated texts."""

    def __init__(self) -> None:
        self.known: dict[str, int] = {}

    def number(self, text: object) -> int:
        return self.known.setdefault("" if text is None else str(text), len(self.known))

    def listed(self) -> list[str]:
        return list(self.known)


def points(run: RunFiles, marked: Iterable[int]) -> Record:
    """The scatter's points in columns; times in microseconds, the first column and the ids as differences."""
    kept, total_ok, total_other = _sample(run.history, set(marked))
    ops, members, clients, keys, errors = _Names(), _Names(), _Names(), _Names(), _Names()
    columns: dict[str, list[int]] = {name: [] for name in ("t", "d", "o", "p", "m", "c", "k", "e", "id")}
    last_time = last_id = 0
    for record in kept:
        time, number = record["call_ns"] // 1000, int(record.get("id", 0))
        columns["t"].append(time - last_time)
        columns["d"].append(max(1, (_end(record) - record["call_ns"]) // 1000))
        columns["o"].append(OUTCOMES.index(record["outcome"]))
        columns["p"].append(ops.number(record.get("op")))
        columns["m"].append(members.number(record.get("member")))
        columns["c"].append(clients.number(record.get("client")))
        columns["k"].append(keys.number(record.get("key")))
        columns["e"].append(errors.number(error_text(record)))
        columns["id"].append(number - last_id)
        last_time, last_id = time, number
    names = {
        "ops": ops.listed(),
        "members": members.listed(),
        "clients": clients.listed(),
        "keys": keys.listed(),
        "errors": errors.listed(),
    }
    shown_ok = sum(1 for outcome in columns["o"] if outcome == 0)
    return {
        "columns": columns,
        "names": names,
        "shown": {
            "ok": shown_ok,
            "all_ok": total_ok,
            "other": len(kept) - shown_ok,
            "all_other": total_other,
        },
    }


def error_text(record: Record) -> str:
    error = record.get("error")
    if not isinstance(error, Mapping):
        return ""
    return f"{error.get('code', '')}: {error.get('message', '')}"[:160]


def _sample(history: Sequence[Record], marked: set[int]) -> tuple[list[Record], int, int]:
    ok = [record for record in history if record["outcome"] == "ok"]
    other = [record for record in history if record["outcome"] != "ok"]
    always = {id(record) for record in history if record.get("id") in marked}
    slowest = sorted(ok, key=lambda record: record["call_ns"] - _end(record))[:SLOWEST_KEPT]
    always |= {id(record) for record in slowest}
    chosen = {id(record) for record in (*_even(ok, OK_POINTS), *_even(other, OTHER_POINTS))} | always
    return [record for record in history if id(record) in chosen], len(ok), len(other)


def _even(records: Sequence[Record], bound: int) -> Sequence[Record]:
    if len(records) <= bound:
        return records
    step = len(records) / bound
    return [records[int(index * step)] for index in range(bound)]


def rates(run: RunFiles) -> Record:
    """Answers per second by outcome, counted at their return, in bins of at least half a second."""
    end = run.end_ns
    width = max(LEAST_BIN_NS, -(-end // RATE_BINS))
    count = end // width + 1
    bins = {outcome: [0] * count for outcome in OUTCOMES}
    for record in run.history:
        bins[record["outcome"]][_end(record) // width] += 1
    per_second = 1e9 / width
    return {
        "width_us": width // 1000,
        **{outcome: [round(value * per_second, 1) for value in bins[outcome]] for outcome in OUTCOMES},
    }


def leader_spans(run: RunFiles) -> list[Record]:
    """Who led from when to when. A sample holds until the next one that differs."""
    spans: list[Record] = []
    samples = sorted(
        (sample for sample in run.leaders if isinstance(sample.get("at_ns"), int)),
        key=lambda sample: sample["at_ns"],
    )
    for sample in samples:
        member, term, at = sample.get("member"), sample.get("term"), sample["at_ns"] // 1000
        if spans and (spans[-1]["member"], spans[-1]["term"]) == (member, term):
            continue
        if spans:
            spans[-1]["to"] = at
        spans.append({"from": at, "to": run.end_ns // 1000, "member": member, "term": term})
    return spans


def fault_spans(run: RunFiles) -> list[Record]:
    """Faults for the bands; one that never ended lasts to the end."""
    spans = []
    for fault in run.faults:
        evidence = fault.get("evidence")
        refused = isinstance(evidence, Mapping) and bool(evidence.get("refused"))
        end = fault.get("end_ns")
        spans.append(
            {
                "id": str(fault.get("id", "")),
                "name": str(fault.get("name", "fault")),
                "kind": str(fault.get("kind", "")),
                "from": fault["start_ns"] // 1000,
                "to": (end if isinstance(end, int) else run.end_ns) // 1000,
                "targets": [str(target) for target in fault.get("targets") or []],
                "refused": refused,
                "bit": bool(evidence.get("bit")) if isinstance(evidence, Mapping) else False,
            }
        )
    return sorted(spans, key=lambda span: (span["from"], span["id"]))
