"""KV: put and delete."""

from __future__ import annotations

from gauntlet.api import errors
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.harness.conformance.case import case
from gauntlet.harness.conformance.expect import expect, expect_keys, expect_that, expect_unset, expect_values
from gauntlet.harness.conformance.talk import ALL, Talk

# ---- put ----


@case("kv")
async def put_then_get(t: Talk) -> None:
    """A value that was put is read back, byte for byte."""
    await t.put("a", bytes(range(256)))
    expect_values(await t.get("a"), bytes(range(256)))


@case("kv")
async def put_raises_the_revision_by_one(t: Talk) -> None:
    first = await t.put("a", "1")
    second = await t.put("b", "2")
    expect("revision", second.header.revision, first.header.revision + 1)


@case("kv")
async def put_header_names_cluster_member_and_term(t: Talk) -> None:
    header = (await t.put("a")).header
    expect_that("cluster_id", header.cluster_id != 0, "not 0", header.cluster_id)
    expect_that("member_id", header.member_id != 0, "not 0", header.member_id)
    expect_that("raft_term", header.raft_term > 0, "above 0", header.raft_term)


@case("kv")
async def put_without_prev_kv_returns_none(t: Talk) -> None:
    await t.put("a", "1")
    expect_unset(await t.put("a", "2"), "prev_kv")


@case("kv")
async def put_with_prev_kv_returns_what_was_there(t: Talk) -> None:
    first = await t.put("a", "1")
    previous = (await t.put("a", "2", prev_kv=True)).prev_kv
    expect("key", previous.key, t.k("a"))
    expect("value", previous.value, b"1")
    expect("version", previous.version, 1)
    expect("mod_revision", previous.mod_revision, first.header.revision)


@case("kv")
async def put_with_prev_kv_of_a_new_key_returns_none(t: Talk) -> None:
    expect_unset(await t.put("a", "1", prev_kv=True), "prev_kv")


@case("kv")
async def put_counts_versions_and_keeps_create_revision(t: Talk) -> None:
    created = (await t.put("a", "1")).header.revision
    await t.put("a", "2")
    modified = (await t.put("a", "3")).header.revision
    kv = (await t.get("a")).kvs[0]
    expect("create_revision", kv.create_revision, created)
    expect("mod_revision", kv.mod_revision, modified)
    expect("version", kv.version, 3)


@case("kv")
async def put_of_the_same_value_is_a_modification(t: Talk) -> None:
    await t.put("a", "1")
    revision = (await t.put("a", "1")).header.revision
    kv = (await t.get("a")).kvs[0]
    expect("mod_revision", kv.mod_revision, revision)
    expect("version", kv.version, 2)


@case("kv")
async def put_after_delete_begins_a_new_generation(t: Talk) -> None:
    await t.put("a", "1")
    await t.put("a", "2")
    await t.delete("a")
    revision = (await t.put("a", "3")).header.revision
    kv = (await t.get("a")).kvs[0]
    expect("create_revision", kv.create_revision, revision)
    expect("version", kv.version, 1)


@case("kv")
async def put_of_an_empty_value(t: Talk) -> None:
    await t.put("a", b"")
    answer = await t.get("a")
    expect("count", answer.count, 1)
    expect_values(answer, b"")


@case("kv")
async def put_accepts_any_bytes_as_key(t: Talk) -> None:
    key = t.prefix + b"\x00\xff\xfe/\n"
    await t.put(key, "1")
    expect_keys(await t.get(key), key)


@case("kv")
async def put_ignore_value_keeps_the_value(t: Talk) -> None:
    await t.put("a", "1")
    await t.put("a", ignore_value=True)
    kv = (await t.get("a")).kvs[0]
    expect("value", kv.value, b"1")
    expect("version", kv.version, 2)


@case("kv")
async def put_ignore_value_can_change_the_lease(t: Talk) -> None:
    lease = await t.grant()
    await t.put("a", "1")
    await t.put("a", ignore_value=True, lease=lease)
    expect("lease", (await t.get("a")).kvs[0].lease, lease)


@case("kv")
async def put_ignore_lease_keeps_the_lease(t: Talk) -> None:
    lease = await t.grant()
    await t.put("a", "1", lease=lease)
    await t.put("a", "2", ignore_lease=True)
    kv = (await t.get("a")).kvs[0]
    expect("lease", kv.lease, lease)
    expect("value", kv.value, b"2")


@case("kv")
async def put_ignoring_both_only_counts_a_version(t: Talk) -> None:
    lease = await t.grant()
    await t.put("a", "1", lease=lease)
    await t.put("a", ignore_value=True, ignore_lease=True)
    kv = (await t.get("a")).kvs[0]
    expect("value", kv.value, b"1")
    expect("lease", kv.lease, lease)
    expect("version", kv.version, 2)


@case("kv")
async def put_without_lease_detaches_it(t: Talk) -> None:
    lease = await t.grant()
    await t.put("a", "1", lease=lease)
    await t.put("a", "2")
    expect("lease", (await t.get("a")).kvs[0].lease, 0)
    answer = await t.call(pb.LeaseTimeToLiveRequest(ID=lease, keys=True))
    expect("attached keys", list(answer.keys), [])


@case("kv")
async def put_prev_kv_with_ignore_value(t: Talk) -> None:
    await t.put("a", "1")
    answer = await t.put("a", ignore_value=True, prev_kv=True)
    expect("prev_kv.value", answer.prev_kv.value, b"1")


@case("kv")
async def a_failed_put_does_not_raise_the_revision(t: Talk) -> None:
    before = await t.revision()
    await t.refused(pb.PutRequest(key=t.k("a"), lease=t.new_lease()), errors.LEASE_NOT_FOUND)
    expect("revision", await t.revision(), before)


@case("kv")
async def puts_over_two_connections_are_seen_by_both(t: Talk) -> None:
    await t.put("a", "1")
    await t.put("a", "2", via="/b")
    expect_values(await t.get("a"), b"2")


# ---- delete ----


@case("kv")
async def delete_one_key(t: Talk) -> None:
    await t.put("a", "1")
    await t.put("b", "2")
    expect("deleted", (await t.delete("a")).deleted, 1)
    expect_keys(await t.call(t.all()), t.k("b"))


@case("kv")
async def delete_of_an_absent_key_deletes_nothing_and_makes_no_revision(t: Talk) -> None:
    before = await t.revision()
    answer = await t.delete("a")
    expect("deleted", answer.deleted, 0)
    expect("revision", answer.header.revision, before)
    expect("revision afterwards", await t.revision(), before)


@case("kv")
async def delete_of_a_range_leaves_its_end(t: Talk) -> None:
    for name in "abcd":
        await t.put(name)
    expect("deleted", (await t.delete("a", "c")).deleted, 2)
    expect_keys(await t.call(t.all()), t.k("c"), t.k("d"))


@case("kv")
async def delete_of_a_range_is_one_revision(t: Talk) -> None:
    for name in "abc":
        await t.put(name)
    before = await t.revision()
    answer = await t.delete("a", "z")
    expect("deleted", answer.deleted, 3)
    expect("revision", answer.header.revision, before + 1)


@case("kv")
async def delete_of_an_empty_range_deletes_nothing(t: Talk) -> None:
    await t.put("b")
    expect("deleted with the end before the key", (await t.delete("c", "a")).deleted, 0)
    expect("deleted with the end at the key", (await t.delete("b", "b")).deleted, 0)


@case("kv", group="alone")
async def delete_from_key(t: Talk) -> None:
    """A range end of one zero byte means everything from the key on."""
    for name in (b"a", b"b", b"c", b"\xff\xff"):
        await t.put(name)
    expect("deleted", (await t.delete(b"b", ALL)).deleted, 3)
    expect_keys(await t.get(b"\0", ALL), b"a")


@case("kv", group="alone")
async def delete_everything(t: Talk) -> None:
    for name in (b"\0", b"a", b"\xff"):
        await t.put(name)
    expect("deleted", (await t.delete(b"\0", ALL)).deleted, 3)
    expect("count", (await t.get(b"\0", ALL)).count, 0)


@case("kv")
async def delete_without_prev_kv_returns_no_pairs(t: Talk) -> None:
    await t.put("a", "1")
    expect("prev_kvs", len((await t.delete("a")).prev_kvs), 0)


@case("kv")
async def delete_with_prev_kv_returns_the_pairs_in_order(t: Talk) -> None:
    lease = await t.grant()
    await t.put("b", "2", lease=lease)
    await t.put("a", "1")
    answer = await t.delete("a", "z", prev_kv=True)
    expect("prev_kvs", [(kv.key, kv.value) for kv in answer.prev_kvs], [(t.k("a"), b"1"), (t.k("b"), b"2")])
    expect("lease of the second", answer.prev_kvs[1].lease, lease)


@case("kv")
async def delete_twice(t: Talk) -> None:
    await t.put("a")
    expect("first", (await t.delete("a")).deleted, 1)
    expect("second", (await t.delete("a")).deleted, 0)


@case("kv")
async def delete_detaches_the_lease(t: Talk) -> None:
    lease = await t.grant()
    await t.put("a", lease=lease)
    await t.delete("a")
    answer = await t.call(pb.LeaseTimeToLiveRequest(ID=lease, keys=True))
    expect("attached keys", list(answer.keys), [])


@case("kv")
async def a_deleted_key_is_read_at_its_old_revision(t: Talk) -> None:
    revision = (await t.put("a", "1")).header.revision
    await t.delete("a")
    expect_values(await t.get("a", revision=revision), b"1")
    expect("count now", (await t.get("a")).count, 0)
