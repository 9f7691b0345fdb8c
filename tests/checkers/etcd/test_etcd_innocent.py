"""Histories that an honest etcd gave, in the smallest form, each of a kind that was once called invalid.
Beside each stands a guilty one that looks like it."""

from __future__ import annotations

import random
from typing import Any

import pytest
from gauntlet.checkers.etcd import calls as c
from gauntlet.checkers.etcd.decide import decide
from gauntlet.checkers.etcd.diagnose import diagnose
from gauntlet.checkers.etcd.gaps import Evidence
from gauntlet.checkers.etcd.model import Etcd, relaxed, shown_revision, with_expiries
from gauntlet.checkers.etcd.replay import Start, certify
from porcupine.history import Operation, Outcome
from porcupine.labels import STALE_READ
from porcupine.search import Verdict, search

Pair = tuple[c.Call, c.Answer]


def kv(key: bytes, value: bytes, create: int, mod: int, version: int = 1, lease: int = 0) -> c.KV:
    return c.KV(key, value, create, mod, version, lease)


def seen(revision: int, *kvs: c.KV, count: int | None = None) -> c.RangeAnswer:
    count = len(kvs) if count is None else count
    return c.RangeAnswer(revision, kvs, len(kvs) < count, count)


def lost(call: c.Call, called: int) -> Operation:
    return Operation(("lost", called), call, called, None, Outcome.UNKNOWN, id=900 + called)


def verdicts(history: list[Operation]) -> set[Verdict]:
    """Of the decision, and of the search alone, which knows neither witness nor evidence."""
    history = sorted(history, key=lambda operation: operation.call_time_ns)
    everything = with_expiries(history)
    found = search(relaxed(everything), Etcd().for_part(everything))
    return {decide(history, start=Start()).verdict, found.verdict}


THREE = [
    (c.Put(b"c", b"1"), c.PutAnswer(2)),
    (c.Put(b"b", b"1"), c.PutAnswer(3)),
    (c.Put(b"a", b"1"), c.PutAnswer(4)),
]


@pytest.mark.parametrize("keys_only", [False, True])
@pytest.mark.parametrize("target", ["create", "mod"])
def test_a_limit_cuts_before_a_sort_without_an_order(target: str, keys_only: bool, sequential: Any) -> None:
    """etcd reads one pair more than the limit, and sorts those: of a, b it shows b, not the oldest c."""

    def judged(order: str, key: bytes, revision: int) -> set[Verdict]:
        call = c.Range(b"a", b"z", 1, sort_order=order, sort_target=target, keys_only=keys_only)
        pair = kv(key, b"" if keys_only else b"1", revision, revision)
        return verdicts(sequential([*THREE, (call, seen(4, pair, count=3))]))

    assert judged("none", b"b", 3) == {Verdict.VALID}
    assert judged("none", b"c", 2) == {Verdict.INVALID}
    assert judged("ascend", b"c", 2) == {Verdict.VALID}
    assert judged("ascend", b"b", 3) == {Verdict.INVALID}


def test_with_filters_the_limit_cuts_after_the_sort(sequential: Any) -> None:
    call = c.Range(b"a", b"z", 1, sort_target="create", min_mod_revision=1)
    assert verdicts(sequential([*THREE, (call, seen(4, kv(b"c", b"1", 2, 2), count=3))])) == {Verdict.VALID}
    assert verdicts(sequential([*THREE, (call, seen(4, kv(b"b", b"1", 3, 3), count=3))])) == {Verdict.INVALID}


def test_keys_only_by_value_among_equal_values_come_in_any_order(sequential: Any) -> None:
    call = c.Range(b"a", b"z", sort_order="ascend", sort_target="value", keys_only=True)
    pairs = [kv(b"c", b"", 2, 2), kv(b"a", b"", 4, 4), kv(b"b", b"", 3, 3)]
    assert verdicts(sequential([*THREE, (call, seen(4, *pairs))])) == {Verdict.VALID}
    larger = [*THREE, (c.Put(b"c", b"2"), c.PutAnswer(5))]
    first = [kv(b"c", b"", 2, 5, 2), kv(b"a", b"", 4, 4), kv(b"b", b"", 3, 3)]
    assert verdicts(sequential([*larger, (call, seen(5, *first))])) == {Verdict.INVALID}
    assert verdicts(sequential([*larger, (call, seen(5, *first[1:], first[0]))])) == {Verdict.VALID}


@pytest.mark.parametrize("unknown", [False, True])
def test_a_revocation_that_deletes_nothing_after_another_lease_ran_out(
    unknown: bool, sequential: Any
) -> None:
    """Its header shows the revision of the expiry, which a read had seen before it was called."""

    def judged(lease: int) -> set[Verdict]:
        history = sequential(
            [
                (c.Grant(1, 5), c.GrantAnswer(1, 1, 5)),
                (c.Grant(2, 5), c.GrantAnswer(1, 2, 5)),
                (c.Put(b"a", b"1", lease), c.PutAnswer(2)),
                (c.Range(b"a"), seen(3)),
                (c.Revoke(2), c.RevokeAnswer(3)),
                (c.Range(b"a"), seen(3)),
            ]
        )
        return verdicts([*history, lost(c.Put(b"b", b"never"), 60)] if unknown else history)

    assert judged(lease=1) == {Verdict.VALID}
    assert judged(lease=0) == {Verdict.INVALID}


def test_of_two_revocations_at_one_revision_the_first_had_keys(sequential: Any) -> None:
    history = sequential(
        [
            (c.Grant(1, 60), c.GrantAnswer(1, 1, 60)),
            (c.Grant(2, 60), c.GrantAnswer(1, 2, 60)),
            (c.Put(b"a", b"1", 1), c.PutAnswer(2)),
            (c.Revoke(1), c.RevokeAnswer(3)),
            (c.Revoke(2), c.RevokeAnswer(3)),
        ]
    )
    assert verdicts(history) == {Verdict.VALID}


def test_a_keys_only_answer_says_nothing_of_leases(sequential: Any) -> None:
    """etcd 3.7 answers keys-only ranges from its index, with lease 0."""
    put = lost(c.Put(b"a", b"1", 1), 6)
    for order in ("none", "descend"):
        call = c.Range(b"a", b"\x00", sort_order=order, sort_target="mod", keys_only=True)
        history = sequential(
            [(c.Grant(1, 60), c.GrantAnswer(1, 1, 60)), (call, seen(2, kv(b"a", b"", 2, 2)))]
        )
        assert verdicts([*history, put]) == {Verdict.VALID}
        full = (call._replace(keys_only=False), seen(2, kv(b"a", b"1", 2, 2)))
        assert verdicts([*sequential([(history[0].call, history[0].response), full]), put]) == {
            Verdict.INVALID
        }


def test_the_last_write_of_all_may_have_been_seen_by_nobody(sequential: Any) -> None:
    """The refusal needs key b to be there: whoever put it took a revision that no answer shows."""
    absent = c.Compare(b"b", "create", "=", 0)
    txn = c.Txn((absent,), (c.Range(b"b"),), (c.Put(b"b", b"2", lease=7),))
    pairs: list[Pair] = [(c.Put(b"a", b"2"), c.PutAnswer(3)), (txn, c.LEASE_NOT_FOUND)]
    gap = lost(c.Put(b"a", b"1"), 0)
    assert verdicts([*sequential(pairs), gap, lost(c.Put(b"b", b"1"), 6)]) == {Verdict.VALID}
    assert verdicts([*sequential(pairs), gap, lost(c.Put(b"c", b"1"), 6)]) == {Verdict.INVALID}


def test_a_put_that_finds_nothing_behind_a_delete_of_its_own_txn(sequential: Any) -> None:
    """etcd does not take "delete from this key on" for a collision with a put of that key."""
    txn = c.Txn((), (c.Delete(b"a", b"\x00"), c.Put(b"b", b"2", prev_kv=True)))
    unknown = lost(c.Txn((), (c.Put(b"b", b"1"),)), 0)

    def judged(deleted: int) -> set[Verdict]:
        inner = (c.DeleteAnswer(None, deleted, ()), c.PutAnswer(None, None))
        return verdicts([*sequential([(txn, c.TxnAnswer(3, True, inner))]), unknown])

    assert judged(1) == {Verdict.VALID}
    assert judged(0) == {Verdict.INVALID}


def test_a_txn_of_compares_only_is_held_to_its_word(sequential: Any) -> None:
    """etcd 3.7.1 answers it without asking the others, even cut off from them: a stale read, and named so."""
    pairs: list[Pair] = [
        (c.Put(b"a", b"1"), c.PutAnswer(2)),
        (c.Put(b"a", b"2"), c.PutAnswer(3)),
        (c.Txn((c.Compare(b"a", "value", "=", b"1"),)), c.TxnAnswer(2, True, ())),
    ]
    judgement = decide(sequential(pairs))
    assert judgement.verdict is Verdict.INVALID
    diagnosis = diagnose(judgement)
    assert diagnosis.label == STALE_READ
    assert "without operations" in diagnosis.text
    pairs[2] = pairs[2][0], c.TxnAnswer(3, False, ())
    assert decide(sequential(pairs)).verdict is Verdict.VALID


@pytest.mark.parametrize("call", [c.Delete(b"a", prev_kv=True), c.Put(b"a", b"2", prev_kv=True)])
def test_a_previous_pair_tells_who_took_a_gap(call: Any, sequential: Any) -> None:
    """Of two lost puts, one is shown by what came after it."""
    shown = kv(b"a", b"2", 2, 2)
    answer = c.DeleteAnswer(3, 1, (shown,)) if isinstance(call, c.Delete) else c.PutAnswer(3, shown)
    history = [*sequential([(call, answer)]), lost(c.Put(b"a", b"1"), 0), lost(c.Put(b"a", b"2"), 1)]
    judgement = decide(sorted(history, key=lambda each: each.call_time_ns))
    assert (judgement.verdict, judgement.how) == (Verdict.VALID, "witness")
    assert [each.call for each in judgement.order if each.is_unknown] == [c.Put(b"a", b"2")]


@pytest.mark.parametrize(
    "block", [*range(3), *(pytest.param(block, marks=pytest.mark.slow) for block in range(3, 40))]
)
def test_evidence_never_speaks_against_what_happened(block: int, served: Any) -> None:
    """What answers tell about gaps, held against the states that the store really went through."""
    asked = 0
    for seed in range(10 * block, 10 * block + 10):
        run = served(seed, 120, unknown=0.25, expire=0.8)
        taking = [each for each in run.steps if each.after.revision > each.before.revision]
        told = [each for each in taking if each.operation.is_ok]
        # That a revocation took its revision is no more than a guess.
        owned = {each.after.revision for each in told if not isinstance(each.operation.call, c.Revoke)}
        sure = [each for each in run.operations if each.is_ok and isinstance(revision_of(each), int)]
        last = max(map(revision_of, sure))
        gaps = [revision for revision in range(2, last + 1) if revision not in owned]
        unknown = [each for each in with_expiries(run.operations) if each.is_unknown]
        evidence = Evidence(sure, gaps, unknown)
        for each in taking:
            if each.operation.is_unknown:
                asked += 1
                said = evidence.against(each.before, each.after, c.call_of(each.operation))
                assert said is None, f"seed {seed}: {each.operation.call} at {each.after.revision}: {said}"
    assert asked > 20


def revision_of(operation: Operation) -> Any:
    answer: Any = operation.response
    return None if isinstance(answer, c.Refused) else shown_revision(c.call_of(operation), answer)


@pytest.mark.parametrize(
    "block", [*range(3), *(pytest.param(block, marks=pytest.mark.slow) for block in range(3, 60))]
)
def test_what_an_honest_store_answered_is_never_invalid(block: int, served: Any) -> None:
    """All kinds of calls, leases that run out, lost answers: few stay open, none is called invalid."""
    still_open = 0
    for seed in range(20 * block, 20 * block + 20):
        rng = random.Random(f"{seed}:size")
        unknown = rng.choice([0, 0.1, 0.3])
        run = served(seed, rng.choice([20, 60, 150]), rng.choice([2, 4, 8]), unknown=unknown, expire=0.7)
        judgement = decide(run.operations, start=Start())
        told = f"seed {seed}: {judgement.how} {judgement.reason} {judgement.flaw}"
        assert judgement.verdict is not Verdict.INVALID, told
        assert judgement.verdict is Verdict.VALID or unknown, told
        still_open += judgement.verdict is Verdict.UNKNOWN
        if judgement.verdict is Verdict.VALID and judgement.how != "search":
            assert certify(judgement.operations, judgement.order) is None, told
    assert still_open <= 2
