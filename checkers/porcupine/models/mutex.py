"""Mutual exclusion: a mutex, and a mutex that hands out fencing tokens.

Calls: ``("acquire",)`` and ``("release",)``. The holder is the client, so the models look at it. An
operation of unknown outcome may have taken or freed the lock. With fencing an acquire is answered by its
token, and each token is greater than every one before: a token that does not grow protects nothing.
"""

from __future__ import annotations

from collections.abc import Hashable

from porcupine.history import Operation
from porcupine.model import Model, Rejected


class Mutex(Model[Hashable]):
    """The state is the client that holds it, wrapped so that any client name is told from nobody."""

    name = "mutex"
    uses_client = True

    def init(self) -> Hashable:
        return ()

    def step(self, state: Hashable, operation: Operation) -> Hashable | Rejected:
        match operation.call:
            case ("acquire",):
                if state == ():
                    return (operation.client,)
                return Rejected("the mutex is held already", "free", state)
            case ("release",):
                if state == (operation.client,):
                    return ()
                return Rejected("only the holder can release", state, (operation.client,))
        raise ValueError(f"not an operation of a mutex: {operation.call!r}")


FencedState = tuple[Hashable, int, int]


class FencedMutex(Model[FencedState]):
    """The state is (holder or (), greatest token seen, acquires of unknown token since)."""

    name = "fenced-mutex"
    uses_client = True

    def init(self) -> FencedState:
        return ((), 0, 0)

    def step(self, state: FencedState, operation: Operation) -> FencedState | Rejected:
        holder, greatest, unseen = state
        match operation.call:
            case ("acquire",):
                if holder != ():
                    return Rejected("the mutex is held already", "free", holder)
                if operation.is_unknown:
                    return ((operation.client,), greatest, unseen + 1)
                token = operation.response
                if not isinstance(token, int) or token <= greatest + unseen:
                    return Rejected("the fencing token did not grow", f"more than {greatest + unseen}", token)
                return ((operation.client,), token, 0)
            case ("release",):
                if holder != (operation.client,):
                    return Rejected("only the holder can release", holder, (operation.client,))
                return ((), greatest, unseen)
        raise ValueError(f"not an operation of a mutex with fencing: {operation.call!r}")

    def sequence(self, operation: Operation) -> int | None:
        is_acquire = operation.call == ("acquire",) and operation.is_ok
        return operation.response if is_acquire and isinstance(operation.response, int) else None
