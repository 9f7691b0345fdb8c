"""Versions of what takes part in a run."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version


def gauntlet_version() -> str:
    try:
        return version("etcd-gauntlet")
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "unknown"


def versions() -> dict[str, str]:
    return {
        "gauntlet": gauntlet_version(),
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
