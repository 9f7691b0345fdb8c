"""A thousand idle connections and a thousand busy ones on one node, at the same time."""

from __future__ import annotations

import asyncio
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.wire import frames
from gauntlet.api.wire.hpack_cache import encode_headers

CROWD = 1000
ROUNDS = 5
PATIENCE = 120.0

FIELDS = [
    *((b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"crowd")),
    *((b"content-type", b"application/grpc"), (b"te", b"trailers")),
]


class Busy:
    """A connection that makes one call after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer
        self._stream_id = -1
        self._left = b""

    async def call(self, path: str, request: bytes) -> bytes:
        """The answer's message."""
        self._stream_id += 2
        block = encode_headers([(b":path", path.encode()), *FIELDS])
        data = b"\0" + len(request).to_bytes(4, "big") + request
        self.writer.write(
            frames.header_frames(self._stream_id, block, False, frames.DEFAULT_FRAME_SIZE)
            + frames.frame(frames.DATA, frames.END_STREAM, self._stream_id, data)
        )
        body = b""
        while True:
            head = await self._reader.readexactly(frames.HEADER_SIZE)
            word, flags, stream_id = frames.HEAD.unpack(head)
            payload = await self._reader.readexactly(word >> 8)
            if stream_id == self._stream_id and word & 0xFF == frames.DATA:
                body += payload
            elif stream_id == self._stream_id and flags & frames.END_STREAM:
                return body[5:]
            assert word & 0xFF not in (frames.RST_STREAM, frames.GOAWAY)


async def connect(port: int) -> Busy:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(frames.PREFACE + frames.settings([]))
    return Busy(reader, writer)


async def work(busy: Busy, number: int) -> None:
    """Puts and reads; every answer is checked."""
    for turn in range(ROUNDS):
        key, value = b"crowd/%d" % number, b"%d" % turn
        put = pb.PutRequest(key=key, value=value).SerializeToString()
        revision = pb.PutResponse.FromString(await busy.call("/etcdserverpb.KV/Put", put)).header.revision
        ask = pb.RangeRequest(key=key).SerializeToString()
        answer = pb.RangeResponse.FromString(await busy.call("/etcdserverpb.KV/Range", ask))
        assert [(pair.value, pair.mod_revision) for pair in answer.kvs] == [(value, revision)]


async def ready(port: int) -> None:
    while True:
        try:
            first = await connect(port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.05)
            continue
        await first.call("/etcdserverpb.KV/Range", pb.RangeRequest(key=b"x").SerializeToString())
        first.writer.close()
        return


async def crowd(port: int) -> None:
    async with asyncio.timeout(PATIENCE):
        await ready(port)
        idle = [await connect(port) for _ in range(CROWD)]
        busy = [await connect(port) for _ in range(CROWD)]
        await asyncio.gather(*(work(one, number) for number, one in enumerate(busy)))
        # The idle ones have been there all the time, and are served when they ask.
        ask = pb.RangeRequest(key=b"crowd/", range_end=b"crowd0", count_only=True).SerializeToString()
        for one in idle:
            answer = pb.RangeResponse.FromString(await one.call("/etcdserverpb.KV/Range", ask))
            assert answer.count == CROWD
        assert answer.header.revision == CROWD * ROUNDS + 1
        for one in (*idle, *busy):
            one.writer.close()


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        client, peer = one.getsockname()[1], two.getsockname()[1]
    urls = [f"http://127.0.0.1:{number}" for number in (client, peer)]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "gauntlet.reference.server.main", "--name", "m"),
                *("--data-dir", str(tmp_path / "data"), "--unsafe-no-fsync"),
                *("--listen-client-urls", urls[0], "--advertise-client-urls", urls[0]),
                *("--listen-peer-urls", urls[1], "--initial-advertise-peer-urls", urls[1]),
                *("--initial-cluster", f"m={urls[1]}"),
            ],
            stdout=log,
            stderr=log,
        )
    yield int(client)
    process.terminate()
    process.wait(20)


@pytest.mark.slow
def test_a_thousand_idle_and_a_thousand_busy(port: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * CROWD + 100
    if hard != resource.RLIM_INFINITY and hard < needed:
        pytest.skip(f"this machine lets a process have {hard} descriptors, {needed} are needed")
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    try:
        asyncio.run(crowd(port))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
