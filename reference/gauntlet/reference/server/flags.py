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
    quota-backend-bytes 0
    compaction-batch-limit 0
    bcrypt-cost 10
    auth-token-ttl 300
"""
_BOOLEANS = """
    pre-vote true
    strict-reconfig-check true
    force-new-cluster false
    initial-election-tick-advance true
    unsafe-no-fsync false
    version false
    help false
"""
_DURATIONS = """
    watch-progress-notify-interval 0s
    grpc-keepalive-min-time 5s
    grpc-keepalive-interval 2h0m0s
    grpc-keepalive-timeout 20s
"""
# Known to etcd 3.7.1, not acted on yet: accepted only with the value that leaves them off.
_OTHER_STRINGS = """
    listen-client-http-urls
    discovery-endpoints
    discovery-token
    discovery-cert
    discovery-key
    discovery-cacert
    discovery-user
    discovery-password
    discovery-srv
    discovery-srv-name
    discovery-fallback exit
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
    distributed-tracing-address localhost:4317
    distributed-tracing-service-name etcd
    distributed-tracing-instance-id
    config-file
    feature-gates
    backend-bbolt-freelist-type map
    v2-deprecation write-only
"""
_OTHER_INTEGERS = """
    backend-batch-limit 0
    self-signed-cert-validity 1
    bootstrap-defrag-threshold-megabytes 0
    distributed-tracing-sampling-rate 0
"""
_OTHER_BOOLEANS = """
    socket-reuse-port false
    socket-reuse-address false
    discovery-insecure-transport true
    discovery-insecure-skip-tls-verify false
    client-cert-auth false
    auto-tls false
    peer-client-cert-auth false
    peer-auto-tls false
    peer-skip-client-san-verification false
    enable-log-rotation false
    enable-pprof false
    enable-distributed-tracing false
    enable-grpc-gateway true
    memory-mlock false
"""
_OTHER_DURATIONS = """
    backend-batch-interval 0s
    raft-read-timeout 5s
    raft-write-timeout 5s
    discovery-dial-timeout 2s
    discovery-request-timeout 5s
    discovery-keepalive-time 2s
    discovery-keepalive-timeout 6s
    corrupt-check-time 0s
    compact-hash-check-time 1m0s
    compaction-sleep-interval 0s
    downgrade-check-time 5s
    warning-apply-duration 100ms
    warning-unary-request-duration 300ms
"""

_LOG_ROTATION = '{"maxsize": 100, "maxage": 0, "maxbackups": 0, "localtime": false, "compress": false}'

FLAGS: Final[dict[str, Flag]] = {
    flag.name: flag
    for flag in [
        *_table("string", True, _STRINGS),
        *_table("int", True, _INTEGERS),
        *_table("bool", True, _BOOLEANS),
        *_table("duration", True, _DURATIONS),
        *_table("string", False, _OTHER_STRINGS),
        Flag("log-rotation-config-json", "string", _LOG_ROTATION, supported=False),
        *_table("int", False, _OTHER_INTEGERS),
        *_table("bool", False, _OTHER_BOOLEANS),
        *_table("duration", False, _OTHER_DURATIONS),
    ]
}

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


def _check(flag: Flag, text: str, origin: str) -> str:
    try:
        if flag.kind == "bool":
            parse_bool(text)
        elif flag.kind == "int":
            if int(text) < 0:
                raise ValueError(text)
        elif flag.kind == "duration":
            parse_duration(text)
    except ValueError:
        raise UsageError(f"invalid value {text!r} for {origin}: not a {_KIND_WORDS[flag.kind]}") from None
    if not flag.supported and not _same(flag, text):
        raise UsageError(
            f"{origin} is not supported by this node yet (only its default {flag.default!r} is accepted)"
        )
    return text


_KIND_WORDS = {"bool": "boolean", "int": "whole number", "duration": "duration", "string": "string"}


def _same(flag: Flag, text: str) -> bool:
    if flag.kind == "bool":
        return parse_bool(text) == parse_bool(flag.default)
    if flag.kind == "duration":
        return parse_duration(text) == parse_duration(flag.default)
    if flag.kind == "int":
        return int(text) == int(flag.default)
    return text == flag.default


def parse(arguments: Iterable[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Values of the flags that were given, by name; the command line wins over the environment.

    Accepts `--flag value`, `--flag=value`, `-flag value` and, for booleans, `--flag` alone, as Go does.
    """
    given: dict[str, str] = {}
    for flag in FLAGS.values():
        if flag.variable in environment and flag.name not in ("version", "help"):
            given[flag.name] = _check(
                flag, environment[flag.variable], f"environment variable {flag.variable}"
            )
    queue = list(arguments)
    while queue:
        argument = queue.pop(0)
        if not argument.startswith("-") or argument in ("-", "--"):
            raise UsageError(f"{argument!r} is not a valid flag")
        name, has_value, value = argument.lstrip("-").partition("=")
        name = "help" if name == "h" else name
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
        given[name] = _check(known, value, f"flag --{name}")
    return given
