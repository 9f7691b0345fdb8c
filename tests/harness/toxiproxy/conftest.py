"""Both servers, each started once for all tests of this folder, and small TCP peers."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from gauntlet.harness.tools.find import find_toxiproxy
from gauntlet.harness.tools.ports import PortPool
from gauntlet.harness.toxiproxy.adapter import Toxiproxy, ToxiproxyUnreachable

T = TypeVar("T")


def start(kind: str, port: int, log: Path) -> subprocess.Popen[bytes]:
    if kind == "real":
        program = find_toxiproxy()
        if program is None:
            pytest.skip("there is no toxiproxy-server on PATH or in the cache")
        command = [str(program.path), "-host", "127.0.0.1", "-port", str(port)]
    else:
        command = [sys.executable, "-m", "gauntlet.harness.toxiproxy", "--listen", f"127.0.0.1:{port}"]
    with log.open("wb") as output:
        return subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)


def run_server(kind: str, log: Path) -> Iterator[tuple[str, int]]:
    ports = PortPool()
    port = ports.take()
    process = start(kind, port, log)
    api = Toxiproxy("127.0.0.1", port)
    try:
        for _ in range(3000):
            try:
                api.version()
                break
            except ToxiproxyUnreachable:
                assert process.poll() is None, log.read_text()
        yield "127.0.0.1", port
        assert process.poll() is None, f"the server died: {log.read_text()[-2000:]}"
    finally:
        api.close()
        process.kill()
        process.wait()
        ports.close()


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    log = tmp_path_factory.mktemp("embedded") / "log"
    yield from run_server("embedded", log)
    assert "Traceback" not in log.read_text()


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    yield from run_server("real", tmp_path_factory.mktemp("real") / "log")


@pytest.fixture(params=["embedded", "real"])
def server(request: pytest.FixtureRequest) -> tuple[str, int]:
    address: tuple[str, int] = request.getfixturevalue(request.param)
    return address


@pytest.fixture
def api(server: tuple[str, int]) -> Iterator[Toxiproxy]:
    """An adapter to an empty server."""
    adapter = Toxiproxy(*server)
    for name in adapter.proxies():
        adapter.delete(name)
    yield adapter
    adapter.close()


@pytest.fixture
def run() -> Callable[[Coroutine[Any, Any, T]], T]:
    """Runs a coroutine with a deadline."""

    def runner(main: Coroutine[Any, Any, T]) -> T:
        async def bounded() -> T:
            async with asyncio.timeout(60):
                result = await main
            for _ in range(5):  # turns of the loop in which closed transports let go of their sockets
                await asyncio.sleep(0)
            return result

        return asyncio.run(bounded())

    return runner


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(guarded, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@pytest.fixture
def tcp_server() -> Callable[[Handler], Any]:
    """`async with tcp_server(handler) as address`."""
    return serving


@pytest.fixture
def echo() -> Handler:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()

    return handler
