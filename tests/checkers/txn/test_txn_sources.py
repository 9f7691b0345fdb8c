"""Where transactions come from: Jepsen's EDN, JSON lines with etcd's revisions; and revisions that lie."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

import pytest
from gauntlet.checkers import by_name
from gauntlet.checkers.records import Run, load
from gauntlet.checkers.txn import check_transactions, read_jepsen
from porcupine import HistoryError, Verdict

EDN = """
{:type :invoke, :process 0, :f :txn, :value [[:append 5 1] [:r 6 nil]], :index 0, :time 10}
{:type :info, :process :nemesis, :f :start, :value nil}
#jepsen.history.Op{:index 1, :type :invoke, :process 1, :f :txn, :value [[:r 5 nil]]}
{:type :ok, :process 0, :f :txn, :value [[:append 5 1] [:r 6 nil]]}
{:type :ok, :process 1, :f :txn, :value [[:r 5 SEEN]]}
{:type :invoke, :process 2, :f :txn, :value [[:append 6 9]]}
{:type :info, :process 2, :f :txn, :value [[:append 6 9]]}
{:type :invoke, :process 3, :f :txn, :value [[:r 5 nil] [:append 5 2]]}
{:type :fail, :process 3, :f :txn, :value [[:r 5 nil] [:append 5 2]]}
{:type :invoke, :process 4, :f :txn, :value [[:r 5 nil]]}
{:type :ok, :process 4, :f :txn, :value [[:r 5 LATER]]}
"""


@pytest.mark.parametrize(
    ("seen", "later", "anomaly"),
    [
        ("[1]", "[1]", None),
        ("nil", "[1]", None),
        ("[1]", "nil", "G-single-realtime"),
        ("nil", "[1 2]", "G1a"),
        ("[]", "[1 7]", "phantom-value"),
    ],
)
def test_jepsen_histories(seen: str, later: str, anomaly: str | None) -> None:
    text = EDN.replace("SEEN", seen).replace("LATER", later)
    for lines in (text.splitlines(keepends=True), ("[" + text.strip() + "]").splitlines(keepends=True)):
        result = check_transactions(Run(read_jepsen(lines)))
        assert result.details["failed"] == 1
        assert result.details["unknown"] == 1
        assert result.verdict is (Verdict.VALID if anomaly is None else Verdict.INVALID)
        assert set(result.details["by_value"]["anomalies"]) == ({anomaly} if anomaly else set())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{:type :invoke, :process 0, :f :txn, :value 7}", "line 2: a transaction is 7"),
        ("{:type :invoke, :process 0, :f :txn", "line 2: .*never closed"),
        ("{:type :ok, :process 0, :f :txn, :value []}", "line 2: process 0 ends an operation"),
        ("{:type :invoke, :f :txn}", "line 2: not a map with"),
    ],
)
def test_a_broken_line_is_named(line: str, message: str) -> None:
    with pytest.raises(HistoryError, match=message):
        read_jepsen(["\n", line])


Record = dict[str, Any]


def etcd_records(seed: int, count: int, lists: bool) -> list[Record]:
    """Transactions of a correct etcd, each at one moment between its call and its return, with revisions."""
    rng = random.Random(f"{seed}:etcd")
    values: dict[str, list[int]] = {}
    mods: dict[str, int] = {}
    revision, now, written = 1, 0, 0
    records = []
    for number in range(count):
        now += 10
        micro: list[list[Any]] = []
        seen: list[int | None] = []
        touched = []
        for _ in range(rng.randint(1, 4)):
            key = f"k{rng.randrange(3)}"
            if rng.random() < 0.5:
                here = values.get(key, [])
                micro.append(["r", key, list(here) if lists else (here[-1] if here else None)])
                seen.append(mods.get(key, 0))
            else:
                written += 1
                values.setdefault(key, []).append(written)
                micro.append(["append" if lists else "w", key, written])
                seen.append(None)
                touched.append(key)
        revision += bool(touched)
        mods.update(dict.fromkeys(touched, revision))
        asked = [[f, key, None if f == "r" else value] for f, key, value in micro]
        unknown = bool(touched) and rng.random() < 0.1
        response = {"txn": micro, "revision": revision, "mod_revisions": seen}
        records.append(
            {
                "id": number,
                "client": number,
                "member": "m1",
                "op": "txn",
                "key": None,
                "args": {"txn": asked},
                "call_ns": now - rng.randint(0, 60),
                "return_ns": now + rng.randint(0, 60),
                "outcome": "unknown" if unknown else "ok",
                "response": None if unknown else response,
            }
        )
    return records


def judge(records: list[Record]) -> Any:
    return by_name("txn")(load([json.dumps(record) for record in records]))


@pytest.mark.parametrize("lists", [True, False], ids=["lists", "registers"])
def test_values_and_revisions_agree(lists: bool) -> None:
    for seed in range(60):
        result = judge(etcd_records(seed, 40, lists))
        assert result.verdict is Verdict.VALID, (seed, result.explanation)
        assert result.details["by_revision"]["edges"] > 0
        assert "disagreement" not in result.details


def _reads(records: list[Record]) -> list[tuple[Record, int]]:
    return [
        (record, place)
        for record in records
        if record["response"] is not None
        for place, (f, key, value) in enumerate(record["response"]["txn"])
        if f == "r"
        and value
        and all(g == "r" or other != key for g, other, _ in record["response"]["txn"][:place])
    ]


@pytest.mark.parametrize("lists", [True, False], ids=["lists", "registers"])
@pytest.mark.parametrize("lie", ["read_mod", "write_revision", "same_revision", "header", "absent"])
def test_a_revision_that_lies_is_refuted_and_the_values_are_not(lists: bool, lie: str) -> None:
    refuted = 0
    for seed in range(30):
        records = copy.deepcopy(etcd_records(seed, 40, lists))
        rng = random.Random(f"{seed}:{lie}")
        writers = [r for r in records if r["response"] and any(f != "r" for f, _, _ in r["response"]["txn"])]
        record, place = rng.choice(_reads(records))
        if lie == "read_mod":
            record["response"]["mod_revisions"][place] += rng.choice([-1, 1])
        elif lie == "absent":
            record["response"]["mod_revisions"][place] = 0
        elif lie == "header":
            record["response"]["revision"] = 1
        elif lie == "same_revision":
            one, other = rng.sample(writers, 2)
            one["response"]["revision"] = other["response"]["revision"]
        else:
            one, other = rng.sample(writers, 2)
            swapped = other["response"]["revision"], one["response"]["revision"]
            one["response"]["revision"], other["response"]["revision"] = swapped
        result = judge(records)
        assert not result.details["by_value"]["anomalies"], seed
        if result.verdict is Verdict.INVALID:
            refuted += 1
            assert "values alone could be explained" in result.details["disagreement"]
            assert result.explanation["operations"]
    assert refuted >= 27


def test_a_value_that_lies_is_refuted_by_both() -> None:
    for seed in range(30):
        records = copy.deepcopy(etcd_records(seed, 40, True))
        record, place = random.Random(f"{seed}:cut").choice(_reads(records))
        micro = record["response"]["txn"]
        key = micro[place][1]
        for each in micro:
            if each[:2] == ["r", key]:
                each[2] = [*each[2][:-1], 1000]
        result = judge(records)
        assert result.verdict is Verdict.INVALID
        assert "phantom-value" in result.details["by_value"]["anomalies"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"args": {"txn": [["x", "k", 1]]}}, "no micro-operation"),
        ({"args": {}}, "has no 'txn'"),
        ({"args": {"txn": [["r", "other", None]]}}, "was answered"),
        ({"args": {"txn": []}}, "asked 0 micro-operations"),
    ],
)
def test_records_that_make_no_sense_are_refused(change: Record, message: str) -> None:
    record = next(r for r in etcd_records(1, 9, True) if r["outcome"] == "ok" and len(r["args"]["txn"]) == 1)
    with pytest.raises(ValueError, match=message):
        judge([record | change])
