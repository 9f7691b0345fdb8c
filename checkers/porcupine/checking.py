"""`check`: the one entry point. Partitions, searches, verifies what is valid, shrinks and explains what is
not."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from porcupine.explain import Explanation, explain
from porcupine.history import History, Operation
from porcupine.model import Model
from porcupine.problem import Reductions
from porcupine.search import Budget, Clock, Outcome, Stats, Verdict, search
from porcupine.shrink import Shrinker, Shrunk
from porcupine.verify import CertificateError, verify

EXPLAINED_PARTS = 3
SHRINK_SECONDS = 10.0


@dataclass(slots=True)
class Part:
    """The verdict on one partition. `order` explains all of it (valid) or its longest prefix (otherwise)."""

    key: Hashable
    verdict: Verdict
    order: list[Operation]
    found: Outcome
    operations: list[Operation]
    model: Model[Any]
    shrunk: Shrunk | None = None
    explanation: Explanation | None = None


@dataclass(slots=True)
class Result:
    verdict: Verdict
    parts: list[Part]
    stats: Stats = field(default_factory=Stats)
    reason: str = ""
    """Why the verdict is unknown."""

    @property
    def explanation(self) -> Explanation | None:
        """Of the first part that failed."""
        return next((part.explanation for part in self.parts if part.explanation is not None), None)

    @property
    def failed(self) -> list[Part]:
        return [part for part in self.parts if part.verdict is Verdict.INVALID]


def check(
    history: History | Iterable[Operation],
    model: Model[Any],
    *,
    budget: Budget | None = None,
    clock: Clock | None = None,
    reductions: Reductions | None = None,
    explained: bool = True,
    witnesses: Mapping[Hashable, Sequence[Operation]] | None = None,
) -> Result:
    """Is there, for every partition, an order of the operations that the model accepts and real time allows?

    `clock` returns seconds (`time.monotonic`); without one, budgets of seconds are refused and none is read.
    A valid part has been verified by `porcupine.verify`; an invalid one is shrunk and explained, the first
    few of them at least. `witnesses` are orders that somebody suggests for parts by their keys: one that the
    verifier accepts saves the search. Raises HistoryError for a history that contradicts itself.
    """
    history = history if isinstance(history, History) else History(history)
    budget = budget or Budget()
    started = clock() if clock is not None else 0.0
    result = Result(Verdict.VALID, [])
    for key, operations in model.partition(list(history)).items():
        left = _left(budget, result.stats, started, clock)
        own = model.for_part(operations)
        found = _suggested(operations, own, (witnesses or {}).get(key))
        if found is None:
            found = search(operations, own, reductions, left, clock)
        part = Part(key, found.verdict, found.order, found, list(operations), own)
        result.parts.append(part)
        result.stats.add(found.stats)
        if found.verdict is Verdict.VALID:
            verify(operations, found.order, own)
        elif found.verdict is Verdict.UNKNOWN and not result.reason:
            result.reason = found.reason
    result.verdict = worst(part.verdict for part in result.parts)
    if explained:
        for part in result.failed[:EXPLAINED_PARTS]:
            seconds = SHRINK_SECONDS / EXPLAINED_PARTS if clock is not None else None
            part.shrunk = Shrinker(part.operations, model, seconds=seconds, clock=clock).shrink(part.found)
            part.explanation = explain(part.operations, part.model, part.found, part.shrunk, part.key)
    return result


def _suggested(
    operations: Sequence[Operation], model: Model[Any], order: Sequence[Operation] | None
) -> Outcome | None:
    if order is None:
        return None
    try:
        verify(operations, order, model)
    except CertificateError:
        return None
    return Outcome(Verdict.VALID, list(order), Stats(operations=len(operations)))


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Invalid outranks unknown outranks valid."""
    seen = set(verdicts)
    for verdict in (Verdict.INVALID, Verdict.UNKNOWN):
        if verdict in seen:
            return verdict
    return Verdict.VALID


def _left(budget: Budget, spent: Stats, started: float, clock: Clock | None) -> Budget:
    left = budget
    if left.configurations is not None:
        left = replace(left, configurations=max(1, left.configurations - spent.configurations))
    if left.seconds is not None and clock is not None:
        left = replace(left, seconds=max(0.0, left.seconds - (clock() - started)))
    return left
