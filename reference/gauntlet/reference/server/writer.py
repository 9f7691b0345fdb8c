"""The thread that owns the disk: everything durable goes through it, in order, off the event loop. Files of
snapshots, which take seconds and stand in nobody's way until they are marked in the log, have a thread of
their own.

A write that fails ends the member at once (see ports.Disk): nobody knows what reached the disk, so nothing
more may be said. The callbacks run in the event loop.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue

from gauntlet.reference.ports import DiskFailedError

Work = Callable[[], None]


class DiskWriter:
    """Runs work in its own thread, one piece at a time."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, on_failure: Callable[[Exception], None], name: str = "disk"
    ) -> None:
        self._loop = loop
        self._on_failure = on_failure
        self._queue: SimpleQueue[tuple[Work, Work] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, work: Work, then: Work) -> None:
        """Runs `work` in the thread, then `then` in the event loop."""
        self._queue.put((work, then))

    async def close(self) -> None:
        """Waits for what was submitted."""
        self._queue.put(None)
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join)

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            work, then = item
            try:
                work()
            except DiskFailedError as error:
                self._loop.call_soon_threadsafe(self._on_failure, error)
                return
            self._loop.call_soon_threadsafe(then)
