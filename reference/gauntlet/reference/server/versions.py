"""The version the whole cluster speaks: the leader decides it from what every member says it runs.

Rules (etcd's version monitor): as soon as it leads, and every few seconds after, the leader asks every member
for its version over the peer port. When all have answered, the lowest, without its patch number, becomes the
cluster version if it is higher than the one in force. While somebody does not answer, a cluster that has no
version yet gets MINIMUM, the lowest there is; one that has keeps it.
"""

from __future__ import annotations

import asyncio
import json

from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.messages import membershippb
from gauntlet.api.wire.http1_client import HttpClientConnection, HttpClientError, Origin
from gauntlet.reference.membership import Member
from gauntlet.reference.node import Node

INTERVAL = 5.0
TIMEOUT = 1.0
MINIMUM = "3.0.0"

Version = tuple[int, int]


class VersionMonitor:
    """`own` is this member's version."""

    def __init__(self, node: Node, own: str) -> None:
        self._node = node
        self._own = own
        self._next = 0.0
        self._task: asyncio.Task[None] | None = None

    def tick(self) -> None:
        """To be called now and then; starts a round when one is due."""
        node = self._node
        if not node.leads:
            self._next = 0.0
            return
        busy = self._task is not None and not self._task.done()
        if node.now() >= self._next and not busy:
            self._next = node.now() + INTERVAL
            self._task = asyncio.get_running_loop().create_task(self._round())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _round(self) -> None:
        cluster = self._node.machine.cluster
        answers = await asyncio.gather(*(self._ask(member) for member in cluster.members()))
        known = [answer for answer in answers if answer is not None]
        complete = len(known) == len(answers)
        if cluster.version is None:
            decided = text(min(known)) if complete else MINIMUM
        elif complete and min(known) > parse(cluster.version):
            decided = text(min(known))
        else:
            return
        if self._node.leads:
            request = membershippb.ClusterVersionSetRequest(ver=decided)
            self._node.propose(pb.InternalRaftRequest(cluster_version_set=request), lambda _: None)

    async def _ask(self, member: Member) -> Version | None:
        if member.id == self._node.config.member_id:
            return parse(self._own)
        for url in member.peer_urls:
            try:
                connection = await HttpClientConnection.open(Origin.parse(url), timeout=TIMEOUT)
                try:
                    answer = await connection.fetch("GET", "/version", timeout=TIMEOUT)
                finally:
                    connection.close()
                return parse(json.loads(answer.body)["etcdserver"])
            except (HttpClientError, ValueError, KeyError, TypeError):
                continue
        return None


def parse(version: str) -> Version:
    """Major and minor of `3.7.1`; ValueError for anything else."""
    major, minor = version.split(".")[:2]
    return int(major), int(minor)


def text(version: Version) -> str:
    return f"{version[0]}.{version[1]}.0"
