# Written by scripts/generate_messages.py from gauntlet/api/proto. Do not edit.
from gauntlet.api.messages import _pool

RaftAttributes = _pool.message("membershippb.RaftAttributes")
Attributes = _pool.message("membershippb.Attributes")
Member = _pool.message("membershippb.Member")
ClusterVersionSetRequest = _pool.message("membershippb.ClusterVersionSetRequest")
ClusterMemberAttrSetRequest = _pool.message("membershippb.ClusterMemberAttrSetRequest")
DowngradeInfoSetRequest = _pool.message("membershippb.DowngradeInfoSetRequest")

__all__ = [
    "Attributes",
    "ClusterMemberAttrSetRequest",
    "ClusterVersionSetRequest",
    "DowngradeInfoSetRequest",
    "Member",
    "RaftAttributes",
]
