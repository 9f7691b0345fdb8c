"""Fixtures of the raft tests."""

from __future__ import annotations

import importlib.util
import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

RAFT_MODULE = "go.etcd.io/raft/v3@v3.7.0"


def load(name: str) -> ModuleType:
    """A module that lies beside this file."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


tool = load("raft_interaction")
simulation = load("raft_simulation")


@pytest.fixture(scope="session")
def upstream_raft(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of etcd's raft module, in Go's module cache."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("Go is not installed: no transcripts of etcd's raft module")
    done = subprocess.run(
        [go, "mod", "download", "-json", RAFT_MODULE],
        cwd=tmp_path_factory.mktemp("go"),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"go mod download {RAFT_MODULE}: {done.stderr.strip() or done.stdout.strip()}")
    return Path(json.loads(done.stdout)["Dir"])


@pytest.fixture(params=["shortest", "longest", "seeded"])
def interaction(request: pytest.FixtureRequest) -> Any:
    """An environment, with election timeouts that are all as short, or long, as they may be, or random."""
    seeded = random.Random("raft transcripts")
    choices: dict[str, Callable[[int], int]] = {
        "shortest": lambda n: 0,
        "longest": lambda n: n - 1,
        "seeded": seeded.randrange,
    }
    return tool.Interaction(choices[request.param])


@pytest.fixture
def play_transcript() -> Callable[[Path, Callable[[Any], str]], int]:
    """Plays a file against a handler of cases; returns how many there were."""
    play: Callable[[Path, Callable[[Any], str]], int] = tool.play
    return play


@pytest.fixture
def changes_from_text() -> Callable[[str], list[Any]]:
    """Reads "v1 l2 r3 u4"."""
    parse: Callable[[str], list[Any]] = tool.parse_changes
    return parse


@pytest.fixture
def raft_simulation() -> ModuleType:
    return simulation
