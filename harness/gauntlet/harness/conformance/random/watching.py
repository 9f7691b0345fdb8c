"""What comes on a watch stream of one side, kept by watcher."""

from __future__ import annotations

import asyncio

from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.harness.client import Stream
from gauntlet.harness.conformance.normalise import Normaliser

SENTINEL = b"~sentinel"
SENTINEL_ID = 1000
WAIT = 6.0  # seconds for one answer
_CATCH_UP = 0.4  # seconds that a watcher of history is given to become a synced one


class WatchStream:
    """What came on a stream, by watcher; grouping and order between watchers are the server's business."""

    def __init__(self, stream: Stream[pb.WatchRequest, pb.WatchResponse], names: Normaliser) -> None:
        self._stream = stream
        self._names = names
        self.seen: dict[int, list[str]] = {}
        self.sentinels = 0
        self.blind = True  # until the watcher of the sentinel is made, which auth may refuse
        self._created = 0
        self._progress = 0

    async def open(self) -> None:
        create = pb.WatchCreateRequest(key=SENTINEL, watch_id=SENTINEL_ID)
        await self.request(pb.WatchRequest(create_request=create))

    async def request(self, request: pb.WatchRequest) -> None:
        """Sends it and waits until the server has dealt with it."""
        await self._stream.send(request)
        if request.HasField("cancel_request"):
            # A cancel of an unknown id is not answered; a creation to be refused is, and comes after it.
            empty = pb.WatchCreateRequest(key=b"b", range_end=b"a")
            await self._stream.send(pb.WatchRequest(create_request=empty))
        created = self._created + 1
        while self._created < created:
            await self.read(WAIT)
        if request.create_request.start_revision > 0:
            await self._catch_up()

    async def until_sentinels(self, count: int) -> None:
        while self.sentinels < count:
            await self.read(WAIT)

    async def read(self, timeout: float) -> None:
        """One answer; TimeoutError, RpcError."""
        answer = await self._stream.receive(timeout)
        if answer is None:
            raise EOFError("the watch stream ended")
        kept = self.seen.setdefault(answer.watch_id, [])
        if answer.created:
            self._created += 1
        if answer.watch_id == SENTINEL_ID:
            self.blind = False
            self.sentinels += len(answer.events)
            return
        if answer.created or answer.canceled:
            kept.append(self._names.message(answer))
        elif not answer.events:
            self._progress += 1
        kept += [self._names.message(event) for event in answer.events]

    async def _catch_up(self) -> None:
        """Until the stream tells progress; not for ever, for a watcher of the future keeps it from that."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _CATCH_UP
        before = self._progress
        while self._progress == before and loop.time() < deadline:
            await self._stream.send(pb.WatchRequest(progress_request=pb.WatchProgressRequest()))
            try:
                await self.read(0.05)
            except TimeoutError:
                continue

    async def close(self) -> None:
        await self._stream.close()
