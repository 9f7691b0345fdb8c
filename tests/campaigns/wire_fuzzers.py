"""Hostile clients of many kinds against one listener, until a deadline; a program of its own.

    python wire_fuzzers.py PLAIN_PORT TLS_PORT SECONDS SEED [KIND ...]

Each kind has a few workers; each worker opens a connection, does its worst until it is cut off or has had
its share, and comes again. A worker draws from its own generator, `Random(f"{seed}:{kind}:{number}")`.
The keys that are written begin with `fuzz/` or `hog/`, and nothing is sent that could reach others' keys.
Prints one JSON object: by kind what a `Share` holds.
"""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import sys
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass, field

import hpack
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.wire import frames
from gauntlet.api.wire.hpack_cache import encode_headers

Fuzzer = Callable[["Worker"], Coroutine[None, None, None]]

WORKERS = 2
PAUSE = 0.2
SHARE = 4 << 20
PATIENCE = 5.0

PUT = "/etcdserverpb.KV/Put"
RANGE = "/etcdserverpb.KV/Range"
WATCH = "/etcdserverpb.Watch/Watch"
GRANT = "/etcdserverpb.Lease/LeaseGrant"
LARGE_KEY = b"fuzz/large"


class Connection:
    """A TCP connection, plain or TLS, that counts what it sends."""

    def __init__(self, worker: Worker, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.worker = worker
        self.reader = reader
        self.writer = writer
        self.encoder = hpack.Encoder()

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        self.worker.sent += len(data)
        async with asyncio.timeout(PATIENCE):
            await self.writer.drain()
        await asyncio.sleep(0)  # drain does not wait while the socket takes everything

    async def swallow(self, seconds: float) -> None:
        """Read and forget, until the end or for so long."""
        try:
            async with asyncio.timeout(seconds):
                while await self.reader.read(1 << 16):
                    pass
        except TimeoutError:
            pass

    def request(self, stream_id: int, path: str, message: bytes, end: bool = True) -> bytes:
        return self.headers(stream_id, path) + self.message(stream_id, message, end)

    def headers(self, stream_id: int, path: str, extra: tuple[tuple[str, str], ...] = ()) -> bytes:
        fields = [
            *((":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "fuzz")),
            *(("content-type", "application/grpc"), ("te", "trailers"), *extra),
        ]
        if extra:  # may be huge, and the encoder is slow
            block = encode_headers((name.encode(), value.encode()) for name, value in fields)
        else:
            block = self.encoder.encode(fields)
        return frames.header_frames(stream_id, block, False, frames.DEFAULT_FRAME_SIZE)

    def message(self, stream_id: int, message: bytes, end: bool = True) -> bytes:
        data = b"\0" + len(message).to_bytes(4, "big") + message
        return frames.frame(frames.DATA, frames.END_STREAM if end else 0, stream_id, data)


@dataclass
class Worker:
    """One hostile client."""

    fuzz: Fuzzer
    rng: random.Random
    ports: tuple[int, int]
    connections: int = 0
    sent: int = 0
    refused: int = 0
    open: list[asyncio.StreamWriter] = field(default_factory=list)
    ends: set[tuple[int, int]] = field(default_factory=set)

    async def connect(self, tls: bool = False, secure_port: bool = False) -> Connection:
        """To the TLS port with a handshake (`tls`) or without one (`secure_port`), else to the plain one."""
        context = None
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            context.set_alpn_protocols(self.rng.choice((["h2"], ["http/1.1"], ["h2", "http/1.1"], ["x"])))
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", self.ports[tls or secure_port], ssl=context
            )
        self.connections += 1
        self.open.append(writer)
        self.ends.add((writer.get_extra_info("sockname")[1], writer.get_extra_info("peername")[1]))
        return Connection(self, reader, writer)

    async def http2(self, settings: tuple[tuple[int, int], ...] = ()) -> Connection:
        connection = await self.connect()
        await connection.send(frames.PREFACE + frames.settings(settings))
        return connection

    async def run(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                while True:
                    await self._once()
                    await asyncio.sleep(PAUSE * (0.5 + self.rng.random()))
        except TimeoutError:
            pass

    async def _once(self) -> None:
        try:
            await self.fuzz(self)
        except (OSError, EOFError, ssl.SSLError):  # cut off, which is what it came for (TimeoutError too)
            self.refused += 1
        finally:
            for writer in self.open:
                writer.transport.abort()
            self.open.clear()


def message(rng: random.Random) -> tuple[str, bytes]:
    """A path, and a request for it."""
    key = b"fuzz/%d" % rng.randrange(50)
    kinds = (
        (PUT, pb.PutRequest(key=key, value=rng.randbytes(rng.randrange(200)))),
        (RANGE, pb.RangeRequest(key=b"fuzz/", range_end=b"fuzz0", limit=5)),
        (WATCH, pb.WatchRequest(create_request=pb.WatchCreateRequest(key=b"hog/%d" % rng.randrange(50)))),
        (GRANT, pb.LeaseGrantRequest(TTL=2)),
    )
    path, request = rng.choice(kinds)
    return path, request.SerializeToString()


# HTTP/2.


async def continuation_flood(worker: Worker) -> None:
    connection = await worker.http2()
    block = connection.encoder.encode([(":method", "POST")])
    await connection.send(frames.frame(frames.HEADERS, 0, 1, block))
    size = worker.rng.choice((0, 1, 1024, frames.DEFAULT_FRAME_SIZE))
    piece = frames.frame(frames.CONTINUATION, 0, 1, b"\x00" * size)
    for _ in range(SHARE // len(piece)):
        await connection.send(piece)


async def rapid_reset(worker: Worker) -> None:
    connection = await worker.http2()
    for number in range(20_000):
        stream_id = 2 * number + 1
        path, body = message(worker.rng)
        ask = connection.request(stream_id, path, body, end=worker.rng.random() < 0.5)
        await connection.send(ask + frames.rst_stream(stream_id, 8))


async def cheap_frames(worker: Worker) -> None:
    """Frames that make work for nothing."""
    connection = await worker.http2()
    rng = worker.rng
    await connection.send(connection.headers(1, PUT))
    piece = rng.choice(
        (
            frames.ping(b"12345678"),
            frames.settings([(4, rng.randrange(1 << 20))]),
            frames.frame(frames.DATA, 0, 1),
            frames.frame(frames.PRIORITY, 0, 3, bytes(5)),
            frames.frame(0x42, 0, 0, b"?" * 10),
            frames.window_update(0, 1),
            frames.window_update(1, 1),
            frames.SETTINGS_ACK,
            frames.goaway(0, 0, b"bye" * 100),
        )
    )
    for _ in range(200):
        await connection.send(piece * 100)


async def window_games(worker: Worker) -> None:
    """Asks for much, lets nothing or next to nothing through, and moves the windows about."""
    rng = worker.rng
    first = rng.choice((0, 1, 10, frames.LARGEST_WINDOW))
    connection = await worker.http2(((4, first),))
    ask = pb.RangeRequest(key=LARGE_KEY).SerializeToString()
    for number in range(100):
        await connection.send(connection.request(2 * number + 1, RANGE, ask))
    for _ in range(50):
        stream_id = rng.randrange(0, 202)
        step = rng.choice((1, 1, 1, 0, 1000, frames.LARGEST_WINDOW))
        moves = (frames.window_update(stream_id, step), frames.settings([(4, rng.choice((0, 1, 70_000)))]))
        await connection.send(rng.choice(moves))
        await asyncio.sleep(0.02)


async def large_headers(worker: Worker) -> None:
    """One giant field, many fields, or few bytes that stand for many."""
    rng = worker.rng
    connection = await worker.http2()
    kind = rng.randrange(3)
    if kind == 0:
        await connection.send(connection.headers(1, PUT, (("x-giant", "g" * (1 << 20)),)))
    elif kind == 1:
        await connection.send(connection.headers(1, PUT, tuple((f"x-{n}", "v") for n in range(20_000))))
    else:
        # A field of 4,000 bytes in the dynamic table, and then a block that names it 10,000 times.
        field = connection.encoder.encode([("x-bomb", "b" * 4000)])
        bomb = field + connection.encoder.encode([("x-bomb", "b" * 4000)]) * 10_000
        await connection.send(frames.header_frames(1, bomb, True, frames.DEFAULT_FRAME_SIZE))
    await connection.swallow(1.0)


async def many_streams(worker: Worker) -> None:
    """As many calls as go into a connection, none of which is finished or waited for."""
    connection = await worker.http2()
    whole = bytearray()
    for number in range(2000):
        path, body = message(worker.rng)
        stream_id = 2 * number + 1
        if worker.rng.random() < 0.5:
            whole += connection.headers(stream_id, path)
        else:
            whole += connection.request(stream_id, path, body)
    for start in range(0, len(whole), 1 << 16):
        await connection.send(bytes(whole[start : start + (1 << 16)]))
    await connection.swallow(worker.rng.random() * 2)


async def torn_messages(worker: Worker) -> None:
    """gRPC messages that announce much and never end."""
    connection = await worker.http2()
    for number in range(40):
        stream_id = 2 * number + 1
        announced = worker.rng.choice((1 << 20, (2 << 20) - 1, 1 << 31, (1 << 32) - 1))
        data = b"\0" + announced.to_bytes(4, "big") + bytes(10_000)
        await connection.send(
            connection.headers(stream_id, PUT) + frames.frame(frames.DATA, 0, stream_id, data)
        )
    await connection.swallow(2.0)


async def watch_hog(worker: Worker) -> None:
    """Many watchers of keys that change all the time, and nobody who reads."""
    connection = await worker.http2(((4, frames.LARGEST_WINDOW),))
    await connection.send(frames.window_update(0, frames.LARGEST_WINDOW - frames.DEFAULT_WINDOW))
    await connection.send(connection.headers(1, WATCH))
    create = pb.WatchCreateRequest(key=b"hog/", range_end=b"hog0", prev_kv=True)
    ask = pb.WatchRequest(create_request=create).SerializeToString()
    for _ in range(100):
        await connection.send(connection.message(1, ask, end=False))
    for number in range(50):
        put = pb.PutRequest(key=b"hog/%d" % number, value=bytes(500)).SerializeToString()
        await connection.send(connection.request(2 * number + 3, PUT, put))
        await asyncio.sleep(0.05)


async def slow_reader(worker: Worker) -> None:
    """Windows wide open, a socket that is read a few bytes at a time."""
    connection = await worker.http2(((4, frames.LARGEST_WINDOW),))
    connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
    await connection.send(frames.window_update(0, frames.LARGEST_WINDOW - frames.DEFAULT_WINDOW))
    ask = pb.RangeRequest(key=LARGE_KEY).SerializeToString()
    for number in range(200):
        await connection.send(connection.request(2 * number + 1, RANGE, ask))
    await asyncio.sleep(2.0)
    connection.writer.transport.resume_reading()  # type: ignore[attr-defined]
    for _ in range(20):
        await connection.reader.read(1000)
        await asyncio.sleep(0.05)


async def half_closed(worker: Worker) -> None:
    """Shuts its half somewhere in a conversation, and stays."""
    rng = worker.rng
    connection = await worker.connect()
    path, body = message(rng)
    whole = frames.PREFACE + frames.settings([]) + connection.request(1, path, body)
    await connection.send(whole[: rng.randrange(len(whole) + 1)])
    if rng.random() < 0.7:
        connection.writer.write_eof()
    await connection.swallow(rng.random() * 3)


async def garbage_after_preface(worker: Worker) -> None:
    rng = worker.rng
    connection = await worker.connect()
    await connection.send(frames.PREFACE + (frames.settings([]) if rng.random() < 0.7 else b""))
    for _ in range(50):
        if rng.random() < 0.5:
            await connection.send(rng.randbytes(rng.randrange(1, 2000)))
        else:
            junk = rng.randbytes(rng.randrange(100))
            stream_id = rng.choice((0, 1, 2, 3, rng.getrandbits(31)))
            await connection.send(frames.frame(rng.randrange(12), rng.getrandbits(8), stream_id, junk))


def mutate(rng: random.Random, whole: bytes) -> bytes:
    """Flips, drops, doubles and inserts a little of it."""
    data = bytearray(whole)
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        at = rng.randrange(len(data))
        kind = rng.randrange(5)
        if kind == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
        elif kind == 2:
            del data[at : at + rng.randrange(1, 20)]
        elif kind == 3:
            data[at:at] = data[at : at + rng.randrange(1, 60)]
        else:
            data[at:at] = rng.randbytes(rng.randrange(1, 9))
        if not data:
            break
    return bytes(data)


async def mutated_conversation(worker: Worker) -> None:
    """What a good client would say, a little wrong, in pieces of any size."""
    rng = worker.rng
    connection = await worker.connect()
    whole = frames.settings([(3, 100), (4, 65_535)]) + frames.window_update(0, 1 << 20)
    for number in range(rng.randrange(1, 10)):
        path, body = message(rng)
        whole += connection.request(2 * number + 1, path, body, end=rng.random() < 0.8)
    whole = frames.PREFACE + mutate(rng, whole)
    while whole:
        size = rng.choice((1, 9, 30, 1000))
        await connection.send(whole[:size])
        whole = whole[size:]
    await connection.swallow(rng.random())


# HTTP/1.1.

PAGES = (
    "/health",
    "/version",
    "/metrics",
    "/v3/kv/put",
    "/v3/kv/range",
    "/v3/watch",
    "/debug/vars",
    "/nothing",
)
JSON = ('{"key":"ZnV6eg==","value":"AA=="}', "{}", "[" * 3000, '{"key":' + '{"a":' * 2000, "null", '"', "")


def http1_request(rng: random.Random) -> bytes:
    body = rng.choice(JSON).encode()
    verb = rng.choice(("GET", "POST", "PUT", "HEAD", "OPTIONS", "G\x00T", "PRI"))
    lines = [
        f"{verb} {rng.choice(PAGES)} HTTP/1.{rng.choice('0119')}",
        "Host: fuzz",
        rng.choice(
            (f"Content-Length: {len(body)}", "Transfer-Encoding: chunked", "Content-Length: -1", "X: y")
        ),
        rng.choice(
            ("Connection: keep-alive", "Connection: close", "Upgrade: websocket\r\nConnection: Upgrade")
        ),
        rng.choice(("Expect: 100-continue", "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAA", "A: b")),
    ]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


async def http1_garbage(worker: Worker) -> None:
    rng = worker.rng
    connection = await worker.connect()
    for _ in range(rng.randrange(1, 30)):
        request = http1_request(rng)
        await connection.send(mutate(rng, request) if rng.random() < 0.7 else request)
    await connection.swallow(rng.random())


async def http1_endless(worker: Worker) -> None:
    """Lines, headers, bodies and chunks without an end."""
    rng = worker.rng
    connection = await worker.connect()
    start, piece = rng.choice(
        (
            (b"GET /", b"a" * 8192),
            (b"GET / HTTP/1.1\r\nX: ", b"a" * 8192),
            (b"GET / HTTP/1.1\r\n", b"X-Many: y\r\n" * 500),
            (
                b"POST /v3/kv/put HTTP/1.1\r\nHost: f\r\nTransfer-Encoding: chunked\r\n\r\n",
                b"1\r\n{\r\n" * 500,
            ),
            (
                b"POST /v3/kv/put HTTP/1.1\r\nHost: f\r\nTransfer-Encoding: chunked\r\n\r\n",
                b"1;" + b"x" * 9000,
            ),
            (
                b"POST /v3/kv/put HTTP/1.1\r\nHost: f\r\nContent-Length: 99999999999\r\n\r\n",
                b'{"key":"' + b"A" * 9000,
            ),
            (b"", b"GET /health HTTP/1.1\r\nHost: f\r\n\r\n" * 200),
        )
    )
    await connection.send(start)
    for _ in range(SHARE // len(piece)):
        await connection.send(piece)


async def http1_slow(worker: Worker) -> None:
    """A header, byte by byte."""
    connection = await worker.connect()
    for byte in http1_request(worker.rng):
        await connection.send(bytes([byte]))
        await asyncio.sleep(0.02)


# TLS.


async def tls_garbage(worker: Worker) -> None:
    """No handshake, half a handshake, or rubbish behind a good one."""
    rng = worker.rng
    kind = rng.randrange(4)
    if kind == 3:
        connection = await worker.connect(tls=True)
        await connection.send(rng.choice((rng.randbytes(2000), frames.PREFACE, http1_request(rng))))
    else:
        hello = client_hello()
        connection = await worker.connect(secure_port=True)
        torn = mutate(rng, hello)[: rng.randrange(1, len(hello))]
        oversized = b"\x16\x03\x01\x40\x00" + rng.randbytes(300)
        await connection.send((rng.randbytes(rng.randrange(1, 4000)), torn, oversized)[kind])
    await connection.swallow(rng.random())


def client_hello() -> bytes:
    """The first record of a real handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        context.wrap_bio(incoming, outgoing).do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


FUZZERS: tuple[Fuzzer, ...] = (
    *(continuation_flood, rapid_reset, cheap_frames, window_games, large_headers, many_streams),
    *(torn_messages, watch_hog, slow_reader, half_closed, garbage_after_preface, mutated_conversation),
    *(http1_garbage, http1_endless, http1_slow, tls_garbage),
)


async def seed_large_value(worker: Worker) -> None:
    """What the slow readers ask for."""
    connection = await worker.http2()
    put = pb.PutRequest(key=LARGE_KEY, value=bytes(200_000)).SerializeToString()
    data = b"\0" + len(put).to_bytes(4, "big") + put
    await connection.send(connection.headers(1, PUT))
    await connection.send(frames.window_update(0, 1 << 20))
    size = frames.DEFAULT_FRAME_SIZE
    for start in range(0, len(data), size):
        last = frames.END_STREAM if start + size >= len(data) else 0
        await connection.send(frames.frame(frames.DATA, last, 1, data[start : start + size]))
    await connection.swallow(1.0)
    worker.open.pop().transport.abort()


@dataclass
class Share:
    """What a kind had: connections, how many of them were cut off, bytes sent, and the ports of both ends."""

    connections: int = 0
    refused: int = 0
    sent: int = 0
    ends: list[tuple[int, int]] = field(default_factory=list)


async def campaign(ports: tuple[int, int], seconds: float, seed: str, names: list[str]) -> dict[str, Share]:
    """By kind."""
    await seed_large_value(Worker(seed_large_value, random.Random(seed), ports))
    workers = [
        Worker(fuzz, random.Random(f"{seed}:{fuzz.__name__}:{number}"), ports)
        for fuzz in FUZZERS
        for number in range(WORKERS)
        if not names or fuzz.__name__ in names
    ]
    await asyncio.gather(*(worker.run(seconds) for worker in workers))
    shares: dict[str, Share] = {}
    for worker in workers:
        share = shares.setdefault(worker.fuzz.__name__, Share())
        share.connections += worker.connections
        share.refused += worker.refused
        share.sent += worker.sent
        share.ends += sorted(worker.ends)
    return shares


if __name__ == "__main__":
    plain, secure, limit, chosen_seed, *kinds = sys.argv[1:]
    found = asyncio.run(campaign((int(plain), int(secure)), float(limit), chosen_seed, kinds))
    print(json.dumps({kind: asdict(share) for kind, share in found.items()}))
