"""What every HTTP request to the client port passes first: old paths, host names, CORS.

Rules (etcd's access controller): `/v3beta/` means `/v3/`. Without TLS the Host header must be on the
whitelist, against DNS rebinding. With client certificates and authentication on, a gateway
request whose certificate names a user is refused, because the gateway would not act as that user.
OPTIONS is answered here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gauntlet.api.wire.http_types import HeaderItems, HttpHandler, HttpRequest, HttpResponder
from gauntlet.reference.server.gateway.sockets import Upgradable

CN_REFUSED = "CommonName of client sending a request against gateway will be ignored and not used as expected"


class Access:
    """Wraps `handler`. `*` in `hosts` or `origins` stands for all of them."""

    def __init__(
        self,
        handler: HttpHandler,
        hosts: Iterable[str],
        origins: Iterable[str],
        refuses_names: Callable[[], bool] = lambda: False,
    ) -> None:
        """`refuses_names` says whether client certificates and authentication are both on."""
        self._handler = handler
        self._hosts = frozenset(hosts)
        self._origins = frozenset(origins)
        self._refuses_names = refuses_names

    def __call__(self, request: HttpRequest, responder: HttpResponder) -> None:
        cors = self._cors(request.headers.get("origin", ""))
        if request.transport_info("ssl_object") is None:
            host = hostname(request.headers.get("host") or request.headers.get(":authority") or "")
            if "*" not in self._hosts and host not in self._hosts:
                _plain(responder, 421, _rebinding(host))
                return
        elif request.path.startswith("/v3") and self._refuses_names() and _common_name(request):
            _plain(responder, 400, CN_REFUSED)
            return
        if request.method == "OPTIONS":
            responder.start(200, cors, content_length=0)
            responder.end()
        elif cors:
            self._handler(request, _WithHeaders(responder, cors))
        else:
            self._handler(request, responder)

    def _cors(self, origin: str) -> list[tuple[str, str]]:
        if "*" in self._origins:
            origin = "*"
        elif not self._origins or origin not in self._origins:
            return []
        return [
            ("Access-Control-Allow-Methods", "POST, GET, OPTIONS, PUT, DELETE"),
            ("Access-Control-Allow-Origin", origin),
            ("Access-Control-Allow-Headers", "accept, content-type, authorization"),
        ]


class _WithHeaders:
    """A responder that adds headers to whatever is answered."""

    def __init__(self, responder: HttpResponder, headers: list[tuple[str, str]]) -> None:
        self._responder = responder
        self._headers = headers
        self.write = responder.write
        self.end = responder.end
        self.on_close = responder.on_close
        self.on_drain = responder.on_drain
        self.abort = responder.abort
        if isinstance(responder, Upgradable):
            self.take_over = responder.take_over

    @property
    def started(self) -> bool:
        return self._responder.started

    @property
    def closed(self) -> bool:
        return self._responder.closed

    @property
    def backlog(self) -> int:
        return self._responder.backlog

    def start(self, status: int, headers: HeaderItems = (), content_length: int | None = None) -> None:
        self._responder.start(status, self._all(headers), content_length)

    def send(
        self,
        status: int,
        body: bytes = b"",
        content_type: str = "text/plain; charset=utf-8",
        headers: HeaderItems = (),
    ) -> None:
        self._responder.send(status, body, content_type, self._all(headers))

    def _all(self, headers: HeaderItems) -> list[tuple[str, str]]:
        items = headers.items() if hasattr(headers, "items") else headers
        return [*self._headers, *items]


def hostname(host: str) -> str:
    """`host:port` without the port; IPv6 literals without their brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if host.count(":") == 1 else host


def _common_name(request: HttpRequest) -> str:
    certificate = request.transport_info("peercert") or {}
    for part in certificate.get("subject", ()):
        for name, value in part:
            if name == "commonName":
                return str(value)
    return ""


def _plain(responder: HttpResponder, status: int, text: str) -> None:
    responder.send(status, f"{text}\n".encode(), headers=[("X-Content-Type-Options", "nosniff")])


def _rebinding(host: str) -> str:
    return (
        "\netcd received your request, but the Host header was unrecognized.\n\n"
        "To fix this, choose one of the following options:\n"
        "- Enable TLS, then any HTTPS request will be allowed.\n"
        "- Add the hostname you want to use to the whitelist in settings.\n"
        f'  - e.g. etcd --host-whitelist "{host}"\n\n'
        'This requirement has been added to help prevent "DNS Rebinding" attacks (CVE-2018-5702).\n'
    )
