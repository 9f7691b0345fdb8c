"""Frames as bytes."""

from __future__ import annotations

import pytest
from gauntlet.api.wire import frames
from gauntlet.api.wire.frames import ConnectionFault, ErrorCode
from hypothesis import given
from hypothesis import strategies as st


@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, frames.STREAM_MASK), st.binary(max_size=2000))
def test_a_built_frame_is_read_back(kind: int, flags: int, stream_id: int, payload: bytes) -> None:
    data = frames.frame(kind, flags, stream_id, payload)
    assert list(frames.split_frames(data + data[:-1])) == [(kind, flags, stream_id, payload)]


def test_builders_match_the_rfc() -> None:
    assert frames.settings([(4, 65535)]) == bytes.fromhex("000006040000000000 0004 0000ffff")
    assert bytes.fromhex("000000040100000000") == frames.SETTINGS_ACK
    assert frames.window_update(3, 1) == bytes.fromhex("000004080000000003 00000001")
    assert frames.rst_stream(5, ErrorCode.CANCEL) == bytes.fromhex("000004030000000005 00000008")
    assert frames.ping(b"12345678", ack=True) == bytes.fromhex("000008060100000000") + b"12345678"
    assert frames.goaway(7, 2, b"x") == bytes.fromhex("000009070000000000 00000007 00000002") + b"x"


@given(st.binary(max_size=5000), st.integers(1, 700), st.booleans())
def test_a_long_header_block_is_continued(block: bytes, size: int, end: bool) -> None:
    seen = list(frames.split_frames(frames.header_frames(1, block, end, size)))
    assert b"".join(payload for *_, payload in seen) == block
    assert [kind for kind, *_ in seen] == [frames.HEADERS] + [frames.CONTINUATION] * (len(seen) - 1)
    assert [bool(flags & frames.END_HEADERS) for _, flags, *_ in seen] == [False] * (len(seen) - 1) + [True]
    assert bool(seen[0][1] & frames.END_STREAM) == end
    assert all(len(payload) <= size for *_, payload in seen)


def test_padding() -> None:
    assert frames.unpad(b"abc", 0) == b"abc"
    assert frames.unpad(b"\x02abc\0\0", frames.PADDED) == b"abc"
    assert frames.unpad(b"\x00", frames.PADDED) == b""
    for bad in (b"\x01", b"\x05abc"):
        with pytest.raises(ConnectionFault, match="padding") as caught:
            frames.unpad(bad, frames.PADDED)
        assert caught.value.code == ErrorCode.PROTOCOL_ERROR
    with pytest.raises(ConnectionFault, match="pad length"):
        frames.unpad(b"", frames.PADDED)


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        (2, 2, ErrorCode.PROTOCOL_ERROR),
        (4, 1 << 31, ErrorCode.FLOW_CONTROL_ERROR),
        (5, 16383, ErrorCode.PROTOCOL_ERROR),
        (5, 1 << 24, ErrorCode.PROTOCOL_ERROR),
    ],
)
def test_settings_out_of_range(name: int, value: int, code: ErrorCode) -> None:
    payload = name.to_bytes(2, "big") + value.to_bytes(4, "big")
    with pytest.raises(ConnectionFault) as caught:
        frames.parse_settings(payload)
    assert caught.value.code == code


def test_settings_are_read_and_unknown_ones_left_out() -> None:
    payload = bytes.fromhex("0001 00001000 0099 00000001 0005 00004000")
    assert frames.parse_settings(payload) == [(1, 4096), (5, 16384)]
    with pytest.raises(ConnectionFault):
        frames.parse_settings(payload[:-1])
