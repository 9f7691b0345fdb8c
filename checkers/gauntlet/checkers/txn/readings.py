"""The two readings of a history of transactions, by its values and by etcd's revisions: dependencies, and
what was found on the way to them. Cycles are not looked for here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gauntlet.checkers.txn.analysis import Analysis, Findings
from gauntlet.checkers.txn.graph import Graph, add_process, add_time
from gauntlet.checkers.txn.lists import Lists
from gauntlet.checkers.txn.records import Txns
from gauntlet.checkers.txn.registers import Registers
from gauntlet.checkers.txn.revisions import RevisionOrder
from gauntlet.checkers.txn.stories import Source

BY_VALUE, BY_REVISION = "by_value", "by_revision"


@dataclass(slots=True)
class Reading:
    graph: Graph
    findings: list[Findings]
    sources: Sequence[Source]


def read(txns: Txns) -> dict[str, Reading]:
    """By values always, by revisions where they are recorded. Unsuitable for what nothing can be inferred
    from."""
    analyses: list[Analysis] = []
    if txns.lists:
        analyses.append(Lists(txns))
    if txns.registers:
        analyses.append(Registers(txns))
    found = {BY_VALUE: _reading(txns, analyses, [each.findings for each in analyses])}
    if txns.has_revisions:
        order = RevisionOrder(analyses, txns.real)
        found[BY_REVISION] = _reading(txns, [order], [order.findings])
    return found


def _reading(
    txns: Txns, sources: Sequence[Analysis] | Sequence[RevisionOrder], findings: list[Findings]
) -> Reading:
    graph = Graph(len(txns.real))
    for source in sources:
        source.add_edges(graph)
    add_process(graph, txns.real)
    add_time(graph, txns.real)
    return Reading(graph, findings, sources)
