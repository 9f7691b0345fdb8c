"""Children never outlive the harness; ports stay ours."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from gauntlet.harness.tools.ports import PortPool
from gauntlet.harness.tools.spawn import spawn, tail

SLEEPER = [sys.executable, "-c", "import signal; print('up', flush=True); signal.pause()"]

HARNESS = """
import asyncio, sys
from pathlib import Path
from gauntlet.harness.tools.spawn import spawn

async def main():
    child = spawn(%r, Path(sys.argv[1]))
    print(child.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def until(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Asks again and again, yielding the processor, until it is so or the time is over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        os.sched_yield()
    return False


async def output(log: Path) -> None:
    assert await asyncio.to_thread(until, lambda: tail(log) != [])


def alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_no_orphan_when_the_harness_ends(tmp_path: Path, number: signal.Signals) -> None:
    log = tmp_path / "log"
    with subprocess.Popen(
        [sys.executable, "-c", HARNESS % SLEEPER, str(log)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as harness:
        assert harness.stdout is not None
        pid = int(harness.stdout.readline())
        assert until(lambda: "up" in "".join(tail(log)))
        assert alive(pid)
        harness.send_signal(number)
    assert until(lambda: not alive(pid))


def test_a_child_lives_and_ends(tmp_path: Path) -> None:
    async def main() -> None:
        log = tmp_path / "deep" / "log"
        child = spawn(SLEEPER, log)
        assert os.getsid(child.pid) == child.pid
        await output(log)
        assert child.returncode is None
        with pytest.raises(TimeoutError):
            await child.wait(0.01)
        await child.stop(grace=5.0)
        assert child.returncode == -signal.SIGTERM
        await child.stop(grace=5.0)  # once more does no harm
        child.signal(signal.SIGKILL)

    asyncio.run(main())


def test_a_stopped_child_is_stopped_for_good(tmp_path: Path) -> None:
    async def main() -> None:
        child = spawn(SLEEPER, tmp_path / "log")
        await output(tmp_path / "log")
        child.signal(signal.SIGSTOP)
        await child.stop(grace=5.0)
        assert child.returncode == -signal.SIGTERM

    asyncio.run(main())


def test_a_program_that_is_not_there_ends_with_a_line(tmp_path: Path) -> None:
    async def main() -> None:
        child = spawn([str(tmp_path / "none")], tmp_path / "log")
        assert await child.wait(10.0) == 1
        assert tail(tmp_path / "log") == [f"cannot run {tmp_path}/none: No such file or directory"]

    asyncio.run(main())


def test_the_environment_and_folder_are_passed(tmp_path: Path) -> None:
    async def main() -> None:
        script = "import os; print(os.environ['WORD'], os.getcwd())"
        child = spawn([sys.executable, "-c", script], tmp_path / "log", env={"WORD": "so"}, cwd=tmp_path)
        assert await child.wait(10.0) == 0
        assert tail(tmp_path / "log") == [f"so {tmp_path}"]

    asyncio.run(main())


def test_tail_of_nothing_and_of_much(tmp_path: Path) -> None:
    assert tail(tmp_path / "none") == []
    log = tmp_path / "log"
    log.write_text("".join(f"line {number}\n" for number in range(100_000)) + "x" * 1000)
    lines = tail(log, 3)
    assert [len(lines[-1]), *lines[:2]] == [400, "line 99998", "line 99999"]


def test_ports_are_held_against_other_runs(tmp_path: Path) -> None:
    first, second = PortPool(folder=tmp_path), PortPool(folder=tmp_path)
    mine = {first.take() for _ in range(200)}
    theirs = {second.take() for _ in range(200)}
    assert len(mine) == len(theirs) == 200
    assert not mine & theirs
    assert not first._lock(next(iter(theirs)))
    second.close()
    assert first._lock(next(iter(theirs)))
    first.close()


def test_a_port_that_is_in_use_is_not_handed_out(tmp_path: Path) -> None:
    pool = PortPool(folder=tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert not pool._lock(taken.getsockname()[1])
    pool.close()


def test_ports_keep_out_of_the_range_for_outgoing_connections(tmp_path: Path) -> None:
    pool = PortPool(folder=tmp_path)
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert lowest < 14_000 or all(pool.take() < lowest for _ in range(50))
    pool.close()
