"""Everything the client port answers over HTTP: the JSON gateway, and the pages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from gauntlet.api.wire.http_types import HttpHandler, HttpRequest, HttpResponder
from gauntlet.api.wire.types import Method
from gauntlet.reference.server.access import Access
from gauntlet.reference.server.gateway.handler import Gateway


def client_web(
    pages: HttpHandler,
    methods: Mapping[str, Method],
    *,
    max_message: int,
    hosts: Iterable[str],
    origins: Iterable[str],
    gateway: bool,
    refuses_names: Callable[[], bool],
) -> HttpHandler:
    """The handler of the client port: `pages`, and with `gateway` the RPCs as JSON below /v3/.

    `max_message` in bytes; `hosts` and `origins` as `--host-whitelist` and `--cors` give them.
    """
    calls = Gateway(methods, max_message)

    def handle(request: HttpRequest, responder: HttpResponder) -> None:
        if gateway and request.path.startswith(("/v3/", "/v3beta/")):
            calls(request, responder)
        else:
            pages(request, responder)

    return Access(handle, hosts, origins, refuses_names)
