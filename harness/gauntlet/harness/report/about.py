"""What a page shows and what stands behind its verdict, for readers who were not there."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from gauntlet.harness.report.data import Record, RunFiles


def drawn(run: RunFiles, around: Record) -> str:
    """What the timeline shows and what it leaves out."""
    left = f", of which {around['left_out']:,} are not drawn" if around["left_out"] else ", all drawn"
    more = (
        f" {around['elsewhere']:,} operations further away are only counted, in the strip at the top"
        if around["elsewhere"]
        else " Nothing of the history is further away than what is drawn; the strip at the top counts it"
    )
    return (
        f"The window it opens on is the shortest that holds the numbered operations: {around['inside']:,} of"
        f" {len(run.history):,} operations were running in it{left}.{more}."
    )


def about(run: RunFiles, shown: Mapping[str, int]) -> str:
    """For readers who were not there: what this page shows, of what, and what stands behind the verdict."""
    source = run.source
    what = (
        f"The history {source.get('file')}, read as {source.get('format')} and judged by"
        f" {source.get('model')}."
        if source
        else "One test run: clients sent requests to a cluster while faults were applied to it, every request"
        " and answer was written down, and the history was judged afterwards."
    )
    times = (
        f"The history has no clock times; what is drawn as time is the number of the {run.unit}, and"
        " durations mean nothing but order."
        if run.unit
        else "Times are seconds since the run began."
    )
    drawn = shown["ok"] + shown["other"]
    points = (
        "Every operation is a dot in the first chart."
        if drawn == len(run.history)
        else f"Dots in the first chart: {drawn:,} of {len(run.history):,} operations, evenly chosen; rates,"
        " tables and the timeline's strip count every one."
    )
    items = [
        what,
        "An operation lasts from its call to its return. It is ok (answered), failed (it certainly did not"
        " happen) or unknown (a time-out or a lost connection: it may have happened, even later).",
        "Valid: an order of all operations explains every answer, and each stands between its call and its"
        " return. Invalid: no such order exists. Unknown: not decided, or too little evidence; never a pass.",
        times,
        points,
        *_evidence_sentences(run),
    ]
    listed = "".join(f"<li>{escape(item)}</li>" for item in items)
    return f'<section><h2>What this page shows</h2><ul class="about">{listed}</ul></section>'


def certificate_of(check: Mapping[str, Any]) -> Mapping[str, Any]:
    """What stands behind a check's verdict; empty where it says nothing about that."""
    details = check.get("details")
    found = details.get("certificate") if isinstance(details, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _evidence_sentences(run: RunFiles) -> list[str]:
    sentences = []
    for check in run.results.get("checks") or []:
        found = certificate_of(check)
        if found:
            sentences.append(f"Evidence of the check {check.get('name')}: {found.get('text')}.")
    return sentences


def cost(check: Mapping[str, Any]) -> str:
    """Kernel, operations, steps, time and memory of a check."""
    spent = (check.get("details") or {}).get("cost") or {}
    said = [f"{spent['kernel']} kernel"] if spent.get("kernel") else []
    if isinstance(spent.get("operations"), int):
        said.append(f"{spent['operations']:,} operations")
    if spent.get("steps") is not None:
        said.append(f"{spent['steps']:,} steps")
    if spent.get("search_bytes"):
        said.append(f"{spent['search_bytes'] / 1e6:.1f} MB of search")
    if isinstance(spent.get("seconds"), int | float):
        said.append(f"{spent['seconds']:.3f} s")
    if spent.get("peak_memory_bytes"):
        said.append(f"process at most {spent['peak_memory_bytes'] / 1e6:.0f} MB by then")
    return ", ".join(said)
