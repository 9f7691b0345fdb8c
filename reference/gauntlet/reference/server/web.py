"""Everything the client port answers over HTTP: the JSON gateway, and the pages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from gauntlet.api.wire.http_types import HttpHandler, HttpRequest, HttpResponder
from gauntlet.api.wire.types import Method
from gauntlet.reference.server.access import Access
from gauntlet.reference.server.gateway.handler import Gateway
from gauntlet.reference.server.http import clean_path, redirect, send_elsewhere


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
        path = request.path
        if not (gateway and path.startswith(("/v3/", "/v3beta/"))):
            if gateway and path == "/v3":
                redirect(request, responder, "/v3/")
            else:
                pages(request, responder)
        elif clean_path(path) == path:
            calls(request, responder)
        else:
            send_elsewhere(request, responder)

    return Access(handle, hosts, origins, refuses_names)
