"""The plain HTTP pages of the client port: /version, /health, /livez and /readyz."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable, Mapping
from html import escape
from urllib.parse import quote

from gauntlet.api.errors import RpcError
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.wire.http_types import HttpHandler, HttpRequest, HttpResponder
from gauntlet.reference.node import Node
from gauntlet.reference.server.metrics.tally import Tally
from gauntlet.reference.server.release import VERSION

Report = Callable[[str], None]  # called with "" when the check passed, else with the reason
Check = Callable[[Report], None]


_NO_SNIFF = [("X-Content-Type-Options", "nosniff")]
# What Go leaves as it is in a path.
_PLAIN = "/$&+,:;=@!*'()~"


def health_pages(node: Node, tally: Tally) -> dict[str, HttpHandler]:
    """/health, /livez and /readyz by path; they are on the metrics listeners, too."""
    pages = Pages(node, tally)
    routes: dict[str, HttpHandler] = {"/health": pages.health}
    for root, names in (("livez", LIVE), ("readyz", READY)):
        routes[f"/{root}"] = pages.checks(root, names, "exclude")
        for name in names:
            routes[f"/{root}/{name}"] = pages.checks(root, (name,), None)
    return routes


def client_pages(
    node: Node, tally: Tally, metrics: HttpHandler, debug_vars: HttpHandler
) -> dict[str, HttpHandler]:
    """All pages of the client port, by path."""
    return {
        "/version": Pages(node, tally).version,
        "/metrics": metrics,
        "/debug/vars": debug_vars,
        **health_pages(node, tally),
    }


def pages_handler(routes: Mapping[str, HttpHandler]) -> HttpHandler:
    """Unknown paths get Go's 404, paths with empty or dotted parts its redirect to the path without.
    /metrics and /debug/vars answer any method, as Go's handlers do."""

    def handle(request: HttpRequest, responder: HttpResponder) -> None:
        path = request.path
        page = routes.get(path)
        if page is None:
            send_elsewhere(request, responder)
        elif request.method != "GET" and path not in ("/metrics", "/debug/vars"):
            responder.send(405, b"Method Not Allowed\n", headers=[("Allow", "GET"), *_NO_SNIFF])
        else:
            page(request, responder)

    return handle


def send_elsewhere(request: HttpRequest, responder: HttpResponder) -> None:
    """The answer where there is no page."""
    if request.target == "*":
        responder.start(400, content_length=0)
        responder.end()
        return
    if clean_path(request.path) == request.path or request.method == "CONNECT":
        responder.send(404, b"404 page not found\n", headers=_NO_SNIFF)
        return
    raw = request.target.partition("?")[0]
    escaped = raw if quote(raw, safe=_PLAIN + "%[]") == raw else quote(request.path, safe=_PLAIN)
    # Go cleans the path in its escaped form, and then escapes the escapes.
    path = clean_path(escaped)
    if path.startswith("/v3beta/"):  # what Access calls it
        path = path.replace("/v3beta/", "/v3/", 1)
    redirect(request, responder, quote(path, safe=_PLAIN))


def redirect(request: HttpRequest, responder: HttpResponder, path: str) -> None:
    """Sends the client to `path`, with the query it came with."""
    _, mark, query = request.target.partition("?")
    location = path + mark + query
    if request.method in ("GET", "HEAD"):
        body = f'<a href="{escape(location)}">Temporary Redirect</a>.\n\n'.encode()
        responder.send(307, body, "text/html; charset=utf-8", [("Location", location)])
    else:
        responder.start(307, [("Location", location)], content_length=0)
        responder.end()


def clean_path(path: str) -> str:
    """The path with its `.`, `..` and empty parts resolved; a slash at the end stays."""
    clean = posixpath.normpath("/" + path.lstrip("/"))
    return clean + "/" if path.endswith("/") and clean != "/" else clean


LIVE = ("serializable_read",)
READY = ("data_corruption", "serializable_read", "linearizable_read", "non_learner")


class Pages:
    def __init__(self, node: Node, tally: Tally) -> None:
        self._node = node
        self._tally = tally
        self._checks: dict[str, Check] = {
            "serializable_read": self._serializable_read,
            "linearizable_read": self._linearizable_read,
            "data_corruption": self._data_corruption,
            "non_learner": self._non_learner,
        }

    def version(self, request: HttpRequest, responder: HttpResponder) -> None:
        cluster = self._node.machine.cluster.version
        body = {
            "etcdserver": VERSION,
            "etcdcluster": cluster or "not_decided",
            "storage": cluster or "unknown",
        }
        _send_json(responder, 200, body)

    def health(self, request: HttpRequest, responder: HttpResponder) -> None:
        excluded = set(request.query.get("exclude", []))
        serializable = request.query.get("serializable", [""])[0] == "true"

        def report(reason: str) -> None:
            body = {"health": "false" if reason else "true", "reason": reason}
            text = json.dumps(body, separators=(",", ":")).encode()
            if reason:
                self._tally.health_failures += 1
                responder.send(503, text + b"\n", headers=_NO_SNIFF)
            else:
                self._tally.health_successes += 1
                responder.send(200, text, "text/plain; charset=utf-8")

        for alarm in self._node.machine.alarms.get():
            name = pb.AlarmType.Name(alarm.alarm)
            if name not in excluded:
                report(f"ALARM {name}")
                return
        if not serializable and not self._node.leader:
            report("RAFT NO LEADER")
        elif serializable:
            report("")
        else:
            self._node.read(lambda error: report(f"RANGE ERROR:{error.message}" if error else ""))

    def checks(self, kind: str, names: tuple[str, ...], exclude: str | None) -> HttpHandler:
        """A page that runs `names` and lists each with its outcome, as Kubernetes probes expect it; `exclude`
        is the field of the query that leaves some out."""

        def page(request: HttpRequest, responder: HttpResponder) -> None:
            excluded = set(request.query.get(exclude, [])) if exclude else set()
            wanted = [name for name in names if name not in excluded]
            reasons: dict[str, str] = {}

            def finish() -> None:
                lines = "".join(
                    f"[-]{name} failed: {reasons[name]}\n" if reasons[name] else f"[+]{name} ok\n"
                    for name in wanted
                )
                failed = any(reasons.values())
                if failed:
                    responder.send(503, (lines + "\n").encode(), headers=_NO_SNIFF)
                else:
                    verbose = "verbose" in request.query
                    body = f"{lines}ok\n" if verbose else "ok\n"
                    responder.send(200, body.encode(), headers=_NO_SNIFF)

            if not wanted:
                finish()
            for name in wanted:

                def report(reason: str, name: str = name) -> None:
                    reasons[name] = reason
                    self._tally.check_results[kind, name] = not reason
                    key = (kind, name, "error" if reason else "success")
                    self._tally.checks[key] = self._tally.checks.get(key, 0) + 1
                    if len(reasons) == len(wanted):
                        finish()

                self._checks[name](report)

        return page

    def _serializable_read(self, report: Report) -> None:
        report("")

    def _linearizable_read(self, report: Report) -> None:
        def release(error: RpcError | None) -> None:
            report(error.message if error else "")

        self._node.read(release)

    def _data_corruption(self, report: Report) -> None:
        corrupt = self._node.machine.alarms.get(pb.CORRUPT)
        report("alarm activated: CORRUPT" if corrupt else "")

    def _non_learner(self, report: Report) -> None:
        learner = self._node.machine.cluster.is_learner(self._node.config.member_id)
        report("not supported for learner" if learner else "")


def _send_json(responder: HttpResponder, status: int, body: object) -> None:
    responder.send(status, json.dumps(body, separators=(",", ":")).encode(), "application/json")
