"""Every order, tried: the second opinion on a small history that is said to fail.

No layers, no intervals, nothing of what the search knows about a model: from "nothing placed, first state"
it collects whatever can be reached by placing one more operation, until all that returned are placed.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

from porcupine.history import Operation
from porcupine.model import Model, OneOf, Rejected

LIMIT = 50_000  # configurations


def has_order(operations: Sequence[Operation], model: Model[Any], limit: int = LIMIT) -> bool | None:
    """Does the model accept any order that real time allows? None when there are too many to try."""
    ends: list[tuple[int, int]] = []
    called: list[tuple[int, Operation]] = []
    needed = 0
    for number, operation in enumerate(operations):
        if operation.is_ok or operation.is_unknown:
            called.append((1 << number, operation))
        if operation.is_ok and operation.return_time_ns is not None:
            ends.append((1 << number, operation.return_time_ns))
            needed |= 1 << number
    start: tuple[int, Hashable] = (0, model.init())
    reached, work = {start}, [start]
    while work:
        placed, state = work.pop()
        if placed & needed == needed:
            return True
        until = min(end for bit, end in ends if not placed & bit)
        for bit, operation in called:
            if placed & bit or operation.call_time_ns > until:
                continue
            answer = model.step(state, operation)
            if isinstance(answer, Rejected):
                continue
            for after in answer.states if isinstance(answer, OneOf) else (answer,):
                following = (placed | bit, after)
                if following not in reached:
                    reached.add(following)
                    work.append(following)
        if len(reached) > limit:
            return None
    return False
