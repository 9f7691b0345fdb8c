"""Transports on the loopback, a recording handler for them, and a real etcd where there is one."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from gauntlet.api.wire.http1 import HttpServerProtocol
from gauntlet.api.wire.http_types import HttpHandler
from gauntlet.reference.raft.types import Message

DEADLINE = 15.0


class Recorder:
    """A RaftHandler that keeps what it is told."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.snapshots: list[tuple[Message, bytes]] = []
        self.unreachable: list[int] = []
        self.snapshot_reports: list[tuple[int, bool]] = []
        self.removed_ids: set[int] = set()
        self.told_removed = 0
        self.react: Callable[[Message], None] = lambda message: None

    def on_message(self, message: Message) -> None:
        self.messages.append(message)
        self.react(message)

    def on_snapshot(self, message: Message, data: bytes) -> None:
        self.snapshots.append((message, data))

    def report_unreachable(self, member_id: int) -> None:
        self.unreachable.append(member_id)

    def report_snapshot(self, member_id: int, ok: bool) -> None:
        self.snapshot_reports.append((member_id, ok))

    def is_removed(self, member_id: int) -> bool:
        return member_id in self.removed_ids

    def on_removed(self) -> None:
        self.told_removed += 1


class Listener:
    """A port whose server can be stopped, connections and all, and started again."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._server: asyncio.Server | None = None
        self._protocols: list[HttpServerProtocol] = []

    async def open(self, handler: HttpHandler) -> None:
        def make() -> HttpServerProtocol:
            self._protocols.append(HttpServerProtocol(handler))
            return self._protocols[-1]

        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(make, "127.0.0.1", self.port)

    async def close(self) -> None:
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        for protocol in self._protocols:
            protocol.transport.abort()
        self._protocols.clear()
        await server.wait_closed()
        await asyncio.sleep(0)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def recorder() -> type[Recorder]:
    return Recorder


@pytest.fixture
def listener() -> Callable[[], AbstractAsyncContextManager[Listener]]:
    @asynccontextmanager
    async def make() -> AsyncIterator[Listener]:
        held = Listener(free_port())
        try:
            yield held
        finally:
            await held.close()

    return make


@pytest.fixture
def until() -> Callable[..., object]:
    async def wait(condition: Callable[[], object], seconds: float = DEADLINE) -> None:
        try:
            async with asyncio.timeout(seconds):
                while True:
                    if condition():
                        return
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError("the condition did not come true in time") from None

    return wait


@pytest.fixture
def member_ids() -> Callable[[list[str], str], tuple[list[int], int]]:
    """Member ids in the order of the URLs, and the cluster id, of a cluster of one-URL members."""

    def compute(urls: list[str], token: str) -> tuple[list[int], int]:
        ids = [int.from_bytes(hashlib.sha1((url + token).encode()).digest()[:8]) for url in urls]
        joined = b"".join(member.to_bytes(8) for member in sorted(ids))
        return ids, int.from_bytes(hashlib.sha1(joined).digest()[:8])

    return compute


class RealMember:
    """A member of upstream's, with its data below `folder` and its log in `folder`/log."""

    def __init__(self, binary: str, folder: Path, flags: list[str]) -> None:
        self.log = folder / "log"
        environment = {key: value for key, value in os.environ.items() if not key.startswith("ETCD_")}
        with self.log.open("wb") as out:
            self._process = subprocess.Popen(
                [binary, "--data-dir", str(folder / "data"), *flags],
                stdout=out,
                stderr=subprocess.STDOUT,
                env=environment,
            )

    def stop(self) -> None:
        self._process.kill()
        self._process.wait(10)


@pytest.fixture
def etcd_binary() -> str:
    """The etcd that is found (meant for 3.7.1, also good with 3.5 and 3.6); skips where there is none."""
    candidates = [
        os.environ.get("GAUNTLET_TEST_ETCD"),
        shutil.which("etcd"),
        str(Path.home() / ".cache/gauntlet/etcd/3.7.1/etcd"),
    ]
    binary = next((path for path in candidates if path and Path(path).is_file()), None)
    if binary is None:
        pytest.skip("no etcd binary: set GAUNTLET_TEST_ETCD or put one on PATH")
    return binary


@pytest.fixture
def etcd_version(etcd_binary: str) -> str:
    told = subprocess.run([etcd_binary, "--version"], capture_output=True, text=True, check=True, timeout=10)
    return told.stdout.splitlines()[0].removeprefix("etcd Version: ")


@pytest.fixture
def real_etcd(tmp_path: Path, etcd_binary: str) -> Iterator[Callable[..., RealMember]]:
    """Starts real members, and stops them at the end."""
    running: list[RealMember] = []

    def start(*flags: str) -> RealMember:
        folder = tmp_path / f"member{len(running)}"
        folder.mkdir()
        running.append(RealMember(etcd_binary, folder, list(flags)))
        return running[-1]

    yield start
    for member in running:
        member.stop()


@pytest.fixture
def port() -> Callable[[], int]:
    return free_port
