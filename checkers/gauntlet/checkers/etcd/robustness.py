"""Histories of etcd's own robustness tests: the `operations.json` of each client of a report.

A file is one JSON object after another, on one line each or spread over several. Times are ns from a common
start, so the files of all clients of a report make one history. What upstream's records leave out is not
recorded here either: create_revision, lease, `more`. Values of 20 bytes and more appear as their 32-bit
FNV-1a hash, in requests not always; here they do everywhere.

- A put, delete or get that upstream wrapped into a txn without conditions is itself again, but for gets.
- An error leaves a write unknown and a read without effect, unless the store said something by it, or had
  not looked at the request yet.
- A request that lost its answer but stands in the servers' logs ("Persisted") was carried out before its
  Return, at the revision that is told, if any.
- Defragmentation changes nothing and is left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from gauntlet.checkers.etcd import calls as c
from porcupine.history import HistoryError, Operation, Outcome

HASHED_FROM: Final = 20  # bytes


def read(lines: Iterable[str]) -> list[Operation]:
    """The operations of one file, or of several one after the other. HistoryError names a broken line."""
    operations = []
    for number, record in _objects(lines):
        try:
            operation = _operation(record)
        except KeyError as error:
            raise HistoryError(f"the field {error.args[0]!r} is missing", number) from error
        except (TypeError, ValueError, AttributeError) as error:
            raise HistoryError(str(error), number) from error
        if operation is not None:
            operations.append(operation)
    operations.sort(key=lambda operation: operation.call_time_ns)
    for position, operation in enumerate(operations):
        operation.id = position
    return operations


def _objects(lines: Iterable[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """(number of its first line, object)."""
    held: list[str] = []
    begun = number = 0
    for number, line in enumerate(lines, start=1):
        if not held:
            if not line.strip():
                continue
            begun = number
        held.append(line)
        whole = line.rstrip()
        if whole == "}" or (len(held) == 1 and whole.endswith("}")):
            yield begun, _parse(held, begun)
            held = []
    if held:
        raise HistoryError("the file ends within an operation", number)


def _parse(held: list[str], begun: int) -> Mapping[str, Any]:
    try:
        value = json.loads("".join(line if line.endswith("\n") else f"{line}\n" for line in held))
    except json.JSONDecodeError as error:
        where = begun + error.lineno - 1
        raise HistoryError(f"not JSON: {error.msg} at column {error.colno}", where) from error
    if not isinstance(value, dict):
        raise HistoryError(f"not an object but {type(value).__name__}", begun)
    return value


def _operation(record: Mapping[str, Any]) -> Operation | None:
    given, output = record["Input"], record["Output"]
    client = record["ClientId"] if "ClientId" in record else record["ClientID"]
    called, returned = int(record["Call"]), int(record["Return"])
    call = _call(given)
    if call is None:
        return None
    if returned < called:
        raise ValueError("it returned before it was called")
    outcome, answer = _outcome(call, given, output)
    tags = {"error": {"message": output["Error"]}} if output.get("Error") else {}
    member = output.get("member-id")
    if member:
        tags["member"] = member
    return Operation(client, call, called, returned, outcome, answer, tags=tags)


def _outcome(
    call: c.Call, given: Mapping[str, Any], output: Mapping[str, Any]
) -> tuple[Outcome, c.Answer | None]:
    error = output.get("Error") or ""
    if error:
        refused = c.Refused(error)
        if refused in c.REFUSALS:
            return Outcome.OK, refused
        if refused in c.WITHOUT_EFFECT:
            return Outcome.FAILED, None
        changes = c.writes(call) or isinstance(call, (c.Grant, c.Compact))
        return Outcome.UNKNOWN if changes else Outcome.FAILED, None
    if output.get("ClientError"):
        return Outcome.OK, c.Refused(f"etcdserver: {output['ClientError']}")
    if output.get("Persisted"):
        return Outcome.OK, _persisted(call, int(output.get("PersistedRevision") or 0) or None)
    return Outcome.OK, _answer(call, given, output)


def _persisted(call: c.Call, revision: int | None) -> c.Answer:
    """Of a request that the servers' logs hold: it was carried out, and its answer was lost."""
    match call:
        case c.Put():
            return c.PutAnswer(revision)
        case c.Delete():
            return c.DeleteAnswer(revision)
        case c.Txn():
            return c.TxnAnswer(revision, None)
        case c.Range():
            return c.RangeAnswer(revision, None)
        case c.Grant():
            return c.GrantAnswer(revision, call.id)
        case c.Revoke():
            return c.RevokeAnswer(revision)
    return c.CompactAnswer(None)


def _call(given: Mapping[str, Any]) -> c.Call | None:
    kind = given["Type"]
    match kind:
        case "range":
            return _range(given["Range"])
        case "txn":
            txn = _txn(given["Txn"])
            bare = not txn.compare and not txn.failure and len(txn.success) == 1
            return txn.success[0] if bare and not isinstance(txn.success[0], c.Range) else txn
        case "leaseGrant":
            return c.Grant(int(given["LeaseGrant"]["LeaseID"]), 0)
        case "leaseRevoke":
            return c.Revoke(int(given["LeaseRevoke"]["LeaseID"]))
        case "compact":
            return c.Compact(int(given["Compact"]["Revision"]))
        case "defragment":
            return None
    raise ValueError(f"the request is of type {kind!r}, which is none of etcd's")


def _range(options: Mapping[str, Any]) -> c.Range:
    return c.Range(
        options["Start"].encode(),
        (options.get("End") or "").encode(),
        limit=int(options.get("Limit") or 0),
        revision=int(options.get("Revision") or 0),
        keys_only=bool(options.get("KeysOnly")),
    )


def _txn(txn: Mapping[str, Any]) -> c.Txn:
    return c.Txn(
        tuple(_condition(each) for each in txn.get("Conditions") or ()),
        tuple(_request(each) for each in txn.get("OperationsOnSuccess") or ()),
        tuple(_request(each) for each in txn.get("OperationsOnFailure") or ()),
    )


def _condition(condition: Mapping[str, Any]) -> c.Compare:
    key, version = condition["Key"].encode(), int(condition.get("ExpectedVersion") or 0)
    if version > 0:
        return c.Compare(key, "version", "=", version)
    return c.Compare(key, "mod", "=", int(condition.get("ExpectedRevision") or 0))


def _request(operation: Mapping[str, Any]) -> c.Request:
    kind = operation["Type"]
    match kind:
        case "range-operation":
            return _range(operation["Range"])
        case "put-operation":
            put = operation["Put"]
            return c.Put(put["Key"].encode(), _value(put["Value"]), int(put.get("LeaseID") or 0))
        case "delete-operation":
            return c.Delete(operation["Delete"]["Key"].encode())
    raise ValueError(f"the operation is of type {kind!r}, which is none of a txn's")


def _answer(call: c.Call, given: Mapping[str, Any], output: Mapping[str, Any]) -> c.Answer:
    revision = int(output.get("Revision") or 0) or None
    match call:
        case c.Range():
            return _seen(output["Range"], revision)
        case c.Grant():
            return c.GrantAnswer(revision, call.id)
        case c.Revoke():
            return c.RevokeAnswer(revision)
        case c.Compact():
            return c.CompactAnswer(None)
    results: list[dict[str, Any]] = output["Txn"].get("Results") or []
    if isinstance(call, c.Txn):
        succeeded = not output["Txn"].get("Failure")
        branch = call.success if succeeded else call.failure
        if len(results) != len(branch):
            raise ValueError(f"{len(results)} results of {len(branch)} operations")
        inner = (_result(each, result, None) for each, result in zip(branch, results, strict=True))
        return c.TxnAnswer(revision, succeeded, tuple(inner))
    if len(results) != 1:
        raise ValueError(f"{len(results)} results of one operation")
    return _result(call, results[0], revision)


def _result(call: c.Call, result: Mapping[str, Any], revision: int | None) -> c.Answer:
    if isinstance(call, c.Put):
        return c.PutAnswer(revision)
    if isinstance(call, c.Delete):
        return c.DeleteAnswer(revision, int(result.get("Deleted") or 0))
    return _seen(result, revision)


def _seen(result: Mapping[str, Any], revision: int | None) -> c.RangeAnswer:
    kvs = tuple(
        c.KV(
            kv["Key"].encode(),
            _value(kv.get("Value") or {}),
            None,
            int(kv.get("ModRevision") or 0),
            int(kv.get("Version") or 0),
            None,
        )
        for kv in result.get("KVs") or ()
    )
    return c.RangeAnswer(revision, kvs, None, int(result.get("Count") or 0))


def _value(value: Mapping[str, Any]) -> bytes:
    hashed = value.get("Hash")
    text = (value.get("Value") or "").encode()
    if not hashed and len(text) < HASHED_FROM:
        return text
    number = int(hashed) if hashed else fnv1a(text)
    return b"(a long value, FNV-1a %08x)" % number


def fnv1a(data: bytes) -> int:
    """The 32-bit FNV-1a hash (Fowler, Noll and Vo)."""
    number = 0x811C9DC5
    for byte in data:
        number = (number ^ byte) * 0x01000193 & 0xFFFFFFFF
    return number
