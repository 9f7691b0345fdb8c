"""Flags, environment and configuration file: what is taken, what is refused and in which words."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gauntlet.reference.server.config import UNLIMITED_QUOTA, build
from gauntlet.reference.server.config_file import read_config_file
from gauntlet.reference.server.flags import (
    FLAGS,
    IGNORED,
    REASONS,
    UsageError,
    overridden,
    parse,
    parse_duration,
    unknown_variables,
)
from gauntlet.reference.server.settings import FEATURES, LogRotation

ROOT = Path(__file__).parents[3]
TABLE = ROOT.parent / "shared" / "facts" / "flags.tsv"
# Other values than the default, by flag, where a text made up would be refused; None where there is none.
OTHERS = {
    "auth-token": "jwt,sign-method=HS256",
    "auto-compaction-mode": "revision",
    "auto-compaction-retention": "5m",
    "cipher-suites": "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "discovery-fallback": None,
    "enable-log-rotation": None,  # with a file, below
    "election-timeout": "3000",
    "feature-gates": "CompactHashCheck=true",
    "initial-cluster": "default=http://localhost:2380",
    "initial-cluster-state": "existing",
    "log-format": "console",
    "log-level": "debug",
    "logger": None,
    "metrics": "extensive",
    "tls-min-version": "TLS1.3",
    "tls-max-version": "TLS1.3",
    "v2-deprecation": "gone",
}
# Flags that make sense only together.
TOGETHER = {
    "cert-file": ("--key-file", "k"),
    "key-file": ("--cert-file", "c"),
    "client-cert-file": ("--client-key-file", "k"),
    "client-key-file": ("--client-cert-file", "c"),
    "peer-cert-file": ("--peer-key-file", "k"),
    "peer-key-file": ("--peer-cert-file", "c"),
    "peer-client-cert-file": ("--peer-client-key-file", "k"),
    "peer-client-key-file": ("--peer-client-cert-file", "c"),
    "listen-client-urls": ("--advertise-client-urls", "http://localhost:2379"),
    "initial-advertise-peer-urls": ("--initial-cluster", "default=http://localhost:7777"),
    "name": ("--initial-cluster", "other=http://localhost:2380"),
    "heartbeat-interval": ("--election-timeout", "1000"),
}


DISCOVERY = ("--discovery-token", "t", "--discovery-endpoints", "http://localhost:1")


def other_value(name: str) -> str | None:
    flag = FLAGS[name]
    if name in OTHERS:
        return OTHERS[name]
    if flag.kind == "bool":
        return "false" if flag.default == "true" else "true"
    if flag.kind == "duration":
        return "7s"
    if flag.kind in ("int", "signed"):
        return "150" if name == "heartbeat-interval" else str(int(flag.default) + 1)
    return "http://localhost:7777" if name.endswith("urls") else "other"


def rows() -> dict[str, list[str]]:
    if not TABLE.exists():
        pytest.skip("no table of upstream's flags beside the repository")
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    return {fields[0]: fields for fields in (line.split("\t") for line in lines[1:]) if len(fields) > 5}


def test_every_flag_of_upstream_is_known() -> None:
    release = {name: fields for name, fields in rows().items() if fields[5] == "y" and " " not in name}
    assert len(release) > 110
    assert sorted(release.keys() - FLAGS.keys()) == []
    assert FLAGS.keys() - release.keys() == {"help"}
    assert {FLAGS[name].variable for name in release} == {fields[3] for fields in release.values()}
    assert {name.removeprefix("IGNORED ") for name in rows() if name.startswith("IGNORED")} == IGNORED
    gates = {name.removeprefix("FEATURE-GATE ") for name in rows() if name.startswith("FEATURE-GATE")}
    assert gates == FEATURES.keys() - {"AllAlpha", "AllBeta"}


def test_a_flag_is_acted_on_or_has_a_reason() -> None:
    assert {flag.name for flag in FLAGS.values() if not flag.supported} == REASONS.keys()


@pytest.mark.parametrize("name", sorted(set(FLAGS) - {"version", "help", "config-file"}))
def test_default_and_another_value(name: str) -> None:
    """The default is always taken; another value is taken and changes the settings, or is refused."""
    flag = FLAGS[name]
    more = TOGETHER.get(name, ())
    standard = build(parse([*more[:0]], {}))
    if flag.kind != "string" or flag.default:
        given = parse([f"--{name}={flag.default}"], {})
        if name not in ("listen-client-urls",):
            assert build(given) == standard
    value = other_value(name)
    if value is None:
        return
    if not flag.supported:
        with pytest.raises(UsageError, match=f"--{name}: this node accepts only the default") as caught:
            parse([f"--{name}={value}"], {})
        assert str(caught.value).count("\n") == 0
        return
    without = standard
    if name.startswith("discovery-") and name not in NO_SETTING:
        more = DISCOVERY
        without = build(parse(more, {}))
        if name in ("discovery-cert", "discovery-key"):
            more = (*more, "--discovery-cert=x", "--discovery-key=x")
    # The last of two values counts.
    assert build(parse([*more, f"--{name}={value}"], {})) != without or name in NO_SETTING


# Taken, and true whatever the value: there is no free space to collect in memory, no v2 store to drop, the
# address of a listener is always reused; or true only together with others, which other tests give.
NO_SETTING = {
    "discovery-srv",  # test_srv.py
    "discovery-srv-name",
    "discovery-fallback",  # only its default, in etcd as well
    "bootstrap-defrag-threshold-megabytes",
    "initial-cluster",
    "log-rotation-config-json",
    "socket-reuse-address",
    "v2-deprecation",
}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--nobody"], "flag provided but not defined: -nobody"),
        (["--name"], "flag needs an argument: -name"),
        (["name"], "'name' is not a valid flag"),
        (["--max-txn-ops=many"], "invalid value 'many' for flag --max-txn-ops: not a whole number"),
        (["--corrupt-check-time=5"], "not a duration"),
        (["--metrics=all"], "--metrics: 'all' is none of basic, extensive"),
        (["--auto-compaction-retention=x"], "error parsing CompactionRetention"),
        (["--feature-gates=Nobody=true"], "unrecognized feature gate: Nobody"),
        (["--feature-gates=PriorityRequest"], "missing bool value for PriorityRequest"),
        (
            ["--feature-gates=LeaseCheckpointPersist=true"],
            "enabling feature gate LeaseCheckpointPersist requires enabling feature gate LeaseCheckpoint",
        ),
        (["--enable-log-rotation"], "log rotation requires exactly one file"),
        (["--compact-hash-check-time=0s"], "--compact-hash-check-time must be >0"),
        (["--enable-pprof"], "pprof profiles Go programs"),
        (["--listen-peer-urls=https://127.0.0.1:1"], "needs --peer-cert-file"),
    ],
)
def test_what_is_refused(arguments: list[str], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        build(parse(arguments, {}))
    assert words in str(caught.value)


def test_the_command_line_wins_over_the_environment() -> None:
    environment = {"ETCD_NAME": "env", "ETCD_LOG_LEVEL": "warn", "ETCD_NMAE": "typo", "OTHER": "x"}
    config = build(parse(["--name", "line"], environment))
    assert (config.name, config.log_level) == ("line", "warn")
    assert unknown_variables(environment) == ["ETCD_NMAE"]
    assert overridden(["--name", "line"], environment) == ["ETCD_NAME"]


def test_ignored_flags_take_their_value_along() -> None:
    assert parse(["--snapshot", "5", "--name", "a", "--vv=1"], {}) == {"name": "a"}


def test_meanings() -> None:
    config = build(parse(["--quota-backend-bytes=-1", "--auto-compaction-retention=2"], {}))
    assert config.quota_bytes == UNLIMITED_QUOTA
    assert config.more.upkeep.compaction_retention == 7200
    config = build(parse(["--auto-compaction-mode=revision", "--auto-compaction-retention=1000"], {}))
    assert config.more.upkeep.compaction_retention == 1000
    gates = build(parse(["--feature-gates=AllAlpha=true,StopGRPCServiceOnDefrag=false"], {}))
    assert gates.more.upkeep.initial_check
    assert not gates.more.features["StopGRPCServiceOnDefrag"][1]
    assert gates.more.enabled("PriorityRequest")
    assert gates.more.enabled("LeaseCheckpointPersist")
    assert build(parse(["--raft-read-timeout=1s"], {})).more.sockets.read_timeout == 5
    assert build(parse([], {})).more.upkeep.compaction_pause == 0.01
    assert build(parse(["--compaction-sleep-interval=2s"], {})).more.upkeep.compaction_pause == 2
    logs = ["--enable-log-rotation", "--log-outputs=stderr,a.log", '--log-rotation-config-json={"maxsize":1}']
    assert build(parse(logs, {})).more.rotation == LogRotation(max_size=1)
    assert parse_duration("1h2m3.5s") == 3723.5


CONFIG = """
name: 'm1'
data-dir: /tmp/x
listen-client-urls: http://127.0.0.1:1,http://127.0.0.1:2
heartbeat-interval: 50
grpc-keepalive-min-time: 7000000000
corrupt-check-time: 2m
log-outputs: [stderr, a.log]
log-level: debug
pre-vote: false
cors: "https://a,https://b"
auto-compaction-retention: "3"
cipher-suites:
  - TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
client-transport-security:
  cert-file: c.pem
  key-file: k.pem
  client-cert-auth: true
  allowed-hostname: [db, web]
peer-transport-security:
  auto-tls: true
  allowed-cn:
    - peer
  skip-client-san-verification: true
socket-options:
  reuse-address: true
feature-gates: CompactHashCheck=true
nobody-knows: {this: key}
"""


def test_the_configuration_file(tmp_path: Path) -> None:
    path = tmp_path / "etcd.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    config = build(read_config_file(str(path)))
    assert (config.name, config.log_level, config.pre_vote) == ("m1", "debug", False)
    assert config.listen_client_urls == ("http://127.0.0.1:1", "http://127.0.0.1:2")
    assert config.advertise_client_urls == ("http://localhost:2379",)
    assert (config.tick_seconds, config.keepalive_min_time) == (0.05, 7.0)
    assert config.log_outputs == ("stderr", "a.log")
    more = config.more
    assert more.upkeep.check_interval == 120
    assert more.upkeep.compaction_retention == 3 * 3600
    assert more.web.cors == ("https://a", "https://b")
    assert more.tls.client.client_cert_auth
    assert more.tls.client.allowed_hosts == ("db", "web")
    assert more.tls.peer.auto
    assert more.tls.peer.allowed_names == ("peer",)
    assert more.tls.peer.skip_address_check
    assert more.upkeep.hash_check


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "is not YAML"),
        ("- a", "a map of settings is expected"),
        ("heartbeat-interval: x", "invalid value 'x' for heartbeat-interval in config file"),
        ("peer-transport-security: yes", "invalid peer-transport-security"),
        ("enable-pprof: true", "pprof profiles Go programs"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "etcd.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match="config file") as caught:
        read_config_file(str(path))
    assert words in str(caught.value)
    with pytest.raises(UsageError, match="cannot read config file"):
        read_config_file(str(tmp_path / "nothing"))


@pytest.mark.slow
def test_with_a_file_flags_count_for_nothing(
    launch: Callable[..., Any], tmp_path: Path, ports: Callable[[int], list[int]]
) -> None:
    client, peer = ports(2)
    path = tmp_path / "etcd.yaml"
    path.write_text(
        f"name: filed\nlisten-client-urls: http://127.0.0.1:{client}\nunsafe-no-fsync: true\n"
        f"listen-peer-urls: http://127.0.0.1:{peer}\ninitial-advertise-peer-urls: http://127.0.0.1:{peer}\n"
        f"initial-cluster: filed=http://127.0.0.1:{peer}\n",
        encoding="utf-8",
    )
    member = launch("--name", "ignored", environment={"ETCD_CONFIG_FILE": str(path), "ETCD_MAX_WALS": "3"})
    member.wait_for("ready to serve client requests")
    assert "loaded server configuration, other configuration command line flags" in member.log
    assert (tmp_path / "member0" / "filed.etcd").is_dir()


@pytest.mark.slow
@pytest.mark.upstream
def test_grpc_and_http_on_listeners_of_their_own(
    launch: Callable[..., Any], upstream_folder: Path, ports: Callable[[int], list[int]]
) -> None:
    client, peer, web = ports(3)
    clients, peers = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
    member = launch(
        *("--name", "a", "--initial-cluster", f"a={peers}", "--listen-peer-urls", peers),
        *("--initial-advertise-peer-urls", peers, "--listen-client-urls", clients),
        *("--advertise-client-urls", clients, "--listen-client-http-urls", f"http://127.0.0.1:{web}"),
        environment={"ETCD_NMAE": "typo"},
    )
    member.wait_for("ready to serve client requests")
    assert "unrecognized environment variable" in member.log
    etcdctl = [str(upstream_folder / "etcdctl"), "put", "a", "1", "--command-timeout", "2s", "--endpoints"]
    assert subprocess.run([*etcdctl, clients], timeout=20, check=False).returncode == 0
    assert subprocess.run([*etcdctl, f"http://127.0.0.1:{web}"], timeout=20, check=False).returncode != 0
    curl = ["curl", "-s", "-m", "3"]
    shown = subprocess.run([*curl, f"http://127.0.0.1:{web}/version"], capture_output=True, check=True)
    assert b'"etcdserver":"3.7.1"' in shown.stdout
    assert subprocess.run([*curl, f"{clients}/version"], capture_output=True, check=False).returncode != 0


def test_a_secure_metrics_url_needs_the_certificate_of_the_clients() -> None:
    with pytest.raises(UsageError) as caught:
        build(parse(["--listen-metrics-urls", "https://127.0.0.1:1"], {}))
    files = "(--cert-file, --key-file)"
    assert str(caught.value) == f"client TLS key/cert {files} must be provided for metrics secure url"
