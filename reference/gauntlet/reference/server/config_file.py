"""The YAML file of --config-file, as values of flags.

Rules (etcd's embed package): with a file, flags and environment count for nothing. Keys are the flags'
names; TLS is in the maps client-transport-security and peer-transport-security, sockets in socket-options,
discovery in discovery-config, whose map `client` has the maps `secure` and `auth`. Lists stand for
comma-separated text, durations are nanoseconds (texts like `10s` are taken, too). Keys nobody knows are
passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml
from gauntlet.reference.server.flags import FLAGS, UsageError, check

_SECURITY: Final = {
    "cert-file": "cert-file",
    "key-file": "key-file",
    "client-cert-file": "client-cert-file",
    "client-key-file": "client-key-file",
    "client-cert-auth": "client-cert-auth",
    "trusted-ca-file": "trusted-ca-file",
    "auto-tls": "auto-tls",
}
_MAPS: Final[dict[str, dict[str, str]]] = {
    "client-transport-security": {**_SECURITY, "allowed-hostname": "client-cert-allowed-hostname"},
    "peer-transport-security": {
        **{key: f"peer-{flag}" for key, flag in _SECURITY.items()},
        "allowed-cn": "peer-cert-allowed-cn",
        "allowed-hostname": "peer-cert-allowed-hostname",
        "skip-client-san-verification": "peer-skip-client-san-verification",
    },
    "socket-options": {"reuse-port": "socket-reuse-port", "reuse-address": "socket-reuse-address"},
}
_DISCOVERY: Final[dict[str, str]] = {
    "token": "discovery-token",
    "client.endpoints": "discovery-endpoints",
    "client.request-timeout": "discovery-request-timeout",
    "client.dial-timeout": "discovery-dial-timeout",
    "client.keepalive-time": "discovery-keepalive-time",
    "client.keepalive-timeout": "discovery-keepalive-timeout",
    "client.secure.cert": "discovery-cert",
    "client.secure.key": "discovery-key",
    "client.secure.cacert": "discovery-cacert",
    "client.secure.insecure-transport": "discovery-insecure-transport",
    "client.secure.insecure-skip-tls-verify": "discovery-insecure-skip-tls-verify",
    "client.auth.username": "discovery-user",
    "client.auth.password": "discovery-password",
}


def read_config_file(path: str) -> dict[str, str]:
    """What the file gives, by flag name. UsageError in one line for what cannot be understood."""
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read config file {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        words = " ".join(str(error).split())
        raise UsageError(f"config file {path} is not YAML: {words}") from None
    if content is None:
        content = {}
    if not isinstance(content, dict):
        raise UsageError(f"config file {path}: a map of settings is expected")
    given: dict[str, str] = {}
    for key, value in content.items():
        inner = _DISCOVERY if key == "discovery-config" else _MAPS.get(key)
        if inner is None:
            _take(given, path, str(key), value)
        elif isinstance(value, dict):
            for name, setting in _leaves(value):
                if name in inner:
                    _take(given, path, inner[name], setting)
        elif value is not None:
            raise UsageError(f"config file {path}: invalid {key}")
    # Asked for on a command line, but not here: the default stands.
    given.setdefault("advertise-client-urls", FLAGS["advertise-client-urls"].default)
    return given


def _leaves(content: dict[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The settings of a map and of the maps in it, by their names joined with dots."""
    for name, value in content.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _take(given: dict[str, str], path: str, name: str, value: Any) -> None:
    flag = FLAGS.get(name)
    if flag is None or value is None or name in ("version", "help", "config-file"):
        return
    origin = f"{name} in config file {path}"
    if isinstance(value, list):
        text = ",".join(str(item) for item in value)
    elif isinstance(value, bool):
        text = "true" if value else "false"
    elif flag.kind == "duration" and isinstance(value, int):
        text = f"{value}ns"
    elif isinstance(value, str | int | float):
        text = str(value)
    else:
        raise UsageError(f"invalid value for {origin}")
    if text or flag.kind == "string":
        given[name] = check(flag, text, origin)
