"""Requests we make of a peer beside the streams: messages while no stream is up, snapshots, probes.

Rules (etcd's rafthttp, 3.7.1):

- `POST /raft` carries one message. 204 means processed; 403 means that this member has been removed.
- At most `MAX_QUEUED` messages wait; when one more comes it is dropped and the peer reported unreachable.
- A snapshot goes on a connection of its own, and raft hears how it ended.
- `GET /raft/probing` every `PROBE_SECONDS` tells the round trip time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from gauntlet.api.wire.http1_client import (
    HttpClientConnection,
    HttpClientError,
    HttpClientPool,
    HttpResponse,
    Origin,
)
from gauntlet.reference.formats.raftpb import encode_message
from gauntlet.reference.raft.types import Message, MessageType
from gauntlet.reference.server.peers.codec import snapshot_head
from gauntlet.reference.server.peers.identity import Identity
from gauntlet.reference.server.peers.links import Links
from gauntlet.reference.server.peers.reader import DIAL_TIMEOUT
from gauntlet.reference.server.peers.status import PeerStatus, UrlPicker

MAX_QUEUED = 64
WORKERS = 2
# A follower answers when the database is on its disk.
SNAPSHOT_ANSWER_TIMEOUT = 60.0
SNAPSHOT_PIECE = 256 << 10
PROBE_SECONDS = 4.0

SnapshotBody = bytes | Iterable[bytes] | AsyncIterable[bytes]


@dataclass(frozen=True, slots=True)
class Reports:
    """What raft is told. None of these is called from inside `PeerTransport.send`."""

    unreachable: Callable[[], None]
    snapshot: Callable[[bool], None]
    removed: Callable[[], None]


class Requests:
    """Everything we POST to one peer. A task lives only while there is something to send."""

    def __init__(
        self,
        identity: Identity,
        picker: UrlPicker,
        status: PeerStatus,
        reports: Reports,
        links: Links,
    ) -> None:
        self._identity = identity
        self._picker = picker
        self._status = status
        self._reports = reports
        self._links = links
        self._pools: dict[str, HttpClientPool] = {}
        self._queue: deque[Message] = deque()
        self._workers = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = False

    def send(self, message: Message) -> bool:
        """Queue a message for POST /raft; False when it was dropped."""
        if self._stopped or len(self._queue) >= MAX_QUEUED:
            self._status.sent_failures += 1
            return False
        self._queue.append(message)
        if self._workers < WORKERS:
            self._workers += 1
            self._spawn(self._drain())
        return True

    def send_snapshot(self, message: Message, body: SnapshotBody) -> None:
        if self._stopped:
            self._reports.snapshot(False)
        else:
            self._spawn(self._post_snapshot(message, body))

    def start_probing(self) -> None:
        self._spawn(self._probe())

    async def stop(self) -> None:
        self._stopped = True
        self._queue.clear()
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _drain(self) -> None:
        try:
            while self._queue:
                await self._post(self._queue.popleft())
        finally:
            self._workers -= 1

    async def _post(self, message: Message) -> None:
        url = self._picker.pick()
        body = encode_message(message)
        is_snapshot = message.type is MessageType.SNAP
        headers = self._identity.headers()
        headers["Content-Type"] = "application/protobuf"
        try:
            answer = await self._pool(url).fetch(
                "POST", "/raft", headers, body, timeout=self._links.read_timeout, retry=True
            )
            self._judge(answer)
        except (HttpClientError, _Refused) as error:
            self._failed(url, f"message to it: {error}")
            if is_snapshot:
                self._reports.snapshot(False)
            return
        self._status.sent_bytes += len(body)
        self._status.activate()
        if is_snapshot:
            self._reports.snapshot(True)

    async def _post_snapshot(self, message: Message, body: SnapshotBody) -> None:
        url = self._picker.pick()
        headers = self._identity.headers()
        headers["Content-Type"] = "application/octet-stream"
        counted = _Counted(snapshot_head(message), body)
        tally = self._status.snapshots
        began = perf_counter()
        tally.running += 1
        ok = False
        try:
            origin = Origin.parse(url)
            links = self._links
            connection = await HttpClientConnection.open(
                origin, tls=links.tls, timeout=DIAL_TIMEOUT, local_host=links.local_host
            )
            try:
                answer = await connection.upload(
                    "POST",
                    origin.base + "/raft/snapshot",
                    headers,
                    counted.pieces(),
                    stall_timeout=links.write_timeout,
                    answer_timeout=SNAPSHOT_ANSWER_TIMEOUT,
                )
            finally:
                connection.abort()
            self._judge(answer)
            ok = True
        except (HttpClientError, _Refused, OSError) as error:
            self._failed(url, f"snapshot to it: {error}")
        finally:
            # Also when cancelled: raft stops sending to a peer until it hears how its snapshot went.
            self._reports.snapshot(ok)
            tally.running -= 1
            tally.failed += not ok
        if ok:
            tally.done += 1
            tally.times.observe(perf_counter() - began)
            self._status.sent_bytes += counted.sent
            self._status.activate()

    async def _probe(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(PROBE_SECONDS)
            url = self._picker.pick()
            started = loop.time()
            try:
                answer = await self._pool(url).fetch(
                    "GET",
                    "/raft/probing",
                    self._identity.headers(),
                    timeout=self._links.read_timeout,
                    retry=True,
                )
            except HttpClientError:
                continue
            if answer.status == 200:
                self._status.probed(loop.time() - started)

    def _judge(self, answer: HttpResponse) -> None:
        if answer.status == 204:
            return
        if answer.status == 403:
            self._reports.removed()
            raise _Refused("it says that this member has been removed")
        raise _Refused(f"status {answer.status}, {answer.body.decode('utf-8', 'replace').strip()}")

    def _failed(self, url: str, reason: str) -> None:
        self._picker.failed(url)
        self._status.sent_failures += 1
        self._status.deactivate(reason)
        self._reports.unreachable()

    def _pool(self, url: str) -> HttpClientPool:
        pool = self._pools.get(url)
        if pool is None:
            for old in set(self._pools) - set(self._picker.urls):
                self._pools.pop(old).close()
            links = self._links
            pool = HttpClientPool(
                url,
                tls=links.tls,
                size=WORKERS,
                dial_timeout=DIAL_TIMEOUT,
                local_host=links.local_host,
            )
            self._pools[url] = pool
        return pool


class _Refused(Exception):
    pass


class _Counted:
    """A snapshot's request body, cut into pieces that one write can carry."""

    def __init__(self, head: bytes, body: SnapshotBody) -> None:
        self._head = head
        self._body = body
        self.sent = 0

    def pieces(self) -> Iterable[bytes] | AsyncIterable[bytes]:
        return self._later(self._body) if isinstance(self._body, AsyncIterable) else self._now(self._body)

    def _now(self, body: bytes | Iterable[bytes]) -> Iterator[bytes]:
        yield self._count(self._head)
        for part in (body,) if isinstance(body, bytes) else body:
            for start in range(0, len(part), SNAPSHOT_PIECE):
                yield self._count(part[start : start + SNAPSHOT_PIECE])

    async def _later(self, body: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        yield self._count(self._head)
        async for part in body:
            yield self._count(part)

    def _count(self, piece: bytes) -> bytes:
        self.sent += len(piece)
        return piece
