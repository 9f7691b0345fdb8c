# Written by scripts/generate_messages.py from gauntlet/api/proto. Do not edit.
from gauntlet.api.messages import _pool

HealthCheckRequest = _pool.message("grpc.health.v1.HealthCheckRequest")
HealthCheckResponse = _pool.message("grpc.health.v1.HealthCheckResponse")
HealthListRequest = _pool.message("grpc.health.v1.HealthListRequest")
HealthListResponse = _pool.message("grpc.health.v1.HealthListResponse")

__all__ = [
    "HealthCheckRequest",
    "HealthCheckResponse",
    "HealthListRequest",
    "HealthListResponse",
]
