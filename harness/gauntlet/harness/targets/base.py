"""What a target is: members, the links into and between them, and what may be done to it."""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from gauntlet.harness.targets import http
from gauntlet.harness.targets.links import Links
from gauntlet.harness.tools.cache import ToolError
from gauntlet.harness.tools.spawn import tail

# What a target lets us do. Client links are always ours to break.
NETWORK = "network"
PEER_NETWORK = "peer network"
PROCESS = "process"


class TargetError(ToolError):
    """The target cannot be started or does not serve, said in one line; `detail` holds logs."""

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail


class TargetSpecError(TargetError):
    """What was asked for with --target is not a target."""


class MemberDied(TargetError):
    """A member ended although nobody asked it to."""


def _silent(_message: str) -> None:
    """Where progress lines go when nobody wants them."""


@dataclass(frozen=True, slots=True)
class TargetOptions:
    """How to start a target. Flags come after the target's own, so they win; environment likewise."""

    directory: Path  # data directories and logs of the members
    nodes: int = 3
    toxiproxy: str = "auto"
    flags: tuple[str, ...] = ()
    member_flags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    member_env: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    start_timeout: float = 60.0  # seconds until every member serves
    say: Callable[[str], None] = _silent


class Member:
    """One member; the methods that touch its process raise TargetError where it has none of ours."""

    def __init__(self, name: str, endpoint: str, direct: str, log: Path | None) -> None:
        self.name = name
        self.endpoint = endpoint  # HOST:PORT through the client link
        self.direct = direct  # HOST:PORT past it
        self.log = log
        self.version = ""

    @property
    def pid(self) -> int | None:
        return None

    @property
    def running(self) -> bool:
        """Has a process that is not paused, as far as we know."""
        return True

    @property
    def paused(self) -> bool:
        return False

    async def kill(self) -> None:
        """SIGKILL; returns when the process is gone."""
        raise TargetError(f"{self.name} is not a process of ours")

    async def restart(self) -> None:
        """Starts it again with the same data; does not wait until it serves."""
        raise TargetError(f"{self.name} is not a process of ours")

    async def pause(self) -> None:
        """SIGSTOP; returns when the process has stopped."""
        raise TargetError(f"{self.name} is not a process of ours")

    async def resume(self) -> None:
        """SIGCONT."""
        raise TargetError(f"{self.name} is not a process of ours")

    async def terminate(self, grace: float = 10.0) -> int:
        """SIGTERM, and the return code; SIGKILL after the grace (seconds)."""
        raise TargetError(f"{self.name} is not a process of ours")

    def log_tail(self, lines: int = 20) -> list[str]:
        return tail(self.log, lines) if self.log is not None else []

    async def is_healthy(self, timeout: float = 3.0, through_link: bool = False) -> bool:
        """Answers /health with true: it has a leader and completes a linearizable read."""
        host, _, port = (self.endpoint if through_link else self.direct).rpartition(":")
        try:
            answer = await http.get(host.strip("[]"), int(port), "/health", timeout)
            body = json.loads(answer.body)
        except (OSError, ValueError):
            return False
        return answer.status == 200 and isinstance(body, dict) and body.get("health") in ("true", True)


class Target(ABC):
    """A cluster under test. Use it as an async context manager."""

    def __init__(self, name: str, options: TargetOptions) -> None:
        self.name = name  # as on the command line
        self.options = options
        self.members: dict[str, Member] = {}
        self.versions: dict[str, str] = {}
        self._links: Links | None = None

    @property
    def links(self) -> Links:
        if self._links is None:
            raise TargetError(f"{self.name} is not started")
        return self._links

    @property
    def endpoints(self) -> dict[str, str]:
        return {name: member.endpoint for name, member in self.members.items()}

    @property
    def direct_endpoints(self) -> dict[str, str]:
        return {name: member.direct for name, member in self.members.items()}

    @property
    @abstractmethod
    def capabilities(self) -> frozenset[str]: ...

    def can(self, capability: str) -> bool:
        return capability in self.capabilities

    @property
    def member_names(self) -> list[str]:
        """Known before the start, so that a plan can be drawn."""
        return [f"m{number}" for number in range(1, self.options.nodes + 1)]

    @abstractmethod
    async def start(self) -> None:
        """Returns when every member serves; TargetError (nothing left running) when that fails."""

    @abstractmethod
    async def stop(self) -> None:
        """Stops everything; may be called twice and after a failed start."""

    def check(self) -> None:
        """Raises MemberDied when a member ended by itself since the start."""
        return

    async def members_changed(self) -> None:
        """Called by members when their processes change; the switchboard must know the pids."""
        return

    async def wait_healthy(self, timeout: float) -> None:
        """Every member serves, directly and through its client link; TargetError after so many seconds."""
        deadline = asyncio.get_running_loop().time() + timeout
        await asyncio.gather(
            *(self._wait_member(member, deadline, timeout) for member in self.members.values())
        )

    async def _wait_member(self, member: Member, deadline: float, timeout: float) -> None:
        loop = asyncio.get_running_loop()
        for through_link in (False, True):
            while not await member.is_healthy(3.0, through_link):
                self.check()
                if loop.time() > deadline:
                    where = " through its client link" if through_link else ""
                    raise TargetError(
                        f"{self.name}: {member.name} does not serve{where} after {timeout:.0f} s",
                        detail="\n".join(member.log_tail()),
                    )
                await asyncio.sleep(0.05)

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await asyncio.shield(self.stop())
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.shield(self.stop())
