"""Who leads, asked of every member all the time, past the links that faults break.

A member leads when it says that its own id is the leader's. Of several that say so (an isolated leader does
not know better for a while) the one with the highest term leads. A paused or dead member says nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from gauntlet.api.errors import RpcError
from gauntlet.harness.faults.schedule import Clock, Writer


class _Header(Protocol):
    @property
    def member_id(self) -> int: ...


class Status(Protocol):
    """The part of a StatusResponse that matters here."""

    @property
    def header(self) -> _Header: ...

    @property
    def leader(self) -> int: ...

    @property
    def raftTerm(self) -> int: ...


class StatusClient(Protocol):
    async def status(self, *, timeout: float | None = None) -> Any:  # a Status
        ...


@dataclass(frozen=True, slots=True)
class Leadership:
    member: str | None
    term: int


class LeaderObserver:
    def __init__(
        self,
        clients: Mapping[str, StatusClient],
        clock: Clock,
        writer: Writer,
        interval: float = 0.2,
        timeout: float = 0.5,
    ) -> None:
        """clients: one per member, on its direct endpoint; interval and timeout in seconds."""
        self._clients = dict(clients)
        self._clock = clock
        self._writer = writer
        self._interval = interval
        self._timeout = timeout
        self._seen: Leadership | None = None

    def current(self) -> str | None:
        """The leader when last asked; None while nobody leads."""
        return self._seen.member if self._seen is not None else None

    @property
    def term(self) -> int:
        return self._seen.term if self._seen is not None else 0

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.sample()
            await asyncio.sleep(self._interval)

    async def sample(self) -> Leadership:
        answers = await asyncio.gather(*(self._ask(name) for name in self._clients))
        found = judge({name: status for name, status in zip(self._clients, answers, strict=True) if status})
        if found != self._seen:
            self._seen = found
            self._writer.write(
                {"type": "leader", "at_ns": self._clock.ns(), "member": found.member, "term": found.term}
            )
            self._writer.flush()
        return found

    async def _ask(self, name: str) -> Status | None:
        try:
            status: Status = await self._clients[name].status(timeout=self._timeout)
        except RpcError:
            return None
        return status


def judge(answers: Mapping[str, Status]) -> Leadership:
    """The leader among those who answered."""
    highest = max((status.raftTerm for status in answers.values()), default=0)
    claims = [
        (status.raftTerm, name)
        for name, status in answers.items()
        if status.leader != 0 and status.leader == status.header.member_id
    ]
    if not claims:
        return Leadership(None, highest)
    term, member = max(claims)
    return Leadership(member, term)
