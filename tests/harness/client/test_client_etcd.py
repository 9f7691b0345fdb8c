"""The recording client against real etcd: what each method sends, and what comes back."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable

import pytest
from gauntlet.api import errors
from gauntlet.api.errors import Code, RpcError
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.messages import mvccpb
from gauntlet.harness.client import EtcdClient, Tls


def etcd_test(body: Callable[[EtcdClient], Awaitable[None]]) -> Callable[[str], None]:
    """A test that gets a client of the member, in a loop of its own, with a limit on the whole."""

    def test(etcd: str) -> None:
        async def run() -> None:
            async with asyncio.timeout(30), EtcdClient(etcd) as client:
                await body(client)

        asyncio.run(run())

    test.__doc__ = body.__doc__
    return pytest.mark.upstream(test)


@etcd_test
async def test_kv(client: EtcdClient) -> None:
    first = await client.put(b"kv/a", b"1")
    second = await client.put(b"kv/a", b"2", prev_kv=True)
    assert second.header.revision == first.header.revision + 1
    assert second.prev_kv.value == b"1"
    assert [kv.value for kv in (await client.get(b"kv/a")).kvs] == [b"2"]
    old = await client.get(b"kv/a", revision=first.header.revision)
    assert [kv.value for kv in old.kvs] == [b"1"]

    equal = pb.Compare(
        key=b"kv/a", target=pb.Compare.MOD, result=pb.Compare.EQUAL, mod_revision=second.header.revision
    )
    write = pb.RequestOp(request_put=pb.PutRequest(key=b"kv/a", value=b"3"))
    read = pb.RequestOp(request_range=pb.RangeRequest(key=b"kv/a"))
    assert (await client.txn([equal], [write], [read])).succeeded
    again = await client.txn([equal], [write], [read])
    assert not again.succeeded
    assert again.responses[0].response_range.kvs[0].value == b"3"

    assert (await client.delete(b"kv/", b"kv0")).deleted == 1
    assert (await client.get(b"kv/a", serializable=True)).count == 0


@etcd_test
async def test_refusals_are_etcds(client: EtcdClient) -> None:
    put = await client.put(b"r", b"1")
    await client.put(b"r", b"2")
    await client.compact(put.header.revision + 1, physical=True)
    for attempt, expected in [
        (client.get(b""), errors.EMPTY_KEY),
        (client.get(b"r", revision=put.header.revision), errors.COMPACTED),
        (client.get(b"r", revision=1 << 40), errors.FUTURE_REV),
        (client.put(b"r", b"3", lease=12345), errors.LEASE_NOT_FOUND),
        (client.lease_revoke(12345), errors.LEASE_NOT_FOUND),
        (client.move_leader(12345), errors.BAD_LEADER_TRANSFEREE),
        (client.member_remove(12345), errors.MEMBER_NOT_FOUND),
        (client.authenticate("u", "p"), errors.AUTH_NOT_ENABLED),
        (client.put(b"r", b"x" * 1_700_000), errors.REQUEST_TOO_LARGE),
    ]:
        with pytest.raises(RpcError) as caught:
            await attempt
        assert caught.value == expected
        assert caught.value.definite
    assert (await client.get(b"r")).kvs[0].value == b"2"


@etcd_test
async def test_watch(client: EtcdClient) -> None:
    create = pb.WatchRequest(create_request=pb.WatchCreateRequest(key=b"w/", range_end=b"w0", prev_kv=True))
    async with await client.watch(create) as stream:
        created = await stream.receive(5)
        assert created is not None
        assert created.created
        with pytest.raises(TimeoutError):
            await stream.receive(0.05)
        await client.put(b"w/1", b"a")
        await client.delete(b"w/1")
        events: list[mvccpb.Event] = []
        async for response in stream:
            events += response.events
            if len(events) == 2:
                break
        assert [event.type for event in events] == [mvccpb.Event.PUT, mvccpb.Event.DELETE]
        assert events[1].prev_kv.value == b"a"
        await stream.send(pb.WatchRequest(cancel_request=pb.WatchCancelRequest(watch_id=created.watch_id)))
        canceled = await stream.receive(5)
        assert canceled is not None
        assert canceled.canceled
    with pytest.raises(RpcError) as caught:
        await stream.receive(5)
    assert caught.value.code is Code.CANCELLED
    with pytest.raises(RpcError):
        await stream.send(create)


@etcd_test
async def test_leases(client: EtcdClient) -> None:
    granted = await client.lease_grant(60, 4711)
    assert (granted.ID, granted.TTL) == (4711, 60)
    await client.put(b"l", b"1", lease=4711)
    async with await client.lease_keep_alive(4711) as stream:
        renewed = await stream.receive(5)
        assert renewed is not None
        assert renewed.TTL == 60
        await stream.send(pb.LeaseKeepAliveRequest(ID=1))
        gone = await stream.receive(5)
        assert gone is not None
        assert gone.TTL == 0
    assert list((await client.lease_time_to_live(4711, keys=True)).keys) == [b"l"]
    assert 4711 in [lease.ID for lease in (await client.leases()).leases]
    await client.lease_revoke(4711)
    assert (await client.get(b"l")).count == 0


@etcd_test
async def test_cluster_and_maintenance(client: EtcdClient) -> None:
    members = (await client.member_list()).members
    assert [member.name for member in members] == ["m1"]
    status = await client.status()
    assert status.leader == members[0].ID == status.header.member_id
    revision = (await client.put(b"m", b"1")).header.revision
    hashed = await client.hash_kv(revision)
    assert hashed.hash == (await client.hash_kv(revision)).hash
    assert not (await client.alarm()).alarms
    await client.defragment()
    updated = await client.member_update(members[0].ID, list(members[0].peerURLs))
    assert len(updated.members) == 1


@etcd_test
async def test_snapshot_is_whole(client: EtcdClient) -> None:
    """The stream is the database followed by its sha256, and ends by itself."""
    await client.put(b"snap", b"x" * 100_000)
    data = b""
    async with await client.snapshot(timeout=20) as stream:
        async for piece in stream:
            data += piece.blob
        with pytest.raises(RpcError):
            await stream.send(pb.SnapshotRequest())
    assert hashlib.sha256(data[:-32]).digest() == data[-32:]


@etcd_test
async def test_calls_by_path(client: EtcdClient) -> None:
    response = await client.call("/etcdserverpb.KV/Put", pb.PutRequest(key=b"p", value=b"1"), timeout=5)
    assert isinstance(response, pb.PutResponse)
    version = (await client.status()).version
    stream = await client.stream("/etcdserverpb.KV/RangeStream", pb.RangeRequest(key=b"p"), timeout=5)
    async with stream:
        if tuple(int(part) for part in version.split(".")[:2]) < (3, 7):
            with pytest.raises(RpcError) as caught:
                await stream.receive(5)
            assert (caught.value.code, caught.value.definite) == (Code.UNIMPLEMENTED, True)
        else:
            answers = [answer async for answer in stream]
            assert isinstance(answers[0], pb.RangeStreamResponse)
            assert answers[0].range_response.kvs[0].value == b"1"


@etcd_test
async def test_many_calls_on_one_connection(client: EtcdClient) -> None:
    results = await asyncio.gather(*(client.put(b"many/%d" % n, b"v") for n in range(200)))
    assert len({result.header.revision for result in results}) == 200


@pytest.mark.upstream
def test_tls_is_asked_for_and_plain_servers_are_not_mistaken(etcd: str) -> None:
    """A plain server cannot complete the handshake: nothing is sent, so the failure is definite."""

    async def run() -> None:
        async with EtcdClient(etcd, tls=Tls(server_name="etcd.example")) as client:
            with pytest.raises(RpcError) as caught:
                await client.put(b"k", b"v")
            assert (caught.value.code, caught.value.definite) == (Code.UNAVAILABLE, True)

    asyncio.run(run())
