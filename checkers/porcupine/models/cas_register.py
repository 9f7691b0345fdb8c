"""A register with compare-and-swap.

Calls: ``("read",)``, ``("write", value)``, ``("cas", expected, value)`` answered by True (swapped) or False.
A compare-and-swap of unknown outcome can only have changed anything where the expected value was there.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

from porcupine.history import Operation
from porcupine.model import ANYTHING, Rejected
from porcupine.models.register import Register


class CasRegister(Register):
    name = "cas-register"

    def step(self, state: Hashable, operation: Operation) -> Hashable | Rejected:
        match operation.call:
            case ("cas", expected, value):
                written: Hashable = value
                if operation.is_unknown:
                    if state == expected:
                        return written
                    return Rejected("the register holds another value than expected", expected, state)
                if operation.response:
                    if state == expected:
                        return written
                    return Rejected("it swapped, but the register holds another value", expected, state)
                if state != expected:
                    return state
                return Rejected("it refused to swap, but the register holds the expected value", True, False)
        return super().step(state, operation)

    def writes(self, operation: Operation) -> Hashable:
        match operation.call:
            case ("cas", _, value) if operation.is_unknown or operation.response:
                written: Hashable = value
                return written
        return super().writes(operation)

    def reads(self, operation: Operation) -> Hashable:
        match operation.call:
            case ("cas", expected, _):
                wanted: Hashable = expected
                return wanted if operation.is_unknown or operation.response else ANYTHING
        return super().reads(operation)

    def weaker(self, operation: Operation) -> Operation | None:
        match operation.call:
            case ("cas", _, value) if operation.response:
                return replace(operation, call=("write", value), response=None)
        return None
