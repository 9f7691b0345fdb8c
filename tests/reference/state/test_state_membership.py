"""Who is a member: ids, URLs, contexts, and which change is refused with which error."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from gauntlet.api import errors
from gauntlet.api.errors import RpcError
from gauntlet.reference import backend as buckets
from gauntlet.reference import membership
from gauntlet.reference.backend import MemoryBackend
from gauntlet.reference.membership import (
    Cluster,
    ClusterConfigError,
    Downgrade,
    Member,
    MembershipError,
    add_change,
    promote_change,
    remove_change,
    update_change,
)
from gauntlet.reference.raft.types import ConfChange, ConfChangeType
from hypothesis import given
from hypothesis import strategies as st

# Ids that members of version 3.7.1 gave themselves.
KNOWN_MEMBER = (["http://127.0.0.1:23801"], "tkn", 7787298040797728259)
KNOWN_CLUSTER = ([7787298040797728259], 8005005415718970886)


def test_ids_are_etcds() -> None:
    urls, token, expected = KNOWN_MEMBER
    assert membership.member_id(urls, token) == expected
    members, cluster = KNOWN_CLUSTER
    assert membership.cluster_id(members) == cluster


def test_what_an_id_depends_on() -> None:
    one = membership.member_id(["http://b:1", "http://a:1"], "t")
    assert membership.member_id(["http://a:1", "http://b:1"], "t") == one
    assert membership.member_id(["http://a:1", "http://b:1"], "u") != one
    at_run_time = membership.member_id(["http://a:1", "http://b:1"], "t", 1700000000)
    assert at_run_time != one
    assert at_run_time == membership.member_id(["http://a:1http://b:1"], "t1700000000")
    assert membership.cluster_id([3, 1, 2]) == membership.cluster_id([1, 2, 3])


@pytest.mark.parametrize(
    ("urls", "checked"),
    [
        (["http://b:2", " http://a:1 "], ["http://a:1", "http://b:2"]),
        (["https://[::1]:2380"], ["https://[::1]:2380"]),
        (["unix://name"], ["unix://name"]),
        ([], "no valid URLs given"),
        (["tcp://a:1"], "URL scheme must be http, https, unix, or unixs: tcp://a:1"),
        (["a:1"], "URL scheme must be http, https, unix, or unixs: a:1"),
        (["http://a"], 'URL address does not have the form "host:port": http://a'),
        (["http://a:b"], 'URL address does not have the form "host:port": http://a:b'),
        (["http://a:1/path"], "URL must not contain a path: http://a:1/path"),
        (["http://a:1/"], "URL must not contain a path: http://a:1/"),
    ],
)
def test_urls(urls: list[str], checked: list[str] | str) -> None:
    if isinstance(checked, list):
        assert membership.check_urls(urls) == checked
    else:
        with pytest.raises(ClusterConfigError) as caught:
            membership.check_urls(urls)
        assert str(caught.value) == checked


def test_initial_cluster() -> None:
    text = "m1=http://a:1,m2=http://b:1,m1=http://a:2"
    parsed = membership.parse_initial_cluster(text)
    assert parsed == {"m1": ["http://a:1", "http://a:2"], "m2": ["http://b:1"]}
    members = membership.first_members(parsed, "token")
    assert [member.id for member in members] == sorted(member.id for member in members)
    by_name = {member.name: member for member in members}
    assert by_name["m1"] == Member(
        membership.member_id(["http://a:1", "http://a:2"], "token"), ["http://a:1", "http://a:2"], name="m1"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no members given"),
        ("m1", "'m1' is not of the form name=url"),
        ("=http://a:1", "is not of the form name=url"),
        ("m1=ftp://a:1", "URL scheme must be"),
    ],
)
def test_bad_initial_cluster(text: str, message: str) -> None:
    with pytest.raises(ClusterConfigError, match=message):
        membership.parse_initial_cluster(text)


def test_two_members_of_one_id() -> None:
    with pytest.raises(ClusterConfigError, match="member exists with identical ID"):
        membership.first_members({"a": ["http://a:1"], "b": ["http://a:1"]}, "t")


def test_joining_takes_the_ids_of_the_running_cluster() -> None:
    local = [Member(1, ["http://a:1"], name="a"), Member(2, ["http://b:2", "http://b:1"], name="b")]
    existing = [Member(20, ["http://b:1", "http://b:2"], True), Member(10, ["http://a:1"])]
    assert membership.match_existing(local, existing) == [
        Member(10, ["http://a:1"], name="a"),
        Member(20, ["http://b:2", "http://b:1"], True, name="b"),
    ]
    with pytest.raises(ClusterConfigError, match="member count is unequal"):
        membership.match_existing(local[:1], existing)
    with pytest.raises(ClusterConfigError, match="no match found for existing member"):
        membership.match_existing(local, [existing[0], Member(10, ["http://c:1"])])


# ---- JSON

JSON_CASES = [
    (Member(9, ["http://a:1"]), None, b'{"id":9,"peerURLs":["http://a:1"]}'),
    (Member(9), True, b'{"id":9,"peerURLs":null,"isPromote":true}'),
    (
        Member(2**64 - 1, ["http://a:1", "http://b:2"], True, "m<1>&\u2028ä", ["http://c:3"]),
        False,
        b'{"id":18446744073709551615,"peerURLs":["http://a:1","http://b:2"],"isLearner":true,'
        b'"name":"m\\u003c1\\u003e\\u0026\\u2028\xc3\xa4","clientURLs":["http://c:3"],"isPromote":false}',
    ),
]


@pytest.mark.parametrize(("member", "is_promote", "text"), JSON_CASES)
def test_json_is_etcds(member: Member, is_promote: bool | None, text: bytes) -> None:
    assert membership.encode_member(member, is_promote) == text
    assert membership.decode_member(text) == (member, bool(is_promote))


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@given(
    st.builds(
        Member,
        st.integers(0, 2**64 - 1),
        st.lists(texts, max_size=3),
        st.booleans(),
        texts,
        st.lists(texts, max_size=3),
    )
)
def test_json_round_trip(member: Member) -> None:
    assert membership.decode_member(membership.encode_member(member)) == (member, False)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"3", b'{"id":"x"}', b'{"peerURLs":5}', b"\xff"])
def test_json_that_is_no_member(text: bytes) -> None:
    with pytest.raises(MembershipError):
        membership.decode_member(text)


# ---- changes


def url(number: int) -> str:
    return f"http://m{number}:2380"


def cluster_of(*members: Member) -> tuple[Cluster, MemoryBackend]:
    backend = MemoryBackend()
    cluster = Cluster(backend, id=77)
    for member in members:
        cluster.apply(add_change(copy.deepcopy(member)))
    return cluster, backend


THREE = (
    Member(1, [url(1)], name="m1"),
    Member(2, [url(2)], name="m2"),
    Member(3, [url(3)], True),
)

CHANGES: list[tuple[str, ConfChange, RpcError | None]] = [
    ("add", add_change(Member(4, [url(4)])), None),
    ("add with a known id", add_change(Member(2, [url(4)])), errors.MEMBER_EXIST),
    ("add with a known URL", add_change(Member(4, [url(9), url(2)])), errors.PEER_URL_EXIST),
    ("add a second learner", add_change(Member(4, [url(4)], True)), errors.TOO_MANY_LEARNERS),
    ("add a removed id", add_change(Member(8, [url(4)])), errors.MEMBER_NOT_FOUND),
    ("promote a learner", promote_change(3), None),
    ("promote a voter", promote_change(2), errors.MEMBER_NOT_LEARNER),
    ("promote nobody", promote_change(4), errors.MEMBER_NOT_FOUND),
    ("promote a removed id", promote_change(8), errors.MEMBER_NOT_FOUND),
    ("update", update_change(2, [url(5)]), None),
    ("update to its own URL", update_change(2, [url(2)]), None),
    ("update to another's URL", update_change(2, [url(1)]), errors.PEER_URL_EXIST),
    ("update nobody", update_change(4, [url(4)]), errors.MEMBER_NOT_FOUND),
    ("remove", remove_change(2), None),
    ("remove a learner", remove_change(3), None),
    ("remove nobody", remove_change(4), errors.MEMBER_NOT_FOUND),
    ("remove twice", remove_change(8), errors.MEMBER_NOT_FOUND),
]


@pytest.mark.parametrize(("what", "change", "error"), CHANGES, ids=[row[0] for row in CHANGES])
def test_changes(what: str, change: ConfChange, error: RpcError | None) -> None:
    cluster, backend = cluster_of(*THREE, Member(8, [url(8)]))
    cluster.apply(remove_change(8))
    before = copy.deepcopy(cluster.members())
    if error is None:
        cluster.validate(change)
        assert cluster.members() == before
        cluster.apply(change)
        assert cluster.members() != before or what == "update to its own URL"
    else:
        with pytest.raises(RpcError) as caught:
            cluster.apply(change)
        assert caught.value == error
        assert caught.value is not error
        assert cluster.members() == before
    again = Cluster(backend)
    assert again.members() == cluster.members()
    assert again.is_removed(8)


def test_kinds_of_changes() -> None:
    assert add_change(Member(4, [url(4)])).type is ConfChangeType.ADD_NODE
    assert add_change(Member(4, [url(4)], True)).type is ConfChangeType.ADD_LEARNER_NODE
    assert promote_change(3).type is ConfChangeType.ADD_NODE
    assert remove_change(3) == ConfChange(ConfChangeType.REMOVE_NODE, 3)
    assert update_change(3, [url(4)]).type is ConfChangeType.UPDATE_NODE


def test_promoting_and_updating_keep_the_rest() -> None:
    cluster, _ = cluster_of(Member(3, [url(3)], True, "m3", ["http://c:1"]))
    assert cluster.voters() == []
    assert cluster.is_learner(3)
    cluster.apply(promote_change(3))
    cluster.apply(update_change(3, [url(9)]))
    assert cluster.members() == [Member(3, [url(9)], False, "m3", ["http://c:1"])]
    assert cluster.voters() == cluster.members()


def test_a_removed_member_is_gone_for_good() -> None:
    cluster, backend = cluster_of(*THREE)
    cluster.apply(remove_change(2))
    assert cluster.member(2) is None
    assert cluster.is_removed(2)
    assert backend.range(buckets.MEMBERS_REMOVED, b"", b"") == [(b"2", b"removed")]
    cluster.set_attributes(2, "late", ["http://c:2"])
    assert cluster.member_ids() == [1, 3]


def test_attributes() -> None:
    cluster, backend = cluster_of(Member(0xAB, [url(1)]))
    member = cluster.member(0xAB)
    assert member is not None
    assert not member.started
    cluster.set_attributes(0xAB, "m1", ["http://c:1"])
    assert member.started
    assert cluster.member_by_name("m1") == member
    assert cluster.member_by_name("m2") is None
    assert backend.range(buckets.MEMBERS, b"", b"") == [
        (b"ab", b'{"id":171,"peerURLs":["http://m1:2380"],"name":"m1","clientURLs":["http://c:1"]}')
    ]
    with pytest.raises(MembershipError):
        cluster.set_attributes(0xCD, "m2", [])


def test_a_change_that_names_somebody_else_is_fatal() -> None:
    cluster, _ = cluster_of()
    change = add_change(Member(4, [url(4)]))
    change.node_id = 5
    with pytest.raises(MembershipError, match="change of member 5 carries member 4"):
        cluster.apply(change)


def test_seeded_members_serve_until_the_log_has_them() -> None:
    cluster, backend = cluster_of()
    cluster.seed([Member(1, [url(1)], name="m1"), Member(2, [url(2)], name="m2")])
    assert cluster.member_ids() == [1, 2]
    assert backend.range(buckets.MEMBERS, b"", b"") == []
    with pytest.raises(RpcError):
        cluster.validate(remove_change(1))
    cluster.apply(add_change(Member(1, [url(1)])))
    cluster.validate(remove_change(1))
    cluster.seed([Member(1, [url(9)])])
    found = cluster.member(1)
    assert found is not None
    assert found.peer_urls == [url(1)]


@pytest.mark.parametrize(
    ("started", "not_started", "add", "promote", "remove_started"),
    [
        (1, 0, True, True, False),
        (1, 1, False, True, False),
        (2, 0, True, True, True),
        (2, 1, False, True, False),
        (3, 0, True, True, True),
        (3, 2, False, True, False),
        (5, 0, True, True, True),
    ],
)
def test_what_may_be_proposed(
    started: int, not_started: int, add: bool, promote: bool, remove_started: bool
) -> None:
    members = [Member(n, [url(n)], name=f"m{n}") for n in range(1, started + 1)]
    members += [Member(n, [url(n)]) for n in range(started + 1, started + not_started + 1)]
    learner = Member(99, [url(99)], True)
    cluster, _ = cluster_of(*members, learner)
    assert cluster.may_add_voter() is add
    assert cluster.may_promote() is promote
    assert cluster.may_remove(1) is remove_started
    assert cluster.may_remove(99), "a learner may always go"


@pytest.mark.parametrize(
    ("match", "leader", "ready"), [(0, 100, False), (89, 100, False), (90, 100, True), (0, 0, True)]
)
def test_when_a_learner_is_ready(match: int, leader: int, ready: bool) -> None:
    assert membership.learner_ready(match, leader) is ready


def test_version_and_downgrade() -> None:
    cluster, backend = cluster_of()
    assert cluster.version is None
    assert cluster.downgrade == Downgrade()
    cluster.set_version("3.7.0")
    cluster.set_downgrade(Downgrade(True, "3.6.0"))
    assert dict(backend.range(buckets.CLUSTER, b"", b"")) == {
        b"clusterVersion": b"3.7.0",
        b"downgrade": b'{"target-version":"3.6.0","enabled":true}',
    }
    again: Any = Cluster(backend)
    assert again.version == "3.7.0"
    assert again.downgrade == Downgrade(True, "3.6.0")
