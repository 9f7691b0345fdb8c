"""The lock check."""

from __future__ import annotations

from collections.abc import Sequence

from gauntlet.checkers.guarantees import Tally
from gauntlet.checkers.lock.records import Lock, Unlock, recipes
from gauntlet.checkers.lock.tenure import Holders, World
from gauntlet.checkers.records import Run
from gauntlet.checkers.verdict import CheckResult
from gauntlet.checkers.watch.history import etcd_operations
from porcupine.history import Operation

NAME = "lock"
GUARANTEES = ("granted", "order", "exclusion", "kept", "fencing")


def judge_locks(calls: Sequence[Operation], world: World) -> CheckResult:
    """calls: of `lock.records`."""
    tally = Tally(GUARANTEES)
    ours = [each for each in calls if isinstance(each.call, (Lock, Unlock))]
    holders, writes = Holders.judged(ours, tally, world)
    holders.order()
    held = holders.held
    details = {
        "acquired": len(held),
        "names": len({tenure.name for tenure in held}),
        "released": sum(1 for tenure in held if tenure.release is not None),
        "guarded_writes": sum(1 for write in writes if write.revision is not None),
        "guarded_writes_refused": sum(1 for write in writes if write.revision is None),
    }
    nothing = None if held else "no lock was acquired: there is nothing to check"
    return tally.result(NAME, f"{len(held)} locks", details, world.faults, nothing)


def check_locks(run: Run) -> CheckResult:
    """The run's locks. The servers write the keys, so the history does not tell of all revisions."""
    found = recipes(run.history)
    others = etcd_operations(run.history) if found else ()
    return judge_locks(found, World(others, None, run.faults, run.leader_changes))
