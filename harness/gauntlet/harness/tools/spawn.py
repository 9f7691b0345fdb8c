"""Starts processes that never outlive the harness.

Rules:
1. A child starts in a session of its own, so Ctrl-C on the terminal reaches the harness alone, which then
   stops its children in order.
2. On Linux the kernel kills the child when the thread that started it ends (PR_SET_PDEATHSIG), so not even
   SIGKILL on the harness leaves an orphan. Therefore start children on the thread that lives for the run.
3. The signal is asked for by launcher.py, which then becomes the program by exec: a preexec_fn is not safe in
   a process with threads, and grpc has threads.
4. Whatever is left at exit is killed with its whole process group.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

_LOOK = 64 * 1024  # bytes of a log that are read at either end
_LAUNCHER = Path(__file__).with_name("launcher.py")


class Child:
    """One process: its pid, how it ended, and a future that is done when it has."""

    _all: ClassVar[set[Child]] = set()

    def __init__(self, process: subprocess.Popen[bytes], loop: asyncio.AbstractEventLoop) -> None:
        self._process = process
        self._loop = loop
        self._ended: asyncio.Future[int] = loop.create_future()
        self._watch: asyncio.Task[None] | None = None
        self._pidfd: int | None = None
        Child._all.add(self)
        self._begin_watch()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs; minus the signal's number when a signal ended it."""
        return self._process.poll()

    @property
    def ended(self) -> asyncio.Future[int]:
        return self._ended

    def signal(self, number: signal.Signals) -> None:
        """To the whole process group; nothing happens when the child has ended."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    async def wait(self, timeout: float) -> int:
        """Its return code; TimeoutError when it still runs after so many seconds."""
        return await asyncio.wait_for(asyncio.shield(self._ended), timeout)

    async def stop(self, grace: float) -> None:
        """SIGTERM, then SIGKILL after the grace (seconds); a stopped process is continued first."""
        if self.returncode is None and grace > 0:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await self.wait(grace)
        self.signal(signal.SIGKILL)
        await self.wait(10.0)

    def kill_now(self) -> None:
        """Without an event loop: at exit."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        Child._all.discard(self)

    def _begin_watch(self) -> None:
        opener = getattr(os, "pidfd_open", None)
        if opener is not None:
            try:
                self._pidfd = opener(self._process.pid)
            except OSError:  # an old kernel or a sandbox: watch by asking
                self._pidfd = None
        if self._pidfd is not None:
            self._loop.add_reader(self._pidfd, self._has_ended)
        else:
            self._watch = self._loop.create_task(self._poll())

    async def _poll(self) -> None:
        while self._process.poll() is None:  # noqa: ASYNC110 - the kernel offers no event here
            await asyncio.sleep(0.02)
        self._has_ended()

    def _has_ended(self) -> None:
        if self._pidfd is not None:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None
        code = self._process.wait()
        Child._all.discard(self)
        if not self._ended.done():
            self._ended.set_result(code)


def spawn(
    command: Sequence[str],
    log: Path,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    pass_fds: Sequence[int] = (),
) -> Child:
    """Starts the program with its output appended to the log. Call it inside the event loop."""
    loop = asyncio.get_running_loop()
    log.parent.mkdir(parents=True, exist_ok=True)
    launcher = [sys.executable, "-I", "-S", str(_LAUNCHER), str(os.getpid()), *command]
    with log.open("ab") as output:
        process = subprocess.Popen(
            launcher,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=None if env is None else dict(env),
            cwd=cwd,
            start_new_session=True,
            pass_fds=tuple(pass_fds),
        )
    return Child(process, loop)


def tail(log: Path, lines: int = 20, width: int = 400, start: int = 0, first: int = 0) -> list[str]:
    """The last lines of a log, each cut to a width; empty when there is no log.

    start: the byte to look from. first: so many lines from there come before the last ones, because a
    program that is called wrongly says so first and explains its usage after.
    """
    try:
        with log.open("rb") as file:
            file.seek(start)
            head = file.read(_LOOK).decode("utf-8", "replace").splitlines()[:first]
            end = file.seek(0, os.SEEK_END)
            file.seek(max(start, end - _LOOK))
            found = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []
    if end - start > _LOOK or len(found) > first + lines:
        found = [*head, "...", *found[-lines:]] if head else found[-lines:]
    return [line[:width] for line in found]


def _kill_leftovers() -> None:
    for child in list(Child._all):
        child.kill_now()


atexit.register(_kill_leftovers)
