"""Starts a Toxiproxy server for a run, or takes the one whose address was given.

auto       the real server when it is found on PATH or in the cache, else the embedded one
real       the real server; ToxiproxySpecError says how to get it when there is none
embedded   ours (embedded.py), a process of its own
URL        http://HOST:PORT of a server that runs already; it is used, never stopped
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from gauntlet.harness.tools.cache import ToolError
from gauntlet.harness.tools.find import find_toxiproxy
from gauntlet.harness.tools.ports import PortPool
from gauntlet.harness.tools.spawn import Child, spawn, tail
from gauntlet.harness.toxiproxy.adapter import Toxiproxy, ToxiproxyError, ToxiproxyUnreachable

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class ToxiproxySpecError(ToolError):
    """What was asked for with --toxiproxy cannot be had, said in one line."""


@dataclass(slots=True)
class ToxiproxyServer:
    """A server that answers; `stop` ends it when it is ours."""

    kind: str  # real, embedded, external
    host: str
    port: int
    version: str
    log: Path
    child: Child | None = None
    _ports: PortPool | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def is_local(self) -> bool:
        return self.host in _LOOPBACK

    def client(self, timeout: float = 10.0) -> Toxiproxy:
        return Toxiproxy(self.host, self.port, timeout)

    async def stop(self) -> None:
        if self.child is not None:
            await self.child.stop(grace=2.0)
        if self._ports is not None:
            self._ports.close()


def check_spec(spec: str) -> str:
    """The spec itself when it is one, so that a wrong one is refused before anything starts."""
    if spec in ("auto", "real", "embedded"):
        if spec == "real" and find_toxiproxy() is None:
            raise ToxiproxySpecError(
                "there is no toxiproxy-server on PATH or in the cache; run `gauntlet tools install toxiproxy`"
            )
        return spec
    _address(spec)
    return spec


async def start_toxiproxy(spec: str, log: Path, timeout: float = 15.0) -> ToxiproxyServer:
    """A server that answers its API; seconds."""
    check_spec(spec)
    if spec not in ("auto", "real", "embedded"):
        host, port = _address(spec)
        return ToxiproxyServer("external", host, port, await _version(host, port, timeout, None, log), log)
    program = None if spec == "embedded" else find_toxiproxy()
    ports = PortPool()
    port = ports.take()
    if program is not None:
        command = [str(program.path), "-host", "127.0.0.1", "-port", str(port)]
        kind = "real"
    else:
        command = [sys.executable, "-m", "gauntlet.harness.toxiproxy", "--listen", f"127.0.0.1:{port}"]
        kind = "embedded"
    child = spawn(command, log)
    server = ToxiproxyServer(kind, "127.0.0.1", port, "", log, child, ports)
    try:
        server.version = await _version("127.0.0.1", port, timeout, child, log)
    except BaseException:
        await server.stop()
        raise
    return server


async def _version(host: str, port: int, timeout: float, child: Child | None, log: Path) -> str:
    """Asks until it answers; the deadline covers the start of the server."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    api = Toxiproxy(host, port, timeout=2.0)
    try:
        while True:
            if child is not None and child.returncode is not None:
                last = " | ".join(tail(log, 5)) or "no output"
                raise ToxiproxyError(f"the toxiproxy server ended at once ({child.returncode}): {last}")
            try:
                return await asyncio.to_thread(api.version)
            except ToxiproxyUnreachable:
                if child is None or loop.time() > deadline:
                    raise
            await asyncio.sleep(0.02)
    finally:
        api.close()


def _address(url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ToxiproxySpecError(f"{url!r} is not a URL: {error}") from error
    if parts.scheme != "http" or not host or parts.path not in ("", "/") or parts.query:
        raise ToxiproxySpecError(f"--toxiproxy takes auto, real, embedded or http://HOST:PORT, not {url!r}")
    return host, port or 8474
