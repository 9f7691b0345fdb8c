"""One client's burst does not keep the others waiting, and answers that nobody takes are not made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.wire import frames
from gauntlet.api.wire.connection import STREAMS_A_TURN, Connection
from gauntlet.api.wire.limits import Limits
from gauntlet.api.wire.outflow import ANSWERS, Stream

PUT = "/etcdserverpb.KV/Put"


def test_a_burst_is_looked_at_in_turns(frame_clients: Callable[[], Any]) -> None:
    client = frame_clients()
    seen: list[int] = []

    def accept(connection: Connection, stream_id: int, head: Any, ended: bool) -> None:
        seen.append(Stream(connection, stream_id, head, ended).id)

    connection = Connection(accept, lambda: None, Limits())
    count = 2 * STREAMS_A_TURN + 10
    burst = client.opening() + b"".join(client.request(2 * n + 1, PUT, end=True) for n in range(count))
    connection.receive(burst, 0.0)
    turns = [len(seen)]
    while connection.unparsed:
        connection.receive(b"", 0.0)
        turns.append(len(seen))
    assert turns == [STREAMS_A_TURN, 2 * STREAMS_A_TURN, count]
    assert seen == list(range(1, 2 * count, 2))


def test_calls_wait_while_their_client_takes_no_answers(
    server: Any, frame_client: Any, eventually: Callable[[Callable[[], Any]], None]
) -> None:
    """Its windows are shut. Once they open, every call is made and answered."""
    size = 1_000_000
    count = 12
    put = pb.PutRequest(key=b"k", value=bytes(size))
    with server.connect() as sock:
        sock.sendall(frame_client.opening([(4, 0)]))
        for number in range(count):
            stream_id = 2 * number + 1
            body = b"\0" + put.ByteSize().to_bytes(4, "big") + put.SerializeToString()
            sock.sendall(frame_client.request(stream_id, PUT))
            for start in range(0, len(body), 1 << 14):
                last = frames.END_STREAM if start + (1 << 14) >= len(body) else 0
                sock.sendall(frames.frame(frames.DATA, last, stream_id, body[start : start + (1 << 14)]))
        enough = ANSWERS // size + 1
        eventually(lambda: len(server.service.contexts) >= enough)
        sock.sendall(frames.ping(b"fence..."))
        data = b""
        while frames.ping(b"fence...", ack=True) not in data:
            data += sock.recv(1 << 16)
        assert len(server.service.contexts) == enough
        sock.sendall(frames.settings([(4, 2 * size)]) + frames.window_update(0, 2 * count * size))
        left = count * size - len(data)
        while left > 0:
            left -= len(sock.recv(1 << 16))
    assert len(server.service.contexts) == count
