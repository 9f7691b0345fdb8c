"""The stream codecs: known bytes, round trips in any pieces, and what a broken stream does."""

from __future__ import annotations

import struct

import pytest
from gauntlet.reference.formats.raftpb import encode_entry, encode_message
from gauntlet.reference.formats.varint import DecodeError
from gauntlet.reference.raft.types import Entry, EntryType, Message, MessageType, Snapshot
from gauntlet.reference.server.peers.codec import (
    AppendDecoder,
    AppendEncoder,
    CodecError,
    MessageDecoder,
    MessageEncoder,
    SnapshotDecoder,
    snapshot_head,
)
from hypothesis import given
from hypothesis import strategies as st

LOCAL, REMOTE = 2, 1
U64 = st.integers(0, 2**64 - 1)


def u64(value: int) -> bytes:
    return struct.pack(">Q", value)


def append(term: int, log_term: int, index: int, entries: list[Entry], commit: int) -> Message:
    return Message(
        MessageType.APP,
        to=LOCAL,
        sender=REMOTE,
        term=term,
        log_term=log_term,
        index=index,
        entries=entries,
        commit=commit,
    )


def test_message_frames_are_a_length_and_a_message() -> None:
    message = Message(MessageType.HEARTBEAT_RESP, to=LOCAL, sender=REMOTE, term=3)
    body = encode_message(message)
    assert MessageEncoder().encode([message, message]) == (u64(len(body)) + body) * 2


def test_link_heartbeats_are_what_upstream_sends_and_are_not_messages() -> None:
    assert MessageEncoder.heartbeat == u64(2) + b"\x08\x08"
    assert AppendEncoder.heartbeat == b"\x00"
    assert MessageDecoder().feed(MessageEncoder.heartbeat * 3) == []
    assert AppendDecoder(LOCAL, REMOTE).feed(AppendEncoder.heartbeat * 3) == []
    # etcd up to 3.6 writes every field, zeros too.
    old = b"\x08\x08\x10\x00\x18\x00\x20\x00\x28\x00\x30\x00\x40\x00\x50\x00\x58\x00"
    assert MessageDecoder().feed(u64(len(old)) + old) == []
    # A heartbeat of raft's is one.
    real = Message(MessageType.HEARTBEAT, to=LOCAL, sender=REMOTE, term=3)
    assert MessageDecoder().feed(MessageEncoder().encode([real])) == [real]


def test_append_frames_are_short_only_while_the_stream_continues() -> None:
    first = append(5, 4, 10, [Entry(5, 11, EntryType.NORMAL, b"a")], 9)
    second = append(5, 5, 11, [Entry(5, 12, EntryType.NORMAL, b"b")], 10)
    empty = append(5, 5, 12, [], 12)
    other_index = append(5, 5, 11, [], 12)
    other_term = append(6, 5, 11, [], 12)
    encoder = AppendEncoder()
    body = encode_message(first)
    assert encoder.encode([first]) == b"\x02" + u64(len(body)) + body
    entry = encode_entry(second.entries[0])
    assert encoder.encode([second]) == b"\x01" + u64(1) + u64(len(entry)) + entry + u64(10)
    assert encoder.encode([empty]) == b"\x01" + u64(0) + u64(12)
    assert encoder.encode([other_index])[:1] == b"\x02"
    assert encoder.encode([other_term])[:1] == b"\x02"


def test_the_first_append_of_a_stream_is_whole_even_at_the_start_of_the_log() -> None:
    message = append(1, 0, 0, [Entry(1, 1)], 0)
    assert AppendEncoder().encode([message])[:1] == b"\x02"


@pytest.mark.parametrize(
    "data",
    [b"\x03", b"\x02" + u64(1 << 40), b"\x01" + u64(1) + u64(1 << 40)],
    ids=["unknown type", "message too long", "entry too long"],
)
def test_a_broken_append_stream_is_refused(data: bytes) -> None:
    with pytest.raises(CodecError):
        AppendDecoder(LOCAL, REMOTE).feed(data)


def test_a_broken_message_stream_is_refused() -> None:
    with pytest.raises(CodecError):
        MessageDecoder().feed(u64(1 << 40))
    with pytest.raises(CodecError):
        MessageDecoder(limit=10).feed(u64(11))
    with pytest.raises(DecodeError):
        MessageDecoder().feed(u64(3) + b"\xff\xff\xff")


def test_a_snapshot_body_is_a_message_and_then_the_database() -> None:
    message = Message(MessageType.SNAP, to=LOCAL, sender=REMOTE, term=2, snapshot=Snapshot(7, 2))
    body = snapshot_head(message) + b"database"
    for size in (1, 3, 1000):
        decoder = SnapshotDecoder()
        database = b"".join(decoder.feed(body[i : i + size]) for i in range(0, len(body), size))
        assert decoder.message == message
        assert database == b"database"
    with pytest.raises(CodecError):
        SnapshotDecoder().feed(u64(65 << 20))


messages = st.builds(
    Message,
    type=st.sampled_from([kind for kind in MessageType if kind not in (MessageType.HUP, MessageType.SNAP)]),
    to=U64.filter(bool),
    sender=U64.filter(bool),
    term=U64,
    log_term=U64,
    index=U64,
    commit=U64,
    reject=st.booleans(),
    reject_hint=U64,
    context=st.binary(max_size=20),
)


@st.composite
def appends(draw: st.DrawFn) -> list[Message]:
    """MsgApp as a leader sends them: mostly in sequence, at times going back or changing the term."""
    out: list[Message] = []
    term, index = draw(st.integers(1, 5)), draw(st.integers(0, 1000))
    log_term = term
    for _ in range(draw(st.integers(0, 12))):
        if draw(st.integers(0, 5)) == 0:
            log_term, term = term, term + draw(st.integers(0, 2))
            index = draw(st.integers(0, 1000))
        data = draw(st.lists(st.binary(max_size=50), max_size=4))
        entries = [Entry(term, index + 1 + i, EntryType.NORMAL, body) for i, body in enumerate(data)]
        out.append(append(term, log_term, index, entries, draw(st.integers(0, index + 5))))
        index += len(entries)
        if entries:
            log_term = term
    return out


cuts = st.lists(st.integers(1, 40), max_size=200)


def in_pieces(decoder: MessageDecoder | AppendDecoder, data: bytes, sizes: list[int]) -> list[Message]:
    out: list[Message] = []
    for size in sizes:
        out += decoder.feed(data[:size])
        data = data[size:]
    out += decoder.feed(data)
    assert decoder.pending == 0
    return out


@given(batch=st.lists(messages, max_size=6), sizes=cuts)
def test_messages_survive_any_pieces(batch: list[Message], sizes: list[int]) -> None:
    encoder = MessageEncoder()
    data = encoder.encode(batch) + encoder.heartbeat + encoder.encode(batch)
    assert in_pieces(MessageDecoder(), data, sizes) == batch * 2


@given(batch=appends(), sizes=cuts, beats=st.integers(0, 3))
def test_appends_survive_any_pieces(batch: list[Message], sizes: list[int], beats: int) -> None:
    encoder = AppendEncoder()
    data = b"".join(encoder.encode([message]) + encoder.heartbeat * beats for message in batch)
    assert in_pieces(AppendDecoder(LOCAL, REMOTE), data, sizes) == batch


@given(data=st.binary(max_size=200), sizes=cuts)
def test_rubbish_is_refused_or_waits_but_never_crashes(data: bytes, sizes: list[int]) -> None:
    for decoder in (MessageDecoder(), AppendDecoder(LOCAL, REMOTE)):
        rest = data
        try:
            for size in sizes:
                decoder.feed(rest[:size])
                rest = rest[size:]
        except (CodecError, DecodeError):
            continue


def test_large_frames_survive_small_pieces() -> None:
    entries = [Entry(5, 11 + i, EntryType.NORMAL, bytes([i]) * 700_000) for i in range(3)]
    batch = [append(5, 4, 10, entries, 9), append(5, 5, 13, [Entry(5, 14, data=bytes(700_000))], 12)]
    sizes = [1009] * 3000
    assert in_pieces(AppendDecoder(LOCAL, REMOTE), AppendEncoder().encode(batch), sizes) == batch
    assert in_pieces(MessageDecoder(), MessageEncoder().encode(batch), sizes) == batch
