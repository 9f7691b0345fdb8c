"""The same JSON requests to a real etcd and to ours, one after the other: the answers must agree.

What differs by nature is blanked: ids, hashes, sizes, raft indexes and terms. Go's protojson writes a space
that does not break now and then in its errors, to keep anybody from comparing them; it is taken for a space.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
import requests

pytestmark = [pytest.mark.upstream, pytest.mark.slow]

VOLATILE = re.compile(
    r'"(cluster_id|member_id|ID|hash|dbSize|dbSizeInUse|dbSizeQuota|raftIndex|raftAppliedIndex|leader|raftTerm'
    r'|raft_term|name)":("[^"]*"|\d+)'
)
HEADERS = (
    "Content-Type",
    "Grpc-Metadata-Content-Type",
    "WWW-Authenticate",
    "Access-Control-Allow-Origin",
    "X-Content-Type-Options",
)

SCRIPT = [
    ("kv/put", '{"key":"YQ==","value":"Yg=="}'),
    ("kv/put", '{"key":"YQ==","lease":"5"}'),
    ("kv/put", '{"key":"w6k=","value":"\\u0041QQ="}'),
    ("kv/put", "{}"),
    ("kv/put", '{"key":"YQ==","value":"' + "A" * 2_200_000 + '"}'),
    ("kv/put", '{"key":"YQ==","value":"' + "A" * 4_200_000 + '"}'),
    ("kv/range", '{"key":"YQ==","rangeEnd":"AA=="}'),
    ("kv/range", '{"key":"YQ==","limit":"1e3"}'),
    ("kv/range", '{"key":"YQ==","sort_order":"NOPE"}'),
    ("kv/range", '{"key":"YQ==","nope":{"a":[1,2,{"b":null}]},"limit":1}'),
    ("kv/range", '{"key":"YQ=="} more'),
    *(
        ("kv/range", body)
        for body in ("", "  ", "null", "[1]", '"a"', "abc", "{", "[1 2]", "{'a':1}", "{key:1}")
    ),
    ("kv/range", '{"key":"YQ=="'),
    ("kv/range", '{"key" "YQ=="}'),
    ("kv/range", '{"key":"YQ==",}'),
    ("kv/range", '{"key":"YQ==" "limit":1}'),
    ("kv/range", '{"key":"Y\x01Q=="}'),
    ("kv/range", '{"key":"Y\\q"}'),
    *(
        ("kv/range", f'{{"key":{value}}}')
        for value in ('"Y"', '"+-8"', '"_-8"', "5", "null", "{}", '["YQ=="]')
    ),
    *(
        ("kv/range", f'{{"key":"YQ==","limit":{value}}}')
        for value in ("1.5", "true", '" 1"', '"-0"', "9" * 20)
    ),
    *(("kv/range", f'{{"a":{value}}}') for value in ("tru", "-", "NaN", "01", "nul", "falze")),
    ("kv/range", '{"key":"YQ==","key":"YQ=="}'),
    ("kv/range", '{"key":"YQ==","serializable":"true"}'),
    ("kv/txn", '{"compare":[{"target":"VERSION","key":"YQ==","version":"1","value":"YQ=="}]}'),
    (
        "kv/txn",
        '{"compare":[{"target":"VERSION","key":"YQ==","result":"GREATER","version":"0"}],"success":'
        '[{"request_put":{"key":"Yg==","value":"YmI="}},{"requestRange":{"key":"Yg=="}}]}',
    ),
    ("kv/txn", '{"success":5}'),
    ("kv/txn", '{"success":[5]}'),
    ("kv/txn", '{"compare":null,"success":[null]}'),
    ("kv/deleterange", '{"key":"Yg==","prev_kv":true}'),
    ("kv/compaction", '{"revision":"99"}'),
    ("kv/compaction", '{"revision":"2"}'),
    ("lease/grant", '{"TTL":100,"ID":77}'),
    ("lease/grant", '{"TTL":100,"ID":77}'),
    ("kv/lease/timetolive", '{"ID":"78"}'),
    ("lease/leases", "{}"),
    ("lease/keepalive", '{"ID":77}{"ID":77}\n{"ID":"99"}'),
    ("lease/keepalive", '{"ID":"a"}'),
    ("lease/keepalive", ""),
    ("kv/lease/revoke", '{"ID":77}'),
    ("lease/revoke", '{"ID":77}'),
    ("cluster/member/list", "{}"),
    ("cluster/member/promote", '{"ID":5}'),
    ("maintenance/alarm", '{"action":"ACTIVATE","alarm":"NOSPACE","memberID":"5"}'),
    ("maintenance/status", ""),
    ("maintenance/alarm", '{"action":"DEACTIVATE","alarm":"NOSPACE","memberID":"5"}'),
    ("maintenance/hash", ""),
    ("maintenance/hashkv", '{"revision":100}'),
    ("maintenance/transfer-leadership", '{"targetID":5}'),
    ("maintenance/downgrade", '{"action":"VALIDATE","version":"3.6"}'),
    ("auth/status", "{}"),
    ("auth/enable", "{}"),
    ("auth/user/add", '{"name":"","password":"x"}'),
    ("auth/authenticate", '{"name":"a","password":"x"}'),
    ("election/leader", '{"name":"YQ=="}'),
    ("election/proclaim", '{"leader":{"name":"YQ==","key":"YQ==","rev":1,"lease":1},"value":"Yg=="}'),
    ("nothing", "{}"),
    ("kv", "{}"),
    ("kv/put/", "{}"),
]


def seen(endpoint: str, path: str, body: str, **more: Any) -> tuple[object, ...]:
    answer = requests.request(
        more.pop("method", "POST"), f"http://{endpoint}{path}", data=body.encode(), timeout=20, **more
    )
    text = answer.content.decode().replace("\u00a0", " ").replace(endpoint, "endpoint")
    text = VOLATILE.sub(r'"\1":0', re.sub(r"http://127.0.0.1:\d+", "url", text))
    try:
        content: object = [json.loads(line) for line in text.splitlines()]
    except ValueError:
        content = text
    return answer.status_code, {name: answer.headers.get(name) for name in HEADERS}, content


def test_the_same_answers(start_cluster: Callable[..., Any], ports: Callable[[int], list[int]]) -> None:
    theirs = start_cluster("upstream", ports(2)).endpoints[0]
    ours = start_cluster("reference", ports(2)).endpoints[0]
    different = []
    for path, body in SCRIPT:
        expected, got = seen(theirs, f"/v3/{path}", body), seen(ours, f"/v3/{path}", body)
        if expected != got:
            different.append(f"{path} {body[:80]}\n  etcd: {expected}\n  ours: {got}")
    for method, path, headers in (
        ("GET", "/v3/kv/put", {}),
        ("GET", "/version", {}),
        ("POST", "/version", {}),
        ("POST", "/health", {}),
        ("GET", "/health", {}),
        ("GET", "/health?serializable=true", {}),
        ("GET", "/livez?verbose", {}),
        ("GET", "/readyz?verbose&exclude=linearizable_read&exclude=nothing", {}),
        ("GET", "/readyz/non_learner", {}),
        ("GET", "/readyz/nothing", {}),
        ("OPTIONS", "/anything", {}),
        ("GET", "/nothing", {}),
        ("POST", "/v3/kv/put", {"Grpc-Timeout": "x"}),
        ("POST", "/v3/kv/put", {"Authorization": "nonsense"}),
        ("POST", "/v3/kv/put", {"Grpc-Metadata-A-Bin": "!!"}),
        ("POST", "/v3/watch", {"Grpc-Timeout": "300m"}),
    ):
        body = '{"key":"YQ=="}'
        expected, got = (seen(end, path, body, method=method, headers=headers) for end in (theirs, ours))
        if "verbose" in path:
            expected, got = ((*each[:2], sorted(str(each[2]).splitlines())) for each in (expected, got))
        if expected != got:
            different.append(f"{method} {path} {headers}\n  etcd: {expected}\n  ours: {got}")
    assert not different, "\n".join(different)
