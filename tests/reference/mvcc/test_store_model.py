"""The store against a model that keeps a full copy of every revision."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from gauntlet.api import errors
from gauntlet.api.errors import RpcError
from gauntlet.api.messages import mvccpb
from gauntlet.reference.backend import KEY, META, MemoryBackend
from gauntlet.reference.mvcc import revision
from gauntlet.reference.mvcc.compaction import CompactionJob
from gauntlet.reference.mvcc.store import Store
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

KEYS = [b"a", b"aa", b"b", b"b\x00", b"c", b"\xff"]


class Pair(NamedTuple):
    created: int
    modified: int
    version: int
    value: bytes
    lease: int


State = dict[bytes, Pair]


def within(key: bytes, start: bytes, end: bytes) -> bool:
    if not end:
        return key == start
    return key >= start and (end == b"\x00" or key < end)


def as_pair(kv: mvccpb.KeyValue) -> Pair:
    return Pair(kv.create_revision, kv.mod_revision, kv.version, kv.value, kv.lease)


def copy_of(store: Store) -> Store:
    backend = MemoryBackend()
    backend.load(store.backend.dump(store.backend.freeze()))
    return Store(backend)


def finish(store: Store) -> None:
    while store.compactions:
        store.compactions[0].step(3)


keys = st.sampled_from(KEYS)
ends = st.sampled_from([b"", b"", b"\x00", *KEYS, b"d"])
values = st.sampled_from([b"", b"1", b"22"])
puts = st.tuples(st.just("put"), keys, values, st.sampled_from([0, 0, 7]))
deletes = st.tuples(st.just("delete"), keys, ends, st.just(0))


class StoreMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.store = Store(MemoryBackend())
        self.states: list[State] = [{}, {}]  # by revision; the store begins at 1
        self.events: dict[int, list[tuple[str, bytes]]] = {}  # by revision
        self.compacted = -1

    @property
    def current(self) -> int:
        return len(self.states) - 1

    @rule(changes=st.lists(puts | deletes, min_size=1, max_size=4))
    def write(self, changes: list[tuple[str, bytes, bytes, int]]) -> None:
        main = self.current + 1
        state = dict(self.states[-1])
        told: list[tuple[str, bytes]] = []
        change = self.store.write()
        for kind, key, other, lease in changes:
            if kind == "put":
                old = state.get(key)
                state[key] = Pair(
                    old.created if old else main, main, old.version + 1 if old else 1, other, lease
                )
                assert change.put(key, other, lease) == main
                told.append(("put", key))
            else:
                gone = sorted(name for name in state if within(name, key, other))
                assert change.delete_range(key, other) == len(gone)
                for name in gone:
                    del state[name]
                    told.append(("delete", name))
            assert change.current_revision == (main if told else main - 1)
            # A transaction reads what it has written so far.
            seen = change.range(b"\x00", b"\x00")
            assert {kv.key: as_pair(kv) for kv in seen.kvs} == state
            assert seen.revision == change.current_revision
        events = change.end()
        names = {mvccpb.Event.PUT: "put", mvccpb.Event.DELETE: "delete"}
        assert [(names[event.type], event.kv.key) for event in events] == told
        assert all(event.kv.mod_revision == main for event in events)
        if told:
            self.states.append(state)
            self.events[main] = told

    @rule(start=keys, end=ends, data=st.data(), limit=st.integers(-1, 4))
    def read(self, start: bytes, end: bytes, data: st.DataObject, limit: int) -> None:
        at = data.draw(st.integers(-1, self.current + 1))
        if at > self.current:
            self.refused(errors.FUTURE_REV, start, end, at)
            return
        if 0 < at < self.compacted:
            self.refused(errors.COMPACTED, start, end, at)
            return
        state = self.states[at if at > 0 else -1]
        expected = [(key, state[key]) for key in sorted(state) if within(key, start, end)]
        result = self.store.range(start, end, at, limit)
        limited = expected[:limit] if limit > 0 else expected
        assert [(kv.key, as_pair(kv)) for kv in result.kvs] == limited
        assert (result.count, result.revision) == (len(expected), self.current)
        assert self.store.range(start, end, at, 0, count_only=True).count == len(expected)
        found, count = self.store.keys(start, end, at, limit)
        assert count == len(expected)
        assert [
            (entry.key, entry.create_revision, revision.main_of(entry.revision), entry.version)
            for entry in found
        ] == [(key, pair.created, pair.modified, pair.version) for key, pair in limited]

    def refused(self, error: RpcError, start: bytes, end: bytes, at: int) -> None:
        with pytest.raises(RpcError) as refusal:
            self.store.range(start, end, at)
        assert refusal.value == error
        with pytest.raises(RpcError) as refusal:
            self.store.keys(start, end, at)
        assert refusal.value == error

    @rule(data=st.data())
    def compact(self, data: st.DataObject) -> None:
        at = data.draw(st.integers(-1, self.current + 1))
        if at <= self.compacted or at > self.current:
            with pytest.raises(RpcError) as refusal:
                self.store.compact(at)
            assert refusal.value == (errors.COMPACTED if at <= self.compacted else errors.FUTURE_REV)
            return
        self.store.compact(at)
        self.compacted = at

    @precondition(lambda self: self.store.compactions)
    @rule(limit=st.integers(1, 8))
    def step(self, limit: int) -> None:
        last = self.store.compactions[-1]
        last.step(limit)
        assert last.done == (not self.store.compactions)

    @rule()
    def restart(self) -> None:
        """A restart in the middle of anything: what was there stays, an open compaction is taken up."""
        before = self.store.hash()
        if self.store.compactions and self.compacted == 0:
            self.compacted = -1  # nothing is before revision 0, so upstream does not take that up again
        self.store = copy_of(self.store)
        assert self.store.hash() == before
        if self.store.compactions:
            assert self.store.compactions[0].revision == self.compacted
        finish(self.store)

    @invariant()
    def revisions_agree(self) -> None:
        assert self.store.current_revision == self.current
        assert self.store.compact_revision == self.compacted

    @invariant()
    def the_present_agrees(self) -> None:
        state = self.states[-1]
        kvs = self.store.range(b"\x00", b"\x00").kvs
        assert [(kv.key, as_pair(kv)) for kv in kvs] == sorted(state.items())
        leased = [(key, state[key].lease) for key in sorted(state) if state[key].lease]
        assert list(self.store.attachments()) == leased

    def teardown(self) -> None:
        finish(self.store)
        twin = copy_of(self.store)
        for at in range(max(self.compacted, 1), self.current + 1):
            assert twin.range(b"\x00", b"\x00", at).encoded == self.store.range(b"\x00", b"\x00", at).encoded
            if at > self.compacted:  # at the compaction itself the store has the hash that the job left
                assert twin.hash_kv(at) == self.store.hash_kv(at)
        self.every_event_can_be_read()

    def every_event_can_be_read(self) -> None:
        first = max(self.compacted, 1) + 1
        found: dict[int, list[tuple[str, bytes]]] = {}
        while first <= self.current:
            events, following = self.store.changes(first, 2)
            assert following > first
            for event in events:
                assert first <= event.kv.mod_revision < following
                kind = "put" if event.type == mvccpb.Event.PUT else "delete"
                found.setdefault(event.kv.mod_revision, []).append((kind, event.kv.key))
            first = following
        assert found == {main: told for main, told in self.events.items() if main > self.compacted}


StoreMachine.TestCase.settings = settings(max_examples=12, stateful_step_count=30, deadline=None)
TestStore = StoreMachine.TestCase


@pytest.mark.slow
def test_store_for_long() -> None:
    run_state_machine_as_test(
        StoreMachine, settings=settings(max_examples=300, stateful_step_count=50, deadline=None)
    )


def history(store: Store, count: int) -> None:
    for number in range(count):
        change = store.write()
        change.put(b"k%d" % (number % 7), b"v%d" % number)
        if number % 5 == 4:
            change.delete_range(b"k%d" % (number % 3), b"")
        change.end()


def test_hashes_do_not_show_whether_space_has_been_freed_yet() -> None:
    store, twin = Store(MemoryBackend()), Store(MemoryBackend())
    for each in (store, twin):
        history(each, 60)
        each.compact(30)
    finish(store)
    assert store.backend.count(KEY) < twin.backend.count(KEY)
    for at in range(31, store.current_revision + 1):
        assert store.hash_kv(at) == twin.hash_kv(at)


def test_a_compaction_leaves_the_hash_from_before_it() -> None:
    store, uncompacted = Store(MemoryBackend()), Store(MemoryBackend())
    for each in (store, uncompacted):
        history(each, 60)
    before = uncompacted.hash_kv(30)
    store.compact(30)
    finish(store)
    assert store.hash_kv(30) == before
    assert before.compact_revision == -1
    assert store.hash_kv(31).compact_revision == 30
    assert [stored.revision for stored in store.hashes.all()] == [30]
    assert copy_of(store).hashes.all() == []


def test_ten_hashes_are_kept() -> None:
    store = Store(MemoryBackend())
    history(store, 60)
    for at in range(2, 40, 2):
        store.compact(at)
        finish(store)
    assert [stored.revision for stored in store.hashes.all()] == list(range(20, 40, 2))


def test_no_hash_of_a_compaction_asked_for_while_another_ran() -> None:
    store = Store(MemoryBackend())
    history(store, 60)
    store.compact(20)
    second = store.compact(40)
    while not second.step(5):
        pass
    assert not store.compactions
    assert [stored.revision for stored in store.hashes.all()] == [20]


def test_hash_refuses_what_cannot_be_known() -> None:
    store = Store(MemoryBackend())
    history(store, 60)
    store.compact(30)
    for at, error in ((29, errors.COMPACTED), (store.current_revision + 1, errors.FUTURE_REV)):
        with pytest.raises(RpcError) as refusal:
            store.hash_kv(at)
        assert refusal.value == error


def test_different_histories_have_different_hashes() -> None:
    one, other = Store(MemoryBackend()), Store(MemoryBackend())
    for store, value in ((one, b"1"), (other, b"2")):
        change = store.write()
        change.put(b"a", value)
        change.end()
    assert one.hash_kv().hash != other.hash_kv().hash
    assert one.hash() != other.hash()


def test_the_log_position_is_no_part_of_the_whole_hash() -> None:
    store = Store(MemoryBackend())
    before = store.hash()
    store.backend.put(META, b"consistent_index", b"\x00" * 8)
    store.backend.put(META, b"term", b"\x00" * 8)
    assert store.hash() == before
    store.backend.put(META, b"confState", b"{}")
    assert store.hash() != before


def test_the_revision_survives_when_its_change_was_compacted_away() -> None:
    """The newest change is a tombstone; freed space must not make the revision go back."""
    store = Store(MemoryBackend())
    for step in range(3):
        change = store.write()
        change.put(b"k", b"%d" % step)
        change.end()
    change = store.write()
    change.delete_range(b"k", b"")
    change.end()
    store.compact(5)
    for rev, _ in store.backend.range(KEY, b"", b""):
        store.backend.delete(KEY, rev)
    assert copy_of(store).current_revision == 5


def test_replacing_the_store_ends_its_compactions() -> None:
    store = Store(MemoryBackend())
    history(store, 60)
    image = list(store.backend.dump(store.backend.freeze()))
    job: CompactionJob = store.compact(30)
    job.step(2)
    store.backend.load(image)
    store.restore()
    assert store.compact_revision == -1
    assert job.done
    assert job.step(2)
    assert not store.compactions


def test_a_step_is_bounded() -> None:
    store = Store(MemoryBackend())
    history(store, 500)
    job = store.compact(400)
    before = store.backend.count(KEY)
    steps = 1
    while not job.step(10):
        steps += 1
    assert steps >= 400 // 10
    assert job.deleted == before - store.backend.count(KEY) > 400
