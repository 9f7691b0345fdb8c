"""Which calls gRPC takes, on top of HTTP/2 streams (the "gRPC over HTTP2" protocol description).

PURE. A `Dispatcher` makes a stream object for each request of a connection:

- A request whose content type is gRPC's and whose path is known becomes a `UnaryCall` or a `StreamCall`.
- One that gRPC refuses is answered with trailers only, in grpc-go's order of checks and with its words.
- Everything else is plain HTTP and goes to `http`, or is refused with 415 where there is none.

What a head means for gRPC is worked out once per distinct head and kept in `head.route`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from gauntlet.api.errors import Code, RpcError
from gauntlet.api.wire import status
from gauntlet.api.wire.calls import Route, StreamCall, UnaryCall
from gauntlet.api.wire.connection import Connection
from gauntlet.api.wire.deadlines import Deadlines
from gauntlet.api.wire.hpack_cache import Head
from gauntlet.api.wire.limits import Limits
from gauntlet.api.wire.outflow import Stream
from gauntlet.api.wire.types import Context, Method

_HIDDEN = frozenset(
    (
        "content-type",
        "grpc-message-type",
        "grpc-encoding",
        "grpc-message",
        "grpc-status",
        "grpc-timeout",
        "te",
    )
)

HttpAccept = Callable[[Connection, int, Head, bool], Stream]


class Dispatcher:
    """What all connections of a server share."""

    __slots__ = ("_http", "_methods", "_services", "deadlines", "limits", "peer_of")

    def __init__(
        self,
        methods: Mapping[str, Method],
        http: HttpAccept | None,
        limits: Limits,
        deadlines: Deadlines,
        peer_of: Callable[[Connection], tuple[str, Callable[[str], Any]]],
    ) -> None:
        self._methods = methods
        self._services = frozenset(path[1:].rpartition("/")[0] for path in methods)
        self._http = http
        self.limits = limits
        self.deadlines = deadlines
        self.peer_of = peer_of

    def accept(self, connection: Connection, stream_id: int, head: Head, ended: bool) -> None:
        """Connection's `accept`."""
        route: Route | None = head.route
        if route is None:
            route = head.base.route
            if route is None:
                route = head.base.route = self._route(head)
            head.route = route
        method = route.method
        if method is not None:
            deadline: float | None = None
            if head.timeout is not None:
                deadline = self._deadline(connection, stream_id, head, ended, route)
                if deadline is None:
                    return
            peer, transport_info = self.peer_of(connection)
            context = Context(route.metadata, peer, deadline, transport_info)
            call: Stream
            if method.unary is not None:
                call = UnaryCall(connection, stream_id, head, ended, self, route, context)
            else:
                call = StreamCall(connection, stream_id, head, ended, self, route, context)
                call.begin()
        elif route.refusal is not None:
            connection.send_block(Stream(connection, stream_id, head, ended), route.refusal)
            return
        else:
            assert self._http is not None
            call = self._http(connection, stream_id, head, ended)
        if ended and not call.over:
            call.end_received()

    def _deadline(
        self, connection: Connection, stream_id: int, head: Head, ended: bool, route: Route
    ) -> float | None:
        """When the call must be over; None if it was refused for its time-out."""
        assert head.timeout is not None
        try:
            timeout = status.parse_timeout(head.timeout)
            http_status = 200
            error = status.DEADLINE_EXCEEDED
        except RpcError as malformed:
            timeout = 0.0
            http_status = 400
            error = malformed
        if timeout > 0:
            return connection.now + timeout
        block = status.trailers_only(error.code, error.message, route.subtype, http_status)
        connection.send_block(Stream(connection, stream_id, head, ended), block)
        return None

    def _route(self, head: Head) -> Route:
        route = Route()
        metadata: dict[str, str] = {}
        for raw_name, raw_value in head.fields:
            metadata.setdefault(raw_name.decode("latin-1"), raw_value.decode("utf-8", "surrogateescape"))
        subtype = status.content_subtype(metadata.get("content-type", ""))
        if subtype is None:
            if self._http is None:
                text = (
                    f"invalid gRPC request content-type {status.go_quote(metadata.get('content-type', ''))}"
                )
                route.refusal = status.trailers_only(Code.INVALID_ARGUMENT, text, "", 415)
            return route
        route.subtype = subtype
        if head.method != "POST":
            text = (
                f"Received a HEADERS frame with :method {status.go_quote(head.method)} which should be POST"
            )
            route.refusal = status.trailers_only(Code.INTERNAL, text, subtype, 405)
            return route
        encoding = metadata.get("grpc-encoding", "identity")
        error: RpcError | None = None
        method = self._methods.get(head.path)
        if method is None:
            error = status.unknown_method(head.path, self._services)
        elif encoding == "gzip" and self.limits.gzip:
            route.gzip = True
        elif encoding not in ("", "identity"):
            error = status.unknown_encoding(encoding)
        if error is not None:
            route.refusal = status.trailers_only(error.code, error.message, subtype)
            return route
        if ":authority" not in metadata and "host" in metadata:
            metadata[":authority"] = metadata["host"]
        metadata.pop("host", None)
        route.metadata = MappingProxyType(
            {
                name: value
                for name, value in metadata.items()
                if name not in _HIDDEN and (name[:1] != ":" or name == ":authority")
            }
        )
        route.opening = status.opening(subtype, route.gzip)
        route.method = method
        return route
