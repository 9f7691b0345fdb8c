from __future__ import annotations

import itertools

import pytest
from gauntlet.api.messages import authpb
from gauntlet.reference.auth.permissions import Ranges, UserRanges, valid_range
from hypothesis import given
from hypothesis import strategies as st

# Every key over two letters with at most three of them, in order.
KEYS = sorted({bytes(a) for n in range(1, 4) for a in itertools.product(b"ab", repeat=n)} | {b"\x00", b"c"})
ends = st.sampled_from([b"", b"\x00", *KEYS])


def permission(key: bytes, end: bytes, kind: int = authpb.Permission.READ) -> authpb.Permission:
    return authpb.Permission(permType=kind, key=key, range_end=end)


def holds(granted: tuple[bytes, bytes], key: bytes) -> bool:
    start, end = granted
    if not end:
        return key == start
    return key >= start and (end == b"\x00" or key < end)


granted_ranges = st.lists(
    st.tuples(st.sampled_from(KEYS), ends).filter(lambda pair: valid_range(*pair)), max_size=6
)


@given(granted_ranges, st.sampled_from(KEYS))
def test_a_key_may_be_used_if_some_permission_holds_it(
    granted: list[tuple[bytes, bytes]], key: bytes
) -> None:
    ranges = Ranges(permission(*each) for each in granted)
    assert ranges.covers(key, b"") == any(holds(each, key) for each in granted)


def points(start: bytes, end: bytes) -> list[bytes]:
    """Keys of [start, end), and between any two of them the one right after the first."""
    inside = [key for key in KEYS if key >= start and (end == b"\x00" or key < end)]
    after = [key + b"\x00" for key in [start, *inside]]
    beyond = [b"\xff" * 9] if end == b"\x00" else []
    return [start, *inside, *(key for key in after if end == b"\x00" or key < end), *beyond]


@given(granted_ranges, st.sampled_from(KEYS), st.sampled_from([b"\x00", *KEYS]))
def test_a_range_may_be_used_if_all_of_it_may(
    granted: list[tuple[bytes, bytes]], key: bytes, end: bytes
) -> None:
    ranges = Ranges(permission(*each) for each in granted)
    allowed = ranges.covers(key, end)
    if end == b"\x00" or key < end:
        # Boundaries lie on KEYS and right after them, so these points stand for all keys of the range.
        assert allowed == all(any(holds(each, point) for each in granted) for point in points(key, end))
    else:
        assert allowed == any(holds(each, key) for each in granted)


def test_reading_and_writing_are_apart() -> None:
    ranges = UserRanges(
        [
            permission(b"r", b"", authpb.Permission.READ),
            permission(b"w", b"", authpb.Permission.WRITE),
            permission(b"x", b"z", authpb.Permission.READWRITE),
            permission(b"q", b"", 9),
        ]
    )
    assert [ranges.read.covers(key, b"") for key in (b"r", b"w", b"x", b"q")] == [True, False, True, False]
    assert [ranges.write.covers(key, b"") for key in (b"r", b"w", b"x", b"q")] == [False, True, True, False]


@pytest.mark.parametrize(
    ("key", "end", "valid"),
    [
        (b"", b"", False),
        (b"", b"z", False),
        (b"k", b"", True),
        (b"k", b"l", True),
        (b"k", b"k", False),
        (b"k", b"a", False),
        (b"k", b"\x00", True),
        (b"\x00", b"\x00", True),
    ],
)
def test_which_permissions_may_be_granted(key: bytes, end: bytes, valid: bool) -> None:
    assert valid_range(key, end) is valid
