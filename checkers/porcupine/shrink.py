"""From a history that fails to a small one that still fails, without inventing a failure.

Leaving operations out must never turn a good history into a bad one. These steps cannot:

1. Reads, and anything else that never changes the state, may go freely.
2. Everything called after a moment T may go, if what was running at T is then taken as unknown (a prefix of a
   linearizable history is linearizable).
3. For models whose state is what the last write left, a write may go together with every operation that may
   have seen it (`porcupine.dependence`).
4. An operation may be replaced by one that leaves the same behind and is accepted in more states
   (`LastWriter.weaker`): a compare-and-swap that succeeded by a plain write.
5. An element of a set or of a queue may go with everything that was done to it, and out of the answers that
   tell of it; so may an amount that was added to a counter before anybody read it (`Model.without`).

Every step is checked again by the search. The result is judged once more by `porcupine.exhaustive`, which
shares nothing with the search; where there are too many orders for that, by the search in Python without its
reductions, or else with them. `Shrunk.confirmed` says by which.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from porcupine.dependence import Dependence
from porcupine.exhaustive import has_order
from porcupine.history import Operation, Outcome
from porcupine.model import NOTHING, LastWriter, Model
from porcupine.problem import Reductions
from porcupine.search import Budget, Clock, Verdict, search
from porcupine.search import Outcome as Found

UNREDUCED = Reductions(no_effect=False, interchangeable=False, pool=False, tighten=False, tokens=False)


@dataclass(slots=True)
class Shrunk:
    """`operations` are as recorded; `checked` are the same or weaker, and they fail; `found` says why."""

    operations: list[Operation]
    checked: list[Operation]
    found: Found
    checks: int
    recorded: dict[int, Operation]
    """By the id() of a weaker operation: the one that it stands for."""
    confirmed: str = ""
    """Who found again that it fails: ``every order tried``, ``search without reductions`` or ``search``."""


class Shrinker:
    def __init__(
        self,
        operations: Sequence[Operation],
        model: Model[Any],
        checks: int = 300,
        seconds: float | None = None,
        clock: Clock | None = None,
        search: Callable[..., Found] = search,
    ) -> None:
        self.model = model
        self.search = search
        self.operations = [operation for operation in operations if operation.outcome is not Outcome.FAILED]
        self.checks_left = checks
        self.checks = 0
        self.clock = clock
        self.deadline = clock() + seconds if clock is not None and seconds is not None else None
        self.recorded: dict[int, Operation] = {}
        self._copies: list[Operation] = []  # keeps their ids from being used again

    def shrink(self, found: Found) -> Shrunk | None:
        """None when nothing smaller than the whole could be confirmed within the bounds."""
        kept = self._minimise(self._core(found) or self._prefix(found))
        model = self.model.for_part(kept)
        budget = Budget(configurations=50_000)
        again = self.search(kept, model, Reductions(tighten=False), budget)
        if again.verdict is Verdict.UNKNOWN:
            again = self.search(kept, model, Reductions(), budget)
        if again.verdict is not Verdict.INVALID:
            return None
        confirmed = "every order tried"
        tried = has_order(kept, model)
        if tried is None:
            unreduced = search(kept, model, UNREDUCED, budget).verdict
            tried = unreduced is Verdict.VALID
            confirmed = "search without reductions" if unreduced is Verdict.INVALID else "search"
        if tried:
            return None
        operations = [self.recorded.get(id(operation), operation) for operation in kept]
        return Shrunk(operations, kept, again, self.checks, self.recorded, confirmed)

    def _fails(self, operations: Sequence[Operation]) -> bool:
        self.checks += 1
        self.checks_left -= 1
        budget = Budget(configurations=20_000 + 4 * len(operations))
        if self.clock is not None and self.deadline is not None:
            budget = replace(budget, seconds=max(0.1, self.deadline - self.clock()))
        model = self.model.for_part(operations)  # it may only know what these operations show
        return self.search(operations, model, budget=budget, clock=self.clock).verdict is Verdict.INVALID

    def _may_go_on(self) -> bool:
        if self.deadline is not None and self.clock is not None and self.clock() >= self.deadline:
            return False
        return self.checks_left > 0

    def _core(self, found: Found) -> list[Operation] | None:
        """The operations that the rules of `porcupine.contradiction` named, and what they may have seen."""
        model = self.model.for_part(self.operations)
        if not found.contradiction or not isinstance(model, LastWriter):
            return None
        dependence = Dependence(self.operations, model)
        core: dict[int, Operation] = {}
        work = list(found.contradiction)
        while work:
            operation = work.pop()
            if id(operation) in core:
                continue
            weaker = self._weaker(operation, model)
            core[id(operation)] = weaker
            if weaker is operation:
                work.extend(dependence.sources(operation))
        kept = [core[id(operation)] for operation in self.operations if id(operation) in core]
        return kept if self._fails(kept) else None

    def _weaker(self, operation: Operation, model: LastWriter[Any]) -> Operation:
        if not operation.is_ok or model.writes(operation) is NOTHING or model.reads(operation) is NOTHING:
            return operation
        weaker = model.weaker(operation)
        return operation if weaker is None else self._standing_for(weaker, operation)

    def _standing_for(self, weaker: Operation, operation: Operation) -> Operation:
        self.recorded[id(weaker)] = operation
        self._copies.append(weaker)
        return weaker

    def _prefix(self, found: Found) -> list[Operation]:
        """The shortest prefix tried that fails. Narrowing may have used later reads, so it may be longer than
        what the search looked at."""
        if found.frontier is None or found.frontier.return_time_ns is None:
            return list(self.operations)
        calls = sorted(operation.call_time_ns for operation in self.operations)
        end = found.frontier.return_time_ns
        size = sum(1 for call in calls if call <= end)
        extra = 16
        while self._may_go_on():
            kept = self._until(end)
            if self._fails(kept):
                return kept
            if size + extra >= len(calls):
                break
            end = max(end, calls[size + extra])
            extra *= 4
        return list(self.operations)

    def _until(self, end: int) -> list[Operation]:
        kept = []
        for operation in self.operations:
            if operation.call_time_ns > end:
                continue
            running = operation.return_time_ns is None or operation.return_time_ns > end
            if operation.is_ok and running:
                if self.model.is_read(operation):
                    continue
                weaker = replace(operation, outcome=Outcome.UNKNOWN, response=None)
                operation = self._standing_for(weaker, operation)
            kept.append(operation)
        return kept

    def _minimise(self, kept: list[Operation]) -> list[Operation]:
        """Delta debugging (Zeller and Hildebrandt 2002) over what may be removed."""
        granularity = 2
        while len(kept) > 1 and self._may_go_on():
            size = max(1, len(kept) // granularity)
            smaller: list[Operation] | None = None
            for start in range(0, len(kept), size):
                if not self._may_go_on():
                    break
                candidate = self._without(kept, kept[start : start + size])
                if candidate and len(candidate) < len(kept) and self._fails(candidate):
                    smaller = candidate
                    break
            if smaller is not None:
                kept = smaller
                granularity = max(2, granularity - 1)
            elif size == 1:
                break
            else:
                granularity = min(len(kept), granularity * 2)
        return kept

    def _without(self, kept: Sequence[Operation], chunk: Iterable[Operation]) -> list[Operation] | None:
        """`kept` without the chunk and all that must go with it; None when nothing may go."""
        model = self.model.for_part(kept)
        if not isinstance(model, LastWriter):
            staying = model.without(kept, list(chunk))
            if staying is not None:
                return [
                    old if new is old else self._standing_for(new, self.recorded.get(id(old), old))
                    for old, new in staying
                ]
            reads = {id(operation) for operation in chunk if model.is_read(operation)}
            return [operation for operation in kept if id(operation) not in reads] if reads else None
        dependence = Dependence(kept, model)
        gone: set[int] = set()
        work = list(chunk)
        while work:
            operation = work.pop()
            if id(operation) not in gone:
                gone.add(id(operation))
                work.extend(dependence.dependents(operation))
        return [operation for operation in kept if id(operation) not in gone]


def writers_by_token(
    operations: Iterable[Operation], model: LastWriter[Any]
) -> dict[Hashable, list[Operation]]:
    """Who may have written each token, in the order given."""
    writers: dict[Hashable, list[Operation]] = {}
    for operation in operations:
        token = model.writes(operation)
        if token is not NOTHING and operation.outcome is not Outcome.FAILED:
            writers.setdefault(token, []).append(operation)
    return writers
