"""The gateway of a running member, over HTTP, with streams, deadlines, limits and authentication."""

from __future__ import annotations

import base64
import http.client
import json
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

pytestmark = pytest.mark.slow


class Gateway:
    def __init__(self, endpoint: str, opened: ExitStack) -> None:
        self.endpoint = endpoint
        self._opened = opened

    def connect(self) -> http.client.HTTPConnection:
        return self._opened.enter_context(closing(http.client.HTTPConnection(self.endpoint, timeout=10)))

    def send(
        self, path: str, body: str, method: str = "POST", headers: dict[str, str] | None = None
    ) -> http.client.HTTPResponse:
        connection = self.connect()
        connection.request(method, path, body.encode(), headers or {})
        return self.answer(connection)

    def answer(self, connection: http.client.HTTPConnection) -> http.client.HTTPResponse:
        return self._opened.enter_context(closing(connection.getresponse()))

    def call(self, path: str, body: object, **headers: str) -> tuple[int, Any]:
        answer = self.send(f"/v3/{path}", json.dumps(body), headers=headers)
        return answer.status, json.loads(answer.read())


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    """Closes what a test has opened."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def gateway(
    start_cluster: Callable[..., Any], ports: Callable[[int], list[int]], opened: ExitStack
) -> Gateway:
    cluster = start_cluster("reference", ports(2), "--max-request-bytes", "100000")
    return Gateway(cluster.endpoints[0], opened)


def test_unary_calls(gateway: Gateway) -> None:
    status, put = gateway.call("kv/put", {"key": b64("a"), "value": b64("1")})
    assert (status, put["header"]["revision"]) == (200, "2")
    answer = gateway.send("/v3beta/kv/range", json.dumps({"key": b64("a")}))
    assert answer.getheader("Content-Type") == "application/json"
    assert answer.getheader("Grpc-Metadata-Content-Type") == "application/grpc"
    found = json.loads(answer.read())
    assert found["kvs"][0]["value"] == b64("1")
    assert gateway.call("kv/put", {}) == (400, {"code": 3, "message": "etcdserver: key is not provided"})
    assert gateway.call("nothing", {}) == (404, {"code": 5, "message": "Not Found"})
    answer = gateway.send("/v3/kv/put", "", "GET")
    assert (answer.status, json.loads(answer.read())["message"]) == (501, "Method Not Allowed")


def test_a_watch_delivers_as_things_happen(gateway: Gateway) -> None:
    body = json.dumps({"create_request": {"key": b64("a")}})
    stream = gateway.send("/v3/watch", body)
    created = json.loads(stream.readline())["result"]
    assert created["created"] is True
    gateway.call("kv/put", {"key": b64("a"), "value": b64("1")})
    event = json.loads(stream.readline())["result"]["events"][0]
    assert event["kv"]["value"] == b64("1")
    gateway.call("kv/deleterange", {"key": b64("a")})
    assert json.loads(stream.readline())["result"]["events"][0]["type"] == "DELETE"


def test_requests_are_read_as_they_arrive(gateway: Gateway) -> None:
    """A chunked body: the second watch is asked for after the first was answered."""
    connection = gateway.connect()
    connection.putrequest("POST", "/v3/watch")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()

    def piece(text: str) -> None:
        connection.send(f"{len(text):x}\r\n{text}\r\n".encode())

    piece(json.dumps({"create_request": {"key": b64("a"), "watch_id": "7"}}))
    stream = gateway.answer(connection)
    assert json.loads(stream.readline())["result"]["watch_id"] == "7"
    piece('{"create_request":{"key":"Yg=="')
    piece(',"watch_id":8}} {"cancel_request":{"watch_id":7}}')
    assert json.loads(stream.readline())["result"]["watch_id"] == "8"
    assert json.loads(stream.readline())["result"] | {"header": 0} == {
        "header": 0,
        "watch_id": "7",
        "canceled": True,
    }


def test_other_streams(gateway: Gateway) -> None:
    gateway.call("lease/grant", {"ID": 5, "TTL": 100})
    lines = gateway.send("/v3/lease/keepalive", '{"ID":5}{"ID":"6"}').read().splitlines()
    assert [json.loads(line)["result"].get("TTL") for line in lines] == ["100", None]
    lines = gateway.send("/v3/maintenance/snapshot", "").read().splitlines()
    blobs = [json.loads(line)["result"]["blob"] for line in lines]
    assert len(base64.b64decode(blobs[-1])) == 32
    # An answer begins with its first line, so somebody must have been elected.
    gateway.call("election/campaign", {"name": b64("e"), "lease": "5", "value": b64("me")})
    stream = gateway.send("/v3/election/observe", json.dumps({"name": b64("e")}))
    assert json.loads(stream.readline())["result"]["kv"]["value"] == b64("me")


def test_an_error_ends_a_stream(gateway: Gateway) -> None:
    stream = gateway.send("/v3/lease/keepalive", '{"ID":5}', headers={"Grpc-Timeout": "garbage"})
    assert (stream.status, json.loads(stream.read())["code"]) == (400, 3)
    stream = gateway.send("/v3/watch", "", headers={"Grpc-Timeout": "200m"})
    answer = json.loads(stream.read())
    assert (stream.status, answer) == (504, {"error": {"code": 4, "message": "context deadline exceeded"}})


def test_limits(gateway: Gateway) -> None:
    status, error = gateway.call("kv/put", {"key": b64("a"), "value": b64("x" * 150_000)})
    assert (status, error["message"]) == (400, "etcdserver: request is too large")
    status, error = gateway.call("kv/put", {"key": b64("a"), "value": b64("x" * 700_000)})
    assert status == 429
    assert error["message"].startswith("grpc: received message larger than max (700")
    status, error = gateway.call("kv/put", {"key": "A" * 6_000_000})
    assert (status, error["code"]) == (429, 8)


def test_the_authorization_header_is_the_token(gateway: Gateway) -> None:
    gateway.call("auth/user/add", {"name": "root", "password": "pw"})
    gateway.call("auth/role/add", {"name": "root"})
    gateway.call("auth/user/grant", {"user": "root", "role": "root"})
    assert gateway.call("auth/enable", {})[0] == 200
    status, error = gateway.call("kv/put", {"key": b64("a")})
    assert (status, error["message"]) == (400, "etcdserver: user name is empty")
    _, answer = gateway.call("auth/authenticate", {"name": "root", "password": "pw"})
    assert gateway.call("kv/put", {"key": b64("a")}, Authorization=answer["token"])[0] == 200
    bad = gateway.send("/v3/kv/put", json.dumps({"key": b64("a")}), headers={"Authorization": "x.1"})
    assert (bad.status, bad.getheader("WWW-Authenticate")) == (401, "etcdserver: invalid auth token")


def test_cors_and_options(gateway: Gateway) -> None:
    answer = gateway.send("/v3/kv/put", "", "OPTIONS")
    assert (answer.status, answer.read()) == (200, b"")
    assert answer.getheader("Access-Control-Allow-Origin") == "*"


def test_host_whitelist_and_no_gateway(
    start_cluster: Callable[..., Any], ports: Callable[[int], list[int]], opened: ExitStack
) -> None:
    flags = ("--host-whitelist", "127.0.0.1,db", "--cors", "https://x.org", "--enable-grpc-gateway=false")
    closed = Gateway(start_cluster("reference", ports(2), *flags).endpoints[0], opened)
    assert closed.send("/version", "", "GET", {"Host": "db:2379"}).status == 200
    answer = closed.send("/version", "", "GET", {"Host": "evil.org"})
    assert answer.status == 421
    assert b'etcd --host-whitelist "evil.org"' in answer.read()
    allowed = closed.send("/version", "", "GET", {"Origin": "https://x.org"})
    assert allowed.getheader("Access-Control-Allow-Origin") == "https://x.org"
    assert closed.send("/version", "", "GET").getheader("Access-Control-Allow-Origin") is None
    assert closed.send("/v3/kv/put", "{}").status == 404


def test_etcd3gw(gateway: Gateway) -> None:
    """The client library of OpenStack, in a process of its own."""
    pytest.importorskip("etcd3gw", reason="etcd3gw is not installed")
    host, port = gateway.endpoint.split(":")
    script = f"""
        import queue
        from etcd3gw.client import Etcd3Client
        client = Etcd3Client(host={host!r}, port={port})
        assert client.status()["version"] == "3.7.1"
        assert client.put("k", "v") and client.get("k") == [b"v"]
        assert client.create("new", "1") and not client.create("new", "2")
        assert client.replace("k", "v", "w") and client.get("k") == [b"w"]
        lease = client.lease(ttl=60)
        assert client.put("leased", "x", lease) and lease.keys() == [b"leased"]
        assert lease.refresh() == 60 and 0 < lease.ttl() <= 60
        events, cancel = client.watch("watched")
        client.put("watched", "seen")
        assert next(events)["kv"]["value"] == b"seen"
        cancel()
        assert [pair[0] for pair in client.get_prefix("k")] == [b"w"]
        lease.revoke()
        assert client.get("leased") == []
        with client.lock("name", ttl=10) as lock:
            assert lock.is_acquired()
        assert client.delete("k") and not client.delete("k")
        assert len(client.members()) == 1
        print("done")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "done\n", done.stderr
