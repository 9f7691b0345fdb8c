"""KV: range, its order, limits and filters; RangeStream."""

from __future__ import annotations

from gauntlet.api import errors
from gauntlet.api.errors import Code, RpcError
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.harness.conformance.case import case
from gauntlet.harness.conformance.expect import expect, expect_keys, expect_that, expect_values
from gauntlet.harness.conformance.talk import ALL, Talk

ASCEND, DESCEND = pb.RangeRequest.ASCEND, pb.RangeRequest.DESCEND
BY_KEY, BY_VERSION, BY_CREATE, BY_MOD, BY_VALUE = (
    pb.RangeRequest.KEY,
    pb.RangeRequest.VERSION,
    pb.RangeRequest.CREATE,
    pb.RangeRequest.MOD,
    pb.RangeRequest.VALUE,
)
STREAM = "/etcdserverpb.KV/RangeStream"


async def four(t: Talk) -> list[int]:
    """d, b, a, c with values 1 to 4; b is then written twice more. The revisions of the six puts."""
    revisions = []
    for name, value in (("d", "1"), ("b", "2"), ("a", "3"), ("c", "4"), ("b", "2"), ("b", "0")):
        revisions.append((await t.put(name, value)).header.revision)
    return revisions


@case("kv")
async def get_of_an_absent_key(t: Talk) -> None:
    answer = await t.get("a")
    expect("count", answer.count, 0)
    expect("more", answer.more, False)
    expect_keys(answer)


@case("kv")
async def range_is_sorted_by_key(t: Talk) -> None:
    await four(t)
    answer = await t.call(t.all())
    expect_keys(answer, t.k("a"), t.k("b"), t.k("c"), t.k("d"))
    expect("count", answer.count, 4)


@case("kv")
async def range_leaves_its_end_out(t: Talk) -> None:
    await four(t)
    expect_keys(await t.get("b", "d"), t.k("b"), t.k("c"))


@case("kv")
async def range_with_end_before_key_is_empty(t: Talk) -> None:
    await four(t)
    expect("count", (await t.get("c", "a")).count, 0)


@case("kv")
async def range_with_end_equal_to_key_is_empty(t: Talk) -> None:
    await four(t)
    expect("count", (await t.get("b", "b")).count, 0)


@case("kv", group="alone")
async def range_from_key(t: Talk) -> None:
    for name in (b"a", b"b", b"\xff"):
        await t.put(name)
    expect_keys(await t.get(b"b", ALL), b"b", b"\xff")


@case("kv", group="alone")
async def range_of_everything(t: Talk) -> None:
    for name in (b"\0", b"a", b"\xff\xff"):
        await t.put(name)
    expect_keys(await t.get(b"\0", ALL), b"\0", b"a", b"\xff\xff")


@case("kv", fresh=True)
async def a_fresh_store_is_at_revision_one(t: Talk) -> None:
    answer = await t.get(b"a")
    expect("revision", answer.header.revision, 1)


@case("kv")
async def range_bytes_are_compared_unsigned(t: Talk) -> None:
    for tail in (b"\x80", b"\x7f", b"\xff", b"\x00", b""):
        await t.put(t.prefix + b"k" + tail)
    answer = await t.call(t.all())
    expect(
        "tails", [kv.key[len(t.prefix) + 1 :] for kv in answer.kvs], [b"", b"\x00", b"\x7f", b"\x80", b"\xff"]
    )


# ---- limit, count, keys only ----


@case("kv")
async def limit_cuts_and_says_more(t: Talk) -> None:
    await four(t)
    answer = await t.call(t.all(limit=3))
    expect_keys(answer, t.k("a"), t.k("b"), t.k("c"))
    expect("more", answer.more, True)
    expect("count", answer.count, 4)


@case("kv")
async def limit_as_large_as_the_range_says_no_more(t: Talk) -> None:
    await four(t)
    answer = await t.call(t.all(limit=4))
    expect("more", answer.more, False)
    expect("keys", len(answer.kvs), 4)


@case("kv")
async def limit_larger_than_the_range(t: Talk) -> None:
    await four(t)
    answer = await t.call(t.all(limit=2**62))
    expect("more", answer.more, False)
    expect("keys", len(answer.kvs), 4)


@case("kv")
async def negative_limit_is_no_limit(t: Talk) -> None:
    await four(t)
    expect("keys", len((await t.call(t.all(limit=-1))).kvs), 4)


@case("kv")
async def limit_is_taken_after_sorting(t: Talk) -> None:
    await four(t)
    answer = await t.call(t.all(limit=2, sort_order=DESCEND, sort_target=BY_KEY))
    expect_keys(answer, t.k("d"), t.k("c"))
    expect("more", answer.more, True)


@case("kv")
async def count_only_returns_no_pairs(t: Talk) -> None:
    await four(t)
    answer = await t.call(t.all(count_only=True))
    expect("count", answer.count, 4)
    expect_keys(answer)
    expect("more", answer.more, False)


@case("kv")
async def count_only_ignores_the_limit(t: Talk) -> None:
    await four(t)
    expect("count", (await t.call(t.all(count_only=True, limit=1))).count, 4)


@case("kv")
async def keys_only_returns_no_values(t: Talk) -> None:
    revisions = await four(t)
    answer = await t.call(t.all(keys_only=True))
    expect_values(answer, b"", b"", b"", b"")
    expect("mod_revision of b", answer.kvs[1].mod_revision, revisions[5])


@case("kv")
async def keys_only_sorts_by_the_value_that_it_hides(t: Talk) -> None:
    await four(t)
    answer = await t.call(t.all(keys_only=True, sort_order=ASCEND, sort_target=BY_VALUE))
    expect_keys(answer, t.k("b"), t.k("d"), t.k("a"), t.k("c"))
    expect_values(answer, b"", b"", b"", b"")


# ---- order ----


def sorting(title: str, target: int, order: int, names: str) -> None:
    async def body(t: Talk) -> None:
        await four(t)
        answer = await t.call(t.all(sort_target=target, sort_order=order))
        expect_keys(answer, *(t.k(name) for name in names))

    body.__name__ = title
    case("kv")(body)


sorting("sort_by_key_ascending", BY_KEY, ASCEND, "abcd")
sorting("sort_by_key_descending", BY_KEY, DESCEND, "dcba")
sorting("sort_by_version_ascending", BY_VERSION, ASCEND, "acdb")
sorting("sort_by_version_descending", BY_VERSION, DESCEND, "bacd")
sorting("sort_by_create_ascending", BY_CREATE, ASCEND, "dbac")
sorting("sort_by_create_descending", BY_CREATE, DESCEND, "cabd")
sorting("sort_by_mod_ascending", BY_MOD, ASCEND, "dacb")
sorting("sort_by_mod_descending", BY_MOD, DESCEND, "bcad")
sorting("sort_by_value_ascending", BY_VALUE, ASCEND, "bdac")
sorting("sort_by_value_descending", BY_VALUE, DESCEND, "cadb")
sorting("sort_target_without_order_ascends", BY_CREATE, pb.RangeRequest.NONE, "dbac")


# ---- filters ----


@case("kv")
async def min_mod_revision_leaves_older_out(t: Talk) -> None:
    revisions = await four(t)
    answer = await t.call(t.all(min_mod_revision=revisions[3]))
    expect_keys(answer, t.k("b"), t.k("c"))


@case("kv")
async def max_mod_revision_leaves_newer_out(t: Talk) -> None:
    revisions = await four(t)
    expect_keys(await t.call(t.all(max_mod_revision=revisions[2])), t.k("a"), t.k("d"))


@case("kv")
async def min_create_revision_leaves_older_out(t: Talk) -> None:
    revisions = await four(t)
    expect_keys(await t.call(t.all(min_create_revision=revisions[2])), t.k("a"), t.k("c"))


@case("kv")
async def max_create_revision_leaves_newer_out(t: Talk) -> None:
    revisions = await four(t)
    expect_keys(await t.call(t.all(max_create_revision=revisions[1])), t.k("b"), t.k("d"))


@case("kv")
async def filters_combine(t: Talk) -> None:
    revisions = await four(t)
    request = t.all(min_create_revision=revisions[1], max_mod_revision=revisions[3])
    expect_keys(await t.call(request), t.k("a"), t.k("c"))


@case("kv")
async def filters_come_before_the_limit(t: Talk) -> None:
    revisions = await four(t)
    answer = await t.call(t.all(min_create_revision=revisions[2], limit=1))
    expect_keys(answer, t.k("a"))
    expect("more", answer.more, True)


@case("kv")
async def count_is_taken_before_the_filters(t: Talk) -> None:
    revisions = await four(t)
    answer = await t.call(t.all(min_mod_revision=revisions[5]))
    expect_keys(answer, t.k("b"))
    expect("count", answer.count, 4)


# ---- revisions ----


@case("kv")
async def range_at_an_old_revision_sees_the_past(t: Talk) -> None:
    revisions = await four(t)
    answer = await t.call(t.all(revision=revisions[2]))
    expect_keys(answer, t.k("a"), t.k("b"), t.k("d"))
    expect("value of b", answer.kvs[1].value, b"2")
    expect("version of b", answer.kvs[1].version, 1)


@case("kv")
async def range_at_an_old_revision_has_the_header_of_now(t: Talk) -> None:
    revisions = await four(t)
    expect("revision", (await t.get("a", revision=revisions[0])).header.revision, revisions[5])


@case("kv")
async def range_at_the_current_revision(t: Talk) -> None:
    revisions = await four(t)
    expect("count", (await t.call(t.all(revision=revisions[5]))).count, 4)


@case("kv")
async def negative_revision_means_now(t: Talk) -> None:
    await four(t)
    expect("count", (await t.call(t.all(revision=-3))).count, 4)


@case("kv")
async def range_at_a_future_revision_is_refused(t: Talk) -> None:
    revision = (await t.put("a")).header.revision
    await t.refused(t.range("a", revision=revision + 1), errors.FUTURE_REV)
    await t.refused(t.range("a", revision=2**63 - 1), errors.FUTURE_REV)


@case("kv")
async def serializable_range_sees_own_writes_on_one_member(t: Talk) -> None:
    await t.put("a", "1")
    expect_values(await t.get("a", serializable=True), b"1")


@case("kv")
async def range_fields_of_a_pair(t: Talk) -> None:
    lease = await t.grant()
    revision = (await t.put("a", "1", lease=lease)).header.revision
    kv = (await t.get("a")).kvs[0]
    expect("key", kv.key, t.k("a"))
    expect("create_revision", kv.create_revision, revision)
    expect("mod_revision", kv.mod_revision, revision)
    expect("version", kv.version, 1)
    expect("lease", kv.lease, lease)


# ---- RangeStream ----


async def streamed(t: Talk, request: pb.RangeRequest) -> pb.RangeResponse:
    """The pieces of a RangeStream put together, as upstream tells clients to do."""
    whole = pb.RangeResponse()
    channel = await t.open(STREAM, request)
    while (piece := await channel.receive_quietly()) is not None:
        whole.MergeFrom(piece.range_response)
    return whole


@case("kv", since="3.7")
async def range_stream_equals_range(t: Talk) -> None:
    await four(t)
    whole = await streamed(t, t.all())
    plain = await t.call(t.all())
    expect(
        "pairs",
        [(kv.key, kv.value, kv.mod_revision) for kv in whole.kvs],
        [(kv.key, kv.value, kv.mod_revision) for kv in plain.kvs],
    )
    expect("count", whole.count, plain.count)
    expect("more", whole.more, plain.more)


@case("kv", since="3.7")
async def range_stream_of_nothing(t: Talk) -> None:
    whole = await streamed(t, t.all())
    expect("count", whole.count, 0)
    expect("keys", len(whole.kvs), 0)


@case("kv", since="3.7")
async def range_stream_comes_in_pieces(t: Talk) -> None:
    """Only the last piece carries the header and the count."""
    await t.txn(then=[t.op_put(f"{number:02}") for number in range(35)])
    channel = await t.open(STREAM, t.all())
    pieces = []
    while (piece := await channel.receive()) is not None:
        pieces.append(piece.range_response)
    expect_that("pieces", len(pieces) > 1, "more than one", len(pieces))
    expect("pairs in all", sum(len(piece.kvs) for piece in pieces), 35)
    expect("pieces with a header", [piece.HasField("header") for piece in pieces].count(True), 1)
    expect("count in the last", pieces[-1].count, 35)


@case("kv", since="3.7")
async def range_stream_with_limit(t: Talk) -> None:
    await four(t)
    whole = await streamed(t, t.all(limit=2))
    expect("keys", [kv.key for kv in whole.kvs], [t.k("a"), t.k("b")])
    expect("more", whole.more, True)


@case("kv", since="3.7")
async def range_stream_at_an_old_revision(t: Talk) -> None:
    revisions = await four(t)
    whole = await streamed(t, t.all(revision=revisions[0]))
    expect("keys", [kv.key for kv in whole.kvs], [t.k("d")])


@case("kv", since="3.7")
async def range_stream_keys_only(t: Talk) -> None:
    await four(t)
    expect("values", {kv.value for kv in (await streamed(t, t.all(keys_only=True))).kvs}, {b""})


@case("kv", since="3.7")
async def range_stream_count_only(t: Talk) -> None:
    await four(t)
    whole = await streamed(t, t.all(count_only=True))
    expect("count", whole.count, 4)
    expect("keys", len(whole.kvs), 0)


def stream_refusal(title: str, error: errors.RpcError, **fields: object) -> None:
    async def body(t: Talk) -> None:
        await four(t)
        channel = await t.open(STREAM, t.all(**fields))
        expect("error", await channel.error(), error)

    body.__name__ = title
    case("kv", since="3.7")(body)


stream_refusal(
    "range_stream_sorted_is_not_implemented",
    RpcError(Code.UNIMPLEMENTED, "RangeStream does not support custom sort orders"),
    sort_order=DESCEND,
)
stream_refusal(
    "range_stream_filtered_is_not_implemented",
    RpcError(Code.UNIMPLEMENTED, "RangeStream does not support revision filters"),
    min_mod_revision=1,
)
stream_refusal("range_stream_of_the_future_is_refused", errors.FUTURE_REV, revision=2**62)


@case("kv", since="3.7")
async def range_stream_without_key_is_refused(t: Talk) -> None:
    channel = await t.open(STREAM, pb.RangeRequest())
    expect("error", await channel.error(), errors.EMPTY_KEY)
