"""Authentication: users, roles, switching on and off, tokens."""

# ruff: noqa: S105, S106, S107 - the passwords of users that live as long as a case

from __future__ import annotations

from functools import partial
from typing import Any

from gauntlet.api import errors
from gauntlet.api.errors import Code, RpcError
from gauntlet.api.messages import authpb
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.harness.conformance.arena import PASSWORD, ROOT
from gauntlet.harness.conformance.case import case
from gauntlet.harness.conformance.expect import expect, expect_error, expect_that
from gauntlet.harness.conformance.talk import ALL, Talk

READ, WRITE, READWRITE = authpb.Permission.READ, authpb.Permission.WRITE, authpb.Permission.READWRITE
auth_case = partial(case, "auth", group="auth", flags=("--bcrypt-cost=4",))


async def user(t: Talk, name: str, password: str = "pw", via: str = "") -> None:
    await t.call(pb.AuthUserAddRequest(name=name, password=password), via=via)


async def role(t: Talk, name: str, kind: int | None = None, key: Any = "", end: Any = b"") -> None:
    """A role, with one permission if a kind is given."""
    await t.call(pb.AuthRoleAddRequest(name=name))
    if kind is not None:
        await t.call(pb.AuthRoleGrantPermissionRequest(name=name, perm=permission(t, kind, key, end)))


def permission(t: Talk, kind: int, key: Any = "", end: Any = b"") -> authpb.Permission:
    return authpb.Permission(permType=kind, key=t.k(key), range_end=t.k(end) if end else b"")


async def enable(t: Talk) -> None:
    """Root exists and authentication is on; the connection "/root" is root's, "" is nobody's."""
    await user(t, ROOT, PASSWORD)
    await t.call(pb.AuthRoleAddRequest(name="root"))
    await t.call(pb.AuthUserGrantRoleRequest(user=ROOT, role="root"))
    await t.call(pb.AuthEnableRequest())
    await t.login(ROOT, PASSWORD, "/root")


async def alice(t: Talk, kind: int = READWRITE, key: Any = "a", end: Any = "n") -> None:
    """User alice with one permission, authentication on, her connection is "/alice"."""
    await user(t, "alice")
    await role(t, "some", kind, key, end)
    await t.call(pb.AuthUserGrantRoleRequest(user="alice", role="some"))
    await enable(t)
    await t.login("alice", "pw", "/alice")


# ---- users and roles, authentication off ----


@auth_case()
async def users_are_added_and_listed(t: Talk) -> None:
    for name in ("b", "a"):
        await user(t, name)
    expect("users", list((await t.call(pb.AuthUserListRequest())).users), ["a", "b"])


@auth_case()
async def a_new_user_has_no_role(t: Talk) -> None:
    await user(t, "a")
    expect("roles", list((await t.call(pb.AuthUserGetRequest(name="a"))).roles), [])


@auth_case()
async def roles_of_a_user_are_sorted(t: Talk) -> None:
    await user(t, "a")
    for name in ("z", "b"):
        await role(t, name)
        await t.call(pb.AuthUserGrantRoleRequest(user="a", role=name))
    expect("roles", list((await t.call(pb.AuthUserGetRequest(name="a"))).roles), ["b", "z"])


@auth_case()
async def granting_a_role_twice_changes_nothing(t: Talk) -> None:
    await user(t, "a")
    await role(t, "r")
    for _ in range(2):
        await t.call(pb.AuthUserGrantRoleRequest(user="a", role="r"))
    expect("roles", list((await t.call(pb.AuthUserGetRequest(name="a"))).roles), ["r"])


@auth_case()
async def a_role_is_revoked_from_a_user(t: Talk) -> None:
    await user(t, "a")
    await role(t, "r")
    await t.call(pb.AuthUserGrantRoleRequest(user="a", role="r"))
    await t.call(pb.AuthUserRevokeRoleRequest(name="a", role="r"))
    expect("roles", list((await t.call(pb.AuthUserGetRequest(name="a"))).roles), [])


@auth_case()
async def roles_are_listed_sorted(t: Talk) -> None:
    for name in ("b", "a"):
        await role(t, name)
    expect("roles", list((await t.call(pb.AuthRoleListRequest())).roles), ["a", "b"])


@auth_case()
async def deleting_a_role_takes_it_from_users(t: Talk) -> None:
    await user(t, "a")
    await role(t, "r")
    await t.call(pb.AuthUserGrantRoleRequest(user="a", role="r"))
    await t.call(pb.AuthRoleDeleteRequest(role="r"))
    expect("roles", list((await t.call(pb.AuthUserGetRequest(name="a"))).roles), [])


@auth_case()
async def permissions_are_returned_sorted_by_key(t: Talk) -> None:
    await role(t, "r", READ, "b")
    await t.call(pb.AuthRoleGrantPermissionRequest(name="r", perm=permission(t, WRITE, "a", "c")))
    answer = await t.call(pb.AuthRoleGetRequest(role="r"))
    found = [(p.permType, p.key, p.range_end) for p in answer.perm]
    expect("permissions", found, [(WRITE, t.k("a"), t.k("c")), (READ, t.k("b"), b"")])


@auth_case()
async def granting_the_same_range_again_replaces_the_type(t: Talk) -> None:
    await role(t, "r", READ, "a", "c")
    await t.call(pb.AuthRoleGrantPermissionRequest(name="r", perm=permission(t, READWRITE, "a", "c")))
    answer = await t.call(pb.AuthRoleGetRequest(role="r"))
    expect("types", [p.permType for p in answer.perm], [READWRITE])


@auth_case()
async def a_permission_is_revoked(t: Talk) -> None:
    await role(t, "r", READ, "a", "c")
    await t.call(pb.AuthRoleRevokePermissionRequest(role="r", key=t.k("a"), range_end=t.k("c")))
    expect("permissions", len((await t.call(pb.AuthRoleGetRequest(role="r"))).perm), 0)


@auth_case(since="3.6")
async def the_root_role_has_every_permission_without_being_asked(t: Talk) -> None:
    await t.call(pb.AuthRoleAddRequest(name="root"))
    answer = await t.call(pb.AuthRoleGetRequest(role="root"))
    expect("permissions", [(p.permType, p.key, p.range_end) for p in answer.perm], [(READWRITE, b"", b"\0")])


@auth_case()
async def a_hash_from_outside_is_not_taken(t: Talk) -> None:
    """The member hashes the password itself; what the field hashedPassword brings along is overwritten."""
    hashed = "JDJhJDA0JG1VbnRBRGlRNlE5UkFnNk5UMVB4ZS5UTXhHUHF5d1E3WkdQZzBlN0dtVTQueVNodlM2c1d5"  # of "pw"
    await t.call(pb.AuthUserAddRequest(name="a", password="own", hashedPassword=hashed))
    await enable(t)
    await t.refused(pb.AuthenticateRequest(name="a", password="pw"), errors.AUTH_FAILED)
    await t.login("a", "own", "/a")


@auth_case()
async def a_user_without_password_cannot_log_in(t: Talk) -> None:
    options = authpb.UserAddOptions(no_password=True)
    await t.call(pb.AuthUserAddRequest(name="cn", options=options))
    await enable(t)
    error = RpcError(Code.UNKNOWN, "auth: authentication failed, password was given for no password user")
    await t.refused(pb.AuthenticateRequest(name="cn", password=""), error)


@auth_case()
async def changes_of_users_make_no_revision(t: Talk) -> None:
    before = await t.revision()
    await user(t, "a")
    await role(t, "r", READ, "a")
    expect("revision", await t.revision(), before)


@auth_case()
async def every_change_raises_the_auth_revision(t: Talk) -> None:
    first = (await t.call(pb.AuthStatusRequest())).authRevision
    await user(t, "a")
    await role(t, "r", READ, "a")
    expect("authRevision", (await t.call(pb.AuthStatusRequest())).authRevision, first + 3)


# ---- refusals, authentication off: a table ----


def refusal(title: str, request: Any, error: RpcError) -> None:
    """Given: user u with role r (READ on "a"), user v without role, and role s without permission."""

    async def body(t: Talk) -> None:
        await user(t, "u")
        await user(t, "v")
        await role(t, "r", READ, "a")
        await role(t, "s")
        await t.call(pb.AuthUserGrantRoleRequest(user="u", role="r"))
        await t.refused(request, error)

    body.__name__ = f"refuses_{title}"
    auth_case()(body)


refusal("a_user_without_name", pb.AuthUserAddRequest(password="p"), errors.USER_EMPTY)
refusal("a_user_that_exists", pb.AuthUserAddRequest(name="u", password="p"), errors.USER_ALREADY_EXIST)
refusal("to_get_an_unknown_user", pb.AuthUserGetRequest(name="x"), errors.USER_NOT_FOUND)
refusal("to_delete_an_unknown_user", pb.AuthUserDeleteRequest(name="x"), errors.USER_NOT_FOUND)
refusal(
    "the_password_of_an_unknown_user",
    pb.AuthUserChangePasswordRequest(name="x", password="p"),
    errors.USER_NOT_FOUND,
)
refusal("a_role_for_an_unknown_user", pb.AuthUserGrantRoleRequest(user="x", role="r"), errors.USER_NOT_FOUND)
refusal("an_unknown_role_for_a_user", pb.AuthUserGrantRoleRequest(user="u", role="x"), errors.ROLE_NOT_FOUND)
refusal(
    "to_revoke_from_an_unknown_user", pb.AuthUserRevokeRoleRequest(name="x", role="r"), errors.USER_NOT_FOUND
)
refusal(
    "to_revoke_what_is_not_granted", pb.AuthUserRevokeRoleRequest(name="u", role="s"), errors.ROLE_NOT_GRANTED
)
refusal("a_role_without_name", pb.AuthRoleAddRequest(), errors.ROLE_EMPTY)
refusal("a_role_that_exists", pb.AuthRoleAddRequest(name="r"), errors.ROLE_ALREADY_EXIST)
refusal("to_get_an_unknown_role", pb.AuthRoleGetRequest(role="x"), errors.ROLE_NOT_FOUND)
refusal("to_delete_an_unknown_role", pb.AuthRoleDeleteRequest(role="x"), errors.ROLE_NOT_FOUND)
refusal(
    "a_permission_for_an_unknown_role",
    pb.AuthRoleGrantPermissionRequest(name="x", perm=authpb.Permission(key=b"a")),
    errors.ROLE_NOT_FOUND,
)
refusal("a_missing_permission", pb.AuthRoleGrantPermissionRequest(name="r"), errors.PERMISSION_NOT_GIVEN)
refusal(
    "a_permission_over_an_empty_range",
    pb.AuthRoleGrantPermissionRequest(name="r", perm=authpb.Permission(key=b"b", range_end=b"a")),
    errors.INVALID_AUTH_MGMT,
)
refusal(
    "to_revoke_a_permission_of_an_unknown_role",
    pb.AuthRoleRevokePermissionRequest(role="x", key=b"a"),
    errors.ROLE_NOT_FOUND,
)
refusal(
    "to_revoke_a_permission_not_granted",
    pb.AuthRoleRevokePermissionRequest(role="r", key=b"zzz"),
    errors.PERMISSION_NOT_GRANTED,
)
refusal("to_enable_without_root_user", pb.AuthEnableRequest(), errors.ROOT_USER_NOT_EXIST)
refusal("to_authenticate_when_off", pb.AuthenticateRequest(name="u", password="pw"), errors.AUTH_NOT_ENABLED)


@auth_case()
async def refuses_to_enable_when_root_lacks_the_root_role(t: Talk) -> None:
    await user(t, ROOT, PASSWORD)
    await t.refused(pb.AuthEnableRequest(), errors.ROOT_ROLE_NOT_EXIST)


# ---- on and off ----


@auth_case()
async def status_off(t: Talk) -> None:
    answer = await t.call(pb.AuthStatusRequest())
    expect("enabled", answer.enabled, False)
    expect_that("authRevision", answer.authRevision > 0, "above 0", answer.authRevision)


@auth_case()
async def status_on(t: Talk) -> None:
    await enable(t)
    expect("enabled", (await t.call(pb.AuthStatusRequest(), via="/root")).enabled, True)


@auth_case(since="3.7")
async def status_needs_no_token(t: Talk) -> None:
    await enable(t)
    expect("enabled", (await t.call(pb.AuthStatusRequest())).enabled, True)


@auth_case()
async def enable_twice_changes_nothing(t: Talk) -> None:
    await enable(t)
    await t.call(pb.AuthEnableRequest(), via="/root")
    expect("enabled", (await t.call(pb.AuthStatusRequest(), via="/root")).enabled, True)


@auth_case()
async def disable_lets_everybody_in_again(t: Talk) -> None:
    await enable(t)
    await t.call(pb.AuthDisableRequest(), via="/root")
    await t.put("a", "1")
    expect("count", (await t.get("a")).count, 1)


@auth_case()
async def users_survive_disabling(t: Talk) -> None:
    await enable(t)
    await user(t, "a", via="/root")
    await t.call(pb.AuthDisableRequest(), via="/root")
    expect("users", list((await t.call(pb.AuthUserListRequest())).users), ["a", ROOT])


@auth_case()
async def root_may_not_be_deleted_while_on(t: Talk) -> None:
    await enable(t)
    await t.refused(pb.AuthUserDeleteRequest(name=ROOT), errors.INVALID_AUTH_MGMT, via="/root")
    await t.refused(pb.AuthRoleDeleteRequest(role="root"), errors.INVALID_AUTH_MGMT, via="/root")
    request = pb.AuthUserRevokeRoleRequest(name=ROOT, role="root")
    await t.refused(request, errors.INVALID_AUTH_MGMT, via="/root")


# ---- logging in ----


@auth_case()
async def a_wrong_password_is_refused(t: Talk) -> None:
    await enable(t)
    await t.refused(pb.AuthenticateRequest(name=ROOT, password="x"), errors.AUTH_FAILED)


@auth_case()
async def an_unknown_user_is_refused_with_the_same_words(t: Talk) -> None:
    await enable(t)
    await t.refused(pb.AuthenticateRequest(name="nobody", password="x"), errors.AUTH_FAILED)


@auth_case()
async def a_changed_password_counts_at_once(t: Talk) -> None:
    await alice(t)
    request = pb.AuthUserChangePasswordRequest(name="alice", password="new")
    await t.call(request, via="/root")
    await t.refused(pb.AuthenticateRequest(name="alice", password="pw"), errors.AUTH_FAILED)
    await t.login("alice", "new", "/alice")
    await t.put("a", via="/alice")


@auth_case()
async def a_token_that_was_never_given_is_refused(t: Talk) -> None:
    await enable(t)
    t.client("/x").token = "nonsense.1"
    await t.refused(t.range("a"), errors.INVALID_AUTH_TOKEN, via="/x")


@auth_case()
async def an_empty_token_is_refused(t: Talk) -> None:
    await enable(t)
    t.client("/x").token = ""
    await t.refused(t.range("a"), errors.INVALID_AUTH_TOKEN, via="/x")


@auth_case()
async def a_call_without_token_is_refused(t: Talk) -> None:
    await enable(t)
    await t.refused(t.range("a"), errors.USER_EMPTY)
    await t.refused(pb.PutRequest(key=t.k("a")), errors.USER_EMPTY)
    await t.refused(pb.DeleteRangeRequest(key=t.k("a")), errors.USER_EMPTY)


@auth_case()
async def a_token_is_void_once_its_user_is_deleted(t: Talk) -> None:
    await alice(t)
    await t.call(pb.AuthUserDeleteRequest(name="alice"), via="/root")
    await t.refused(t.range("a"), errors.INVALID_AUTH_TOKEN, via="/alice")


@auth_case()
async def a_token_is_void_once_its_password_changed(t: Talk) -> None:
    await alice(t)
    await t.call(pb.AuthUserChangePasswordRequest(name="alice", password="new"), via="/root")
    await t.refused(t.range("a"), errors.INVALID_AUTH_TOKEN, via="/alice")


@auth_case()
async def the_token_may_come_in_the_authorization_header(t: Talk) -> None:
    await alice(t)
    token = t.client("/alice").token or ""
    t.client("/x").metadata = (("authorization", token),)
    await t.get("a", via="/x")


# ---- permissions ----


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


# ---- watch, lease and the rest under authentication ----


@auth_case()
async def watch_needs_read_permission(t: Talk) -> None:
    await alice(t, WRITE)
    channel = await t.open("/etcdserverpb.Watch/Watch", via="/alice")
    await channel.send(pb.WatchRequest(create_request=t.watching("a")))
    answer = await channel.receive()
    expect("canceled", answer.canceled, True)
    expect("watch_id", answer.watch_id, -1)
    expect(
        "cancel_reason",
        answer.cancel_reason,
        "rpc error: code = PermissionDenied desc = etcdserver: permission denied",
    )


@auth_case()
async def watch_with_permission(t: Talk) -> None:
    await alice(t)
    watcher = await t.watch("a", via="/alice")
    await t.put("a", "1", via="/alice")
    expect("value", (await watcher.event()).kv.value, b"1")


@auth_case()
async def revoking_a_lease_needs_write_permission_for_its_keys(t: Talk) -> None:
    await alice(t)
    lease = await t.grant(via="/root")
    await t.put("z", lease=lease, via="/root")
    await t.refused(pb.LeaseRevokeRequest(ID=lease), errors.PERMISSION_DENIED, via="/alice")
    await t.call(pb.LeaseRevokeRequest(ID=lease), via="/root")


@auth_case()
async def putting_with_a_lease_needs_write_permission_for_all_its_keys(t: Talk) -> None:
    await alice(t)
    lease = await t.grant(via="/root")
    await t.put("z", lease=lease, via="/root")
    request = pb.PutRequest(key=t.k("a"), lease=lease)
    await t.refused(request, errors.PERMISSION_DENIED, via="/alice")


def admin(title: str, request: Any, since: str = "3.4") -> None:
    """Only root may; alice has every key."""

    async def body(t: Talk) -> None:
        await alice(t, READWRITE, b"\0", ALL)
        await t.refused(request, errors.PERMISSION_DENIED, via="/alice")

    body.__name__ = f"only_root_may_{title}"
    auth_case(since=since)(body)


admin("compact", pb.CompactionRequest(revision=1))
admin("defragment", pb.DefragmentRequest(), "3.6")
admin("hash", pb.HashRequest(), "3.6")
admin("hash_kv", pb.HashKVRequest(), "3.6")
admin("move_the_leader", pb.MoveLeaderRequest(targetID=1))
admin("downgrade", pb.DowngradeRequest(version="3.6.0"))
admin("raise_alarms", pb.AlarmRequest(action=pb.AlarmRequest.ACTIVATE, alarm=pb.NOSPACE))
admin("add_users", pb.AuthUserAddRequest(name="x", password="x"))
admin("add_roles", pb.AuthRoleAddRequest(name="x"))
admin("disable", pb.AuthDisableRequest())
admin("list_users", pb.AuthUserListRequest())
admin("list_roles", pb.AuthRoleListRequest())
admin("add_members", pb.MemberAddRequest(peerURLs=["http://127.0.0.1:1"]))


@auth_case(until="3.6")
async def only_root_may_do_maintenance_and_is_told_so_without_code(t: Talk) -> None:
    await alice(t, READWRITE, b"\0", ALL)
    error = RpcError(Code.UNKNOWN, "auth: permission denied")
    for request in (pb.DefragmentRequest(), pb.HashRequest(), pb.HashKVRequest()):
        await t.refused(request, error, via="/alice")


@auth_case(since="3.6")
async def only_root_may_take_snapshots(t: Talk) -> None:
    await alice(t, READWRITE, b"\0", ALL)
    channel = await t.open("/etcdserverpb.Maintenance/Snapshot", pb.SnapshotRequest(), via="/alice")
    expect("error", await channel.error(), errors.PERMISSION_DENIED)


@auth_case()
async def users_may_look_at_themselves(t: Talk) -> None:
    await alice(t)
    roles = (await t.call(pb.AuthUserGetRequest(name="alice"), via="/alice")).roles
    expect("roles", list(roles), ["some"])
    await t.call(pb.AuthRoleGetRequest(role="some"), via="/alice")
    await t.refused(pb.AuthUserGetRequest(name=ROOT), errors.PERMISSION_DENIED, via="/alice")
    await t.refused(pb.AuthRoleGetRequest(role="root"), errors.PERMISSION_DENIED, via="/alice")


@auth_case()
async def health_needs_no_token(t: Talk) -> None:
    await enable(t)
    expect("status", (await t.http("GET", "/health")).status, 200)


@auth_case()
async def the_gateway_takes_the_token_in_a_header(t: Talk) -> None:
    await alice(t)
    body = b'{"key":"YQ=="}'
    refused = await t.http("POST", "/v3/kv/range", body)
    expect("status without", refused.status, 400)
    headers = {"Authorization": t.client("/root").token or ""}
    expect("status with", (await t.http("POST", "/v3/kv/range", body, headers)).status, 200)
