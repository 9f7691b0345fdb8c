"""What requests will cost the store, as etcd estimates it: bytes of keys and values and a fixed overhead."""

from __future__ import annotations

from collections.abc import Iterable

from gauntlet.api.messages import etcdserverpb as pb

KEY_OVERHEAD = 256
LEASE_COST = 64


def put_cost(request: pb.PutRequest) -> int:
    return KEY_OVERHEAD + len(request.key) + len(request.value)


def txn_cost(request: pb.TxnRequest) -> int:
    """The dearer of the two branches; 0 when neither puts anything, so that deleting is always possible."""
    return max(_branch_cost(request.success), _branch_cost(request.failure))


def _branch_cost(operations: Iterable[pb.RequestOp]) -> int:
    total = 0
    for operation in operations:
        if operation.HasField("request_put"):
            total += put_cost(operation.request_put)
        elif operation.HasField("request_txn"):
            total += txn_cost(operation.request_txn)
    return total
