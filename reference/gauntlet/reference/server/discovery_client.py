"""The discovery service over gRPC, as an etcd client asks it.

Rules (etcd's clientv3 as 3.7.1 sets it up for discovery): https means TLS, http means none; without a scheme
there is TLS when a certificate or CA is given or --discovery-insecure-transport is false. Endpoints are asked
in turn; the request time-out is for all of them together. With user and password a token is fetched first,
within the dial time-out; a service without authentication does not mind.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
from gauntlet.api import errors
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.messages import services
from gauntlet.reference.server.discovery import Found, ServiceError
from gauntlet.reference.server.discovery_tunnel import Tunnel
from gauntlet.reference.server.flags import UsageError
from gauntlet.reference.server.settings import Discovery

# Go's client pings no more often than this; etcd hangs up on one that does. Seconds.
LEAST_KEEPALIVE = 10.0
RANGE, PUT = "etcdserverpb.KV/Range", "etcdserverpb.KV/Put"
WATCH, AUTHENTICATE = "etcdserverpb.Watch/Watch", "etcdserverpb.Auth/Authenticate"


class GrpcService:
    """Implements discovery.Service."""

    def __init__(self, settings: Discovery) -> None:
        self._settings = settings
        self._channels: list[grpc.aio.Channel] = []
        self._tunnels: list[Tunnel] = []
        self._token: str | None = None

    @classmethod
    async def open(cls, settings: Discovery) -> GrpcService:
        """UsageError for files that cannot be used, ServiceError where the user is not let in."""
        service = cls(settings)
        try:
            for endpoint in settings.endpoints:
                await service._connect(endpoint)
            if settings.user and settings.password:
                await service._authenticate()
        except (ServiceError, UsageError):
            await service.close()
            raise
        return service

    async def _connect(self, endpoint: str) -> None:
        settings = self._settings
        scheme, _, rest = endpoint.rpartition("://")
        address = rest.rstrip("/")
        given = settings.cert_file or settings.ca_file or not settings.insecure or settings.skip_verify
        target = f"unix:{rest}" if scheme in ("unix", "unixs") else address
        if scheme in ("https", "unixs") or (scheme not in ("http", "unix") and given):
            tunnel = await Tunnel.open(settings, rest if scheme == "unixs" else address, scheme == "unixs")
            self._tunnels.append(tunnel)
            target = tunnel.target
        authority = "localhost" if scheme in ("unix", "unixs") else address
        self._channels.append(grpc.aio.insecure_channel(target, _options(settings, authority)))

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()
        for tunnel in self._tunnels:
            await tunnel.close()

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
            raise ServiceError(self._words(error)) from None
        finally:
            call.cancel()

    async def _authenticate(self) -> None:
        settings = self._settings
        request = pb.AuthenticateRequest(name=settings.user, password=settings.password)
        try:
            self._token = (await self._each(AUTHENTICATE, request, settings.dial_timeout)).token
        except grpc.aio.AioRpcError as error:
            if error.details() != errors.AUTH_NOT_ENABLED.message:
                raise ServiceError(self._words(error)) from None

    async def _ask(self, method: str, request: Any, timeout: float) -> Any:
        try:
            return await self._each(method, request, timeout)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNAUTHENTICATED and self._token is not None:
                await self._authenticate()
            raise ServiceError(self._words(error)) from None

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

    def _words(self, error: grpc.aio.AioRpcError) -> str:
        reasons = [tunnel.failure for tunnel in self._tunnels if tunnel.failure]
        return f"{error.code().name}: {'; '.join(reasons) or error.details()}"

    def _metadata(self) -> list[tuple[str, str]]:
        return [] if self._token is None else [("token", self._token)]


def _options(settings: Discovery, authority: str) -> list[tuple[str, Any]]:
    return [
        ("grpc.keepalive_time_ms", int(1000 * max(LEAST_KEEPALIVE, settings.keepalive_time))),
        ("grpc.keepalive_timeout_ms", int(1000 * settings.keepalive_timeout)),
        ("grpc.max_reconnect_backoff_ms", 1000),
        ("grpc.default_authority", authority),
    ]


def _found(kv: Any) -> Found:
    key, value = (part.decode("utf-8", "replace").strip() for part in (kv.key, kv.value))
    return Found(key, value, kv.create_revision)


def _end(prefix: str) -> bytes:
    """The end of the range of all keys with the prefix, which ends in a letter."""
    raw = prefix.encode()
    return raw[:-1] + bytes([raw[-1] + 1])
