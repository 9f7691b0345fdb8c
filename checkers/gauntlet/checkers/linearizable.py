"""Linearizability of the register workload, per key, twice: by value and revision, and by value alone.

The two verdicts together tell what is wrong: when the values alone can be explained, the revisions are at
fault. Both must be valid for the check to be; serializable reads are left out, since real time does not bind
them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from gauntlet.checkers.records import Run, is_serializable
from gauntlet.checkers.register import Revisions, Values, parts_of
from gauntlet.checkers.verdict import CheckResult
from porcupine import certificate
from porcupine.checking import Result, check, worst
from porcupine.explain import Explanation
from porcupine.history import History, Operation
from porcupine.model import Model
from porcupine.search import Budget, Verdict
from porcupine.verify import CertificateError

NAME = "linearizable"


def check_linearizable(run: Run) -> CheckResult:
    """Valid, invalid or unknown for all keys together. HistoryError or ValueError for what is no history of
    it."""
    operations = [operation for operation in run.history if not is_serializable(operation)]
    twice = _written_twice(operations)
    if twice is not None:
        summary = (
            f"the value {twice[1]!r} was written to {twice[0]} more than once; this check needs unique values"
        )
        return CheckResult(NAME, Verdict.UNKNOWN, summary)
    if not any(operation.is_ok for operation in operations):
        return CheckResult(NAME, Verdict.UNKNOWN, "no operation was answered: there is nothing to check")
    by_revision = _run(operations, Revisions(), run)
    # An order that explains values and revisions explains the values too: try it before searching again.
    witnesses = {part.key: part.order for part in by_revision.parts if part.verdict is Verdict.VALID}
    # Where they fail already, the values alone are further evidence, and may stay undecided.
    bound = None if by_revision.verdict is Verdict.VALID else 50_000 + 4 * len(operations)
    by_value = _run(operations, Values(), run, witnesses, bound)
    verdict = worst((by_revision.verdict, by_value.verdict))
    failing = next((each for each in (by_revision, by_value) if each.verdict is Verdict.INVALID), None)
    proving = failing or (by_revision if by_revision.verdict is verdict else by_value)
    details = {
        "by_revision": _details(by_revision),
        "by_value": _details(by_value),
        "certificate": certificate.summary(proving),
    }
    if verdict is Verdict.VALID:
        proof = partial(_lines, ((by_revision, Revisions.name), (by_value, Values.name)))
    else:
        proof = partial(_lines, ((proving, Revisions.name if proving is by_revision else Values.name),))
    explanation = None
    if failing is not None and failing.explanation is not None:
        explanation = explained(failing.explanation)
        explanation["values_alone"] = by_value.verdict.value
    summary = _summary(verdict, by_revision, by_value)
    return CheckResult(NAME, verdict, summary, details, explanation, proof)


def _lines(proven: Iterable[tuple[Result, str]]) -> Iterator[dict[str, Any]]:
    for result, model in proven:
        yield from certificate.lines(result, model)


def recheck(lines: Iterable[dict[str, Any]], verdict: Verdict, run: Run) -> str:
    """How a certificate's lines prove the verdict; CertificateError where they do not."""
    operations = History(operation for operation in run.history if not is_serializable(operation))
    if _written_twice(operations) is not None:
        raise CertificateError("a value was written more than once: this check knows nothing then")
    sections: dict[str, list[dict[str, Any]]] = {}
    model = ""
    for line in lines:
        model = str(line.get("model", model))
        sections.setdefault(model, []).append(line)
    models: dict[str, Model[Any]] = {each.name: each for each in (Revisions(), Values())}
    missing = models.keys() - sections.keys() if verdict is Verdict.VALID else ()
    if missing or not sections or not sections.keys() <= models.keys():
        raise CertificateError(f"it proves nothing by {' and '.join(missing or sections)}")
    said = []
    for name, section in sections.items():
        found, how = certificate.recheck_lines(iter(section), operations, models[name])
        if found is not verdict:
            raise CertificateError(f"it proves {found.value}, not {verdict.value}")
        said.append(how)
    return "; ".join(said)


def _run(
    operations: Sequence[Operation],
    model: Model[Any],
    run: Run,
    witnesses: Mapping[Hashable, Sequence[Operation]] | None = None,
    configurations: int | None = None,
) -> Result:
    seconds = run.seconds / 2 if run.clock is not None and run.seconds is not None else None
    budget = Budget(seconds=seconds, configurations=configurations)
    return check(operations, model, budget=budget, clock=run.clock, witnesses=witnesses)


def _written_twice(operations: Sequence[Operation]) -> tuple[str, str] | None:
    counts: Counter[tuple[str, str]] = Counter()
    for operation in operations:
        _, value, _ = parts_of(operation)
        if value is not None and isinstance(operation.call, tuple):
            counts[operation.call[1], value] += 1
    return next((key for key, count in counts.items() if count > 1), None)


def _summary(verdict: Verdict, by_revision: Result, by_value: Result) -> str:
    keys = len(by_revision.parts)
    if verdict is Verdict.VALID:
        count = by_revision.stats.operations
        return f"{count} operations on {keys} keys have an order that explains every answer"
    if verdict is Verdict.UNKNOWN:
        return f"not decided: {by_revision.reason or by_value.reason}"
    failing = by_revision if by_revision.verdict is Verdict.INVALID else by_value
    label = failing.explanation.label if failing.explanation is not None else "no order"
    which = ", ".join(str(part.key) for part in failing.failed[:3])
    more = f" and {len(failing.failed) - 3} more" if len(failing.failed) > 3 else ""
    if by_value.verdict is Verdict.VALID:
        return f"{label} on {which}{more}; the values alone could be explained, the revisions cannot"
    return f"{label} on {which}{more}"


def _details(result: Result) -> dict[str, Any]:
    return {
        "verdict": result.verdict.value,
        "operations": result.stats.operations,
        "configurations": result.stats.configurations,
        "steps": result.stats.steps,
        "reason": result.reason,
        "keys": {
            str(part.key): {
                "verdict": part.verdict.value,
                "operations": len(part.operations),
                "explained_operations": len(part.order),
            }
            for part in result.parts
        },
        "explanations": [
            explained(part.explanation) for part in result.parts if part.explanation is not None
        ],
    }


def explained(explanation: Explanation) -> dict[str, Any]:
    """An explanation of porcupine as JSON: operations by their ids."""
    return {
        "label": explanation.label,
        "text": explanation.text,
        "operations": [operation.id for operation in explanation.operations],
        "expectations": [
            {
                "operation": each.operation.id,
                "description": each.description,
                "reason": each.reason,
                "expected": each.expected,
                "got": each.got,
            }
            for each in explanation.expectations
        ],
        "shrunk": [operation.id for operation in explanation.shrunk],
        "explained_operations": explanation.placed,
        "part": None if explanation.part is None else str(explanation.part),
    }
