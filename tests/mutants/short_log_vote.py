#!/usr/bin/env python3
"""Mutant: votes are granted to candidates whose log is shorter. A member that was cut off can be elected and
then overwrites entries that a quorum had acknowledged.

The assertion that stops a member whose committed entries are replaced is gone as well: it would end the run
before anybody could be told a wrong answer.
"""

from __future__ import annotations

import sys

from gauntlet.reference.raft import follower
from gauntlet.reference.raft.core import Raft
from gauntlet.reference.raft.log import RaftLog
from gauntlet.reference.raft.types import Message, MessageType
from gauntlet.reference.server.main import main

on_append = follower._HANDLERS[MessageType.APP]


def is_up_to_date(self: RaftLog, term: int, index: int) -> bool:
    return True


def append_over_committed(raft: Raft, message: Message) -> None:
    log = raft.raft_log
    if log.find_term(message.index) == message.log_term:
        conflict = log.find_conflict(message.entries)
        if conflict:
            log.committed = min(log.committed, conflict - 1)
    on_append(raft, message)


RaftLog.is_up_to_date = is_up_to_date
follower._HANDLERS[MessageType.APP] = append_over_committed

if __name__ == "__main__":
    sys.exit(main())
