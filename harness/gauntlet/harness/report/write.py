"""Put the page together: template, style, script, data, tables; one file that fetches nothing."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from gauntlet.harness.report import sections
from gauntlet.harness.report.data import RunFiles, fault_spans, leader_spans, load_run, points, rates
from gauntlet.harness.report.timeline import contradicting, timeline
from gauntlet.harness.rundir import RunDirectory

_HERE = Path(__file__).parent


def write_report(run_dir: Path) -> Path:
    """Write report.html of a run directory, in one step; gives its path.

    RunDirectoryError, in one line, for a directory that is not a readable run.
    """
    run = load_run(Path(run_dir))
    target = RunDirectory(Path(run_dir)).report_file
    partial = target.with_name(target.name + ".partial")
    partial.write_text(render(run), encoding="utf-8")
    partial.replace(target)
    return target


def render(run: RunFiles) -> str:
    """The whole page."""
    around = timeline(run)
    marked = [record["id"] for record in contradicting(run)]
    members = {str(record["member"]) for record in run.history if record.get("member")}
    members |= {str(sample["member"]) for sample in run.leaders if sample.get("member")}
    data = {
        "end": max(1, run.end_ns // 1000),
        "marked": marked,
        "members": sorted(members),
        "points": points(run, marked),
        "rate": rates(run),
        "leaders": leader_spans(run),
        "faults": fault_spans(run),
        "timeline": around,
    }
    verdict = str(run.results.get("verdict") or "not judged")
    plan = run.plan
    named = " \N{MIDDLE DOT} ".join(
        str(part)
        for part in (
            plan.get("target"),
            plan.get("workload"),
            f"seed {plan.get('seed')}",
            plan.get("started"),
        )
        if part
    )
    return Template(_read("page.html")).substitute(
        title=escape(f"{verdict}: {plan.get('target', '')} under {plan.get('workload', '')}"),
        subtitle=escape(named),
        style=_read("page.css"),
        script=_read("page.js"),
        banner=sections.banner(run),
        story=sections.story(run, around["left_out"] if around else 0),
        tables=sections.tables(run),
        footer=escape(f"From the run directory {run.path.name}. Judge it again: gauntlet recheck {run.path}"),
        data=_embedded(data),
    )


def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _embedded(data: dict[str, Any]) -> str:
    """JSON that cannot end the script element that it stands in."""
    text = json.dumps(data, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
