"""The check `etcd` of a run: the whole store, all keys and revisions together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from gauntlet.checkers.etcd.calls import (
    Grant,
    GrantAnswer,
    KeepAliveAnswer,
    LeasesAnswer,
    TimeToLiveAnswer,
)
from gauntlet.checkers.etcd.clash import small_proof
from gauntlet.checkers.etcd.decide import Judgement, decide
from gauntlet.checkers.etcd.diagnose import Diagnosis, diagnose, full
from gauntlet.checkers.etcd.native import Columnar
from gauntlet.checkers.etcd.proof import Line, contradiction_lines, order_lines
from gauntlet.checkers.etcd.register import of_operation
from gauntlet.checkers.etcd.replay import Start
from gauntlet.checkers.etcd.values import check_values
from gauntlet.checkers.records import Run
from gauntlet.checkers.verdict import CheckResult
from porcupine.history import Operation, Outcome
from porcupine.kernel import choose
from porcupine.search import Verdict
from porcupine.uncollected import uncollected

NAME = "etcd"
MOST_NAMED = 8
PHANTOM_LEASE = "phantom lease"


def check_etcd(run: Run) -> CheckResult:
    """Valid, invalid or unknown for the whole store. ValueError for what is no operation on an etcd."""
    if isinstance(run.history, Columnar):
        proven = _at_once(run.history)
        if proven is not None:
            return proven
    with uncollected():
        operations = list(map(of_operation, run.history))
    if not any(operation.is_ok for operation in operations):
        return CheckResult(NAME, Verdict.UNKNOWN, "no operation was answered: there is nothing to check")
    seconds = run.seconds / 2 if run.clock is not None and run.seconds is not None else None
    judgement = decide(operations, clock=run.clock, seconds=seconds)
    details = _details(judgement)
    stray = stray_lease(operations, judgement.start)
    if judgement.verdict is Verdict.VALID and stray is not None:
        details["certificate"] = {"kind": "rule", "text": "a lease that lives and that nobody was granted"}
        return CheckResult(NAME, Verdict.INVALID, stray.label, details, _explanation(stray))
    if judgement.verdict is Verdict.VALID:
        return _valid(len(judgement.order), details, partial(order_lines, judgement))
    if judgement.verdict is Verdict.UNKNOWN:
        return CheckResult(NAME, Verdict.UNKNOWN, f"not decided: {judgement.reason}", details)
    return _failed(judgement, operations, details, run)


def _valid(placed: int, details: dict[str, Any], proof: Callable[[], Iterable[Line]]) -> CheckResult:
    summary = f"{placed} operations on the whole store have an order that explains every answer"
    return CheckResult(NAME, Verdict.VALID, summary, details, proof=proof)


def _at_once(history: Columnar) -> CheckResult | None:
    """The result for a history that the native kernel has read and can prove, without its operations."""
    proof = history.columns.proof()
    if proof is None or proof[0] == 0:
        return None
    placed, last = proof
    outcomes = zip(Outcome, history.columns.outcomes, strict=True)
    details = {
        "operations": len(history),
        "outcomes": {outcome.value: count for outcome, count in outcomes if count},
        "decided_by": "witness",
        "first_revision": Start().revision,
        "last_revision": last,
        "gaps": 0,
        "gaps_filled": 0,
        "gone_back": 0,
        "explained_operations": placed,
        "reason": "",
        "certificate": {**_ordered(placed, "witness"), "kernel": choose().name},
    }
    return _valid(placed, details, lambda: order_lines(decide(list(map(of_operation, history)))))


def _failed(
    judgement: Judgement, operations: Sequence[Operation], details: dict[str, Any], run: Run
) -> CheckResult:
    found = diagnose(judgement)
    seconds = run.seconds / 2 if run.clock is not None and run.seconds is not None else None
    values = check_values(operations, clock=run.clock, seconds=seconds)
    details["values_alone"] = values.value
    explanation = _explanation(found)
    shrunk = small_proof(judgement, found.operations)
    if shrunk is None:
        details["certificate"]["text"] += "; no small part of it was proven to fail by itself"
    else:
        explanation["shrunk"] = [operation.id for operation in shrunk.operations]
        if (
            not shrunk.searched and len(shrunk.operations) <= MOST_NAMED
        ):  # who it is proven by, besides who it was noticed by
            explanation["operations"] = list(
                dict.fromkeys((*explanation["operations"], *explanation["shrunk"]))
            )
        details["certificate"] |= {"operations": len(shrunk.operations), "text": shrunk.text}
    explanation["values_alone"] = values.value
    explanation["explained_operations"] = len(judgement.order)
    summary = found.label
    if values is Verdict.VALID:
        summary += "; the values alone could be explained, the cluster lies about revisions"
    elif values is Verdict.INVALID:
        summary += "; the values alone contradict each other too"
    proof = partial(contradiction_lines, shrunk)
    return CheckResult(NAME, Verdict.INVALID, summary, details, explanation, proof)


def _details(judgement: Judgement) -> dict[str, Any]:
    witness = judgement.witness
    resolved = judgement.resolved
    outcomes = Counter(operation.outcome.value for operation in judgement.operations)
    return {
        "operations": len(judgement.operations),
        "outcomes": dict(outcomes),
        "decided_by": judgement.how,
        "first_revision": judgement.start.revision,
        "last_revision": max(witness.writes, default=judgement.start.revision),
        "gaps": len(witness.gaps),
        "gaps_filled": len(witness.filled),
        "gone_back": resolved.tries if resolved is not None else 0,
        "explained_operations": len(judgement.order),
        "reason": judgement.reason,
        "certificate": {**_certificate(judgement), "kernel": judgement.kernel},
    }


def _certificate(judgement: Judgement) -> dict[str, Any]:
    """What stands behind the verdict: orders were judged by `certify` or by porcupine's verifier."""
    placed, whole = len(judgement.order), len(judgement.operations)
    if judgement.verdict is Verdict.VALID:
        return _ordered(placed, judgement.how)
    if judgement.verdict is Verdict.UNKNOWN:
        return {"kind": "none", "text": f"none: not decided; {placed} of {whole} operations are explained"}
    if judgement.flaw is not None:
        text = "two answers whose revisions contradict each other or real time, whatever else happened"
        return {"kind": "contradiction", "explained": placed, "text": text}
    text = f"stuck after {placed} of {whole} operations; every choice was tried ({judgement.how})"
    return {"kind": "contradiction", "explained": placed, "text": text}


def _ordered(placed: int, how: str) -> dict[str, Any]:
    text = f"an order of {placed} operations, re-checked by the verifier (found by {how})"
    return {"kind": "order", "operations": placed, "text": text}


def _explanation(found: Diagnosis) -> dict[str, Any]:
    named = sorted(found.operations, key=lambda operation: operation.call_time_ns)
    expectations = []
    if found.expectation is not None:
        operation, reason, expected, got = found.expectation
        expectations.append(
            {
                "operation": operation.id,
                "description": full(operation),
                "reason": reason,
                "expected": expected,
                "got": got,
            }
        )
    identities = [operation.id for operation in named if operation.id >= 0]
    return {
        "label": found.label,
        "text": found.text,
        "operations": identities,
        "expectations": expectations,
        "shrunk": identities,
        "part": None,
    }


def stray_lease(operations: Sequence[Operation], start: Start) -> Diagnosis | None:
    """Keep-alives, TTL reads and lists of leases are not bound to an order, but nobody knows a
    lease that was never granted."""
    granted: dict[int, int] = dict.fromkeys(start.leases, -1)
    nameless = False
    for operation in operations:
        call, answer = operation.call, operation.response
        if isinstance(call, Grant) and not (operation.is_ok and not isinstance(answer, GrantAnswer)):
            number = answer.id if isinstance(answer, GrantAnswer) else call.id
            nameless = nameless or not number
            granted.setdefault(number, operation.call_time_ns)
    for operation in operations:
        answer = operation.response
        shown: tuple[int, ...] = ()
        if isinstance(answer, LeasesAnswer):
            shown = answer.ids
        elif isinstance(answer, (KeepAliveAnswer, TimeToLiveAnswer)) and answer.ttl > 0:
            shown = (answer.id,)
        if not operation.is_ok or nameless or start.revision != 1:
            continue
        for number in shown:
            begun = granted.get(number)
            if begun is None or (operation.return_time_ns or 0) < begun:
                text = f"{full(operation)}: nobody had been granted the lease {number:x}."
                return Diagnosis(PHANTOM_LEASE, text, [operation])
    return None
