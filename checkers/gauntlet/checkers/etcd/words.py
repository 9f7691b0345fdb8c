"""Calls and answers in words, for people."""

from __future__ import annotations

from collections.abc import Sequence

from gauntlet.checkers.etcd.calls import (
    FROM_KEY,
    KV,
    Call,
    Compact,
    Compare,
    Delete,
    DeleteAnswer,
    Expire,
    Grant,
    GrantAnswer,
    KeepAlive,
    KeepAliveAnswer,
    Leases,
    LeasesAnswer,
    Put,
    PutAnswer,
    Range,
    RangeAnswer,
    Refused,
    Revoke,
    TimeToLive,
    TimeToLiveAnswer,
    Txn,
    TxnAnswer,
    call_of,
)
from porcupine.history import Operation

SHOWN = 3  # pairs of a range, operations of a txn


def text(value: bytes | None) -> str:
    if value is None:
        return "?"
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.hex()


def call_words(call: Call) -> str:
    match call:
        case Range():
            options = [
                f"{name} {value}"
                for name, value in (
                    ("limit", call.limit),
                    ("at revision", call.revision),
                    ("sort by", "" if call.sort_target == "key" else call.sort_target),
                    ("order", "" if call.sort_order == "none" else call.sort_order),
                )
                if value
            ]
            options += [word for word in ("keys_only", "count_only", "serializable") if getattr(call, word)]
            name = "range" if call.end else "get"
            return f"{name}({', '.join([_span(call.key, call.end), *options])})"
        case Put():
            extra = [f"lease {call.lease:x}"] if call.lease else []
            extra += [word for word in ("prev_kv", "ignore_value", "ignore_lease") if getattr(call, word)]
            return f"put({', '.join([text(call.key), repr(text(call.value)), *extra])})"
        case Delete():
            return f"delete({_span(call.key, call.end)})"
        case Txn():
            compares = " and ".join(_compare(compare) for compare in call.compare[:SHOWN]) or "true"
            then = _several([call_words(each) for each in call.success])
            otherwise = (
                f" else {_several([call_words(each) for each in call.failure])}" if call.failure else ""
            )
            return f"txn(if {compares} then {then}{otherwise})"
        case Grant():
            return f"lease_grant({call.id:x}, {call.ttl} s)"
        case Revoke():
            return f"lease_revoke({call.id:x})"
        case Expire():
            return f"lease {call.id:x} expires"
        case KeepAlive():
            return f"lease_keep_alive({call.id:x})"
        case TimeToLive():
            return f"lease_time_to_live({call.id:x})"
        case Leases():
            return "lease_leases"
        case Compact():
            return f"compact({call.revision})"


def answer_words(answer: object) -> str:
    match answer:
        case RangeAnswer():
            return f"{pairs(answer.kvs)}{_at(answer.revision)}"
        case PutAnswer():
            previous = "" if answer.prev_kv is None else f"before: {pair(answer.prev_kv)}"
            return f"{previous or 'ok'}{_at(answer.revision)}"
        case DeleteAnswer():
            return f"deleted {'?' if answer.deleted is None else answer.deleted}{_at(answer.revision)}"
        case TxnAnswer():
            branch = "then" if answer.succeeded else "else"
            inner = _several([answer_words(each) for each in answer.answers or ()])
            return f"{branch}: {inner}{_at(answer.revision)}"
        case GrantAnswer():
            return f"lease {answer.id:x}{_at(answer.revision)}"
        case KeepAliveAnswer() | TimeToLiveAnswer():
            return f"{answer.ttl} s" if answer.ttl > 0 else "no such lease"
        case LeasesAnswer():
            return f"leases {' '.join(f'{number:x}' for number in answer.ids)}".rstrip()
        case Refused():
            return f"refused: {answer.message}"
    revision = getattr(answer, "revision", None)
    return f"ok{_at(revision)}"


def operation_words(operation: Operation) -> str:
    call = call_words(call_of(operation))
    if isinstance(operation.call, Expire):
        return call
    return f"{call} -> {answer_words(operation.response) if operation.is_ok else operation.outcome.value}"


def pair(kv: KV) -> str:
    at = "?" if kv.mod_revision is None else kv.mod_revision
    return f"{text(kv.key)}={text(kv.value)!r} at mod_revision {at}"


def full_pair(kv: KV) -> str:
    """With every field that is known."""
    rest = [
        f"{name} {value}"
        for name, value in (
            ("create_revision", kv.create_revision),
            ("version", kv.version),
            ("lease", kv.lease or None),
        )
        if value is not None
    ]
    return ", ".join([pair(kv), *rest])


def pairs(kvs: Sequence[KV] | None) -> str:
    if kvs is None:
        return "?"
    if not kvs:
        return "nothing"
    more = f" and {len(kvs) - SHOWN} more" if len(kvs) > SHOWN else ""
    return ", ".join(pair(kv) for kv in kvs[:SHOWN]) + more


def value_words(value: object) -> str:
    """An expected or got value of a rejection."""
    if isinstance(value, KV):
        return full_pair(value)
    if isinstance(value, tuple) and value and isinstance(value[0], KV):
        return pairs(value)
    if value is None:
        return "nothing"
    return value if isinstance(value, str) else repr(value)


def _at(revision: int | None) -> str:
    return "" if revision is None else f" (revision {revision})"


def _span(key: bytes, end: bytes) -> str:
    if not end:
        return text(key)
    return f"{text(key)}.." if end == FROM_KEY else f"{text(key)}..{text(end)}"


def _compare(compare: Compare) -> str:
    value = compare.value
    shown = repr(text(value)) if isinstance(value, bytes) else str(value)
    return f"{compare.target} of {_span(compare.key, compare.end)} {compare.result} {shown}"


def _several(words: Sequence[str]) -> str:
    more = f"; and {len(words) - SHOWN} more" if len(words) > SHOWN else ""
    return "; ".join(words[:SHOWN]) + more if words else "nothing"
