"""Faults: what can be done to a cluster, when it is done, and the proof that it bit.

    kinds = parse_faults("cut,kill,pause")               # names, or network, client, process, all, none
    plan = make_plan(kinds, target.member_names, "7", 20.0, target.capabilities)   # same seed, same plan
    schedule = Schedule(plan, target, LineWriter(run.faults_file), leader=observer.current)
    task = asyncio.create_task(schedule.run(clock))      # clock.ns(): RunClock; heals also when cancelled
    schedule.active                                      # names of the faults in force, for the display
    schedule.records                                     # what went into faults.jsonl

`leader` is any callable that returns the name of the leading member or None; LeaderObserver is one:

    observer = LeaderObserver({"m1": client, ...}, clock, LineWriter(run.leaders_file))
    task = asyncio.create_task(observer.run())  # client: whatever has status(timeout=seconds)
"""

from gauntlet.harness.faults.catalogue import FAULTS, Fault, FaultSpecError, Refused, parse_faults
from gauntlet.harness.faults.leader import LeaderObserver
from gauntlet.harness.faults.plan import FaultPlan, PlannedFault, make_plan
from gauntlet.harness.faults.schedule import Schedule

__all__ = [
    "FAULTS",
    "Fault",
    "FaultPlan",
    "FaultSpecError",
    "LeaderObserver",
    "PlannedFault",
    "Refused",
    "Schedule",
    "make_plan",
    "parse_faults",
]
