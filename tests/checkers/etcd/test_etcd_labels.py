"""What is said about an invalid history: the label, the operations, and whether the values alone hold."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

import pytest
from gauntlet.checkers.etcd import calls as c
from gauntlet.checkers.etcd.check import check_etcd
from gauntlet.checkers.etcd.decide import decide
from gauntlet.checkers.etcd.diagnose import APPLIED_TWICE, WRONG_ANSWER, WRONG_VALUE
from gauntlet.checkers.etcd.shrunk import contradict, shrink
from gauntlet.checkers.records import Run
from gauntlet.checkers.registry import by_name
from porcupine.history import History, Operation, Outcome
from porcupine.labels import (
    FUTURE_READ,
    LOST_UPDATE,
    LOST_WRITE,
    PHANTOM_WRITE,
    REUSED,
    STALE_READ,
    WENT_BACK,
    WRONG_REFUSAL,
    WRONG_REVISION,
)
from porcupine.search import Verdict

Pair = tuple[c.Call, c.Answer | None]


def kv(value: bytes, create: int, mod: int, version: int, key: bytes = b"a") -> c.KV:
    return c.KV(key, value, create, mod, version, 0)


def seen(revision: int, *kvs: c.KV) -> c.RangeAnswer:
    return c.RangeAnswer(revision, kvs, False, len(kvs))


def put(value: bytes, revision: int, key: bytes = b"a") -> Pair:
    return c.Put(key, value), c.PutAnswer(revision)


def get(answer: c.RangeAnswer, key: bytes = b"a") -> Pair:
    return c.Range(key), answer


def swap(expected: int, value: bytes) -> c.Txn:
    unchanged = c.Compare(b"a", "mod", "=", expected)
    return c.Txn((unchanged,), (c.Put(b"a", value),), (c.Range(b"a"),))


CASES: dict[str, tuple[list[Pair], str, list[int], str]] = {
    "an answer from an older revision": (
        [put(b"1", 2), put(b"2", 3), get(seen(2, kv(b"1", 2, 2, 1)))],
        STALE_READ,
        [1, 2],
        "invalid",
    ),
    "the newest revision without the newest write": (
        [put(b"1", 2), put(b"2", 3), get(seen(3, kv(b"1", 2, 2, 1)))],
        LOST_WRITE,
        [1, 2],
        "invalid",
    ),
    "a key that is gone without a delete": (
        [put(b"1", 2), get(seen(2))],
        LOST_WRITE,
        [0, 1],
        "invalid",
    ),
    "a deleted key that is there": (
        [put(b"1", 2), (c.Delete(b"a"), c.DeleteAnswer(3, 1, ())), get(seen(3, kv(b"1", 2, 2, 1)))],
        LOST_WRITE,
        [1, 2],
        "invalid",
    ),
    "a value that nobody wrote": (
        [put(b"1", 2), get(seen(3, kv(b"x", 2, 3, 2)))],
        PHANTOM_WRITE,
        [1],
        "invalid",
    ),
    "a revision that nobody took": (
        [put(b"1", 2), put(b"2", 4, b"b")],
        PHANTOM_WRITE,
        [1],
        "valid",
    ),
    "one revision for two writes": (
        [put(b"1", 2), put(b"2", 2, b"b")],
        REUSED,
        [0, 1],
        "valid",
    ),
    "a revision that goes back": (
        [put(b"1", 3), put(b"2", 2, b"b")],
        WENT_BACK,
        [0, 1],
        "valid",
    ),
    "a write counted twice": (
        [put(b"1", 2), get(seen(2, kv(b"1", 2, 2, 2)))],
        APPLIED_TWICE,
        [0, 1],
        "valid",
    ),
    "a write seen at two revisions": (
        [put(b"1", 2), get(seen(2, kv(b"1", 2, 2, 1))), get(seen(3, kv(b"1", 2, 3, 2)))],
        APPLIED_TWICE,
        [0, 2],
        "valid",
    ),
    "another value at the right revision": (
        [put(b"1", 2), put(b"2", 3), get(seen(3, kv(b"1", 2, 3, 2)))],
        WRONG_VALUE,
        [1, 2],
        "invalid",
    ),
    "a wrong create_revision": (
        [put(b"1", 2), put(b"2", 3), get(seen(3, kv(b"2", 3, 3, 2)))],
        WRONG_REVISION,
        [1, 2],
        "valid",
    ),
    "a mod_revision above the header": (
        [put(b"1", 2), get(seen(2, kv(b"1", 2, 3, 1)))],
        FUTURE_READ,
        [1],
        "valid",
    ),
    "a swap that should have been refused": (
        [put(b"1", 2), put(b"2", 3), (swap(2, b"3"), c.TxnAnswer(4, True, (c.PutAnswer(None),)))],
        LOST_UPDATE,
        [1, 2],
        "invalid",
    ),
    "a swap that should not have been refused": (
        [put(b"1", 2), (swap(2, b"3"), c.TxnAnswer(2, False, (seen(2, kv(b"1", 2, 2, 1)),)))],
        WRONG_REFUSAL,
        [0, 1],
        "invalid",
    ),
    "a lease that was not found and is there": (
        [
            (c.Grant(7, 60), c.GrantAnswer(1, 7, 60)),
            (c.Put(b"a", b"1", 7), c.LEASE_NOT_FOUND),
            (c.Put(b"a", b"2", 7), c.PutAnswer(2)),
        ],
        WRONG_ANSWER,
        [2],
        "invalid",
    ),
    "another number of deleted keys": (
        [put(b"1", 2), (c.Delete(b"a", b"z"), c.DeleteAnswer(3, 2, ()))],
        WRONG_ANSWER,
        [1],
        "invalid",
    ),
}


def run_of(pairs: list[Pair]) -> Run:
    operations = [
        Operation(
            number,
            call,
            100 * number,
            100 * number + 50,
            Outcome.UNKNOWN if answer is None else Outcome.OK,
            answer,
            number,
            {"member": "m1"},
        )
        for number, (call, answer) in enumerate(pairs)
    ]
    return Run(History(operations))


@pytest.mark.parametrize("name", CASES)
def test_labels(name: str) -> None:
    pairs, label, operations, values = CASES[name]
    result = check_etcd(run_of(pairs))
    assert result.verdict is Verdict.INVALID
    assert result.explanation is not None
    shown = result.explanation["label"], result.explanation["operations"], result.explanation["values_alone"]
    assert shown == (label, operations, values), result.explanation["text"]
    assert "on m1" in result.explanation["text"]
    certificate = result.details["certificate"]["text"]
    assert "re-judged" in certificate
    assert f"of {len(result.explanation['shrunk'])} operations" in certificate
    assert {*operations} <= {*result.explanation["shrunk"]}
    if values == "valid":
        assert "lies about revisions" in result.summary
    json.dumps(result.to_json())


def test_the_same_without_the_fault_is_valid() -> None:
    """The control: what an unknown write, a late lease or a refusal explain is no fault."""
    unknown: list[list[Pair]] = [
        [put(b"1", 2), (c.Put(b"a", b"x"), None), get(seen(3, kv(b"x", 2, 3, 2)))],
        [put(b"1", 2), (c.Put(b"b", b"lost"), None), put(b"2", 4, b"b")],
        [(c.Grant(7, 60), c.GrantAnswer(1, 7, 60)), (c.Put(b"a", b"1", 7), c.LEASE_NOT_FOUND)],
        [
            (c.Grant(7, 60), c.GrantAnswer(1, 7, 60)),
            (c.Put(b"a", b"1", 7), c.PutAnswer(2)),
            get(seen(3)),
        ],
        [put(b"1", 2), (c.Compact(2), c.CompactAnswer(2)), (c.Range(b"a", revision=1), c.COMPACTED)],
    ]
    for pairs in unknown:
        result = check_etcd(run_of(pairs))
        assert result.verdict is Verdict.VALID, result.explanation


@pytest.mark.parametrize("clients", [1, 8])
def test_every_altered_answer_is_refuted(clients: int, histories: Any, mutated: Any) -> None:
    """One answer of a long valid history bent, many times."""
    rng = random.Random("altered")
    mix = histories.Mix(unknown=0, lease=0, compact=0, serializable=0)
    operations = histories.generate(3, 200, clients, 8, mix)
    labels = set()
    for _ in range(40):
        at = rng.randrange(len(operations))
        answer = operations[at].response
        other = mutated(rng, answer)
        if clients > 1 and other.revision != answer.revision:
            continue  # of operations at the same time either order may do
        bent = [*operations[:at], replace(operations[at], response=other), *operations[at + 1 :]]
        result = check_etcd(Run(bent))
        assert result.verdict is Verdict.INVALID, f"{operations[at]} bent to {other}"
        assert result.explanation is not None
        assert result.explanation["operations"], result.explanation["text"]
        labels.add(result.explanation["label"])
    assert len(labels) > 2, labels


def test_a_lease_that_nobody_was_granted(sequential: Any) -> None:
    history = sequential([(c.KeepAlive(9), c.KeepAliveAnswer(1, 9, 60)), put(b"1", 2)])
    result = check_etcd(Run(history))
    assert result.verdict is Verdict.INVALID
    assert result.summary == "phantom lease"
    granted = sequential(
        [(c.Grant(9, 60), c.GrantAnswer(1, 9, 60)), (c.KeepAlive(9), c.KeepAliveAnswer(1, 9, 60))]
    )
    assert check_etcd(Run(granted)).verdict is Verdict.VALID


def test_nothing_answered_proves_nothing() -> None:
    assert check_etcd(run_of([(c.Put(b"a", b"1"), None)])).verdict is Verdict.UNKNOWN


def test_it_is_known_by_its_name() -> None:
    assert by_name("etcd") is check_etcd


def test_nothing_is_shrunk_that_has_an_order(sequential: Any) -> None:
    """The control: a good history, whoever is named."""
    history = sequential([put(b"1", 2), put(b"2", 3), get(seen(3, kv(b"2", 2, 3, 2)))])
    judgement = decide(history)
    assert judgement.verdict is Verdict.VALID
    for named in ([], history[:1], history[1:], [history[0], history[2]], history):
        assert shrink(judgement, named) is None
    early = replace(history[2], call_time_ns=0, response=seen(2, kv(b"1", 2, 2, 1)))
    assert not contradict(history[1], early)
    late = replace(early, call_time_ns=100, return_time_ns=105)
    assert contradict(late, history[1])
    assert not contradict(replace(late, call=c.Range(b"a", serializable=True)), history[1])
