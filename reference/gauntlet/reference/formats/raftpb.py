"""Raft's values as the protobuf bytes etcd writes into its log and sends to its peers.

Field numbers are those of raftpb in go.etcd.io/raft/v3 v3.7.0. The writer leaves out zero fields, except
where real etcd 3.7.1 writes them (a hard state and a configuration change are always written whole), so
that a log of ours is byte for byte the log etcd would have written. The reader takes any field order and
unknown fields.

Measured for 300-byte entries, this code against generated classes: encoding an entry 0.4 us against 0.65,
encoding a message of 20 entries 10 us against 16, decoding such a message 22 us against 10. So writing is
by hand, reading is left to the generated classes, except for the entries of the log, where both cost 0.7 us
and the hand-written reader can say what is wrong.
"""

from __future__ import annotations

from typing import TypeVar

from gauntlet.api.messages import raftpb as pb
from gauntlet.reference.formats.varint import DecodeError, encode, field_bytes, field_uint, skip
from gauntlet.reference.formats.varint import decode as read_varint
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
from google.protobuf.message import DecodeError as PbDecodeError
from google.protobuf.message import Message as PbMessage

_ENTRY_TYPES = tuple(EntryType)
_MESSAGE_TYPES = tuple(MessageType)
_NORMAL = EntryType.NORMAL
_CHANGE_TYPES = tuple(ConfChangeType)
_TRANSITIONS = tuple(ConfChangeTransition)


# ---- entries


def encode_entry(entry: Entry) -> bytes:
    out = b"\x08" + encode(entry.type) if entry.type else b""
    if entry.term:
        out += b"\x10" + encode(entry.term)
    if entry.index:
        out += b"\x18" + encode(entry.index)
    data = entry.data
    if data:
        return out + b"\x22" + encode(len(data)) + data
    return out


def decode_entry(buf: bytes) -> Entry:
    try:
        return _entry(buf)
    except IndexError:
        raise DecodeError("cut short in an entry") from None


def _entry(buf: bytes) -> Entry:
    """IndexError when the type is unknown or the bytes end too early."""
    end = len(buf)
    if end > 3 and buf[0] == 0x10 and buf[1] < 0x80 and buf[2] == 0x18:
        # What nearly every entry looks like: no type, a small term, then index and data.
        index, pos = read_varint(buf, 3)
        if pos < end and buf[pos] == 0x22:
            size, pos = read_varint(buf, pos + 1)
            if pos + size == end:
                return Entry(buf[1], index, _NORMAL, buf[pos:])
    pos = 0
    entry = Entry()
    while pos < end:
        tag = buf[pos]
        pos += 1
        if tag == 0x22:
            size = buf[pos]
            pos += 1
            if size >= 0x80:
                size, pos = read_varint(buf, pos - 1)
            entry.data = buf[pos : pos + size]
            pos += size
        elif tag == 0x10 or tag == 0x18 or tag == 0x08:
            value = buf[pos]
            pos += 1
            if value >= 0x80:
                value, pos = read_varint(buf, pos - 1)
            if tag == 0x18:
                entry.index = value
            elif tag == 0x10:
                entry.term = value
            else:
                entry.type = _ENTRY_TYPES[value]
        else:
            tag, pos = read_varint(buf, pos - 1)
            pos = skip(buf, pos, tag)
    if pos != end:
        raise DecodeError("entry runs over its end")
    return entry


# ---- states and snapshots


def encode_hard_state(state: HardState) -> bytes:
    return b"\x08" + encode(state.term) + b"\x10" + encode(state.vote) + b"\x18" + encode(state.commit)


def decode_hard_state(buf: bytes) -> HardState:
    read = _parse(pb.HardState(), buf)
    return HardState(read.term, read.vote, read.commit)


def encode_conf_state(state: ConfState) -> bytes:
    parts = [b"\x08" + encode(n) for n in state.voters]
    parts += [b"\x10" + encode(n) for n in state.learners]
    parts += [b"\x18" + encode(n) for n in state.voters_outgoing]
    parts += [b"\x20" + encode(n) for n in state.learners_next]
    parts.append(b"\x28\x01" if state.auto_leave else b"\x28\x00")
    return b"".join(parts)


def decode_conf_state(buf: bytes) -> ConfState:
    return _conf_state(_parse(pb.ConfState(), buf))


def _conf_state(read: pb.ConfState) -> ConfState:
    return ConfState(
        list(read.voters),
        list(read.learners),
        list(read.voters_outgoing),
        list(read.learners_next),
        read.auto_leave,
    )


def encode_snapshot_metadata(snapshot: Snapshot) -> bytes:
    """The field behind the data in an encoded snapshot."""
    meta = b"".join(
        (
            field_bytes(b"\x0a", encode_conf_state(snapshot.conf_state)),
            b"\x10" + encode(snapshot.index),
            b"\x18" + encode(snapshot.term),
        )
    )
    return field_bytes(b"\x12", meta)


def encode_snapshot(snapshot: Snapshot) -> bytes:
    return field_bytes(b"\x0a", snapshot.data) + encode_snapshot_metadata(snapshot)


def decode_snapshot(buf: bytes) -> Snapshot:
    return _snapshot(_parse(pb.Snapshot(), buf))


def _snapshot(read: pb.Snapshot) -> Snapshot:
    meta = read.metadata
    return Snapshot(meta.index, meta.term, _conf_state(meta.conf_state), read.data)


# ---- configuration changes


def encode_conf_change(change: ConfChange) -> bytes:
    return b"".join(
        (
            field_uint(b"\x08", change.id),
            b"\x10" + encode(change.type),
            b"\x18" + encode(change.node_id),
            field_bytes(b"\x22", change.context),
        )
    )


def decode_conf_change(buf: bytes) -> ConfChange:
    read = _parse(pb.ConfChange(), buf)
    return ConfChange(_CHANGE_TYPES[read.type], read.node_id, read.context, read.id)


def encode_conf_change_v2(change: ConfChangeV2) -> bytes:
    parts = [field_uint(b"\x08", change.transition)]
    for single in change.changes:
        body = b"\x08" + encode(single.type) + b"\x10" + encode(single.node_id)
        parts.append(b"\x12" + encode(len(body)) + body)
    parts.append(field_bytes(b"\x1a", change.context))
    return b"".join(parts)


def decode_conf_change_v2(buf: bytes) -> ConfChangeV2:
    read = _parse(pb.ConfChangeV2(), buf)
    changes = [ConfChangeSingle(_CHANGE_TYPES[change.type], change.node_id) for change in read.changes]
    return ConfChangeV2(_TRANSITIONS[read.transition], changes, read.context)


# ---- messages


def encode_message(message: Message) -> bytes:
    parts = [
        b"\x08" + encode(message.type),
        field_uint(b"\x10", message.to),
        field_uint(b"\x18", message.sender),
        field_uint(b"\x20", message.term),
        field_uint(b"\x28", message.log_term),
        field_uint(b"\x30", message.index),
    ]
    for entry in message.entries:
        body = encode_entry(entry)
        parts += (b"\x3a", encode(len(body)), body)
    if message.commit:
        parts += (b"\x40", encode(message.commit))
    if message.snapshot is not None:
        body = encode_snapshot(message.snapshot)
        parts += (b"\x4a", encode(len(body)), body)
    if message.reject:
        parts.append(b"\x50\x01")
    if message.reject_hint:
        parts += (b"\x58", encode(message.reject_hint))
    if message.context:
        parts += (b"\x62", encode(len(message.context)), message.context)
    if message.vote:
        parts += (b"\x68", encode(message.vote))
    for response in message.responses:
        body = encode_message(response)
        parts += (b"\x72", encode(len(body)), body)
    return b"".join(parts)


def decode_message(buf: bytes) -> Message:
    return _message(_parse(pb.Message(), buf))


def _message(read: pb.Message) -> Message:
    if not read.type and not read.HasField("type"):
        raise DecodeError("message of no known type")
    return Message(
        _MESSAGE_TYPES[read.type],
        read.to,
        getattr(read, "from"),
        read.term,
        read.logTerm,
        read.index,
        [Entry(entry.Term, entry.Index, _ENTRY_TYPES[entry.Type], entry.Data) for entry in read.entries],
        read.commit,
        read.vote,
        _snapshot(read.snapshot) if read.HasField("snapshot") else None,
        read.reject,
        read.rejectHint,
        read.context,
        [_message(response) for response in read.responses],
    )


_Pb = TypeVar("_Pb", bound=PbMessage)


def _parse(into: _Pb, buf: bytes) -> _Pb:
    try:
        into.ParseFromString(buf)
    except PbDecodeError as error:
        raise DecodeError(f"not a {into.DESCRIPTOR.full_name}") from error
    return into
