"""The check `etcd` of a run: the whole store, all keys and revisions together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from gauntlet.checkers.etcd.calls import (
    Grant,
    GrantAnswer,
    KeepAlive,
    KeepAliveAnswer,
    TimeToLive,
    TimeToLiveAnswer,
)
from gauntlet.checkers.etcd.decide import Judgement, decide
from gauntlet.checkers.etcd.diagnose import Diagnosis, diagnose, full
from gauntlet.checkers.etcd.register import of_operation
from gauntlet.checkers.etcd.replay import Start
from gauntlet.checkers.etcd.shrunk import shrink
from gauntlet.checkers.etcd.values import check_values
from gauntlet.checkers.records import Run
from gauntlet.checkers.verdict import CheckResult
from porcupine.history import Operation
from porcupine.search import Verdict

NAME = "etcd"
PHANTOM_LEASE = "phantom lease"


def check_etcd(run: Run) -> CheckResult:
    """Valid, invalid or unknown for the whole store. ValueError for what is no operation on an etcd."""
    operations = [of_operation(operation) for operation in run.history]
    if not any(operation.is_ok for operation in operations):
        return CheckResult(NAME, Verdict.UNKNOWN, "no operation was answered: there is nothing to check")
    seconds = run.seconds / 2 if run.clock is not None and run.seconds is not None else None
    judgement = decide(operations, clock=run.clock, seconds=seconds)
    details = _details(judgement)
    stray = _stray_lease(operations, judgement.start)
    if judgement.verdict is Verdict.VALID and stray is not None:
        return CheckResult(NAME, Verdict.INVALID, stray.label, details, _explanation(stray))
    if judgement.verdict is Verdict.VALID:
        summary = (
            f"{len(judgement.order)} operations on the whole store have an order that explains every answer"
        )
        return CheckResult(NAME, Verdict.VALID, summary, details)
    if judgement.verdict is Verdict.UNKNOWN:
        return CheckResult(NAME, Verdict.UNKNOWN, f"not decided: {judgement.reason}", details)
    return _failed(judgement, operations, details, run)


def _failed(
    judgement: Judgement, operations: Sequence[Operation], details: dict[str, Any], run: Run
) -> CheckResult:
    found = diagnose(judgement)
    seconds = run.seconds / 2 if run.clock is not None and run.seconds is not None else None
    values = check_values(operations, clock=run.clock, seconds=seconds)
    details["values_alone"] = values.value
    explanation = _explanation(found)
    shrunk = shrink(judgement, found.operations)
    if shrunk is None:
        details["certificate"]["text"] += "; not judged again"
    else:
        explanation["shrunk"] = [operation.id for operation in shrunk.operations]
        details["certificate"] |= {"operations": len(shrunk.operations), "text": shrunk.text}
    explanation["values_alone"] = values.value
    explanation["explained_operations"] = len(judgement.order)
    summary = found.label
    if values is Verdict.VALID:
        summary += "; the values alone could be explained, the cluster lies about revisions"
    elif values is Verdict.INVALID:
        summary += "; the values alone contradict each other too"
    return CheckResult(NAME, Verdict.INVALID, summary, details, explanation)


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
        "certificate": _certificate(judgement),
    }


def _certificate(judgement: Judgement) -> dict[str, Any]:
    """What stands behind the verdict: orders were judged by `certify` or by porcupine's verifier."""
    placed, whole = len(judgement.order), len(judgement.operations)
    if judgement.verdict is Verdict.VALID:
        text = f"an order of {placed} operations, re-checked by the verifier (found by {judgement.how})"
        return {"kind": "order", "operations": placed, "text": text}
    if judgement.verdict is Verdict.UNKNOWN:
        return {"kind": "none", "text": f"none: not decided; {placed} of {whole} operations are explained"}
    if judgement.flaw is not None:
        text = "two answers whose revisions contradict each other or real time, whatever else happened"
        return {"kind": "contradiction", "explained": placed, "text": text}
    text = f"stuck after {placed} of {whole} operations; every choice was tried ({judgement.how})"
    return {"kind": "contradiction", "explained": placed, "text": text}


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


def _stray_lease(operations: Sequence[Operation], start: Start) -> Diagnosis | None:
    """Keep-alives and TTL reads are not bound to an order, but nobody renews a lease that was never
    granted."""
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
        if not isinstance(operation.call, (KeepAlive, TimeToLive)) or not operation.is_ok:
            continue
        lives = isinstance(answer, (KeepAliveAnswer, TimeToLiveAnswer)) and answer.ttl > 0
        begun = granted.get(operation.call.id)
        late = begun is None or (operation.return_time_ns or 0) < begun
        if lives and late and not nameless and start.revision == 1:
            text = f"{full(operation)}: nobody had been granted that lease."
            return Diagnosis(PHANTOM_LEASE, text, [operation])
    return None
