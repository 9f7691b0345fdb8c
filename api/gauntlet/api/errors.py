"""Every error an etcd client can see, and what it says about the operation that failed.

An error is definite when the operation certainly did not take effect, and indefinite when it may have. A
checker drops operations that failed definitely and must try both ways for the others. Calling an error
definite wrongly makes the checker accuse an innocent cluster; calling it indefinite wrongly only blunts it.
So: when in doubt, indefinite, and definite only where etcd's own code (read at 3.7.1 and 3.5.33) leaves no
other way. D is definite, I is indefinite:

| | what the client sees                        | why                                                       |
|-|---------------------------------------------|-----------------------------------------------------------|
|D| one of the texts below that refuse          | said by the interceptor, by the handler before it         |
| | (arguments, permission, lease, member, ...) | proposes, or by the apply step before it writes (a txn    |
| |                                             | checks all puts and ranges first, then cannot fail)       |
|D| compacted, future revision                  | the same; a compaction answered so changed nothing        |
|D| too many requests, request too large        | decided before the proposal. etcd sends some texts with   |
| |                                             | code Unknown, so the text decides, whatever the code      |
|D| no leader                                   | said by the interceptor. A proposal without a leader does |
| |                                             | not get this error: it waits and times out                |
|D| unhealthy, not leader, bad transferee       | checked before a membership change or transfer begins     |
|D| raft proposal dropped                       | raft refused to append it to the log                      |
|D| failed to connect to all addresses          | the client had no connection to send the request on       |
|D| code Unimplemented, any text                | no handler ran                                            |
|I| database space exceeded                     | the apply step writes, then reports the quota as passed   |
|I| request timed out (each of the four texts), | the server gave up waiting; the proposal lives on         |
| | leader changed, server stopped              |                                                           |
|I| corrupt cluster                             | a cluster in this state proves nothing                    |
|I| DeadlineExceeded, Canceled                  | the client or the server stopped waiting                  |
|I| Unavailable, Internal, Unknown, Aborted     | the connection broke after the request may have left      |
|I| ResourceExhausted with any other text       | also what a client says of an answer too large for it     |
|I| anything else                               | we do not know it                                         |

Some methods take several steps on the server, or are forwarded by it with retries, so that an error of a
late step can follow an effect of an early one: Lock, Campaign, MemberPromote, LeaseKeepAlive. What the
server answers there is indefinite, whatever the text. `classify` knows them by the path.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NoReturn


class Code(IntEnum):
    """Status codes of gRPC."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class RpcError(Exception):
    """A call that failed. Immutable; two are equal when they look the same on the wire.

    The constants of this module are meant to be passed around, compared and sent. An exception that is raised
    collects its traceback, so one that is raised again and again from a constant would grow without bound and
    keep every frame alive: raise a copy, `raise errors.COMPACTED.fresh()`.
    """

    __slots__ = ("code", "definite", "message")

    code: Code
    message: str
    definite: bool  # the operation certainly did not take effect

    def __init__(self, code: Code, message: str, definite: bool = False) -> None:
        super().__init__(code, message, definite)
        object.__setattr__(self, "code", Code(code))
        object.__setattr__(self, "message", message)
        object.__setattr__(self, "definite", definite)

    def fresh(self) -> RpcError:
        """A copy without a traceback, to be raised."""
        return RpcError(self.code, self.message, self.definite)

    def __setattr__(self, name: str, value: object) -> None:
        if name in RpcError.__slots__:
            self._immutable(name)
        super().__setattr__(name, value)  # the interpreter's own: traceback, context, notes

    def __delattr__(self, name: str) -> None:
        if name in RpcError.__slots__:
            self._immutable(name)
        super().__delattr__(name)

    def _immutable(self, name: str) -> NoReturn:
        raise AttributeError(f"RpcError.{name} cannot be changed")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RpcError):
            return NotImplemented
        return self.code == other.code and self.message == other.message

    def __hash__(self) -> int:
        return hash((self.code, self.message))

    def __str__(self) -> str:
        return f"{self.code.name}: {self.message}"

    def __repr__(self) -> str:
        return (
            f"RpcError({self.code.name}, {self.message!r}, {'definite' if self.definite else 'indefinite'})"
        )


_KNOWN: dict[str, RpcError] = {}


def _refused(code: Code, message: str) -> RpcError:
    return _KNOWN.setdefault(message, RpcError(code, message, definite=True))


def _open(code: Code, message: str) -> RpcError:
    return _KNOWN.setdefault(message, RpcError(code, message, definite=False))


# The client-visible errors of etcd 3.7.1, all of them; named as upstream names them.
EMPTY_KEY = _refused(Code.INVALID_ARGUMENT, "etcdserver: key is not provided")
KEY_NOT_FOUND = _refused(Code.INVALID_ARGUMENT, "etcdserver: key not found")
VALUE_PROVIDED = _refused(Code.INVALID_ARGUMENT, "etcdserver: value is provided")
LEASE_PROVIDED = _refused(Code.INVALID_ARGUMENT, "etcdserver: lease is provided")
TOO_MANY_OPS = _refused(Code.INVALID_ARGUMENT, "etcdserver: too many operations in txn request")
DUPLICATE_KEY = _refused(Code.INVALID_ARGUMENT, "etcdserver: duplicate key given in txn request")
INVALID_CLIENT_API_VERSION = _refused(Code.INVALID_ARGUMENT, "etcdserver: invalid client api version")
INVALID_SORT_OPTION = _refused(Code.INVALID_ARGUMENT, "etcdserver: invalid sort option")
COMPACTED = _refused(Code.OUT_OF_RANGE, "etcdserver: mvcc: required revision has been compacted")
FUTURE_REV = _refused(Code.OUT_OF_RANGE, "etcdserver: mvcc: required revision is a future revision")
NO_SPACE = _open(Code.RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded")
LEASE_NOT_FOUND = _refused(Code.NOT_FOUND, "etcdserver: requested lease not found")
LEASE_EXIST = _refused(Code.FAILED_PRECONDITION, "etcdserver: lease already exists")
LEASE_TTL_TOO_LARGE = _refused(Code.OUT_OF_RANGE, "etcdserver: too large lease TTL")
WATCH_CANCELED = _open(Code.CANCELLED, "etcdserver: watch canceled")
MEMBER_EXIST = _refused(Code.FAILED_PRECONDITION, "etcdserver: member ID already exist")
PEER_URL_EXIST = _refused(Code.FAILED_PRECONDITION, "etcdserver: Peer URLs already exists")
MEMBER_NOT_ENOUGH_STARTED = _refused(
    Code.FAILED_PRECONDITION, "etcdserver: re-configuration failed due to not enough started members"
)
MEMBER_BAD_URLS = _refused(Code.INVALID_ARGUMENT, "etcdserver: given member URLs are invalid")
MEMBER_NOT_FOUND = _refused(Code.NOT_FOUND, "etcdserver: member not found")
MEMBER_NOT_LEARNER = _refused(Code.FAILED_PRECONDITION, "etcdserver: can only promote a learner member")
LEARNER_NOT_READY = _refused(
    Code.FAILED_PRECONDITION, "etcdserver: can only promote a learner member which is in sync with leader"
)
TOO_MANY_LEARNERS = _refused(Code.FAILED_PRECONDITION, "etcdserver: too many learner members in cluster")
CLUSTER_ID_MISMATCH = _refused(Code.FAILED_PRECONDITION, "etcdserver: cluster ID mismatch")
REQUEST_TOO_LARGE = _refused(Code.INVALID_ARGUMENT, "etcdserver: request is too large")
REQUEST_TOO_MANY_REQUESTS = _refused(Code.RESOURCE_EXHAUSTED, "etcdserver: too many requests")
ROOT_USER_NOT_EXIST = _refused(Code.FAILED_PRECONDITION, "etcdserver: root user does not exist")
ROOT_ROLE_NOT_EXIST = _refused(Code.FAILED_PRECONDITION, "etcdserver: root user does not have root role")
USER_ALREADY_EXIST = _refused(Code.FAILED_PRECONDITION, "etcdserver: user name already exists")
USER_EMPTY = _refused(Code.INVALID_ARGUMENT, "etcdserver: user name is empty")
USER_NOT_FOUND = _refused(Code.FAILED_PRECONDITION, "etcdserver: user name not found")
ROLE_ALREADY_EXIST = _refused(Code.FAILED_PRECONDITION, "etcdserver: role name already exists")
ROLE_NOT_FOUND = _refused(Code.FAILED_PRECONDITION, "etcdserver: role name not found")
ROLE_EMPTY = _refused(Code.INVALID_ARGUMENT, "etcdserver: role name is empty")
AUTH_FAILED = _refused(
    Code.INVALID_ARGUMENT, "etcdserver: authentication failed, invalid user ID or password"
)
PERMISSION_NOT_GIVEN = _refused(Code.INVALID_ARGUMENT, "etcdserver: permission not given")
PERMISSION_DENIED = _refused(Code.PERMISSION_DENIED, "etcdserver: permission denied")
ROLE_NOT_GRANTED = _refused(Code.FAILED_PRECONDITION, "etcdserver: role is not granted to the user")
PERMISSION_NOT_GRANTED = _refused(
    Code.FAILED_PRECONDITION, "etcdserver: permission is not granted to the role"
)
AUTH_NOT_ENABLED = _refused(Code.FAILED_PRECONDITION, "etcdserver: authentication is not enabled")
INVALID_AUTH_TOKEN = _refused(Code.UNAUTHENTICATED, "etcdserver: invalid auth token")
INVALID_AUTH_MGMT = _refused(Code.INVALID_ARGUMENT, "etcdserver: invalid auth management")
AUTH_OLD_REVISION = _refused(Code.INVALID_ARGUMENT, "etcdserver: revision of auth store is old")
NO_LEADER = _refused(Code.UNAVAILABLE, "etcdserver: no leader")
NOT_LEADER = _refused(Code.FAILED_PRECONDITION, "etcdserver: not leader")
LEADER_CHANGED = _open(Code.UNAVAILABLE, "etcdserver: leader changed")
NOT_CAPABLE = _refused(Code.FAILED_PRECONDITION, "etcdserver: not capable")
STOPPED = _open(Code.UNAVAILABLE, "etcdserver: server stopped")
TIMEOUT = _open(Code.UNAVAILABLE, "etcdserver: request timed out")
TIMEOUT_DUE_TO_LEADER_FAIL = _open(
    Code.UNAVAILABLE, "etcdserver: request timed out, possibly due to previous leader failure"
)
TIMEOUT_DUE_TO_CONNECTION_LOST = _open(
    Code.UNAVAILABLE, "etcdserver: request timed out, possibly due to connection lost"
)
TIMEOUT_WAIT_APPLIED_INDEX = _open(
    Code.UNAVAILABLE, "etcdserver: request timed out, waiting for the applied index took too long"
)
UNHEALTHY = _refused(Code.UNAVAILABLE, "etcdserver: unhealthy cluster")
CORRUPT = _open(Code.DATA_LOSS, "etcdserver: corrupt cluster")
NOT_SUPPORTED_FOR_LEARNER = _refused(Code.FAILED_PRECONDITION, "etcdserver: rpc not supported for learner")
BAD_LEADER_TRANSFEREE = _refused(Code.FAILED_PRECONDITION, "etcdserver: bad leader transferee")
WRONG_DOWNGRADE_VERSION_FORMAT = _refused(
    Code.INVALID_ARGUMENT, "etcdserver: wrong downgrade target version format"
)
INVALID_DOWNGRADE_TARGET_VERSION = _refused(
    Code.INVALID_ARGUMENT, "etcdserver: invalid downgrade target version"
)
CLUSTER_VERSION_UNAVAILABLE = _refused(
    Code.FAILED_PRECONDITION, "etcdserver: cluster version not found during downgrade"
)
DOWNGRADE_IN_PROCESS = _refused(
    Code.FAILED_PRECONDITION, "etcdserver: cluster has a downgrade job in progress"
)
NO_INFLIGHT_DOWNGRADE = _refused(Code.FAILED_PRECONDITION, "etcdserver: no inflight downgrade job")
CANCELED = _open(Code.CANCELLED, "etcdserver: request canceled")
DEADLINE_EXCEEDED = _open(Code.DEADLINE_EXCEEDED, "etcdserver: context deadline exceeded")

# Not in upstream's list of client errors, but what raft's refusal looks like once it has gone through etcd.
PROPOSAL_DROPPED = _refused(Code.UNKNOWN, "raft proposal dropped")

KNOWN: tuple[RpcError, ...] = tuple(_KNOWN.values())
"""Every constant of this module."""

# How the library we call through (grpcio) says "there is no connection". It says so only of a call that
# never got a connection; one that breaks under a call is reported in other words.
_NEVER_SENT = "failed to connect to all addresses"

_SEVERAL_STEPS = frozenset(
    {
        "/etcdserverpb.Cluster/MemberPromote",
        "/etcdserverpb.Lease/LeaseKeepAlive",
        "/v3electionpb.Election/Campaign",
        "/v3lockpb.Lock/Lock",
    }
)


def classify(code: int, message: str, path: str = "") -> RpcError:
    """The error for a status that came back, from the server or from the client's own library.

    code: a gRPC status code; a number outside 0..16 is read as UNKNOWN, as gRPC prescribes.
    path: the method called ("/etcdserverpb.KV/Put"), where known; it can only turn definite into indefinite.
    """
    status = Code(code) if 0 <= code <= Code.UNAUTHENTICATED else Code.UNKNOWN
    if status is Code.OK:
        raise ValueError("status OK is not an error")
    if status is Code.UNIMPLEMENTED:
        return RpcError(status, message, definite=True)
    if status is Code.UNAVAILABLE and message.startswith(_NEVER_SENT):
        return RpcError(status, message, definite=True)
    known = _KNOWN.get(message)
    definite = known is not None and known.definite and path not in _SEVERAL_STEPS
    return RpcError(status, message, definite)
