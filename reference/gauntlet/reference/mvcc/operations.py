"""Requests carried out on the store, and the responses etcd gives to them.

Rules (etcd's txn package):

- Range. The limit applies after filters and sorting; `count` is the number of keys in the range whatever
  limit and filters say; `more` says that the limit cut something off. Without filter or sort order only
  limit + 1 pairs are read, and a sort target without an order sorts just those, ascending. Keys-only
  answers come from the index and carry no lease, unless they are sorted by value.
- Equal elements stay in key order. (Upstream's sort is not stable above twelve elements, so clients
  cannot count on any order there.)
- Put. First the lease must exist, then the key if its value or lease is to be kept.
- Txn. All compares, nested ones too, look at the state before the txn and choose one path through it.
  Then every operation on the path is checked against that same state; only then is anything written. A
  compare of the value of a key that does not exist fails; of anything else it sees zero.
- Response headers inside a txn hold the revision at that point, those of nested txns none; the outermost
  holds the revision afterwards. The service adds cluster, member and term.
- Upstream crashes if a put keeps the value of a key which the same txn deletes "from this key on" before (see
  `checks`). Here such a put finds an empty value and no lease.

Writing functions return the events of the txn beside the response, for the watches and the leases.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol, TypeVar

from gauntlet.api import errors
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.messages import mvccpb
from gauntlet.reference.mvcc.checks import (
    check_delete,
    check_put,
    check_range,
    check_txn,
    is_read_only,
    is_serializable,
)
from gauntlet.reference.mvcc.compaction import CompactionJob
from gauntlet.reference.mvcc.keyindex import Found
from gauntlet.reference.mvcc.revision import main_of
from gauntlet.reference.mvcc.store import RangeResult, Store, WriteTxn

__all__ = [
    "check_delete",
    "check_put",
    "check_range",
    "check_txn",
    "compact",
    "delete_range",
    "has_filters",
    "in_key_order",
    "is_read_only",
    "is_serializable",
    "put",
    "range_body",
    "range_keys",
    "read_page",
    "txn",
]

LeaseExists = Callable[[int], bool]
Events = list[mvccpb.Event]
_Ordered = TypeVar("_Ordered", bytes, int)

_MAX_INT64 = (1 << 63) - 1


class View(Protocol):
    """What reads need: the store, or an open txn with its own writes."""

    @property
    def current_revision(self) -> int: ...

    @property
    def compact_revision(self) -> int: ...

    def range(
        self, key: bytes, end: bytes, revision: int = 0, limit: int = 0, count_only: bool = False
    ) -> RangeResult: ...

    def keys(self, key: bytes, end: bytes, revision: int = 0, limit: int = 0) -> tuple[list[Found], int]: ...


# Range.


def range_keys(view: View, request: pb.RangeRequest) -> pb.RangeResponse:
    """Answers a range request. Raises COMPACTED or FUTURE_REV."""
    body, revision = range_body(view, request)
    response = pb.RangeResponse.FromString(body)
    response.header.revision = revision
    return response


def range_body(view: View, request: pb.RangeRequest) -> tuple[bytes, int]:
    """The same as bytes, and the revision for its header.

    The bytes are a serialized RangeResponse without header. A serialized response that has nothing but the
    header, put before or after them, completes it: fields of a message may come in any order.
    """
    key, end, limit = request.key, request.range_end, request.limit
    if request.count_only:
        result = view.range(key, end, request.revision, 0, True)
        return _varint_field(_COUNT, result.count), result.revision

    order, target = request.sort_order, request.sort_target
    by_key = target == pb.RangeRequest.KEY
    filtered = has_filters(request)
    in_order = in_key_order(request)
    read = 0
    if in_order and not filtered:
        read = limit + 1 if 0 < limit < _MAX_INT64 else limit
    keys_only = request.keys_only
    sort = not by_key or not in_order

    if not keys_only and not filtered and not sort:
        result = view.range(key, end, request.revision, read)
        return _join(result.encoded, limit, result.count), result.revision

    if keys_only and target != pb.RangeRequest.VALUE:
        found, count = view.keys(key, end, request.revision, read)
        kvs = [_bare_pair(entry) for entry in found]
    else:
        result = view.range(key, end, request.revision, read)
        kvs, count = result.kvs, result.count
    if filtered:
        kvs = _filter(kvs, request)
    if sort:
        kvs.sort(key=_SORT_KEYS[target], reverse=order == pb.RangeRequest.DESCEND)
    if keys_only:
        for kv in kvs:
            kv.value = b""
    encoded = [kv.SerializeToString() for kv in kvs]
    return _join(encoded, limit, count), view.current_revision


class Page(NamedTuple):
    """The first pairs of a range. `size`: bytes of a response with them and a header."""

    kvs: list[mvccpb.KeyValue]
    more: bool
    size: int


def read_page(store: Store, request: pb.RangeRequest, limit: int) -> Page:
    """At most `limit` pairs (all if it is not positive) of a request without filters and sort order, at no
    cost for those behind them. Raises COMPACTED or FUTURE_REV."""
    found = store.first_keys(request.key, request.range_end, request.revision, limit + 1 if limit > 0 else 0)
    keys_only = request.keys_only
    if keys_only and request.sort_target != pb.RangeRequest.VALUE:
        kvs = [_bare_pair(entry) for entry in found]
    else:
        kvs = [mvccpb.KeyValue.FromString(store.stored(entry.revision)) for entry in found]
    if request.sort_target != pb.RangeRequest.KEY:
        kvs.sort(key=_SORT_KEYS[request.sort_target])
    more = 0 < limit < len(kvs)
    if more:
        kvs = kvs[:limit]
    if keys_only:
        for kv in kvs:
            kv.value = b""
    # Upstream sizes the response of its own inner range, which counts what was read.
    sized = pb.RangeResponse(
        header=pb.ResponseHeader(revision=store.current_revision), kvs=kvs, more=more, count=len(found)
    )
    return Page(kvs, more, sized.ByteSize())


def _bare_pair(entry: Found) -> mvccpb.KeyValue:
    """What the index knows of a pair: neither value nor lease."""
    return mvccpb.KeyValue(
        key=entry.key,
        create_revision=entry.create_revision,
        mod_revision=main_of(entry.revision),
        version=entry.version,
    )


def in_key_order(request: pb.RangeRequest) -> bool:
    """Whether pairs are wanted in the order they are read in (a target without an order does not count)."""
    return request.sort_order == pb.RangeRequest.NONE or (
        request.sort_target == pb.RangeRequest.KEY and request.sort_order == pb.RangeRequest.ASCEND
    )


def has_filters(request: pb.RangeRequest) -> bool:
    return bool(
        request.min_mod_revision
        or request.max_mod_revision
        or request.min_create_revision
        or request.max_create_revision
    )


def _filter(kvs: list[mvccpb.KeyValue], request: pb.RangeRequest) -> list[mvccpb.KeyValue]:
    min_mod, max_mod = request.min_mod_revision, request.max_mod_revision
    min_create, max_create = request.min_create_revision, request.max_create_revision
    return [
        kv
        for kv in kvs
        if (not max_mod or kv.mod_revision <= max_mod)
        and (not min_mod or kv.mod_revision >= min_mod)
        and (not max_create or kv.create_revision <= max_create)
        and (not min_create or kv.create_revision >= min_create)
    ]


_SORT_KEYS: dict[int, Callable[[mvccpb.KeyValue], bytes | int]] = {
    pb.RangeRequest.KEY: lambda kv: kv.key,
    pb.RangeRequest.VERSION: lambda kv: kv.version,
    pb.RangeRequest.CREATE: lambda kv: kv.create_revision,
    pb.RangeRequest.MOD: lambda kv: kv.mod_revision,
    pb.RangeRequest.VALUE: lambda kv: kv.value,
}

# Tags of the fields of RangeResponse: number << 3 | wire type.
_KVS = b"\x12"
_MORE = b"\x18\x01"
_COUNT = b"\x20"


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _varint_field(tag: bytes, number: int) -> bytes:
    return tag + _varint(number) if number else b""


# The bytes before a key-value pair in a response, by its length; most pairs are short.
_PREFIXES = [_KVS + _varint(length) for length in range(2048)]


def _join(encoded: list[bytes], limit: int, count: int) -> bytes:
    """Pairs as stored, limited, as the body of a response."""
    more = 0 < limit < len(encoded)
    if more:
        encoded = encoded[:limit]
    parts: list[bytes] = []
    append = parts.append
    prefixes = _PREFIXES
    for raw in encoded:
        length = len(raw)
        append(prefixes[length] if length < 2048 else _KVS + _varint(length))
        append(raw)
    if more:
        append(_MORE)
    append(_varint_field(_COUNT, count))
    return b"".join(parts)


# Put and delete.


def put(store: Store, request: pb.PutRequest, lease_exists: LeaseExists) -> tuple[pb.PutResponse, Events]:
    """Carries out a put. Raises LEASE_NOT_FOUND or KEY_NOT_FOUND, having changed nothing."""
    _check_put(store, request, lease_exists)
    change = store.write()
    response = pb.PutResponse()
    _put(change, request, response)
    return response, change.end()


def delete_range(store: Store, request: pb.DeleteRangeRequest) -> tuple[pb.DeleteRangeResponse, Events]:
    """Carries out a delete; it cannot fail."""
    change = store.write()
    response = pb.DeleteRangeResponse()
    _delete_range(change, request, response)
    return response, change.end()


def _check_put(view: View, request: pb.PutRequest, lease_exists: LeaseExists) -> None:
    if request.lease and not lease_exists(request.lease):
        raise errors.LEASE_NOT_FOUND.fresh()
    if (request.ignore_value or request.ignore_lease) and not view.range(request.key, b"", 0, 0, True).count:
        raise errors.KEY_NOT_FOUND.fresh()


def _put(change: WriteTxn, request: pb.PutRequest, response: pb.PutResponse) -> None:
    key, value, lease = request.key, request.value, request.lease
    if request.prev_kv or request.ignore_value or request.ignore_lease:
        found = change.range(key, b"").encoded
        if found:
            previous = mvccpb.KeyValue.FromString(found[0])
            if request.prev_kv:
                response.prev_kv.MergeFromString(found[0])
        else:
            previous = mvccpb.KeyValue()
        if request.ignore_value:
            value = previous.value
        if request.ignore_lease:
            lease = previous.lease
    response.header.revision = change.put(key, value, lease)


def _delete_range(change: WriteTxn, request: pb.DeleteRangeRequest, response: pb.DeleteRangeResponse) -> None:
    if request.prev_kv:
        for raw in change.range(request.key, request.range_end).encoded:
            response.prev_kvs.add().MergeFromString(raw)
    response.deleted = change.delete_range(request.key, request.range_end)
    response.header.revision = change.current_revision


# Txn.


def txn(
    store: Store, request: pb.TxnRequest, lease_exists: LeaseExists, skip_ranges: bool = False
) -> tuple[pb.TxnResponse, Events]:
    """Carries out a txn. Raises what its path would raise first, having changed nothing.

    With `skip_ranges` its reads answer only their header: for a member on which nobody waits for the
    response.
    """
    path: list[bool] = []
    _choose_path(store, request, path)
    _check_path(store, request, iter(path), lease_exists)
    response = pb.TxnResponse()
    change = store.write()
    _execute(change, request, iter(path), response, skip_ranges)
    response.header.revision = change.current_revision
    return response, change.end()


def _choose_path(view: View, request: pb.TxnRequest, path: list[bool]) -> None:
    """Appends which branch this txn takes, then those its nested txns on that branch take, in order."""
    succeeded = all(_holds(view, compare) for compare in request.compare)
    path.append(succeeded)
    for op in request.success if succeeded else request.failure:
        if op.HasField("request_txn"):
            _choose_path(view, op.request_txn, path)


def _check_path(view: View, request: pb.TxnRequest, path: Iterator[bool], lease_exists: LeaseExists) -> None:
    for op in request.success if next(path) else request.failure:
        kind = op.WhichOneof("request")
        if kind == "request_range":
            at = op.request_range.revision
            if at > view.current_revision:
                raise errors.FUTURE_REV.fresh()
            # Unlike a range of its own, one in a txn takes a negative revision for a compacted one.
            if at and at < view.compact_revision:
                raise errors.COMPACTED.fresh()
        elif kind == "request_put":
            _check_put(view, op.request_put, lease_exists)
        elif kind == "request_txn":
            _check_path(view, op.request_txn, path, lease_exists)


def _execute(
    change: WriteTxn,
    request: pb.TxnRequest,
    path: Iterator[bool],
    response: pb.TxnResponse,
    skip_ranges: bool,
) -> None:
    succeeded = next(path)
    response.succeeded = succeeded
    response.header.SetInParent()
    for op in request.success if succeeded else request.failure:
        kind = op.WhichOneof("request")
        result = response.responses.add()
        if kind == "request_range":
            revision = change.current_revision
            if not skip_ranges:
                body, revision = range_body(change, op.request_range)
                result.response_range.MergeFromString(body)
            result.response_range.header.revision = revision
        elif kind == "request_put":
            _put(change, op.request_put, result.response_put)
        elif kind == "request_delete_range":
            _delete_range(change, op.request_delete_range, result.response_delete_range)
        elif kind == "request_txn":
            _execute(change, op.request_txn, path, result.response_txn, skip_ranges)


def _holds(view: View, compare: pb.Compare) -> bool:
    target = compare.target
    if target in (pb.Compare.VALUE, pb.Compare.LEASE):
        kvs = view.range(compare.key, compare.range_end).kvs
        if target == pb.Compare.VALUE:
            # An absent value cannot be told from an empty one on the wire, so comparing it always fails.
            value = compare.value
            return bool(kvs) and all(_relation(compare.result, kv.value, value) for kv in kvs)
        lease = compare.lease
        return all(_relation(compare.result, held, lease) for held in ([kv.lease for kv in kvs] or [0]))
    found, _ = view.keys(compare.key, compare.range_end)
    numbers = [_number(target, entry) for entry in found] or [0]
    wanted = _wanted(compare)
    return all(_relation(compare.result, number, wanted) for number in numbers)


def _number(target: int, entry: Found) -> int:
    if target == pb.Compare.VERSION:
        return entry.version
    if target == pb.Compare.CREATE:
        return entry.create_revision
    if target == pb.Compare.MOD:
        return main_of(entry.revision)
    return 0  # a target that we do not know is equal to anything


def _wanted(compare: pb.Compare) -> int:
    # Only the field that was sent is set; that of another target leaves this one at zero, as upstream has it.
    if compare.target == pb.Compare.VERSION:
        return compare.version
    if compare.target == pb.Compare.CREATE:
        return compare.create_revision
    if compare.target == pb.Compare.MOD:
        return compare.mod_revision
    return 0


def _relation(result: int, left: _Ordered, right: _Ordered) -> bool:
    if result == pb.Compare.EQUAL:
        return left == right
    if result == pb.Compare.NOT_EQUAL:
        return left != right
    if result == pb.Compare.GREATER:
        return left > right
    if result == pb.Compare.LESS:
        return left < right
    return True  # upstream lets a relation that it does not know hold


# Compaction.


def compact(store: Store, request: pb.CompactionRequest) -> tuple[pb.CompactionResponse, CompactionJob]:
    """Compacts. Raises COMPACTED or FUTURE_REV. A physical request is answered once the job is done."""
    job = store.compact(request.revision)
    response = pb.CompactionResponse()
    response.header.revision = store.current_revision
    return response, job
