"""grpcio against the server: what users of any gRPC client see."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.wire.server import Limits

PUT = "/etcdserverpb.KV/Put"
RANGE = "/etcdserverpb.KV/Range"
DELETE = "/etcdserverpb.KV/DeleteRange"
COMPACT = "/etcdserverpb.KV/Compact"
WATCH = "/etcdserverpb.Watch/Watch"
SNAPSHOT = "/etcdserverpb.Maintenance/Snapshot"


class Client:
    """The calls of the small service."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.channel = channel
        one, many = channel.unary_unary, channel.stream_stream
        self.put = one(PUT, pb.PutRequest.SerializeToString, pb.PutResponse.FromString)
        self.range = one(RANGE, pb.RangeRequest.SerializeToString, pb.RangeResponse.FromString)
        self.delete = one(DELETE, pb.DeleteRangeRequest.SerializeToString, pb.DeleteRangeResponse.FromString)
        self.compact = one(COMPACT, pb.CompactionRequest.SerializeToString, pb.CompactionResponse.FromString)
        self.watch = many(WATCH, pb.WatchRequest.SerializeToString, pb.WatchResponse.FromString)
        self.snapshot = channel.unary_stream(
            SNAPSHOT, pb.SnapshotRequest.SerializeToString, pb.SnapshotResponse.FromString
        )

    def raw(self, path: str) -> Any:
        return self.channel.unary_unary(path, lambda data: data, lambda data: data)


@pytest.fixture
def connect() -> Iterator[Callable[..., Client]]:
    channels: list[grpc.Channel] = []

    def make(address: str, **options: Any) -> Client:
        pairs = [(name, value) for name, value in options.items() if name.startswith("grpc.")]
        pairs.append(("grpc.use_local_subchannel_pool", 1))
        compression = options.get("compression")
        channels.append(grpc.insecure_channel(address, pairs, compression))
        return Client(channels[-1])

    yield make
    for channel in channels:
        channel.close()


@pytest.fixture
def client(server: Any, connect: Callable[..., Client]) -> Client:
    return connect(server.address)


def watch_request(key: bytes, watch_id: int = 0) -> Any:
    return pb.WatchRequest(create_request=pb.WatchCreateRequest(key=key, watch_id=watch_id))


def failure(call: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call(*args, timeout=kwargs.pop("timeout", 10), **kwargs)
    return caught.value.code(), caught.value.details()


def test_unary(client: Client) -> None:
    response, call = client.put.with_call(pb.PutRequest(key=b"k", value=b"v"), timeout=10)
    assert response.prev_kv.value == b"v"
    assert call.code() == grpc.StatusCode.OK
    assert client.compact(pb.CompactionRequest(), timeout=10) == pb.CompactionResponse()


def test_metadata_and_peer(server: Any, client: Client) -> None:
    metadata = [
        ("token", "secret"),
        ("hasleader", "true"),
        ("twice", "1"),
        ("twice", "2"),
        ("b-bin", b"\0\1"),
    ]
    client.put(pb.PutRequest(key=b"k"), metadata=metadata, timeout=10)
    context = server.service.contexts[-1]
    seen = context.metadata
    assert (seen["token"], seen["hasleader"], seen["twice"]) == ("secret", "true", "1")
    assert seen[":authority"] == server.address
    assert seen["user-agent"].startswith("grpc-python/")
    assert "b-bin" in seen
    assert not {":path", "te", "content-type", "grpc-timeout", "host"} & set(seen)
    assert context.peer.startswith("127.0.0.1:")
    assert context.transport_info("sockname")[1] == int(server.address.split(":")[1])


def test_errors_and_their_messages(client: Client) -> None:
    assert failure(client.delete, pb.DeleteRangeRequest(key=b"plain")) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "plain",
    )
    odd = "100% ünïcode\n\t日本"
    assert failure(client.delete, pb.DeleteRangeRequest(key=odd.encode()))[1] == odd


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/etcdserverpb.KV/Nope", "unknown method Nope for service etcdserverpb.KV"),
        ("/etcdserverpb.Nope/Put", "unknown service etcdserverpb.Nope"),
        ("/nothing", 'malformed method name: "/nothing"'),
    ],
)
def test_unknown_methods(client: Client, path: str, text: str) -> None:
    assert failure(client.raw(path), b"") == (grpc.StatusCode.UNIMPLEMENTED, text)


def test_undecodable_request(client: Client) -> None:
    code, text = failure(client.raw(PUT), b"\xff\xff\xff")
    assert code == grpc.StatusCode.INTERNAL
    assert text.startswith("grpc: error unmarshalling request: proto:")


def test_deadlines(server: Any, client: Client, eventually: Callable[..., None]) -> None:
    assert (
        failure(client.range, pb.RangeRequest(key=b"k"), timeout=0.2)[0] == grpc.StatusCode.DEADLINE_EXCEEDED
    )
    eventually(lambda: server.service.cancelled == ["range"])
    context = server.service.contexts[-1]
    assert context.cancelled
    assert context.deadline is not None
    server.call(lambda: server.service.held[-1](pb.RangeResponse()))  # too late, dropped


def test_cancellation(server: Any, client: Client, eventually: Callable[..., None]) -> None:
    future = client.range.future(pb.RangeRequest(key=b"k"))
    eventually(lambda: server.service.held)
    future.cancel()
    eventually(lambda: server.service.cancelled == ["range"])
    stream = client.watch(iter([watch_request(b"k")]))
    assert next(stream).cancel_reason == "k"
    stream.cancel()


def test_a_lost_connection_cancels(
    server: Any, connect: Callable[..., Client], eventually: Callable[..., None]
) -> None:
    client = connect(server.address)
    pending = client.range.future(pb.RangeRequest(key=b"k"))
    done = threading.Event()

    def requests() -> Iterator[Any]:
        yield watch_request(b"k")
        done.wait(10)

    next(client.watch(requests()))
    eventually(lambda: server.service.held)
    client.channel.close()
    done.set()
    assert pending.done()
    eventually(lambda: sorted(server.service.cancelled) == ["range", "watch"])
    eventually(lambda: server.server.connections == 0)


def test_bidirectional(server: Any, client: Client, eventually: Callable[..., None]) -> None:
    requests = [watch_request(b"key%d" % number, number) for number in range(500)]
    responses = list(client.watch(iter(requests), timeout=20))
    assert [(r.watch_id, r.cancel_reason) for r in responses] == [(n, f"key{n}") for n in range(500)]
    eventually(lambda: server.service.half_closed == 1)
    assert server.service.cancelled == []


def test_a_stream_may_end_with_an_error(client: Client) -> None:
    requests = [watch_request(b"a"), pb.WatchRequest(cancel_request=pb.WatchCancelRequest())]
    call = client.watch(iter(requests), timeout=10)
    assert next(call).cancel_reason == "a"
    with pytest.raises(grpc.RpcError) as caught:
        next(call)
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.OUT_OF_RANGE, "enough")


def test_server_streaming(client: Client) -> None:
    blobs = list(client.snapshot(pb.SnapshotRequest(), metadata=[("blobs", "1000")], timeout=30))
    assert len(blobs) == 1000
    assert [blob.remaining_bytes for blob in blobs] == list(range(999, -1, -1))
    assert all(len(blob.blob) == 10_000 for blob in blobs)


def test_single_request_streams_want_exactly_one(client: Client) -> None:
    many = client.channel.stream_stream(
        SNAPSHOT, pb.SnapshotRequest.SerializeToString, pb.SnapshotResponse.FromString
    )
    for count, text in ((0, "received no request message"), (2, "received multiple request messages")):
        with pytest.raises(grpc.RpcError) as caught:
            list(many(iter([pb.SnapshotRequest()] * count), timeout=10))
        assert caught.value.code() == grpc.StatusCode.INTERNAL
        assert text in caught.value.details()


def test_large_messages(server: Any, client: Client) -> None:
    limit = server.server.limits.max_message_bytes
    value = b"v" * (limit - 100)
    assert client.put(pb.PutRequest(key=b"k", value=value), timeout=20).prev_kv.value == value
    size = len(pb.PutRequest(value=b"v" * limit).SerializeToString())
    assert failure(client.put, pb.PutRequest(value=b"v" * limit)) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        f"grpc: received message larger than max ({size} vs. {limit})",
    )
    assert client.put(pb.PutRequest(key=b"k"), timeout=10).prev_kv.key == b"k"


def test_gzip(server: Any, connect: Callable[..., Client]) -> None:
    client = connect(server.address, compression=grpc.Compression.Gzip)
    value = b"compressible" * 10_000
    assert client.put(pb.PutRequest(key=b"k", value=value), timeout=10).prev_kv.value == value
    responses = client.watch(iter([watch_request(b"long" * 1000)]), timeout=10)
    assert next(responses).cancel_reason == "long" * 1000
    bomb = pb.PutRequest(value=bytes(server.server.limits.max_message_bytes))
    code, text = failure(client.put, bomb)
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert text.startswith("grpc: received message after decompression larger than max")


def test_other_encodings(server: Any, run_server: Any, connect: Callable[..., Client]) -> None:
    client = connect(server.address, compression=grpc.Compression.Deflate)
    refusal = failure(client.put, pb.PutRequest(value=b"v" * 10_000))
    assert refusal == (
        grpc.StatusCode.UNIMPLEMENTED,
        'grpc: Decompressor is not installed for grpc-encoding "deflate"',
    )
    plain = run_server(Limits(gzip=False))
    client = connect(plain.address, compression=grpc.Compression.Gzip)
    assert 'grpc-encoding "gzip"' in failure(client.put, pb.PutRequest(value=b"v" * 10_000))[1]


def test_many_calls_at_once(client: Client) -> None:
    futures = [client.put.future(pb.PutRequest(key=b"%d" % n), timeout=30) for n in range(2000)]
    assert [int(future.result().prev_kv.key) for future in futures] == list(range(2000))


def test_many_streams_at_once(server: Any, client: Client) -> None:
    def echo(number: int) -> int:
        responses = client.watch(iter([watch_request(b"w", number)] * 5), timeout=30)
        return sum(response.watch_id for response in responses)

    with ThreadPoolExecutor(32) as pool:
        assert list(pool.map(echo, range(200))) == [5 * number for number in range(200)]
    assert server.service.half_closed == 200


def test_a_slow_reader_holds_up_nobody(
    server: Any, connect: Callable[..., Client], eventually: Callable[..., None]
) -> None:
    slow = connect(server.address)
    stream = slow.snapshot(pb.SnapshotRequest(), metadata=[("blobs", "3000")], timeout=60)
    eventually(lambda: server.service.snapshots_left)
    for _ in range(100):  # the same connection and another one are served meanwhile
        assert slow.put(pb.PutRequest(key=b"k"), timeout=10).prev_kv.key == b"k"
    other = connect(server.address)
    assert other.put(pb.PutRequest(key=b"k"), timeout=10).prev_kv.key == b"k"
    assert server.service.snapshots_left[-1] > 0
    assert sum(1 for _ in stream) == 3000


def test_graceful_close(run_server: Any, connect: Callable[..., Client], eventually: Any) -> None:
    server = run_server()
    client = connect(server.address)
    future = client.range.future(pb.RangeRequest(key=b"k"), timeout=20)
    eventually(lambda: server.service.held)
    with ThreadPoolExecutor(1) as pool:
        closing = pool.submit(server.run, server.server.close(10))
        eventually(lambda: server.call(lambda: server.server._closing))
        server.call(lambda: server.service.held[0](pb.RangeResponse(count=7)))
        assert future.result(10).count == 7
        closing.result(10)
    assert server.server.connections == 0


def test_close_without_grace(run_server: Any, connect: Callable[..., Client], eventually: Any) -> None:
    server = run_server()
    client = connect(server.address)
    future = client.range.future(pb.RangeRequest(key=b"k"), timeout=20)
    eventually(lambda: server.service.held)
    server.run(server.server.close())
    assert future.exception(10).code() == grpc.StatusCode.UNAVAILABLE
    assert server.service.cancelled == ["range"]


def test_unix_socket(run_server: Any, connect: Callable[..., Client], tmp_path: Path) -> None:
    path = tmp_path / "node.sock"
    server = run_server(None, f"unix://{path}")
    client = connect(f"unix:{path}")
    assert client.put(pb.PutRequest(key=b"k"), timeout=10).prev_kv.key == b"k"
    assert server.service.contexts[-1].peer == ""
    server.run(server.server.close())
    assert not path.exists()


def test_without_http_other_content_is_refused(run_server: Any, frame_client: Any) -> None:
    server = run_server(None, "http://127.0.0.1:0", None, False)
    fields = [(":method", "POST"), (":scheme", "http"), (":path", PUT), ("content-type", "text/plain")]
    with frame_client.over(server.connect()) as sock:
        sock.sendall(frame_client.headers(1, fields, end=True))
        data = b""
        while b"grpc-status" not in data:
            data += sock.recv(4096)
    answer = next(payload for kind, *_, payload in frame_client.read(data) if kind == 1)
    assert (answer[":status"], answer["grpc-status"]) == ("415", "3")
    assert answer["grpc-message"] == 'invalid gRPC request content-type "text/plain"'


def test_gzip_of_several_members_is_read(server: Any, frame_client: Any) -> None:
    body = pb.PutRequest(key=b"k", value=b"0123456789").SerializeToString()
    packed = gzip.compress(body[:4]) + gzip.compress(body[4:])
    message = b"\1" + len(packed).to_bytes(4, "big") + packed
    with frame_client.over(server.connect()) as sock:
        sock.sendall(frame_client.request(1, PUT, [("grpc-encoding", "gzip")]))
        sock.sendall(frame_client.frames.frame(0, 1, 1, message))
        data = b""
        while b"grpc-status" not in data:
            data += sock.recv(4096)
    seen = frame_client.read(data)
    assert next(payload for kind, *_, payload in seen if kind == 1)["grpc-encoding"] == "gzip"
    response = next(payload for kind, *_, payload in seen if kind == 0)
    assert pb.PutResponse.FromString(gzip.decompress(response[5:])).prev_kv.value == b"0123456789"
