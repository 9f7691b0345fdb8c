"""What clients ask of an etcd, and what it answers, as plain hashable values.

Keys and values are bytes. In an answer, None is a field that the record does not carry: it agrees with
anything. In `KV`, likewise. Names and meanings are those of etcd's own messages.
"""

from __future__ import annotations

from typing import Final, NamedTuple, cast

from porcupine.history import Operation

FROM_KEY: Final = b"\x00"  # as a range's end: every key from the start on

SORT_ORDERS: Final = ("none", "ascend", "descend")
SORT_TARGETS: Final = ("key", "version", "create", "mod", "value")
COMPARE_TARGETS: Final = ("version", "create", "mod", "value", "lease")
COMPARE_RESULTS: Final = ("=", "!=", ">", "<")


class KV(NamedTuple):
    """A key-value pair as it is stored. None: not told."""

    key: bytes
    value: bytes | None
    create_revision: int | None
    mod_revision: int | None
    version: int | None
    lease: int | None


# ---- Calls ----


class Range(NamedTuple):
    key: bytes
    end: bytes = b""
    limit: int = 0
    revision: int = 0
    sort_order: str = "none"
    sort_target: str = "key"
    keys_only: bool = False
    count_only: bool = False
    min_mod_revision: int = 0
    max_mod_revision: int = 0
    min_create_revision: int = 0
    max_create_revision: int = 0
    serializable: bool = False


class Put(NamedTuple):
    key: bytes
    value: bytes = b""
    lease: int = 0
    prev_kv: bool = False
    ignore_value: bool = False
    ignore_lease: bool = False


class Delete(NamedTuple):
    key: bytes
    end: bytes = b""
    prev_kv: bool = False


class Compare(NamedTuple):
    key: bytes
    target: str
    result: str
    value: int | bytes
    end: bytes = b""


class Txn(NamedTuple):
    compare: tuple[Compare, ...] = ()
    success: tuple[Request, ...] = ()
    failure: tuple[Request, ...] = ()


Request = Range | Put | Delete | Txn


class Grant(NamedTuple):
    """id 0: the server chooses one. ttl in seconds."""

    id: int
    ttl: int


class Revoke(NamedTuple):
    id: int


class KeepAlive(NamedTuple):
    id: int


class TimeToLive(NamedTuple):
    id: int
    keys: bool = False


class Leases(NamedTuple):
    """The list of the leases: the member's own knowledge, as old as it may be."""


class Compact(NamedTuple):
    revision: int
    physical: bool = False


class Expire(NamedTuple):
    """The lease runs out: an event of the environment, which no client calls."""

    id: int


Call = Range | Put | Delete | Txn | Grant | Revoke | KeepAlive | TimeToLive | Leases | Compact | Expire
CALLS: Final = (Range, Put, Delete, Txn, Grant, Revoke, KeepAlive, TimeToLive, Leases, Compact, Expire)


# ---- Answers. `revision` is that of the header. ----


class RangeAnswer(NamedTuple):
    revision: int | None
    kvs: tuple[KV, ...] | None = ()
    more: bool | None = None
    count: int | None = None  # type: ignore[assignment]  # etcd's name for it is a method of tuples too


class PutAnswer(NamedTuple):
    revision: int | None
    prev_kv: KV | None = None


class DeleteAnswer(NamedTuple):
    revision: int | None
    deleted: int | None = None
    prev_kvs: tuple[KV, ...] | None = None


class TxnAnswer(NamedTuple):
    revision: int | None
    succeeded: bool | None
    answers: tuple[Answer, ...] | None = None


class GrantAnswer(NamedTuple):
    revision: int | None
    id: int
    ttl: int | None = None


class RevokeAnswer(NamedTuple):
    revision: int | None


class KeepAliveAnswer(NamedTuple):
    """ttl 0: there is no such lease. The revision was read before the renewal and says nothing of it."""

    revision: int | None
    id: int
    ttl: int


class TimeToLiveAnswer(NamedTuple):
    """ttl -1: there is no such lease. The revision is the member's own and says nothing of the lease."""

    revision: int | None
    id: int
    ttl: int
    granted_ttl: int | None = None
    keys: tuple[bytes, ...] | None = None


class LeasesAnswer(NamedTuple):
    """The ids, in any order. The revision is the member's own and says nothing of the leases."""

    revision: int | None
    ids: tuple[int, ...]


class CompactAnswer(NamedTuple):
    """The revision is read after the compaction was applied: other writes may lie between."""

    revision: int | None


class Refused(NamedTuple):
    """A definite error by which the store says something about itself, or about the request."""

    message: str


Answer = (
    RangeAnswer
    | PutAnswer
    | DeleteAnswer
    | TxnAnswer
    | GrantAnswer
    | RevokeAnswer
    | KeepAliveAnswer
    | TimeToLiveAnswer
    | LeasesAnswer
    | CompactAnswer
    | Refused
)


def call_of(operation: Operation) -> Call:
    """The call of an operation in this vocabulary."""
    return cast(Call, operation.call)


def answer_of(operation: Operation) -> Answer:
    """The answer of an ok operation in this vocabulary."""
    return cast(Answer, operation.response)


# Errors that follow from the store's content ...
LEASE_NOT_FOUND: Final = Refused("etcdserver: requested lease not found")
LEASE_EXISTS: Final = Refused("etcdserver: lease already exists")
KEY_NOT_FOUND: Final = Refused("etcdserver: key not found")
COMPACTED: Final = Refused("etcdserver: mvcc: required revision has been compacted")
FUTURE_REVISION: Final = Refused("etcdserver: mvcc: required revision is a future revision")
# ... and from the request alone.
EMPTY_KEY: Final = Refused("etcdserver: key is not provided")
DUPLICATE_KEY: Final = Refused("etcdserver: duplicate key given in txn request")
TOO_MANY_OPS: Final = Refused("etcdserver: too many operations in txn request")
VALUE_PROVIDED: Final = Refused("etcdserver: value is provided")
LEASE_PROVIDED: Final = Refused("etcdserver: lease is provided")
INVALID_SORT: Final = Refused("etcdserver: invalid sort option")
TTL_TOO_LARGE: Final = Refused("etcdserver: too large lease TTL")

REFUSALS: Final = frozenset(
    {
        LEASE_NOT_FOUND,
        LEASE_EXISTS,
        KEY_NOT_FOUND,
        COMPACTED,
        FUTURE_REVISION,
        EMPTY_KEY,
        DUPLICATE_KEY,
        TOO_MANY_OPS,
        VALUE_PROVIDED,
        LEASE_PROVIDED,
        INVALID_SORT,
        TTL_TOO_LARGE,
    }
)
"""The errors that the model explains. Any other definite error only says that nothing happened."""

WITHOUT_EFFECT: Final = frozenset(
    Refused(f"etcdserver: {reason}")
    for reason in (
        *("permission denied", "invalid auth token", "revision of auth store is old"),
        *("user name is empty", "user name not found", "authentication is not enabled"),
        *("too many requests", "request is too large", "no leader"),
    )
)
"""Errors by which etcd turned a request away before it changed anything, whatever the store holds: they may
come at any moment. Not among them: "mvcc: database space exceeded", which is also said after the write."""


def writes(call: Call) -> bool:
    """Could the call change keys?"""
    if isinstance(call, Txn):
        return any(map(writes, call.success)) or any(map(writes, call.failure))
    return isinstance(call, (Put, Delete, Revoke, Expire))


def is_serializable(call: Call) -> bool:
    """May any member answer it from its own past?"""
    if isinstance(call, Range):
        return call.serializable
    if isinstance(call, Txn):
        both = (*call.success, *call.failure)
        return bool(both) and all(isinstance(each, Range) and each.serializable for each in both)
    return False


def effective(answer: Answer | None) -> bool:
    """Does the answer say that a put, delete or txn took a revision of its own? Of revocations it does not
    tell."""
    if isinstance(answer, PutAnswer):
        return True
    if isinstance(answer, DeleteAnswer):
        return bool(answer.deleted)
    if isinstance(answer, TxnAnswer):
        return any(map(effective, answer.answers or ()))
    return False
