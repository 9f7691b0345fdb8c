"""The harness's end of the switchboard process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gauntlet.harness.tools.cache import ToolError
from gauntlet.harness.tools.spawn import Child, spawn, tail

Address = tuple[str, int]


class SwitchboardError(ToolError):
    """The switchboard could not start or is gone."""


@dataclass(frozen=True, slots=True)
class LinkCount:
    """What went through one directed link since the start; up is from the dialer."""

    opened: int
    active: int
    refused: int
    up: int
    down: int


class SwitchboardClient:
    def __init__(self, log: Path) -> None:
        self._log = log
        self._child: Child | None = None
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._next = 0
        self._lock = asyncio.Lock()

    async def start(self, members: Mapping[str, Address], links: Mapping[tuple[str, str], Address]) -> None:
        """Listens on each member's advertised address; links maps (dialer, target) to the link's proxy."""
        config = {
            "members": {
                name: {
                    "listen": list(address),
                    "links": {d: list(where) for (d, target), where in links.items() if target == name},
                }
                for name, address in members.items()
            }
        }
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "gauntlet.harness.targets.switchboard", str(theirs.fileno())]
            self._child = spawn(command, self._log, pass_fds=[theirs.fileno()])
        self._reader, self._writer = await asyncio.open_connection(sock=ours, limit=1 << 22)
        answer = await self._exchange(config, timeout=15.0)
        if "error" in answer:
            raise SwitchboardError(f"the switchboard could not start: {answer['error']}")

    async def set_pids(self, pids: Mapping[str, int]) -> None:
        await self._request("pids", pids=dict(pids))

    async def counts(self) -> dict[tuple[str, str], LinkCount]:
        answer = await self._request("stats")
        counts = {}
        for name, values in answer["links"].items():
            dialer, _, target = name.partition(">")
            counts[dialer, target] = LinkCount(**values)
        return counts

    async def lookups(self) -> dict[str, int]:
        """How many dialers were looked up, how many were strangers, total and longest time in us."""
        answer = await self._request("stats")
        return dict(answer["lookups"])

    async def stop(self) -> None:
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()
            self._writer = None
        if self._child is not None:
            await self._child.stop(grace=1.0)

    async def _request(self, op: str, **more: Any) -> dict[str, Any]:
        async with self._lock:
            self._next += 1
            answer = await self._exchange({"id": self._next, "op": op, **more}, timeout=10.0)
            if answer.get("id") != self._next:
                raise SwitchboardError(f"the switchboard answered out of turn: {answer}")
            return answer

    async def _exchange(self, message: dict[str, Any], timeout: float) -> dict[str, Any]:
        if self._reader is None or self._writer is None:
            raise SwitchboardError("the switchboard is not running")
        self._writer.write(json.dumps(message).encode() + b"\n")
        try:
            line = await asyncio.wait_for(self._reader.readline(), timeout)
        except TimeoutError as error:
            raise SwitchboardError(f"the switchboard did not answer within {timeout:.0f} s") from error
        except ConnectionError as error:
            raise SwitchboardError(f"the switchboard is gone: {error}") from error
        if not line:
            last = " | ".join(tail(self._log, 5)) or "no output"
            raise SwitchboardError(f"the switchboard ended: {last}")
        answer = json.loads(line)
        assert isinstance(answer, dict)
        return answer
