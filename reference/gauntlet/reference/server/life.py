"""A member's life, from the flags that were given to its exit status."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from gauntlet.reference.backend import CorruptDumpError
from gauntlet.reference.membership import ClusterConfigError
from gauntlet.reference.ports import DiskFailedError
from gauntlet.reference.server.announce import described, tell
from gauntlet.reference.server.config import Config, build
from gauntlet.reference.server.discovery import DiscoveryError, discover
from gauntlet.reference.server.disk import DataDirError
from gauntlet.reference.server.flags import UsageError
from gauntlet.reference.server.front import Contexts
from gauntlet.reference.server.join import look_around
from gauntlet.reference.server.listeners import Listeners
from gauntlet.reference.server.log import Logger
from gauntlet.reference.server.member import Member

EXIT_USAGE = 2
EXIT_FAILED = 1


def live(given: Mapping[str, str], arguments: Sequence[str]) -> int:
    """Runs a member until it is told to stop. `given`: the flags by name; `arguments`: as they were typed."""
    try:
        path = given.get("config-file")
        # The YAML and DNS libraries are a tenth of what a member loads: only who needs them waits for them.
        if path:
            from gauntlet.reference.server.config_file import read_config_file

            given = read_config_file(path)
        if given.get("discovery-srv"):
            from gauntlet.reference.server.srv import with_srv

            given = with_srv(given)
        config = build(given)
        log = Logger(config.log_level, config.log_outputs, config.log_format, config.more.rotation)
        log.relay()
        tell(config, given, log, path, arguments)
    except (UsageError, ClusterConfigError, ValueError) as error:
        print(f"gauntlet-etcd: {error}", file=sys.stderr)
        return EXIT_USAGE
    except OSError as error:
        print(f"gauntlet-etcd: cannot open log output {error.filename}: {error.strerror}", file=sys.stderr)
        return EXIT_USAGE
    # The disk thread hands its results over more often than Python's default of 5 ms would let it.
    sys.setswitchinterval(0.0005)
    # Requests live until they are applied: the default of looking for garbage after every 700 objects mostly
    # finds live ones, and hands them on to be looked at again.
    gc.set_threshold(50_000, 20, 50)
    try:
        return asyncio.run(run(config, log))
    except (
        *(UsageError, ClusterConfigError, DiscoveryError),
        *(DataDirError, DiskFailedError, CorruptDumpError),
    ) as error:
        print(f"gauntlet-etcd: {error}", file=sys.stderr)
    except OSError as error:
        print(f"gauntlet-etcd: {error.strerror or error}", file=sys.stderr)
    return EXIT_FAILED


async def run(config: Config, log: Logger) -> int:
    """A member's life in this loop; returns the exit status."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[str | None] = loop.create_future()

    def end(reason: str | None) -> None:
        if not ended.done():
            ended.set_result(reason)

    listeners = Listeners(config)
    try:
        contexts = Contexts(config, log)
        log.info("starting an etcd server", **described(config))
        existing = await look_around(config, contexts.dial)
        config = await discover(config, log)
        member = Member(config, log, end, existing, contexts, listeners)
    except BaseException:
        listeners.close()
        raise
    stop_requested = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop_requested.set)
    start = loop.create_task(member.start())
    stop = loop.create_task(stop_requested.wait())
    over: set[asyncio.Future[Any]] = {stop, ended}
    await asyncio.wait({start, *over}, return_when=asyncio.FIRST_COMPLETED)
    if start.done() and start.exception() is None:
        await asyncio.wait(over, return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    start.cancel()
    await asyncio.wait({start})
    await member.stop()
    if not start.cancelled() and (failed := start.exception()) is not None:
        raise failed
    if ended.done() and ended.result() is not None:
        print(f"gauntlet-etcd: {ended.result()}", file=sys.stderr)
        return EXIT_FAILED
    log.info("the member was removed from the cluster" if ended.done() else "stopped")
    return 0
