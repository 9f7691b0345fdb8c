"""Bounds and timings of the wire. Sizes are bytes, times seconds."""

from __future__ import annotations

from dataclasses import dataclass, field

from gauntlet.api.wire.frames import DEFAULT_WINDOW
from gauntlet.api.wire.http_types import HttpLimits


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may ask of the server. The defaults are etcd's where etcd has the option."""

    max_message_bytes: int = (1536 << 10) + (512 << 10)
    """The largest request message: etcd's --max-request-bytes plus 512 KiB for gRPC's own needs."""
    max_concurrent_streams: int = (1 << 32) - 1
    """Streams of one connection, --max-concurrent-streams. Never more than `stream_ceiling`."""
    stream_ceiling: int = 100_000
    header_list_bytes: int = 64 << 10
    """A request's header list, counted as HTTP/2 counts (32 bytes more per field)."""
    connection_window: int = 16 << 20
    stream_window: int = 1 << 20
    partial_bytes: int = 64 << 20
    """Incomplete request messages of one connection; beyond it they are refused."""
    backlog_bytes: int = 64 << 20
    """Answers of one connection that its flow control holds back; beyond it new calls are refused."""
    keepalive_min_time: float = 5.0
    """Pings closer than this earn strikes, --grpc-keepalive-min-time."""
    keepalive_without_stream: bool = False
    """Whether a client may ping while it has no stream."""
    keepalive_interval: float = 7200.0
    """The server pings a connection that was silent this long, --grpc-keepalive-interval; 0 never."""
    keepalive_timeout: float = 20.0
    """How long such a ping may stay unanswered, --grpc-keepalive-timeout."""
    preface_timeout: float = 120.0
    """How long a new connection may take to say what it speaks; 0 means no limit."""
    gzip: bool = True
    """Whether compressed requests are taken, and answered compressed."""
    http: HttpLimits = field(default_factory=HttpLimits)

    def __post_init__(self) -> None:
        if min(self.connection_window, self.stream_window) < DEFAULT_WINDOW:
            # A client may send that much before it hears of a smaller window.
            raise ValueError(f"windows cannot be smaller than {DEFAULT_WINDOW} bytes")
