"""The plain HTTP pages of the client port: /version, /health, /livez and /readyz."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from gauntlet.api.errors import RpcError
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.wire.http_types import HttpHandler, HttpRequest, HttpResponder
from gauntlet.reference.node import Node
from gauntlet.reference.server.config import VERSION
from gauntlet.reference.server.metrics.tally import Tally

Report = Callable[[str], None]  # called with "" when the check passed, else with the reason
Check = Callable[[Report], None]


_NO_SNIFF = [("X-Content-Type-Options", "nosniff")]


def health_pages(node: Node, tally: Tally) -> dict[str, HttpHandler]:
    """/health, /livez and /readyz by path; they are on the metrics listeners, too."""
    pages = Pages(node, tally)
    routes: dict[str, HttpHandler] = {"/health": pages.health}
    for root, names in (("livez", LIVE), ("readyz", READY)):
        routes[f"/{root}"] = pages.checks(root, names)
        for name in names:
            routes[f"/{root}/{name}"] = pages.checks(root, (name,))
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
    """Unknown paths get Go's 404. /metrics and /debug/vars answer any method, as Go's handlers do."""

    def handle(request: HttpRequest, responder: HttpResponder) -> None:
        page = routes.get(request.path)
        if page is None:
            responder.send(404, b"404 page not found\n", headers=_NO_SNIFF)
        elif request.method != "GET" and request.path not in ("/metrics", "/debug/vars"):
            responder.start(
                405, [("Allow", "GET"), ("Content-Type", "text/plain; charset=utf-8")], content_length=19
            )
            responder.write(b"Method Not Allowed\n")
            responder.end()
        else:
            page(request, responder)

    return handle


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

    def checks(self, kind: str, names: tuple[str, ...]) -> Callable[[HttpRequest, HttpResponder], None]:
        """A page that runs `names` and lists each with its outcome, as Kubernetes probes expect it."""

        def page(request: HttpRequest, responder: HttpResponder) -> None:
            excluded = set(request.query.get("exclude", []))
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
