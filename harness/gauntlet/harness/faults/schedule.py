"""Carries out a plan: starts and heals each fault in its time, and writes down what happened.

Rules:
1. A fault's record spans from before it was started until after it was healed.
2. Whatever happens - an error, a cancelled run, Ctrl-C - every fault that began is healed, and the links are
   read back to be plain. Then the cluster gets a deadline to serve again.
3. A fault that is refused when its time comes is recorded with the reason and has no span.
4. A fault that did not bite is recorded as such; it is for the verdict to count.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Protocol

from gauntlet.harness.faults.base import Fault, FaultContext, Refused
from gauntlet.harness.faults.catalogue import FAULTS
from gauntlet.harness.faults.plan import FaultPlan, PlannedFault
from gauntlet.harness.targets.base import Target, TargetError
from gauntlet.harness.toxiproxy.adapter import ToxiproxyError

_HEAL_TRIES = 3


class Clock(Protocol):
    def ns(self) -> int:
        """Nanoseconds since the run began."""


class Writer(Protocol):
    def write(self, value: dict[str, Any]) -> None: ...

    def flush(self) -> None: ...


def _nobody() -> str | None:
    return None


class Schedule:
    def __init__(
        self,
        plan: FaultPlan,
        target: Target,
        writer: Writer,
        leader: Callable[[], str | None] = _nobody,
        recovery: float = 30.0,
    ) -> None:
        """recovery: seconds that the cluster has to serve again after the last fault was healed."""
        self.plan = plan
        self.records: list[dict[str, Any]] = []
        self.recovered_ns: int | None = None  # when every member served again after the end
        self._context = FaultContext(target, leader, set())
        self._target = target
        self._writer = writer
        self._recovery = recovery
        self._active: dict[str, str] = {}

    @property
    def active(self) -> list[str]:
        """What is in force now, for people: `cut m1>m2`."""
        return list(self._active.values())

    async def run(self, clock: Clock) -> None:
        """Returns when all faults are healed and the cluster serves; else TargetError or ToxiproxyError."""
        begin = clock.ns()
        tasks = [asyncio.create_task(self._one(planned, clock, begin)) for planned in self.plan.faults]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            ended = asyncio.gather(*tasks, return_exceptions=True)
            # Healing goes on although we are cancelled, even twice: what was broken must not stay broken.
            while not ended.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.shield(ended)
            self._writer.flush()
        await self._settle(clock)

    async def _settle(self, clock: Clock) -> None:
        await self._target.links.release_all()
        problems = await self._target.links.unclean()
        if problems:
            raise TargetError(f"not everything was healed: {'; '.join(problems)}")
        await self._target.wait_healthy(self._recovery)
        self.recovered_ns = clock.ns()

    async def _one(self, planned: PlannedFault, clock: Clock, begin: int) -> None:
        await _until(clock, begin + int(planned.start * 1e9))
        fault = FAULTS[planned.name].build(planned.id, planned.params, self._context)
        start = clock.ns()
        evidence: dict[str, Any] = {"bit": False}
        self._active[planned.id] = planned.name
        try:
            await fault.start()
            self._active[planned.id] = f"{planned.name} {' '.join(fault.targets)}"
            await _until(clock, begin + int(planned.end * 1e9))
            evidence = await fault.evidence()
        except Refused as refusal:
            del self._active[planned.id]
            self._record(planned, [], start, start, {"bit": False, "refused": str(refusal)})
            return
        except asyncio.CancelledError:
            evidence["cut short"] = True
            raise
        except (TargetError, ToxiproxyError) as error:
            evidence["error"] = str(error)
            raise
        finally:
            if self._active.pop(planned.id, None) is not None:
                await self._heal(planned, fault, clock, start, evidence)

    async def _heal(
        self, planned: PlannedFault, fault: Fault, clock: Clock, start: int, evidence: dict[str, Any]
    ) -> None:
        healing = asyncio.create_task(_heal(fault))
        try:
            await asyncio.shield(healing)
        except asyncio.CancelledError:
            await healing
            raise
        finally:
            evidence |= fault.healed
            self._record(planned, fault.targets, start, clock.ns(), evidence)

    def _record(
        self, planned: PlannedFault, targets: list[str], start: int, end: int, evidence: dict[str, Any]
    ) -> None:
        record = {
            "id": planned.id,
            "name": planned.name,
            "kind": FAULTS[planned.name].kind,
            "start_ns": start,
            "end_ns": end,
            "targets": targets,
            "params": planned.params,
            "evidence": evidence,
        }
        self.records.append(record)
        self._writer.write(record)


async def _heal(fault: Fault) -> None:
    for attempt in range(1, _HEAL_TRIES + 1):
        try:
            await fault.heal()
            return
        except (TargetError, ToxiproxyError):
            if attempt == _HEAL_TRIES:
                raise
            await asyncio.sleep(0.2)


async def _until(clock: Clock, moment: int) -> None:
    await asyncio.sleep(max(0.0, (moment - clock.ns()) / 1e9))
