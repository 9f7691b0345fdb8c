"""How the run went: counts, latencies, availability in and out of faults, and whether it proves anything.

A cluster that refuses everything never contradicts itself. So when fewer than half of the operations that ran
clear of every fault succeeded, the run is unknown, whatever the other checks say.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from gauntlet.checkers.records import Run
from gauntlet.checkers.verdict import CheckResult
from porcupine.history import Operation, Outcome
from porcupine.search import Verdict

QUANTILES = (0.5, 0.9, 0.99, 0.999, 1.0)
LEAST_SUCCESS = 0.5


class Windows:
    """The moments at which at least one fault was active, merged."""

    def __init__(self, faults: Sequence[Mapping[str, Any]]) -> None:
        spans = sorted(
            (fault["start_ns"], fault["end_ns"] if fault.get("end_ns") is not None else float("inf"))
            for fault in faults
            if isinstance(fault.get("start_ns"), int)
        )
        self.starts: list[float] = []
        self.ends: list[float] = []
        for start, end in spans:
            if self.ends and start <= self.ends[-1]:
                self.ends[-1] = max(self.ends[-1], end)
            else:
                self.starts.append(start)
                self.ends.append(end)

    def touches(self, start: float, end: float) -> bool:
        """Does [start, end] meet any fault?"""
        return bisect_left(self.ends, start) < bisect_right(self.starts, end)


def quantiles(latencies_ns: Sequence[int]) -> dict[str, float]:
    """Latency quantiles in ms by nearest rank; empty for no latencies."""
    ordered = sorted(latencies_ns)
    if not ordered:
        return {}
    last = len(ordered) - 1
    return {f"p{100 * q:g}": ordered[min(last, int(q * len(ordered)))] / 1e6 for q in QUANTILES}


def _name(operation: Operation) -> str:
    return str(operation.call[0]) if isinstance(operation.call, tuple) and operation.call else "operation"


def _availability(operations: Sequence[Operation]) -> dict[str, Any]:
    succeeded = sum(1 for operation in operations if operation.is_ok)
    share = succeeded / len(operations) if operations else None
    return {"operations": len(operations), "ok": succeeded, "share": share}


def check_stats(run: Run) -> CheckResult:
    """Valid, or unknown when too little succeeded for the other checks to mean anything."""
    windows = Windows(run.faults)
    inside: list[Operation] = []
    outside: list[Operation] = []
    counts: dict[str, dict[Outcome, int]] = {}
    latencies: dict[str, list[int]] = {}
    errors: dict[str, int] = {}
    for operation in run.history:
        end = operation.return_time_ns if operation.return_time_ns is not None else operation.call_time_ns
        (inside if windows.touches(operation.call_time_ns, end) else outside).append(operation)
        by_outcome = counts.setdefault(_name(operation), dict.fromkeys(Outcome, 0))
        by_outcome[operation.outcome] += 1
        if operation.is_ok:
            latencies.setdefault(_name(operation), []).append(end - operation.call_time_ns)
        error = operation.tags.get("error")
        if isinstance(error, Mapping):
            text = f"{error.get('code')}: {error.get('message')}"
            errors[text] = errors.get(text, 0) + 1
    clear, faulty = _availability(outside), _availability(inside)
    details = {
        "operations": len(run.history),
        "counts": {
            name: {outcome.value: count for outcome, count in by_outcome.items()}
            for name, by_outcome in sorted(counts.items())
        },
        "latency_ms": {name: quantiles(values) for name, values in sorted(latencies.items())},
        "outside_faults": clear,
        "inside_faults": faulty,
        "faults": len(run.faults),
        "errors": dict(sorted(errors.items(), key=lambda item: -item[1])[:20]),
    }
    verdict, summary = _judge(clear, faulty)
    return CheckResult("stats", verdict, summary, details)


def _judge(outside: Mapping[str, Any], inside: Mapping[str, Any]) -> tuple[Verdict, str]:
    total, ok = outside["operations"], outside["ok"]
    if total + inside["operations"] == 0:
        return Verdict.UNKNOWN, "no operation was recorded"
    if ok + inside["ok"] == 0:
        return Verdict.UNKNOWN, "no operation succeeded"
    if total and ok / total < LEAST_SUCCESS:
        return Verdict.UNKNOWN, f"only {ok} of {total} operations outside faults succeeded"
    during = (
        f"{inside['ok']} of {inside['operations']} during faults" if inside["operations"] else "no faults"
    )
    return Verdict.VALID, f"{ok} of {total} operations outside faults succeeded; {during}"
