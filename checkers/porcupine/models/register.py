"""A register: the last value written is the value read.

Calls: ``("read",)`` answered by the value, ``("write", value)``.
"""

from __future__ import annotations

from collections.abc import Hashable

from porcupine.history import Operation
from porcupine.model import NOTHING, LastWriter, Rejected


class Register(LastWriter[Hashable]):
    name = "register"

    def __init__(self, initial: Hashable = None) -> None:
        self.initial = initial

    def init(self) -> Hashable:
        return self.initial

    def step(self, state: Hashable, operation: Operation) -> Hashable | Rejected:
        match operation.call:
            case ("read",):
                if operation.response == state or operation.is_unknown:
                    return state
                return Rejected("the register holds another value", state, operation.response)
            case ("write", value):
                written: Hashable = value
                return written
        raise ValueError(f"not an operation of a register: {operation.call!r}")

    def initial_token(self) -> Hashable:
        return self.initial

    def token(self, state: Hashable) -> Hashable:
        return state

    def writes(self, operation: Operation) -> Hashable:
        match operation.call:
            case ("write", value):
                written: Hashable = value
                return written
        return NOTHING

    def reads(self, operation: Operation) -> Hashable:
        return operation.response if operation.call == ("read",) and operation.is_ok else NOTHING

    def is_read(self, operation: Operation) -> bool:
        return operation.call == ("read",)
