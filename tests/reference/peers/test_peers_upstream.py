"""The transport as one member of a cluster whose other member is a real etcd."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from gauntlet.api.wire.http1_client import HttpClientPool
from gauntlet.reference.raft.types import Message, MessageType
from gauntlet.reference.server.peers import PeerTransport

pytestmark = pytest.mark.upstream
TOKEN = "peers-test"


class Follower:
    """The least a voter must do: grant votes, and acknowledge whatever a leader appends."""

    def __init__(self, transport: PeerTransport) -> None:
        self._transport = transport
        self.last = 0
        self.commit = 0

    def __call__(self, message: Message) -> None:
        answer = Message(to=message.sender, sender=message.to, term=message.term)
        match message.type:
            case MessageType.PRE_VOTE:
                answer.type = MessageType.PRE_VOTE_RESP
            case MessageType.VOTE:
                answer.type = MessageType.VOTE_RESP
            case MessageType.APP:
                answer.type = MessageType.APP_RESP
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
                "--name=real",
                f"--initial-cluster=ours={ours.url},real={theirs}",
                f"--initial-cluster-token={TOKEN}",
                f"--listen-peer-urls={theirs}",
                f"--initial-advertise-peer-urls={theirs}",
                f"--listen-client-urls={client}",
                f"--advertise-client-urls={client}",
                "--heartbeat-interval=50",
                "--election-timeout=500",
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
        # "Zm9v" and "YmFy" are foo and bar.
        body = json.dumps({"key": "Zm9v", "value": "YmFyYmFyYmFy"}).encode()
        for _ in range(20):
            answer = await pool.fetch("POST", "/v3/kv/put", {"Content-Type": "application/json"}, body)
            assert answer.status == 200, answer
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
                "--name=real",
                f"--initial-cluster=real={theirs}",
                f"--initial-cluster-token={TOKEN}",
                f"--listen-peer-urls={theirs}",
                f"--initial-advertise-peer-urls={theirs}",
                f"--listen-client-urls={client}",
                f"--advertise-client-urls={client}",
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
