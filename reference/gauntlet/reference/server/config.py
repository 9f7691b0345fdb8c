"""What a member is told: flags and environment made into one checked value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from gauntlet.reference.membership import parse_initial_cluster
from gauntlet.reference.server.flags import FLAGS, UsageError, parse_bool, parse_duration
from gauntlet.reference.server.settings import Settings
from gauntlet.reference.server.settings import read as read_settings

DEFAULT_QUOTA = 2 * 1024**3
UNLIMITED_QUOTA = 2**63 - 1
CONFLICT = (
    "multiple discovery or bootstrap flags are set. "
    'Choose one of "initial-cluster", "discovery-endpoints" or "discovery-srv"'
)
MISSING_TLS = "TLS key/cert (--cert-file, --key-file)"


@dataclass(frozen=True, slots=True)
class Config:
    """A member's settings. Times in seconds, sizes in bytes."""

    name: str
    data_dir: str
    wal_dir: str
    listen_peer_urls: tuple[str, ...]
    listen_client_urls: tuple[str, ...]
    listen_metrics_urls: tuple[str, ...]
    advertise_peer_urls: tuple[str, ...]
    advertise_client_urls: tuple[str, ...]
    initial_cluster: dict[str, list[str]]
    initial_cluster_token: str
    initial_cluster_state: str
    snapshot_count: int
    catch_up_entries: int
    tick_seconds: float
    election_ticks: int
    max_txn_ops: int
    max_request_bytes: int
    max_snapshots: int
    max_wals: int
    max_learners: int
    max_concurrent_streams: int
    quota_bytes: int
    compaction_batch: int
    progress_interval: float
    keepalive_min_time: float
    keepalive_interval: float
    keepalive_timeout: float
    pre_vote: bool
    strict_reconfig: bool
    force_new_cluster: bool
    client_cert_auth: bool
    auth_token: str
    auth_token_ttl: int
    bcrypt_cost: int
    advance_election: bool
    unsafe_no_fsync: bool
    log_level: str
    log_outputs: tuple[str, ...]
    log_format: str
    more: Settings


def check_together(given: Mapping[str, str]) -> None:
    """UsageError where flags need or exclude each other, or name two ways to the first members."""
    name, state = given.get("name", ""), given.get("initial-cluster-state", "new")
    if "listen-client-urls" in given and "advertise-client-urls" not in given:
        raise UsageError("--advertise-client-urls is required when --listen-client-urls is set explicitly")
    if state not in ("new", "existing"):
        raise UsageError(f"--initial-cluster-state: {state!r} is neither new nor existing")
    if not given.get("data-dir") and "/" in name:
        raise UsageError(f"--name {name!r} cannot name the data directory; give --data-dir")
    ways = [bool(given.get(flag)) for flag in ("initial-cluster", "discovery-endpoints", "discovery-srv")]
    if ways[1] and (ways[0] or ways[2]):
        raise UsageError(CONFLICT)


def split_urls(flag: str, text: str) -> tuple[str, ...]:
    """The URLs of a comma-separated flag, each with a scheme and a port. UsageError names the bad one."""
    urls = tuple(part.strip() for part in text.split(",") if part.strip())
    for url in urls:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https", "unix", "unixs"):
            raise UsageError(f"--{flag}: {url!r} is not a URL with the scheme http, https, unix or unixs")
        if parts.scheme in ("http", "https"):
            try:
                port = parts.port
            except ValueError:
                port = None
            if port is None or parts.path not in ("", "/"):
                raise UsageError(f"--{flag}: {url!r} must be scheme://host:port")
    return urls


def check_url_schemes(given: Mapping[str, str], more: Settings) -> None:
    """A listener with TLS needs a certificate; UsageError in etcd's words where there is none."""
    for flag, files in (
        ("listen-client-urls", more.tls.client),
        ("listen-client-http-urls", more.tls.client),
        ("listen-metrics-urls", more.tls.client),
        ("listen-peer-urls", more.tls.peer),
    ):
        for url in split_urls(flag, given.get(flag, "")):
            if urlsplit(url).scheme.endswith("s") and not files.given:
                if flag == "listen-metrics-urls":
                    raise UsageError(f"client {MISSING_TLS} must be provided for metrics secure url")
                raise UsageError(
                    f"{MISSING_TLS} must be provided for client url {url} with HTTPS scheme"
                    if files is more.tls.client
                    else f"--{flag}: {url} needs --peer-cert-file and --peer-key-file, or --peer-auto-tls"
                )


def check_timing(heartbeat: int, election: int) -> None:
    """UsageError, in etcd's words, for intervals (ms) with which no leader would stay."""
    if heartbeat <= 0:
        raise UsageError("--heartbeat-interval must be >0 (set to 0ms)")
    if election < 5 * heartbeat:
        raise UsageError(
            f"--election-timeout[{election}ms] should be at least as 5 times as "
            f"--heartbeat-interval[{heartbeat}ms]"
        )
    if election > 50_000:
        raise UsageError(f"--election-timeout[{election}ms] is too long, and should be set less than 50000ms")


def first_members(
    name: str, peer_urls: Sequence[str], given: Mapping[str, str], more: Settings
) -> tuple[dict[str, list[str]], str]:
    """The cluster as far as the flags tell, and its token. ClusterConfigError."""
    if more.discovery is not None:
        # Until the others are known; the members' ids come from the token of the discovery.
        return {name: sorted(peer_urls)}, more.discovery.token
    text = given.get("initial-cluster") or ",".join(f"{name}={url}" for url in peer_urls)
    token = given.get("initial-cluster-token", FLAGS["initial-cluster-token"].default)
    return parse_initial_cluster(text), token


def build(given: Mapping[str, str]) -> Config:
    """A Config out of the flags that were given; UsageError where they do not fit together."""

    def text(name: str) -> str:
        return given.get(name, FLAGS[name].default)

    def number(name: str) -> int:
        return int(text(name))

    name = text("name")
    peer_urls = split_urls("initial-advertise-peer-urls", text("initial-advertise-peer-urls"))
    heartbeat, election = number("heartbeat-interval"), number("election-timeout")
    check_timing(heartbeat, election)
    check_together(given)
    more = read_settings(given, split_urls)
    check_url_schemes(given, more)
    cluster, token = first_members(name, peer_urls, given, more)
    quota = number("quota-backend-bytes")
    return Config(
        name=name,
        data_dir=text("data-dir") or f"{name}.etcd",
        wal_dir=text("wal-dir"),
        listen_peer_urls=split_urls("listen-peer-urls", text("listen-peer-urls")),
        listen_client_urls=split_urls("listen-client-urls", text("listen-client-urls")),
        listen_metrics_urls=split_urls("listen-metrics-urls", text("listen-metrics-urls")),
        advertise_peer_urls=tuple(sorted(peer_urls)),
        advertise_client_urls=split_urls("advertise-client-urls", text("advertise-client-urls")),
        initial_cluster=cluster,
        initial_cluster_token=token,
        initial_cluster_state=text("initial-cluster-state"),
        snapshot_count=max(1, number("snapshot-count")),
        catch_up_entries=number("snapshot-catchup-entries"),
        tick_seconds=heartbeat / 1000,
        election_ticks=election // heartbeat,
        max_txn_ops=number("max-txn-ops"),
        max_request_bytes=number("max-request-bytes"),
        max_snapshots=number("max-snapshots"),
        max_wals=number("max-wals"),
        max_learners=number("max-learners"),
        max_concurrent_streams=number("max-concurrent-streams"),
        quota_bytes=UNLIMITED_QUOTA if quota < 0 else quota or DEFAULT_QUOTA,
        compaction_batch=number("compaction-batch-limit") or 1000,
        progress_interval=parse_duration(text("watch-progress-notify-interval")) or 600.0,
        keepalive_min_time=parse_duration(text("grpc-keepalive-min-time")),
        keepalive_interval=parse_duration(text("grpc-keepalive-interval")),
        keepalive_timeout=parse_duration(text("grpc-keepalive-timeout")),
        pre_vote=parse_bool(text("pre-vote")),
        strict_reconfig=parse_bool(text("strict-reconfig-check")),
        force_new_cluster=parse_bool(text("force-new-cluster")),
        client_cert_auth=parse_bool(text("client-cert-auth")),
        auth_token=text("auth-token"),
        auth_token_ttl=number("auth-token-ttl"),
        bcrypt_cost=number("bcrypt-cost"),
        advance_election=parse_bool(text("initial-election-tick-advance")),
        unsafe_no_fsync=parse_bool(text("unsafe-no-fsync")),
        log_level=text("log-level"),
        log_outputs=tuple(text("log-outputs").split(",")),
        log_format=text("log-format"),
        more=more,
    )
