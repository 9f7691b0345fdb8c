"""A small service on the real server, a client of raw frames, and a wait for conditions."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import hpack
import pytest
from gauntlet.api.errors import Code, RpcError
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.messages import mvccpb
from gauntlet.api.wire import frames
from gauntlet.api.wire.http_types import HttpRequest, HttpResponder
from gauntlet.api.wire.server import Limits, Server
from gauntlet.api.wire.types import LOW_WATER, Context, Method, Reply, ServerStream

PUT = "/etcdserverpb.KV/Put"
RANGE = "/etcdserverpb.KV/Range"
DELETE = "/etcdserverpb.KV/DeleteRange"
COMPACT = "/etcdserverpb.KV/Compact"
WATCH = "/etcdserverpb.Watch/Watch"
SNAPSHOT = "/etcdserverpb.Maintenance/Snapshot"


class EchoService:
    """Put echoes, Range waits for `release`, DeleteRange fails, Compact answers from a later loop turn, Watch
    echoes each request, Snapshot streams as many 10,000-byte blobs as its caller's metadata asks for."""

    def __init__(self) -> None:
        self.contexts: list[Context] = []
        self.held: list[Reply] = []
        self.cancelled: list[str] = []
        self.half_closed = 0
        self.snapshots = 0
        self.snapshots_left: list[int] = []

    def methods(self) -> dict[str, Method]:
        return {
            method.path: method
            for method in (
                Method(PUT, pb.PutRequest, pb.PutResponse, unary=self.put),
                Method(RANGE, pb.RangeRequest, pb.RangeResponse, unary=self.range),
                Method(DELETE, pb.DeleteRangeRequest, pb.DeleteRangeResponse, unary=self.delete),
                Method(COMPACT, pb.CompactionRequest, pb.CompactionResponse, unary=self.compact),
                Method(WATCH, pb.WatchRequest, pb.WatchResponse, stream=self.watch),
                Method(
                    SNAPSHOT,
                    pb.SnapshotRequest,
                    pb.SnapshotResponse,
                    stream=self.snapshot,
                    single_request=True,
                ),
            )
        }

    def put(self, context: Context, request: Any, reply: Reply) -> None:
        self.contexts.append(context)
        reply(pb.PutResponse(prev_kv=mvccpb.KeyValue(key=request.key, value=request.value)))

    def range(self, context: Context, request: Any, reply: Reply) -> None:
        self.contexts.append(context)
        self.held.append(reply)
        context.on_cancel(lambda: self.cancelled.append("range"))

    def delete(self, context: Context, request: Any, reply: Reply) -> None:
        raise RpcError(Code.INVALID_ARGUMENT, request.key.decode())

    def compact(self, context: Context, request: Any, reply: Reply) -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(reply, pb.CompactionResponse().SerializeToString())

    def watch(self, stream: ServerStream) -> Any:
        service = self

        class Echo:
            def on_message(self, message: Any) -> None:
                if message.HasField("cancel_request"):
                    stream.finish(RpcError(Code.OUT_OF_RANGE, "enough"))
                    return
                key = message.create_request.key
                watch_id = message.create_request.watch_id
                stream.send(pb.WatchResponse(watch_id=watch_id, cancel_reason=key.decode()))

            def on_half_close(self) -> None:
                service.half_closed += 1
                stream.finish()

            def on_cancel(self) -> None:
                service.cancelled.append("watch")

        return Echo()

    def snapshot(self, stream: ServerStream) -> Any:
        service = self
        service.snapshots += 1

        class Source:
            def __init__(self) -> None:
                self.left = int(stream.context.metadata.get("blobs", "1"))
                stream.on_drain(self.pour)

            def on_message(self, message: Any) -> None:
                self.pour()

            def on_half_close(self) -> None:
                pass

            def pour(self) -> None:
                while self.left and stream.backlog <= 2 * LOW_WATER:
                    self.left -= 1
                    stream.send(pb.SnapshotResponse(remaining_bytes=self.left, blob=b"s" * 10_000))
                service.snapshots_left.append(self.left)
                if not self.left:
                    stream.finish()

            def on_cancel(self) -> None:
                service.cancelled.append("snapshot")

        return Source()


def http_handler(request: HttpRequest, responder: HttpResponder) -> None:
    """/echo returns the body, /large two megabytes, /info what the request looks like, /pieces the body as it
    comes; the rest is not found."""
    if request.path == "/echo":
        request.read_body(lambda body: responder.send(200, body, "application/octet-stream"), 1 << 20)
    elif request.path == "/large":
        responder.send(200, b"L" * (2 << 20))
    elif request.path == "/info":
        host = request.headers.get("host", "")
        query = ",".join(f"{k}={v}" for k, v in request.query.items())
        responder.send(200, f"{request.method} {request.target} {host} {query}".encode())
    elif request.path == "/pieces":
        responder.start(200, {"X-Kind": "stream"})
        request.on_data(responder.write)
        request.on_end(responder.end)
    else:
        responder.send(404, b"404 page not found\n")


class Running:
    """A server in its own thread and loop."""

    def __init__(
        self,
        limits: Limits | None = None,
        url: str = "http://127.0.0.1:0",
        tls: Any = None,
        http: bool = True,
        header_log: Any = None,
    ) -> None:
        self.service = EchoService()
        self.loop = asyncio.new_event_loop()
        self.server = Server(
            self.service.methods(), http_handler if http else None, limits=limits, header_log=header_log
        )
        self.errors: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda loop, context: self.errors.append(context))
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        self.url = self.run(self.server.listen(url, tls))
        self.address = self.url.partition("://")[2]

    def run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(20)

    def call(self, function: Callable[[], Any]) -> Any:
        """Run `function` in the loop's thread."""

        async def work() -> Any:
            return function()

        return self.run(work())

    def stop(self, grace: float = 0.0) -> None:
        self.run(self.server.close(grace))
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()

    def connect(self) -> socket.socket:
        host, _, port = self.address.rpartition(":")
        return socket.create_connection((host, int(port)), timeout=10)


@pytest.fixture
def run_server() -> Iterator[Callable[..., Running]]:
    running: list[Running] = []

    def start(*args: Any, **kwargs: Any) -> Running:
        running.append(Running(*args, **kwargs))
        return running[-1]

    yield start
    for server in running:
        server.stop()
        assert server.errors == []


@pytest.fixture
def server(run_server: Callable[..., Running]) -> Running:
    return run_server()


@pytest.fixture
def eventually() -> Callable[[Callable[[], Any]], None]:
    """Wait until a condition holds."""

    def wait(condition: Callable[[], Any], seconds: float = 10.0) -> None:
        deadline = time.monotonic() + seconds
        pause = threading.Event()
        while not condition():
            assert time.monotonic() < deadline, "the condition never came true"
            pause.wait(0.01)

    return wait


class FrameClient:
    """Makes the frames of a client, and reads those of a server."""

    frames = frames

    def __init__(self) -> None:
        self.encoder = hpack.Encoder()
        self.decoder = hpack.Decoder()

    def opening(self, settings: list[tuple[int, int]] | None = None) -> bytes:
        return frames.PREFACE + frames.settings(settings or [])

    def request(
        self, stream_id: int, path: str = PUT, extra: list[tuple[str, str]] | None = None, end: bool = False
    ) -> bytes:
        fields = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", "test"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        ]
        return self.headers(stream_id, fields + (extra or []), end)

    def headers(self, stream_id: int, fields: list[tuple[str, str]], end: bool = False) -> bytes:
        return frames.header_frames(stream_id, self.encoder.encode(fields), end, 1 << 14)

    def message(self, stream_id: int, message: Any, end: bool = True) -> bytes:
        body = message.SerializeToString()
        data = b"\0" + len(body).to_bytes(4, "big") + body
        return frames.frame(frames.DATA, frames.END_STREAM if end else 0, stream_id, data)

    def read(self, data: bytes) -> list[tuple[int, int, int, Any]]:
        """The frames in `data`, headers decoded."""
        seen: list[tuple[int, int, int, Any]] = []
        for kind, flags, stream_id, payload in frames.split_frames(data):
            if kind == frames.HEADERS:
                seen.append((kind, flags, stream_id, dict(self.decoder.decode(payload))))
            else:
                seen.append((kind, flags, stream_id, payload))
        return seen

    @contextmanager
    def over(self, sock: socket.socket) -> Iterator[socket.socket]:
        with sock:
            sock.sendall(self.opening())
            yield sock


@pytest.fixture
def frame_client() -> FrameClient:
    return FrameClient()


@pytest.fixture(scope="session")
def frame_clients() -> type[FrameClient]:
    return FrameClient


@pytest.fixture(scope="session")
def echo_service() -> type[EchoService]:
    return EchoService
