"""Watch: events, previous pairs, filters."""

from __future__ import annotations

from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.harness.conformance.case import case
from gauntlet.harness.conformance.cases.watch_create import (
    DELETE,
    NODELETE,
    NOPUT,
    PUT,
    stream,
)
from gauntlet.harness.conformance.expect import expect, expect_unset
from gauntlet.harness.conformance.talk import ALL, Talk

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


@case("watch", group="alone")
async def everything_from_a_key_on(t: Talk) -> None:
    watcher = await t.watch(b"b", ALL)
    for name in (b"a", b"b", b"\xff"):
        await t.put(name)
    expect("keys", [event.kv.key for event in await watcher.events(2)], [b"b", b"\xff"])


@case("watch", group="alone")
async def everything(t: Talk) -> None:
    watcher = await t.watch(b"\0", ALL)
    for name in (b"\0", b"a", b"\xff"):
        await t.put(name)
    expect("keys", [event.kv.key for event in await watcher.events(3)], [b"\0", b"a", b"\xff"])


@case("watch", group="alone")
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
    expect("watchers", set(await watcher.events_by_watcher(2)), {0, 1})


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
