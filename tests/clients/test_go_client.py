"""Go's clientv3 (tests/clients/go, built here): one session, the same on our node and on real etcd."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = [pytest.mark.upstream, pytest.mark.slow]

SOURCES = Path(__file__).with_name("go")
BUILD_SECONDS = 600.0


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    if shutil.which("go") is None:
        pytest.skip("Go is not installed")
    folder = tmp_path_factory.mktemp("go")
    shutil.copytree(SOURCES, folder, dirs_exist_ok=True)
    done = subprocess.run(
        ["go", "build", "-o", "session", "."],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    if "dial tcp" in done.stderr or "no such host" in done.stderr:
        pytest.skip("the modules of clientv3 are not here, and cannot be fetched")
    assert done.returncode == 0, done.stderr
    return str(folder / "session")


def test_session(
    program: str, compare: Callable[..., list[str]], transcript: Callable[..., list[str]]
) -> None:
    lines = compare(lambda member: transcript([program, member.url]))
    assert "across the cut" in {json.loads(line)[0] for line in lines}
    assert len(lines) > 90


def test_session_over_tls(
    program: str, compare: Callable[..., list[str]], transcript: Callable[..., list[str]]
) -> None:
    lines = compare(lambda member: transcript([program, member.url, str(member.certificate)]), tls=True)
    assert len(lines) > 85
