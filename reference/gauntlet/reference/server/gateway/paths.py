"""Which HTTP path stands for which RPC. All are POST. etcd 3.7 offers no path for RangeStream."""

from __future__ import annotations

from typing import Final

_TABLE = """
    etcdserverpb.KV/Range                    kv/range
    etcdserverpb.KV/Put                      kv/put
    etcdserverpb.KV/DeleteRange              kv/deleterange
    etcdserverpb.KV/Txn                      kv/txn
    etcdserverpb.KV/Compact                  kv/compaction
    etcdserverpb.Watch/Watch                 watch
    etcdserverpb.Lease/LeaseGrant            lease/grant
    etcdserverpb.Lease/LeaseRevoke           lease/revoke       kv/lease/revoke
    etcdserverpb.Lease/LeaseKeepAlive        lease/keepalive
    etcdserverpb.Lease/LeaseTimeToLive       lease/timetolive   kv/lease/timetolive
    etcdserverpb.Lease/LeaseLeases           lease/leases       kv/lease/leases
    etcdserverpb.Cluster/MemberAdd           cluster/member/add
    etcdserverpb.Cluster/MemberRemove        cluster/member/remove
    etcdserverpb.Cluster/MemberUpdate        cluster/member/update
    etcdserverpb.Cluster/MemberList          cluster/member/list
    etcdserverpb.Cluster/MemberPromote       cluster/member/promote
    etcdserverpb.Maintenance/Alarm           maintenance/alarm
    etcdserverpb.Maintenance/Status          maintenance/status
    etcdserverpb.Maintenance/Defragment      maintenance/defragment
    etcdserverpb.Maintenance/Hash            maintenance/hash
    etcdserverpb.Maintenance/HashKV          maintenance/hashkv
    etcdserverpb.Maintenance/Snapshot        maintenance/snapshot
    etcdserverpb.Maintenance/MoveLeader      maintenance/transfer-leadership
    etcdserverpb.Maintenance/Downgrade       maintenance/downgrade
    etcdserverpb.Auth/AuthEnable             auth/enable
    etcdserverpb.Auth/AuthDisable            auth/disable
    etcdserverpb.Auth/AuthStatus             auth/status
    etcdserverpb.Auth/Authenticate           auth/authenticate
    etcdserverpb.Auth/UserAdd                auth/user/add
    etcdserverpb.Auth/UserGet                auth/user/get
    etcdserverpb.Auth/UserList               auth/user/list
    etcdserverpb.Auth/UserDelete             auth/user/delete
    etcdserverpb.Auth/UserChangePassword     auth/user/changepw
    etcdserverpb.Auth/UserGrantRole          auth/user/grant
    etcdserverpb.Auth/UserRevokeRole         auth/user/revoke
    etcdserverpb.Auth/RoleAdd                auth/role/add
    etcdserverpb.Auth/RoleGet                auth/role/get
    etcdserverpb.Auth/RoleList               auth/role/list
    etcdserverpb.Auth/RoleDelete             auth/role/delete
    etcdserverpb.Auth/RoleGrantPermission    auth/role/grant
    etcdserverpb.Auth/RoleRevokePermission   auth/role/revoke
    v3lockpb.Lock/Lock                       lock/lock
    v3lockpb.Lock/Unlock                     lock/unlock
    v3electionpb.Election/Campaign           election/campaign
    v3electionpb.Election/Proclaim           election/proclaim
    v3electionpb.Election/Leader             election/leader
    v3electionpb.Election/Observe            election/observe
    v3electionpb.Election/Resign             election/resign
"""


def _read() -> dict[str, str]:
    paths: dict[str, str] = {}
    for row in _TABLE.strip().splitlines():
        rpc, *names = row.split()
        paths.update((f"/v3/{name}", f"/{rpc}") for name in names)
    return paths


PATHS: Final[dict[str, str]] = _read()
"""RPC by HTTP path: `/v3/kv/put` -> `/etcdserverpb.KV/Put`."""
