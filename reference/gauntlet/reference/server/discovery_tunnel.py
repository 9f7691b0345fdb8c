"""TLS for the discovery client: a socket of this process on one side, the discovery service on the other.

gRPC's client cannot be told to trust anybody, and its TLS library takes no signatures with P-521, the curve
of the certificates that members of etcd make for themselves. So gRPC speaks plainly to a socket in a private
folder, and Python's TLS carries the bytes on. What is checked is what an etcd client checks.
"""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from gauntlet.reference.server.flags import UsageError
from gauntlet.reference.server.settings import Discovery

CHUNK = 65_536
DEFAULT_PORT = 443


class Tunnel:
    """Made by `open`. gRPC's target is `target`; `failure` says why it could not connect."""

    def __init__(self, endpoint: str, unix: bool, context: ssl.SSLContext, timeout: float) -> None:
        self._endpoint = endpoint
        self._unix = unix
        self._context = context
        self._timeout = timeout
        self._folder = tempfile.TemporaryDirectory(prefix="etcd-discovery-")
        self._path = str(Path(self._folder.name, "s"))
        self._pumps: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.failure = ""

    @classmethod
    async def open(cls, settings: Discovery, endpoint: str, unix: bool) -> Tunnel:
        """`endpoint` is host:port, or the path of a socket. UsageError for files that cannot be used."""
        tunnel = cls(endpoint, unix, client_context(settings), settings.dial_timeout)
        tunnel._server = await asyncio.start_unix_server(tunnel._accept, tunnel._path)
        return tunnel

    @property
    def target(self) -> str:
        return f"unix:{self._path}"

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)
        self._folder.cleanup()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pump = asyncio.get_running_loop().create_task(self._carry(reader, writer))
        self._pumps.add(pump)
        pump.add_done_callback(self._pumps.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                far_reader, far_writer = await self._dial()
        except (OSError, TimeoutError) as error:  # ssl.SSLError is an OSError
            self.failure = str(error) or "no connection in time"
            writer.close()
            return
        self.failure = ""
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_pump(reader, far_writer))
                both.create_task(_pump(far_reader, writer))
        except* OSError:
            pass  # gRPC sees its connection end, and connects again
        finally:
            writer.close()
            far_writer.close()

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        tls = self._context
        if self._unix:
            return await asyncio.open_unix_connection(self._endpoint, ssl=tls, server_hostname="localhost")
        parts = urlsplit(f"//{self._endpoint}")
        return await asyncio.open_connection(parts.hostname or "", parts.port or DEFAULT_PORT, ssl=tls)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Everything from here to there; the end of it ends the other direction, too, as gRPC would."""
    while data := await reader.read(CHUNK):
        writer.write(data)
        await writer.drain()
    writer.close()


def client_context(settings: Discovery) -> ssl.SSLContext:
    """For dialing the service. UsageError for files that cannot be used."""
    try:
        context = ssl.create_default_context(cafile=settings.ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"cannot use {settings.ca_file} for discovery: {_reason(error)}") from None
    context.set_alpn_protocols(["h2"])
    if settings.skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if settings.cert_file:
        try:
            context.load_cert_chain(settings.cert_file, settings.key_file)
        except (OSError, ssl.SSLError) as error:
            raise UsageError(f"cannot use {settings.cert_file} for discovery: {_reason(error)}") from None
    return context


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
