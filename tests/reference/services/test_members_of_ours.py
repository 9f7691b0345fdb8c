"""Members of ours in their own processes: what survives a restart, what is on disk, who may join."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from gauntlet.api.messages import authpb
from gauntlet.api.messages import etcdserverpb as pb

pytestmark = pytest.mark.slow

AUTH = "etcdserverpb.Auth/"
RANGE, PUT = "etcdserverpb.KV/Range", "etcdserverpb.KV/Put"
STATUS = "etcdserverpb.Maintenance/Status"


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    pause = threading.Event()
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        pause.wait(0.05)


def switch_on(client: Any) -> None:
    read = authpb.Permission(permType=authpb.Permission.READ, key=b"a")
    for name, request in (
        ("UserAdd", pb.AuthUserAddRequest(name="root", password="very-secret-of-root")),
        ("UserGrantRole", pb.AuthUserGrantRoleRequest(user="root", role="root")),
        ("UserAdd", pb.AuthUserAddRequest(name="alice", password="first-of-alice")),
        ("UserChangePassword", pb.AuthUserChangePasswordRequest(name="alice", password="second-of-alice")),
        ("RoleAdd", pb.AuthRoleAddRequest(name="r")),
        ("UserGrantRole", pb.AuthUserGrantRoleRequest(user="alice", role="r")),
        ("RoleGrantPermission", pb.AuthRoleGrantPermissionRequest(name="r", perm=read)),
        ("AuthEnable", pb.AuthEnableRequest()),
    ):
        assert client(AUTH + name, request)[0] == "OK"


@pytest.mark.parametrize("flags", [(), ("--snapshot-count=5", "--snapshot-catchup-entries=2")])
def test_a_restart_keeps_users_and_ends_tokens(ours: Any, connect: Any, flags: tuple[str, ...]) -> None:
    member = ours.member("m1", "--bcrypt-cost=4", *flags)
    member.start()
    member.wait()
    client = connect(member.client_port)
    switch_on(client)
    token = client.token("alice", "second-of-alice")
    assert client(RANGE, pb.RangeRequest(key=b"a"), token)[0] == "OK"
    member.kill()
    secrets = (b"very-secret-of-root", b"first-of-alice", b"second-of-alice")
    for path in ours.directory.rglob("*"):
        if path.is_file():
            found = path.read_bytes()
            assert not any(secret in found for secret in secrets), path
    member.start()
    member.wait()
    client = connect(member.client_port)
    assert client(RANGE, pb.RangeRequest(key=b"a"), token) == (
        "UNAUTHENTICATED",
        "etcdserver: invalid auth token",
    )
    assert (
        client(AUTH + "Authenticate", pb.AuthenticateRequest(name="alice", password="first-of-alice"))[0]
        != "OK"
    )
    token = client.token("alice", "second-of-alice")
    assert client(RANGE, pb.RangeRequest(key=b"a"), token)[0] == "OK"
    assert client(RANGE, pb.RangeRequest(key=b"b"), token)[0] == "PERMISSION_DENIED"


def test_a_token_ends_when_it_was_not_used_for_its_time(ours: Any, connect: Any) -> None:
    member = ours.member("m1", "--bcrypt-cost=4", "--auth-token-ttl=1")
    member.start()
    member.wait()
    client = connect(member.client_port)
    switch_on(client)
    token = client.token("alice", "second-of-alice")
    pause = threading.Event()
    for _ in range(4):
        pause.wait(0.5)
        assert client(RANGE, pb.RangeRequest(key=b"a"), token)[0] == "OK"
    pause.wait(1.3)
    assert client(RANGE, pb.RangeRequest(key=b"a"), token)[0] == "UNAUTHENTICATED"


def test_a_member_joins_through_a_snapshot_and_restarts(ours: Any, connect: Any) -> None:
    small = ("--snapshot-count=20", "--snapshot-catchup-entries=5")
    first, second = ours.member("m1", *small), ours.member("m2", *small)
    first.start()
    first.wait()
    client = connect(first.client_port)
    for number in range(60):
        assert client(PUT, pb.PutRequest(key=b"%03d" % number))[0] == "OK"
    add = pb.MemberAddRequest(peerURLs=[second.peer_url], isLearner=True)
    code, added = client("etcdserverpb.Cluster/MemberAdd", add)
    assert code == "OK"
    second.start(f"m1={first.peer_url},m2={second.peer_url}", "--initial-cluster-state=existing")
    second.wait()
    learner = connect(second.client_port)
    everything = pb.RangeRequest(key=b"0", range_end=b"9", count_only=True, serializable=True)
    until(lambda: learner(RANGE, everything)[1].get("count") == "60")
    assert learner(STATUS, pb.StatusRequest())[1]["isLearner"]
    second.kill()
    second.start()
    second.wait()
    learner = connect(second.client_port)
    until(lambda: learner(RANGE, everything)[1].get("count") == "60")
    promote = pb.MemberPromoteRequest(ID=int(added["member"]["ID"]))
    until(lambda: client("etcdserverpb.Cluster/MemberPromote", promote)[0] == "OK")
    until(lambda: learner(PUT, pb.PutRequest(key=b"x"))[0] == "OK")
    # Two voters now: neither writes alone, and each can lead.
    until(lambda: client(STATUS, pb.StatusRequest())[1].get("leader", "0") != "0")
    first.stop()
    assert learner(PUT, pb.PutRequest(key=b"y"), timeout=1)[0] == "DEADLINE_EXCEEDED"
    first.start()
    first.wait()
    until(lambda: learner(PUT, pb.PutRequest(key=b"y"))[0] == "OK")


def test_flags_that_make_no_tokens(ours: Any) -> None:
    for value in (
        "nonsense",
        "jwt",
        "jwt,sign-method=RS256",
        "jwt,sign-method=RS256,pub-key=/none",
        "simple,x",
    ):
        member = ours.member("m1", f"--auth-token={value}")
        member.start()
        assert member.child.wait(10) not in (0, None)
        assert "--auth-token" in member.log.read_text()
