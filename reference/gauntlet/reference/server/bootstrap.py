"""From flags and a data directory to a member that can be started.

Rules (etcd's static bootstrap):

- A directory that holds a log wins: the member continues, and the initial-cluster flags are not looked at.
- A new member of a new cluster writes, before anything else, one entry per initial member that adds it, all
  of term 1 and committed. Every member writes the same ones, so that they agree from the first index on.
- A member that joins starts with an empty log: it is told everything by the leader. Until then it knows the
  members by what its flags and the running cluster say.
- Member and cluster ids come from peer URLs and token alone, so that nobody needs to ask anybody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from gauntlet.reference import membership
from gauntlet.reference.formats import raftpb
from gauntlet.reference.membership import Member
from gauntlet.reference.ports import Recovered
from gauntlet.reference.raft.storage import MemoryStorage
from gauntlet.reference.raft.types import Entry, EntryType, HardState
from gauntlet.reference.server.config import Config
from gauntlet.reference.server.disk import FileDisk
from gauntlet.reference.server.flags import UsageError
from gauntlet.reference.server.force import force_alone
from gauntlet.reference.server.urls import UrlComparison


@dataclass(slots=True)
class ExistingCluster:
    """A running cluster as one of its members describes it."""

    cluster_id: int
    members: list[Member]


@dataclass(slots=True)
class Bootstrap:
    """What the disk remembers, loaded into raft's storage, and who this member is.

    `joining`: the members of the cluster that is joined, itself included; empty otherwise.
    """

    disk: FileDisk
    recovered: Recovered
    storage: MemoryStorage
    restarted: bool
    joining: list[Member] = field(default_factory=list)


def bootstrap(config: Config, existing: ExistingCluster | None = None) -> Bootstrap:
    """Opens or makes the data directory. UsageError and DataDirError say in one line what is wrong.

    `existing` is the cluster that a new member with --initial-cluster-state existing joins.
    """
    disk = FileDisk(
        config.data_dir,
        wal_dir=config.wal_dir or None,
        max_wals=config.max_wals,
        max_snapshots=config.max_snapshots,
        sync=not config.unsafe_no_fsync,
    )
    restarted = disk.has_log
    joining: list[Member] = []
    try:
        if restarted:
            recovered = disk.load()
            if config.force_new_cluster:
                added = force_alone(recovered, list(config.advertise_peer_urls))
                disk.save(recovered.hard_state, added, True)
        elif existing is None:
            recovered = _create(config, disk)
        else:
            recovered, joining = _join(config, disk, existing)
    except BaseException:
        disk.close()
        raise
    return Bootstrap(disk, recovered, _storage(recovered), restarted, joining)


def _join(config: Config, disk: FileDisk, existing: ExistingCluster) -> tuple[Recovered, list[Member]]:
    """Starts an empty log under the id that the cluster has given to this member's URLs."""
    try:
        members = membership.match_existing(
            _described_members(config), existing.members, UrlComparison().same
        )
    except membership.ClusterConfigError as error:
        raise UsageError(f"error validating peerURLs {existing.members}: {error}") from error
    own = next(member.id for member in members if member.name == config.name)
    disk.create(own, existing.cluster_id)
    return Recovered(own, existing.cluster_id), members


def _described_members(config: Config) -> list[Member]:
    """The members the flags describe; UsageError where this one is not among them, or URLs come twice."""
    members = membership.first_members(config.initial_cluster, config.initial_cluster_token)
    if config.name not in config.initial_cluster:
        raise UsageError(f'couldn\'t find local name "{config.name}" in the initial cluster configuration')
    seen: dict[str, str] = {}
    for member in members:
        for url in member.peer_urls:
            if url in seen:
                raise UsageError(f"--initial-cluster: {url} belongs to both {seen[url]} and {member.name}")
            seen[url] = member.name
    return members


def _first_members(config: Config) -> list[Member]:
    """The members of a new cluster; UsageError where the flags contradict each other."""
    members = _described_members(config)
    own = next(member for member in members if member.name == config.name)
    difference = UrlComparison().difference(config.advertise_peer_urls, own.peer_urls)
    if difference is not None:
        raise UsageError(_mismatch(config.name, own.peer_urls, config.advertise_peer_urls, difference))
    return members


def _mismatch(name: str, described: Sequence[str], advertised: Sequence[str], reason: str) -> str:
    missing = sorted(set(described) - set(advertised))
    if missing:
        named = ",".join(f"{name}={url}" for url in missing)
        urls = ",".join(advertised)
        return (
            f"--initial-cluster has {named} but missing from --initial-advertise-peer-urls={urls} ({reason})"
        )
    unknown = ",".join(sorted(set(advertised) - set(described)))
    named = ",".join(f"{name}={url}" for url in described)
    return f"--initial-advertise-peer-urls has {unknown} but missing from --initial-cluster={named}"


def _create(config: Config, disk: FileDisk) -> Recovered:
    """Starts the log with the entries that add every initial member."""
    members = _first_members(config)
    own = next(member.id for member in members if member.name == config.name)
    cluster = membership.cluster_id(member.id for member in members)
    entries = []
    for index, member in enumerate(members, 1):
        data = raftpb.encode_conf_change(membership.add_change(member))
        entries.append(Entry(term=1, index=index, type=EntryType.CONF_CHANGE, data=data))
    state = HardState(term=1, vote=0, commit=len(entries))
    disk.create(own, cluster, state, entries)
    return Recovered(own, cluster, state, None, entries)


def _storage(recovered: Recovered) -> MemoryStorage:
    storage = MemoryStorage()
    snapshot = recovered.snapshot
    if snapshot is not None:
        storage.apply_snapshot(replace(snapshot, data=b""))
    storage.set_hard_state(recovered.hard_state)
    storage.append(recovered.entries)
    return storage
