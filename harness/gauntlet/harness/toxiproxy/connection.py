"""One proxied connection: two sides, two directions, and a chain of stages in each.

Rules:
1. Without toxics, what one side reads is written to the other at once; nothing is queued here.
2. A side stops reading while the other cannot take more, or while a stage of its direction is full.
3. The end of a direction closes its destination, once everything before it is written; that ends the other
   direction in turn. There is no half-closed state, as in the real server.
4. `kill` drops the connection at once, whatever is on its way.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

from gauntlet.harness.toxiproxy.stages import STAGES, Next, Stage
from gauntlet.harness.toxiproxy.toxics import DOWNSTREAM, UPSTREAM

_NO_LINGER = struct.pack("ii", 1, 0)
_HIGH_WATER = 256 * 1024


@dataclass(slots=True)
class ActiveToxic:
    """A toxic as it stands on a proxy; stages of live connections follow it."""

    name: str
    type: str
    stream: str  # as the client wrote it; `direction` is what it means
    direction: str
    toxicity: float
    attributes: dict[str, int]


class Direction(Next):
    """From one side to the other; the last stage's output arrives here."""

    def __init__(self, connection: Connection, loop: asyncio.AbstractEventLoop, random: Random) -> None:
        self.source: asyncio.Transport | None = None
        self.destination: asyncio.Transport | None = None
        self.received = 0
        self.sent = 0
        self.plain = True  # no stage in between: the fast way
        self._connection = connection
        self._loop = loop
        self._random = random
        self._chain: list[tuple[ActiveToxic, Stage]] = []
        self._head: Next = self
        self._write_paused = False
        self._read_paused = False
        self._ended = False

    # From the source.

    def feed(self, data: bytes) -> None:
        self.received += len(data)
        if self.plain:
            self.push(data, 0.0)
        else:
            self._head.push(data, self._loop.time())
            self._regulate()

    def feed_end(self) -> None:
        if not self._ended:
            self._ended = True
            self._head.end()

    def set_write_paused(self, paused: bool) -> None:
        self._write_paused = paused
        self._regulate()

    # From the last stage.

    def push(self, data: bytes, at: float) -> None:
        destination = self.destination
        if destination is not None and not destination.is_closing():
            self.sent += len(data)
            destination.write(data)

    def end(self) -> None:
        self._ended = True
        if self.destination is not None:
            self.destination.close()

    def abort(self) -> None:
        self._connection.reset()

    # Toxics.

    def add(self, toxic: ActiveToxic) -> None:
        if self._ended and not self._chain:
            return
        stage = self._stage(toxic)
        self._chain.append((toxic, stage))
        self._relink()

    def update(self, toxic: ActiveToxic) -> None:
        """New attributes, and a new throw of the dice on whether they apply here."""
        for at, (present, stage) in enumerate(self._chain):
            if present is not toxic or stage.done:
                continue
            stage.flush()
            applies = self._applies(toxic)
            if applies and type(stage) is STAGES[toxic.type]:
                stage.configure(toxic.attributes)
            elif not stage.done:
                self._chain[at] = (toxic, self._stage(toxic, applies))
                self._relink()
                stage.close()
        self._regulate()

    def remove(self, toxic: ActiveToxic) -> None:
        for at, (present, stage) in enumerate(self._chain):
            if present is not toxic:
                continue
            stage.flush()
            if stage.removed() and not stage.done:
                stage.end()
                return
            if stage.done:
                return
            del self._chain[at]
            self._relink()
            stage.close()
            break
        self._regulate()

    def close(self) -> None:
        self._ended = True
        for _, stage in self._chain:
            stage.close()
        self._chain.clear()
        self._relink()

    def _stage(self, toxic: ActiveToxic, applies: bool | None = None) -> Stage:
        if applies is None:
            applies = self._applies(toxic)
        kind = STAGES[toxic.type] if applies else Stage
        return kind(toxic.attributes, self._loop, self._random, self._regulate)

    def _applies(self, toxic: ActiveToxic) -> bool:
        return self._random.random() < toxic.toxicity

    def _relink(self) -> None:
        follower: Next = self
        for _, stage in reversed(self._chain):
            stage.next = follower
            follower = stage
        self._head = follower
        self.plain = not self._chain

    def _regulate(self) -> None:
        """Rule 2."""
        if self.source is None or self.source.is_closing():
            return
        pause = self._write_paused or any(stage.full for _, stage in self._chain)
        if pause and not self._read_paused:
            self._read_paused = True
            self.source.pause_reading()
        elif not pause and self._read_paused:
            self._read_paused = False
            self.source.resume_reading()


class Side(asyncio.Protocol):
    """One end of the connection: reads into its direction, is written to by the other's."""

    def __init__(
        self, reads: Direction, writes: Direction, made: Callable[[asyncio.Transport], None]
    ) -> None:
        self._reads = reads
        self._writes = writes
        self._made = made

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(high=_HIGH_WATER)
        raw: socket.socket = transport.get_extra_info("socket")
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._made(transport)

    def data_received(self, data: bytes) -> None:
        self._reads.feed(data)

    def eof_received(self) -> bool:
        self._reads.feed_end()
        return True  # this side closes when the other direction has ended, too

    def connection_lost(self, error: Exception | None) -> None:
        self._reads.feed_end()
        self._writes.destination = None

    def pause_writing(self) -> None:
        self._writes.set_write_paused(True)

    def resume_writing(self) -> None:
        self._writes.set_write_paused(False)


class Connection:
    """From the accepted client to the dialed upstream."""

    def __init__(
        self,
        upstream: tuple[str, int],
        toxics: Mapping[str, list[ActiveToxic]],
        random: Random,
        gone: Callable[[Connection], None],
    ) -> None:
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._upstream = upstream
        self._gone = gone
        self._left = 0  # transports that are open
        self._task: asyncio.Task[None] | None = None
        self._killed = False
        self.up = Direction(self, loop, random)
        self.down = Direction(self, loop, random)
        self.directions = {UPSTREAM: self.up, DOWNSTREAM: self.down}
        for name, direction in self.directions.items():
            for toxic in toxics[name]:
                direction.add(toxic)

    def client_side(self) -> Side:
        """The protocol for the accepted transport; once it is connected, the upstream is dialed."""
        return _LastSide(self, self.up, self.down, self._accepted)

    def kill(self) -> None:
        self._killed = True
        if self._task is not None:
            self._task.cancel()
        self.up.close()
        self.down.close()
        for transport in (self.up.source, self.down.source):
            if transport is not None:
                transport.abort()

    def reset(self) -> None:
        """Both ends get a TCP reset."""
        for transport in (self.up.source, self.down.source):
            if transport is not None and not transport.is_closing():
                raw: socket.socket = transport.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.kill()

    def opened(self) -> None:
        self._left += 1

    def closed(self) -> None:
        self._left -= 1
        if self._left == 0 and (self._task is None or self._task.done()):
            self.up.close()
            self.down.close()
            self._gone(self)

    def _accepted(self, transport: asyncio.Transport) -> None:
        self.up.source = self.down.destination = transport
        transport.pause_reading()
        self._task = self._loop.create_task(self._dial(transport))

    async def _dial(self, client: asyncio.Transport) -> None:
        host, port = self._upstream
        try:
            await self._loop.create_connection(
                lambda: _LastSide(self, self.down, self.up, self._dialed), host, port
            )
        except OSError:
            client.close()
            return
        if self._killed or client.is_closing():
            self.kill()
        else:
            client.resume_reading()

    def _dialed(self, transport: asyncio.Transport) -> None:
        self.down.source = self.up.destination = transport


class _LastSide(Side):
    """Tells the connection when it comes and goes."""

    def __init__(
        self,
        connection: Connection,
        reads: Direction,
        writes: Direction,
        made: Callable[[asyncio.Transport], None],
    ) -> None:
        super().__init__(reads, writes, made)
        self._connection = connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._connection.opened()
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self._connection.closed()
