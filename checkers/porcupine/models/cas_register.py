"""A register with compare-and-swap.

Calls: ``("read",)``, ``("write", value)``, ``("cas", expected, value)`` answered by True (swapped) or False.
A compare-and-swap of unknown outcome can only have changed anything where the expected value was there.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

from porcupine.history import Operation
from porcupine.model import ANYTHING, NOTHING, Rejected
from porcupine.models.register import Register


class CasRegister(Register):
    name = "cas-register"

    # Each method says all of it, without the register's: the search calls them very often.

    def step(self, state: Hashable, operation: Operation) -> Hashable | Rejected:
        match operation.call:
            case ("read",):
                if operation.response == state or operation.is_unknown:
                    return state
                return Rejected("the register holds another value", state, operation.response)
            case ("write", value):
                written: Hashable = value
                return written
            case ("cas", expected, value):
                if state == expected:
                    swapped: Hashable = value
                    if operation.response or operation.is_unknown:
                        return swapped
                    reason = "it refused to swap, but the register holds the expected value"
                    return Rejected(reason, True, False)
                if operation.response or operation.is_unknown:
                    return Rejected("it swapped, but the register holds another value", expected, state)
                return state
        raise ValueError(f"not an operation of a register: {operation.call!r}")

    def writes(self, operation: Operation) -> Hashable:
        match operation.call:
            case ("cas", _, value) if operation.response or operation.is_unknown:
                swapped: Hashable = value
                return swapped
            case ("write", value):
                written: Hashable = value
                return written
        return NOTHING

    def reads(self, operation: Operation) -> Hashable:
        match operation.call:
            case ("cas", expected, _):
                wanted: Hashable = expected
                return wanted if operation.response or operation.is_unknown else ANYTHING
            case ("read",) if operation.is_ok:
                return operation.response
        return NOTHING

    def is_read(self, operation: Operation) -> bool:
        match operation.call:
            case ("cas", _, _):
                return not operation.response and operation.is_ok
            case ("read",):
                return True
        return False

    def weaker(self, operation: Operation) -> Operation | None:
        match operation.call:
            case ("cas", _, value) if operation.response:
                return replace(operation, call=("write", value), response=None)
        return None
