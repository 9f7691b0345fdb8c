"""The backend: order, ranges, frozen copies, and dumps that are whole or refused."""

from __future__ import annotations

import pytest
from gauntlet.reference.backend import (
    BUCKETS,
    KEY,
    LEASE,
    META,
    Backend,
    CorruptDumpError,
    MemoryBackend,
    dump,
)
from hypothesis import given
from hypothesis import strategies as st


def filled(pairs: dict[bytes, bytes]) -> MemoryBackend:
    backend = MemoryBackend()
    for key, value in pairs.items():
        backend.put(KEY, key, value)
    return backend


def contents(backend: Backend) -> dict[str, list[tuple[bytes, bytes]]]:
    return {name: backend.range(name, b"", b"") for name in BUCKETS}


small_keys = st.binary(max_size=3)
steps = st.lists(
    st.tuples(st.sampled_from(["put", "put", "delete", "defragment"]), small_keys, st.binary(max_size=4)),
    max_size=300,
)


@given(steps, small_keys, small_keys, st.integers(0, 5))
def test_behaves_like_a_sorted_dictionary(
    done: list[tuple[str, bytes, bytes]], start: bytes, end: bytes, limit: int
) -> None:
    backend = MemoryBackend()
    model: dict[bytes, bytes] = {}
    for step, key, value in done:
        if step == "put":
            backend.put(KEY, key, value)
            model[key] = value
        elif step == "delete":
            backend.delete(KEY, key)
            model.pop(key, None)
        else:
            backend.defragment()
    expected = sorted((k, v) for k, v in model.items() if k >= start and (not end or k < end))
    assert backend.range(KEY, start, end) == expected
    assert backend.range(KEY, start, end, limit) == (expected[:limit] if limit else expected)
    assert backend.count(KEY) == len(model)
    assert all(backend.get(KEY, key) == model.get(key) for _, key, _ in done)
    assert (backend.size() == 0) == (not model)


def test_many_deletes_keep_the_order() -> None:
    backend = filled({b"%05d" % number: b"v" for number in range(2000)})
    for number in range(0, 2000, 2):
        backend.delete(KEY, b"%05d" % number)
    for number in range(3, 2000, 4):
        backend.delete(KEY, b"%05d" % number)
    backend.put(KEY, b"00002", b"again")
    left = sorted([*range(1, 2000, 4), 2])
    assert [int(key) for key, _ in backend.range(KEY, b"", b"")] == left
    assert [int(key) for key, _ in backend.range(KEY, b"00002", b"", 3)] == [2, 5, 9]


def test_size_follows_what_is_stored() -> None:
    backend = filled({b"a": b"1234"})
    one = backend.size()
    backend.put(KEY, b"a", b"12345678")
    assert backend.size() == one + 4
    backend.put(LEASE, b"b", b"")
    backend.delete(KEY, b"a")
    backend.delete(KEY, b"a")
    backend.delete(LEASE, b"b")
    assert backend.size() == 0


def test_a_frozen_copy_does_not_see_later_writes() -> None:
    backend = filled({b"a": b"1", b"b": b"2"})
    frozen = backend.freeze()
    backend.put(KEY, b"a", b"changed")
    backend.delete(KEY, b"b")
    backend.put(META, b"c", b"new")
    copy = MemoryBackend()
    copy.load(backend.dump(frozen))
    assert contents(copy) == contents(filled({b"a": b"1", b"b": b"2"}))


@given(
    st.dictionaries(
        st.sampled_from(BUCKETS), st.dictionaries(st.binary(max_size=20), st.binary(max_size=40), max_size=20)
    ),
    st.integers(1, 50),
)
def test_a_dump_loads_however_it_is_cut(buckets: dict[str, dict[bytes, bytes]], piece: int) -> None:
    backend = MemoryBackend()
    for name, pairs in buckets.items():
        for key, value in pairs.items():
            backend.put(name, key, value)
    whole = b"".join(dump(backend.freeze()))
    assert len(whole) % 512 == 0
    copy = filled({b"old": b"gone after the load"})
    copy.load(whole[at : at + piece] for at in range(0, len(whole), piece))
    assert contents(copy) == contents(backend)
    assert copy.size() == backend.size()


def test_a_large_dump_has_several_frames() -> None:
    backend = filled({b"%06d" % number: b"v" * 1000 for number in range(1000)})
    chunks = list(backend.dump(backend.freeze()))
    assert max(map(len, chunks)) < 300_000
    copy = MemoryBackend()
    copy.load(chunks)
    assert contents(copy) == contents(backend)


def test_every_damage_is_refused_and_changes_nothing() -> None:
    backend = filled({b"a": b"1", b"b": b"2"})
    backend.put(META, b"m", b"3")
    whole = b"".join(backend.dump(backend.freeze()))
    target = filled({b"kept": b"yes"})
    damaged = [whole[:length] for length in range(len(whole))]
    damaged += [whole[:at] + bytes([whole[at] ^ 0x41]) + whole[at + 1 :] for at in range(len(whole))]
    damaged += [whole + b"x", whole + whole, b""]
    for data in damaged:
        with pytest.raises(CorruptDumpError):
            target.load([data])
    assert contents(target) == contents(filled({b"kept": b"yes"}))


@given(
    st.dictionaries(
        st.sampled_from(BUCKETS), st.lists(st.tuples(st.integers(1, 400_000), st.integers(1, 3)))
    ),
)
def test_the_size_of_a_dump_is_known_before(sizes: dict[str, list[tuple[int, int]]]) -> None:
    backend = MemoryBackend()
    for bucket, values in sizes.items():
        for number, (size, times) in enumerate(values):
            for part in range(times):
                backend.put(bucket, b"%d.%d" % (number, part), bytes(size))
    frozen = backend.freeze()
    image = b"".join(dump(frozen))
    assert len(image) == frozen.dump_size
    assert len(image) % 512 == 0
    copy = MemoryBackend()
    copy.load([image])
    assert copy.size() == backend.size()
    assert copy.freeze() == frozen
