"""Who belongs to the cluster. Source: go.etcd.io/etcd/server/v3 v3.7.1, etcdserver/api/membership.

1. A member's id is made from its peer URLs, the cluster token and, when it is added at run time, the time
   (seconds); the cluster's id from the ids of its first members.
2. Members change by configuration changes in the log. Each carries a JSON context: the member as it is to
   be, and whether a learner is being promoted. A change is checked once more when it is applied, against
   what the log has said so far, and refused the same way on every member.
3. An id that was removed is never used again.
4. A learner does not vote. There are at most `max_learners`.
5. Name and client URLs are the member's own to announce, by an ordinary log entry. A member without a name
   has not started yet.
6. What a member was told by its configuration or by its peers (`seed`) serves until the log says it; checks
   go by the log alone.

Kept in the buckets `members` and `members_removed` (key: id in hex) and `cluster`, as etcd keeps them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from gauntlet.api import errors
from gauntlet.api.errors import RpcError
from gauntlet.reference import backend as buckets
from gauntlet.reference.backend import Backend
from gauntlet.reference.raft.types import ConfChange, ConfChangeType

MAX_LEARNERS = 1
READY_SHARE = 0.9  # of the leader's log that a learner must have before it is promoted
_VERSION_KEY = b"clusterVersion"
_DOWNGRADE_KEY = b"downgrade"
_REMOVED = b"removed"


class ClusterConfigError(ValueError):
    """A cluster description that makes no cluster. The message is one clear line."""


class MembershipError(Exception):
    """The log contradicts itself about who is a member. Fatal."""


@dataclass(slots=True)
class Member:
    id: int
    peer_urls: list[str] = field(default_factory=list)
    is_learner: bool = False
    name: str = ""
    client_urls: list[str] = field(default_factory=list)

    @classmethod
    def from_urls(
        cls,
        name: str,
        peer_urls: Sequence[str],
        token: str,
        *,
        added_at: int | None = None,
        learner: bool = False,
    ) -> Member:
        """A member whose id follows from its URLs; `added_at` as for `member_id`."""
        return cls(member_id(peer_urls, token, added_at), sorted(peer_urls), learner, name)

    @property
    def started(self) -> bool:
        return self.name != ""


# ---- ids and URLs


def member_id(peer_urls: Iterable[str], token: str, added_at: int | None = None) -> int:
    """`added_at`: unix seconds for a member added at run time, None for one of the first."""
    text = "".join(sorted(peer_urls)) + token + ("" if added_at is None else str(added_at))
    return _first_eight(text.encode())


def cluster_id(member_ids: Iterable[int]) -> int:
    return _first_eight(b"".join(n.to_bytes(8, "big") for n in sorted(member_ids)))


def _first_eight(data: bytes) -> int:
    return int.from_bytes(hashlib.sha1(data, usedforsecurity=False).digest()[:8], "big")


def check_urls(urls: Sequence[str]) -> list[str]:
    """The URLs trimmed and sorted. ClusterConfigError with etcd's words when one cannot be listened on."""
    if not urls:
        raise ClusterConfigError("no valid URLs given")
    return sorted(_check_url(url.strip()) for url in urls)


def _check_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ClusterConfigError(f'URL address does not have the form "host:port": {url}') from None
    if parts.scheme in ("unix", "unixs"):
        return url
    if parts.scheme not in ("http", "https"):
        raise ClusterConfigError(f"URL scheme must be http, https, unix, or unixs: {url}")
    if port is None and not parts.netloc.endswith(":"):
        raise ClusterConfigError(f'URL address does not have the form "host:port": {url}')
    if parts.path:
        raise ClusterConfigError(f"URL must not contain a path: {url}")
    return url


def parse_initial_cluster(text: str) -> dict[str, list[str]]:
    """--initial-cluster: `name=url,name=url,...`; a name may come several times."""
    found: dict[str, list[str]] = {}
    for pair in text.split(","):
        name, equals, url = pair.partition("=")
        if equals and name.strip():
            found.setdefault(name.strip(), []).append(url)
        elif pair.strip():
            raise ClusterConfigError(f"initial cluster: {pair.strip()!r} is not of the form name=url")
    if not found:
        raise ClusterConfigError("initial cluster: no members given")
    return {name: check_urls(urls) for name, urls in found.items()}


def first_members(urls_by_name: dict[str, list[str]], token: str) -> list[Member]:
    """The members of a new cluster, by id. ClusterConfigError when two have the same id."""
    members: dict[int, Member] = {}
    for name, urls in urls_by_name.items():
        number = member_id(urls, token)
        if number in members:
            raise ClusterConfigError(
                f"member exists with identical ID {number:x}: {members[number].name}, {name}"
            )
        members[number] = Member(number, sorted(urls), name=name)
    return [members[number] for number in sorted(members)]


def match_existing(
    local: Sequence[Member],
    existing: Sequence[Member],
    same: Callable[[Sequence[str], Sequence[str]], bool] = lambda one, other: sorted(one) == sorted(other),
) -> list[Member]:
    """Gives the locally configured members the ids they have in the running cluster, by their peer URLs.

    `same` tells whether two lists of URLs mean the same member.
    """
    if len(local) != len(existing):
        raise ClusterConfigError("member count is unequal")
    matched = []
    for member in sorted(existing, key=lambda member: member.id):
        ours = next((each for each in local if same(member.peer_urls, each.peer_urls)), None)
        if ours is None:
            raise ClusterConfigError(
                f"PeerURLs: no match found for existing member ({member.id:x}, {member.peer_urls})"
            )
        matched.append(replace(ours, id=member.id, is_learner=member.is_learner))
    return matched


def learner_ready(match: int, leader_match: int) -> bool:
    """Whether a learner that has `match` entries of the leader's `leader_match` may be promoted."""
    return match >= READY_SHARE * leader_match


# ---- JSON as etcd writes it


def encode_member(member: Member, is_promote: bool | None = None) -> bytes:
    """Fields in etcd's order, empty ones left out. `is_promote` None: the member alone."""
    fields: dict[str, Any] = {"id": member.id, "peerURLs": member.peer_urls or None}
    if member.is_learner:
        fields["isLearner"] = True
    if member.name:
        fields["name"] = member.name
    if member.client_urls:
        fields["clientURLs"] = member.client_urls
    if is_promote is not None:
        fields["isPromote"] = is_promote
    return _dump(fields)


def decode_member(data: bytes) -> tuple[Member, bool]:
    """(member, whether it is being promoted). MembershipError when it is no member."""
    try:
        fields = json.loads(data)
        member = Member(
            int(fields.get("id", 0)),
            list(fields.get("peerURLs") or ()),
            bool(fields.get("isLearner", False)),
            str(fields.get("name", "")),
            list(fields.get("clientURLs") or ()),
        )
        return member, bool(fields.get("isPromote", False))
    except (ValueError, TypeError, AttributeError) as error:
        raise MembershipError(f"not a member: {data!r}") from error


# Go escapes these too, so that JSON can stand inside HTML.
_ESCAPES = str.maketrans({c: f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"})


def _dump(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).translate(_ESCAPES).encode()


# ---- the changes a member may propose


def add_change(member: Member) -> ConfChange:
    kind = ConfChangeType.ADD_LEARNER_NODE if member.is_learner else ConfChangeType.ADD_NODE
    return ConfChange(kind, member.id, encode_member(member))


def remove_change(member_id: int) -> ConfChange:
    return ConfChange(ConfChangeType.REMOVE_NODE, member_id)


def update_change(member_id: int, peer_urls: list[str]) -> ConfChange:
    return ConfChange(ConfChangeType.UPDATE_NODE, member_id, encode_member(Member(member_id, peer_urls)))


def promote_change(member_id: int) -> ConfChange:
    return ConfChange(ConfChangeType.ADD_NODE, member_id, encode_member(Member(member_id), is_promote=True))


# ---- the cluster


@dataclass(slots=True, frozen=True)
class Downgrade:
    enabled: bool = False
    target_version: str = ""


class Cluster:
    def __init__(self, backend: Backend, *, id: int = 0, max_learners: int = MAX_LEARNERS) -> None:
        self.id = id
        self.version: str | None = None
        self.downgrade = Downgrade()
        self._max_learners = max_learners
        self._backend = backend
        self._members: dict[int, Member] = {}
        self._logged: set[int] = set()
        self._removed: set[int] = set()
        self.recover(backend)

    def recover(self, backend: Backend) -> None:
        """Reads everything again from `backend`; what was seeded is forgotten."""
        self._backend = backend
        self._members = {}
        for key, value in backend.range(buckets.MEMBERS, b"", b""):
            number = int(key, 16)
            self._members[number] = replace(decode_member(value)[0], id=number)
        self._logged = set(self._members)
        self._removed = {int(key, 16) for key, _ in backend.range(buckets.MEMBERS_REMOVED, b"", b"")}
        version = backend.get(buckets.CLUSTER, _VERSION_KEY)
        self.version = None if version is None else version.decode()
        stored = backend.get(buckets.CLUSTER, _DOWNGRADE_KEY)
        fields = {} if stored is None else json.loads(stored)
        self.downgrade = Downgrade(bool(fields.get("enabled")), str(fields.get("target-version", "")))

    def seed(self, members: Iterable[Member]) -> None:
        """Members known before the log says so."""
        for member in members:
            if member.id not in self._logged and member.id not in self._removed:
                self._members[member.id] = replace(member)

    # ---- looked up

    def members(self) -> list[Member]:
        return [self._members[number] for number in sorted(self._members)]

    def voters(self) -> list[Member]:
        return [member for member in self.members() if not member.is_learner]

    def member(self, member_id: int) -> Member | None:
        return self._members.get(member_id)

    def member_ids(self) -> list[int]:
        return sorted(self._members)

    def member_by_name(self, name: str) -> Member | None:
        return next((member for member in self.members() if member.name == name), None)

    def is_removed(self, member_id: int) -> bool:
        return member_id in self._removed

    def is_learner(self, member_id: int) -> bool:
        member = self._members.get(member_id)
        return member is not None and member.is_learner

    # ---- may it be proposed (--strict-reconfig-check)

    def may_add_voter(self) -> bool:
        """Whether, with one more voter that has not started, enough have. One to two is always allowed."""
        voters = self.voters()
        started = sum(member.started for member in voters)
        size = len(voters) + 1
        return (started == 1 and size == 2) or started >= size // 2 + 1

    def may_remove(self, member_id: int) -> bool:
        """Whether enough of the voters that stay have started. A learner may always go."""
        if self.is_learner(member_id):
            return True
        staying = [member for member in self.voters() if member.id != member_id]
        return sum(member.started for member in staying) >= len(staying) // 2 + 1

    def may_promote(self) -> bool:
        """Whether enough have started, the promoted learner included."""
        voters = self.voters()
        return sum(member.started for member in voters) + 1 >= (len(voters) + 1) // 2 + 1

    # ---- applied from the log

    def validate(self, change: ConfChange) -> None:
        """Errors: MEMBER_NOT_FOUND, MEMBER_EXIST, PEER_URL_EXIST, MEMBER_NOT_LEARNER, TOO_MANY_LEARNERS."""
        number = change.node_id
        if number in self._removed:
            raise errors.MEMBER_NOT_FOUND.fresh()
        if change.type in (ConfChangeType.ADD_NODE, ConfChangeType.ADD_LEARNER_NODE):
            member, is_promote = decode_member(change.context)
            if is_promote:
                if number not in self._logged:
                    raise errors.MEMBER_NOT_FOUND.fresh()
                if not self._members[number].is_learner:
                    raise errors.MEMBER_NOT_LEARNER.fresh()
            else:
                self._validate_add(number, member, change.type)
        elif number not in self._logged:
            raise errors.MEMBER_NOT_FOUND.fresh()
        elif change.type is ConfChangeType.UPDATE_NODE:
            self._validate_urls(decode_member(change.context)[0].peer_urls, except_for=number)

    def _validate_add(self, number: int, member: Member, kind: ConfChangeType) -> None:
        if number in self._logged:
            raise errors.MEMBER_EXIST.fresh()
        self._validate_urls(member.peer_urls)
        if member.is_learner and kind is ConfChangeType.ADD_LEARNER_NODE:
            learners = sum(self._members[known].is_learner for known in self._logged)
            if learners + 1 > self._max_learners:
                raise errors.TOO_MANY_LEARNERS.fresh()

    def _validate_urls(self, urls: list[str], except_for: int = 0) -> None:
        for known in self._logged:
            if known != except_for and not set(urls).isdisjoint(self._members[known].peer_urls):
                raise errors.PEER_URL_EXIST.fresh()

    def apply(self, change: ConfChange) -> None:
        """Validates, then changes who is a member. Nothing is changed when `validate` raises."""
        self.validate(change)
        number = change.node_id
        if change.type is ConfChangeType.REMOVE_NODE:
            self._members.pop(number, None)
            self._logged.discard(number)
            self._removed.add(number)
            self._backend.delete(buckets.MEMBERS, _key(number))
            self._backend.put(buckets.MEMBERS_REMOVED, _key(number), _REMOVED)
            return
        member, is_promote = decode_member(change.context)
        if member.id != number:
            raise MembershipError(f"change of member {number:x} carries member {member.id:x}")
        if is_promote:
            member = self._members[number]
            member.is_learner = False
        elif change.type is ConfChangeType.UPDATE_NODE:
            urls = member.peer_urls
            member = self._members[number]
            member.peer_urls = urls
        else:
            self._members[number] = member
        self._logged.add(number)
        self._store(member)

    def apply_all(self, changes: Sequence[ConfChange]) -> None:
        """As `apply`, one after the other; when one is refused, none has happened."""
        members = {number: replace(member) for number, member in self._members.items()}
        logged, removed = set(self._logged), set(self._removed)
        try:
            for change in changes:
                self.apply(change)
        except RpcError:
            self._members, self._logged, self._removed = members, logged, removed
            for number in sorted({change.node_id for change in changes}):
                self._restore(number)
            raise

    def _restore(self, number: int) -> None:
        """Makes the store say of one member what the memory says."""
        if number in self._logged:
            self._store(self._members[number])
        else:
            self._backend.delete(buckets.MEMBERS, _key(number))
        if number not in self._removed:
            self._backend.delete(buckets.MEMBERS_REMOVED, _key(number))

    def set_attributes(self, member_id: int, name: str, client_urls: Iterable[str]) -> None:
        """What a member announces about itself; nothing for one that was removed meanwhile."""
        member = self._members.get(member_id)
        if member is None:
            if member_id not in self._removed:
                raise MembershipError(f"attributes of the unknown member {member_id:x}")
            return
        member.name = name
        member.client_urls = list(client_urls)
        self._logged.add(member_id)
        self._store(member)

    def set_version(self, version: str) -> None:
        """The version all members share, such as `3.7.0`."""
        self.version = version
        self._backend.put(buckets.CLUSTER, _VERSION_KEY, version.encode())

    def at_least(self, version: tuple[int, int]) -> bool:
        """Whether all members share this version or a later one."""
        return self.version is not None and tuple(map(int, self.version.split(".")[:2])) >= version

    def set_downgrade(self, downgrade: Downgrade) -> None:
        self.downgrade = downgrade
        fields = {"target-version": downgrade.target_version, "enabled": downgrade.enabled}
        self._backend.put(buckets.CLUSTER, _DOWNGRADE_KEY, _dump(fields))

    def _store(self, member: Member) -> None:
        self._backend.put(buckets.MEMBERS, _key(member.id), encode_member(member))


def _key(member_id: int) -> bytes:
    return b"%x" % member_id
