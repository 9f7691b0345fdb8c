"""The discovery service over gRPC, as an etcd client asks it.

Rules (etcd's clientv3 as 3.7.1 sets it up for discovery): https means TLS, http means none; without a scheme
there is TLS when a certificate or CA is given or --discovery-insecure-transport is false. Endpoints are asked
in turn; the request time-out is for all of them together. With user and password a token is fetched first,
within the dial time-out; a service without authentication does not mind.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import grpc
import grpc.aio
from cryptography import x509
from gauntlet.api import errors
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.messages import services
from gauntlet.reference.server.discovery import Found, ServiceError
from gauntlet.reference.server.flags import UsageError
from gauntlet.reference.server.settings import Discovery

T = TypeVar("T")
# Go's client pings no more often than this; etcd hangs up on one that does. Seconds.
LEAST_KEEPALIVE = 10.0
RANGE, PUT = "etcdserverpb.KV/Range", "etcdserverpb.KV/Put"
WATCH, AUTHENTICATE = "etcdserverpb.Watch/Watch", "etcdserverpb.Auth/Authenticate"


class GrpcService:
    """Implements discovery.Service."""

    def __init__(self, settings: Discovery, channels: list[grpc.aio.Channel]) -> None:
        self._settings = settings
        self._channels = channels
        self._token: str | None = None

    @classmethod
    async def open(cls, settings: Discovery) -> GrpcService:
        """UsageError for files that cannot be used, ServiceError where the user is not let in."""
        service = cls(settings, [await _channel(settings, endpoint) for endpoint in settings.endpoints])
        if settings.user and settings.password:
            try:
                await service._authenticate()
            except ServiceError:
                await service.close()
                raise
        return service

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()

    async def get(self, key: str, *, prefix: bool = False) -> tuple[list[Found], int]:
        request = pb.RangeRequest(key=key.encode(), range_end=_end(key) if prefix else b"")
        response = await self._ask(RANGE, request, self._settings.request_timeout)
        return [_found(kv) for kv in response.kvs], response.header.revision

    async def put(self, key: str, value: str) -> None:
        request = pb.PutRequest(key=key.encode(), value=value.encode())
        await self._ask(PUT, request, self._settings.request_timeout)

    async def watch(self, prefix: str, revision: int) -> AsyncIterator[list[Found]]:
        create = pb.WatchCreateRequest(key=prefix.encode(), range_end=_end(prefix), start_revision=revision)
        info = services[f"/{WATCH}"]
        # The one that answered last is at the front.
        call = self._channels[0].stream_stream(
            info.path, pb.WatchRequest.SerializeToString, pb.WatchResponse.FromString
        )(metadata=self._metadata())
        try:
            await call.write(pb.WatchRequest(create_request=create))
            async for response in call:
                if response.canceled:
                    raise ServiceError(response.cancel_reason or "the watch was cancelled")
                yield [_found(event.kv) for event in response.events]
        except grpc.aio.AioRpcError as error:
            self._turn()
            raise ServiceError(_words(error)) from None
        finally:
            call.cancel()

    async def _authenticate(self) -> None:
        settings = self._settings
        request = pb.AuthenticateRequest(name=settings.user, password=settings.password)
        try:
            self._token = (await self._each(AUTHENTICATE, request, settings.dial_timeout)).token
        except grpc.aio.AioRpcError as error:
            if error.details() != errors.AUTH_NOT_ENABLED.message:
                raise ServiceError(_words(error)) from None

    async def _ask(self, method: str, request: Any, timeout: float) -> Any:
        try:
            return await self._each(method, request, timeout)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNAUTHENTICATED and self._token is not None:
                await self._authenticate()
            raise ServiceError(_words(error)) from None

    async def _each(self, method: str, request: Any, timeout: float) -> Any:
        """Asks one endpoint after the other until one is there."""
        info = services[f"/{method}"]
        for left in range(len(self._channels), 0, -1):
            call = self._channels[0].unary_unary(
                info.path, info.request.SerializeToString, info.response.FromString
            )
            try:
                return await call(request, timeout=timeout / left, metadata=self._metadata())
            except grpc.aio.AioRpcError as error:
                gone = error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
                if gone:
                    self._turn()
                if not gone or left == 1:
                    raise
        raise ServiceError("no endpoints")

    def _turn(self) -> None:
        self._channels.append(self._channels.pop(0))

    def _metadata(self) -> list[tuple[str, str]]:
        return [] if self._token is None else [("token", self._token)]


async def _channel(settings: Discovery, endpoint: str) -> grpc.aio.Channel:
    options: list[tuple[str, Any]] = [
        ("grpc.keepalive_time_ms", int(1000 * max(LEAST_KEEPALIVE, settings.keepalive_time))),
        ("grpc.keepalive_timeout_ms", int(1000 * settings.keepalive_timeout)),
        ("grpc.max_reconnect_backoff_ms", 1000),
    ]
    scheme, _, rest = endpoint.rpartition("://")
    target = f"unix:{rest}" if scheme in ("unix", "unixs") else rest.rstrip("/")
    given = settings.cert_file or settings.ca_file or not settings.insecure or settings.skip_verify
    if scheme == "http" or (scheme not in ("https", "unixs") and not given):
        return grpc.aio.insecure_channel(target, options)
    roots = _read(settings.ca_file)
    if settings.skip_verify:
        # gRPC's client cannot be told to trust anybody: it is told to trust the certificate that is shown.
        roots, name = await _shown(target)
        options.append(("grpc.ssl_target_name_override", name))
    credentials = grpc.ssl_channel_credentials(roots, _read(settings.key_file), _read(settings.cert_file))
    return grpc.aio.secure_channel(target, credentials, options)


def _read(path: str) -> bytes | None:
    if not path:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path} for discovery: {error.strerror}") from None


async def _shown(target: str) -> tuple[bytes | None, str]:
    """The certificate of a server and a name in it; nothing where no server is there yet."""
    parts = urlsplit(f"//{target}")
    address = (parts.hostname or "", parts.port or 443)
    try:
        pem = await _in_thread(lambda: ssl.get_server_certificate(address, timeout=2.0))
    except (OSError, ssl.SSLError):
        return None, address[0]
    certificate = x509.load_pem_x509_certificate(pem.encode())
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        hosts = names.get_values_for_type(x509.DNSName)
        hosts += [str(each) for each in names.get_values_for_type(x509.IPAddress)]
    except x509.ExtensionNotFound:
        hosts = []
    return pem.encode(), hosts[0] if hosts else address[0]


def _in_thread(work: Callable[[], T]) -> Awaitable[T]:
    return asyncio.get_running_loop().run_in_executor(None, work)


def _found(kv: Any) -> Found:
    key, value = (part.decode("utf-8", "replace").strip() for part in (kv.key, kv.value))
    return Found(key, value, kv.create_revision)


def _end(prefix: str) -> bytes:
    """The end of the range of all keys with the prefix, which ends in a letter."""
    raw = prefix.encode()
    return raw[:-1] + bytes([raw[-1] + 1])


def _words(error: grpc.aio.AioRpcError) -> str:
    return f"{error.code().name}: {error.details()}"
