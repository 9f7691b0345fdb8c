"""The server side of HTTP/1.1, as one asyncio protocol per connection and no task per request.

Rules (RFC 9112, and Go's net/http where etcd's users see its choices):

- One request of a connection is answered at a time. Requests that arrive behind it wait with what they
  brought, and when `pipeline_depth` of them wait, the connection is no longer read.
- A handler runs after the bytes at hand are parsed, so a small body is complete before the handler asks.
- `Expect: 100-continue` is honoured at the moment the handler asks for the body.
- An answer that leaves its request's body unread costs the connection, unless little is left to discard.
- A request that cannot be parsed is answered with 400 and the connection closes; before closing, our half is
  shut and the rest of the input thrown away for a moment, since a reset could destroy the answer on its way.
- When the client's half ends, an answer that streams is over (nobody reads it); one not begun is still sent,
  if it comes soon: a client that has gone altogether looks the same, and nothing more is heard of it.
- A handler that raises costs its connection; the event loop's exception handler gets the error.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from typing import Any

import httptools
from gauntlet.api.wire.http1_request import Request
from gauntlet.api.wire.http1_response import Responder, plain_error
from gauntlet.api.wire.http_types import HttpHandler, HttpLimits
from gauntlet.api.wire.websocket import WebSocket

LINGER_SECONDS = 0.5
# A percent sign in a path that is not followed by two hexadecimal digits.
_BAD_ESCAPE = re.compile(rb"%(?![0-9a-fA-F]{2})")
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_METHODS = frozenset(b"GET HEAD POST PUT DELETE OPTIONS PATCH TRACE CONNECT".split())
_HIGH = re.compile(rb"[\x80-\xff]")
NO_CALLBACK: Any = None
NO_PARSER: Any = None


class HttpServerProtocol(asyncio.Protocol):
    """One connection. Give it to `loop.create_server`, or hand it a connection that another protocol began:

    transport.set_protocol(p); p.connection_made(transport); p.data_received(the bytes read so far)
    """

    transport: asyncio.Transport

    def __init__(self, handler: HttpHandler, limits: HttpLimits | None = None) -> None:
        self.limits = limits or HttpLimits()
        self.peer = ""
        self._handler = handler
        self._parser = httptools.HttpRequestParser(self)
        self._loop: asyncio.AbstractEventLoop = NO_CALLBACK
        self._timer: asyncio.TimerHandle | None = None
        self._patience: asyncio.TimerHandle | None = None
        # The head being parsed.
        self._url = b""
        self._method = ""  # one that the parser does not know
        self._headers: dict[str, list[str]] = {}
        self._in_head = True
        self._head_bytes = 0
        # Requests: the one whose bytes arrive, the one being answered, those that wait for their turn.
        self._incoming: Request | None = None
        self._active: Request | None = None
        self._responder: Responder | None = None
        self._waiting: deque[Request] = deque()
        self._raw_left = 0
        self._advancing = False
        self._reading = True
        self._refusal: bytes | None = None
        self._close_after = False
        self._closing = False
        self._eof = False
        self._socket: WebSocket | None = None

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._loop = asyncio.get_running_loop()
        name = transport.get_extra_info("peername")
        if isinstance(name, tuple) and len(name) >= 2:
            self.peer = f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"
        self._arm(self.limits.header_timeout)

    def data_received(self, data: bytes) -> None:
        if self._socket is not None:
            self._socket.data_received(data)
            return
        if self._closing or self._refusal is not None:
            return
        try:
            self._parse(data)
        except httptools.HttpParserCallbackError as error:
            raise error.__context__ or error from None
        except httptools.HttpParserError as error:
            self._refuse(_status_of(error))
        if self._in_head and self._head_bytes > self.limits.header_bytes:
            self._refuse("431 Request Header Fields Too Large")
        self._advance()

    def eof_received(self) -> bool:
        self._eof = True
        responder = self._responder
        if self._closing or responder is None or responder.started:
            return False
        if self._active is not None and not self._active.complete:
            return False
        # TLS transports close whatever is said here; plain ones stay open for the answer.
        if self.transport.get_extra_info("ssl_object") is not None:
            return False
        self._await_answer()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        self._disarm()
        if self._patience is not None:
            self._patience.cancel()
        socket, self._socket = self._socket, None
        if socket is not None:
            socket.connection_lost()
        responder, self._responder = self._responder, None
        # Connection, parser, requests and their handlers hold each other: without this what was read would
        # wait for the collector.
        self._parser, self._headers = NO_PARSER, {}
        for request in (self._active, self._incoming, *self._waiting):
            if request is not None:
                request.forget()
        self._active = self._incoming = None
        self._waiting.clear()
        if responder is not None:
            responder.lost()

    def pause_writing(self) -> None:
        if self._responder is not None:
            self._responder.choked = True

    def resume_writing(self) -> None:
        if self._socket is not None:
            self._socket.resume_writing()
        elif self._responder is not None:
            self._responder.drained()

    # What the owner of the listener calls.

    @property
    def idle(self) -> bool:
        return self._responder is None and not self._waiting and self._incoming is None

    def shut_down(self) -> None:
        """Close when the answer under way is complete; at once when there is none."""
        self._close_after = True
        if self.idle and not self._closing:
            self._close()

    # What the parser calls.

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers = {}
        self._in_head = True

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        values = self._headers.setdefault(name.decode("latin-1").lower(), [])
        values.append(value.decode("latin-1"))

    def on_headers_complete(self) -> None:
        parser = self._parser
        self._in_head = False
        self._disarm()
        method = self._method or parser.get_method().decode("latin-1")
        self._method = ""
        headers = {name: ", ".join(values) for name, values in self._headers.items()}
        request = Request(self, method, self._url.decode("latin-1"), headers)
        version = parser.get_http_version()
        request.keep_alive = parser.should_keep_alive()
        request.http_1_1 = version != "1.0"
        if version not in ("1.0", "1.1"):
            request.refusal = plain_error("505 HTTP Version Not Supported: unsupported protocol version")
        elif version == "1.1" and "host" not in headers:
            request.refusal = plain_error("400 Bad Request: missing required Host header")
        elif _BAD_ESCAPE.search(self._url.partition(b"?")[0]):
            request.refusal = plain_error("400 Bad Request")
        elif len(self._url) + sum(map(len, headers.values())) > self.limits.header_bytes:
            request.refusal = plain_error("431 Request Header Fields Too Large")
        elif parser.should_upgrade():
            # Offers to change the protocol are declined by going on in this one. The parser hands the rest
            # over as it is, so a body is taken by its length, and one without a length is not understood.
            self._raw_left = request.content_length or 0
            if "transfer-encoding" in headers:
                request.refusal = plain_error("501 Not Implemented", "Unsupported transfer encoding")
        if version == "1.0":
            request.expects_continue = False
        self._incoming = request
        self._waiting.append(request)

    def on_body(self, body: bytes) -> None:
        if self._incoming is not None:
            self._incoming.feed(body)

    def on_message_complete(self) -> None:
        self._head_bytes = 0
        self._in_head = True
        if self._raw_left == 0:
            self._finish_incoming()

    # What requests and responders call.

    def update_reading(self) -> None:
        waiting = self._waiting
        wanted = (
            not (self._active is not None and self._active.paused)
            and len(waiting) < self.limits.pipeline_depth
            and not (waiting and waiting[-1].received > self.limits.discard_bytes)
        )
        if wanted != self._reading and not self.transport.is_closing():
            self._reading = wanted
            if wanted:
                self.transport.resume_reading()
                return
            self.transport.pause_reading()
            if self._close_after or not (self._active is not None and self._active.paused):
                # The handler did not ask for it. Who does not read does not hear that the client has gone,
                # and the answer may never end.
                self._await_answer()

    def close_after_answer(self) -> None:
        self._close_after = True

    def discarded(self, request: Request) -> None:
        """Some of a body that nobody wants was thrown away."""
        if request.received <= self.limits.discard_bytes:
            return
        if request is self._active:
            self._close_after = True
            request.pause()
        else:
            self._close()

    def refuse_body(self) -> None:
        if self._responder is not None and not self._responder.started:
            self._responder.send(413, b"413 Request Entity Too Large")

    def taken_over(self, socket: WebSocket) -> None:
        """The connection speaks no HTTP any more."""
        self._socket = socket
        self._disarm()

    def keeps_alive(self) -> bool:
        """Whether the connection outlives the answer whose head is written now."""
        request = self._active
        if request is None or self._close_after or self._eof or not request.keep_alive:
            return False
        if request.complete:
            return True
        unread = request.unread
        wants_more = not request.expects_continue
        return wants_more and (unread is None or unread <= self.limits.discard_bytes)

    def answered(self, keep_alive: bool) -> None:
        """The active answer is complete and written."""
        request, self._active, self._responder = self._active, None, None
        if self._closing:
            return
        if not keep_alive or self._close_after or self._eof:
            self._close()
            return
        if request is not None and not request.complete:
            request.discard_rest()
        if self._waiting and not self._advancing:
            # Not from here: the next handler's errors are not this one's.
            self._loop.call_soon(self._advance)
        else:
            self._advance()

    # Inside.

    def _parse(self, data: bytes) -> None:
        while data:
            if self._raw_left:
                piece, data = data[: self._raw_left], data[self._raw_left :]
                self._raw_left -= len(piece)
                if self._incoming is not None:
                    self._incoming.feed(piece)
                if not self._raw_left:
                    self._finish_incoming()
                continue
            if self._in_head:
                if self._head_bytes == 0:
                    self._arm(self.limits.header_timeout)
                    self._method, data = readable(data)
                self._head_bytes += len(data)
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :]
                self._parser = httptools.HttpRequestParser(self)
            else:
                return

    def _finish_incoming(self) -> None:
        request, self._incoming = self._incoming, None
        if request is not None:
            request.finish()

    def _advance(self) -> None:
        """Start answering requests for as long as the answers come at once."""
        if self._advancing:
            return
        self._advancing = True
        try:
            while self._responder is None and not self._closing:
                if self._waiting:
                    self._serve(self._waiting.popleft())
                    continue
                if self._refusal is not None:
                    if self._refusal:
                        self.transport.write(self._refusal)
                    self._close()
                elif self._incoming is None:
                    if self._head_bytes == 0:
                        self._arm(self.limits.idle_timeout)
                    elif self._timer is None:
                        self._arm(self.limits.header_timeout)
                break
        finally:
            self._advancing = False
        if not self._closing:
            self.update_reading()

    def _serve(self, request: Request) -> None:
        if request.refusal is not None:
            self.transport.write(request.refusal)
            self._close()
            return
        self._active = request
        self._responder = responder = Responder(self, self.transport, request.method, request.http_1_1)
        try:
            self._handler(request, responder)
        except BaseException:
            self.transport.abort()
            raise
        request.discard_if_unwanted()

    def _refuse(self, status: str) -> None:
        """Answer `status` after the answers that are due, and close. A half-read request is lost."""
        if self._refusal is not None:
            return
        self._refusal = plain_error(status)
        request = self._incoming
        self._incoming = None
        if request is None:
            return
        if request in self._waiting:
            self._waiting.remove(request)
        elif self._responder is None:
            self._refusal = b""  # Already answered; only the rest of its body is broken.
        elif self._responder.started:
            self.transport.abort()
        else:
            responder, self._responder, self._active = self._responder, None, None
            responder.lost()

    def _close(self) -> None:
        """Shut our half, swallow input for a moment, then close."""
        self._closing = True
        self._disarm()
        transport = self.transport
        if transport.is_closing():
            return
        if self._eof or self._input_is_at_rest() or not transport.can_write_eof():
            transport.close()
            return
        try:
            transport.write_eof()
        except OSError:  # The peer has gone meanwhile: nobody is left to read the answer.
            transport.abort()
            return
        if not self._reading:
            self._reading = True
            transport.resume_reading()
        self._timer = self._loop.call_later(LINGER_SECONDS, transport.close)

    def _input_is_at_rest(self) -> bool:
        return self._refusal is None and self._incoming is None and not self._waiting

    def _arm(self, seconds: float) -> None:
        self._disarm()
        if seconds:
            self._timer = self._loop.call_later(seconds, self._too_slow)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _await_answer(self) -> None:
        """For as long as a client may be waited for that cannot be heard."""
        if self._patience is not None:
            self._patience.cancel()
        self._patience = self._loop.call_later(self.limits.stall_timeout, self._stalled, self._active)

    def _stalled(self, request: Request | None) -> None:
        self._patience = None
        if not self._eof and self._reading:
            return
        if request is self._active:
            self.transport.abort()
        else:
            self._await_answer()

    def _too_slow(self) -> None:
        self._timer = None
        if self.idle:
            self._closing = True
            self.transport.close()


def readable(data: bytes) -> tuple[str, bytes]:
    """`data`, which begins a request, so that the parser takes it where Go does, and the method that it would
    not know: Go takes every token for a method, and bytes above 127 in a path."""
    line, newline, rest = data.partition(b"\n")
    method, space, target = line.partition(b" ")
    known = method in _METHODS
    if (known and line.isascii()) or not space or not _TOKEN.fullmatch(method):
        return "", data
    target = _HIGH.sub(lambda found: b"%%%02X" % found[0][0], target)
    name = "" if known else method.decode("ascii")
    return name, (method if known else b"GET") + space + target + newline + rest


def _status_of(error: httptools.HttpParserError) -> str:
    if isinstance(error, httptools.HttpParserInvalidURLError | httptools.HttpParserInvalidMethodError):
        return "400 Bad Request"
    if "HTTP version" in str(error):
        return "505 HTTP Version Not Supported: unsupported protocol version"
    return "400 Bad Request"
