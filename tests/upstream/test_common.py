"""Upstream's own black-box tests of a member, at the release that the node follows: the package `common`.

They start clusters of one and three members, plain and with TLS, drive them with upstream's etcdctl and judge
them. Real etcd is the measure: a test that passes there passes here, with as many subtests. They are held
against a real etcd with GAUNTLET_TEST_COMMON_ETCD=/path/to/etcd. It takes 18 minutes.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

pytestmark = pytest.mark.upstream

# What etcd 3.7.1 passes: test[:subtests passed[:subtests that skip themselves]].
PASSES = """
TestAlarm TestAlarmlistOnMemberRestart TestAuthEnable TestAuthDisable TestAuthGracefulDisable
TestAuthStatus TestAuthRoleUpdate TestAuthUserDeleteDuringOps TestAuthRoleRevokeDuringOps
TestAuthWriteKey TestAuthTxn:2 TestAuthPrefixPerm TestAuthLeaseKeepAlive TestAuthRevokeWithDelete
TestAuthLeaseTimeToLiveExpired TestAuthLeaseGrantLeases:2 TestAuthMemberAdd TestAuthCompact
TestAuthLeaseLeases TestAuthMemberList TestAuthMemberRemove TestAuthTestInvalidMgmt TestAuthLeaseRevoke
TestAuthRoleGet TestAuthUserGet TestAuthRoleList TestAuthJWTExpire TestAuthJWTOnly
TestAuthRevisionConsistency TestAuthTestCacheReload TestAuthLeaseTimeToLive TestAuthAlarm TestCompact:2
TestDefragOnline TestEndpointStatus TestEndpointHashKV TestEndpointHealth TestAuthority:20
TestVerifyHashKVAfterCompact:12:4 TestVerifyHashKVAfterTwoCompactsOnTombstone:2:1
TestVerifyHashKVAfterCompactOnLastTombstone:6:2 TestVerifyHashKVAfterCompactAndDefrag:3 TestKVPut:3
TestKVGet:180 TestKVGetStream:108:72 TestKVDelete:3 TestKVGetNoQuorum:2 TestLeaseGrantTimeToLive:3
TestLeaseGrantAndList:9 TestLeaseGrantTimeToLiveExpired:3 TestLeaseGrantKeepAliveOnce:3
TestLeaseGrantRevoke:3 TestDefragmentWithNoAuth TestDefragmentWithInvalidAuth TestDefragmentWithRootAuth
TestDefragmentWithUserAuth TestHashKVWithNoAuth TestHashKVWithInvalidAuth TestHashKVWithRootAuth
TestHashKVWithUserAuth TestStatusWithNoAuth TestStatusWithInvalidAuth TestStatusWithRootAuth
TestStatusWithUserAuth TestMemberList:3 TestMemberAdd:24 TestMemberRemove:10 TestRoleAdd_Simple:3
TestRoleAdd_Error TestRootRole TestRoleGrantRevokePermission TestRoleDelete TestStatus:3 TestTxnSucc:3
TestTxnFail:3 TestUserAdd_Simple:12 TestUserAdd_DuplicateUserNotAllowed:3 TestUserList:3
TestUserDelete:3 TestUserChangePassword:3 TestWaitLeader:3 TestWaitLeader_MemberStop:2 TestWatch:3
"""

# Empty upstream: each begins and ends with a skip.
SKIPS = """
TestDowngradeWithNoAuth TestDowngradeWithInvalidAuth TestDowngradeWithRootAuth TestDowngradeWithUserAuth
TestMoveLeaderWithNoAuth TestMoveLeaderWithInvalidAuth TestMoveLeaderWithRootAuth
TestMoveLeaderWithUserAuth TestSnapshotWithNoAuth TestSnapshotWithInvalidAuth TestSnapshotWithRootAuth
TestSnapshotWithUserAuth
"""


def passing() -> dict[str, Counter[str]]:
    """The subtests to expect, by test."""
    expected = {}
    for entry in PASSES.split():
        name, passed, skipped = [*entry.split(":"), "0", "0"][:3]
        expected[name] = +Counter({"PASS": int(passed), "SKIP": int(skipped)})
    return expected


def test_the_lists_are_all_of_the_package(common_suite: Any) -> None:
    assert sorted(common_suite.names()) == sorted([*passing(), *SKIPS.split()])


@pytest.mark.parametrize("name", [*passing(), *SKIPS.split()])
def test_common(name: str, common_suite: Any) -> None:
    result = common_suite.run(name)
    if name in SKIPS.split():
        assert result.outcome == "SKIP", f"see {result.log}"
        result.log.unlink()
        pytest.skip("upstream skips it, whatever the server")
    assert (result.outcome, result.subtests) == ("PASS", passing()[name]), f"see {result.log}"
    result.log.unlink()
