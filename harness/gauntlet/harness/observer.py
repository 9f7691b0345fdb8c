"""What a run shows of itself while it goes on, and who may look."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from gauntlet.harness.plan import Plan
from gauntlet.harness.recorder import Counts, RunClock

T = TypeVar("T")


def _nobody() -> None:
    return None


def _nothing() -> Sequence[str]:
    return ()


@dataclass(slots=True)
class View:
    """The state of a run at this moment. `clock` is None until the load begins."""

    plan: Plan
    directory: Path
    phase: str = ""
    clock: RunClock | None = None
    counts: Counts = field(default_factory=Counts)
    leader: Callable[[], str | None] = _nobody
    active: Callable[[], Sequence[str]] = _nothing  # the faults in force
    faults_done: Callable[[], int] = int

    @property
    def elapsed(self) -> float:
        """Seconds since the load began."""
        return self.clock.seconds() if self.clock is not None else 0.0

    @property
    def left(self) -> float:
        """Seconds of load to come."""
        return max(0.0, self.plan.duration - self.elapsed)


class Observer:
    """Sees nothing and says nothing; the others derive from it."""

    def begin(self, view: View) -> None:
        """Before anything happens."""

    def phase(self, view: View) -> None:
        """`view.phase` is another one now."""

    def tick(self, view: View) -> None:
        """A few times a second."""

    def say(self, message: str) -> None:
        """Something happened that people want to know: a build, a member that ended by itself."""

    def end(self) -> None:
        """Nothing more will happen; called whatever became of the run."""


class Stopped(Exception):
    """Somebody asked the run to end early."""


class Stop:
    """A request to end early, made once, noticed wherever the run waits."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ask(self) -> None:
        self._event.set()

    @property
    def asked(self) -> bool:
        return self._event.is_set()

    async def wait(self) -> None:
        await self._event.wait()

    async def unless(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of the work; Stopped, with the work cancelled and ended, when the request is first."""
        if self.asked:
            work.close()
            raise Stopped
        task = asyncio.ensure_future(work)
        asked = asyncio.ensure_future(self._event.wait())
        try:
            await asyncio.wait({task, asked}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await ended(task)
            raise
        finally:
            asked.cancel()
        if task.done():
            return task.result()
        await ended(task)
        raise Stopped


async def ended(*tasks: asyncio.Future[Any]) -> None:
    """Cancels what is not done yet and waits until all are; results and errors of theirs are dropped."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
