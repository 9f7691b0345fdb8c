"""When the leader looks at the members' versions, and when it ends a downgrade."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.reference.membership import Downgrade, Member
from gauntlet.reference.server.versions import DOWNGRADE_INTERVAL, INTERVAL, VersionMonitor


class Leader:
    """As much of a node as the monitor asks for; it is the only member."""

    def __init__(self) -> None:
        self.leads = True
        self.time = 100.0
        self.proposed: list[tuple[float, str]] = []
        self.config = SimpleNamespace(member_id=1)
        cluster = SimpleNamespace(
            version="3.6.0", downgrade=Downgrade(True, "3.6.0"), members=lambda: [Member(1)]
        )
        self.machine = SimpleNamespace(cluster=cluster)

    def now(self) -> float:
        return self.time

    def propose(self, request: pb.InternalRaftRequest, answer: Any) -> None:
        (name,) = (descriptor.name for descriptor, _ in request.ListFields())
        self.proposed.append((self.time - 100.0, name))


def run(leader: Leader, own: str, check: float, seconds: float) -> list[tuple[float, str]]:
    """What the leader proposes while so many seconds go by, a second at a time."""

    async def go() -> None:
        node: Any = leader
        monitor = VersionMonitor(node, own, downgrade_check=check)
        while leader.time <= 100.0 + seconds:
            monitor.tick()
            if monitor._task is not None:
                await monitor._task
            leader.time += 1.0
        await monitor.close()

    asyncio.run(go())
    return leader.proposed


@pytest.mark.parametrize(("check", "times"), [(DOWNGRADE_INTERVAL, [5.0, 10.0]), (7.0, [7.0]), (0.0, [])])
def test_a_downgrade_is_ended_as_often_as_it_is_looked_at(check: float, times: list[float]) -> None:
    assert run(Leader(), "3.6.0", check, 12.0) == [(time, "downgrade_info_set") for time in times]


def test_the_version_is_decided_at_once_and_every_few_seconds() -> None:
    leader = Leader()
    leader.machine.cluster.version = None
    leader.machine.cluster.downgrade = Downgrade()
    assert run(leader, "3.7.1", 1.0, 9.0) == [
        (0.0, "cluster_version_set"),
        (INTERVAL, "cluster_version_set"),
        (2 * INTERVAL, "cluster_version_set"),
    ]


def test_who_does_not_lead_does_nothing() -> None:
    leader = Leader()
    leader.leads = False
    assert run(leader, "3.6.0", 1.0, 9.0) == []
