"""Where programs we built are kept: $GAUNTLET_CACHE, else $XDG_CACHE_HOME/gauntlet, else ~/.cache/gauntlet.

    etcd/VERSION/{etcd,etcdctl,etcdutl}     toxiproxy/VERSION/toxiproxy-server     h2spec/VERSION/h2spec

Rule: a folder VERSION is there only when everything in it is; it is built elsewhere and renamed into place.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class ToolError(Exception):
    """A program cannot be found or built, said in one line."""


def cache_folder() -> Path:
    if named := os.environ.get("GAUNTLET_CACHE"):
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "gauntlet"


def cached(tool: str, version: str, program: str) -> Path | None:
    path = cache_folder() / tool / version / program
    return path if is_program(path) else None


def versions(tool: str) -> list[str]:
    folder = cache_folder() / tool
    if not folder.is_dir():
        return []
    return sorted(
        entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")
    )


def is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


@contextmanager
def building(tool: str, version: str) -> Iterator[Path]:
    """An empty folder that becomes tool/VERSION when the block ends well, and vanishes when it does not."""
    parent = cache_folder() / tool
    try:
        parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".building-", dir=parent))
    except OSError as error:
        raise ToolError(f"cannot write to the cache {parent}: {error.strerror}") from error
    try:
        yield folder
        folder.chmod(0o755)
        final = parent / version
        try:
            folder.rename(final)
        except OSError as error:
            # Somebody else built the same version meanwhile; theirs is as good.
            if not final.is_dir():
                raise ToolError(f"cannot move {folder} to {final}: {error.strerror}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def output_of(command: list[str], timeout: float = 20.0) -> str | None:
    """What the program printed, or None when it cannot be run or failed."""
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout + result.stderr if result.returncode == 0 else None
