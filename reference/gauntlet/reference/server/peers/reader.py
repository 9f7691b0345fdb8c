"""The receiving end of a peer stream: we dial, and read the answer for as long as it lasts.

Rules (etcd's rafthttp, 3.7.1):

- At most one dial every `DIAL_PAUSE` seconds; a dial that fails moves on to the peer's next URL.
- A stream that brings nothing for the read time-out, heartbeats included, is broken.
- 410 means that this member has been removed from the cluster; every other refusal is tried again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from gauntlet.api.wire.http1_client import HttpClientConnection, HttpClientError, Origin
from gauntlet.reference.formats.varint import DecodeError
from gauntlet.reference.raft.types import Message
from gauntlet.reference.server.peers.codec import AppendDecoder, CodecError, MessageDecoder
from gauntlet.reference.server.peers.identity import Identity, format_id, speaks_streams
from gauntlet.reference.server.peers.links import Links
from gauntlet.reference.server.peers.status import PeerStatus, UrlPicker

log = logging.getLogger(__name__)

DIAL_PAUSE = 0.1
DIAL_TIMEOUT = 2.0
REFUSAL_LIMIT = 64 << 10


class StreamReader:
    """`deliver` gets the messages of one read; `removed` is called when the peer says that we are removed."""

    def __init__(
        self,
        kind: str,
        member_id: int,
        identity: Identity,
        picker: UrlPicker,
        status: PeerStatus,
        deliver: Callable[[list[Message]], None],
        removed: Callable[[], None],
        links: Links,
    ) -> None:
        self.kind = kind
        self._member_id = member_id
        self._identity = identity
        self._picker = picker
        self._status = status
        self._deliver = deliver
        self._removed = removed
        self._links = links
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(
            self._run(), name=f"{self.kind} stream from {format_id(self._member_id)}"
        )

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            url = self._picker.pick()
            try:
                await self._read_once(url)
            except _StreamEnded as ended:
                # Dialing again needs no pause of its own, and the peer may only have taken a newer stream.
                log.debug("%s stream from %s ended: %s", self.kind, format_id(self._member_id), ended)
            except (HttpClientError, _Refused) as error:
                self._picker.failed(url)
                self._status.deactivate(f"{self.kind} stream from it, {url}: {error}")
            await asyncio.sleep(max(0.0, started + DIAL_PAUSE - loop.time()))

    async def _read_once(self, url: str) -> None:
        links = self._links
        connection = await HttpClientConnection.open(
            Origin.parse(url), tls=links.tls, timeout=DIAL_TIMEOUT, local_host=links.local_host
        )
        try:
            await self._read(connection)
        finally:
            self._status.streams.discard(f"{self.kind} in")
            connection.abort()

    async def _read(self, connection: HttpClientConnection) -> None:
        sink = _Sink(self, connection)
        headers = self._identity.headers()
        headers["X-Raft-To"] = format_id(self._member_id)
        path = f"{connection.origin.base}/raft/stream/{self.kind}/{format_id(self._identity.member_id)}"
        connection.begin("GET", path, headers, None, sink)
        loop = asyncio.get_running_loop()
        timeout = self._links.read_timeout
        while not sink.done.done():
            left = connection.last_heard + timeout - loop.time()
            if left <= 0:
                raise HttpClientError(f"nothing was heard for {timeout:g} s")
            await asyncio.wait({sink.done}, timeout=left)
        raise sink.done.result()

    # What the sink calls.

    def opened(self) -> None:
        self._status.streams.add(f"{self.kind} in")
        self._status.activate()
        log.info("%s stream from %s is up", self.kind, format_id(self._member_id))

    def decoder(self) -> MessageDecoder | AppendDecoder:
        if self.kind == "msgapp":
            return AppendDecoder(self._identity.member_id, self._member_id)
        return MessageDecoder()

    def received(self, size: int, messages: list[Message]) -> None:
        self._status.received(size)
        if messages:
            self._deliver(messages)

    def refused(self, status: int, headers: dict[str, str], body: bytes) -> _Refused:
        reason = body.decode("utf-8", "replace").strip()
        if status == 410:
            self._removed()
            return _Refused("it says that this member has been removed")
        if status == 404:
            return _Refused(f"it does not know this member ({reason})")
        if not speaks_streams(headers):
            return _Refused("it does not speak this stream")
        return _Refused(f"status {status}, {reason}")


class _Refused(Exception):
    pass


class _StreamEnded(Exception):
    pass


class _Sink:
    """The answer of one dial, as it arrives."""

    def __init__(self, reader: StreamReader, connection: HttpClientConnection) -> None:
        # The reason why the stream is over, as a result: nobody may be left to hear an exception.
        self.done: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        self._reader = reader
        self._connection = connection
        self._decoder: MessageDecoder | AppendDecoder | None = None
        self._status = 0
        self._headers: dict[str, str] = {}
        self._body = b""

    def on_head(self, status: int, headers: dict[str, str]) -> None:
        self._status, self._headers = status, headers
        if status == 200 and speaks_streams(headers):
            self._decoder = self._reader.decoder()
            self._reader.opened()

    def on_data(self, data: bytes) -> None:
        if self.done.done():
            return
        if self._decoder is None:
            self._body = (self._body + data)[:REFUSAL_LIMIT]
            return
        try:
            messages = self._decoder.feed(data)
        except (CodecError, DecodeError) as error:
            self._fail(HttpClientError(f"a broken stream: {error}"))
            self._connection.abort()
        else:
            self._reader.received(len(data), messages)

    def on_end(self) -> None:
        if self._decoder is None:
            self._fail(self._reader.refused(self._status, self._headers, self._body))
        else:
            self._fail(_StreamEnded("the peer ended it"))

    def on_error(self, error: HttpClientError) -> None:
        self._fail(error if self._decoder is None else _StreamEnded(str(error)))

    def _fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_result(error)
