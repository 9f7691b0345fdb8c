"""A counter. Calls: ``("add", amount)`` (answered by nothing, or by the new value) and ``("get",)``."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

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

    def without(
        self, operations: Sequence[Operation], chunk: Collection[Operation]
    ) -> Sequence[tuple[Operation, Operation]]:
        """A read goes alone. An add that told no sum goes alone when all that tell a sum had returned before
        it was called, and, taken off all their answers, when it returned before any of them was called."""
        wanted = {id(operation) for operation in chunk}
        telling = [each for each in operations if each.is_ok and each.response is not None]
        staying_tellers = [each for each in telling if id(each) not in wanted or each.call != ("get",)]
        first = min((each.call_time_ns for each in staying_tellers), default=None)
        last = max((each.return_time_ns or 0 for each in staying_tellers), default=0)
        gone, taken = set(), 0
        for operation in operations:
            if id(operation) not in wanted or first is None:
                continue
            call: Any = operation.call
            if call == ("get",) or (operation.response is None and operation.call_time_ns > last):
                gone.add(id(operation))
            elif (
                operation.is_ok
                and operation.response is None
                and operation.return_time_ns is not None
                and operation.return_time_ns < first
            ):
                gone.add(id(operation))
                taken += call[1]
        return [
            (operation, self._less(operation, taken)) for operation in operations if id(operation) not in gone
        ]

    def _less(self, operation: Operation, amount: int) -> Operation:
        told = operation.response
        return replace(operation, response=told - amount) if amount and isinstance(told, int) else operation

    def told(self, value: Any, given: Operation, recorded: Operation) -> Any:
        shown, was = given.response, recorded.response
        if isinstance(value, int) and isinstance(shown, int) and isinstance(was, int):
            return value - shown + was
        return value

    def is_read(self, operation: Operation) -> bool:
        return operation.call == ("get",)
