"""Whole clusters as processes: members of the reference node, and members of a real etcd to compare with."""

from __future__ import annotations

import http.client
import ipaddress
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

RELEASE = "3.7.1"
START_SECONDS = 30.0
STOP_SECONDS = 10.0
REFERENCE = [sys.executable, "-m", "gauntlet.reference.server.main"]


def wait_until(holds: Callable[[], bool], seconds: float, what: str) -> None:
    """Looks again and again until `holds` does; fails when it does not in time."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not holds():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {seconds} s in vain for {what}")
        pause.wait(0.03)


def find_upstream() -> Path:
    """The folder of etcd and etcdctl of the release that the node follows; skips the test without them."""
    candidates = [
        os.environ.get("GAUNTLET_TEST_ETCD"),
        str(Path.home() / ".cache" / "gauntlet" / "etcd" / RELEASE / "etcd"),
        shutil.which("etcd"),
    ]
    for candidate in candidates:
        if candidate and Path(candidate).is_file() and (Path(candidate).parent / "etcdctl").is_file():
            shown = subprocess.run([candidate, "--version"], capture_output=True, text=True, timeout=20)
            if f"etcd Version: {RELEASE}" in shown.stdout:
                return Path(candidate).parent
    pytest.skip(f"no etcd {RELEASE} with etcdctl in GAUNTLET_TEST_ETCD, the cache or on PATH")


class Cluster:
    """Members m1, m2 ... on ports of the loopback interface: those for the clients first, then the peers'.

    `endpoints` are host:port, in the members' order. The same ports give the members the same ids.
    """

    def __init__(self, command: list[str], folder: Path, ports: list[int], flags: tuple[str, ...]) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        size = len(ports) // 2
        self.endpoints = [f"127.0.0.1:{port}" for port in ports[:size]]
        peers = [f"http://127.0.0.1:{port}" for port in ports[size:]]
        founders = ",".join(f"m{number}={url}" for number, url in enumerate(peers, 1))
        self.processes = []
        for number, (endpoint, peer) in enumerate(zip(self.endpoints, peers, strict=True), 1):
            client = f"http://{endpoint}"
            with (folder / f"m{number}.log").open("wb") as log:
                process = subprocess.Popen(
                    [
                        *command,
                        *("--name", f"m{number}", "--data-dir", str(folder / f"m{number}")),
                        *("--listen-client-urls", client, "--advertise-client-urls", client),
                        *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
                        *("--initial-cluster", founders, "--initial-cluster-token", "same"),
                        *("--unsafe-no-fsync", *flags),
                    ],
                    stdout=log,
                    stderr=log,
                )
            self.processes.append(process)

    def wait_healthy(self) -> None:
        for endpoint in self.endpoints:
            wait_until(partial(healthy, endpoint), START_SECONDS, f"{endpoint} to be healthy")

    def stop(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for probe in sockets:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in sockets]
    finally:
        for probe in sockets:
            probe.close()


def healthy(endpoint: str) -> bool:
    connection = http.client.HTTPConnection(endpoint, timeout=5)
    try:
        connection.request("GET", "/health")
        with connection.getresponse() as answer:
            return answer.status == 200
    except OSError:
        return False
    finally:
        connection.close()


@pytest.fixture(scope="session")
def upstream_folder() -> Path:
    """Where etcd and etcdctl of the right release are."""
    return find_upstream()


StartCluster = Callable[..., Cluster]


@pytest.fixture
def start_cluster(tmp_path: Path) -> Iterator[StartCluster]:
    """`start(kind, ports, *flags)`: a healthy cluster; kind is "reference" or "upstream"."""
    started: list[Cluster] = []

    def start(kind: str, ports: list[int], *flags: str) -> Cluster:
        command = REFERENCE if kind == "reference" else [str(find_upstream() / "etcd")]
        cluster = Cluster(command, tmp_path / f"{kind}{len(started)}", ports, flags)
        started.append(cluster)
        cluster.wait_healthy()
        return cluster

    yield start
    for cluster in started:
        cluster.stop()


@pytest.fixture
def ports() -> Callable[[int], list[int]]:
    """So many free ports."""
    return free_ports


@pytest.fixture(name="wait_until")
def wait_until_fixture() -> Callable[[Callable[[], bool], float, str], None]:
    return wait_until


class LoneMember:
    """One process of the reference node with just the flags given; `log` is what it has written so far."""

    def __init__(self, folder: Path, flags: tuple[str, ...], environment: dict[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._log = folder / "log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*REFERENCE, *flags], stdout=log, stderr=log, cwd=folder, env={**os.environ, **environment}
            )

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def wait_for(self, words: str) -> None:
        def there() -> bool:
            if words in self.log:
                return True
            if self.process.poll() is not None:
                pytest.fail(f"the member ended before it wrote {words!r}: {self.log[-2000:]}")
            return False

        wait_until(there, START_SECONDS, f"{words!r} in the log")

    def stop(self) -> int:
        self.process.terminate()
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., LoneMember]]:
    """`launch(*flags, environment={})` starts the node's command; nothing is waited for."""
    started: list[LoneMember] = []

    def start(*flags: str, environment: dict[str, str] | None = None) -> LoneMember:
        member = LoneMember(tmp_path / f"member{len(started)}", flags, environment or {})
        started.append(member)
        return member

    yield start
    for member in started:
        member.stop()


@dataclass
class Pair:
    """A certificate and its key, as files."""

    cert: Path
    key: Path
    serial: int


class Authority:
    """A certificate authority for tests. Everything it signs is for 127.0.0.1 and localhost."""

    def __init__(self, folder: Path, name: str = "tests") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = (
            self._builder(self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.file = folder / "ca.pem"
        self.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=1))
            .not_valid_after(now + timedelta(days=1))
        )

    def sign(self, name: str, file: str = "", hosts: tuple[str, ...] = ("127.0.0.1", "localhost")) -> Pair:
        """A pair for the common name; `file` is the stem of its files, made anew if they exist."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        names: list[x509.GeneralName] = []
        for host in hosts:
            try:
                names.append(x509.IPAddress(ipaddress.ip_address(host)))
            except ValueError:
                names.append(x509.DNSName(host))
        builder = self._builder(subject, key.public_key())
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        pair = Pair(
            self.folder / f"{file or name}.pem",
            self.folder / f"{file or name}.key",
            certificate.serial_number,
        )
        pair.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        pair.cert.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return pair

    def revoke(self, *serials: int) -> Path:
        """A revocation list."""
        now = datetime.now(UTC)
        builder = x509.CertificateRevocationListBuilder().issuer_name(self._name)
        builder = builder.last_update(now - timedelta(minutes=1)).next_update(now + timedelta(days=1))
        for serial in serials:
            entry = x509.RevokedCertificateBuilder().serial_number(serial)
            builder = builder.add_revoked_certificate(entry.revocation_date(now).build())
        path = self.folder / "crl.pem"
        path.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        return path


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")
