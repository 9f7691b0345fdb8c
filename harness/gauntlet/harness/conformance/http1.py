"""HTTP/1.1 for cases: any method, any header, bodies whole or as they come. One connection a request."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

_HEAD = 64 * 1024


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    status: int
    headers: Mapping[str, str]  # names in lower case; the last of equal ones
    body: bytes = field(default=b"")

    def json(self) -> Any:
        """ValueError when the body is not JSON."""
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


class HttpCall:
    """One request that was sent; the answer's head, then its body as a whole or by lines."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, method: str) -> None:
        self._reader = reader
        self._writer = writer
        self._method = method
        self._headers: dict[str, str] = {}
        self._buffer = b""
        self._ended = False

    @classmethod
    async def send(
        cls,
        address: str,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> HttpCall:
        """address: HOST:PORT. Sends `Connection: close`; a body goes with its length."""
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host.strip("[]"), int(port), limit=_HEAD)
        lines = {"Host": address, "Connection": "close"}
        if body is not None:
            lines["Content-Length"] = str(len(body))
        lines.update(headers or {})
        head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{n}: {v}\r\n" for n, v in lines.items()) + "\r\n"
        writer.write(head.encode("latin-1") + (body or b""))
        await writer.drain()
        return cls(reader, writer, method)

    async def head(self) -> HttpAnswer:
        """Status and headers; ConnectionError when there is no answer."""
        try:
            text = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            raise ConnectionError(f"no whole answer: {error}") from error
        lines = text.split("\r\n")
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if colon:
                self._headers[name.strip().lower()] = value.strip()
        return HttpAnswer(int(lines[0].split()[1]), self._headers)

    async def chunk(self) -> bytes:
        """The next piece of the body; empty at its end."""
        if self._ended or self._method == "HEAD":
            return b""
        try:
            if self._headers.get("transfer-encoding", "").lower() == "chunked":
                size = int((await self._reader.readline()).split(b";")[0] or b"0", 16)
                data = await self._reader.readexactly(size)
                await self._reader.readline()
                self._ended = size == 0
                return data
            self._ended = True
            if "content-length" in self._headers:
                return await self._reader.readexactly(int(self._headers["content-length"]))
            return await self._reader.read()
        except asyncio.IncompleteReadError as error:
            raise ConnectionError(f"the body broke off: {error}") from error

    async def line(self) -> bytes:
        """The next line of the body without its end; empty at the end of the body."""
        while b"\n" not in self._buffer:
            data = await self.chunk()
            if not data:
                rest, self._buffer = self._buffer, b""
                return rest
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    async def rest(self) -> bytes:
        parts = [self._buffer]
        while data := await self.chunk():
            parts.append(data)
        return b"".join(parts)

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


async def request(
    address: str,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float = 10.0,
) -> HttpAnswer:
    """One request and its whole answer. OSError (TimeoutError and ConnectionError included) without one."""
    async with asyncio.timeout(timeout):
        async with await HttpCall.send(address, method, path, body, headers) as call:
            head = await call.head()
            return HttpAnswer(head.status, head.headers, await call.rest())
