"""A proxy of the embedded server: a listener, its live connections, and the toxics on both streams."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from random import Random
from typing import Any

from gauntlet.harness.toxiproxy.connection import ActiveToxic, Connection
from gauntlet.harness.toxiproxy.toxics import DOWNSTREAM, STREAMS, UPSTREAM

_BACKLOG = 1024
_WORDS = {  # as Go says them
    errno.EADDRINUSE: "address already in use",
    errno.EACCES: "permission denied",
    errno.EADDRNOTAVAIL: "cannot assign requested address",
}


class AddressError(Exception):
    """An address that cannot be listened on, in Go's words."""


class Proxy:
    """States: disabled -> enabled (start) -> disabled (stop). At start, listen becomes the real address."""

    def __init__(self, name: str, listen: str, upstream: str, random: Random) -> None:
        self.name = name
        self.listen = listen
        self.upstream = upstream
        self.enabled = False
        self.toxics: dict[str, list[ActiveToxic]] = {stream: [] for stream in STREAMS}
        self.connections: set[Connection] = set()
        self._past = {(stream, what): 0 for stream in STREAMS for what in ("received", "sent")}
        self._random = random
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """AddressError when the address cannot be had."""
        if self.enabled:
            return
        listener = await _listen(self.listen)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accept, sock=listener, backlog=_BACKLOG)
        host, port = listener.getsockname()[:2]
        self.listen = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self.enabled = True

    def stop(self) -> None:
        """No listener and no connection is left."""
        self.enabled = False
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in list(self.connections):
            connection.kill()

    async def change(self, listen: str, upstream: str, enabled: bool) -> None:
        """What PATCH does: new addresses restart the proxy, which drops its connections."""
        if not await self.listens_on(listen) or self.upstream != upstream:
            self.stop()
            self.listen, self.upstream = listen, upstream
        if enabled and not self.enabled:
            await self.start()
        elif not enabled:
            self.stop()

    async def listens_on(self, listen: str) -> bool:
        """Is that the address we have? AddressError when it is none."""
        return self.listen == await resolve(listen)

    def all_toxics(self) -> list[ActiveToxic]:
        return [*self.toxics[UPSTREAM], *self.toxics[DOWNSTREAM]]

    def toxic(self, name: str) -> ActiveToxic | None:
        return next((toxic for toxic in self.all_toxics() if toxic.name == name), None)

    def add_toxic(self, toxic: ActiveToxic) -> None:
        self.toxics[toxic.direction].append(toxic)
        for connection in list(self.connections):
            connection.directions[toxic.direction].add(toxic)

    def update_toxic(self, toxic: ActiveToxic, toxicity: float, attributes: dict[str, int]) -> None:
        toxic.toxicity, toxic.attributes = toxicity, attributes
        for connection in list(self.connections):
            connection.directions[toxic.direction].update(toxic)

    def remove_toxic(self, toxic: ActiveToxic) -> None:
        self.toxics[toxic.direction].remove(toxic)
        for connection in list(self.connections):
            connection.directions[toxic.direction].remove(toxic)

    def counters(self) -> dict[tuple[str, str], int]:
        """Bytes (stream, received or sent) since the proxy was made."""
        totals = dict(self._past)
        for connection in self.connections:
            _count(totals, connection)
        return totals

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "listen": self.listen,
            "upstream": self.upstream,
            "enabled": self.enabled,
            "Logger": {},  # the real server shows this field of its struct, too
            "toxics": [toxic_json(toxic) for toxic in self.all_toxics()],
        }

    def _accept(self) -> asyncio.Protocol:
        connection = Connection(_split(self.upstream), self.toxics, self._random, self._forget)
        self.connections.add(connection)
        return connection.client_side()

    def _forget(self, connection: Connection) -> None:
        if connection in self.connections:
            self.connections.remove(connection)
            _count(self._past, connection)


def toxic_json(toxic: ActiveToxic) -> dict[str, Any]:
    return {
        "attributes": toxic.attributes,
        "name": toxic.name,
        "type": toxic.type,
        "stream": toxic.stream,
        "toxicity": int(toxic.toxicity) if toxic.toxicity == int(toxic.toxicity) else toxic.toxicity,
    }


async def resolve(address: str) -> str:
    """The address with its host as a number, as Go writes it; AddressError when it is none."""
    if not address:
        return ":0"
    host, port = await _resolve(address, "")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def _resolve(address: str, prefix: str) -> tuple[str, int]:
    host, port = _split_checked(address, prefix)
    if not host:
        return "", port
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise AddressError(f"{prefix}lookup {host}: no such host") from error
    # IPv4 first, as Go prefers it for names.
    addresses = sorted((entry[4] for entry in found), key=lambda entry: ":" in str(entry[0]))
    return str(addresses[0][0]), port


async def _listen(address: str) -> socket.socket:
    host, port = await _resolve(address, "listen tcp: ") if address else ("", 0)
    try:
        if host:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            return socket.create_server((host, port), family=family, backlog=_BACKLOG)
        if socket.has_dualstack_ipv6():
            return socket.create_server(
                ("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=_BACKLOG
            )
        return socket.create_server(("", port), backlog=_BACKLOG)
    except OSError as error:
        shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        words = _WORDS.get(error.errno or 0) or os.strerror(error.errno or 0).lower()
        raise AddressError(f"listen tcp {shown}: bind: {words}") from error


def _split_checked(address: str, prefix: str) -> tuple[str, int]:
    host, colon, port = address.rpartition(":")
    if not colon or (address.startswith("[") and address.endswith("]")):
        raise AddressError(f"{prefix}address {address}: missing port in address")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise AddressError(f"{prefix}address {address}: too many colons in address")
    if not port:
        return host.strip("[]"), 0
    if not port.isascii() or not port.isdigit():
        raise AddressError(f"{prefix}lookup tcp/{port}: unknown port")
    if int(port) > 65535:
        raise AddressError(f"{prefix}address {port}: invalid port")
    return host.strip("[]"), int(port)


def _split(address: str) -> tuple[str, int]:
    """An upstream; one that makes no sense fails at the dial, as in the real server."""
    host, _, port = address.rpartition(":")
    number = int(port) if port.isascii() and port.isdigit() and int(port) < 65536 else 0
    return host.strip("[]") or "127.0.0.1", number


def _count(totals: dict[tuple[str, str], int], connection: Connection) -> None:
    for stream, direction in connection.directions.items():
        totals[stream, "received"] += direction.received
        totals[stream, "sent"] += direction.sent
