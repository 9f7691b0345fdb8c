"""Authentication on a simulated cluster: judged when applied, known everywhere, asked of every call."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest
from gauntlet.api import errors
from gauntlet.api.errors import RpcError
from gauntlet.api.messages import authpb
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.wire.types import Context
from gauntlet.reference.auth.tokens import AuthInfo
from gauntlet.reference.services.auth import AuthService
from gauntlet.reference.services.base import Quota
from gauntlet.reference.services.guard import Guard
from gauntlet.reference.services.kv import KvService

MakeWorld = Callable[..., Any]
BOTH = authpb.Permission.READWRITE


class PlainPasswords:
    """Hashes nothing, answers at once, and remembers what it was asked."""

    def __init__(self) -> None:
        self.before_comparing: Callable[[], None] = lambda: None
        self.prefixes = iter("abcdefgh")

    def hash(self, password: str, then: Callable[[bytes | RpcError], None]) -> None:
        then(b"#" + password.encode())

    def compare(self, password: str, hashed: bytes, then: Callable[[bool], None]) -> None:
        before, self.before_comparing = self.before_comparing, lambda: None
        before()
        then(hashed == b"#" + password.encode())

    def token_prefix(self) -> str:
        return next(self.prefixes)


class Server:
    """The services of one simulated member."""

    def __init__(self, world: Any, member: Any, certificates: bool = False) -> None:
        self.world = world
        self.node = member.node
        self.guard = Guard(member.node, certificates)
        self.kv = KvService(member.node, self.guard, Quota(member.node, 1 << 30), 128)
        self.passwords = PlainPasswords()
        self.auth = AuthService(member.node, self.guard, self.passwords)

    def call(self, handler: Any, request: Any, context: Context | None = None) -> Any:
        """The answer, once the cluster has had its time."""
        answers: list[Any] = []
        handler(context or Context(), request, answers.append)
        self.world.settle()
        assert len(answers) == 1
        return answers[0]

    def token(self, name: str, password: str) -> str:
        answer = self.call(self.auth.authenticate, pb.AuthenticateRequest(name=name, password=password))
        assert not isinstance(answer, RpcError), answer
        return str(answer.token)


def switch_on(server: Server) -> None:
    handlers = server.auth.handlers()
    permission = authpb.Permission(permType=BOTH, key=b"a/", range_end=b"a0")
    for name, request in (
        ("UserAdd", pb.AuthUserAddRequest(name="root", password="secret")),
        ("UserGrantRole", pb.AuthUserGrantRoleRequest(user="root", role="root")),
        ("UserAdd", pb.AuthUserAddRequest(name="alice", password="pw")),
        ("RoleAdd", pb.AuthRoleAddRequest(name="r")),
        ("UserGrantRole", pb.AuthUserGrantRoleRequest(user="alice", role="r")),
        ("RoleGrantPermission", pb.AuthRoleGrantPermissionRequest(name="r", perm=permission)),
        ("AuthEnable", pb.AuthEnableRequest()),
    ):
        answer = server.call(handlers[name], request)
        assert not isinstance(answer, RpcError), (name, answer)


@pytest.fixture
def servers(world: MakeWorld) -> list[Server]:
    """Of three members, the leader first; authentication is on."""
    cluster = world(3)
    leader = cluster.leader()
    others = [member for member in cluster.members.values() if member is not leader]
    found = [Server(cluster, member) for member in (leader, *others)]
    switch_on(found[0])
    cluster.tick(3)
    return found


def shows(token: str) -> Context:
    return Context({"token": token})


def test_a_token_counts_on_every_member(servers: list[Server]) -> None:
    token = servers[1].token("alice", "pw")
    servers[0].world.tick(2)
    for server in servers:
        assert isinstance(server.call(server.kv.put, pb.PutRequest(key=b"a/1"), shows(token)), pb.PutResponse)
        refused = server.call(server.kv.put, pb.PutRequest(key=b"b"), shows(token))
        assert refused == errors.PERMISSION_DENIED
        assert isinstance(server.call(server.kv.range, pb.RangeRequest(key=b"a/1"), shows(token)), bytes)
        assert (
            server.call(server.kv.range, pb.RangeRequest(key=b"b"), shows(token)) == errors.PERMISSION_DENIED
        )
        assert server.call(server.kv.range, pb.RangeRequest(key=b"a/1")) == errors.USER_EMPTY
        assert server.call(server.kv.put, pb.PutRequest(key=b"a/1")) == errors.USER_EMPTY


def test_a_member_behind_waits_for_the_token_before_it_judges(servers: list[Server]) -> None:
    server = servers[0]
    applied = server.node.machine.applied_index
    answers: list[Any] = []
    server.kv.range(shows(f"x.{applied + 1}"), pb.RangeRequest(key=b"a", serializable=True), answers.append)
    server.world.settle()
    assert answers == []
    root = server.token("root", "secret")
    server.call(server.kv.put, pb.PutRequest(key=b"k"), shows(root))
    assert answers == [errors.INVALID_AUTH_TOKEN]


def test_a_call_that_is_given_up_does_not_wait_for_ever(servers: list[Server]) -> None:
    server = servers[0]
    context = shows("x.99999")
    server.kv.range(context, pb.RangeRequest(key=b"a", serializable=True), lambda answer: None)
    assert len(server.node._applied_waiters) == 1
    context.cancel()
    assert server.node._applied_waiters == []


def test_permissions_are_those_at_the_time_of_applying(servers: list[Server]) -> None:
    server = servers[0]
    token = server.token("alice", "pw")
    root = server.token("root", "secret")
    revoke = pb.AuthRoleRevokePermissionRequest(role="r", key=b"a/", range_end=b"a0")
    answers: list[Any] = []
    # Both are in one batch: the put was allowed when it was proposed.
    server.auth.handlers()["RoleRevokePermission"](shows(root), revoke, answers.append)
    server.kv.put(shows(token), pb.PutRequest(key=b"a/1"), answers.append)
    server.world.settle()
    assert isinstance(answers[0], pb.AuthRoleRevokePermissionResponse)
    assert answers[1] == errors.AUTH_OLD_REVISION
    assert server.call(server.kv.put, pb.PutRequest(key=b"a/1"), shows(token)) == errors.PERMISSION_DENIED


def test_a_password_is_checked_again_when_the_store_changed_meanwhile(servers: list[Server]) -> None:
    server = servers[0]
    root = server.token("root", "secret")
    change = pb.AuthUserChangePasswordRequest(name="alice", password="new")

    def interfere() -> None:
        server.auth.handlers()["UserChangePassword"](shows(root), change, lambda answer: None)

    server.passwords.before_comparing = interfere
    request = pb.AuthenticateRequest(name="alice", password="pw")
    assert server.call(server.auth.authenticate, request) == errors.AUTH_FAILED
    assert request.password == ""
    assert server.token("alice", "new")


def test_no_entry_holds_a_password(servers: list[Server]) -> None:
    server = servers[0]
    server.token("alice", "pw")
    for member in server.world.members.values():
        for entry in member.log:
            assert b"secret" not in entry.data.replace(base64.b64encode(b"#secret"), b"")
            request = pb.InternalRaftRequest.FromString(entry.data) if entry.type.name == "NORMAL" else None
            if request is not None:
                assert not request.auth_user_add.password
                assert not request.authenticate.password


def test_leases_run_out_while_authentication_is_on(servers: list[Server]) -> None:
    server = servers[0]
    world, root = server.world, server.node.machine.auth
    header = pb.RequestHeader(username="root", auth_revision=root.revision)
    world.ask(world.leader(), header=header, lease_grant=pb.LeaseGrantRequest(ID=5, TTL=2))
    result = world.ask(world.leader(), header=header, put=pb.PutRequest(key=b"k", lease=5))
    assert result.error is None
    world.tick(60)
    for member in world.members.values():
        assert member.node.machine.lessor.lookup(5) is None
        assert not member.node.machine.store.range(b"k", b"").kvs


def test_a_member_that_restarts_forgets_tokens_and_remembers_users(servers: list[Server]) -> None:
    server = servers[1]
    world = server.world
    token = server.token("alice", "pw")
    world.tick(2)
    member = world.members[server.node.config.member_id]
    world.crash(member)
    world.restart(member)
    world.tick(20)
    again = Server(world, member)
    assert member.node.machine.auth.enabled
    assert again.call(again.kv.range, pb.RangeRequest(key=b"a/1"), shows(token)) == errors.INVALID_AUTH_TOKEN
    other = servers[0]
    assert isinstance(other.call(other.kv.range, pb.RangeRequest(key=b"a/1"), shows(token)), bytes)


def test_nobody_is_asked_while_authentication_is_off(world: MakeWorld) -> None:
    cluster = world(1)
    server = Server(cluster, cluster.leader())
    assert isinstance(server.call(server.kv.put, pb.PutRequest(key=b"k"), shows("nonsense")), pb.PutResponse)
    assert isinstance(server.call(server.kv.range, pb.RangeRequest(key=b"k"), shows("nonsense")), bytes)


def certified(name: str, **metadata: str) -> Context:
    subject = (((("commonName", name),)),) if name else ()
    return Context(metadata, transport_info=lambda key: {"subject": subject} if key == "peercert" else None)


def test_names_in_certificates(servers: list[Server]) -> None:
    leader = servers[0].world.leader()
    checking, trusting = Server(servers[0].world, leader, certificates=True), servers[0]
    read = pb.RangeRequest(key=b"a/1")
    assert isinstance(checking.call(checking.kv.range, read, certified("alice")), bytes)
    assert checking.call(checking.kv.range, read, certified("none")) == errors.PERMISSION_DENIED
    assert checking.call(checking.kv.range, read, certified("")) == errors.PERMISSION_DENIED
    # What comes through the gateway shows the gateway's certificate; a token counts for more than a name.
    gateway = certified("alice", **{"grpcgateway-accept": "x"})
    assert checking.call(checking.kv.range, read, gateway) == errors.USER_EMPTY
    assert checking.call(checking.kv.range, read, certified("alice", token="x")) == errors.INVALID_AUTH_TOKEN
    assert trusting.call(trusting.kv.range, read, certified("alice")) == errors.USER_EMPTY


def test_nested_txns_need_every_permission(servers: list[Server]) -> None:
    permissions = servers[0].node.machine.permissions
    alice = AuthInfo("alice", servers[0].node.machine.auth.revision)

    def verdict(depth: int, operation: pb.RequestOp) -> RpcError | None:
        txn = pb.TxnRequest(failure=[operation])
        for _ in range(depth):
            txn = pb.TxnRequest(success=[pb.RequestOp(request_txn=txn)])
        refusal: RpcError | None = permissions.txn(alice, txn)
        return refusal

    allowed = pb.RequestOp(request_put=pb.PutRequest(key=b"a/1"))
    forbidden = pb.RequestOp(request_range=pb.RangeRequest(key=b"a/", range_end=b"a1"))
    for depth in range(4):
        assert verdict(depth, allowed) is None
        assert verdict(depth, forbidden) == errors.PERMISSION_DENIED
    compare = pb.TxnRequest(compare=[pb.Compare(key=b"b")])
    inner = pb.TxnRequest(failure=[pb.RequestOp(request_txn=compare)])
    assert permissions.txn(alice, inner) == errors.PERMISSION_DENIED
