"""Put the page together: template, style, script, data, tables; one file that fetches nothing."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from gauntlet.harness.report import sections
from gauntlet.harness.report.about import about
from gauntlet.harness.report.data import (
    MOST_BYTES,
    Record,
    RunFiles,
    density,
    fault_spans,
    leader_spans,
    load_run,
    points,
    rates,
)
from gauntlet.harness.report.timeline import named, timeline
from gauntlet.harness.rundir import RunDirectory

MOST_SPANS = 2_000
_HERE = Path(__file__).parent


def write_report(run_dir: Path) -> Path:
    """Write report.html of a run directory, in one step; gives its path.

    RunDirectoryError, in one line, for a directory that is not a readable run.
    """
    run = load_run(Path(run_dir))
    target = RunDirectory(Path(run_dir)).report_file
    write_page(run, target)
    return target


def write_page(run: RunFiles, target: Path) -> None:
    """The page of any history, in one step. OSError where that is impossible."""
    partial = target.with_name(target.name + ".partial")
    partial.write_text(render(run), encoding="utf-8")
    partial.replace(target)


def render(run: RunFiles) -> str:
    """The whole page, at most `MOST_BYTES`: with fewer points where they do not fit."""
    around = timeline(run)
    share = 1
    while True:
        page = _page(run, around, share)
        if len(page.encode()) <= MOST_BYTES or share > 1024:
            return page
        share *= 2


def _page(run: RunFiles, around: Record | None, share: int) -> str:
    marked = [run.history.id[index] for index in named(run)]
    members = {name for name in run.history.members.listed() if name}
    members |= {str(sample["member"]) for sample in run.leaders if sample.get("member")}
    drawn = points(run, marked, share)
    data = {
        "end": max(1, run.end_ns // 1000),
        "unit": run.unit,
        "marked": marked,
        "members": sorted(members),
        "points": drawn,
        "rate": rates(run),
        "density": density(run) if around else None,
        "leaders": leader_spans(run)[:MOST_SPANS],
        "faults": fault_spans(run)[:MOST_SPANS],
        "timeline": around,
    }
    verdict, plan, source = str(run.results.get("verdict") or "not judged"), run.plan, run.source
    seed = f"seed {plan.get('seed')}" if plan else None
    parts = [plan.get("target"), plan.get("workload"), seed, plan.get("started")]
    title = f"{verdict}: {plan.get('target', '')} under {plan.get('workload', '')}"
    footer = f"From the run directory {run.path.name}. Judge it again: gauntlet recheck {run.path}"
    if source:
        parts = [source.get("file"), source.get("model")]
        title = f"{verdict}: {source.get('file')}"
        footer = f"Judge it again: {source.get('command')}"
    subtitle = " \N{MIDDLE DOT} ".join(str(part) for part in parts if part)
    return Template(_read("page.html")).substitute(
        title=escape(title),
        subtitle=escape(subtitle),
        style=_read("page.css"),
        script=_read("page.js"),
        banner=sections.banner(run),
        story=sections.story(run, around),
        tables=sections.tables(run),
        about=about(run, drawn["shown"]),
        heading="The history" if source else "The run",
        footer=escape(footer),
        data=_embedded(data),
    )


def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _embedded(data: dict[str, Any]) -> str:
    """JSON that cannot end the script element that it stands in."""
    text = json.dumps(data, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
