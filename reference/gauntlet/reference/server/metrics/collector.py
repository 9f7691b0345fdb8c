"""Reads the member when Prometheus asks: node, state machine, peers and the tally, under etcd's names.

What etcd counts and a Python node cannot say honestly is not here; docs/metrics.md names it with the reason.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping

from gauntlet.api.errors import Code
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.messages import services
from gauntlet.reference.node import Node
from gauntlet.reference.server.metrics.calls import Calls
from gauntlet.reference.server.metrics.families import counter, gauge, histogram, labelled
from gauntlet.reference.server.metrics.tally import Histogram, SnapshotTally, Tally
from gauntlet.reference.server.peers.status import PeerStatus
from prometheus_client.metrics_core import Metric

# grpc-go's spelling of the codes.
CODE_NAMES: dict[Code, str] = {
    Code.OK: "OK",
    Code.CANCELLED: "Canceled",
    **{
        code: "".join(part.capitalize() for part in code.name.split("_"))
        for code in Code
        if code not in (Code.OK, Code.CANCELLED)
    },
}


class MemberCollector:
    """A collector for a CollectorRegistry. `peers` gives the status of each other member by id."""

    def __init__(
        self,
        node: Node,
        tally: Tally,
        calls: Calls,
        peers: Callable[[], Mapping[int, PeerStatus]],
        *,
        version: str,
        quota: int,
        features: Mapping[str, tuple[str, bool]],
    ) -> None:
        """`features` are the feature gates: stage and whether it is on, by name."""
        self._node = node
        self._tally = tally
        self._calls = calls
        self._peers = peers
        self._version = version
        self._quota = quota
        self._features = features

    def collect(self) -> Iterator[Metric]:
        yield from self._server()
        yield from self._store()
        yield from self._requests()
        yield from self._disk()
        yield from self._network()
        yield from self._grpc()
        yield from self._pages()

    def _server(self) -> Iterable[Metric]:
        node, tally = self._node, self._tally
        machine = node.machine
        own = f"{node.config.member_id:x}"
        name = "etcd_server_"
        yield gauge(name + "has_leader", "Whether a leader is known.", float(node.leader != 0))
        yield gauge(name + "is_leader", "Whether this member leads.", float(node.is_leader))
        learner = machine.cluster.is_learner(node.config.member_id)
        yield gauge(name + "is_learner", "Whether this member is a learner.", float(learner))
        yield labelled(name + "id", "The member's id.", "gauge", ("server_id",), {(own,): 1})
        yield labelled(
            name + "version", "The version it follows.", "gauge", ("server_version",), {(self._version,): 1}
        )
        python = f"none ({platform.python_implementation()} {platform.python_version()})"
        yield labelled(
            name + "go_version", "What runs it; not Go.", "gauge", ("server_go_version",), {(python,): 1}
        )
        yield counter(name + "leader_changes_seen_total", "Leader changes seen.", node.leadership.changes)
        yield gauge(name + "proposals_committed_total", "The commit index.", node.commit_index)
        yield gauge(name + "proposals_applied_total", "The applied index.", machine.applied_index)
        yield gauge(name + "proposals_pending", "Proposals waiting for their answer.", node.pending)
        yield counter(name + "proposals_failed_total", "Proposals that timed out.", node.proposals_failed)
        yield counter(name + "slow_apply_total", "Applies slower than the limit.", tally.slow_applies)
        yield counter(name + "slow_read_indexes_total", "Late or missing answers.", node.slow_reads)
        yield counter(name + "read_indexes_failed_total", "Reads a new leader ended.", node.failed_reads)
        yield gauge(name + "snapshot_apply_in_progress_total", "A snapshot.", float(node.installing))
        failures = {(why,): float(count) for why, count in tally.promotions.items() if why}
        yield counter(name + "learner_promote_successes", "Promotions.", tally.promotions.get("", 0))
        yield labelled(
            name + "learner_promote_failures", "Promotions refused.", "counter", ("Reason",), failures
        )
        yield counter(name + "heartbeat_send_failures_total", "Late heartbeats.", tally.late_heartbeats)
        yield gauge(name + "quota_backend_bytes", "The backend's quota in bytes.", self._quota)
        yield histogram(
            name + "apply_duration_seconds",
            "How long applying took, by operation.",
            {("v3", op, _word(ok)): times for (op, ok), times in tally.apply_times.items()},
            ("version", "op", "success"),
        )
        yield labelled(
            name + "feature_enabled",
            "Whether a feature gate is open.",
            "gauge",
            ("name", "stage"),
            {(gate, stage): float(on) for gate, (stage, on) in self._features.items()},
        )
        cluster_version = machine.cluster.version
        if cluster_version:
            version = ".".join(cluster_version.split(".")[:2])
            yield labelled(
                "etcd_cluster_version", "The cluster version.", "gauge", ("cluster_version",), {(version,): 1}
            )
        alarms = {(f"{a.memberID:x}", pb.AlarmType.Name(a.alarm)): 1.0 for a in machine.alarms.get()}
        yield labelled(
            "etcd_debugging_server_alarms", "Active alarms.", "gauge", ("server_id", "alarm_type"), alarms
        )
        yield counter(
            "etcd_debugging_server_lease_expired_total",
            "Leases this leader expired.",
            node.lease_duty.expired,
        )

    def _store(self) -> Iterable[Metric]:
        machine, tally = self._node.machine, self._tally
        name = "etcd_debugging_mvcc_"
        yield gauge(name + "current_revision", "The store's revision.", machine.store.current_revision)
        yield gauge(name + "compact_revision", "The last compaction's.", machine.store.compact_revision)
        yield gauge(name + "keys_total", "Keys that exist.", machine.store.index.count(b"\x00", b"\x00"))
        yield gauge(name + "watcher_total", "Watchers.", len(machine.watches))
        yield gauge(name + "slow_watcher_total", "Watchers that are behind.", machine.watches.slow)
        yield gauge(name + "watch_stream_total", "Watch streams.", tally.watch_streams)
        yield counter(name + "events_total", "Events sent to watchers.", tally.events)
        yield gauge(name + "total_put_size_in_bytes", "Bytes of keys and values put.", tally.put_bytes)
        yield counter(name + "db_compaction_keys_total", "Changes compacted.", tally.compacted_keys)
        yield gauge(name + "db_compaction_last", "When, in unix time.", tally.compactions_at)
        yield histogram(
            name + "db_compaction_total_duration_milliseconds", "A compaction.", tally.compaction_total
        )
        yield histogram(
            name + "db_compaction_pause_duration_milliseconds",
            "Steps of compactions.",
            tally.compaction_pauses,
        )
        yield histogram(
            name + "index_compaction_pause_duration_milliseconds",
            "Steps of compactions at the index.",
            tally.index_compaction_pauses,
        )
        pending = machine.watches.pending_events
        yield gauge(name + "pending_events_total", "Events that wait for slow clients.", pending)
        yield counter("etcd_mvcc_put_total", "Puts.", tally.puts)
        yield counter("etcd_mvcc_delete_total", "Deletes.", tally.deletes)
        yield counter("etcd_mvcc_range_total", "Ranges.", tally.ranges)
        yield counter("etcd_mvcc_txn_total", "Txns of more than one operation.", tally.txns)
        size = machine.backend.size()
        yield gauge("etcd_mvcc_db_total_size_in_bytes", "The store's size.", size)
        yield gauge("etcd_mvcc_db_total_size_in_use_in_bytes", "The store's size in use.", size)
        yield histogram(
            "etcd_disk_backend_snapshot_duration_seconds", "Snapshots for clients.", tally.client_snapshots
        )
        yield histogram("etcd_mvcc_hash_duration_seconds", "Hashing the backend.", tally.hash_times)
        yield histogram("etcd_mvcc_hash_rev_duration_seconds", "Hashing by revision.", tally.hash_kv_times)
        yield histogram("etcd_disk_backend_defrag_duration_seconds", "Defragmenting.", tally.defrag_times)
        yield counter("etcd_debugging_lease_granted_total", "Leases granted.", tally.leases_granted)
        yield counter("etcd_debugging_lease_revoked_total", "Leases revoked.", tally.leases_revoked)
        yield counter("etcd_debugging_lease_renewed_total", "Leases renewed here.", tally.leases_renewed)
        yield histogram("etcd_debugging_lease_ttl_total", "TTLs of leases.", tally.lease_ttls)
        yield gauge("etcd_debugging_auth_revision", "Revision of the auth store.", self._auth_revision())

    def _auth_revision(self) -> int:
        return self._node.machine.auth.revision

    def _requests(self) -> Iterable[Metric]:
        tally = self._tally
        yield labelled(
            "etcd_server_client_requests_total",
            "Requests by the version the client says it speaks.",
            "counter",
            ("type", "client_api_version"),
            tally.requests,
        )
        yield histogram(
            "etcd_server_request_duration_seconds",
            "How long requests took.",
            {(name, _word(ok)): times for (name, ok), times in tally.request_times.items()},
            ("type", "success"),
        )
        yield histogram(
            "etcd_server_range_duration_seconds",
            "How long ranges took.",
            {(_word(ok),): times for ok, times in tally.range_times.items()},
            ("success",),
        )
        name = "etcd_debugging_server_watch_send_loop_"
        for suffix, words, times in (
            ("watch_stream_duration_seconds", "Sending events.", tally.watch_sends),
            ("watch_stream_duration_per_event_seconds", "The same by event.", tally.watch_sends_per_event),
            ("control_stream_duration_seconds", "Answers to requests.", tally.watch_controls),
            ("progress_duration_seconds", "Sending progress notes.", tally.watch_progress),
        ):
            yield histogram(name + suffix, words, times)
        name = "etcd_network_client_grpc_"
        yield counter(name + "received_bytes_total", "Bytes of clients' messages.", tally.received_bytes)
        yield counter(name + "sent_bytes_total", "Bytes of messages to clients.", tally.sent_bytes)
        yield labelled(
            "etcd_network_server_stream_failures_total",
            "Streams that ended with an error.",
            "counter",
            ("Type", "API"),
            tally.stream_failures,
        )

    def _disk(self) -> Iterable[Metric]:
        disk = self._tally.disk
        yield histogram("etcd_disk_wal_fsync_duration_seconds", "Syncing the log.", disk.fsync)
        yield histogram("etcd_disk_wal_write_duration_seconds", "Writing the log.", disk.write)
        yield gauge("etcd_disk_wal_write_bytes_total", "Bytes written to the log.", disk.written_bytes)
        name = "etcd_debugging_snap_save_"
        yield histogram(name + "marshalling_duration_seconds", "Encoding a snapshot.", disk.snapshot_encode)
        yield histogram(name + "total_duration_seconds", "Saving a snapshot.", disk.snapshot_save)
        yield histogram("etcd_snap_fsync_duration_seconds", "Syncing a snapshot.", disk.snapshot_fsync)
        name = "etcd_snap_db_"
        yield histogram(name + "fsync_duration_seconds", "Syncing a received one.", disk.received_fsync)
        yield histogram(name + "save_total_duration_seconds", "Saving a received one.", disk.received_save)

    def _network(self) -> Iterable[Metric]:
        own = f"{self._node.config.member_id:x}"
        peers = {f"{member_id:x}": status for member_id, status in self._peers().items()}
        name = "etcd_network_"
        both = ("Local", "Remote")
        known = {(own, peer): 1.0 for peer in (own, *peers)}
        yield labelled(name + "known_peers", "Members known.", "gauge", both, known)
        active = {(own, peer): float(status.active) for peer, status in peers.items()}
        yield labelled(name + "active_peers", "Peers connected.", "gauge", both, active)
        lost = {(own, peer): status.disconnects for peer, status in peers.items()}
        yield labelled(name + "disconnected_peers_total", "Times a peer was lost.", "counter", both, lost)
        for suffix, words, label, attribute in (
            ("peer_sent_bytes_total", "Bytes sent.", "To", "sent_bytes"),
            ("peer_received_bytes_total", "Bytes received.", "From", "received_bytes"),
            ("peer_sent_failures_total", "Messages not sent.", "To", "sent_failures"),
            ("peer_received_failures_total", "Messages not understood.", "From", "received_failures"),
        ):
            values = {(peer,): getattr(status, attribute) for peer, status in peers.items()}
            yield labelled(name + suffix, words, "counter", (label,), values)
        trips = {(peer,): status.round_trips for peer, status in peers.items() if status.round_trips.sum}
        yield histogram(name + "peer_round_trip_time_seconds", "Round trips of probes.", trips, ("To",))
        sent = {peer: status.snapshots for peer, status in peers.items() if status.snapshots.used}
        yield from _snapshots(name + "snapshot_send_", "To", sent)
        yield from _snapshots(name + "snapshot_receive_", "From", self._tally.received_snapshots)

    def _grpc(self) -> Iterable[Metric]:
        labels = ("grpc_type", "grpc_service", "grpc_method")
        started: dict[tuple[str, ...], float] = {}
        received: dict[tuple[str, ...], float] = {}
        sent: dict[tuple[str, ...], float] = {}
        handled: dict[tuple[str, ...], float] = {}
        times: dict[tuple[str, ...], Histogram] = {}
        for path, rpc in self._calls.methods.items():
            info = services[path]
            kind = "unary"
            if not info.unary:
                kind = "bidi_stream" if info.client_streaming else "server_stream"
            key = (kind, info.service, info.name)
            started[key], received[key], sent[key] = rpc.started, rpc.received, rpc.sent
            for code in Code:
                handled[*key, CODE_NAMES[code]] = rpc.handled.get(code, 0)
            if rpc.times is not None and rpc.started:
                times[key] = rpc.times
        name = "grpc_server_"
        yield labelled(name + "started_total", "Calls begun.", "counter", labels, started)
        yield labelled(name + "msg_received_total", "Messages received.", "counter", labels, received)
        yield labelled(name + "msg_sent_total", "Messages sent.", "counter", labels, sent)
        yield labelled(
            name + "handled_total", "Calls ended, by code.", "counter", (*labels, "grpc_code"), handled
        )
        if times:
            yield histogram(name + "handling_seconds", "How long calls took.", times, labels)

    def _pages(self) -> Iterable[Metric]:
        tally = self._tally
        name = "etcd_server_health"
        yield counter(name + "_success", "Health checks that passed.", tally.health_successes)
        yield counter(name + "_failures", "Health checks that failed.", tally.health_failures)
        results = {key: float(ok) for key, ok in tally.check_results.items()}
        yield labelled(name + "check", "The last result of a check.", "gauge", ("type", "name"), results)
        labels = ("type", "name", "status")
        yield labelled(name + "checks_total", "Checks by outcome.", "counter", labels, tally.checks)
        scrapes = {(code,): float(count) for code, count in tally.scrapes.items()}
        name = "promhttp_metric_handler_requests_"
        yield gauge(name + "in_flight", "Scrapes being served.", 1)
        yield labelled(name + "total", "Scrapes by status.", "counter", ("code",), scrapes)


def _snapshots(name: str, label: str, tallies: Mapping[str, SnapshotTally]) -> Iterator[Metric]:
    """Like in etcd, only peers with which there was something to count."""
    for suffix, kind, attribute in (
        ("success", "counter", "done"),
        ("failures", "counter", "failed"),
        ("inflights_total", "gauge", "running"),
    ):
        values = {(peer,): getattr(tally, attribute) for peer, tally in tallies.items()}
        yield labelled(name + suffix, f"Snapshots: {attribute}.", kind, (label,), values)
    times = {(peer,): tally.times for peer, tally in tallies.items() if tally.done}
    yield histogram(name + "total_duration_seconds", "Snapshots, from end to end.", times, (label,))


def _word(ok: bool) -> str:
    return "true" if ok else "false"
