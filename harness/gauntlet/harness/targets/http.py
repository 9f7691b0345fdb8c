"""The little HTTP a harness needs: one GET on a fresh connection, with a deadline."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes


async def get(host: str, port: int, path: str, timeout: float, close: bool = True) -> Answer:
    """OSError when nobody answers properly (ConnectionError and TimeoutError are among them); seconds.

    With close=False the server is not asked to hang up, so that silence is not taken for an end.
    """
    async with asyncio.timeout(timeout):
        reader, writer = await asyncio.open_connection(host, port)
        try:
            ending = "Connection: close\r\n\r\n" if close else "\r\n"
            writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n{ending}".encode("ascii"))
            await writer.drain()
            return await _read(reader)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
            raise ConnectionError(f"no whole answer from {host}:{port}: {error}") from error
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def _read(reader: asyncio.StreamReader) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    status = int(head[0].split()[1])
    headers = {}
    for line in head[1:]:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return Answer(status, await _read_chunks(reader))
    if "content-length" in headers:
        return Answer(status, await reader.readexactly(int(headers["content-length"])))
    return Answer(status, await reader.read())


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while size := int((await reader.readline()).split(b";")[0], 16):
        body += await reader.readexactly(size)
        await reader.readline()
    return bytes(body)
