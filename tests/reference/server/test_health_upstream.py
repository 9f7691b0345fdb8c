"""/version, /health, /livez and /readyz of a real member and of ours: status, headers, body, byte for byte.

The checks of one page come in no particular order upstream, so their lines are compared sorted.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import grpc
import pytest
from gauntlet.api.messages import etcdserverpb as pb

pytestmark = [pytest.mark.upstream, pytest.mark.slow]

ANSWER_SECONDS = 20.0

PARTS = ("status", "headers", "body")
CHECKS = ("serializable_read", "linearizable_read", "data_corruption", "non_learner")
PATHS = (
    "/version",
    "/version?anything",
    "/version/",
    "/health",
    "/health/",
    "/health/none",
    "/health?serializable=true",
    "/health?serializable=false",
    "/health?serializable=TRUE",
    "/health?serializable=1",
    "/health?serializable=false&serializable=true",
    "/health?exclude=NOSPACE",
    "/health?exclude=CORRUPT",
    "/health?exclude=NOSPACE&exclude=CORRUPT",
    "/health?exclude=NOSPACE,CORRUPT",
    "/health?exclude=nospace",
    "/health?exclude=",
    "/health?EXCLUDE=NOSPACE",
    "/health?exclude=NOSPACE&serializable=true",
    "/he%61lth",
    "//health",
    "/./health",
    "/x/../health",
    "/x/../health/?a=b&c=%20d",
    "/a%20b//<c>/",
    "/Health",
    *(f"/{page}" for page in ("livez", "readyz")),
    *(f"/{page}/" for page in ("livez", "readyz")),
    *(f"/{page}?verbose" for page in ("livez", "readyz")),
    *(f"/{page}?verbose=" for page in ("livez", "readyz")),
    *(f"/{page}?verbose=false" for page in ("livez", "readyz")),
    *(f"/{page}?Verbose" for page in ("livez", "readyz")),
    *(f"/{page}/{check}" for page in ("livez", "readyz") for check in CHECKS),
    *(f"/{page}/{check}?verbose" for page in ("livez", "readyz") for check in CHECKS),
    *(f"/{page}?verbose&exclude={check}" for page in ("livez", "readyz") for check in CHECKS),
    "/readyz?verbose&exclude=data_corruption&exclude=non_learner",
    "/readyz?verbose&exclude=data_corruption,non_learner",
    "/readyz?verbose&exclude=" + "&exclude=".join(CHECKS),
    "/readyz?exclude=" + "&exclude=".join(CHECKS),
    "/readyz?verbose&exclude=unknown",
    "/readyz?exclude=",
    "/readyz/data_corruption?verbose&exclude=data_corruption",
    "/readyz/unknown",
    "/livez/serializable_read/",
    "/",
    "/nothing",
    "/version?a;b",
    "*",
)
METHODS = ("HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")
SOME_PATHS = ("/version", "/health", "/livez", "/readyz/data_corruption", "/nothing", "/")


def ask(endpoint: str, method: str, target: str, *headers: str) -> tuple[str, list[str], list[str]]:
    """Status line, headers without the date, and lines of the body, as they came over the wire."""
    host, port = endpoint.split(":")
    lines = (f"{method} {target} HTTP/1.1", f"Host: {host}", "Connection: close", *headers, "", "")
    with socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS) as connection:
        connection.sendall("\r\n".join(lines).encode())
        answer = bytearray()
        while data := connection.recv(65536):
            answer += data
    head, _, body = bytes(answer).decode().partition("\r\n\r\n")
    status, *fields = head.split("\r\n")
    return status, sorted(name for name in fields if not name.startswith("Date:")), sorted(body.split("\n"))


def differences(theirs: str, ours: str, asked: Iterator[tuple[str, ...]]) -> list[str]:
    found = []
    for request in asked:
        their, our = ask(theirs, *request), ask(ours, *request)
        for part, (expected, got) in enumerate(zip(their, our, strict=True)):
            if expected != got:
                found.append(
                    f"{' '.join(request)}: {PARTS[part]}\n  upstream:  {expected}\n  reference: {got}"
                )
    return found


def version_decided(endpoint: str) -> bool:
    return "not_decided" not in str(ask(endpoint, "GET", "/version"))


def leader_lost(endpoint: str) -> bool:
    return "RAFT NO LEADER" in str(ask(endpoint, "GET", "/health"))


def set_alarm(endpoint: str, action: int, kind: int) -> None:
    path = "/etcdserverpb.Maintenance/Alarm"
    with grpc.insecure_channel(endpoint) as channel:
        call = channel.unary_unary(
            path,
            request_serializer=pb.AlarmRequest.SerializeToString,
            response_deserializer=pb.AlarmResponse.FromString,
        )
        call(pb.AlarmRequest(action=action, memberID=77, alarm=kind), timeout=ANSWER_SECONDS)


@pytest.fixture
def start_both(
    start_cluster: Callable[..., Any], ports: Callable[[int], list[int]], wait_until: Callable[..., None]
) -> Callable[[int], tuple[Any, Any]]:
    def start(size: int) -> tuple[Any, Any]:
        both = start_cluster("upstream", ports(2 * size)), start_cluster("reference", ports(2 * size))
        for cluster in both:
            for endpoint in cluster.endpoints:
                wait_until(partial(version_decided, endpoint), ANSWER_SECONDS, "the version of the cluster")
        return both

    return start


def test_pages(start_both: Callable[[int], tuple[Any, Any]]) -> None:
    theirs, ours = (cluster.endpoints[0] for cluster in start_both(1))
    found = differences(theirs, ours, (("GET", path) for path in PATHS))
    found += differences(theirs, ours, ((method, path) for method in METHODS for path in SOME_PATHS))
    found += differences(theirs, ours, iter([("GET", "//health?a=b#c"), ("POST", "//health?a=b#c")]))
    crossing = ("Origin: http://elsewhere", "Access-Control-Request-Method: POST")
    found += differences(theirs, ours, ((m, p, *crossing) for m in ("GET", "OPTIONS") for p in SOME_PATHS))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("kind", [pb.NOSPACE, pb.CORRUPT])
def test_pages_with_an_alarm(start_both: Callable[[int], tuple[Any, Any]], kind: int) -> None:
    theirs, ours = (cluster.endpoints[0] for cluster in start_both(1))
    for endpoint in (theirs, ours):
        set_alarm(endpoint, pb.AlarmRequest.ACTIVATE, kind)
    asked = [("GET", path) for path in PATHS]
    failing = [path for path in PATHS if ask(theirs, "GET", path)[0] == "HTTP/1.1 503 Service Unavailable"]
    assert failing
    found = differences(theirs, ours, iter(asked))
    for endpoint in (theirs, ours):
        set_alarm(endpoint, pb.AlarmRequest.DEACTIVATE, kind)
    found += differences(theirs, ours, iter(asked))
    assert not found, "\n".join(found)


def test_pages_without_a_leader(
    start_both: Callable[[int], tuple[Any, Any]], wait_until: Callable[..., None]
) -> None:
    both = start_both(3)
    for cluster in both:
        for process in cluster.processes[1:]:
            process.kill()
        wait_until(partial(leader_lost, cluster.endpoints[0]), ANSWER_SECONDS, "the loss of the leader")
    paths = ("/health", "/health?serializable=true", "/livez?verbose", "/readyz", "/readyz/non_learner")
    theirs, ours = (cluster.endpoints[0] for cluster in both)
    found = differences(theirs, ours, (("GET", path) for path in paths))
    assert not found, "\n".join(found)
