"""The HTTP/1.1 client: against our own server, and against servers that misbehave."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from gauntlet.api.wire.http1_client import (
    HttpClientConnection,
    HttpClientError,
    HttpClientPool,
    NotSentError,
    Origin,
)
from gauntlet.api.wire.http_types import HttpRequest, HttpResponder
from gauntlet.api.wire.server import Server


def echo(request: HttpRequest, responder: HttpResponder) -> None:
    request.read_body(lambda body: responder.send(200, request.path.encode() + b" " + body), 1 << 24)


@asynccontextmanager
async def scripted(*answers: bytes, close: bool = True) -> AsyncIterator[int]:
    """A server that sends the next answer to each request head, whatever it says."""
    left = list(answers)
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        try:
            while left:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(left.pop(0))
                await writer.drain()
                if close:
                    break
            if not close:
                await reader.read()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await server.wait_closed()
        await asyncio.sleep(0)


def url(port: int) -> str:
    return f"http://127.0.0.1:{port}"


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("http://a:2380", Origin("http", "a", 2380)),
        ("https://a/base/", Origin("https", "a", 443, "/base")),
        ("http://[::1]:1/", Origin("http", "::1", 1)),
        ("unix://a:2380", Origin("unix", "a:2380", 0)),
        ("unixs://a:2380", Origin("unixs", "a:2380", 0)),
    ],
)
def test_urls(text: str, origin: Origin) -> None:
    assert Origin.parse(text) == origin
    assert Origin.parse(f"{origin.scheme}://{origin.authority}{origin.base}") == origin


@pytest.mark.parametrize("text", ["", "a:1", "unix://", "http://", "http://a:x", "http://a:99999"])
def test_what_is_no_url(text: str) -> None:
    with pytest.raises(ValueError):
        Origin.parse(text)


def test_pool_reuses_a_connection_and_holds_no_more_than_its_size(serve: Any) -> None:
    async def go() -> int:
        async with serve(echo) as server:
            pool = HttpClientPool(url(server.port), size=2)
            for i in range(5):
                answer = await pool.fetch("POST", f"/{i}", body=b"x" * i)
                assert answer.body == b"/%d " % i + b"x" * i
            assert len(server.protocols) == 1
            answers = await asyncio.gather(*(pool.fetch("GET", f"/{i}") for i in range(20)))
            assert [answer.body for answer in answers] == [b"/%d " % i for i in range(20)]
            pool.close()
            with pytest.raises(NotSentError):
                await pool.fetch("GET", "/")
            return len(server.protocols)

    assert asyncio.run(go()) == 2


def test_a_kept_connection_that_died_is_replaced_once(serve: Any, until: Any) -> None:
    async def go() -> None:
        async with serve(echo) as server:
            pool = HttpClientPool(url(server.port))
            await pool.fetch("GET", "/1")
            server.protocols[0].transport.abort()
            answer = await pool.fetch("GET", "/2", retry=True)
            assert answer.body == b"/2 "
            assert len(server.protocols) == 2
            pool.close()

    asyncio.run(go())


def test_without_retry_a_lost_answer_is_an_error(serve: Any) -> None:
    def lose(request: HttpRequest, responder: HttpResponder) -> None:
        responder.abort()

    async def go() -> None:
        async with serve(lose) as server:
            pool = HttpClientPool(url(server.port))
            with pytest.raises(HttpClientError):
                await pool.fetch("GET", "/")
            assert len(server.protocols) == 1
            pool.close()

    asyncio.run(go())


def test_a_refused_dial_is_known_not_to_have_been_sent() -> None:
    async def go() -> None:
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            with pytest.raises(NotSentError):
                await HttpClientPool(url(held.getsockname()[1])).fetch("GET", "/")

    asyncio.run(go())


def test_a_host_that_cannot_exist_is_a_failed_dial() -> None:
    async def go() -> None:
        with pytest.raises(NotSentError):
            await HttpClientPool(f"http://{'a' * 100}.invalid:1").fetch("GET", "/")

    asyncio.run(go())


def test_a_dial_into_the_void_times_out() -> None:
    async def go() -> None:
        with socket.socket() as held:
            # A full accept queue answers no handshake.
            held.bind(("127.0.0.1", 0))
            held.listen(0)
            port = held.getsockname()[1]
            fill = [socket.socket() for _ in range(4)]
            try:
                for one in fill:
                    one.setblocking(False)
                    one.connect_ex(("127.0.0.1", port))
                with pytest.raises(NotSentError):
                    await HttpClientPool(url(port), dial_timeout=0.1).fetch("GET", "/")
            finally:
                for one in fill:
                    one.close()

    asyncio.run(go())


def test_no_answer_in_time_is_an_error_and_the_end_of_the_connection(serve: Any, until: Any) -> None:
    gone: list[bool] = []

    def never(request: HttpRequest, responder: HttpResponder) -> None:
        responder.on_close(lambda: gone.append(True))
        responder.start(200)

    async def go() -> None:
        async with serve(never) as server:
            pool = HttpClientPool(url(server.port))
            with pytest.raises(HttpClientError, match="no answer within"):
                await pool.fetch("GET", "/", timeout=0.1)
            await until(lambda: bool(gone))
            pool.close()

    asyncio.run(go())


ANSWERS = {
    "by length": (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", 200, b"abc"),
    "in chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 200, b"abc"),
    "up to the end": (b"HTTP/1.1 200 OK\r\n\r\nabc", 200, b"abc"),
    "after an interim one": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", 204, b""),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_answers_of_every_form(name: str) -> None:
    data, status, body = ANSWERS[name]

    async def go() -> None:
        async with scripted(data) as port:
            pool = HttpClientPool(url(port))
            answer = await pool.fetch("GET", "/", timeout=5)
            assert (answer.status, answer.body) == (status, body)
            pool.close()

    asyncio.run(go())


@pytest.mark.parametrize(
    "data",
    [
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"",
    ],
)
def test_broken_answers_are_errors(data: bytes) -> None:
    async def go() -> None:
        async with scripted(data) as port:
            pool = HttpClientPool(url(port))
            with pytest.raises(HttpClientError):
                await pool.fetch("GET", "/", timeout=5)
            pool.close()

    asyncio.run(go())


def test_a_head_request_has_no_body(serve: Any) -> None:
    async def go() -> None:
        async with serve(echo) as server:
            pool = HttpClientPool(url(server.port))
            answer = await pool.fetch("HEAD", "/x", timeout=5)
            assert (answer.status, answer.body) == (200, b"")
            assert answer.headers["content-length"] == "3"
            pool.close()

    asyncio.run(go())


def test_an_answer_over_the_limit_is_an_error(serve: Any) -> None:
    def big(request: HttpRequest, responder: HttpResponder) -> None:
        responder.send(200, bytes(10_000))

    async def go() -> None:
        async with serve(big) as server:
            connection = await HttpClientConnection.open(Origin.parse(url(server.port)))
            with pytest.raises(HttpClientError, match="larger than"):
                await connection.fetch("GET", "/", max_body=9_999, timeout=5)

    asyncio.run(go())


def test_an_upload_goes_out_in_pieces(serve: Any) -> None:
    sizes: list[int] = []

    def take(request: HttpRequest, responder: HttpResponder) -> None:
        assert request.headers["transfer-encoding"] == "chunked"
        request.on_data(lambda data: sizes.append(len(data)))
        request.on_end(lambda: responder.send(200, b"%d" % sum(sizes)))

    def pieces() -> Iterator[bytes]:
        for _ in range(40):
            yield bytes(100_000)

    async def go() -> bytes:
        async with serve(take) as server:
            connection = await HttpClientConnection.open(Origin.parse(url(server.port)))
            answer = await connection.upload("POST", "/", {}, pieces())
            connection.close()
            return answer.body

    assert asyncio.run(go()) == b"4000000"


def test_an_upload_stops_when_the_server_has_answered(serve: Any) -> None:
    sent: list[int] = []

    def refuse(request: HttpRequest, responder: HttpResponder) -> None:
        responder.send(412, b"cluster ID mismatch\n")

    async def pieces() -> AsyncIterator[bytes]:
        for i in range(100_000):
            sent.append(i)
            yield bytes(10_000)
            await asyncio.sleep(0)

    async def go() -> int:
        async with serve(refuse) as server:
            connection = await HttpClientConnection.open(Origin.parse(url(server.port)))
            answer = await connection.upload("POST", "/", {}, pieces())
            return answer.status

    assert asyncio.run(go()) == 412
    assert len(sent) < 10_000


def test_an_upload_that_breaks_off_never_looks_whole(serve: Any, until: Any) -> None:
    events: list[str] = []

    def take(request: HttpRequest, responder: HttpResponder) -> None:
        request.on_data(lambda data: events.append("data"))
        request.on_end(lambda: events.append("end"))
        responder.on_close(lambda: events.append("lost"))

    def pieces() -> Iterator[bytes]:
        yield b"part"
        raise OSError("the disk failed")

    async def go() -> None:
        async with serve(take) as server:
            connection = await HttpClientConnection.open(Origin.parse(url(server.port)))
            with pytest.raises(OSError, match="the disk failed"):
                await connection.upload("POST", "/", {}, pieces())
            await until(lambda: bool(server.protocols) and server.protocols[0].transport.is_closing())

    asyncio.run(go())
    assert "end" not in events


def test_an_upload_nobody_takes_stalls(serve: Any) -> None:
    def hold(request: HttpRequest, responder: HttpResponder) -> None:
        request.on_data(lambda data: None)
        request.pause()

    def pieces() -> Iterator[bytes]:
        while True:
            yield bytes(1 << 20)

    async def go() -> None:
        async with serve(hold) as server:
            connection = await HttpClientConnection.open(Origin.parse(url(server.port)))
            with pytest.raises(HttpClientError, match="took nothing"):
                await connection.upload("POST", "/", {}, pieces(), stall_timeout=0.2)

    asyncio.run(go())


def test_unasked_data_ends_the_connection(until: Any) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na"

    async def go() -> None:
        async with scripted(answer + answer, close=False) as port:
            connection = await HttpClientConnection.open(Origin.parse(url(port)))
            first = await connection.fetch("GET", "/", timeout=5)
            assert first.body == b"a"
            assert not connection.reusable, "an answer to nothing came with the first"

    asyncio.run(go())


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context, and a client's that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    chain = tmp_path / "chain.pem"
    chain.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(chain)
    return server, ssl.create_default_context(cafile=str(chain))


def test_tls(serve: Any, certificate: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    at_server, at_client = certificate

    async def go() -> None:
        async with serve(echo, tls=at_server) as server:
            target = f"https://127.0.0.1:{server.port}"
            pool = HttpClientPool(target, tls=at_client)
            body = bytes(300_000)
            answer = await pool.fetch("POST", "/tls", body=body, timeout=10)
            assert answer.body == b"/tls " + body
            pool.close()
            with pytest.raises(NotSentError, match="certificate"):
                await HttpClientPool(target).fetch("GET", "/")
            with pytest.raises(HttpClientError):
                await HttpClientPool(url(server.port)).fetch("GET", "/", timeout=5)

    asyncio.run(go())


@pytest.mark.parametrize("scheme", ["unix", "unixs"])
def test_sockets_that_look_like_addresses(
    scheme: str,
    certificate: tuple[ssl.SSLContext, ssl.SSLContext],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    at_server, at_client = certificate

    def name(request: HttpRequest, responder: HttpResponder) -> None:
        request.read_body(lambda _: responder.send(200, request.headers["host"].encode()), 1)

    async def go() -> None:
        server = Server({}, name)
        target = await server.listen(f"{scheme}://127.0.0.1:1", at_server if scheme == "unixs" else None)
        for named in (target, f"{scheme}://{tmp_path}/127.0.0.1:1"):
            if named == target or scheme == "unix":
                pool = HttpClientPool(named, tls=at_client)
                answer = await pool.fetch("GET", "/", timeout=10)
                assert answer.body == (b"127.0.0.1:1" if named == target else b"localhost")
                pool.close()
        await server.close()

    asyncio.run(go())
