"""`gauntlet conformance`: argument parsing only."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from gauntlet.harness.conformance import cases
from gauntlet.harness.conformance.case import AREAS, REGISTRY, Case
from gauntlet.harness.conformance.page import as_html
from gauntlet.harness.conformance.report import as_json, as_text
from gauntlet.harness.conformance.runner import JOBS, Outcome, Result, Status, Tell, run_suite
from gauntlet.harness.targets.base import TargetError
from rich.console import Console
from rich.markup import escape

__all__ = ["cases", "conformance"]  # importing the cases is what enters them in the table


def conformance(
    target: Annotated[
        str, typer.Option(help="reference, etcd:VERSION, etcd:/path/to/etcd or endpoints:HOST:PORT,...")
    ] = "reference",
    against: Annotated[
        str | None, typer.Option(help="A second target: the same requests go to both, answers are compared.")
    ] = None,
    area: Annotated[list[str] | None, typer.Option(help=f"Only this area: {', '.join(AREAS)}.")] = None,
    case: Annotated[
        list[str] | None, typer.Option(help="Only cases of this name; * and ? stand for any.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the results to this file.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page to this file.")] = None,
    random: Annotated[
        int | None, typer.Option(help="Instead of cases: about so many random steps on both targets.", min=1)
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of names and of random steps; drawn when not given.")
    ] = None,
    jobs: Annotated[int, typer.Option(help="So many cases at once, on members of their own.", min=1)] = JOBS,
    toxiproxy: Annotated[str, typer.Option(help="auto, real, embedded or http://HOST:PORT.")] = "auto",
    list_cases: Annotated[bool, typer.Option("--list", help="Print the cases and exit.")] = False,
) -> int:
    """Check a target against what etcd promises its clients, case by case.

    Exit: 0 every case passes (or is not offered by this version), 1 some do not, 3 the harness failed.
    """
    chosen = _chosen(area or [], case or [])
    if list_cases:
        for item in chosen:
            typer.echo(f"{item.name}: {item.text} ({item.offered_text()})")
        return 0
    seed = secrets.randbelow(2**31) if seed is None else seed
    console = Console()
    if random is not None:
        return _random(console, target, against, random, seed, toxiproxy)
    outcome = asyncio.run(
        run_suite(
            target,
            chosen,
            against=against,
            seed=seed,
            toxiproxy=toxiproxy,
            jobs=jobs,
            tell=_teller(console),
        )
    )
    _write(outcome, json, html)
    typer.echo(as_text(outcome))
    return 0 if outcome.ok else 1


def _chosen(areas: list[str], globs: list[str]) -> list[Case]:
    unknown = [name for name in areas if name not in AREAS]
    if unknown:
        raise typer.BadParameter(f"there is no area {unknown[0]!r}; there are {', '.join(AREAS)}")
    chosen = REGISTRY.select(areas, globs)
    if not chosen:
        raise typer.BadParameter("no case has such a name")
    return chosen


def _teller(console: Console) -> Tell:
    def tell(result: Result) -> None:
        if result.status.bad:
            text = f"[red]{result.status.value}[/red] {escape(result.case.name)}: {escape(result.detail)}"
            console.print(text, soft_wrap=True)
        elif console.is_terminal and result.status is Status.PASS:
            console.print(f"[green]pass[/green] {escape(result.case.name)}", soft_wrap=True)

    return tell


def _write(outcome: Outcome, json: Path | None, html: Path | None) -> None:
    for path, text in ((json, as_json), (html, as_html)):
        if path is not None:
            try:
                path.write_text(text(outcome), encoding="utf-8")
            except OSError as error:
                raise TargetError(f"{path} cannot be written: {error}") from error


def _random(console: Console, target: str, against: str | None, steps: int, seed: int, toxiproxy: str) -> int:
    if against is None:
        raise typer.BadParameter("--random compares two targets: give --against as well")
    try:
        from gauntlet.harness.conformance.random.machine import run_random
    except ModuleNotFoundError as error:
        if error.name != "hypothesis":
            raise
        raise TargetError("--random needs the package hypothesis") from error
    with tempfile.TemporaryDirectory(prefix="gauntlet-conformance-") as scratch:
        found = run_random(target, against, steps, seed, Path(scratch), toxiproxy)
    console.print(escape(found.text), soft_wrap=True)
    return 0 if found.same else 1
