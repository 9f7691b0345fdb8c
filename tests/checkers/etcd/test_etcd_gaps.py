"""Who took the gaps: mostly a first guess is right, and what it leaves open is never called invalid."""

from __future__ import annotations

from typing import Any

import pytest
from gauntlet.checkers.etcd import calls as c
from gauntlet.checkers.etcd.decide import decide
from gauntlet.checkers.etcd.replay import certify
from gauntlet.checkers.etcd.witness import arrange
from porcupine.history import Operation, Outcome
from porcupine.search import Verdict


@pytest.mark.parametrize("seed", range(6))
def test_half_unknown_ends_at_the_witness(seed: int, histories: Any) -> None:
    """3,000 operations on single keys, half of them without an answer."""
    nothing = {"several": 0, "range": 0, "past": 0, "lease": 0, "compact": 0, "serializable": 0}
    mix = histories.Mix(put=0.55, swap=0.12, delete=0.05, unknown=0.7, **nothing)
    operations: list[Operation] = histories.generate(seed, 3000, 50, 200, mix)
    assert sum(operation.is_unknown for operation in operations) > 1400
    witness = arrange(operations)
    assert len(witness.gaps) > 800
    if certify(operations, witness.order) is None:
        return
    assert decide(operations).verdict is Verdict.VALID, f"seed {seed}"


def lost(call: c.Call, called: int) -> Operation:
    return Operation(("lost", called), call, called, None, Outcome.UNKNOWN)


def judged(history: list[Operation]) -> list[c.Call]:
    """The unknown calls in the order that the witness found."""
    history.sort(key=lambda operation: operation.call_time_ns)
    judgement = decide(history)
    assert (judgement.verdict, judgement.how) == (Verdict.VALID, "witness")
    return [c.call_of(operation) for operation in judgement.order if operation.is_unknown]


def test_the_sight_that_comes_soonest_is_served_first(sequential: Any) -> None:
    """Both keys miss a write; that of b is seen before that of a."""
    history = sequential(
        [
            (c.Put(b"a", b"1"), c.PutAnswer(2)),
            (c.Put(b"b", b"1"), c.PutAnswer(3)),
            (c.Put(b"b", b"3"), c.PutAnswer(5)),
            (c.Range(b"b"), c.RangeAnswer(5, (c.KV(b"b", b"3", 3, 5, 3, 0),), False, 1)),
            (c.Put(b"a", b"3"), c.PutAnswer(7)),
            (c.Range(b"a"), c.RangeAnswer(7, (c.KV(b"a", b"3", 2, 7, 3, 0),), False, 1)),
        ]
    )
    mine, other = c.Put(b"a", b"2"), c.Put(b"b", b"2")
    assert judged([*history, lost(mine, 1), lost(other, 2)]) == [other, mine]


def test_a_swap_that_is_needed_comes_before_what_would_make_it_fail(sequential: Any) -> None:
    history = sequential(
        [
            (c.Put(b"a", b"1"), c.PutAnswer(2)),
            (c.Put(b"a", b"4"), c.PutAnswer(5)),
            (c.Range(b"a"), c.RangeAnswer(5, (c.KV(b"a", b"4", 2, 5, 4, 0),), False, 1)),
        ]
    )
    put = c.Put(b"a", b"2")
    swap = c.Txn((c.Compare(b"a", "mod", "=", 2),), (c.Put(b"a", b"3"),))
    assert judged([*history, lost(put, 1), lost(swap, 2)]) == [swap, put]


def test_a_key_that_is_missed_had_been_deleted(sequential: Any) -> None:
    """By its create_revision, by a delete that found nothing, and by a range without it."""
    delete = c.Delete(b"a")
    for call, answer in (
        (c.Range(b"a", b"z"), c.RangeAnswer(4, (c.KV(b"b", b"1", 4, 4, 1, 0),), False, 1)),
        (c.Delete(b"a"), c.DeleteAnswer(4, 0, ())),
        (c.Put(b"a", b"2", prev_kv=True), c.PutAnswer(5, None)),
    ):
        history = sequential(
            [(c.Put(b"a", b"1"), c.PutAnswer(2)), (c.Put(b"b", b"1"), c.PutAnswer(4)), (call, answer)]
        )
        spare = lost(c.Put(b"a", b"never"), 1)
        assert judged([*history, spare, lost(delete, 2)]) == [delete]


def test_a_revocation_whose_lease_got_its_key_from_a_lost_put(sequential: Any) -> None:
    history = sequential(
        [
            (c.Grant(5, 60), c.GrantAnswer(1, 5, 60)),
            (c.Range(b"a"), c.RangeAnswer(2, (c.KV(b"a", b"1", 2, 2, 1, 5),), False, 1)),
            (c.Revoke(5), c.RevokeAnswer(3)),
            (c.Range(b"a"), c.RangeAnswer(3, (), False, 0)),
        ]
    )
    put = c.Put(b"a", b"1", 5)
    assert judged([*history, lost(put, 1), lost(c.Put(b"b", b"never"), 30)]) == [put]
