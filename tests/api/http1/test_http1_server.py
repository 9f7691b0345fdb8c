"""The HTTP/1.1 server against raw bytes, the way clients, proxies and fuzzers send them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from gauntlet.api.wire.http1 import HttpServerProtocol
from gauntlet.api.wire.http_types import HttpLimits, HttpRequest, HttpResponder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

CLOSE = b"Connection: close\r\n"


def run(work: Any) -> Any:
    return asyncio.run(work)


def echo(request: HttpRequest, responder: HttpResponder) -> None:
    """Answers method, path, query and body."""

    def answer(body: bytes) -> None:
        text = f"{request.method} {request.path} {dict(request.query)} ".encode() + body
        responder.send(200, text)

    request.read_body(answer, 1 << 20)


def split(answer: bytes) -> tuple[list[bytes], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.split(b"\r\n"), body


def get(path: str, *extra: str) -> bytes:
    lines = [f"GET {path} HTTP/1.1", "Host: a", *extra]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def post(path: str, body: bytes, *extra: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: a", f"Content-Length: {len(body)}", *extra]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def test_answers_a_request(serve: Any) -> None:
    async def go() -> bytes:
        async with serve(echo) as server:
            return await server.say(get("/a%20b?x=1&x=2&y", "Connection: close"))

    lines, body = split(run(go()))
    assert lines[0] == b"HTTP/1.1 200 OK"
    assert b"Content-Type: text/plain; charset=utf-8" in lines
    assert b"Connection: close" in lines
    assert f"Content-Length: {len(body)}".encode() in lines
    assert any(line.startswith(b"Date: ") and line.endswith(b" GMT") for line in lines)
    assert body == b"GET /a b {'x': ['1', '2'], 'y': ['']} "


@pytest.mark.parametrize("size", [1, 2, 7, 64])
def test_bytes_may_arrive_in_any_pieces(serve: Any, size: int) -> None:
    data = post("/p", b"hello") + get("/q", "Connection: close")

    async def go() -> bytes:
        async with serve(echo) as server:
            return await server.say(*(data[i : i + size] for i in range(0, len(data), size)))

    answer = run(go())
    assert b"POST /p {} hello" in answer
    assert answer.endswith(b"GET /q {} ")


def test_pipelined_requests_are_answered_in_order_even_when_answers_come_late(serve: Any) -> None:
    pending: list[HttpResponder] = []
    order: list[str] = []

    def handler(request: HttpRequest, responder: HttpResponder) -> None:
        order.append(request.path)
        if request.path == "/slow":
            pending.append(responder)
            asyncio.get_running_loop().call_later(0.05, responder.send, 200, b"slow.")
        else:
            assert pending[0].closed, "the next request is served only after the answer before it"
            responder.send(200, request.path.encode())

    async def go() -> bytes:
        async with serve(handler) as server:
            return await server.say(get("/slow") + get("/next") + get("/last", "Connection: close"))

    answer = run(go())
    assert order == ["/slow", "/next", "/last"]
    assert answer.index(b"slow.") < answer.index(b"/next") < answer.index(b"/last")


def test_head_has_no_body_but_its_length(serve: Any) -> None:
    def handler(request: HttpRequest, responder: HttpResponder) -> None:
        responder.send(200, b"12345")

    async def go() -> bytes:
        async with serve(handler) as server:
            return await server.say(b"HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")

    lines, body = split(run(go()))
    assert b"Content-Length: 5" in lines
    assert body == b""


def test_no_content_has_neither_body_nor_length(serve: Any) -> None:
    def handler(request: HttpRequest, responder: HttpResponder) -> None:
        responder.send(204)

    async def go() -> bytes:
        async with serve(handler) as server:
            return await server.say(get("/", "Connection: close"))

    answer = run(go())
    assert answer.startswith(b"HTTP/1.1 204 No Content\r\n")
    assert b"Content-Length" not in answer
    assert b"Transfer-Encoding" not in answer
    assert answer.endswith(b"\r\n\r\n")


def test_a_streamed_answer_goes_out_piece_by_piece(serve: Any) -> None:
    responders: list[HttpResponder] = []

    def handler(request: HttpRequest, responder: HttpResponder) -> None:
        responder.start(200)
        responders.append(responder)

    async def go() -> None:
        async with serve(handler) as server, asyncio.timeout(10):
            reader, writer = await server.raw()
            writer.write(get("/"))
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"Transfer-Encoding: chunked" in head
            responders[0].write(b"hello")
            assert await reader.readexactly(10) == b"5\r\nhello\r\n"
            responders[0].write(b"!" * 16)
            assert await reader.readexactly(22) == b"10\r\n" + b"!" * 16 + b"\r\n"
            responders[0].end()
            assert await reader.readexactly(5) == b"0\r\n\r\n"
            # The connection is still good.
            writer.write(get("/"))
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
            writer.close()

    run(go())


def test_http_1_0_gets_its_stream_up_to_the_end_of_the_connection(serve: Any) -> None:
    def handler(request: HttpRequest, responder: HttpResponder) -> None:
        responder.start(200)
        responder.write(b"all")
        responder.end()

    async def go() -> bytes:
        async with serve(handler) as server:
            return await server.say(b"GET / HTTP/1.0\r\n\r\n")

    lines, body = split(run(go()))
    assert b"Transfer-Encoding: chunked" not in lines
    assert body == b"all"


def test_http_1_0_keeps_alive_only_when_asked(serve: Any) -> None:
    async def go() -> tuple[bytes, bytes]:
        async with serve(echo) as server:
            once = await server.say(b"GET /1 HTTP/1.0\r\n\r\n" * 2)
            kept = b"GET /1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
            return once, await server.say(kept + b"GET /2 HTTP/1.0\r\n\r\n")

    once, twice = run(go())
    assert once.count(b"200 OK") == 1
    assert twice.count(b"200 OK") == 2
    assert b"Connection: keep-alive" in twice


def test_continue_is_sent_when_the_handler_wants_the_body(serve: Any) -> None:
    async def go() -> tuple[bytes, bytes]:
        async with serve(echo) as server, asyncio.timeout(10):
            reader, writer = await server.raw()
            writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
            interim = await reader.readuntil(b"\r\n\r\n")
            writer.write(b"ok")
            head = await reader.readuntil(b"\r\n\r\n")
            writer.close()
            return interim, head

    interim, head = run(go())
    assert interim == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert head.startswith(b"HTTP/1.1 200")
    assert CLOSE not in head


def test_a_refusal_without_reading_costs_the_connection_of_a_client_that_waits(serve: Any) -> None:
    def handler(request: HttpRequest, responder: HttpResponder) -> None:
        responder.send(412, b"no")

    async def go() -> bytes:
        async with serve(handler) as server:
            return await server.say(
                b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n"
            )

    answer = run(go())
    assert answer.startswith(b"HTTP/1.1 412")
    assert b"100 Continue" not in answer
    assert CLOSE in answer


def test_a_small_body_nobody_reads_is_discarded(serve: Any) -> None:
    def handler(request: HttpRequest, responder: HttpResponder) -> None:
        responder.send(200, request.path.encode())

    async def go() -> bytes:
        async with serve(handler) as server:
            return await server.say(post("/1", b"ignored"), get("/2", "Connection: close"))

    answer = run(go())
    assert answer.count(b"HTTP/1.1 200 OK") == 2


def test_a_large_body_nobody_reads_ends_the_connection_after_the_answer(serve: Any) -> None:
    def handler(request: HttpRequest, responder: HttpResponder) -> None:
        responder.send(412, b"refused")

    async def go() -> bytes:
        async with serve(handler, HttpLimits(discard_bytes=1000)) as server, asyncio.timeout(10):
            reader, writer = await server.raw()
            writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n" + b"x" * 100_000)
            answer = await reader.read()
            writer.close()
            return answer

    answer = run(go())
    assert CLOSE in answer
    assert answer.endswith(b"refused")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit_is_413(serve: Any, chunked: bool) -> None:
    def handler(request: HttpRequest, responder: HttpResponder) -> None:
        request.read_body(lambda body: responder.send(200, b"read"), 10)

    if chunked:
        data = (
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n12345678901\r\n0\r\n\r\n"
        )
    else:
        data = post("/", b"12345678901")

    async def go() -> bytes:
        async with serve(handler) as server:
            return await server.say(data)

    assert run(go()).startswith(b"HTTP/1.1 413 ")


def test_a_streamed_body_can_be_paused(serve: Any, until: Any) -> None:
    sizes: list[int] = []
    ended: list[bool] = []
    requests: list[HttpRequest] = []

    def handler(request: HttpRequest, responder: HttpResponder) -> None:
        def data(piece: bytes) -> None:
            sizes.append(len(piece))
            request.pause()

        def end() -> None:
            ended.append(True)
            responder.send(200, b"%d" % sum(sizes))

        requests.append(request)
        request.on_data(data)
        request.on_end(end)

    total = 4 << 20

    async def go() -> bytes:
        async with serve(handler) as server, asyncio.timeout(20):
            reader, writer = await server.raw()
            writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % total + bytes(total))
            await until(lambda: bool(sizes))
            transport = server.protocols[0].transport
            assert not transport.is_reading()
            held = sum(sizes)
            await asyncio.sleep(0.05)
            assert sum(sizes) == held, "a paused body brings nothing"
            while not ended:
                requests[0].resume()
                await asyncio.sleep(0.001)
            await reader.readuntil(b"\r\n\r\n")
            body = await reader.readexactly(len(str(total)))
            writer.close()
            return body

    assert run(go()) == str(total).encode()


BAD = {
    "no HTTP at all": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "a method of no kind": b"garbage\r\n\r\n",
    "a space in a name": b"GET / HTTP/1.1\r\nHo st: a\r\n\r\n",
    "length twice": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
    "length and chunks": (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "a negative length": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -3\r\n\r\nabc",
    "a chunk of no size": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n",
}


@pytest.mark.parametrize("name", BAD)
def test_malformed_requests_are_400_and_the_end(serve: Any, name: str) -> None:
    async def go() -> tuple[bytes, list[str]]:
        async with serve(echo) as server:
            return await server.say(BAD[name]), server.errors

    answer, errors = run(go())
    assert answer == (
        b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
        b"Connection: close\r\n\r\n400 Bad Request"
    )
    assert errors == []


def test_a_request_without_host_is_refused(serve: Any) -> None:
    async def go() -> bytes:
        async with serve(echo) as server:
            return await server.say(b"GET / HTTP/1.1\r\n\r\n")

    assert run(go()).endswith(b"400 Bad Request: missing required Host header")


def test_another_version_is_505(serve: Any) -> None:
    async def go() -> bytes:
        async with serve(echo) as server:
            return await server.say(b"GET / HTTP/2.0\r\nHost: a\r\n\r\n")

    assert run(go()).startswith(b"HTTP/1.1 505 HTTP Version Not Supported")


def test_a_malformed_request_behind_a_good_one_leaves_the_good_answer(serve: Any) -> None:
    async def go() -> bytes:
        async with serve(echo) as server:
            return await server.say(get("/good") + b"rubbish\r\n\r\n")

    answer = run(go())
    assert b"GET /good" in answer
    assert answer.endswith(b"400 Bad Request")


@pytest.mark.parametrize("whole", [False, True])
def test_a_head_over_the_limit_is_431(serve: Any, whole: bool) -> None:
    data = b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 5000 + (b"\r\n\r\n" if whole else b"")

    async def go() -> bytes:
        async with serve(echo, HttpLimits(header_bytes=4000)) as server:
            return await server.say(data)

    assert run(go()).startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")


def test_an_upgrade_offer_is_declined_and_its_body_read(serve: Any) -> None:
    offer = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__")

    async def go() -> bytes:
        async with serve(echo) as server:
            return await server.say(post("/up", b"body", *offer), get("/next", "Connection: close"))

    answer = run(go())
    assert b"101" not in answer.split(b"\r\n")[0]
    assert b"POST /up {} body" in answer
    assert answer.endswith(b"GET /next {} ")


@pytest.mark.parametrize("length", [2, 20])
def test_an_answer_of_another_length_than_announced_breaks_off(serve: Any, length: int) -> None:
    def handler(request: HttpRequest, responder: HttpResponder) -> None:
        responder.start(200, content_length=length)

        def answer() -> None:
            responder.write(b"12345")
            responder.end()

        with pytest.raises(RuntimeError, match="announced"):
            answer()

    async def go() -> bytes:
        async with serve(handler) as server, asyncio.timeout(10):
            return bytes(await server.say(get("/")))

    head, body = split(run(go()))
    assert not head[0] or f"Content-Length: {length}".encode() in head
    assert len(body) < length, "the client can tell that the answer is not whole"


def test_a_header_cannot_smuggle_a_line(serve: Any) -> None:
    refused: list[bool] = []

    def handler(request: HttpRequest, responder: HttpResponder) -> None:
        try:
            responder.send(200, b"", headers=[("X", "a\r\nSet-Cookie: b")])
        except ValueError:
            refused.append(True)
            raise

    async def go() -> None:
        async with serve(handler) as server, asyncio.timeout(10):
            reader, writer = await server.raw()
            writer.write(get("/"))
            assert await reader.read() == b""
            writer.close()

    run(go())
    assert refused == [True]


class _Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += bytes(data)

    def writelines(self, list_of_data: Any) -> None:
        self.sent += b"".join(list_of_data)

    def get_write_buffer_size(self) -> int:
        return 0

    def can_write_eof(self) -> bool:
        return False

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


PIECES = st.lists(
    st.one_of(
        st.binary(max_size=40),
        st.sampled_from([get("/"), post("/", b"abc"), *BAD.values(), b"\r\n", b"GET / HTTP/1.1\r\n"]),
    ),
    max_size=8,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(pieces=PIECES, cuts=st.lists(st.integers(1, 60), max_size=10))
def test_no_input_raises_and_every_answer_is_one(pieces: list[bytes], cuts: list[int]) -> None:
    async def go() -> bytes:
        wire = _Wire()
        protocol = HttpServerProtocol(echo)
        protocol.connection_made(wire)
        data = b"".join(pieces)
        for cut in [*cuts, len(data)]:
            piece, data = data[:cut], data[cut:]
            if piece and not wire.closing:
                protocol.data_received(piece)
        protocol.connection_lost(None)
        return wire.sent

    sent = asyncio.run(go())
    assert sent == b"" or sent.startswith(b"HTTP/1.1 ")
