"""KV: compaction."""

from __future__ import annotations

from gauntlet.api import errors
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.harness.conformance.case import case
from gauntlet.harness.conformance.expect import expect, expect_that, expect_values
from gauntlet.harness.conformance.talk import Talk


async def history(t: Talk) -> list[int]:
    """a is put three times and b once; the revisions."""
    return [(await t.put(name, str(n))).header.revision for n, name in enumerate("aaab")]


@case("kv")
async def compact_forgets_what_lies_before(t: Talk) -> None:
    revisions = await history(t)
    await t.call(pb.CompactionRequest(revision=revisions[2]))
    await t.refused(t.range("a", revision=revisions[1]), errors.COMPACTED)


@case("kv")
async def compact_keeps_its_own_revision_readable(t: Talk) -> None:
    revisions = await history(t)
    await t.call(pb.CompactionRequest(revision=revisions[1]))
    expect_values(await t.get("a", revision=revisions[1]), b"1")
    expect_values(await t.get("a", revision=revisions[2]), b"2")


@case("kv")
async def compact_keeps_current_values(t: Talk) -> None:
    await history(t)
    await t.call(pb.CompactionRequest(revision=await t.revision()))
    expect_values(await t.call(t.all()), b"2", b"3")


@case("kv")
async def compact_does_not_raise_the_revision(t: Talk) -> None:
    revisions = await history(t)
    answer = await t.call(pb.CompactionRequest(revision=revisions[2]))
    expect("revision", answer.header.revision, revisions[3])
    expect("revision afterwards", await t.revision(), revisions[3])


@case("kv")
async def physical_compaction_answers_like_the_other(t: Talk) -> None:
    revisions = await history(t)
    answer = await t.call(pb.CompactionRequest(revision=revisions[3], physical=True))
    expect("revision", answer.header.revision, revisions[3])
    await t.refused(t.range("a", revision=revisions[2]), errors.COMPACTED)


@case("kv")
async def compact_twice_at_the_same_revision_is_refused(t: Talk) -> None:
    revisions = await history(t)
    await t.call(pb.CompactionRequest(revision=revisions[2]))
    await t.refused(pb.CompactionRequest(revision=revisions[2]), errors.COMPACTED)


@case("kv")
async def compact_before_the_last_compaction_is_refused(t: Talk) -> None:
    revisions = await history(t)
    await t.call(pb.CompactionRequest(revision=revisions[2]))
    await t.refused(pb.CompactionRequest(revision=revisions[0]), errors.COMPACTED)


@case("kv")
async def compact_at_a_future_revision_is_refused(t: Talk) -> None:
    revisions = await history(t)
    await t.refused(pb.CompactionRequest(revision=revisions[3] + 1), errors.FUTURE_REV)


@case("kv")
async def compact_at_zero_after_a_compaction_is_refused(t: Talk) -> None:
    revisions = await history(t)
    await t.call(pb.CompactionRequest(revision=revisions[2]))
    await t.refused(pb.CompactionRequest(), errors.COMPACTED)


@case("kv")
async def compact_at_a_negative_revision_is_refused(t: Talk) -> None:
    revisions = await history(t)
    await t.call(pb.CompactionRequest(revision=revisions[2]))
    await t.refused(pb.CompactionRequest(revision=-1), errors.COMPACTED)


@case("kv")
async def compact_removes_deleted_keys_for_good(t: Talk) -> None:
    await t.put("a")
    deleted = (await t.delete("a")).header.revision
    after = (await t.put("b")).header.revision
    await t.call(pb.CompactionRequest(revision=deleted))
    expect("count at the compaction", (await t.get("a", revision=deleted)).count, 0)
    expect("count later", (await t.get("a", revision=after)).count, 0)


@case("kv")
async def versions_count_on_after_a_compaction(t: Talk) -> None:
    revisions = await history(t)
    await t.call(pb.CompactionRequest(revision=revisions[3]))
    await t.put("a", "x")
    kv = (await t.get("a")).kvs[0]
    expect("version", kv.version, 4)
    expect("create_revision", kv.create_revision, revisions[0])


@case("kv")
async def txn_reads_at_a_compacted_revision_are_refused(t: Talk) -> None:
    revisions = await history(t)
    await t.call(pb.CompactionRequest(revision=revisions[3]))
    operation = t.op_get("a", revision=revisions[0])
    await t.refused(pb.TxnRequest(success=[operation]), errors.COMPACTED)


@case("kv", fresh=True)
async def compact_a_fresh_store_at_its_revision(t: Talk) -> None:
    answer = await t.call(pb.CompactionRequest(revision=1))
    expect_that("revision", answer.header.revision == 1, "1", answer.header.revision)
    await t.refused(pb.CompactionRequest(revision=1), errors.COMPACTED)
