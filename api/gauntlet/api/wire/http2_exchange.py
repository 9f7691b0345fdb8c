"""Plain HTTP over an HTTP/2 stream: one request and its answer, for the same handlers that serve HTTP/1.1.

The exchange is both the HttpRequest and the HttpResponder of `http_types`. Rules:

- The handler is called at the first piece of the body, or at the end of a request that has none, so that a
  request which turns out malformed in between is refused and not answered. Body pieces wait until the handler
  has said how it wants them; if it has said nothing when it returns, the body is thrown away.
- An answer by a handler that wants no body is kept back until the body has ended, or CORK_SECONDS at most,
  for the same reason.
- A paused body is bounded by the stream's window, which is opened again only after `resume`.
- When an answer is complete before its request is, the rest of the body is ignored: the stream lingers, as
  connection.py says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from gauntlet.api.wire.connection import Connection
from gauntlet.api.wire.frames import ErrorCode
from gauntlet.api.wire.hpack_cache import Head, encode_headers
from gauntlet.api.wire.http_types import TEXT_PLAIN, HeaderItems, HttpHandler, parse_query, split_target
from gauntlet.api.wire.outflow import Stream

_FORBIDDEN = frozenset(("connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"))
CORK_SECONDS = 0.5
_BODILESS = frozenset((204, 304))

Callback = Callable[[], None]
Later = Callable[[float, Callback], object]


class Exchange(Stream):
    """See HttpRequest and HttpResponder."""

    __slots__ = (
        "_body",
        "_corked",
        "_date",
        "_discarding",
        "_handler",
        "_head",
        "_head_only",
        "_headers",
        "_later",
        "_left",
        "_limit",
        "_on_close",
        "_on_data",
        "_on_drain",
        "_on_end",
        "_on_too_large",
        "_on_whole",
        "_query",
        "_raw_query",
        "_received",
        "_told_end",
        "_transport_info",
        "method",
        "path",
        "peer",
        "started",
        "target",
    )

    def __init__(
        self,
        connection: Connection,
        stream_id: int,
        head: Head,
        ended: bool,
        handler: HttpHandler,
        peer: str,
        transport_info: Callable[[str], Any],
        date: Callable[[], str],
        later: Later,
    ) -> None:
        Stream.__init__(self, connection, stream_id, head, ended)
        self._handler: HttpHandler | None = handler
        self._head = head
        self._transport_info = transport_info
        self._date = date
        self._later = later
        self._corked: list[Callback] | None = None
        self.peer = peer
        self.method = head.method
        self.target = head.path
        self.path, self._raw_query = split_target(head.path)
        self._query: dict[str, list[str]] | None = None
        self._headers: dict[str, str] | None = None
        self.started = False
        self._head_only = head.method == "HEAD"
        self._left: int | None = None
        self._body = bytearray()  # not a list of pieces: one byte may be a frame
        self._received = 0
        self._limit = 0
        self._discarding = False
        self._told_end = False
        self._on_data: Callable[[bytes], None] | None = None
        self._on_whole: Callable[[bytes], None] | None = None
        self._on_too_large: Callback | None = None
        self._on_end: Callback | None = None
        self._on_close: list[Callback] = []
        self._on_drain: list[Callback] = []

    def _begin(self) -> None:
        handler, self._handler = self._handler, None
        if handler is None:
            return
        self._corked = None if self.ended else []
        handler(self, self)
        if self._on_data is None and self._on_whole is None and self._on_end is None:
            self._discard()
            if self._corked is not None:
                self._later(CORK_SECONDS, self._uncork)
        else:
            self._uncork()

    def _uncork(self) -> None:
        corked, self._corked = self._corked, None
        for send in corked or ():
            send()

    def _emit(self, send: Callback) -> None:
        if self._corked is None:
            send()
        else:
            self._corked.append(send)

    # HttpRequest.

    @property
    def query(self) -> Mapping[str, list[str]]:
        if self._query is None:
            self._query = parse_query(self._raw_query)
        return self._query

    @property
    def headers(self) -> Mapping[str, str]:
        if self._headers is None:
            headers: dict[str, str] = {}
            for raw_name, raw_value in self._head.fields:
                name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
                if name[:1] != ":":
                    join = "; " if name == "cookie" else ", "
                    headers[name] = f"{headers[name]}{join}{value}" if name in headers else value
            if self._head.authority:
                headers["host"] = self._head.authority
            self._headers = headers
        return self._headers

    def transport_info(self, name: str) -> Any:
        return self._transport_info(name)

    def read_body(
        self, callback: Callable[[bytes], None], limit: int, too_large: Callback | None = None
    ) -> None:
        self._on_whole = callback
        self._limit = limit
        self._on_too_large = too_large or self._refuse_too_large
        if self._received > limit or (self.content_left or 0) + self._received > limit:
            self._overflow()
        elif self.ended:
            self._end_input()

    def on_data(self, callback: Callable[[bytes], None]) -> None:
        self._on_data = callback
        self._deliver()

    def on_end(self, callback: Callback) -> None:
        self._on_end = callback
        if self.ended and not self.held:
            self._end_input()

    def pause(self) -> None:
        self.held = True

    def resume(self) -> None:
        if not self.held:
            return
        self.held = False
        self._deliver()
        if self.ended:
            self._end_input()
        else:
            self.connection.consume(self)

    # HttpResponder.

    @property
    def closed(self) -> bool:
        return self.over or self.finishing

    @property
    def backlog(self) -> int:
        return self.pending_bytes

    def start(self, status: int, headers: HeaderItems = (), content_length: int | None = None) -> None:
        if not self.closed:
            self._send_head(status, headers, content_length, end=False)

    def write(self, data: bytes) -> None:
        if self.closed or not data:
            return
        if not self.started:
            raise RuntimeError("an answer's body before its status")
        if self._left is not None:
            if len(data) > self._left:
                self.abort()
                raise RuntimeError(f"an answer longer than announced, by {len(data) - self._left} bytes")
            self._left -= len(data)
        if not self._head_only:
            self._emit(partial(self.connection.send_data, self, data))

    def end(self) -> None:
        if self.closed:
            return
        if not self.started:
            raise RuntimeError("the end of an answer that has not begun")
        if self._left and not self._head_only:
            left = self._left
            self.abort()
            raise RuntimeError(f"an answer ended {left} bytes before its announced length")
        self._emit(partial(self.connection.end_data, self))
        self._finish()

    def send(
        self, status: int, body: bytes = b"", content_type: str = TEXT_PLAIN, headers: HeaderItems = ()
    ) -> None:
        if self.closed:
            return
        items = list(headers.items() if isinstance(headers, Mapping) else headers)
        if body:
            items.append(("content-type", content_type))
        if not body or self._head_only:
            self._send_head(status, items, len(body), end=True)
            self._finish()
        else:
            self._send_head(status, items, len(body), end=False)
            self.write(body)
            self.end()

    def on_close(self, callback: Callback) -> None:
        self._on_close.append(callback)

    def on_drain(self, callback: Callback) -> None:
        self._on_drain.append(callback)

    def abort(self) -> None:
        self.connection.reset(self, ErrorCode.INTERNAL_ERROR)
        self.lost()

    # Stream.

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        if not self._discarding:
            self._body += data
            self._begin()
            if self._on_whole is not None and self._received > self._limit:
                self._overflow()
            else:
                self._deliver()
        if self.ended:
            self._end_input()

    def end_received(self) -> None:
        self._begin()
        self._end_input()

    def lost(self) -> None:
        callbacks, self._on_close = self._on_close, []
        self._forget_body()
        self._on_drain = []
        self._corked = None
        for callback in callbacks:
            callback()

    def drained(self) -> None:
        for callback in list(self._on_drain):
            callback()

    # Inside.

    def _deliver(self) -> None:
        if self._on_data is not None and self._body and not self.held:
            self._on_data(self._take_body())

    def _take_body(self) -> bytes:
        body, self._body = self._body, bytearray()
        return bytes(body)

    def _end_input(self) -> None:
        """The whole request is here; tell who waits for it, unless the body is paused."""
        self._uncork()
        if self.held or self._told_end:
            return
        if self._on_whole is not None:
            callback, self._on_whole = self._on_whole, None
            callback(self._take_body())
        if self._on_end is not None and not self._body:
            self._told_end = True
            end, self._on_end = self._on_end, None
            end()

    def _forget_body(self) -> None:
        self._discarding = True
        self._body = bytearray()
        self._on_data = self._on_whole = self._on_end = self._on_too_large = None

    def _discard(self) -> None:
        self._forget_body()
        if self.held:
            self.connection.release(self)

    def _overflow(self) -> None:
        callback = self._on_too_large
        self._discard()
        if callback is not None:
            callback()

    def _refuse_too_large(self) -> None:
        if not self.started:
            self.send(413, b"413 Request Entity Too Large")

    def _send_head(self, status: int, headers: HeaderItems, length: int | None, end: bool) -> None:
        if self.started:
            raise RuntimeError("a second status for one answer")
        self.started = True
        fields = [(b":status", b"%d" % status)]
        for name, value in headers.items() if isinstance(headers, Mapping) else headers:
            if "\r" in value or "\n" in value or "\0" in value:
                raise ValueError(f"header {name} has a line break in its value")
            if name.lower() not in _FORBIDDEN:
                fields.append((name.lower().encode("latin-1"), value.encode("latin-1")))
        fields.append((b"date", self._date().encode()))
        if status in _BODILESS:
            self._head_only = True
        elif length is not None:
            self._left = length
            fields.append((b"content-length", b"%d" % length))
        self._emit(partial(self.connection.send_headers, self, encode_headers(fields), end))

    def _finish(self) -> None:
        """The answer is complete, though perhaps not out."""
        self.finishing = True
        self._on_close = []
        self._on_drain = []
        self._discard()
