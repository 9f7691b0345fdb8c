"""Sessions of other people's clients: each runs against a fresh member of ours and one of real etcd."""

from __future__ import annotations

import difflib
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

RELEASE = "3.7.1"
START_SECONDS = 30.0
SESSION_SECONDS = 120.0
REFERENCE = [sys.executable, "-m", "gauntlet.reference.server.main"]


def find_etcd() -> str:
    named = os.environ.get("GAUNTLET_TEST_ETCD")
    cached = Path.home() / ".cache" / "gauntlet" / "etcd" / RELEASE / "etcd"
    for candidate in (named, str(cached), shutil.which("etcd")):
        if candidate and Path(candidate).is_file():
            shown = subprocess.run([candidate, "--version"], capture_output=True, text=True, timeout=20)
            if f"etcd Version: {RELEASE}" in shown.stdout:
                return candidate
    pytest.skip(f"no etcd {RELEASE} in GAUNTLET_TEST_ETCD, the cache or on PATH")


def free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1]), int(two.getsockname()[1])


class Member:
    """A cluster of one. `address` is host:port; `certificate` is what it serves TLS with, if it does."""

    def __init__(self, command: list[str], folder: Path, tls: bool) -> None:
        folder.mkdir(parents=True)
        port, peer = free_ports()
        scheme = "https" if tls else "http"
        self.address = f"127.0.0.1:{port}"
        self.url = f"{scheme}://{self.address}"
        self.certificate = folder / "data" / "fixtures" / "client" / "cert.pem"
        self._tls = tls
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [
                    *(*command, "--name", "m1", "--data-dir", str(folder / "data"), "--unsafe-no-fsync"),
                    *("--listen-client-urls", self.url, "--advertise-client-urls", self.url),
                    *("--listen-peer-urls", f"http://127.0.0.1:{peer}"),
                    *("--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}"),
                    *("--initial-cluster", f"m1=http://127.0.0.1:{peer}"),
                    *(["--auto-tls"] if tls else []),
                ],
                stdout=log,
                stderr=log,
            )

    def wait_healthy(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        pause = threading.Event()
        while not self._healthy():
            assert time.monotonic() < deadline, f"{self.url} was not healthy in {START_SECONDS} s"
            pause.wait(0.05)

    def _healthy(self) -> bool:
        if self._tls:  # its certificate signs itself: nobody can ask it for its health yet
            with socket.socket() as probe:
                port = int(self.address.rpartition(":")[2])
                return probe.connect_ex(("127.0.0.1", port)) == 0 and self.certificate.is_file()
        connection = http.client.HTTPConnection(self.address, timeout=5)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


StartMember = Callable[..., Member]


@pytest.fixture
def start_member(tmp_path: Path) -> Iterator[StartMember]:
    """`start(kind, tls=False)`: a healthy member; kind is "reference" or "upstream"."""
    started: list[Member] = []

    def start(kind: str, tls: bool = False) -> Member:
        command = REFERENCE if kind == "reference" else [find_etcd()]
        member = Member(command, tmp_path / f"{kind}{len(started)}", tls)
        started.append(member)
        member.wait_healthy()
        return member

    yield start
    for member in started:
        member.stop()


def transcript(command: list[str], folder: Path | None = None) -> list[str]:
    """What the session prints. It ends with ["done"], or it has failed."""
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=SESSION_SECONDS, cwd=folder, check=False
    )
    lines = done.stdout.splitlines()
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert json.loads(lines[-1]) == ["done"]
    return lines


Compare = Callable[[Callable[[Member], list[str]]], list[str]]


@pytest.fixture
def compare(start_member: StartMember) -> Callable[..., list[str]]:
    """`compare(session, tls=False)` plays `session(member)` on both, and fails where the lines differ."""

    def run(session: Callable[[Member], list[str]], tls: bool = False) -> list[str]:
        theirs, ours = (session(start_member(kind, tls)) for kind in ("upstream", "reference"))
        difference = "\n".join(difflib.unified_diff(theirs, ours, "upstream", "reference", lineterm="", n=0))
        assert not difference, difference
        return ours

    return run


@pytest.fixture(name="transcript")
def transcript_fixture() -> Callable[..., list[str]]:
    return transcript
