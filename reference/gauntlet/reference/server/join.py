"""What a new member asks the others before it starts.

Rules (etcd 3.7.1, bootstrap.go):

- Joining a running cluster: the members named in --initial-cluster are asked for the member list, the first
  answer counts. The cluster must already list this member, by its peer URLs, and run a version that this
  member can speak.
- Founding a new one: a member that the others know to have run before has lost its disk. It must not start
  again under the same id, for it may have voted and acknowledged what it no longer knows.
- A directory that holds a log needs nobody's word.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterable
from pathlib import Path

from gauntlet.api.wire.http1_client import HttpClientConnection, HttpClientError, HttpResponse, Origin
from gauntlet.reference import membership
from gauntlet.reference.membership import Member, MembershipError, decode_member
from gauntlet.reference.server.bootstrap import ExistingCluster
from gauntlet.reference.server.config import Config
from gauntlet.reference.server.flags import UsageError
from gauntlet.reference.server.peers.identity import parse_id, parse_version
from gauntlet.reference.server.release import VERSION

JOIN_TIMEOUT, FOUND_TIMEOUT = 10.0, 1.0
OLDEST = (3, 0)


async def look_around(config: Config, tls: ssl.SSLContext | None = None) -> ExistingCluster | None:
    """The cluster to be joined, None for a member that founds one or continues. UsageError: it must not."""
    if has_log(config):
        return None
    others = sorted(
        url for name, urls in config.initial_cluster.items() if name != config.name for url in urls
    )
    if config.initial_cluster_state == "existing":
        if config.more.discovery is not None:
            raise UsageError("discovery URL should not be set when joining existing initial cluster")
        found = await _first_answer(others, JOIN_TIMEOUT, tls)
        if found is None:
            raise UsageError(
                "cannot fetch cluster info from peer urls: "
                "could not retrieve cluster information from the given URLs"
            )
        if not await _speaks_our_version(config, found.members, tls):
            raise UsageError("incompatible with current running cluster")
        return found
    if config.name in config.initial_cluster:
        found = await _first_answer(others, FOUND_TIMEOUT, tls)
        own = membership.member_id(config.initial_cluster[config.name], config.initial_cluster_token)
        if found is not None and any(member.id == own and member.client_urls for member in found.members):
            raise UsageError(f"member {own:x} has already been bootstrapped")
    return None


def has_log(config: Config) -> bool:
    """Whether a member lived in the directory before."""
    directory = Path(config.wal_dir) if config.wal_dir else Path(config.data_dir, "member", "wal")
    return any(directory.glob("*.wal"))


async def _first_answer(
    urls: Iterable[str], timeout: float, tls: ssl.SSLContext | None
) -> ExistingCluster | None:
    for url in urls:
        answer = await _get(url, "/members", timeout, tls)
        if answer is None:
            continue
        try:
            members = [decode_member(json.dumps(each).encode())[0] for each in json.loads(answer.body)]
        except (ValueError, TypeError, MembershipError):
            continue
        cluster_id = parse_id(answer.headers.get("x-etcd-cluster-id", ""))
        if cluster_id is not None and members:
            return ExistingCluster(cluster_id, members)
    return None


async def _speaks_our_version(config: Config, members: Iterable[Member], tls: ssl.SSLContext | None) -> bool:
    """At least one member says what the cluster speaks, and none says something out of our reach."""
    newest = parse_version(VERSION) or OLDEST
    own = sorted(config.initial_cluster.get(config.name, ()))
    known = False
    for member in members:
        if sorted(member.peer_urls) == own:
            continue
        version = await _cluster_version(member, tls)
        if version is None:
            continue
        if not OLDEST <= version <= newest:
            return False
        known = True
    return known


async def _cluster_version(member: Member, tls: ssl.SSLContext | None) -> tuple[int, int] | None:
    for url in member.peer_urls:
        answer = await _get(url, "/version", JOIN_TIMEOUT, tls)
        if answer is not None:
            try:
                return parse_version(str(json.loads(answer.body)["etcdcluster"]))
            except (ValueError, KeyError, TypeError):
                continue
    return None


async def _get(url: str, path: str, timeout: float, tls: ssl.SSLContext | None) -> HttpResponse | None:
    try:
        connection = await HttpClientConnection.open(Origin.parse(url), tls=tls, timeout=timeout)
        try:
            answer = await connection.fetch("GET", path, timeout=timeout)
        finally:
            connection.close()
    except (HttpClientError, ValueError):
        return None
    return answer if answer.status == 200 else None
