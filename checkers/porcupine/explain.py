"""Why a history fails, in words: a label, the operations that contradict each other, expected against got.

The label is read off the shrunk history, where only what matters is left; the whole history then tells
relatives apart, for example a stale read (somebody else still sees the new value) from a lost write (nobody
does). Labels: ``stale read``, ``lost write``, ``phantom write``, ``read from the future``, ``non-repeatable
read``, ``read of an overwritten value``, ``lost update``, ``wrong refusal``, ``revision reused``, ``revision
went back``, ``wrong revision``,
``answer contradicts itself``, and ``no order`` where none of them fits.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from porcupine.history import Operation
from porcupine.labels import Finding, classify, describe_fully
from porcupine.model import ANYTHING, NOTHING, LastWriter, Model, Rejected
from porcupine.search import Outcome
from porcupine.shrink import Shrunk

NAMED_IN_WORDS = 4


@dataclass(slots=True)
class Expectation:
    """What the model wanted of an operation that could have come next, and what the system had answered."""

    operation: Operation
    description: str
    reason: str
    expected: str
    got: str


@dataclass(slots=True)
class Explanation:
    label: str
    text: str
    """One or two sentences that name the operations."""
    operations: list[Operation]
    """The contradicting ones first called first; two or three in most cases."""
    expectations: list[Expectation] = field(default_factory=list)
    shrunk: list[Operation] = field(default_factory=list)
    """A smaller history that still fails."""
    placed: int = 0
    """How many operations of the part the longest prefix explains."""
    part: Hashable = None
    confirmed: str = ""
    """Who found again that the smaller history fails (`Shrunk.confirmed`); empty without one."""


def explain(
    operations: Sequence[Operation],
    model: Model[Any],
    found: Outcome,
    shrunk: Shrunk | None,
    part: Hashable = None,
) -> Explanation:
    """The explanation of a part that failed."""
    account = shrunk.found if shrunk is not None else found
    small = shrunk.operations if shrunk is not None else []
    expectations = expected_next(account, model, shrunk.recorded if shrunk is not None else {})
    finding: Finding | None = None
    if isinstance(model, LastWriter):
        finding = classify(operations, small or list(found.contradiction), model)
        finding = finding or _contradicts_itself(account, shrunk, model)
    if finding is None:
        finding = _no_order(account, shrunk, expectations, model)
    return Explanation(
        finding.label,
        finding.text,
        sorted(finding.operations, key=lambda operation: operation.call_time_ns),
        expectations,
        small,
        len(found.order),
        part,
        confirmed=shrunk.confirmed if shrunk is not None else "",
    )


def expected_next(
    found: Outcome, model: Model[Any], recorded: Mapping[int, Operation] | None = None
) -> list[Expectation]:
    """For each operation that could come next at the stuck point and that every state met there rejects."""
    answers: dict[int, list[Rejected]] = {}
    pending: dict[int, Operation] = {}
    accepted: set[int] = set()
    for end in found.dead_ends:
        for operation in end.pending:
            pending[id(operation)] = operation
            answer = model.step(end.state, operation)
            if isinstance(answer, Rejected):
                answers.setdefault(id(operation), []).append(answer)
            else:
                accepted.add(id(operation))
    expectations = []
    for key, operation in pending.items():
        if key in accepted or key not in answers:
            continue
        rejections = answers[key]
        given, operation = operation, (recorded or {}).get(key, operation)
        expected = dict.fromkeys(
            _shown(model.told(rejection.expected, given, operation)) for rejection in rejections
        )
        expectations.append(
            Expectation(
                operation,
                model.describe(operation),
                rejections[0].reason,
                " or ".join(expected),
                _shown(model.told(rejections[0].got, given, operation)),
            )
        )
    return expectations


def _shown(value: object) -> str:
    """Models that have words for a state give them as text: those are not quoted again."""
    return value if isinstance(value, str) and " " in value else repr(value)


def _contradicts_itself(found: Outcome, shrunk: Shrunk | None, model: LastWriter[Any]) -> Finding | None:
    """An operation that says what it saw, and is rejected in the very state that holds it."""
    recorded = shrunk.recorded if shrunk is not None else {}
    for end in found.dead_ends:
        for operation in end.pending:
            seen = model.reads(operation)
            if not operation.is_ok or seen is NOTHING or seen is ANYTHING or seen != model.token(end.state):
                continue
            answer = model.step(end.state, operation)
            if isinstance(answer, Rejected):
                operation = recorded.get(id(operation), operation)
                text = (
                    f"{name(operation, model)} saw {model.describe_token(seen)}; from there {answer.reason}."
                )
                return Finding("answer contradicts itself", text, [operation])
    return None


def _no_order(
    found: Outcome, shrunk: Shrunk | None, expectations: Sequence[Expectation], model: Model[Any]
) -> Finding:
    small = shrunk.operations if shrunk is not None else []
    blocked = found.frontier
    if blocked is not None and shrunk is not None:
        blocked = shrunk.recorded.get(id(blocked), blocked)
    named = list(small) if 0 < len(small) <= NAMED_IN_WORDS else []
    if blocked is not None and blocked not in named:
        named.append(blocked)
    sentences = []
    if blocked is not None:
        sentences.append(f"No order explains {name(blocked, model)}")
    own = next((each for each in expectations if each.operation is blocked), None)
    if own is not None:
        sentences[-1] += f": {own.reason} (expected {own.expected}, got {own.got})"
    if len(named) > 1:
        others = [name(operation, model) for operation in named if operation is not blocked]
        sentences.append("It contradicts " + ", and ".join(others))
    text = ". ".join(sentences) or "No order explains the operations"
    return Finding("no order", text + ".", named)


def name(operation: Operation, model: Model[Any]) -> str:
    """An operation for a sentence: what, who, where and when."""
    return describe_fully(operation, model)
