"""A small part of an invalid history that is invalid by itself, judged again by others than found it.

Leaving operations out must not invent a failure:

1. Two answers whose revisions contradict real time, or each other, do so whatever else happened.
2. Reads and refusals change nothing and may go. A write may not, because it took a revision; it may be taken
   as of unknown outcome, which explains more.

What is kept is judged by `porcupine.search` without its reductions, with the whole-store model alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from gauntlet.checkers.etcd.calls import Grant, GrantAnswer, answer_of, call_of, effective
from gauntlet.checkers.etcd.decide import Judgement, first_state
from gauntlet.checkers.etcd.model import Etcd, relaxed, shown_revision, unordered
from porcupine.history import Operation, Outcome
from porcupine.search import Budget, Verdict, search
from porcupine.shrink import UNREDUCED

LARGEST: Final = 40  # operations that are judged again
_BUDGET: Final = Budget(20_000)


@dataclass(slots=True)
class Shrunk:
    """`operations` as recorded contradict each other; `others`: how many more were taken as unknown."""

    operations: list[Operation]
    others: int
    how: str
    searched: bool = False
    """Else their answers alone show it."""

    @property
    def text(self) -> str:
        rest = f", {self.others} others taken as of unknown outcome" if self.others else ""
        return f"shrunk history of {len(self.operations)} operations re-judged: {self.how}{rest}"


def shrink(judgement: Judgement, named: Sequence[Operation]) -> Shrunk | None:
    """Of an invalid history; `named`: who seem to contradict each other. None: nothing small was proven."""
    if len(named) == 2 and contradict(*named):
        return Shrunk(list(named), 0, "their revisions contradict each other or real time")
    model = Etcd(first_state(judgement.start))
    if not named or sum(not model.is_read(each) for each in judgement.operations) > LARGEST:
        return None
    kept = {id(each) for each in named}
    everything = {id(each) for each in judgement.operations}
    for chosen in (kept, everything):
        others = still_fails(judgement.operations, chosen, model)
        if others is not None:
            mine = [each for each in judgement.operations if id(each) in chosen and each.is_ok]
            return Shrunk(mine, others - len(mine), "a search without reductions finds no order", True)
    return None


def still_fails(operations: Sequence[Operation], chosen: set[int], model: Etcd) -> int | None:
    """How many operations were judged, where those chosen (by id()) have no order as recorded, with every
    other write as of unknown outcome; None where they have one, or where that was not found out."""
    candidate = [_weaker(each, chosen) for each in operations if _stays(each, chosen, model)]
    found = search(relaxed(candidate), model.for_part(candidate), UNREDUCED, _BUDGET)
    return len(candidate) if found.verdict is Verdict.INVALID else None


def contradict(one: Operation, other: Operation) -> bool:
    """By their revisions and times alone."""
    first, second = sorted((one, other), key=lambda each: (each.return_time_ns or 0, each.call_time_ns))
    before, after = _revision(first), _revision(second)
    if before is None or after is None:
        return False
    writes = effective(answer_of(second))
    if before == after and writes and effective(answer_of(first)):
        return True
    if unordered(second) or first.return_time_ns is None or first.return_time_ns >= second.call_time_ns:
        return False
    return before > after or (before == after and writes)


def _revision(operation: Operation) -> int | None:
    return shown_revision(call_of(operation), answer_of(operation)) if operation.is_ok else None


def _stays(operation: Operation, chosen: set[int], model: Etcd) -> bool:
    if operation.outcome is Outcome.FAILED:
        return False
    return id(operation) in chosen or not model.is_read(operation)


def _weaker(operation: Operation, chosen: set[int]) -> Operation:
    if id(operation) in chosen or operation.is_unknown:
        return operation
    call: Any = operation.call
    if isinstance(call, Grant) and isinstance(operation.response, GrantAnswer):
        call = call._replace(id=operation.response.id)
    return replace(operation, call=call, outcome=Outcome.UNKNOWN, response=None, return_time_ns=None)
