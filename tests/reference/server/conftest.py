"""Whole clusters as processes: members of the reference node, and members of a real etcd to compare with."""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

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
        return connection.getresponse().status == 200
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
