"""From a history that fails to a small one that still fails, without inventing a failure.

Leaving operations out must never turn a good history into a bad one. These removals cannot:

1. Reads, and anything else that never changes the state: freely.
2. Everything called after a moment T, if what was running at T is then taken as unknown (a prefix of a
   linearizable history is linearizable).
3. For models whose state is what the last write left: a write together with every operation that read its
   token, and with every operation that depends on the state in a way that tokens do not name.

Every step is checked again by the search, and the result once more without its reductions.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from porcupine.history import Operation, Outcome
from porcupine.model import ANYTHING, NOTHING, LastWriter, Model
from porcupine.problem import Reductions
from porcupine.search import Budget, Clock, Verdict, search
from porcupine.search import Outcome as Found


@dataclass(slots=True)
class Shrunk:
    """`operations` still fail; `found` is the plain search's account of why."""

    operations: list[Operation]
    found: Found
    checks: int


class Shrinker:
    def __init__(
        self,
        operations: Sequence[Operation],
        model: Model[Any],
        checks: int = 300,
        seconds: float | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.model = model
        self.operations = [operation for operation in operations if operation.outcome is not Outcome.FAILED]
        self.checks_left = checks
        self.checks = 0
        self.clock = clock
        self.deadline = clock() + seconds if clock is not None and seconds is not None else None
        self.original: dict[int, Operation] = {}  # id of a copy taken as unknown -> what was recorded
        self._copies: list[Operation] = []  # keeps those ids from being used again

    def shrink(self, found: Found) -> Shrunk | None:
        """None when nothing smaller than the whole could be confirmed within the bounds."""
        kept = self._core(found) or self._prefix(found)
        if kept is None:
            return None
        kept = self._minimise(kept)
        final = [self.original.get(id(operation), operation) for operation in kept]
        for reductions in (Reductions(tighten=False), Reductions()):
            # A prefix taken as unknown is weaker than what was recorded: that fails all the more.
            again = search(final, self.model, reductions, Budget(configurations=50_000))
            if again.verdict is Verdict.INVALID:
                return Shrunk(final, again, self.checks)
        return None

    def _fails(self, operations: Sequence[Operation]) -> bool:
        self.checks += 1
        self.checks_left -= 1
        budget = Budget(configurations=20_000 + 4 * len(operations))
        if self.clock is not None and self.deadline is not None:
            budget = replace(budget, seconds=max(0.1, self.deadline - self.clock()))
        return search(operations, self.model, budget=budget, clock=self.clock).verdict is Verdict.INVALID

    def _may_go_on(self) -> bool:
        if self.deadline is not None and self.clock is not None and self.clock() >= self.deadline:
            return False
        return self.checks_left > 0

    def _core(self, found: Found) -> list[Operation] | None:
        """The operations that the rules of `porcupine.tighten` named, with the writers that they need."""
        if not found.contradiction or not isinstance(self.model, LastWriter):
            return None
        writers = writers_by_token(self.operations, self.model)
        core = {id(operation): operation for operation in found.contradiction}
        work = list(core.values())
        while work:
            token = self.model.reads(work.pop())
            if token is ANYTHING:
                return None
            for writer in writers.get(token, ()):
                if id(writer) not in core:
                    core[id(writer)] = writer
                    work.append(writer)
        kept = [operation for operation in self.operations if id(operation) in core]
        return kept if self._fails(kept) else None

    def _prefix(self, found: Found) -> list[Operation] | None:
        """The shortest prefix tried that fails. Narrowing may have used later reads, so it may be longer than
        what the search looked at."""
        if found.frontier is None or found.frontier.return_time_ns is None:
            return None
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
                self.original[id(weaker)] = operation
                self._copies.append(weaker)
                operation = weaker
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
        model = self.model
        if not isinstance(model, LastWriter):
            reads = {id(operation) for operation in chunk if model.is_read(operation)}
            return [operation for operation in kept if id(operation) not in reads] if reads else None
        gone: set[int] = set()
        readers: dict[Hashable, list[Operation]] = {}
        for operation in kept:
            readers.setdefault(model.reads(operation), []).append(operation)
        work = list(chunk)
        first_write = True
        while work:
            operation = work.pop()
            if id(operation) in gone:
                continue
            gone.add(id(operation))
            token = model.writes(operation)
            if token is NOTHING:
                continue
            work.extend(readers.get(token, ()))
            if first_write:
                first_write = False
                work.extend(readers.get(ANYTHING, ()))
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
