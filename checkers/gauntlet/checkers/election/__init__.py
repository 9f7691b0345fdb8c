"""What etcd promises to those who campaign, lead and observe."""

from __future__ import annotations

from gauntlet.checkers.election.check import GUARANTEES, check_elections, judge_elections

__all__ = ["GUARANTEES", "check_elections", "judge_elections"]
