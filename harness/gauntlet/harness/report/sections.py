"""The parts of the page that are plain HTML: banner, story, tables. All that came from a run is escaped."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from gauntlet.checkers.story import what_was_due
from gauntlet.harness.report.about import certificate_of, cost, drawn
from gauntlet.harness.report.data import COUNTED_NS, OUTCOMES, Record, RunFiles
from gauntlet.harness.report.timeline import active_faults, answer, contradicting, describe
from gauntlet.harness.report.words import evidence, headline, moment, seconds

MOST_FAULT_ROWS = 400


def text(value: object) -> str:
    return escape(str(value))


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numeric: Sequence[int] = ()) -> str:
    """Cells are HTML already; `numeric` columns are set right."""

    def cell(tag: str, index: int, content: str) -> str:
        attribute = ' class="n"' if index in numeric else ""
        return f"<{tag}{attribute}>{content}</{tag}>"

    header = "".join(cell("th", index, text(name)) for index, name in enumerate(head))
    body = "".join(
        "<tr>" + "".join(cell("td", index, content) for index, content in enumerate(row)) + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{header}</tr></thead><tbody>{body}</tbody></table></div>'


def chip(word: str) -> str:
    kind = word if word in ("valid", "invalid", "unknown", "yes", "no", "refused") else "unknown"
    return f'<span class="chip {kind}">{text(word)}</span>'


def banner(run: RunFiles) -> str:
    verdict, meaning, reasons = headline(run)
    explanation = run.explanation() if verdict == "invalid" else None
    label = f'<span class="label">{text(explanation.get("label", ""))}</span>' if explanation else ""
    sentences = "".join(f"<p>{text(reason)}</p>" for reason in reasons)
    if run.plan.get("state") == "interrupted":
        sentences += "<p>The run was interrupted; this is what it had recorded by then.</p>"
    command = run.results.get("command") or run.plan.get("command") or ""
    again = (
        f'<div class="repeat"><code id="command">{text(command)}</code>'
        '<button type="button" data-copy="command">copy</button></div>'
        if command
        else ""
    )
    return (
        f'<section class="banner {text(verdict)}"><div class="verdict">'
        f'<span class="word">{text(verdict)}</span><span class="meaning">{text(meaning)}</span>{label}</div>'
        f"{sentences}{_numbers(run)}{again}</section>"
    )


def _numbers(run: RunFiles) -> str:
    log = run.history
    ok = log.outcome.count(0)
    bitten = sum(1 for fault in run.faults if evidence(fault)[0] == "yes")
    done = sum(1 for fault in run.faults if evidence(fault)[0] != "refused")
    facts = [
        (f"{len(log):,}", "operations"),
        (f"{ok:,}", "answered"),
        (f"{len(log.clients.known):,}", "clients"),
        (f"{len(log.keys.known):,}", "keys"),
    ]
    if not run.source or run.faults:
        facts += [(f"{done}", "fault" if done == 1 else "faults"), (f"{bitten}", "seen to bite")]
    if run.unit:
        facts.append((f"{run.end_ns // COUNTED_NS:,}", f"{run.unit}s"))
    else:
        facts.append((seconds(run.end_ns).replace(" s", ""), "seconds"))
    items = "".join(f"<li><b>{value}</b><span>{text(name)}</span></li>" for value, name in facts)
    return f'<ul class="numbers">{items}</ul>'


def story(run: RunFiles, around: Record | None) -> str:
    """The contradiction: a card for each operation, what was expected, and the timeline's frame."""
    named = contradicting(run)
    explanation = run.explanation()
    if not named or explanation is None:
        return ""
    cards = "".join(_card(run, number, record) for number, record in enumerate(named, 1))
    expectations = explanation.get("expectations") or []
    wanted = ""
    if expectations:
        rows = [
            [text(each.get(name, "")) for name in ("description", "reason", "expected", "got")]
            for each in expectations
        ]
        heads = ["Operation", "Why not", "Expected", "Got"]
        wanted = f"<h3>{text(what_was_due(explanation).capitalize())}</h3>" + table(heads, rows)
    placed = explanation.get("explained_operations")
    prefix = f" {placed} operations on it can be explained up to here." if isinstance(placed, int) else ""
    part = explanation.get("part")
    about = "About" if explanation.get("guarantee") else "On the key"
    where = f"{about} {text(part)}.{prefix} " if part else ""
    note = f'<p class="note">{text(drawn(run, around))}</p>' if around else ""
    return (
        f"<section><h2>What contradicts what</h2>"
        f'<p class="lead">{where}Numbers are the same in the cards, the timeline and the charts; all other '
        f"bars are what else the clients did, pale on other keys.</p>"
        f'<div class="cards">{cards}</div><div class="tools" id="zooms"></div>'
        f'<div id="timeline"></div>'
        f'<p class="note">Drag to move, ctrl or shift with the wheel to zoom.</p>{note}'
        f"{wanted}</section>"
    )


def _card(run: RunFiles, number: int, record: Record) -> str:
    end = record.get("return_ns")
    stop = end if isinstance(end, int) else run.end_ns
    when = moment(run, record["call_ns"])
    when += f" to {moment(run, end)}" if isinstance(end, int) else ", never returned"
    faults = active_faults(run, record["call_ns"], stop)
    rows = [
        ("client", record.get("client")),
        ("member", record.get("member") or "not known"),
        ("time", when),
        ("key", record.get("key")),
        ("answer", answer(record).removeprefix("\N{RIGHTWARDS ARROW} ")),
        ("faults then", "; ".join(faults) or "none"),
    ]
    if run.source:  # the words of a saved history hold the answer, and it may know no members and no faults
        rows = [row for row in rows if row[0] != "answer"]
        rows = [row for row in rows if row[1] not in (None, "not known")]
    if run.source and not run.faults:
        rows.pop()
    details = "".join(f"<dt>{text(name)}</dt><dd>{text(value)}</dd>" for name, value in rows)
    return (
        f'<div class="cardlet"><div class="what"><span class="number">{number}</span>'
        f"{text(describe(record))}</div><dl>{details}</dl></div>"
    )


def tables(run: RunFiles) -> str:
    return "".join((_checks(run), _counts(run), _faults(run), _plan(run)))


def _checks(run: RunFiles) -> str:
    checks = run.results.get("checks") or []
    if not checks:
        return ""
    rows = []
    for check in checks:
        found = certificate_of(check)
        rows.append(
            [
                f"<b>{text(check.get('name'))}</b>",
                chip(str(check.get("verdict"))),
                text(check.get("summary", "")),
                text(found.get("text", "")),
                text(cost(check)),
            ]
        )
    head = ["Check", "Verdict", "In one sentence", "What stands behind it", "Cost"]
    raw = json.dumps({str(check.get("name")): check.get("details") for check in checks}, indent=1)
    shown = raw if len(raw) < 200_000 else raw[:200_000] + "\n... (the rest is in results.json)"
    return (
        f"<section><h2>Checks</h2>{table(head, rows)}"
        f"<details><summary>Details</summary><pre>{text(shown)}</pre></details></section>"
    )


def _stats(run: RunFiles) -> Mapping[str, Any]:
    for check in run.results.get("checks") or []:
        if check.get("name") == "stats" and isinstance(check.get("details"), Mapping):
            found: Mapping[str, Any] = check["details"]
            return found
    stats = run.results.get("stats")
    return stats if isinstance(stats, Mapping) else {}


def _counts(run: RunFiles) -> str:
    counts: dict[str, dict[str, int]] = {}
    log = run.history
    names = log.ops.listed()
    for (op, outcome), count in Counter(zip(log.op, log.outcome, strict=True)).items():
        counts.setdefault(names[op], dict.fromkeys(OUTCOMES, 0))[OUTCOMES[outcome]] = count
    rows = [
        [text(op), *(f"{by_outcome[outcome]:,}" for outcome in OUTCOMES), f"{sum(by_outcome.values()):,}"]
        for op, by_outcome in sorted(counts.items())
    ]
    counted = table(["Operation", "ok", "failed", "unknown", "all"], rows, (1, 2, 3, 4))
    stats = _stats(run)
    latencies = stats.get("latency_ms") or {}
    quantiles = list(dict.fromkeys(name for row in latencies.values() for name in row))
    timed = [
        [text(op), *(f"{row[name]:,.2f}" if name in row else "" for name in quantiles)]
        for op, row in latencies.items()
    ]
    latency = (
        "<div><h3>Latency of ok operations, ms</h3>"
        + table(
            ["Operation", *("max" if name == "p100" else name for name in quantiles)],
            timed,
            range(1, len(quantiles) + 1),
        )
        + "</div>"
        if timed
        else ""
    )
    return (
        f'<section><h2>Operations</h2><div class="columns"><div><h3>Outcomes</h3>{counted}</div>{latency}'
        f"{_availability(stats)}{_errors(stats)}</div></section>"
    )


def _availability(stats: Mapping[str, Any]) -> str:
    rows = []
    for name, words in (("outside_faults", "clear of faults"), ("inside_faults", "during faults")):
        part = stats.get(name)
        if isinstance(part, Mapping) and part.get("share") is not None:
            rows.append(
                [words, f"{part['ok']:,}", f"{part['operations']:,}", f"{100 * float(part['share']):.1f} %"]
            )
    if not rows:
        return ""
    return f"<div><h3>Availability</h3>{table(['', 'ok', 'of', 'share'], rows, (1, 2, 3))}</div>"


def _errors(stats: Mapping[str, Any]) -> str:
    errors = stats.get("errors")
    if not isinstance(errors, Mapping) or not errors:
        return ""
    rows = [[text(str(error)[:240]), f"{count:,}"] for error, count in errors.items()]
    return f"<div><h3>Errors</h3>{table(['Error', 'times'], rows, (1,))}</div>"


def _faults(run: RunFiles) -> str:
    if not run.faults and run.source:
        return ""
    if not run.faults:
        return '<section><h2>Faults</h2><p class="lead">None.</p></section>'
    rows = []
    for fault in run.faults[:MOST_FAULT_ROWS]:
        bit, how = evidence(fault)
        end = fault.get("end_ns")
        params = ", ".join(f"{name} {value}" for name, value in (fault.get("params") or {}).items())
        rows.append(
            [
                text(fault.get("id", "")),
                f"<b>{text(fault.get('name', ''))}</b>",
                text(", ".join(str(target) for target in fault.get("targets") or [])),
                text(params),
                seconds(fault["start_ns"]),
                seconds(end) if isinstance(end, int) else "the end",
                chip(bit),
                text(how),
            ]
        )
    head = ["", "Fault", "On", "With", "From", "To", "Bit", "How that is known"]
    return f"<section><h2>Faults</h2>{table(head, rows, (4, 5))}</section>"


def _plan(run: RunFiles) -> str:
    if not run.plan:
        return ""
    versions = run.plan.get("versions") or {}
    rows = [
        [text(name), f'<span class="mono">{text(_value(value))}</span>']
        for name, value in run.plan.items()
        if name not in ("versions", "schedule")
    ]
    more = [
        [text(name), f'<span class="mono">{text(_value(value))}</span>'] for name, value in versions.items()
    ]
    if run.plan.get("version") and "version" not in versions:
        more.insert(0, ["target", f'<span class="mono">{text(run.plan["version"])}</span>'])
    schedule = run.plan.get("schedule")
    raw = (
        f"<details><summary>The schedule as planned</summary><pre>{text(json.dumps(schedule, indent=1))}"
        "</pre></details>"
        if schedule
        else ""
    )
    known = f"<div><h3>Versions</h3>{table(['', ''], more)}</div>" if more else ""
    return (
        f'<section><h2>Plan and versions</h2><div class="columns"><div><h3>Plan</h3>'
        f"{table(['', ''], rows)}</div>"
        f"{known}</div>{raw}</section>"
    )


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {inner}" for name, inner in value.items())
    if isinstance(value, list):
        return ", ".join(str(item) for item in value) or "none"
    return str(value)
