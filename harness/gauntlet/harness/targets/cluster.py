"""A cluster of local processes: the reference node or an etcd binary, wired through Toxiproxy.

Who listens where, for a member m1 of m1..m3 (all on 127.0.0.1):
- its own client and peer ports, known to nobody but the proxies;
- proxy client-m1 in front of the client port: the address clients get, and m1's advertised client URL;
- the switchboard's port for m1: its advertised peer URL, the same for every member that dials it;
- proxies peer-m2-m1 and peer-m3-m1, each with m1's peer port as upstream.

Order of the start: ports, Toxiproxy, proxies, switchboard, members, then wait until each serves. When a
stranger took one of our ports in between, everything is stopped and started again with other ports.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gauntlet.harness.targets import http
from gauntlet.harness.targets.base import (
    NETWORK,
    PEER_NETWORK,
    PROCESS,
    Member,
    MemberDied,
    Target,
    TargetError,
    TargetOptions,
)
from gauntlet.harness.targets.links import CLIENT, PEER, Links
from gauntlet.harness.targets.switchboard_client import SwitchboardClient
from gauntlet.harness.tools.ports import PortPool
from gauntlet.harness.tools.spawn import Child, spawn, tail
from gauntlet.harness.toxiproxy.launch import ToxiproxyServer, ToxiproxySpecError, start_toxiproxy

_HOST = "127.0.0.1"
_ATTEMPTS = 3
_PORT_TAKEN = "address already in use"


class _PortTaken(TargetError):
    """Somebody took a port between our trying it and the member's binding it."""


@dataclass(frozen=True, slots=True)
class MemberPlan:
    """Where one member listens and what it tells the others."""

    name: str
    data: Path
    client_url: str
    peer_url: str
    advertised_client_url: str
    advertised_peer_url: str
    initial_cluster: str
    token: str


class LocalMember(Member):
    """A member that is a process of ours.

    States: down -> running (start, restart); running -> paused (pause) -> running (resume); running or paused
    -> down (kill, terminate). A process that ends in any other way has died by itself.
    """

    def __init__(self, cluster: LocalCluster, plan: MemberPlan, endpoint: str, log: Path) -> None:
        super().__init__(plan.name, endpoint, plan.client_url.removeprefix("http://"), log)
        self.plan = plan
        self.died: str | None = None  # how it ended by itself, if it did
        self._cluster = cluster
        self._child: Child | None = None
        self._log_start = 0
        self._paused = False
        self._told_to_end = False

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child is not None and self._child.returncode is None else None

    @property
    def running(self) -> bool:
        return self.pid is not None and not self._paused

    @property
    def paused(self) -> bool:
        return self._paused

    def start(self) -> None:
        options = self._cluster.options
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ETCD_")}
        environment |= {**options.env, **options.member_env.get(self.name, {})}
        command = [
            *self._cluster.command(self.plan),
            *options.flags,
            *options.member_flags.get(self.name, ()),
        ]
        assert self.log is not None
        self._log_start = self.log.stat().st_size if self.log.exists() else 0
        self._told_to_end = self._paused = False
        child = spawn(command, self.log, env=environment, cwd=self._cluster.options.directory)
        self._child = child
        child.ended.add_done_callback(lambda ended: self._has_ended(child, ended.result()))

    def log_tail(self, lines: int = 20) -> list[str]:
        """Of the process that runs now or ran last: how it began and where it stands."""
        assert self.log is not None
        return tail(self.log, lines, start=self._log_start, first=3)

    async def kill(self) -> None:
        child = self._living()
        self._told_to_end = True
        child.signal(signal.SIGKILL)
        await child.wait(10.0)
        self._paused = False

    async def restart(self) -> None:
        if self.pid is not None:
            raise TargetError(f"{self.name} is running")
        self.start()
        await self._cluster.members_changed()

    async def pause(self) -> None:
        child = self._living()
        self._paused = True
        child.signal(signal.SIGSTOP)
        await _until_state(child.pid, "T", 5.0)

    async def resume(self) -> None:
        child = self._living()
        child.signal(signal.SIGCONT)
        self._paused = False

    async def terminate(self, grace: float = 10.0) -> int:
        child = self._living()
        self._told_to_end = True
        await child.stop(grace)
        self._paused = False
        return child.ended.result()

    async def stop(self, grace: float) -> None:
        """At the end of the run: whatever state it is in."""
        self._told_to_end = True
        if self._child is not None:
            await self._child.stop(grace)

    def _living(self) -> Child:
        if self._child is None or self._child.returncode is not None:
            raise TargetError(f"{self.name} is not running")
        return self._child

    def _has_ended(self, child: Child, code: int) -> None:
        if child is self._child and not self._told_to_end:
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            self.died = f"{self.name} (pid {child.pid}) ended by itself with {how}"


class LocalCluster(Target):
    def __init__(self, name: str, options: TargetOptions) -> None:
        super().__init__(name, options)
        if options.nodes < 1:
            raise TargetError(f"a cluster has at least one member, not {options.nodes}")
        self.toxiproxy: ToxiproxyServer | None = None
        self._switchboard: SwitchboardClient | None = None
        self._ports: PortPool | None = None
        self._local: dict[str, LocalMember] = {}

    @abstractmethod
    def command(self, plan: MemberPlan) -> Sequence[str]:
        """The program and flags of one member, without the user's extra flags."""

    @abstractmethod
    def prepare(self) -> None:
        """Finds the program; may take long, says so by options.say. Runs in a thread."""

    @property
    def capabilities(self) -> frozenset[str]:
        return frozenset((NETWORK, PEER_NETWORK, PROCESS))

    def check(self) -> None:
        for member in self._local.values():
            if member.died is not None:
                raise MemberDied(member.died, detail="\n".join(member.log_tail()))

    async def start(self) -> None:
        self.options.directory.mkdir(parents=True, exist_ok=True)
        await asyncio.to_thread(self.prepare)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                await self._start()
                return
            except _PortTaken as error:
                await self._halt(grace=0.0)
                if attempt == _ATTEMPTS:
                    raise
                self.options.say(f"{error}; starting again with other ports")
                for name in self.member_names:
                    shutil.rmtree(self._data(name), ignore_errors=True)

    async def stop(self) -> None:
        await self._halt(grace=2.0)

    async def members_changed(self) -> None:
        if self._switchboard is not None:
            pids = {name: member.pid for name, member in self._local.items()}
            await self._switchboard.set_pids({name: pid for name, pid in pids.items() if pid is not None})

    async def switchboard_lookups(self) -> dict[str, int]:
        """How often and how long the switchboard looked for dialers (us)."""
        return await self._switchboard.lookups() if self._switchboard is not None else {}

    async def _start(self) -> None:
        ports = self._ports = PortPool(_HOST)
        directory = self.options.directory
        names = self.member_names
        clients = {name: f"{_HOST}:{ports.take()}" for name in names}
        peers = {name: f"{_HOST}:{ports.take()}" for name in names}
        shared = {name: (_HOST, ports.take()) for name in names}

        server = await start_toxiproxy(self.options.toxiproxy, directory / "toxiproxy.log")
        self.toxiproxy = server
        if not server.is_local:
            raise ToxiproxySpecError(
                f"{server.url} is on another machine; it cannot reach members on this one's loopback"
            )
        self._switchboard = SwitchboardClient(directory / "switchboard.log")
        prefix = "" if server.child is not None else f"gauntlet-{os.getpid()}-"
        self._links = Links(server.client(), self._switchboard, prefix)
        links = self._links
        for name in names:
            await links.create(CLIENT, "client", name, clients[name], f"{_HOST}:{ports.take()}")
            for dialer in names:
                if dialer != name:
                    await links.create(PEER, dialer, name, peers[name], f"{_HOST}:{ports.take()}")
        routes = {(link.dialer, link.target): link.listen for link in links.all(PEER)}
        await self._switchboard.start(shared, routes)

        token = f"gauntlet-{os.getpid()}-{shared[names[0]][1]}"
        cluster = ",".join(f"{name}=http://{host}:{port}" for name, (host, port) in shared.items())
        for name in names:
            host, port = links.client(name).listen
            plan = MemberPlan(
                name=name,
                data=self._data(name),
                client_url=f"http://{clients[name]}",
                peer_url=f"http://{peers[name]}",
                advertised_client_url=f"http://{host}:{port}",
                advertised_peer_url=f"http://{shared[name][0]}:{shared[name][1]}",
                initial_cluster=cluster,
                token=token,
            )
            member = LocalMember(self, plan, f"{host}:{port}", directory / f"{name}.log")
            self._local[name] = member
            self.members[name] = member
            member.start()
        await self.members_changed()
        await self._wait_started()

    async def _wait_started(self) -> None:
        try:
            await self.wait_healthy(self.options.start_timeout)
        except MemberDied as error:
            if _PORT_TAKEN in error.detail:
                raise _PortTaken(f"a port of {self.name} was taken", error.detail) from error
            raise MemberDied(f"{self.name} did not start: {error}", error.detail) from error
        for name, member in self._local.items():
            host, _, port = member.direct.rpartition(":")
            with contextlib.suppress(OSError, ValueError):
                answer = await http.get(host, int(port), "/version", 3.0)
                member.version = str(json.loads(answer.body).get("etcdserver", ""))
            self.versions[name] = member.version

    async def _halt(self, grace: float) -> None:
        """Members first, so that none sees the network go; each step is tried whatever became of others."""
        members, self._local = self._local, {}
        results = await asyncio.gather(
            *(member.stop(grace) for member in members.values()), return_exceptions=True
        )
        links, self._links = self._links, None
        switchboard, self._switchboard = self._switchboard, None
        server, self.toxiproxy = self.toxiproxy, None
        ports, self._ports = self._ports, None
        if links is not None:
            await links.close(delete=server is not None and server.child is None)
        if switchboard is not None:
            results += await asyncio.gather(switchboard.stop(), return_exceptions=True)
        if server is not None:
            results += await asyncio.gather(server.stop(), return_exceptions=True)
        if ports is not None:
            ports.close()
        for result in results:
            if isinstance(result, BaseException):
                raise TargetError(f"{self.name} did not stop cleanly: {result}") from result

    def _data(self, name: str) -> Path:
        return self.options.directory / f"{name}.data"


async def _until_state(pid: int, state: str, timeout: float) -> None:
    """Waits until /proc says so; where there is no /proc the signal alone must do."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    while (now := process_state(pid)) is not None and now != state:
        if loop.time() > deadline:
            raise TargetError(f"process {pid} is in state {now}, not {state}, after {timeout:.0f} s")
        await asyncio.sleep(0.002)


def process_state(pid: int) -> str | None:
    """The letter /proc gives: R, S, T (stopped), Z ...; None when there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The program's name stands in parentheses and may hold anything.
    return stat.rpartition(")")[2].split()[0]
