"""The metrics page of a running member: upstream's names, and numbers that follow what was done."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from gauntlet.api import errors
from gauntlet.api.errors import RpcError
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.wire.types import Context, Method
from gauntlet.reference.reads import ReadIndexes
from gauntlet.reference.server.metrics.calls import Calls
from gauntlet.reference.server.metrics.families import counter, histogram, labelled, text
from gauntlet.reference.server.metrics.tally import Histogram, Tally, powers

DOCUMENT = Path(__file__).parents[3] / "docs" / "metrics.md"
FACTS = Path(__file__).parents[4] / "shared" / "facts" / "metrics.tsv"


def fetch(endpoint: str, path: str, method: str = "GET", body: str = "") -> tuple[int, str]:
    with closing(http.client.HTTPConnection(endpoint, timeout=10)) as connection:
        connection.request(method, path, body)
        with connection.getresponse() as answer:
            return answer.status, answer.read().decode()


def numbers(endpoint: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    samples = read_samples(fetch(endpoint, "/metrics")[1])
    return {(name, tuple(sorted(labels.items()))): value for name, labels, value in samples}


def read_samples(page: str) -> list[tuple[str, dict[str, str], float]]:
    """prometheus-client's parser would rename counters without a suffix."""
    samples = []
    for line in page.splitlines():
        if not line.startswith("#"):
            name, labels, value = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line).groups()
            samples.append((name, dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels or "")), float(value)))
    return samples


def test_the_text_form() -> None:
    times = Histogram(powers(0.5, 2, 2))
    for value in (0.1, 0.5, 0.7, 9):
        times.observe(value)
    page = text(
        [
            labelled("b_total", "Two.", "counter", ("who",), {('a"\\',): 2}),
            counter("etcd_server_health_failures", "No suffix.", 1),
            histogram("a", "Times.", times),
            counter("empty", "Nothing."),
        ]
    )
    assert page.decode() == (
        "# HELP a Times.\n# TYPE a histogram\n"
        'a_bucket{le="0.5"} 2\na_bucket{le="1"} 3\na_bucket{le="+Inf"} 4\na_sum 10.3\na_count 4\n'
        '# HELP b_total Two.\n# TYPE b_total counter\nb_total{who="a\\"\\\\"} 2\n'
        "# HELP etcd_server_health_failures No suffix.\n# TYPE etcd_server_health_failures counter\n"
        "etcd_server_health_failures 1\n"
    )


def test_calls_are_counted_however_they_end() -> None:
    tally = Tally()
    calls = Calls(tally, timed=True, slow_after=0.0)
    answers: list[Any] = []

    def put(context: Context, request: pb.PutRequest, reply: Callable[[Any], None]) -> None:
        if not request.key:
            raise RpcError(3, "no key", definite=True)
        reply(pb.PutResponse())

    path = "/etcdserverpb.KV/Put"
    table = calls.wrap({path: Method(path, pb.PutRequest, pb.PutResponse, unary=put)})
    unary = table[path].unary
    assert unary is not None
    unary(Context({"client-api-version": "3.7"}), pb.PutRequest(key=b"a"), answers.append)
    unary(Context(), pb.PutRequest(), answers.append)
    assert [type(answer) for answer in answers] == [bytes, RpcError]
    rpc = calls.methods[path]
    assert (rpc.started, rpc.sent, rpc.handled) == (2, 1, {0: 1, 3: 1})
    assert tally.requests == {("unary", "3.7"): 1, ("unary", "unknown"): 1}
    assert tally.received_bytes == 3
    assert rpc.times is not None
    assert sum(rpc.times.counts) == 2


@pytest.mark.slow
def test_what_was_done_is_counted(
    start_cluster: Callable[..., Any], ports: Callable[[int], list[int]], wait_until: Callable[..., None]
) -> None:
    extra = ports(1)[0]
    flags = ("--listen-metrics-urls", f"http://127.0.0.1:{extra}", "--metrics", "extensive")
    endpoint = start_cluster("reference", ports(2), *flags).endpoints[0]

    def settled() -> bool:
        return any(name == "etcd_cluster_version" for name, _ in numbers(endpoint))

    wait_until(settled, 30, "the cluster version, which is the last entry that nobody asked for")
    before = numbers(endpoint)
    for body in ('{"key":"YQ==","value":"Yg=="}', '{"key":"Yg=="}', "{}"):
        fetch(endpoint, "/v3/kv/put", "POST", body)
    fetch(endpoint, "/v3/kv/range", "POST", '{"key":"YQ=="}')
    two = '{"request_put":{"key":"YQ=="}},{"request_range":{"key":"YQ=="}}'
    fetch(endpoint, "/v3/kv/txn", "POST", f'{{"success":[{two}]}}')
    fetch(endpoint, "/v3/kv/deleterange", "POST", '{"key":"Yg=="}')
    fetch(endpoint, "/v3/lease/grant", "POST", '{"ID":"5","TTL":"50"}')
    fetch(endpoint, "/v3/lease/keepalive", "POST", '{"ID":"5"}')
    fetch(endpoint, "/health")
    after = numbers(endpoint)

    def grown(name: str, **labels: str) -> float:
        key = (name, tuple(sorted(labels.items())))
        return after[key] - before.get(key, 0)

    assert grown("etcd_mvcc_put_total") == 3
    assert grown("etcd_mvcc_delete_total") == 1
    assert grown("etcd_mvcc_range_total") == 2
    assert grown("etcd_mvcc_txn_total") == 1
    assert grown("etcd_debugging_mvcc_total_put_size_in_bytes") == 4
    assert grown("etcd_debugging_lease_granted_total") == 1
    assert grown("etcd_debugging_lease_renewed_total") == 1
    assert grown("etcd_debugging_lease_ttl_total_sum") == 50
    assert grown("etcd_debugging_mvcc_current_revision") == 4
    assert after["etcd_debugging_mvcc_keys_total", ()] == 1
    assert grown("etcd_server_proposals_applied_total") == 5
    assert grown("etcd_disk_wal_write_bytes_total") > 0
    assert grown("etcd_server_health_success") == 1
    put = {"grpc_service": "etcdserverpb.KV", "grpc_method": "Put", "grpc_type": "unary"}
    assert grown("grpc_server_started_total", **put) == 3
    assert grown("grpc_server_handled_total", grpc_code="InvalidArgument", **put) == 1
    assert grown("grpc_server_handled_total", grpc_code="OK", **put) == 2
    assert grown("grpc_server_handling_seconds_count", **put) == 3
    assert grown("etcd_server_apply_duration_seconds_count", op="Put", success="true", version="v3") == 2
    assert grown("etcd_server_request_duration_seconds_count", type="Put", success="true") == 2
    assert after["etcd_server_has_leader", ()] == 1
    assert after["etcd_server_feature_enabled", (("name", "FastLeaseKeepAlive"), ("stage", "BETA"))] == 1
    # The metrics listener has the page and the health checks, and nothing else.
    own = f"127.0.0.1:{extra}"
    assert numbers(own)["etcd_mvcc_put_total", ()] == 3
    assert [fetch(own, path)[0] for path in ("/health", "/readyz", "/version", "/v3/kv/put")] == [
        200,
        200,
        404,
        404,
    ]
    shown = json.loads(fetch(endpoint, "/debug/vars")[1])
    assert shown["raft.status"]["raftState"] == "StateLeader"
    assert set(shown) >= {"cmdline", "file_descriptor_limit", "memstats", "raft.status"}


def count(numbers: Mapping[Any, float], name: str, **labels: str) -> float:
    return numbers.get((name, tuple(sorted(labels.items()))), 0)


@pytest.mark.slow
def test_watches_compactions_and_snapshots_are_counted(
    start_cluster: Callable[..., Any], ports: Callable[[int], list[int]], wait_until: Callable[..., None]
) -> None:
    endpoint = start_cluster("reference", ports(2)).endpoints[0]
    before = numbers(endpoint)
    loop = "etcd_debugging_server_watch_send_loop_"
    with closing(http.client.HTTPConnection(endpoint, timeout=20)) as watching:
        create = {"key": "YQ==", "start_revision": "2"}
        watching.request("POST", "/v3/watch", json.dumps({"create_request": create}))
        for _ in range(3):
            fetch(endpoint, "/v3/kv/put", "POST", '{"key":"YQ==","value":"Yg=="}')
        answer = watching.getresponse()
        got = b""
        while got.count(b'"mod_revision"') < 3:
            got += answer.readline()
    fetch(endpoint, "/v3/kv/compaction", "POST", '{"revision":"3","physical":true}')
    assert fetch(endpoint, "/v3/maintenance/snapshot", "POST", "{}")[0] == 200
    after = numbers(endpoint)
    assert count(before, loop + "watch_stream_duration_seconds_count") == 0
    sends = count(after, loop + "watch_stream_duration_seconds_count")
    assert 1 <= sends <= 3
    assert count(after, loop + "watch_stream_duration_per_event_seconds_count") == sends
    whole = count(after, loop + "watch_stream_duration_seconds_sum")
    assert 0 < count(after, loop + "watch_stream_duration_per_event_seconds_sum") <= whole
    assert count(after, loop + "control_stream_duration_seconds_count") == 1
    assert count(after, "etcd_debugging_mvcc_events_total") == 3
    for part in ("db", "index"):
        name = f"etcd_debugging_mvcc_{part}_compaction_pause_duration_milliseconds"
        assert count(before, name + "_count") == 0
        assert count(after, name + "_count") >= 1
        assert count(after, name + "_sum") > 0
    assert count(after, "etcd_debugging_mvcc_db_compaction_keys_total") == 1
    name = "etcd_disk_backend_snapshot_duration_seconds_count"
    assert (count(before, name), count(after, name)) == (0, 1)


@pytest.mark.slow
def test_a_learners_snapshot_and_promotion_are_counted_on_both_sides(
    start_cluster: Callable[..., Any],
    launch: Callable[..., Any],
    ports: Callable[[int], list[int]],
    wait_until: Callable[..., None],
) -> None:
    of_first = ports(2)
    flags = ("--snapshot-count", "10", "--snapshot-catchup-entries", "5")
    first = start_cluster("reference", of_first, *flags).endpoints[0]
    for number in range(40):
        fetch(first, "/v3/kv/put", "POST", json.dumps({"key": "YQ==", "value": f"{number:04}"}))
    client, peer = (f"http://127.0.0.1:{port}" for port in ports(2))
    added = json.loads(
        fetch(first, "/v3/cluster/member/add", "POST", json.dumps({"peerURLs": [peer], "isLearner": True}))[1]
    )
    member = int(added["member"]["ID"])
    leader = f"{int(added['header']['member_id']):x}"
    ask = json.dumps({"ID": str(member)})
    assert "in sync with leader" in fetch(first, "/v3/cluster/member/promote", "POST", ask)[1]
    assert "not found" in fetch(first, "/v3/cluster/member/promote", "POST", '{"ID":"7"}')[1]
    launch(
        *("--name", "m2", "--data-dir", "m2", "--initial-cluster-state", "existing"),
        *("--listen-client-urls", client, "--advertise-client-urls", client),
        *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
        *("--initial-cluster", f"m1=http://127.0.0.1:{of_first[1]},m2={peer}"),
    ).wait_for("ready to serve client requests")
    second = client.removeprefix("http://")

    def promoted() -> bool:
        return fetch(first, "/v3/cluster/member/promote", "POST", ask)[0] == 200

    wait_until(promoted, 30, "the learner to be promoted")
    ours, theirs = numbers(first), numbers(second)
    one, two = {"From": leader}, {"To": f"{member:x}"}
    assert count(ours, "etcd_network_snapshot_send_success", **two) == 1
    assert count(ours, "etcd_network_snapshot_send_total_duration_seconds_count", **two) == 1
    assert count(ours, "etcd_network_snapshot_send_inflights_total", **two) == 0
    assert count(theirs, "etcd_network_snapshot_receive_success", **one) == 1
    assert count(theirs, "etcd_network_snapshot_receive_total_duration_seconds_count", **one) == 1
    for name in ("db_fsync", "db_save_total", "fsync"):
        assert count(theirs, f"etcd_snap_{name}_duration_seconds_count") >= 1, name
    assert count(ours, "etcd_snap_fsync_duration_seconds_count") >= 1
    assert count(ours, "etcd_snap_db_save_total_duration_seconds_count") == 0
    assert count(ours, "etcd_server_learner_promote_successes") == 1
    failures = "etcd_server_learner_promote_failures"
    assert count(ours, failures, Reason="membership: ID not found") == 1
    reason = "etcdserver: can only promote a learner member which is in sync with leader"
    assert count(ours, failures, Reason=reason) >= 1
    assert count(theirs, "etcd_server_learner_promote_successes") == 0

    def probed() -> bool:
        return count(numbers(first), "etcd_network_peer_round_trip_time_seconds_count", **two) > 0

    wait_until(probed, 30, "a probe of the new member")


def test_failed_and_slow_reads_are_counted() -> None:
    asked: list[bytes] = []
    heard: list[RpcError | None] = []
    reads = ReadIndexes(asked.append, iter(range(1, 100)).__next__, timeout=5.0)
    reads.add(heard.append)
    reads.start(0.0)
    reads.leader_changed()
    assert (reads.failed, reads.slow, heard) == (1, 0, [errors.LEADER_CHANGED])
    reads.answered(asked[0], 5)
    assert (reads.failed, reads.slow) == (1, 1)
    reads.add(heard.append)
    reads.start(10.0)
    reads.tick(16.0)
    assert (reads.failed, reads.slow, heard[1:]) == (1, 2, [errors.TIMEOUT])
    reads.add(heard.append)
    reads.start(20.0)
    reads.answered(asked[-1], 5)
    reads.applied(5)
    assert (reads.failed, reads.slow, heard[2:]) == (1, 2, [None])


@pytest.mark.slow
def test_every_name_of_upstream_is_there_or_explained(
    start_cluster: Callable[..., Any], ports: Callable[[int], list[int]]
) -> None:
    if not FACTS.exists():
        pytest.skip("no table of upstream's metrics beside the repository")
    upstream = {
        fields[0]
        for fields in (line.split("\t") for line in FACTS.read_text(encoding="utf-8").splitlines())
        if len(fields) > 4 and fields[4] == "y"
    }
    assert len(upstream) > 100
    cluster = start_cluster("reference", ports(6))
    fetch(cluster.endpoints[0], "/v3/kv/range", "POST", '{"key":"YQ=="}')
    page = fetch(cluster.endpoints[0], "/metrics")[1]
    shown = set(re.findall(r"^# TYPE (\S+)", page, re.MULTILINE))
    explained = set(re.findall(r"`((?:etcd|os|go|grpc)_[a-z0-9_]+)`", DOCUMENT.read_text(encoding="utf-8")))
    missing = sorted(upstream - shown - explained)
    assert not missing, missing


@pytest.mark.slow
@pytest.mark.upstream
def test_types_and_labels_are_upstreams(
    start_cluster: Callable[..., Any], ports: Callable[[int], list[int]]
) -> None:
    pages = []
    for kind in ("upstream", "reference"):
        endpoint = start_cluster(kind, ports(2)).endpoints[0]
        fetch(endpoint, "/v3/kv/put", "POST", '{"key":"YQ=="}')
        fetch(endpoint, "/v3/kv/range", "POST", '{"key":"YQ=="}')
        fetch(endpoint, "/readyz")
        pages.append(fetch(endpoint, "/metrics")[1])

    def shapes(page: str) -> dict[str, tuple[str, frozenset[str]]]:
        types = dict(re.findall(r"^# TYPE (\S+) (\S+)", page, re.MULTILINE))
        found: dict[str, tuple[str, frozenset[str]]] = {}
        for full, labels, _ in read_samples(page):
            name = re.sub("_(bucket|sum|count)$", "", full)
            name = name if name in types else full
            if name in types and name.startswith(("etcd_", "grpc_", "os_")):
                found[name] = (types[name], frozenset(labels) - {"le"})
        return found

    theirs, ours = (shapes(page) for page in pages)
    common = theirs.keys() & ours.keys()
    assert len(common) > 60, len(common)
    assert {name: ours[name] for name in common} == {name: theirs[name] for name in common}
    assert ours.keys() <= theirs.keys()
