"""The judge of the judge: does this order really explain these operations?

Shares nothing with the search but the model and the operations. It is run on every valid verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from porcupine.history import Operation, Outcome
from porcupine.model import Model, OneOf, Rejected

_OK = Outcome.OK


class CertificateError(AssertionError):
    """An order that proves nothing: a bug of the search (or of the model), never of the system under test."""


def verify(operations: Sequence[Operation], order: Sequence[Operation], model: Model[Any]) -> None:
    """Raise CertificateError unless `order` is a linearization of `operations`.

    1. Every ok operation is in it exactly once, an unknown one at most once, a failed one never.
    2. No operation stands behind one that was called after it had returned.
    3. The model accepts the operations in this order.
    """
    placed = set(map(id, order))
    if len(placed) != len(order):
        raise CertificateError("an operation is placed twice")
    needed = {id(operation) for operation in operations if operation.outcome is _OK}
    if not needed <= placed:
        missing = [operation for operation in operations if id(operation) in needed - placed]
        raise CertificateError(f"{len(missing)} operations are not placed, the first: {missing[0]!r}")
    if not placed <= needed | {id(operation) for operation in operations if operation.is_unknown}:
        raise CertificateError("an operation is placed that is not in the history, or that failed")

    earliest_return = float("inf")
    for operation in reversed(order):
        if operation.call_time_ns > earliest_return:
            raise CertificateError(
                f"an operation that returned before its call is placed after {operation!r}"
            )
        returned = operation.return_time_ns
        if returned is not None and returned < earliest_return and operation.is_ok:
            earliest_return = returned

    state, step = model.init(), model.step
    for position, operation in enumerate(order):
        answer = step(state, operation)
        if isinstance(answer, (OneOf, Rejected)):
            _play([state], order[position:], model)
            return
        state = answer


def _play(states: list[Any], order: Sequence[Operation], model: Model[Any]) -> None:
    """From any of several states."""
    for operation in order:
        following: dict[Any, None] = {}
        for state in states:
            answer = model.step(state, operation)
            if isinstance(answer, OneOf):
                following.update(dict.fromkeys(answer.states))
            elif not isinstance(answer, Rejected):
                following[answer] = None
        if not following:
            raise CertificateError(f"the model rejects {operation!r} at its place")
        states = list(following)
