"""Certificates: orders that prove something are accepted by both verifiers, bent ones by neither."""

from __future__ import annotations

import random
from typing import Any

import pytest
from gauntlet.checkers.etcd import Etcd, check_values, decide, with_expiries
from gauntlet.checkers.etcd import calls as c
from gauntlet.checkers.etcd.replay import certify
from gauntlet.checkers.etcd.values import partition, stands_for
from gauntlet.checkers.etcd.witness import arrange
from porcupine.history import Operation, Outcome
from porcupine.search import Verdict
from porcupine.verify import CertificateError, verify


def ordered(histories: Any, seed: int) -> tuple[list[Operation], list[Operation]]:
    """(operations, an order that explains them)."""
    mix = histories.Mix(unknown=0.02, serializable=0, lease=0.03)
    judgement = decide(histories.generate(seed, 200, 5, 5, mix))
    assert judgement.verdict is Verdict.VALID
    return judgement.operations, judgement.order


def accepted(operations: list[Operation], order: list[Operation]) -> bool:
    """By both verifiers, which must agree."""
    mine = certify(operations, order) is None
    try:
        verify(operations, order, Etcd())
    except CertificateError:
        assert not mine
        return False
    assert mine
    return True


@pytest.mark.parametrize("seed", range(4))
def test_both_verifiers_agree_on_bent_orders(seed: int, histories: Any) -> None:
    operations, order = ordered(histories, seed)
    rng = random.Random(f"{seed}:certificates")
    assert accepted(operations, order)
    refused = 0
    for _ in range(30):
        bent = list(order)
        at, other = rng.randrange(len(bent)), rng.randrange(len(bent))
        match rng.randrange(4):
            case 0:
                del bent[at]
            case 1:
                bent.insert(other, bent[at])
            case 2:
                bent[at], bent[other] = bent[other], bent[at]
            case 3:
                bent.insert(at, Operation(99, c.Put(b"x", b"y"), 0, 1, Outcome.OK, c.PutAnswer(2)))
        refused += not accepted(operations, bent)
    assert refused > 15


def test_an_operation_that_failed_is_never_placed(sequential: Any) -> None:
    history = sequential([(c.Put(b"a", b"1"), c.PutAnswer(2))])
    failed = Operation(1, c.Put(b"a", b"2"), 20, 30, Outcome.FAILED)
    assert accepted([*history, failed], history)
    assert not accepted([*history, failed], [*history, failed])


def test_gaps_are_filled_by_what_was_seen_and_by_what_is_missed(sequential: Any) -> None:
    lost = Operation(7, c.Put(b"a", b"lost"), 2, None, Outcome.UNKNOWN)
    gone = Operation(8, c.Delete(b"b"), 3, None, Outcome.UNKNOWN)
    never = Operation(9, c.Put(b"a", b"never"), 4, None, Outcome.UNKNOWN)
    kv = c.KV(b"a", b"lost", 3, 3, 1, 0)
    history = [
        *sequential(
            [
                (c.Put(b"b", b"1"), c.PutAnswer(2)),
                (c.Range(b"a"), c.RangeAnswer(3, (kv,), False, 1)),
                (c.Put(b"c", b"2"), c.PutAnswer(5)),
                (c.Range(b"a"), c.RangeAnswer(5, (kv,), False, 1)),
                (c.Range(b"b"), c.RangeAnswer(5, (), False, 0)),
            ]
        ),
        lost,
        gone,
        never,
    ]
    history.sort(key=lambda operation: operation.call_time_ns)
    witness = arrange(history)
    assert witness.gaps == [3, 4]
    assert witness.filled == {3: lost, 4: gone}
    assert certify(history, witness.order) is None


def test_a_lease_that_runs_out_fills_a_gap(sequential: Any) -> None:
    history = sequential(
        [
            (c.Grant(5, 60), c.GrantAnswer(1, 5, 60)),
            (c.Put(b"a", b"1", 5), c.PutAnswer(2)),
            (c.Range(b"a"), c.RangeAnswer(3, (), False, 0)),
            (c.Put(b"b", b"1", 5), c.LEASE_NOT_FOUND),
        ]
    )
    judgement = decide(history)
    assert judgement.verdict is Verdict.VALID
    assert [each.call for each in judgement.order if each.is_unknown] == [c.Expire(5)]
    assert len(with_expiries(history)) == len(history) + 1
    still = [*history[:3], Operation(0, c.Put(b"b", b"1", 5), 30, 35, response=c.PutAnswer(4))]
    assert decide(still).verdict is Verdict.INVALID


def test_a_lease_that_ran_out_unseen_is_granted_again(sequential: Any) -> None:
    grant = (c.Grant(5, 60), c.GrantAnswer(1, 5, 60))
    judgement = decide(sequential([grant, grant, (c.Grant(5, 60), c.LEASE_EXISTS)]))
    assert (judgement.verdict, judgement.how) == (Verdict.VALID, "replay with going back")
    assert [each.call for each in judgement.order][:3] == [c.Grant(5, 60), c.Expire(5), c.Grant(5, 60)]


def test_values_alone_are_judged_by_keys_that_belong_together(sequential: Any) -> None:
    history = sequential(
        [
            (c.Put(b"a", b"1"), c.PutAnswer(2)),
            (c.Put(b"b", b"1"), c.PutAnswer(3)),
            (c.Txn((), (c.Put(b"b", b"2"), c.Put(b"c", b"2"))), c.TxnAnswer(4, True, None)),
            (c.Range(b"c"), c.RangeAnswer(4, None)),
        ]
    )
    parts = sorted(len(part) for part in partition(history).values())
    assert parts == [1, 3]
    whole = [*history, Operation(0, c.Range(b"a", b"z"), 50, 55, response=c.RangeAnswer(4, None))]
    assert [len(part) for part in partition(whole).values()] == [5]
    assert stands_for(history)[b"a", 2] == b"1"


@pytest.mark.parametrize("seed", range(4))
def test_values_alone_ignore_lies_about_revisions(seed: int, histories: Any) -> None:
    """A cluster that adds a thousand to every revision it tells, and one that also changes a value."""

    def lie(answer: Any) -> Any:
        if isinstance(answer, tuple) and hasattr(answer, "_fields"):
            names = ("revision", "mod_revision", "create_revision")
            shifted = {
                name: getattr(answer, name) * 3 % 17 + 1
                for name in names
                if getattr(answer, name, None) is not None
            }
            other: Any = answer
            return type(answer)(*map(lie, other._replace(**shifted)))
        return tuple(map(lie, answer)) if isinstance(answer, tuple) else answer

    mix = histories.Mix(put=0.4, swap=0, past=0, lease=0, compact=0, unknown=0, serializable=0)
    operations: list[Operation] = histories.generate(seed, 150, 4, 6, mix)
    for operation in operations:
        operation.response = lie(operation.response)
    assert decide(operations).verdict is not Verdict.VALID
    assert check_values(operations) is Verdict.VALID
    reads = [each for each in operations if isinstance(each.response, c.RangeAnswer) and each.response.kvs]
    read = reads[len(reads) // 2]
    assert isinstance(read.response, c.RangeAnswer)
    kvs = read.response.kvs or ()
    read.response = read.response._replace(kvs=(kvs[0]._replace(value=b"never written"), *kvs[1:]))
    assert check_values(operations) is Verdict.INVALID
