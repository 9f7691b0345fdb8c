"""A first-in first-out queue. Calls: ``("enqueue", element)`` and ``("dequeue",)`` answered by the oldest
element, or by None when the queue is empty (so None cannot be an element)."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from typing import Any

from porcupine.history import Operation
from porcupine.model import Model, Rejected

Elements = tuple[Hashable, ...]


def _element(operation: Operation) -> Hashable:
    """What was put in or taken out; None for a dequeue that found nothing, or of which nobody knows."""
    call: Any = operation.call
    return call[1] if len(call) == 2 else operation.response


class Queue(Model[Elements]):
    name = "queue"

    def init(self) -> Elements:
        return ()

    def step(self, state: Elements, operation: Operation) -> Elements | Rejected:
        match operation.call:
            case ("enqueue", element):
                return (*state, element)
            case ("dequeue",):
                oldest = state[0] if state else None
                if operation.is_unknown or operation.response == oldest:
                    return state[1:]
                return Rejected("another element is the oldest", oldest, operation.response)
        raise ValueError(f"not an operation of a queue: {operation.call!r}")

    def without(
        self, operations: Sequence[Operation], chunk: Collection[Operation]
    ) -> Sequence[tuple[Operation, Operation]]:
        """An element goes with its enqueues and dequeues: a queue without it serves the others in the same
        order, and is empty whenever the whole was. A dequeue that found nothing goes alone. One of unknown
        outcome stays: it may have taken anything."""
        gone = {_element(operation) for operation in chunk} - {None}
        alone = {id(operation) for operation in chunk if _element(operation) is None and operation.is_ok}
        return [
            (operation, operation)
            for operation in operations
            if _element(operation) not in gone and id(operation) not in alone
        ]

    def is_read(self, operation: Operation) -> bool:
        return operation.call == ("dequeue",) and operation.is_ok and operation.response is None
