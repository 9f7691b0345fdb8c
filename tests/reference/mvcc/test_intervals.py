"""The map from keys to the ranges that contain them, against looking at every range."""

from __future__ import annotations

from gauntlet.reference.mvcc.intervals import IntervalMap
from hypothesis import given
from hypothesis import strategies as st

bounds = st.tuples(st.binary(max_size=2), st.none() | st.binary(max_size=2))
steps = st.lists(st.tuples(bounds, st.integers(0, 2)), max_size=150)


def found(ranges: IntervalMap[int], key: bytes) -> list[int]:
    return sorted(member for members in ranges.containing(key) for member in members)


def expected(model: set[tuple[bytes, bytes | None, int]], key: bytes) -> list[int]:
    return sorted(member for start, end, member in model if start <= key and (end is None or key < end))


@given(steps, st.lists(st.binary(max_size=3), max_size=20))
def test_finds_what_a_scan_finds(
    done: list[tuple[tuple[bytes, bytes | None], int]], asked: list[bytes]
) -> None:
    ranges: IntervalMap[int] = IntervalMap()
    model: set[tuple[bytes, bytes | None, int]] = set()
    for number, ((start, end), member) in enumerate(done):
        # Whether a step adds or removes follows from what is there: every second visit removes.
        if (start, end, member) in model:
            model.remove((start, end, member))
            ranges.remove(start, end, member)
        else:
            model.add((start, end, member))
            ranges.add(start, end, member)
        if number % 10 == 0 and asked:
            key = asked[number // 10 % len(asked)]
            assert found(ranges, key) == expected(model, key)
    for key in asked:
        assert found(ranges, key) == expected(model, key)


def test_many_nested_and_disjoint_ranges() -> None:
    ranges: IntervalMap[int] = IntervalMap()
    model: set[tuple[bytes, bytes | None, int]] = set()
    for number in range(400):
        name = b"%03d" % number
        for start, end in ((name, None), (name, b"%03d" % (number + 1)), (b"%03d" % (number // 2), name)):
            model.add((start, end, number))
            ranges.add(start, end, number)
    for number in range(0, 400, 3):
        name = b"%03d" % number
        model.remove((name, None, number))
        ranges.remove(name, None, number)
    for number in range(-1, 401):
        key = b"%03d" % number
        assert found(ranges, key) == expected(model, key)
        assert found(ranges, key + b"x") == expected(model, key + b"x")
