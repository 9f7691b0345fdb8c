"""Log lines in the shape etcd's are: one JSON object a line, or columns for people.

Every line says its level, time, caller and message. What modules say through Python's own logging, and
Python's warnings, become such lines too, once `relay` is called.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import FrameType
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
        self._write("debug", sys._getframe(1), message, fields)

    def info(self, message: str, **fields: object) -> None:
        self._write("info", sys._getframe(1), message, fields)

    def warn(self, message: str, **fields: object) -> None:
        self._write("warn", sys._getframe(1), message, fields)

    def error(self, message: str, **fields: object) -> None:
        self._write("error", sys._getframe(1), message, fields)

    def log(self, level: str, message: str, **fields: object) -> None:
        """One line; underscores in field names become dashes, which is how etcd writes them."""
        self._write(level, sys._getframe(1), message, fields)

    def relay(self) -> None:
        """Takes what this process logs and warns of in Python's way."""
        logging.captureWarnings(True)
        root = logging.getLogger()
        root.addHandler(_Relay(self))
        root.setLevel(logging.DEBUG if self.enabled("debug") else logging.INFO)

    def take(self, record: logging.LogRecord) -> None:
        level = "error" if record.levelno >= logging.ERROR else _PYTHON_LEVELS.get(record.levelno, "info")
        fields = (
            {} if record.exc_info is None else {"error": logging.Formatter().formatException(record.exc_info)}
        )
        self._write(level, f"{_short(record.pathname)}:{record.lineno}", record.getMessage().strip(), fields)

    def _write(self, level: str, caller: FrameType | str, message: str, fields: Mapping[str, object]) -> None:
        if LEVELS[level] < self._threshold:
            return
        if not isinstance(caller, str):
            caller = f"{_short(caller.f_code.co_filename)}:{caller.f_lineno}"
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        named = {name.replace("_", "-"): value for name, value in fields.items()}
        if self._json:
            entry = {"level": level, "ts": stamp, "caller": caller, "msg": message, **named}
            line = json.dumps(entry, default=str, separators=(",", ":"))
        else:
            extra = f"\t{json.dumps(named, default=str)}" if named else ""
            line = f"{stamp}\t{level}\t{caller}\t{message}{extra}"
        for file in self._files:
            file.write(line + "\n")
            file.flush()

    def close(self) -> None:
        """Closes the files; stderr and stdout stay open."""
        for file in self._files:
            if file not in (sys.stderr, sys.stdout):
                file.close()


_PYTHON_LEVELS = {logging.DEBUG: "debug", logging.INFO: "info", logging.WARNING: "warn"}


class _Relay(logging.Handler):
    def __init__(self, log: Logger) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        self._log.take(record)


def _short(path: str) -> str:
    """The file and its folder."""
    return "/".join(path.rsplit("/", 2)[-2:])


def header_log(environment: Mapping[str, str]) -> Callable[[str], None] | None:
    """Takes the wire's lines about header fields to stderr, where Go's library puts its own under
    GODEBUG=http2debug=2; None without that setting.
    """
    if "http2debug=2" not in environment.get("GODEBUG", ""):
        return None

    def write(line: str) -> None:
        print(datetime.now().strftime("%Y/%m/%d %H:%M:%S"), line, file=sys.stderr)

    return write


def _open(output: str, rotation: LogRotation | None) -> TextIO | RotatingFile:
    if output in ("default", "stderr"):
        return sys.stderr
    if output == "stdout":
        return sys.stdout
    if rotation is not None:
        return RotatingFile(output, rotation)
    return open(output, "a", encoding="utf-8")
