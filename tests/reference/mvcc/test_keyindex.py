"""The key index: generations, reads at a revision, and what a compaction keeps."""

from __future__ import annotations

import pytest
from gauntlet.reference.mvcc import revision
from gauntlet.reference.mvcc.keyindex import KeyIndex

# A history is written as changes in order: a number is a put at that revision, a negative one a tombstone.
# Lives: 2..6, 8..9 (created and deleted again), 12 on.
LIVES = [2, 4, -6, 8, -9, 12, 15]


def index_of(changes: list[int], key: bytes = b"k") -> KeyIndex:
    index = KeyIndex()
    for change in changes:
        if change > 0:
            index.put(key, revision.key_of(change), change)
        else:
            assert index.tombstone(key, revision.tombstone_of(-change))
    return index


def at(index: KeyIndex, main: int) -> tuple[int, int, int] | None:
    """(mod revision, create revision, version) at a revision."""
    found, count = index.entries(b"k", b"", main, 0)
    assert count == len(found)
    if not found:
        return None
    return revision.main_of(found[0].revision), found[0].create_revision, found[0].version


def stored(index: KeyIndex) -> list[int]:
    """The revisions that the index still knows."""
    history = index.histories.get(b"k")
    if history is None:
        return []
    generations = [*history.past, *([history.live] if history.live else [])]
    return [revision.main_of(rev) for generation in generations for rev in generation.revisions]


@pytest.mark.parametrize(
    ("main", "expected"),
    [
        (1, None),
        (2, (2, 2, 1)),
        (3, (2, 2, 1)),
        (4, (4, 2, 2)),
        (5, (4, 2, 2)),
        (6, None),
        (7, None),
        (8, (8, 8, 1)),
        (9, None),
        (11, None),
        (12, (12, 12, 1)),
        (14, (12, 12, 1)),
        (15, (15, 12, 2)),
        (99, (15, 12, 2)),
    ],
)
def test_reads_at_a_revision(main: int, expected: tuple[int, int, int] | None) -> None:
    assert at(index_of(LIVES), main) == expected


COMPACTIONS = [
    # at, what stays in the index, what a hash at that revision counts at or before it
    (1, [2, 4, 6, 8, 9, 12, 15], None),
    (2, [2, 4, 6, 8, 9, 12, 15], 2),
    (3, [2, 4, 6, 8, 9, 12, 15], 2),
    (4, [4, 6, 8, 9, 12, 15], 4),
    (5, [4, 6, 8, 9, 12, 15], 4),
    (6, [6, 8, 9, 12, 15], None),
    (7, [8, 9, 12, 15], None),
    (8, [8, 9, 12, 15], 8),
    (9, [9, 12, 15], None),
    (10, [12, 15], None),
    (12, [12, 15], 12),
    (14, [12, 15], 12),
    (15, [15], 15),
    (20, [15], 15),
]


@pytest.mark.parametrize(("main", "left", "hashed"), COMPACTIONS)
def test_what_a_compaction_keeps(main: int, left: list[int], hashed: int | None) -> None:
    index = index_of(LIVES)
    before = {later: at(index, later) for later in range(main, 25)}
    kept = index.kept_for_hash(main)
    assert [revision.main_of(rev) for rev in kept] == ([] if hashed is None else [hashed])
    dropped = index.compact(b"k", main)
    assert stored(index) == left
    assert sorted(map(revision.main_of, dropped)) == [r for r in map(abs, LIVES) if r not in left]
    assert {later: at(index, later) for later in range(main, 25)} == before
    assert index.compact(b"k", main) == []


def test_a_key_without_generations_leaves_the_index() -> None:
    index = index_of([2, -3])
    assert index.live_keys(b"a", b"z") == []
    index.compact(b"k", 3)
    assert stored(index) == [3]  # a watch from 3 on still has to see the delete
    index.compact(b"k", 4)
    assert not index.histories
    index.put(b"k", revision.key_of(9), 9)
    assert at(index, 9) == (9, 9, 1)
    assert len(index) == 1


def test_a_delete_of_nothing_is_refused() -> None:
    index = index_of([2, -3])
    assert not index.tombstone(b"k", revision.tombstone_of(4))
    assert not index.tombstone(b"other", revision.tombstone_of(4))


def test_put_and_delete_in_one_revision() -> None:
    index = KeyIndex()
    index.put(b"k", revision.key_of(5, 0), 5)
    index.tombstone(b"k", revision.tombstone_of(5, 1))
    assert at(index, 5) is None
    index.put(b"k", revision.key_of(5, 2), 5)
    assert at(index, 5) == (5, 5, 1)
    index.compact(b"k", 5)
    assert at(index, 5) == (5, 5, 1)


def test_compacting_at_a_delete_and_put_of_one_revision_keeps_the_put() -> None:
    """Upstream 3.7.1 deletes the put from its database here, and crashes at the next read."""
    index = index_of([2])
    index.tombstone(b"k", revision.tombstone_of(3, 0))
    index.put(b"k", revision.key_of(3, 1), 3)
    assert index.compact(b"k", 3) == [revision.key_of(2)]
    assert at(index, 3) == (3, 3, 1)


def test_restoring_from_the_middle_of_a_generation() -> None:
    index = KeyIndex()
    changes = [
        (revision.key_of(10), b"k", 4, 7),
        (revision.tombstone_of(11), b"gone", 0, 0),
        (revision.key_of(12), b"k", 4, 8),
        (revision.tombstone_of(13), b"k", 0, 0),
        (revision.key_of(14), b"k", 14, 1),
    ]
    index.restore(changes)
    assert at(index, 10) == (10, 4, 7)
    assert at(index, 12) == (12, 4, 8)
    assert at(index, 13) is None
    assert at(index, 14) == (14, 14, 1)
    assert index.live_keys(b"\x00", b"\x00") == [b"k"]


@pytest.mark.parametrize(
    ("key", "end", "now", "then"),
    [
        (b"b", b"", [b"b"], [b"b"]),
        (b"c", b"", [], [b"c"]),
        (b"x", b"", [], []),
        (b"a", b"c", [b"a", b"b"], [b"a", b"b"]),
        (b"a", b"d", [b"a", b"b"], [b"a", b"b", b"c"]),
        (b"b", b"\x00", [b"b", b"d"], [b"b", b"c"]),
        (b"\x00", b"\x00", [b"a", b"b", b"d"], [b"a", b"b", b"c"]),
        (b"c", b"a", [], []),
        (b"b", b"b", [], []),
    ],
)
def test_ranges_now_and_then(key: bytes, end: bytes, now: list[bytes], then: list[bytes]) -> None:
    index = KeyIndex()
    for main, name in enumerate([b"a", b"b", b"c"], 2):
        index.put(name, revision.key_of(main), main)
    index.tombstone(b"c", revision.tombstone_of(5))
    index.put(b"d", revision.key_of(6), 6)
    assert index.live_keys(key, end) == now
    assert index.count(key, end) == len(now)
    assert [entry.key for entry in index.entries(key, end, None, 0)[0]] == now
    assert [entry.key for entry in index.entries(key, end, 6, 0)[0]] == now
    assert [entry.key for entry in index.entries(key, end, 4, 0)[0]] == then
    for limit in (1, 2):
        assert index.revisions(key, end, limit)[1] == len(now)
        assert len(index.revisions(key, end, limit)[0]) == min(limit, len(now))
        assert len(index.entries(key, end, None, limit)[0]) == min(limit, len(now))
        assert len(index.revisions_at(key, end, 4, limit)[0]) == min(limit, len(then))
        assert index.revisions_at(key, end, 4, limit)[1] == len(then)
