"""The header block cache never changes what a block means, and encoding never touches the peer's table."""

from __future__ import annotations

from typing import Any

import hpack
import pytest
from gauntlet.api.wire.frames import ConnectionFault, ErrorCode
from gauntlet.api.wire.hpack_cache import HeaderDecoder, encode_headers
from gauntlet.api.wire.hpack_decoder import HpackDecoder, HpackFault, ListTooLarge
from hypothesis import given
from hypothesis import strategies as st

NAMES = st.sampled_from(["a", "token", "content-type", "x-long-name", "user-agent", ":path", "grpc-timeout"])
VALUES = st.sampled_from(["", "1", "application/grpc", "v" * 300, "50S", "51S"])
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=6)
SMALL = [(":method", "POST"), (":path", "/a"), ("token", "t")]


def fields_of(decoder: HeaderDecoder, block: bytes) -> list[tuple[str, str]]:
    """What the connection would see: the cache first, then the decoder."""
    head = decoder.blocks.get(block) or decoder.decode(block)
    fields = [(name.decode(), value.decode()) for name, value in head.fields]
    return fields + ([("grpc-timeout", head.timeout)] if head.timeout is not None else [])


def without_order_of_timeout(fields: list[tuple[str, str]]) -> list[tuple[str, str]]:
    first = next((item for item in fields if item[0] == "grpc-timeout"), None)
    if first is None:
        return fields
    rest = list(fields)
    rest.remove(first)
    return [*rest, first]


@given(st.lists(st.tuples(FIELDS, st.sampled_from([None, None, None, 0, 60, 400, 4096])), max_size=12))
def test_the_cache_is_invisible(blocks: list[tuple[list[tuple[str, str]], int | None]]) -> None:
    encoder = hpack.Encoder()
    decoder = HeaderDecoder(1 << 16)
    for fields, resize in blocks:
        if resize is not None:
            encoder.header_table_size = resize
        for _ in range(2):
            block = encoder.encode(fields)
            assert fields_of(decoder, block) == without_order_of_timeout(fields)


def test_a_block_that_repeats_is_decoded_once() -> None:
    encoder = hpack.Encoder()
    decoder = HeaderDecoder(1 << 16)
    decoder.decode(encoder.encode(SMALL))
    assert not decoder.blocks  # it filled the table, so it must not be kept
    block = encoder.encode(SMALL)
    head = decoder.decode(block)
    assert decoder.blocks == {block: head}
    decoder.decode(encoder.encode([("another", "entry")]))
    assert not decoder.blocks  # the table moved: the same bytes mean something else now


def test_heads_differ_in_their_timeout_only() -> None:
    encoder = hpack.Encoder()
    decoder = HeaderDecoder(1 << 16)
    first = decoder.decode(encoder.encode([*SMALL, ("grpc-timeout", "1S")]))
    first.route = object()
    second = decoder.decode(encoder.encode([*SMALL, ("grpc-timeout", "2S")]))
    assert (first.timeout, second.timeout) == ("1S", "2S")
    assert second.fields is first.fields


@given(st.lists(st.tuples(NAMES, VALUES), max_size=8))
def test_encoding_is_stateless(fields: list[tuple[str, str]]) -> None:
    decoder = hpack.Decoder()
    block = encode_headers([(name.encode(), value.encode()) for name, value in fields])
    assert [tuple(item) for item in decoder.decode(block)] == fields
    assert not decoder.header_table.dynamic_entries


@pytest.mark.parametrize("block", [b"\x80", b"\xff\xff\xff\xff\xff", b"\x40\x05ab", b"\x00", b"\x3f\xe2\x1f"])
def test_a_bad_block_costs_the_connection(block: bytes) -> None:
    with pytest.raises(ConnectionFault) as caught:
        HeaderDecoder(1 << 16).decode(block)
    assert caught.value.code == ErrorCode.COMPRESSION_ERROR


def test_a_header_bomb_is_refused() -> None:
    encoder = hpack.Encoder()
    decoder = HeaderDecoder(1 << 16)
    decoder.decode(encoder.encode([("bomb", "b" * 4000)]))
    with pytest.raises(ConnectionFault) as caught:
        decoder.decode(b"\xbe" * 2000)
    assert caught.value.code == ErrorCode.ENHANCE_YOUR_CALM


@given(st.binary(max_size=200))
def test_any_bytes_are_a_head_or_a_fault(block: bytes) -> None:
    try:
        HeaderDecoder(1 << 12).decode(block)
    except ConnectionFault:
        pass


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ([(":method", "GET"), (":scheme", "http"), (":path", "/")], None),
        ([(":method", "GET"), (":scheme", "http")], "no :path"),
        ([(":method", "GET"), (":path", "/")], "no :scheme"),
        ([(":scheme", "http"), (":path", "/")], "no :method"),
        ([(":method", "CONNECT"), (":authority", "a")], "CONNECT is not offered"),
        ([(":status", "200")], "unknown pseudo header"),
        ([("a", "b"), (":method", "GET")], "pseudo header after a regular one"),
        ([(":method", "GET"), (":method", "GET")], "pseudo header twice"),
        ([(":method", "GET"), ("Upper", "a")], "invalid header name"),
        ([(":method", "GET"), ("connection", "close")], "connection-specific header"),
        ([(":method", "GET"), ("te", "gzip")], "te other than trailers"),
        ([(":method", "GET"), ("content-length", "-1")], "invalid content-length"),
        ([(":method", "GET"), ("content-length", "1"), ("content-length", "2")], "content-length twice"),
        ([(":method", "GET"), ("a", "b\r\nc: d")], "control byte in a header value"),
    ],
)
def test_malformed_requests(fields: list[tuple[str, str]], fault: str | None) -> None:
    block = encode_headers([(name.encode(), value.encode()) for name, value in fields])
    assert HeaderDecoder(1 << 16).decode(block).malformed == fault


@given(st.lists(st.one_of(st.binary(max_size=60), FIELDS), max_size=8))
def test_our_decoder_agrees_with_the_library(blocks: list[Any]) -> None:
    encoder = hpack.Encoder()
    theirs = hpack.Decoder()
    ours = HpackDecoder(1 << 16)
    for block in blocks:
        data = block if isinstance(block, bytes) else encoder.encode(block, huffman=len(block) % 2 == 0)
        try:
            expected = [tuple(item) for item in theirs.decode(data, raw=True)]
        except hpack.HPACKError:
            with pytest.raises((HpackFault, ListTooLarge)):
                ours.decode(data)
            return
        before = tuple(theirs.header_table.dynamic_entries)
        assert ours.decode(data) == expected
        assert tuple(ours._entries) == before


def test_attacks_on_the_decoder_cost_time_in_proportion() -> None:
    for block in (b"\x7f" + b"\xff" * 60_000, b"\x00\x7f" + b"\xff" * 60_000, b"\x3f" + b"\x80" * 60_000):
        with pytest.raises(HpackFault, match="too large"):
            HpackDecoder(1 << 16).decode(block)
    with pytest.raises(ListTooLarge):
        HpackDecoder(1 << 16).decode(b"\x40\x00\x00" * 20_000)
