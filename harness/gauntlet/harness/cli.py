"""The command line: argument parsing only.

Exit codes: 0 valid, 1 invalid, 2 unknown, 3 the harness could not do its work (wrong arguments, a target
that does not start, an interrupted run). Errors are one line on stderr; the traceback of an unexpected one is
saved and the line says where.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from gauntlet.harness.cli_check import check
from gauntlet.harness.cli_conformance import conformance
from gauntlet.harness.cli_tools import tools
from gauntlet.harness.observer import Observer, Stop
from gauntlet.harness.plan import Plan, PlanError
from gauntlet.harness.progress import make_observer, show_result
from gauntlet.harness.report import write_report
from gauntlet.harness.run import conclude, default_directory, record
from gauntlet.harness.rundir import RunDirectory, RunDirectoryError
from gauntlet.harness.saved import SavedError
from gauntlet.harness.tools.cache import ToolError
from gauntlet.harness.toxiproxy import ToxiproxyError
from gauntlet.harness.versions import gauntlet_version
from gauntlet.workloads.registry import WORKLOADS, UnknownWorkload
from porcupine.kernel import KernelError, choose
from rich.console import Console

HARNESS_FAILED = 3
EXPECTED = (
    PlanError,
    UnknownWorkload,
    RunDirectoryError,
    SavedError,
    ToolError,
    ToxiproxyError,
    KernelError,
)
# typer carries click inside or beside it, according to its version; this is click's UsageError either way.
_UsageError: type[BaseException] = typer.BadParameter.__mro__[1]

_DEFAULT = Plan()

app = typer.Typer(name="gauntlet", add_completion=False, rich_markup_mode=None)
app.add_typer(tools, name="tools")


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Runs etcd, or what claims to be etcd, through load and faults, and judges every answer it gave."""
    if version:
        typer.echo(f"gauntlet {gauntlet_version()} (checker kernel: {choose().name})")
        raise typer.Exit(0)
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def run(
    target: Annotated[
        str,
        typer.Option(help="reference, etcd:VERSION, etcd:/path/to/etcd or endpoints:HOST:PORT,..."),
    ] = _DEFAULT.target,
    nodes: Annotated[int, typer.Option(help="Members of the cluster.")] = _DEFAULT.nodes,
    workload: Annotated[
        str, typer.Option(help=f"One of: {', '.join(sorted(WORKLOADS))}.")
    ] = _DEFAULT.workload,
    faults: Annotated[
        str, typer.Option(help="Names or groups (all, network, peer, client, process, none), by commas.")
    ] = _DEFAULT.faults,
    duration: Annotated[float, typer.Option(help="Seconds of load.")] = _DEFAULT.duration,
    rate: Annotated[
        float, typer.Option(help="Operations a second, of all clients together.")
    ] = _DEFAULT.rate,
    clients: Annotated[int, typer.Option(help="Clients, spread evenly over the members.")] = _DEFAULT.clients,
    keys: Annotated[int, typer.Option(help="Keys they share.")] = _DEFAULT.keys,
    timeout: Annotated[
        float, typer.Option(help="Seconds until an operation is given up.")
    ] = _DEFAULT.timeout,
    seed: Annotated[int | None, typer.Option(help="Of all randomness; drawn when not given.")] = None,
    toxiproxy: Annotated[
        str, typer.Option(help="auto, real, embedded or http://HOST:PORT.")
    ] = _DEFAULT.toxiproxy,
    out: Annotated[Path | None, typer.Option(help="The run directory; must not exist or be empty.")] = None,
    flag: Annotated[
        list[str] | None, typer.Option(help="One more flag for members, e.g. --flag=--snapshot-count=100.")
    ] = None,
    env: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE for members, or m2:NAME=VALUE for one.")
    ] = None,
) -> int:
    """Run a workload on a cluster under faults; judge it; leave a report. See the exit codes below.

    Exit: 0 valid, 1 invalid, 2 unknown, 3 the harness failed or was interrupted.
    """
    plan = Plan(
        target=target,
        nodes=nodes,
        workload=workload,
        faults=faults,
        duration=duration,
        rate=rate,
        clients=clients,
        keys=keys,
        timeout=timeout,
        seed=secrets.randbelow(2**31) if seed is None else seed,
        toxiproxy=toxiproxy,
        flags=tuple(flag or ()),
        env=tuple(env or ()),
    )
    path = (out or default_directory(plan)).absolute()
    console = Console()
    return _guarded(lambda: _run(plan, path, console), path)


def _run(plan: Plan, path: Path, console: Console) -> int:
    stop = Stop()
    directory = asyncio.run(_record(plan, path, make_observer(console), stop))
    if stop.asked and not directory.history_file.exists():
        return _fail(f"interrupted before the load began; what there is lies in {directory.path}")
    result = conclude(directory)
    show_result(console, result)
    if result.interrupted:
        return _fail(f"interrupted; what was recorded is judged above and lies in {directory.path}")
    return result.exit_code


async def _record(plan: Plan, path: Path, observer: Observer, stop: Stop) -> RunDirectory:
    """Ctrl-C and SIGTERM ask the run to stop; a second one changes nothing, for stopping is under way."""
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in signals:
        loop.add_signal_handler(number, stop.ask)
    try:
        return await record(plan, path, observer, stop)
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


@app.command()
def recheck(directory: Annotated[Path, typer.Argument(help="The directory of a run.")]) -> int:
    """Judge a run again from its files, without a cluster. Exit codes as for run."""

    def again() -> int:
        result = conclude(RunDirectory.open(directory))
        show_result(Console(), result)
        return result.exit_code

    return _guarded(again, directory)


@app.command()
def report(directory: Annotated[Path, typer.Argument(help="The directory of a run.")]) -> int:
    """Write report.html of a run again."""

    def write() -> int:
        opened = RunDirectory.open(directory)
        if opened.results_file.exists():
            write_report(opened.path)
        else:
            conclude(opened)
        typer.echo(opened.report_file)
        return 0

    return _guarded(write, directory)


app.command()(check)
app.command()(conformance)


def _guarded(work: Callable[[], int], directory: Path) -> int:
    """The exit code of the work; whatever it raises becomes one line and code 3."""
    try:
        return work()
    except EXPECTED as error:
        logs = directory / "members"
        where = f" (logs in {logs})" if getattr(error, "detail", "") and logs.is_dir() else ""
        said = [line for line in getattr(error, "detail", "").splitlines() if line.strip()]
        last = f"; the last it said: {said[-1].strip()[:300]}" if said else ""
        return _fail(f"{error}{last}{where}")
    except KeyboardInterrupt:
        return _fail(f"interrupted; what was recorded lies in {directory}")
    except Exception as error:  # the last resort: a defect of ours, kept for whoever repairs it
        saved = _save_traceback(directory)
        return _fail(f"internal error: {type(error).__name__}: {error} (traceback in {saved})")


def _save_traceback(directory: Path) -> Path:
    text = traceback.format_exc()
    path = RunDirectory(directory).crash_file
    try:
        path.write_text(text, encoding="utf-8")
    except OSError:
        handle, name = tempfile.mkstemp(prefix="gauntlet-traceback-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        path = Path(name)
    return path


def _fail(message: str) -> int:
    print(f"gauntlet: {' '.join(message.split())}", file=sys.stderr)
    return HARNESS_FAILED


def call(arguments: Sequence[str]) -> int:
    """The exit code of `gauntlet ARGUMENTS`."""
    command = typer.main.get_command(app)
    try:
        code = command.main(args=list(arguments), prog_name="gauntlet", standalone_mode=False)
    except _UsageError as error:
        format_message = getattr(error, "format_message", error.__str__)
        return _fail(f"{format_message()} (see gauntlet --help)")
    except EXPECTED as error:
        return _fail(str(error))
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted")
    except Exception as error:  # as in _guarded, of a command that has no directory
        saved = _save_traceback(Path(os.devnull))
        return _fail(f"internal error: {type(error).__name__}: {error} (traceback in {saved})")
    return code if isinstance(code, int) else 0


def main() -> None:
    sys.exit(call(sys.argv[1:]))
