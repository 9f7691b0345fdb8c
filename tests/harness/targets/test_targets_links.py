"""Effects on links have holders, and compose."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from gauntlet.harness.targets.links import CLIENT, PEER, SWALLOW_DOWN, Links, Toxic
from gauntlet.harness.toxiproxy.adapter import ToxiproxyRefused
from gauntlet.harness.toxiproxy.launch import start_toxiproxy
from gauntlet.harness.toxiproxy.toxics import InvalidToxic

Run = Callable[[Coroutine[Any, Any, None]], None]


@asynccontextmanager
async def two_members(folder: Path, kind: str) -> AsyncIterator[Links]:
    """Links of a cluster of two whose members answer any request."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    members = await asyncio.start_server(answer, "127.0.0.1", 0)
    upstream = f"127.0.0.1:{members.sockets[0].getsockname()[1]}"
    server = await start_toxiproxy(kind, folder / "log")
    links = Links(server.client(), None, "x-")
    try:
        for name in ("m1", "m2"):
            await links.create(CLIENT, "client", name, upstream, "127.0.0.1:0")
        await links.create(PEER, "m1", "m2", upstream, "127.0.0.1:0")
        await links.create(PEER, "m2", "m1", upstream, "127.0.0.1:0")
        yield links
    finally:
        await links.close()
        await server.stop()
        members.close()


def test_holders_compose(tmp_path: Path, toxiproxy: str, run: Run) -> None:
    async def main() -> None:
        async with two_members(tmp_path, toxiproxy) as links:
            there, back = links.peer("m1", "m2"), links.peer("m2", "m1")
            assert (await links.probe(there))["result"] == "answered"
            await links.cut("f1", "m1", "m2")
            await links.block("f2", [there])
            await links.poison("f3", [there], [Toxic("latency", "downstream", {"latency": 1})])
            assert [(await links.probe(link))["result"] for link in (there, back)] == ["refused", "refused"]
            await links.release("f1")
            assert [(await links.probe(link))["result"] for link in (there, back)] == ["refused", "answered"]
            await links.bounce([there, back])  # opens nothing that is blocked
            assert (await links.probe(there))["result"] == "refused"
            assert len(await links.unclean()) == 1
            await links.release("f2")
            assert (await links.probe(there))["result"] == "answered"
            assert [toxic.name for toxic in (await links.state(there)).toxics] == ["f3-latency-downstream"]
            await links.release("f3")
            await links.release("f3")
            assert await links.unclean() == []

    run(main())


def test_mute_is_one_way(tmp_path: Path, toxiproxy: str, run: Run) -> None:
    async def main() -> None:
        async with two_members(tmp_path, toxiproxy) as links:
            await links.mute("f1", "m1", "m2")
            # What m1 says flows down what m2 dialed, and up what m1 dialed.
            assert [t.stream for t in (await links.state(links.peer("m2", "m1"))).toxics] == ["downstream"]
            assert [t.stream for t in (await links.state(links.peer("m1", "m2"))).toxics] == ["upstream"]
            assert (await links.probe(links.peer("m1", "m2"), 0.2))["result"] == "stalled"
            await links.mute("f2", "m1", "m2")
            await links.release("f1")
            assert (await links.probe(links.peer("m1", "m2"), 0.2))["result"] == "stalled"
            await links.release_all()
            assert await links.unclean() == []
            assert (await links.probe(links.peer("m1", "m2")))["result"] == "answered"

    run(main())


def test_what_failed_halfway_is_undone(tmp_path: Path, toxiproxy: str, run: Run) -> None:
    async def main() -> None:
        async with two_members(tmp_path, toxiproxy) as links:
            link = links.client("m1")
            impossible = Toxic("bandwidth", "downstream", {"rate": -1})
            with pytest.raises(InvalidToxic):
                await links.poison("f1", [link], [SWALLOW_DOWN, impossible])
            assert len((await links.state(link)).toxics) == 1
            await links.release("f1")
            assert await links.unclean() == []
            await links.block("f1", [link])
            with pytest.raises(ToxiproxyRefused):
                await links.poison("f1", [link], [SWALLOW_DOWN, SWALLOW_DOWN])
            await links.release("f1")
            assert await links.unclean() == []

    run(main())


def test_a_cancelled_call_is_carried_out_and_known(tmp_path: Path, toxiproxy: str, run: Run) -> None:
    async def main() -> None:
        async with two_members(tmp_path, toxiproxy) as links:
            task = asyncio.create_task(links.cut("f1", "m1", "m2"))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await links.release("f1")
            assert await links.unclean() == []

    run(main())
