"""TLS on both ports, with certificates made for the test, judged by Python's ssl and by the real etcdctl."""

from __future__ import annotations

import http.client
import socket
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow
READY = "ready to serve client requests"


def flags(
    client: int, peer: int, name: str = "a", scheme: str = "https", peer_scheme: str = "http"
) -> list[str]:
    clients, peers = f"{scheme}://127.0.0.1:{client}", f"{peer_scheme}://127.0.0.1:{peer}"
    return [
        *("--name", name, "--data-dir", "data", "--unsafe-no-fsync"),
        *("--listen-client-urls", clients, "--advertise-client-urls", clients),
        *("--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers),
    ]


def alone(client: int, peer: int, *more: str) -> list[str]:
    return [*flags(client, peer), "--initial-cluster", f"a=http://127.0.0.1:{peer}", *more]


def context(ca: Path | None, pair: Any = None) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=None if ca is None else str(ca))
    if ca is None:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    if pair is not None:
        made.load_cert_chain(pair.cert, pair.key)
    return made


def get(port: int, tls: ssl.SSLContext, path: str = "/health") -> int:
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=5, context=tls)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def refused(port: int, tls: ssl.SSLContext) -> bool:
    try:
        get(port, tls)
    except (ssl.SSLError, ConnectionError, http.client.HTTPException):
        return True
    return False


def serial(port: int, ca: Path) -> int:
    with (
        socket.create_connection(("127.0.0.1", port), timeout=5) as raw,
        context(ca).wrap_socket(raw, server_hostname="127.0.0.1") as connection,
    ):
        return int(connection.getpeercert()["serialNumber"], 16)


def etcdctl(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(folder / "etcdctl"), *arguments], capture_output=True, text=True, timeout=20, check=False
    )


def test_a_changed_certificate_is_taken_for_new_connections(
    launch: Callable[..., Any], authority: Any, ports: Callable[[int], list[int]]
) -> None:
    client, peer = ports(2)
    pair = authority.sign("server")
    member = launch(*alone(client, peer, "--cert-file", str(pair.cert), "--key-file", str(pair.key)))
    member.wait_for(READY)
    assert "serving client traffic securely" in member.log
    assert get(client, context(authority.file)) == 200
    assert serial(client, authority.file) == pair.serial
    renewed = authority.sign("server")
    assert serial(client, authority.file) == renewed.serial != pair.serial


def test_client_certificates_are_demanded_and_revoked(
    launch: Callable[..., Any], authority: Any, ports: Callable[[int], list[int]]
) -> None:
    client, peer = ports(2)
    pair, good, bad = authority.sign("server"), authority.sign("good"), authority.sign("bad")
    crl = authority.revoke(bad.serial)
    tls = (
        "--cert-file",
        str(pair.cert),
        "--key-file",
        str(pair.key),
        "--trusted-ca-file",
        str(authority.file),
    )
    member = launch(*alone(client, peer, *tls, "--client-cert-auth", "--client-crl-file", str(crl)))
    member.wait_for(READY)
    assert get(client, context(authority.file, good)) == 200
    assert refused(client, context(authority.file))
    assert refused(client, context(authority.file, bad))
    authority.revoke(good.serial, bad.serial)
    assert refused(client, context(authority.file, good))
    authority.revoke()
    assert get(client, context(authority.file, bad)) == 200


def test_allowed_hostnames(
    launch: Callable[..., Any], authority: Any, ports: Callable[[int], list[int]]
) -> None:
    client, peer = ports(2)
    pair = authority.sign("server")
    known = authority.sign("known", hosts=("db.example.com",))
    other = authority.sign("other", hosts=("web.example.com",))
    tls = (
        "--cert-file",
        str(pair.cert),
        "--key-file",
        str(pair.key),
        "--trusted-ca-file",
        str(authority.file),
    )
    allowed = ("--client-cert-auth", "--client-cert-allowed-hostname", "db.example.com")
    member = launch(*alone(client, peer, *tls, *allowed))
    member.wait_for(READY)
    assert get(client, context(authority.file, known)) == 200
    assert "rejected connection" not in member.log
    assert refused(client, context(authority.file, other))
    why = "client certificate authentication failed"
    member.wait_for(f'"msg":"rejected connection on client endpoint","error":"{why}"')


def test_versions_and_cipher_suites(
    launch: Callable[..., Any], authority: Any, ports: Callable[[int], list[int]]
) -> None:
    client, peer = ports(2)
    pair = authority.sign("server")
    suite = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"
    tls = ("--cert-file", str(pair.cert), "--key-file", str(pair.key), "--tls-max-version", "TLS1.2")
    launch(*alone(client, peer, *tls, "--cipher-suites", suite)).wait_for(READY)
    with (
        socket.create_connection(("127.0.0.1", client), timeout=5) as raw,
        context(authority.file).wrap_socket(raw, server_hostname="127.0.0.1") as connection,
    ):
        assert connection.version() == "TLSv1.2"
        assert connection.cipher()[0] == "ECDHE-ECDSA-AES256-GCM-SHA384"
    newest = context(authority.file)
    newest.minimum_version = ssl.TLSVersion.TLSv1_3
    assert refused(client, newest)
    weaker = context(authority.file)
    weaker.maximum_version = ssl.TLSVersion.TLSv1_2
    weaker.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
    assert refused(client, weaker)


def test_auto_tls_keeps_its_certificate(
    launch: Callable[..., Any], tmp_path: Path, ports: Callable[[int], list[int]]
) -> None:
    client, peer = ports(2)
    data = ("--data-dir", str(tmp_path / "kept"))
    member = launch(*alone(client, peer, "--auto-tls", *data))
    member.wait_for(READY)
    assert get(client, context(None)) == 200
    made = tmp_path / "kept" / "fixtures" / "client" / "cert.pem"
    first = made.read_bytes()
    assert get(client, context(made)) == 200
    member.stop()
    launch(*alone(client, peer, "--auto-tls", *data)).wait_for(READY)
    assert made.read_bytes() == first


@pytest.mark.upstream
def test_etcdctl_with_client_certificates(
    launch: Callable[..., Any], authority: Any, upstream_folder: Path, ports: Callable[[int], list[int]]
) -> None:
    client, peer = ports(2)
    pair, user = authority.sign("server"), authority.sign("root")
    tls = (
        "--cert-file",
        str(pair.cert),
        "--key-file",
        str(pair.key),
        "--trusted-ca-file",
        str(authority.file),
    )
    launch(*alone(client, peer, *tls, "--client-cert-auth")).wait_for(READY)
    common = ("--endpoints", f"https://127.0.0.1:{client}", "--cacert", str(authority.file))
    with_pair = (*common, "--cert", str(user.cert), "--key", str(user.key))
    assert etcdctl(upstream_folder, "put", "a", "1", *with_pair).stdout == "OK\n"
    assert etcdctl(upstream_folder, "get", "a", *with_pair).stdout == "a\n1\n"
    without = etcdctl(upstream_folder, "get", "a", "--command-timeout", "2s", *common)
    assert without.returncode != 0
    # The certificate's common name is a user once authentication is on.
    for words in ("user add root:pw", "user grant-role root root", "auth enable"):
        done = etcdctl(upstream_folder, *words.split(), *with_pair)
        assert done.returncode == 0, done.stderr
    assert etcdctl(upstream_folder, "put", "a", "2", *with_pair).stdout == "OK\n"
    stranger = authority.sign("nobody")
    as_stranger = (*common, "--cert", str(stranger.cert), "--key", str(stranger.key))
    assert "permission denied" in etcdctl(upstream_folder, "put", "a", "3", *as_stranger).stderr


@pytest.mark.parametrize("auto", [False, True], ids=["files", "auto"])
@pytest.mark.upstream
def test_three_members_speak_tls_to_each_other(
    launch: Callable[..., Any],
    authority: Any,
    upstream_folder: Path,
    ports: Callable[[int], list[int]],
    auto: bool,
) -> None:
    numbers = ports(6)
    peers = numbers[3:]
    founders = ",".join(f"m{at}=https://127.0.0.1:{port}" for at, port in enumerate(peers))
    pair = authority.sign("member")
    files = ("--peer-cert-file", str(pair.cert), "--peer-key-file", str(pair.key), "--peer-client-cert-auth")
    given = (*files, "--peer-trusted-ca-file", str(authority.file), "--peer-cert-allowed-cn", "member")
    tls = ("--peer-auto-tls",) if auto else given
    members = [
        launch(*flags(client, peer, f"m{at}", "http", "https"), "--initial-cluster", founders, *tls)
        for at, (client, peer) in enumerate(zip(numbers[:3], peers, strict=True))
    ]
    for member in members:
        member.wait_for(READY)
    first, last = f"http://127.0.0.1:{numbers[0]}", f"http://127.0.0.1:{numbers[2]}"
    assert etcdctl(upstream_folder, "put", "a", "1", "--endpoints", first).stdout == "OK\n"
    assert etcdctl(upstream_folder, "get", "a", "--endpoints", last).stdout == "a\n1\n"
    if not auto:
        stranger = authority.sign("stranger")
        assert refused(peers[0], context(authority.file, stranger))
        assert get(peers[0], context(authority.file, pair), "/version") == 200
        elsewhere = authority.sign("member", "elsewhere", hosts=("10.1.2.3",))
        assert refused(peers[0], context(authority.file, elsewhere))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--cert-file", "x.pem"), "must be given together"),
        (("--cert-file", "x.pem", "--key-file", "y.pem"), "cannot use certificate x.pem"),
        ((), "TLS key/cert (--cert-file, --key-file) must be provided"),
        (("--auto-tls", "--cipher-suites", "TLS_NONE"), 'unexpected TLS cipher suite "TLS_NONE"'),
        (("--auto-tls", "--tls-min-version", "TLS1.1"), "unexpected TLS version"),
        (("--auto-tls", "--tls-min-version", "TLS1.3", "--tls-max-version", "TLS1.2"), "greater than max"),
    ],
)
def test_settings_that_do_not_fit(
    launch: Callable[..., Any], ports: Callable[[int], list[int]], given: tuple[str, ...], words: str
) -> None:
    client, peer = ports(2)
    member = launch(*alone(client, peer, *given))
    assert member.process.wait(20) != 0
    assert words in member.log
    assert member.log.count("\n") == 1
