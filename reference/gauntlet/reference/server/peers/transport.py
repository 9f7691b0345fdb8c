"""The peer transport: all connections to and from the other members, behind one object.

Rules (etcd's rafthttp, 3.7.1):

- A MsgApp goes on the msgapp stream, everything else on the message stream; a stream that is not up is stood
  in for by the message stream, and that by POST requests. A MsgSnap is always a POST.
- All messages of one `send` for one peer leave as one write per stream.
- Sending never blocks and promises nothing. Raft hears of what is dropped, but never from inside `send`.
- A sender that is not in the cluster as we know it becomes a `remote`: it can be answered by POST, so that a
  new member catches up before it is known everywhere.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, Protocol

from gauntlet.api.wire.http1_client import Origin
from gauntlet.api.wire.http_types import HttpHandler, HttpResponder
from gauntlet.reference.raft.types import Message, MessageType
from gauntlet.reference.server.metrics.tally import SnapshotTally
from gauntlet.reference.server.peers.endpoints import ClusterView, Endpoints, MemberInfo, SnapshotSink
from gauntlet.reference.server.peers.identity import Identity, format_id
from gauntlet.reference.server.peers.links import Links
from gauntlet.reference.server.peers.pipeline import Reports, Requests, SnapshotBody
from gauntlet.reference.server.peers.reader import StreamReader
from gauntlet.reference.server.peers.routes import Routes
from gauntlet.reference.server.peers.status import PeerStatus, UrlPicker
from gauntlet.reference.server.peers.writer import StreamWriter

log = logging.getLogger(__name__)

MAX_REMOTES = 64


class RaftHandler(Protocol):
    """The node, as the transport sees it. Everything is called from the event loop, nothing may block."""

    def on_message(self, message: Message) -> None: ...

    def on_snapshot(self, message: Message, data: bytes) -> None:
        """A whole snapshot has arrived: its message, and the database that came with it."""

    def report_unreachable(self, member_id: int) -> None: ...

    def report_snapshot(self, member_id: int, ok: bool) -> None: ...

    def is_removed(self, member_id: int) -> bool: ...


class Peer:
    """One other member: two streams each way, and requests."""

    def __init__(self, transport: PeerTransport, member_id: int, urls: Sequence[str]) -> None:
        self.member_id = member_id
        self.picker = UrlPicker(urls)
        self.status = PeerStatus(member_id, transport.clock)
        self._transport = transport
        unreachable = transport.reporter(member_id)
        reports = Reports(
            unreachable,
            lambda ok: transport.report_snapshot(member_id, ok),
            transport.removed,
        )
        identity, links = transport.identity, transport.links
        self.requests = Requests(identity, self.picker, self.status, reports, links)
        self.writers = {
            kind: StreamWriter(kind, self.status, transport.clock, unreachable, links.write_timeout)
            for kind in ("message", "msgapp")
        }
        self._readers = [
            StreamReader(
                kind,
                member_id,
                identity,
                self.picker,
                self.status,
                transport.deliver_all,
                transport.removed,
                links,
            )
            for kind in ("message", "msgapp")
        ]
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        for reader in self._readers:
            reader.start()
        self.requests.start_probing()
        self._beat()

    async def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for writer in self.writers.values():
            writer.close()
        await asyncio.gather(self.requests.stop(), *(reader.stop() for reader in self._readers))

    def send(self, messages: Sequence[Message]) -> None:
        appends = self.writers["msgapp"]
        others = self.writers["message"]
        to_appends: list[Message] = []
        to_others: list[Message] = []
        for message in messages:
            if message.type is MessageType.SNAP:
                self._post(message)
            elif message.type is MessageType.APP and appends.working:
                to_appends.append(message)
            elif others.working:
                to_others.append(message)
            else:
                self._post(message)
        if to_appends:
            appends.send(to_appends)
        if to_others:
            others.send(to_others)

    def _post(self, message: Message) -> None:
        if not self.requests.send(message):
            self._transport.reporter(self.member_id)()
            if message.type is MessageType.SNAP:
                self._transport.report_snapshot(self.member_id, False)

    def _beat(self) -> None:
        self._timer = self._transport.loop.call_later(self._transport.links.heartbeat, self._beat)
        for writer in self.writers.values():
            writer.tick()


class PeerTransport:
    """`clock` gives the times of `connected_since` and of the peers' status; by default the event loop's.

    `links` says how others are dialed; the listener is not ours. `view` answers /members and /version;
    without one the transport shows the peers it was told of. `on_removed` is called, perhaps often, when a
    peer says that this member has been removed from the cluster. `snapshot_sink` takes snapshots as they
    arrive, for databases that are better not held in memory; without it they are collected for
    `handler.on_snapshot`.
    """

    def __init__(
        self,
        *,
        member_id: int,
        cluster_id: int,
        local_urls: Sequence[str],
        loop: asyncio.AbstractEventLoop,
        handler: RaftHandler,
        links: Links | None = None,
        version: str = "3.7.1",
        min_version: str = "3.0.0",
        view: ClusterView | None = None,
        clock: Callable[[], float] | None = None,
        on_removed: Callable[[], None] | None = None,
        snapshot_sink: Callable[[Message], SnapshotSink] | None = None,
    ) -> None:
        self.identity = Identity(member_id, cluster_id, tuple(local_urls), version, min_version)
        self.loop = loop
        self.handler = handler
        self.links = links or Links()
        self.clock = clock or loop.time
        self._on_removed = on_removed
        self._snapshot_sink = snapshot_sink
        self.routes = Routes()
        self._endpoints = Endpoints(self.identity, self, view or _OwnView(self))
        self._endpoints.register(self.routes)
        self._peers: dict[int, Peer] = {}
        self._remotes: dict[int, Requests] = {}
        self._unreachable: set[int] = set()
        self._running = False
        self._stopping: set[asyncio.Task[None]] = set()

    # The node's side.

    @property
    def http_handler(self) -> HttpHandler:
        """For the listener. More paths are added with `routes.add(method, path, handler)`."""
        return self.routes

    @property
    def received_snapshots(self) -> Mapping[str, SnapshotTally]:
        """Since the start, by sender."""
        return self._endpoints.received_snapshots

    async def start(self) -> None:
        self._running = True
        for peer in self._peers.values():
            peer.start()

    async def stop(self) -> None:
        self._running = False
        peers, self._peers = self._peers, {}
        remotes, self._remotes = self._remotes, {}
        await asyncio.gather(
            *(peer.stop() for peer in peers.values()), *(remote.stop() for remote in remotes.values())
        )
        if self._stopping:
            await asyncio.wait(set(self._stopping))

    def send(self, messages: Iterable[Message]) -> None:
        by_peer: dict[int, list[Message]] = {}
        for message in messages:
            if message.to:
                by_peer.setdefault(message.to, []).append(message)
        for member_id, batch in by_peer.items():
            peer = self._peers.get(member_id)
            if peer is not None:
                peer.send(batch)
            elif (remote := self._remotes.get(member_id)) is not None:
                for message in batch:
                    remote.send(message)
            else:
                log.debug("%d messages for %s, which is no peer", len(batch), format_id(member_id))

    def send_snapshot(self, message: Message, database: SnapshotBody) -> None:
        """POST a MsgSnap with the database behind it; `report_snapshot` tells how it ended."""
        peer = self._peers.get(message.to)
        if peer is None:
            self.report_snapshot(message.to, False)
        else:
            peer.requests.send_snapshot(message, database)

    def add_peer(self, member_id: int, urls: Sequence[str]) -> None:
        """Nothing happens when it is a peer already, or this member itself. ValueError for a bad URL."""
        if member_id in self._peers or member_id == self.identity.member_id:
            return
        _check(urls)
        peer = self._peers[member_id] = Peer(self, member_id, urls)
        remote = self._remotes.pop(member_id, None)
        if remote is not None:
            self._retire(remote.stop())
        if self._running:
            peer.start()

    def update_peer(self, member_id: int, urls: Sequence[str]) -> None:
        peer = self._peers.get(member_id)
        if peer is not None:
            _check(urls)
            peer.picker.update(urls)

    def remove_peer(self, member_id: int) -> None:
        peer = self._peers.pop(member_id, None)
        if peer is not None:
            self._retire(peer.stop())

    def replace(self, peers: Mapping[int, Sequence[str]]) -> None:
        """Make these the peers: after a snapshot, the membership is what it says."""
        for member_id in [known for known in self._peers if known not in peers]:
            self.remove_peer(member_id)
        for member_id, urls in peers.items():
            peer = self._peers.get(member_id)
            if peer is None:
                self.add_peer(member_id, urls)
            elif peer.picker.urls != list(urls):
                self.update_peer(member_id, urls)

    def peers(self) -> dict[int, PeerStatus]:
        return {member_id: peer.status for member_id, peer in self._peers.items()}

    def peer_urls(self, member_id: int) -> list[str]:
        return self._peers[member_id].picker.urls

    def connected_since(self, member_id: int) -> float:
        """When the connection became active; infinity while it is not."""
        peer = self._peers.get(member_id)
        return math.inf if peer is None else peer.status.active_since

    def longest_connected(self, candidates: Iterable[int]) -> int | None:
        """The candidate whose connection is the oldest; None when none of them is connected."""
        best = min(sorted(candidates), key=self.connected_since, default=None)
        return None if best is None or math.isinf(self.connected_since(best)) else best

    # What endpoints and peers call.

    def is_removed(self, member_id: int) -> bool:
        return self.handler.is_removed(member_id)

    def has_peer(self, member_id: int) -> bool:
        return member_id in self._peers

    def attach(self, kind: str, member_id: int, responder: HttpResponder) -> None:
        self._peers[member_id].writers[kind].attach(responder)

    def deliver(self, message: Message, size: int) -> None:
        peer = self._peers.get(message.sender)
        if peer is not None:
            peer.status.received(size)
        self.handler.on_message(message)

    def deliver_all(self, messages: list[Message]) -> None:
        for message in messages:
            objection = self._endpoints.objection(message)
            if objection is None:
                self.handler.on_message(message)
            else:
                log.warning("from %s: %s", format_id(message.sender), objection)

    def begin_snapshot(self, message: Message) -> SnapshotSink:
        if self._snapshot_sink is not None:
            return self._snapshot_sink(message)
        return _Collected(message, self.handler)

    def learn_remote(self, member_id: int, urls: Sequence[str]) -> None:
        known = member_id in self._peers or member_id in self._remotes
        if known or not self._running or member_id == self.identity.member_id:
            return
        if len(self._remotes) >= MAX_REMOTES:
            return
        try:
            _check(urls)
        except ValueError as problem:
            log.warning("the URLs of %s are of no use: %s", format_id(member_id), problem)
            return
        reports = Reports(
            self.reporter(member_id),
            lambda ok: self.report_snapshot(member_id, ok),
            self.removed,
        )
        status = PeerStatus(member_id, self.clock)
        self._remotes[member_id] = Requests(self.identity, UrlPicker(urls), status, reports, self.links)

    def reporter(self, member_id: int) -> Callable[[], None]:
        def report() -> None:
            if not self._unreachable:
                self.loop.call_soon(self._report)
            self._unreachable.add(member_id)

        return report

    def removed(self) -> None:
        log.warning("a peer says that this member has been removed from the cluster")
        if self._on_removed is not None:
            self.loop.call_soon(self._on_removed)

    def report_snapshot(self, member_id: int, ok: bool) -> None:
        self.loop.call_soon(self.handler.report_snapshot, member_id, ok)

    # Inside.

    def _report(self) -> None:
        lost = sorted(self._unreachable)
        self._unreachable.clear()
        for member_id in lost:
            self.handler.report_unreachable(member_id)

    def _retire(self, stopping: Coroutine[Any, Any, None]) -> None:
        task = self.loop.create_task(stopping)
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)


class _Collected:
    """Holds the database of a snapshot in memory until it is whole."""

    def __init__(self, message: Message, handler: RaftHandler) -> None:
        self._message = message
        self._handler = handler
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> None:
        self._pieces.append(data)

    def finish(self, answer: Callable[[str | None], None]) -> None:
        self._handler.on_snapshot(self._message, b"".join(self._pieces))
        answer(None)

    def abort(self) -> None:
        self._pieces.clear()


class _OwnView:
    """The cluster as the transport alone knows it: itself and its peers."""

    def __init__(self, transport: PeerTransport) -> None:
        self._transport = transport

    def members(self) -> list[MemberInfo]:
        identity = self._transport.identity
        urls = {peer: self._transport.peer_urls(peer) for peer in self._transport.peers()}
        urls[identity.member_id] = list(identity.peer_urls)
        return [MemberInfo(member_id, urls[member_id]) for member_id in sorted(urls)]

    def cluster_version(self) -> str | None:
        return None

    def storage_version(self) -> str | None:
        return None


def _check(urls: Sequence[str]) -> None:
    if not urls:
        raise ValueError("a peer without URLs")
    for url in urls:
        Origin.parse(url)
