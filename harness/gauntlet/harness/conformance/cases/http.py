"""Plain HTTP on the client port: version, metrics, variables, and what is not there."""

from __future__ import annotations

from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.harness.conformance.case import case, show_version
from gauntlet.harness.conformance.expect import expect, expect_in, expect_that
from gauntlet.harness.conformance.talk import Talk

METRICS = (
    "etcd_server_has_leader",
    "etcd_server_is_leader",
    "etcd_server_leader_changes_seen_total",
    "etcd_server_proposals_committed_total",
    "etcd_server_proposals_applied_total",
    "etcd_server_proposals_pending",
    "etcd_server_proposals_failed_total",
    "etcd_server_version",
    "etcd_server_id",
    "etcd_server_quota_backend_bytes",
    "etcd_disk_wal_fsync_duration_seconds_bucket",
    "etcd_mvcc_db_total_size_in_bytes",
    "etcd_mvcc_db_total_size_in_use_in_bytes",
    "etcd_mvcc_put_total",
    "etcd_mvcc_delete_total",
    "etcd_mvcc_range_total",
    "etcd_mvcc_txn_total",
    "etcd_debugging_mvcc_keys_total",
    "etcd_debugging_mvcc_watcher_total",
    "etcd_debugging_lease_granted_total",
    "etcd_network_client_grpc_received_bytes_total",
    "etcd_network_client_grpc_sent_bytes_total",
    "grpc_server_handled_total",
    "grpc_server_started_total",
    "process_resident_memory_bytes",
    "process_cpu_seconds_total",
    "process_open_fds",
)


@case("http")
async def version_names_server_and_cluster(t: Talk) -> None:
    answer = await t.http("GET", "/version")
    expect("status", answer.status, 200)
    expect("content-type", answer.headers.get("content-type"), "application/json")
    body = answer.json()
    expect("etcdserver", body["etcdserver"], show_version(t.version))
    expect("etcdcluster", body["etcdcluster"], f"{t.version[0]}.{t.version[1]}.0")


@case("http", since="3.6")
async def version_names_the_storage_version(t: Talk) -> None:
    body = (await t.http("GET", "/version")).json()
    expect("storage", body["storage"], f"{t.version[0]}.{t.version[1]}.0")


@case("http")
async def version_takes_get_only(t: Talk) -> None:
    answer = await t.http("POST", "/version", b"")
    expect("status", answer.status, 405)
    expect("allow", answer.headers.get("allow"), "GET")


@case("http")
async def an_unknown_path_is_not_found(t: Talk) -> None:
    expect("status", (await t.http("GET", "/nonsense")).status, 404)


@case("http")
async def the_root_is_not_found(t: Talk) -> None:
    expect("status", (await t.http("GET", "/")).status, 404)


@case("http", since="3.6")
async def the_v2_api_is_gone(t: Talk) -> None:
    expect("status", (await t.http("GET", "/v2/keys")).status, 404)


@case("http", compared=False)
async def debug_vars_are_json(t: Talk) -> None:
    answer = await t.http("GET", "/debug/vars")
    expect("status", answer.status, 200)
    expect("content-type", answer.headers.get("content-type"), "application/json; charset=utf-8")
    body = answer.json()
    for name in ("cmdline", "memstats", "raft.status"):
        expect_that(name, name in body, "present", sorted(body))


@case("http")
async def profiling_is_off(t: Talk) -> None:
    expect("status", (await t.http("GET", "/debug/pprof/")).status, 404)


@case("http")
async def metrics_are_in_the_text_format(t: Talk) -> None:
    answer = await t.http("GET", "/metrics")
    expect("status", answer.status, 200)
    kind = answer.headers.get("content-type", "")
    expect_that(
        "content-type", kind.startswith("text/plain; version=0.0.4"), "text/plain; version=0.0.4...", kind
    )
    lines = [line for line in answer.text.splitlines() if line and not line.startswith("#")]
    expect_that("lines", all(" " in line for line in lines), "a name and a number each", lines[:3])


def metric(name: str) -> None:
    async def body(t: Talk) -> None:
        text = (await t.http("GET", "/metrics")).text
        found = [line for line in text.splitlines() if line.startswith((f"{name} ", f"{name}{{"))]
        expect_that(f"lines of {name}", len(found) > 0, "at least one", len(found))

    body.__name__ = f"metric_{name}"
    body.__doc__ = f"/metrics has {name}."
    case("http")(body)


for _name in METRICS:
    metric(_name)


async def value(t: Talk, line: str) -> float:
    """The number behind a name (with its labels)."""
    text = (await t.http("GET", "/metrics")).text
    return next((float(x.rpartition(" ")[2]) for x in text.splitlines() if x.startswith(f"{line} ")), 0.0)


@case("http")
async def metrics_count_puts(t: Talk) -> None:
    before = await value(t, "etcd_mvcc_put_total")
    for _ in range(3):
        await t.put("a")
    expect("etcd_mvcc_put_total", await value(t, "etcd_mvcc_put_total"), before + 3)


@case("http")
async def metrics_count_handled_calls(t: Talk) -> None:
    labels = 'grpc_code="OK",grpc_method="Put",grpc_service="etcdserverpb.KV",grpc_type="unary"'
    line = f"grpc_server_handled_total{{{labels}}}"
    before = await value(t, line)
    await t.put("a")
    expect("handled puts", await value(t, line), before + 1)


@case("http")
async def metrics_know_the_leader(t: Talk) -> None:
    expect("etcd_server_has_leader", await value(t, "etcd_server_has_leader"), 1.0)
    expect("etcd_server_is_leader", await value(t, "etcd_server_is_leader"), 1.0)


@case("http")
async def metrics_name_the_version(t: Talk) -> None:
    line = f'etcd_server_version{{server_version="{show_version(t.version)}"}}'
    expect("value", await value(t, line), 1.0)


@case("http")
async def metrics_take_get_and_others(t: Talk) -> None:
    expect("status of HEAD", (await t.http("HEAD", "/metrics")).status, 200)


@case("http")
async def grpc_and_http_share_the_port(t: Talk) -> None:
    address = t.address()
    await t.call(pb.StatusRequest())
    expect("status", (await t.http("GET", "/version")).status, 200)
    expect("address", t.address(), address)


@case("http")
async def cors_is_answered_for_every_origin(t: Talk) -> None:
    """--cors is * by default."""
    answer = await t.http("GET", "/version", headers={"Origin": "http://example.org"})
    expect("allow-origin", answer.headers.get("access-control-allow-origin"), "*")


@case("http")
async def cors_preflight(t: Talk) -> None:
    headers = {"Origin": "http://example.org", "Access-Control-Request-Method": "POST"}
    answer = await t.http("OPTIONS", "/v3/kv/range", headers=headers)
    expect("status", answer.status, 200)
    expect(
        "allow-methods", answer.headers.get("access-control-allow-methods"), "POST, GET, OPTIONS, PUT, DELETE"
    )


@case("http", flags=("--host-whitelist=good.example,127.0.0.1",))
async def hosts_not_whitelisted_are_refused(t: Talk) -> None:
    bad = await t.http("GET", "/version", headers={"Host": "evil.example"})
    expect_in("status", bad.status, (400, 403, 421))
    good = await t.http("GET", "/version", headers={"Host": "good.example"})
    expect("status of a good host", good.status, 200)
