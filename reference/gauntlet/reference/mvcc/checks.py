"""What is wrong with a request by itself, before anybody looks at the store.

Rules, in etcd's order (its v3rpc key service):

- A key must not be empty. Sort order and sort target must be known numbers.
- A put that keeps the value must not bring one; a put that keeps the lease must not bring one.
- A txn has at most `max_txn_ops` compares, successes and failures, each counted alone. A nested txn may
  have what the largest of the three leaves over. An operation that is none is "key not found".
- Only when all that holds: within one txn no key may be put twice, or both put and deleted. The two
  branches of a nested txn exclude each other, so they may put the same key. Deletes of a nested txn count
  for the nested txns after it and for the puts of the level above.
- A delete "from this key on" (range end of one zero byte) is compared as the literal range, which is
  empty: it never collides. That is upstream's, and clients may rely on it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence

from gauntlet.api import errors
from gauntlet.api.messages import etcdserverpb as pb

DEFAULT_MAX_TXN_OPS = 128


def check_range(request: pb.RangeRequest) -> None:
    if not request.key:
        raise errors.EMPTY_KEY.fresh()
    if not 0 <= request.sort_order <= pb.RangeRequest.DESCEND:
        raise errors.INVALID_SORT_OPTION.fresh()
    if not 0 <= request.sort_target <= pb.RangeRequest.VALUE:
        raise errors.INVALID_SORT_OPTION.fresh()


def check_put(request: pb.PutRequest) -> None:
    if not request.key:
        raise errors.EMPTY_KEY.fresh()
    if request.ignore_value and request.value:
        raise errors.VALUE_PROVIDED.fresh()
    if request.ignore_lease and request.lease:
        raise errors.LEASE_PROVIDED.fresh()


def check_delete(request: pb.DeleteRangeRequest) -> None:
    if not request.key:
        raise errors.EMPTY_KEY.fresh()


def check_txn(request: pb.TxnRequest, max_txn_ops: int = DEFAULT_MAX_TXN_OPS) -> None:
    """Raises the `RpcError` a client gets for this txn, if any."""
    _check_operations(request, max_txn_ops)
    for branch in (request.success, request.failure):
        # One operation cannot collide with itself, unless it is a txn.
        if len(branch) > 1 or (branch and branch[0].HasField("request_txn")):
            _check_overlaps(branch)


def is_read_only(request: pb.TxnRequest) -> bool:
    """Whether the txn reads only. One with nested txns does not count as such, whatever they do."""
    return all(op.HasField("request_range") for op in _both(request))


def is_serializable(request: pb.TxnRequest) -> bool:
    """Whether all its operations are reads that any member may answer from its own state."""
    return all(op.HasField("request_range") and op.request_range.serializable for op in _both(request))


def _both(request: pb.TxnRequest) -> Iterable[pb.RequestOp]:
    yield from request.success
    yield from request.failure


def _check_operations(request: pb.TxnRequest, allowed: int) -> None:
    most = max(len(request.compare), len(request.success), len(request.failure))
    if most > allowed:
        raise errors.TOO_MANY_OPS.fresh()
    for compare in request.compare:
        if not compare.key:
            raise errors.EMPTY_KEY.fresh()
    for op in _both(request):
        kind = op.WhichOneof("request")
        if kind == "request_range":
            check_range(op.request_range)
        elif kind == "request_put":
            check_put(op.request_put)
        elif kind == "request_delete_range":
            check_delete(op.request_delete_range)
        elif kind == "request_txn":
            _check_operations(op.request_txn, allowed - most)
        else:
            raise errors.KEY_NOT_FOUND.fresh()


class _Intervals:
    """A union of [start, end): sorted, and no two touch."""

    __slots__ = ("_ends", "_starts")

    def __init__(self) -> None:
        self._starts: list[bytes] = []
        self._ends: list[bytes] = []

    def add(self, start: bytes, end: bytes) -> None:
        if end <= start:
            return
        first = bisect_left(self._ends, start)
        after = bisect_right(self._starts, end)
        if first < after:
            start = min(start, self._starts[first])
            end = max(end, self._ends[after - 1])
        self._starts[first:after] = [start]
        self._ends[first:after] = [end]

    def add_all(self, other: _Intervals) -> None:
        for start, end in zip(other._starts, other._ends, strict=True):
            self.add(start, end)

    def __contains__(self, key: bytes) -> bool:
        at = bisect_right(self._starts, key) - 1
        return at >= 0 and key < self._ends[at]


def _check_overlaps(operations: Sequence[pb.RequestOp]) -> tuple[dict[bytes, None], _Intervals]:
    """The keys that a branch puts and the ranges it deletes; raises DUPLICATE_KEY where they collide."""
    deleted = _Intervals()
    for op in operations:
        if op.HasField("request_delete_range"):
            delete = op.request_delete_range
            deleted.add(delete.key, delete.range_end or delete.key + b"\x00")

    puts: dict[bytes, None] = {}
    for op in operations:
        if not op.HasField("request_txn"):
            continue
        then_puts, then_deleted = _check_overlaps(op.request_txn.success)
        else_puts, else_deleted = _check_overlaps(op.request_txn.failure)
        # Only earlier operations count here: a key that both branches put is no collision, one of them runs.
        if any(key in puts or key in deleted for key in (*then_puts, *else_puts)):
            raise errors.DUPLICATE_KEY.fresh()
        puts.update(then_puts)
        puts.update(else_puts)
        deleted.add_all(then_deleted)
        deleted.add_all(else_deleted)

    for op in operations:
        if op.HasField("request_put"):
            key = op.request_put.key
            if key in puts or key in deleted:
                raise errors.DUPLICATE_KEY.fresh()
            puts[key] = None
    return puts, deleted
