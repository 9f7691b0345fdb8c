"""What a member writes to its log before it starts: how it was set up, and what to wonder about."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from gauntlet.reference.server.config import Config
from gauntlet.reference.server.flags import FLAGS, overridden, parse_duration, unknown_variables
from gauntlet.reference.server.log import Logger
from gauntlet.reference.server.peers.links import LEAST_TIMEOUT
from gauntlet.reference.server.release import VERSION
from gauntlet.reference.server.settings import FEATURES

DEPRECATED = {
    "max-snapshots": "--max-snapshots is deprecated in 3.6 and will be decommissioned in 3.8.",
    "v2-deprecation": "--v2-deprecation is deprecated and scheduled for removal in v3.8. "
    "The default value is enforced, ignoring user input.",
}
"""Flags that still work, by name, and etcd's words about them."""


def tell(
    config: Config,
    given: Mapping[str, str],
    log: Logger,
    config_file: str | None,
    arguments: Sequence[str],
) -> None:
    """What somebody who wonders about settings wants to find in the log."""
    if config_file:
        log.info(
            "loaded server configuration, other configuration command line flags and environment variables "
            "will be ignored if provided",
            path=config_file,
        )
    else:
        for variable in unknown_variables(os.environ):
            log.warn("unrecognized environment variable", environment_variable=variable)
        for variable in overridden(arguments, os.environ):
            log.warn("shadowed by the command line", environment_variable=variable)
    for flag, words in DEPRECATED.items():
        if flag in given:
            log.warn(words)
    for flag, least in (("raft-read-timeout", LEAST_TIMEOUT), ("raft-write-timeout", LEAST_TIMEOUT)):
        if parse_duration(given.get(flag, FLAGS[flag].default)) < least:
            log.info(f"{flag} increased to minimum value: {least:g}s")
    more = config.more
    if more.enabled("LeaseCheckpoint") and not more.enabled("LeaseCheckpointPersist"):
        log.warn(
            "Detected that checkpointing is enabled without persistence. "
            "Consider enabling feature gate LeaseCheckpointPersist"
        )
    if config.name == "default":
        log.warn(
            "it isn't recommended to use default name, please set a value for --name. "
            "Note that etcd might run into issue when multiple members have the same default name",
            name=config.name,
        )


def described(config: Config) -> dict[str, object]:
    """The settings that decide how a member behaves, under etcd's names."""
    return {
        "etcd-version": VERSION,
        "name": config.name,
        "data-dir": config.data_dir,
        "wal-dir": config.wal_dir,
        "force-new-cluster": config.force_new_cluster,
        "heartbeat-interval": f"{config.tick_seconds * 1000:g}ms",
        "election-timeout": f"{config.election_ticks * config.tick_seconds:g}s",
        "initial-election-tick-advance": config.advance_election,
        "snapshot-count": config.snapshot_count,
        "max-wals": config.max_wals,
        "max-snapshots": config.max_snapshots,
        "snapshot-catchup-entries": config.catch_up_entries,
        "initial-advertise-peer-urls": config.advertise_peer_urls,
        "listen-peer-urls": config.listen_peer_urls,
        "advertise-client-urls": config.advertise_client_urls,
        "listen-client-urls": config.listen_client_urls,
        "listen-metrics-urls": config.listen_metrics_urls,
        "initial-cluster": ",".join(
            f"{name}={url}" for name, urls in config.initial_cluster.items() for url in urls
        ),
        "initial-cluster-state": config.initial_cluster_state,
        "initial-cluster-token": config.initial_cluster_token,
        "quota-backend-bytes": config.quota_bytes,
        "max-request-bytes": config.max_request_bytes,
        "max-concurrent-streams": config.max_concurrent_streams,
        "pre-vote": config.pre_vote,
        "feature-gates": ",".join(
            f"{name}={str(on).lower()}"
            for name, (_, on) in config.more.features.items()
            if on != FEATURES[name][1]
        ),
        "max-learners": config.max_learners,
        "v2-deprecation": FLAGS["v2-deprecation"].default,
    }
