"""Transactions as micro-operations, in the shape that Jepsen's and Elle's list-append and register workloads
use.

A micro-operation is ``["append", key, value]``, ``["w", key, value]`` or ``["r", key, seen]``, where `seen`
is the whole list (null or empty: nothing yet) or the register's value (null: never written). A line of ours
has

    op "txn"   args {"txn": [micro-operations, null for what a read will see]}

and, when it was answered, a response with

    txn              the same micro-operations, reads filled in
    revision         where etcd's revisions are recorded: the one at which the transaction took effect, that
                     is its own for one that writes, the answer's header's for one that only reads
    mod_revisions    one entry per micro-operation: the key's mod_revision that a read saw (0: absent), null
                     for writes and where it is not known

Rules: no value is written to a key twice (by operations that may have happened); keys hold either lists or
registers; an ok transaction answers exactly the micro-operations that were asked.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from porcupine.history import Operation

Key = Hashable
Value = Hashable
List = tuple[Value, ...]

READ, APPEND, WRITE = "r", "append", "w"


_FUNCTIONS = frozenset((READ, APPEND, WRITE))

Micro = tuple[str, Key, Any]
"""(function, key, value). The value of a read: a tuple for lists, a value for registers, None for nothing."""


class Unsuitable(ValueError):
    """The history is one of transactions, but breaks a rule of the workload, so that nothing can be
    inferred."""


@dataclass(slots=True, eq=False)
class Txn:
    """One transaction; `index` is its node in every graph. Reads of one that is not ok have no value."""

    index: int
    operation: Operation
    micro: Sequence[Micro]
    revision: int | None = None
    mods: Sequence[int | None] | None = None

    @property
    def ok(self) -> bool:
        return self.operation.is_ok


@dataclass(slots=True)
class Txns:
    """All transactions of a history in the order of their calls: `real` are ok or unknown, `failed` are
    not."""

    real: list[Txn]
    failed: list[Txn]
    lists: bool
    registers: bool

    @property
    def has_revisions(self) -> bool:
        return any(txn.revision is not None for txn in self.real)


def is_txn(operation: Operation) -> bool:
    return isinstance(operation.call, tuple) and bool(operation.call) and operation.call[0] == "txn"


def read_txns(operations: Iterable[Operation]) -> Txns:
    """The transactions among the operations. ValueError names one that makes no sense."""
    real: list[Txn] = []
    failed: list[Txn] = []
    kinds: dict[Key, str] = {}
    for operation in sorted(filter(is_txn, operations), key=lambda each: each.call_time_ns):
        into = real if operation.is_ok or operation.is_unknown else failed
        txn = _txn(len(into), operation)
        into.append(txn)
        for f, key, value in txn.micro:
            if f == READ:
                continue
            if value is None:
                raise ValueError(f"transaction {operation.id} writes null, which means nothing, to {key!r}")
            if kinds.setdefault(key, f) != f:
                raise ValueError(
                    f"key {key!r} is appended to and written: it is neither a list nor a register"
                )
    lists = APPEND in kinds.values() or any(
        isinstance(value, tuple) for txn in real for _, key, value in txn.micro if key not in kinds
    )
    return Txns(real, failed, lists, WRITE in kinds.values() or not lists)


def _txn(index: int, operation: Operation) -> Txn:
    call = operation.call
    assert isinstance(call, tuple)
    asked = _micros(operation, _field(call[-1], "txn"))
    if not operation.is_ok:
        return Txn(index, operation, tuple((f, key, None if f == READ else value) for f, key, value in asked))
    response = operation.response
    micro = _micros(operation, _field(response, "txn"))
    if len(micro) != len(asked):
        raise ValueError(
            f"transaction {operation.id} asked {len(asked)} micro-operations, was answered {len(micro)}"
        )
    for want, got in zip(asked, micro, strict=True):
        if got[:2] != want[:2] or (got[0] != READ and got[2] != want[2]):
            raise ValueError(f"transaction {operation.id} asked {list(want)} and was answered {list(got)}")
    revision, mods = _optional(response, "revision"), _optional(response, "mod_revisions")
    if revision is not None and not isinstance(revision, int):
        raise ValueError(f"transaction {operation.id} has the revision {revision!r}, not an integer")
    if mods is not None and (not isinstance(mods, tuple) or len(mods) != len(micro)):
        raise ValueError(f"transaction {operation.id} needs one mod_revision per micro-operation")
    return Txn(index, operation, micro, revision, mods)


def _micros(operation: Operation, value: object) -> tuple[Micro, ...]:
    if not isinstance(value, tuple):
        raise ValueError(f"transaction {operation.id} is {value!r}, not a list of micro-operations")
    for each in value:
        if type(each) is not tuple or len(each) != 3 or each[0] not in _FUNCTIONS:
            raise ValueError(f"transaction {operation.id} has {each!r}, which is no micro-operation")
    return value


def _field(pairs: object, name: str) -> object:
    found = _optional(pairs, name)
    if found is None:
        raise ValueError(f"a transaction has no {name!r} in {pairs!r}")
    return found


def _optional(pairs: object, name: str) -> object:
    """One field of a frozen JSON object."""
    if isinstance(pairs, tuple):
        for pair in pairs:
            if isinstance(pair, tuple) and len(pair) == 2 and pair[0] == name:
                found: object = pair[1]
                return found
    return None
