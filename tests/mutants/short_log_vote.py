#!/usr/bin/env python3
"""Mutant: votes are granted to candidates whose log is shorter. A member that was cut off can be elected and
then overwrites entries that a quorum had acknowledged."""

from __future__ import annotations

import sys

from gauntlet.reference.raft.log import RaftLog
from gauntlet.reference.server.main import main


def is_up_to_date(self: RaftLog, term: int, index: int) -> bool:
    return True


RaftLog.is_up_to_date = is_up_to_date

if __name__ == "__main__":
    sys.exit(main())
