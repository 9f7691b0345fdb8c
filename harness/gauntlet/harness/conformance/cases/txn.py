"""Transactions: comparisons, branches, nesting, what may not stand together."""

from __future__ import annotations

from typing import Any

from gauntlet.api import errors
from gauntlet.api.errors import RpcError
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.harness.conformance.case import case
from gauntlet.harness.conformance.expect import expect, expect_values
from gauntlet.harness.conformance.talk import ALL, Talk

EQUAL, GREATER, LESS, NOT_EQUAL = (
    pb.Compare.EQUAL,
    pb.Compare.GREATER,
    pb.Compare.LESS,
    pb.Compare.NOT_EQUAL,
)
VERSION, CREATE, MOD, VALUE, LEASE = (
    pb.Compare.VERSION,
    pb.Compare.CREATE,
    pb.Compare.MOD,
    pb.Compare.VALUE,
    pb.Compare.LEASE,
)


# ---- comparisons: one row each: name, what is compared, how, with what, and does it hold ----
# The key k has version 2, value b"m"; "first" and "second" stand for the revisions of its two puts, "lease"
# for its lease.

ROWS: list[tuple[str, int, int, str | int | bytes, bool]] = [
    ("version_equal", VERSION, EQUAL, 2, True),
    ("version_equal_not", VERSION, EQUAL, 1, False),
    ("version_greater", VERSION, GREATER, 1, True),
    ("version_greater_not", VERSION, GREATER, 2, False),
    ("version_less", VERSION, LESS, 3, True),
    ("version_less_not", VERSION, LESS, 2, False),
    ("version_not_equal", VERSION, NOT_EQUAL, 1, True),
    ("version_not_equal_not", VERSION, NOT_EQUAL, 2, False),
    ("create_equal", CREATE, EQUAL, "first", True),
    ("create_equal_not", CREATE, EQUAL, "second", False),
    ("create_greater_not", CREATE, GREATER, "first", False),
    ("create_less", CREATE, LESS, "second", True),
    ("create_not_equal", CREATE, NOT_EQUAL, "second", True),
    ("mod_equal", MOD, EQUAL, "second", True),
    ("mod_equal_not", MOD, EQUAL, "first", False),
    ("mod_greater", MOD, GREATER, "first", True),
    ("mod_less_not", MOD, LESS, "second", False),
    ("mod_not_equal", MOD, NOT_EQUAL, "first", True),
    ("value_equal", VALUE, EQUAL, b"m", True),
    ("value_equal_not", VALUE, EQUAL, b"mm", False),
    ("value_greater", VALUE, GREATER, b"l", True),
    ("value_greater_than_its_prefix", VALUE, GREATER, b"", True),
    ("value_less", VALUE, LESS, b"m\x00", True),
    ("value_less_by_unsigned_bytes", VALUE, LESS, b"\xff", True),
    ("value_not_equal", VALUE, NOT_EQUAL, b"n", True),
    ("lease_equal", LEASE, EQUAL, "lease", True),
    ("lease_equal_not", LEASE, EQUAL, 0, False),
    ("lease_greater", LEASE, GREATER, 0, True),
    ("lease_less_not", LEASE, LESS, "lease", False),
    ("lease_not_equal", LEASE, NOT_EQUAL, 0, True),
]

_FIELDS = {VERSION: "version", CREATE: "create_revision", MOD: "mod_revision", VALUE: "value", LEASE: "lease"}


def comparison(title: str, target: int, result: int, operand: str | int | bytes, holds: bool) -> None:
    async def body(t: Talk) -> None:
        lease = await t.grant()
        first = (await t.put("k", "l")).header.revision
        second = (await t.put("k", "m", lease=lease)).header.revision
        meant = {"first": first, "second": second, "lease": lease}
        value = meant[operand] if isinstance(operand, str) else operand
        operands: dict[str, Any] = {_FIELDS[target]: value}
        compare = pb.Compare(key=t.k("k"), target=target, result=result, **operands)
        expect("succeeded", (await t.txn([compare])).succeeded, holds)

    body.__name__ = f"compare_{title}"
    case("txn")(body)


for _row in ROWS:
    comparison(*_row)


def absent(title: str, holds: bool, **fields: Any) -> None:
    """A comparison with a key that is not there: it has version, revisions and lease 0 and no value."""

    async def body(t: Talk) -> None:
        expect("succeeded", (await t.txn([pb.Compare(key=t.k("k"), **fields)])).succeeded, holds)

    body.__name__ = f"compare_absent_{title}"
    case("txn")(body)


absent("version_is_0", True, target=VERSION, version=0)
absent("version_is_not_1", False, target=VERSION, version=1)
absent("create_revision_is_0", True, target=CREATE, create_revision=0)
absent("mod_revision_is_0", True, target=MOD, mod_revision=0)
absent("lease_is_0", True, target=LEASE, lease=0)
absent("version_is_less_than_1", True, target=VERSION, result=LESS, version=1)
absent("value_equals_nothing", False, target=VALUE, value=b"")
absent("value_does_not_even_differ", False, target=VALUE, result=NOT_EQUAL, value=b"x")
absent("without_operand_compares_with_0", True, target=VERSION)


@case("txn")
async def compare_over_a_range_holds_if_all_keys_do(t: Talk) -> None:
    for name in "abc":
        await t.put(name, "1")
    compare = pb.Compare(key=t.k("a"), range_end=t.k("d"), target=VALUE, value=b"1")
    expect("all equal", (await t.txn([compare])).succeeded, True)
    await t.put("b", "2")
    expect("one different", (await t.txn([compare])).succeeded, False)


@case("txn")
async def compare_over_an_empty_range_compares_with_nothing(t: Talk) -> None:
    compare = pb.Compare(key=t.k("a"), range_end=t.k("d"), target=VERSION, version=0)
    expect("version 0", (await t.txn([compare])).succeeded, True)
    compare = pb.Compare(key=t.k("a"), range_end=t.k("d"), target=VERSION, result=GREATER, version=0)
    expect("version above 0", (await t.txn([compare])).succeeded, False)


@case("txn", group="alone")
async def compare_from_key(t: Talk) -> None:
    await t.put(b"a", "1")
    await t.put(b"b", "1")
    compare = pb.Compare(key=b"a", range_end=ALL, target=VALUE, value=b"1")
    expect("succeeded", (await t.txn([compare])).succeeded, True)


@case("txn")
async def all_comparisons_must_hold(t: Talk) -> None:
    await t.put("a")
    yes = pb.Compare(key=t.k("a"), target=VERSION, version=1)
    no = pb.Compare(key=t.k("a"), target=VERSION, version=2)
    expect("both true", (await t.txn([yes, yes])).succeeded, True)
    expect("one false", (await t.txn([yes, no])).succeeded, False)


# ---- branches ----


@case("txn")
async def an_empty_txn_succeeds_and_changes_nothing(t: Talk) -> None:
    before = await t.revision()
    answer = await t.txn()
    expect("succeeded", answer.succeeded, True)
    expect("responses", len(answer.responses), 0)
    expect("revision", answer.header.revision, before)


@case("txn")
async def the_branch_follows_the_comparison(t: Talk) -> None:
    exists = pb.Compare(key=t.k("a"), target=VERSION, result=GREATER, version=0)
    for succeeded, value in ((False, b"no"), (True, b"yes")):
        answer = await t.txn([exists], [t.op_put("a", b"yes")], [t.op_put("a", b"no")])
        expect("succeeded", answer.succeeded, succeeded)
        expect_values(await t.get("a"), value)


@case("txn")
async def responses_stand_in_the_order_of_the_operations(t: Talk) -> None:
    await t.put("old", "x")
    answer = await t.txn(then=[t.op_put("a", b"1"), t.op_get("a"), t.op_delete("old"), t.op_txn()])
    kinds = [response.WhichOneof("response") for response in answer.responses]
    expected = ["response_put", "response_range", "response_delete_range", "response_txn"]
    expect("kinds", kinds, expected)


@case("txn")
async def a_txn_is_one_revision(t: Talk) -> None:
    before = await t.revision()
    answer = await t.txn(then=[t.op_put("a"), t.op_put("b"), t.op_delete("zzz")])
    expect("revision", answer.header.revision, before + 1)
    pairs = (await t.call(t.all())).kvs
    expect("mod_revisions", [kv.mod_revision for kv in pairs], [before + 1, before + 1])


@case("txn")
async def a_txn_that_only_reads_makes_no_revision(t: Talk) -> None:
    before = await t.revision()
    answer = await t.txn(then=[t.op_get("a"), t.op_delete("a")])
    expect("revision", answer.header.revision, before)


@case("txn")
async def later_operations_see_earlier_ones(t: Talk) -> None:
    answer = await t.txn(then=[t.op_get("a"), t.op_put("a", b"1"), t.op_get("a"), t.op_delete("b")])
    expect("count before", answer.responses[0].response_range.count, 0)
    expect_values(answer.responses[2].response_range, b"1")


@case("txn")
async def comparisons_see_the_state_before(t: Talk) -> None:
    await t.put("a", "1")
    compare = pb.Compare(key=t.k("a"), target=VALUE, value=b"2")
    expect("succeeded", (await t.txn([compare], [], [t.op_put("a", b"2")])).succeeded, False)
    expect("succeeded after it", (await t.txn([compare])).succeeded, True)


@case("txn")
async def headers_inside_carry_only_the_revision(t: Talk) -> None:
    answer = await t.txn(then=[t.op_put("a"), t.op_get("a")])
    inner = answer.responses[0].response_put.header
    expect("inner revision", inner.revision, answer.header.revision)
    expect("inner cluster_id", inner.cluster_id, 0)
    expect("inner member_id", inner.member_id, 0)
    expect("range's revision", answer.responses[1].response_range.header.revision, answer.header.revision)


@case("txn")
async def put_with_prev_kv_inside(t: Talk) -> None:
    await t.put("a", "1")
    answer = await t.txn(then=[t.op_put("a", b"2", prev_kv=True)])
    expect("prev_kv", answer.responses[0].response_put.prev_kv.value, b"1")


@case("txn")
async def delete_with_prev_kv_inside(t: Talk) -> None:
    await t.put("a", "1")
    answer = await t.txn(then=[t.op_delete("a", prev_kv=True)])
    deleted = answer.responses[0].response_delete_range
    expect("deleted", deleted.deleted, 1)
    expect("prev_kvs", [kv.value for kv in deleted.prev_kvs], [b"1"])


@case("txn")
async def range_at_an_old_revision_inside(t: Talk) -> None:
    revision = (await t.put("a", "1")).header.revision
    await t.put("a", "2")
    answer = await t.txn(then=[t.op_get("a", revision=revision), t.op_put("b")])
    expect_values(answer.responses[0].response_range, b"1")


@case("txn")
async def reading_txn_may_be_serializable(t: Talk) -> None:
    await t.put("a", "1")
    answer = await t.txn(then=[t.op_get("a", serializable=True)])
    expect_values(answer.responses[0].response_range, b"1")


@case("txn")
async def nested_txn_takes_its_own_branch(t: Talk) -> None:
    no = pb.Compare(key=t.k("a"), target=VERSION, version=7)
    answer = await t.txn(then=[t.op_txn([no], [t.op_put("a", b"1")], [t.op_put("b", b"2")])])
    expect("outer succeeded", answer.succeeded, True)
    expect("inner succeeded", answer.responses[0].response_txn.succeeded, False)
    expect("b", (await t.get("b")).count, 1)
    expect("a", (await t.get("a")).count, 0)


@case("txn")
async def nested_comparisons_see_the_state_before_the_whole_txn(t: Talk) -> None:
    exists = pb.Compare(key=t.k("a"), target=VERSION, version=1)
    answer = await t.txn(then=[t.op_put("a"), t.op_txn([exists], [], [])])
    expect("inner succeeded", answer.responses[1].response_txn.succeeded, False)


@case("txn")
async def txns_nest_several_levels(t: Talk) -> None:
    operation = t.op_put("a", b"deep")
    for _ in range(5):
        operation = t.op_txn(then=[operation])
    await t.txn(then=[operation])
    expect_values(await t.get("a"), b"deep")


@case("txn")
async def a_lease_may_be_attached_inside(t: Talk) -> None:
    lease = await t.grant()
    await t.txn(then=[t.op_put("a", lease=lease)])
    expect("lease", (await t.get("a")).kvs[0].lease, lease)


@case("txn")
async def the_same_key_may_be_put_in_both_branches(t: Talk) -> None:
    expect("succeeded", (await t.txn([], [t.op_put("a")], [t.op_put("a")])).succeeded, True)


@case("txn")
async def the_same_key_may_be_put_in_both_branches_of_a_nested_txn(t: Talk) -> None:
    answer = await t.txn(then=[t.op_txn([], [t.op_put("a")], [t.op_put("a")])])
    expect("succeeded", answer.succeeded, True)


@case("txn")
async def the_same_key_may_be_deleted_twice(t: Talk) -> None:
    await t.put("a")
    answer = await t.txn(then=[t.op_delete("a"), t.op_delete("a")])
    deleted = [response.response_delete_range.deleted for response in answer.responses]
    expect("deleted", deleted, [1, 0])


@case("txn")
async def many_operations_up_to_the_limit(t: Talk) -> None:
    answer = await t.txn(then=[t.op_put(f"{number}") for number in range(128)])
    expect("responses", len(answer.responses), 128)


@case("txn", fresh=True)
async def a_put_behind_a_delete_from_key_is_not_noticed(t: Talk) -> None:
    """Upstream looks for overlaps with the interval from the key to the zero byte, which is empty."""
    await t.put(b"b", "old")
    answer = await t.txn(then=[t.op_delete(b"a", ALL), t.op_put(b"b", b"new")])
    expect("deleted", answer.responses[0].response_delete_range.deleted, 1)
    expect_values(await t.get(b"b"), b"new")


# ---- refusals ----


def refusal(title: str, error: RpcError, make: str) -> None:
    async def body(t: Talk) -> None:
        await t.put("k", "1")
        before = await t.revision()
        await t.refused(_bad(t, make), error)
        expect("revision after the refusal", await t.revision(), before)

    body.__name__ = title
    case("txn")(body)


def _bad(t: Talk, what: str) -> pb.TxnRequest:
    a, b = t.op_put("a"), t.op_put("b")
    requests = {
        "put twice": pb.TxnRequest(success=[a, a]),
        "put twice, else": pb.TxnRequest(failure=[a, a]),
        "put and delete": pb.TxnRequest(success=[a, t.op_delete("a")]),
        "delete and put": pb.TxnRequest(success=[t.op_delete("a"), a]),
        "put in deleted range": pb.TxnRequest(success=[t.op_delete("a", "c"), b]),
        "nested put twice": pb.TxnRequest(success=[a, t.op_txn(then=[a])]),
        "nested put, outer delete": pb.TxnRequest(success=[t.op_delete("a"), t.op_txn(then=[a])]),
        "nested delete, outer put": pb.TxnRequest(success=[a, t.op_txn(then=[t.op_delete("a")])]),
        "two nested puts": pb.TxnRequest(success=[t.op_txn(then=[a]), t.op_txn(then=[a])]),
        "two nested, one else": pb.TxnRequest(success=[t.op_txn(then=[a]), t.op_txn(otherwise=[a])]),
        "too many": pb.TxnRequest(success=[t.op_put(f"{n}") for n in range(129)]),
        "too many else": pb.TxnRequest(failure=[t.op_get("a") for _ in range(129)]),
        "too many compares": pb.TxnRequest(compare=[pb.Compare(key=b"a") for _ in range(129)]),
        "too many nested": pb.TxnRequest(
            success=[t.op_put("x"), t.op_txn(then=[t.op_put(f"{n}") for n in range(128)])]
        ),
        "empty op": pb.TxnRequest(success=[pb.RequestOp()]),
        "empty compare key": pb.TxnRequest(compare=[pb.Compare()]),
        "empty put key": pb.TxnRequest(success=[t.op_put(b"")]),
        "empty range key": pb.TxnRequest(success=[t.op_get(b"")]),
        "empty delete key": pb.TxnRequest(success=[t.op_delete(b"")]),
        "empty key, else": pb.TxnRequest(failure=[t.op_put(b"")]),
        "empty nested key": pb.TxnRequest(success=[t.op_txn(then=[t.op_put(b"")])]),
        "value given": pb.TxnRequest(success=[t.op_put("k", b"1", ignore_value=True)]),
        "lease given": pb.TxnRequest(success=[t.op_put("k", lease=5, ignore_lease=True)]),
        "no lease": pb.TxnRequest(success=[t.op_put("a", lease=t.new_lease())]),
        "no key to keep": pb.TxnRequest(success=[t.op_put("none", ignore_value=True)]),
        "future": pb.TxnRequest(success=[t.op_get("k", revision=2**62)]),
        "put then future": pb.TxnRequest(success=[a, t.op_get("k", revision=2**62)]),
    }
    return requests[what]


refusal("refuses_to_put_a_key_twice", errors.DUPLICATE_KEY, "put twice")
refusal("refuses_to_put_a_key_twice_in_the_else_branch", errors.DUPLICATE_KEY, "put twice, else")
refusal("refuses_to_put_and_delete_a_key", errors.DUPLICATE_KEY, "put and delete")
refusal("refuses_to_delete_and_put_a_key", errors.DUPLICATE_KEY, "delete and put")
refusal("refuses_to_put_into_a_deleted_range", errors.DUPLICATE_KEY, "put in deleted range")
refusal("refuses_to_put_a_key_again_in_a_nested_txn", errors.DUPLICATE_KEY, "nested put twice")
refusal("refuses_a_nested_put_of_a_deleted_key", errors.DUPLICATE_KEY, "nested put, outer delete")
refusal("refuses_a_nested_delete_of_a_put_key", errors.DUPLICATE_KEY, "nested delete, outer put")
refusal("refuses_two_nested_txns_that_put_a_key", errors.DUPLICATE_KEY, "two nested puts")
refusal("refuses_overlap_of_different_branches_of_two_nested", errors.DUPLICATE_KEY, "two nested, one else")
refusal("refuses_129_operations", errors.TOO_MANY_OPS, "too many")
refusal("refuses_129_operations_in_the_else_branch", errors.TOO_MANY_OPS, "too many else")
refusal("refuses_129_comparisons", errors.TOO_MANY_OPS, "too many compares")
refusal("counts_nested_operations_against_the_limit", errors.TOO_MANY_OPS, "too many nested")
refusal("refuses_an_operation_without_content", errors.KEY_NOT_FOUND, "empty op")
refusal("refuses_a_comparison_without_key", errors.EMPTY_KEY, "empty compare key")
refusal("refuses_a_put_without_key", errors.EMPTY_KEY, "empty put key")
refusal("refuses_a_range_without_key", errors.EMPTY_KEY, "empty range key")
refusal("refuses_a_delete_without_key", errors.EMPTY_KEY, "empty delete key")
refusal("checks_the_branch_not_taken", errors.EMPTY_KEY, "empty key, else")
refusal("checks_nested_txns", errors.EMPTY_KEY, "empty nested key")
refusal("refuses_a_value_to_be_ignored", errors.VALUE_PROVIDED, "value given")
refusal("refuses_a_lease_to_be_ignored", errors.LEASE_PROVIDED, "lease given")
refusal("refuses_an_unknown_lease", errors.LEASE_NOT_FOUND, "no lease")
refusal("refuses_to_keep_the_value_of_an_absent_key", errors.KEY_NOT_FOUND, "no key to keep")
refusal("refuses_to_read_the_future", errors.FUTURE_REV, "future")
refusal("does_not_put_when_a_later_read_is_refused", errors.FUTURE_REV, "put then future")
