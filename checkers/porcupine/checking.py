"""`check`: the one entry point. Partitions, searches, verifies what is valid, shrinks and explains what is
not."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from porcupine.explain import Explanation, explain
from porcupine.history import History, Operation
from porcupine.kernel import choose
from porcupine.model import LastWriter, Model
from porcupine.parallel import Executor, search_apart
from porcupine.problem import ALL, Reductions
from porcupine.search import Budget, Clock, Outcome, Stats, Verdict
from porcupine.shrink import Shrinker, Shrunk
from porcupine.tighten import contradiction
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
    unjudged: list[Hashable] = field(default_factory=list)
    """The keys of parts that were left out because another one had failed (`first_failure`)."""
    kernel: str = "python"
    """Which kernel searched: "python", or "native" with its version, or both."""

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
    first_failure: bool = False,
    witnesses: Mapping[Hashable, Sequence[Operation]] | None = None,
    kernel: str | None = None,
    executor: Executor | None = None,
) -> Result:
    """Is there, for every partition, an order of the operations that the model accepts and real time allows?

    `clock` returns seconds (`time.monotonic`); without one, budgets of seconds are refused and none is
    read. A valid part has been verified by `porcupine.verify`, against `Model.plain`; an invalid one is
    shrunk and explained, the first few of them at least. With `first_failure` the check stops at the first
    part that fails, as Go porcupine does; `Result.unjudged` names those it did not come to. When nothing is
    to be explained either, only the verdict counts: a contradiction that a few operations show by
    themselves is looked for first, and is enough.
    `witnesses` are orders that somebody suggests for parts by their keys: one that the verifier accepts
    saves the search. `kernel` is "python" or "native"; without it `porcupine.kernel.choose` decides.
    `executor` runs the partitions of the Python kernel side by side (`porcupine.parallel`): same verdicts
    and orders, but all are judged, each with the whole budget to itself. Raises HistoryError for a
    history that contradicts itself, KernelError for a kernel that is not there.
    """
    history = history if isinstance(history, History) else History(history)
    budget = budget or Budget()
    started = clock() if clock is not None else 0.0
    chosen = choose(kernel)
    result = Result(Verdict.VALID, [], kernel=chosen.name)
    hasty = first_failure and not explained
    together = None
    if not witnesses:
        together = chosen.check(history, model, reductions, budget, clock, first_failure, hasty)
    if together is not None:
        found_apart, result.unjudged = together
        for key, judged, outcome in found_apart:
            own = model if outcome.verdict is Verdict.VALID else model.for_part(judged)
            _add(result, Part(key, outcome.verdict, outcome.order, outcome, judged, own))
    parts = model.partition(list(history)) if together is None else {}
    models: dict[Hashable, Model[Any]] = {}
    if hasty and len(parts) > 1 and chosen.native is None and (reductions or ALL).tighten:
        contradicted = _contradicted(parts, model, models)
        if contradicted is not None:
            _add(result, contradicted)
            result.unjudged = [key for key in parts if key != contradicted.key]
            parts = {}
    apart = executor is not None and chosen.native is None and len(parts) > 1 and not witnesses
    ahead = search_apart(executor, parts, model, reductions, budget, clock) if executor and apart else {}
    for key, operations in parts.items():
        if first_failure and not ahead and result.parts and result.parts[-1].verdict is Verdict.INVALID:
            result.unjudged = list(parts)[len(result.parts) :]
            break
        left = _left(budget, result.stats, started, clock) if result.parts else budget
        own = models.get(key) or model.for_part(operations)
        found = ahead.get(key) or _suggested(operations, model, (witnesses or {}).get(key))
        if found is None:
            found = chosen.search(operations, own, reductions, left, clock)
        _add(result, Part(key, found.verdict, found.order, found, list(operations), own))
        if found.verdict is Verdict.VALID:
            verify(operations, found.order, model.plain(operations))
    result.verdict = worst(part.verdict for part in result.parts)
    if result.parts:
        result.kernel = result.stats.kernel
    if explained:
        for part in result.failed[:EXPLAINED_PARTS]:
            seconds = SHRINK_SECONDS / EXPLAINED_PARTS if clock is not None else None
            if not part.found.contradiction and isinstance(part.model, LastWriter):
                part.found.contradiction = contradiction(part.operations, part.model)
            shrinker = Shrinker(part.operations, model, seconds=seconds, clock=clock, search=chosen.search)
            part.shrunk = shrinker.shrink(part.found)
            part.explanation = explain(part.operations, part.model, part.found, part.shrunk, part.key)
    return result


def _contradicted(
    parts: Mapping[Hashable, Sequence[Operation]], model: Model[Any], models: dict[Hashable, Model[Any]]
) -> Part | None:
    """The first part of which a few operations show by themselves that it has no order; `models` keeps what
    was learned on the way."""
    for key, operations in parts.items():
        own = models[key] = model.for_part(operations)
        core = contradiction(operations, own) if isinstance(own, LastWriter) else ()
        if core:
            stats = Stats(operations=len(operations))
            found = Outcome(Verdict.INVALID, [], stats, frontier=core[-1], contradiction=core)
            return Part(key, Verdict.INVALID, [], found, list(operations), own)
    return None


def _add(result: Result, part: Part) -> None:
    result.parts.append(part)
    result.stats.add(part.found.stats)
    if part.verdict is Verdict.UNKNOWN and not result.reason:
        result.reason = part.found.reason


def _suggested(
    operations: Sequence[Operation], model: Model[Any], order: Sequence[Operation] | None
) -> Outcome | None:
    if order is None:
        return None
    try:
        verify(operations, order, model.plain(operations))
    except CertificateError:
        return None
    return Outcome(Verdict.VALID, list(order), Stats(operations=len(operations)))


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Invalid outranks unknown outranks valid."""
    worst = Verdict.VALID
    for verdict in verdicts:
        if verdict is Verdict.INVALID:
            return verdict
        if verdict is Verdict.UNKNOWN:
            worst = verdict
    return worst


def _left(budget: Budget, spent: Stats, started: float, clock: Clock | None) -> Budget:
    left = budget
    if left.configurations is not None:
        left = replace(left, configurations=max(1, left.configurations - spent.configurations))
    if left.seconds is not None and clock is not None:
        left = replace(left, seconds=max(0.0, left.seconds - (clock() - started)))
    return left
