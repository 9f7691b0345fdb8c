"""Which service answers which RPC."""

from __future__ import annotations

from collections.abc import Mapping

from gauntlet.api.messages import services
from gauntlet.api.wire.types import Method, StreamHandler, UnaryHandler
from gauntlet.reference.node import Node
from gauntlet.reference.server.config import VERSION, Config
from gauntlet.reference.services.base import Quota, leader_checked
from gauntlet.reference.services.cluster import ClusterService
from gauntlet.reference.services.kv import KvService
from gauntlet.reference.services.lease import LeaderLeases, LeaseService
from gauntlet.reference.services.maintenance import MaintenanceService
from gauntlet.reference.services.watch import WatchService


class Api:
    """The services of one node, and the table by which the wire finds them."""

    def __init__(self, node: Node, leader: LeaderLeases, config: Config) -> None:
        quota = Quota(node, config.quota_bytes)
        self.node = node
        self.kv = KvService(node, quota, config.max_txn_ops)
        self.leases = LeaseService(node, quota, leader)
        self.watches = WatchService(node, config.progress_interval, config.max_request_bytes)
        self.cluster = ClusterService(node)
        self.maintenance = MaintenanceService(node, VERSION, config.quota_bytes)

    def methods(self) -> Mapping[str, Method]:
        unary: dict[str, UnaryHandler] = {
            "KV/Range": self.kv.range,
            "KV/Put": self.kv.put,
            "KV/DeleteRange": self.kv.delete_range,
            "KV/Txn": self.kv.txn,
            "KV/Compact": self.kv.compact,
            "Lease/LeaseGrant": self.leases.grant,
            "Lease/LeaseRevoke": self.leases.revoke,
            "Lease/LeaseTimeToLive": self.leases.time_to_live,
            "Lease/LeaseLeases": self.leases.leases,
            "Cluster/MemberList": self.cluster.member_list,
            "Maintenance/Alarm": self.maintenance.alarm,
            "Maintenance/Status": self.maintenance.status,
            "Maintenance/Defragment": self.maintenance.defragment,
            "Maintenance/Hash": self.maintenance.hash,
            "Maintenance/HashKV": self.maintenance.hash_kv,
            "Maintenance/MoveLeader": self.maintenance.move_leader,
        }
        streams: dict[str, StreamHandler] = {
            "Watch/Watch": self.watches.watch,
            "Lease/LeaseKeepAlive": self.leases.keep_alive,
            "Maintenance/Snapshot": self.maintenance.snapshot,
        }
        table: dict[str, Method] = {}
        for name, handler in unary.items():
            path = f"/etcdserverpb.{name}"
            info = services[path]
            table[path] = Method(path, info.request, info.response, unary=leader_checked(self.node, handler))
        for name, stream in streams.items():
            path = f"/etcdserverpb.{name}"
            info = services[path]
            table[path] = Method(
                path, info.request, info.response, stream=stream, single_request=not info.client_streaming
            )
        return table
