"""Authentication: on and off, logging in, tokens."""

# ruff: noqa: S105, S106 - the passwords of users that live as long as a case

from __future__ import annotations

from gauntlet.api import errors
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.harness.conformance.arena import ROOT
from gauntlet.harness.conformance.cases.auth_users import (
    alice,
    auth_case,
    enable,
    user,
)
from gauntlet.harness.conformance.expect import expect, expect_that
from gauntlet.harness.conformance.talk import Talk

# ---- on and off ----


@auth_case(since="3.5")
async def status_off(t: Talk) -> None:
    answer = await t.call(pb.AuthStatusRequest())
    expect("enabled", answer.enabled, False)
    expect_that("authRevision", answer.authRevision > 0, "above 0", answer.authRevision)


@auth_case(since="3.5")
async def status_on(t: Talk) -> None:
    await enable(t)
    expect("enabled", (await t.call(pb.AuthStatusRequest(), via="/root")).enabled, True)


@auth_case(since="3.7")
async def status_needs_no_token(t: Talk) -> None:
    await enable(t)
    expect("enabled", (await t.call(pb.AuthStatusRequest())).enabled, True)


@auth_case(since="3.5")
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
