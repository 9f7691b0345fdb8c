"""RangeStream of a real member and of ours, chunk by chunk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import grpc
import pytest
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.messages import services

pytestmark = [pytest.mark.upstream, pytest.mark.slow]

CALL_SECONDS = 30.0
MAX_REQUEST_BYTES = 20_000
SIZES = (0, 10, 100, 700, 3_000, 9_000, 18_000)
PATH = "/etcdserverpb.KV/"


class Client:
    def __init__(self, endpoint: str) -> None:
        self._channel = grpc.insecure_channel(endpoint)

    def close(self) -> None:
        self._channel.close()

    def unary(self, name: str, request: Any) -> None:
        method = services[PATH + name]
        self._channel.unary_unary(
            PATH + name,
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString,
        )(request, timeout=CALL_SECONDS)

    def stream(self, request: pb.RangeRequest) -> list[Any]:
        """The responses, without ids and term; then code and text."""
        method = services[PATH + "RangeStream"]
        call = self._channel.unary_stream(
            PATH + "RangeStream",
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString,
        )(request, timeout=CALL_SECONDS)
        seen: list[Any] = []
        try:
            for message in call:
                response = message.range_response
                if response.HasField("header"):
                    assert response.header.cluster_id
                    assert response.header.member_id
                    assert response.header.raft_term
                    response.header.CopyFrom(pb.ResponseHeader(revision=response.header.revision))
                seen.append(response)
        except grpc.RpcError:
            pass  # compared below
        return [*seen, call.code().value[0], call.details()]


@pytest.fixture
def clients(
    start_cluster: Callable[..., Any], ports: Callable[[int], list[int]]
) -> Iterator[tuple[Client, Client]]:
    flag = f"--max-request-bytes={MAX_REQUEST_BYTES}"
    theirs = Client(start_cluster("upstream", ports(2), flag).endpoints[0])
    ours = Client(start_cluster("reference", ports(2), flag).endpoints[0])
    yield theirs, ours
    theirs.close()
    ours.close()


def fill(clients: tuple[Client, Client], random: Random) -> int:
    """The same writes on both; returns the revision they come to."""
    revision = 1
    for number in range(600):
        key = f"{random.choice('abc')}/{random.randrange(400):03d}".encode()
        if number % 10 == 9:
            # Sometimes there is nothing to delete, and then no revision either.
            request = pb.DeleteRangeRequest(key=key)
            for client in clients:
                client.unary("DeleteRange", request)
        else:
            size = random.choice(SIZES[: 1 + number // 80])
            for client in clients:
                client.unary("Put", pb.PutRequest(key=key, value=bytes(size)))
            revision += 1
    return revision


def requests(random: Random, revision: int) -> Iterator[pb.RangeRequest]:
    for _ in range(150):
        unordered = random.random() < 0.8
        yield pb.RangeRequest(
            key=random.choice([b"a", b"a/1", b"b", b"c/3", b"\0", b"nothing", b""]),
            range_end=random.choice([b"b", b"c", b"d", b"\0", b"\0", b"\0", b"a/2", b""]),
            limit=random.choice([0, 0, 0, 1, 9, 10, 11, 29, 30, 31, 100, -1, (1 << 63) - 1]),
            revision=random.choice([0, 0, 0, revision, revision // 2, revision - 50, -1, 5, 1 << 40]),
            serializable=random.random() < 0.5,
            keys_only=random.random() < 0.2,
            count_only=random.random() < 0.1,
            # A target without an order is taken, and sorts every chunk by itself. Only those by which no two
            # pairs are equal: the order of equals is upstream's own affair.
            sort_target=0 if random.random() < 0.8 else random.choice([2, 3, 5]),
            sort_order=0 if unordered else random.choice([1, 2, 3]),
            min_mod_revision=1 if random.random() < 0.03 else 0,
        )


@pytest.mark.parametrize("seed", range(2))
def test_the_same_chunks(clients: tuple[Client, Client], seed: int) -> None:
    random = Random(f"{seed}:range stream")
    revision = fill(clients, random)
    theirs, ours = clients
    chunks = 0
    for request in requests(random, revision):
        expected = theirs.stream(request)
        assert ours.stream(request) == expected, request
        chunks += len(expected) - 2
    for client in clients:
        client.unary("Compact", pb.CompactionRequest(revision=revision // 2))
    for request in requests(random, revision):
        expected = theirs.stream(request)
        assert ours.stream(request) == expected, request
        chunks += len(expected) - 2
    assert chunks > 300
