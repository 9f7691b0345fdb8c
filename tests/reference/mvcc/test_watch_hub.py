"""Watches: order, whole revisions, compaction, slow watchers, filters, previous values, progress."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from gauntlet.api.messages import mvccpb
from gauntlet.reference.backend import MemoryBackend
from gauntlet.reference.mvcc.store import Store
from gauntlet.reference.mvcc.watch import EmptyWatchRangeError, State, Watcher, WatchHub
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

Seen = tuple[str, bytes, int]


def short(event: mvccpb.Event) -> Seen:
    return "put" if event.type == mvccpb.Event.PUT else "delete", event.kv.key, event.kv.mod_revision


class Client:
    """A sink that remembers what it got, and can be full."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, list[mvccpb.Event]]] = []
        self.full = False
        self.refused = 0
        self.compacted = 0

    def __call__(self, watcher: Watcher, revision: int, events: list[mvccpb.Event]) -> bool:
        if self.full:
            self.refused += 1
            return False
        if events:
            self.batches.append((revision, events))
        else:
            assert not self.compacted
            self.compacted = watcher.compact_revision
        return True

    @property
    def seen(self) -> list[Seen]:
        return [short(event) for _, events in self.batches for event in events]

    @property
    def revisions(self) -> list[int]:
        return [seen[2] for seen in self.seen]


class World:
    def __init__(self) -> None:
        self.store = Store(MemoryBackend())
        self.hub = WatchHub(self.store)

    def commit(self, *changes: tuple[str, bytes] | tuple[str, bytes, bytes]) -> int:
        change = self.store.write()
        for kind, key, *rest in changes:
            if kind == "put":
                change.put(key, rest[0] if rest else b"v%d" % self.store.current_revision)
            else:
                change.delete_range(key, rest[0] if rest else b"")
        events = change.end()
        self.hub.notify(self.store.current_revision, events)
        return self.store.current_revision

    def put(self, *keys: bytes) -> int:
        return self.commit(*(("put", key) for key in keys))

    def compact(self, at: int) -> None:
        job = self.store.compact(at)
        while not job.step():
            pass

    def catch_up(self, limit: int = 1000) -> int:
        turns = 1
        while self.hub.sync(limit):
            turns += 1
            assert turns < 10_000
        return turns


@pytest.fixture
def world() -> World:
    return World()


def state_of(watcher: Watcher) -> State:
    return watcher.state


def watch_all(world: World, client: Client, start: int = 0, **options: bool) -> Watcher:
    return world.hub.watch(b"\x00", b"\x00", start, client, **options)


RANGES = [
    # key, end, and which of the keys below it sees
    (b"b", b"", [b"b"]),
    (b"b", b"d", [b"b", b"bb", b"c"]),
    (b"b", b"b\x00", [b"b"]),
    (b"bb", b"\x00", [b"bb", b"c", b"d"]),
    (b"\x00", b"\x00", [b"a", b"b", b"bb", b"c", b"d"]),
    (b"x", b"", []),
]


@pytest.mark.parametrize(("key", "end", "expected"), RANGES)
def test_ranges_are_the_same_now_and_in_the_past(
    world: World, key: bytes, end: bytes, expected: list[bytes]
) -> None:
    live, late = Client(), Client()
    world.hub.watch(key, end, 0, live)
    for name in (b"a", b"b", b"bb", b"c", b"d"):
        world.put(name)
    world.hub.watch(key, end, 2, late)
    world.catch_up()
    assert [seen[1] for seen in live.seen] == expected
    assert late.seen == live.seen


@pytest.mark.parametrize(("key", "end"), [(b"b", b"a"), (b"b", b"b"), (b"b\x00", b"b")])
def test_an_empty_range_is_refused(world: World, key: bytes, end: bytes) -> None:
    with pytest.raises(EmptyWatchRangeError, match="mvcc: watcher range is empty"):
        world.hub.watch(key, end, 0, Client())
    assert len(world.hub) == 0


def test_nothing_is_delivered_before_watch_returns(world: World) -> None:
    world.put(b"a")
    client = Client()
    watcher = watch_all(world, client, start=1)
    assert client.batches == []
    assert state_of(watcher) is State.UNSYNCED
    world.catch_up()
    assert client.revisions == [2]
    assert state_of(watcher) is State.SYNCED


def test_a_revision_is_delivered_whole_and_in_order(world: World) -> None:
    live, late = Client(), Client()
    watch_all(world, live)
    world.commit(("put", b"b"), ("put", b"a"), ("put", b"c"))
    world.commit(("delete", b"a", b"c"), ("put", b"z"))
    watch_all(world, late, start=1)
    assert world.catch_up(1) > 1
    expected = [
        [("put", b"b", 2), ("put", b"a", 2), ("put", b"c", 2)],
        [("delete", b"a", 3), ("delete", b"b", 3), ("put", b"z", 3)],
    ]
    for client in (live, late):
        assert [[short(event) for event in events] for _, events in client.batches] == expected
    assert [revision for revision, _ in live.batches] == [2, 3]
    assert [revision for revision, _ in late.batches] == [3, 3]  # the store's revision, as upstream sends it


def test_a_start_in_the_future_waits(world: World) -> None:
    client = Client()
    watcher = watch_all(world, client, start=4)
    assert state_of(watcher) is State.SYNCED
    for _ in range(4):
        world.put(b"a")
    assert client.revisions == [4, 5]


def test_from_past_to_present_without_gap_or_repetition(world: World) -> None:
    for _ in range(20):
        world.put(b"a")
    client = Client()
    watch_all(world, client, start=5)
    while world.hub.sync(3):
        world.put(b"a")
    world.put(b"a")
    assert client.revisions == list(range(5, world.store.current_revision + 1))


FILTERS = [
    ({"no_put": True}, [("delete", b"a", 3), ("delete", b"b", 4)]),
    ({"no_delete": True}, [("put", b"a", 2), ("put", b"b", 2), ("put", b"c", 4)]),
    ({"no_put": True, "no_delete": True}, []),
]


@pytest.mark.parametrize(("options", "expected"), FILTERS)
def test_filters(world: World, options: dict[str, bool], expected: list[Seen]) -> None:
    live, late = Client(), Client()
    watcher = watch_all(world, live, **options)
    world.put(b"a", b"b")
    world.commit(("delete", b"a"))
    world.commit(("delete", b"b"), ("put", b"c"))
    behind = watch_all(world, late, start=1, **options)
    world.catch_up(2)
    assert live.seen == late.seen == expected
    assert all(events for _, events in live.batches + late.batches)  # nothing is sent when all is hidden
    assert watcher.state is behind.state is State.SYNCED


def test_previous_values(world: World) -> None:
    live, late, plain = Client(), Client(), Client()
    watch_all(world, live, prev_kv=True)
    watch_all(world, plain)
    world.commit(("put", b"a", b"1"))
    world.commit(("put", b"a", b"2"), ("put", b"b", b"3"))
    world.commit(("delete", b"\x00", b"\x00"))
    world.commit(("put", b"a", b"4"))
    watch_all(world, late, start=1, prev_kv=True)
    world.catch_up()
    for client in (live, late):
        events = [event for _, events in client.batches for event in events]
        before = [
            (event.prev_kv.value, event.prev_kv.mod_revision) if event.HasField("prev_kv") else None
            for event in events
        ]
        assert before == [None, (b"1", 2), None, (b"2", 3), (b"3", 3), None]
    assert not any(event.HasField("prev_kv") for _, events in plain.batches for event in events)


def test_no_previous_value_from_before_a_compaction(world: World) -> None:
    for _ in range(3):
        world.put(b"a")
    world.compact(3)
    client = Client()
    watch_all(world, client, start=3, prev_kv=True)
    world.catch_up()
    events = [event for _, events in client.batches for event in events]
    assert [(event.kv.mod_revision, event.HasField("prev_kv")) for event in events] == [(3, False), (4, True)]


def test_watching_from_before_a_compaction_ends(world: World) -> None:
    for _ in range(6):
        world.put(b"a")
    world.compact(5)
    lost, kept = Client(), Client()
    watcher = watch_all(world, lost, start=4)
    watch_all(world, kept, start=5)
    world.catch_up()
    assert (lost.compacted, lost.seen, watcher.state) == (5, [], State.ENDED)
    assert kept.revisions == [5, 6, 7]
    world.put(b"a")
    assert lost.seen == []
    assert len(world.hub) == 1


def test_a_delete_at_the_compaction_revision_is_still_seen(world: World) -> None:
    world.put(b"a")
    world.commit(("delete", b"a"))
    world.compact(3)
    client = Client()
    watch_all(world, client, start=3)
    world.catch_up()
    assert client.seen == [("delete", b"a", 3)]


def test_a_compaction_overtakes_a_watcher_that_is_behind(world: World) -> None:
    for _ in range(10):
        world.put(b"a")
    client = Client()
    watch_all(world, client, start=2)
    world.hub.sync(3)
    world.compact(8)
    world.catch_up()
    assert client.revisions == [2, 3, 4]
    assert client.compacted == 8


def test_a_full_sink_is_told_of_the_compaction_later(world: World) -> None:
    for _ in range(5):
        world.put(b"a")
    world.compact(5)
    client = Client()
    client.full = True
    watcher = watch_all(world, client, start=2)
    assert not world.hub.sync()
    assert (watcher.state, world.hub.blocked) == (State.BLOCKED, 1)
    client.full = False
    world.hub.sync()
    assert (client.compacted, watcher.state, len(world.hub)) == (5, State.ENDED, 0)


def test_a_slow_watcher_resumes_and_holds_nobody_up(world: World) -> None:
    slow, quick = Client(), Client()
    watcher = watch_all(world, slow)
    watch_all(world, quick)
    world.put(b"a")
    slow.full = True
    for _ in range(5):
        world.put(b"a", b"b")
    assert quick.revisions == [2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7]
    assert slow.refused == 1  # it is not asked again at every commit
    assert state_of(watcher) is State.BLOCKED
    assert not world.hub.sync()
    assert slow.refused == 2
    slow.full = False
    world.catch_up(2)
    assert slow.seen == quick.seen
    assert state_of(watcher) is State.SYNCED
    world.put(b"a")
    assert slow.seen == quick.seen


def test_what_a_full_sink_refused_survives_a_compaction(world: World) -> None:
    client = Client()
    watch_all(world, client)
    client.full = True
    world.put(b"a")
    world.compact(world.put(b"b"))
    client.full = False
    world.catch_up()
    assert client.seen == [("put", b"a", 2), ("put", b"b", 3)]
    assert client.compacted == 0


def test_a_sink_that_fills_up_while_catching_up(world: World) -> None:
    for _ in range(10):
        world.put(b"a")
    client = Client()
    watcher = watch_all(world, client, start=2)
    world.hub.sync(4)
    client.full = True
    world.hub.sync(4)
    assert state_of(watcher) is State.BLOCKED
    client.full = False
    world.catch_up(4)
    assert client.revisions == list(range(2, 12))


def test_watchers_far_apart_take_turns(world: World) -> None:
    for _ in range(100):
        world.put(b"a")
    far, near = Client(), Client()
    watch_all(world, far, start=2)
    watch_all(world, near, start=95)
    world.hub.sync(10)
    world.hub.sync(10)
    assert near.revisions == list(range(95, 102))
    assert far.revisions == list(range(2, 12))
    world.catch_up(10)
    assert far.revisions == list(range(2, 102))


def test_cancelled_watchers_hear_nothing_more(world: World) -> None:
    clients = [Client() for _ in range(3)]
    world.put(b"a")
    synced, unsynced, blocked = (watch_all(world, c, s) for c, s in zip(clients, (0, 1, 0), strict=True))
    clients[2].full = True
    world.put(b"a")
    clients[2].full = False
    assert [w.state for w in (synced, unsynced, blocked)] == [State.SYNCED, State.UNSYNCED, State.BLOCKED]
    before = [client.seen for client in clients]
    for watcher in (synced, unsynced, blocked, synced):
        world.hub.cancel(watcher)
    world.put(b"a")
    world.catch_up()
    assert [client.seen for client in clients] == before
    assert len(world.hub) == 0


@pytest.mark.parametrize("changes", [1, 2])
def test_a_sink_may_cancel_others(world: World, changes: int) -> None:
    others = [Client() for _ in range(4)]
    watchers: list[Watcher] = []

    def closing(watcher: Watcher, revision: int, events: list[mvccpb.Event]) -> bool:
        for each in watchers:
            world.hub.cancel(each)
        return False

    watchers.append(world.hub.watch(b"a", b"", 0, closing))
    watchers.extend(world.hub.watch(b"a", b"", 0, other) for other in others)
    world.put(*[b"a", b"b"][:changes])
    world.put(b"a")
    world.catch_up()
    assert all(other.seen == [] for other in others)
    assert (len(world.hub), world.hub.blocked) == (0, 0)


def test_watchers_of_the_same_share_one_list(world: World) -> None:
    clients = [Client() for _ in range(3)]
    for client in clients:
        world.hub.watch(b"a", b"", 0, client)
    world.put(b"a")
    world.put(b"a", b"b")
    for place in (0, 1):
        assert len({id(client.batches[place][1]) for client in clients}) == 1


def test_delivery_is_in_the_order_of_the_watches(world: World) -> None:
    order: list[int] = []

    def sink_of(number: int) -> Callable[[Watcher, int, list[mvccpb.Event]], bool]:
        def sink(watcher: Watcher, revision: int, events: list[mvccpb.Event]) -> bool:
            order.append(number)
            return True

        return sink

    for number in range(50):
        world.hub.watch(b"a", b"", 0, sink_of(number))
    world.put(b"a")
    assert order == list(range(50))


# Progress.


def test_progress_only_of_synced_watchers(world: World) -> None:
    assert world.hub.progress_revision([]) is None
    world.put(b"a")
    client, slow = Client(), Client()
    synced = watch_all(world, client)
    assert world.hub.progress_revision([synced]) == 2
    behind = watch_all(world, Client(), start=1)
    assert world.hub.progress_revision([synced, behind]) is None
    world.catch_up()
    assert world.hub.progress_revision([synced, behind]) == 2
    stuck = watch_all(world, slow)
    slow.full = True
    world.put(b"b")
    assert world.hub.progress_revision([stuck]) is None
    assert world.hub.progress_revision([synced, stuck]) is None
    assert world.hub.progress_revision([synced]) == 3
    world.hub.cancel(synced)
    assert world.hub.progress_revision([synced]) is None


def test_no_progress_for_a_watch_whose_start_has_not_come(world: World) -> None:
    watcher = watch_all(world, Client(), start=4)
    assert world.hub.progress_revision([watcher]) is None
    for _ in range(3):
        world.put(b"a")
    assert world.hub.progress_revision([watcher]) == 4


def test_no_progress_between_a_commit_and_its_notification(world: World) -> None:
    watcher = watch_all(world, Client())
    change = world.store.write()
    change.put(b"a", b"1")
    events = change.end()
    assert world.hub.progress_revision([watcher]) is None
    world.hub.notify(world.store.current_revision, events)
    assert world.hub.progress_revision([watcher]) == 2


# A store replaced by a snapshot.


def replace(world: World, source: World) -> None:
    world.store.backend.load(source.store.backend.dump(source.store.backend.freeze()))
    world.store.restore()
    world.hub.restored()


def test_watchers_go_on_after_the_store_was_replaced(world: World) -> None:
    leader = World()
    for each in (world, leader):
        each.put(b"a")
    idle, future, blocked = Client(), Client(), Client()
    watch_all(world, idle)
    watch_all(world, future, start=6)
    watch_all(world, blocked)
    blocked.full = True
    for each in (world, leader):
        each.put(b"a")
    for _ in range(5):
        leader.put(b"a")
    replace(world, leader)
    blocked.full = False
    world.catch_up()
    world.put(b"a")
    assert idle.revisions == list(range(3, 10))
    assert future.revisions == list(range(6, 10))
    assert blocked.revisions == list(range(3, 10))


def test_an_idle_watcher_is_not_lost_to_a_compaction_it_had_passed(world: World) -> None:
    leader = World()
    for each in (world, leader):
        each.put(b"other")
    idle = Client()
    world.hub.watch(b"mine", b"", 0, idle)
    for each in (world, leader):
        for _ in range(10):
            each.put(b"other")
    leader.compact(12)
    leader.put(b"mine")
    replace(world, leader)
    world.catch_up()
    assert idle.compacted == 0
    assert idle.revisions == [13]


# All of it together.


class HubMachine(RuleBasedStateMachine):
    """Random commits, watches, jams and compactions; every watcher must have got a prefix of what it is due,
    all of it when synced."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.log: list[Seen] = []
        self.watches: list[tuple[Watcher, Client, int]] = []

    @rule(changes=st.lists(st.tuples(st.sampled_from(["put", "delete"]), st.binary(max_size=1)), max_size=4))
    def commit(self, changes: list[tuple[str, bytes]]) -> None:
        change = self.world.store.write()
        for kind, name in changes:
            if kind == "put":
                change.put(b"k" + name, b"v")
            else:
                change.delete_range(b"k" + name, b"")
        events = change.end()
        self.log.extend(map(short, events))
        self.world.hub.notify(self.world.store.current_revision, events)

    @rule(start=st.integers(0, 40), end=st.sampled_from([b"", b"\x00", b"k\x80"]), name=st.binary(max_size=1))
    def watch(self, start: int, end: bytes, name: bytes) -> None:
        key = b"k" + name if b"k" + name < end or len(end) < 2 else b"k"
        client = Client()
        first = start or self.world.store.current_revision + 1
        self.watches.append((self.world.hub.watch(key, end, start, client), client, first))

    @rule(data=st.data())
    def jam(self, data: st.DataObject) -> None:
        if self.watches:
            _, client, _ = data.draw(st.sampled_from(self.watches))
            client.full = not client.full

    @rule(limit=st.integers(1, 10))
    def sync(self, limit: int) -> None:
        self.world.hub.sync(limit)

    @rule(back=st.integers(0, 5))
    def compact(self, back: int) -> None:
        at = self.world.store.current_revision - back
        if at > self.world.store.compact_revision:
            self.world.compact(at)

    def due(self, watcher: Watcher, first: int) -> list[Seen]:
        def concerns(key: bytes) -> bool:
            if not watcher.end:
                return key == watcher.key
            return key >= watcher.key and (watcher.end == b"\x00" or key < watcher.end)

        return [seen for seen in self.log if seen[2] >= first and concerns(seen[1])]

    @invariant()
    def everybody_has_a_prefix(self) -> None:
        for watcher, client, first in self.watches:
            due = self.due(watcher, first)
            if watcher.compact_revision:
                due = [seen for seen in due if seen[2] < watcher.compact_revision]
            seen = client.seen
            if first <= self.world.store.compact_revision:
                # Compacted revisions may have lost some changes before they were read, but nothing later.
                # A key may be put twice in a revision, and a compaction keeps the last of its changes.
                left = iter(due)
                assert all(each in left for each in seen)
                continue
            assert seen == due[: len(seen)]
            assert len(seen) == len(due) or due[len(seen)][2] > (seen[-1][2] if seen else 0)
            if watcher.state is State.SYNCED:
                assert seen == due

    def teardown(self) -> None:
        for _, client, _ in self.watches:
            client.full = False
        self.world.catch_up(3)
        self.everybody_has_a_prefix()
        assert all(watcher.state in (State.SYNCED, State.ENDED) for watcher, _, _ in self.watches)


HubMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestHub = HubMachine.TestCase


def test_ten_thousand_watchers_cost_a_commit_only_what_it_concerns(world: World) -> None:
    """Counted in calls, not in time: neither exact nor range watchers are all visited."""
    client = Client()
    for number in range(10_000):
        world.hub.watch(b"key/%05d" % number, b"", 0, client)
        world.hub.watch(b"dir/%05d/" % number, b"dir/%05d0" % number, 0, client)
    asked = 0
    original = Watcher.wants

    def counting(self: Watcher, event: mvccpb.Event) -> bool:
        nonlocal asked
        asked += 1
        return original(self, event)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Watcher, "wants", counting)
        world.put(b"key/00077")
        world.put(b"dir/00099/x")
        world.put(b"nobody")
    assert asked == 2
    assert client.seen == [("put", b"key/00077", 2), ("put", b"dir/00099/x", 3)]
