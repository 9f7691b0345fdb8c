"""Lines of a history, and what they mean to the whole-store model.

A line has the envelope of `gauntlet.checkers.records`. Bytes are text where they are UTF-8, and otherwise
``{"base64": text}``. A field that may be left out has etcd's zero value in `args` and "not recorded" in a
response. Lease ids are numbers, TTLs seconds. By `op`:

    op                  key   args                                          response (all: revision)
    range               k     end limit revision sort_order sort_target     kvs more count
                              keys_only count_only serializable min_mod_revision max_mod_revision
                              min_create_revision max_create_revision
    range_stream        k     as range: one snapshot in pieces, the answer put together
    put                 k     value lease prev_kv ignore_value ignore_lease   prev_kv
    delete_range        k     end prev_kv                                   deleted prev_kvs
    txn                 null  compare success failure                       succeeded responses
    lease_grant         null  id ttl                                        id ttl
    lease_revoke        null  id
    lease_keep_alive    null  id                                            id ttl (0: no such lease)
    lease_time_to_live  null  id keys                                       id ttl granted_ttl keys (-1: none)
    lease_leases        null                                                ids
    compact             null  revision physical
    lease_expire        null  id                                            seen by nobody: outcome "unknown"

`end` is "" for one key, "\\u0000" for all keys from `key` on. sort_order: none, ascend, descend; sort_target:
key, version, create, mod, value. A pair: ``{"key", "value", "create_revision", "mod_revision", "version",
"lease"}``. A compare: ``{"key", "end", "target", "result", "value"}`` with target version, create, mod,
value or lease and result =, !=, > or <. An operation in `success` and `failure` is ``{"op", "key",
"args"}``, and its answer in `responses` has the fields of the table::

    {"id": 3, "client": 1, "member": "m1", "op": "txn", "key": null, "call_ns": 10, "return_ns": 20,
     "outcome": "ok", "error": null,
     "args": {"compare": [{"key": "a", "target": "mod", "result": "=", "value": 7}],
              "success": [{"op": "put", "key": "a", "args": {"value": "x"}}],
              "failure": [{"op": "range", "key": "a"}]},
     "response": {"revision": 9, "succeeded": true, "responses": [{}]}}

An operation that failed with an error by which the store says something about itself (a lease that is not
there, a compacted revision ...) is an answer too: `of_operation` makes it one. The lines of the register
workload (get, put, delete, cas) mean the range, put, delete_range and txn that they were sent as.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from gauntlet.checkers.etcd import calls as c
from porcupine.history import Operation, Outcome
from porcupine.jsonl import Record, read_operations

OPS = frozenset(
    {
        "range",
        "put",
        "delete_range",
        "txn",
        "lease_grant",
        "lease_revoke",
        "lease_keep_alive",
        "lease_time_to_live",
        "lease_leases",
        "range_stream",
        "lease_expire",
        "compact",
    }
)


def decode(record: Record) -> tuple[Hashable, Hashable]:
    """From a line to (call, answer). ValueError, TypeError or KeyError says what is wrong with it."""
    call = decode_call(record)
    response = record.get("response")
    return call, None if response is None else decode_answer(call, response)


def decode_call(record: Mapping[str, Any]) -> c.Call:
    op, args = record["op"], record.get("args") or {}
    if not isinstance(args, Mapping):
        raise ValueError(f"args is {args!r}, not an object")
    match op:
        case "range" | "range_stream":
            return _range(record, args)
        case "put":
            return c.Put(
                _bytes("key", record["key"]),
                _bytes("value", args.get("value", "")),
                _number(args, "lease"),
                _flag(args, "prev_kv"),
                _flag(args, "ignore_value"),
                _flag(args, "ignore_lease"),
            )
        case "delete_range":
            end = _bytes("end", args.get("end", ""))
            return c.Delete(_bytes("key", record["key"]), end, _flag(args, "prev_kv"))
        case "txn":
            return c.Txn(
                tuple(_compare(each) for each in args.get("compare", ())),
                tuple(_request(each) for each in args.get("success", ())),
                tuple(_request(each) for each in args.get("failure", ())),
            )
        case "lease_grant":
            return c.Grant(_number(args, "id"), _number(args, "ttl"))
        case "lease_revoke":
            return c.Revoke(_number(args, "id"))
        case "lease_keep_alive":
            return c.KeepAlive(_number(args, "id"))
        case "lease_time_to_live":
            return c.TimeToLive(_number(args, "id"), _flag(args, "keys"))
        case "lease_leases":
            return c.Leases()
        case "lease_expire":
            return c.Expire(_number(args, "id"))
        case "compact":
            return c.Compact(_number(args, "revision"), _flag(args, "physical"))
    raise ValueError(f"op is {op!r}, not one of {', '.join(sorted(OPS))}")


def _range(record: Mapping[str, Any], args: Mapping[str, Any]) -> c.Range:
    if not args:
        return c.Range(_bytes("key", record["key"]))
    return c.Range(
        _bytes("key", record["key"]),
        _bytes("end", args.get("end", "")),
        _number(args, "limit"),
        _number(args, "revision"),
        _word("sort_order", args.get("sort_order", "none"), c.SORT_ORDERS),
        _word("sort_target", args.get("sort_target", "key"), c.SORT_TARGETS),
        _flag(args, "keys_only"),
        _flag(args, "count_only"),
        _number(args, "min_mod_revision"),
        _number(args, "max_mod_revision"),
        _number(args, "min_create_revision"),
        _number(args, "max_create_revision"),
        _flag(args, "serializable"),
    )


def _compare(value: Any) -> c.Compare:
    target = _word("target", value["target"], c.COMPARE_TARGETS)
    result = _word("result", value.get("result", "="), c.COMPARE_RESULTS)
    wanted = value["value"]
    operand = _bytes("value", wanted) if target == "value" else _integer("value", wanted)
    return c.Compare(
        _bytes("key", value["key"]), target, result, operand, _bytes("end", value.get("end", ""))
    )


def _request(value: Any) -> c.Request:
    call = decode_call(value)
    if isinstance(call, (c.Range, c.Put, c.Delete, c.Txn)):
        return call
    raise ValueError(f"{value.get('op')!r} cannot stand in a txn")


def decode_answer(call: c.Call, response: Any) -> c.Answer:
    """An answer of the call's kind."""
    if not isinstance(response, Mapping):
        raise ValueError(f"response is {response!r}, not an object or null")
    revision = _optional(response, "revision")
    match call:
        case c.Range():
            kvs = response.get("kvs")
            pairs = None if kvs is None else tuple(_kv(each) for each in kvs)
            return c.RangeAnswer(revision, pairs, response.get("more"), _optional(response, "count"))
        case c.Put():
            previous = response.get("prev_kv")
            return c.PutAnswer(revision, None if previous is None else _kv(previous))
        case c.Delete():
            kvs = response.get("prev_kvs")
            pairs = None if kvs is None else tuple(_kv(each) for each in kvs)
            return c.DeleteAnswer(revision, _optional(response, "deleted"), pairs)
        case c.Txn():
            succeeded, given = bool(response["succeeded"]), response.get("responses")
            branch = call.success if succeeded else call.failure
            if given is None:
                return c.TxnAnswer(revision, succeeded)
            if len(given) != len(branch):
                raise ValueError(f"{len(given)} responses to {len(branch)} operations")
            answers = (decode_answer(each, got or {}) for each, got in zip(branch, given, strict=True))
            return c.TxnAnswer(revision, succeeded, tuple(answers))
        case c.Grant():
            return c.GrantAnswer(revision, _number(response, "id"), _optional(response, "ttl"))
        case c.Revoke() | c.Expire():
            return c.RevokeAnswer(revision)
        case c.KeepAlive():
            return c.KeepAliveAnswer(revision, call.id, _number(response, "ttl"))
        case c.Leases():
            return c.LeasesAnswer(revision, tuple(_integer("ids", each) for each in response["ids"]))
        case c.TimeToLive():
            keys = response.get("keys")
            listed = None if keys is None else tuple(_bytes("keys", key) for key in keys)
            granted = _optional(response, "granted_ttl")
            return c.TimeToLiveAnswer(revision, call.id, _number(response, "ttl"), granted, listed)
    return c.CompactAnswer(revision)


def _kv(value: Any) -> c.KV:
    held = value.get("value")
    return c.KV(
        _bytes("key", value["key"]),
        None if held is None else _bytes("value", held),
        _optional(value, "create_revision"),
        _optional(value, "mod_revision"),
        _optional(value, "version"),
        _optional(value, "lease"),
    )


def _bytes(name: str, value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, Mapping) and isinstance(value.get("base64"), str):
        try:
            return base64.b64decode(value["base64"], validate=True)
        except binascii.Error as error:
            raise ValueError(f"{name} is not base64: {error}") from error
    raise ValueError(f"{name} is {value!r}, neither text nor base64")


def _integer(name: str, value: object) -> int:
    if type(value) is not int:  # nor a bool
        raise ValueError(f"{name} is {value!r}, not an integer")
    return value


def _number(fields: Mapping[str, Any], name: str) -> int:
    return _integer(name, fields.get(name, 0))


def _optional(fields: Mapping[str, Any], name: str) -> int | None:
    value = fields.get(name)
    return None if value is None else _integer(name, value)


def _flag(fields: Mapping[str, Any], name: str) -> bool:
    value = fields.get(name, False)
    if not isinstance(value, bool):
        raise ValueError(f"{name} is {value!r}, not a bool")
    return value


def _word(name: str, value: Any, known: Iterable[str]) -> str:
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{name} is {value!r}, not one of {', '.join(known)}")
    return value


# ---- the other way ----


def encode_bytes(value: bytes) -> str | dict[str, str]:
    """Text where it is UTF-8, else marked base64."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


_NAMES: dict[type, str] = {
    c.Range: "range",
    c.Put: "put",
    c.Delete: "delete_range",
    c.Txn: "txn",
    c.Grant: "lease_grant",
    c.Revoke: "lease_revoke",
    c.KeepAlive: "lease_keep_alive",
    c.TimeToLive: "lease_time_to_live",
    c.Leases: "lease_leases",
    c.Compact: "compact",
    c.Expire: "lease_expire",
}


def encode_call(call: c.Call) -> dict[str, Any]:
    """``{"op", "key", "args"}``; the inverse of `decode_call`."""
    if isinstance(call, c.Txn):
        args: dict[str, Any] = {
            "compare": [_plain(compare._asdict()) for compare in call.compare],
            "success": [encode_call(each) for each in call.success],
            "failure": [encode_call(each) for each in call.failure],
        }
        return {"op": "txn", "key": None, "args": args}
    defaults = getattr(call, "_field_defaults", {})
    args = _plain({name: value for name, value in call._asdict().items() if value != defaults.get(name)})
    return {"op": _NAMES[type(call)], "key": args.pop("key", None), "args": args}


def encode_answer(answer: c.Answer) -> dict[str, Any]:
    """The inverse of `decode_answer`."""
    fields = answer._asdict()
    if isinstance(answer, c.TxnAnswer):
        inner = fields.pop("answers")
        fields["responses"] = None if inner is None else [encode_answer(each) for each in inner]
    plain: dict[str, Any] = _plain({name: value for name, value in fields.items() if value is not None})
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return encode_bytes(value)
    if isinstance(value, c.KV):
        value = {name: field for name, field in value._asdict().items() if field is not None}
    if isinstance(value, dict):
        return {name: _plain(field) for name, field in value.items()}
    return [_plain(each) for each in value] if isinstance(value, (tuple, list)) else value


# ---- operations ----


def read(lines: Iterable[str]) -> list[Operation]:
    """The operations of a history in this vocabulary, by call. HistoryError names a broken line."""
    operations = [refused(operation) for operation in read_operations(lines, decode)]
    return sorted(operations, key=lambda operation: operation.call_time_ns)


def thaw(value: Any) -> Any:
    """The JSON value that `porcupine.jsonl.frozen` made hashable; an empty object comes back as an empty
    list."""
    if not isinstance(value, tuple):
        return value
    pairs = all(isinstance(each, tuple) and len(each) == 2 and isinstance(each[0], str) for each in value)
    if value and pairs:
        return {name: thaw(each) for name, each in value}
    return [thaw(each) for each in value]


def of_frozen(operation: Operation) -> Operation:
    """An operation that the common reader left as (op, key, args). ValueError for another vocabulary."""
    frozen: Any = operation.call
    op, key, args = frozen
    call = decode_call({"op": op, "key": thaw(key), "args": thaw(args) or {}})
    response = thaw(operation.response)
    answer = None if response is None or not operation.is_ok else decode_answer(call, response or {})
    return replace(operation, call=call, response=answer)


def refused(operation: Operation) -> Operation:
    """The operation; where it failed with an error that the model explains, with that error for an answer."""
    if operation.outcome is not Outcome.FAILED:
        return operation
    error = operation.tags.get("error")
    message = error.get("message") if isinstance(error, Mapping) else None
    answer = c.Refused(str(message))
    if answer not in c.REFUSALS or operation.return_time_ns is None:
        return operation
    if answer == c.COMPACTED and operation.tags.get("op") == "range_stream":
        call: Any = operation.call
        if call.revision <= 0:
            return operation  # it had taken its snapshot, which was compacted while it read on
    return replace(operation, outcome=Outcome.OK, response=answer)
