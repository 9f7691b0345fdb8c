"""Maintenance: status, hashes, alarms, defragmentation, snapshots, downgrade."""

from __future__ import annotations

import hashlib
from typing import Any

from gauntlet.api import errors
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.harness.conformance.case import case, show_version
from gauntlet.harness.conformance.expect import expect, expect_in, expect_that, expect_values
from gauntlet.harness.conformance.talk import Talk

GET, ACTIVATE, DEACTIVATE = pb.AlarmRequest.GET, pb.AlarmRequest.ACTIVATE, pb.AlarmRequest.DEACTIVATE
NONE, NOSPACE, CORRUPT = pb.NONE, pb.NOSPACE, pb.CORRUPT
SNAPSHOT = "/etcdserverpb.Maintenance/Snapshot"


# ---- status ----


@case("maintenance")
async def status_of_a_single_member(t: Talk) -> None:
    answer = await t.call(pb.StatusRequest())
    expect("version", answer.version, show_version(t.version))
    expect("leader", answer.leader, answer.header.member_id)
    expect("isLearner", answer.isLearner, False)
    expect("errors", list(answer.errors), [])
    expect_that("dbSize", answer.dbSize > 0, "above 0", answer.dbSize)
    expect_that("dbSizeInUse", 0 < answer.dbSizeInUse <= answer.dbSize, "1 to dbSize", answer.dbSizeInUse)
    expect("raftTerm", answer.raftTerm, answer.header.raft_term)
    expect_that("raftIndex", answer.raftIndex > 0, "above 0", answer.raftIndex)


@case("maintenance")
async def status_counts_what_is_applied(t: Talk) -> None:
    before = (await t.call(pb.StatusRequest())).raftAppliedIndex
    for _ in range(3):
        await t.put("a")
    after = (await t.call(pb.StatusRequest())).raftAppliedIndex
    expect_that("raftAppliedIndex", after >= before + 3, f"at least {before + 3}", after)


@case("maintenance")
async def status_header_has_the_revision(t: Talk) -> None:
    revision = (await t.put("a")).header.revision
    expect("revision", (await t.call(pb.StatusRequest())).header.revision, revision)


@case("maintenance", since="3.6")
async def status_tells_quota_and_storage_version(t: Talk) -> None:
    answer = await t.call(pb.StatusRequest())
    expect("dbSizeQuota", answer.dbSizeQuota, 2 * 1024**3)
    expect("storageVersion", answer.storageVersion, f"{t.version[0]}.{t.version[1]}.0")
    expect("downgradeInfo.enabled", answer.downgradeInfo.enabled, False)


# ---- hashes ----


@case("maintenance")
async def hash_kv_is_stable(t: Talk) -> None:
    await t.put("a", "1")
    one, other = await t.call(pb.HashKVRequest()), await t.call(pb.HashKVRequest())
    expect("hash", other.hash, one.hash)
    expect_that("hash", one.hash != 0, "not 0", one.hash)


@case("maintenance")
async def hash_kv_changes_with_every_write(t: Talk) -> None:
    await t.put("a", "1")
    one = await t.call(pb.HashKVRequest())
    await t.put("a", "1")
    other = await t.call(pb.HashKVRequest())
    expect_that("hash", one.hash != other.hash, "another one", other.hash)


@case("maintenance")
async def hash_kv_at_a_revision_does_not_change(t: Talk) -> None:
    revision = (await t.put("a", "1")).header.revision
    one = await t.call(pb.HashKVRequest(revision=revision))
    await t.put("a", "2")
    other = await t.call(pb.HashKVRequest(revision=revision))
    expect("hash", other.hash, one.hash)


@case("maintenance", since="3.6")
async def hash_kv_tells_its_revision(t: Talk) -> None:
    revision = (await t.put("a", "1")).header.revision
    await t.put("a", "2")
    expect("hash_revision", (await t.call(pb.HashKVRequest(revision=revision))).hash_revision, revision)
    expect("hash_revision now", (await t.call(pb.HashKVRequest())).hash_revision, revision + 1)


@case("maintenance")
async def hash_kv_tells_the_compaction(t: Talk) -> None:
    revision = (await t.put("a", "1")).header.revision
    await t.call(pb.CompactionRequest(revision=revision, physical=True))
    expect("compact_revision", (await t.call(pb.HashKVRequest())).compact_revision, revision)


@case("maintenance")
async def hash_kv_of_the_future_is_refused(t: Talk) -> None:
    await t.refused(pb.HashKVRequest(revision=await t.revision() + 1), errors.FUTURE_REV)


@case("maintenance")
async def hash_kv_before_the_compaction_is_refused(t: Talk) -> None:
    first = (await t.put("a", "1")).header.revision
    second = (await t.put("a", "2")).header.revision
    await t.call(pb.CompactionRequest(revision=second, physical=True))
    await t.refused(pb.HashKVRequest(revision=first), errors.COMPACTED)


@case("maintenance", fresh=True)
async def hash_kv_of_a_known_history(t: Talk) -> None:
    """Three puts and a delete give this number on every etcd: CRC-32C over "key", then all pairs."""
    await t.put(b"a", "1")
    await t.put(b"b", "2")
    await t.delete(b"a")
    await t.put(b"c", "3")
    expect("hash", (await t.call(pb.HashKVRequest())).hash, KNOWN_HASH)


KNOWN_HASH = 878_850_413


@case("maintenance")
async def hash_answers(t: Talk) -> None:
    answer = await t.call(pb.HashRequest())
    expect_that("hash", answer.hash != 0, "not 0", answer.hash)


# ---- alarms ----


async def raised(t: Talk) -> list[tuple[Any, Any]]:
    answer = await t.call(pb.AlarmRequest(action=GET, alarm=NONE))
    return [(alarm.memberID, alarm.alarm) for alarm in answer.alarms]


@case("maintenance", fresh=True)
async def no_alarm_at_first(t: Talk) -> None:
    expect("alarms", await raised(t), [])


@case("maintenance", group="alone")
async def an_alarm_is_raised_listed_and_disarmed(t: Talk) -> None:
    member = (await t.call(pb.StatusRequest())).header.member_id
    answer = await t.call(pb.AlarmRequest(action=ACTIVATE, memberID=member, alarm=NOSPACE))
    expect("alarms in the answer", [(a.memberID, a.alarm) for a in answer.alarms], [(member, NOSPACE)])
    expect("alarms", await raised(t), [(member, NOSPACE)])
    answer = await t.call(pb.AlarmRequest(action=DEACTIVATE, memberID=member, alarm=NOSPACE))
    expect("alarms disarmed", [(a.memberID, a.alarm) for a in answer.alarms], [(member, NOSPACE)])
    expect("alarms afterwards", await raised(t), [])


@case("maintenance", group="alone")
async def alarms_are_listed_by_type(t: Talk) -> None:
    await t.call(pb.AlarmRequest(action=ACTIVATE, memberID=7, alarm=NOSPACE))
    answer = await t.call(pb.AlarmRequest(action=GET, alarm=CORRUPT))
    expect("corrupt alarms", len(answer.alarms), 0)
    answer = await t.call(pb.AlarmRequest(action=GET, alarm=NOSPACE))
    expect("nospace alarms", len(answer.alarms), 1)


@case("maintenance", group="alone")
async def disarming_what_is_not_raised_answers_nothing(t: Talk) -> None:
    answer = await t.call(pb.AlarmRequest(action=DEACTIVATE, memberID=7, alarm=NOSPACE))
    expect("alarms", len(answer.alarms), 0)


@case("maintenance", group="alone")
async def raising_an_alarm_twice_is_one_alarm(t: Talk) -> None:
    for _ in range(2):
        await t.call(pb.AlarmRequest(action=ACTIVATE, memberID=7, alarm=NOSPACE))
    expect("alarms", await raised(t), [(7, NOSPACE)])


@case("maintenance", group="alone")
async def nospace_stops_puts_and_not_reads_or_deletes(t: Talk) -> None:
    await t.put("a", "1")
    lease = await t.grant()
    await t.call(pb.AlarmRequest(action=ACTIVATE, memberID=7, alarm=NOSPACE))
    await t.refused(pb.PutRequest(key=t.k("a")), errors.NO_SPACE)
    await t.refused(pb.TxnRequest(success=[t.op_put("a")]), errors.NO_SPACE)
    await t.refused(pb.LeaseGrantRequest(ID=t.new_lease(), TTL=60), errors.NO_SPACE)
    expect_values(await t.get("a"), b"1")
    await t.txn(then=[t.op_get("a")])
    expect("deleted", (await t.delete("a")).deleted, 1)
    await t.call(pb.LeaseRevokeRequest(ID=lease))
    await t.call(pb.AlarmRequest(action=DEACTIVATE, memberID=7, alarm=NOSPACE))
    await t.put("a", "2")


@case("maintenance", group="alone")
async def status_names_the_alarms(t: Talk) -> None:
    await t.call(pb.AlarmRequest(action=ACTIVATE, memberID=7, alarm=NOSPACE))
    found = list((await t.call(pb.StatusRequest())).errors)
    expect("errors", [" ".join(text.split()) for text in found], ["memberID:7 alarm:NOSPACE"])


@case("maintenance", group="alone")
async def corrupt_stops_everything_but_maintenance(t: Talk) -> None:
    await t.put("a", "1")
    await t.call(pb.AlarmRequest(action=ACTIVATE, memberID=7, alarm=CORRUPT))
    await t.refused(pb.PutRequest(key=t.k("a")), errors.CORRUPT)
    await t.refused(pb.DeleteRangeRequest(key=t.k("a")), errors.CORRUPT)
    await t.refused(pb.TxnRequest(success=[t.op_put("a")]), errors.CORRUPT)
    await t.call(pb.StatusRequest())
    await t.call(pb.AlarmRequest(action=DEACTIVATE, memberID=7, alarm=CORRUPT))
    await t.put("a", "2")


# ---- defragment, snapshot ----


@case("maintenance")
async def defragment_keeps_the_data(t: Talk) -> None:
    await t.put("a", "1")
    await t.call(pb.DefragmentRequest(), timeout=15)
    expect_values(await t.get("a"), b"1")


@case("maintenance")
async def a_snapshot_ends_with_its_checksum(t: Talk) -> None:
    await t.put("a", "1")
    channel = await t.open(SNAPSHOT, pb.SnapshotRequest())
    blobs, remaining = [], []
    while (piece := await channel.receive_quietly()) is not None:
        blobs.append(piece.blob)
        remaining.append(piece.remaining_bytes)
    data, checksum = b"".join(blobs[:-1]), blobs[-1]
    expect("bytes of the checksum", len(checksum), 32)
    expect("checksum", checksum, hashlib.sha256(data).digest())
    expect("last remaining_bytes", remaining[-1], 0)
    expect("size is a multiple of 512", len(data) % 512, 0)
    expect("remaining_bytes counts down", remaining, sorted(remaining, reverse=True))
    expect("first remaining_bytes", remaining[0], len(data) - len(blobs[0]))


@case("maintenance", since="3.6")
async def a_snapshot_names_the_storage_version(t: Talk) -> None:
    channel = await t.open(SNAPSHOT, pb.SnapshotRequest())
    piece = await channel.receive_quietly()
    expect("version", piece.version, f"{t.version[0]}.{t.version[1]}.0")


# ---- leader, downgrade ----


@case("maintenance")
async def moving_the_leader_to_a_stranger_is_refused(t: Talk) -> None:
    await t.refused(pb.MoveLeaderRequest(targetID=4711), errors.BAD_LEADER_TRANSFEREE)


@case("maintenance")
async def moving_the_leader_to_itself_changes_nothing(t: Talk) -> None:
    member = (await t.call(pb.StatusRequest())).header.member_id
    await t.call(pb.MoveLeaderRequest(targetID=member))


def one_minor_less(t: Talk) -> str:
    return f"{t.version[0]}.{t.version[1] - 1}.0"


@case("maintenance", since="3.6")
async def downgrade_validate_accepts_one_minor_less(t: Talk) -> None:
    answer = await t.call(pb.DowngradeRequest(action=pb.DowngradeRequest.VALIDATE, version=one_minor_less(t)))
    expect_in(
        "version", answer.version, (f"{t.version[0]}.{t.version[1]}", f"{t.version[0]}.{t.version[1]}.0")
    )


@case("maintenance", since="3.5")
async def downgrade_to_the_same_version_is_refused(t: Talk) -> None:
    request = pb.DowngradeRequest(
        action=pb.DowngradeRequest.VALIDATE, version=f"{t.version[0]}.{t.version[1]}.0"
    )
    await t.refused(request, errors.INVALID_DOWNGRADE_TARGET_VERSION)


@case("maintenance", since="3.5")
async def downgrade_by_two_minors_is_refused(t: Talk) -> None:
    request = pb.DowngradeRequest(action=pb.DowngradeRequest.VALIDATE, version="3.2.0")
    await t.refused(request, errors.INVALID_DOWNGRADE_TARGET_VERSION)


@case("maintenance", since="3.5")
async def downgrade_to_nonsense_is_refused(t: Talk) -> None:
    request = pb.DowngradeRequest(action=pb.DowngradeRequest.VALIDATE, version="nonsense")
    await t.refused(request, errors.WRONG_DOWNGRADE_VERSION_FORMAT)


@case("maintenance", since="3.6")
async def cancelling_no_downgrade_succeeds(t: Talk) -> None:
    await t.call(pb.DowngradeRequest(action=pb.DowngradeRequest.CANCEL))


@case("maintenance", since="3.5", until="3.6")
async def cancelling_no_downgrade_is_refused(t: Talk) -> None:
    request = pb.DowngradeRequest(action=pb.DowngradeRequest.CANCEL)
    await t.refused(request, errors.NO_INFLIGHT_DOWNGRADE)


@case("maintenance", since="3.6", fresh=True)
async def a_downgrade_is_enabled_once_and_cancelled(t: Talk) -> None:
    enable = pb.DowngradeRequest(action=pb.DowngradeRequest.ENABLE, version=one_minor_less(t))
    await t.call(enable)
    info = (await t.call(pb.StatusRequest())).downgradeInfo
    expect("enabled", info.enabled, True)
    expect("targetVersion", info.targetVersion, one_minor_less(t))
    await t.refused(enable, errors.DOWNGRADE_IN_PROCESS)
    await t.call(pb.DowngradeRequest(action=pb.DowngradeRequest.CANCEL))
    expect("enabled afterwards", (await t.call(pb.StatusRequest())).downgradeInfo.enabled, False)


# ---- quota ----

QUOTA, VALUE = 4_000_000, 200_000  # bytes


@case("maintenance", flags=(f"--quota-backend-bytes={QUOTA}",), fresh=True, timeout=40)
async def a_full_store_refuses_puts_until_disarmed(t: Talk) -> None:
    """Values are taken up to about the quota, then none until room is made and the alarm disarmed.

    etcd learns its size when it commits, every 100 ms or when a hash is asked for, and not before. How many
    values just fit depends on its pages, so they are put out of sight of a comparison.
    """
    taken = await fill(t)
    expect_in("values taken", taken, range(QUOTA // VALUE // 2, QUOTA // VALUE + 2))
    t.base = t.names.base = await t.revision()
    await t.refused(pb.PutRequest(key=t.k("more"), value=bytes(VALUE)), errors.NO_SPACE)
    alarms = await raised(t)
    expect("alarms", [kind for _, kind in alarms], [NOSPACE])
    deleted = await t.client().delete(t.prefix, t.after)
    expect("values deleted", deleted.deleted, taken)
    await t.call(pb.CompactionRequest(revision=await t.revision(), physical=True))
    await t.call(pb.DefragmentRequest(), timeout=15)
    for member, kind in alarms:
        await t.call(pb.AlarmRequest(action=DEACTIVATE, memberID=member, alarm=kind))
    expect("alarms afterwards", await raised(t), [])
    await t.put("a", "1")


async def fill(t: Talk) -> int:
    """Puts values until one is refused, and says how many were not."""
    client = t.client()
    for number in range(4 * QUOTA // VALUE):
        try:
            await client.put(t.k(f"{number}"), bytes(VALUE))
            await client.call("/etcdserverpb.Maintenance/Hash", pb.HashRequest())
        except errors.RpcError as error:
            if error == errors.NO_SPACE:
                return number
            raise
    return 4 * QUOTA // VALUE
