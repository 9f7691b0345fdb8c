"""From the word on the command line to the target."""

from __future__ import annotations

from gauntlet.harness.targets.base import Target, TargetOptions, TargetSpecError
from gauntlet.harness.targets.endpoints import EndpointsTarget
from gauntlet.harness.targets.etcd import EtcdTarget
from gauntlet.harness.targets.reference import ReferenceTarget
from gauntlet.harness.tools.build import check_version
from gauntlet.harness.tools.cache import ToolError


def create_target(spec: str, options: TargetOptions) -> Target:
    """`reference`, `etcd:VERSION`, `etcd:/path/to/etcd`, `endpoints:HOST:PORT,...`; nothing starts yet."""
    if spec == "reference":
        return ReferenceTarget(spec, options)
    kind, colon, rest = spec.partition(":")
    if colon and kind == "endpoints":
        return EndpointsTarget(spec, options)
    if colon and kind == "etcd":
        if "/" not in rest:
            try:
                check_version(rest)
            except ToolError as error:
                raise TargetSpecError(f"--target etcd:VERSION: {error}") from error
        return EtcdTarget(spec, options)
    raise TargetSpecError(
        f"unknown target {spec!r}; "
        "known are reference, etcd:VERSION, etcd:/path/to/etcd, endpoints:HOST:PORT,..."
    )
