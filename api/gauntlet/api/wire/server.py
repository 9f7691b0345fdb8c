"""The listener: gRPC over HTTP/2 and HTTP/1.1 on the same port, plain, over TLS, and on Unix sockets.

What a connection speaks is settled by ALPN where TLS says it, else by its first bytes: the HTTP/2 preface, or
a first line that names HTTP/1. What is neither is closed without an answer, as etcd's multiplexer does. A
server without an HTTP handler takes everything for HTTP/2.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Mapping
from enum import Enum
from ssl import SSLContext
from typing import Any
from urllib.parse import urlsplit

from gauntlet.api.wire.connection import Connection
from gauntlet.api.wire.deadlines import Deadlines
from gauntlet.api.wire.either import EitherListener
from gauntlet.api.wire.frames import PREFACE
from gauntlet.api.wire.grpc import Dispatcher
from gauntlet.api.wire.hpack_cache import Head
from gauntlet.api.wire.http1 import HttpServerProtocol
from gauntlet.api.wire.http1_response import date_line
from gauntlet.api.wire.http2 import Http2Protocol, peer_of
from gauntlet.api.wire.http2_exchange import Exchange
from gauntlet.api.wire.http_types import HttpHandler
from gauntlet.api.wire.limits import Limits
from gauntlet.api.wire.listening import BACKLOG, SCHEMES, open_socket, unix_path
from gauntlet.api.wire.status import go_quote
from gauntlet.api.wire.types import Method

ALPN = ["h2", "http/1.1"]
LONGEST_FIRST_LINE = 4096

__all__ = ["Limits", "Server"]


class Speech(Enum):
    OPEN = 0
    HTTP1 = 1
    HTTP2 = 2
    NEITHER = 3


class Server:
    """Serves `methods` over gRPC and everything else through `http`, on any number of URLs.

    Made inside a running loop, or before it; used only in it.
    """

    def __init__(
        self,
        methods: Mapping[str, Method],
        http: HttpHandler | None = None,
        *,
        limits: Limits | None = None,
        header_log: Callable[[str], None] | None = None,
    ) -> None:
        """`header_log` gets a line per header field received over HTTP/2, as Go prints under http2debug=2."""
        self.limits = limits or Limits()
        self._http = http
        self._header_log = header_log
        self._timer: asyncio.TimerHandle | None = None
        self._deadlines = Deadlines(self._arm)
        accept = self._accept_http if http is not None else None
        self._dispatcher = Dispatcher(methods, accept, self.limits, self._deadlines, peer_of)
        self._listeners: list[asyncio.Server | EitherListener] = []
        self._paths: list[tuple[str, int]] = []
        self._sniffers: set[_Sniffer] = set()
        self._connections: set[Http2Protocol | _Http1] = set()
        self._closing = False
        self._changed: asyncio.Event | None = None

    @property
    def connections(self) -> int:
        """Connections that are open now."""
        return len(self._connections) + len(self._sniffers)

    async def listen(
        self,
        url: str,
        ssl: SSLContext | None = None,
        sock: socket.socket | None = None,
        *,
        plain_too: bool = False,
    ) -> str:
        """Serve on `http://host:port`, `https://host:port`, `unix://path` or `unixs://path`.

        `ssl` must be given for the schemes with an s, and its ALPN is set here. `sock` is the listening
        socket of the URL where one was opened before (see listening.py); it then belongs to the server.
        With `plain_too` a URL with TLS serves those who come without it as well.
        Returns the URL with the port that was bound. Raises OSError, or ValueError for a URL that is none of
        these.
        """
        parts = urlsplit(url)
        if parts.scheme not in SCHEMES:
            raise ValueError(f"cannot listen on {url!r}: unknown scheme")
        if (ssl is not None) != parts.scheme.endswith("s"):
            raise ValueError(f"cannot listen on {url!r}: TLS and the scheme do not agree")
        if ssl is not None:
            ssl.set_alpn_protocols(ALPN)
        loop = asyncio.get_running_loop()
        held = sock or open_socket(url)
        listener: asyncio.Server | EitherListener
        if held.family == socket.AF_UNIX:
            path = unix_path(url)
            self._paths.append((path, os.stat(path).st_ino))
        if plain_too and ssl is not None:
            listener = EitherListener(held, ssl, self._sniffer, self.limits.preface_timeout)
        elif held.family == socket.AF_UNIX:
            listener = await loop.create_unix_server(self._sniffer, sock=held, ssl=ssl, backlog=BACKLOG)
        else:
            listener = await loop.create_server(self._sniffer, sock=held, ssl=ssl, backlog=BACKLOG)
        self._listeners.append(listener)
        if held.family == socket.AF_UNIX:
            return url
        port = held.getsockname()[1]
        name = parts.hostname or ""
        return f"{parts.scheme}://{f'[{name}]' if ':' in name else name}:{port}"

    async def close(self, grace: float = 0.0) -> None:
        """Stop listening, give open calls `grace` seconds to end, then cut off what is left."""
        self._closing = True
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        for path, inode in self._paths:
            try:
                if os.stat(path).st_ino == inode:
                    os.unlink(path)
            except FileNotFoundError:
                pass
        self._paths.clear()
        for sniffer in list(self._sniffers):
            sniffer.transport.close()
        for connection in list(self._connections):
            connection.shut_down()
        await self._wait_empty(grace)
        for connection in list(self._connections):
            connection.close()
        await self._wait_empty(0.1)
        for connection in list(self._connections):
            connection.transport.abort()
        await self._wait_empty(1.0)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _wait_empty(self, seconds: float) -> None:
        """Until no connection is left, or so many seconds."""
        if not self._connections:
            await asyncio.sleep(0)
            return
        if seconds <= 0:
            return
        self._changed = asyncio.Event()
        try:
            async with asyncio.timeout(seconds):
                while self._connections:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            pass
        finally:
            self._changed = None

    # Connections.

    def _sniffer(self) -> _Sniffer:
        return _Sniffer(self)

    def adopt(self, sniffer: _Sniffer, http2: bool, data: bytes) -> None:
        """The sniffer knows what its connection speaks."""
        self._sniffers.discard(sniffer)
        transport = sniffer.transport
        protocol: Http2Protocol | _Http1
        if http2 or self._http is None:
            loop = asyncio.get_running_loop()
            take = self._dispatcher.accept if self._header_log is None else self._accept_logged
            protocol = Http2Protocol(take, self.limits, loop, self.gone)
        else:
            protocol = _Http1(self, self._http)
        self._connections.add(protocol)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if data:
            protocol.data_received(data)
        if self._closing:
            protocol.shut_down()

    def gone(self, protocol: Http2Protocol | _Http1) -> None:
        self._connections.discard(protocol)
        if self._changed is not None:
            self._changed.set()

    def sniffing(self, sniffer: _Sniffer, begins: bool) -> None:
        (self._sniffers.add if begins else self._sniffers.discard)(sniffer)

    def speaks(self, data: bytes) -> Speech:
        """What a connection that begins with `data` speaks."""
        if self._http is None or data.startswith(PREFACE):
            return Speech.HTTP2
        if PREFACE.startswith(data):
            return Speech.OPEN
        if not data[:1].isalpha():
            return Speech.NEITHER
        line, newline, _ = data.partition(b"\n")
        if not newline:
            return Speech.OPEN if len(data) < LONGEST_FIRST_LINE else Speech.HTTP1
        version = line.split(b" ", 2)[-1].rstrip(b"\r")
        return Speech.HTTP1 if version.startswith(b"HTTP/1.") else Speech.NEITHER

    def _accept_http(self, connection: Connection, stream_id: int, head: Head, ended: bool) -> Exchange:
        assert self._http is not None
        peer, transport_info = peer_of(connection)
        later = asyncio.get_running_loop().call_later
        return Exchange(connection, stream_id, head, ended, self._http, peer, transport_info, _date, later)

    def _accept_logged(self, connection: Connection, stream_id: int, head: Head, ended: bool) -> None:
        assert self._header_log is not None
        for name, value in head.fields:
            texts = (go_quote(raw.decode("utf-8", "replace")) for raw in (name, value))
            self._header_log(f"http2: decoded hpack field header field {' = '.join(texts)}")
        self._dispatcher.accept(connection, stream_id, head, ended)

    # Deadlines.

    def _arm(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(when, self._expire)

    def _expire(self) -> None:
        self._timer = None
        self._deadlines.expire(asyncio.get_running_loop().time())


class _Http1(HttpServerProtocol):
    """An HTTP/1.1 connection that its server knows of."""

    def __init__(self, server: Server, handler: HttpHandler) -> None:
        super().__init__(handler, server.limits.http)
        self._server = server

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._server.gone(self)

    def close(self) -> None:
        self.transport.close()


class _Sniffer(asyncio.Protocol):
    """A connection that has not yet said what it speaks. Holds no more than a first line."""

    transport: asyncio.Transport

    def __init__(self, server: Server) -> None:
        self._server = server
        self._data = b""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._server.sniffing(self, True)
        tls: Any = transport.get_extra_info("ssl_object")
        chosen = tls.selected_alpn_protocol() if tls is not None else None
        if chosen is not None:
            self._server.adopt(self, chosen == "h2", b"")
        elif self._server.limits.preface_timeout:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._server.limits.preface_timeout, transport.abort)

    def data_received(self, data: bytes) -> None:
        self._data += data
        speech = self._server.speaks(self._data)
        if speech is Speech.OPEN:
            return
        self._disarm()
        if speech is Speech.NEITHER:
            self.transport.close()
        else:
            self._server.adopt(self, speech is Speech.HTTP2, self._data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        self._server.sniffing(self, False)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _date() -> str:
    return date_line()[6:-2].decode()
