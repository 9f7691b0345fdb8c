"""A log file that starts anew when it is full, as --enable-log-rotation asks.

Rules (those of the rotation etcd uses): a full file is renamed to `name-<time>.ext`, perhaps compressed, and
a new one begun; of the old ones only so many are kept, and none older than so many days.
"""

from __future__ import annotations

import gzip
import io
import os
import time
from datetime import UTC, datetime
from pathlib import Path

from gauntlet.reference.server.settings import LogRotation

MEGABYTE = 1024 * 1024
DAY = 86_400.0
STAMP = "%Y-%m-%dT%H-%M-%S.%f"


class RotatingFile(io.TextIOBase):
    """Text in, UTF-8 on disk. OSError when it cannot be opened."""

    def __init__(self, path: str, rotation: LogRotation) -> None:
        self._path = Path(path)
        self._rotation = rotation
        self._file = self._path.open("ab")

    def write(self, text: str) -> int:
        data = text.encode()
        size = self._file.tell()
        if size and size + len(data) > self._rotation.max_size * MEGABYTE:
            self._rotate()
        self._file.write(data)
        return len(text)

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def _rotate(self) -> None:
        self._file.close()
        now = datetime.now() if self._rotation.local_time else datetime.now(UTC)
        path = self._path
        old = path.with_name(f"{path.stem}-{now.strftime(STAMP)[:-3]}{path.suffix}")
        path.rename(old)
        self._file = path.open("ab")
        if self._rotation.compress:
            with old.open("rb") as source, gzip.open(f"{old}.gz", "wb") as target:
                target.writelines(source)
            old.unlink()
        self._forget()

    def backups(self) -> list[Path]:
        """Oldest first."""
        path = self._path
        found = path.parent.glob(f"{path.stem}-*{path.suffix}*")
        return sorted(each for each in found if each.name.endswith((path.suffix, ".gz")))

    def _forget(self) -> None:
        rotation, backups = self._rotation, self.backups()
        if rotation.max_backups:
            for old in backups[: -rotation.max_backups]:
                old.unlink()
            backups = backups[-rotation.max_backups :]
        if rotation.max_age:
            limit = time.time() - rotation.max_age * DAY
            for old in backups:
                if os.stat(old).st_mtime < limit:
                    old.unlink()
