"""Watch: creation, events, history, filters, ids, progress, fragments, ends."""

from __future__ import annotations

import asyncio

from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.messages import mvccpb
from gauntlet.harness.conformance.case import case
from gauntlet.harness.conformance.expect import expect, expect_that, expect_unset
from gauntlet.harness.conformance.talk import ALL, Talk, Watcher

WATCH = "/etcdserverpb.Watch/Watch"
PUT, DELETE = mvccpb.Event.PUT, mvccpb.Event.DELETE
NOPUT, NODELETE = pb.WatchCreateRequest.NOPUT, pb.WatchCreateRequest.NODELETE
COMPACTED = "etcdserver: mvcc: required revision has been compacted"


async def stream(t: Talk, via: str = "") -> Watcher:
    """A watch stream with no watcher yet."""
    return Watcher(await t.open(WATCH, via=via))


def cancel(watch_id: int) -> pb.WatchRequest:
    return pb.WatchRequest(cancel_request=pb.WatchCancelRequest(watch_id=watch_id))


# ---- creation ----


@case("watch")
async def creation_is_confirmed_first(t: Talk) -> None:
    watcher = await t.watch("a")
    expect("created", watcher.created.created, True)
    expect("canceled", watcher.created.canceled, False)
    expect("watch_id", watcher.created.watch_id, 0)
    expect("events", len(watcher.created.events), 0)


@case("watch")
async def creation_tells_the_revision(t: Talk) -> None:
    revision = (await t.put("b")).header.revision
    expect("revision", (await t.watch("a")).created.header.revision, revision)


@case("watch")
async def ids_are_counted_per_stream(t: Talk) -> None:
    watcher = await stream(t)
    ids = [(await watcher.create(t.watching("a"))).watch_id for _ in range(3)]
    expect("ids", ids, [0, 1, 2])
    expect("id on another stream", (await t.watch("a")).id, 0)


@case("watch")
async def an_id_may_be_chosen(t: Talk) -> None:
    expect("watch_id", (await t.watch("a", watch_id=77)).id, 77)


@case("watch")
async def a_chosen_id_may_be_negative(t: Talk) -> None:
    expect("watch_id", (await t.watch("a", watch_id=-5)).id, -5)


@case("watch")
async def counted_ids_skip_chosen_ones(t: Talk) -> None:
    watcher = await stream(t)
    await watcher.create(t.watching("a", watch_id=1))
    ids = [(await watcher.create(t.watching("a"))).watch_id for _ in range(2)]
    expect("ids", ids, [0, 2])


@case("watch")
async def an_id_in_use_is_refused(t: Talk) -> None:
    watcher = await stream(t)
    await watcher.create(t.watching("a", watch_id=7))
    answer = await watcher.create(t.watching("a", watch_id=7))
    expect("canceled", answer.canceled, True)
    expect("watch_id", answer.watch_id, -1)
    expect("cancel_reason", answer.cancel_reason, "mvcc: duplicate watch ID provided on the WatchStream")
    await t.put("a")
    expect("watcher that gets the event", (await watcher.event_of())[0], 7)


@case("watch")
async def an_empty_range_is_refused(t: Talk) -> None:
    for key, end in (("b", "a"), ("b", "b")):
        answer = await (await stream(t)).create(t.watching(key, end))
        expect("canceled", answer.canceled, True)
        expect("watch_id", answer.watch_id, -1)
        expect("cancel_reason", answer.cancel_reason, "mvcc: watcher range is empty")


@case("watch")
async def a_refused_creation_leaves_the_stream_usable(t: Talk) -> None:
    watcher = await stream(t)
    await watcher.create(t.watching("b", "a"))
    expect("watch_id of the next", (await watcher.create(t.watching("a"))).watch_id, 0)


@case("watch", since="3.5")
async def a_negative_start_is_refused(t: Talk) -> None:
    answer = await (await stream(t)).create(t.watching("a", start_revision=-1))
    expect("canceled", answer.canceled, True)
    expect("watch_id", answer.watch_id, -1)
    expect("cancel_reason", answer.cancel_reason, COMPACTED)


@case("watch")
async def an_empty_request_is_ignored(t: Talk) -> None:
    watcher = await stream(t)
    await watcher.channel.send(pb.WatchRequest())
    expect("watch_id", (await watcher.create(t.watching("a"))).watch_id, 0)


# ---- events ----


@case("watch")
async def a_put_is_an_event(t: Talk) -> None:
    watcher = await t.watch("a")
    revision = (await t.put("a", "1")).header.revision
    event = await watcher.event()
    expect("type", event.type, PUT)
    expect("key", event.kv.key, t.k("a"))
    expect("value", event.kv.value, b"1")
    expect("mod_revision", event.kv.mod_revision, revision)
    expect("create_revision", event.kv.create_revision, revision)
    expect("version", event.kv.version, 1)


@case("watch")
async def a_delete_is_an_event_with_key_and_revision_only(t: Talk) -> None:
    await t.put("a", "1")
    watcher = await t.watch("a")
    revision = (await t.delete("a")).header.revision
    event = await watcher.event()
    expect("type", event.type, DELETE)
    expect("key", event.kv.key, t.k("a"))
    expect("mod_revision", event.kv.mod_revision, revision)
    expect("value", event.kv.value, b"")
    expect("version", event.kv.version, 0)
    expect("create_revision", event.kv.create_revision, 0)


@case("watch")
async def a_delete_of_nothing_is_no_event(t: Talk) -> None:
    watcher = await t.watch("a")
    await t.delete("a")
    await watcher.quiet()


@case("watch")
async def other_keys_are_not_seen(t: Talk) -> None:
    watcher = await t.watch("b")
    for name in ("a", "ba", "c"):
        await t.put(name)
    await watcher.quiet()


@case("watch")
async def a_range_is_watched_without_its_end(t: Talk) -> None:
    watcher = await t.watch("b", "d")
    for name in "abcd":
        await t.put(name)
    expect("keys", [event.kv.key for event in await watcher.events(2)], [t.k("b"), t.k("c")])
    await watcher.quiet()


@case("watch", fresh=True)
async def everything_from_a_key_on(t: Talk) -> None:
    watcher = await t.watch(b"b", ALL)
    for name in (b"a", b"b", b"\xff"):
        await t.put(name)
    expect("keys", [event.kv.key for event in await watcher.events(2)], [b"b", b"\xff"])


@case("watch", fresh=True)
async def everything(t: Talk) -> None:
    watcher = await t.watch(b"\0", ALL)
    for name in (b"\0", b"a", b"\xff"):
        await t.put(name)
    expect("keys", [event.kv.key for event in await watcher.events(3)], [b"\0", b"a", b"\xff"])


@case("watch", fresh=True)
async def an_empty_key_is_the_zero_byte(t: Talk) -> None:
    watcher = await t.watch(b"")
    await t.put(b"a")
    await t.put(b"\0")
    expect("key", (await watcher.event()).kv.key, b"\0")


@case("watch")
async def events_come_in_order(t: Talk) -> None:
    watcher = await t.watch("a", "z")
    names = ["c", "a", "b", "a", "c"]
    for name in names:
        await t.put(name)
    events = await watcher.events(5)
    expect("keys", [event.kv.key for event in events], [t.k(name) for name in names])
    revisions = [event.kv.mod_revision for event in events]
    expect("revisions", revisions, sorted(set(revisions)))


@case("watch")
async def events_of_a_txn_come_in_one_answer(t: Talk) -> None:
    await t.put("c")
    watcher = await t.watch("a", "z")
    await t.txn(then=[t.op_put("b"), t.op_put("a"), t.op_delete("c")])
    answer = await watcher.channel.receive()
    expect(
        "events",
        [(e.type, e.kv.key) for e in answer.events],
        [(PUT, t.k("b")), (PUT, t.k("a")), (DELETE, t.k("c"))],
    )
    expect("revisions", len({event.kv.mod_revision for event in answer.events}), 1)


@case("watch")
async def a_range_delete_is_one_event_a_key(t: Talk) -> None:
    for name in "abc":
        await t.put(name)
    watcher = await t.watch("a", "z")
    await t.delete("a", "z")
    events = await watcher.events(3)
    expect("keys", [event.kv.key for event in events], [t.k(name) for name in "abc"])
    expect("types", {event.type for event in events}, {DELETE})


@case("watch")
async def the_answer_has_the_revision_of_its_events(t: Talk) -> None:
    watcher = await t.watch("a")
    revision = (await t.put("a")).header.revision
    expect("revision", (await watcher.channel.receive()).header.revision, revision)


@case("watch")
async def two_watchers_of_a_stream_both_see_it(t: Talk) -> None:
    watcher = await stream(t)
    await watcher.create(t.watching("a"))
    await watcher.create(t.watching("a", "z"))
    await t.put("a")
    seen = {(await watcher.event_of())[0] for _ in range(2)}
    expect("watchers", seen, {0, 1})


@case("watch")
async def a_watcher_on_another_connection_sees_it(t: Talk) -> None:
    watcher = await t.watch("a", via="/b")
    await t.put("a", "1")
    expect("value", (await watcher.event()).kv.value, b"1")


@case("watch")
async def lease_changes_show_in_events(t: Talk) -> None:
    lease = await t.grant()
    watcher = await t.watch("a")
    await t.put("a", lease=lease)
    expect("lease", (await watcher.event()).kv.lease, lease)


@case("watch")
async def revoking_a_lease_deletes_its_keys_in_one_revision(t: Talk) -> None:
    lease = await t.grant()
    for name in "cab":
        await t.put(name, lease=lease)
    watcher = await t.watch("a", "z")
    await t.call(pb.LeaseRevokeRequest(ID=lease))
    events = await watcher.events(3)
    expect("keys", [event.kv.key for event in events], [t.k(name) for name in "abc"])
    expect("revisions", len({event.kv.mod_revision for event in events}), 1)


# ---- prev_kv and filters ----


@case("watch")
async def prev_kv_is_absent_unless_asked(t: Talk) -> None:
    await t.put("a", "1")
    watcher = await t.watch("a")
    await t.put("a", "2")
    expect_unset(await watcher.event(), "prev_kv")


@case("watch")
async def prev_kv_of_a_put(t: Talk) -> None:
    await t.put("a", "1")
    watcher = await t.watch("a", prev_kv=True)
    await t.put("a", "2")
    expect("prev_kv", (await watcher.event()).prev_kv.value, b"1")


@case("watch")
async def prev_kv_of_a_delete(t: Talk) -> None:
    await t.put("a", "1")
    watcher = await t.watch("a", prev_kv=True)
    await t.delete("a")
    expect("prev_kv", (await watcher.event()).prev_kv.value, b"1")


@case("watch")
async def a_new_key_has_no_prev_kv(t: Talk) -> None:
    watcher = await t.watch("a", prev_kv=True)
    await t.put("a", "1")
    expect_unset(await watcher.event(), "prev_kv")


@case("watch")
async def prev_kv_of_history(t: Talk) -> None:
    first = (await t.put("a", "1")).header.revision
    await t.put("a", "2")
    watcher = await t.watch("a", prev_kv=True, start_revision=first + 1)
    expect("prev_kv", (await watcher.event()).prev_kv.value, b"1")


@case("watch")
async def prev_kv_that_was_compacted_is_absent(t: Talk) -> None:
    await t.put("a", "1")
    second = (await t.put("a", "2")).header.revision
    await t.call(pb.CompactionRequest(revision=second, physical=True))
    watcher = await t.watch("a", prev_kv=True, start_revision=second)
    event = await watcher.event()
    expect("value", event.kv.value, b"2")
    expect_unset(event, "prev_kv")


@case("watch")
async def noput_shows_deletes_only(t: Talk) -> None:
    watcher = await t.watch("a", filters=[NOPUT])
    await t.put("a")
    await t.delete("a")
    expect("type", (await watcher.event()).type, DELETE)
    await watcher.quiet()


@case("watch")
async def nodelete_shows_puts_only(t: Talk) -> None:
    watcher = await t.watch("a", filters=[NODELETE])
    await t.put("a", "1")
    await t.delete("a")
    await t.put("a", "2")
    expect("values", [event.kv.value for event in await watcher.events(2)], [b"1", b"2"])


@case("watch")
async def both_filters_show_nothing(t: Talk) -> None:
    watcher = await t.watch("a", filters=[NOPUT, NODELETE])
    await t.put("a")
    await t.delete("a")
    await watcher.quiet()


@case("watch")
async def filters_work_on_history(t: Talk) -> None:
    first = (await t.put("a")).header.revision
    await t.delete("a")
    watcher = await t.watch("a", filters=[NOPUT], start_revision=first)
    expect("type", (await watcher.event()).type, DELETE)
    await watcher.quiet()


# ---- history ----


@case("watch")
async def history_comes_first_then_the_present(t: Talk) -> None:
    first = (await t.put("a", "1")).header.revision
    await t.put("a", "2")
    watcher = await t.watch("a", start_revision=first)
    await t.put("a", "3")
    expect("values", [event.kv.value for event in await watcher.events(3)], [b"1", b"2", b"3"])


@case("watch")
async def history_begins_at_its_revision(t: Talk) -> None:
    await t.put("a", "1")
    second = (await t.put("a", "2")).header.revision
    watcher = await t.watch("a", start_revision=second)
    expect("value", (await watcher.event()).kv.value, b"2")
    await watcher.quiet()


@case("watch")
async def history_includes_deletes(t: Talk) -> None:
    first = (await t.put("a", "1")).header.revision
    await t.delete("a")
    watcher = await t.watch("a", start_revision=first)
    expect("types", [event.type for event in await watcher.events(2)], [PUT, DELETE])


@case("watch")
async def starting_now_shows_no_history(t: Talk) -> None:
    await t.put("a", "1")
    watcher = await t.watch("a")
    await watcher.quiet()


@case("watch")
async def starting_at_the_next_revision(t: Talk) -> None:
    revision = (await t.put("a", "1")).header.revision
    watcher = await t.watch("a", start_revision=revision + 1)
    await t.put("a", "2")
    expect("value", (await watcher.event()).kv.value, b"2")


@case("watch")
async def starting_in_the_future_waits_for_it(t: Talk) -> None:
    revision = await t.revision()
    watcher = await t.watch("a", start_revision=revision + 3)
    for value in "1234":
        await t.put("a", value)
    expect("values", [event.kv.value for event in await watcher.events(2)], [b"3", b"4"])
    await watcher.quiet()


@case("watch")
async def a_long_history_comes_complete(t: Talk) -> None:
    first = (await t.put("a", "0")).header.revision
    for number in range(1, 300):
        await t.put("a", str(number))
    watcher = await t.watch("a", start_revision=first)
    values = [int(event.kv.value) for event in await watcher.events(300)]
    expect("values", values, list(range(300)))


@case("watch")
async def watching_from_a_compacted_revision_is_canceled(t: Talk) -> None:
    first = (await t.put("a", "1")).header.revision
    second = (await t.put("a", "2")).header.revision
    await t.call(pb.CompactionRequest(revision=second))
    watcher = await t.watch("a", start_revision=first)
    answer = await watcher.answer()
    expect("canceled", answer.canceled, True)
    expect("watch_id", answer.watch_id, 0)
    expect("compact_revision", answer.compact_revision, second)
    expect("revision of the header", answer.header.revision, 0)
    expect("cancel_reason", answer.cancel_reason, "")


@case("watch")
async def watching_from_the_compaction_itself_works(t: Talk) -> None:
    await t.put("a", "1")
    second = (await t.put("a", "2")).header.revision
    await t.call(pb.CompactionRequest(revision=second))
    watcher = await t.watch("a", start_revision=second)
    expect("value", (await watcher.event()).kv.value, b"2")


@case("watch")
async def a_compaction_does_not_disturb_a_synced_watcher(t: Talk) -> None:
    watcher = await t.watch("a")
    revision = (await t.put("a", "1")).header.revision
    await t.call(pb.CompactionRequest(revision=revision))
    await t.put("a", "2")
    expect("values", [event.kv.value for event in await watcher.events(2)], [b"1", b"2"])


# ---- cancel ----


@case("watch")
async def cancel_is_confirmed(t: Talk) -> None:
    watcher = await t.watch("a")
    await watcher.channel.send(cancel(watcher.id))
    answer = await watcher.answer()
    expect("canceled", answer.canceled, True)
    expect("watch_id", answer.watch_id, watcher.id)
    expect("cancel_reason", answer.cancel_reason, "")


@case("watch")
async def no_events_after_cancel(t: Talk) -> None:
    watcher = await t.watch("a")
    await watcher.create(t.watching("b"))
    await watcher.channel.send(cancel(0))
    await watcher.answer()
    await t.put("a")
    await t.put("b")
    expect("watcher that gets an event", (await watcher.event_of())[0], 1)


@case("watch")
async def cancel_of_an_unknown_id_is_not_answered(t: Talk) -> None:
    watcher = await t.watch("a")
    await watcher.channel.send(cancel(999))
    await t.put("a", "1")
    expect("value", (await watcher.event()).kv.value, b"1")


@case("watch")
async def an_id_is_free_again_after_cancel(t: Talk) -> None:
    watcher = await t.watch("a", watch_id=5)
    await watcher.channel.send(cancel(5))
    await watcher.answer()
    answer = await watcher.create(t.watching("a", watch_id=5))
    expect("canceled", answer.canceled, False)
    expect("watch_id", answer.watch_id, 5)


@case("watch")
async def events_go_on_after_the_client_half_closes(t: Talk) -> None:
    watcher = await t.watch("a")
    await watcher.channel.half_close()
    await t.put("a", "1")
    expect("value", (await watcher.event()).kv.value, b"1")


@case("watch")
async def streams_end_apart(t: Talk) -> None:
    one, other = await t.watch("a"), await t.watch("a")
    await one.close()
    await t.put("a", "1")
    expect("value", (await other.event()).kv.value, b"1")


# ---- progress ----


@case("watch")
async def progress_is_answered_for_the_whole_stream(t: Talk) -> None:
    watcher = await t.watch("a")
    revision = (await t.put("b")).header.revision
    answer = await watcher.progress()
    expect("watch_id", answer.watch_id, -1)
    expect("revision", answer.header.revision, revision)
    expect("events", len(answer.events), 0)


@case("watch")
async def progress_comes_after_the_events_it_covers(t: Talk) -> None:
    watcher = await t.watch("a")
    for _ in range(20):
        await t.put("a")
    answer = await watcher.progress()
    events = await watcher.events(20)
    expect_that(
        "last event",
        events[-1].kv.mod_revision <= answer.header.revision,
        f"at most the progress, {answer.header.revision}",
        events[-1].kv.mod_revision,
    )


@case("watch")
async def progress_of_a_stream_without_watchers_is_not_refused(t: Talk) -> None:
    watcher = await stream(t)
    await watcher.channel.send(pb.WatchRequest(progress_request=pb.WatchProgressRequest()))
    expect("watch_id", (await watcher.create(t.watching("a"))).watch_id, 0)


# ---- large ----


@case("watch")
async def fragments_of_a_large_answer(t: Talk) -> None:
    """When asked for, no answer is much larger than a request may be; all but the last say so."""
    first = (await t.put("0", bytes(900_000))).header.revision
    for number in range(1, 5):
        await t.put(f"{number}", bytes(900_000))
    watcher = await t.watch("0", "9", start_revision=first, fragment=True)
    sizes, fragments, count = [], [], 0
    while count < 5:
        answer = await watcher.channel.receive_quietly()
        count += len(answer.events)
        sizes.append(answer.ByteSize())
        fragments.append(answer.fragment)
    expect_that("sizes", max(sizes) < 2_100_000, "below 2.1 MB each", sizes)
    expect("last says fragment", fragments[-1], False)
    expect_that(
        "others say fragment", all(fragments[:-1]) and len(fragments) > 1, "true, more than one", fragments
    )


@case("watch")
async def without_fragment_one_answer_holds_a_revision(t: Talk) -> None:
    watcher = await t.watch("a", "z")
    await t.txn(then=[t.op_put(f"k{number}", bytes(10_000)) for number in range(100)])
    answer = await watcher.channel.receive_quietly()
    expect("events", len(answer.events), 100)
    expect("fragment", answer.fragment, False)


@case("watch", compared=False)
async def many_watchers_on_a_stream(t: Talk) -> None:
    watcher = await stream(t)
    for _ in range(200):
        await watcher.channel.send(pb.WatchRequest(create_request=t.watching("a")))
    ids = [(await watcher.answer()).watch_id for _ in range(200)]
    expect("ids", ids, list(range(200)))
    await t.put("a")
    seen = sorted([(await watcher.event_of())[0] for _ in range(200)])
    expect("watchers that saw it", seen, list(range(200)))


@case("watch", flags=("--watch-progress-notify-interval=200ms",), since="3.6", compared=False)
async def progress_notify_tells_without_being_asked(t: Talk) -> None:
    watcher = await t.watch("a", progress_notify=True)
    revision = (await t.put("b")).header.revision
    while (answer := await watcher.answer()).header.revision < revision:
        pass
    expect("watch_id", answer.watch_id, watcher.id)
    expect("events", len(answer.events), 0)


@case("watch")
async def a_client_that_cancels_is_not_answered(t: Talk) -> None:
    """Closing a stream from outside leaves the member serving others."""
    watchers = await asyncio.gather(*(t.watch("a") for _ in range(10)))
    for watcher in watchers:
        await watcher.close()
    await t.put("a", "1")
    expect("count", (await t.get("a")).count, 1)
