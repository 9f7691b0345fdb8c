"""Which service answers which RPC."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Protocol

from gauntlet.api.messages import services
from gauntlet.api.wire.types import Method, StreamHandler, UnaryHandler
from gauntlet.reference.node import Node
from gauntlet.reference.server.config import Config
from gauntlet.reference.server.release import VERSION
from gauntlet.reference.services.auth import AuthService, Passwords
from gauntlet.reference.services.base import Quota, checked_stream, leader_checked
from gauntlet.reference.services.cluster import ClusterService, LeaderMembers
from gauntlet.reference.services.downgrade import DowngradeService
from gauntlet.reference.services.election import ElectionService
from gauntlet.reference.services.guard import Guard
from gauntlet.reference.services.health import HealthService
from gauntlet.reference.services.kv import KvService
from gauntlet.reference.services.lease import LeaderLeases, LeaseService
from gauntlet.reference.services.lock import LockService
from gauntlet.reference.services.maintenance import MaintenanceService
from gauntlet.reference.services.watch import WatchService


class Leader(LeaderLeases, LeaderMembers, Protocol):
    """What members ask of the leader over the peer port."""


class Api:
    """The services of one node, and the table by which the wire finds them."""

    def __init__(self, node: Node, leader: Leader, passwords: Passwords, config: Config) -> None:
        guard = Guard(node, config.client_cert_auth)
        quota = Quota(node, config.quota_bytes)
        self.node = node
        self.guard = guard
        self.kv = KvService(node, guard, quota, config.max_txn_ops)
        self.leases = LeaseService(node, guard, quota, leader)
        self.watches = WatchService(node, guard, config.progress_interval, config.max_request_bytes)
        self.cluster = ClusterService(node, guard, leader, config.strict_reconfig, time.time)
        self.maintenance = MaintenanceService(node, guard, VERSION, config.quota_bytes)
        self.downgrades = DowngradeService(node, guard)
        self.auth = AuthService(node, guard, passwords)
        self.locks = LockService(self.kv, self.leases)
        self.elections = ElectionService(self.kv, self.leases)
        self.health = HealthService()

    def methods(self) -> Mapping[str, Method]:
        table: dict[str, Method] = {}
        for name, handler in self._unary().items():
            info = services[f"/{name}"]
            checked = leader_checked(self.node, handler)
            table[info.path] = Method(info.path, info.request, info.response, unary=checked)
        for name, stream in self._streams().items():
            info = services[f"/{name}"]
            table[info.path] = Method(
                info.path,
                info.request,
                info.response,
                stream=stream,
                single_request=not info.client_streaming,
            )
        return table

    def _unary(self) -> dict[str, UnaryHandler]:
        guard, maintenance = self.guard, self.maintenance
        table: dict[str, UnaryHandler] = {
            "etcdserverpb.KV/Range": self.kv.range,
            "etcdserverpb.KV/Put": self.kv.put,
            "etcdserverpb.KV/DeleteRange": self.kv.delete_range,
            "etcdserverpb.KV/Txn": self.kv.txn,
            "etcdserverpb.KV/Compact": guard.for_root(self.kv.compact),
            "etcdserverpb.Lease/LeaseGrant": self.leases.grant,
            "etcdserverpb.Lease/LeaseRevoke": self.leases.revoke,
            "etcdserverpb.Lease/LeaseTimeToLive": self.leases.time_to_live,
            "etcdserverpb.Lease/LeaseLeases": self.leases.leases,
            "etcdserverpb.Cluster/MemberAdd": self.cluster.member_add,
            "etcdserverpb.Cluster/MemberRemove": self.cluster.member_remove,
            "etcdserverpb.Cluster/MemberUpdate": self.cluster.member_update,
            "etcdserverpb.Cluster/MemberList": self.cluster.member_list,
            "etcdserverpb.Cluster/MemberPromote": self.cluster.member_promote,
            "etcdserverpb.Maintenance/Alarm": maintenance.alarm,
            "etcdserverpb.Maintenance/Status": guard.for_users(maintenance.status),
            "etcdserverpb.Maintenance/Defragment": guard.for_root(maintenance.defragment),
            "etcdserverpb.Maintenance/Hash": guard.for_root(maintenance.hash),
            "etcdserverpb.Maintenance/HashKV": guard.for_root(maintenance.hash_kv),
            "etcdserverpb.Maintenance/MoveLeader": guard.for_root(maintenance.move_leader),
            "etcdserverpb.Maintenance/Downgrade": guard.for_root(self.downgrades.downgrade),
            "v3lockpb.Lock/Lock": self.locks.lock,
            "v3lockpb.Lock/Unlock": self.locks.unlock,
            "v3electionpb.Election/Campaign": self.elections.campaign,
            "v3electionpb.Election/Proclaim": self.elections.proclaim,
            "v3electionpb.Election/Leader": self.elections.leader,
            "v3electionpb.Election/Resign": self.elections.resign,
            "grpc.health.v1.Health/Check": self.health.check,
            "grpc.health.v1.Health/List": self.health.list,
        }
        for name, handler in self.auth.handlers().items():
            table[f"etcdserverpb.Auth/{name}"] = handler
        return table

    def _streams(self) -> dict[str, StreamHandler]:
        voters: dict[str, StreamHandler] = {
            "etcdserverpb.KV/RangeStream": self.kv.range_stream,
            "etcdserverpb.Watch/Watch": self.watches.watch,
            "etcdserverpb.Lease/LeaseKeepAlive": self.leases.keep_alive,
            "v3electionpb.Election/Observe": self.elections.observe,
            "grpc.health.v1.Health/Watch": self.health.watch,
        }
        table = {name: checked_stream(self.node, handler) for name, handler in voters.items()}
        snapshot = self.guard.stream_for_root(self.maintenance.snapshot)
        table["etcdserverpb.Maintenance/Snapshot"] = checked_stream(self.node, snapshot, learners=True)
        return table
