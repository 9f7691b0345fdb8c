"""Just enough of an HTTP/1.1 server for the API: keep-alive, bodies with a length or in chunks.

Requests of one connection are answered one after the other.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import unquote

import httptools

_MOST_BODY = 16 * 1024 * 1024
_MOST_WAITING = 64  # pipelined requests


@dataclass(slots=True)
class Request:
    method: str = ""
    target: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    keep_alive: bool = True

    @property
    def path(self) -> str:
        target = self.target
        if not target.startswith("/"):  # the absolute form, as clients write it to a proxy
            target = "/" + target.partition("://")[2].partition("/")[2]
        return unquote(target.partition("?")[0].partition("#")[0])


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    body: bytes = b""
    content_type: str = ""
    location: str = ""


Handler = Callable[[Request], Awaitable[Response]]
_ids = itertools.count(1)


class HttpConnection(asyncio.Protocol):
    """httptools calls the on_* methods."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._request = Request()
        self._waiting: deque[Request] = deque()
        self._worker: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        # What was asked is carried out; the answer has nowhere to go.
        self._transport = None

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse(HTTPStatus.BAD_REQUEST)
        except httptools.HttpParserError:
            self._refuse(HTTPStatus.BAD_REQUEST)

    def on_message_begin(self) -> None:
        self._request = Request()

    def on_url(self, url: bytes) -> None:
        self._request.target += url.decode("latin-1")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._request.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._request.body += body
        if len(self._request.body) > _MOST_BODY:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)

    def on_message_complete(self) -> None:
        self._request.method = self._parser.get_method().decode("ascii")
        self._request.keep_alive = self._parser.should_keep_alive()
        self._waiting.append(self._request)
        if len(self._waiting) > _MOST_WAITING:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE)
        elif self._worker is None:
            self._worker = asyncio.get_running_loop().create_task(self._work())
            self._worker.add_done_callback(self._worked)

    async def _work(self) -> None:
        while self._waiting:
            request = self._waiting.popleft()
            response = await self._handler(request)
            if self._transport is None:
                continue
            self._transport.write(_encode(response, request.keep_alive, request.method == "HEAD"))
            if not request.keep_alive:
                self._transport.close()
        self._worker = None

    def _worked(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR)
            raise error  # the loop's exception handler prints it

    def _refuse(self, status: HTTPStatus) -> None:
        if self._transport is not None and not self._transport.is_closing():
            body = f"{status.value} {status.phrase}\n".encode()
            self._transport.write(_encode(Response(status, body, "text/plain; charset=utf-8"), False, False))
            self._transport.close()


def _encode(response: Response, keep_alive: bool, head: bool) -> bytes:
    status = HTTPStatus(response.status)
    lines = [f"HTTP/1.1 {status.value} {status.phrase}"]
    if response.content_type:
        lines.append(f"Content-Type: {response.content_type}")
        if response.content_type.startswith("text/plain"):
            lines.append("X-Content-Type-Options: nosniff")
    if response.location:
        lines.append(f"Location: {response.location}")
    lines.append(f"X-Toxiproxy-Request-Id: {next(_ids):020x}")
    if status != HTTPStatus.NO_CONTENT:
        lines.append(f"Content-Length: {len(response.body)}")
    if not keep_alive:
        lines.append("Connection: close")
    text = "\r\n".join(lines) + "\r\n\r\n"
    return text.encode("latin-1") + (b"" if head else response.body)
