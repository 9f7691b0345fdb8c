"""One run on a cluster that stands: load, faults, recovery, final reads, hashes.

In order, as far as nobody asks to stop:
1. every client connects to its home member, client i to member i modulo their number;
2. load for `plan.duration` seconds; the schedule of faults leaves the beginning and the end of it quiet;
3. whatever was broken is healed, and every member must serve again;
4. final reads and hashes (aftermath.py); our keys are deleted where the cluster is somebody else's.
A request to stop ends the step it meets: clients are cut off, with their operations recorded as what they
are, and faults are healed. A member that ends by itself is a finding: load and faults end early, the rest is
done with the members there are.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

from gauntlet.api.errors import RpcError
from gauntlet.harness.aftermath import HASH_SECONDS, compare_hashes, final_reads
from gauntlet.harness.client import EtcdClient
from gauntlet.harness.faults import FaultPlan, LeaderObserver, Schedule
from gauntlet.harness.observer import Observer, Stop, Stopped, View, ended
from gauntlet.harness.plan import Plan
from gauntlet.harness.recorder import Pace, Recorder, RunClock, run_client
from gauntlet.harness.rundir import LineWriter, RunDirectory
from gauntlet.harness.targets import PROCESS, MemberDied, Target, TargetError
from gauntlet.workloads.base import Settings, Workload
from gauntlet.workloads.registry import make

CONNECT_SECONDS = 20.0
HEALTHY_SECONDS = 20.0
FAULTS_GRACE = 10.0  # seconds past the end of the load in which the last faults may heal by themselves
_LOOK_AGAIN = 0.2


class Play:
    """Use once. `members` is what goes into members.json."""

    def __init__(
        self,
        plan: Plan,
        faults: FaultPlan,
        target: Target,
        directory: RunDirectory,
        view: View,
        observer: Observer,
        stop: Stop,
    ) -> None:
        self.plan = plan
        self.faults = faults
        self.target = target
        self.directory = directory
        self.view = view
        self.observer = observer
        self.stop = stop
        self.clock = RunClock()
        self.members: dict[str, Any] = {
            "versions": dict(target.versions),
            "died": [],
            "unhealthy": None,
            "faults_broke_off": None,
            "hashes": None,
        }
        self._loading = True

    async def run(self) -> None:
        """Stopped when it was asked to stop, with everything healed and written down so far."""
        async with AsyncExitStack() as stack:
            names = list(self.target.members)
            homes = [names[client % len(names)] for client in range(self.plan.clients)]
            sessions = [await self._client(stack, self.target.endpoints[home]) for home in homes]
            direct = {
                name: await self._client(stack, endpoint)
                for name, endpoint in self.target.direct_endpoints.items()
            }
            await self.stop.unless(self._connect(sessions, homes))
            history = self._writer(stack, LineWriter(self.directory.history_file))
            leaders = self._writer(stack, LineWriter(self.directory.leaders_file))
            self.clock = self.view.clock = RunClock()
            recorder = Recorder(history, self.clock, self.plan.timeout)
            self.view.counts = recorder.counts
            workload = make(self.plan.workload, settings_of(self.plan))
            leader = LeaderObserver(direct, self.clock, leaders)
            watch = asyncio.create_task(leader.run(), name="leader")
            stack.push_async_callback(ended, watch)
            self.view.leader = leader.current
            try:
                await self._load(recorder, workload, sessions, homes, leader.current, watch)
                await self._recover()
                self._phase("reading every key on every member")
                through = dict(zip(names, await self._per_member(stack), strict=True))
                reads = final_reads(recorder, workload, through, self.plan.clients)
                await self.stop.unless(reads)
                self._phase("comparing the members")
                seconds = 0.0 if self._found_down else HASH_SECONDS
                hashes = await self.stop.unless(compare_hashes(direct, seconds))
                self.members["hashes"] = hashes.to_json()
                if not self.target.can(PROCESS):
                    await self._tidy(direct)
            finally:
                self._note_deaths()
                self.directory.write_members(self.members)

    async def _connect(self, sessions: Sequence[EtcdClient], homes: Sequence[str]) -> None:
        async def connect(session: EtcdClient, home: str) -> None:
            try:
                await session.ready(CONNECT_SECONDS)
            except TimeoutError as error:
                seconds = f"{CONNECT_SECONDS:.0f} s"
                raise TargetError(f"no connection to {home} ({session.endpoint}) within {seconds}") from error

        await asyncio.gather(*map(connect, sessions, homes))

    async def _load(
        self,
        recorder: Recorder,
        workload: Workload,
        sessions: Sequence[EtcdClient],
        homes: Sequence[str],
        leader: Callable[[], str | None],
        watch: asyncio.Task[None],
    ) -> None:
        self._phase("load")
        pace = Pace(self.plan.rate)
        clients = [
            asyncio.create_task(
                run_client(recorder, workload, session, number, home, pace, lambda: self._loading),
                name=f"client {number}",
            )
            for number, (session, home) in enumerate(zip(sessions, homes, strict=True))
        ]
        faults = asyncio.create_task(self._break(leader), name="faults")
        over = asyncio.create_task(self._until_over(), name="end of load")
        asked = asyncio.create_task(self.stop.wait(), name="stop")
        try:
            # A client, an observer or a schedule that raises has failed, and so has the harness.
            waiting: set[asyncio.Task[None]] = {*clients, faults, watch, over, asked}
            while not over.done() and not asked.done():
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            self._loading = False
            self._phase("stopping" if self.stop.asked else "healing")
            if not self.stop.asked:
                await _first(asked, asyncio.gather(*clients), self.plan.timeout + 1.0)
            if not self.stop.asked and not self.members["died"]:
                await _first(asked, faults, FAULTS_GRACE)
        finally:
            self._loading = False
            await ended(*clients, faults, over, asked)
        for task in (*clients, faults):
            if not task.cancelled():
                task.result()
        if self.stop.asked:
            raise Stopped

    async def _break(self, leader: Callable[[], str | None]) -> None:
        """A schedule that breaks off leaves everything healed and takes something from the run's worth; a
        Toxiproxy that does not obey is a failed run."""
        writer = LineWriter(self.directory.faults_file)
        schedule = Schedule(self.faults, self.target, writer=writer, leader=leader, recovery=HEALTHY_SECONDS)
        self.view.active = lambda: schedule.active
        self.view.faults_done = lambda: len(schedule.records)
        try:
            await schedule.run(self.clock)
        except TargetError as error:
            if not self._note_deaths():
                self.members["faults_broke_off"] = str(error)
                self.observer.say(f"the schedule of faults broke off: {error}")
        finally:
            writer.close()

    async def _until_over(self) -> None:
        """Until the planned end, or until a member ended by itself."""
        while True:
            left = self.plan.duration - self.clock.seconds()
            if left <= 0 or self._note_deaths():
                return
            await asyncio.sleep(min(_LOOK_AGAIN, left))

    def _note_deaths(self) -> bool:
        """Has a member ended by itself? The first one to do so is written down, with the end of its log."""
        try:
            self.target.check()
        except MemberDied as error:
            if not self.members["died"]:
                died = {"error": str(error), "log": error.detail, "at_ns": self.clock.ns()}
                self.members["died"].append(died)
                self.observer.say(str(error))
        return bool(self.members["died"])

    @property
    def _found_down(self) -> bool:
        return bool(self.members["died"] or self.members["unhealthy"])

    async def _recover(self) -> None:
        self._phase("waiting until every member serves")
        begin = self.clock.seconds()
        try:
            await self.stop.unless(self.target.wait_healthy(HEALTHY_SECONDS))
        except TargetError as error:
            if not self._note_deaths():
                unhealthy = {"error": str(error), "log": error.detail, "at_ns": self.clock.ns()}
                self.members["unhealthy"] = unhealthy
                self.observer.say(str(error))
        self.members["recovery_seconds"] = round(self.clock.seconds() - begin, 3)

    async def _tidy(self, direct: Mapping[str, EtcdClient]) -> None:
        """Takes our keys out of somebody else's cluster, if one member lets us."""
        begin, end = f"{self.plan.prefix}/", f"{self.plan.prefix}0"
        for client in direct.values():
            with contextlib.suppress(RpcError):
                await client.delete(begin.encode(), end.encode(), timeout=5.0)
                return

    async def _client(self, stack: AsyncExitStack, endpoint: str) -> EtcdClient:
        return await stack.enter_async_context(EtcdClient(endpoint, timeout=self.plan.timeout))

    async def _per_member(self, stack: AsyncExitStack) -> list[EtcdClient]:
        """Fresh connections through the client links: none still waits to be dialed again."""
        return [await self._client(stack, endpoint) for endpoint in self.target.endpoints.values()]

    def _writer(self, stack: AsyncExitStack, writer: LineWriter) -> LineWriter:
        stack.callback(writer.close)
        return writer

    def _phase(self, phase: str) -> None:
        self.view.phase = phase
        self.observer.phase(self.view)


def settings_of(plan: Plan) -> Settings:
    return Settings(seed=plan.seed, clients=plan.clients, keys=plan.keys, prefix=plan.prefix)


async def _first(asked: asyncio.Future[Any], work: asyncio.Future[Any], seconds: float) -> None:
    """Waits for the work, but no longer than the seconds, and not once somebody asked to stop."""
    await asyncio.wait({asked, work}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
