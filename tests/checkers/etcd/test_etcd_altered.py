"""Histories of which one answer was altered, in every field that is judged, are refuted, and the label says
what was done. Where the altered answer is possible all the same, an order proves it: long histories are
judged by the replaying verifier, short ones by trying every order.

Deliberately not judged, because etcd promises nothing of it or the record cannot tell:

- the header's revision of compactions, keep-alives and TTL reads, and what the last two say of a lease that
  was granted (they are the primary's own knowledge); cluster and member ids, terms;
- a lease in a keys-only answer (releases differ), the order of equal elements in a sorted range;
- a time to live above what was asked for (the server has a minimum);
- how old the state is that a serializable read saw; its content at that state is judged;
- what was there before the history began, as far as no answer shows it;
- refusals by alarms, permissions and quotas: they had no effect, and may come at any time.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from gauntlet.checkers.etcd import calls as c
from gauntlet.checkers.etcd.decide import decide
from gauntlet.checkers.etcd.diagnose import diagnose
from gauntlet.checkers.etcd.model import Etcd, relaxed, with_expiries
from gauntlet.checkers.etcd.replay import Start, certify
from porcupine.exhaustive import has_order
from porcupine.history import Operation
from porcupine.search import Verdict


def bent(operations: Sequence[Operation], at: int, answer: Any) -> list[Operation]:
    return [*operations[:at], replace(operations[at], response=answer), *operations[at + 1 :]]


@pytest.mark.parametrize("clients", [1, 4])
@pytest.mark.parametrize(
    "block", [0, *(pytest.param(block, marks=pytest.mark.slow) for block in range(1, 20))]
)
def test_one_altered_answer_is_refuted_and_the_label_fits(
    block: int, clients: int, served: Any, altered: Any, fitting: dict[str, set[str]], possible: set[str]
) -> None:
    found: Counter[str] = Counter()
    proven: Counter[str] = Counter()
    strange: list[str] = []
    for seed in range(10 * block, 10 * block + 10):
        operations = served(seed, 15 * (1 + clients), clients, unknown=0, expire=0).operations
        rng = random.Random(f"{seed}:altered")
        for at in rng.sample(range(len(operations)), 8):
            call, answer = operations[at].call, operations[at].response
            for name, other in altered(rng, call, answer):
                history = bent(operations, at, other)
                judgement = decide(history, start=Start())
                told = f"seed {seed}, {name}: {operations[at]} bent to {other}: {judgement.how}"
                found[name] += 1
                if judgement.verdict is Verdict.VALID:
                    assert certify(judgement.operations, judgement.order) is None, told
                    proven[name] += 1
                    continue
                assert judgement.verdict is Verdict.INVALID, told
                diagnosis = diagnose(judgement)
                assert diagnosis.operations, told
                if diagnosis.label not in fitting[name]:
                    strange.append(f"{told}: {diagnosis.label}: {diagnosis.text}")
    print(block, clients, dict(found), dict(proven), len(strange))
    assert len(found) > 12, found
    assert {*proven} <= possible, proven
    assert sum(proven.values()) < 0.1 * sum(found.values()), proven
    assert len(strange) <= 0.05 * sum(found.values()), strange


@pytest.mark.parametrize(
    "block", [*range(2), *(pytest.param(block, marks=pytest.mark.slow) for block in range(2, 40))]
)
def test_short_ones_are_judged_as_trying_every_order_does(block: int, served: Any, altered: Any) -> None:
    """With lost answers and leases that run out, so that some alterations are possible all the same."""
    counts: Counter[tuple[str, bool]] = Counter()
    for seed in range(50 * block, 50 * block + 50):
        rng = random.Random(f"{seed}:short")
        served_ones = served(seed, rng.randint(3, 8), rng.choice([2, 3]), unknown=0.25, expire=0.6)
        operations = served_ones.operations
        answered = [at for at, each in enumerate(operations) if each.is_ok]
        if not answered:
            continue
        at = rng.choice(answered)
        variants = list(altered(rng, operations[at].call, operations[at].response))
        for name, other in rng.sample(variants, min(3, len(variants))):
            history = bent(operations, at, other)
            everything = relaxed(with_expiries(history))
            truth = has_order(everything, Etcd())
            told = f"seed {seed}, {name}: {operations[at]} bent to {other}"
            assert truth is not None, told
            judgement = decide(history, start=Start())
            expected = Verdict.VALID if truth else Verdict.INVALID
            assert judgement.verdict is expected, f"{told}: {judgement.how}"
            counts[name, truth] += 1
    assert sum(count for (_, truth), count in counts.items() if not truth) > 60, counts


def test_what_is_not_judged_may_be_anything(sequential: Any) -> None:
    pairs: list[tuple[c.Call, c.Answer]] = [
        (c.Grant(7, 60), c.GrantAnswer(1, 7, 60)),
        (c.Put(b"a", b"1", 7), c.PutAnswer(2)),
        (c.Compact(1), c.CompactAnswer(2)),
        (c.TimeToLive(7), c.TimeToLiveAnswer(2, 7, 59, 60, ())),
        (c.KeepAlive(7), c.KeepAliveAnswer(2, 7, 60)),
        (c.Range(b"a", keys_only=True), c.RangeAnswer(2, (c.KV(b"a", b"", 2, 2, 1, 0),), False, 1)),
    ]
    others: dict[int, c.Answer] = {
        0: c.GrantAnswer(1, 7, 61),
        2: c.CompactAnswer(99),
        3: c.TimeToLiveAnswer(99, 7, -1),
        4: c.KeepAliveAnswer(99, 7, 0),
        5: c.RangeAnswer(2, (c.KV(b"a", b"", 2, 2, 1, 7),), False, 1),
    }
    history = sequential(pairs)
    assert decide(history).verdict is Verdict.VALID
    for at, answer in others.items():
        assert decide(bent(history, at, answer)).verdict is Verdict.VALID, answer
