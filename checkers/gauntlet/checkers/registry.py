"""The checkers by name, and the judgement of a whole run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from gauntlet.checkers.counter import check_counters
from gauntlet.checkers.election import check_elections
from gauntlet.checkers.etcd import check_etcd
from gauntlet.checkers.lease import check_leases
from gauntlet.checkers.linearizable import check_linearizable
from gauntlet.checkers.lock import check_locks
from gauntlet.checkers.queue import check_queues
from gauntlet.checkers.records import Run
from gauntlet.checkers.revisions import check_revisions
from gauntlet.checkers.sets import check_sets
from gauntlet.checkers.stats import check_stats
from gauntlet.checkers.story import tell
from gauntlet.checkers.txn import check_transactions
from gauntlet.checkers.verdict import CheckResult, overall
from gauntlet.checkers.watch import check_watch
from porcupine.search import Verdict

PYTHON = "python"  # the kernel of checks that search nothing

Checker = Callable[[Run], CheckResult]

CHECKERS: dict[str, Checker] = {
    "linearizable": check_linearizable,
    "revisions": check_revisions,
    "stats": check_stats,
    "txn": check_transactions,
    "set": check_sets,
    "counter": check_counters,
    "queue": check_queues,
    "watch": check_watch,
    "lease": check_leases,
    "lock": check_locks,
    "election": check_elections,
    "etcd": check_etcd,
}


def by_name(name: str) -> Checker:
    """The checker of that name; ValueError lists those there are."""
    if name not in CHECKERS:
        raise ValueError(f"unknown checker {name!r}; there are: {', '.join(sorted(CHECKERS))}")
    return CHECKERS[name]


def judge(run: Run, names: Iterable[str]) -> tuple[Verdict, list[CheckResult]]:
    """Run the named checks, and always `stats`: it knows whether the run proves anything."""
    wanted = dict.fromkeys((*names, "stats"))
    results = [judge_one(name, run) for name in wanted]
    return overall(results), results


def judge_one(name: str, run: Run) -> CheckResult:
    """One check, with its cost, what stands behind its verdict, and an explanation that explains itself."""
    begun = run.clock() if run.clock is not None else 0.0
    result = by_name(name)(run)
    seconds = run.clock() - begun if run.clock is not None else None
    if result.explanation is not None:
        tell(result.explanation, run)
    if "certificate" not in result.details and name != "stats":
        result.details["certificate"] = _without_order(result)
    result.details["cost"] = cost(result, run, seconds)
    return result


def cost(result: CheckResult, run: Run, seconds: float | None) -> dict[str, Any]:
    """What a check took: the same fields for each. None: not measured, or (steps, search_bytes) no search.

    steps: of the model. search_bytes: an estimate of what the search held at once. peak_memory_bytes: of the
    whole process, up to the end of this check.
    """
    found = result.details.get("certificate") or {}
    return {
        "kernel": found.get("kernel", PYTHON),
        "operations": result.details.get("operations", len(run.history)),
        "steps": found.get("steps"),
        "search_bytes": found.get("peak_bytes"),
        "peak_memory_bytes": run.memory() if run.memory is not None else None,
        "seconds": None if seconds is None else round(seconds, 3),
    }


def _without_order(result: CheckResult) -> dict[str, str]:
    """Of checks that hold a history against rules: they know of no order, and need none to refute."""
    if result.verdict is Verdict.VALID:
        return {"kind": "rules", "text": "every rule of this check held; it gives no order"}
    if result.verdict is Verdict.UNKNOWN or result.explanation is None:
        return {"kind": "none", "text": "none"}
    count = len(result.explanation.get("operations") or result.explanation.get("records") or ())
    return {"kind": "rule", "text": f"a broken rule, shown by the {count} records that are named"}
