"""Put and range throughput of the reference node beside real etcd, in one run on one machine.

    python benchmarks/throughput.py [--etcd 3.7.1] [--total 20000] [--clients 100]

The load comes from upstream's own benchmark tool (built from etcd's Go module by `gauntlet tools install
benchmark`), the same for both: 10 connections, 256-byte values, keys from a space of 10,000. Clusters run one
after the other, each alone; the order alternates between rounds, and the median of the rounds counts.
Numbers compare only within one run.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from gauntlet.harness.targets import Target, TargetOptions, create_target
from gauntlet.harness.tools.cache import ToolError
from gauntlet.harness.tools.find import find_benchmark
from rich.console import Console
from rich.table import Table

CONNECTIONS = 10
VALUE_BYTES = 256
KEY_SPACE = 10_000


@dataclass(frozen=True)
class Load:
    name: str
    arguments: tuple[str, ...]


LOADS = [
    Load("put", ("put", f"--val-size={VALUE_BYTES}", f"--key-space-size={KEY_SPACE}", "--key-size=8")),
    Load("range, linearizable", ("range", "a", "--consistency=l")),
    Load("range, serializable", ("range", "a", "--consistency=s")),
]


def measure(tool: Path, target: Target, load: Load, total: int, clients: int) -> float:
    """Requests a second, as the tool reports them."""
    endpoints = ",".join(target.direct_endpoints.values())
    command = [
        str(tool),
        f"--endpoints={endpoints}",
        f"--conns={CONNECTIONS}",
        f"--clients={clients}",
        *load.arguments,
        f"--total={total}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    found = re.search(r"Requests/sec:\s*([0-9.]+)", done.stdout)
    if done.returncode or found is None or "Error distribution" in done.stdout:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return float(found.group(1))


async def one_cluster(tool: Path, spec: str, nodes: int, total: int, clients: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as directory:
        options = TargetOptions(directory=Path(directory), nodes=nodes, toxiproxy="auto")
        async with create_target(spec, options) as target:
            await target.wait_healthy(30.0)
            return {
                load.name: await asyncio.to_thread(measure, tool, target, load, total, clients)
                for load in LOADS
            }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--etcd", default="3.7.1", help="version, or path of a binary")
    parser.add_argument("--total", type=int, default=20_000, help="requests per load")
    parser.add_argument("--clients", type=int, default=100, help="requests in flight")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 3])
    given = parser.parse_args()
    try:
        tool = find_benchmark(print)
    except ToolError as error:
        print(error, file=sys.stderr)
        return 3
    specs = ["reference", f"etcd:{given.etcd}"]
    table = Table(title=f"requests a second, {given.clients} in flight, median of {given.rounds} rounds")
    for column in ("members", "load", *specs, "ratio"):
        table.add_column(column, justify="right")
    for nodes in given.nodes:
        rounds: dict[tuple[str, str], list[float]] = {}
        for number in range(given.rounds):
            for spec in specs if number % 2 == 0 else reversed(specs):
                found = asyncio.run(one_cluster(tool, spec, nodes, given.total, given.clients))
                for load, value in found.items():
                    rounds.setdefault((spec, load), []).append(value)
        for load in LOADS:
            ours, theirs = (statistics.median(rounds[spec, load.name]) for spec in specs)
            table.add_row(str(nodes), load.name, f"{ours:,.0f}", f"{theirs:,.0f}", f"{ours / theirs:.2f}")
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
