"""The checkers by name, and the judgement of a whole run."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gauntlet.checkers.linearizable import check_linearizable
from gauntlet.checkers.records import Run
from gauntlet.checkers.revisions import check_revisions
from gauntlet.checkers.stats import check_stats
from gauntlet.checkers.verdict import CheckResult, overall
from porcupine.search import Verdict

Checker = Callable[[Run], CheckResult]

CHECKERS: dict[str, Checker] = {
    "linearizable": check_linearizable,
    "revisions": check_revisions,
    "stats": check_stats,
}


def by_name(name: str) -> Checker:
    """The checker of that name; ValueError lists those there are."""
    if name not in CHECKERS:
        raise ValueError(f"unknown checker {name!r}; there are: {', '.join(sorted(CHECKERS))}")
    return CHECKERS[name]


def judge(run: Run, names: Iterable[str]) -> tuple[Verdict, list[CheckResult]]:
    """Run the named checks, and always `stats`: it knows whether the run proves anything."""
    wanted = dict.fromkeys((*names, "stats"))
    results = [by_name(name)(run) for name in wanted]
    return overall(results), results
