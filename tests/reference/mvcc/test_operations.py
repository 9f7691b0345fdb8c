"""Requests on the store: checks, ranges with every option, puts, deletes, txns."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from gauntlet.api import errors
from gauntlet.api.errors import RpcError
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.messages import mvccpb
from gauntlet.reference.backend import MemoryBackend
from gauntlet.reference.mvcc import operations
from gauntlet.reference.mvcc.store import Store

Op = pb.RequestOp


def put_op(key: bytes, value: bytes = b"v", **fields: Any) -> Op:
    return Op(request_put=pb.PutRequest(key=key, value=value, **fields))


def delete_op(key: bytes, end: bytes = b"", **fields: Any) -> Op:
    return Op(request_delete_range=pb.DeleteRangeRequest(key=key, range_end=end, **fields))


def range_op(key: bytes, **fields: Any) -> Op:
    return Op(request_range=pb.RangeRequest(key=key, **fields))


def txn_op(success: list[Op] | None = None, failure: list[Op] | None = None) -> Op:
    return Op(request_txn=pb.TxnRequest(success=success, failure=failure))


def no_lease(lease: int) -> bool:
    return False


def any_lease(lease: int) -> bool:
    return True


@pytest.fixture
def store() -> Store:
    """Revisions 2 to 8: five keys of different ages, versions and values."""
    store = Store(MemoryBackend())
    for key, value in ((b"a", b"3"), (b"b", b"1"), (b"c", b"2"), (b"b", b"5"), (b"d", b"2"), (b"a", b"4")):
        operations.put(store, pb.PutRequest(key=key, value=value), no_lease)
    operations.put(store, pb.PutRequest(key=b"e", value=b"0", lease=7), any_lease)
    return store


def refusal(call: Any, *arguments: Any) -> RpcError | None:
    try:
        call(*arguments)
    except RpcError as error:
        return error
    return None


# Checks.


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (pb.RangeRequest(key=b"a"), None),
        (pb.RangeRequest(), errors.EMPTY_KEY),
        (pb.RangeRequest(sort_order=3), errors.EMPTY_KEY),
        (pb.RangeRequest(key=b"a", sort_order=3), errors.INVALID_SORT_OPTION),
        (pb.RangeRequest(key=b"a", sort_order=-1), errors.INVALID_SORT_OPTION),
        (pb.RangeRequest(key=b"a", sort_target=5), errors.INVALID_SORT_OPTION),
        (pb.RangeRequest(key=b"a", sort_order=2, sort_target=4), None),
    ],
)
def test_check_range(request_: pb.RangeRequest, error: RpcError | None) -> None:
    assert refusal(operations.check_range, request_) == error
    inside = pb.TxnRequest(success=[Op(request_range=request_)])
    assert refusal(operations.check_txn, inside) == error


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (pb.PutRequest(key=b"a", value=b"1", lease=2), None),
        (pb.PutRequest(value=b"1", ignore_value=True), errors.EMPTY_KEY),
        (pb.PutRequest(key=b"a", value=b"1", ignore_value=True), errors.VALUE_PROVIDED),
        (pb.PutRequest(key=b"a", lease=1, ignore_lease=True), errors.LEASE_PROVIDED),
        (
            pb.PutRequest(key=b"a", value=b"1", lease=1, ignore_value=True, ignore_lease=True),
            errors.VALUE_PROVIDED,
        ),
        (pb.PutRequest(key=b"a", ignore_value=True, ignore_lease=True), None),
    ],
)
def test_check_put(request_: pb.PutRequest, error: RpcError | None) -> None:
    assert refusal(operations.check_put, request_) == error
    assert refusal(operations.check_txn, pb.TxnRequest(failure=[Op(request_put=request_)])) == error


def test_check_delete() -> None:
    assert refusal(operations.check_delete, pb.DeleteRangeRequest()) == errors.EMPTY_KEY
    assert refusal(operations.check_delete, pb.DeleteRangeRequest(key=b"a")) is None


TXNS = [
    ("nothing", [], None),
    ("an operation that is none", [Op()], errors.KEY_NOT_FOUND),
    ("an empty key", [delete_op(b"")], errors.EMPTY_KEY),
    ("an empty key inside", [txn_op([put_op(b"")])], errors.EMPTY_KEY),
    ("two keys", [put_op(b"a"), put_op(b"b")], None),
    ("a key twice", [put_op(b"a"), put_op(b"a")], errors.DUPLICATE_KEY),
    ("put and delete", [put_op(b"a"), delete_op(b"a")], errors.DUPLICATE_KEY),
    ("delete and put", [delete_op(b"a"), put_op(b"a")], errors.DUPLICATE_KEY),
    ("put in a deleted range", [delete_op(b"a", b"c"), put_op(b"b")], errors.DUPLICATE_KEY),
    ("put at the end of a deleted range", [delete_op(b"a", b"c"), put_op(b"c")], None),
    ("put before a deleted range", [delete_op(b"b", b"c"), put_op(b"a")], None),
    ("put after a deleted key", [delete_op(b"a"), put_op(b"a\x00")], None),
    (
        "put in the second range",
        [delete_op(b"x", b"z"), delete_op(b"a", b"c"), put_op(b"y")],
        errors.DUPLICATE_KEY,
    ),
    (
        "put in a bridged range",
        [delete_op(b"a", b"c"), delete_op(b"b", b"e"), put_op(b"d")],
        errors.DUPLICATE_KEY,
    ),
    ("an inverted range", [delete_op(b"c", b"a"), put_op(b"b")], None),
    ("from a key on, which upstream misses", [delete_op(b"a", b"\x00"), put_op(b"b")], None),
    ("deletes may overlap", [delete_op(b"a", b"c"), delete_op(b"b"), delete_op(b"b")], None),
    ("reads never collide", [range_op(b"a"), put_op(b"a"), range_op(b"a")], None),
    ("both branches may put a key", [txn_op([put_op(b"a")], [put_op(b"a")])], None),
    ("a nested put and an outer one", [txn_op([put_op(b"a")]), put_op(b"a")], errors.DUPLICATE_KEY),
    ("a nested put and an outer delete", [txn_op([], [put_op(b"a")]), delete_op(b"a")], errors.DUPLICATE_KEY),
    ("an outer put and a nested delete", [put_op(b"a"), txn_op([delete_op(b"a")])], errors.DUPLICATE_KEY),
    ("two nested puts", [txn_op([put_op(b"a")]), txn_op([], [put_op(b"a")])], errors.DUPLICATE_KEY),
    ("a nested put, then a nested delete", [txn_op([put_op(b"a")]), txn_op([delete_op(b"a")])], None),
    (
        "a nested delete, then a nested put",
        [txn_op([delete_op(b"a")]), txn_op([put_op(b"a")])],
        errors.DUPLICATE_KEY,
    ),
    (
        "a nested delete in the other branch, then a nested put",
        [txn_op([], [delete_op(b"a")]), txn_op([put_op(b"a")])],
        errors.DUPLICATE_KEY,
    ),
    ("put and delete in exclusive branches", [txn_op([put_op(b"a")], [delete_op(b"a")])], None),
    ("a collision deep inside", [txn_op([txn_op([put_op(b"a"), put_op(b"a")])])], errors.DUPLICATE_KEY),
    ("a wrong operation before a collision", [put_op(b"a"), put_op(b"a"), Op()], errors.KEY_NOT_FOUND),
]


@pytest.mark.parametrize(
    ("operations_", "error"), [case[1:] for case in TXNS], ids=[case[0] for case in TXNS]
)
def test_check_txn(operations_: list[Op], error: RpcError | None) -> None:
    assert refusal(operations.check_txn, pb.TxnRequest(success=operations_)) == error
    assert refusal(operations.check_txn, pb.TxnRequest(failure=operations_)) == error


@pytest.mark.parametrize(
    ("compares", "success", "failure", "allowed", "error"),
    [
        (3, 3, 3, 3, None),
        (4, 0, 0, 3, errors.TOO_MANY_OPS),
        (0, 4, 0, 3, errors.TOO_MANY_OPS),
        (0, 0, 4, 3, errors.TOO_MANY_OPS),
    ],
)
def test_the_size_of_a_txn(
    compares: int, success: int, failure: int, allowed: int, error: RpcError | None
) -> None:
    request = pb.TxnRequest(
        compare=[pb.Compare(key=b"a")] * compares,
        success=[range_op(b"a")] * success,
        failure=[range_op(b"a")] * failure,
    )
    assert refusal(operations.check_txn, request, allowed) == error


def test_a_nested_txn_gets_what_is_left() -> None:
    nested = txn_op([range_op(b"a")] * 2)
    assert refusal(operations.check_txn, pb.TxnRequest(success=[nested]), 3) is None
    assert refusal(operations.check_txn, pb.TxnRequest(success=[nested] * 2), 3) == errors.TOO_MANY_OPS


def test_a_compare_needs_a_key() -> None:
    request = pb.TxnRequest(compare=[pb.Compare()], success=[Op()])
    assert refusal(operations.check_txn, request) == errors.EMPTY_KEY


def test_many_nested_ranges_are_checked_quickly() -> None:
    """Sixty-four times sixty-four deletes and puts: quadratic work would take minutes."""
    levels = [
        txn_op([op for i in range(63) for op in (delete_op(b"d%d/%d" % (n, i)),)] + [put_op(b"p%d" % n)])
        for n in range(64)
    ]
    assert refusal(operations.check_txn, pb.TxnRequest(success=levels), 128) is None


@pytest.mark.parametrize(
    ("success", "failure", "read_only", "serializable"),
    [
        ([], [], True, True),
        ([range_op(b"a")], [range_op(b"b")], True, False),
        ([range_op(b"a", serializable=True)], [], True, True),
        ([range_op(b"a", serializable=True)], [range_op(b"b")], True, False),
        ([range_op(b"a", serializable=True)], [put_op(b"b")], False, False),
        ([delete_op(b"a")], [], False, False),
        ([txn_op([range_op(b"a", serializable=True)])], [], False, False),
    ],
)
def test_kinds_of_txns(success: list[Op], failure: list[Op], read_only: bool, serializable: bool) -> None:
    request = pb.TxnRequest(success=success, failure=failure)
    assert operations.is_read_only(request) == read_only
    assert operations.is_serializable(request) == serializable


# Range.


def naive_range(store: Store, request: pb.RangeRequest) -> pb.RangeResponse:
    """The answer written down as simply as possible: read all, filter, sort, cut."""
    kvs = store.range(request.key, request.range_end, request.revision).kvs
    response = pb.RangeResponse(count=len(kvs))
    response.header.revision = store.current_revision
    if request.count_only:
        return response
    order, target = request.sort_order, request.sort_target
    limits = (
        (request.max_mod_revision, "mod_revision", 1),
        (request.min_mod_revision, "mod_revision", -1),
        (request.max_create_revision, "create_revision", 1),
        (request.min_create_revision, "create_revision", -1),
    )
    filtered = any(bound for bound, _, _ in limits)
    if order == pb.RangeRequest.NONE and not filtered and request.limit > 0:
        kvs = kvs[: request.limit + 1]  # upstream sorts only what it has read
    for bound, field, sign in limits:
        kvs = [kv for kv in kvs if not bound or sign * getattr(kv, field) <= sign * bound]
    field = ["key", "version", "create_revision", "mod_revision", "value"][target]
    kvs.sort(key=lambda kv: getattr(kv, field), reverse=order == pb.RangeRequest.DESCEND)
    response.more = 0 < request.limit < len(kvs)
    for kv in kvs[: request.limit] if request.limit > 0 else kvs:
        if request.keys_only:
            kv.value = b""
            if target != pb.RangeRequest.VALUE:
                kv.lease = 0
        response.kvs.append(kv)
    return response


RANGES = [(b"a", b""), (b"x", b""), (b"a", b"d"), (b"b", b"\x00"), (b"d", b"a")]


BOUNDS: list[dict[str, Any]] = [
    {},
    {"min_mod_revision": 4},
    {"max_mod_revision": 6},
    {"min_create_revision": 3, "max_create_revision": 6},
]


@pytest.mark.parametrize(("order", "target"), list(product(range(3), range(5))))
def test_every_range(store: Store, order: int, target: int) -> None:
    for (key, end), revision, limit, keys_only, count_only, bounds in product(
        RANGES,
        (0, -1, 4, 8),
        (0, -1, 1, 2, 3, (1 << 63) - 1),
        (False, True),
        (False, True),
        BOUNDS,
    ):
        request = pb.RangeRequest(
            key=key,
            range_end=end,
            revision=revision,
            limit=limit,
            sort_order=order,
            sort_target=target,
            keys_only=keys_only,
            count_only=count_only,
            **bounds,
        )
        expected = naive_range(store, request)
        assert operations.range_keys(store, request) == expected, request
        body, at = operations.range_body(store, request)
        header = pb.RangeResponse()
        header.header.revision = at
        assert pb.RangeResponse.FromString(body + header.SerializeToString()) == expected


def test_large_values_in_a_range(store: Store) -> None:
    for length in (126, 127, 128, 2040, 2047, 2048, 5000, 20_000):
        operations.put(store, pb.PutRequest(key=b"big%05d" % length, value=b"x" * length), no_lease)
    response = operations.range_keys(store, pb.RangeRequest(key=b"big", range_end=b"c", limit=7))
    assert [len(kv.value) for kv in response.kvs] == [126, 127, 128, 2040, 2047, 2048, 5000]
    assert (response.more, response.count) == (True, 8)


@pytest.mark.parametrize(("revision", "error"), [(9, errors.FUTURE_REV), (3, errors.COMPACTED), (4, None)])
@pytest.mark.parametrize("fields", [{}, {"count_only": True}, {"keys_only": True}, {"sort_order": 2}])
def test_revisions_that_cannot_be_read(
    store: Store, revision: int, error: RpcError | None, fields: dict[str, Any]
) -> None:
    store.compact(4)
    request = pb.RangeRequest(key=b"a", revision=revision, **fields)
    assert refusal(operations.range_keys, store, request) == error


# Put and delete.


def pair(store: Store, key: bytes) -> tuple[bytes, int] | None:
    kvs = store.range(key, b"").kvs
    return (kvs[0].value, kvs[0].lease) if kvs else None


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"value": b"new", "lease": 9}, (b"new", 9)),
        ({"ignore_value": True, "lease": 9}, (b"0", 9)),
        ({"ignore_lease": True, "value": b"new"}, (b"new", 7)),
        ({"ignore_lease": True, "ignore_value": True}, (b"0", 7)),
        ({}, (b"", 0)),
    ],
)
def test_put_keeps_what_it_is_told_to(
    store: Store, fields: dict[str, Any], expected: tuple[bytes, int]
) -> None:
    response, events = operations.put(store, pb.PutRequest(key=b"e", prev_kv=True, **fields), any_lease)
    assert pair(store, b"e") == expected
    assert (response.header.revision, response.prev_kv.value, response.prev_kv.lease) == (9, b"0", 7)
    assert [(event.kv.key, event.kv.version, event.kv.create_revision) for event in events] == [(b"e", 2, 8)]


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"lease": 5}, errors.LEASE_NOT_FOUND),
        ({"lease": 5, "ignore_value": True}, errors.LEASE_NOT_FOUND),
        ({"ignore_value": True}, errors.KEY_NOT_FOUND),
        ({"ignore_lease": True}, errors.KEY_NOT_FOUND),
    ],
)
def test_a_refused_put_changes_nothing(store: Store, fields: dict[str, Any], error: RpcError) -> None:
    request = pb.PutRequest(key=b"new", **fields)
    before = store.hash()
    assert refusal(operations.put, store, request, no_lease) == error
    bundle = pb.TxnRequest(success=[put_op(b"first"), Op(request_put=request)])
    assert refusal(operations.txn, store, bundle, no_lease) == error
    assert store.hash() == before
    assert store.current_revision == 8


def test_put_of_a_new_key_has_no_previous_pair(store: Store) -> None:
    response, _ = operations.put(store, pb.PutRequest(key=b"new", prev_kv=True), no_lease)
    assert not response.HasField("prev_kv")


@pytest.mark.parametrize(
    ("key", "end", "gone"),
    [
        (b"a", b"", [b"a"]),
        (b"x", b"", []),
        (b"b", b"d", [b"b", b"c"]),
        (b"c", b"\x00", [b"c", b"d", b"e"]),
        (b"d", b"b", []),
    ],
)
def test_delete(store: Store, key: bytes, end: bytes, gone: list[bytes]) -> None:
    request = pb.DeleteRangeRequest(key=key, range_end=end, prev_kv=True)
    response, events = operations.delete_range(store, request)
    assert response.deleted == len(gone)
    assert [kv.key for kv in response.prev_kvs] == gone
    assert [(event.type, event.kv.key) for event in events] == [(mvccpb.Event.DELETE, name) for name in gone]
    assert response.header.revision == store.current_revision == (9 if gone else 8)
    assert not store.range(key, end).count


# Txn.

E, G, L, N = pb.Compare.EQUAL, pb.Compare.GREATER, pb.Compare.LESS, pb.Compare.NOT_EQUAL
VERSION, CREATE, MOD, VALUE, LEASE = range(5)

COMPARES = [
    # key "b": created at 3, modified at 5, version 2, value "5", no lease
    (b"b", b"", VERSION, {"version": 2}, {E}),
    (b"b", b"", VERSION, {"version": 3}, {L, N}),
    (b"b", b"", CREATE, {"create_revision": 2}, {G, N}),
    (b"b", b"", MOD, {"mod_revision": 5}, {E}),
    (b"b", b"", VALUE, {"value": b"5"}, {E}),
    (b"b", b"", VALUE, {"value": b"51"}, {L, N}),
    (b"b", b"", LEASE, {"lease": 0}, {E}),
    (b"e", b"", LEASE, {"lease": 6}, {G, N}),
    # the field of another target counts as zero
    (b"b", b"", VERSION, {"mod_revision": 2}, {G, N}),
    (b"b", b"", VALUE, {"version": 5}, {G, N}),
    # nothing there: zero, but no value at all
    (b"x", b"", VERSION, {"version": 0}, {E}),
    (b"x", b"", MOD, {"mod_revision": 1}, {L, N}),
    (b"x", b"", LEASE, {"lease": 0}, {E}),
    (b"x", b"", VALUE, {"value": b""}, set()),
    # every key of a range must agree: versions 2, 2, 1, 1, 1
    (b"a", b"c", VERSION, {"version": 2}, {E}),
    (b"a", b"d", VERSION, {"version": 2}, set()),
    (b"a", b"\x00", VERSION, {"version": 0}, {G, N}),
    (b"a", b"\x00", MOD, {"mod_revision": 9}, {L, N}),
    (b"a", b"\x00", LEASE, {"lease": 8}, {L, N}),
    (b"c", b"e", VALUE, {"value": b"2"}, {E}),
    (b"x", b"z", VALUE, {"value": b""}, set()),
    (b"x", b"z", CREATE, {"create_revision": 0}, {E}),
]


@pytest.mark.parametrize(("key", "end", "target", "fields", "holds"), COMPARES)
def test_compares(
    store: Store, key: bytes, end: bytes, target: int, fields: dict[str, Any], holds: set[int]
) -> None:
    for result in (E, G, L, N):
        compare = pb.Compare(key=key, range_end=end, target=target, result=result, **fields)
        response, events = operations.txn(store, pb.TxnRequest(compare=[compare]), no_lease)
        assert response.succeeded == (result in holds)
        assert (response.header.revision, events) == (8, [])


def test_all_compares_must_hold(store: Store) -> None:
    good = pb.Compare(key=b"b", target=VERSION, version=2)
    bad = pb.Compare(key=b"b", target=VERSION, version=1)
    for compares, expected in (([good, good], True), ([good, bad], False), ([bad, good], False), ([], True)):
        response, _ = operations.txn(store, pb.TxnRequest(compare=compares), no_lease)
        assert response.succeeded == expected


def test_a_txn_sees_its_own_writes_and_is_one_revision(store: Store) -> None:
    request = pb.TxnRequest(
        success=[
            range_op(b"a"),
            put_op(b"a", b"new"),
            range_op(b"a"),
            delete_op(b"c", b"\x00"),
            range_op(b"\x00", range_end=b"\x00", count_only=True),
            range_op(b"a", revision=8),
        ]
    )
    response, events = operations.txn(store, request, no_lease)
    read, put, again, deleted, counted, past = response.responses
    assert (read.response_range.kvs[0].value, read.response_range.header.revision) == (b"4", 8)
    assert put.response_put.header.revision == 9
    assert (again.response_range.kvs[0].value, again.response_range.header.revision) == (b"new", 9)
    assert (deleted.response_delete_range.deleted, deleted.response_delete_range.header.revision) == (3, 9)
    assert counted.response_range.count == 2
    assert past.response_range.kvs[0].value == b"4"
    assert response.header.revision == store.current_revision == 9
    assert [event.kv.mod_revision for event in events] == [9] * 4


def test_nested_txns_compare_with_the_state_before(store: Store) -> None:
    unchanged = pb.Compare(key=b"a", target=VALUE, value=b"4")
    inner = pb.TxnRequest(compare=[unchanged], success=[put_op(b"yes")], failure=[put_op(b"no")])
    other = pb.TxnRequest(
        compare=[pb.Compare(key=b"a", target=VALUE, value=b"new")], failure=[range_op(b"a")]
    )
    request = pb.TxnRequest(
        success=[put_op(b"a", b"new"), Op(request_txn=inner), Op(request_txn=other)], failure=[put_op(b"b")]
    )
    response, _ = operations.txn(store, request, no_lease)
    first, second = (op.response_txn for op in response.responses[1:])
    assert (response.succeeded, first.succeeded, second.succeeded) == (True, True, False)
    assert (pair(store, b"yes"), pair(store, b"no")) == ((b"v", 0), None)
    assert second.responses[0].response_range.kvs[0].value == b"new"
    assert first.HasField("header")
    assert first.header.revision == 0
    assert response.header.revision == 9


@pytest.mark.parametrize(
    ("operation", "error"),
    [
        (range_op(b"a", revision=9), errors.FUTURE_REV),
        (range_op(b"a", revision=3), errors.COMPACTED),
        (range_op(b"a", revision=-1), errors.COMPACTED),
        (put_op(b"a", lease=5), errors.LEASE_NOT_FOUND),
    ],
)
@pytest.mark.parametrize("nested", [False, True])
def test_only_the_path_taken_is_checked(store: Store, operation: Op, error: RpcError, nested: bool) -> None:
    store.compact(4)
    before = store.hash()
    branch = [put_op(b"z"), txn_op([operation]) if nested else operation]
    assert refusal(operations.txn, store, pb.TxnRequest(success=branch), no_lease) == error
    assert (store.hash(), store.current_revision) == (before, 8)
    response, _ = operations.txn(store, pb.TxnRequest(failure=branch), no_lease)
    assert response.succeeded


def test_skipping_ranges_changes_the_answer_only(store: Store) -> None:
    request = pb.TxnRequest(success=[range_op(b"a"), put_op(b"a"), range_op(b"a")])
    response, events = operations.txn(store, request, no_lease, skip_ranges=True)
    ranges = [response.responses[place].response_range for place in (0, 2)]
    assert [(r.header.revision, len(r.kvs), r.count) for r in ranges] == [(8, 0, 0), (9, 0, 0)]
    assert len(events) == 1


def test_compact(store: Store) -> None:
    response, job = operations.compact(store, pb.CompactionRequest(revision=5))
    assert (response.header.revision, store.compact_revision, job.done) == (8, 5, False)
    for revision, error in ((5, errors.COMPACTED), (9, errors.FUTURE_REV)):
        request = pb.CompactionRequest(revision=revision)
        assert refusal(operations.compact, store, request) == error
