"""What a member does by itself now and then: compacting, comparing hashes, raising the alarm.

The rules are in compactors.py and corruption.py; here are the timers and the proposals.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

from gauntlet.api import errors
from gauntlet.api.errors import RpcError
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.reference.apply import Applied
from gauntlet.reference.node import Node
from gauntlet.reference.server.compactors import ByRevision, Compactor, Periodic
from gauntlet.reference.server.config import Config
from gauntlet.reference.server.corruption import differs_at_start, judge_compaction, judge_present
from gauntlet.reference.server.disk import CorruptDataError
from gauntlet.reference.server.hashes import ask_peers
from gauntlet.reference.server.log import Logger
from gauntlet.reference.server.metrics.tally import Tally

_MCL_CURRENT_AND_FUTURE = 1 | 2
T = TypeVar("T")


def _settle(future: asyncio.Future[T], result: T) -> None:
    if not future.done():
        future.set_result(result)


class Upkeep:
    """Made on the member's loop; `start` once it serves."""

    def __init__(
        self, config: Config, log: Logger, node: Node, tls: ssl.SSLContext | None, tally: Tally
    ) -> None:
        self._settings = config.more.upkeep
        self._log = log
        self._node = node
        self._tls = tls
        self._tally = tally
        self._tasks: list[asyncio.Task[None]] = []
        self._checked_revision = 0

    async def initial_check(self, restarted: bool) -> None:
        """CorruptDataError: the peers store something else, this member must not serve."""
        if not (self._settings.initial_check and restarted):
            return
        log, node = self._log, self._node
        own = f"{node.config.member_id:x}"
        log.info("starting initial corruption check", local_member_id=own)
        mine = node.machine.store.hash_kv(0)
        peers = await ask_peers(node, mine.hash_revision, self._tls)
        for peer in peers:
            if not peer.ok:
                reason = "no answer" if peer.error is None else peer.error.message
                log.warn(
                    "cannot fetch hash from remote peer", remote_peer_id=f"{peer.member.id:x}", reason=reason
                )
        if differing := differs_at_start(mine, peers):
            for peer in differing:
                log.warn(
                    "found different hash values from remote peer",
                    local_member_id=own,
                    local_member_hash=mine.hash,
                    remote_peer_id=f"{peer.member.id:x}",
                    remote_peer_hash=peer.hash,
                )
            raise CorruptDataError(f"{own} found data inconsistency with peers")
        log.info("initial corruption checking passed; no corruption", local_member_id=own)

    def start(self) -> None:
        settings = self._settings
        if settings.lock_memory:
            self._lock_memory()
        compactor: Compactor | None = None
        if settings.compaction_retention > 0:
            if settings.compaction_mode == "periodic":
                compactor = Periodic(settings.compaction_retention, self._node.now())
            else:
                compactor = ByRevision(int(settings.compaction_retention))
        if compactor is not None:
            self._spawn(self._compact(compactor))
        if settings.check_interval > 0:
            self._log.info("enabled corruption checking", interval=f"{settings.check_interval:g}s")
            self._spawn(self._every(settings.check_interval, self.check_present))
        if settings.hash_check:
            self._spawn(self._every(settings.hash_check_interval, self.check_compactions))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._tasks.clear()

    # Compaction.

    async def _compact(self, compactor: Compactor) -> None:
        node, log = self._node, self._log
        while True:
            at = compactor.due(node.now(), node.machine.store.current_revision, node.leads)
            if at is not None:
                mode = self._settings.compaction_mode
                log.info(f"starting auto {mode} compaction", revision=at)
                request = pb.InternalRaftRequest(compaction=pb.CompactionRequest(revision=at))
                result = await self._propose(request)
                if result.error is None or result.error == errors.COMPACTED:
                    compactor.compacted(node.now(), at)
                    log.info(f"completed auto {mode} compaction", revision=at)
                else:
                    log.warn(f"failed auto {mode} compaction", revision=at, error=result.error.message)
            await asyncio.sleep(compactor.interval)

    # Corruption.

    async def check_present(self) -> None:
        """One round of the periodic check."""
        node = self._node
        before = node.machine.store.hash_kv(0)
        peers = await ask_peers(node, before.hash_revision, self._tls)
        if await self._read() is not None:
            return
        after = node.machine.store.hash_kv(0)
        found = judge_present(node.config.member_id, before, after, peers)
        if found is not None:
            member_id, reason = found
            self._log.warn(reason, peer_id=f"{member_id:x}")
            await self._alarm(member_id)
        asked = sum(peer.ok for peer in peers)
        self._log.info("finished peer corruption check", number_of_peers_checked=asked)

    async def check_compactions(self) -> None:
        """One round of the comparison of what compactions left."""
        node, log = self._node, self._log
        newest_first = sorted(node.machine.store.hashes.all(), key=lambda each: -each.revision)
        for own in newest_first:
            if own.revision <= self._checked_revision:
                break
            peers = await ask_peers(node, own.revision, self._tls)
            if not peers:
                continue
            verdict = judge_compaction(node.config.member_id, own, peers)
            if verdict.agreed:
                self._checked_revision = max(self._checked_revision, own.revision)
                log.info("successfully checked hash on whole cluster", revision=own.revision)
            for member_id in verdict.corrupt:
                log.error(
                    "Detected compaction hash mismatch", peer_id=f"{member_id:x}", revision=own.revision
                )
                await self._alarm(member_id)
            if verdict.settled:
                break

    # Inside.

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(work))

    async def _every(self, interval: float, check: Callable[[], Awaitable[None]]) -> None:
        """Only a leader checks."""
        while True:
            await asyncio.sleep(interval)
            if self._node.leads:
                try:
                    await check()
                except RpcError as error:
                    self._log.warn("failed to check hash KV", error=error.message)

    async def _alarm(self, member_id: int) -> None:
        request = pb.AlarmRequest(action=pb.AlarmRequest.ACTIVATE, memberID=member_id, alarm=pb.CORRUPT)
        await self._propose(pb.InternalRaftRequest(alarm=request))

    async def _propose(self, request: pb.InternalRaftRequest) -> Applied:
        result: asyncio.Future[Applied] = asyncio.get_running_loop().create_future()
        self._node.propose(request, partial(_settle, result))
        return await result

    async def _read(self) -> RpcError | None:
        result: asyncio.Future[RpcError | None] = asyncio.get_running_loop().create_future()
        self._node.read(partial(_settle, result))
        return await result

    def _lock_memory(self) -> None:
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mlockall(_MCL_CURRENT_AND_FUTURE):
            self._log.warn("failed to lock the memory", error=os.strerror(ctypes.get_errno()))
