"""`pytest --pyargs gauntlet.harness.conformance`: one event loop and one set of clusters for all cases.

The target: --gauntlet-target, or the environment's GAUNTLET_TARGET, or the reference node.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from gauntlet.harness.conformance.arena import Arena
from gauntlet.harness.conformance.case import Case
from gauntlet.harness.conformance.runner import Result, run_case


class Bench:
    """Runs cases one after the other on clusters that live as long as the session."""

    def __init__(self, spec: str, folder: Path, toxiproxy: str, seed: int) -> None:
        self._runner = asyncio.Runner()
        self._arena = Arena(spec, folder, toxiproxy)
        self._nonce = f"{seed:x}"

    def run(self, case: Case) -> Result:
        return self._runner.run(run_case(case, self._arena, self._nonce))

    def close(self) -> None:
        try:
            self._runner.run(self._arena.close())
        finally:
            self._runner.close()


@pytest.fixture(scope="session")
def conformance_bench(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bench]:
    option = request.config.getoption
    spec = option("--gauntlet-target", None) or os.environ.get("GAUNTLET_TARGET") or "reference"
    toxiproxy = option("--gauntlet-toxiproxy", None) or "auto"
    seed = option("--gauntlet-seed", None)
    folder = tmp_path_factory.mktemp("conformance")
    bench = Bench(str(spec), folder, str(toxiproxy), secrets.randbelow(2**31) if seed is None else int(seed))
    try:
        yield bench
    finally:
        bench.close()
