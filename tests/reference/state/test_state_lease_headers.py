"""The revision in the answers to lease grants and revocations is that of the moment they were applied."""

from __future__ import annotations

from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.reference.apply import StateMachine
from gauntlet.reference.backend import MemoryBackend


def test_what_is_applied_next_does_not_show() -> None:
    machine = StateMachine(MemoryBackend(), cluster_id=7, min_lease_ttl=2, quota_bytes=1 << 30)
    requests = [
        pb.InternalRaftRequest(lease_grant=pb.LeaseGrantRequest(ID=9, TTL=60)),
        pb.InternalRaftRequest(put=pb.PutRequest(key=b"a", value=b"1", lease=9)),
        pb.InternalRaftRequest(lease_revoke=pb.LeaseRevokeRequest(ID=9)),
        pb.InternalRaftRequest(put=pb.PutRequest(key=b"b", value=b"2")),
    ]
    # One batch: the answers are looked at when all of it has been applied.
    applied = [machine.apply(index, 1, each, 0.0) for index, each in enumerate(requests, start=1)]
    assert [each.response.header.revision for each in applied] == [1, 2, 3, 4]
    assert machine.store.current_revision == 4
