"""Small histories, thousands of them: trying every order, the search, and the witness agree on the
verdict."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from gauntlet.checkers.etcd import calls as c
from gauntlet.checkers.etcd.decide import decide
from gauntlet.checkers.etcd.model import Etcd, relaxed, with_expiries
from gauntlet.checkers.etcd.replay import Start, certify
from gauntlet.checkers.etcd.store import State
from porcupine.history import Operation, Outcome
from porcupine.model import Rejected
from porcupine.search import Verdict, search


def every_order(operations: Sequence[Operation]) -> Verdict:
    """The verdict by trying every order, remembering only what was tried."""
    model = Etcd()
    candidates = [each for each in operations if each.outcome is not Outcome.FAILED]
    ends = [each.return_time_ns if each.is_ok else None for each in candidates]
    needed = sum(1 << at for at, each in enumerate(candidates) if each.is_ok)
    tried: set[tuple[int, State]] = set()
    work: list[tuple[int, State]] = [(0, model.init())]
    while work:
        taken, state = work.pop()
        if taken & needed == needed:
            return Verdict.VALID
        if (taken, state) in tried:
            continue
        tried.add((taken, state))
        left = [end for at, end in enumerate(ends) if end is not None and not taken >> at & 1]
        bound = min(left)
        for at, each in enumerate(candidates):
            if not taken >> at & 1 and each.call_time_ns <= bound:
                following = model.step(state, each)
                if not isinstance(following, Rejected):
                    work.append((taken | 1 << at, following))
    return Verdict.INVALID


def small(seed: int, histories: Any, mutated: Any) -> list[Operation]:
    """A few operations of a few clients on two keys; half of the histories with one thing bent."""
    rng = random.Random(f"{seed}:small")
    mix = histories.Mix(
        put=0.3,
        swap=0.15,
        several=0.05,
        delete=0.12,
        range=0.05,
        past=0.03,
        lease=rng.choice([0, 0.15]),
        compact=rng.choice([0, 0.05]),
        serializable=0.05,
        unknown=rng.choice([0, 0.2, 0.4]),
        expire=0.5,
    )
    operations: list[Operation] = histories.generate(seed, rng.randint(4, 9), rng.choice([2, 3]), 2, mix)
    if rng.random() < 0.6:
        at = rng.randrange(len(operations))
        operation = operations[at]
        if (
            rng.random() < 0.25 and operation.return_time_ns is not None
        ):  # it seems to have run at another time
            length = operation.return_time_ns - operation.call_time_ns
            called = rng.choice(operations).call_time_ns
            operations[at] = replace(
                operation, call_time_ns=called, return_time_ns=called + length, client="late"
            )
        elif operation.is_ok and (other := mutated(rng, operation.response)) is not None:
            operations[at] = replace(operation, response=other)
        elif len(operations) > 4:
            del operations[at]  # a write that nobody asked for, if it was one
    return sorted(operations, key=lambda each: each.call_time_ns)


def compare(seed: int, operations: Sequence[Operation], counts: Counter[tuple[str, str]]) -> None:
    everything = with_expiries(operations)
    truth = every_order(relaxed(everything))
    found = search(relaxed(everything), Etcd().for_part(everything))
    story = "\n".join(map(Etcd().describe, operations))
    assert found.verdict is truth, f"seed {seed}: the search says {found.verdict}, not {truth}\n{story}"
    judgement = decide(operations, start=Start())
    assert judgement.verdict is truth, f"seed {seed}: {judgement.how} says {judgement.verdict}\n{story}"
    if truth is Verdict.VALID and judgement.how != "search":
        assert certify(judgement.operations, judgement.order) is None
    counts[judgement.how, truth.value] += 1


@pytest.mark.parametrize(
    "block", [*range(4), *(pytest.param(block, marks=pytest.mark.slow) for block in range(4, 100))]
)
def test_every_way_to_the_verdict_agrees(block: int, histories: Any, mutated: Any) -> None:
    counts: Counter[tuple[str, str]] = Counter()
    for seed in range(100 * block, 100 * block + 100):
        compare(seed, small(seed, histories, mutated), counts)
    assert counts["witness", "valid"] > 10, counts
    assert sum(count for (_, verdict), count in counts.items() if verdict == "invalid") > 10, counts
    print(block, dict(counts))


def test_valid_histories_are_never_refuted(histories: Any) -> None:
    for seed in range(25):
        operations = histories.generate(seed, 300, 6, 6, histories.Mix(unknown=0.03, lease=0.03))
        judgement = decide(operations)
        assert judgement.verdict is Verdict.VALID, f"seed {seed}: {judgement.how} {judgement.reason}"


def test_plain_histories_end_at_the_witness(histories: Any) -> None:
    for seed in range(5):
        judgement = decide(histories.generate(seed, 2000, 20, 30, histories.Mix.plain()))
        assert (judgement.verdict, judgement.how) == (Verdict.VALID, "witness"), f"seed {seed}"


@pytest.mark.parametrize("seed", range(5))
def test_a_start_in_the_middle_is_found(seed: int, histories: Any) -> None:
    """A store that held something before: what it held is taken from the answers, and never makes a history
    invalid."""
    operations: list[Operation] = histories.generate(seed, 1200, 1, 10, histories.Mix.plain())
    judgement = decide(operations[600:])
    assert judgement.start.revision > 1
    assert judgement.verdict is not Verdict.INVALID
    fresh = [each for each in operations[600:] if not isinstance(each.call, (c.Txn, c.Delete))]
    assert decide(fresh).verdict is not Verdict.INVALID
