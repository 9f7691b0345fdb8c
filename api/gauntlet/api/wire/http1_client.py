"""A small HTTP/1.1 client on asyncio: one request at a time on a connection, and a pool per server.

`HttpClientConnection` is what streams use: `begin` a request and a sink gets the head and every piece of
the body as it arrives. `fetch` and `upload` wait for a whole answer. `HttpClientPool` keeps one or two
connections to one server open between requests.

Every failure below HTTP is an `HttpClientError`: refused, lost, timed out, not understood, too large. A
status of any kind is an answer, not a failure.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

import httptools
from gauntlet.api.wire.listening import unix_path

MAX_BODY = 64 << 20
MAX_HEAD = 1 << 20
# An idle connection older than this is not used again: etcd members hang up after 5 s of silence.
MAX_IDLE_SECONDS = 3.0


class HttpClientError(Exception):
    """The request has no whole answer. It may have been processed."""


class NotSentError(HttpClientError):
    """No connection could be made, so the request cannot have been processed."""


@dataclass(slots=True)
class HttpResponse:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port of a URL; `base` is its path without a slash at the end.

    With the schemes unix and unixs the host is the path of a socket, often one that looks like host:port.
    """

    scheme: str
    host: str
    port: int
    base: str = ""

    @classmethod
    def parse(cls, url: str) -> Origin:
        """ValueError when the URL is not one of a server that speaks HTTP."""
        parts = urlsplit(url)
        if parts.scheme in ("unix", "unixs") and (path := unix_path(url)):
            return cls(parts.scheme, path, 0)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"not an HTTP URL: {url!r}")
        port = parts.port if parts.port is not None else (443 if parts.scheme == "https" else 80)
        return cls(parts.scheme, parts.hostname, port, parts.path.rstrip("/"))

    @property
    def authority(self) -> str:
        if self.scheme.startswith("unix"):
            return "localhost" if "/" in self.host else self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class ResponseSink(Protocol):
    """Gets an answer as it arrives: the head once, data, then the end or the error, once."""

    def on_head(self, status: int, headers: dict[str, str]) -> None: ...

    def on_data(self, data: bytes) -> None: ...

    def on_end(self) -> None: ...

    def on_error(self, error: HttpClientError) -> None: ...


class _Collector:
    """A sink that waits for the whole answer."""

    __slots__ = ("_headers", "_limit", "_parts", "_size", "_status", "done", "heard")

    def __init__(self, limit: int) -> None:
        self.done: asyncio.Future[HttpResponse] = asyncio.get_running_loop().create_future()
        self.heard = False
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0
        self._status = 0
        self._headers: dict[str, str] = {}

    def on_head(self, status: int, headers: dict[str, str]) -> None:
        self.heard = True
        self._status, self._headers = status, headers

    def on_data(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._limit:
            self.on_error(HttpClientError(f"the answer is larger than {self._limit} bytes"))
        else:
            self._parts.append(data)

    def on_end(self) -> None:
        if not self.done.done():
            self.done.set_result(HttpResponse(self._status, self._headers, b"".join(self._parts)))

    def on_error(self, error: HttpClientError) -> None:
        if not self.done.done():
            self.done.set_exception(error)


class HttpClientConnection(asyncio.Protocol):
    """One connection to one server."""

    _transport: asyncio.Transport

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.used = False
        self.closed = False
        self.idle_since = 0.0
        self.last_heard = 0.0
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._sink: ResponseSink | None = None
        self._headers: dict[str, str] = {}
        self._head_bytes = 0
        self._status = 0
        self._keep_alive = False
        self._ends_with_connection = False
        self._head_only = False
        self._writable = asyncio.Event()
        self._writable.set()

    @classmethod
    async def open(
        cls,
        origin: Origin,
        *,
        tls: ssl.SSLContext | None = None,
        timeout: float = 5.0,
        local_host: str = "",
    ) -> HttpClientConnection:
        """Dial within `timeout` seconds, from the address `local_host` if given; NotSentError when that
        fails."""
        loop = asyncio.get_running_loop()
        context: ssl.SSLContext | None = None
        if origin.scheme.endswith("s"):
            context = tls or ssl.create_default_context()
        local_address = (local_host, 0) if local_host else None
        try:
            async with asyncio.timeout(timeout):
                if origin.scheme.startswith("unix"):
                    name = origin.authority.partition(":")[0] if context else None
                    _, connection = await loop.create_unix_connection(
                        lambda: cls(origin), origin.host, ssl=context, server_hostname=name
                    )
                else:
                    _, connection = await loop.create_connection(
                        lambda: cls(origin), origin.host, origin.port, ssl=context, local_addr=local_address
                    )
        except TimeoutError as error:
            raise NotSentError(f"dial {origin.authority}: no connection within {timeout:g} s") from error
        except (OSError, UnicodeError) as error:  # A host name that IDNA cannot encode is a UnicodeError.
            raise NotSentError(f"dial {origin.authority}: {error}") from error
        return connection

    # Requests.

    def begin(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes | None,
        sink: ResponseSink,
        *,
        chunked: bool = False,
    ) -> None:
        """Send a request; the sink hears of the answer. With `chunked` the body follows by `send_piece`."""
        if self._sink is not None:
            raise RuntimeError("a request is under way on this connection")
        if self.closed:
            raise NotSentError("the connection is closed")
        self._sink = sink
        self._head_only = method == "HEAD"
        self.used = True
        self.last_heard = self._loop.time()
        lines = [f"{method} {target} HTTP/1.1\r\nHost: {self.origin.authority}\r\n"]
        lines.extend(f"{name}: {value}\r\n" for name, value in headers.items())
        if chunked:
            lines.append("Transfer-Encoding: chunked\r\n\r\n")
        elif body is not None:
            lines.append(f"Content-Length: {len(body)}\r\n\r\n")
        else:
            lines.append("\r\n")
        head = "".join(lines).encode("latin-1")
        self._transport.write(head + body if body else head)

    def send_piece(self, data: bytes) -> None:
        if data and not self.closed:
            self._transport.writelines((b"%x\r\n" % len(data), data, b"\r\n"))

    def end_pieces(self) -> None:
        if not self.closed:
            self._transport.write(b"0\r\n\r\n")

    async def fetch(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        *,
        timeout: float | None = None,
        max_body: int = MAX_BODY,
    ) -> HttpResponse:
        """A request and its whole answer, within `timeout` seconds."""
        collector = _Collector(max_body)
        self.begin(method, target, headers or {}, body, collector)
        return await self._wait(collector, timeout)

    async def upload(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        pieces: Iterable[bytes] | AsyncIterable[bytes],
        *,
        stall_timeout: float = 5.0,
        answer_timeout: float = 5.0,
    ) -> HttpResponse:
        """A request with a body of unknown length. It stops early when the server answers early.

        `stall_timeout` is how long the server may take none of it; `answer_timeout` counts from its end.
        """
        collector = _Collector(MAX_BODY)
        self.begin(method, target, headers, None, collector, chunked=True)
        whole = True
        try:
            if isinstance(pieces, AsyncIterable):
                async for piece in pieces:
                    if not await self._push(piece, collector, stall_timeout):
                        whole = False
                        break
            else:
                for piece in pieces:
                    if not await self._push(piece, collector, stall_timeout):
                        whole = False
                        break
        except BaseException:
            # The body is broken off: the server must not take it for a whole one.
            collector.done.cancel()
            self.abort()
            raise
        if whole:
            self.end_pieces()
            return await self._wait(collector, answer_timeout)
        try:
            return await self._wait(collector, answer_timeout)
        finally:
            self.close()

    async def _push(self, piece: bytes, collector: _Collector, stall_timeout: float) -> bool:
        self.send_piece(piece)
        try:
            async with asyncio.timeout(stall_timeout):
                await self._writable.wait()
        except TimeoutError as error:
            raise HttpClientError(f"the server took nothing for {stall_timeout:g} s") from error
        return not (self.closed or collector.heard or collector.done.done())

    async def _wait(self, collector: _Collector, timeout: float | None) -> HttpResponse:
        try:
            async with asyncio.timeout(timeout):
                return await collector.done
        except TimeoutError as error:
            self.abort()
            raise HttpClientError(f"no answer within {timeout:g} s") from error
        except BaseException:
            self.abort()
            raise

    @property
    def reusable(self) -> bool:
        fresh = self._loop.time() - self.idle_since < MAX_IDLE_SECONDS
        return not self.closed and self._sink is None and (not self.used or fresh)

    def close(self) -> None:
        if not self.closed:
            self._transport.close()

    def abort(self) -> None:
        if not self.closed:
            self._transport.abort()

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    @property
    def local_port(self) -> int:
        name = self._transport.get_extra_info("sockname")
        return int(name[1]) if isinstance(name, tuple) else 0

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self.last_heard = self._loop.time()
        if self._sink is None:
            # Nothing was asked: whatever this is, the connection cannot be trusted with a request.
            self._transport.abort()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            self._transport.abort()
            raise error.__context__ or error from None
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(HttpClientError(f"the answer is not HTTP/1.1: {error}"))
            self._transport.abort()
            return
        if self._status == 0 and self._head_bytes > MAX_HEAD:
            self._fail(HttpClientError("the head of the answer is too large"))
            self._transport.abort()

    def eof_received(self) -> bool:
        if self._status and self._ends_with_connection:
            self._complete()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._writable.set()
        self._fail(HttpClientError(str(exc) if exc else "the connection was closed"))

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self._sink is None:
            # An answer nobody asked for came together with one that was.
            self._transport.abort()
            self.closed = True
        self._headers = {}
        self._head_bytes = 0
        self._status = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        key = name.decode("latin-1").lower()
        text = value.decode("latin-1")
        held = self._headers.get(key)
        self._headers[key] = text if held is None else f"{held}, {text}"
        self._head_bytes += len(name) + len(value)

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200 or self._sink is None:
            return
        self._status = status
        self._keep_alive = self._parser.should_keep_alive()
        headers = self._headers
        self._ends_with_connection = (
            "content-length" not in headers
            and "chunked" not in headers.get("transfer-encoding", "")
            and status not in (204, 304)
        )
        self._sink.on_head(status, headers)
        if self._head_only:
            # The parser would wait for the body that the length announces.
            self._keep_alive = False
            self._complete()

    def on_body(self, body: bytes) -> None:
        if self._sink is not None:
            self._sink.on_data(body)

    def on_message_complete(self) -> None:
        if self._status:
            self._complete()

    # Inside.

    def _complete(self) -> None:
        sink, self._sink = self._sink, None
        self._status = 0
        self.idle_since = self._loop.time()
        if not self._keep_alive:
            self.close()
        if sink is not None:
            sink.on_end()

    def _fail(self, error: HttpClientError) -> None:
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.on_error(error)


class HttpClientPool:
    """At most `size` connections to one server, kept for a few seconds between requests."""

    def __init__(
        self,
        url: str,
        *,
        tls: ssl.SSLContext | None = None,
        size: int = 2,
        dial_timeout: float = 5.0,
        local_host: str = "",
    ) -> None:
        self.origin = Origin.parse(url)
        self._tls = tls
        self._dial_timeout = dial_timeout
        self._local_host = local_host
        self._slots = asyncio.Semaphore(size)
        self._idle: deque[HttpClientConnection] = deque()
        self._busy: set[HttpClientConnection] = set()
        self._closed = False

    async def fetch(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        *,
        timeout: float = 5.0,
        retry: bool = False,
    ) -> HttpResponse:
        """One request, waiting in line for a connection; `timeout` is for the answer, in seconds.

        With `retry` a request is sent again, on a new connection, when the kept one turned out to be dead.
        """
        async with self._slots:
            connection = await self._take(fresh=False)
            kept = connection.used
            try:
                return await self._ask(connection, method, path, headers, body, timeout)
            except HttpClientError:
                if not (retry and kept) or self._closed:
                    raise
            connection = await self._take(fresh=True)
            return await self._ask(connection, method, path, headers, body, timeout)

    def close(self) -> None:
        self._closed = True
        for connection in [*self._idle, *self._busy]:
            connection.abort()
        self._idle.clear()

    async def _ask(
        self,
        connection: HttpClientConnection,
        method: str,
        path: str,
        headers: Mapping[str, str] | None,
        body: bytes | None,
        timeout: float,
    ) -> HttpResponse:
        self._busy.add(connection)
        try:
            return await connection.fetch(method, self.origin.base + path, headers, body, timeout=timeout)
        finally:
            self._busy.discard(connection)
            if connection.reusable and not self._closed:
                self._idle.append(connection)
            else:
                connection.close()

    async def _take(self, *, fresh: bool) -> HttpClientConnection:
        if self._closed:
            raise NotSentError("the pool is closed")
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable and not fresh:
                return connection
            connection.close()
        return await HttpClientConnection.open(
            self.origin, tls=self._tls, timeout=self._dial_timeout, local_host=self._local_host
        )
