"""The gateway over WebSockets: what browsers use for streams.

Rules (grpc-websocket-proxy, as etcd 3.7 sets it up): a request below /v3/ that asks for a WebSocket gets one,
whatever it calls. Each message is a piece of a POST's body, with a line break behind it; each line of the
answer is a text message. When the answer ends the connection closes. Of the headers only Origin and Referer
are passed on; a token comes as the subprotocol `Bearer, TOKEN`, or in the cookie `token`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Any, Protocol, runtime_checkable

from gauntlet.api.wire.http_types import TEXT_PLAIN, HeaderItems, HttpHandler, HttpRequest, HttpResponder
from gauntlet.api.wire.websocket import WebSocket, accept
from gauntlet.reference.server.gateway.values import JsonValues

SUBPROTOCOL = "sec-websocket-protocol"
VERSION = [("Sec-Websocket-Version", "13"), ("X-Content-Type-Options", "nosniff")]


@runtime_checkable
class Upgradable(Protocol):
    """A responder whose connection can be taken over: one of HTTP/1.1."""

    def take_over(self, head: bytes, begin: Callable[[asyncio.Transport], WebSocket]) -> None: ...


def upgrade(request: HttpRequest, responder: HttpResponder, handler: HttpHandler, max_message: int) -> None:
    """Makes a WebSocket of the request's connection and gives its messages to `handler` as a request."""
    headers = request.headers
    answer = accept(headers.get("sec-websocket-key", ""))
    status, words = 0, b""
    if request.method != "GET":
        status, words = 405, b"Method Not Allowed\n"
    elif headers.get("sec-websocket-version") != "13" or answer is None:
        status, words = 400, b"Bad Request\n"
    elif not isinstance(responder, Upgradable):
        status, words = 500, b"Internal Server Error\n"
    if status or not isinstance(responder, Upgradable):
        responder.send(status, words, TEXT_PLAIN, VERSION)
        return
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {answer}",
    ]
    if headers.get(SUBPROTOCOL, "").startswith("Bearer"):
        lines.append("Sec-WebSocket-Protocol: Bearer")
    call = SocketCall(request)

    def begin(transport: asyncio.Transport) -> WebSocket:
        call.socket = WebSocket(transport, _Owner(call), max_message)
        return call.socket

    responder.take_over("".join(f"{line}\r\n" for line in [*lines, ""]).encode(), begin)
    handler(call, call)


class SocketCall:
    """A WebSocket as the request and the responder of the gateway."""

    socket: WebSocket

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        self.method = "POST"
        self.target = request.target
        self.path = request.path
        self.query = request.query
        self.peer = request.peer
        self.headers = _passed_on(request.headers)
        self.started = False
        self.closed = False
        self._line = bytearray()
        self._on_data: Callable[[bytes], None] | None = None
        self._first: Callable[[bytes], None] | None = None
        self._values = JsonValues()
        self._on_end: Callable[[], None] | None = None
        self._on_close: list[Callable[[], None]] = []
        self._on_drain: list[Callable[[], None]] = []

    # The request.

    def transport_info(self, name: str) -> Any:
        return self._request.transport_info(name)

    def read_body(
        self, callback: Callable[[bytes], None], limit: int, too_large: Callable[[], None] | None = None
    ) -> None:
        """The body of one value ends with it: nobody half-closes a WebSocket. `limit` is the socket's own."""
        self._first = callback

    def on_data(self, callback: Callable[[bytes], None]) -> None:
        self._on_data = callback

    def on_end(self, callback: Callable[[], None]) -> None:
        self._on_end = callback

    def pause(self) -> None:
        return

    def resume(self) -> None:
        return

    # The responder.

    @property
    def backlog(self) -> int:
        return 0 if self.closed else self.socket.backlog

    def start(self, status: int, headers: HeaderItems = (), content_length: int | None = None) -> None:
        """There is no place for a status: the messages say what it would."""
        self.started = True

    def write(self, data: bytes) -> None:
        if self.closed:
            return
        self._line += data
        *lines, rest = self._line.split(b"\n")
        self._line = bytearray(rest)
        for line in lines:
            self._send(bytes(line))

    def end(self) -> None:
        if not self.closed:
            self._send(bytes(self._line))
            self.abort()

    def send(
        self, status: int, body: bytes = b"", content_type: str = TEXT_PLAIN, headers: HeaderItems = ()
    ) -> None:
        self.start(status)
        self.write(body)
        self.end()

    def on_close(self, callback: Callable[[], None]) -> None:
        self._on_close.append(callback)

    def abort(self) -> None:
        self.closed = True
        self._on_close.clear()
        self.socket.close()

    def on_drain(self, callback: Callable[[], None]) -> None:
        self._on_drain.append(callback)

    # What the socket tells.

    def message(self, payload: bytes) -> None:
        if self._on_data is not None:
            self._on_data(payload + b"\n")
        elif self._first is not None:
            self._values.feed(payload + b"\n")
            value = self._values.take()
            if value is not None:
                callback, self._first = self._first, None
                callback(value)

    def drained(self) -> None:
        for waiting in list(self._on_drain):
            waiting()

    def _send(self, line: bytes) -> None:
        line = line.removesuffix(b"\r")
        if line:
            self.socket.send(line)

    def lost(self) -> None:
        self.closed = True
        callbacks, self._on_close = self._on_close, []
        for callback in callbacks:
            callback()


class _Owner:
    """Tells a call what its socket tells, whose names are the responder's, too."""

    def __init__(self, call: SocketCall) -> None:
        self.on_message = call.message
        self.on_drain = call.drained
        self.on_close = call.lost


def _passed_on(headers: Mapping[str, str]) -> dict[str, str]:
    passed = {name: headers[name] for name in ("origin", "referer") if name in headers}
    protocol = headers.get(SUBPROTOCOL)
    if protocol:
        _, bearer, token = protocol.partition("Bearer,")
        passed["authorization"] = f"Bearer {token.strip(' ')}" if bearer else ""
    try:
        cookie = SimpleCookie(headers.get("cookie", "")).get("token")
    except CookieError:
        cookie = None
    if cookie is not None:
        passed["authorization"] = f"Bearer {cookie.value}"
    return passed
