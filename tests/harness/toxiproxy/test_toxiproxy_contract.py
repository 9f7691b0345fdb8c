"""One contract for every Toxiproxy server that a run may use: what it does to real connections."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
from gauntlet.harness.toxiproxy.adapter import Toxiproxy

Run = Callable[[Coroutine[Any, Any, None]], None]
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Serving = Callable[[Handler], Any]


def make(api: Toxiproxy, upstream: str) -> tuple[str, int]:
    state = api.create("p", upstream, "127.0.0.1:0")
    host, _, port = state.listen.rpartition(":")
    return host, int(port)


async def answer(address: tuple[str, int], data: bytes, size: int | None = None) -> bytes:
    """Sends, then reads so many bytes (all that was sent when not said) or until the end."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        writer.write(data)
        return await read(reader, len(data) if size is None else size)
    finally:
        writer.close()


async def read(reader: asyncio.StreamReader, size: int) -> bytes:
    try:
        return await reader.readexactly(size)
    except asyncio.IncompleteReadError as error:
        return error.partial


async def stays_silent(reader: asyncio.StreamReader, seconds: float) -> bool:
    try:
        return await asyncio.wait_for(reader.read(1), seconds) is None
    except TimeoutError:
        return True


PATTERN = bytes(range(256)) * 4096  # 1 MiB in which every place is known


def test_bytes_pass_both_ways(api: Toxiproxy, run: Run, tcp_server: Serving, echo: Handler) -> None:
    async def main() -> None:
        async with tcp_server(echo) as upstream:
            assert await answer(make(api, upstream), PATTERN) == PATTERN

    run(main())


def test_a_reader_that_does_not_read_stops_the_sender(api: Toxiproxy, run: Run, tcp_server: Serving) -> None:
    async def main() -> None:
        sent = 0
        stuck = asyncio.Event()

        async def pump(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            while sent < 400 * len(PATTERN):
                writer.write(PATTERN)
                sent += len(PATTERN)
                try:
                    await asyncio.wait_for(writer.drain(), 1.0)
                except TimeoutError:
                    writer.transport.abort()
                    stuck.set()
                    return

        async with tcp_server(pump) as upstream:
            _, writer = await asyncio.open_connection(*make(api, upstream), limit=1024)
            await stuck.wait()
            writer.close()

    run(main())


def test_an_upstream_that_refuses_closes_the_client(api: Toxiproxy, run: Run, tcp_server: Serving) -> None:
    async def main() -> None:
        async with tcp_server(lambda _r, _w: asyncio.sleep(0)) as upstream:
            pass
        reader, writer = await asyncio.open_connection(*make(api, upstream))
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()

    run(main())


def test_disable_kills_and_refuses_and_enable_listens_again(
    api: Toxiproxy, run: Run, tcp_server: Serving, echo: Handler
) -> None:
    async def main() -> None:
        async with tcp_server(echo) as upstream:
            address = make(api, upstream)
            reader, writer = await asyncio.open_connection(*address)
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"
            await asyncio.to_thread(api.disable, "p")
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(*address)
            writer.close()
            await asyncio.to_thread(api.enable, "p")
            assert await answer(address, b"again") == b"again"

    run(main())


def test_a_new_upstream_takes_over(api: Toxiproxy, run: Run, tcp_server: Serving, echo: Handler) -> None:
    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.read(100)).upper())

    async def main() -> None:
        async with tcp_server(echo) as first, tcp_server(shout) as second:
            address = make(api, first)
            assert await answer(address, b"word") == b"word"
            await asyncio.to_thread(api.update, "p", upstream=second)
            assert await answer(address, b"word") == b"WORD"

    run(main())


@pytest.mark.parametrize("stream", ["upstream", "downstream"])
def test_latency(api: Toxiproxy, run: Run, tcp_server: Serving, echo: Handler, stream: str) -> None:
    async def main() -> None:
        async with tcp_server(echo) as upstream:
            address = make(api, upstream)
            await asyncio.to_thread(api.add_toxic, "p", "latency", stream=stream, attributes={"latency": 150})
            begin = time.monotonic()
            assert await answer(address, b"late") == b"late"
            assert time.monotonic() - begin >= 0.15

    run(main())


def test_latency_with_jitter_keeps_the_order(
    api: Toxiproxy, run: Run, tcp_server: Serving, echo: Handler
) -> None:
    async def main() -> None:
        async with tcp_server(echo) as upstream:
            attributes = {"latency": 10, "jitter": 10}
            address = make(api, upstream)
            await asyncio.to_thread(api.add_toxic, "p", "latency", attributes=attributes)
            reader, writer = await asyncio.open_connection(*address)
            wanted = b""
            for number in range(100):
                word = f"{number},".encode()
                wanted += word
                writer.write(word)
                await writer.drain()
                await asyncio.sleep(0)
            assert await read(reader, len(wanted)) == wanted
            writer.close()

    run(main())


def test_bandwidth_is_the_rate(api: Toxiproxy, run: Run, tcp_server: Serving, echo: Handler) -> None:
    async def main() -> None:
        async with tcp_server(echo) as upstream:
            address = make(api, upstream)
            await asyncio.to_thread(api.add_toxic, "p", "bandwidth", attributes={"rate": 200})
            data = PATTERN[:120_000]
            begin = time.monotonic()
            assert await answer(address, data) == data
            assert 0.45 <= time.monotonic() - begin < 3

    run(main())


def test_bandwidth_zero_holds_everything_and_loses_nothing(
    api: Toxiproxy, run: Run, tcp_server: Serving, echo: Handler
) -> None:
    async def main() -> None:
        async with tcp_server(echo) as upstream:
            address = make(api, upstream)
            reader, writer = await asyncio.open_connection(*address)
            writer.write(b"before")
            assert await reader.readexactly(6) == b"before"
            await asyncio.to_thread(api.add_toxic, "p", "bandwidth", attributes={"rate": 0})
            writer.write(b"meanwhile")
            assert await stays_silent(reader, 0.3)
            await asyncio.to_thread(api.remove_toxic, "p", "bandwidth_downstream")
            assert await reader.readexactly(9) == b"meanwhile"
            writer.close()

    run(main())


def test_an_update_reaches_live_connections(
    api: Toxiproxy, run: Run, tcp_server: Serving, echo: Handler
) -> None:
    async def main() -> None:
        async with tcp_server(echo) as upstream:
            address = make(api, upstream)
            await asyncio.to_thread(api.add_toxic, "p", "latency", attributes={"latency": 0})
            reader, writer = await asyncio.open_connection(*address)
            writer.write(b"a")
            assert await reader.readexactly(1) == b"a"
            await asyncio.to_thread(api.update_toxic, "p", "latency_downstream", attributes={"latency": 200})
            begin = time.monotonic()
            writer.write(b"b")
            assert await reader.readexactly(1) == b"b"
            assert time.monotonic() - begin >= 0.2
            writer.close()

    run(main())


def test_slow_close(api: Toxiproxy, run: Run, tcp_server: Serving) -> None:
    async def goodbye(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"bye")

    async def main() -> None:
        async with tcp_server(goodbye) as upstream:
            address = make(api, upstream)
            await asyncio.to_thread(api.add_toxic, "p", "slow_close", attributes={"delay": 300})
            begin = time.monotonic()
            reader, writer = await asyncio.open_connection(*address)
            assert await reader.readexactly(3) == b"bye"
            assert time.monotonic() - begin < 0.3
            assert await reader.read() == b""
            assert time.monotonic() - begin >= 0.3
            writer.close()

    run(main())


def test_timeout_swallows_then_closes(api: Toxiproxy, run: Run, tcp_server: Serving, echo: Handler) -> None:
    async def main() -> None:
        async with tcp_server(echo) as upstream:
            address = make(api, upstream)
            await asyncio.to_thread(api.add_toxic, "p", "timeout", attributes={"timeout": 300})
            begin = time.monotonic()
            assert await answer(address, b"lost") == b""
            assert time.monotonic() - begin >= 0.3

    run(main())


@pytest.mark.parametrize("stream", ["upstream", "downstream"])
def test_timeout_zero_swallows_until_its_removal_closes(
    api: Toxiproxy, run: Run, tcp_server: Serving, echo: Handler, stream: str
) -> None:
    """What a mute is made of: silence while it lasts, a fresh start after it."""

    async def main() -> None:
        async with tcp_server(echo) as upstream:
            address = make(api, upstream)
            reader, writer = await asyncio.open_connection(*address)
            writer.write(b"before")
            assert await reader.readexactly(6) == b"before"
            await asyncio.to_thread(
                api.add_toxic, "p", "timeout", name="mute", stream=stream, attributes={"timeout": 0}
            )
            for _ in range(20):
                writer.write(b"lost" * 1000)
            assert await stays_silent(reader, 0.3)
            begin = time.monotonic()
            await asyncio.to_thread(api.remove_toxic, "p", "mute")
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)
            assert time.monotonic() - begin < 1.0
            writer.close()
            assert await answer(address, b"anew") == b"anew"

    run(main())


def test_reset_peer(api: Toxiproxy, run: Run, tcp_server: Serving, echo: Handler) -> None:
    async def main() -> None:
        async with tcp_server(echo) as upstream:
            address = make(api, upstream)
            await asyncio.to_thread(api.add_toxic, "p", "reset_peer", attributes={"timeout": 100})
            begin = time.monotonic()
            with pytest.raises(ConnectionResetError):
                await answer(address, b"x")
            assert time.monotonic() - begin >= 0.1

    run(main())


def test_slicer(api: Toxiproxy, run: Run, tcp_server: Serving, echo: Handler) -> None:
    async def main() -> None:
        async with tcp_server(echo) as upstream:
            address = make(api, upstream)
            attributes = {"average_size": 100, "size_variation": 20, "delay": 2000}
            await asyncio.to_thread(api.add_toxic, "p", "slicer", attributes=attributes)
            data = PATTERN[:3000]
            reader, writer = await asyncio.open_connection(*address)
            writer.write(data)
            pieces: list[bytes] = []
            while sum(map(len, pieces)) < len(data):
                pieces.append(await reader.read(65536))
                assert pieces[-1]
            assert b"".join(pieces) == data
            assert len(pieces) >= 5
            writer.close()

    run(main())


@pytest.mark.parametrize(("stream", "arrives"), [("downstream", b"0123456"), ("upstream", b"0123456")])
def test_limit_data(
    api: Toxiproxy, run: Run, tcp_server: Serving, echo: Handler, stream: str, arrives: bytes
) -> None:
    async def main() -> None:
        received: asyncio.Queue[bytes] = asyncio.Queue()

        async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            seen = b""
            try:
                while data := await reader.read(100):
                    seen += data
                    writer.write(data)
            finally:  # a connection that was cut may end with a reset
                received.put_nowait(seen)

        async with tcp_server(keep) as upstream:
            address = make(api, upstream)
            await asyncio.to_thread(api.add_toxic, "p", "limit_data", stream=stream, attributes={"bytes": 7})
            for _ in range(2):  # the count is each connection's own
                got = await answer(address, b"0123456789", 100)
                # The client may see the end before the server has read its last bytes.
                kept = await received.get()
                assert (got if stream == "downstream" else kept) == arrives

    run(main())


def test_toxics_stack(api: Toxiproxy, run: Run, tcp_server: Serving, echo: Handler) -> None:
    async def main() -> None:
        async with tcp_server(echo) as upstream:
            address = make(api, upstream)
            for stream in ("upstream", "downstream"):
                await asyncio.to_thread(
                    api.add_toxic, "p", "latency", stream=stream, attributes={"latency": 100}
                )
            await asyncio.to_thread(api.add_toxic, "p", "limit_data", attributes={"bytes": 3})
            begin = time.monotonic()
            assert await answer(address, b"0123456789", 100) == b"012"
            assert time.monotonic() - begin >= 0.2
            await asyncio.to_thread(api.reset)
            assert await answer(address, b"0123456789") == b"0123456789"

    run(main())


@pytest.mark.parametrize(("toxicity", "least", "most"), [(0.0, 0, 0), (0.5, 5, 55), (1.0, 60, 60)])
def test_toxicity_is_drawn_per_connection(
    api: Toxiproxy, run: Run, tcp_server: Serving, echo: Handler, toxicity: float, least: int, most: int
) -> None:
    async def main() -> None:
        async with tcp_server(echo) as upstream:
            address = make(api, upstream)
            await asyncio.to_thread(
                api.add_toxic, "p", "limit_data", toxicity=toxicity, attributes={"bytes": 1}
            )
            answers = await asyncio.gather(*(answer(address, b"xy") for _ in range(60)))
            assert set(answers) <= {b"x", b"xy"}
            assert least <= answers.count(b"x") <= most

    run(main())


def test_deleting_a_proxy_ends_its_connections(
    api: Toxiproxy, run: Run, tcp_server: Serving, echo: Handler
) -> None:
    async def main() -> None:
        async with tcp_server(echo) as upstream:
            address = make(api, upstream)
            reader, writer = await asyncio.open_connection(*address)
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"
            await asyncio.to_thread(api.delete, "p")
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(*address)
            writer.close()

    run(main())
