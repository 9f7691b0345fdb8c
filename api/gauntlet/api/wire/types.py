"""What a service sees of the wire: contexts, methods, replies and streams. No HTTP/2 and no asyncio here.

A service offers `Method` values. The wire decodes a request, calls the method's handler from the event loop's
thread, and encodes what the handler answers. Nothing here creates a task or a coroutine:

- A *unary* handler gets the call's context, the request and a `reply`. It calls `reply` exactly once, at once
  or from a later callback, with the response or an `RpcError`. It may also raise an `RpcError` before it
  returns, which counts as the reply.
- A *stream* handler gets a `ServerStream` and returns the `StreamReceiver` that will be told what the client
  sends. Server-streaming methods are streams whose receiver gets one message and a half-close.

A call is over when it is answered, when its deadline passes, when the client cancels it, or when its
connection is lost. Answers to a call that is over are dropped silently, because a service cannot know in
time. Any other exception out of a handler is a defect: it ends the connection it came from, and only that
one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

from gauntlet.api.errors import RpcError
from google.protobuf.message import Message

EMPTY_METADATA: Mapping[str, str] = MappingProxyType({})

LOW_WATER = 64 << 10
"""A stream's backlog is low at or below this many bytes; see `ServerStream.on_drain`."""


def _nothing_known(name: str) -> Any:
    return None


class Context:
    """One incoming call, as its handler sees it.

    `metadata` is the request's custom metadata: lower-case names, without HTTP/2's pseudo headers and without
    what gRPC itself uses; of a repeated name the first value counts, as it does for etcd. `:authority` is
    there under that name. Values of `-bin` names are base64 text. It is shared between calls: do not change
    it. `peer` is the remote `host:port`, empty for a Unix socket. `deadline` is in the event loop's time,
    None when the client set none. `cancelled` is True once the call is over without having been answered.
    """

    __slots__ = ("_callbacks", "_transport_info", "cancelled", "deadline", "metadata", "peer")

    def __init__(
        self,
        metadata: Mapping[str, str] = EMPTY_METADATA,
        peer: str = "",
        deadline: float | None = None,
        transport_info: Callable[[str], Any] = _nothing_known,
    ) -> None:
        self.metadata = metadata
        self.peer = peer
        self.deadline = deadline
        self.cancelled = False
        self._transport_info = transport_info
        self._callbacks: list[Callable[[], None]] | None = None

    def transport_info(self, name: str) -> Any:
        """What `asyncio.BaseTransport.get_extra_info` says: `ssl_object`, `peercert`, `sockname` ..."""
        return self._transport_info(name)

    def on_cancel(self, callback: Callable[[], None]) -> None:
        """Call `callback` once if the call ends unanswered: cancelled, past its deadline, connection lost.

        At once when that has already happened. Never after the call was answered.
        """
        if self.cancelled:
            callback()
        elif self._callbacks is None:
            self._callbacks = [callback]
        else:
            self._callbacks.append(callback)

    def cancel(self) -> None:
        """Tell everyone that the call is over. Called by the wire (and by tests of services)."""
        if self.cancelled:
            return
        self.cancelled = True
        callbacks, self._callbacks = self._callbacks, None
        for callback in callbacks or ():
            callback()


Answer = Message | bytes | RpcError
"""A response message, the bytes of one already encoded, or an error."""

Reply = Callable[[Answer], None]
"""Takes the answer to a unary call, exactly once."""

UnaryHandler = Callable[[Context, Any, Reply], None]
"""Called with the context, the decoded request (of the method's request type) and the reply."""


class ServerStream(Protocol):
    """The server's end of a streaming call. Calls after the stream is over are ignored."""

    @property
    def context(self) -> Context: ...

    @property
    def backlog(self) -> int:
        """Bytes given to `send` and not yet taken by the peer (its flow control, its socket)."""

    def send(self, message: Message | bytes) -> None:
        """Send one message; `bytes` are a message already encoded.

        Nothing is dropped and nothing blocks: who sends without an eye on `backlog` uses memory instead.
        """

    def finish(self, error: RpcError | None = None) -> None:
        """End the call, after everything sent so far. Nothing more is received from then on."""

    def on_drain(self, callback: Callable[[], None]) -> None:
        """Call `callback` each time the backlog falls to LOW_WATER or less after having been above it.

        So a sender stops at any backlog above LOW_WATER of its choice and goes on when called.
        """


class StreamReceiver(Protocol):
    """What a streaming service wants to know about the client's end.

    After `on_cancel` nothing more is called. It is not called after the service itself has finished the
    call, and neither are the others.
    """

    def on_message(self, message: Any) -> None: ...

    def on_half_close(self) -> None:
        """The client has sent its last message; it still listens."""

    def on_cancel(self) -> None:
        """The call is over before the service finished it: cancelled, past its deadline, connection lost."""


StreamHandler = Callable[[ServerStream], StreamReceiver]


@dataclass(frozen=True, slots=True)
class Method:
    """One RPC: either `unary` or `stream` is set. `path` is as on the wire, `/etcdserverpb.KV/Put`.

    `single_request` marks a stream method that takes exactly one request (server streaming): a client that
    half-closes without a request, or sends a second one, is refused as grpc-go refuses it.
    """

    path: str
    request: type[Any]
    response: type[Any]
    unary: UnaryHandler | None = None
    stream: StreamHandler | None = None
    single_request: bool = False

    def __post_init__(self) -> None:
        if (self.unary is None) == (self.stream is None):
            raise ValueError(f"{self.path}: exactly one of unary and stream must be given")
