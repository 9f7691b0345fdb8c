"""Faults: what can be done to a cluster, when it is done, and the proof that it bit.

    kinds = parse_faults("cut,kill,pause")               # names, or network, client, process, all, none
    plan = make_plan(kinds, members=["m1", "m2", "m3"], seed="7", duration=20.0)   # pure; same seed, same plan
    schedule = Schedule(plan, target, leader=observer.current, writer=LineWriter(run.faults_file))
    task = asyncio.create_task(schedule.run(clock))      # clock.ns(): RunClock; always heals, also when cancelled
    schedule.active                                      # names of the faults in force, for the display
    schedule.records                                     # what went into faults.jsonl

`leader` is any callable that returns the name of the leading member or None; LeaderObserver is one:

    observer = LeaderObserver({"m1": client, ...}, clock, LineWriter(run.leaders_file))
    task = asyncio.create_task(observer.run())           # client: anything with `await client.status(timeout=s)`
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
