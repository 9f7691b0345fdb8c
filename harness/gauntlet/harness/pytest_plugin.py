"""The pytest plugin: a cluster under test as a fixture, marks and options for a run."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("gauntlet", "runs of a cluster under faults")
    group.addoption("--gauntlet-target", default="reference", metavar="TARGET", help="the cluster under test")
    group.addoption("--gauntlet-seed", type=int, default=None, metavar="N", help="seed of every gauntlet run")
    group.addoption("--gauntlet-toxiproxy", default="auto", metavar="auto|real|embedded|URL")
    group.addoption("--gauntlet-out", default=None, metavar="DIR", help="where run directories are kept")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "gauntlet(workload, faults, nodes, duration): the run of the fixture gauntlet_run of this test",
    )
