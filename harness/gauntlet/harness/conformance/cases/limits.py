"""Limits: sizes of requests and answers, numbers of things, odd values."""

from __future__ import annotations

import asyncio

from gauntlet.api import errors
from gauntlet.api.errors import Code, RpcError
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.harness.conformance.case import case
from gauntlet.harness.conformance.expect import expect, expect_that
from gauntlet.harness.conformance.talk import ALL, Talk

LARGEST = 1_572_864  # --max-request-bytes: of the request as it goes into the log


@case("limits")
async def a_large_value_is_stored(t: Talk) -> None:
    await t.put("a", bytes(1_500_000))
    expect("size", len((await t.get("a")).kvs[0].value), 1_500_000)


@case("limits")
async def a_request_just_too_large_is_refused(t: Talk) -> None:
    await t.refused(pb.PutRequest(key=t.k("a"), value=bytes(LARGEST)), errors.REQUEST_TOO_LARGE)
    expect("count", (await t.get("a")).count, 0)


@case("limits")
async def a_txn_too_large_is_refused(t: Talk) -> None:
    operations = [t.op_put(f"{n}", bytes(400_000)) for n in range(4)]
    await t.refused(pb.TxnRequest(success=operations), errors.REQUEST_TOO_LARGE)


@case("limits")
async def a_message_too_large_for_grpc_is_refused(t: Talk) -> None:
    got = await t.outcome(pb.PutRequest(key=t.k("a"), value=bytes(3_000_000)))
    expect_that("answer", isinstance(got, RpcError), "an error", got)
    expect("code", got.code, Code.RESOURCE_EXHAUSTED)
    start = "grpc: received message larger than max"
    expect_that("message", got.message.startswith(start), f"{start!r}...", got.message)


@case("limits", flags=("--max-request-bytes=1000",))
async def the_largest_request_can_be_set(t: Talk) -> None:
    await t.put("a", bytes(800))
    await t.refused(pb.PutRequest(key=t.k("a"), value=bytes(1000)), errors.REQUEST_TOO_LARGE)


@case("limits", flags=("--max-txn-ops=3",))
async def the_largest_txn_can_be_set(t: Talk) -> None:
    await t.txn(then=[t.op_put(f"{n}") for n in range(3)])
    await t.refused(pb.TxnRequest(success=[t.op_put(f"{n}") for n in range(4)]), errors.TOO_MANY_OPS)


@case("limits")
async def a_large_key_is_stored(t: Talk) -> None:
    key = t.prefix + b"k" * 100_000
    await t.put(key, "1")
    expect("count", (await t.get(key)).count, 1)


@case("limits")
async def an_answer_may_be_larger_than_a_request(t: Talk) -> None:
    for number in range(4):
        await t.put(f"{number}", bytes(1_400_000))
    answer = await t.call(t.all())
    expect("bytes", sum(len(kv.value) for kv in answer.kvs), 5_600_000)


@case("limits")
async def a_thousand_keys_in_a_range(t: Talk) -> None:
    for start in range(0, 1000, 100):
        await t.txn(then=[t.op_put(f"{n:04}") for n in range(start, start + 100)])
    answer = await t.call(t.all())
    expect("count", answer.count, 1000)
    expect("first and last", (answer.kvs[0].key, answer.kvs[-1].key), (t.k("0000"), t.k("0999")))


@case("limits", compared=False)
async def many_calls_at_once_on_a_connection(t: Talk) -> None:
    answers = await asyncio.gather(*(t.put(f"{n}") for n in range(300)))
    revisions = sorted(answer.header.revision for answer in answers)
    expect("revisions", revisions, list(range(revisions[0], revisions[0] + 300)))


@case("limits", compared=False)
async def many_connections_at_once(t: Talk) -> None:
    await asyncio.gather(*(t.put(f"{n}", via=f"/{n}") for n in range(40)))
    expect("count", (await t.call(t.all(count_only=True))).count, 40)


@case("limits")
async def many_streams_on_a_connection(t: Talk) -> None:
    watchers = [await t.watch("a") for _ in range(100)]
    await t.put("a", "1")
    for watcher in watchers:
        expect("value", (await watcher.event()).kv.value, b"1")


@case("limits", flags=("--max-concurrent-streams=5",), compared=False)
async def streams_beyond_the_limit_wait(t: Talk) -> None:
    watchers = [await t.watch("a") for _ in range(5)]
    waiting = asyncio.create_task(t.call(pb.StatusRequest()))
    done, _ = await asyncio.wait({waiting}, timeout=0.3)
    expect("answered beyond the limit", len(done), 0)
    await watchers[0].close()
    await waiting


@case("limits")
async def a_range_of_all_keys_with_a_tiny_limit(t: Talk) -> None:
    await t.put("a")
    expect("pairs", len((await t.get(t.prefix, ALL, limit=1)).kvs), 1)


@case("limits")
async def a_call_past_its_deadline_ends(t: Talk) -> None:
    """A lock that is taken waits until the client's time is over."""
    try:
        await t.call(pb.CompactionRequest(revision=2**62), timeout=5)
    except RpcError as error:
        expect("error", error, errors.FUTURE_REV)
