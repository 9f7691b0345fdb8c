"""What an HTTP handler sees, whatever version of HTTP carried the request.

A handler is a plain function that is called once per request as soon as the headers are complete. It must
not block. It answers at once, or keeps the responder and answers later from a callback; it never needs a
task. The body, if it wants one, comes in one of two ways, and it asks for it before it returns:

- `request.read_body(callback, limit)`: the whole body, once, when it is complete;
- `request.on_data(callback)` and `request.on_end(callback)`: piece by piece, with `pause` and `resume`.

A handler that asks for neither lets the body be discarded. All callbacks come from the event loop's thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote

HeaderItems = Mapping[str, str] | Iterable[tuple[str, str]]

TEXT_PLAIN = "text/plain; charset=utf-8"


class HttpRequest(Protocol):
    """One request. Header names are lower case; values of a repeated name are joined by `, `."""

    @property
    def method(self) -> str: ...

    @property
    def target(self) -> str:
        """The request target as it was sent, query included (`/health?serializable=true`)."""

    @property
    def path(self) -> str:
        """The decoded path of the target, without the query."""

    @property
    def query(self) -> Mapping[str, list[str]]:
        """The decoded query; blank values are kept. Parsed when first asked for."""

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def peer(self) -> str:
        """The remote address as `host:port`; empty when unknown (a Unix socket)."""

    def transport_info(self, name: str) -> Any:
        """What `asyncio.BaseTransport.get_extra_info` says: `ssl_object`, `peercert`, `sockname` ..."""

    def read_body(
        self, callback: Callable[[bytes], None], limit: int, too_large: Callable[[], None] | None = None
    ) -> None:
        """Call `callback` once with the whole body.

        A body of more than `limit` bytes calls `too_large` instead (default: answer 413 and close). Neither
        is called when the connection is lost first; `HttpResponder.on_close` tells that.
        """

    def on_data(self, callback: Callable[[bytes], None]) -> None:
        """Call `callback` with each piece of the body as it arrives."""

    def on_end(self, callback: Callable[[], None]) -> None:
        """Call `callback` once after the last piece; not when the connection is lost first."""

    def pause(self) -> None:
        """Stop reading the body (and everything behind it on the connection)."""

    def resume(self) -> None: ...


class HttpResponder(Protocol):
    """The answer to one request: `send`, or `start`, then any number of `write`, then `end`.

    Calls after the connection is lost are ignored, since the handler cannot know it in time.
    """

    @property
    def started(self) -> bool:
        """Whether the status line is out (or queued behind an earlier answer on the connection)."""

    @property
    def closed(self) -> bool:
        """Whether the answer is over: ended, aborted, or its connection lost."""

    @property
    def backlog(self) -> int:
        """Bytes written here and not yet taken by the kernel."""

    def start(self, status: int, headers: HeaderItems = (), content_length: int | None = None) -> None:
        """Send the head. With `content_length` None the body is of open length (chunked, or h2 data).

        It goes out at once even if no body follows soon: peer streams stay silent for seconds.
        """

    def write(self, data: bytes) -> None:
        """Send a piece of the body. One call is one write on the connection."""

    def end(self) -> None: ...

    def send(
        self, status: int, body: bytes = b"", content_type: str = TEXT_PLAIN, headers: HeaderItems = ()
    ) -> None:
        """A complete answer."""

    def on_close(self, callback: Callable[[], None]) -> None:
        """Call `callback` once if the connection (or h2 stream) is lost before the answer has ended."""

    def on_drain(self, callback: Callable[[], None]) -> None:
        """Call `callback` each time the backlog has fallen low again after it had been too high."""

    def abort(self) -> None:
        """Break off so that the client sees an incomplete answer; on HTTP/1.1 the connection goes."""


HttpHandler = Callable[[HttpRequest, HttpResponder], None]


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Bounds on what a client may ask of a connection. Sizes are bytes, times seconds; 0 means no limit."""

    header_bytes: int = 1 << 20
    header_timeout: float = 0.0
    """How long the head of a request may take, from its first byte (the first one: from the accept)."""
    idle_timeout: float = 0.0
    """How long a kept-alive connection may wait for its next request."""
    discard_bytes: int = 256 << 10
    """How much of a body that nobody reads is thrown away to keep the connection; beyond it is closed."""
    pipeline_depth: int = 16
    """How many requests may wait behind the one being answered before the connection is no longer read."""
    stall_timeout: float = 20.0
    """How long one answer may take while the client cannot be heard: too many requests wait behind it, or the
    client's half has ended. Then the connection is cut."""


def split_target(target: str) -> tuple[str, str]:
    """The decoded path and the raw query of a request target (origin, absolute or asterisk form)."""
    if "://" in target and not target.startswith("/"):
        rest = target.split("://", 1)[1]
        slash = rest.find("/")
        target = rest[slash:] if slash >= 0 else "/"
    path, _, query = target.partition("?")
    return unquote(path), query


def parse_query(raw: str) -> dict[str, list[str]]:
    return parse_qs(raw, keep_blank_values=True) if raw else {}
