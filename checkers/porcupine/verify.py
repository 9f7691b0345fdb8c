"""The judge of the judge: does this order really explain these operations?

Shares nothing with the search but the model and the operations. It is run on every valid verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from porcupine.history import Operation
from porcupine.model import Model, OneOf, Rejected


class CertificateError(AssertionError):
    """An order that proves nothing: a bug of the search (or of the model), never of the system under test."""


def verify(operations: Sequence[Operation], order: Sequence[Operation], model: Model[Any]) -> None:
    """Raise CertificateError unless `order` is a linearization of `operations`.

    1. Every ok operation is in it exactly once, an unknown one at most once, a failed one never.
    2. No operation stands behind one that was called after it had returned.
    3. The model accepts the operations in this order.
    """
    allowed = {id(operation) for operation in operations if operation.is_ok or operation.is_unknown}
    placed = {id(operation) for operation in order}
    if len(placed) != len(order):
        raise CertificateError("an operation is placed twice")
    if not placed <= allowed:
        raise CertificateError("an operation is placed that is not in the history, or that failed")
    missing = [operation for operation in operations if operation.is_ok and id(operation) not in placed]
    if missing:
        raise CertificateError(f"{len(missing)} operations are not placed, the first: {missing[0]!r}")

    earliest_return = float("inf")
    for operation in reversed(order):
        if operation.call_time_ns > earliest_return:
            raise CertificateError(
                f"an operation that returned before its call is placed after {operation!r}"
            )
        if operation.is_ok and operation.return_time_ns is not None:
            earliest_return = min(earliest_return, operation.return_time_ns)

    states = [model.init()]
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
