"""HTTP/2 on asyncio: one protocol object per connection, between a transport and a Connection.

Per loop turn a connection makes one write, whatever was answered in the turn. While the socket does not take
what was written, nothing more is read and DATA stays in its streams. A connection that is told to go away
gets its GOAWAY, our half is shut, and what still arrives is thrown away for a moment, because closing on
unread input would reset the connection and might destroy the GOAWAY on its way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from gauntlet.api.wire.connection import Connection
from gauntlet.api.wire.frames import ErrorCode
from gauntlet.api.wire.limits import Limits

LINGER_SECONDS = 0.5
KEEPALIVE_PING = b"keepaliv"
WRITE_HIGH = 256 << 10
WRITE_LOW = 64 << 10


def peer_name(transport: asyncio.BaseTransport) -> str:
    """The remote address as host:port; empty for a Unix socket."""
    name = transport.get_extra_info("peername")
    if not isinstance(name, tuple) or len(name) < 2:
        return ""
    host, port = name[0], name[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class ServerConnection(Connection):
    """A Connection that knows where it comes from."""

    __slots__ = ("peer", "transport_info")

    peer: str
    transport_info: Callable[[str], Any]


def peer_of(connection: Connection) -> tuple[str, Callable[[str], Any]]:
    assert isinstance(connection, ServerConnection)
    return connection.peer, connection.transport_info


class Http2Protocol(asyncio.Protocol):
    """One connection. Give it the transport with `connection_made`, then everything that was read."""

    transport: asyncio.Transport

    def __init__(
        self,
        accept: Callable[[Connection, int, Any, bool], object],
        limits: Limits,
        loop: asyncio.AbstractEventLoop,
        gone: Callable[[Http2Protocol], None],
    ) -> None:
        self.connection = ServerConnection(accept, self._wake, limits, self._pong)
        self._limits = limits
        self._loop = loop
        self._gone = gone
        self._paused = False
        self._lingering = False
        self._timer: asyncio.TimerHandle | None = None
        self._pinged_at = 0.0
        self.lost = False

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.set_write_buffer_limits(WRITE_HIGH, WRITE_LOW)
        self.connection.peer = peer_name(transport)
        self.connection.transport_info = transport.get_extra_info
        self.connection.start(self._loop.time())
        if self._limits.keepalive_interval:
            self._timer = self._loop.call_later(self._limits.keepalive_interval, self._keep_alive)

    def data_received(self, data: bytes) -> None:
        connection = self.connection
        if connection.closing:
            return
        connection.scheduled = True
        connection.receive(data, self._loop.time())
        self.flush()
        if connection.unparsed and not self._paused:
            self.transport.pause_reading()
            self._loop.call_soon(self._go_on)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._disarm()
        self.connection.lose_all()
        self.connection.let_go()
        self._gone(self)

    def pause_writing(self) -> None:
        self._paused = True
        self.connection.throttle()
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self._paused = False
        if self.transport.is_closing() or self._lingering:
            return
        self._go_on()

    # What the owner of the listener calls.

    def shut_down(self) -> None:
        """Let the open streams finish, take no new ones."""
        self.connection.drain()

    def close(self) -> None:
        """Close now: what is written still goes out, what is open is cut off."""
        if not self.lost:
            self.connection.fail(ErrorCode.NO_ERROR)
            self.flush()
            self.transport.close()

    @property
    def idle(self) -> bool:
        return self.lost or self.connection.drained_out

    # Inside.

    def _wake(self) -> None:
        self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write what the connection has; then let it put out more of what waits, for the next turn."""
        connection = self.connection
        connection.scheduled = False
        if self.lost:
            return
        data = connection.take()
        if data:
            self.transport.write(data)
        if connection.closing:
            self._say_goodbye()
        elif not self._paused:
            try:
                connection.refill()
            except BaseException:
                self.transport.abort()  # a service's defect costs its connection
                raise
            if connection.drained_out and not connection.out:
                connection.closing = True
                self._say_goodbye()

    def _go_on(self) -> None:
        """Look at more of what was read, if there is any; read again once all of it was looked at.

        It does not stop for output that waits: the client's flow control, not its socket, holds that, and
        what opens it must be read.
        """
        if self._paused or self._lingering or self.transport.is_closing():
            return
        connection = self.connection
        if connection.unparsed:
            connection.scheduled = True
            connection.receive(b"", self._loop.time(), stop_saturated=False)
        self.flush()
        if self._paused or self._lingering or self.transport.is_closing():
            return
        if connection.unparsed:
            self._loop.call_soon(self._go_on)
        else:
            self.transport.resume_reading()

    def _say_goodbye(self) -> None:
        """Shut our half, swallow input for a moment, then close."""
        transport = self.transport
        if self._lingering or transport.is_closing():
            return
        self._lingering = True
        self._disarm()
        if not transport.can_write_eof() or transport.get_write_buffer_size():
            self._timer = self._loop.call_later(LINGER_SECONDS, transport.abort)
            transport.close()
            return
        try:
            transport.write_eof()
            transport.resume_reading()
        except OSError:
            transport.abort()  # The client was faster.
            return
        self._timer = self._loop.call_later(LINGER_SECONDS, transport.close)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _keep_alive(self) -> None:
        """Ping a connection that has been silent, and wait for any sign of life."""
        now = self._loop.time()
        silent = now - self.connection.now
        interval = self._limits.keepalive_interval
        if silent < interval:
            self._timer = self._loop.call_later(interval - silent, self._keep_alive)
            return
        self.connection.ping(KEEPALIVE_PING)
        self._pinged_at = now
        self._timer = self._loop.call_later(self._limits.keepalive_timeout, self._judge_silence)

    def _judge_silence(self) -> None:
        pinged_at, self._pinged_at = self._pinged_at, 0.0
        if self.connection.now < pinged_at:
            self.transport.abort()
        else:
            self._keep_alive()

    def _pong(self, payload: bytes) -> None:
        """The ping was answered: the next silence counts from here."""
        if payload == KEEPALIVE_PING and self._pinged_at and not self._lingering:
            self._disarm()
            self._pinged_at = 0.0
            self._timer = self._loop.call_later(self._limits.keepalive_interval, self._keep_alive)
