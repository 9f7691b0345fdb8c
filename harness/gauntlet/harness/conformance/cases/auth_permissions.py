"""Authentication: what a user may do."""

from __future__ import annotations

from typing import Any

from gauntlet.api import errors
from gauntlet.api.errors import RpcError
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.harness.conformance.cases.auth_users import (
    READ,
    READWRITE,
    WRITE,
    alice,
    auth_case,
    enable,
    permission,
)
from gauntlet.harness.conformance.expect import expect_error, expect_that
from gauntlet.harness.conformance.talk import ALL, Talk


@auth_case()
async def read_permission_reads_and_does_not_write(t: Talk) -> None:
    await alice(t, READ)
    await t.get("a", via="/alice")
    await t.refused(pb.PutRequest(key=t.k("a")), errors.PERMISSION_DENIED, via="/alice")
    await t.refused(pb.DeleteRangeRequest(key=t.k("a")), errors.PERMISSION_DENIED, via="/alice")


@auth_case()
async def write_permission_writes_and_does_not_read(t: Talk) -> None:
    await alice(t, WRITE)
    await t.put("a", via="/alice")
    await t.delete("a", via="/alice")
    await t.refused(t.range("a"), errors.PERMISSION_DENIED, via="/alice")


@auth_case()
async def a_permission_ends_where_its_range_ends(t: Talk) -> None:
    await alice(t)
    await t.put("m", via="/alice")
    await t.refused(pb.PutRequest(key=t.k("n")), errors.PERMISSION_DENIED, via="/alice")


@auth_case()
async def a_range_must_lie_within_the_permission(t: Talk) -> None:
    await alice(t)
    await t.get("a", "n", via="/alice")
    await t.refused(t.range("a", "o"), errors.PERMISSION_DENIED, via="/alice")
    request = pb.DeleteRangeRequest(key=t.k("a"), range_end=t.k("o"))
    await t.refused(request, errors.PERMISSION_DENIED, via="/alice")
    await t.refused(t.range("a", ALL), errors.PERMISSION_DENIED, via="/alice")


@auth_case()
async def a_permission_for_a_key_is_none_for_a_range(t: Talk) -> None:
    await alice(t, READ, "a", b"")
    await t.get("a", via="/alice")
    await t.refused(t.range("a", "b"), errors.PERMISSION_DENIED, via="/alice")


@auth_case()
async def adjoining_permissions_make_one_range(t: Talk) -> None:
    await alice(t, READ, "a", "c")
    grant = pb.AuthRoleGrantPermissionRequest(name="some", perm=permission(t, READ, "c", "f"))
    await t.call(grant, via="/root")
    await t.get("a", "f", via="/alice")


@auth_case()
async def a_permission_from_a_key_on(t: Talk) -> None:
    await alice(t, READ, "b", ALL)
    await t.get("b", ALL, via="/alice")
    await t.get("zz", via="/alice")
    await t.refused(t.range("a"), errors.PERMISSION_DENIED, via="/alice")


@auth_case()
async def a_permission_for_everything(t: Talk) -> None:
    await alice(t, READWRITE, b"\0", ALL)
    await t.put("zz", via="/alice")
    await t.get(b"\0", ALL, via="/alice", count_only=True)


@auth_case()
async def prev_kv_needs_read_permission(t: Talk) -> None:
    await alice(t, WRITE)
    request = pb.PutRequest(key=t.k("a"), prev_kv=True)
    await t.refused(request, errors.PERMISSION_DENIED, via="/alice")
    delete = pb.DeleteRangeRequest(key=t.k("a"), prev_kv=True)
    await t.refused(delete, errors.PERMISSION_DENIED, via="/alice")


@auth_case()
async def a_new_permission_counts_at_once(t: Talk) -> None:
    await alice(t)
    await t.refused(t.range("x"), errors.PERMISSION_DENIED, via="/alice")
    grant = pb.AuthRoleGrantPermissionRequest(name="some", perm=permission(t, READ, "x"))
    await t.call(grant, via="/root")
    await t.get("x", via="/alice")


@auth_case()
async def a_revoked_role_counts_at_once(t: Talk) -> None:
    await alice(t)
    await t.call(pb.AuthUserRevokeRoleRequest(name="alice", role="some"), via="/root")
    await t.refused(t.range("a"), errors.PERMISSION_DENIED, via="/alice")


@auth_case()
async def root_may_do_everything(t: Talk) -> None:
    await enable(t)
    await t.put("zz", via="/root")
    await t.get(b"\0", ALL, via="/root", count_only=True)


def txn_denied(title: str, build: Any, allowed: bool = False) -> None:
    """alice may write everything from a to n and read nothing."""

    async def body(t: Talk) -> None:
        await alice(t, WRITE)
        got = await t.outcome(build(t), via="/alice")
        if allowed:
            expect_that("answer", not isinstance(got, RpcError), "no error", got)
        else:
            expect_error("TxnRequest", got, errors.PERMISSION_DENIED)

    body.__name__ = f"txn_{title}"
    auth_case()(body)


txn_denied("put_allowed", lambda t: pb.TxnRequest(success=[t.op_put("a")]), allowed=True)
txn_denied("range_denied", lambda t: pb.TxnRequest(success=[t.op_get("a")]))
txn_denied("put_denied", lambda t: pb.TxnRequest(success=[t.op_put("z")]))
txn_denied("delete_denied", lambda t: pb.TxnRequest(success=[t.op_delete("z")]))
txn_denied("branch_not_taken_denied", lambda t: pb.TxnRequest(failure=[t.op_put("z")]))
txn_denied("comparison_denied", lambda t: pb.TxnRequest(compare=[pb.Compare(key=t.k("a"))]))
txn_denied("nested_put_denied", lambda t: pb.TxnRequest(success=[t.op_txn(then=[t.op_put("z")])]))
txn_denied(
    "nested_put_allowed", lambda t: pb.TxnRequest(success=[t.op_txn(then=[t.op_put("a")])]), allowed=True
)
txn_denied(
    "nested_comparison_denied",
    lambda t: pb.TxnRequest(success=[t.op_txn([pb.Compare(key=t.k("a"))])]),
)
txn_denied("prev_kv_denied", lambda t: pb.TxnRequest(success=[t.op_put("a", prev_kv=True)]))
