"""What etcd refuses by the request alone, whatever the store holds (its v3rpc key service, in its order).

- A key must not be empty; sort orders and targets must be known.
- A put that keeps the value brings none; one that keeps the lease brings none.
- A txn has at most 128 compares, successes and failures, each counted alone; a nested txn has what the
  largest of the three leaves over.
- Within one txn no key is put twice, or both put and deleted. The two branches of a nested txn exclude each
  other. A delete "from this key on" is compared as the literal range [key, one zero byte), which is empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gauntlet.checkers.etcd.calls import (
    DUPLICATE_KEY,
    EMPTY_KEY,
    INVALID_SORT,
    LEASE_PROVIDED,
    SORT_ORDERS,
    SORT_TARGETS,
    TOO_MANY_OPS,
    VALUE_PROVIDED,
    Call,
    Delete,
    Put,
    Range,
    Refused,
    Request,
    Txn,
)

MAX_TXN_OPS: Final = 128

_Span = tuple[bytes, bytes]


def refusal(call: Call) -> Refused | None:
    """The error that the call gets by itself; None for a call that is in order."""
    match call:
        case Range():
            if call.sort_order not in SORT_ORDERS or call.sort_target not in SORT_TARGETS:
                return INVALID_SORT if call.key else EMPTY_KEY
            return None if call.key else EMPTY_KEY
        case Put():
            if not call.key:
                return EMPTY_KEY
            if call.ignore_value and call.value:
                return VALUE_PROVIDED
            return LEASE_PROVIDED if call.ignore_lease and call.lease else None
        case Delete():
            return None if call.key else EMPTY_KEY
        case Txn():
            return _in_txn(call, MAX_TXN_OPS) or _collision(call)
    return None


def _in_txn(txn: Txn, allowed: int) -> Refused | None:
    most = max(len(txn.compare), len(txn.success), len(txn.failure))
    if most > allowed:
        return TOO_MANY_OPS
    if not all(compare.key for compare in txn.compare):
        return EMPTY_KEY
    for request in (*txn.success, *txn.failure):
        found = _in_txn(request, allowed - most) if isinstance(request, Txn) else refusal(request)
        if found is not None:
            return found
    return None


def _collision(txn: Txn) -> Refused | None:
    for branch in (txn.success, txn.failure):
        alone = len(branch) == 1 and not isinstance(branch[0], Txn)  # one operation cannot meet itself
        if not alone and _overlaps(branch)[0]:
            return DUPLICATE_KEY
    return None


def _overlaps(branch: Sequence[Request]) -> tuple[bool, set[bytes], list[_Span]]:
    """(do they collide, the keys put, the ranges deleted)."""
    deleted: list[_Span] = [
        (request.key, request.end or request.key + b"\x00")
        for request in branch
        if isinstance(request, Delete)
    ]
    puts: set[bytes] = set()
    for request in branch:
        if isinstance(request, Txn):
            then, otherwise = _overlaps(request.success), _overlaps(request.failure)
            inner = then[1] | otherwise[1]
            if then[0] or otherwise[0] or any(key in puts or _within(key, deleted) for key in inner):
                return True, puts, deleted
            puts |= inner
            deleted += then[2] + otherwise[2]
    for request in branch:
        if isinstance(request, Put):
            if request.key in puts or _within(request.key, deleted):
                return True, puts, deleted
            puts.add(request.key)
    return False, puts, deleted


def _within(key: bytes, spans: Sequence[_Span]) -> bool:
    return any(start <= key < end for start, end in spans)
