"""etcd's own raft transcripts, read from Go's module cache and compared letter for letter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gauntlet.reference.raft.confchange import Changer
from gauntlet.reference.raft.errors import ConfChangeRefused
from gauntlet.reference.raft.quorum import INFINITE_INDEX, Joint, Majority
from gauntlet.reference.raft.tracker import ProgressTracker

pytestmark = pytest.mark.upstream

# File -> number of cases. A file of the module that is in none of these tables fails the test below.
INTERACTION = {
    "async_storage_writes": 44,
    "async_storage_writes_append_aba_race": 47,
    "campaign": 4,
    "campaign_learner_must_vote": 12,
    "checkquorum": 15,
    "confchange_disable_validation": 9,
    "confchange_v1_add_single": 6,
    "confchange_v1_remove_leader": 21,
    "confchange_v1_remove_leader_stepdown": 19,
    "confchange_v2_add_double_auto": 19,
    "confchange_v2_add_double_implicit": 6,
    "confchange_v2_add_single_auto": 6,
    "confchange_v2_add_single_explicit": 11,
    "confchange_v2_replace_leader": 17,
    "confchange_v2_replace_leader_stepdown": 17,
    "forget_leader": 29,
    "forget_leader_prevote_checkquorum": 29,
    "forget_leader_read_only_lease_based": 7,
    "heartbeat_resp_recovers_from_probing": 11,
    "lagging_commit": 17,
    "prevote": 16,
    "prevote_checkquorum": 18,
    "probe_and_replicate": 74,
    "replicate_pause": 32,
    "single_node": 4,
    "slow_follower_after_compaction": 25,
    "snapshot_succeed_via_app_resp": 18,
    "snapshot_succeed_via_app_resp_behind": 25,
}
QUORUM = {"joint_commit": 50, "joint_vote": 39, "majority_commit": 16, "majority_vote": 22}
CONFCHANGE = {
    "joint_autoleave": 4,
    "joint_idempotency": 3,
    "joint_learners_next": 3,
    "joint_safety": 15,
    "simple_idempotency": 11,
    "simple_promote_demote": 7,
    "simple_safety": 11,
    "update": 3,
    "zero": 1,
}
Play = Callable[[Path, Callable[[Any], str]], int]


@pytest.mark.parametrize("name", INTERACTION)
def test_interaction(name: str, upstream_raft: Path, interaction: Any, play_transcript: Play) -> None:
    played = play_transcript(upstream_raft / "testdata" / f"{name}.txt", interaction.handle)
    assert played == INTERACTION[name]


@pytest.mark.parametrize(
    ("folder", "table"),
    [("testdata", INTERACTION), ("quorum/testdata", QUORUM), ("confchange/testdata", CONFCHANGE)],
    ids=["interaction", "quorum", "confchange"],
)
def test_every_file_is_covered(folder: str, table: dict[str, int], upstream_raft: Path) -> None:
    assert {path.stem for path in (upstream_raft / folder).iterdir()} == set(table)


# --- quorums ---


def describe_quorum(voters: tuple[int, ...], acked: dict[int, int]) -> str:
    """A bar for each voter, as long as the number of voters behind it."""
    if not voters:
        return "<empty majority quorum>"
    count = len(voters)
    lines = [" " * count + "    idx\n"]
    for voter in voters:
        index = acked.get(voter, 0)
        bar = sum(acked.get(other, 0) < index for other in voters)
        sign = f"{'x' * bar}>{' ' * (count - bar)}" if voter in acked else "?" + " " * count
        lines.append(f"{sign} {index:5d}    (id={voter:x})\n")
    return "".join(lines)


def naive_committed(voters: Majority, acked: dict[int, int]) -> int:
    """Straight from the definition: the highest index that more than half have reached."""
    if not voters.ids:
        return INFINITE_INDEX
    reached = [
        index
        for index in acked.values()
        if sum(acked.get(voter, 0) >= index for voter in voters.ids) * 2 > len(voters)
    ]
    return max(reached, default=0)


def quorum_case(case: Any) -> str:
    options = dict(case.args)
    one = [int(each) for each in options.get("cfg", [])]
    joint = "cfgj" in options
    two = [int(each) for each in options.get("cfgj", []) if each != "zero"]
    values = options.get("idx" if case.command == "committed" else "votes", [])
    voters = list(dict.fromkeys([*one, *two]))
    known = {voter: value for voter, value in zip(voters, values, strict=True) if value != "_"}
    config = Joint(Majority(one), Majority(two))
    swapped = Joint(config.outgoing, config.incoming)
    if case.command == "vote":
        votes = {voter: value == "y" for voter, value in known.items()}
        result = config.vote_result(votes)
        assert swapped.vote_result(votes) is result
        if not joint:
            assert config.incoming.vote_result(votes) is result
        return f"Vote{result.name.capitalize()}\n"
    acked = {voter: int(value) for voter, value in known.items()}
    index = config.committed_index(acked)
    assert swapped.committed_index(acked) == index
    if not joint:
        majority = config.incoming
        assert majority.committed_index(acked) == index
        assert naive_committed(majority, {i: v for i, v in acked.items() if i in majority}) == index
        assert Joint(majority, majority).committed_index(acked) == index
        for voter, value in acked.items():
            if index > value:
                assert majority.committed_index({**acked, voter: value - 1}) == index
    return describe_quorum(config.ids(), acked) + ("∞" if index == INFINITE_INDEX else str(index)) + "\n"


@pytest.mark.parametrize("name", QUORUM)
def test_quorum(name: str, upstream_raft: Path, play_transcript: Play) -> None:
    played = play_transcript(upstream_raft / "quorum" / "testdata" / f"{name}.txt", quorum_case)
    assert played == QUORUM[name]


# --- configuration changes ---


class Changes:
    """One configuration, changed by each case; the log grows by one entry a case."""

    def __init__(self, parse: Callable[[str], Any]) -> None:
        self.tracker = ProgressTracker(10, 0)
        self.last_index = 0
        self.parse = parse

    def handle(self, case: Any) -> str:
        changer = Changer(self.tracker, self.last_index)
        self.last_index += 1
        changes = self.parse(case.input)
        try:
            if case.command == "simple":
                result = changer.simple(changes)
            elif case.command == "enter-joint":
                result = changer.enter_joint(dict(case.args).get("autoleave") == ["true"], changes)
            else:
                assert case.command == "leave-joint"
                if changes:
                    raise ConfChangeRefused("this command takes no input")
                result = changer.leave_joint()
        except ConfChangeRefused as error:
            return f"{error}\n"
        self.tracker.use(*result)
        lines = [f"{member}: {progress}\n" for member, progress in self.tracker.progress.items()]
        return f"{self.tracker.membership}\n" + "".join(lines)


@pytest.mark.parametrize("name", CONFCHANGE)
def test_confchange(name: str, upstream_raft: Path, play_transcript: Play, changes_from_text: Any) -> None:
    path = upstream_raft / "confchange" / "testdata" / f"{name}.txt"
    assert play_transcript(path, Changes(changes_from_text).handle) == CONFCHANGE[name]
