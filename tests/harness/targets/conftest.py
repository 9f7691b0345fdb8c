"""Clusters of real etcd and what they need."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from gauntlet.harness.targets.base import TargetOptions
from gauntlet.harness.tools import cache
from gauntlet.harness.tools.cache import ToolError
from gauntlet.harness.tools.find import find_etcd, find_toxiproxy

T = TypeVar("T")


@pytest.fixture
def run() -> Callable[[Coroutine[Any, Any, T]], T]:
    """Runs a coroutine with a deadline."""

    def runner(main: Coroutine[Any, Any, T]) -> T:
        async def bounded() -> T:
            async with asyncio.timeout(120):
                result = await main
            for _ in range(5):  # turns of the loop in which closed transports let go of their sockets
                await asyncio.sleep(0)
            return result

        return asyncio.run(bounded())

    return runner


@pytest.fixture(scope="session")
def etcd() -> str:
    """A target of the newest etcd, if it is on this machine already."""
    if cache.cached("etcd", "3.7.1", "etcd") is None:
        try:
            find_etcd("3.7.1", print)
        except ToolError as error:
            pytest.skip(f"etcd 3.7.1: {error}")
    return "etcd:3.7.1"


@pytest.fixture(params=["embedded", "real"])
def toxiproxy(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    if kind == "real" and find_toxiproxy() is None:
        pytest.skip("there is no toxiproxy-server on PATH or in the cache")
    return kind


@pytest.fixture
def options(tmp_path: Path, toxiproxy: str) -> TargetOptions:
    return TargetOptions(directory=tmp_path / "members", toxiproxy=toxiproxy, start_timeout=30.0)
