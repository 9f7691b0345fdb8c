"""One request of an HTTP/1.1 connection: its head, and its body on the way to the handler."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from gauntlet.api.wire.http_types import HttpLimits, parse_query, split_target


class Connection(Protocol):
    """What a request needs of its connection."""

    peer: str
    limits: HttpLimits
    transport: asyncio.Transport

    def update_reading(self) -> None: ...

    def close_after_answer(self) -> None: ...

    def discarded(self, request: Request) -> None: ...

    def refuse_body(self) -> None: ...


class Request:
    """See HttpRequest. The body waits in `_body` until the handler has said how it wants it."""

    __slots__ = (
        "_body",
        "_conn",
        "_discarding",
        "_limit",
        "_on_data",
        "_on_end",
        "_on_too_large",
        "_on_whole",
        "_paused",
        "_query",
        "_raw_query",
        "complete",
        "content_length",
        "expects_continue",
        "headers",
        "http_1_1",
        "keep_alive",
        "method",
        "path",
        "received",
        "refusal",
        "target",
    )

    def __init__(self, conn: Connection, method: str, target: str, headers: dict[str, str]) -> None:
        self._conn = conn
        self.method = method
        self.target = target
        self.headers = headers
        self.path, self._raw_query = split_target(target)
        self._query: dict[str, list[str]] | None = None
        self.keep_alive = True
        self.http_1_1 = True
        self.complete = False
        self.received = 0
        self.refusal: bytes | None = None
        length = headers.get("content-length")
        self.content_length = int(length) if length is not None and length.isdigit() else None
        self.expects_continue = headers.get("expect", "").lower() == "100-continue"
        self._body = bytearray()  # not a list of pieces: one byte may be a chunk
        self._limit = 0
        self._on_whole: Callable[[bytes], None] | None = None
        self._on_too_large: Callable[[], None] | None = None
        self._on_data: Callable[[bytes], None] | None = None
        self._on_end: Callable[[], None] | None = None
        self._discarding = False
        self._paused = False

    @property
    def query(self) -> dict[str, list[str]]:
        if self._query is None:
            self._query = parse_query(self._raw_query)
        return self._query

    @property
    def peer(self) -> str:
        return self._conn.peer

    def transport_info(self, name: str) -> Any:
        return self._conn.transport.get_extra_info(name)

    @property
    def unread(self) -> int | None:
        """Bytes of the body still to come; None when the client has not said."""
        if self.complete:
            return 0
        return None if self.content_length is None else self.content_length - self.received

    def read_body(
        self, callback: Callable[[bytes], None], limit: int, too_large: Callable[[], None] | None = None
    ) -> None:
        self._on_whole = callback
        self._limit = limit
        self._on_too_large = too_large or self._refuse_too_large
        if self.received > limit or (self.content_length or 0) > limit:
            self._overflow()
        elif self.complete:
            self._deliver_whole()
        else:
            self._want_body()

    def on_data(self, callback: Callable[[bytes], None]) -> None:
        self._on_data = callback
        if self._body:
            callback(self._take_body())
        if not self.complete:
            self._want_body()

    def on_end(self, callback: Callable[[], None]) -> None:
        if self.complete:
            callback()
        else:
            self._on_end = callback
            self._want_body()

    def pause(self) -> None:
        self._paused = True
        self._conn.update_reading()

    def resume(self) -> None:
        self._paused = False
        self._conn.update_reading()

    @property
    def paused(self) -> bool:
        return self._paused

    # What the connection calls.

    def feed(self, data: bytes) -> None:
        self.received += len(data)
        if self._discarding:
            self._conn.discarded(self)
        elif self._on_data is not None:
            self._on_data(data)
        elif self._on_whole is not None and self.received > self._limit:
            self._overflow()
        else:
            self._body += data

    def finish(self) -> None:
        self.complete = True
        if self._on_whole is not None:
            self._deliver_whole()
        if self._on_end is not None:
            callback, self._on_end = self._on_end, None
            callback()

    def discard_rest(self) -> None:
        """The handler wants no more of the body."""
        self._discarding = True
        self.forget()
        if self._paused:
            self.resume()

    def forget(self) -> None:
        """What was read of the body, and who wanted it."""
        self._on_data = self._on_end = self._on_whole = self._on_too_large = None
        self._body = bytearray()

    def discard_if_unwanted(self) -> None:
        if self._on_data is None and self._on_whole is None and self._on_end is None and not self._discarding:
            self.discard_rest()

    def _want_body(self) -> None:
        if self.expects_continue and self.received == 0:
            self.expects_continue = False
            self._conn.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _deliver_whole(self) -> None:
        callback = self._on_whole
        body = self._take_body()
        self._on_whole = self._on_too_large = None
        if callback is not None:
            callback(body)

    def _take_body(self) -> bytes:
        body, self._body = self._body, bytearray()
        return bytes(body)

    def _overflow(self) -> None:
        callback = self._on_too_large
        self.discard_rest()
        self._conn.close_after_answer()
        if callback is not None:
            callback()

    def _refuse_too_large(self) -> None:
        self._conn.refuse_body()
