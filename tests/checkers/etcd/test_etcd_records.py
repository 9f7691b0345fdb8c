"""Lines of histories: our own vocabulary, the register workload's, and etcd's robustness reports."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from gauntlet.checkers import records as register
from gauntlet.checkers.etcd import calls as c
from gauntlet.checkers.etcd import check_etcd, decide, robustness
from gauntlet.checkers.etcd.model import Etcd
from gauntlet.checkers.etcd.records import decode, encode_answer, encode_call, read
from gauntlet.checkers.etcd.register import of_operation
from gauntlet.checkers.etcd.replay import Start
from gauntlet.checkers.etcd.store import apply
from gauntlet.checkers.records import Run
from porcupine.history import History, HistoryError, Operation, Outcome
from porcupine.model import Rejected
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


def delete_op(key: str) -> dict[str, Any]:
    return put_op("", "") | {"Type": "delete-operation", "Delete": {"Key": key}}


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("others", [0, 3])
def test_a_request_that_stands_in_the_logs_was_carried_out(told: bool, others: int) -> None:
    """ "Persisted": no answer, with its revision or without. It is evidence: it must have happened."""

    def judged(deleted: str, seen: dict[str, Any], at: int) -> Verdict:
        logged = {"Persisted": True, "PersistedRevision": 3 if told else 0}
        report = [
            reported(1, 10, txn([put_op("a", "1")]), Txn={"Failure": False, "Results": [{}]}, Revision=2),
            reported(2, 30, txn([delete_op(deleted)]), **logged),
            reported(1, 40, get("a"), Range=seen, Revision=at),
        ]
        for number in range(others):  # lost, and not in the logs
            report.append(reported(5, 31 + number, txn([put_op("b", "1")]), Error="context canceled"))
        return decide(robustness.read(json.dumps(each) for each in report)).verdict

    there = kvs(("a", {"Value": "1"}, 2, 1))
    assert judged("a", kvs(), 3) is Verdict.VALID
    assert judged("a", there, 2) is Verdict.INVALID
    assert judged("a", there, 3) is Verdict.INVALID
    assert judged("c", there, 2) is (Verdict.INVALID if told else Verdict.VALID)


def test_a_put_and_a_txn_that_stand_in_the_logs() -> None:
    swap = txn([put_op("a", "2")], Conditions=[{"Key": "a", "ExpectedRevision": 2, "ExpectedVersion": 0}])

    def judged(first: dict[str, Any], second: dict[str, Any], value: str, mod: int) -> Verdict:
        shown = kvs(("a", {"Value": value}, mod, mod - 1))
        report = [
            reported(1, 10, txn([put_op("a", "1")]), Persisted=True, **first),
            reported(1, 20, swap, Persisted=True, **second),
            reported(1, 30, get("a"), Range=shown, Revision=mod),
        ]
        return decide(robustness.read(json.dumps(each) for each in report)).verdict

    for first in ({}, {"PersistedRevision": 2}):
        for second in ({}, {"PersistedRevision": 3}):
            assert judged(first, second, "2", 3) is Verdict.VALID
            assert judged(first, second, "1", 2) is Verdict.INVALID


@pytest.mark.parametrize(
    "reason", ["permission denied", "invalid auth token", "revision of auth store is old"]
)
def test_what_was_turned_away_had_no_effect(reason: str) -> None:
    """... and may be at any moment. Out of space is another matter: etcd also says so after the write."""

    def judged(error: str, at: int) -> Verdict:
        seen = kvs(("a", {"Value": "1"}, at, 1)) if at > 1 else kvs()
        report = [
            reported(1, 10, txn([put_op("a", "1")]), Error=error),
            reported(1, 20, get("a"), Range=seen, Revision=at),
        ]
        return decide(robustness.read(json.dumps(each) for each in report), start=Start()).verdict

    assert judged(f"etcdserver: {reason}", 1) is Verdict.VALID
    assert judged(f"etcdserver: {reason}", 2) is Verdict.INVALID
    assert judged("etcdserver: mvcc: database space exceeded", 1) is Verdict.VALID
    assert judged("etcdserver: mvcc: database space exceeded", 2) is Verdict.VALID


def plain(op: str, call: int, args: dict[str, Any], response: Any, **more: Any) -> str:
    record = {"client": 1, "op": op, "key": None, "call_ns": call, "return_ns": call + 5, "args": args}
    return json.dumps(record | {"outcome": "ok", "response": response, "error": None} | more)


def test_a_stream_of_a_range_is_one_snapshot() -> None:
    """Its pieces together are a range; compacted on the way, it says nothing of the moment it began."""
    put = plain("put", 10, {"value": "1"}, {"revision": 2}, key="a")
    again = plain("put", 20, {"value": "2"}, {"revision": 3}, key="a")
    pair = {"key": "a", "value": "1", "create_revision": 2, "mod_revision": 2, "version": 1, "lease": 0}
    whole = {"revision": 2, "kvs": [pair], "more": False, "count": 1}
    lost = {"outcome": "failed", "error": {"message": c.COMPACTED.message}}

    def judged(*lines: str) -> Verdict:
        return decide(read([put, *lines])).verdict

    assert judged(plain("range_stream", 18, {}, whole, key="a", return_ns=40), again) is Verdict.VALID
    assert judged(again, plain("range_stream", 30, {}, whole, key="a")) is Verdict.INVALID
    assert judged(plain("range_stream", 30, {}, None, key="a", **lost)) is Verdict.VALID
    assert judged(plain("range", 30, {}, None, key="a", **lost)) is Verdict.INVALID
    assert judged(plain("range_stream", 30, {"revision": 2}, None, key="a", **lost)) is Verdict.INVALID


def test_a_list_of_leases_may_be_old_but_knows_none_that_nobody_was_granted() -> None:
    grant = plain("lease_grant", 10, {"id": 7, "ttl": 60}, {"revision": 1, "id": 7, "ttl": 60})
    put = plain("put", 20, {"value": "1"}, {"revision": 2}, key="a")

    def judged(*ids: int) -> Any:
        lines = [grant, put, plain("lease_leases", 30, {}, {"revision": 2, "ids": ids})]
        return check_etcd(Run(History(read(lines))))

    assert judged(7).verdict is judged().verdict is Verdict.VALID
    assert (judged(7, 8).verdict, judged(7, 8).summary) == (Verdict.INVALID, "phantom lease")
    model = Etcd()
    state, _ = apply(model.init(), c.Grant(7, 60))
    for ids, fits in (((7,), True), ((), False), ((7, 8), False)):
        operation = Operation(0, c.Leases(), 0, 1, response=c.LeasesAnswer(1, ids))
        assert isinstance(model.step(state, operation), Rejected) is not fits
    call, answer = c.Leases(), c.LeasesAnswer(1, (7, 8))
    assert decode({**encode_call(call), "response": encode_answer(answer), "outcome": "ok"}) == (call, answer)


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
