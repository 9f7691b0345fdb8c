"""Two transports in one loop, and the refusals of one."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from gauntlet.api.wire.http1_client import HttpClientConnection, HttpClientError, HttpResponse, Origin
from gauntlet.api.wire.http_types import HttpRequest, HttpResponder
from gauntlet.reference.formats.raftpb import encode_message
from gauntlet.reference.raft.types import Entry, Message, MessageType, Snapshot
from gauntlet.reference.server.peers import PeerTransport, pipeline, writer
from gauntlet.reference.server.peers.codec import snapshot_head
from gauntlet.reference.server.peers.identity import Identity
from gauntlet.reference.server.peers.links import Links

A, B, CLUSTER = 0xA1, 0xB2, 0xC3
ALL = {"message in", "message out", "msgapp in", "msgapp out"}


class Side:
    def __init__(self, member_id: int, listener: Any, handler: Any, links: Links | None = None) -> None:
        self.handler = handler
        self.listener = listener
        self.transport = PeerTransport(
            member_id=member_id,
            cluster_id=CLUSTER,
            local_urls=[listener.url],
            loop=asyncio.get_running_loop(),
            handler=handler,
            on_removed=handler.on_removed,
            links=links,
        )

    async def start(self) -> None:
        await self.listener.open(self.transport.http_handler)
        await self.transport.start()

    async def stop(self) -> None:
        await self.transport.stop()
        await self.listener.close()


@pytest.fixture
def pair(listener: Any, recorder: Any) -> Any:
    """A and B, peers of each other, started."""

    @asynccontextmanager
    async def make(start: bool = True, links: Links | None = None) -> AsyncIterator[tuple[Side, Side]]:
        async with listener() as at_a, listener() as at_b:
            a, b = Side(A, at_a, recorder(), links), Side(B, at_b, recorder(), links)
            a.transport.add_peer(B, [at_b.url])
            b.transport.add_peer(A, [at_a.url])
            if start:
                await a.start()
                await b.start()
            try:
                yield a, b
            finally:
                await a.stop()
                await b.stop()

    return make


def vote(index: int = 1) -> Message:
    return Message(MessageType.VOTE, to=B, sender=A, term=2, index=index)


def app(index: int, count: int = 1) -> Message:
    entries = [Entry(2, index + 1 + i, data=b"x" * 50) for i in range(count)]
    return Message(MessageType.APP, to=B, sender=A, term=2, log_term=2, index=index, entries=entries)


def up(side: Side, other: int) -> bool:
    return side.transport.peers()[other].streams == ALL


def test_messages_arrive_in_order_on_both_streams(pair: Any, until: Any) -> None:
    async def go() -> None:
        async with pair() as (a, b):
            await until(lambda: up(a, B) and up(b, A))
            sent = [message for i in range(200) for message in (vote(i), app(i))]
            for start in range(0, len(sent), 16):
                a.transport.send(sent[start : start + 16])
            await until(lambda: len(b.handler.messages) == len(sent))
            for kind in (MessageType.VOTE, MessageType.APP):
                got = [message for message in b.handler.messages if message.type is kind]
                assert got == [message for message in sent if message.type is kind]
            status = a.transport.peers()[B]
            assert status.active
            assert a.transport.connected_since(B) == status.active_since < math.inf
            assert a.transport.longest_connected([A, B]) == B
            assert b.transport.peers()[A].received_bytes > 0
            # Nothing for unknown members or for nobody.
            a.transport.send([Message(MessageType.VOTE, to=0xDD, sender=A), Message(MessageType.VOTE)])
            assert a.handler.unreachable == b.handler.unreachable == []

    asyncio.run(go())


def test_one_send_is_one_write_per_stream(pair: Any, until: Any) -> None:
    async def go() -> None:
        async with pair() as (a, b):
            await until(lambda: up(a, B) and up(b, A))
            writes: list[str] = []
            peer = a.transport._peers[B]
            for kind, stream in peer.writers.items():
                responder = stream._responder
                transport = responder._transport

                def note(data: Any, kind: str = kind, old: Any = transport.writelines) -> None:
                    writes.append(kind)
                    old(data)

                transport.writelines = note
            a.transport.send([vote(1), app(1), vote(2), app(2), vote(3)])
            assert sorted(writes) == ["message", "msgapp"]
            await until(lambda: len(b.handler.messages) == 5)

    asyncio.run(go())


def test_messages_are_posted_while_no_stream_is_up(pair: Any, until: Any) -> None:
    async def go() -> None:
        async with pair(start=False) as (a, b):
            # B listens and does not dial, so A has only POST.
            await b.listener.open(b.transport.http_handler)
            a.transport.send([vote(1), app(1), vote(2)])
            await until(lambda: len(b.handler.messages) == 3)
            assert sorted(message.type for message in b.handler.messages) == [
                MessageType.APP,
                MessageType.VOTE,
                MessageType.VOTE,
            ]
            await until(lambda: a.transport.peers()[B].active)

    asyncio.run(go())


def test_a_restarted_member_is_found_again(pair: Any, until: Any, recorder: Any) -> None:
    async def go() -> None:
        async with pair() as (a, b):
            await until(lambda: up(a, B) and up(b, A))
            await b.stop()
            await until(lambda: not a.transport.peers()[B].active)
            assert a.transport.connected_since(B) == math.inf
            assert a.transport.longest_connected([B]) is None
            a.transport.send([vote()])
            await until(lambda: a.handler.unreachable)
            again = Side(B, b.listener, recorder())
            again.transport.add_peer(A, [a.listener.url])
            await again.start()
            try:
                await until(lambda: up(a, B) and up(again, A))
                a.transport.send([vote(7), app(7)])
                await until(lambda: len(again.handler.messages) == 2)
                assert a.transport.peers()[B].disconnects >= 1
            finally:
                await again.stop()

    asyncio.run(go())


def test_unreachable_is_never_reported_from_inside_send(pair: Any, until: Any) -> None:
    async def go() -> None:
        async with pair(start=False) as (a, _):
            a.transport.send([vote(i) for i in range(pipeline.MAX_QUEUED + 10)])
            assert a.handler.unreachable == []
            await until(lambda: a.handler.unreachable)
            assert a.transport.peers()[B].sent_failures >= 10

    asyncio.run(go())


def test_a_peer_that_does_not_read_costs_memory_only_up_to_a_bound(pair: Any, until: Any) -> None:
    async def go() -> None:
        async with pair(start=False, links=Links(write_timeout=0.2)) as (a, _):
            await a.start()
            connection = await HttpClientConnection.open(Origin.parse(a.listener.url))
            headers = Identity(B, CLUSTER, ("http://b:1",), "3.7.1", "3.0.0").headers()
            headers["X-Raft-To"] = f"{A:x}"
            sink = Sink()
            connection.begin("GET", f"/raft/stream/message/{B:x}", headers, None, sink)
            await until(lambda: a.transport._peers[B].writers["message"].working)
            connection.pause_reading()
            big = Message(MessageType.READ_INDEX, to=B, sender=A, context=bytes(100_000))
            for _ in range(300):
                a.transport.send([big])
            stream = a.transport._peers[B].writers["message"]
            assert stream._responder.backlog < 2 << 20
            assert 0 < len(stream._queue) <= writer.MAX_QUEUED
            for _ in range(writer.MAX_QUEUED):
                a.transport.send([big])
            assert len(stream._queue) == writer.MAX_QUEUED
            await until(lambda: a.handler.unreachable == [B])
            # What waits goes out in order when the peer reads again.
            stream._queue.clear()
            a.transport.send([vote(9)])
            connection.resume_reading()
            await until(lambda: not stream._queue)
            # And a peer that takes nothing loses the stream.
            connection.pause_reading()
            for _ in range(300):
                a.transport.send([big])

            def given_up() -> bool:
                stream.tick()
                return not stream.working

            await until(given_up)
            assert not a.transport.peers()[B].active
            connection.abort()

    asyncio.run(go())


class Sink:
    """Collects an answer of the raw client."""

    def __init__(self) -> None:
        self.status = 0
        self.data = b""
        self.ended = False
        self.error: HttpClientError | None = None

    def on_head(self, status: int, headers: dict[str, str]) -> None:
        self.status = status

    def on_data(self, data: bytes) -> None:
        self.data += data

    def on_end(self) -> None:
        self.ended = True

    def on_error(self, error: HttpClientError) -> None:
        self.error = error


def test_the_newest_stream_takes_the_place_of_the_one_before(pair: Any, until: Any) -> None:
    async def go() -> None:
        async with pair(start=False) as (a, _):
            await a.start()
            headers = Identity(B, CLUSTER, ("http://b:1",), "3.7.1", "3.0.0").headers()
            headers["X-Raft-To"] = f"{A:x}"
            sinks = [Sink(), Sink()]
            connections = []
            for sink in sinks:
                connection = await HttpClientConnection.open(Origin.parse(a.listener.url))
                connection.begin("GET", f"/raft/stream/message/{B:x}", headers, None, sink)
                await until(lambda sink=sink: sink.status == 200)
                connections.append(connection)
            await until(lambda: sinks[0].ended)
            a.transport.send([vote()])
            await until(lambda: sinks[1].data)
            assert sinks[0].data == b""
            for connection in connections:
                connection.abort()

    asyncio.run(go())


def test_a_silent_stream_is_dialed_again(pair: Any, until: Any, listener: Any, recorder: Any) -> None:
    dials: list[str] = []

    def silent(request: HttpRequest, responder: HttpResponder) -> None:
        dials.append(request.path)
        responder.start(200, {"X-Server-Version": "3.7.1"})

    async def go() -> None:
        async with listener() as mute, listener() as ours:
            await mute.open(silent)
            side = Side(A, ours, recorder(), Links(read_timeout=0.2))
            side.transport.add_peer(B, [mute.url])
            await side.transport.start()
            await until(lambda: dials.count(f"/raft/stream/message/{A:x}") >= 2)
            await until(lambda: dials.count(f"/raft/stream/msgapp/{A:x}") >= 2)
            await until(lambda: side.transport.peers()[B].disconnects >= 1)
            await side.transport.stop()

    asyncio.run(go())


def test_heartbeats_keep_a_quiet_stream(pair: Any, until: Any) -> None:
    async def go() -> None:
        async with pair(links=Links(read_timeout=0.5)) as (a, b):
            await until(lambda: up(a, B) and up(b, A))
            streams = a.transport._peers[B].writers
            before = [stream._responder for stream in streams.values()]
            received = b.transport.peers()[A].received_bytes
            await asyncio.sleep(1.2)
            assert [stream._responder for stream in streams.values()] == before
            assert b.transport.peers()[A].received_bytes > received
            assert b.handler.messages == []

    asyncio.run(go())


def test_all_urls_of_a_peer_are_tried(pair: Any, until: Any, listener: Any, port: Any) -> None:
    async def go() -> None:
        async with pair(start=False) as (a, b):
            nobody = f"http://127.0.0.1:{port()}"
            a.transport.update_peer(B, [nobody, b.listener.url])
            await a.start()
            await b.start()
            await until(lambda: up(a, B))
            # And an update to nowhere ends nothing that works.
            a.transport.update_peer(B, [nobody])
            a.transport.send([vote()])
            await until(lambda: b.handler.messages)

    asyncio.run(go())


def test_removed_peers_are_left_alone(pair: Any, until: Any) -> None:
    async def go() -> None:
        async with pair() as (a, b):
            await until(lambda: up(a, B) and up(b, A))
            a.transport.remove_peer(B)
            a.handler.removed_ids.add(B)
            a.transport.send([vote()])
            # B dials again and is told.
            await until(lambda: b.handler.told_removed)
            assert a.transport.peers() == {}
            assert b.handler.messages == []

    asyncio.run(go())


def test_replace_makes_the_peers_what_a_snapshot_says(pair: Any) -> None:
    async def go() -> None:
        async with pair(start=False) as (a, _):
            a.transport.add_peer(0xDD, ["http://127.0.0.1:1"])
            a.transport.replace({0xDD: ["http://127.0.0.1:2"], 0xEE: ["http://127.0.0.1:3"]})
            assert list(a.transport.peers()) == [0xDD, 0xEE]
            assert a.transport.peer_urls(0xDD) == ["http://127.0.0.1:2"]

    asyncio.run(go())


@pytest.mark.parametrize("urls", [[], ["127.0.0.1:2380"], ["unix://"], ["http://"], ["ftp://x"]])
def test_a_peer_needs_urls_that_can_be_dialed(pair: Any, urls: list[str]) -> None:
    async def go() -> None:
        async with pair(start=False) as (a, _):
            with pytest.raises(ValueError):
                a.transport.add_peer(0xDD, urls)
            assert 0xDD not in a.transport.peers()

    asyncio.run(go())


def snap() -> Message:
    return Message(MessageType.SNAP, to=B, sender=A, term=2, snapshot=Snapshot(100, 2, data=b"meta"))


@pytest.mark.parametrize("form", ["bytes", "iterator", "async"])
def test_a_snapshot_arrives_whole(pair: Any, until: Any, form: str) -> None:
    database = bytes(range(256)) * 8192

    async def later() -> AsyncIterator[bytes]:
        for start in range(0, len(database), 100_000):
            await asyncio.sleep(0)
            yield database[start : start + 100_000]

    async def go() -> None:
        async with pair() as (a, b):
            body = {"bytes": database, "iterator": iter([database[:7], b"", database[7:]]), "async": later()}
            a.transport.send_snapshot(snap(), body[form])
            await until(lambda: a.handler.snapshot_reports)
            assert a.handler.snapshot_reports == [(B, True)]
            assert b.handler.snapshots == [(snap(), database)]
            sent = a.transport.peers()[B].snapshots
            received = b.transport.received_snapshots[f"{A:x}"]
            await until(lambda: sent.done)
            for tally in (sent, received):
                assert (tally.running, tally.done, tally.failed) == (0, 1, 0)
                assert sum(tally.times.counts) == 1

    asyncio.run(go())


def test_a_snapshot_that_breaks_off_is_reported_and_not_delivered(pair: Any, until: Any) -> None:
    def broken() -> Any:
        yield bytes(1 << 20)
        raise OSError("the disk failed")

    async def go() -> None:
        async with pair() as (a, b):
            a.transport.send_snapshot(snap(), broken())
            await until(lambda: a.handler.snapshot_reports)
            assert a.handler.snapshot_reports == [(B, False)]
            await until(lambda: a.handler.unreachable)
            assert b.handler.snapshots == []
            received = b.transport.received_snapshots
            await until(lambda: received and received[f"{A:x}"].failed)
            for tally in (a.transport.peers()[B].snapshots, received[f"{A:x}"]):
                assert (tally.running, tally.done, tally.failed, sum(tally.times.counts)) == (0, 0, 1, 0)
            # Nobody to send to.
            a.transport.send_snapshot(Message(MessageType.SNAP, to=0xDD), b"")
            await until(lambda: (0xDD, False) in a.handler.snapshot_reports)

    asyncio.run(go())


def test_a_sink_gets_the_database_as_it_comes_and_its_failure_is_the_answer(
    listener: Any, recorder: Any, until: Any
) -> None:
    class Failing:
        size = 0
        aborted = False

        def write(self, data: bytes) -> None:
            self.size += len(data)

        def finish(self, answer: Any) -> None:
            asyncio.get_running_loop().call_later(0.01, answer, "no space")

        def abort(self) -> None:
            self.aborted = True

    sinks: list[Failing] = []

    def make(message: Message) -> Failing:
        sinks.append(Failing())
        return sinks[-1]

    async def go() -> None:
        async with listener() as at_b, listener() as at_a:
            receiver = PeerTransport(
                member_id=B,
                cluster_id=CLUSTER,
                local_urls=[at_b.url],
                loop=asyncio.get_running_loop(),
                handler=recorder(),
                snapshot_sink=make,
            )
            await at_b.open(receiver.http_handler)
            a = Side(A, at_a, recorder())
            a.transport.add_peer(B, [at_b.url])
            a.transport.send_snapshot(snap(), bytes(1 << 20))
            await until(lambda: a.handler.snapshot_reports == [(B, False)])
            assert sinks[0].size == 1 << 20
            # A sender that dies half way.
            connection = await HttpClientConnection.open(Origin.parse(at_b.url))
            headers = a.transport.identity.headers()
            connection.begin("POST", "/raft/snapshot", headers, None, Sink(), chunked=True)
            connection.send_piece(snapshot_head(snap()) + bytes(1000))
            await until(lambda: len(sinks) == 2 and sinks[1].size == 1000)
            connection.abort()
            await until(lambda: sinks[1].aborted)
            await a.stop()

    asyncio.run(go())


async def ask(
    url: str,
    method: str,
    path: str,
    body: bytes | None = None,
    *,
    sender: int = A,
    cluster: int = CLUSTER,
    to: int = B,
    version: str = "3.7.1",
    lowest: str = "3.0.0",
    drop: tuple[str, ...] = (),
) -> HttpResponse:
    headers = Identity(sender, cluster, ("http://127.0.0.1:1",), version, lowest).headers()
    headers["X-Raft-To"] = f"{to:x}"
    for name in drop:
        del headers[name]
    connection = await HttpClientConnection.open(Origin.parse(url))
    try:
        return await connection.fetch(method, path, headers, body, timeout=5)
    finally:
        connection.abort()


POST_BODY = encode_message(vote())
REMOVED_BODY = encode_message(Message(MessageType.VOTE, to=B, sender=0xEE))
STRANGER_BODY = encode_message(Message(MessageType.VOTE, to=0xF0, sender=A))
NOT_SNAP = snapshot_head(vote())

REFUSALS: dict[str, tuple[dict[str, Any], int, bytes]] = {
    "stream of another cluster": (
        {"method": "GET", "path": "/raft/stream/message/a1", "cluster": 1},
        412,
        b"cluster ID mismatch\n",
    ),
    "message of another cluster": (
        {"method": "POST", "path": "/raft", "body": POST_BODY, "cluster": 1},
        412,
        b"cluster ID mismatch\n",
    ),
    "snapshot of another cluster": (
        {"method": "POST", "path": "/raft/snapshot", "body": b"", "cluster": 1},
        412,
        b"cluster ID mismatch\n",
    ),
    "no cluster": (
        {"method": "POST", "path": "/raft", "body": POST_BODY, "drop": ("X-Etcd-Cluster-ID",)},
        412,
        b"cluster ID mismatch\n",
    ),
    "too old": (
        {"method": "GET", "path": "/raft/stream/message/a1", "version": "2.3.8"},
        412,
        b"incompatible version\n",
    ),
    "too new": (
        {"method": "GET", "path": "/raft/stream/message/a1", "version": "9.0.0", "lowest": "3.8.0"},
        412,
        b"incompatible version\n",
    ),
    "no version": (
        {"method": "POST", "path": "/raft", "body": POST_BODY, "drop": ("X-Server-Version",)},
        412,
        b"incompatible version\n",
    ),
    "no version that can be read": (
        {"method": "POST", "path": "/raft", "body": POST_BODY, "version": "latest"},
        412,
        b"incompatible version\n",
    ),
    "stream meant for another": (
        {"method": "GET", "path": "/raft/stream/msgapp/a1", "to": 0xF0},
        412,
        b"to field mismatch\n",
    ),
    "removed member's stream": (
        {"method": "GET", "path": "/raft/stream/message/ee", "sender": 0xEE},
        410,
        b"removed member\n",
    ),
    "unknown member's stream": (
        {"method": "GET", "path": "/raft/stream/message/dd", "sender": 0xDD},
        404,
        b"error sender not found\n",
    ),
    "stream of no kind": ({"method": "GET", "path": "/raft/stream/other/a1"}, 404, b"invalid path\n"),
    "stream of nobody": ({"method": "GET", "path": "/raft/stream/message/xyz"}, 404, b"invalid from\n"),
    "a stream by POST": (
        {"method": "POST", "path": "/raft/stream/message/a1", "body": b""},
        405,
        b"Method Not Allowed\n",
    ),
    "removed member's message": (
        {"method": "POST", "path": "/raft", "body": REMOVED_BODY, "sender": 0xEE},
        403,
        b'{"message":"cannot process message from removed member"}',
    ),
    "message for another": (
        {"method": "POST", "path": "/raft", "body": STRANGER_BODY},
        403,
        b'{"message":"cannot process message to mismatch member"}',
    ),
    "no message": (
        {"method": "POST", "path": "/raft", "body": b"\xff"},
        400,
        b"error unmarshalling raft message\n",
    ),
    "snapshot of no kind": (
        {"method": "POST", "path": "/raft/snapshot", "body": NOT_SNAP},
        400,
        b"wrong raft message type\n",
    ),
    "snapshot cut short": (
        {"method": "POST", "path": "/raft/snapshot", "body": snapshot_head(snap())[:-1]},
        400,
        b"failed to decode raft message (unexpected EOF)\n",
    ),
    "unknown path": ({"method": "GET", "path": "/nothing"}, 404, b"404 page not found\n"),
    "pipeline by GET": ({"method": "GET", "path": "/raft"}, 405, b"Method Not Allowed\n"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals(pair: Any, name: str) -> None:
    request, status, body = REFUSALS[name]

    async def go() -> None:
        async with pair(start=False) as (_, b):
            await b.listener.open(b.transport.http_handler)
            b.handler.removed_ids.add(0xEE)
            answer = await ask(b.listener.url, **request)
            assert (answer.status, answer.body) == (status, body)
            if request["path"].startswith("/raft") and status != 405:
                assert answer.headers["x-etcd-cluster-id"] == "c3"
            assert b.handler.messages == []
            assert b.handler.snapshots == []

    asyncio.run(go())


def test_what_the_peer_port_answers_beside_raft(pair: Any) -> None:
    async def go() -> None:
        async with pair(start=False) as (a, b):
            await b.listener.open(b.transport.http_handler)
            url = b.listener.url
            posted = await ask(url, "POST", "/raft", POST_BODY)
            assert (posted.status, posted.body) == (204, b"")
            assert b.handler.messages == [vote()]
            version = await ask(url, "GET", "/version", drop=("X-Server-From", "X-Etcd-Cluster-ID"))
            assert version.headers["content-type"] == "application/json"
            assert json.loads(version.body) == {
                "etcdserver": "3.7.1",
                "etcdcluster": "not_decided",
                "storage": "unknown",
            }
            members = await ask(url, "GET", "/members")
            assert members.headers["x-etcd-cluster-id"] == "c3"
            assert json.loads(members.body) == [
                {"id": A, "peerURLs": [a.listener.url]},
                {"id": B, "peerURLs": [b.listener.url]},
            ]
            probe = await ask(url, "GET", "/raft/probing")
            assert json.loads(probe.body)["OK"] is True

            # The node adds the rest.
            def own(request: HttpRequest, responder: HttpResponder) -> None:
                responder.send(200, request.path.encode())

            b.transport.routes.add("GET", "/members/hashkv", own)
            b.transport.routes.add("POST", "/members/promote/", own)
            assert (await ask(url, "GET", "/members/hashkv")).body == b"/members/hashkv"
            assert (await ask(url, "POST", "/members/promote/7", b"")).body == b"/members/promote/7"
            assert (await ask(url, "GET", "/members/promote/7")).status == 405

    asyncio.run(go())


def test_an_unknown_sender_can_be_answered(pair: Any, until: Any, listener: Any, recorder: Any) -> None:
    """A new member that is not known here yet gets its answers by POST to the URLs it named."""

    async def go() -> None:
        async with pair() as (_, b), listener() as at_new:
            new = Side(0xDD, at_new, recorder())
            await at_new.open(new.transport.http_handler)
            new.transport.add_peer(B, [b.listener.url])
            await new.transport.start()
            message = Message(MessageType.APP_RESP, to=0xDD, sender=B, term=2)

            def answered() -> bool:
                b.transport.send([message])
                return bool(new.handler.messages)

            await until(answered)
            assert new.handler.messages[0] == message
            assert 0xDD not in b.transport.peers()
            await new.transport.stop()

    asyncio.run(go())


def test_probes_measure_the_round_trip(pair: Any, until: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "PROBE_SECONDS", 0.02)

    async def go() -> None:
        async with pair() as (a, _):
            await until(lambda: a.transport.peers()[B].round_trip is not None)
            assert 0 < a.transport.peers()[B].round_trip < 1

    asyncio.run(go())
