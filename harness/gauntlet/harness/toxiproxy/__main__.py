"""The embedded server: python -m gauntlet.harness.toxiproxy --listen 127.0.0.1:8474"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from random import Random

from gauntlet.harness.toxiproxy.api import VERSION, Api
from gauntlet.harness.toxiproxy.http import HttpConnection


async def serve(host: str, port: int, seed: str | None, metrics: bool) -> None:
    """Until SIGINT or SIGTERM."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    api = Api(Random(seed), metrics)
    server = await loop.create_server(lambda: HttpConnection(api.handle), host, port)
    print(f"embedded toxiproxy {VERSION} on {host}:{server.sockets[0].getsockname()[1]}", flush=True)
    await stop.wait()
    server.close()
    api.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m gauntlet.harness.toxiproxy", description=__doc__)
    parser.add_argument("--listen", default="127.0.0.1:8474", metavar="HOST:PORT")
    parser.add_argument("--seed", default=None, help="for jitter, toxicity and slices")
    parser.add_argument("--proxy-metrics", action="store_true", help="bytes per proxy on /metrics")
    options = parser.parse_args()
    host, colon, port = options.listen.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        parser.error(f"--listen {options.listen!r} is not HOST:PORT")
    try:
        asyncio.run(serve(host.strip("[]") or "127.0.0.1", int(port), options.seed, options.proxy_metrics))
    except OSError as error:
        print(f"cannot listen on {options.listen}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
