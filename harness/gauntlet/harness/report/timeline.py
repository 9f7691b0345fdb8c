"""The timeline around the first contradiction: one row a client, one bar an operation from call to return.

It opens on the shortest window that holds the contradicting operations. Where more happened in it than people
can look at, operations on other keys and far from the contradicting ones are left out first, and it says so.
"""

from __future__ import annotations

from typing import Any

from gauntlet.harness.report.data import Record, RunFiles, error_text

MOST_BARS = 2_500
MARGIN = 0.12
LEAST_MARGIN_NS = 2_000_000
NEAR_NS = 60_000_000


def describe(record: Record) -> str:
    """An operation and its answer in words short enough for a bar."""
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
    explanation = run.explanation()
    wanted = set((explanation or {}).get("operations") or [])
    return [record for record in run.history if record.get("id") in wanted]


def active_faults(run: RunFiles, start: int, end: int) -> list[str]:
    """Names of the faults that were on at any moment of [start, end]."""
    found = []
    for fault in run.faults:
        until = fault.get("end_ns")
        evidence = fault.get("evidence")
        if isinstance(evidence, dict) and evidence.get("refused"):
            continue
        if fault["start_ns"] <= end and (not isinstance(until, int) or until >= start):
            targets = ", ".join(str(target) for target in fault.get("targets") or [])
            found.append(f"{fault.get('name')} ({targets})" if targets else str(fault.get("name")))
    return found


def timeline(run: RunFiles) -> Record | None:
    """What the timeline draws, or None when there is no contradiction to show. Times in microseconds."""
    named = contradicting(run)
    if not named:
        return None
    start = min(record["call_ns"] for record in named)
    end = max(_until(record, run) for record in named)
    margin = max(LEAST_MARGIN_NS, int(MARGIN * (end - start)))
    start, end = start - margin, end + margin
    shrunk = set((run.explanation() or {}).get("shrunk") or [])
    keys = {record.get("key") for record in named}
    inside = [record for record in run.history if record["call_ns"] <= end and _until(record, run) >= start]
    shown = _most_telling(inside, named, keys, run)
    clients = sorted({record.get("client") for record in shown}, key=_client_order)
    numbers = {record["id"]: position for position, record in enumerate(named, 1)}
    bars: list[dict[str, Any]] = []
    for record in shown:
        bars.append(
            {
                "row": clients.index(record.get("client")),
                "from": record["call_ns"] // 1000,
                "to": max(record["call_ns"] // 1000 + 1, _until(record, run) // 1000),
                "outcome": record["outcome"],
                "member": str(record.get("member") or ""),
                "key": str(record.get("key") or ""),
                "text": describe(record),
                "same": record.get("key") in keys,
                "number": numbers.get(record.get("id"), 0),
                "small": record.get("id") in shrunk,
                "id": record.get("id"),
            }
        )
    return {
        "from": start // 1000,
        "to": end // 1000,
        "rows": [str(client) for client in clients],
        "bars": bars,
        "left_out": len(inside) - len(shown),
    }


def _until(record: Record, run: RunFiles) -> int:
    end = record.get("return_ns")
    return int(end) if isinstance(end, int) else run.end_ns


def _client_order(client: object) -> tuple[int, int, str]:
    return (0, client, "") if isinstance(client, int) else (1, 0, str(client))


def _most_telling(inside: list[Record], named: list[Record], keys: set[Any], run: RunFiles) -> list[Record]:
    if len(inside) <= MOST_BARS:
        return inside
    centres = [(record["call_ns"], _until(record, run)) for record in named]
    wanted = {id(record) for record in named}

    def far(record: Record) -> tuple[int, int]:
        if id(record) in wanted:
            return (0, 0)
        away = min(max(call - _until(record, run), record["call_ns"] - end, 0) for call, end in centres)
        other = 0 if record.get("key") in keys or away < NEAR_NS else 1
        return (1 + other, away)

    chosen = {id(record) for record in sorted(inside, key=far)[:MOST_BARS]}
    return [record for record in inside if id(record) in chosen]
