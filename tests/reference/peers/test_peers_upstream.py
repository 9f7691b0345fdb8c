"""The transport as one member of a cluster whose other member is a real etcd."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.wire.http1_client import HttpClientPool
from gauntlet.reference.raft.types import Entry, Message, MessageType
from gauntlet.reference.server.peers import PeerTransport

pytestmark = pytest.mark.upstream
TOKEN = "peers-test"


def flags(peer: str, client: str, cluster: str) -> list[str]:
    return [
        "--name=real",
        f"--initial-cluster={cluster}",
        f"--initial-cluster-token={TOKEN}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
    ]


async def put_bars(pool: HttpClientPool, count: int) -> None:
    """So many writes of foo=barbarbar that are answered; on a busy machine leadership may be lost between."""
    body = json.dumps({"key": "Zm9v", "value": "YmFyYmFyYmFy"}).encode()
    async with asyncio.timeout(20):
        while count:
            answer = await pool.fetch("POST", "/v3/kv/put", {}, body, timeout=20)
            if answer.status == 200:
                count -= 1
            else:
                await asyncio.sleep(0.05)


class Follower:
    """The least a voter must do: grant votes, and acknowledge whatever a leader appends."""

    def __init__(self, transport: PeerTransport) -> None:
        self._transport = transport
        self.last = 0
        self.commit = 0
        self.silent = False
        self.forgetful = False

    def __call__(self, message: Message) -> None:
        if self.silent:
            return
        answer = Message(to=message.sender, sender=message.to, term=message.term)
        match message.type:
            case MessageType.PRE_VOTE:
                answer.type = MessageType.PRE_VOTE_RESP
            case MessageType.VOTE:
                answer.type = MessageType.VOTE_RESP
            case MessageType.APP:
                answer.type = MessageType.APP_RESP
                if self.forgetful and message.index:
                    # As one that lost its disk: nothing matches, and its log ends at 0.
                    answer.reject, answer.index = True, message.index
                    self._transport.send([answer])
                    return
                self.last = message.entries[-1].index if message.entries else message.index
                self.commit = max(self.commit, message.commit)
                answer.index = self.last
            case MessageType.HEARTBEAT:
                answer.type = MessageType.HEARTBEAT_RESP
                answer.context = message.context
            case _:
                return
        self._transport.send([answer])


def test_a_real_member_becomes_leader_with_our_vote(
    real_etcd: Any, listener: Any, recorder: Any, until: Any, member_ids: Any, port: Any
) -> None:
    async def go() -> None:
        async with listener() as ours:
            theirs = f"http://127.0.0.1:{port()}"
            client = f"http://127.0.0.1:{port()}"
            (our_id, their_id), cluster_id = member_ids([ours.url, theirs], TOKEN)
            handler = recorder()
            transport = PeerTransport(
                member_id=our_id,
                cluster_id=cluster_id,
                local_urls=[ours.url],
                loop=asyncio.get_running_loop(),
                handler=handler,
            )
            follower = Follower(transport)
            handler.react = follower
            transport.add_peer(their_id, [theirs])
            await ours.open(transport.http_handler)
            await transport.start()
            member = real_etcd(
                *flags(theirs, client, f"ours={ours.url},real={theirs}"),
                "--heartbeat-interval=100",
                "--election-timeout=1000",
            )
            try:
                await until(lambda: follower.commit > 0)
                await check(handler, transport, follower, their_id, client)
            except AssertionError as problem:
                raise AssertionError(f"{problem}\n{member.log.read_text()}") from problem
            finally:
                await transport.stop()

    async def check(
        handler: Any, transport: PeerTransport, follower: Follower, their_id: int, client: str
    ) -> None:
        kinds = {message.type for message in handler.messages}
        assert {MessageType.PRE_VOTE, MessageType.VOTE, MessageType.APP} <= kinds
        assert all(message.sender == their_id for message in handler.messages)
        status = transport.peers()[their_id]
        # All four streams come up; a vote may have come by POST before that.
        await until(lambda: len(status.streams) == 4)
        assert status.streams == {"message in", "message out", "msgapp in", "msgapp out"}
        assert status.active
        # A write of a client reaches us as an entry, and is answered because we acknowledged it.
        pool = HttpClientPool(client)
        before = follower.last
        await put_bars(pool, 20)
        assert follower.last >= before + 20
        entries = [entry for message in handler.messages for entry in message.entries]
        assert sum(b"barbarbar" in entry.data for entry in entries) >= 20
        pool.close()

    asyncio.run(go())


def test_a_real_member_refuses_and_tells_us_why(
    real_etcd: Any, listener: Any, recorder: Any, until: Any, member_ids: Any, port: Any, caplog: Any
) -> None:
    """412 for another cluster, a 404 for a member it does not know."""

    async def go() -> None:
        async with listener() as ours:
            theirs = f"http://127.0.0.1:{port()}"
            client = f"http://127.0.0.1:{port()}"
            (their_id,), cluster_id = member_ids([theirs], TOKEN)
            real_etcd(
                *flags(theirs, client, f"real={theirs}"),
            )
            for wrong, reason in ((1, "cluster ID mismatch"), (0, "it does not know this member")):
                caplog.clear()
                caplog.set_level("DEBUG")
                transport = PeerTransport(
                    member_id=0xABC,
                    cluster_id=cluster_id + wrong,
                    local_urls=[ours.url],
                    loop=asyncio.get_running_loop(),
                    handler=recorder(),
                )
                transport.add_peer(their_id, [theirs])
                await transport.start()
                await until(lambda reason=reason: reason in caplog.text)
                await transport.stop()

    asyncio.run(go())


def test_a_real_leader_sends_us_its_database(
    real_etcd: Any, etcd_version: str, listener: Any, recorder: Any, until: Any, member_ids: Any, port: Any
) -> None:
    """We forget our log, which no follower may; the leader has compacted its own and sends a snapshot."""
    experimental = "experimental-" if etcd_version.startswith("3.5.") else ""

    async def go() -> None:
        async with listener() as ours:
            theirs = f"http://127.0.0.1:{port()}"
            client = f"http://127.0.0.1:{port()}"
            (our_id, their_id), cluster_id = member_ids([ours.url, theirs], TOKEN)
            handler = recorder()
            transport = PeerTransport(
                member_id=our_id,
                cluster_id=cluster_id,
                local_urls=[ours.url],
                loop=asyncio.get_running_loop(),
                handler=handler,
            )
            follower = handler.react = Follower(transport)
            transport.add_peer(their_id, [theirs])
            await ours.open(transport.http_handler)
            await transport.start()
            member = real_etcd(
                *flags(theirs, client, f"ours={ours.url},real={theirs}"),
                "--heartbeat-interval=50",
                "--election-timeout=500",
                "--snapshot-count=10",
                f"--{experimental}snapshot-catchup-entries=5",
            )
            try:
                pool = HttpClientPool(client)
                await until(lambda: follower.commit > 0)
                await put_bars(pool, 60)
                pool.close()
                # Without us it is no leader; elected again, it no longer knows what we have.
                follower.silent = True
                handler.messages.clear()
                await until(lambda: any(m.type is MessageType.PRE_VOTE for m in handler.messages))
                follower.silent, follower.forgetful = False, True
                await until(lambda: handler.snapshots)
            except (AssertionError, TimeoutError) as problem:
                raise AssertionError(f"{problem}\n{member.log.read_text()}") from problem
            finally:
                await transport.stop()
            message, database = handler.snapshots[0]
            assert (message.type, message.sender, message.to) == (MessageType.SNAP, their_id, our_id)
            assert message.snapshot.index > 10
            assert sorted(message.snapshot.conf_state.voters) == sorted([our_id, their_id])
            # A bbolt file: whole pages, and the magic number of its first meta page.
            assert len(database) % 4096 == 0
            assert database[16:20] == (0xED0CDAED).to_bytes(4, "little")
            assert b"barbarbar" in database

    asyncio.run(go())


class Leader:
    """The least a leader must do: append what it gets and what is forwarded, commit what is acknowledged."""

    def __init__(self, transport: PeerTransport, other: int, last: int, last_term: int, term: int) -> None:
        self._transport = transport
        self._other = other
        self._term = term
        self.last = last
        self._last_term = last_term
        self.acknowledged = 0
        self.rejected = 0
        self.elected = False

    def message(self, kind: MessageType, **fields: Any) -> Message:
        sender = self._transport.identity.member_id
        return Message(kind, to=self._other, sender=sender, term=self._term, **fields)

    def campaign(self) -> None:
        self._transport.send([self.message(MessageType.VOTE, index=self.last, log_term=self._last_term)])

    def append(self, *batches: list[bytes]) -> None:
        """One MsgApp per batch, all in one send."""
        messages = []
        for batch in batches:
            entries = [Entry(self._term, self.last + 1 + i, data=data) for i, data in enumerate(batch)]
            messages.append(
                self.message(
                    MessageType.APP,
                    index=self.last,
                    log_term=self._last_term,
                    commit=self.acknowledged,
                    entries=entries,
                )
            )
            self.last += len(entries)
            self._last_term = self._term
        self._transport.send(messages)

    def __call__(self, message: Message) -> None:
        if message.type is MessageType.VOTE_RESP and not message.reject:
            self.elected = True
            self.append([b""])
        elif message.type is MessageType.APP_RESP:
            self.rejected += message.reject
            if message.index > self.acknowledged:
                self.acknowledged = message.index
                self.append([])
        elif message.type is MessageType.PROP:
            self.append([entry.data for entry in message.entries])


def put(number: int) -> bytes:
    request = pb.InternalRaftRequest(put=pb.PutRequest(key=b"key%d" % number, value=b"value"))
    request.header.ID = 1000 + number
    return request.SerializeToString()


def test_a_real_member_follows_us(
    real_etcd: Any, listener: Any, recorder: Any, until: Any, member_ids: Any, port: Any
) -> None:
    """We win its vote and append to it: it reads our streams, short frames too, and applies the entries."""

    async def go() -> None:
        async with listener() as ours:
            theirs = f"http://127.0.0.1:{port()}"
            client = f"http://127.0.0.1:{port()}"
            (our_id, their_id), cluster_id = member_ids([ours.url, theirs], TOKEN)
            handler = recorder()
            transport = PeerTransport(
                member_id=our_id,
                cluster_id=cluster_id,
                local_urls=[ours.url],
                loop=asyncio.get_running_loop(),
                handler=handler,
            )
            # Its log is the two members of the initial cluster, both of term 1.
            leader = handler.react = Leader(transport, their_id, last=2, last_term=1, term=2)
            transport.add_peer(their_id, [theirs])
            await ours.open(transport.http_handler)
            await transport.start()
            member = real_etcd(
                *flags(theirs, client, f"ours={ours.url},real={theirs}"),
                "--heartbeat-interval=1000",
                "--election-timeout=10000",
                "--initial-election-tick-advance=false",
            )
            try:
                await until(lambda: len(transport.peers()[their_id].streams) == 4)
                leader.campaign()
                await until(lambda: leader.elected)
                leader.append(*([put(i)] for i in range(50)), [put(i) for i in range(50, 60)], [])
                await until(lambda: leader.acknowledged == leader.last >= 63)
                assert leader.rejected == 0
                await until_counted(client, "60")
            except (AssertionError, TimeoutError) as problem:
                raise AssertionError(f"{problem}\n{member.log.read_text()}") from problem
            finally:
                await transport.stop()

    async def until_counted(client: str, expected: str) -> None:
        """Until the member shows so many keys of its own store."""
        pool = HttpClientPool(client)
        everything = {"key": "AA==", "range_end": "AA==", "serializable": True, "count_only": True}
        body = json.dumps(everything).encode()
        async with asyncio.timeout(10):
            while True:
                answer = await pool.fetch("POST", "/v3/kv/range", {}, body, retry=True, timeout=10)
                if json.loads(answer.body).get("count") == expected:
                    break
                await asyncio.sleep(0.05)
        pool.close()

    asyncio.run(go())
