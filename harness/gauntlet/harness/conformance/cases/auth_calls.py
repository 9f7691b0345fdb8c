"""Authentication: watch, lease, maintenance and the rest under it."""

# ruff: noqa: S106 - the passwords of users that live as long as a case

from __future__ import annotations

from typing import Any

from gauntlet.api import errors
from gauntlet.api.errors import Code, RpcError
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.harness.conformance.arena import ROOT
from gauntlet.harness.conformance.cases.auth_users import (
    READWRITE,
    WRITE,
    alice,
    auth_case,
    enable,
)
from gauntlet.harness.conformance.expect import expect
from gauntlet.harness.conformance.talk import ALL, Talk


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
admin("downgrade", pb.DowngradeRequest(version="3.6.0"), "3.5")
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
