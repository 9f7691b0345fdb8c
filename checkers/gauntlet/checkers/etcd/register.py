"""The register workload's operations as calls of the whole store: what its clients really sent."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace

from gauntlet.checkers import records as register
from gauntlet.checkers.etcd import calls as c
from gauntlet.checkers.etcd.records import OPS, decode_answer, decode_call, of_frozen, refused
from porcupine.history import Operation
from porcupine.jsonl import Record

_WHOLE_STORE = frozenset(c.CALLS)


def decode(record: Record) -> tuple[Hashable, Hashable]:
    """(call, answer) of a run's line, in the vocabulary of the whole store where the line is in it: the same
    in the end as `gauntlet.checkers.records.decode`, at a third of the cost."""
    op, args = record["op"], record.get("args") or {}
    if not isinstance(op, str) or op not in OPS or not isinstance(args, Mapping):
        return register.decode(record)
    if op == "put" and args.keys() <= {"value"}:
        return register.decode(record)
    call, response = decode_call(record), record.get("response")
    return call, None if response is None or record["outcome"] != "ok" else decode_answer(call, response)


def of_operation(operation: Operation) -> Operation:
    """The same operation in the vocabulary of the whole store. ValueError where it has none."""
    call = operation.call
    if type(call) in _WHOLE_STORE:
        return refused(operation)
    if isinstance(call, register.Call):
        answer = operation.response
        given = _answer(call, answer) if operation.is_ok and isinstance(answer, register.Answer) else None
        operation = replace(operation, call=_call(call, operation), response=given)
    elif not isinstance(call, tuple) or len(call) != 3:
        raise ValueError(f"not an operation on an etcd: {call!r}")
    else:
        operation = of_frozen(operation)
    return refused(operation)


def _call(call: register.Call, operation: Operation) -> c.Call:
    key, value = call.key.encode(), (call.value or "").encode()
    match call.op:
        case "get":
            return c.Range(key, serializable=register.is_serializable(operation))
        case "put":
            return c.Put(key, value)
        case "delete":
            return c.Delete(key)
    unchanged = c.Compare(key, "mod", "=", call.expected or 0)
    return c.Txn((unchanged,), (c.Put(key, value),), (c.Range(key),))


def _answer(call: register.Call, answer: register.Answer) -> c.Answer:
    match call.op:
        case "get":
            return _seen(call, answer)
        case "put":
            return c.PutAnswer(answer.revision)
        case "delete":
            return c.DeleteAnswer(answer.revision, answer.deleted or 0)
    inner: c.Answer = c.PutAnswer(None) if answer.succeeded else _seen(call, answer)
    return c.TxnAnswer(answer.revision, bool(answer.succeeded), (inner,))


def _seen(call: register.Call, answer: register.Answer) -> c.RangeAnswer:
    if answer.mod_revision is None:
        return c.RangeAnswer(answer.revision, None)
    if answer.mod_revision == 0:
        return c.RangeAnswer(answer.revision, ())
    value = None if answer.value is None else answer.value.encode()
    kv = c.KV(call.key.encode(), value, answer.create_revision, answer.mod_revision, answer.version, None)
    return c.RangeAnswer(answer.revision, (kv,))
