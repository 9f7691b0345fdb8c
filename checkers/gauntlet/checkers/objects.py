"""What the one-pass checkers of sets, counters and queues share: how operations are read, and how they
answer.

Operations come in two shapes: those of the models of porcupine, ``("add", 3)``, and lines of ours, which have
a key, and their argument and answer by name: ``{"op": "add", "key": "s", "args": {"element": 3}}``. Each key
is an object of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any, NamedTuple

from gauntlet.checkers.records import Run
from gauntlet.checkers.verdict import CheckResult
from porcupine.checking import check as search
from porcupine.history import Operation, Outcome
from porcupine.labels import describe_fully
from porcupine.model import Model
from porcupine.search import Budget, Verdict
from porcupine.uncollected import uncollected

NO_ORDER = "no order"
SEARCHED = 5_000  # operations of one object
CONFIGURATIONS = 50_000
KEPT = 20  # violations that are told; the rest are counted
NEVER = float("inf")
_OK, _UNKNOWN, _FAILED = Outcome.OK, Outcome.UNKNOWN, Outcome.FAILED


class Op:
    """An operation on one object. `argument` and `answer` are None where there is none; `end` is when it is
    certainly over: never, for one of unknown outcome."""

    __slots__ = ("answer", "argument", "call", "end", "failed", "name", "ok", "operation", "unknown")

    def __init__(self, name: str, argument: Any, answer: Any, operation: Operation) -> None:
        self.name = name
        self.argument = argument
        self.answer = answer
        self.operation = operation
        self.call = operation.call_time_ns
        outcome, returned = operation.outcome, operation.return_time_ns
        self.ok, self.unknown, self.failed = outcome is _OK, outcome is _UNKNOWN, outcome is _FAILED
        self.end: float = returned if returned is not None and outcome is _OK else NEVER


by_call = attrgetter("call")
by_end = attrgetter("end")


class Violation(NamedTuple):
    label: str
    text: str
    operations: Sequence[Operation]

    @property
    def at(self) -> int:
        return max(each.return_time_ns or each.call_time_ns for each in self.operations)


@dataclass(slots=True)
class Report:
    """Of one object. `unsuitable` says why it cannot be judged. `exact`: no violation means linearizable."""

    violations: list[Violation] = field(default_factory=list)
    labels: Counter[str] = field(default_factory=Counter)
    details: dict[str, Any] = field(default_factory=dict)
    unsuitable: str = ""
    exact: bool = False

    def add(self, label: str, text: Callable[[], str], *operations: Operation) -> None:
        """Counts a violation; the text is made for the first of each label only."""
        self.labels[label] += 1
        if self.labels[label] <= KEPT:
            self.violations.append(Violation(label, text(), list(dict.fromkeys(operations))))


class _Words(Model[None]):
    def describe(self, operation: Operation) -> str:
        call = operation.call
        if isinstance(call, tuple) and len(call) == 3 and isinstance(call[2], tuple | None):
            op, key, arguments = call
            said = ", ".join(_short(pair[1]) for pair in arguments or ())
            told = dict(operation.response) if isinstance(operation.response, tuple) else {}
            answers = [_short(value) for name, value in told.items() if name != "revision"]
            return f"{op}({said}) of {key}" + (f" -> {', '.join(answers)}" if answers else "")
        if isinstance(operation.response, frozenset | tuple):
            return f"{call[0] if isinstance(call, tuple) else call}() -> {_short(operation.response)}"
        return super().describe(operation)


WORDS = _Words()


def _short(value: object) -> str:
    if isinstance(value, frozenset | tuple) and len(value) > 8:
        return f"{len(value)} elements"
    if isinstance(value, frozenset):
        return "{" + ", ".join(sorted(map(repr, value))) + "}"
    return repr(value)


def say(operation: Operation) -> str:
    return describe_fully(operation, WORDS)


def objects(
    operations: Iterable[Operation], shapes: dict[str, tuple[str | None, str | None]]
) -> dict[Hashable, list[Op]]:
    """The operations named in `shapes`, by key, in the order of their calls.

    shapes: operation -> (the argument's name, the answer's name) in lines of ours.
    """
    found: dict[Hashable, list[Op]] = {}
    for operation in operations:
        call: Any = operation.call
        if not isinstance(call, tuple) or not call or call[0] not in shapes:
            continue
        name = call[0]
        if len(call) == 3:
            asked, told = shapes[name]
            argument, answer = _pick(call[2], asked), _pick(operation.response, told)
            key = call[1]
        else:
            key = None
            argument, answer = (call[1] if len(call) > 1 else None), operation.response
        ops = found.get(key)
        if ops is None:
            ops = found[key] = []
        ops.append(Op(name, argument, answer, operation))
    for ops in found.values():
        ops.sort(key=by_call)
    return found


def _pick(pairs: object, name: str | None) -> Any:
    if name is not None and isinstance(pairs, tuple):
        for pair in pairs:
            if isinstance(pair, tuple) and len(pair) == 2 and pair[0] == name:
                return pair[1]
    return None


def judge_objects(
    name: str,
    run: Run,
    shapes: dict[str, tuple[str | None, str | None]],
    check: Callable[[Sequence[Op]], Report],
    model_of: Callable[[Sequence[Op]], Model[Any] | None],
) -> CheckResult:
    """All keys of the run, each checked by itself. Where the rules are not exact and found nothing, an order
    is searched with the model that the operations have, if they have one."""
    with uncollected():
        found = objects(run.history, shapes)
        reports = {key: check(ops) for key, ops in found.items()}
        for key, report in reports.items():
            _look_for_order(report, found[key], model_of)
    details: dict[str, Any] = {
        "operations": sum(map(len, found.values())),
        "keys": {
            str(key): report.details | {"violations": dict(report.labels)} for key, report in reports.items()
        },
    }
    violations = [each for report in reports.values() for each in report.violations]
    if violations:
        labels: Counter[str] = sum((report.labels for report in reports.values()), Counter())
        first = min(violations, key=lambda violation: (len(violation.operations) < 2, violation.at))
        details["labels"] = dict(labels)
        details["first_violations"] = [
            {"label": each.label, "text": each.text, "operations": [one.id for one in each.operations]}
            for each in sorted(violations, key=lambda violation: violation.at)[:KEPT]
        ]
        summary = ", ".join(f"{label}: {count}" for label, count in labels.most_common())
        ids = [operation.id for operation in first.operations]
        explanation = {
            "label": first.label,
            "text": first.text,
            "operations": ids,
            "expectations": [],
            "shrunk": ids,
            "part": next(str(key) for key, report in reports.items() if first in report.violations),
        }
        return CheckResult(name, Verdict.INVALID, summary, details, explanation)
    unsuitable = next((report.unsuitable for report in reports.values() if report.unsuitable), "")
    if unsuitable:
        return CheckResult(name, Verdict.UNKNOWN, unsuitable, details)
    if not any(op.ok for ops in found.values() for op in ops):
        return CheckResult(name, Verdict.UNKNOWN, f"no operation of a {name} was answered", details)
    summary = f"{details['operations']} operations on {len(found)} keys contradict nothing"
    open_keys = sum(1 for report in reports.values() if not report.exact)
    if open_keys:
        summary += (
            f" by the rules; whether an order explains all of it was not decided for {open_keys} of them"
        )
    return CheckResult(name, Verdict.VALID, summary, details)


def _look_for_order(
    report: Report, ops: Sequence[Op], model_of: Callable[[Sequence[Op]], Model[Any] | None]
) -> None:
    """What the rules miss, the search finds, where it is not too much."""
    if report.exact or report.violations or report.unsuitable:
        return
    model = model_of(ops)
    if model is None:
        report.details["order"] = "not looked for: no model has all these operations"
        return
    if len(ops) > SEARCHED:
        report.details["order"] = f"not looked for: more than {SEARCHED:,} operations"
        return
    plain = [_for_model(op, model) for op in ops]
    result = search(plain, model, budget=Budget(configurations=CONFIGURATIONS))
    report.exact = result.verdict is not Verdict.UNKNOWN
    report.details["order"] = "found" if report.exact else f"not decided: {result.reason}"
    explanation = result.explanation
    if result.verdict is Verdict.INVALID and explanation is not None:
        report.details["order"] = "there is none"
        own = {op.operation.id: op.operation for op in ops}
        small = [own[each.id] for each in explanation.shrunk or explanation.operations]
        report.add(NO_ORDER, lambda: f"No order explains these together. {explanation.text}", *small)


def _for_model(op: Op, model: Model[Any]) -> Operation:
    """As the models of porcupine name it."""
    name = "get" if op.name == "read" and model.name == "counter" else op.name
    call = (name,) if op.argument is None else (name, op.argument)
    return replace(op.operation, call=call, response=op.answer)
