"""A first-in first-out queue. Calls: ``("enqueue", element)`` and ``("dequeue",)`` answered by the oldest
element, or by None when the queue is empty (so None cannot be an element)."""

from __future__ import annotations

from collections.abc import Hashable

from porcupine.history import Operation
from porcupine.model import Model, Rejected

Elements = tuple[Hashable, ...]


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

    def is_read(self, operation: Operation) -> bool:
        return operation.call == ("dequeue",) and operation.is_ok and operation.response is None
