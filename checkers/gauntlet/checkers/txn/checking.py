"""The check of a history's transactions, twice where revisions are recorded: by values alone, and by
revisions.

The values say which orders are possible; the revisions say which one etcd claims. Each pass has its own graph
and its own verdict. Where one finds a contradiction and the other does not, the result says which of the two
is at fault.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from gauntlet.checkers.records import Run
from gauntlet.checkers.txn.anomalies import (
    STRICT_SERIALIZABLE,
    WRONG_REVISION,
    Anomaly,
    forbidden,
    refuted,
    title,
    weakest,
)
from gauntlet.checkers.txn.cycles import Cycles, find_cycles
from gauntlet.checkers.txn.graph import NAMES, RW
from gauntlet.checkers.txn.order import find_order
from gauntlet.checkers.txn.proof import SERIAL, anomaly_lines, order_lines, part_of
from gauntlet.checkers.txn.readings import Reading, read
from gauntlet.checkers.txn.records import Txn, Txns, Unsuitable, is_txn, read_txns
from gauntlet.checkers.txn.stories import tell
from gauntlet.checkers.verdict import CheckResult
from porcupine.search import Verdict
from porcupine.uncollected import uncollected

NAME = "txn"
MODEL_NOTE = "consistency_model"  # in Run.notes: the model asked for

BY_ITEM = (
    "all reads are of single keys: G2 can be seen only as G2-item, phantoms by predicate are not looked for"
)


@dataclass(slots=True)
class Pass:
    """One reading of the history: by values, or by revisions."""

    anomalies: dict[str, list[Anomaly]]
    counts: dict[str, int]
    cycles: Cycles
    edges: int


def check_transactions(run: Run, model: str | None = None) -> CheckResult:
    """Does the history refute the consistency model (default: strict-serializable, or the run's note)?

    Valid means that no anomaly that the model forbids can be inferred from the operations, not that there is
    none: see the modules' rules for what is inferred. ValueError for what are no transactions, and for a
    model that is not in `anomalies.MODELS`.
    """
    asked = model or model_of(run)
    against = forbidden(asked)
    with uncollected():
        txns = read_txns(filter(is_txn, run.history))
    if not any(txn.ok for txn in txns.real):
        return CheckResult(NAME, Verdict.UNKNOWN, "no transaction was answered: there is nothing to check")
    try:
        with uncollected():
            found = read(txns)
            passes = {name: _finish(each, txns.real) for name, each in found.items()}
    except Unsuitable as error:
        return CheckResult(NAME, Verdict.UNKNOWN, str(error))
    result, worst = _result(asked, against, txns, passes)
    with uncollected():
        if worst is None:
            _prove_order(result, found, asked, txns)
        else:
            _prove_anomaly(result, worst, passes, txns)
    return result


def model_of(run: Run) -> str:
    """The consistency model that is asked for."""
    return str(run.notes.get(MODEL_NOTE, STRICT_SERIALIZABLE))


def _prove_order(result: CheckResult, found: dict[str, Reading], asked: str, txns: Txns) -> None:
    order = find_order(found, txns, asked)
    if order is None:
        text = f"nothing that {asked} forbids can be inferred; it allows cycles, so there is no order to show"
        result.details["certificate"] = {"kind": "rules", "text": text}
        return
    if order.kind == SERIAL:
        how = "carried out one after the other by the verifier"
    else:
        how = "every dependency that can be inferred goes forward in it"
    text = f"an order of {len(txns.real)} transactions, {how}"
    result.details["certificate"] = {"kind": "order", "operations": len(txns.real), "text": text}
    result.proof = partial(order_lines, order, txns)


def _prove_anomaly(result: CheckResult, worst: Anomaly, passes: dict[str, Pass], txns: Txns) -> None:
    which = next(name for name, each in passes.items() if worst in each.anomalies.get(worst.name, ()))
    part = part_of(worst, which, txns)
    text = f"{worst.name} of {len(worst.txns)} transactions"
    if part:
        text += f"; a history of {len(part)} transactions still shows it (judged again by itself)"
    if part and result.explanation is not None:
        result.explanation["shrunk"] = [txn.operation.id for txn in part]
    result.details["certificate"] = {"kind": "contradiction", "operations": len(part) or None, "text": text}
    result.proof = partial(anomaly_lines, worst, which, part)


def _finish(reading: Reading, txns: Sequence[Txn]) -> Pass:
    cycles = find_cycles(reading.graph)
    anomalies: dict[str, list[Anomaly]] = {}
    counts: dict[str, int] = {}
    for each in reading.findings:
        for name, kept in each.kept.items():
            anomalies.setdefault(name, []).extend(kept)
        for name, count in each.counts.items():
            counts[name] = counts.get(name, 0) + count
    for name, found in cycles.kept.items():
        anomalies[name] = [tell(name, cycle, txns, reading.sources) for cycle in found]
        counts[name] = cycles.counts[name]
    return Pass(anomalies, counts, cycles, reading.graph.edges())


def _result(
    asked: str, against: set[str], txns: Txns, passes: dict[str, Pass]
) -> tuple[CheckResult, Anomaly | None]:
    """The verdict, and the anomaly that it is told by."""
    names = {name for each in passes.values() for name in each.anomalies}
    bad = {name for name in names if name in against or name == WRONG_REVISION}
    broken = refuted(names)
    details: dict[str, Any] = {
        "model": asked,
        "transactions": sum(1 for txn in txns.real if txn.ok),
        "unknown": sum(1 for txn in txns.real if not txn.ok),
        "failed": len(txns.failed),
        "micro_operations": sum(len(txn.micro) for txn in txns.real),
        "refuted_models": broken,
        "weakest_refuted_models": weakest(broken),
        "note": BY_ITEM,
    } | {name: _details(each) for name, each in passes.items()}
    disagreement = _disagreement(passes, against)
    if disagreement:
        details["disagreement"] = disagreement
    count = details["transactions"]
    if not bad:
        also = f"; {asked} allows {', '.join(sorted(names))}" if names else ""
        summary = f"{count} transactions do not contradict {asked}{also}"
        return CheckResult(NAME, Verdict.VALID, summary, details), None
    first = min(
        (
            found
            for each in passes.values()
            for name, kept in each.anomalies.items()
            if name in bad
            for found in kept
        ),
        key=lambda anomaly: (_rank(anomaly), len(anomaly.txns), _at(anomaly)),
    )
    not_kept = ", ".join(weakest(broken)) or "etcd's promise of revisions"
    summary = f"{', '.join(sorted(bad))}: not {not_kept}" + (f"; {disagreement}" if disagreement else "")
    return CheckResult(NAME, Verdict.INVALID, summary, details, _explanation(first, disagreement)), first


def _details(each: Pass) -> dict[str, Any]:
    return {
        "anomalies": dict(sorted(each.counts.items())),
        "edges": each.edges,
        "components": each.cycles.components,
        "largest_component": each.cycles.largest,
        "searched_to_the_end": each.cycles.complete,
        "first": [
            anomaly.to_json() for name in sorted(each.anomalies) for anomaly in each.anomalies[name][:3]
        ],
    }


def _disagreement(passes: dict[str, Pass], against: set[str]) -> str:
    if "by_revision" not in passes:
        return ""
    by_value = against & passes["by_value"].anomalies.keys()
    by_revision = passes["by_revision"].anomalies.keys() & (against | {WRONG_REVISION})
    if by_revision and not by_value:
        return "the values alone could be explained, the revisions cannot"
    if by_value and not by_revision:
        return "the revisions agree with each other, the values that were read do not"
    return ""


def _rank(anomaly: Anomaly) -> int:
    """What leaves least to doubt comes first: two transactions that contradict each other, then cycles, those
    without process and real-time edges before the others; what one transaction shows alone convinces nobody.
    """
    alone, cycle = len(anomaly.txns) < 2, bool(anomaly.steps)
    return 4 * alone + 2 * cycle + anomaly.name.endswith(("-process", "-realtime"))


def _at(anomaly: Anomaly) -> int:
    return max(txn.operation.return_time_ns or txn.operation.call_time_ns for txn in anomaly.txns)


def _expectations(anomaly: Anomaly) -> list[dict[str, Any]]:
    """Of a cycle: whoever missed a write comes after it by the other steps, and should have seen it."""
    return [
        {
            "operation": step["from"],
            "description": f"T{step['from']}",
            "reason": f"by the other steps it comes after T{step['to']}",
            "expected": f"it sees what T{step['to']} wrote",
            "got": step["text"],
        }
        for step in anomaly.steps
        if step["type"] == NAMES[RW]
    ]


def _explanation(anomaly: Anomaly, disagreement: str) -> dict[str, Any]:
    operations = [txn.operation.id for txn in anomaly.txns]
    return {
        "label": f"{anomaly.name} ({title(anomaly.name)})",
        "text": anomaly.text,
        "operations": operations,
        "expectations": _expectations(anomaly),
        "shrunk": operations,
        "part": None,
        "steps": anomaly.steps,
        "disagreement": disagreement,
    }
