"""Authentication: users and roles, and what is refused."""

# ruff: noqa: S106, S107 - the passwords of users that live as long as a case

from __future__ import annotations

from functools import partial
from typing import Any

from gauntlet.api import errors
from gauntlet.api.errors import Code, RpcError
from gauntlet.api.messages import authpb
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.harness.conformance.arena import PASSWORD, ROOT
from gauntlet.harness.conformance.case import case
from gauntlet.harness.conformance.expect import expect
from gauntlet.harness.conformance.talk import Talk

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


@auth_case(since="3.5")
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
