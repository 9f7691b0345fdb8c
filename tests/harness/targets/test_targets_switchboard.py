"""The switchboard knows who dials, and lends each pair its own link."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from gauntlet.harness.targets.dialer import DialerLookup
from gauntlet.harness.targets.switchboard_client import SwitchboardClient, SwitchboardError
from gauntlet.harness.tools.ports import PortPool

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="dialers are looked up in Linux's /proc")

Run = Callable[[Coroutine[Any, Any, None]], None]

# Dials a port whenever told to by a line, says a word, and prints what it hears.
DIALER = """
import socket, sys
for line in sys.stdin:
    try:  # a reset may come as early as the dial itself
        with socket.create_connection(("127.0.0.1", int(line)), timeout=10) as connection:
            connection.sendall(b"hello")
            print(connection.recv(100).decode() or "end", flush=True)
    except OSError as error:
        print(type(error).__name__, flush=True)
"""


class Dialer:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid

    async def dial(self, port: int) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{port}\n".encode())
        return (await self._process.stdout.readline()).decode().strip()


@asynccontextmanager
async def dialer() -> AsyncIterator[Dialer]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", DIALER, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        yield Dialer(process)
    finally:
        await process.communicate(b"")  # the end of its input ends it


@asynccontextmanager
async def named(name: str, port: int) -> AsyncIterator[None]:
    """A link that answers with its name."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        word = await reader.read(100)
        writer.write(f"{name} heard {word.decode()}".encode())
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", port)
    try:
        yield
    finally:
        server.close()


def test_links_by_dialer(tmp_path: Path, run: Run) -> None:
    async def main() -> None:
        ports = PortPool()
        shared, to_m1_from_m2, to_m1_from_m3 = ports.take(), ports.take(), ports.take()
        board = SwitchboardClient(tmp_path / "log")
        await board.start(
            {"m1": ("127.0.0.1", shared)},
            {("m2", "m1"): ("127.0.0.1", to_m1_from_m2), ("m3", "m1"): ("127.0.0.1", to_m1_from_m3)},
        )
        async with dialer() as m2, dialer() as m3, dialer() as stranger:
            async with named("m2-m1", to_m1_from_m2), named("m3-m1", to_m1_from_m3):
                await board.set_pids({"m2": m2.pid, "m3": m3.pid})
                assert await m2.dial(shared) == "m2-m1 heard hello"
                assert await m3.dial(shared) == "m3-m1 heard hello"
                assert await m2.dial(shared) == "m2-m1 heard hello"
            assert await m3.dial(shared) == "ConnectionResetError"  # its link does not listen any more
            assert await stranger.dial(shared) == "ConnectionResetError"
            counts = await board.counts()
            answer = len("m2-m1 heard hello")
            assert (counts["m2", "m1"].opened, counts["m2", "m1"].up, counts["m2", "m1"].down) == (
                2,
                10,
                2 * answer,
            )
            assert (counts["m3", "m1"].opened, counts["m3", "m1"].refused) == (1, 1)
            lookups = await board.lookups()
            assert lookups["strangers"] == 1
            assert lookups["count"] >= 5
        await board.stop()
        with pytest.raises(SwitchboardError):
            await board.counts()
        ports.close()

    run(main())


def test_a_dialer_may_be_faster_than_the_news_of_its_pid(tmp_path: Path, run: Run) -> None:
    async def main() -> None:
        ports = PortPool()
        shared, link = ports.take(), ports.take()
        board = SwitchboardClient(tmp_path / "log")
        await board.start({"m1": ("127.0.0.1", shared)}, {("m2", "m1"): ("127.0.0.1", link)})
        async with dialer() as m2, named("m2-m1", link):
            dialing = asyncio.create_task(m2.dial(shared))
            while (await board.lookups())["count"] < 2:
                pass
            await board.set_pids({"m2": m2.pid})
            assert await dialing == "m2-m1 heard hello"
        await board.stop()
        ports.close()

    run(main())


def test_a_port_that_is_taken_is_said(tmp_path: Path, run: Run) -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            board = SwitchboardClient(tmp_path / "log")
            with pytest.raises(SwitchboardError, match="address already in use"):
                await board.start({"m1": ("127.0.0.1", taken.getsockname()[1])}, {})
            await board.stop()

    run(main())


@pytest.mark.parametrize("kernel", [True, False], ids=["netlink", "proc"])
def test_both_ways_to_look_up(kernel: bool) -> None:
    lookup = DialerLookup()
    if not kernel:
        lookup.close()
        lookup._netlink = None
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        accepted, peer = listener.accept()
        with ours, accepted:
            wanted = os.fstat(ours.fileno()).st_ino
            assert lookup.inode(peer, listener.getsockname()) == wanted
            assert lookup.find(peer, listener.getsockname(), {"me": os.getpid()}) == "me"
            assert lookup.find(peer, listener.getsockname(), {"init": 1}) is None
            assert lookup.inode(("127.0.0.1", 1), ("127.0.0.1", 2)) is None
    if kernel:
        lookup.close()


def test_a_child_of_the_member_counts_as_the_member() -> None:
    """A member may be started by a wrapper; it leads the session in which its children are."""
    script = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1], sys.argv[2]])"
    inner = "import socket, sys; c = socket.create_connection(('127.0.0.1', int(sys.argv[1]))); c.recv(1)"
    lookup = DialerLookup()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        with subprocess.Popen(
            [sys.executable, "-c", script, inner, str(address[1])], start_new_session=True
        ) as wrapper:
            accepted, peer = listener.accept()
            with accepted:
                assert lookup.find(peer, address, {"m1": wrapper.pid}) == "m1"
    lookup.close()
