"""The connections between members, compatible on the wire with etcd's rafthttp."""

from __future__ import annotations

from gauntlet.reference.server.peers.endpoints import ClusterView, MemberInfo, SnapshotSink
from gauntlet.reference.server.peers.status import PeerStatus
from gauntlet.reference.server.peers.transport import PeerTransport, RaftHandler

__all__ = ["ClusterView", "MemberInfo", "PeerStatus", "PeerTransport", "RaftHandler", "SnapshotSink"]
