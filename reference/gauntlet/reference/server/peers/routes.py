"""Which handler answers which path of the peer port, with the refusals that Go's mux and etcd give."""

from __future__ import annotations

import json
from collections.abc import Sequence

from gauntlet.api.wire.http_types import HttpHandler, HttpRequest, HttpResponder

_NO_SNIFF = ("X-Content-Type-Options", "nosniff")


def error(responder: HttpResponder, status: int, text: str, headers: Sequence[tuple[str, str]] = ()) -> None:
    """A refusal in plain text, with the line end that etcd's members expect."""
    responder.send(status, f"{text}\n".encode(), headers=[_NO_SNIFF, *headers])


def json_error(
    responder: HttpResponder, status: int, text: str, headers: Sequence[tuple[str, str]] = ()
) -> None:
    body = json.dumps({"message": text}, separators=(",", ":")).encode()
    responder.send(status, body, "application/json", headers)


class Routes:
    """An exact path wins over a prefix, a longer prefix over a shorter one."""

    def __init__(self) -> None:
        self._exact: dict[str, tuple[str, HttpHandler]] = {}
        self._prefixes: list[tuple[str, str, HttpHandler]] = []

    def add(self, method: str, path: str, handler: HttpHandler) -> None:
        """Answer `path`, or with a slash at its end everything below it. Other methods get 405."""
        if path.endswith("/"):
            self._prefixes = [p for p in self._prefixes if p[0] != path]
            self._prefixes.append((path, method, handler))
            self._prefixes.sort(key=lambda p: -len(p[0]))
        else:
            self._exact[path] = (method, handler)

    def __call__(self, request: HttpRequest, responder: HttpResponder) -> None:
        found = self._exact.get(request.path) or self._by_prefix(request.path)
        if found is None:
            error(responder, 404, "404 page not found")
            return
        method, handler = found
        if request.method != method:
            error(responder, 405, "Method Not Allowed", [("Allow", method)])
            return
        handler(request, responder)

    def _by_prefix(self, path: str) -> tuple[str, HttpHandler] | None:
        for prefix, method, handler in self._prefixes:
            if path.startswith(prefix):
                return method, handler
        return None
