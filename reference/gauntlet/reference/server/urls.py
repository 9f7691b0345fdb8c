"""Whether two lists of peer URLs mean the same addresses, whatever names they use.

Rules (etcd's netutil): URLs are compared in order of their text, IP addresses in their shortest form. Where
they differ, names are looked up, each for its first address, and compared again; `localhost` is never looked
up. A name that nobody knows yet is asked for again every second, for half a minute in all.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

PATIENCE = 30.0
RETRY = 1.0

Lookup = Callable[[str], str]


def first_address(host: str) -> str:
    """OSError where nobody knows the host."""
    return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])


class UrlComparison:
    """Remembers what it has looked up. The patience is for all comparisons together."""

    def __init__(
        self,
        lookup: Lookup = first_address,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._lookup = lookup
        self._clock = clock
        self._sleep = sleep
        self._until = clock() + PATIENCE
        self._known: dict[str, str] = {}

    def same(self, one: Sequence[str], other: Sequence[str]) -> bool:
        return self.difference(one, other) is None

    def difference(self, one: Sequence[str], other: Sequence[str]) -> str | None:
        """Why they are not the same, or None."""
        if len(one) != len(other):
            return f"{len(one)} URLs are not {len(other)}"
        parts = [[urlsplit(url) for url in sorted(urls)] for urls in (one, other)]
        if _normal(parts[0]) == _normal(parts[1]):
            return None
        try:
            resolved = [sorted(_normal([self._resolve(url) for url in urls])) for urls in parts]
        except OSError as error:
            return str(error)
        for ours, theirs in zip(*resolved, strict=True):
            if ours != theirs:
                return f'resolved urls: "{ours}" != "{theirs}"'
        return None

    def _resolve(self, url: SplitResult) -> SplitResult:
        host = url.hostname or ""
        if url.scheme not in ("http", "https") or host == "localhost":
            return url
        address = self._address(host)
        return url._replace(netloc=f"{f'[{address}]' if ':' in address else address}:{url.port}")

    def _address(self, host: str) -> str:
        while host not in self._known:
            try:
                self._known[host] = self._lookup(host)
            except OSError as error:
                if self._clock() >= self._until:
                    raise OSError(f"lookup {host}: {error.strerror or error}") from None
                self._sleep(RETRY)
        return self._known[host]


def _normal(urls: Sequence[SplitResult]) -> list[str]:
    return [f"{url.scheme}://{_normal_host(url)}{url.path}" for url in urls]


def _normal_host(url: SplitResult) -> str:
    try:
        address = str(ip_address(url.hostname or ""))
    except ValueError:
        return url.netloc
    return f"{f'[{address}]' if ':' in address else address}:{url.port}"
