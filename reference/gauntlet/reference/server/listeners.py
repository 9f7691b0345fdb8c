"""Every address of a member, claimed before anything else is done.

A port in use is so known at once, before a directory is made or a cluster is asked, and nobody can take the
port while the member joins. Clients that come before the member serves wait in the queue of the socket.
"""

from __future__ import annotations

import socket

from gauntlet.api.wire.listening import open_socket
from gauntlet.reference.server.config import Config


def secure_twin(url: str) -> str:
    """The same address with TLS. A member that has both for its clients serves both on one socket."""
    return url.replace("://", "s://", 1)


class Listeners:
    """OSError names the first address that cannot be had; then none is kept."""

    def __init__(self, config: Config) -> None:
        clients = config.listen_client_urls
        urls = [*config.listen_peer_urls, *(url for url in clients if secure_twin(url) not in clients)]
        urls += [*config.more.web.http_urls, *config.listen_metrics_urls]
        self._sockets: list[tuple[str, socket.socket]] = []
        try:
            for url in urls:
                self._sockets.append((url, open_socket(url, reuse_port=config.more.sockets.reuse_port)))
        except OSError:
            self.close()
            raise

    def take(self, url: str) -> socket.socket:
        """The socket of the URL, which is the caller's from now on."""
        at = next(number for number, (known, _) in enumerate(self._sockets) if known == url)
        return self._sockets.pop(at)[1]

    def close(self) -> None:
        """Gives up what nobody has taken."""
        for _, held in self._sockets:
            held.close()
        self._sockets.clear()
