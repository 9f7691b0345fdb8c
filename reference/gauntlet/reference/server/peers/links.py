"""How connections between members are made, and when they are given up."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

# Seconds; as in etcd, the flags --raft-read-timeout and --raft-write-timeout can only raise them.
LEAST_TIMEOUT = 5.0


@dataclass(frozen=True, slots=True)
class Links:
    """`tls` is the context for dialing, `local_host` the address to dial from (empty: the system chooses).

    A peer that says nothing for `read_timeout` seconds, heartbeats included, or takes nothing for
    `write_timeout` is gone.
    """

    tls: ssl.SSLContext | None = None
    local_host: str = ""
    read_timeout: float = LEAST_TIMEOUT
    write_timeout: float = LEAST_TIMEOUT

    @property
    def heartbeat(self) -> float:
        """Seconds between two heartbeats on a stream."""
        return self.read_timeout / 3
