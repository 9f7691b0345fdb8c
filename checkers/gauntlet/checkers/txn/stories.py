"""A cycle in words: what each step rests on, and why that is impossible."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from gauntlet.checkers.txn.anomalies import Anomaly
from gauntlet.checkers.txn.cycles import Cycle, Step
from gauntlet.checkers.txn.graph import NAMES, PROCESS, RW, RW_TIME, TIME, WR, WW, WW_TIME
from gauntlet.checkers.txn.records import Txn
from gauntlet.checkers.txn.words import full, name
from porcupine.labels import seconds

Why = Callable[[Txn, Txn], str | None]


class Source(Protocol):
    """Who knows why there is an edge between two transactions."""

    def explain_ww(self, before: Txn, after: Txn) -> str | None: ...
    def explain_wr(self, before: Txn, after: Txn) -> str | None: ...
    def explain_rw(self, before: Txn, after: Txn) -> str | None: ...


def tell(label: str, cycle: Cycle, txns: Sequence[Txn], sources: Sequence[Source]) -> Anomaly:
    nodes = [txns[step.source] for step in cycle]
    steps: list[dict[str, Any]] = []
    for step in cycle:
        before, after = txns[step.source], txns[step.target]
        steps.append(
            {
                "from": before.operation.id,
                "to": after.operation.id,
                "type": NAMES[step.kind],
                "by_time": step.kind in (WW_TIME, RW_TIME),
                "text": _why(step, before, after, sources),
            }
        )
    reasons = "; ".join(f"{each['text']} ({each['type']})" for each in steps)
    circle = " before ".join([*(name(txn) for txn in nodes), name(nodes[0])])
    text = f"{reasons}. So {circle}, which no order allows. " + " ".join(f"{full(txn)}." for txn in nodes)
    return Anomaly(label, text, nodes, steps)


def _why(step: Step, before: Txn, after: Txn, sources: Sequence[Source]) -> str:
    if step.kind == PROCESS:
        return f"client {before.operation.client} was answered {name(before)} before it called {name(after)}"
    if step.kind == TIME:
        returned, called = before.operation.return_time_ns, after.operation.call_time_ns
        assert returned is not None
        first = f"{name(before)} had returned at {seconds(returned)}"
        return f"{first}, {name(after)} was called at {seconds(called)}"
    for source in sources:
        explain: Why = {
            WW: source.explain_ww,
            WW_TIME: source.explain_ww,
            WR: source.explain_wr,
            RW: source.explain_rw,
            RW_TIME: source.explain_rw,
        }[step.kind]
        why = explain(before, after)
        if why is not None:
            return why
    raise AssertionError(f"no reason for the edge {NAMES[step.kind]} from {name(before)} to {name(after)}")
