"""Where the core's log lines go: level and text, handed to one function of the application's."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from .errors import InvariantBroken

LogSink = Callable[[str, str], None]


class Logger:
    """Levels are "debug", "info", "warning", "error" and, before the core gives up, "fatal"."""

    __slots__ = ("_sink",)

    def __init__(self, sink: LogSink | None) -> None:
        self._sink = sink

    def debug(self, line: str) -> None:
        if self._sink is not None:
            self._sink("debug", line)

    def info(self, line: str) -> None:
        if self._sink is not None:
            self._sink("info", line)

    def warning(self, line: str) -> None:
        if self._sink is not None:
            self._sink("warning", line)

    def error(self, line: str) -> None:
        if self._sink is not None:
            self._sink("error", line)

    def fatal(self, line: str) -> NoReturn:
        """Say why, and raise: going on would put safety at risk."""
        if self._sink is not None:
            self._sink("fatal", line)
        raise InvariantBroken(line)
