"""The client's side of a member: its listeners, its HTTP pages, its metrics, its TLS.

Rules: with --listen-client-http-urls, HTTP is answered there and the client URLs are for gRPC alone; without,
both are on every client URL. The metrics URLs answer /metrics and the health pages and nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gauntlet.api.wire.http_types import HttpHandler
from gauntlet.api.wire.limits import Limits
from gauntlet.api.wire.server import Server
from gauntlet.api.wire.types import Answer, Method
from gauntlet.reference.node import Node
from gauntlet.reference.server.config import Config
from gauntlet.reference.server.http import client_pages, health_pages, pages_handler
from gauntlet.reference.server.listeners import Listeners, secure_twin
from gauntlet.reference.server.log import Logger, header_log
from gauntlet.reference.server.metrics.applies import Applies
from gauntlet.reference.server.metrics.calls import Calls
from gauntlet.reference.server.metrics.debug_vars import vars_page
from gauntlet.reference.server.metrics.tally import Tally
from gauntlet.reference.server.peers.status import PeerStatus
from gauntlet.reference.server.release import VERSION
from gauntlet.reference.server.settings import TlsFiles
from gauntlet.reference.server.tls import FileContext, client_context, server_context, with_own_certificate
from gauntlet.reference.server.web import client_web

# What gRPC may need beside the request (bytes).
OVERHEAD = 512 * 1024


class Contexts:
    """The TLS contexts of a member; None where a side has no TLS. UsageError for unusable files."""

    def __init__(self, config: Config, log: Logger) -> None:
        settings = config.more.tls
        own = Path(config.data_dir, "fixtures")
        client = _prepared(
            settings.client, own / "client", config.listen_client_urls, settings.validity_years
        )
        peer = _prepared(settings.peer, own / "peer", config.listen_peer_urls, settings.validity_years)
        self.clients = server_context(client, settings) if client.given else None
        self.peers = server_context(peer, settings) if peer.given else None
        for context, side in ((self.clients, "client"), (self.peers, "peer")):
            if context is not None:
                context.on_rejected = partial(_rejected, log, side)
        needs_dialing = peer.given or peer.trusted_ca_file or peer.client_cert_file
        self.dial: FileContext | None = client_context(peer, settings) if needs_dialing else None


def _rejected(log: Logger, side: str, reason: str) -> None:
    log.warn(f"rejected connection on {side} endpoint", error=reason)


def _prepared(files: TlsFiles, directory: Path, urls: Sequence[str], years: int) -> TlsFiles:
    if files.auto and not files.cert_file:
        return with_own_certificate(files, directory, urls, years)
    return files


def on_first_request(make: Callable[[], HttpHandler]) -> HttpHandler:
    """A handler that is made when somebody asks: what it loads is not waited for at the start."""
    made = cache(make)
    return lambda request, responder: made()(request, responder)


class Front:
    """Everything between the clients' sockets and the method table."""

    def __init__(
        self,
        config: Config,
        log: Logger,
        node: Node,
        methods: Mapping[str, Method],
        peers: Callable[[], Mapping[int, PeerStatus]],
        contexts: Contexts,
        tally: Tally,
    ) -> None:
        more = config.more
        self.tally = tally
        self._config = config
        self._log = log
        self._tls = contexts.clients
        slow = more.upkeep.warn_request
        calls = Calls(self.tally, more.web.extensive_metrics, slow, self._slow_request)
        counted = calls.wrap(methods)
        limit = more.upkeep.warn_apply
        applies = Applies(self.tally, limit, partial(self._slow_apply, limit), node.when_compacted)
        node.machine.wrap_handlers(applies.wrap)
        metrics = on_first_request(partial(self._metrics_page, node, calls, peers))
        pages = client_pages(node, self.tally, metrics, partial(vars_page, node))
        max_message = config.max_request_bytes + OVERHEAD
        web = client_web(
            pages_handler(pages),
            counted,
            max_message=max_message,
            hosts=more.web.hosts,
            origins=more.web.cors,
            gateway=more.web.gateway,
            refuses_names=lambda: more.tls.client.client_cert_auth and node.machine.auth.enabled,
        )
        limits = Limits(
            max_message_bytes=max_message,
            max_concurrent_streams=min(config.max_concurrent_streams, 2**31 - 1),
            keepalive_min_time=config.keepalive_min_time,
            keepalive_interval=config.keepalive_interval,
            keepalive_timeout=config.keepalive_timeout,
        )
        self._split = bool(more.web.http_urls)
        headers = header_log(os.environ)
        self._server = Server(counted, None if self._split else web, limits=limits, header_log=headers)
        self._http_server = Server({}, web, limits=limits, header_log=headers)
        metrics_pages: dict[str, HttpHandler] = {"/metrics": metrics, **health_pages(node, self.tally)}
        self._metrics_server = Server({}, pages_handler(metrics_pages), limits=Limits())

    def _metrics_page(
        self, node: Node, calls: Calls, peers: Callable[[], Mapping[int, PeerStatus]]
    ) -> HttpHandler:
        from gauntlet.reference.server.metrics.collector import MemberCollector
        from gauntlet.reference.server.metrics.page import MetricsPage

        config = self._config
        collector = MemberCollector(
            node,
            self.tally,
            calls,
            peers,
            version=VERSION,
            quota=config.quota_bytes,
            features=config.more.features,
        )
        return MetricsPage(collector, self.tally)

    async def listen(self, listeners: Listeners) -> None:
        """Serves the clients."""
        for url in self._config.listen_client_urls:
            await self._listen(self._server, listeners, url, "grpc" if self._split else "grpc+http")
        for url in self._config.more.web.http_urls:
            await self._listen(self._http_server, listeners, url, "http")

    async def listen_metrics(self, listeners: Listeners) -> None:
        for url in self._config.listen_metrics_urls:
            await self._metrics_server.listen(url, self._context(url), listeners.take(url))
            self._log.info("serving metrics", address=url)

    async def close(self, grace: float) -> None:
        await self._server.close(grace)
        await self._http_server.close(0.0)
        await self._metrics_server.close(0.0)

    async def _listen(self, server: Server, listeners: Listeners, url: str, traffic: str) -> None:
        context = self._context(url)
        if secure_twin(url) not in self._config.listen_client_urls:
            twins = [other for other in self._config.listen_client_urls if secure_twin(other) == url]
            await server.listen(url, context, listeners.take(url), plain_too=bool(twins))
        if context is None:
            words = "serving client traffic insecurely; this is strongly discouraged!"
        else:
            words = "serving client traffic securely"
        parts = urlsplit(url)
        self._log.info(words, traffic=traffic, address=parts.netloc or parts.path)

    def _context(self, url: str) -> FileContext | None:
        return self._tls if urlsplit(url).scheme.endswith("s") else None

    def _slow_request(self, path: str, seconds: float, request: Any, answer: Answer) -> None:
        self._log.warn(
            "request stats",
            response_type=path,
            took=f"{seconds * 1000:.3f}ms",
            request_size=request.ByteSize(),
            response_size=len(answer) if isinstance(answer, bytes) else 0,
        )

    def _slow_apply(self, limit: float, operation: str, seconds: float) -> None:
        self._log.warn(
            "apply request took too long",
            took=f"{seconds * 1000:.3f}ms",
            expected_duration=f"{limit * 1000:g}ms",
            operation=operation,
        )
