"""etcd's flags: names, kinds, defaults and environment variables, and what this node does with each.

A flag that the node does not act on is refused unless it is given its default, so that nobody believes in a
setting that does nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final


class UsageError(Exception):
    """A command line or environment that cannot be understood; one line, for stderr."""


@dataclass(frozen=True, slots=True)
class Flag:
    name: str
    kind: str  # string, bool, int, duration
    default: str
    supported: bool = True

    @property
    def variable(self) -> str:
        return "ETCD_" + self.name.upper().replace("-", "_")


def _table(kind: str, supported: bool, rows: str) -> list[Flag]:
    flags = []
    for row in rows.strip().splitlines():
        name, _, default = row.strip().partition(" ")
        flags.append(Flag(name, kind, default.strip(), supported))
    return flags


_STRINGS = """
    name default
    data-dir
    wal-dir
    listen-peer-urls http://localhost:2380
    listen-client-urls http://localhost:2379
    listen-metrics-urls
    initial-advertise-peer-urls http://localhost:2380
    advertise-client-urls http://localhost:2379
    initial-cluster
    initial-cluster-token etcd-cluster
    initial-cluster-state new
    auth-token simple
    logger zap
    log-outputs default
    log-level info
    log-format json
    listen-client-http-urls
    discovery-srv
    discovery-srv-name
    cert-file
    key-file
    client-cert-file
    client-key-file
    client-crl-file
    client-cert-allowed-hostname
    trusted-ca-file
    peer-cert-file
    peer-key-file
    peer-client-cert-file
    peer-client-key-file
    peer-trusted-ca-file
    peer-crl-file
    peer-cert-allowed-cn
    peer-cert-allowed-hostname
    cipher-suites
    tls-min-version TLS1.2
    tls-max-version
    cors *
    host-whitelist *
    auto-compaction-retention 0
    auto-compaction-mode periodic
    metrics basic
    config-file
    feature-gates
    v2-deprecation write-only
    discovery-endpoints
    discovery-token
    discovery-cert
    discovery-key
    discovery-cacert
    discovery-user
    discovery-password
    discovery-fallback exit
"""
_INTEGERS = """
    snapshot-count 10000
    snapshot-catchup-entries 5000
    heartbeat-interval 100
    election-timeout 1000
    max-txn-ops 128
    max-request-bytes 1572864
    max-snapshots 5
    max-wals 5
    max-learners 1
    max-concurrent-streams 4294967295
    compaction-batch-limit 0
    bcrypt-cost 10
    auth-token-ttl 300
    self-signed-cert-validity 1
    bootstrap-defrag-threshold-megabytes 0
"""
_BOOLEANS = """
    pre-vote true
    strict-reconfig-check true
    force-new-cluster false
    initial-election-tick-advance true
    unsafe-no-fsync false
    version false
    help false
    socket-reuse-address false
    client-cert-auth false
    auto-tls false
    peer-client-cert-auth false
    peer-auto-tls false
    peer-skip-client-san-verification false
    enable-log-rotation false
    enable-grpc-gateway true
    memory-mlock false
    socket-reuse-port false
    discovery-insecure-transport true
    discovery-insecure-skip-tls-verify false
"""
_DURATIONS = """
    watch-progress-notify-interval 0s
    grpc-keepalive-min-time 5s
    grpc-keepalive-interval 2h0m0s
    grpc-keepalive-timeout 20s
    corrupt-check-time 0s
    compact-hash-check-time 1m0s
    warning-apply-duration 100ms
    warning-unary-request-duration 300ms
    raft-read-timeout 5s
    raft-write-timeout 5s
    discovery-dial-timeout 2s
    discovery-request-timeout 5s
    discovery-keepalive-time 2s
    discovery-keepalive-timeout 6s
    compaction-sleep-interval 0s
    downgrade-check-time 5s
"""
# Known to etcd 3.7.1 and not acted on here: accepted only with their defaults; REASONS says why.
_OTHER_STRINGS = """
    distributed-tracing-address localhost:4317
    distributed-tracing-service-name etcd
    distributed-tracing-instance-id
    backend-bbolt-freelist-type map
"""
_OTHER_INTEGERS = """
    backend-batch-limit 0
    distributed-tracing-sampling-rate 0
"""
_OTHER_BOOLEANS = """
    enable-pprof false
    enable-distributed-tracing false
"""
_OTHER_DURATIONS = """
    backend-batch-interval 0s
"""

_LOG_ROTATION = '{"maxsize": 100, "maxage": 0, "maxbackups": 0, "localtime": false, "compress": false}'

FLAGS: Final[dict[str, Flag]] = {
    flag.name: flag
    for flag in [
        *_table("string", True, _STRINGS),
        *_table("int", True, _INTEGERS),
        Flag("quota-backend-bytes", "signed", "0"),
        *_table("bool", True, _BOOLEANS),
        *_table("duration", True, _DURATIONS),
        *_table("string", False, _OTHER_STRINGS),
        Flag("log-rotation-config-json", "string", _LOG_ROTATION),
        *_table("int", False, _OTHER_INTEGERS),
        *_table("bool", False, _OTHER_BOOLEANS),
        *_table("duration", False, _OTHER_DURATIONS),
    ]
}

_TRACING = "traces are not exported, there is no OpenTelemetry in this node"
_NO_BBOLT = "the store is in memory and durable through the log, there is no bbolt file to tune"
REASONS: Final[dict[str, str]] = {
    **{name: _TRACING for name in FLAGS if name.startswith("distributed-tracing")},
    "enable-distributed-tracing": _TRACING,
    "enable-pprof": "pprof profiles Go programs",
    "backend-bbolt-freelist-type": _NO_BBOLT,
    "backend-batch-limit": _NO_BBOLT,
    "backend-batch-interval": _NO_BBOLT,
}
"""Why a flag cannot be changed, for those where it cannot."""

IGNORED: Final = frozenset(
    [
        "cluster-active-size",
        "cluster-remove-delay",
        "cluster-sync-interval",
        "config",
        "force",
        "max-result-buffer",
        "max-retry-attempts",
        "peer-heartbeat-interval",
        "peer-election-timeout",
        "retry-interval",
        "snapshot",
        "v",
        "vv",
        "test.coverprofile",
        "test.outputdir",
    ]
)
"""Flags of the past that etcd still takes, with a value, and does nothing about."""

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_TRUE = {"1", "t", "T", "true", "TRUE", "True"}
_FALSE = {"0", "f", "F", "false", "FALSE", "False"}


def parse_duration(text: str) -> float:
    """Go's duration text (`1h2m3.5s`, `300ms`) in seconds. ValueError for anything else."""
    rest, total = text, 0.0
    if rest == "0":
        return 0.0
    if not rest:
        raise ValueError(text)
    while rest:
        digits = len(rest) - len(rest.lstrip("0123456789."))
        unit_end = digits
        while unit_end < len(rest) and not (rest[unit_end].isdigit() or rest[unit_end] == "."):
            unit_end += 1
        unit = _UNITS.get(rest[digits:unit_end])
        if not digits or unit is None:
            raise ValueError(text)
        total += float(rest[:digits]) * unit
        rest = rest[unit_end:]
    return total


def parse_bool(text: str) -> bool:
    """Go's boolean texts."""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError(text)


def check(flag: Flag, text: str, origin: str) -> str:
    """`text`, if it is a value for the flag that this node can act upon; UsageError names `origin`."""
    try:
        if flag.kind == "bool":
            parse_bool(text)
        elif flag.kind == "int":
            if int(text) < 0:
                raise ValueError(text)
        elif flag.kind == "signed":
            int(text)
        elif flag.kind == "duration":
            parse_duration(text)
    except ValueError:
        raise UsageError(f"invalid value {text!r} for {origin}: not a {_KIND_WORDS[flag.kind]}") from None
    if not flag.supported and not _same(flag, text):
        raise UsageError(
            f"{origin}: this node accepts only the default {flag.default!r}: {REASONS[flag.name]}"
        )
    return text


_KIND_WORDS = {
    "bool": "boolean",
    "int": "whole number",
    "signed": "whole number",
    "duration": "duration",
    "string": "string",
}


def _same(flag: Flag, text: str) -> bool:
    if flag.kind == "bool":
        return parse_bool(text) == parse_bool(flag.default)
    if flag.kind == "duration":
        return parse_duration(text) == parse_duration(flag.default)
    if flag.kind == "int":
        return int(text) == int(flag.default)
    return text == flag.default


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """ETCD_ variables that stand for no flag: probably mistyped."""
    known = {flag.variable for flag in FLAGS.values()}
    return sorted(name for name in environment if name.startswith("ETCD_") and name not in known)


def overridden(arguments: Iterable[str], environment: Mapping[str, str]) -> list[str]:
    """Variables that count for nothing because the same flag is on the command line."""
    named = {argument.lstrip("-").partition("=")[0] for argument in arguments if argument.startswith("-")}
    return sorted(
        flag.variable for flag in FLAGS.values() if flag.name in named and flag.variable in environment
    )


def parse(arguments: Iterable[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Values of the flags that were given, by name; the command line wins over the environment.

    Accepts `--flag value`, `--flag=value`, `-flag value` and, for booleans, `--flag` alone, as Go does.
    """
    given: dict[str, str] = {}
    for flag in FLAGS.values():
        if flag.variable in environment and flag.name not in ("version", "help"):
            given[flag.name] = check(
                flag, environment[flag.variable], f"environment variable {flag.variable}"
            )
    queue = list(arguments)
    while queue:
        argument = queue.pop(0)
        if not argument.startswith("-") or argument in ("-", "--"):
            raise UsageError(f"{argument!r} is not a valid flag")
        name, has_value, value = argument.lstrip("-").partition("=")
        name = "help" if name == "h" else name
        if name in IGNORED:
            if not has_value and queue:
                queue.pop(0)
            continue
        known = FLAGS.get(name)
        if known is None:
            raise UsageError(f"flag provided but not defined: -{name}")
        if not has_value:
            if known.kind == "bool":
                value = "true"
            elif queue:
                value = queue.pop(0)
            else:
                raise UsageError(f"flag needs an argument: -{name}")
        given[name] = check(known, value, f"flag --{name}")
    return given
