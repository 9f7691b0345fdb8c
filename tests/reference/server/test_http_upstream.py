"""Requests over HTTP/1.1 that are odd or wrong: the same answers as etcd's, to the letter."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from typing import Any

import pytest

EMPTY = "Content-Length: 0\r\n"
JSON = "Content-Length: 2\r\n"
REQUESTS = [
    # Escapes that are none, in the path and in the query.
    ("GET /%zz", "", ""),
    ("GET /%", "", ""),
    ("GET /health?a=%zz", "", ""),
    ("GET /a%00b", "", ""),
    # Methods: any token is one.
    ("get /health", "", ""),
    ("put /version", "", ""),
    ("BREW /health", "", ""),
    ("G@T /health", "", ""),
    ("ABCDEFGHIJKLMNOPQRSTUVWXYZ /health", "", ""),
    ("POST /health", EMPTY, ""),
    ("post /v3/kv/range", JSON, "{}"),
    ("CONNECT a:80", "", ""),
    # Paths that are redirected, and those that are not.
    ("GET /v3", "", ""),
    ("GET /v3?a=b", "", ""),
    ("POST /v3", EMPTY, ""),
    ("GET /v3/", "", ""),
    ("GET /v3beta", "", ""),
    ("POST /v3beta//kv/range", JSON, "{}"),
    ("POST /v3//kv/range", JSON, "{}"),
    ("POST /v3/../v3/kv/range", JSON, "{}"),
    ("POST //v3/kv/range", JSON, "{}"),
    ("POST /v3/kv/range/", JSON, "{}"),
    ("POST /v3/kv%2Frange", JSON, "{}"),
    ("GET /v3/kv/range", "", ""),
    # Bytes that have no place in a request line.
    ("GET /a b", "", ""),
    ("GET /h\u00e9", "", ""),
    ("GET /a\x01b", "", ""),
    ("GET health", "", ""),
    ("GET /health#x", "", ""),
    ("GET http://elsewhere/version", "", ""),
]
_NUMBERS = re.compile(r'"(member_id|cluster_id|raft_term)":"\d+"')


def ask(endpoint: str, request: str) -> tuple[str, list[str], str, bool]:
    """Status line, headers in order of their names, body, and whether the connection was closed then."""
    host, _, port = endpoint.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(request.encode())
        data = b""
        closed = False
        while not closed and not complete(data):
            piece = connection.recv(65536)
            data += piece
            closed = not piece
    head, _, body = data.decode().partition("\r\n\r\n")
    status, *fields = head.split("\r\n")
    return status, sorted(f for f in fields if not f.startswith("Date:")), _NUMBERS.sub(r"\1", body), closed


def complete(data: bytes) -> bool:
    """Whether an answer of announced length is there; others end with the connection."""
    head, _, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"\r\nContent-Length: (\d+)", head)
    return length is not None and len(body) >= int(length[1])


@pytest.mark.slow
@pytest.mark.upstream
def test_the_same_answers(start_cluster: Callable[..., Any], ports: Callable[[int], list[int]]) -> None:
    theirs, ours = (start_cluster(kind, ports(2)).endpoints[0] for kind in ("upstream", "reference"))
    differ = {}
    for line, headers, body in REQUESTS:
        request = f"{line} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n{body}"
        real, mine = ask(theirs, request), ask(ours, request)
        if real != mine:
            differ[line] = (real, mine)
    assert differ == {}
