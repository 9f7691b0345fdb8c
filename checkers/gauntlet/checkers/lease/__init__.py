"""What etcd promises about leases, and whether it kept to it."""

from __future__ import annotations

from gauntlet.checkers.lease.check import check_leases, judge_leases, timelines
from gauntlet.checkers.lease.evidence import Bounds
from gauntlet.checkers.lease.rules import GUARANTEES, Timeline

__all__ = ["GUARANTEES", "Bounds", "Timeline", "check_leases", "judge_leases", "timelines"]
