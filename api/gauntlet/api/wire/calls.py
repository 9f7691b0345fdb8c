"""gRPC calls: messages out of a stream's bytes, their answers, and how a call ends.

PURE. A call is *answered* once its status is given to the connection, and *over* once that is out, or the
call was cancelled. Its deadline is watched only while it waits for its answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from struct import Struct
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from gauntlet.api.errors import RpcError
from gauntlet.api.wire import status
from gauntlet.api.wire.connection import Connection
from gauntlet.api.wire.hpack_cache import Head
from gauntlet.api.wire.outflow import Block, Stream
from gauntlet.api.wire.types import Answer, Context, Method, ServerStream, StreamReceiver
from google.protobuf.message import DecodeError, Message

if TYPE_CHECKING:
    from gauntlet.api.wire.grpc import Dispatcher

_PREFIX = Struct(">BI")
_prefix_of = _PREFIX.unpack_from
_OK = status.trailers(0, "")

HOLD_BACKLOG = 1 << 20
"""A streaming call whose client has taken so much less than we sent is not read from until it caught up."""

WAITING_CALL = 1024
"""What a call that waits to be made costs beside its message."""


class Route:
    """What a head means: `method` is served, or `refusal` is sent, or (neither) it is plain HTTP."""

    __slots__ = ("gzip", "metadata", "method", "opening", "refusal", "subtype")

    def __init__(self) -> None:
        self.method: Method | None = None
        self.refusal: Block | None = None
        self.metadata: Mapping[str, str] = MappingProxyType({})
        self.subtype = ""
        self.gzip = False
        self.opening: Block = status.opening("", False)


class Call(Stream):
    """What unary and streaming calls have in common: messages out of bytes, and a status at the end."""

    __slots__ = ("answered", "buffer", "called", "context", "core", "limit", "opened", "route")

    torn = status.TORN_REQUEST

    def __init__(
        self,
        connection: Connection,
        stream_id: int,
        head: Head,
        ended: bool,
        core: Dispatcher,
        route: Route,
        context: Context,
    ) -> None:
        Stream.__init__(self, connection, stream_id, head, ended)
        self.core = core
        self.route = route
        self.context = context
        self.buffer: bytearray | None = None
        self.limit = core.limits.max_message_bytes
        self.answered = False
        self.called = False
        self.opened = False

    def message(self, data: bytes) -> None:
        """One whole message, uncompressed."""
        raise NotImplementedError

    def input_ended(self) -> None:
        """The client has sent its last message."""
        raise NotImplementedError

    def data_received(self, data: bytes) -> None:
        if self.answered:
            return
        if self.buffer is None and len(data) >= 5:
            flag, size = _prefix_of(data)
            if flag == 0 and len(data) == size + 5 and size <= self.limit:
                self.message(data[5:])
                if self.ended and not self.answered:
                    self.input_ended()
                return
        self._assemble(data)
        if self.ended and not self.answered:
            self._finish_input()

    def end_received(self) -> None:
        if not self.answered:
            self._finish_input()

    def _finish_input(self) -> None:
        if self.buffer:
            self.fail(self.torn)
        else:
            self.input_ended()

    def _assemble(self, data: bytes) -> None:
        """Bytes that are not exactly one plain message."""
        buffer = self.buffer
        if buffer is None:
            buffer = self.buffer = bytearray()
        connection = self.connection
        buffer += data
        connection.partial_bytes += len(data)
        position = 0
        while len(buffer) - position >= 5 and not self.answered:
            flag, size = _prefix_of(buffer, position)
            if size > self.limit:
                self.fail(status.too_large(size, self.limit))
                return
            stop = position + 5 + size
            if stop > len(buffer):
                break
            payload = bytes(memoryview(buffer)[position + 5 : stop])
            position = stop
            try:
                payload = self._plain(flag, payload)
            except RpcError as error:
                self.fail(error)
                return
            self.message(payload)
        if self.buffer is None:
            return
        if position:
            del buffer[:position]
            connection.partial_bytes -= position
        if connection.partial_bytes > self.core.limits.partial_bytes and not self.answered:
            self.fail(status.TOO_MUCH_UNFINISHED)

    def _plain(self, flag: int, payload: bytes) -> bytes:
        if flag == 0:
            return payload
        if flag != 1:
            raise status.unknown_format(flag)
        if not self.route.gzip:
            raise status.COMPRESSED_IDENTITY.fresh()
        return status.decompress(payload, self.limit)

    def _drop_buffer(self) -> None:
        if self.buffer is not None:
            self.connection.partial_bytes -= len(self.buffer)
            self.buffer = None

    def decode(self, data: bytes) -> Any:
        """The request in `data`; raises RpcError."""
        method = self.route.method
        assert method is not None
        try:
            return method.request.FromString(data)
        except DecodeError:
            pass
        raise status.undecodable("cannot parse invalid wire-format data")

    def close(self, error: RpcError | None) -> None:
        """Give the status. Nothing is received from here on."""
        self.answered = True
        self._drop_buffer()
        if error is None:
            code, text = 0, ""
        else:
            code, text = int(error.code), error.message
        if self.opened:
            block = status.trailers(code, text)
        else:
            block = status.trailers_only(code, text, self.route.subtype)
        self.connection.send_block(self, block)

    def fail(self, error: RpcError) -> None:
        """End the call for a reason its handler does not know of."""
        if not self.answered:
            self.close(error)
            self.tell_cancelled()

    def deadline_passed(self) -> None:
        self.fail(status.DEADLINE_EXCEEDED)

    def lost(self) -> None:
        self._drop_buffer()
        if not self.answered:
            self.answered = True
            self.tell_cancelled()

    def tell_cancelled(self) -> None:
        self.context.cancel()


class UnaryCall(Call):
    """One request, one response. Bytes behind the first message are ignored, as grpc-go ignores them.

    A client that does not take its answers gets no new ones made: its calls wait (`Outflow.put_off`).
    """

    __slots__ = ()

    def message(self, data: bytes) -> None:
        if self.called:
            return
        self.called = True
        connection = self.connection
        if connection.behind:
            self._wait(data)
        else:
            self._call(data)

    def _wait(self, data: bytes) -> None:
        connection = self.connection
        size = len(data) + WAITING_CALL
        if connection.partial_bytes + size > self.core.limits.partial_bytes:
            self.fail(status.TOO_MUCH_UNFINISHED)
            return
        connection.partial_bytes += size
        connection.put_off(partial(self._call_late, data))
        if self.context.deadline is not None:
            self.core.deadlines.add(self.context.deadline, self)

    def _call_late(self, data: bytes) -> None:
        self.connection.partial_bytes -= len(data) + WAITING_CALL
        if not self.answered:
            self._call(data)

    def _call(self, data: bytes) -> None:
        method = self.route.method
        assert method is not None
        assert method.unary is not None
        context = self.context
        try:
            method.unary(context, self.decode(data), self.reply)
        except RpcError as error:
            self.reply(error)
            return
        if context.deadline is not None and not self.answered:
            self.core.deadlines.add(context.deadline, self)

    def input_ended(self) -> None:
        if not self.called:
            self.fail(status.NO_REQUEST)

    def reply(self, answer: Answer) -> None:
        """The handler's `reply`."""
        if self.answered:
            if self.context.cancelled or self.over:
                return
            raise RuntimeError("a unary call was answered twice")
        if isinstance(answer, RpcError):
            self.close(answer)
            return
        self.answered = True
        if self.buffer is not None:
            self._drop_buffer()
        body = answer if isinstance(answer, bytes) else answer.SerializeToString()
        route = self.route
        if route.gzip:
            self.connection.send_unary(self, route.opening, 1, status.compress(body), _OK)
        else:
            self.connection.send_unary(self, route.opening, 0, body, _OK)


class StreamCall(Call):
    """A streaming call: the ServerStream its service holds."""

    __slots__ = ("_drain", "_first", "receiver")

    torn = status.TORN_STREAM_REQUEST

    def begin(self) -> None:
        """Hand the call to its service."""
        self._drain: Callable[[], None] | None = None
        self._first: Any = None
        self.receiver: StreamReceiver | None = None
        method = self.route.method
        assert method is not None
        assert method.stream is not None
        stream: ServerStream = self
        try:
            self.receiver = method.stream(stream)
        except RpcError as error:
            self.finish(error)
            return
        deadline = self.context.deadline
        if deadline is not None and not self.answered:
            self.core.deadlines.add(deadline, self)

    def message(self, data: bytes) -> None:
        method = self.route.method
        receiver = self.receiver
        assert method is not None
        assert receiver is not None
        try:
            request = self.decode(data)
            if not method.single_request:
                receiver.on_message(request)
            elif self._first is not None:
                self.fail(status.SECOND_REQUEST)
            else:
                self._first = request
        except RpcError as error:
            self.finish(error)

    def input_ended(self) -> None:
        method = self.route.method
        receiver = self.receiver
        assert method is not None
        assert receiver is not None
        try:
            if method.single_request:
                if self._first is None:
                    self.fail(status.NO_SINGLE_REQUEST)
                    return
                receiver.on_message(self._first)
            if not self.answered:
                receiver.on_half_close()
        except RpcError as error:
            self.finish(error)

    def tell_cancelled(self) -> None:
        self.context.cancel()
        receiver = self._let_go()
        if receiver is not None:
            receiver.on_cancel()

    def _let_go(self) -> StreamReceiver | None:
        """Call and receiver hold each other: without this they would wait for the collector."""
        receiver, self.receiver, self._drain = self.receiver, None, None
        return receiver

    # ServerStream.

    @property
    def backlog(self) -> int:
        return self.pending_bytes

    def send(self, message: Message | bytes) -> None:
        if self.answered:
            return
        connection = self.connection
        if not self.opened:
            self.opened = True
            connection.send_block(self, self.route.opening)
        body = message if isinstance(message, bytes) else message.SerializeToString()
        if self.route.gzip:
            body = status.compress(body)
        connection.send_data(self, _PREFIX.pack(1 if self.route.gzip else 0, len(body)) + body)
        if self.pending_bytes > HOLD_BACKLOG:
            self.held = True

    def finish(self, error: RpcError | None = None) -> None:
        if not self.answered:
            self.close(error)
            self._let_go()

    def on_drain(self, callback: Callable[[], None]) -> None:
        self._drain = callback

    def drained(self) -> None:
        if self.held:
            self.connection.release(self)
        if self._drain is not None and not self.answered:
            self._drain()
