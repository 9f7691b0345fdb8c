#!/usr/bin/env python3
"""Mutant: writes are acknowledged before the log is written. They reach the disk DELAY seconds later, so
that killing members loses what they had promised."""

from __future__ import annotations

import sys

from gauntlet.reference.server.main import main
from gauntlet.reference.server.writer import DiskWriter, Work

DELAY = 0.5


def nothing() -> None:
    """The write has been reported already."""


def submit(self: DiskWriter, work: Work, then: Work) -> None:
    self._loop.call_soon(then)
    self._loop.call_later(DELAY, self._queue.put, (work, nothing))


DiskWriter.submit = submit

if __name__ == "__main__":
    sys.exit(main())
