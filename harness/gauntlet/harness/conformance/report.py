"""The outcome of a run as text, JSON and HTML."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable
from typing import Any

from gauntlet.harness.conformance.case import AREAS
from gauntlet.harness.conformance.runner import Outcome, Result, Status

_COLUMNS = tuple(Status)

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem;
  padding: 0 1rem; color: #1c2024 }
table { border-collapse: collapse; width: 100%; margin: 1rem 0 }
th, td { text-align: left; padding: .25rem .6rem; border-bottom: 1px solid #d8dde3; vertical-align: top }
td.n { text-align: right }
tr.fail td:nth-child(2), tr.different td:nth-child(2) { color: #b3261e; font-weight: 600 }
tr.pass td:nth-child(2) { color: #1b7f3b }
code { overflow-wrap: anywhere }
@media (prefers-color-scheme: dark) {
  body { background: #16191d; color: #e4e7eb } th, td { border-color: #343a42 } }
"""


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


def as_html(outcome: Outcome) -> str:
    """One page with no reference to anything outside it."""
    shown = [status for status in _COLUMNS if outcome.count(status)]
    table = [_tr(["area", *(status.value for status in shown)], "th")]
    for area, row in counts(outcome).items():
        table.append(_tr([area, *(str(row[status]) for status in shown)]))
    table.append(_tr(["total", *(str(outcome.count(status)) for status in shown)], "th"))
    body = [f"<h1>Conformance of {html.escape(head(outcome))}</h1>", *_table(table)]
    for area in counts(outcome):
        results = [result for result in outcome.results if result.case.area == area]
        body += [f"<h2>{html.escape(area)}</h2>", *_table(_results(results))]
    body.append(f"<p>{len(outcome.results)} cases in {outcome.seconds:.1f} s, seed {outcome.seed}</p>")
    title = html.escape(f"Conformance of {outcome.target}")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{title}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def _results(results: Iterable[Result]) -> list[str]:
    rows = [_tr(["case", "result", "what it promises, and what was found"], "th")]
    for result in results:
        detail = f"<br><code>{html.escape(result.detail)}</code>" if result.detail else ""
        rows.append(
            f'<tr class="{result.status.value.split()[0]}"><td>{html.escape(result.case.title)}</td>'
            f"<td>{result.status.value}</td><td>{html.escape(result.case.text)}{detail}</td></tr>"
        )
    return rows


def _tr(cells: Iterable[str], tag: str = "td") -> str:
    return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"


def _table(rows: list[str]) -> list[str]:
    return ["<table>", *rows, "</table>"]
