"""grpc.health.v1: this server serves, as a whole; it knows no service by name."""

from __future__ import annotations

from gauntlet.api.errors import Code, RpcError
from gauntlet.api.messages import grpc_health_v1 as health
from gauntlet.api.wire.types import Context, Reply, ServerStream

UNKNOWN_SERVICE = RpcError(Code.NOT_FOUND, "unknown service", definite=True)
_SERVING = health.HealthCheckResponse.SERVING
_UNKNOWN = health.HealthCheckResponse.SERVICE_UNKNOWN


class HealthService:
    def check(self, context: Context, request: health.HealthCheckRequest, reply: Reply) -> None:
        if request.service:
            reply(UNKNOWN_SERVICE)
        else:
            reply(health.HealthCheckResponse(status=_SERVING))

    def list(self, context: Context, request: health.HealthListRequest, reply: Reply) -> None:
        reply(health.HealthListResponse(statuses={"": health.HealthCheckResponse(status=_SERVING)}))

    def watch(self, stream: ServerStream) -> HealthWatch:
        return HealthWatch(stream)


class HealthWatch:
    """Says the status once, and stays open: it does not change while the server answers at all."""

    def __init__(self, stream: ServerStream) -> None:
        self._stream = stream

    def on_message(self, message: health.HealthCheckRequest) -> None:
        status = _UNKNOWN if message.service else _SERVING
        self._stream.send(health.HealthCheckResponse(status=status))

    def on_half_close(self) -> None:
        return

    def on_cancel(self) -> None:
        return
