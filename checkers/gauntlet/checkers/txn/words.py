"""Transactions and values in words, short enough to read."""

from __future__ import annotations

from typing import Any

from gauntlet.checkers.txn.records import READ, Key, Micro, Txn
from porcupine.history import Operation
from porcupine.labels import seconds

LONGEST = 8


def value_text(value: object) -> str:
    """A value; of a long list its end, where what is new stands."""
    if isinstance(value, tuple):
        if len(value) > LONGEST:
            return f"[... {' '.join(map(str, value[-LONGEST:]))}] ({len(value)} elements)"
        return f"[{' '.join(map(str, value))}]"
    return "nothing" if value is None else str(value)


def micro_text(micro: Micro) -> str:
    f, key, value = micro
    return f"{f} {key} {value_text(value) if f == READ else value}"


def operation_text(operation: Operation) -> str:
    """What a transaction asked for, or was answered: ``append x 1; r y [1 2]``."""
    call: Any = operation.call
    told: Any = operation.response if operation.is_ok and isinstance(operation.response, tuple) else call[-1]
    micros = next((value for name, value in told if name == "txn"), ())
    return "; ".join(map(micro_text, micros))


def name(txn: Txn) -> str:
    return f"T{txn.operation.id}"


def full(txn: Txn) -> str:
    """``T12 (client 3 on m1, 0.100000 s to 0.200000 s: append x 1; r y [])``."""
    operation = txn.operation
    member = operation.tags.get("member")
    where = f" on {member}" if member else ""
    if txn.ok and operation.return_time_ns is not None:
        when = f"{seconds(operation.call_time_ns)} to {seconds(operation.return_time_ns)}"
    else:
        when = f"called at {seconds(operation.call_time_ns)}, {operation.outcome.value}"
    micros = "; ".join(map(micro_text, txn.micro))
    return f"{name(txn)} (client {operation.client}{where}, {when}: {micros})"


def read_text(txn: Txn, key: Key, value: object) -> str:
    return f"{name(txn)} read {key} = {value_text(value)}"
