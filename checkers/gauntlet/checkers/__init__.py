"""What etcd promises, and whether a history kept to it."""

from __future__ import annotations

from gauntlet.checkers.registry import by_name, judge

__all__ = ["by_name", "judge"]
