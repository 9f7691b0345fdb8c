"""Watch: creation, ids, cancelling."""

from __future__ import annotations

from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.messages import mvccpb
from gauntlet.harness.conformance.case import case
from gauntlet.harness.conformance.expect import expect
from gauntlet.harness.conformance.talk import Talk, Watcher

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


@case("watch", since="3.6")
async def an_empty_range_is_told_before_an_id_in_use(t: Talk) -> None:
    watcher = await stream(t)
    await watcher.create(t.watching("a", watch_id=7))
    answer = await watcher.create(t.watching("b", "a", watch_id=7))
    expect("cancel_reason", answer.cancel_reason, "mvcc: watcher range is empty")


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


@case("watch")
async def a_watcher_that_a_compaction_ended_keeps_its_id_until_cancelled(t: Talk) -> None:
    first = (await t.put("a", "1")).header.revision
    second = (await t.put("a", "2")).header.revision
    await t.call(pb.CompactionRequest(revision=second))
    watcher = await stream(t)
    await watcher.create(t.watching("a", watch_id=7, start_revision=first))
    expect("canceled", (await watcher.answer()).canceled, True)
    again = await watcher.create(t.watching("a", watch_id=7))
    expect("cancel_reason", again.cancel_reason, "mvcc: duplicate watch ID provided on the WatchStream")
    await watcher.channel.send(cancel(7))
    answer = await watcher.answer()
    expect("canceled", answer.canceled, True)
    expect("compact_revision", answer.compact_revision, 0)
    expect("watch_id", (await watcher.create(t.watching("a", watch_id=7))).watch_id, 7)
