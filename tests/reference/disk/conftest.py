"""Disks that are closed again, whatever the test does with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gauntlet.reference.server.disk import FileDisk

SEGMENT = 16 * 1024

OpenDisk = Callable[..., FileDisk]


@pytest.fixture
def open_disk() -> Iterator[OpenDisk]:
    """open_disk(path, **options): small segments, no fsync unless asked for."""
    opened: list[FileDisk] = []

    def open_one(path: Path, **options: Any) -> FileDisk:
        disk = FileDisk(path, **{"segment_bytes": SEGMENT, "sync": False, **options})
        opened.append(disk)
        return disk

    yield open_one
    for disk in opened:
        disk.close()
