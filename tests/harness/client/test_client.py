"""The recording client: one attempt, a deadline, its own connection, and honest errors.

Here it meets small servers that misbehave in known ways; in test_client_etcd.py it meets etcd.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import grpc
import pytest
from gauntlet.api import errors
from gauntlet.api.errors import Code, RpcError
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.messages import v3lockpb
from gauntlet.harness import client as client_module
from gauntlet.harness.client import EtcdClient, target

Handler = Callable[[bytes, grpc.aio.ServicerContext], Awaitable[bytes]]

# ---- endpoints ----


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("127.0.0.1:2379", ("ipv4:127.0.0.1:2379", False)),
        ("http://127.0.0.1:2379", ("ipv4:127.0.0.1:2379", False)),
        ("https://[::1]:2379", ("ipv6:[::1]:2379", True)),
        ("https://etcd.example:2379/", ("dns:///etcd.example:2379", True)),
        ("unix:///run/etcd.sock", ("unix:/run/etcd.sock", False)),
        ("unixs:///run/etcd.sock", ("unix:/run/etcd.sock", True)),
    ],
)
def test_endpoints(endpoint: str, expected: tuple[str, bool]) -> None:
    assert target(endpoint) == expected


@pytest.mark.parametrize(
    "endpoint",
    ["", "127.0.0.1", "ftp://a:1", "http://a:1/x", "http://:2379", "http://u@a:1", "a:99999", "unix://"],
)
def test_not_an_endpoint(endpoint: str) -> None:
    with pytest.raises(ValueError):
        target(endpoint)


# ---- servers that misbehave ----


class Server:
    """One gRPC method that answers as the test says, and a count of the attempts that reached it."""

    def __init__(self, answer: Handler) -> None:
        self.answer = answer
        self.attempts = 0
        self.peers: set[str] = set()
        self.metadata: dict[str, str | bytes] = {}

    async def handle(self, request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        self.attempts += 1
        self.peers.add(context.peer())
        self.metadata = dict(context.invocation_metadata() or ())
        return await self.answer(request, context)


@asynccontextmanager
async def serving(
    answer: Handler, service: str = "etcdserverpb.KV", method: str = "Put"
) -> AsyncIterator[tuple[Server, str]]:
    behaviour = Server(answer)
    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(behaviour.handle)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield behaviour, f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


async def fine(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
    return pb.PutResponse(header=pb.ResponseHeader(revision=2)).SerializeToString()


def refusing(code: grpc.StatusCode, message: str) -> Handler:
    async def answer(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        await context.abort(code, message)
        raise AssertionError("abort raises")

    return answer


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        assert isinstance(port, int)
        return port


def test_an_answer() -> None:
    async def run() -> None:
        async with serving(fine) as (server, endpoint), EtcdClient(endpoint, metadata=[("a", "b")]) as client:
            client.token = "t"
            assert (await client.put(b"k", b"v")).header.revision == 2
            assert (server.metadata["a"], server.metadata["token"]) == ("b", "t")

    asyncio.run(run())


@pytest.mark.parametrize(
    ("code", "message", "definite"),
    [
        (grpc.StatusCode.UNAVAILABLE, "etcdserver: request timed out", False),
        (grpc.StatusCode.UNAVAILABLE, "etcdserver: no leader", True),
        (grpc.StatusCode.OUT_OF_RANGE, "etcdserver: mvcc: required revision has been compacted", True),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded", False),
    ],
)
def test_one_attempt_and_a_classified_error(code: grpc.StatusCode, message: str, definite: bool) -> None:
    """Unavailable is what gRPC clients like to retry by themselves; the server must see it once."""

    async def run() -> None:
        async with serving(refusing(code, message)) as (server, endpoint), EtcdClient(endpoint) as client:
            with pytest.raises(RpcError) as caught:
                await client.put(b"k", b"v")
            assert (caught.value.code, caught.value.message) == (code.value[0], message)
            assert caught.value.definite is definite
            assert server.attempts == 1

    asyncio.run(run())


def test_not_even_a_retry_policy_makes_a_second_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a service config says, the channel must not act on it."""
    policy = {
        "maxAttempts": 4,
        "initialBackoff": "0.01s",
        "maxBackoff": "0.02s",
        "backoffMultiplier": 1,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    config = json.dumps({"methodConfig": [{"name": [{}], "retryPolicy": policy}]})
    options = (*client_module._OPTIONS, ("grpc.service_config", config))
    monkeypatch.setattr(client_module, "_OPTIONS", options)
    down = refusing(grpc.StatusCode.UNAVAILABLE, "etcdserver: request timed out")

    async def run() -> None:
        async with serving(down) as (server, endpoint), EtcdClient(endpoint) as client:
            with pytest.raises(RpcError):
                await client.put(b"k", b"v")
            assert server.attempts == 1

    asyncio.run(run())


def test_the_path_takes_part_in_the_classification() -> None:
    refused = refusing(grpc.StatusCode.NOT_FOUND, errors.LEASE_NOT_FOUND.message)

    async def run() -> None:
        async with serving(refused, "v3lockpb.Lock", "Lock") as (_, endpoint), EtcdClient(endpoint) as client:
            with pytest.raises(RpcError) as caught:
                await client.call("/v3lockpb.Lock/Lock", v3lockpb.LockRequest(name=b"l"))
            assert caught.value == errors.LEASE_NOT_FOUND
            assert not caught.value.definite

    asyncio.run(run())


def test_a_deadline_ends_the_wait() -> None:
    async def run() -> None:
        forever = asyncio.Event()

        async def answer(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
            await forever.wait()
            return b""

        async with serving(answer) as (server, endpoint), EtcdClient(endpoint, timeout=0.2) as client:
            began = time.monotonic()
            with pytest.raises(RpcError) as caught:
                await client.put(b"k", b"v")
            assert time.monotonic() - began < 2
            assert (caught.value.code, caught.value.definite) == (Code.DEADLINE_EXCEEDED, False)
            assert server.attempts == 1

    asyncio.run(run())


def test_nobody_listens() -> None:
    async def run() -> None:
        async with EtcdClient(f"127.0.0.1:{unused_port()}") as client:
            for _ in range(3):
                with pytest.raises(RpcError) as caught:
                    await client.put(b"k", b"v")
                assert (caught.value.code, caught.value.definite) == (Code.UNAVAILABLE, True)
            with pytest.raises(TimeoutError):
                await client.ready(0.1)

    asyncio.run(run())


@pytest.mark.parametrize("still_listening", [True, False])
def test_a_connection_that_breaks_under_the_call_leaves_it_open(still_listening: bool) -> None:
    """Not to be mistaken for "could not connect", even where the next dial is refused."""

    async def run() -> None:
        async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            """As much HTTP/2 as it takes for a call to be sent; hangs up once its headers are there."""
            writer.write(bytes.fromhex("000000040000000000" + "000000040100000000"))
            received = b""
            while b"/etcdserverpb.KV/Put" not in received:
                chunk = await reader.read(4096)
                if not chunk:
                    break
                received += chunk
            if not still_listening:
                server.close()
            writer.close()

        server = await asyncio.start_server(swallow, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, EtcdClient(f"127.0.0.1:{port}") as client:
            with pytest.raises(RpcError) as caught:
                await client.put(b"k", b"v")
            assert (caught.value.code, caught.value.definite) == (Code.UNAVAILABLE, False)

    asyncio.run(run())


@pytest.mark.slow
def test_a_dial_that_hears_nothing_is_given_up() -> None:
    """A listener that never speaks: the call fails as never sent, long before its own deadline."""

    async def run() -> None:
        with socket.socket() as mute:
            mute.bind(("127.0.0.1", 0))
            mute.listen()
            async with EtcdClient(f"127.0.0.1:{mute.getsockname()[1]}", timeout=20) as client:
                began = time.monotonic()
                with pytest.raises(RpcError) as caught:
                    await client.put(b"k", b"v")
                assert time.monotonic() - began < 10
                assert (caught.value.code, caught.value.definite) == (Code.UNAVAILABLE, True)

    asyncio.run(run())


def test_an_unreadable_answer_leaves_it_open() -> None:
    async def garbage(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        return b"\xff\xff\xff"

    async def run() -> None:
        async with serving(garbage) as (_, endpoint), EtcdClient(endpoint) as client:
            with pytest.raises(RpcError, match="not a PutResponse") as caught:
                await client.put(b"k", b"v")
            assert (caught.value.code, caught.value.definite) == (Code.INTERNAL, False)

    asyncio.run(run())


def test_each_client_has_its_own_connection() -> None:
    async def run() -> None:
        async with (
            serving(fine) as (server, endpoint),
            EtcdClient(endpoint) as first,
            EtcdClient(endpoint) as second,
        ):
            for client in (first, second, first, second):
                await client.put(b"k", b"v")
            assert len(server.peers) == 2

    asyncio.run(run())


def test_a_server_that_comes_back_is_found_soon() -> None:
    async def run() -> None:
        port = unused_port()
        async with EtcdClient(f"127.0.0.1:{port}") as client:
            for _ in range(6):  # enough failures for an unbounded back-off to pass a second
                with pytest.raises(RpcError):
                    await client.put(b"k", b"v")
                with pytest.raises(TimeoutError):
                    await client.ready(0.2)
            server = grpc.aio.server()
            handler = grpc.unary_unary_rpc_method_handler(Server(fine).handle)
            server.add_generic_rpc_handlers(
                (grpc.method_handlers_generic_handler("etcdserverpb.KV", {"Put": handler}),)
            )
            server.add_insecure_port(f"127.0.0.1:{port}")
            await server.start()
            try:
                await client.ready(1.0)
                await client.put(b"k", b"v")
            finally:
                await server.stop(None)

    asyncio.run(run())


def test_cancelling_the_task_and_closing_the_client_differ() -> None:
    async def run() -> None:
        arrived = asyncio.Event()

        async def answer(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
            arrived.set()
            await asyncio.Event().wait()
            return b""

        async with serving(answer) as (_, endpoint):
            client = EtcdClient(endpoint)
            task = asyncio.create_task(client.put(b"k", b"v"))
            await arrived.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

            arrived.clear()
            task = asyncio.create_task(client.put(b"k", b"v"))
            await arrived.wait()
            await client.close()
            with pytest.raises(RpcError) as caught:
                await task
            assert (caught.value.code, caught.value.definite) == (Code.CANCELLED, False)

            with pytest.raises(RpcError) as caught:
                await client.put(b"k", b"v")
            assert caught.value.definite
            with pytest.raises(RpcError):
                await client.watch()
            with pytest.raises(RpcError):
                await client.ready(1)
            await client.close()

    asyncio.run(run())


def test_wrong_calls_are_refused_before_anything_is_sent() -> None:
    async def run() -> None:
        async with EtcdClient(f"127.0.0.1:{unused_port()}") as client:
            with pytest.raises(ValueError, match="not a unary method"):
                await client.call("/etcdserverpb.Watch/Watch", pb.WatchRequest())
            with pytest.raises(ValueError, match="not a unary method"):
                await client.call("/etcdserverpb.KV/Pot", pb.PutRequest())
            with pytest.raises(TypeError, match="takes a PutRequest"):
                await client.call("/etcdserverpb.KV/Put", pb.RangeRequest())
            with pytest.raises(ValueError, match="not a streaming method"):
                await client.stream("/etcdserverpb.KV/Put", pb.PutRequest())
            with pytest.raises(TypeError, match="exactly one"):
                await client.stream("/etcdserverpb.Maintenance/Snapshot")
            with pytest.raises(TypeError, match="takes a WatchRequest"):
                await client.stream("/etcdserverpb.Watch/Watch", pb.PutRequest())

    asyncio.run(run())


@pytest.mark.parametrize(("given", "expected"), [(None, "NONE"), ("ERROR", "ERROR")])
def test_verbosity_is_set_only_where_nobody_has(given: str | None, expected: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "GRPC_VERBOSITY"}
    if given is not None:
        environment["GRPC_VERBOSITY"] = given
    script = "import os, gauntlet.harness.client; print(os.environ['GRPC_VERBOSITY'])"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == expected
