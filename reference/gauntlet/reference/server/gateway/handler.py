"""The gateway itself: finds the RPC, reads its JSON, calls the handler that gRPC calls, writes the JSON.

Rules (grpc-gateway 2.29 as etcd 3.7 sets it up):

- A unary call takes the first JSON value of the body; an empty body is an empty message. Its answer is a
  status and a message, or the error as `{"code":..,"message":..}` with the HTTP status of its code.
- A streaming call answers line by line, `{"result":..}`, and an error as a last line `{"error":..}`; the HTTP
  status is decided by the first line. A stream of requests takes one JSON value after the other, as they
  arrive; the end of the body, or a value that cannot be read, only ends the requests.
- A client that hangs up cancels the call. The identity in a client's certificate is not the call's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from gauntlet.api.errors import Code, RpcError
from gauntlet.api.wire.http_types import HttpRequest, HttpResponder
from gauntlet.api.wire.types import Answer, Context, Method, StreamReceiver
from gauntlet.api.wire.websocket import wants_websocket
from gauntlet.reference.server.gateway.decode import JsonError, read_message
from gauntlet.reference.server.gateway.encode import error_body, error_line, result_line, to_json
from gauntlet.reference.server.gateway.metadata import call_metadata, timeout
from gauntlet.reference.server.gateway.paths import PATHS
from gauntlet.reference.server.gateway.sockets import upgrade
from gauntlet.reference.server.gateway.values import JsonValues
from google.protobuf.message import Message

JSON = "application/json"
CALL_HEADERS = (("Grpc-Metadata-Content-Type", "application/grpc"),)
"""What the gateway shows of the response headers of the call behind it."""
STREAM_HEADERS = (*CALL_HEADERS, ("Content-Type", JSON))
# JSON is longer than the message in it: base64 by a third, small fields by their names.
BODY_FACTOR = 8

HTTP_STATUS = {
    Code.OK: 200,
    Code.CANCELLED: 499,
    Code.UNKNOWN: 500,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.DATA_LOSS: 500,
    Code.UNAUTHENTICATED: 401,
}

NOT_FOUND = RpcError(Code.NOT_FOUND, "Not Found", definite=True)
METHOD_NOT_ALLOWED = RpcError(Code.UNIMPLEMENTED, "Method Not Allowed", definite=True)
DEADLINE = RpcError(Code.DEADLINE_EXCEEDED, "context deadline exceeded", definite=False)


class Gateway:
    """An HTTP handler for everything below /v3/. `max_message` is the size of a request message in bytes."""

    def __init__(self, methods: Mapping[str, Method], max_message: int) -> None:
        self._methods = methods
        self.max_message = max_message

    def __call__(self, request: HttpRequest, responder: HttpResponder) -> None:
        if wants_websocket(request.headers):
            upgrade(request, responder, self._serve, BODY_FACTOR * self.max_message)
        else:
            self._serve(request, responder)

    def _serve(self, request: HttpRequest, responder: HttpResponder) -> None:
        path = request.path
        if path.startswith("/v3beta/"):
            path = "/v3/" + path.removeprefix("/v3beta/")
        rpc = PATHS.get(path)
        if rpc is None:
            refuse(responder, NOT_FOUND)
            return
        if request.method != "POST":
            refuse(responder, METHOD_NOT_ALLOWED)
            return
        method = self._methods.get(rpc)
        if method is None:
            service, _, name = rpc.removeprefix("/").partition("/")
            text = f"unknown method {name} for service {service}"
            refuse(responder, RpcError(Code.UNIMPLEMENTED, text, definite=True))
            return
        try:
            call = Call(self, request, responder, method)
        except RpcError as error:
            refuse(responder, error)
            return
        call.begin()


class Call:
    """One request on its way through."""

    def __init__(
        self, gateway: Gateway, request: HttpRequest, responder: HttpResponder, method: Method
    ) -> None:
        """RpcError for headers that make no sense."""
        self._max_message = gateway.max_message
        self._request = request
        self._responder = responder
        self._method = method
        self._timer: asyncio.TimerHandle | None = None
        self._over = False
        self._receiver: StreamReceiver | None = None
        self._values = JsonValues()
        self._half_closed = False
        loop = asyncio.get_running_loop()
        seconds = timeout(request.headers)
        deadline = None if seconds is None else loop.time() + seconds
        self.context = Context(call_metadata(request.headers, request.peer), request.peer, deadline)
        if deadline is not None:
            self._timer = loop.call_at(deadline, self._expired)

    def begin(self) -> None:
        self._responder.on_close(self._lost)
        if self._method.stream is not None and not self._method.single_request:
            # The call begins with its headers; requests follow as they are read.
            self._open_stream()
            if not self._over:
                self._request.on_data(self._more)
                self._request.on_end(self._all_sent)
            return
        limit = BODY_FACTOR * self._max_message
        self._request.read_body(self._whole, limit, lambda: self._fail(self._too_large(limit + 1)))

    # One request message.

    def _whole(self, body: bytes) -> None:
        if self._over:
            return
        try:
            message = self._first_message(body)
        except RpcError as error:
            self._fail_early(error)
            return
        if self._method.stream is not None:
            self._open_stream()
            if self._receiver is not None and not self._over:
                self._receiver.on_message(message)
            self._half_close()
            return
        assert self._method.unary is not None
        try:
            self._method.unary(self.context, message, self._answer)
        except RpcError as error:
            self._answer(error)

    def _first_message(self, body: bytes) -> Message:
        values = JsonValues()
        values.feed(body)
        value = values.take()
        return self._message(values.rest() if value is None else value)

    def _message(self, value: bytes) -> Message:
        message: Message = self._method.request()
        if value:
            try:
                read_message(value, message)
            except JsonError as error:
                raise RpcError(Code.INVALID_ARGUMENT, str(error), definite=True) from None
            size = message.ByteSize()
            if size > self._max_message:
                raise self._too_large(size)
        return message

    def _too_large(self, size: int) -> RpcError:
        text = f"grpc: received message larger than max ({size} vs. {self._max_message})"
        return RpcError(Code.RESOURCE_EXHAUSTED, text, definite=True)

    def _answer(self, answer: Answer) -> None:
        if self._over:
            return
        if isinstance(answer, RpcError):
            self._fail(answer)
            return
        self._end()
        message = self._method.response.FromString(answer) if isinstance(answer, bytes) else answer
        self._responder.send(200, to_json(message), JSON, CALL_HEADERS)

    # A stream. Call is the ServerStream that the service writes to.

    @property
    def backlog(self) -> int:
        return self._responder.backlog

    def on_drain(self, callback: Callable[[], None]) -> None:
        self._responder.on_drain(callback)

    def send(self, message: Message | bytes) -> None:
        if self._over:
            return
        if not self._responder.started:
            self._responder.start(200, STREAM_HEADERS)
        whole: Message = self._method.response.FromString(message) if isinstance(message, bytes) else message
        self._responder.write(result_line(whole))

    def finish(self, error: RpcError | None = None) -> None:
        if self._over:
            return
        if error is not None:
            self._fail(error)
            return
        self._end()
        if not self._responder.started:
            self._responder.start(200)
        self._responder.end()

    def _open_stream(self) -> None:
        assert self._method.stream is not None
        try:
            self._receiver = self._method.stream(self)
        except RpcError as error:
            self._fail(error)

    def _more(self, data: bytes) -> None:
        self._values.feed(data)
        while not (self._over or self._half_closed):
            value = self._values.take()
            if value is None:
                if self._values.size > BODY_FACTOR * self._max_message:
                    self._fail(self._too_large(self._values.size))
                return
            self._receive(value)

    def _all_sent(self) -> None:
        rest = self._values.rest()
        if rest and not self._half_closed:
            self._receive(rest)
        self._half_close()

    def _receive(self, value: bytes) -> None:
        if self._receiver is None or self._over:
            return
        try:
            message = self._message(value)
        except RpcError as error:
            if error.code is Code.RESOURCE_EXHAUSTED:
                self._cancel_receiver()
                self._fail(error)
            else:
                self._half_close()
            return
        self._receiver.on_message(message)

    def _half_close(self) -> None:
        if self._receiver is not None and not self._half_closed and not self._over:
            self._half_closed = True
            self._receiver.on_half_close()

    # The end.

    def _fail(self, error: RpcError) -> None:
        if self._over:
            return
        if self._method.stream is None:
            self._fail_early(error)
            return
        self._end()
        line = error_line(error)
        if self._responder.started:
            self._responder.write(line)
            self._responder.end()
            return
        self._responder.start(HTTP_STATUS[error.code], [("Content-Type", JSON)])
        self._responder.write(line)
        self._responder.end()

    def _fail_early(self, error: RpcError) -> None:
        """An error in place of an answer: of a unary call, or before a stream began."""
        if not self._over:
            self._end()
            refuse(self._responder, error)

    def _expired(self) -> None:
        self._timer = None
        if not self._over:
            self._cancel_receiver()
            self.context.cancel()
            self._fail(DEADLINE)

    def _lost(self) -> None:
        if not self._over:
            self._end()
            self._cancel_receiver()
            self.context.cancel()

    def _cancel_receiver(self) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.on_cancel()

    def _end(self) -> None:
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def refuse(responder: HttpResponder, error: RpcError) -> None:
    """An error as the whole answer."""
    names_scheme = error.code is Code.UNAUTHENTICATED
    headers = [("WWW-Authenticate", error.message)] if names_scheme else []
    responder.send(HTTP_STATUS[error.code], error_body(error), JSON, headers)
