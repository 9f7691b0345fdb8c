"""The version the whole cluster speaks: the leader decides it from what every member says it runs.

Rules (etcd's version monitor): as soon as it leads, and every few seconds after, the leader asks every member
for its version over the peer port. When all have answered, the lowest, without its patch number, becomes the
cluster version if it is higher than the one in force. While somebody does not answer, a cluster that has no
version yet gets MINIMUM, the lowest there is; one that has keeps it. While a downgrade is enabled the version
is lowered to its target instead, as long as every member still runs the version above; once all of them run
the target, the downgrade is called off. The latter is looked at every --downgrade-check-time.
"""

from __future__ import annotations

import asyncio
import json
import math
import ssl

from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.messages import membershippb
from gauntlet.api.wire.http1_client import HttpClientConnection, HttpClientError, Origin
from gauntlet.reference.membership import Downgrade, Member
from gauntlet.reference.node import Node

INTERVAL = 4.0
DOWNGRADE_INTERVAL = 5.0
TIMEOUT = 1.0
MINIMUM = "3.0.0"

Version = tuple[int, int]


class VersionMonitor:
    """`own` is this member's version; `downgrade_check` the seconds between two looks at whether a downgrade
    is over, 0 for never."""

    def __init__(
        self,
        node: Node,
        own: str,
        tls: ssl.SSLContext | None = None,
        downgrade_check: float = DOWNGRADE_INTERVAL,
    ) -> None:
        self._tls = tls
        self._node = node
        self._own = own
        self._next = 0.0
        self._downgrade_check = downgrade_check or math.inf
        self._next_downgrade = node.now() + self._downgrade_check
        self._task: asyncio.Task[None] | None = None

    def tick(self) -> None:
        """To be called now and then; starts a round when one is due."""
        node = self._node
        if not node.leads:
            self._next = 0.0
            return
        now = node.now()
        if (self._task is None or self._task.done()) and now >= min(self._next, self._next_downgrade):
            due, over = now >= self._next, now >= self._next_downgrade
            if due:
                self._next = now + INTERVAL
            if over:
                self._next_downgrade = now + self._downgrade_check
            self._task = asyncio.get_running_loop().create_task(self._round(due, over))

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _round(self, decides: bool, ends_downgrade: bool) -> None:
        cluster = self._node.machine.cluster
        answers = await asyncio.gather(*(self._ask(member) for member in cluster.members()))
        known = [answer for answer in answers if answer is not None]
        running = known if len(known) == len(answers) else None
        decided = decide(cluster.version, running, cluster.downgrade) if decides else None
        if not self._node.leads:
            return
        if decided is not None:
            request = membershippb.ClusterVersionSetRequest(ver=decided)
            self._node.propose(pb.InternalRaftRequest(cluster_version_set=request), lambda _: None)
        if ends_downgrade and downgraded(running, cluster.downgrade):
            off = membershippb.DowngradeInfoSetRequest(enabled=False)
            self._node.propose(pb.InternalRaftRequest(downgrade_info_set=off), lambda _: None)

    async def _ask(self, member: Member) -> Version | None:
        if member.id == self._node.config.member_id:
            return parse(self._own)
        for url in member.peer_urls:
            try:
                origin = Origin.parse(url)
                connection = await HttpClientConnection.open(origin, tls=self._tls, timeout=TIMEOUT)
                try:
                    answer = await connection.fetch("GET", "/version", timeout=TIMEOUT)
                finally:
                    connection.close()
                return parse(json.loads(answer.body)["etcdserver"])
            except (HttpClientError, ValueError, KeyError, TypeError):
                continue
        return None


def decide(current: str | None, running: list[Version] | None, downgrade: Downgrade) -> str | None:
    """The cluster version to be set now, or None. `running` is what the members run, None while unknown."""
    if current is None:
        return MINIMUM if running is None else text(min(running))
    if running is None:
        return None
    lowest = min(running)
    if downgrade.enabled:
        target = parse(downgrade.target_version)
        below = (target[0], target[1] + 1)
        return text(target) if parse(current) == below == lowest else None
    return text(lowest) if lowest > parse(current) else None


def downgraded(running: list[Version] | None, downgrade: Downgrade) -> bool:
    """Whether a downgrade has reached its end: everybody runs the target."""
    if not downgrade.enabled or running is None:
        return False
    return all(version == parse(downgrade.target_version) for version in running)


def parse(version: str) -> Version:
    """Major and minor of `3.7.1`; ValueError for anything else."""
    major, minor = version.split(".")[:2]
    return int(major), int(minor)


def text(version: Version) -> str:
    return f"{version[0]}.{version[1]}.0"
