"""Loopback ports that stay ours for the whole run.

Rules:
1. Ports come from outside the range the system gives to outgoing connections, so that a port whose listener
   is away for a while (a disabled proxy, a killed member) is not taken by somebody's connection.
2. Each port is held by a lock on a small file until the run ends, so that runs side by side on one machine
   never choose the same one. The system drops the lock when the process dies.
3. A port is tried by binding it before it is handed out. Between that and the member's own bind a stranger
   could still take it; targets notice that and start again with other ports.
"""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path

_LOWEST, _HIGHEST = 12_000, 32_000


class NoPortLeft(Exception):
    """Every port of the range is taken."""


class PortPool:
    """Hands out ports on one address; `close` gives them back."""

    def __init__(self, host: str = "127.0.0.1", folder: Path | None = None) -> None:
        self._host = host
        self._folder = folder or Path(tempfile.gettempdir()) / f"gauntlet-ports-{os.getuid()}"
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._locks: dict[int, int] = {}
        # Not the run's seed: two runs of one seed must not fight over the same ports.
        self._random = random.SystemRandom()

    def take(self) -> int:
        lowest, highest = _range()
        for _ in range(2000):
            port = self._random.randrange(lowest, highest)
            if port not in self._locks and self._lock(port):
                return port
        raise NoPortLeft(f"no free port between {lowest} and {highest} on {self._host}")

    def close(self) -> None:
        for descriptor in self._locks.values():
            os.close(descriptor)
        self._locks.clear()

    def _lock(self, port: int) -> bool:
        descriptor = os.open(self._folder / str(port), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        if not self._is_free(port):
            os.close(descriptor)
            return False
        self._locks[port] = descriptor
        return True

    def _is_free(self, port: int) -> bool:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            try:
                probe.bind((self._host, port))
            except OSError:
                return False
        return True


def _range() -> tuple[int, int]:
    """The ports to choose from: below the system's own range for outgoing connections where it is known."""
    try:
        text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii")
        first = int(text.split()[0])
    except (OSError, ValueError, IndexError):
        return _LOWEST, _HIGHEST
    if first - _LOWEST >= 1000:
        return _LOWEST, min(_HIGHEST, first)
    return _LOWEST, _HIGHEST
