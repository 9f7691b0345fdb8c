#!/usr/bin/env python3
"""Mutant: votes are granted to candidates whose log is shorter. A member that was cut off can be elected and
then overwrites entries that a quorum had acknowledged.

The assertion that stops a member whose committed entries are replaced is gone as well: it would end the run
before anybody could be told a wrong answer.
"""

from __future__ import annotations

import sys

from gauntlet.reference.raft.log import RaftLog
from gauntlet.reference.raft.types import Entry
from gauntlet.reference.server.main import main

maybe_append = RaftLog.maybe_append


def is_up_to_date(self: RaftLog, term: int, index: int) -> bool:
    return True


def append_over_committed(
    self: RaftLog, prev_term: int, prev_index: int, entries: list[Entry], committed: int
) -> int | None:
    if self.find_term(prev_index) == prev_term:
        conflict = self.find_conflict(entries)
        if conflict:
            self.committed = min(self.committed, conflict - 1)
    return maybe_append(self, prev_term, prev_index, entries, committed)


RaftLog.is_up_to_date = is_up_to_date
RaftLog.maybe_append = append_over_committed

if __name__ == "__main__":
    sys.exit(main())
