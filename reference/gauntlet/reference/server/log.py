"""Log lines in the shape etcd's are: one JSON object a line, or columns for people."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import TextIO

from gauntlet.reference.server.log_files import RotatingFile
from gauntlet.reference.server.settings import LogRotation

LEVELS = {"debug": 0, "info": 1, "warn": 2, "error": 3, "dpanic": 4, "panic": 5, "fatal": 6}


class Logger:
    """Writes to stderr, stdout or files, as `--log-outputs` names them."""

    def __init__(
        self,
        level: str = "info",
        outputs: tuple[str, ...] = ("default",),
        log_format: str = "json",
        rotation: LogRotation | None = None,
    ) -> None:
        """ValueError for an unknown level or format; OSError where a file cannot be opened."""
        if level not in LEVELS:
            raise ValueError(f"--log-level: {level!r} is none of {', '.join(LEVELS)}")
        if log_format not in ("json", "console"):
            raise ValueError(f"--log-format: {log_format!r} is neither json nor console")
        self._threshold = LEVELS[level]
        self._json = log_format == "json"
        self._files = [_open(output, rotation) for output in outputs]

    def enabled(self, level: str) -> bool:
        return LEVELS[level] >= self._threshold

    def debug(self, message: str, **fields: object) -> None:
        self.log("debug", message, **fields)

    def info(self, message: str, **fields: object) -> None:
        self.log("info", message, **fields)

    def warn(self, message: str, **fields: object) -> None:
        self.log("warn", message, **fields)

    def error(self, message: str, **fields: object) -> None:
        self.log("error", message, **fields)

    def log(self, level: str, message: str, **fields: object) -> None:
        """One line; underscores in field names become dashes, which is how etcd writes them."""
        if LEVELS[level] < self._threshold:
            return
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        named = {name.replace("_", "-"): value for name, value in fields.items()}
        if self._json:
            line = json.dumps({"level": level, "ts": stamp, "msg": message, **named}, default=str)
        else:
            extra = f"\t{json.dumps(named, default=str)}" if named else ""
            line = f"{stamp}\t{level}\t{message}{extra}"
        for file in self._files:
            file.write(line + "\n")
            file.flush()

    def close(self) -> None:
        """Closes the files; stderr and stdout stay open."""
        for file in self._files:
            if file not in (sys.stderr, sys.stdout):
                file.close()


def _open(output: str, rotation: LogRotation | None) -> TextIO | RotatingFile:
    if output in ("default", "stderr"):
        return sys.stderr
    if output == "stdout":
        return sys.stdout
    if rotation is not None:
        return RotatingFile(output, rotation)
    return open(output, "a", encoding="utf-8")
