"""Faults of processes: SIGKILL with a later restart on the same data, and SIGSTOP with a later SIGCONT."""

from __future__ import annotations

from typing import Any

from gauntlet.harness.faults.base import Fault, FaultContext, Params, Refused
from gauntlet.harness.targets.base import PROCESS, TargetError
from gauntlet.harness.targets.cluster import process_state


class ProcessFault(Fault):
    """Takes members down; a member that another process fault holds is not taken twice."""

    def __init__(self, id: str, params: Params, context: FaultContext) -> None:
        super().__init__(id, params, context)
        self._down: list[str] = []  # what heal has to bring back
        self._pids: dict[str, int] = {}

    def victims(self) -> list[str]:
        return [self.member()]

    async def start(self) -> None:
        if not self.target.can(PROCESS):
            raise Refused(f"{self.target.name} has no processes of ours")
        victims = self.victims()
        for name in victims:
            if name in self.context.going_down:
                raise Refused(f"{name} is held by another fault")
            if not self.target.members[name].running:
                raise Refused(f"{name} is not running")
        self.targets = victims
        self.context.going_down.update(victims)
        self._down = list(victims)
        for name in victims:
            self._pids[name] = self.target.members[name].pid or 0
        for name in victims:
            await self.take_down(name)

    async def heal(self) -> None:
        while self._down:
            name = self._down[-1]
            await self.bring_back(name)
            self._down.pop()
            self.context.going_down.discard(name)

    async def take_down(self, name: str) -> None:
        raise NotImplementedError

    async def bring_back(self, name: str) -> None:
        raise NotImplementedError


class Kill(ProcessFault):
    """params: member, perhaps `leader` with otherwise."""

    async def take_down(self, name: str) -> None:
        await self.target.members[name].kill()

    async def bring_back(self, name: str) -> None:
        member = self.target.members[name]
        if member.pid is None:
            await member.restart()
        self.healed.setdefault("new_pids", {})[name] = member.pid

    async def evidence(self) -> dict[str, Any]:
        gone = {name: process_state(pid) is None for name, pid in self._pids.items()}
        down = all(self.target.members[name].pid is None for name in self._pids)
        return {"bit": bool(gone) and down and all(gone.values()), "pids": dict(self._pids), "gone": gone}


class KillAll(Kill):
    """No params: every member is killed, then every member is restarted on its data."""

    def victims(self) -> list[str]:
        return list(self.target.members)


class Pause(ProcessFault):
    """params: member, perhaps `leader` with otherwise. Its sockets still accept."""

    async def take_down(self, name: str) -> None:
        await self.target.members[name].pause()

    async def bring_back(self, name: str) -> None:
        member = self.target.members[name]
        if member.paused and member.pid is None:
            raise TargetError(f"{name} died while it was paused")
        if member.paused:
            await member.resume()
        self.healed.setdefault("states", {})[name] = process_state(self._pids[name])

    async def evidence(self) -> dict[str, Any]:
        states = {name: process_state(pid) for name, pid in self._pids.items()}
        return {
            "bit": bool(states) and all(state == "T" for state in states.values()),
            "pids": dict(self._pids),
            "states": states,
        }
