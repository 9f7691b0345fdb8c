"""Sockets that listen, apart from the servers that accept on them.

So a process can claim all its addresses before it does anything else, and serve on them when it is ready:
a client that comes early waits in the queue.
"""

from __future__ import annotations

import os
import socket
import stat
from urllib.parse import urlsplit

BACKLOG = 4096
SCHEMES = ("http", "https", "unix", "unixs")


def unix_path(url: str) -> str:
    parts = urlsplit(url)
    return parts.netloc + parts.path


def open_socket(url: str, *, reuse_port: bool = False, backlog: int = BACKLOG) -> socket.socket:
    """A listening socket for `http://host:port`, `https://host:port`, `unix://path` or `unixs://path`.

    A host that has several addresses gets its first, IPv4 before IPv6; an empty host means all addresses.
    `reuse_port` lets several sockets listen on the port (SO_REUSEPORT). Raises OSError, with the URL in its
    text, or ValueError for a URL that is none of these.
    """
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        raise ValueError(f"cannot listen on {url!r}: unknown scheme")
    try:
        if parts.scheme.startswith("unix"):
            return _unix(unix_path(url), backlog)
        return _tcp(parts.hostname or "", parts.port or 0, reuse_port, backlog)
    except OSError as error:
        # A name that nobody knows has a text of its own; Python adds the address to the others'.
        number = error.errno or 0
        words = os.strerror(number) if number > 0 else error.strerror
        raise OSError(error.errno, f"cannot listen on {url}: {words}") from error


def _tcp(host: str, port: int, reuse_port: bool, backlog: int) -> socket.socket:
    if not host:
        dual = socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if dual else socket.AF_INET
        return socket.create_server(
            ("", port), family=family, backlog=backlog, reuse_port=reuse_port, dualstack_ipv6=dual
        )
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    found.sort(key=lambda item: item[0] != socket.AF_INET)
    family, _, _, _, address = found[0]
    return socket.create_server(address, family=family, backlog=backlog, reuse_port=reuse_port)


def _unix(path: str, backlog: int) -> socket.socket:
    remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(path)
        listener.listen(backlog)
    except OSError:
        listener.close()
        raise
    return listener


def remove_stale(path: str) -> None:
    """Remove the socket a dead server left behind, as etcd does before it listens."""
    try:
        if stat.S_ISSOCK(os.stat(path).st_mode):
            os.unlink(path)
    except FileNotFoundError:
        pass
