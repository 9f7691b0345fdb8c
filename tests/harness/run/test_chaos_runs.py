"""Short runs of whole clusters under faults."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
from gauntlet.harness.client import EtcdClient
from gauntlet.harness.plan import Plan
from gauntlet.harness.run import RunResult
from gauntlet.harness.testing import ClusterUnderTest, Settings, run_once

pytestmark = pytest.mark.chaos

SHORT = Plan(duration=8.0, seed=21)


def check_whole(result: RunResult) -> None:
    result.check()
    outcomes = [counts["ok"] for counts in result.results["stats"]["counts"].values()]
    assert sum(outcomes) > 400
    assert result.results["faults"]["bit"] >= 2
    assert (result.directory.path / "leaders.jsonl").stat().st_size > 0
    assert result.directory.report_file.stat().st_size > 1000


@pytest.mark.parametrize("toxiproxy", ["auto", "embedded"])
def test_the_reference_under_all_faults(tmp_path: Path, toxiproxy: str) -> None:
    check_whole(run_once(Settings(dataclasses.replace(SHORT, toxiproxy=toxiproxy)), tmp_path))


@pytest.mark.upstream
def test_real_etcd_under_all_faults(tmp_path: Path, etcd_target: str) -> None:
    check_whole(run_once(Settings(dataclasses.replace(SHORT, target=etcd_target)), tmp_path))


@pytest.mark.parametrize("nodes", [1, 5])
def test_other_sizes(tmp_path: Path, nodes: int) -> None:
    plan = dataclasses.replace(SHORT, nodes=nodes, faults="client,kill", duration=5.0)
    run_once(Settings(plan), tmp_path).check()


async def count_keys(endpoint: str) -> int:
    async with EtcdClient(endpoint) as client:
        return int((await client.get(b"\0", b"\0", timeout=5.0)).count)


def test_a_cluster_of_somebody_else(tmp_path: Path) -> None:
    """Its keys are not touched, ours do not stay, and its revisions go on from where they were."""
    with ClusterUnderTest(
        Settings(dataclasses.replace(SHORT, duration=3.0, faults="none")), tmp_path
    ) as cluster:
        cluster.run().check()
        endpoints = "endpoints:" + ",".join(cluster.direct_endpoints.values())
        words = ["run", "--target", endpoints, "--duration", "4", "--out"]
        for out in ("first", "second"):
            found = subprocess.run(
                [sys.executable, "-m", "gauntlet.harness", *words, str(tmp_path / out)],
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert found.returncode == 0, found.stdout + found.stderr
        keys = cluster.call(count_keys(cluster.direct_endpoints["m1"]))
        assert keys <= SHORT.keys, "only those of our own run are left"


@pytest.mark.gauntlet(faults="kill,cut", nodes=3, duration=4)
def test_the_plugin_itself(gauntlet_run: RunResult) -> None:
    gauntlet_run.check()
