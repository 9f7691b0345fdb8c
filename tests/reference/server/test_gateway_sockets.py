"""The gateway over WebSockets, ours and etcd's, byte by byte as a browser would use it."""

from __future__ import annotations

import base64
import json
import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Client:
    """One connection: `answer` is the head of the answer to the handshake."""

    def __init__(self, endpoint: str, path: str, method: str = "GET", **headers: str | None) -> None:
        host, _, port = endpoint.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=20)
        given: dict[str, str | None] = {
            "Host": endpoint,
            "Connection": "keep-alive, Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": KEY,
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        lines = [f"{name}: {value}\r\n" for name, value in given.items() if value is not None]
        self._socket.sendall("".join([f"{method} {path} HTTP/1.1\r\n", *lines, "\r\n"]).encode())
        self._buffer = b""
        while b"\r\n\r\n" not in self._buffer:
            self._buffer += self._more()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        status, *fields = head.decode().split("\r\n")
        shown = sorted(field.lower() for field in fields if not field.startswith("Date:"))
        self.answer = (status, shown)

    def _more(self) -> bytes:
        data = self._socket.recv(65536)
        if not data:
            raise EOFError
        return data

    def send(self, payload: bytes, opcode: int = TEXT, *, final: bool = True, masked: bool = True) -> None:
        first = (0x80 if final else 0) | opcode
        size = len(payload)
        length = bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2, "big")
        mask = b"\x01\x02\x03\x04"
        body = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload)) if masked else payload
        sign = bytes([length[0] | (0x80 if masked else 0)]) + length[1:]
        self._socket.sendall(bytes([first]) + sign + (mask if masked else b"") + body)

    def receive(self) -> tuple[int, Any]:
        """(opcode, payload as JSON where it is a message); (0, None) when the connection has ended."""
        try:
            first, length = self._take(2)
            assert first & 0x80, "one frame a message"
            size = length & 0x7F
            if size == 126:
                size = int.from_bytes(self._take(2), "big")
            elif size == 127:
                size = int.from_bytes(self._take(8), "big")
            payload = self._take(size)
        except (EOFError, ConnectionResetError):
            return 0, None
        opcode = first & 0x0F
        return opcode, normal(json.loads(payload)) if opcode == TEXT else payload

    def _take(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._buffer += self._more()
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken

    def close(self) -> None:
        self._socket.close()


VOLATILE = {"cluster_id", "member_id", "raft_term"}


def normal(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: "-" if name in VOLATILE else normal(inner) for name, inner in value.items()}
    return [normal(inner) for inner in value] if isinstance(value, list) else value


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@contextmanager
def connected(endpoint: str, path: str, method: str = "GET", **headers: str | None) -> Iterator[Client]:
    client = Client(endpoint, path, method, **headers)
    try:
        yield client
    finally:
        client.close()


def watches(endpoint: str) -> list[Any]:
    """A watch, with a put in between, a second watch in two frames, and a ping."""
    seen: list[Any] = []
    with connected(endpoint, "/v3/watch") as client:
        seen.append(client.answer)
        client.send(json.dumps({"create_request": {"key": b64("k")}}).encode())
        seen.append(client.receive())
        body = json.dumps({"key": b64("k"), "value": b64("v")})
        subprocess.run(
            ["curl", "-sf", "-m", "10", "-d", body, f"http://{endpoint}/v3/kv/put"],
            check=True,
            capture_output=True,
        )
        seen.append(client.receive())
        client.send(b"hello", PING)
        seen.append(client.receive())
        client.send(b'{"create_request": {"key"', final=False)
        client.send(b"", PING)
        seen.append(client.receive())
        client.send(b': "YQ=="}}', 0)
        seen.append(client.receive())
        client.send(b'{"cancel_request": {"watch_id": 1}}', BINARY)
        seen.append(client.receive())
        client.send((1000).to_bytes(2, "big") + b"bye", CLOSE)
        seen.extend((client.receive(), client.receive()))
    return seen


def calls(endpoint: str) -> list[Any]:
    """Calls of one request that fail before they are made, and the stream of keep-alives."""
    seen: list[Any] = []
    for path, body in (
        ("/v3/kv/range", b"nonsense"),
        ("/v3/kv/range?method=GET", b'{"key": "!"}'),
        ("/v3/nothing", b"{}"),
        ("/v3/lease/keepalive", b'{"ID": 1}'),
    ):
        with connected(endpoint, path) as client:
            client.send(body)
            seen.append((path, client.answer, client.receive()))
            if path != "/v3/lease/keepalive":
                seen.append(client.receive())
    return seen


def refusals(endpoint: str) -> list[Any]:
    seen: list[Any] = []
    for method, path, headers in (
        ("POST", "/v3/watch", {"Content_Length": "0"}),
        ("GET", "/v3/watch", {"Sec_WebSocket_Version": "8"}),
        ("GET", "/v3/watch", {"Sec_WebSocket_Key": "short"}),
        ("GET", "/v3/watch", {"Sec_WebSocket_Key": None}),
        ("GET", "/v3/watch", {"Upgrade": "h2c"}),
        ("GET", "/v3/watch", {"Sec_WebSocket_Protocol": "Bearer, token"}),
        ("GET", "/v3/watch", {"Sec_WebSocket_Protocol": "chat"}),
        ("GET", "/version", {}),
    ):
        with connected(endpoint, path, method, **headers) as client:
            seen.append((method, path, client.answer))
    for payload, opcode, masked in ((b"{}", TEXT, False), (b"", 11, True), (b"x", 0, True), (b"", 3, True)):
        with connected(endpoint, "/v3/watch") as client:
            client.send(payload, opcode, masked=masked)
            kind, reason = client.receive()
            seen.append((opcode, kind, reason[:2] if reason else None, client.receive()))
    return seen


def tokens(endpoint: str) -> list[Any]:
    """A token that nobody knows is heard of only if it is passed on."""
    seen: list[Any] = []
    for headers in ({"Sec_WebSocket_Protocol": "Bearer, nobody"}, {"Cookie": "token=nobody"}, {}):
        with connected(endpoint, "/v3/watch", **headers) as client:
            client.send(b'{"create_request": {"key": "eA=="}}')
            seen.append(client.receive())
    return seen


@pytest.mark.slow
@pytest.mark.upstream
def test_the_same_as_etcd(start_cluster: Callable[..., Any], ports: Callable[[int], list[int]]) -> None:
    endpoints = {kind: start_cluster(kind, ports(2)).endpoints[0] for kind in ("upstream", "reference")}
    for script in (watches, calls, refusals, tokens):
        theirs, ours = script(endpoints["upstream"]), script(endpoints["reference"])
        for real, mine in zip(theirs, ours, strict=True):
            assert mine == real, script.__name__
    for endpoint in endpoints.values():
        for path, body in (
            ("auth/user/add", {"name": "root", "options": {"no_password": True}}),
            ("auth/role/add", {"name": "root"}),
            ("auth/user/grant", {"user": "root", "role": "root"}),
            ("auth/enable", {}),
        ):
            curl = ["curl", "-sf", "-m", "10", "-d", json.dumps(body), f"http://{endpoint}/v3/{path}"]
            subprocess.run(curl, check=True, capture_output=True)
    assert tokens(endpoints["reference"]) == tokens(endpoints["upstream"])


@pytest.mark.slow
def test_calls_with_an_answer(start_cluster: Callable[..., Any], ports: Callable[[int], list[int]]) -> None:
    """etcd reads the body to its end first, which never comes over a WebSocket: nothing to compare."""
    endpoint = start_cluster("reference", ports(2)).endpoints[0]
    header = {"cluster_id": "-", "member_id": "-", "revision": "1", "raft_term": "-"}
    for pieces in ([b'{"key": "eA=="}'], [b'{"key":', b'"eA=="}']):
        with connected(endpoint, "/v3/kv/range") as client:
            for piece in pieces:
                client.send(piece)
            assert client.receive() == (TEXT, {"header": header})
            assert client.receive() == (0, None)


@pytest.mark.slow
def test_a_watch(start_cluster: Callable[..., Any], ports: Callable[[int], list[int]]) -> None:
    endpoint = start_cluster("reference", ports(2)).endpoints[0]
    seen = watches(endpoint)
    assert seen[0][0] == "HTTP/1.1 101 Switching Protocols"
    assert "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=" in seen[0][1]  # RFC 6455's own example
    assert seen[1][1]["result"]["created"] is True
    assert seen[2][1]["result"]["events"][0]["kv"]["value"] == b64("v")
    assert [kind for kind, _ in seen[3:]] == [PONG, PONG, TEXT, TEXT, CLOSE, 0]
    assert re.search("canceled", json.dumps(seen[6]))
    assert seen[7][1] == (1000).to_bytes(2, "big")
