"""Partitions of one history side by side, in whatever processes the caller has.

porcupine starts no process by itself: the caller passes an executor, for example
``concurrent.futures.ProcessPoolExecutor(2)``. What goes out and comes back are plain values; operations come
back as positions, so that verdicts, orders and explanations name the caller's own operations.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from porcupine.history import Operation
from porcupine.model import Model
from porcupine.problem import Reductions
from porcupine.search import Budget, Clock, DeadEnd, Outcome, search

Task = tuple[Sequence[Operation], Model[Any], Reductions | None, Budget, Clock | None]
Positions = list[int]


class Executor(Protocol):
    """What is asked of an executor: `concurrent.futures` has several."""

    def map(self, fn: Callable[..., Any], *iterables: Iterable[Any]) -> Iterator[Any]: ...


def search_apart(
    executor: Executor,
    parts: Mapping[Hashable, Sequence[Operation]],
    model: Model[Any],
    reductions: Reductions | None,
    budget: Budget,
    clock: Clock | None,
) -> dict[Hashable, Outcome]:
    """The outcome of every partition, by its key. The clock must be one that can be pickled."""
    tasks = [
        # Tags decide nothing, and may be anything.
        ([replace(operation, tags={}) for operation in operations], model, reductions, budget, clock)
        for operations in parts.values()
    ]
    answers = executor.map(search_one, tasks)
    return {
        key: _unpack(operations, *answer)
        for (key, operations), answer in zip(parts.items(), answers, strict=True)
    }


def search_one(task: Task) -> tuple[Outcome, list[Positions]]:
    """In the other process: the outcome without its operations, and where those stand."""
    operations, model, reductions, budget, clock = task
    found = search(operations, model.for_part(operations), reductions, budget, clock)
    number = {id(operation): position for position, operation in enumerate(operations)}
    groups: list[Sequence[Operation]] = [found.order, found.contradiction, found.crowded]
    groups.append([] if found.frontier is None else [found.frontier])
    groups.extend(end.pending for end in found.dead_ends)
    positions = [[number[id(operation)] for operation in group] for group in groups]
    ends = [DeadEnd(end.state, ()) for end in found.dead_ends]
    return Outcome(found.verdict, [], found.stats, ends, None, found.reason), positions


def _unpack(operations: Sequence[Operation], found: Outcome, positions: list[Positions]) -> Outcome:
    order, contradiction, crowded, frontier, *pending = (
        [operations[position] for position in group] for group in positions
    )
    found.order, found.contradiction, found.crowded = order, tuple(contradiction), tuple(crowded)
    found.frontier = frontier[0] if frontier else None
    for end, operations_left in zip(found.dead_ends, pending, strict=True):
        end.pending = tuple(operations_left)
    return found
