"""The lease check. The records are those of `gauntlet.checkers.etcd.records`: lease_grant, lease_revoke,
lease_keep_alive, lease_time_to_live, put with a lease, txn, delete_range and range."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gauntlet.checkers.guarantees import Tally
from gauntlet.checkers.lease.evidence import Bounds, Evidence, gather
from gauntlet.checkers.lease.rules import GUARANTEES, Keys, Timeline, judge_lease
from gauntlet.checkers.records import Run
from gauntlet.checkers.stats import Windows
from gauntlet.checkers.verdict import CheckResult
from gauntlet.checkers.watch.history import etcd_operations
from porcupine.history import Operation

NAME = "lease"


def judge_leases(
    operations: Sequence[Operation],
    faults: Sequence[Mapping[str, Any]] = (),
    leader_changes: Sequence[int] | None = None,
    bounds: Bounds | None = None,
) -> CheckResult:
    """operations: in the vocabulary of `gauntlet.checkers.etcd`. leader_changes: when leaders were elected,
    ns; None when nobody wrote that down, and then one change that nobody saw is allowed for."""
    bounds = bounds or Bounds()
    evidence, lines = timelines(operations, faults, leader_changes, bounds)
    tally = Tally(GUARANTEES)
    for line in lines.values():
        judge_lease(line, evidence, tally)
    Keys(evidence, lines, tally).judge()
    details = {
        "leases": len(lines),
        "renewals": sum(len(line.lease.renewals) for line in lines.values()),
        "seen_gone": sum(len(line.lease.gone) for line in lines.values()),
        "keys": len({key for line in lines.values() for key in line.lease.keys}),
        "bounds_ns": {"late": bounds.late, "linger": bounds.linger, "settle": bounds.settle},
        "drift": bounds.drift,
    }
    nothing = None if lines else "no lease was used: there is nothing to check"
    return tally.result(NAME, f"{len(lines)} leases", details, faults, nothing)


def timelines(
    operations: Sequence[Operation],
    faults: Sequence[Mapping[str, Any]],
    leader_changes: Sequence[int] | None,
    bounds: Bounds,
) -> tuple[Evidence, dict[int, Timeline]]:
    """What is known of each lease, by id."""
    changes = [{"start_ns": at, "end_ns": at} for at in leader_changes or ()]
    windows = Windows([*faults, *changes])
    evidence = gather(operations, windows, bounds)
    known = leader_changes is not None
    lines = {number: Timeline(lease, windows, bounds, known) for number, lease in evidence.leases.items()}
    return evidence, lines


def check_leases(run: Run) -> CheckResult:
    """The run's leases."""
    return judge_leases(etcd_operations(run.history), run.faults, run.leader_changes)
