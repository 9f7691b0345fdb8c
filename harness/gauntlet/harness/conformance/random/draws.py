"""How random steps are drawn: one Hypothesis strategy a kind of step.

Rules:
1. Keys, leases, users and roles come from small pools, so that requests meet; odd ones are among them.
2. Nothing that would end a single member: no removal of the member itself. A second voter, which nobody
   starts, ends a sequence, so it is drawn seldom.
3. No txn that deletes "from a key on" and puts: upstream 3.7.1 has two bugs there, and both end the member
   (it reads a value that the txn has deleted; it loses a key if the compaction is at the txn's revision).
   tests/reference/mvcc/test_upstream_equal.py goes as near to them as one can.
4. No update that takes another member's URLs away or makes them wrong: upstream 3.7.1 ends then, too.
"""

from __future__ import annotations

from typing import Any

from gauntlet.api.messages import authpb, grpc_health_v1, v3electionpb, v3lockpb
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.harness.conformance.arena import PASSWORD, ROOT
from gauntlet.harness.conformance.random.steps import (
    CONNECTIONS,
    LEARNER,
    NOW,
    SELF,
    AnyStep,
    Blocking,
    Expire,
    Gateway,
    Http,
    KeepAlive,
    Leader,
    Login,
    Observe,
    SetUpRoot,
    Step,
    Watch,
)
from google.protobuf.message import Message
from hypothesis import strategies as st

Draw = st.SearchStrategy[Any]

KEYS = [b"a", b"b", b"c", b"a\x00", b"aa", b"\xff", b"\x00", b"k" * 300]
ODD_KEYS = [b"", b"x" * 20_000]
VALUES = [b"", b"1", b"2", b"\x00\xff", b"v" * 5000]
HUGE_VALUES = [b"v" * 400_000, b"v" * 1_600_000]  # the second is above --max-request-bytes
_KEY_POOL = [b"a", b"b"] * 12 + KEYS * 3 + ODD_KEYS
LEASES = [101, 102, 103]
ODD_LEASES = [0, -1, 4711, 2**63 - 1]
USERS = ["u", "v", ROOT]
ROLES = ["r", "s", "root"]
PASSWORDS = ["p", "q", PASSWORD]
MEMBERS = [0, 4711, SELF, LEARNER]
PEER_URLS = ["http://127.0.0.1:1", "http://127.0.0.1:2"]
BAD_URLS = ["", "bad", "http://x", "127.0.0.1:3", "http://127.0.0.1:3/path", "ftp://127.0.0.1:3"]
SERVICES = ["", "etcdserverpb.KV", "etcdserverpb.Health", "nonsense"]
PAGES = ["/health", "/health?serializable=true", "/health?exclude=NOSPACE", "/version", "/livez", "/readyz"]
PAGES += ["/livez?verbose", "/readyz?verbose", "/readyz?exclude=nonsense&verbose", "/livez/serializable_read"]
PAGES += ["/readyz/nonsense", "/nonsense", "/v3/kv/range", "/v2/keys"]
JSON_PATHS = ["/v3/kv/range", "/v3/kv/put", "/v3/kv/txn", "/v3/lease/timetolive", "/v3/kv/nonsense"]
BODIES = [
    *(b"", b"{", b"[]", b"null", b"5", b'{"key": 5}', b'{"key": "!!"}', b'{"nope": 1}', b'{"ID": "x"}'),
    *(b'{"key": "YQ==", "limit": "1"}', b'{"key": "YQ", "prevKv": "yes"}', b'{"TTL": 1.5}', b'{"key": null}'),
    *(
        b'{"success": [{"requestPut": {"key": "YQ==", "value": "MQ=="}}]}',
        b'{"compare": [{"result": "HUGE"}]}',
    ),
]


def pick(values: list[Any]) -> Draw:
    return st.sampled_from(values)


connections = st.integers(0, CONNECTIONS - 1)
keys = st.integers(0, len(_KEY_POOL) - 1).map(lambda number: _KEY_POOL[number])
ends = pick([b"", b"", b"", b"b", b"d", b"\x00", b"\xff\xff"])
values = st.integers(0, 60).map(lambda n: HUGE_VALUES[n - 59] if n >= 59 else VALUES[n % len(VALUES)])
leases = pick([*[0] * 24, *LEASES * 2, *ODD_LEASES])
ids = pick([*LEASES * 3, *ODD_LEASES])
flags = st.booleans()
rare = pick([*[False] * 9, True])
revisions = pick([*[0] * 12, -1, 1, 2**62, NOW - 1, NOW, *range(NOW + 1, NOW + 13)])
limits = pick([0, 0, 0, 1, 2, -1, 2**62])

ranges = st.builds(
    pb.RangeRequest,
    key=keys,
    range_end=ends,
    limit=limits,
    revision=revisions,
    sort_order=pick([*[0] * 10, 1, 1, 2, 2, 9]),
    sort_target=pick([*[0] * 10, 1, 2, 3, 4, 9]),
    serializable=rare,
    keys_only=rare,
    count_only=rare,
    min_mod_revision=pick([*[0] * 8, NOW + 2, NOW + 5]),
    max_mod_revision=pick([*[0] * 8, NOW + 3, NOW + 6]),
    min_create_revision=pick([*[0] * 8, NOW + 2]),
    max_create_revision=pick([*[0] * 8, NOW + 4]),
)
puts = st.builds(
    pb.PutRequest, key=keys, value=values, lease=leases, prev_kv=flags, ignore_value=rare, ignore_lease=rare
)
deletes = st.builds(pb.DeleteRangeRequest, key=keys, range_end=ends, prev_kv=flags)
compactions = st.builds(pb.CompactionRequest, revision=revisions, physical=flags)

_TARGETS = ["version", "create_revision", "mod_revision", "value", "lease"]


def _compare(key: bytes, end: bytes, result: int, operand: tuple[str, Any], odd: bool) -> pb.Compare:
    fields: dict[str, Any] = {operand[0]: operand[1]}
    target: Any = 9 if odd else _TARGETS.index(operand[0])
    return pb.Compare(key=key, range_end=end, result=result, target=target, **fields)


_operands = st.one_of(
    st.tuples(st.just("version"), pick([0, 1, 2])),
    st.tuples(st.just("create_revision"), pick([0, NOW + 1, NOW + 3])),
    st.tuples(st.just("mod_revision"), pick([0, NOW + 1, NOW + 3])),
    st.tuples(st.just("value"), values),
    st.tuples(st.just("lease"), pick([0, *LEASES])),
)
compares = st.builds(
    _compare, keys, ends, pick([0, 1, 2, 3] * 6 + [9]), _operands, pick([*[False] * 19, True])
)
_leaf = st.one_of(
    st.builds(pb.RequestOp, request_range=ranges),
    st.builds(pb.RequestOp, request_put=puts),
    st.builds(pb.RequestOp, request_delete_range=deletes),
    st.builds(pb.RequestOp, request_put=puts),
    rare.map(
        lambda empty: pb.RequestOp() if empty else pb.RequestOp(request_range=pb.RangeRequest(key=b"a"))
    ),
)


def _txn(operation: Draw) -> Draw:
    branch = st.lists(operation, max_size=4)
    return st.builds(
        pb.TxnRequest,
        compare=st.lists(compares, max_size=2),
        success=branch,
        failure=st.lists(_leaf, max_size=2),
    )


def _operations(txn: pb.TxnRequest) -> list[pb.RequestOp]:
    found = []
    for operation in (*txn.success, *txn.failure):
        inner = _operations(operation.request_txn) if operation.HasField("request_txn") else [operation]
        found += inner
    return found


def harmless(txn: pb.TxnRequest) -> pb.TxnRequest:
    """Rule 3: where the txn puts, its deletes from a key on end below the last key instead."""
    operations = _operations(txn)
    if any(operation.HasField("request_put") for operation in operations):
        for operation in operations:
            if operation.request_delete_range.range_end == b"\x00":
                operation.request_delete_range.range_end = b"\xff\xff"
    return txn


_inner = st.builds(
    pb.RequestOp, request_txn=_txn(st.one_of(_leaf, _leaf, st.builds(pb.RequestOp, request_txn=_txn(_leaf))))
)
_any_txn = _txn(st.one_of(_leaf, _leaf, _leaf, _inner))


@st.composite
def _txns(draw: st.DrawFn) -> pb.TxnRequest:
    """A name, for the strategy's own is 30 kB long."""
    return harmless(draw(_any_txn))


txns = _txns()

watch_creates = st.builds(
    lambda **fields: pb.WatchRequest(create_request=pb.WatchCreateRequest(**fields)),
    key=keys,
    range_end=ends,
    start_revision=pick([0, 0, 0, -1, 1, NOW, NOW + 1, NOW + 2, NOW + 5]),
    filters=st.lists(pick([0, 1, 0, 1, 7]), max_size=3),
    prev_kv=flags,
    watch_id=pick([0, 0, 0, 1, 7, -2]),
    fragment=rare,
    progress_notify=rare,
)
watch_cancels = st.builds(
    lambda number: pb.WatchRequest(cancel_request=pb.WatchCancelRequest(watch_id=number)),
    pick([0, 1, 2, 7, -2, 99]),
)

grants = st.builds(
    pb.LeaseGrantRequest, ID=ids, TTL=pick([60, 60, 1000, 9 * 10**9, 9 * 10**9 + 1, 2**63 - 1])
)
users, roles, passwords = (pick(pool) for pool in ([*USERS, ""], [*ROLES, ""], [*PASSWORDS, ""]))
names = pick([b"l", b"l", b"a", b""])
permissions = st.builds(authpb.Permission, permType=st.integers(0, 2), key=keys, range_end=ends)
_good_urls = st.lists(pick(PEER_URLS), min_size=1, max_size=2)
_bad_urls = st.lists(pick(BAD_URLS), max_size=2)

SINGLE: dict[str, Draw] = {
    "range": ranges,
    "put": puts,
    "delete": deletes,
    "txn": txns,
    "compact": compactions,
    "grant": grants,
    "revoke": st.builds(pb.LeaseRevokeRequest, ID=ids),
    "time_to_live": st.builds(pb.LeaseTimeToLiveRequest, ID=ids, keys=flags),
    "leases": st.just(pb.LeaseLeasesRequest()),
    "status": st.just(pb.StatusRequest()),
    "hash": st.just(pb.HashRequest()),
    "hash_kv": st.builds(pb.HashKVRequest, revision=revisions),
    "defragment": st.just(pb.DefragmentRequest()),
    "alarm": st.builds(
        pb.AlarmRequest, action=st.integers(0, 2), memberID=pick([0, 7, SELF]), alarm=st.integers(0, 2)
    ),
    "downgrade": st.builds(
        pb.DowngradeRequest, action=st.just(0), version=pick(["", "x", "3.6.0", "3.7.0", "3.2.0", "3.6"])
    ),
    "move_leader": st.builds(pb.MoveLeaderRequest, targetID=pick(MEMBERS)),
    "members": st.builds(pb.MemberListRequest, linearizable=flags),
    "add_member": st.one_of(
        st.builds(pb.MemberAddRequest, peerURLs=_good_urls, isLearner=pick([*[True] * 5, False])),
        st.builds(pb.MemberAddRequest, peerURLs=_bad_urls, isLearner=flags),
    ),
    "update_member": st.one_of(
        st.builds(pb.MemberUpdateRequest, ID=pick([0, 4711, LEARNER]), peerURLs=_good_urls),
        st.builds(pb.MemberUpdateRequest, ID=pick([0, 4711]), peerURLs=_bad_urls),
    ),
    "remove_member": st.builds(pb.MemberRemoveRequest, ID=pick([0, 4711, LEARNER])),
    "promote_member": st.builds(pb.MemberPromoteRequest, ID=pick(MEMBERS)),
    "user_add": st.builds(pb.AuthUserAddRequest, name=users, password=passwords),
    "user_get": st.builds(pb.AuthUserGetRequest, name=users),
    "user_list": st.just(pb.AuthUserListRequest()),
    "user_delete": st.builds(pb.AuthUserDeleteRequest, name=users),
    "user_grant": st.builds(pb.AuthUserGrantRoleRequest, user=users, role=roles),
    "user_revoke": st.builds(pb.AuthUserRevokeRoleRequest, name=users, role=roles),
    "user_password": st.builds(
        pb.AuthUserChangePasswordRequest, name=pick(["u", "v", "x"]), password=passwords
    ),
    "role_add": st.builds(pb.AuthRoleAddRequest, name=roles),
    "role_get": st.builds(pb.AuthRoleGetRequest, role=roles),
    "role_list": st.just(pb.AuthRoleListRequest()),
    "role_delete": st.builds(pb.AuthRoleDeleteRequest, role=roles),
    "role_grant": st.builds(pb.AuthRoleGrantPermissionRequest, name=roles, perm=permissions),
    "role_revoke": st.builds(pb.AuthRoleRevokePermissionRequest, role=roles, key=keys, range_end=ends),
    "auth_status": st.just(pb.AuthStatusRequest()),
    "auth_enable": st.just(pb.AuthEnableRequest()),
    "auth_disable": st.just(pb.AuthDisableRequest()),
    "authenticate": st.builds(pb.AuthenticateRequest, name=users, password=passwords),
    "unlock": st.builds(v3lockpb.UnlockRequest, key=st.one_of(keys, pick([b"l/65", b"l/66", b"a/65"]))),
    "resign": st.just(v3electionpb.ResignRequest()),
}
# Not through the gateway: what is not in its table, and what it would not stop at the same point.
_NO_JSON = ("unlock", "resign")


@st.composite
def _gateway_requests(draw: st.DrawFn) -> Message:
    name = draw(pick([name for name in SINGLE if name not in _NO_JSON]))
    request: Message = draw(SINGLE[name])
    return request


def _on(requests: Draw, path: str) -> Draw:
    return st.builds(Step, requests, connections, st.just(path))


_leaders = _on(
    st.builds(v3electionpb.LeaderRequest, name=st.one_of(names, keys)), "/v3electionpb.Election/Leader"
)
_expiring = st.builds(Expire, st.lists(keys, max_size=2).map(tuple), flags, connections)

STEPS: dict[str, st.SearchStrategy[AnyStep]] = {
    name: st.builds(Step, requests, connections) for name, requests in SINGLE.items()
}
STEPS |= {
    "gateway": st.builds(Gateway, _gateway_requests(), connections),
    "page": st.builds(Http, pick(["GET", "GET", "GET", "HEAD", "POST", "PUT"]), pick(PAGES)),
    "json": st.builds(Http, pick(["POST", "POST", "POST", "PUT"]), pick(JSON_PATHS), pick(BODIES)),
    "range_stream": _on(ranges, "/etcdserverpb.KV/RangeStream"),
    "snapshot": _on(st.just(pb.SnapshotRequest()), "/etcdserverpb.Maintenance/Snapshot"),
    "health": _on(
        st.builds(grpc_health_v1.HealthCheckRequest, service=pick(SERVICES)), "/grpc.health.v1.Health/Check"
    ),
    "leader_or_expire": st.one_of(_leaders, _leaders, _leaders, _expiring),  # to expire takes seconds
    "lock": st.builds(Blocking, st.builds(v3lockpb.LockRequest, name=names, lease=ids), connections),
    "campaign": st.builds(
        Blocking,
        st.builds(v3electionpb.CampaignRequest, name=names, lease=ids, value=pick([b"", b"1", b"2"])),
        connections,
    ),
    "proclaim_or_resign": st.builds(Leader, pick([None, b"", b"3", b"4"]), connections),
    "observe": st.builds(Observe, names, connections),
    "watch": st.builds(Watch, watch_creates, st.integers(0, 1)),
    "cancel": st.builds(Watch, watch_cancels, st.integers(0, 1)),
    "keep_alive": st.builds(KeepAlive, st.lists(ids, min_size=1, max_size=2).map(tuple), connections),
    "set_up_root": st.just(SetUpRoot()),
    "login": st.builds(Login, users, passwords, connections),
}


# Kinds that are drawn more often than the others, which are drawn once: what changes the store comes first.
_OFTEN = {
    "put": 8,
    "delete": 5,
    "range": 4,
    "txn": 5,
    "watch": 3,
    "grant": 3,
    "compact": 3,
    "hash_kv": 2,
    "lock": 2,
    "campaign": 2,
    "gateway": 4,
    "time_to_live": 2,
    "keep_alive": 2,
}
for _name, _times in _OFTEN.items():
    STEPS |= {f"{_name}_{number}": STEPS[_name] for number in range(2, _times + 1)}
