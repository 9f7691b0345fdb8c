"""The outcome of a run as text and JSON; page.py has the HTML."""

from __future__ import annotations

import json
from typing import Any

from gauntlet.harness.conformance.case import AREAS
from gauntlet.harness.conformance.runner import Outcome, Result, Status

_COLUMNS = tuple(Status)


def counts(outcome: Outcome) -> dict[str, dict[Status, int]]:
    """Area to the number of its cases in each status; only areas that were run."""
    table: dict[str, dict[Status, int]] = {}
    for area in AREAS:
        results = [result for result in outcome.results if result.case.area == area]
        if results:
            table[area] = {status: sum(r.status is status for r in results) for status in _COLUMNS}
    return table


def head(outcome: Outcome) -> str:
    text = f"{outcome.target} ({outcome.version})"
    if outcome.against is not None:
        text += f" against {outcome.against} ({outcome.against_version})"
    return text


def as_text(outcome: Outcome) -> str:
    """The table of areas, then every case that needs a look."""
    shown = [status for status in _COLUMNS if outcome.count(status)]
    width = max(len(area) for area in (*AREAS, "total"))
    lines = [head(outcome), ""]
    lines.append("  ".join([" " * width, *(status.value for status in shown)]))
    rows = counts(outcome)
    rows["total"] = {status: outcome.count(status) for status in _COLUMNS}
    for area, row in rows.items():
        cells = [f"{row[status]:>{len(status.value)}}" for status in shown]
        lines.append("  ".join([f"{area:<{width}}", *cells]))
    notable = [result for result in outcome.results if result.status is not Status.PASS]
    for status in shown:
        of_it = [result for result in notable if result.status is status]
        if of_it:
            lines += ["", f"{status.value}:"]
            lines += [f"  {result.case.name}: {result.detail}" for result in of_it]
    lines += ["", f"{len(outcome.results)} cases in {outcome.seconds:.1f} s, seed {outcome.seed}"]
    return "\n".join(lines)


def as_json(outcome: Outcome) -> str:
    return json.dumps(
        {
            "target": outcome.target,
            "version": outcome.version,
            "against": outcome.against,
            "against_version": outcome.against_version or None,
            "seed": outcome.seed,
            "seconds": round(outcome.seconds, 3),
            "ok": outcome.ok,
            "counts": {status.value: outcome.count(status) for status in _COLUMNS},
            "cases": [_row(result) for result in outcome.results],
        },
        indent=1,
    )


def _row(result: Result) -> dict[str, Any]:
    return {
        "name": result.case.name,
        "area": result.case.area,
        "text": result.case.text,
        "offered": result.case.offered_text(),
        "status": result.status.value,
        "detail": result.detail,
        "seconds": round(result.seconds, 3),
    }
