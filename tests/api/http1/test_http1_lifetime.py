"""How long an HTTP/1.1 connection lives: slow, idle, half-closed, vanished clients; both sides' endings."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from gauntlet.api.wire.http1 import HttpServerProtocol
from gauntlet.api.wire.http_types import HttpLimits, HttpRequest, HttpResponder

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


def run(work: Any) -> Any:
    return asyncio.run(work)


def whole(request: HttpRequest, responder: HttpResponder) -> None:
    responder.send(200, b"whole")


def test_reading_stops_while_too_many_requests_wait(serve: Any, until: Any) -> None:
    first: list[HttpResponder] = []

    def handler(request: HttpRequest, responder: HttpResponder) -> None:
        if not first:
            first.append(responder)
        else:
            responder.send(200, b"x")

    async def go() -> tuple[bool, bytes]:
        async with serve(handler, HttpLimits(pipeline_depth=2)) as server:
            reader, writer = await server.raw()
            writer.write(GET * 4 + LAST)
            await until(lambda: bool(first))
            reading = server.protocols[0].transport.is_reading()
            first[0].send(200, b"x")
            async with asyncio.timeout(10):
                answer = await reader.read()
            writer.close()
            return reading, answer

    reading, answer = run(go())
    assert not reading
    assert answer.count(b"HTTP/1.1 200 OK") == 5


def test_who_pipelines_behind_an_answer_without_end_is_cut_off(serve: Any) -> None:
    """While it is not read from, nobody would see it leave."""

    async def go() -> bytes:
        limits = HttpLimits(pipeline_depth=2, stall_timeout=0.05)
        async with serve(lambda request, responder: responder.start(200), limits) as server:
            reader, writer = await server.raw()
            writer.write(GET * 4)
            async with asyncio.timeout(10):
                with contextlib.suppress(ConnectionResetError):
                    await reader.read()
            writer.close()
            return b"cut"

    assert run(go()) == b"cut"


def test_a_slow_head_is_cut_off_even_when_it_trickles(serve: Any) -> None:
    async def go() -> float:
        loop = asyncio.get_running_loop()
        async with serve(whole, HttpLimits(header_timeout=0.3)) as server, asyncio.timeout(10):
            reader, writer = await server.raw()
            began = loop.time()
            read = asyncio.ensure_future(reader.read())
            writer.write(b"GET / HTTP/1.1\r\nX: ")
            while not read.done():
                writer.write(b"y")
                await asyncio.wait({read}, timeout=0.05)
            assert read.exception() is not None or read.result() == b""
            writer.close()
            return loop.time() - began

    assert 0.2 < run(go()) < 5


def test_an_idle_connection_is_closed(serve: Any) -> None:
    async def go() -> bytes:
        async with serve(whole, HttpLimits(idle_timeout=0.05)) as server:
            return await server.say(GET)

    assert run(go()).endswith(b"whole")


def test_on_close_is_called_when_the_client_goes(serve: Any, until: Any) -> None:
    events: list[str] = []
    responders: list[HttpResponder] = []

    def handler(request: HttpRequest, responder: HttpResponder) -> None:
        responder.on_close(lambda: events.append("closed"))
        responder.start(200)
        responders.append(responder)

    async def go() -> None:
        async with serve(handler) as server:
            _, writer = await server.raw()
            writer.write(GET)
            await until(lambda: bool(responders))
            writer.close()
            await until(lambda: bool(events))
            responders[0].write(b"too late")
            responders[0].end()
            assert responders[0].closed

    run(go())
    assert events == ["closed"]


def test_on_close_is_not_called_after_a_whole_answer(serve: Any) -> None:
    events: list[str] = []

    def handler(request: HttpRequest, responder: HttpResponder) -> None:
        responder.on_close(lambda: events.append("closed"))
        responder.send(200, b"x")

    async def go() -> None:
        async with serve(handler) as server:
            await server.say(LAST)

    run(go())
    assert events == []


def test_a_client_that_shuts_its_half_still_gets_the_answer(serve: Any) -> None:
    def handler(request: HttpRequest, responder: HttpResponder) -> None:
        asyncio.get_running_loop().call_later(0.05, responder.send, 200, b"late")

    async def go() -> bytes:
        async with serve(handler) as server, asyncio.timeout(10):
            reader, writer = await server.raw()
            writer.write(GET)
            writer.write_eof()
            answer = await reader.read()
            writer.close()
            return answer

    assert run(go()).endswith(b"late")


def test_a_client_that_shuts_its_half_is_not_waited_for_without_end(serve: Any, until: Any) -> None:
    """It may have gone altogether, and an answer that never begins would never find out."""
    events: list[str] = []

    def handler(request: HttpRequest, responder: HttpResponder) -> None:
        responder.on_close(lambda: events.append("closed"))

    async def go() -> None:
        async with serve(handler, HttpLimits(stall_timeout=0.05)) as server:
            _, writer = await server.raw()
            writer.write(GET)
            writer.write_eof()
            await until(lambda: events == ["closed"])
            writer.close()

    run(go())


def test_a_failing_handler_costs_its_connection_and_is_heard_of(serve: Any) -> None:
    def handler(request: HttpRequest, responder: HttpResponder) -> None:
        raise LookupError("a bug")

    async def go() -> tuple[bytes, list[str]]:
        async with serve(handler) as server, asyncio.timeout(10):
            return await server.say(GET), server.errors

    answer, errors = run(go())
    assert answer == b""
    assert errors == ["LookupError('a bug')"]


def test_backlog_and_drain(serve: Any, until: Any) -> None:
    drained: list[bool] = []
    responders: list[HttpResponder] = []

    def handler(request: HttpRequest, responder: HttpResponder) -> None:
        responder.on_drain(lambda: drained.append(True))
        responder.start(200)
        responder.write(bytes(16 << 20))
        responders.append(responder)

    async def go() -> None:
        async with serve(handler) as server, asyncio.timeout(20):
            reader, writer = await server.raw()
            writer.write(GET)
            await until(lambda: bool(responders))
            assert responders[0].backlog > 1 << 20
            assert not drained
            got = 0
            while got < 16 << 20:
                got += len(await reader.read(1 << 20))
            await until(lambda: bool(drained))
            assert responders[0].backlog < 1 << 20
            writer.close()

    run(go())


def test_shut_down_waits_for_the_answer_under_way(serve: Any, until: Any) -> None:
    responders: list[HttpResponder] = []

    def handler(request: HttpRequest, responder: HttpResponder) -> None:
        responders.append(responder)

    async def go() -> bytes:
        async with serve(handler) as server, asyncio.timeout(10):
            reader, writer = await server.raw()
            writer.write(GET)
            await until(lambda: bool(responders))
            server.protocols[0].shut_down()
            responders[0].send(200, b"done")
            answer = await reader.read()
            writer.close()
            return answer

    answer = run(go())
    assert b"Connection: close\r\n" in answer
    assert answer.endswith(b"done")


def test_a_connection_can_be_handed_over_with_the_bytes_read_so_far(until: Any) -> None:
    """What the listener does that first looks whether a client speaks HTTP/2."""

    class Sniffer(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            protocol = HttpServerProtocol(whole)
            self.transport.set_protocol(protocol)
            protocol.connection_made(self.transport)
            protocol.data_received(data)

    async def go() -> bytes:
        server = await asyncio.get_running_loop().create_server(Sniffer, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
        writer.write(LAST[:30])
        await asyncio.sleep(0.01)
        writer.write(LAST[30:])
        async with asyncio.timeout(10):
            answer = await reader.read()
        writer.close()
        server.close()
        return answer

    assert run(go()).endswith(b"whole")
