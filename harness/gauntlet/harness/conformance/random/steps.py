"""What a random sequence is made of: requests as data, drawn by Hypothesis.

Rules:
1. A step holds no absolute revision: a number from NOW on means so many above the revision at the start of
   the sequence, so a step means the same on both targets and in every repetition.
2. Keys, leases, users and roles come from small pools, so that requests meet; odd ones are among them.
3. Nothing that time decides: no lease that expires within a sequence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gauntlet.api.messages import authpb, v3electionpb, v3lockpb
from gauntlet.api.messages import etcdserverpb as pb
from google.protobuf.message import Message
from hypothesis import strategies as st

NOW = 1 << 40  # NOW + n: the revision at the start, plus n
CONNECTIONS = 3
ROOT, PASSWORD = "root", "root-password"


@dataclass(frozen=True, slots=True)
class Step:
    """One request on one of the connections. path "" is found by the request's type."""

    request: Message
    connection: int = 0
    path: str = ""


@dataclass(frozen=True, slots=True)
class Login:
    """The connection sends this user's token from now on, if the login succeeds; name "": no token."""

    name: str
    password: str
    connection: int


@dataclass(frozen=True, slots=True)
class SetUpRoot:
    """The four requests that switch authentication on; connection 0 is root's afterwards."""


@dataclass(frozen=True, slots=True)
class Watch:
    """A request on one of the long-lived watch streams."""

    request: pb.WatchRequest
    stream: int = 0


@dataclass(frozen=True, slots=True)
class KeepAlive:
    leases: tuple[int, ...]
    connection: int = 0


AnyStep = Step | Login | SetUpRoot | Watch | KeepAlive

KEYS = [b"a", b"b", b"c", b"a\x00", b"aa", b"\xff", b"\x00", b"k" * 300]
ODD_KEYS = [b"", b"x" * 20_000]
VALUES = [b"", b"1", b"2", b"\x00\xff", b"v" * 5000]
_KEY_POOL = [b"a", b"b"] * 12 + KEYS * 3 + ODD_KEYS
LEASES = [101, 102, 103]
ODD_LEASES = [0, -1, 4711, 2**63 - 1]
USERS = ["u", "v", ROOT]
ROLES = ["r", "s", "root"]
PASSWORDS = ["p", "q", PASSWORD]

connections = st.integers(0, CONNECTIONS - 1)
keys = st.integers(0, len(_KEY_POOL) - 1).map(lambda number: _KEY_POOL[number])
ends = st.sampled_from([b"", b"", b"", b"b", b"d", b"\x00", b"\xff\xff"])
values = st.integers(0, len(VALUES) - 1).map(lambda number: VALUES[number])
leases = st.sampled_from([*[0] * 24, *LEASES * 2, *ODD_LEASES])
ids = st.sampled_from([*LEASES * 3, *ODD_LEASES])
flags = st.booleans()
rare = st.sampled_from([*[False] * 9, True])
revisions = st.sampled_from([*[0] * 12, -1, 1, 2**62, NOW - 1, NOW, *range(NOW + 1, NOW + 13)])
limits = st.sampled_from([0, 0, 0, 1, 2, -1, 2**62])

ranges = st.builds(
    pb.RangeRequest,
    key=keys,
    range_end=ends,
    limit=limits,
    revision=revisions,
    sort_order=st.sampled_from([*[0] * 10, 1, 1, 2, 2, 9]),
    sort_target=st.sampled_from([*[0] * 10, 1, 2, 3, 4, 9]),
    serializable=rare,
    keys_only=rare,
    count_only=rare,
    min_mod_revision=st.sampled_from([*[0] * 8, NOW + 2, NOW + 5]),
    max_mod_revision=st.sampled_from([*[0] * 8, NOW + 3, NOW + 6]),
    min_create_revision=st.sampled_from([*[0] * 8, NOW + 2]),
    max_create_revision=st.sampled_from([*[0] * 8, NOW + 4]),
)
puts = st.builds(
    pb.PutRequest, key=keys, value=values, lease=leases, prev_kv=flags, ignore_value=rare, ignore_lease=rare
)
deletes = st.builds(pb.DeleteRangeRequest, key=keys, range_end=ends, prev_kv=flags)
compactions = st.builds(pb.CompactionRequest, revision=revisions, physical=flags)


def _compare(key: bytes, end: bytes, result: int, operand: tuple[str, Any]) -> pb.Compare:
    target = ["version", "create_revision", "mod_revision", "value", "lease"].index(operand[0])
    fields: dict[str, Any] = {operand[0]: operand[1]}
    return pb.Compare(key=key, range_end=end, result=result, target=target, **fields)


_operands = st.one_of(
    st.tuples(st.just("version"), st.sampled_from([0, 1, 2])),
    st.tuples(st.just("create_revision"), st.sampled_from([0, NOW + 1, NOW + 3])),
    st.tuples(st.just("mod_revision"), st.sampled_from([0, NOW + 1, NOW + 3])),
    st.tuples(st.just("value"), values),
    st.tuples(st.just("lease"), st.sampled_from([0, *LEASES])),
)
compares = st.builds(_compare, keys, ends, st.integers(0, 3), _operands)
_leaf = st.one_of(
    st.builds(pb.RequestOp, request_range=ranges),
    st.builds(pb.RequestOp, request_put=puts),
    st.builds(pb.RequestOp, request_delete_range=deletes),
    st.builds(pb.RequestOp, request_put=puts),
    rare.map(
        lambda empty: pb.RequestOp() if empty else pb.RequestOp(request_range=pb.RangeRequest(key=b"a"))
    ),
)


def _txn(operation: st.SearchStrategy[pb.RequestOp]) -> st.SearchStrategy[pb.TxnRequest]:
    branch = st.lists(operation, max_size=4)
    return st.builds(
        pb.TxnRequest,
        compare=st.lists(compares, max_size=2),
        success=branch,
        failure=st.lists(_leaf, max_size=2),
    )


txns = _txn(st.one_of(_leaf, _leaf, _leaf, st.builds(pb.RequestOp, request_txn=_txn(_leaf))))

watch_creates = st.builds(
    lambda **fields: pb.WatchRequest(create_request=pb.WatchCreateRequest(**fields)),
    key=keys,
    range_end=ends,
    start_revision=st.sampled_from([0, 0, 0, -1, 1, NOW, NOW + 1, NOW + 2, NOW + 5]),
    filters=st.lists(st.sampled_from([0, 1]), max_size=2),
    prev_kv=flags,
    watch_id=st.sampled_from([0, 0, 0, 1, 7, -2]),
    fragment=rare,
)
watch_cancels = st.builds(
    lambda number: pb.WatchRequest(cancel_request=pb.WatchCancelRequest(watch_id=number)),
    st.sampled_from([0, 1, 2, 7, -2, 99]),
)

grants = st.builds(
    pb.LeaseGrantRequest, ID=ids, TTL=st.sampled_from([60, 60, 1000, 9 * 10**9, 9 * 10**9 + 1, 2**63 - 1])
)
users, roles, passwords = (st.sampled_from(pool) for pool in ([*USERS, ""], [*ROLES, ""], [*PASSWORDS, ""]))
permissions = st.builds(authpb.Permission, permType=st.integers(0, 2), key=keys, range_end=ends)

_SINGLE: dict[str, st.SearchStrategy[Any]] = {
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
    "hash_kv": st.builds(pb.HashKVRequest, revision=revisions),
    "alarm": st.builds(
        pb.AlarmRequest, action=st.integers(0, 2), memberID=st.sampled_from([0, 7]), alarm=st.integers(0, 1)
    ),
    "downgrade": st.builds(
        pb.DowngradeRequest,
        action=st.just(0),
        version=st.sampled_from(["", "x", "3.6.0", "3.7.0", "3.2.0", "3.6"]),
    ),
    "move_leader": st.builds(pb.MoveLeaderRequest, targetID=st.sampled_from([0, 4711])),
    "members": st.builds(pb.MemberListRequest, linearizable=flags),
    "remove_member": st.builds(pb.MemberRemoveRequest, ID=st.sampled_from([0, 4711])),
    "promote_member": st.builds(pb.MemberPromoteRequest, ID=st.sampled_from([0, 4711])),
    "user_add": st.builds(pb.AuthUserAddRequest, name=users, password=passwords),
    "user_get": st.builds(pb.AuthUserGetRequest, name=users),
    "user_list": st.just(pb.AuthUserListRequest()),
    "user_delete": st.builds(pb.AuthUserDeleteRequest, name=users),
    "user_grant": st.builds(pb.AuthUserGrantRoleRequest, user=users, role=roles),
    "user_revoke": st.builds(pb.AuthUserRevokeRoleRequest, name=users, role=roles),
    "user_password": st.builds(
        pb.AuthUserChangePasswordRequest, name=st.sampled_from(["u", "v", "x"]), password=passwords
    ),
    "role_add": st.builds(pb.AuthRoleAddRequest, name=roles),
    "role_get": st.builds(pb.AuthRoleGetRequest, role=roles),
    "role_list": st.just(pb.AuthRoleListRequest()),
    "role_delete": st.builds(pb.AuthRoleDeleteRequest, role=roles),
    "role_grant": st.builds(pb.AuthRoleGrantPermissionRequest, name=roles, perm=permissions),
    "role_revoke": st.builds(pb.AuthRoleRevokePermissionRequest, role=roles, key=keys, range_end=ends),
    "auth_status": st.just(pb.AuthStatusRequest()),
    "authenticate": st.builds(pb.AuthenticateRequest, name=users, password=passwords),
    "unlock": st.builds(v3lockpb.UnlockRequest, key=keys),
    "resign": st.just(v3electionpb.ResignRequest()),
}


def _with_connection(requests: st.SearchStrategy[Any]) -> st.SearchStrategy[AnyStep]:
    return st.builds(Step, requests, connections)


STEPS: dict[str, st.SearchStrategy[AnyStep]] = {name: _with_connection(s) for name, s in _SINGLE.items()}
STEPS |= {
    "range_stream": st.builds(Step, ranges, connections, st.just("/etcdserverpb.KV/RangeStream")),
    "leader": st.builds(
        lambda name, connection: Step(
            v3electionpb.LeaderRequest(name=name), connection, "/v3electionpb.Election/Leader"
        ),
        keys,
        connections,
    ),
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
    "txn": 4,
    "watch": 2,
    "grant": 2,
    "time_to_live": 2,
    "keep_alive": 2,
}
for _name, _times in _OFTEN.items():
    STEPS |= {f"{_name}_{number}": STEPS[_name] for number in range(2, _times + 1)}


def resolve(message: Message, base: int) -> Message:
    """A copy in which revisions that count from NOW count from the base."""
    copy = type(message)()
    copy.CopyFrom(message)
    _resolve(copy, base)
    return copy


def _resolve(message: Message, base: int) -> None:
    for field, value in message.ListFields():
        if isinstance(value, Message):
            _resolve(value, base)
        elif field.message_type is not None:
            for item in value:
                _resolve(item, base)
        elif isinstance(value, int) and "revision" in field.name and abs(value - NOW) < 1000:
            setattr(message, field.name, max(base + value - NOW, 1))
