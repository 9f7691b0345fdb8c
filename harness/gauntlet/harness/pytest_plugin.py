"""The pytest plugin: runs of a cluster under faults as fixtures. Only argument passing; see testing.py.

    @pytest.mark.gauntlet(faults="cut,kill", nodes=3, duration=5)
    def test_survives(gauntlet_run):
        gauntlet_run.check()                      # a whole run, done before the test began

    def test_in_my_own_words(gauntlet_cluster):   # a cluster that stands; nothing happens until you say so
        client = connect(gauntlet_cluster.endpoints["m1"])
        gauntlet_cluster.run(faults="network", duration=5).assert_valid()

The mark takes workload, faults, nodes, duration, rate, clients, keys, timeout, target and seed; what the
command line gives (--gauntlet-target, --gauntlet-seed) comes before it. Every run adds its seed, directory,
verdict and repeating command to the test's JUnit properties, and a failing test prints them.

pytest loads this file in every session of everybody who has Gauntlet installed, so nothing else is imported
before a fixture is used.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from gauntlet.harness.run import RunResult
    from gauntlet.harness.testing import ClusterUnderTest, Settings

_RESULTS: pytest.StashKey[list[tuple[str, str]]] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("gauntlet", "clusters under faults")
    group.addoption(
        "--gauntlet-target",
        metavar="TARGET",
        help="reference, etcd:VERSION, etcd:/path/to/etcd or endpoints:HOST:PORT,...",
    )
    group.addoption("--gauntlet-seed", type=int, metavar="N", help="seed of every run; drawn when not given")
    group.addoption("--gauntlet-toxiproxy", metavar="SERVER", help="auto, real, embedded or http://HOST:PORT")
    group.addoption(
        "--gauntlet-out",
        type=Path,
        metavar="DIR",
        help="keep run directories here, not in the test's tmp_path",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "gauntlet(workload, faults, nodes, duration, ...): what gauntlet_run and gauntlet_cluster do in this"
        " test; takes rate, clients, keys, timeout, target and seed as well",
    )


@pytest.fixture
def gauntlet_run(request: pytest.FixtureRequest, tmp_path: Path) -> RunResult:
    """The judged run that the mark gauntlet describes; `check()` fails the test unless it is valid."""
    from gauntlet.harness.testing import run_once

    settings = _settings(request)
    result = run_once(settings, _directory(request, tmp_path))
    _note(request.node, result)
    return result


@pytest.fixture
def gauntlet_cluster(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Generator[ClusterUnderTest, None, None]:
    """A fresh cluster behind Toxiproxy, stopped after the test."""
    from gauntlet.harness.testing import ClusterUnderTest

    settings = _settings(request)
    with ClusterUnderTest(settings, _directory(request, tmp_path)) as cluster:
        cluster.on_result = lambda result: _note(request.node, result)
        yield cluster


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        for section in item.stash.get(_RESULTS, None) or []:
            report.sections.append(section)
    return report


def _settings(request: pytest.FixtureRequest) -> Settings:
    from gauntlet.harness.testing import Settings

    given: dict[str, Any] = {}
    for mark in reversed(list(request.node.iter_markers("gauntlet"))):  # the closest one comes last
        if mark.args:
            raise pytest.UsageError(f"{request.node.nodeid}: the mark gauntlet takes named arguments only")
        given |= mark.kwargs
    for name in ("target", "seed", "toxiproxy"):
        option = request.config.getoption(f"gauntlet_{name}")
        if option is not None:
            given[name] = option
    try:
        return Settings.of(given)
    except ValueError as error:
        raise pytest.UsageError(f"{request.node.nodeid}: {error}") from error


def _directory(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where this test's runs go."""
    out: Path | None = request.config.getoption("gauntlet_out")
    if out is None:
        return tmp_path / "gauntlet"
    return out / re.sub(r"[^\w.-]+", "_", request.node.nodeid).strip("_")


def _note(item: pytest.Item, result: RunResult) -> None:
    """Into JUnit's properties, and into the report should the test fail."""
    plan = result.directory.read_plan()
    item.user_properties += [
        ("gauntlet_seed", plan["seed"]),
        ("gauntlet_directory", str(result.directory.path)),
        ("gauntlet_verdict", result.verdict.value),
        ("gauntlet_command", result.command),
    ]
    item.stash.setdefault(_RESULTS, []).append(("gauntlet run", result.describe()))
