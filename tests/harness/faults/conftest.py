"""What fault tests share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar

import pytest

T = TypeVar("T")


class MonotonicClock:
    def __init__(self) -> None:
        self._start = time.monotonic_ns()

    def ns(self) -> int:
        return time.monotonic_ns() - self._start


class Lines:
    """Keeps what would go into a file."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def write(self, value: dict[str, Any]) -> None:
        self.lines.append(value)

    def flush(self) -> None:
        """There is nothing behind it."""


@pytest.fixture
def clock() -> MonotonicClock:
    return MonotonicClock()


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def run() -> Callable[[Coroutine[Any, Any, T]], T]:
    """Runs a coroutine with a deadline."""

    def runner(main: Coroutine[Any, Any, T]) -> T:
        async def bounded() -> T:
            async with asyncio.timeout(150):
                result = await main
            for _ in range(5):  # turns of the loop in which closed transports let go of their sockets
                await asyncio.sleep(0)
            return result

        return asyncio.run(bounded())

    return runner


@asynccontextmanager
async def healthy_servers(count: int) -> AsyncIterator[list[str]]:
    """Servers that answer every request as a healthy etcd answers /health and /version."""
    body = b'{"health":"true","etcdserver":"3.7.1"}'
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    servers = [await asyncio.start_server(handle, "127.0.0.1", 0) for _ in range(count)]
    try:
        yield [f"127.0.0.1:{server.sockets[0].getsockname()[1]}" for server in servers]
    finally:
        for server in servers:
            server.close()


@pytest.fixture
def healthy() -> Callable[[int], AbstractAsyncContextManager[list[str]]]:
    return healthy_servers
