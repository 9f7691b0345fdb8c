"""A running member: the node, its disk, its peers and its listeners, on one asyncio loop.

Every input wakes the loop once; `_turn` then runs the node's cycle until it has nothing more to do or a
write is under way. So the requests of one loop turn share one proposal, one disk write and one message to
each peer.
"""

from __future__ import annotations

import asyncio
import random
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from ipaddress import ip_address
from socket import SOCK_STREAM, getaddrinfo
from typing import TypeVar
from urllib.parse import urlsplit

from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.messages import membershippb
from gauntlet.api.wire.limits import Limits
from gauntlet.api.wire.server import Server
from gauntlet.reference.apply import Applied, Frozen, Image, StateMachine
from gauntlet.reference.backend import CorruptDumpError, MemoryBackend
from gauntlet.reference.lease import min_ttl
from gauntlet.reference.node import Node
from gauntlet.reference.node_parts import Effects, NodeConfig
from gauntlet.reference.ports import DiskFailedError
from gauntlet.reference.raft.config import Config as RaftConfig
from gauntlet.reference.raft.rawnode import RawNode
from gauntlet.reference.raft.types import Message, Snapshot
from gauntlet.reference.server.bootstrap import Bootstrap, ExistingCluster, bootstrap
from gauntlet.reference.server.cluster_pages import serve_cluster
from gauntlet.reference.server.config import Config
from gauntlet.reference.server.front import Contexts, Front
from gauntlet.reference.server.hashes import serve_hashes
from gauntlet.reference.server.ids import RequestIds
from gauntlet.reference.server.leader import LeaderClient, serve_leases
from gauntlet.reference.server.listeners import Listeners
from gauntlet.reference.server.log import Logger
from gauntlet.reference.server.methods import Api
from gauntlet.reference.server.metrics.tally import Tally
from gauntlet.reference.server.passwords import BcryptPasswords
from gauntlet.reference.server.peers.endpoints import MemberInfo
from gauntlet.reference.server.peers.links import Links
from gauntlet.reference.server.peers.transport import PeerTransport
from gauntlet.reference.server.release import VERSION
from gauntlet.reference.server.tls import AddressChecked
from gauntlet.reference.server.tokens import make_tokens
from gauntlet.reference.server.upkeep import Upkeep
from gauntlet.reference.server.versions import VersionMonitor
from gauntlet.reference.server.writer import DiskWriter

T = TypeVar("T")

# A message of raft's, with its entries, stays below this (bytes).
MAX_RAFT_MESSAGE = 1024 * 1024
MAX_INFLIGHT = 512
# How long a member that was removed stays, in seconds.
REMOVED_LINGER = 1.0


class Member:
    """Made on the loop it runs on. `start` returns once the member serves clients."""

    def __init__(
        self,
        config: Config,
        log: Logger,
        on_end: Callable[[str | None], None],
        existing: ExistingCluster | None = None,
        contexts: Contexts | None = None,
        listeners: Listeners | None = None,
    ) -> None:
        """`on_end` is called when the member ends by itself: with the reason, or None if it was removed.
        `existing` is the cluster that a new member joins, `listeners` its addresses if they are claimed.

        UsageError, DataDirError: the flags or the data directory cannot be used.
        """
        self.config = config
        self.log = log
        self._loop = asyncio.get_running_loop()
        self._on_end = on_end
        self._ended = False
        self._leaving = False
        self._turn_scheduled = False
        self._tick_handle: asyncio.TimerHandle | None = None
        self._last_tick = self._loop.time()
        self._tls = contexts or Contexts(config, log)
        self._listeners = listeners or Listeners(config)
        self._compaction_timer: asyncio.TimerHandle | None = None
        boot = bootstrap(config, existing)
        self.restarted = boot.restarted
        self._disk = boot.disk
        self._writer = DiskWriter(self._loop, self._disk_failed)
        self._snapshot_writer = DiskWriter(self._loop, self._disk_failed, "snapshots")
        recovered = boot.recovered
        self.member_id = recovered.node_id
        self.cluster_id = recovered.cluster_id
        self._peers = self._make_peers()
        self.node = self._make_node(boot)
        self._leader = LeaderClient(self.node, self._loop, self._tls.dial)
        self._passwords = BcryptPasswords(config.bcrypt_cost, self._loop)
        self._versions = VersionMonitor(
            self.node, VERSION, self._tls.dial, config.more.upkeep.downgrade_check
        )
        self._api = Api(self.node, self._leader, self._passwords, config)
        serve_leases(self._peers.routes, self._api.leases)
        serve_cluster(self._peers.routes, self.node, self._api.cluster)
        self._tally = Tally()
        self._tally.disk = self._disk.tally
        self._tally.promotions = self._api.cluster.promotions
        self._tally.received_snapshots = self._peers.received_snapshots
        self._front = Front(
            config, log, self.node, self._api.methods(), self._peers.peers, self._tls, self._tally
        )
        self._upkeep = Upkeep(config, log, self.node, self._tls.dial, self._tally)
        serve_hashes(self._peers.routes, self.node)
        self._peer_server = self._make_peer_server()
        log.info(
            "restarting local member" if self.restarted else "starting local member",
            local_member_id=f"{self.member_id:x}",
            cluster_id=f"{self.cluster_id:x}",
            commit_index=recovered.hard_state.commit,
            applied_index=self.node.machine.applied_index,
        )

    def _make_peers(self) -> PeerTransport:
        config = self.config
        return PeerTransport(
            member_id=self.member_id,
            cluster_id=self.cluster_id,
            local_urls=list(config.advertise_peer_urls),
            loop=self._loop,
            handler=self,
            version=VERSION,
            view=self,
            links=Links(
                self._tls.dial,
                local_host(config),
                config.more.sockets.read_timeout,
                config.more.sockets.write_timeout,
            ),
            on_removed=lambda: self._end(None),
        )

    def _make_peer_server(self) -> Server:
        handler = self._peers.http_handler
        if self._tls.peers is not None and not self.config.more.tls.peer.skip_address_check:
            handler = AddressChecked(handler, addresses_of)
        return Server({}, handler, limits=Limits())

    def _make_machine(self, boot: Bootstrap) -> StateMachine:
        config = self.config
        machine = StateMachine(
            MemoryBackend(),
            cluster_id=self.cluster_id,
            min_lease_ttl=min_ttl(config.election_ticks, config.tick_seconds),
            quota_bytes=config.quota_bytes,
            max_learners=config.max_learners,
            compaction_batch=config.compaction_batch,
            tokens=make_tokens(config.auth_token, config.auth_token_ttl),
            lease_checkpoints=config.more.enabled("LeaseCheckpoint"),
            persist_checkpoints=config.more.enabled("LeaseCheckpointPersist"),
        )
        machine.cluster.seed(boot.joining)
        if boot.recovered.snapshot is not None:
            machine.load(boot.recovered.snapshot.data)
        if config.more.upkeep.defrag_threshold:
            # What is loaded has no holes: no threshold is ever reached.
            size = machine.backend.size()
            self.log.info(
                "Skipping defragmentation",
                current_db_size_bytes=size,
                current_db_size_in_use_bytes=size,
                bootstrap_defrag_threshold_bytes=config.more.upkeep.defrag_threshold,
            )
        return machine

    def _make_node(self, boot: Bootstrap) -> Node:
        config, recovered = self.config, boot.recovered
        machine = self._make_machine(boot)
        snapshot = recovered.snapshot
        seed = random.Random(f"{self.member_id:x}:{time.time_ns()}")
        raft = RawNode(
            RaftConfig(
                id=self.member_id,
                election_tick=config.election_ticks,
                heartbeat_tick=1,
                storage=boot.storage,
                random=seed.randrange,
                applied=0 if snapshot is None else snapshot.index,
                max_size_per_msg=MAX_RAFT_MESSAGE,
                max_inflight_msgs=MAX_INFLIGHT,
                check_quorum=True,
                pre_vote=config.pre_vote,
                log=self._raft_log,
            )
        )
        return Node(
            NodeConfig(
                member_id=self.member_id,
                cluster_id=self.cluster_id,
                tick_seconds=config.tick_seconds,
                election_ticks=config.election_ticks,
                snapshot_count=config.snapshot_count,
                catch_up_entries=config.catch_up_entries,
                max_request_bytes=config.max_request_bytes,
                priority_requests=config.more.enabled("PriorityRequest"),
                fast_keep_alive=config.more.enabled("FastLeaseKeepAlive"),
            ),
            raft,
            boot.storage,
            machine,
            self._peers,
            time.monotonic,
            RequestIds(self.member_id, time.time_ns() // 1_000_000),
            self.wake,
        )

    def _raft_log(self, level: str, line: str) -> None:
        self.log.log("warn" if level == "warning" else level, line)

    # Life.

    async def start(self) -> None:
        """Joins, and serves."""
        for url in self.config.listen_peer_urls:
            tls = self._tls.peers if urlsplit(url).scheme.endswith("s") else None
            await self._peer_server.listen(url, tls, self._listeners.take(url))
        await self._peers.start()
        await self._front.listen_metrics(self._listeners)
        self._turn()
        if self.config.advance_election and self.node.machine.conf_state.voters == [self.member_id]:
            # Nobody else can lead: no need to wait for them.
            self.node.raft.campaign()
        self._tick()
        await self._publish()
        await self._upkeep.initial_check(self.restarted)
        await self._front.listen(self._listeners)
        self._upkeep.start()
        self.log.info("ready to serve client requests")

    async def stop(self) -> None:
        """Hands leadership over, answers everybody, and closes the disk."""
        if self.node.is_leader and not self._ended:
            await self._hand_over()
        self._ended = True
        for timer in (self._tick_handle, self._compaction_timer):
            if timer is not None:
                timer.cancel()
        self.node.stop()
        self._listeners.close()
        await self._upkeep.stop()
        await self._front.close(0.5)
        await self._peers.stop()
        await self._peer_server.close(0.1)
        await self._versions.close()
        await self._leader.close()
        self._passwords.close()
        await self._snapshot_writer.close()
        await self._writer.close()
        self._disk.close()

    async def _hand_over(self) -> None:
        voters = sorted(set(self.node.machine.conf_state.voters) - {self.member_id})
        target = self._peers.longest_connected(voters)
        if target is None:
            return
        done: asyncio.Future[Exception | None] = self._loop.create_future()
        self.node.transfer_leadership(target, partial(settle, done))
        await asyncio.wait({done}, timeout=1.0)

    async def _publish(self) -> None:
        """Tells the cluster this member's name and client URLs, until the cluster has taken it."""
        request = membershippb.ClusterMemberAttrSetRequest(
            member_ID=self.member_id,
            member_attributes=membershippb.Attributes(
                name=self.config.name, client_urls=self.config.advertise_client_urls
            ),
        )
        while not self._ended:
            result: asyncio.Future[Applied] = self._loop.create_future()
            self.node.propose(
                pb.InternalRaftRequest(cluster_member_attr_set=request),
                partial(settle, result),
            )
            applied = await result
            if applied.error is None:
                self.log.info(
                    "published local member to cluster through raft", cluster_id=f"{self.cluster_id:x}"
                )
                return
            self.log.warn("failed to publish local member", error=applied.error.message)

    # The loop.

    def wake(self) -> None:
        """Something happened: run the node's cycle in this turn of the loop, after the other inputs."""
        if not self._turn_scheduled:
            self._turn_scheduled = True
            self._loop.call_soon(self._turn)

    def _tick(self) -> None:
        if self._ended:
            return
        now = self._loop.time()
        if self.node.is_leader and now - self._last_tick > 2 * self.config.tick_seconds:
            self._tally.late_heartbeats += 1
        self._last_tick = now
        self._tick_handle = self._loop.call_later(self.config.tick_seconds, self._tick)
        self._guard(self._tick_all)
        self.wake()

    def _tick_all(self) -> None:
        self.node.tick()
        self._api.watches.tick()

    def _turn(self) -> None:
        self._turn_scheduled = False
        self._guard(self._cycle)

    def _guard(self, work: Callable[[], None]) -> None:
        """Fail-stop: a member whose state may be half changed must not go on, whatever the defect was."""
        try:
            work()
        except Exception as error:  # nothing narrower would keep the promise above
            self.log.error("the member failed", error=repr(error), stacktrace=traceback.format_exc())
            self._end(f"the member failed: {error!r}")

    def _cycle(self) -> None:
        while not self._ended and (effects := self.node.ready()) is not None:
            self._peers.send(effects.messages)
            self._send_snapshots()
            if effects.needs_write:
                self._writer.submit(partial(self._write, effects), partial(self._written, effects))
                break
            self._finish_cycle(effects)
        self.node.sync_watches()
        self._versions.tick()
        if self._compaction_timer is None and self.node.compacting:
            pause = self.config.more.upkeep.compaction_pause
            self._compaction_timer = self._loop.call_later(pause, self._compact)

    def _compact(self) -> None:
        self._compaction_timer = None
        if not self._ended:
            self._guard(self._compact_some)
            self.wake()

    def _compact_some(self) -> None:
        tally = self._tally
        at_index = any(not job.sweeping for job in self.node.machine.store.compactions)
        began = time.perf_counter()
        self.node.compact_some()
        took = (time.perf_counter() - began) * 1000
        tally.compaction_pauses.observe(took)
        if at_index:
            tally.index_compaction_pauses.observe(took)

    def _write(self, effects: Effects) -> None:
        """In the disk's thread."""
        if effects.snapshot is not None:
            # Before it is saved: a member must not begin anew with an image that it cannot read.
            try:
                effects.image = Image.of(effects.snapshot.data)
            except CorruptDumpError as error:
                raise DiskFailedError(f"the snapshot from the leader is damaged: {error}") from None
            self._disk.save_snapshot(effects.snapshot, effects.hard_state)
            self._disk.save(None, effects.entries, True)
            self._disk.release(effects.snapshot.index)
        else:
            self._disk.save(effects.hard_state, effects.entries, effects.must_sync)

    def _written(self, effects: Effects) -> None:
        if not self._ended:
            self._guard(partial(self._finish_cycle, effects))
            self._turn()

    def _finish_cycle(self, effects: Effects) -> None:
        self._peers.send(self.node.persisted(effects.image))
        self._send_snapshots()
        outbox = self.node.outbox
        frozen, outbox.snapshot_to_save = outbox.snapshot_to_save, None
        if frozen is not None:
            self._save_snapshot(frozen)
        if outbox.removed and not self._leaving:
            # The others should learn that the change was committed; then there is no member to be.
            self._leaving = True
            self._loop.call_later(REMOVED_LINGER, self._end, None)

    def _save_snapshot(self, frozen: Frozen) -> None:
        """Writes the file beside the log, and only then, in the log's own order, marks it there."""
        snapshot = Snapshot(frozen.index, frozen.term, frozen.conf_state, b"")

        def mark() -> None:
            self._disk.mark_snapshot(snapshot)
            self._disk.release(frozen.index)

        self._snapshot_writer.submit(
            lambda: self._disk.write_snapshot(snapshot, frozen.size, self._until_the_end(frozen.chunks())),
            lambda: self._writer.submit(mark, lambda: self.node.snapshot_saved(frozen)),
        )

    def _until_the_end(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """The pieces, as long as the member lives: it does not stay for a file that can be made anew."""
        for piece in pieces:
            if self._ended:
                raise DiskFailedError("the member ends")
            yield piece

    def _send_snapshots(self) -> None:
        outbox = self.node.outbox
        waiting, outbox.snapshots_to_send = outbox.snapshots_to_send, []
        for message, frozen in waiting:
            self._peers.send_snapshot(message, frozen.chunks())

    def _disk_failed(self, error: Exception) -> None:
        self._end(str(error))

    def _end(self, reason: str | None) -> None:
        if not self._ended:
            self._ended = True
            self.node.stop()
            self._on_end(reason)

    # What the peers report (RaftHandler).

    def on_message(self, message: Message) -> None:
        if not self._ended:
            self._guard(partial(self.node.step, message))
            self.wake()

    def on_snapshot(self, message: Message, data: bytes) -> None:
        if message.snapshot is not None:
            message.snapshot.data = data
            self.on_message(message)

    def report_unreachable(self, member_id: int) -> None:
        self.node.raft.report_unreachable(member_id)
        self.wake()

    def report_snapshot(self, member_id: int, ok: bool) -> None:
        self.node.raft.report_snapshot(member_id, ok)
        self.wake()

    def is_removed(self, member_id: int) -> bool:
        return self.node.machine.cluster.is_removed(member_id)

    # What the peers' HTTP pages show (ClusterView).

    def members(self) -> list[MemberInfo]:
        return [
            MemberInfo(member.id, member.peer_urls, member.name, member.client_urls, member.is_learner)
            for member in self.node.machine.cluster.members()
        ]

    def cluster_version(self) -> str | None:
        return self.node.machine.cluster.version

    def storage_version(self) -> str | None:
        return self.node.machine.cluster.version


def local_host(config: Config) -> str:
    """The address to dial peers from: with SetMemberLocalAddr the first one advertised that others can reach,
    empty for the system's choice."""
    if config.more.enabled("SetMemberLocalAddr"):
        for url in config.advertise_peer_urls:
            host = urlsplit(url).hostname or ""
            try:
                address = ip_address(host)
            except ValueError:
                continue
            if not (address.is_loopback or address.is_unspecified):
                return host
    return ""


def addresses_of(name: str) -> list[str]:
    """The addresses of a host, none when nobody knows it."""
    try:
        return [str(found[4][0]) for found in getaddrinfo(name, None, type=SOCK_STREAM)]
    except OSError:
        return []


def settle(future: asyncio.Future[T], result: T) -> None:
    """Gives a future its result, unless somebody has stopped waiting for it."""
    if not future.done():
        future.set_result(result)
