"""Safety under random faults, and the proof that a broken core would be caught."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from gauntlet.reference.raft import election, leader
from gauntlet.reference.raft.core import Raft
from gauntlet.reference.raft.tracker import ProgressTracker
from gauntlet.reference.raft.types import NONE, Message

QUICK_SEEDS = range(300)
STEPS = 1_000


def test_safety_holds(raft_simulation: Any) -> None:
    """A failure names its seed: `raft_simulation.Simulation(seed).run(STEPS)` repeats it."""
    applied = leaders = reads = 0
    for seed in QUICK_SEEDS:
        simulation = raft_simulation.Simulation(seed)
        try:
            simulation.run(STEPS)
        except raft_simulation.Violation as violation:
            pytest.fail(f"seed {seed}, {simulation.options}: {violation}")
        applied += len(simulation.committed)
        leaders += len(simulation.leaders)
        reads += simulation.served_reads
    # Faults must not have kept the clusters from doing anything.
    assert applied > 10 * len(QUICK_SEEDS)
    assert leaders > 2 * len(QUICK_SEEDS)
    assert reads > len(QUICK_SEEDS)


@pytest.mark.slow
def test_safety_holds_for_long(raft_simulation: Any) -> None:
    for seed in range(10_000, 10_300):
        try:
            raft_simulation.Simulation(seed).run(5_000)
        except raft_simulation.Violation as violation:
            pytest.fail(f"seed {seed}: {violation}")


def test_a_seed_repeats(raft_simulation: Any) -> None:
    """The same seed gives the same run, to the byte: nothing depends on hash order or on the clock."""
    runs = []
    for _ in range(2):
        simulation = raft_simulation.Simulation(7)
        simulation.run(STEPS)
        runs.append(
            (simulation.committed, simulation.leaders, simulation.served_reads, simulation.rng.random())
        )
    assert runs[0] == runs[1]


# --- mutants: each removes one rule ---


def vote_twice(raft: Raft, request: Message) -> bool:
    return raft.raft_log.is_up_to_date(request.log_term, request.index)


def vote_for_a_shorter_log(raft: Raft, request: Message) -> bool:
    return (
        raft.vote == request.sender or (raft.vote == NONE and raft.lead == NONE) or request.term > raft.term
    )


def commit_what_one_member_holds(tracker: ProgressTracker) -> int:
    return max(progress.match for progress in tracker.progress.values())


def read_without_asking(raft: Raft, message: Message) -> None:
    leader._answer_read(raft, message, raft.raft_log.committed)


MUTANTS: dict[str, tuple[Any, str, Callable[..., Any]]] = {
    "a second vote in a term": (election, "may_vote", vote_twice),
    "a vote for a shorter log": (election, "may_vote", vote_for_a_shorter_log),
    "commit without a quorum": (ProgressTracker, "committed", commit_what_one_member_holds),
    "a read without a quorum": (leader, "_start_read", read_without_asking),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_rule_is_caught(name: str, raft_simulation: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*MUTANTS[name])
    for seed in itertools.chain(QUICK_SEEDS, range(20_000, 20_300)):
        try:
            raft_simulation.Simulation(seed).run(STEPS)
        except raft_simulation.Violation:
            return
    pytest.fail(f"{name}: no seed shows it")
