"""A server on the loopback and raw connections to it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

import pytest
from gauntlet.api.wire.http1 import HttpServerProtocol
from gauntlet.api.wire.http_types import HttpHandler, HttpLimits

DEADLINE = 10.0


@dataclass
class Running:
    port: int
    protocols: list[HttpServerProtocol]
    errors: list[str] = field(default_factory=list)

    async def raw(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def say(self, *pieces: bytes) -> bytes:
        """Send the pieces one by one, then read until the server closes."""
        reader, writer = await self.raw()
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        async with asyncio.timeout(DEADLINE):
            answer = await reader.read()
        writer.close()
        return answer


ServerMaker = Callable[..., AbstractAsyncContextManager[Running]]


@pytest.fixture
def serve() -> ServerMaker:
    @asynccontextmanager
    async def start(
        handler: HttpHandler, limits: HttpLimits | None = None, tls: ssl.SSLContext | None = None
    ) -> AsyncIterator[Running]:
        loop = asyncio.get_running_loop()
        protocols: list[HttpServerProtocol] = []

        def make() -> HttpServerProtocol:
            protocols.append(HttpServerProtocol(handler, limits))
            return protocols[-1]

        server = await loop.create_server(make, "127.0.0.1", 0, ssl=tls)
        running = Running(server.sockets[0].getsockname()[1], protocols)
        loop.set_exception_handler(lambda _, context: running.errors.append(repr(context.get("exception"))))
        try:
            yield running
        finally:
            server.close()
            for protocol in protocols:
                # One whose TLS handshake failed never got a transport.
                if (transport := vars(protocol).get("transport")) is not None:
                    transport.abort()
            await server.wait_closed()
            await asyncio.sleep(0)

    return start


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while True:
            if condition():
                return
            await asyncio.sleep(0.005)


@pytest.fixture(name="until")
def until_fixture() -> Callable[[Callable[[], bool]], object]:
    return until
