"""Membership and versions in parts: deciding, forcing, and a changing cluster in one process."""

from __future__ import annotations

import pytest
from gauntlet.reference import membership
from gauntlet.reference.formats import raftpb
from gauntlet.reference.membership import Downgrade, Member
from gauntlet.reference.ports import Recovered
from gauntlet.reference.raft.types import ConfState, Entry, EntryType, HardState, Snapshot
from gauntlet.reference.server.force import force_alone
from gauntlet.reference.server.versions import Version, decide, downgraded
from gauntlet.reference.services.downgrade import parse_target

NONE = Downgrade()
TO_36 = Downgrade(True, "3.6.0")


@pytest.mark.parametrize(
    ("current", "running", "downgrade", "decided"),
    [
        (None, None, NONE, "3.0.0"),
        (None, [(3, 7), (3, 6)], NONE, "3.6.0"),
        ("3.6.0", [(3, 7), (3, 7)], NONE, "3.7.0"),
        ("3.6.0", [(3, 7), (3, 6)], NONE, None),
        ("3.6.0", None, NONE, None),
        ("3.7.0", [(3, 6), (3, 6)], NONE, None),
        ("3.7.0", [(3, 7), (3, 7)], TO_36, "3.6.0"),
        ("3.7.0", [(3, 7), (3, 6)], TO_36, None),
        ("3.6.0", [(3, 7), (3, 7)], TO_36, None),
        ("3.7.0", None, TO_36, None),
    ],
)
def test_the_cluster_version(
    current: str | None, running: list[Version] | None, downgrade: Downgrade, decided: str | None
) -> None:
    assert decide(current, running, downgrade) == decided


def test_a_downgrade_ends_when_all_run_its_target() -> None:
    assert downgraded([(3, 6), (3, 6)], TO_36)
    assert not downgraded([(3, 6), (3, 7)], TO_36)
    assert not downgraded(None, TO_36)
    assert not downgraded([(3, 6)], NONE)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("3.6.0", (3, 6)),
        ("3.6", (3, 6)),
        ("3.6.5-rc.1+build", (3, 6)),
        ("3", None),
        ("", None),
        ("3.6.0.1", None),
        ("v3.6.0", None),
        ("3.x.0", None),
    ],
)
def test_targets(text: str, target: Version | None) -> None:
    assert parse_target(text) == target


def add(number: int) -> bytes:
    return raftpb.encode_conf_change(membership.add_change(Member(number, [f"http://127.0.0.1:{number}"])))


def conf(index: int, data: bytes) -> Entry:
    return Entry(term=2, index=index, type=EntryType.CONF_CHANGE, data=data)


def changes(entries: list[Entry]) -> list[tuple[int, str, int]]:
    decoded = [(entry.index, raftpb.decode_conf_change(entry.data)) for entry in entries]
    return [(index, change.type.name, change.node_id) for index, change in decoded]


def test_forcing_drops_what_is_not_committed_and_removes_the_others() -> None:
    log = [
        conf(1, add(1)),
        conf(2, add(2)),
        conf(3, add(3)),
        Entry(2, 4, EntryType.NORMAL, b"x"),
        conf(5, add(4)),
    ]
    recovered = Recovered(2, 9, HardState(term=3, vote=1, commit=4), None, log)
    added = force_alone(recovered, ["http://127.0.0.1:2"])
    assert changes(added) == [(5, "REMOVE_NODE", 1), (6, "REMOVE_NODE", 3)]
    assert [entry.index for entry in recovered.entries] == [1, 2, 3, 4, 5, 6]
    assert recovered.hard_state == HardState(term=3, vote=1, commit=6)


def test_forcing_a_member_that_the_log_does_not_know_adds_it() -> None:
    snapshot = Snapshot(7, 2, ConfState(voters=[1, 3], learners=[4]), b"")
    recovered = Recovered(2, 9, HardState(term=3, commit=7), snapshot, [])
    added = force_alone(recovered, ["http://127.0.0.1:2"])
    assert changes(added) == [
        (8, "REMOVE_NODE", 1),
        (9, "REMOVE_NODE", 3),
        (10, "REMOVE_NODE", 4),
        (11, "ADD_NODE", 2),
    ]
