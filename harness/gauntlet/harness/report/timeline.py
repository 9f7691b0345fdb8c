"""The timeline around the first contradiction: one row a client, one bar an operation from call to return.

It opens on the shortest window that holds the contradicting operations. Around it operations are drawn one by
one as long as a page can hold them; what is further away is counted in pieces of time. Where more happened in
the window itself than people can look at, operations on other keys and far from the contradicting ones are
left out first, and it says so.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping

from gauntlet.checkers.story import active
from gauntlet.harness.report.data import COUNTED_NS, Log, Record, RunFiles, error_text

MOST_BARS = 2_500
MOST_ROWS = 60
MOST_NAMED = 60
LONGEST_TEXT = 160
MARGIN = 0.12
LEAST_MARGIN_NS = 2_000_000
NEAR_NS = 60_000_000


def describe(record: Record) -> str:
    """An operation and its answer in words short enough for a bar."""
    if "text" in record:  # of a saved history, in its model's words
        return str(record["text"])
    op, args = str(record.get("op", "operation")), record.get("args") or {}
    inner = ""
    if op == "cas":
        inner = f"mod {args.get('expected')} \N{RIGHTWARDS ARROW} {_quoted(args.get('value'))}"
    elif "value" in args:
        inner = _quoted(args["value"])
    elif args:
        inner = ", ".join(f"{name}={value}" for name, value in args.items())
    return f"{op}({inner}) {answer(record)}"


def answer(record: Record) -> str:
    """The answer in words; the outcome where there is none."""
    response = record.get("response")
    if record["outcome"] != "ok" or not isinstance(response, dict):
        text = error_text(record)
        return f"{record['outcome']} \N{MIDDLE DOT} {text}" if text else str(record["outcome"])
    parts = []
    if "succeeded" in response:
        parts.append("swapped" if response["succeeded"] else "refused")
    if "deleted" in response:
        parts.append(f"deleted {response['deleted']}")
    if "value" in response:
        value = response["value"]
        seen = "absent" if value is None else f"{_quoted(value)} at mod {response.get('mod_revision')}"
        parts.append(seen)
    if response.get("revision") is not None:
        parts.append(f"revision {response['revision']}")
    return f"\N{RIGHTWARDS ARROW} {', '.join(parts)}" if parts else "ok"


def _quoted(value: object) -> str:
    text = str(value)
    return f"'{text}'" if len(text) <= 24 else f"'{text[:21]}\N{HORIZONTAL ELLIPSIS}'"


def contradicting(run: RunFiles) -> list[Record]:
    """The operations that the explanation names, first called first."""
    return [run.history.record(index) for index in named(run)]


def named(run: RunFiles) -> list[int]:
    """Where they stand in the history; the first of very many."""
    explanation = run.explanation()
    return run.history.indices((explanation or {}).get("operations") or [])[:MOST_NAMED]


def active_faults(run: RunFiles, start: int, end: int) -> list[str]:
    """Names of the faults that were on at any moment of [start, end]."""
    return active(run.faults, start, end)


def timeline(run: RunFiles) -> Record | None:
    """What the timeline draws, or None when there is no contradiction to show. Times in microseconds.

    `from` and `to` are the window it opens on; between `drawn_from` and `drawn_to` operations are drawn one
    by one, elsewhere only counted (`density`).
    """
    marked = named(run)
    if not marked:
        return None
    log, last = run.history, run.end_ns
    start = min(log.call[index] for index in marked)
    end = max(log.until(index, last) for index in marked)
    margin = max(LEAST_MARGIN_NS if not run.unit else 3 * COUNTED_NS, int(MARGIN * (end - start)))
    start, end = start - margin, end + margin
    inside = _inside(log, start, end, last)
    drawn_from, drawn_to, around = start, end, inside
    if len(inside) < MOST_BARS:
        spare = (MOST_BARS - len(inside)) // 2
        first, behind = bisect_left(log.call, start), bisect_right(log.call, end)
        # The first call that is left out, on either side, ends what is drawn one by one.
        drawn_from = log.call[first - spare] if first - spare > 0 else min(start, 0)
        drawn_to = log.call[behind + spare] - 1 if behind + spare < len(log) else max(end, last)
        around = _inside(log, drawn_from, drawn_to, last)
    shown, rows = _most_telling(around, marked, run)
    explanation = run.explanation() or {}
    shrunk, keys = set(explanation.get("shrunk") or []), {log.key[index] for index in marked}
    numbers = {index: position for position, index in enumerate(marked, 1)}
    names = log.clients.listed()
    bars = [_bar(run, index, rows, numbers.get(index, 0), shrunk, keys) for index in shown]
    there = set(shown)
    return {
        "from": start // 1000,
        "to": end // 1000,
        "drawn_from": drawn_from // 1000,
        "drawn_to": drawn_to // 1000,
        "rows": [str(names[client]) for client in rows],
        "bars": bars,
        "inside": len(inside),
        "left_out": sum(1 for index in inside if index not in there),
        "elsewhere": len(log) - len(around),
    }


def _bar(
    run: RunFiles, index: int, rows: Mapping[int, int], number: int, shrunk: set[int], keys: set[int]
) -> Record:
    log, record = run.history, run.history.record(index)
    start = log.call[index] // 1000
    return {
        "row": rows[log.client[index]],
        "from": start,
        "to": max(start + 1, log.until(index, run.end_ns) // 1000),
        "outcome": record["outcome"],
        "member": str(record.get("member") or ""),
        "key": "" if record.get("key") is None else str(record["key"])[:LONGEST_TEXT],
        "text": describe(record)[:LONGEST_TEXT],
        "same": log.key[index] in keys,
        "number": number,
        "small": log.id[index] in shrunk,
        "id": log.id[index],
    }


def _inside(log: Log, start: int, end: int, last: int) -> list[int]:
    """Those that run at any moment of that time."""
    behind = bisect_right(log.call, end)
    return [index for index in range(behind) if log.until(index, last) >= start]


def _most_telling(inside: list[int], named: list[int], run: RunFiles) -> tuple[list[int], dict[int, int]]:
    """(what is drawn, the row of each client): all that may matter, within the bounds of a page."""
    log, last = run.history, run.end_ns
    wanted, keys = set(named), {log.key[index] for index in named}
    centres = [(log.call[index], log.until(index, last)) for index in named]

    def far(index: int) -> tuple[int, int]:
        if index in wanted:
            return (0, 0)
        begun, over = log.call[index], log.until(index, last)
        away = min(max(call - over, begun - end, 0) for call, end in centres)
        near = log.key[index] in keys or away < NEAR_NS
        return (1 if near else 2, away)

    chosen = sorted(inside, key=far)[:MOST_BARS] if len(inside) > MOST_BARS else sorted(inside, key=far)
    clients = list(dict.fromkeys(log.client[index] for index in chosen))[:MOST_ROWS]
    names = log.clients.listed()
    clients.sort(key=lambda client: _client_order(names[client]))
    rows = {client: row for row, client in enumerate(clients)}
    return sorted(index for index in chosen if log.client[index] in rows), rows


def _client_order(client: object) -> tuple[int, int, str]:
    return (0, client, "") if isinstance(client, int) else (1, 0, str(client))
