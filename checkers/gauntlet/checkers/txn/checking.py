"""The check of a history's transactions, twice where revisions are recorded: by values alone, and by
revisions.

The values say which orders are possible; the revisions say which one etcd claims. Each pass has its own graph
and its own verdict. Where one finds a contradiction and the other does not, the result says which of the two
is at fault.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gauntlet.checkers.objects import without_collector
from gauntlet.checkers.records import Run
from gauntlet.checkers.txn.analysis import Analysis, Findings
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
from gauntlet.checkers.txn.graph import Graph, add_process, add_time
from gauntlet.checkers.txn.lists import Lists
from gauntlet.checkers.txn.records import Txn, Txns, Unsuitable, is_txn, read_txns
from gauntlet.checkers.txn.registers import Registers
from gauntlet.checkers.txn.revisions import RevisionOrder
from gauntlet.checkers.txn.stories import Source, tell
from gauntlet.checkers.verdict import CheckResult
from porcupine.search import Verdict

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
    asked = model or str(run.notes.get(MODEL_NOTE, STRICT_SERIALIZABLE))
    against = forbidden(asked)
    with without_collector():
        txns = read_txns(filter(is_txn, run.history))
    if not any(txn.ok for txn in txns.real):
        return CheckResult(NAME, Verdict.UNKNOWN, "no transaction was answered: there is nothing to check")
    try:
        with without_collector():
            by_value, analyses = _by_value(txns)
            passes = {"by_value": by_value}
            if txns.has_revisions:
                passes["by_revision"] = _by_revision(txns, analyses)
    except Unsuitable as error:
        return CheckResult(NAME, Verdict.UNKNOWN, str(error))
    return _result(asked, against, txns, passes)


def _by_value(txns: Txns) -> tuple[Pass, list[Analysis]]:
    analyses: list[Analysis] = []
    if txns.lists:
        analyses.append(Lists(txns))
    if txns.registers:
        analyses.append(Registers(txns))
    graph = Graph(len(txns.real))
    for analysis in analyses:
        analysis.add_edges(graph)
    return _finish(graph, txns.real, [each.findings for each in analyses], analyses), analyses


def _by_revision(txns: Txns, analyses: Sequence[Analysis]) -> Pass:
    revisions = RevisionOrder(analyses, txns.real)
    graph = Graph(len(txns.real))
    revisions.add_edges(graph)
    return _finish(graph, txns.real, [revisions.findings], [revisions])


def _finish(
    graph: Graph, txns: Sequence[Txn], findings: Sequence[Findings], sources: Sequence[Source]
) -> Pass:
    add_process(graph, txns)
    add_time(graph, txns)
    cycles = find_cycles(graph)
    anomalies: dict[str, list[Anomaly]] = {}
    counts: dict[str, int] = {}
    for each in findings:
        for name, kept in each.kept.items():
            anomalies.setdefault(name, []).extend(kept)
        for name, count in each.counts.items():
            counts[name] = counts.get(name, 0) + count
    for name, found in cycles.kept.items():
        anomalies[name] = [tell(name, cycle, txns, sources) for cycle in found]
        counts[name] = cycles.counts[name]
    return Pass(anomalies, counts, cycles, graph.edges())


def _result(asked: str, against: set[str], txns: Txns, passes: dict[str, Pass]) -> CheckResult:
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
        return CheckResult(NAME, Verdict.VALID, summary, details)
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
    return CheckResult(NAME, Verdict.INVALID, summary, details, _explanation(first, disagreement))


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


def _explanation(anomaly: Anomaly, disagreement: str) -> dict[str, Any]:
    operations = [txn.operation.id for txn in anomaly.txns]
    return {
        "label": f"{anomaly.name} ({title(anomaly.name)})",
        "text": anomaly.text,
        "operations": operations,
        "expectations": [],
        "shrunk": operations,
        "part": None,
        "steps": anomaly.steps,
        "disagreement": disagreement,
    }
