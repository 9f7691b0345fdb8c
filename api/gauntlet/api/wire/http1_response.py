"""How an answer becomes bytes of HTTP/1.1: heads, chunks, and the errors that end a connection."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from email.utils import formatdate
from http import HTTPStatus
from typing import Protocol

from gauntlet.api.wire.http_types import TEXT_PLAIN, HeaderItems
from gauntlet.api.wire.websocket import WebSocket

_STATUS_LINES = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n".encode() for s in HTTPStatus}
_LAST_CHUNK = b"0\r\n\r\n"
_date: tuple[int, bytes] = (0, b"")


def date_line() -> bytes:
    """The Date header of this second."""
    global _date
    now = int(time.time())
    if now != _date[0]:
        _date = (now, f"Date: {formatdate(now, usegmt=True)}\r\n".encode())
    return _date[1]


def plain_error(status: str, body: str | None = None) -> bytes:
    """A whole answer to a request that was not understood; the connection ends with it.

    `status` is code and reason, perhaps with a detail behind a colon, in the words of Go's net/http.
    """
    text = status if body is None else body
    head = f"HTTP/1.1 {status}\r\nContent-Type: {TEXT_PLAIN}\r\nConnection: close\r\n\r\n"
    return (head + text).encode()


class ServerConnection(Protocol):
    """What a responder needs of its connection."""

    def keeps_alive(self) -> bool: ...

    def answered(self, keep_alive: bool) -> None: ...

    def taken_over(self, socket: WebSocket) -> None: ...


class Responder:
    """See HttpResponder."""

    __slots__ = (
        "_chunked",
        "_conn",
        "_head_only",
        "_http_1_1",
        "_keep_alive",
        "_left",
        "_on_close",
        "_on_drain",
        "_transport",
        "choked",
        "closed",
        "started",
    )

    def __init__(
        self, conn: ServerConnection, transport: asyncio.Transport, method: str, http_1_1: bool
    ) -> None:
        self._conn = conn
        self._transport = transport
        self._head_only = method == "HEAD"
        self._http_1_1 = http_1_1
        self._chunked = False
        self._keep_alive = False
        self._left: int | None = None
        self._on_close: list[Callable[[], None]] = []
        self._on_drain: list[Callable[[], None]] = []
        self.choked = False
        self.started = False
        self.closed = False

    @property
    def backlog(self) -> int:
        return 0 if self.closed else self._transport.get_write_buffer_size()

    def start(self, status: int, headers: HeaderItems = (), content_length: int | None = None) -> None:
        if not self.closed:
            self._transport.write(b"".join(self._head(status, headers, content_length)))

    def write(self, data: bytes) -> None:
        if self.closed or not data:
            return
        if not self.started:
            raise RuntimeError("an answer's body before its status")
        self._account(len(data))
        if self._head_only:
            return
        if self._chunked:
            self._transport.writelines((b"%x\r\n" % len(data), data, b"\r\n"))
        else:
            self._transport.write(data)

    def end(self) -> None:
        if self.closed:
            return
        if not self.started:
            raise RuntimeError("the end of an answer that has not begun")
        if self._left and not self._head_only:
            # The client would wait for the rest, or take the next answer for it.
            self.abort()
            raise RuntimeError(f"an answer ended {self._left} bytes before its announced length")
        if self._chunked and not self._head_only:
            self._transport.write(_LAST_CHUNK)
        self._finish()

    def send(
        self, status: int, body: bytes = b"", content_type: str = TEXT_PLAIN, headers: HeaderItems = ()
    ) -> None:
        if self.closed:
            return
        items = list(_items(headers))
        if body:
            items.append(("Content-Type", content_type))
        parts = self._head(status, items, len(body))
        if not self._head_only and self._left is not None:
            parts.append(body)
        self._transport.write(b"".join(parts))
        self._finish()

    def on_close(self, callback: Callable[[], None]) -> None:
        self._on_close.append(callback)

    def on_drain(self, callback: Callable[[], None]) -> None:
        self._on_drain.append(callback)

    def abort(self) -> None:
        if not self.closed:
            self._transport.abort()

    def take_over(self, head: bytes, begin: Callable[[asyncio.Transport], WebSocket]) -> None:
        """Answer with `head` and make the connection what `begin` says, until it ends."""
        self.started = True
        self._transport.write(head)
        self._conn.taken_over(begin(self._transport))

    # What the connection calls.

    def lost(self) -> None:
        if self.closed:
            return
        self.closed = True
        callbacks, self._on_close = self._on_close, []
        self._on_drain = []
        for callback in callbacks:
            callback()

    def drained(self) -> None:
        if self.choked and not self.closed:
            self.choked = False
            for callback in list(self._on_drain):
                callback()

    # Inside.

    def _head(self, status: int, headers: HeaderItems, length: int | None) -> list[bytes]:
        if self.started:
            raise RuntimeError("a second status for one answer")
        self.started = True
        keep = self._conn.keeps_alive()
        line = _STATUS_LINES.get(status) or f"HTTP/1.1 {status} status code {status}\r\n".encode()
        parts = [line]
        for name, value in _items(headers):
            if "\r" in value or "\n" in value or "\0" in value:
                raise ValueError(f"header {name} has a line break in its value")
            parts.append(f"{name}: {value}\r\n".encode("latin-1"))
        parts.append(date_line())
        if status < 200 or status in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
            self._head_only = True
        elif length is not None:
            self._left = length
            parts.append(b"Content-Length: %d\r\n" % length)
        elif self._http_1_1:
            self._chunked = True
            parts.append(b"Transfer-Encoding: chunked\r\n")
        else:
            keep = False  # The end of the connection is the end of the body.
        if not keep:
            parts.append(b"Connection: close\r\n")
        elif not self._http_1_1:
            parts.append(b"Connection: keep-alive\r\n")
        self._keep_alive = keep
        parts.append(b"\r\n")
        return parts

    def _account(self, count: int) -> None:
        if self._left is not None:
            if count > self._left:
                self.abort()
                raise RuntimeError(f"an answer longer than announced, by {count - self._left} bytes")
            self._left -= count

    def _finish(self) -> None:
        self.closed = True
        self._on_close = []
        self._on_drain = []
        self._conn.answered(self._keep_alive)


def _items(headers: HeaderItems) -> Iterable[tuple[str, str]]:
    return headers.items() if isinstance(headers, Mapping) else headers
