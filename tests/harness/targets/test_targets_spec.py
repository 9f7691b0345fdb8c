"""From words to targets: what is refused, and how."""

from __future__ import annotations

from pathlib import Path

import pytest
from gauntlet.harness.targets import (
    NETWORK,
    PEER_NETWORK,
    PROCESS,
    TargetError,
    TargetOptions,
    TargetSpecError,
    create_target,
)
from gauntlet.harness.targets.endpoints import parse_endpoints


@pytest.fixture
def anywhere(tmp_path: Path) -> TargetOptions:
    return TargetOptions(directory=tmp_path, nodes=5)


def test_capabilities(anywhere: TargetOptions) -> None:
    for spec in ("reference", "etcd:3.7.1", "etcd:/bin/etcd"):
        target = create_target(spec, anywhere)
        assert target.capabilities == {NETWORK, PEER_NETWORK, PROCESS}
        assert target.member_names == ["m1", "m2", "m3", "m4", "m5"]
    target = create_target("endpoints:10.0.0.1:2379,10.0.0.2:2379", anywhere)
    assert target.capabilities == {NETWORK}
    assert target.member_names == ["m1", "m2"]


@pytest.mark.parametrize(
    "spec",
    ["", "etcd", "etcd:", "etcd:latest", "etcd:3.7", "zookeeper:3", "reference:1", "endpoints", "endpoints:"],
)
def test_unknown_targets(anywhere: TargetOptions, spec: str) -> None:
    with pytest.raises(TargetSpecError) as caught:
        create_target(spec, anywhere)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["a", "a:", ":1", "a:0", "a:b", "a:65536", "a:1,,b:2", "http://a:1", "a:1,a:1"]
)
def test_bad_endpoints(text: str) -> None:
    with pytest.raises(TargetSpecError):
        parse_endpoints(text)


def test_good_endpoints() -> None:
    assert parse_endpoints("a:1, [::1]:2379") == ["a:1", "[::1]:2379"]


def test_no_members(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="at least one member"):
        create_target("reference", TargetOptions(directory=tmp_path, nodes=0))
