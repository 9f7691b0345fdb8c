"""What etcd promises to those who hold a lock, and what they only assume."""

from __future__ import annotations

from gauntlet.checkers.lock.check import GUARANTEES, check_locks, judge_locks
from gauntlet.checkers.lock.records import recipes

__all__ = ["GUARANTEES", "check_locks", "judge_locks", "recipes"]
