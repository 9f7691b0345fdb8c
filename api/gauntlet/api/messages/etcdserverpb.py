# Written by scripts/generate_messages.py from gauntlet/api/proto. Do not edit.
from gauntlet.api.messages import _pool

AlarmType = _pool.enum("etcdserverpb.AlarmType")
NONE = 0
NOSPACE = 1
CORRUPT = 2
Metadata = _pool.message("etcdserverpb.Metadata")
ResponseHeader = _pool.message("etcdserverpb.ResponseHeader")
RangeRequest = _pool.message("etcdserverpb.RangeRequest")
RangeResponse = _pool.message("etcdserverpb.RangeResponse")
RangeStreamResponse = _pool.message("etcdserverpb.RangeStreamResponse")
PutRequest = _pool.message("etcdserverpb.PutRequest")
PutResponse = _pool.message("etcdserverpb.PutResponse")
DeleteRangeRequest = _pool.message("etcdserverpb.DeleteRangeRequest")
DeleteRangeResponse = _pool.message("etcdserverpb.DeleteRangeResponse")
RequestOp = _pool.message("etcdserverpb.RequestOp")
ResponseOp = _pool.message("etcdserverpb.ResponseOp")
Compare = _pool.message("etcdserverpb.Compare")
TxnRequest = _pool.message("etcdserverpb.TxnRequest")
TxnResponse = _pool.message("etcdserverpb.TxnResponse")
CompactionRequest = _pool.message("etcdserverpb.CompactionRequest")
CompactionResponse = _pool.message("etcdserverpb.CompactionResponse")
WatchRequest = _pool.message("etcdserverpb.WatchRequest")
WatchCreateRequest = _pool.message("etcdserverpb.WatchCreateRequest")
WatchCancelRequest = _pool.message("etcdserverpb.WatchCancelRequest")
WatchProgressRequest = _pool.message("etcdserverpb.WatchProgressRequest")
WatchResponse = _pool.message("etcdserverpb.WatchResponse")
LeaseGrantRequest = _pool.message("etcdserverpb.LeaseGrantRequest")
LeaseGrantResponse = _pool.message("etcdserverpb.LeaseGrantResponse")
LeaseRevokeRequest = _pool.message("etcdserverpb.LeaseRevokeRequest")
LeaseRevokeResponse = _pool.message("etcdserverpb.LeaseRevokeResponse")
LeaseCheckpoint = _pool.message("etcdserverpb.LeaseCheckpoint")
LeaseCheckpointRequest = _pool.message("etcdserverpb.LeaseCheckpointRequest")
LeaseCheckpointResponse = _pool.message("etcdserverpb.LeaseCheckpointResponse")
LeaseKeepAliveRequest = _pool.message("etcdserverpb.LeaseKeepAliveRequest")
LeaseKeepAliveResponse = _pool.message("etcdserverpb.LeaseKeepAliveResponse")
LeaseTimeToLiveRequest = _pool.message("etcdserverpb.LeaseTimeToLiveRequest")
LeaseTimeToLiveResponse = _pool.message("etcdserverpb.LeaseTimeToLiveResponse")
LeaseLeasesRequest = _pool.message("etcdserverpb.LeaseLeasesRequest")
LeaseStatus = _pool.message("etcdserverpb.LeaseStatus")
LeaseLeasesResponse = _pool.message("etcdserverpb.LeaseLeasesResponse")
Member = _pool.message("etcdserverpb.Member")
MemberAddRequest = _pool.message("etcdserverpb.MemberAddRequest")
MemberAddResponse = _pool.message("etcdserverpb.MemberAddResponse")
MemberRemoveRequest = _pool.message("etcdserverpb.MemberRemoveRequest")
MemberRemoveResponse = _pool.message("etcdserverpb.MemberRemoveResponse")
MemberUpdateRequest = _pool.message("etcdserverpb.MemberUpdateRequest")
MemberUpdateResponse = _pool.message("etcdserverpb.MemberUpdateResponse")
MemberListRequest = _pool.message("etcdserverpb.MemberListRequest")
MemberListResponse = _pool.message("etcdserverpb.MemberListResponse")
MemberPromoteRequest = _pool.message("etcdserverpb.MemberPromoteRequest")
MemberPromoteResponse = _pool.message("etcdserverpb.MemberPromoteResponse")
AlarmRequest = _pool.message("etcdserverpb.AlarmRequest")
AlarmMember = _pool.message("etcdserverpb.AlarmMember")
AlarmResponse = _pool.message("etcdserverpb.AlarmResponse")
StatusRequest = _pool.message("etcdserverpb.StatusRequest")
StatusResponse = _pool.message("etcdserverpb.StatusResponse")
DowngradeInfo = _pool.message("etcdserverpb.DowngradeInfo")
DefragmentRequest = _pool.message("etcdserverpb.DefragmentRequest")
DefragmentResponse = _pool.message("etcdserverpb.DefragmentResponse")
HashRequest = _pool.message("etcdserverpb.HashRequest")
HashResponse = _pool.message("etcdserverpb.HashResponse")
HashKVRequest = _pool.message("etcdserverpb.HashKVRequest")
HashKVResponse = _pool.message("etcdserverpb.HashKVResponse")
SnapshotRequest = _pool.message("etcdserverpb.SnapshotRequest")
SnapshotResponse = _pool.message("etcdserverpb.SnapshotResponse")
MoveLeaderRequest = _pool.message("etcdserverpb.MoveLeaderRequest")
MoveLeaderResponse = _pool.message("etcdserverpb.MoveLeaderResponse")
DowngradeRequest = _pool.message("etcdserverpb.DowngradeRequest")
DowngradeResponse = _pool.message("etcdserverpb.DowngradeResponse")
DowngradeVersionTestRequest = _pool.message("etcdserverpb.DowngradeVersionTestRequest")
AuthEnableRequest = _pool.message("etcdserverpb.AuthEnableRequest")
AuthEnableResponse = _pool.message("etcdserverpb.AuthEnableResponse")
AuthDisableRequest = _pool.message("etcdserverpb.AuthDisableRequest")
AuthDisableResponse = _pool.message("etcdserverpb.AuthDisableResponse")
AuthStatusRequest = _pool.message("etcdserverpb.AuthStatusRequest")
AuthStatusResponse = _pool.message("etcdserverpb.AuthStatusResponse")
AuthenticateRequest = _pool.message("etcdserverpb.AuthenticateRequest")
AuthenticateResponse = _pool.message("etcdserverpb.AuthenticateResponse")
AuthUserAddRequest = _pool.message("etcdserverpb.AuthUserAddRequest")
AuthUserAddResponse = _pool.message("etcdserverpb.AuthUserAddResponse")
AuthUserGetRequest = _pool.message("etcdserverpb.AuthUserGetRequest")
AuthUserGetResponse = _pool.message("etcdserverpb.AuthUserGetResponse")
AuthUserListRequest = _pool.message("etcdserverpb.AuthUserListRequest")
AuthUserListResponse = _pool.message("etcdserverpb.AuthUserListResponse")
AuthUserDeleteRequest = _pool.message("etcdserverpb.AuthUserDeleteRequest")
AuthUserDeleteResponse = _pool.message("etcdserverpb.AuthUserDeleteResponse")
AuthUserChangePasswordRequest = _pool.message("etcdserverpb.AuthUserChangePasswordRequest")
AuthUserChangePasswordResponse = _pool.message("etcdserverpb.AuthUserChangePasswordResponse")
AuthUserGrantRoleRequest = _pool.message("etcdserverpb.AuthUserGrantRoleRequest")
AuthUserGrantRoleResponse = _pool.message("etcdserverpb.AuthUserGrantRoleResponse")
AuthUserRevokeRoleRequest = _pool.message("etcdserverpb.AuthUserRevokeRoleRequest")
AuthUserRevokeRoleResponse = _pool.message("etcdserverpb.AuthUserRevokeRoleResponse")
AuthRoleAddRequest = _pool.message("etcdserverpb.AuthRoleAddRequest")
AuthRoleAddResponse = _pool.message("etcdserverpb.AuthRoleAddResponse")
AuthRoleGetRequest = _pool.message("etcdserverpb.AuthRoleGetRequest")
AuthRoleGetResponse = _pool.message("etcdserverpb.AuthRoleGetResponse")
AuthRoleListRequest = _pool.message("etcdserverpb.AuthRoleListRequest")
AuthRoleListResponse = _pool.message("etcdserverpb.AuthRoleListResponse")
AuthRoleDeleteRequest = _pool.message("etcdserverpb.AuthRoleDeleteRequest")
AuthRoleDeleteResponse = _pool.message("etcdserverpb.AuthRoleDeleteResponse")
AuthRoleGrantPermissionRequest = _pool.message("etcdserverpb.AuthRoleGrantPermissionRequest")
AuthRoleGrantPermissionResponse = _pool.message("etcdserverpb.AuthRoleGrantPermissionResponse")
AuthRoleRevokePermissionRequest = _pool.message("etcdserverpb.AuthRoleRevokePermissionRequest")
AuthRoleRevokePermissionResponse = _pool.message("etcdserverpb.AuthRoleRevokePermissionResponse")
RequestHeader = _pool.message("etcdserverpb.RequestHeader")
InternalRaftRequest = _pool.message("etcdserverpb.InternalRaftRequest")
EmptyResponse = _pool.message("etcdserverpb.EmptyResponse")
InternalAuthenticateRequest = _pool.message("etcdserverpb.InternalAuthenticateRequest")

__all__ = [
    "AlarmMember",
    "AlarmRequest",
    "AlarmResponse",
    "AlarmType",
    "AuthDisableRequest",
    "AuthDisableResponse",
    "AuthEnableRequest",
    "AuthEnableResponse",
    "AuthRoleAddRequest",
    "AuthRoleAddResponse",
    "AuthRoleDeleteRequest",
    "AuthRoleDeleteResponse",
    "AuthRoleGetRequest",
    "AuthRoleGetResponse",
    "AuthRoleGrantPermissionRequest",
    "AuthRoleGrantPermissionResponse",
    "AuthRoleListRequest",
    "AuthRoleListResponse",
    "AuthRoleRevokePermissionRequest",
    "AuthRoleRevokePermissionResponse",
    "AuthStatusRequest",
    "AuthStatusResponse",
    "AuthUserAddRequest",
    "AuthUserAddResponse",
    "AuthUserChangePasswordRequest",
    "AuthUserChangePasswordResponse",
    "AuthUserDeleteRequest",
    "AuthUserDeleteResponse",
    "AuthUserGetRequest",
    "AuthUserGetResponse",
    "AuthUserGrantRoleRequest",
    "AuthUserGrantRoleResponse",
    "AuthUserListRequest",
    "AuthUserListResponse",
    "AuthUserRevokeRoleRequest",
    "AuthUserRevokeRoleResponse",
    "AuthenticateRequest",
    "AuthenticateResponse",
    "CORRUPT",
    "CompactionRequest",
    "CompactionResponse",
    "Compare",
    "DefragmentRequest",
    "DefragmentResponse",
    "DeleteRangeRequest",
    "DeleteRangeResponse",
    "DowngradeInfo",
    "DowngradeRequest",
    "DowngradeResponse",
    "DowngradeVersionTestRequest",
    "EmptyResponse",
    "HashKVRequest",
    "HashKVResponse",
    "HashRequest",
    "HashResponse",
    "InternalAuthenticateRequest",
    "InternalRaftRequest",
    "LeaseCheckpoint",
    "LeaseCheckpointRequest",
    "LeaseCheckpointResponse",
    "LeaseGrantRequest",
    "LeaseGrantResponse",
    "LeaseKeepAliveRequest",
    "LeaseKeepAliveResponse",
    "LeaseLeasesRequest",
    "LeaseLeasesResponse",
    "LeaseRevokeRequest",
    "LeaseRevokeResponse",
    "LeaseStatus",
    "LeaseTimeToLiveRequest",
    "LeaseTimeToLiveResponse",
    "Member",
    "MemberAddRequest",
    "MemberAddResponse",
    "MemberListRequest",
    "MemberListResponse",
    "MemberPromoteRequest",
    "MemberPromoteResponse",
    "MemberRemoveRequest",
    "MemberRemoveResponse",
    "MemberUpdateRequest",
    "MemberUpdateResponse",
    "Metadata",
    "MoveLeaderRequest",
    "MoveLeaderResponse",
    "NONE",
    "NOSPACE",
    "PutRequest",
    "PutResponse",
    "RangeRequest",
    "RangeResponse",
    "RangeStreamResponse",
    "RequestHeader",
    "RequestOp",
    "ResponseHeader",
    "ResponseOp",
    "SnapshotRequest",
    "SnapshotResponse",
    "StatusRequest",
    "StatusResponse",
    "TxnRequest",
    "TxnResponse",
    "WatchCancelRequest",
    "WatchCreateRequest",
    "WatchProgressRequest",
    "WatchRequest",
    "WatchResponse",
]
