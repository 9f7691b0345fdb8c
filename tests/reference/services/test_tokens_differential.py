"""Signed tokens, names in certificates, and several members: the same answers as etcd 3.7.1 gives."""

from __future__ import annotations

import datetime
import threading
import time
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import grpc
import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from gauntlet.api.messages import authpb
from gauntlet.api.messages import etcdserverpb as pb

pytestmark = [pytest.mark.upstream, pytest.mark.slow]

AUTH = "etcdserverpb.Auth/"
RANGE, PUT = "etcdserverpb.KV/Range", "etcdserverpb.KV/Put"
PEM, PKCS8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
PLAIN, PUBLIC = serialization.NoEncryption(), serialization.PublicFormat.SubjectPublicKeyInfo


def switch_on(client: Any) -> list[Any]:
    """Root, and a user who may use the keys below `a/`."""
    permission = authpb.Permission(permType=authpb.Permission.READWRITE, key=b"a/", range_end=b"a0")
    steps: list[tuple[str, Any]] = [
        ("UserAdd", pb.AuthUserAddRequest(name="root", password="secret")),
        ("UserGrantRole", pb.AuthUserGrantRoleRequest(user="root", role="root")),
        ("UserAdd", pb.AuthUserAddRequest(name="alice", password="pw")),
        ("RoleAdd", pb.AuthRoleAddRequest(name="a")),
        ("UserGrantRole", pb.AuthUserGrantRoleRequest(user="alice", role="a")),
        ("RoleGrantPermission", pb.AuthRoleGrantPermissionRequest(name="a", perm=permission)),
        ("AuthEnable", pb.AuthEnableRequest()),
    ]
    return [client(AUTH + name, request) for name, request in steps]


def write_keys(directory: Path, key: Any) -> None:
    directory.joinpath("private.pem").write_bytes(key.private_bytes(PEM, PKCS8, PLAIN))
    directory.joinpath("public.pem").write_bytes(key.public_key().public_bytes(PEM, PUBLIC))


KEYS: dict[str, Callable[[], Any]] = {
    "RS256": lambda: rsa.generate_private_key(65537, 2048),
    "PS384": lambda: rsa.generate_private_key(65537, 2048),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}


@pytest.mark.parametrize("method", KEYS)
def test_signed_tokens(method: str, same: Any, tmp_path: Path) -> None:
    key = KEYS[method]()
    write_keys(tmp_path, key)
    stranger = KEYS[method]()
    private, public = tmp_path / "private.pem", tmp_path / "public.pem"

    def sign(signer: Any = key, algorithm: str = method, **claims: Any) -> str:
        return jwt.encode(claims, signer, algorithm)

    def script(client: Any) -> list[Any]:
        notes = switch_on(client)
        token = client.token("alice", "pw")
        claims = jwt.decode(token, options={"verify_signature": False})
        revision = claims["revision"]
        later = int(time.time()) + 60
        notes.append((claims["username"], revision, abs(claims["exp"] - time.time() - 300) < 30))
        shown = {
            "its own": token,
            "ours": sign(username="alice", revision=revision, exp=later),
            "root's": sign(username="root", revision=revision, exp=later),
            "ended": sign(username="alice", revision=revision, exp=later - 120),
            "not yet": sign(username="alice", revision=revision, nbf=later),
            "endless": sign(username="alice", revision=revision),
            "old": sign(username="alice", revision=revision - 1, exp=later),
            "old root's": sign(username="root", revision=revision - 1, exp=later),
            "from the future": sign(username="alice", revision=revision + 5, exp=later),
            "revision 0": sign(username="alice", revision=0, exp=later),
            "a fraction": sign(username="alice", revision=revision + 0.5, exp=later),
            "unknown user": sign(username="none", revision=revision, exp=later),
            "no user": sign(revision=revision, exp=later),
            "no revision": sign(username="alice", exp=later),
            "text for revision": sign(username="alice", revision=str(revision), exp=later),
            "text for exp": sign(username="alice", revision=revision) + "x",
            "a stranger's": sign(stranger, username="alice", revision=revision, exp=later),
            "another method": sign("k" * 64, "HS256", username="alice", revision=revision, exp=later),
            "simple": "abc.1",
            "empty": "",
        }
        for name, each in shown.items():
            for path, request in (
                (RANGE, pb.RangeRequest(key=b"a/1")),
                (RANGE, pb.RangeRequest(key=b"b")),
                (PUT, pb.PutRequest(key=b"a/1")),
                (PUT, pb.PutRequest(key=b"b")),
                (AUTH + "UserGet", pb.AuthUserGetRequest(name="alice")),
                ("etcdserverpb.Lease/LeaseTimeToLive", pb.LeaseTimeToLiveRequest(ID=5)),
            ):
                answer = client(path, request, each)
                notes.append((name, path, answer[0], answer[1] if answer[0] != "OK" else ""))
        # Changing a password ends no signed token, but every change makes it an old one.
        change = pb.AuthUserChangePasswordRequest(name="alice", password="new")
        notes.append(client(AUTH + "UserChangePassword", change, shown["root's"]))
        notes.append(client(RANGE, pb.RangeRequest(key=b"a/1"), token))
        return notes

    same(
        script,
        f"--auth-token=jwt,sign-method={method},priv-key={private},pub-key={public}",
        "--bcrypt-cost=4",
    )


def test_a_member_that_can_only_check(same: Any, tmp_path: Path) -> None:
    write_keys(tmp_path, KEYS["ES256"]())

    def script(client: Any) -> list[Any]:
        notes = switch_on(client)
        notes.append(client(AUTH + "Authenticate", pb.AuthenticateRequest(name="alice", password="pw")))
        return notes

    same(script, f"--auth-token=jwt,sign-method=ES256,pub-key={tmp_path / 'public.pem'}", "--bcrypt-cost=4")


class Authority:
    """Certificates for localhost, and for clients by name."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        certificate = self._builder(self._name, self._key).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self.certificate = certificate.sign(self._key, hashes.SHA256()).public_bytes(PEM)
        self.path = directory / "ca.pem"
        self.path.write_bytes(self.certificate)

    def _builder(self, subject: x509.Name, key: Any) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(hours=1))
        )

    def issue(self, name: str) -> tuple[bytes, bytes]:
        """(key, certificate) in PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else [])
        names = x509.SubjectAlternativeName(
            [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
        )
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        builder = self._builder(subject, key).add_extension(names, critical=False)
        builder = builder.add_extension(usage, critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        return key.private_bytes(PEM, PKCS8, PLAIN), certificate.public_bytes(PEM)

    def write(self, name: str) -> tuple[Path, Path]:
        key, certificate = self.issue(name)
        paths = self._directory / f"{name}.key", self._directory / f"{name}.pem"
        paths[0].write_bytes(key)
        paths[1].write_bytes(certificate)
        return paths

    def credentials(self, name: str) -> grpc.ChannelCredentials:
        key, certificate = self.issue(name)
        return grpc.ssl_channel_credentials(self.certificate, key, certificate)


def test_the_name_in_a_certificate_is_the_user(
    kinds: Any, connect: Any, notes_equal: Any, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    key, certificate = authority.write("server")
    notes = []
    for kind in kinds:
        member = kind.member(
            "m1",
            "--bcrypt-cost=4",
            "--client-cert-auth",
            f"--trusted-ca-file={authority.path}",
            f"--cert-file={certificate}",
            f"--key-file={key}",
        )
        member.scheme = "https"
        member.start()
        root = connect(member.client_port, authority.credentials("root"))
        grpc.channel_ready_future(root.channel).result(timeout=20)
        taken = switch_on(root)
        taken.append(root(AUTH + "UserList", pb.AuthUserListRequest()))
        for name in ("alice", "none", ""):
            client = connect(member.client_port, authority.credentials(name))
            for key_asked in (b"a/1", b"b"):
                taken.append((name, client(RANGE, pb.RangeRequest(key=key_asked))))
                taken.append((name, client(PUT, pb.PutRequest(key=key_asked))))
            taken.append(client("etcdserverpb.Maintenance/Hash", pb.HashRequest())[0])
            taken.append(client(RANGE, pb.RangeRequest(key=b"b"), root.token("root", "secret")))
            taken.append(client(RANGE, pb.RangeRequest(key=b"b"), "bad"))
        notes.append(taken)
    notes_equal(*notes)


def test_members_of_both_kinds_know_each_others_tokens(kinds: Any, connect: Any) -> None:
    """One cluster, two members of etcd and one of ours: a token counts everywhere, so does what it may do."""
    ours, real = kinds
    members = [real.member("m1", "--bcrypt-cost=4"), ours.member("m2", "--bcrypt-cost=4")]
    members.append(real.member("m3", "--bcrypt-cost=4"))
    everybody = ",".join(f"{member.name}={member.peer_url}" for member in members)
    for member in members:
        member.start(everybody)
    for member in members:
        member.wait()
    clients = [connect(member.client_port) for member in members]
    switch_on(clients[1])
    pause = threading.Event()
    for maker in clients:
        alice, root = maker.token("alice", "pw"), maker.token("root", "secret")
        for kind, user in zip(("real", "ours", "real"), clients, strict=True):
            # Upstream may judge a token just before it applies the entry that makes it; ours waits for that.
            deadline = time.monotonic() + 10
            while kind == "real" and user(RANGE, pb.RangeRequest(key=b"a/1"), root)[0] == "UNAUTHENTICATED":
                assert time.monotonic() < deadline
                pause.wait(0.05)
            assert user(PUT, pb.PutRequest(key=b"a/1"), alice)[0] == "OK"
            assert user(RANGE, pb.RangeRequest(key=b"b"), alice)[0] == "PERMISSION_DENIED"
            assert user(PUT, pb.PutRequest(key=b"b"), alice)[0] == "PERMISSION_DENIED"
            assert user(PUT, pb.PutRequest(key=b"b"), root)[0] == "OK"
        for user in clients:
            assert user(AUTH + "AuthStatus", pb.AuthStatusRequest(), root)[1]["authRevision"] == "7"
    # A lease with keys runs out although nobody shows a token for that.
    root = clients[0].token("root", "secret")
    assert clients[1]("etcdserverpb.Lease/LeaseGrant", pb.LeaseGrantRequest(ID=9, TTL=2), root)[0] == "OK"
    assert clients[1](PUT, pb.PutRequest(key=b"leased", lease=9), root)[0] == "OK"
    deadline = time.monotonic() + 20
    while clients[1](RANGE, pb.RangeRequest(key=b"leased"), root)[1].get("kvs"):
        assert time.monotonic() < deadline
        pause.wait(0.1)
    hashes_seen = {
        client("etcdserverpb.Maintenance/HashKV", pb.HashKVRequest(revision=2), root)[1]["hash"]
        for client in clients
    }
    assert len(hashes_seen) == 1
