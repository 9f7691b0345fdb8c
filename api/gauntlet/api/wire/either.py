"""TLS and plain text on one address.

Rules: a connection that begins with the byte 22 (a TLS record of the type handshake) is TLS, every other is
plain; nothing that begins so is HTTP. The byte is looked at and left in the socket, so that whoever reads the
connection finds it whole. asyncio decides for TLS before it reads, so the connections are accepted here.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from ssl import SSLContext

HANDSHAKE = b"\x16"
# Accepting fails while the process has no descriptor left; asyncio's own servers wait as long.
PAUSE = 1.0


class EitherListener:
    """Hands each connection of `listener` to a new protocol, with TLS or without. Owns the socket."""

    def __init__(
        self,
        listener: socket.socket,
        tls: SSLContext,
        protocol: Callable[[], asyncio.Protocol],
        patience: float,
    ) -> None:
        """`patience` is how many seconds a client may take for its first byte; 0 means for ever."""
        listener.setblocking(False)
        self.sockets = (listener,)
        self._tls = tls
        self._protocol = protocol
        self._patience = patience or None
        self._loop = asyncio.get_running_loop()
        self._tasks = {self._loop.create_task(self._accept(listener))}

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        self.sockets[0].close()

    async def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = await self._loop.sock_accept(listener)
            except OSError:
                await asyncio.sleep(PAUSE)
                continue
            task = self._loop.create_task(self._greet(connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _greet(self, connection: socket.socket) -> None:
        try:
            async with asyncio.timeout(self._patience):
                await self._something_to_read(connection)
            secure = connection.recv(1, socket.MSG_PEEK) == HANDSHAKE
            tls = self._tls if secure else None
            await self._loop.connect_accepted_socket(self._protocol, connection, ssl=tls)
        except OSError:  # Broken, too slow (TimeoutError is one), or its handshake failed.
            connection.close()
        except asyncio.CancelledError:
            connection.close()
            raise

    async def _something_to_read(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        ready = asyncio.Event()
        self._loop.add_reader(connection, ready.set)
        try:
            await ready.wait()
        finally:
            self._loop.remove_reader(connection)
