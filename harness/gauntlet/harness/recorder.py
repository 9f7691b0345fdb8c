"""Clients that write down what they asked, what they were told, and when.

Rules: one attempt per operation; every operation has a deadline; the call time is taken before the request
leaves and the return time after the answer arrived, so that an operation's true moment lies between them;
an error that leaves open whether the operation happened is recorded as unknown. An operation that only reads
has no effect, so an error of any kind makes it failed. An operation that is cut off because the run stops is
recorded like one whose answer was lost.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gauntlet.api.errors import RpcError
from gauntlet.harness.rundir import LineWriter
from gauntlet.workloads.base import Invocation, Session, Workload

REST = 0.1  # seconds that a client rests after an operation that failed


class RunClock:
    """Nanoseconds since the run began, on the monotonic clock; the one clock of a run's files."""

    def __init__(self) -> None:
        self._start = time.monotonic_ns()
        self.wall_start = time.time()

    def ns(self) -> int:
        return time.monotonic_ns() - self._start

    def seconds(self) -> float:
        return self.ns() / 1e9


class Pace:
    """Lets operations through at a steady rate, shared by all clients; a late one is not made up for."""

    def __init__(self, per_second: float) -> None:
        self._interval = 1.0 / per_second
        self._next = 0.0

    async def wait(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        turn = max(self._next, now)
        self._next = turn + self._interval
        if turn > now:
            await asyncio.sleep(turn - now)


@dataclass(slots=True)
class Counts:
    """What the progress display shows."""

    outcomes: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        return sum(self.outcomes.values())


class Recorder:
    """Runs operations and appends them to the history."""

    def __init__(self, writer: LineWriter, clock: RunClock, timeout: float) -> None:
        self.counts = Counts()
        self._writer = writer
        self._clock = clock
        self._timeout = timeout
        self._ids = itertools.count()

    async def operate(
        self, workload: Workload, session: Session, client: int, member: str, invocation: Invocation
    ) -> bool:
        """One operation, recorded whatever becomes of it. True when it was answered."""
        record: dict[str, Any] = {
            "id": next(self._ids),
            "client": client,
            "member": member,
            "op": invocation.op,
            "key": invocation.key,
            "args": dict(invocation.args),
            "call_ns": self._clock.ns(),
            "return_ns": None,
            "outcome": "failed" if invocation.reads_only else "unknown",
            "response": None,
            "error": None,
        }
        try:
            record["response"] = await workload.execute(client, session, invocation, self._timeout)
            record["outcome"] = "ok"
        except RpcError as error:
            if error.definite:
                record["outcome"] = "failed"
            record["error"] = {"code": error.code.name, "message": error.message}
        except asyncio.CancelledError:
            record["error"] = {"code": "CANCELLED", "message": "the run was stopped"}
            raise
        finally:
            record["return_ns"] = self._clock.ns()
            self._writer.write(record)
            self.counts.outcomes[record["outcome"]] += 1
        return bool(record["outcome"] == "ok")


async def run_client(
    recorder: Recorder,
    workload: Workload,
    session: Session,
    client: int,
    member: str,
    pace: Pace,
    going_on: Callable[[], bool],
) -> None:
    """One client's life: an operation at a time, at the common pace, until told to stop.

    After an operation that failed it rests: a member that is down refuses at once, and its clients would take
    the turns of those that can get something done.
    """
    while going_on():
        await pace.wait()
        if not going_on():
            return
        if not await recorder.operate(workload, session, client, member, workload.next(client)):
            await asyncio.sleep(REST)
