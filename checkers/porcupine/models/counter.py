"""A counter. Calls: ``("add", amount)`` (answered by nothing, or by the new value) and ``("get",)``."""

from __future__ import annotations

from porcupine.history import Operation
from porcupine.model import Model, Rejected


class Counter(Model[int]):
    name = "counter"

    def init(self) -> int:
        return 0

    def step(self, state: int, operation: Operation) -> int | Rejected:
        match operation.call:
            case ("add", int(amount)):
                after = state + amount
                if operation.is_ok and operation.response is not None and operation.response != after:
                    return Rejected("the sum is another one", after, operation.response)
                return after
            case ("get",):
                if operation.is_unknown or operation.response == state:
                    return state
                return Rejected("the counter holds another number", state, operation.response)
        raise ValueError(f"not an operation of a counter: {operation.call!r}")

    def is_read(self, operation: Operation) -> bool:
        return operation.call == ("get",)
