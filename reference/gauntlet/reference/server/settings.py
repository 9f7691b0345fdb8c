"""The settings beside those that the cluster needs: TLS, HTTP, logs, compaction, checks, sockets.

Each group is a value of its own; `read` makes them all out of the flags that were given.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gauntlet.reference.server.flags import FLAGS, UsageError, parse_bool, parse_duration
from gauntlet.reference.server.peers.links import LEAST_TIMEOUT

HOUR = 3600.0
# Between two batches of a compaction, in seconds.
COMPACTION_PAUSE = 0.01


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """One side's TLS: the client port, or the peer port. Paths are empty where nothing was given."""

    cert_file: str = ""
    key_file: str = ""
    client_cert_file: str = ""
    client_key_file: str = ""
    trusted_ca_file: str = ""
    crl_file: str = ""
    client_cert_auth: bool = False
    auto: bool = False
    allowed_names: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    skip_address_check: bool = False

    @property
    def given(self) -> bool:
        return bool(self.cert_file or self.key_file) or self.auto


@dataclass(frozen=True, slots=True)
class TlsSettings:
    client: TlsFiles
    peer: TlsFiles
    cipher_suites: tuple[str, ...]
    min_version: str
    max_version: str
    validity_years: int


@dataclass(frozen=True, slots=True)
class WebSettings:
    """`http_urls` not empty: HTTP is served there, and the client URLs are for gRPC alone."""

    http_urls: tuple[str, ...]
    cors: tuple[str, ...]
    hosts: tuple[str, ...]
    gateway: bool
    extensive_metrics: bool


@dataclass(frozen=True, slots=True)
class LogRotation:
    """Megabytes, days and counts; 0 days or copies means no limit."""

    max_size: int = 100
    max_age: int = 0
    max_backups: int = 0
    local_time: bool = False
    compress: bool = False


@dataclass(frozen=True, slots=True)
class UpkeepSettings:
    """What the member does by itself. Times in seconds; 0 is off. Retention is seconds or revisions."""

    compaction_mode: str
    compaction_retention: float
    initial_check: bool
    check_interval: float
    hash_check: bool
    hash_check_interval: float
    warn_apply: float
    warn_request: float
    lock_memory: bool
    defrag_threshold: int  # bytes
    compaction_pause: float
    downgrade_check: float


@dataclass(frozen=True, slots=True)
class SocketSettings:
    """Listeners, and the connections between members. Times in seconds."""

    reuse_port: bool
    read_timeout: float
    write_timeout: float


@dataclass(frozen=True, slots=True)
class Discovery:
    """How to reach the cluster that knows the members of this one. `endpoints` are as given; seconds."""

    endpoints: tuple[str, ...]
    token: str
    dial_timeout: float
    request_timeout: float
    keepalive_time: float
    keepalive_timeout: float
    insecure: bool
    skip_verify: bool
    cert_file: str
    key_file: str
    ca_file: str
    user: str
    password: str


@dataclass(frozen=True, slots=True)
class Settings:
    tls: TlsSettings
    web: WebSettings
    rotation: LogRotation | None
    upkeep: UpkeepSettings
    sockets: SocketSettings
    discovery: Discovery | None
    features: dict[str, tuple[str, bool]]
    """Stage and state of the feature gates, by name."""

    def enabled(self, feature: str) -> bool:
        return self.features[feature][1]


FEATURES: dict[str, tuple[str, bool]] = {
    "AllAlpha": ("ALPHA", False),
    "AllBeta": ("BETA", False),
    "CompactHashCheck": ("ALPHA", False),
    "FastLeaseKeepAlive": ("BETA", True),
    "InitialCorruptCheck": ("ALPHA", False),
    "LeaseCheckpoint": ("ALPHA", False),
    "LeaseCheckpointPersist": ("ALPHA", False),
    "PriorityRequest": ("ALPHA", False),
    "SetMemberLocalAddr": ("ALPHA", False),
    "StopGRPCServiceOnDefrag": ("ALPHA", False),
    "TxnModeWriteWithSharedBuffer": ("BETA", True),
}


def read(given: Mapping[str, str], urls: Callable[[str, str], tuple[str, ...]]) -> Settings:
    """UsageError where values do not fit; `urls` checks the URLs of a flag."""
    flags = _Flags(given)
    _one_of(flags, "v2-deprecation", ("not-yet", "write-only", "write-only-drop-data", "gone"))
    _one_of(flags, "logger", ("zap",))
    return Settings(
        tls=_tls(flags),
        web=WebSettings(
            http_urls=urls("listen-client-http-urls", flags.text("listen-client-http-urls")),
            cors=flags.strings("cors"),
            hosts=flags.strings("host-whitelist"),
            gateway=flags.truth("enable-grpc-gateway"),
            extensive_metrics=_one_of(flags, "metrics", ("basic", "extensive")) == "extensive",
        ),
        rotation=_rotation(flags),
        upkeep=_upkeep(flags, features := _features(flags)),
        sockets=SocketSettings(
            reuse_port=flags.truth("socket-reuse-port"),
            read_timeout=max(LEAST_TIMEOUT, flags.seconds("raft-read-timeout")),
            write_timeout=max(LEAST_TIMEOUT, flags.seconds("raft-write-timeout")),
        ),
        discovery=_discovery(flags),
        features=features,
    )


class _Flags:
    def __init__(self, given: Mapping[str, str]) -> None:
        self._given = given

    def text(self, name: str) -> str:
        return self._given.get(name, FLAGS[name].default)

    def truth(self, name: str) -> bool:
        return parse_bool(self.text(name))

    def seconds(self, name: str) -> float:
        return parse_duration(self.text(name))

    def strings(self, name: str) -> tuple[str, ...]:
        return tuple(part.strip() for part in self.text(name).split(",") if part.strip())


def _one_of(flags: _Flags, name: str, allowed: tuple[str, ...]) -> str:
    value = flags.text(name)
    if value not in allowed:
        raise UsageError(f"--{name}: {value!r} is none of {', '.join(allowed)}")
    return value


def _tls(flags: _Flags) -> TlsSettings:
    client, peer = _files(flags, ""), _files(flags, "peer-")
    for prefix, files in (("", client), ("peer-", peer)):
        if bool(files.cert_file) != bool(files.key_file):
            raise UsageError(f"--{prefix}cert-file and --{prefix}key-file must be given together")
        if bool(files.client_cert_file) != bool(files.client_key_file):
            raise UsageError(
                f"--{prefix}client-cert-file and --{prefix}client-key-file must be given together"
            )
        if files.allowed_names and files.allowed_hosts:
            raise UsageError(
                f"--{prefix}cert-allowed-cn and --{prefix}cert-allowed-hostname exclude each other"
            )
    years = flags.text("self-signed-cert-validity")
    if int(years) < 1 and (client.auto or peer.auto):
        raise UsageError("selfSignedCertValidity is invalid,it should be greater than 0")
    versions = {"TLS1.2": "TLS1.2", "TLS1.3": "TLS1.3", "": ""}
    for name in ("tls-min-version", "tls-max-version"):
        if flags.text(name) not in versions:
            raise UsageError(f"unexpected TLS version {flags.text(name)!r} (must be one of: TLS1.2, TLS1.3)")
    low, high = flags.text("tls-min-version"), flags.text("tls-max-version")
    if high and low > high:
        raise UsageError(f"min version ({low}) is greater than max version ({high})")
    suites = flags.strings("cipher-suites")
    if low == "TLS1.3" and suites:
        raise UsageError("cipher suites cannot be configured when only TLS1.3 is enabled")
    return TlsSettings(client, peer, suites, low, high, int(years))


def _files(flags: _Flags, prefix: str) -> TlsFiles:
    crl = "peer-crl-file" if prefix else "client-crl-file"
    hosts = "peer-cert-allowed-hostname" if prefix else "client-cert-allowed-hostname"
    return TlsFiles(
        cert_file=flags.text(f"{prefix}cert-file"),
        key_file=flags.text(f"{prefix}key-file"),
        client_cert_file=flags.text(f"{prefix}client-cert-file"),
        client_key_file=flags.text(f"{prefix}client-key-file"),
        trusted_ca_file=flags.text(f"{prefix}trusted-ca-file"),
        crl_file=flags.text(crl),
        client_cert_auth=flags.truth(f"{prefix}client-cert-auth"),
        auto=flags.truth(f"{prefix}auto-tls"),
        allowed_names=flags.strings("peer-cert-allowed-cn") if prefix else (),
        allowed_hosts=flags.strings(hosts),
        skip_address_check=bool(prefix) and flags.truth("peer-skip-client-san-verification"),
    )


def _rotation(flags: _Flags) -> LogRotation | None:
    if not flags.truth("enable-log-rotation"):
        return None
    outputs = flags.strings("log-outputs")
    files = [output for output in outputs if output not in ("default", "stderr", "stdout")]
    if not files:
        raise UsageError("log rotation requires exactly one file path in --log-outputs")
    if len(files) > 1:
        raise UsageError("--log-outputs requires a single file path when LogRotationConfigJSON is defined")
    text = flags.text("log-rotation-config-json")
    try:
        raw = json.loads(text)
        return LogRotation(
            max_size=int(raw.get("maxsize", 100)) or 100,
            max_age=int(raw.get("maxage", 0)),
            max_backups=int(raw.get("maxbackups", 0)),
            local_time=bool(raw.get("localtime", False)),
            compress=bool(raw.get("compress", False)),
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise UsageError(f"--log-rotation-config-json: {error}") from None


def _upkeep(flags: _Flags, features: dict[str, tuple[str, bool]]) -> UpkeepSettings:
    mode = _one_of(flags, "auto-compaction-mode", ("periodic", "revision"))
    hash_interval = flags.seconds("compact-hash-check-time")
    if hash_interval <= 0:
        raise UsageError("--compact-hash-check-time must be >0 (set to 0s)")
    return UpkeepSettings(
        compaction_mode=mode,
        compaction_retention=_retention(mode, flags.text("auto-compaction-retention")),
        initial_check=features["InitialCorruptCheck"][1],
        check_interval=flags.seconds("corrupt-check-time"),
        hash_check=features["CompactHashCheck"][1],
        hash_check_interval=hash_interval,
        warn_apply=flags.seconds("warning-apply-duration"),
        warn_request=flags.seconds("warning-unary-request-duration"),
        lock_memory=flags.truth("memory-mlock"),
        defrag_threshold=int(flags.text("bootstrap-defrag-threshold-megabytes")) << 20,
        compaction_pause=flags.seconds("compaction-sleep-interval") or COMPACTION_PAUSE,
        downgrade_check=flags.seconds("downgrade-check-time"),
    )


def _retention(mode: str, text: str) -> float:
    """Revisions, or seconds: a bare number is hours. A duration in revision mode counts nanoseconds, as in
    etcd, where it is a mistake that keeps everything."""
    if text.isdigit():
        return float(text) if mode == "revision" else int(text) * HOUR
    try:
        seconds = parse_duration(text)
    except ValueError:
        raise UsageError(f'error parsing CompactionRetention: time: invalid duration "{text}"') from None
    return seconds * 1e9 if mode == "revision" else seconds


def _features(flags: _Flags) -> dict[str, tuple[str, bool]]:
    wanted: dict[str, bool] = {}
    for part in flags.strings("feature-gates"):
        name, equals, value = part.partition("=")
        name = name.strip()
        if not equals:
            raise UsageError(f"--feature-gates: missing bool value for {name}")
        if name not in FEATURES:
            raise UsageError(f"--feature-gates: unrecognized feature gate: {name}")
        try:
            wanted[name] = parse_bool(value.strip())
        except ValueError:
            raise UsageError(f"--feature-gates: invalid value of {name}={value}") from None
    gates = {}
    for name, (stage, on) in FEATURES.items():
        for group, of_stage in (("AllAlpha", "ALPHA"), ("AllBeta", "BETA")):
            if group in wanted and stage == of_stage:
                on = wanted[group]
        gates[name] = (stage, wanted.get(name, on))
    if gates["LeaseCheckpointPersist"][1] and not gates["LeaseCheckpoint"][1]:
        raise UsageError(
            "enabling feature gate LeaseCheckpointPersist requires enabling feature gate LeaseCheckpoint"
        )
    return gates


def _discovery(flags: _Flags) -> Discovery | None:
    fallback = _one_of(flags, "discovery-fallback", ("exit", "proxy"))
    if fallback == "proxy":
        raise UsageError(
            f'v2 proxy is deprecated, and --discovery-fallback can\'t be configured as "{fallback}"'
        )
    text, token = flags.text("discovery-endpoints"), flags.text("discovery-token")
    if bool(text) != bool(token):
        raise UsageError("both --discovery-token and --discovery-endpoints must be set")
    if not text:
        return None
    endpoints = tuple(sorted({endpoint.strip() for endpoint in text.split(",")}))
    if "" in endpoints:
        raise UsageError("--discovery-endpoints must not contain empty endpoints")
    cert, key = flags.text("discovery-cert"), flags.text("discovery-key")
    if bool(cert) != bool(key):
        raise UsageError("--discovery-cert and --discovery-key must be given together")
    return Discovery(
        endpoints=endpoints,
        token=token,
        dial_timeout=flags.seconds("discovery-dial-timeout"),
        request_timeout=flags.seconds("discovery-request-timeout"),
        keepalive_time=flags.seconds("discovery-keepalive-time"),
        keepalive_timeout=flags.seconds("discovery-keepalive-timeout"),
        insecure=flags.truth("discovery-insecure-transport"),
        skip_verify=flags.truth("discovery-insecure-skip-tls-verify"),
        cert_file=cert,
        key_file=key,
        ca_file=flags.text("discovery-cacert"),
        user=flags.text("discovery-user"),
        password=flags.text("discovery-password"),
    )
