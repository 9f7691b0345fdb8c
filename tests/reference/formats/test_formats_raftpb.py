"""Raft's values against the generated messages: whatever one side writes, the other reads as the same."""

from __future__ import annotations

from typing import Any

import pytest
from gauntlet.api.messages import raftpb as pb
from gauntlet.reference.formats import raftpb, varint
from gauntlet.reference.formats.varint import DecodeError
from gauntlet.reference.raft.types import (
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

# Small numbers, numbers on both sides of every length a varint can have, and anything.
EDGES = [edge for bits in range(7, 64, 7) for edge in ((1 << bits) - 1, 1 << bits)] + [(1 << 64) - 1]
u64 = st.one_of(st.integers(0, 200), st.sampled_from(EDGES), st.integers(0, (1 << 64) - 1))
data = st.one_of(st.binary(max_size=40), st.integers(100, 300).map(lambda n: b"d" * n))
ids = st.lists(u64, max_size=4)
entries = st.builds(Entry, u64, u64, st.sampled_from(EntryType), data)
conf_states = st.builds(ConfState, ids, ids, ids, ids, st.booleans())
snapshots = st.builds(Snapshot, u64, u64, conf_states, data)


def _messages(responses: st.SearchStrategy[list[Message]]) -> st.SearchStrategy[Message]:
    return st.builds(
        Message,
        st.sampled_from(MessageType),
        u64,
        u64,
        u64,
        u64,
        u64,
        st.lists(entries, max_size=4),
        u64,
        u64,
        st.none() | snapshots,
        st.booleans(),
        u64,
        data,
        responses,
    )


messages = _messages(st.lists(_messages(st.just([])), max_size=2))


def entry_pb(entry: Entry) -> pb.Entry:
    return pb.Entry(Type=entry.type, Term=entry.term, Index=entry.index, Data=entry.data)


def conf_state_pb(state: ConfState) -> pb.ConfState:
    return pb.ConfState(
        voters=state.voters,
        learners=state.learners,
        voters_outgoing=state.voters_outgoing,
        learners_next=state.learners_next,
        auto_leave=state.auto_leave,
    )


def snapshot_pb(snapshot: Snapshot) -> pb.Snapshot:
    metadata = pb.SnapshotMetadata(
        conf_state=conf_state_pb(snapshot.conf_state), index=snapshot.index, term=snapshot.term
    )
    return pb.Snapshot(data=snapshot.data, metadata=metadata)


def message_pb(message: Message) -> pb.Message:
    """Every field written out, zeros too, as members before 3.7 do."""
    fields: dict[str, Any] = {
        "type": message.type,
        "to": message.to,
        "from": message.sender,
        "term": message.term,
        "logTerm": message.log_term,
        "index": message.index,
        "entries": [entry_pb(entry) for entry in message.entries],
        "commit": message.commit,
        "vote": message.vote,
        "reject": message.reject,
        "rejectHint": message.reject_hint,
        "context": message.context,
        "responses": [message_pb(response) for response in message.responses],
    }
    if message.snapshot is not None:
        fields["snapshot"] = snapshot_pb(message.snapshot)
    return pb.Message(**fields)


def without_presence(message: Any) -> Any:
    """The same values, whether zeros are written or left out."""
    values = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.message_type is None:
            values[field.name] = list(value) if field.is_repeated else value
        elif field.is_repeated:
            values[field.name] = [without_presence(one) for one in value]
        elif message.HasField(field.name):
            values[field.name] = without_presence(value)
    return values


def assert_same(kind: Any, ours: bytes, theirs: Any) -> None:
    assert without_presence(kind.FromString(ours)) == without_presence(theirs)


@given(entries)
def test_entry(entry: Entry) -> None:
    assert raftpb.decode_entry(raftpb.encode_entry(entry)) == entry
    assert raftpb.decode_entry(entry_pb(entry).SerializeToString()) == entry
    assert_same(pb.Entry, raftpb.encode_entry(entry), entry_pb(entry))


@given(messages)
def test_message(message: Message) -> None:
    assert raftpb.decode_message(raftpb.encode_message(message)) == message
    assert raftpb.decode_message(message_pb(message).SerializeToString()) == message
    assert_same(pb.Message, raftpb.encode_message(message), message_pb(message))


@given(snapshots)
def test_snapshot(snapshot: Snapshot) -> None:
    assert raftpb.decode_snapshot(raftpb.encode_snapshot(snapshot)) == snapshot
    assert raftpb.decode_snapshot(snapshot_pb(snapshot).SerializeToString()) == snapshot
    assert_same(pb.Snapshot, raftpb.encode_snapshot(snapshot), snapshot_pb(snapshot))


@given(conf_states)
def test_conf_state(state: ConfState) -> None:
    assert raftpb.decode_conf_state(raftpb.encode_conf_state(state)) == state
    assert raftpb.encode_conf_state(state) == conf_state_pb(state).SerializeToString()


@given(u64, u64, u64)
def test_hard_state(term: int, vote: int, commit: int) -> None:
    state = HardState(term, vote, commit)
    encoded = raftpb.encode_hard_state(state)
    assert raftpb.decode_hard_state(encoded) == state
    assert encoded == pb.HardState(term=term, vote=vote, commit=commit).SerializeToString()


@given(st.sampled_from(ConfChangeType), u64, data, u64)
def test_conf_change(kind: ConfChangeType, node_id: int, context: bytes, number: int) -> None:
    change = ConfChange(kind, node_id, context, number)
    encoded = raftpb.encode_conf_change(change)
    assert raftpb.decode_conf_change(encoded) == change
    theirs = pb.ConfChange(id=number, type=kind, node_id=node_id, context=context)
    assert_same(pb.ConfChange, encoded, theirs)


@given(
    st.sampled_from(ConfChangeTransition),
    st.lists(st.builds(ConfChangeSingle, st.sampled_from(ConfChangeType), u64), max_size=3),
    data,
)
def test_conf_change_v2(
    transition: ConfChangeTransition, changes: list[ConfChangeSingle], context: bytes
) -> None:
    change = ConfChangeV2(transition, changes, context)
    encoded = raftpb.encode_conf_change_v2(change)
    assert raftpb.decode_conf_change_v2(encoded) == change
    singles = [pb.ConfChangeSingle(type=one.type, node_id=one.node_id) for one in changes]
    theirs = pb.ConfChangeV2(transition=transition, changes=singles, context=context)
    assert_same(pb.ConfChangeV2, encoded, theirs)


# As a member of version 3.7.1 wrote them into its log.
AS_ETCD_WRITES = [
    (Entry(2, 2), "10021802"),
    (Entry(2, 5, EntryType.NORMAL, b"put"), "10021805" + "2203707574"),
    (Entry(1, 1, EntryType.CONF_CHANGE, b"change"), "080110011801" + "22066368616e6765"),
]


@pytest.mark.parametrize(("entry", "wire"), AS_ETCD_WRITES)
def test_entry_bytes_are_etcds(entry: Entry, wire: str) -> None:
    assert raftpb.encode_entry(entry).hex() == wire


@pytest.mark.parametrize(
    ("encoded", "wire"),
    [
        (raftpb.encode_hard_state(HardState(1, 0, 1)), "080110001801"),
        (raftpb.encode_conf_change(ConfChange(ConfChangeType.ADD_NODE, 3, b"{}")), "1000180322027b7d"),
        (raftpb.encode_snapshot(Snapshot(21, 2, ConfState([9]), b"")), "1208" + "0a0408092800" + "10151802"),
    ],
)
def test_state_bytes_are_etcds(encoded: bytes, wire: str) -> None:
    expected = bytes.fromhex(wire)
    if encoded[:1] == b"\x12":  # the length of the metadata depends on the size of the ids
        expected = b"\x12" + bytes((len(expected) - 2,)) + expected[2:]
    assert encoded == expected


def test_unknown_fields_are_skipped() -> None:
    future = b"\xf2\x01\x03new" + b"\x39" + bytes(8) + b"\x2d" + bytes(4) + b"\x28\x07"
    entry = Entry(3, 300, EntryType.NORMAL, b"data")
    assert raftpb.decode_entry(raftpb.encode_entry(entry) + future) == entry
    assert raftpb.decode_entry(future + raftpb.encode_entry(entry)) == entry


BROKEN_ENTRIES = [
    ("data runs over the end", "100218052205707574"),
    ("ends in a varint", "10ff"),
    ("ends after a tag", "1002180522"),
    ("unknown type", "0803"),
    ("field number 0", "0001"),
    ("group", "1b"),
    ("endless varint", "10" + "ff" * 11),
    ("unknown field runs over the end", "3a05"),
]


@pytest.mark.parametrize(("why", "wire"), BROKEN_ENTRIES)
def test_broken_entry(why: str, wire: str) -> None:
    with pytest.raises(DecodeError):
        raftpb.decode_entry(bytes.fromhex(wire))


@given(st.binary(max_size=60))
def test_noise_is_refused_or_read(noise: bytes) -> None:
    for decode in (
        raftpb.decode_entry,
        raftpb.decode_message,
        raftpb.decode_hard_state,
        raftpb.decode_snapshot,
        raftpb.decode_conf_change,
        raftpb.decode_conf_change_v2,
    ):
        try:
            decode(noise)
        except DecodeError:
            continue


def test_a_message_of_unknown_type_is_refused() -> None:
    with pytest.raises(DecodeError):
        raftpb.decode_message(b"\x08\x63\x10\x01")


@given(u64)
def test_varint(number: int) -> None:
    encoded = varint.encode(number)
    assert varint.decode(encoded, 0) == (number, len(encoded))
    assert len(encoded) == max(1, -(-number.bit_length() // 7))
