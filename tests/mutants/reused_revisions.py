#!/usr/bin/env python3
"""Mutant: revisions are used again after a restart. A member that comes back counts from STEP below where it
had been, so its next writes get revisions that others have."""

from __future__ import annotations

import sys

from gauntlet.reference.server.main import main
from gauntlet.reference.server.member import Member

STEP = 5

start = Member.start


async def start_behind(self: Member) -> None:
    if self.restarted:
        # What the log says is committed is applied in the first turn.
        self._turn()
        store = self.node.machine.store
        store.current_revision = max(1, store.current_revision - STEP)
    await start(self)


Member.start = start_behind

if __name__ == "__main__":
    sys.exit(main())
