# Written by scripts/generate_messages.py from gauntlet/api/proto. Do not edit.
from gauntlet.api.messages import _pool

CampaignRequest = _pool.message("v3electionpb.CampaignRequest")
CampaignResponse = _pool.message("v3electionpb.CampaignResponse")
LeaderKey = _pool.message("v3electionpb.LeaderKey")
LeaderRequest = _pool.message("v3electionpb.LeaderRequest")
LeaderResponse = _pool.message("v3electionpb.LeaderResponse")
ResignRequest = _pool.message("v3electionpb.ResignRequest")
ResignResponse = _pool.message("v3electionpb.ResignResponse")
ProclaimRequest = _pool.message("v3electionpb.ProclaimRequest")
ProclaimResponse = _pool.message("v3electionpb.ProclaimResponse")

__all__ = [
    "CampaignRequest",
    "CampaignResponse",
    "LeaderKey",
    "LeaderRequest",
    "LeaderResponse",
    "ProclaimRequest",
    "ProclaimResponse",
    "ResignRequest",
    "ResignResponse",
]
