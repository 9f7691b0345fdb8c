"""What a fault is.

Rules:
1. start -> evidence -> heal, each once; heal may come any time after start began, also when start failed
   halfway, and leaves nothing of the fault behind. heal may be called again after it raised.
2. evidence says whether the fault bit, from what can be seen from outside: what the server reads back, what a
   probe through the link meets, what /proc says. `bit` is the verdict; the rest is the proof.
3. A fault that the target or the moment does not allow raises Refused from start and has changed nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gauntlet.harness.targets.base import Target

LEADER = "leader"  # in params: whoever leads when the fault starts

Params = Mapping[str, Any]  # JSON values only; drawn by the plan, recorded as they are


class Refused(Exception):
    """The fault cannot be done here, and why, in one line."""


@dataclass(frozen=True, slots=True)
class FaultContext:
    """What a fault may touch."""

    target: Target
    leader: Callable[[], str | None]
    going_down: set[str]  # members that a process fault holds now


class Fault(ABC):
    """One fault of one run. `id` is unique in the run and names its toxics."""

    def __init__(self, id: str, params: Params, context: FaultContext) -> None:
        self.id = id
        self.params = params
        self.context = context
        self.target = context.target
        self.targets: list[str] = []  # members or links ("m1>m2", "client>m1"), known once it has started
        self.healed: dict[str, Any] = {}  # what healing showed, added to the evidence

    @abstractmethod
    async def start(self) -> None: ...

    @abstractmethod
    async def heal(self) -> None: ...

    @abstractmethod
    async def evidence(self) -> dict[str, Any]: ...

    def member(self, key: str = "member") -> str:
        """The member that a parameter means; the leader of this moment, or `otherwise` when nobody leads."""
        wanted = str(self.params[key])
        if wanted != LEADER:
            return wanted
        leader = self.context.leader()
        return leader if leader is not None else str(self.params["otherwise"])
