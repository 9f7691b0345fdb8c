"""Records and frames, and what a reader makes of damage."""

from __future__ import annotations

import pytest
from gauntlet.api.messages import walpb
from gauntlet.reference.formats import wal
from gauntlet.reference.formats.varint import DecodeError
from gauntlet.reference.raft.types import ConfState, Entry, HardState
from google_crc32c import value as crc32c
from hypothesis import given
from hypothesis import strategies as st

OWNER = wal.Metadata(0x6C120993BCE08383, 77)


def first_segment(*batches: tuple[HardState | None, list[Entry]]) -> bytes:
    encoder = wal.Encoder()
    wal.first_segment(encoder, OWNER)
    for state, entries in batches:
        encoder.entries(entries)
        if state is not None:
            encoder.hard_state(state)
    return encoder.take()


def read(data: bytes, *, last: bool = True, crc: int = 0) -> list[wal.Record]:
    return list(wal.SegmentReader(data, crc, last=last))


def replay(data: bytes, index: int = 0, term: int = 0) -> wal.Replay:
    result = wal.Replay(index, term)
    for record in read(data):
        result.feed(record)
    return result


def entries(*pairs: tuple[int, int]) -> list[Entry]:
    return [Entry(term, index, data=b"%d.%d" % (term, index)) for term, index in pairs]


def test_a_new_log_begins_as_etcds_does() -> None:
    data = first_segment()
    assert [record.type for record in read(data)] == [
        wal.RecordType.CRC,
        wal.RecordType.METADATA,
        wal.RecordType.SNAPSHOT,
    ]
    # The frame of crc(0) in a log of etcd 3.7.1: four bytes of record, four of padding.
    assert data[:16].hex() == "0400000000000084" + "0804100000000000"
    assert len(data) % 8 == 0


@given(st.lists(st.binary(max_size=30), max_size=6))
def test_frames_agree_with_the_generated_record(payloads: list[bytes]) -> None:
    encoder = wal.Encoder()
    encoder.entries([Entry(1, index, data=payload) for index, payload in enumerate(payloads, 1)])
    data = encoder.take()
    position = 0
    summed = b""
    for payload in payloads:
        head = int.from_bytes(data[position : position + 8], "little")
        size, pad = head & (1 << 56) - 1, head >> 56
        record = walpb.Record.FromString(data[position + 8 : position + 8 + size])
        summed += record.data
        assert record.type == wal.RecordType.ENTRY
        assert record.data.endswith(payload)
        assert record.crc == crc32c(summed)
        assert pad == (0x80 | -size & 7 if size % 8 else 0)
        position += 8 + size + (-size & 7)
    assert position == len(data)


@pytest.mark.parametrize(
    ("name", "parsed"),
    [
        ("0000000000000001-00000000000000ff.wal", (1, 255)),
        ("0000000000000001-00000000000000ff.wal.broken", None),
        ("1-ff.wal", None),
        ("000000000000000g-00000000000000ff.wal", None),
        ("0.tmp", None),
        ("", None),
    ],
)
def test_segment_names(name: str, parsed: tuple[int, int] | None) -> None:
    assert wal.parse_segment_name(name) == parsed
    if parsed is not None:
        assert wal.segment_name(*parsed) == name


def test_a_log_read_back() -> None:
    data = first_segment(
        (HardState(1, 2, 0), entries((1, 1), (1, 2))),
        (HardState(1, 2, 2), entries((1, 3))),
    )
    result = replay(data + bytes(100))
    assert result.metadata == OWNER
    assert result.hard_state == HardState(1, 2, 2)
    assert result.entries == entries((1, 1), (1, 2), (1, 3))
    assert result.valid
    assert result.last_index == 3


def test_later_entries_replace_earlier_ones() -> None:
    data = first_segment(
        (None, entries((1, 1), (1, 2), (1, 3), (1, 4))),
        (HardState(2, 0, 1), entries((2, 2), (2, 3))),
    )
    assert replay(data).entries == entries((1, 1), (2, 2), (2, 3))


SNAPSHOT_CASES = [
    # index, term asked for; commit in the log; whether that snapshot counts
    (5, 2, 5, True),
    (5, 2, 9, True),
    (5, 2, 4, False),  # not committed yet when the log ended
    (5, 3, 9, False),  # of another term
    (6, 2, 9, False),  # never marked
    (0, 0, 0, True),
]


@pytest.mark.parametrize(("index", "term", "commit", "valid"), SNAPSHOT_CASES)
def test_which_snapshots_count(index: int, term: int, commit: int, valid: bool) -> None:
    encoder = wal.Encoder()
    wal.first_segment(encoder, OWNER)
    encoder.entries(entries(*((2, i) for i in range(1, 10))))
    encoder.snapshot(5, 2, ConfState([1, 2, 3]))
    encoder.hard_state(HardState(2, 1, commit))
    result = replay(encoder.take(), index, term)
    assert result.valid is valid
    if valid:
        assert result.entries == entries(*((2, i) for i in range(index + 1, 10)))


def test_the_snapshot_record_is_etcds() -> None:
    data = wal.encode_snapshot_mark(7, 3, ConfState([1, 9], [4]))
    mark = walpb.Snapshot.FromString(data)
    assert (mark.index, mark.term, list(mark.conf_state.voters), list(mark.conf_state.learners)) == (
        7,
        3,
        [1, 9],
        [4],
    )
    assert wal.decode_snapshot_mark(data) == (7, 3)


def test_a_gap_is_corruption() -> None:
    with pytest.raises(wal.CorruptWalError, match="gap before entry 4"):
        replay(first_segment((None, entries((1, 1), (1, 2), (1, 4)))))


def test_conflicting_owners_are_corruption() -> None:
    encoder = wal.Encoder()
    wal.first_segment(encoder, OWNER)
    encoder.metadata(wal.Metadata(1, 2))
    with pytest.raises(wal.CorruptWalError, match="conflicting metadata"):
        replay(encoder.take())


def test_unknown_records_are_corruption() -> None:
    result = wal.Replay()
    with pytest.raises(wal.CorruptWalError, match="unknown type 9"):
        result.feed(wal.Record(9, 0, b""))


def test_the_checksum_runs_on_through_segments() -> None:
    encoder = wal.Encoder()
    wal.first_segment(encoder, OWNER)
    encoder.entries(entries((1, 1)))
    one = encoder.take()
    wal.next_segment(encoder, OWNER, HardState(1, 1, 1))
    encoder.entries(entries((1, 2)))
    two = encoder.take()

    reader = wal.SegmentReader(one, 0, last=False)
    list(reader)
    assert [record.type for record in read(two, crc=reader.crc)] == [4, 1, 3, 2]
    assert [record.type for record in read(two, crc=0)] == [4, 1, 3, 2], "a reader may start at any segment"
    with pytest.raises(wal.CorruptWalError, match="checksum"):
        read(two, crc=reader.crc ^ 1)


def test_no_flipped_bit_changes_a_payload() -> None:
    """The checksum covers payloads (not types, so says the format): each is as written, or missing."""
    data = first_segment((HardState(1, 1, 1), entries((1, 1), (1, 2))))
    whole = [record.data for record in read(data)]
    refused = 0
    for position in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            try:
                payloads = [record.data for record in read(bytes(damaged), last=False)]
            except wal.WalError:
                refused += 1
                continue
            assert payloads == whole[: len(payloads)]
    assert refused > 4 * len(data)


def damaged_sector(data: bytes, sector: int) -> bytes:
    start = sector * wal.SECTOR_BYTES
    return data[:start] + bytes(wal.SECTOR_BYTES) + data[start + wal.SECTOR_BYTES :]


def test_a_zero_sector_in_the_last_segment_is_a_torn_write() -> None:
    data = first_segment((None, [Entry(1, 1, data=b"x" * 2000)]))
    whole = len(first_segment())
    assert whole < wal.SECTOR_BYTES
    for sector in (1, 2, 3):
        with pytest.raises(wal.TornWalError) as caught:
            read(damaged_sector(data, sector))
        assert caught.value.offset == whole
        with pytest.raises(wal.CorruptWalError):
            read(damaged_sector(data, sector), last=False)


def test_a_wrong_checksum_without_a_zero_sector_is_corruption() -> None:
    data = bytearray(first_segment((None, [Entry(1, 1, data=b"x" * 2000)])))
    data[700] ^= 1
    with pytest.raises(wal.CorruptWalError, match="checksum"):
        read(bytes(data))


def test_a_cut_file_is_torn_only_at_the_end_of_the_log() -> None:
    data = first_segment((None, entries((1, 1), (1, 2))))
    ends = [0]
    reader = wal.SegmentReader(data, 0, last=True)
    for _ in reader:
        ends.append(reader.offset)
    for length in range(len(data)):
        good = max(end for end in ends if end <= length)
        if length == good:
            read(data[:length], last=False)
            continue
        with pytest.raises(wal.TornWalError) as caught:
            read(data[:length])
        assert caught.value.offset == good
        with pytest.raises(wal.CorruptWalError):
            read(data[:length], last=False)


SEGMENTS = [(3, 100), (4, 250), (5, 250), (6, 400)]


@pytest.mark.parametrize(
    ("index", "position"),
    [(0, None), (99, None), (100, 0), (249, 0), (250, 2), (399, 2), (400, 3), (9999, 3)],
)
def test_where_reading_starts(index: int, position: int | None) -> None:
    assert wal.first_needed(SEGMENTS, index) == position


@given(st.binary(max_size=80))
def test_noise_is_refused(noise: bytes) -> None:
    try:
        records = read(noise)
        for record in records:
            wal.Replay().feed(record)
    except (wal.WalError, DecodeError):
        return
    assert len(records) <= len(noise) // 8
