"""Watch: history and compaction, progress, large answers."""

from __future__ import annotations

import asyncio

from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.harness.conformance.case import case
from gauntlet.harness.conformance.cases.watch_create import (
    DELETE,
    PUT,
    stream,
)
from gauntlet.harness.conformance.expect import expect, expect_that
from gauntlet.harness.conformance.talk import Talk

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
    expect("watchers that saw it", sorted(await watcher.events_by_watcher(200)), list(range(200)))


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
