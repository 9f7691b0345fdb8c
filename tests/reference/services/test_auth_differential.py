"""The same calls to our node and to etcd 3.7.1, with authentication on and off: the same answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from gauntlet.api.messages import authpb
from gauntlet.api.messages import etcdserverpb as pb

pytestmark = [pytest.mark.upstream, pytest.mark.slow]
Same = Callable[..., None]

AUTH = "etcdserverpb.Auth/"
READ, WRITE, BOTH = authpb.Permission.READ, authpb.Permission.WRITE, authpb.Permission.READWRITE


class Notes:
    """Makes calls and keeps what came back."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.taken: list[Any] = []

    def __call__(self, path: str, request: Any, token: str | None = None, **more: Any) -> tuple[str, Any]:
        answer: tuple[str, Any] = self.client(path, request, token, **more)
        self.taken.append((path, str(request), answer))
        return answer

    def auth(self, name: str, request: Any, token: str | None = None) -> tuple[str, Any]:
        return self(AUTH + name, request, token)

    def add_user(self, name: str, password: str = "", token: str | None = None, **options: bool) -> None:
        request = pb.AuthUserAddRequest(name=name, password=password)
        if options:
            request.options.CopyFrom(authpb.UserAddOptions(**options))
        answer = self.client(AUTH + "UserAdd", request, token)
        self.taken.append(("UserAdd", name, options, answer))

    def grant(self, role: str, kind: int, key: bytes, end: bytes = b"", token: str | None = None) -> None:
        permission = authpb.Permission(permType=kind, key=key, range_end=end)
        self.auth("RoleGrantPermission", pb.AuthRoleGrantPermissionRequest(name=role, perm=permission), token)


def prepare(note: Notes) -> str:
    """Root and two users with roles of their own; authentication on. Gives root's token."""
    note.add_user("root", "secret")
    note.auth("UserGrantRole", pb.AuthUserGrantRoleRequest(user="root", role="root"))
    for user, role in (("alice", "a"), ("bob", "b")):
        note.add_user(user, "pw-" + user)
        note.auth("RoleAdd", pb.AuthRoleAddRequest(name=role))
        note.auth("UserGrantRole", pb.AuthUserGrantRoleRequest(user=user, role=role))
    note.grant("a", BOTH, b"a/", b"a0")
    note.grant("a", READ, b"shared")
    note.grant("b", WRITE, b"a/x")
    note.grant("b", READ, b"b", b"c")
    note.grant("b", READ, b"c", b"e")
    note.grant("b", BOTH, b"z", b"\x00")
    note.auth("AuthEnable", pb.AuthEnableRequest())
    return str(note.client.token("root", "secret"))


def test_users_and_roles(same: Same) -> None:
    def script(client: Any) -> list[Any]:
        note = Notes(client)
        note.auth("AuthStatus", pb.AuthStatusRequest())
        note.auth("AuthEnable", pb.AuthEnableRequest())
        note.auth("Authenticate", pb.AuthenticateRequest(name="root", password="x"))
        note.auth("AuthDisable", pb.AuthDisableRequest())
        note.add_user("")
        note.add_user("root", "secret")
        note.add_user("root", "secret")
        note.add_user("long", "x" * 73)
        note.add_user("nobody", "", no_password=True)
        note.add_user("empty", "")
        note.auth("AuthEnable", pb.AuthEnableRequest())
        note.auth("RoleAdd", pb.AuthRoleAddRequest(name=""))
        note.auth("RoleAdd", pb.AuthRoleAddRequest(name="r"))
        note.auth("RoleAdd", pb.AuthRoleAddRequest(name="r"))
        note.auth("RoleGet", pb.AuthRoleGetRequest(role="none"))
        note.auth("RoleGrantPermission", pb.AuthRoleGrantPermissionRequest(name="r"))
        note.grant("none", READ, b"k")
        note.grant("r", READ, b"")
        note.grant("r", READ, b"k", b"a")
        note.grant("r", READ, b"k", b"k")
        note.grant("r", READ, b"k", b"z")
        note.grant("r", WRITE, b"k")
        note.grant("r", BOTH, b"k", b"\x00")
        note.grant("r", BOTH, b"k", b"z")
        note.grant("r", 7, b"a")
        note.auth("RoleGet", pb.AuthRoleGetRequest(role="r"))
        revoke = pb.AuthRoleRevokePermissionRequest
        note.auth("RoleRevokePermission", revoke(role="none", key=b"k"))
        note.auth("RoleRevokePermission", revoke(role="r", key=b"q"))
        note.auth("RoleRevokePermission", revoke(role="r", key=b"k", range_end=b"z"))
        note.auth("RoleGet", pb.AuthRoleGetRequest(role="r"))
        grant = pb.AuthUserGrantRoleRequest
        note.auth("UserGrantRole", grant(user="none", role="r"))
        note.auth("UserGrantRole", grant(user="root", role="none"))
        note.auth("UserGrantRole", grant(user="root", role="r"))
        note.auth("UserGrantRole", grant(user="root", role="r"))
        note.auth("UserGrantRole", grant(user="root", role="root"))
        note.auth("UserGet", pb.AuthUserGetRequest(name="root"))
        note.auth("UserGet", pb.AuthUserGetRequest(name="none"))
        note.auth("UserGet", pb.AuthUserGetRequest())
        note.auth("UserList", pb.AuthUserListRequest())
        note.auth("RoleList", pb.AuthRoleListRequest())
        note.auth("UserRevokeRole", pb.AuthUserRevokeRoleRequest(name="none", role="r"))
        note.auth("UserRevokeRole", pb.AuthUserRevokeRoleRequest(name="root", role="none"))
        note.auth("UserChangePassword", pb.AuthUserChangePasswordRequest(name="none", password="n"))
        note.auth("UserChangePassword", pb.AuthUserChangePasswordRequest(name="empty"))
        note.auth("UserChangePassword", pb.AuthUserChangePasswordRequest(name="nobody", password="n"))
        note.auth("RoleGet", pb.AuthRoleGetRequest(role="root"))
        note.auth("AuthEnable", pb.AuthEnableRequest())
        note.auth("AuthEnable", pb.AuthEnableRequest())
        note.auth("AuthStatus", pb.AuthStatusRequest())
        for name, password in (
            ("root", "wrong"),
            ("none", "x"),
            ("nobody", "n"),
            ("empty", ""),
            ("", ""),
        ):
            note.auth("Authenticate", pb.AuthenticateRequest(name=name, password=password))
        root = client.token("root", "secret")
        note.auth("UserDelete", pb.AuthUserDeleteRequest(name="root"), root)
        note.auth("RoleDelete", pb.AuthRoleDeleteRequest(role="root"), root)
        note.auth("UserRevokeRole", pb.AuthUserRevokeRoleRequest(name="root", role="root"), root)
        note.auth("RoleAdd", pb.AuthRoleAddRequest(name="root"), root)
        note.auth("RoleGet", pb.AuthRoleGetRequest(role="root"), root)
        note.auth("UserDelete", pb.AuthUserDeleteRequest(name="none"), root)
        note.auth("RoleDelete", pb.AuthRoleDeleteRequest(role="none"), root)
        note.auth("RoleDelete", pb.AuthRoleDeleteRequest(role="r"), root)
        note.auth("UserGet", pb.AuthUserGetRequest(name="root"), root)
        note.auth("UserDelete", pb.AuthUserDeleteRequest(name="nobody"), root)
        note.auth("UserList", pb.AuthUserListRequest(), root)
        note.auth("AuthStatus", pb.AuthStatusRequest())
        note.auth("AuthDisable", pb.AuthDisableRequest())
        note.auth("AuthDisable", pb.AuthDisableRequest(), root)
        note.auth("AuthDisable", pb.AuthDisableRequest(), root)
        note.auth("AuthStatus", pb.AuthStatusRequest())
        note.auth("UserDelete", pb.AuthUserDeleteRequest(name="root"))
        return note.taken

    same(script, "--bcrypt-cost=4")


def test_keys_by_permission(same: Same) -> None:
    def script(client: Any) -> list[Any]:
        note = Notes(client)
        root = prepare(note)
        alice, bob = client.token("alice", "pw-alice"), client.token("bob", "pw-bob")
        for token in (root, alice, bob, None, "nonsense", "abc.1", "Bearer " + alice, ""):
            for key, end in ((b"a/1", b""), (b"a/x", b""), (b"a/", b"a0"), (b"a/", b"b"), (b"shared", b"")):
                note("etcdserverpb.KV/Range", pb.RangeRequest(key=key, range_end=end), token)
                note(
                    "etcdserverpb.KV/Range",
                    pb.RangeRequest(key=key, range_end=end, serializable=True, limit=1),
                    token,
                )
                note("etcdserverpb.KV/DeleteRange", pb.DeleteRangeRequest(key=key, range_end=end), token)
                note(
                    "etcdserverpb.KV/DeleteRange",
                    pb.DeleteRangeRequest(key=key, range_end=end, prev_kv=True),
                    token,
                )
            for key in (b"a/1", b"a/x", b"b", b"zzz", b"shared"):
                note("etcdserverpb.KV/Put", pb.PutRequest(key=key, value=b"v"), token)
                note("etcdserverpb.KV/Put", pb.PutRequest(key=key, value=b"v", prev_kv=True), token)
            for key, end in ((b"b", b"e"), (b"b", b"f"), (b"c", b"b"), (b"d", b"\x00"), (b"zz", b"\x00")):
                note("etcdserverpb.KV/Range", pb.RangeRequest(key=key, range_end=end), token)
            note("etcdserverpb.KV/Range", pb.RangeRequest(key=b"\x00", range_end=b"\x00"), token)
            note("etcdserverpb.KV/Range", pb.RangeRequest(), token)
            note("etcdserverpb.KV/Compact", pb.CompactionRequest(revision=1), token)
        return note.taken

    same(script, "--bcrypt-cost=4")


def test_txns_by_permission(same: Same) -> None:
    def put(key: bytes, **more: Any) -> pb.RequestOp:
        return pb.RequestOp(request_put=pb.PutRequest(key=key, value=b"v", **more))

    def get(key: bytes, end: bytes = b"") -> pb.RequestOp:
        return pb.RequestOp(request_range=pb.RangeRequest(key=key, range_end=end))

    def delete(key: bytes, **more: Any) -> pb.RequestOp:
        return pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=key, **more))

    def nested(*operations: pb.RequestOp, compare: bytes = b"") -> pb.RequestOp:
        compares = [pb.Compare(key=compare)] if compare else []
        return pb.RequestOp(request_txn=pb.TxnRequest(compare=compares, failure=operations))

    shapes = [
        pb.TxnRequest(success=[put(b"a/1")]),
        pb.TxnRequest(success=[put(b"a/1")], failure=[put(b"q")]),
        pb.TxnRequest(success=[put(b"a/1")], failure=[delete(b"a/1", prev_kv=True)]),
        pb.TxnRequest(success=[delete(b"a/x", prev_kv=True)]),
        pb.TxnRequest(success=[delete(b"a/x")]),
        pb.TxnRequest(success=[put(b"a/x", prev_kv=True)]),
        pb.TxnRequest(compare=[pb.Compare(key=b"a/x")], success=[put(b"a/x")]),
        pb.TxnRequest(compare=[pb.Compare(key=b"a/", range_end=b"b")], success=[get(b"a/1")]),
        pb.TxnRequest(success=[get(b"a/1")], failure=[get(b"b")]),
        pb.TxnRequest(success=[get(b"b", b"e")]),
        pb.TxnRequest(success=[nested(put(b"a/2"))]),
        pb.TxnRequest(success=[nested(nested(put(b"q")))]),
        pb.TxnRequest(success=[nested(get(b"a/2"), compare=b"b")]),
        pb.TxnRequest(success=[nested(get(b"a/2"), compare=b"a/2")]),
        pb.TxnRequest(compare=[pb.Compare(key=b"q")]),
        pb.TxnRequest(),
    ]

    def script(client: Any) -> list[Any]:
        note = Notes(client)
        root = prepare(note)
        for token in (client.token("alice", "pw-alice"), client.token("bob", "pw-bob"), root, None, "a.b"):
            for shape in shapes:
                note("etcdserverpb.KV/Txn", shape, token)
        return note.taken

    same(script, "--bcrypt-cost=4")


def test_leases_by_permission(same: Same) -> None:
    lease = "etcdserverpb.Lease/"

    def script(client: Any) -> list[Any]:
        note = Notes(client)
        root = prepare(note)
        alice, bob = client.token("alice", "pw-alice"), client.token("bob", "pw-bob")
        note(lease + "LeaseGrant", pb.LeaseGrantRequest(ID=1, TTL=500))
        note(lease + "LeaseGrant", pb.LeaseGrantRequest(ID=1, TTL=500), "bad")
        for number, token in ((10, root), (11, alice), (12, bob), (13, root)):
            note(lease + "LeaseGrant", pb.LeaseGrantRequest(ID=number, TTL=500), token)
        put = "etcdserverpb.KV/Put"
        note(put, pb.PutRequest(key=b"a/1", lease=11), alice)
        note(put, pb.PutRequest(key=b"q", lease=10), root)
        note(put, pb.PutRequest(key=b"a/2", lease=10), alice)
        note(put, pb.PutRequest(key=b"zz", lease=11), bob)
        note(put, pb.PutRequest(key=b"a/x", lease=12), bob)
        note(put, pb.PutRequest(key=b"a/x", lease=99), bob)
        for token in (alice, bob, None, "bad", root):
            note(lease + "LeaseLeases", pb.LeaseLeasesRequest(), token)
            for number in (10, 11, 12, 13, 99):
                for keys in (False, True):
                    request = pb.LeaseTimeToLiveRequest(ID=number, keys=keys)
                    code, answer = client(lease + "LeaseTimeToLive", request, token)
                    if isinstance(answer, dict) and int(answer.get("TTL", 0)) > 0:
                        answer["TTL"] = "some"
                    note.taken.append((str(request), code, answer))
                stream = client.stream(
                    lease + "LeaseKeepAlive", pb.LeaseKeepAliveRequest(ID=number), token=token
                )
                note.taken.append(("keep-alive", number, stream.next()))
                stream.close()
        for token in (None, "bad", bob, alice, root):
            for number in (10, 11, 12, 13, 99):
                note(lease + "LeaseRevoke", pb.LeaseRevokeRequest(ID=number), token)
        return note.taken

    same(script, "--bcrypt-cost=4")


def test_watches_by_permission(same: Same) -> None:
    def script(client: Any) -> list[Any]:
        note = Notes(client)
        root = prepare(note)
        alice = client.token("alice", "pw-alice")
        for token in (alice, root, None, "bad"):
            stream = client.stream("etcdserverpb.Watch/Watch", token=token)
            for key, end in ((b"a/", b"a0"), (b"q", b""), (b"", b""), (b"\x00", b"\x00"), (b"a/1", b"")):
                create = pb.WatchCreateRequest(key=key, range_end=end)
                stream.send(pb.WatchRequest(create_request=create))
                note.taken.append((key, stream.next()))
            stream.send(pb.WatchRequest(create_request=pb.WatchCreateRequest(key=b"a/1", start_revision=-1)))
            note.taken.append(stream.next())
            stream.close()
        # A token made before a change of the auth store is as good as new: its user is looked up again.
        note.grant("a", READ, b"q", token=root)
        stream = client.stream(
            "etcdserverpb.Watch/Watch",
            pb.WatchRequest(create_request=pb.WatchCreateRequest(key=b"q")),
            token=alice,
        )
        note.taken.append(stream.next())
        stream.close()
        return note.taken

    same(script, "--bcrypt-cost=4")


def test_the_rest_by_role(same: Same) -> None:
    calls: list[tuple[str, Any]] = [
        ("etcdserverpb.Maintenance/Alarm", pb.AlarmRequest()),
        ("etcdserverpb.Maintenance/Alarm", pb.AlarmRequest(action=2, alarm=1)),
        ("etcdserverpb.Maintenance/Defragment", pb.DefragmentRequest()),
        ("etcdserverpb.Maintenance/MoveLeader", pb.MoveLeaderRequest(targetID=5)),
        ("etcdserverpb.Maintenance/Downgrade", pb.DowngradeRequest(version="x")),
        ("etcdserverpb.Cluster/MemberAdd", pb.MemberAddRequest(peerURLs=["nonsense"])),
        ("etcdserverpb.Cluster/MemberRemove", pb.MemberRemoveRequest(ID=77)),
        ("etcdserverpb.Cluster/MemberUpdate", pb.MemberUpdateRequest(ID=77, peerURLs=["http://127.0.0.1:9"])),
        ("etcdserverpb.Cluster/MemberPromote", pb.MemberPromoteRequest(ID=77)),
        ("etcdserverpb.Auth/UserGet", pb.AuthUserGetRequest(name="alice")),
        ("etcdserverpb.Auth/RoleGet", pb.AuthRoleGetRequest(role="a")),
        ("etcdserverpb.Auth/UserList", pb.AuthUserListRequest()),
        ("etcdserverpb.Auth/RoleList", pb.AuthRoleListRequest()),
        ("etcdserverpb.Auth/UserAdd", pb.AuthUserAddRequest(name="alice", password="x")),
        ("etcdserverpb.Auth/UserDelete", pb.AuthUserDeleteRequest(name="none")),
        ("etcdserverpb.Auth/AuthStatus", pb.AuthStatusRequest()),
        ("etcdserverpb.Auth/AuthEnable", pb.AuthEnableRequest()),
    ]
    unequal: list[tuple[str, Any]] = [
        ("etcdserverpb.Maintenance/Hash", pb.HashRequest()),
        ("etcdserverpb.Maintenance/HashKV", pb.HashKVRequest()),
        ("etcdserverpb.Maintenance/Status", pb.StatusRequest()),
        ("etcdserverpb.Cluster/MemberList", pb.MemberListRequest()),
        ("etcdserverpb.Cluster/MemberList", pb.MemberListRequest(linearizable=True)),
    ]

    def script(client: Any) -> list[Any]:
        note = Notes(client)
        root = prepare(note)
        alice = client.token("alice", "pw-alice")
        for token in (alice, root, None, "bad"):
            for path, request in calls:
                note(path, request, token)
            for path, request in unequal:
                code, answer = client(path, request, token)
                note.taken.append((path, code, answer if code != "OK" else ""))
            stream = client.stream("etcdserverpb.Maintenance/Snapshot", pb.SnapshotRequest(), token=token)
            code, answer = stream.next()
            note.taken.append((code, answer if code != "OK" else ""))
            stream.close()
        # Other ways to show a token, and what ends one.
        listing = ("etcdserverpb.Auth/UserList", pb.AuthUserListRequest())
        note.taken.append(client(*listing, authorization=root))
        note.taken.append(client(*listing, authorization="Bearer " + root))
        note.taken.append(client(*listing, alice, authorization=root))
        change = pb.AuthUserChangePasswordRequest(name="alice", password="new")
        note.taken.append(client("etcdserverpb.Auth/UserChangePassword", change, root))
        note.taken.append(client("etcdserverpb.KV/Range", pb.RangeRequest(key=b"a/1"), alice))
        note.taken.append(
            client(AUTH + "Authenticate", pb.AuthenticateRequest(name="alice", password="pw-alice"))
        )
        alice = client.token("alice", "new")
        note.taken.append(client("etcdserverpb.KV/Range", pb.RangeRequest(key=b"a/1"), alice))
        note.taken.append(
            client("etcdserverpb.Auth/UserDelete", pb.AuthUserDeleteRequest(name="alice"), root)
        )
        note.taken.append(client("etcdserverpb.KV/Range", pb.RangeRequest(key=b"a/1"), alice))
        note.taken.append(client("etcdserverpb.Auth/AuthDisable", pb.AuthDisableRequest(), root))
        note.taken.append(client("etcdserverpb.KV/Range", pb.RangeRequest(key=b"a/1"), "bad"))
        note.taken.append(client("etcdserverpb.Auth/AuthEnable", pb.AuthEnableRequest()))
        note.taken.append(client("etcdserverpb.KV/Range", pb.RangeRequest(key=b"a/1"), root))
        return note.taken

    same(script, "--bcrypt-cost=4")
