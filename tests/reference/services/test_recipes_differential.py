"""Locks, elections, health and downgrades: the same calls to our node and to etcd 3.7.1, the same answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.messages import grpc_health_v1 as health
from gauntlet.api.messages import v3electionpb as epb
from gauntlet.api.messages import v3lockpb as lpb

pytestmark = [pytest.mark.upstream, pytest.mark.slow]
Same = Callable[..., None]

LOCK, UNLOCK = "v3lockpb.Lock/Lock", "v3lockpb.Lock/Unlock"
ELECTION = "v3electionpb.Election/"
PUT, RANGE, DELETE = "etcdserverpb.KV/Put", "etcdserverpb.KV/Range", "etcdserverpb.KV/DeleteRange"


def until(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline
        pause.wait(0.02)


def keys(client: Any, prefix: bytes) -> list[Any]:
    request = pb.RangeRequest(key=prefix, range_end=prefix + b"\xff")
    return client(RANGE, request)[1].get("kvs", [])  # type: ignore[no-any-return]  # client is a fixture's


def grant(client: Any, *numbers: int) -> None:
    for number in numbers:
        assert client("etcdserverpb.Lease/LeaseGrant", pb.LeaseGrantRequest(ID=number, TTL=500))[0] == "OK"


def test_locks(same: Same) -> None:
    def script(client: Any) -> list[Any]:
        notes: list[Any] = []

        def note(path: str, request: Any) -> None:
            notes.append((path, str(request), client(path, request)))

        grant(client, 0xA, 0xB, 0xC, 0xD)
        note(LOCK, lpb.LockRequest(name=b"n", lease=0xA))
        note(LOCK, lpb.LockRequest(name=b"n", lease=0xA))
        note(LOCK, lpb.LockRequest(name=b"", lease=0xA))
        note(LOCK, lpb.LockRequest(name=b"n", lease=0x999))
        note(LOCK, lpb.LockRequest(name=b"n", lease=-5))
        # Two wait; the first in line gets it, the other when the first's lease is gone.
        second = client.later(LOCK, lpb.LockRequest(name=b"n", lease=0xB))
        until(lambda: len(keys(client, b"n/")) == 2)
        third = client.later(LOCK, lpb.LockRequest(name=b"n", lease=0xC))
        until(lambda: len(keys(client, b"n/")) == 3)
        notes.append((second.done(), third.done()))
        note(UNLOCK, lpb.UnlockRequest(key=b"n/a"))
        notes.append(second.result())
        notes.append(third.done())
        note("etcdserverpb.Lease/LeaseRevoke", pb.LeaseRevokeRequest(ID=0xB))
        notes.append(third.result())
        # One whose deadline passes, and one that is cancelled, leave no key behind.
        notes.append(client.later(LOCK, lpb.LockRequest(name=b"n", lease=0xD), timeout=0.5).result()[0])
        until(lambda: len(keys(client, b"n/")) == 1)
        fourth = client.later(LOCK, lpb.LockRequest(name=b"n", lease=0xD))
        until(lambda: len(keys(client, b"n/")) == 2)
        fourth.call.cancel()
        until(lambda: len(keys(client, b"n/")) == 1)
        # One whose key disappears while it waits.
        fifth = client.later(LOCK, lpb.LockRequest(name=b"n", lease=0xD))
        until(lambda: len(keys(client, b"n/")) == 2)
        note("etcdserverpb.Lease/LeaseRevoke", pb.LeaseRevokeRequest(ID=0xD))
        notes.append(fifth.done())
        note(UNLOCK, lpb.UnlockRequest(key=b"n/c"))
        notes.append(fifth.result())
        note(UNLOCK, lpb.UnlockRequest(key=b"n/none"))
        note(UNLOCK, lpb.UnlockRequest())
        notes.append(keys(client, b"n"))
        # Without a lease the server makes one.
        code, answer = client(LOCK, lpb.LockRequest(name=b"own"))
        leases = client("etcdserverpb.Lease/LeaseLeases", pb.LeaseLeasesRequest())[1]["leases"]
        notes.append((code, answer["header"], len(leases)))
        kv = keys(client, b"own/")[0]
        ttl = client("etcdserverpb.Lease/LeaseTimeToLive", pb.LeaseTimeToLiveRequest(ID=int(kv["lease"])))
        notes.append(ttl[1]["grantedTTL"])
        return notes

    same(script)


def test_elections(same: Same) -> None:
    def script(client: Any) -> list[Any]:
        notes: list[Any] = []

        def note(method: str, request: Any) -> Any:
            answer = client(ELECTION + method, request)
            notes.append((method, str(request), answer))
            return answer

        grant(client, 0xA, 0xB, 0xC)
        note("Leader", epb.LeaderRequest(name=b"e"))
        note("Proclaim", epb.ProclaimRequest())
        note("Resign", epb.ResignRequest())
        note("Proclaim", epb.ProclaimRequest(leader=epb.LeaderKey(name=b"e", lease=0xA)))
        note("Resign", epb.ResignRequest(leader=epb.LeaderKey(name=b"e", lease=0xA)))
        observer = client.stream(ELECTION + "Observe", epb.LeaderRequest(name=b"e"))
        note("Campaign", epb.CampaignRequest(name=b"e", lease=0xA, value=b"one"))
        notes.append(observer.next())
        note("Campaign", epb.CampaignRequest(name=b"e", lease=0xA, value=b"one"))
        note("Campaign", epb.CampaignRequest(name=b"e", lease=0xA, value=b"two"))
        notes.append(observer.next())
        note("Campaign", epb.CampaignRequest(name=b"e", lease=0x99, value=b"two"))
        note("Leader", epb.LeaderRequest(name=b"e"))
        first = epb.LeaderKey(name=b"e", key=b"e/a", rev=2, lease=0xA)
        note("Proclaim", epb.ProclaimRequest(leader=first, value=b"three"))
        notes.append(observer.next())
        wrong = epb.LeaderKey(name=b"e", key=b"e/a", rev=3, lease=0xA)
        note("Proclaim", epb.ProclaimRequest(leader=wrong, value=b"four"))
        note("Resign", epb.ResignRequest(leader=wrong))
        second = client.later(ELECTION + "Campaign", epb.CampaignRequest(name=b"e", lease=0xB, value=b"b"))
        until(lambda: len(keys(client, b"e/")) == 2)
        third = client.later(ELECTION + "Campaign", epb.CampaignRequest(name=b"e", lease=0xC, value=b"c"))
        until(lambda: len(keys(client, b"e/")) == 3)
        third.call.cancel()
        until(lambda: len(keys(client, b"e/")) == 2)
        late = client.later(ELECTION + "Campaign", epb.CampaignRequest(name=b"e", lease=0xC), timeout=0.5)
        notes.append(late.result()[0])
        until(lambda: len(keys(client, b"e/")) == 2)
        notes.append(second.done())
        note("Resign", epb.ResignRequest(leader=first))
        notes.append(second.result())
        notes.append(observer.next())
        note("Resign", epb.ResignRequest(leader=first))
        observer.close()
        again = client.stream(ELECTION + "Observe", epb.LeaderRequest(name=b"e"))
        notes.append(again.next())
        client(DELETE, pb.DeleteRangeRequest(key=b"e/b"))
        note("Leader", epb.LeaderRequest(name=b"e"))
        client(PUT, pb.PutRequest(key=b"e/other", value=b"x"))
        notes.append(again.next())
        again.close()
        # A proclamation without a lease gets one of its own.
        code, _ = client(ELECTION + "Proclaim", epb.ProclaimRequest(leader=epb.LeaderKey(key=b"q", rev=9)))
        leases = client("etcdserverpb.Lease/LeaseLeases", pb.LeaseLeasesRequest())[1]["leases"]
        notes.append((code, len(leases)))
        notes.append(keys(client, b"e"))
        return notes

    same(script)


def test_health_and_downgrade(same: Same) -> None:
    def script(client: Any) -> list[Any]:
        notes: list[Any] = []
        status = "grpc.health.v1.Health/"
        for name in ("", "etcdserverpb.KV", "nonsense"):
            request = health.HealthCheckRequest(service=name)
            notes.append(client(status + "Check", request))
            stream = client.stream(status + "Watch", request)
            notes.append(stream.next())
            stream.close()
        notes.append(client(status + "List", health.HealthListRequest()))
        downgrade = "etcdserverpb.Maintenance/Downgrade"
        # The cluster version is settled a moment after the start.
        until(lambda: client(downgrade, pb.DowngradeRequest(action=0, version="3.6.0"))[0] == "OK")
        for action in (0, 1):
            for version in ("", "x", "3", "3.6.0.0", "3.7.0", "3.5", "3.8.0", "v3.6.0", "3.6.0-rc.1", "3.6"):
                request = pb.DowngradeRequest(action=action, version=version)
                notes.append((str(request), client(downgrade, request)))
        notes.append(client(downgrade, pb.DowngradeRequest(action=0, version="3.6.0")))
        info = client("etcdserverpb.Maintenance/Status", pb.StatusRequest())[1]["downgradeInfo"]
        notes.append(info)
        notes.append(client(downgrade, pb.DowngradeRequest(action=9, version="3.6.0")))
        notes.append(client(downgrade, pb.DowngradeRequest(action=2))[0])
        notes.append(client(downgrade, pb.DowngradeRequest(action=2))[0])
        info = client("etcdserverpb.Maintenance/Status", pb.StatusRequest())[1]["downgradeInfo"]
        notes.append(info)
        return notes

    same(script)
