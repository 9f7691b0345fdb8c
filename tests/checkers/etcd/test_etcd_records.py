"""Lines of histories: our own vocabulary, the register workload's, and etcd's robustness reports."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from gauntlet.checkers import records as register
from gauntlet.checkers.etcd import calls as c
from gauntlet.checkers.etcd import check_etcd, decide, robustness
from gauntlet.checkers.etcd.records import decode, encode_answer, encode_call, read
from gauntlet.checkers.etcd.register import of_operation
from porcupine.history import HistoryError, Operation, Outcome
from porcupine.search import Verdict


def line(operation: Operation, error: str | None = None) -> str:
    """One operation as a line of history.jsonl."""
    answer: Any = operation.response
    refused = isinstance(answer, c.Refused)
    record = {
        "id": operation.id,
        "client": operation.client,
        **encode_call(operation.call),  # type: ignore[arg-type]
        "call_ns": operation.call_time_ns,
        "return_ns": operation.return_time_ns,
        "outcome": "failed" if refused else operation.outcome.value,
        "response": None if refused or answer is None else encode_answer(answer),
        "error": {"code": "X", "message": answer.message} if refused else None,
    }
    return json.dumps(record)


def test_lines_come_back_as_they_were(histories: Any) -> None:
    operations = histories.generate(5, 400, 6, 8, histories.Mix(unknown=0.05, lease=0.1, compact=0.02))
    lines = list(map(line, operations))
    for again in (read(lines), [of_operation(each) for each in register.load(lines).history]):
        for before, after in zip(operations, again, strict=True):
            assert (before.call, before.outcome) == (after.call, after.outcome)
            assert before.response == after.response
    assert check_etcd(register.load(lines)).verdict is decide(operations).verdict


def test_random_calls_come_back_as_they_were(random_calls: Any) -> None:
    chooser = random_calls(random.Random("records"), revision=9)
    for _ in range(500):
        call = chooser.next()
        encoded = json.loads(json.dumps(encode_call(call)))
        assert decode(encoded)[0] == call


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"op": "steal"}, "op is 'steal', not one of"),
        ({"op": "range", "args": {"limit": "x"}}, "limit is 'x', not an integer"),
        ({"op": "range", "args": {"sort_order": "up"}}, "sort_order is 'up', not one of"),
        ({"op": "put", "args": {"value": {"base64": "@"}}}, "value is not base64"),
        ({"op": "put", "key": None}, "key is None, neither text nor base64"),
        ({"op": "txn", "args": {"success": [{"op": "compact"}]}}, "'compact' cannot stand in a txn"),
        ({"op": "txn", "args": {"compare": [{"key": "a", "value": 1}]}}, "the field 'target' is missing"),
    ],
)
def test_a_broken_line_is_named(change: dict[str, Any], reason: str) -> None:
    good = {"id": 0, "client": 1, "op": "put", "key": "a", "args": {}, "call_ns": 1, "return_ns": 2}
    good |= {"outcome": "ok", "response": {"revision": 2}}
    with pytest.raises(HistoryError) as caught:
        read([json.dumps(good), json.dumps({**good, **change})])
    assert caught.value.line == 2
    assert reason in str(caught.value)


def test_a_put_with_a_lease_keeps_it() -> None:
    record = {"id": 0, "client": 1, "op": "put", "key": "a", "args": {"value": "1", "lease": 7}}
    record |= {"call_ns": 1, "return_ns": 2, "outcome": "ok", "response": {"revision": 2}}
    (operation,) = register.load([json.dumps(record)]).history
    assert of_operation(operation).call == c.Put(b"a", b"1", 7)


def test_register_lines_are_what_was_sent() -> None:
    def of(op: str, args: dict[str, Any], response: dict[str, Any] | None) -> Operation:
        record = {"id": 0, "client": 1, "op": op, "key": "k", "args": args, "call_ns": 1, "return_ns": 2}
        record |= {"outcome": "ok" if response else "unknown", "response": response}
        return of_operation(register.load([json.dumps(record)]).history[0])

    found = {"revision": 9, "value": "v", "mod_revision": 7, "create_revision": 5, "version": 2}
    kv = c.KV(b"k", b"v", 5, 7, 2, None)
    assert of("get", {}, found).response == c.RangeAnswer(9, (kv,))
    assert of("get", {}, {"revision": 9, "value": None, "mod_revision": 0}).response == c.RangeAnswer(9, ())
    swap = of("cas", {"expected": 7, "value": "w"}, {**found, "succeeded": False})
    assert swap.call == c.Txn((c.Compare(b"k", "mod", "=", 7),), (c.Put(b"k", b"w"),), (c.Range(b"k"),))
    assert swap.response == c.TxnAnswer(9, False, (c.RangeAnswer(9, (kv,)),))
    assert of("delete", {}, {"revision": 9, "deleted": 1}).response == c.DeleteAnswer(9, 1)
    assert of("put", {"value": "x"}, None).outcome is Outcome.UNKNOWN


# ---- etcd's robustness tests ----


def request(kind: str, **fields: Any) -> dict[str, Any]:
    every = dict.fromkeys(("LeaseGrant", "LeaseRevoke", "Range", "Txn", "Defragment", "Compact"))
    return {"Type": kind, **every, **fields}


def reported(client: int, call: int, given: dict[str, Any], **output: Any) -> dict[str, Any]:
    every = dict.fromkeys(("Txn", "Range", "LeaseGrant", "LeaseRevoke", "Defragment", "Compact"))
    answer = {**every, "ClientError": "", "Revision": 0, "Persisted": False, "PersistedRevision": 0}
    answer |= {"Error": "", **output}
    return {"ClientId": client, "Input": given, "Call": call, "Output": answer, "Return": call + 5}


def put_op(key: str, value: str) -> dict[str, Any]:
    options = {"Start": "", "End": "", "Limit": 0, "KeysOnly": False}
    put = {"Key": key, "Value": {"Value": value}, "LeaseID": 0}
    return {"Type": "put-operation", "Range": options, "Put": put, "Delete": {"Key": ""}}


def txn(success: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    whole = {"Conditions": [], "OperationsOnSuccess": success, "OperationsOnFailure": []}
    return request("txn", Txn=whole | fields)


def get(key: str, revision: int = 0) -> dict[str, Any]:
    options = {"Start": key, "End": "", "Limit": 0, "KeysOnly": False, "Revision": revision}
    return request("range", Range=options)


def kvs(*found: tuple[str, dict[str, Any], int, int]) -> dict[str, Any]:
    pairs = [
        {"Key": key, "Value": value, "ModRevision": mod, "Version": version}
        for key, value, mod, version in found
    ]
    return {"KVs": pairs, "Count": len(pairs)}


LONG = "x" * 40
REPORT = [
    reported(1, 10, txn([put_op("a", "1")]), Txn={"Failure": False, "Results": [{}]}, Revision=2),
    reported(1, 20, get("a"), Range=kvs(("a", {"Value": "1"}, 2, 1)), Revision=2),
    reported(2, 30, txn([put_op("a", "2")]), Error="context deadline exceeded"),
    reported(1, 40, get("a"), Range=kvs(("a", {"Value": "2"}, 3, 2)), Revision=3),
    reported(
        1,
        50,
        txn(
            [put_op("a", LONG)],
            Conditions=[{"Key": "a", "ExpectedRevision": 3, "ExpectedVersion": 0}],
        ),
        Txn={"Failure": False, "Results": [{"KVs": None, "Count": 0, "Deleted": 0}]},
        Revision=4,
    ),
    reported(1, 60, get("a"), Range=kvs(("a", {"Hash": robustness.fnv1a(LONG.encode())}, 4, 3)), Revision=4),
    reported(1, 70, request("defragment", Defragment={}), Defragment={}, Revision=-1),
    reported(1, 80, request("compact", Compact={"Revision": 3}), Compact={}, Revision=-1),
    reported(
        1,
        90,
        request("compact", Compact={"Revision": 3}),
        ClientError="mvcc: required revision has been compacted",
    ),
    reported(1, 100, request("leaseGrant", LeaseGrant={"LeaseID": 9}), LeaseGrant={"LeaseID": 0}, Revision=4),
    reported(1, 110, request("leaseRevoke", LeaseRevoke={"LeaseID": 9}), LeaseRevoke={}, Revision=4),
    reported(3, 120, get("a"), Error="etcdserver: request timed out"),
]


@pytest.mark.parametrize("indent", [None, 2])
def test_a_robustness_report_is_read(indent: int | None) -> None:
    lines = "".join(json.dumps(each, indent=indent) + "\n" for each in REPORT).splitlines(keepends=True)
    operations = robustness.read(lines)
    assert len(operations) == len(REPORT) - 1  # without the defragmentation
    assert [each.outcome for each in operations].count(Outcome.UNKNOWN) == 1
    assert operations[-1].outcome is Outcome.FAILED
    assert decide(operations).verdict is Verdict.VALID
    bent = json.loads(json.dumps(REPORT))
    bent[3]["Output"]["Range"]["KVs"][0]["Value"]["Value"] = "3"
    assert decide(robustness.read(json.dumps(each) for each in bent)).verdict is Verdict.INVALID


def test_a_broken_report_is_named_by_its_line() -> None:
    lines = "".join(json.dumps(each, indent=2) + "\n" for each in REPORT[:2]).splitlines(keepends=True)
    first = next(number for number, each in enumerate(lines, 1) if each == "}\n")
    for change, line_number, reason in [
        (lines[:-3], len(lines) - 3, "ends within an operation"),
        ([*lines[: first + 3], "  oops\n", *lines[first + 3 :]], first + 4, "not JSON"),
        ([*lines, "[1]\n", "}\n"], len(lines) + 1, "not JSON"),
        ([*lines, '{"Input": {}, "Output": {}, "Call": 1, "Return": 2}\n'], len(lines) + 1, "'ClientID'"),
    ]:
        with pytest.raises(HistoryError) as caught:
            robustness.read(change)
        assert reason in str(caught.value)
        assert caught.value.line is not None
        assert abs(caught.value.line - line_number) <= 1


def test_the_hash_is_upstreams() -> None:
    """The published vectors of 32-bit FNV-1a."""
    assert robustness.fnv1a(b"") == 0x811C9DC5
    assert robustness.fnv1a(b"a") == 0xE40C292C
    assert robustness.fnv1a(b"foobar") == 0xBF9CF968
