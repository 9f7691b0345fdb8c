"""What etcd promises to those who hold a lock, and what they only assume."""

from __future__ import annotations

from gauntlet.checkers.lock.check import GUARANTEES, check_locks, judge_locks
from gauntlet.checkers.lock.records import recipes
from gauntlet.checkers.lock.tenure import World

__all__ = ["GUARANTEES", "World", "check_locks", "judge_locks", "recipes"]
