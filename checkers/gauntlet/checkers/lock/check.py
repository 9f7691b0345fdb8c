"""The lock check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gauntlet.checkers.guarantees import Tally
from gauntlet.checkers.lease import Bounds, timelines
from gauntlet.checkers.lock.records import Lock, Unlock, recipes
from gauntlet.checkers.lock.tenure import Holders, guarded_writes, tenures
from gauntlet.checkers.records import Run
from gauntlet.checkers.verdict import CheckResult
from gauntlet.checkers.watch.history import etcd_operations
from gauntlet.checkers.watch.ledger import Effects, Ledger
from porcupine.history import Operation

NAME = "lock"
GUARANTEES = ("granted", "order", "exclusion", "kept", "fencing")


def judge_locks(
    calls: Sequence[Operation],
    operations: Sequence[Operation],
    effects: Effects | None = None,
    faults: Sequence[Mapping[str, Any]] = (),
    leader_changes: Sequence[int] | None = None,
    bounds: Bounds | None = None,
) -> CheckResult:
    """calls: of `lock.records`; operations: the others, in the vocabulary of `gauntlet.checkers.etcd`, that
    tell of the leases and of guarded writes. effects: a complete history of what each revision did."""
    tally = Tally(GUARANTEES)
    ours = [each for each in calls if isinstance(each.call, (Lock, Unlock))]
    held = tenures(ours, operations)
    _, lines = timelines(operations, faults, leader_changes, bounds or Bounds())
    holders = Holders(held, lines, tally)
    writes = guarded_writes(operations, held)
    holders.shown(writes)
    holders.granted(None if effects is None else Ledger(effects, (), complete=True))
    holders.order()
    holders.exclusion()
    holders.fencing(writes)
    holders.kept(writes)
    details = {
        "acquired": len(held),
        "names": len({tenure.name for tenure in held}),
        "released": sum(1 for tenure in held if tenure.release is not None),
        "guarded_writes": sum(1 for write in writes if write.revision is not None),
        "guarded_writes_refused": sum(1 for write in writes if write.revision is None),
    }
    nothing = None if held else "no lock was acquired: there is nothing to check"
    return tally.result(NAME, f"{len(held)} locks", details, faults, nothing)


def check_locks(run: Run) -> CheckResult:
    """The run's locks. The servers write the keys, so the history does not tell of all revisions."""
    found = recipes(run.history)
    return judge_locks(
        found, etcd_operations(run.history) if found else (), None, run.faults, run.leader_changes
    )
