"""Counts the calls of clients by standing in front of the handlers, for gRPC and the gateway alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from time import perf_counter
from typing import Any

from gauntlet.api.errors import Code, RpcError
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.wire.types import Answer, Context, Method, Reply, ServerStream, StreamReceiver
from gauntlet.reference.server.metrics.tally import APPLY_BOUNDS, Histogram, RpcTally, Tally
from google.protobuf.message import Message

# What etcd calls a request that goes through its common path, by RPC; others are not timed there.
REQUEST_NAMES = {
    **{f"KV/{name}": name for name in ("Range", "Put", "DeleteRange", "Txn")},
    "KV/Compact": "Compaction",
    **{f"Lease/{name}": name for name in ("LeaseGrant", "LeaseRevoke")},
    "Maintenance/Alarm": "Alarm",
    **{f"Auth/{name}": name for name in ("AuthEnable", "AuthDisable", "AuthStatus", "Authenticate")},
    **{
        f"Auth/{part}{verb}": f"Auth{part}{verb}"
        for part, verbs in {
            "User": ("Add", "Get", "List", "Delete", "ChangePassword", "GrantRole", "RevokeRole"),
            "Role": ("Add", "Get", "List", "Delete", "GrantPermission", "RevokePermission"),
        }.items()
        for verb in verbs
    },
}
STREAM_FAILURES = {
    "/etcdserverpb.Watch/Watch": ("send", "watch"),
    "/etcdserverpb.Lease/LeaseKeepAlive": ("send", "lease-keepalive"),
    "/etcdserverpb.Maintenance/Snapshot": ("send", "snapshot"),
}


class Calls:
    """Wraps a method table. `timed` keeps a histogram a method, as `--metrics=extensive` asks.

    `on_slow` is called with method, seconds, request and answer of a unary call that took longer than
    `slow_after` seconds; 0 is never.
    """

    def __init__(
        self,
        tally: Tally,
        timed: bool,
        slow_after: float = 0.0,
        on_slow: Callable[[str, float, Any, Answer], None] | None = None,
    ) -> None:
        self.tally = tally
        self.methods: dict[str, RpcTally] = {}
        self._timed = timed
        self._slow_after = slow_after if on_slow is not None else 0.0
        self._on_slow = on_slow

    def wrap(self, methods: Mapping[str, Method]) -> dict[str, Method]:
        table: dict[str, Method] = {}
        for path, method in methods.items():
            rpc = self.methods[path] = RpcTally(self._timed)
            if method.unary is not None:
                table[path] = replace(method, unary=self._unary(method, rpc))
            else:
                table[path] = replace(method, stream=self._stream(method, rpc))
        return table

    def _unary(self, method: Method, rpc: RpcTally) -> Callable[[Context, Any, Reply], None]:
        assert method.unary is not None
        handler, tally, times = method.unary, self.tally, rpc.times
        path = method.path
        name = REQUEST_NAMES.get(path.removeprefix("/etcdserverpb."))
        slow_after, on_slow = self._slow_after, self._on_slow
        requests, request_times = tally.requests, tally.request_times
        own_times = {
            "/etcdserverpb.Maintenance/Hash": tally.hash_times,
            "/etcdserverpb.Maintenance/HashKV": tally.hash_kv_times,
            "/etcdserverpb.Maintenance/Defragment": tally.defrag_times,
        }.get(path)
        is_range = path == "/etcdserverpb.KV/Range"

        def counted(context: Context, request: Any, reply: Reply) -> None:
            began = perf_counter()
            rpc.started += 1
            rpc.received += 1
            tally.received_bytes += request.ByteSize()
            version = ("unary", context.metadata.get("client-api-version", "unknown"))
            requests[version] = requests.get(version, 0) + 1

            def answer(result: Answer) -> None:
                took = perf_counter() - began
                if isinstance(result, RpcError):
                    rpc.over(result.code)
                else:
                    if not isinstance(result, bytes):
                        result = result.SerializeToString()
                    rpc.over(0)
                    rpc.sent += 1
                    tally.sent_bytes += len(result)
                if times is not None:
                    times.observe(took)
                if own_times is not None:
                    own_times.observe(took)
                if name is not None:
                    ok = not isinstance(result, RpcError)
                    histogram = request_times.get((name, ok))
                    if histogram is None:
                        histogram = request_times[name, ok] = Histogram()
                    histogram.observe(took)
                    if is_range:
                        tally.ranges += ok
                        if ok not in tally.range_times:
                            tally.range_times[ok] = Histogram(APPLY_BOUNDS)
                        tally.range_times[ok].observe(took)
                if slow_after and took > slow_after and on_slow is not None:
                    on_slow(path, took, request, result)
                reply(result)

            try:
                handler(context, request, answer)
            except RpcError as error:
                answer(error)

        return counted

    def _stream(self, method: Method, rpc: RpcTally) -> Callable[[ServerStream], StreamReceiver]:
        assert method.stream is not None
        handler = method.stream

        def counted(stream: ServerStream) -> StreamReceiver:
            counting = _Stream(stream, self.tally, rpc, method.path)
            try:
                counting.receiver = handler(counting)
            except RpcError as error:
                counting.over(error.code)
                raise
            return counting

        return counted


class _Stream:
    """Between a stream and its service: passes everything on, in both directions.

    It and its receiver hold each other until the stream is over.
    """

    def __init__(self, stream: ServerStream, tally: Tally, rpc: RpcTally, path: str) -> None:
        self.receiver: StreamReceiver | None = None
        self._stream = stream
        self._tally = tally
        self._rpc = rpc
        self._path = path
        self._is_watch = path == "/etcdserverpb.Watch/Watch"
        self._is_keep_alive = path == "/etcdserverpb.Lease/LeaseKeepAlive"
        self._over = False
        self._began = perf_counter()
        self.context = stream.context
        self.on_drain = stream.on_drain
        rpc.started += 1
        tally.watch_streams += self._is_watch
        version = ("stream", self.context.metadata.get("client-api-version", "unknown"))
        tally.requests[version] = tally.requests.get(version, 0) + 1

    # The service's side.

    @property
    def backlog(self) -> int:
        return self._stream.backlog

    def send(self, message: Message | bytes) -> None:
        tally = self._tally
        if not isinstance(message, bytes):
            if self._is_watch:
                assert isinstance(message, pb.WatchResponse)
                self._send_watch(message)
                return
            if self._is_keep_alive:
                assert isinstance(message, pb.LeaseKeepAliveResponse)
                tally.leases_renewed += message.TTL > 0
            message = message.SerializeToString()
        self._rpc.sent += 1
        tally.sent_bytes += len(message)
        self._stream.send(message)

    def _send_watch(self, response: pb.WatchResponse) -> None:
        began = perf_counter()
        tally = self._tally
        message = response.SerializeToString()
        self._rpc.sent += 1
        tally.sent_bytes += len(message)
        self._stream.send(message)
        took = perf_counter() - began
        if events := len(response.events):
            tally.events += events
            tally.watch_sends.observe(took)
            tally.watch_sends_per_event.observe(took / events)
        elif response.created or response.canceled:
            tally.watch_controls.observe(took)
        else:
            tally.watch_progress.observe(took)

    def finish(self, error: RpcError | None = None) -> None:
        self.over(0 if error is None else error.code)
        self.receiver = None
        self._stream.finish(error)

    # The client's side.

    def on_message(self, message: Any) -> None:
        self._rpc.received += 1
        self._tally.received_bytes += message.ByteSize()
        assert self.receiver is not None
        self.receiver.on_message(message)

    def on_half_close(self) -> None:
        assert self.receiver is not None
        self.receiver.on_half_close()

    def on_cancel(self) -> None:
        self.over(Code.CANCELLED)
        receiver, self.receiver = self.receiver, None
        if receiver is not None:
            receiver.on_cancel()

    def over(self, code: int) -> None:
        if self._over:
            return
        self._over = True
        self._rpc.over(code)
        if self._rpc.times is not None:
            self._rpc.times.observe(perf_counter() - self._began)
        self._tally.watch_streams -= self._is_watch
        if self._path == "/etcdserverpb.Maintenance/Snapshot":
            self._tally.client_snapshots.observe(perf_counter() - self._began)
        failure = STREAM_FAILURES.get(self._path)
        if failure is not None and code not in (Code.OK, Code.CANCELLED):
            failures = self._tally.stream_failures
            failures[failure] = failures.get(failure, 0) + 1
