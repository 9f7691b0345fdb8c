"""Health: /health, /livez, /readyz, and gRPC's health service."""

from __future__ import annotations

from gauntlet.api.errors import Code, RpcError
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.messages import grpc_health_v1 as health
from gauntlet.harness.conformance.case import case
from gauntlet.harness.conformance.expect import expect, expect_that
from gauntlet.harness.conformance.talk import Talk

ACTIVATE = pb.AlarmRequest.ACTIVATE
CHECK, WATCH, LIST = (f"/grpc.health.v1.Health/{name}" for name in ("Check", "Watch", "List"))
SERVING = health.HealthCheckResponse.SERVING


def page(title: str, path: str, status: int, body: str, since: str = "3.4", method: str = "GET") -> None:
    async def run(t: Talk) -> None:
        answer = await t.http(method, path)
        expect("status", answer.status, status)
        expect("body", answer.text, body)

    run.__name__ = title
    run.__doc__ = f"{method} {path} answers {status} and {body!r}."
    case("health", since=since)(run)


page("health", "/health", 200, '{"health":"true","reason":""}', "3.5")
page("health_serializable", "/health?serializable=true", 200, '{"health":"true","reason":""}', "3.5")
page("health_excluding_an_alarm", "/health?exclude=NOSPACE", 200, '{"health":"true","reason":""}', "3.5")
page("health_takes_get_only", "/health", 405, "Method Not Allowed\n", method="POST")
page("livez", "/livez", 200, "ok\n", "3.5.11")
page("livez_verbose", "/livez?verbose", 200, "[+]serializable_read ok\nok\n", "3.5.11")
page("livez_serializable_read", "/livez/serializable_read", 200, "ok\n", "3.5.11")
page("livez_excluding", "/livez?exclude=serializable_read&verbose", 200, "ok\n", "3.5.11")
page("livez_excluding_what_is_not_there", "/livez?exclude=nonsense", 200, "ok\n", "3.5.11")
page("livez_unknown_check", "/livez/nonsense", 404, "404 page not found\n", "3.5.11")
page("livez_takes_get_only", "/livez", 405, "Method Not Allowed\n", "3.5.11", "POST")
page("readyz", "/readyz", 200, "ok\n", "3.5.11")
page("readyz_data_corruption", "/readyz/data_corruption", 200, "ok\n", "3.5.11")
page("readyz_serializable_read", "/readyz/serializable_read", 200, "ok\n", "3.5.11")
page("readyz_linearizable_read", "/readyz/linearizable_read", 200, "ok\n", "3.5.11")
page("readyz_non_learner", "/readyz/non_learner", 200, "ok\n", "3.5.20")
page(
    "readyz_single_check_verbose",
    "/readyz/data_corruption?verbose",
    200,
    "[+]data_corruption ok\nok\n",
    "3.5.11",
)


@case("health", since="3.5.20", compared=False)
async def readyz_verbose_lists_its_checks(t: Talk) -> None:
    """In no particular order."""
    text = (await t.http("GET", "/readyz?verbose")).text
    checks = ["data_corruption", "linearizable_read", "non_learner", "serializable_read"]
    expect("lines", sorted(text.splitlines()), sorted([f"[+]{name} ok" for name in checks] + ["ok"]))


@case("health", since="3.5.11")
async def readyz_excluding_all_but_one(t: Talk) -> None:
    path = "/readyz?verbose&exclude=linearizable_read&exclude=serializable_read&exclude=non_learner"
    expect("body", (await t.http("GET", path)).text, "[+]data_corruption ok\nok\n")


@case("health", group="alone", since="3.5")
async def health_fails_on_nospace(t: Talk) -> None:
    await t.call(pb.AlarmRequest(action=ACTIVATE, memberID=7, alarm=pb.NOSPACE))
    answer = await t.http("GET", "/health")
    expect("status", answer.status, 503)
    expect("body", answer.text.strip(), '{"health":"false","reason":"ALARM NOSPACE"}')
    expect("status with the alarm excluded", (await t.http("GET", "/health?exclude=NOSPACE")).status, 200)


@case("health", group="alone", since="3.5.11")
async def livez_and_readyz_do_not_mind_nospace(t: Talk) -> None:
    await t.call(pb.AlarmRequest(action=ACTIVATE, memberID=7, alarm=pb.NOSPACE))
    for path in ("/livez", "/readyz"):
        expect(f"status of {path}", (await t.http("GET", path)).status, 200)


@case("health", group="alone", since="3.5.11")
async def readyz_fails_on_corruption(t: Talk) -> None:
    await t.call(pb.AlarmRequest(action=ACTIVATE, memberID=7, alarm=pb.CORRUPT))
    answer = await t.http("GET", "/readyz")
    expect("status", answer.status, 503)
    line = "[-]data_corruption failed: alarm activated: CORRUPT"
    expect_that("body", line in answer.text.splitlines(), f"with the line {line!r}", answer.text)
    expect("status of /livez", (await t.http("GET", "/livez")).status, 200)
    excluded = await t.http("GET", "/readyz?exclude=data_corruption")
    expect("status of /readyz without that check", excluded.status, 200)


# ---- gRPC ----


@case("health")
async def grpc_check_of_the_server(t: Talk) -> None:
    expect("status", (await t.call(health.HealthCheckRequest(), CHECK)).status, SERVING)


@case("health")
async def grpc_check_of_an_unknown_service(t: Talk) -> None:
    error = RpcError(Code.NOT_FOUND, "unknown service")
    await t.refused(health.HealthCheckRequest(service="nonsense"), error, CHECK)


@case("health")
async def grpc_watch_tells_the_state_at_once(t: Talk) -> None:
    channel = await t.open(WATCH, health.HealthCheckRequest())
    expect("status", (await channel.receive()).status, SERVING)


@case("health", since="3.6")
async def grpc_watch_of_an_unknown_service(t: Talk) -> None:
    channel = await t.open(WATCH, health.HealthCheckRequest(service="nonsense"))
    expect("status", (await channel.receive()).status, health.HealthCheckResponse.SERVICE_UNKNOWN)


@case("health", since="3.7")
async def grpc_list(t: Talk) -> None:
    answer = await t.call(health.HealthListRequest(), LIST)
    expect("server", answer.statuses[""].status, SERVING)
