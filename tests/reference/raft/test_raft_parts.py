"""The parts of the raft core that transcripts do not reach: options, storage, sizes, encodings, misuse."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from gauntlet.reference.formats import raftpb
from gauntlet.reference.raft import encoding, sizes
from gauntlet.reference.raft.config import Config
from gauntlet.reference.raft.errors import (
    Compacted,
    InvalidConfig,
    InvariantBroken,
    MalformedConfChange,
    ProposalDropped,
    SnapshotOutOfDate,
    StepLocalMessage,
    StepPeerNotFound,
    Unavailable,
)
from gauntlet.reference.raft.progress import Inflights
from gauntlet.reference.raft.rawnode import RawNode, Role
from gauntlet.reference.raft.storage import MemoryStorage
from gauntlet.reference.raft.types import (
    LOCAL_APPEND_THREAD,
    NO_LIMIT,
    ConfChange,
    ConfChangeSingle,
    ConfChangeTransition,
    ConfChangeType,
    ConfChangeV2,
    ConfState,
    Entry,
    EntryType,
    HardState,
    Message,
    MessageType,
    Snapshot,
)
from hypothesis import given
from hypothesis import strategies as st


def storage_with(voters: list[int]) -> MemoryStorage:
    storage = MemoryStorage()
    storage.apply_snapshot(Snapshot(index=5, term=1, conf_state=ConfState(voters=voters)))
    return storage


def config(voters: list[int], **options: Any) -> Config:
    storage = storage_with(voters)
    return Config(
        **{
            "id": 1,
            "election_tick": 10,
            "heartbeat_tick": 1,
            "storage": storage,
            "random": lambda n: 0,
            **options,
        }
    )


def work_off(node: RawNode, storage: MemoryStorage) -> list[Message]:
    """Do all there is to do; returns the messages."""
    messages = []
    while node.has_ready():
        ready = node.ready()
        if ready.hard_state is not None:
            storage.set_hard_state(ready.hard_state)
        storage.append(ready.entries)
        messages += ready.messages
        node.advance(ready)
    return messages


def lone_leader(**options: Any) -> tuple[RawNode, MemoryStorage]:
    """Member 1 of 1, 2, 3, elected by 2."""
    chosen = config([1, 2, 3], **options)
    storage = chosen.storage
    assert isinstance(storage, MemoryStorage)
    node = RawNode(chosen)
    node.campaign()
    work_off(node, storage)
    node.step(Message(MessageType.VOTE_RESP, to=1, sender=2, term=node.term))
    work_off(node, storage)
    assert node.role is Role.LEADER
    return node, storage


# --- options ---


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"id": 0}, "cannot use none as id"),
        ({"id": LOCAL_APPEND_THREAD}, "cannot use local target as id"),
        ({"heartbeat_tick": 0}, "heartbeat tick must be greater than 0"),
        ({"election_tick": 1}, "election tick must be greater than heartbeat tick"),
        ({"max_inflight_msgs": 0}, "max inflight messages must be greater than 0"),
        ({"max_inflight_bytes": 1}, "max inflight bytes must be >= max message size"),
        ({"read_only_lease_based": True}, "CheckQuorum must be enabled when ReadOnlyOption"),
    ],
)
def test_impossible_options(options: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidConfig, match=text):
        RawNode(config([1], **options))


def test_a_commit_index_beyond_the_log_is_refused() -> None:
    chosen = config([1])
    assert isinstance(chosen.storage, MemoryStorage)
    chosen.storage.set_hard_state(HardState(term=1, commit=9))
    with pytest.raises(InvariantBroken, match=r"state.commit 9 is out of range \[5, 5\]"):
        RawNode(chosen)


# --- storage ---


def filled_storage() -> MemoryStorage:
    """Entries 6 to 9 with terms 1, 1, 2, 2 after a snapshot at 5."""
    storage = storage_with([1])
    storage.append([Entry(term, index) for index, term in ((6, 1), (7, 1), (8, 2), (9, 2))])
    return storage


def test_storage_bounds() -> None:
    storage = filled_storage()
    assert (storage.first_index(), storage.last_index()) == (6, 9)
    assert [storage.term(index) for index in range(5, 10)] == [1, 1, 1, 2, 2]
    with pytest.raises(Compacted):
        storage.term(4)
    with pytest.raises(Unavailable):
        storage.term(10)
    with pytest.raises(Compacted):
        storage.entries(5, 7)
    with pytest.raises(Unavailable):
        storage.entries(6, 11)
    with pytest.raises(Unavailable):
        MemoryStorage().entries(1, 1)


def test_storage_overwrites_from_the_first_new_entry() -> None:
    storage = filled_storage()
    before = storage.entries(6, 10)
    storage.append([Entry(3, 7)])
    assert [(each.index, each.term) for each in storage.entries(6, 8)] == [(6, 1), (7, 3)]
    assert storage.last_index() == 7
    assert len(before) == 4
    with pytest.raises(InvariantBroken, match="missing log entry"):
        storage.append([Entry(3, 9)])


def test_storage_ignores_what_is_compacted() -> None:
    storage = filled_storage()
    storage.compact(7)
    storage.append([Entry(1, 6), Entry(1, 7)])
    assert (storage.first_index(), storage.last_index()) == (8, 9)
    storage.append([Entry(1, 7), Entry(4, 8)])
    assert (storage.term(7), storage.term(8), storage.last_index()) == (1, 4, 8)
    with pytest.raises(Compacted):
        storage.compact(7)
    with pytest.raises(InvariantBroken, match="out of bound"):
        storage.compact(20)


def test_storage_snapshots() -> None:
    storage = filled_storage()
    made = storage.create_snapshot(8, None, b"image")
    assert (made.index, made.term, made.conf_state.voters, made.data) == (8, 2, [1], b"image")
    assert storage.first_index() == 6
    with pytest.raises(SnapshotOutOfDate):
        storage.create_snapshot(8, None, b"again")
    with pytest.raises(SnapshotOutOfDate):
        storage.apply_snapshot(Snapshot(index=8, term=2))
    with pytest.raises(InvariantBroken):
        storage.create_snapshot(10, None, b"")
    storage.apply_snapshot(Snapshot(index=20, term=3))
    assert (storage.first_index(), storage.last_index(), storage.term(20)) == (21, 20, 3)


# --- sizes and encodings ---

ids = st.integers(1, NO_LIMIT)
entries = st.builds(Entry, term=ids, index=ids, type=st.sampled_from(EntryType), data=st.binary(max_size=300))


@given(entries)
def test_entry_size_is_that_of_the_encoding(entry: Entry) -> None:
    assert sizes.entry_size(entry) == len(raftpb.encode_entry(entry))


@given(st.lists(entries, max_size=6), st.integers(0, 800))
def test_limit_size(batch: list[Entry], limit: int) -> None:
    taken = sizes.limit_size(batch, limit)
    assert taken == batch[: len(taken)]
    assert bool(taken) == bool(batch)
    assert len(taken) <= 1 or sizes.entries_size(taken) <= limit
    assert taken == batch or sizes.entries_size(batch[: len(taken) + 1]) > limit


contexts = st.binary(max_size=20)
changes = st.builds(ConfChange, st.sampled_from(ConfChangeType), ids, contexts, st.integers(0, NO_LIMIT))
singles = st.builds(ConfChangeSingle, st.sampled_from(ConfChangeType), ids)
changes_v2 = st.builds(
    ConfChangeV2, st.sampled_from(ConfChangeTransition), st.lists(singles, max_size=4), contexts
)


@given(changes, changes_v2)
def test_conf_changes_are_encoded_as_everywhere_else(one: ConfChange, many: ConfChangeV2) -> None:
    assert encoding.encode_conf_change(one) == raftpb.encode_conf_change(one)
    assert encoding.encode_conf_change_v2(many) == raftpb.encode_conf_change_v2(many)
    assert encoding.decode_conf_change(encoding.encode_conf_change(one)) == one
    assert encoding.decode_conf_change_v2(encoding.encode_conf_change_v2(many)) == many


@pytest.mark.parametrize(
    "data",
    [b"\x10", b"\x10\x80", b"\x10" + b"\xff" * 11, b"\x22\x05ab", b"\x10\x63", b"\x0b", b"\x0d\x00"],
    ids=["no value", "cut number", "long number", "cut bytes", "unknown kind", "group", "cut fixed32"],
)
def test_malformed_conf_changes(data: bytes) -> None:
    with pytest.raises(MalformedConfChange):
        encoding.decode_conf_change(data)
    node, _ = lone_leader()
    entry = Entry(type=EntryType.CONF_CHANGE, data=data)
    with pytest.raises(MalformedConfChange):
        node.step(Message(MessageType.PROP, sender=2, entries=[entry]))
    assert entry.index == 0


def test_unknown_fields_do_no_harm() -> None:
    strange = b"\x78\x05" + b"\x7a\x01x" + b"\x7d\x00\x00\x00\x00" + b"\x79" + b"\x00" * 8
    change = ConfChange(ConfChangeType.REMOVE_NODE, 7)
    assert encoding.decode_conf_change(strange + encoding.encode_conf_change(change)) == change


# --- the window ---


def test_inflights_by_bytes() -> None:
    window = Inflights(max_messages=10, max_bytes=100)
    window.add(1, 60)
    assert not window.full
    window.add(2, 60)
    assert window.full
    with pytest.raises(InvariantBroken):
        window.add(3, 1)
    window.free_through(1)
    assert (len(window), window.bytes, window.full) == (1, 60, False)
    window.free_through(9)
    assert (len(window), window.bytes) == (0, 0)


# --- proposals ---


def test_a_batch_is_one_message_and_one_append() -> None:
    node, storage = lone_leader()
    node.propose_entries([b"a", b"b", b"c"])
    ready = node.ready()
    assert [entry.data for entry in ready.entries] == [b"a", b"b", b"c"]
    assert [entry.index for entry in ready.entries] == [7, 8, 9]
    storage.append(ready.entries)
    node.advance(ready)
    node.step(Message(MessageType.APP_RESP, to=1, sender=2, term=1, index=9))
    committed = node.ready().committed_entries
    assert [entry.data for entry in committed] == [b"", b"a", b"b", b"c"]


def test_the_limit_on_uncommitted_entries() -> None:
    node, storage = lone_leader(max_uncommitted_entries_size=10)
    node.propose(b"x" * 50)
    with pytest.raises(ProposalDropped):
        node.propose(b"y")
    node.propose(b"")
    work_off(node, storage)
    node.step(Message(MessageType.APP_RESP, to=1, sender=2, term=1, index=8))
    work_off(node, storage)
    node.propose(b"y")
    assert storage.last_index() == 8


def test_a_repeated_proposal_gets_a_place_of_its_own() -> None:
    """A transport inside one process may hand the same object over twice."""
    node, storage = lone_leader()
    forwarded = Message(MessageType.PROP, sender=2, entries=[Entry(data=b"twice")])
    node.step(forwarded)
    node.step(replace(forwarded))
    work_off(node, storage)
    assert [(each.index, each.data) for each in storage.entries(7, 9)] == [(7, b"twice"), (8, b"twice")]


def test_an_empty_proposal_is_dropped() -> None:
    node, _ = lone_leader()
    with pytest.raises(ProposalDropped):
        node.propose_entries([])


def test_proposals_are_not_forwarded_if_so_configured() -> None:
    chosen = config([1, 2], disable_proposal_forwarding=True)
    node = RawNode(chosen)
    node.step(Message(MessageType.HEARTBEAT, to=1, sender=2, term=1))
    assert node.leader == 2
    with pytest.raises(ProposalDropped):
        node.propose(b"x")


def test_a_read_request_without_context_is_ignored() -> None:
    lines: list[tuple[str, str]] = []
    node, storage = lone_leader(log=lambda level, line: lines.append((level, line)))
    node.step(Message(MessageType.READ_INDEX, sender=2))
    assert work_off(node, storage) == []
    assert lines[-1] == ("error", "1 invalid format of MsgReadIndex from 2, entries count: 0")


# --- the contract of RawNode ---


def test_local_messages_do_not_come_from_outside() -> None:
    node, _ = lone_leader()
    with pytest.raises(StepLocalMessage):
        node.step(Message(MessageType.HUP, sender=2))
    with pytest.raises(StepPeerNotFound):
        node.step(Message(MessageType.APP_RESP, sender=9, term=1))


def test_there_is_one_ready_at_a_time() -> None:
    node, _ = lone_leader()
    node.propose(b"x")
    node.ready()
    with pytest.raises(InvariantBroken, match="two accepted Ready structs without call to Advance"):
        node.ready()


def test_advance_has_no_place_in_asynchronous_mode() -> None:
    node = RawNode(config([1], async_storage_writes=True))
    node.campaign()
    with pytest.raises(InvariantBroken, match="Advance must not be called"):
        node.advance(node.ready())


def test_status_is_a_copy() -> None:
    node, _ = lone_leader()
    status = node.status()
    assert (status.id, status.lead, status.role, list(status.progress)) == (1, 1, Role.LEADER, [1, 2, 3])
    status.progress[2].become_snapshot(99)
    assert node.status().progress[2].next != 100
    follower = RawNode(config([1, 2])).status()
    assert (follower.role, follower.progress) == (Role.FOLLOWER, {})


def test_a_new_cluster_boots_from_conf_change_entries() -> None:
    """How etcd founds a cluster: the members are the first, already committed, entries of the log."""
    storage = MemoryStorage()
    founding = [ConfChange(ConfChangeType.ADD_NODE, member) for member in (1, 2, 3)]
    storage.append(
        [
            Entry(1, index, EntryType.CONF_CHANGE, encoding.encode_conf_change(change))
            for index, change in enumerate(founding, start=1)
        ]
    )
    storage.set_hard_state(HardState(term=1, commit=3))
    node = RawNode(replace(config([]), storage=storage))
    node.campaign()
    assert node.role is Role.FOLLOWER
    ready = node.ready()
    for entry in ready.committed_entries:
        state = node.apply_conf_change(encoding.decode_conf_change(entry.data))
    assert state.voters == [1, 2, 3]
    node.advance(ready)
    node.campaign()
    assert node.role is Role.CANDIDATE
