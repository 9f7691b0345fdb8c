"""Maintenance/Hash, over the whole store, is etcd's for the same history of a member with the same name."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def put(key: str, value: str, **more: Any) -> tuple[str, dict[str, Any]]:
    return "kv/put", {"key": b64(key), "value": b64(value), **more}


STEPS: list[tuple[str, dict[str, Any]]] = [
    put("a", "1"),
    put("b", "2"),
    ("kv/deleterange", {"key": b64("a")}),
    ("lease/grant", {"ID": 77, "TTL": 1000}),
    put("leased", "x", lease=77),
    (
        "kv/txn",
        {
            "success": [
                {"request_put": {"key": b64("c"), "value": b64("3")}},
                {"request_put": {"key": b64("d"), "value": b64("4")}},
                {"request_delete_range": {"key": b64("b")}},
            ]
        },
    ),
    ("kv/compaction", {"revision": 4, "physical": True}),
    put("after", "compaction"),
    ("auth/role/add", {"name": "reader"}),
    ("auth/role/grant", {"name": "reader", "perm": {"key": b64("a"), "range_end": b64("c")}}),
    ("auth/user/add", {"name": "nobody", "options": {"no_password": True}}),
    ("auth/user/grant", {"user": "nobody", "role": "reader"}),
    ("auth/user/add", {"name": "root", "options": {"no_password": True}}),
    ("auth/user/grant", {"user": "root", "role": "root"}),
    ("auth/role/delete", {"role": "reader"}),
    ("maintenance/alarm", {"action": "ACTIVATE", "memberID": 5, "alarm": "NOSPACE"}),
    ("maintenance/alarm", {"action": "DEACTIVATE", "memberID": 5, "alarm": "NOSPACE"}),
    ("lease/revoke", {"ID": 77}),
    ("maintenance/downgrade", {"action": "ENABLE", "version": "3.6.0"}),
    ("maintenance/downgrade", {"action": "CANCEL"}),
]


def post(endpoint: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    curl = ["curl", "-s", "-m", "10", "-d", json.dumps(body), f"http://{endpoint}/v3/{path}"]
    shown: dict[str, Any] = json.loads(subprocess.run(curl, capture_output=True, check=True).stdout)
    return shown


@pytest.mark.slow
@pytest.mark.upstream
def test_hashes_of_equal_histories(
    start_cluster: Callable[..., Any],
    ports: Callable[[int], list[int]],
    wait_until: Callable[[Callable[[], bool], float, str], None],
) -> None:
    same_ports = ports(2)
    seen: dict[str, list[tuple[str, Any]]] = {}
    for kind in ("upstream", "reference"):
        cluster = start_cluster(kind, same_ports)
        endpoint = cluster.endpoints[0]

        def decided(endpoint: str = endpoint) -> bool:
            shown = subprocess.run(["curl", "-s", f"http://{endpoint}/version"], capture_output=True)
            return b'"etcdcluster":"3.7.0"' in shown.stdout

        wait_until(decided, 30, "a cluster version")
        hashes = [("start", post(endpoint, "maintenance/hash", {})["hash"])]
        for path, body in STEPS:
            answer = post(endpoint, path, body)
            assert not {"error", "code"} & answer.keys(), (path, answer)
            hashes.append((path, post(endpoint, "maintenance/hash", {})["hash"]))
        seen[kind] = hashes
        cluster.stop()
    assert seen["reference"] == seen["upstream"]
    assert len({value for _, value in seen["upstream"]}) > len(STEPS) // 2
