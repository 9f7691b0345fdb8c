"""Node's clients (tests/clients/node): `etcd3`, and `@grpc/grpc-js` with our own .proto files. One session,
the same on our node and on real etcd."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import gauntlet.api
import pytest

pytestmark = [pytest.mark.upstream, pytest.mark.slow]

SOURCES = Path(__file__).with_name("node")
PROTOS = Path(gauntlet.api.__path__[0]) / "proto"
INSTALL_SECONDS = 300.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("npm") is None:
        pytest.skip("Node and npm are not installed")
    folder = tmp_path_factory.mktemp("node")
    shutil.copytree(SOURCES, folder, dirs_exist_ok=True)
    done = subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"npm install failed: {done.stderr[-300:]}")
    return folder


@pytest.mark.parametrize("script", ["etcd3.js", "grpc.js"])
def test_session(
    folder: Path, script: str, compare: Callable[..., list[str]], transcript: Callable[..., list[str]]
) -> None:
    lines = compare(lambda member: transcript(["node", script, member.address, str(PROTOS)], folder))
    assert len(lines) >= 15
