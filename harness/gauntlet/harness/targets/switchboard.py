"""The switchboard: lends every directed member link an address, though all members share one per target.

All members of a cluster must agree on each member's advertised peer URL, so a proxy in front of a member
cannot tell who dials. The switchboard listens on the advertised addresses instead. Per connection:
1. accept, and read nothing yet;
2. find the dialing member (dialer.py); a stranger is disconnected;
3. connect to the Toxiproxy proxy of the link (dialer, target); where that refuses, reset the dialer;
4. pass bytes both ways, counting them, until either end goes; an abrupt end stays abrupt.

It runs as a process of its own, so the harness's event loop never delays a heartbeat:

    python -m gauntlet.harness.targets.switchboard CONTROL_FD

The control descriptor carries JSON lines. The first is the configuration, in which links maps a dialer to the
address of its link: `{"members": {"m1": {"listen": ["127.0.0.1", 1], "links": {"m2": ["127.0.0.1", 2]}}}}`.
Then come requests, `{"id": 1, "op": "pids", "pids": {"m1": 123}}` and `{"id": 2, "op": "stats"}`, each
answered under its id. End of file ends the process.
"""

from __future__ import annotations

import asyncio
import functools
import json
import socket
import struct
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

from gauntlet.harness.targets.dialer import Address, DialerLookup

_NO_LINGER = struct.pack("ii", 1, 0)
_PATIENCE = 2.0  # seconds to wait for the pid of a member that dials before the harness has told it
_HIGH_WATER = 256 * 1024


@dataclass(slots=True)
class LinkStats:
    """Since the start: connections through, connections refused by the link, bytes from and to the dialer."""

    opened: int = 0
    active: int = 0
    refused: int = 0
    up: int = 0
    down: int = 0


@dataclass(slots=True)
class LookupStats:
    count: int = 0
    strangers: int = 0
    total_us: int = 0
    max_us: int = 0


class Switchboard:
    def __init__(self, config: dict[str, Any]) -> None:
        self._listen: dict[str, Address] = {}
        self._routes: dict[tuple[str, str], Address] = {}
        self.links: dict[tuple[str, str], LinkStats] = {}
        for target, member in config["members"].items():
            self._listen[target] = (member["listen"][0], member["listen"][1])
            for dialer, address in member["links"].items():
                self._routes[dialer, target] = (address[0], address[1])
                self.links[dialer, target] = LinkStats()
        self.lookups = LookupStats()
        self._pids: dict[str, int] = {}
        self._lookup = DialerLookup()
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        for target, (host, port) in self._listen.items():
            server = await loop.create_server(functools.partial(_End, self, target), host, port, backlog=256)
            self._servers.append(server)

    def set_pids(self, pids: dict[str, int]) -> None:
        self._pids = dict(pids)

    def stats(self) -> dict[str, Any]:
        return {
            "links": {f"{dialer}>{target}": asdict(stats) for (dialer, target), stats in self.links.items()},
            "lookups": asdict(self.lookups),
        }

    def accepted(self, end: _End) -> None:
        task = asyncio.get_running_loop().create_task(self._connect(end))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, end: _End) -> None:
        dialer = await self._identify(end)
        if dialer is None or (dialer, end.target) not in self._routes:
            self.lookups.strangers += 1
            end.reset()
            return
        stats = self.links[dialer, end.target]
        host, port = self._routes[dialer, end.target]
        try:
            _, far = await asyncio.get_running_loop().create_connection(lambda: _End(None, ""), host, port)
        except OSError:
            stats.refused += 1
            end.reset()
            return
        if end.gone:
            far.close()
            return
        stats.opened += 1
        stats.active += 1
        end.splice(far, stats)

    async def _identify(self, end: _End) -> str | None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _PATIENCE
        while not end.gone:
            begin = time.perf_counter_ns()
            found = self._lookup.find(end.peer, end.ours, self._pids)
            spent = (time.perf_counter_ns() - begin) // 1000
            self.lookups.count += 1
            self.lookups.total_us += spent
            self.lookups.max_us = max(self.lookups.max_us, spent)
            if found is not None or loop.time() > deadline:
                return found
            await asyncio.sleep(0.02)
        return None


class _End(asyncio.Protocol):
    """One side of a connection; what it reads goes straight to the transport of the other."""

    def __init__(self, board: Switchboard | None, target: str) -> None:
        self.target = target
        self.gone = False
        self.peer: Address = ("", 0)
        self.ours: Address = ("", 0)
        self._board = board  # None on the side that we dialed
        self._transport: asyncio.Transport | None = None
        self._other: asyncio.Transport | None = None
        self._stats: LinkStats | None = None
        self._counts_up = board is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=_HIGH_WATER)
        raw: socket.socket = transport.get_extra_info("socket")
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport.pause_reading()
        if self._board is not None:
            self.peer = transport.get_extra_info("peername")[:2]
            self.ours = transport.get_extra_info("sockname")[:2]
            self._board.accepted(self)

    def splice(self, far: _End, stats: LinkStats) -> None:
        assert self._transport is not None
        assert far._transport is not None
        self._other, far._other = far._transport, self._transport
        self._stats = far._stats = stats
        self._transport.resume_reading()
        far._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        assert self._other is not None
        assert self._stats is not None
        if self._counts_up:
            self._stats.up += len(data)
        else:
            self._stats.down += len(data)
        self._other.write(data)

    def pause_writing(self) -> None:
        if self._other is not None and not self._other.is_closing():
            self._other.pause_reading()

    def resume_writing(self) -> None:
        if self._other is not None and not self._other.is_closing():
            self._other.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        self.gone = True
        if self._stats is not None and self._counts_up:
            self._stats.active -= 1
        if self._other is None or self._other.is_closing():
            return
        if error is not None:
            _reset(self._other)
        else:
            self._other.close()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def reset(self) -> None:
        if self._transport is not None and not self.gone:
            _reset(self._transport)


def _reset(transport: asyncio.Transport) -> None:
    raw: socket.socket = transport.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    transport.abort()


async def serve(control: socket.socket) -> None:
    reader, writer = await asyncio.open_connection(sock=control)
    board = Switchboard(json.loads(await reader.readline()))
    try:
        await board.start()
    except OSError as error:
        writer.write(json.dumps({"error": str(error)}).encode() + b"\n")
        await writer.drain()
        return
    writer.write(b'{"ready":true}\n')
    while line := await reader.readline():
        request = json.loads(line)
        answer: dict[str, Any] = {"id": request["id"]}
        if request["op"] == "pids":
            board.set_pids(request["pids"])
        elif request["op"] == "stats":
            answer |= board.stats()
        writer.write(json.dumps(answer).encode() + b"\n")
        await writer.drain()


def main() -> None:
    asyncio.run(serve(socket.socket(fileno=int(sys.argv[1]))))


if __name__ == "__main__":
    main()
