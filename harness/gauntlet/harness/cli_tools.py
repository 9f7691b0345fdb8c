"""gauntlet tools: the programs that runs need."""

from __future__ import annotations

from typing import Annotated

import typer
from gauntlet.harness.tools.build import install
from gauntlet.harness.tools.cache import cache_folder
from gauntlet.harness.tools.find import known_programs

tools = typer.Typer(
    name="tools",
    help="Find or build the programs that runs need.",
    rich_markup_mode=None,
    add_completion=False,
)


@tools.command("install")
def install_command(
    program: Annotated[
        str, typer.Argument(help="etcd@VERSION, toxiproxy, h2spec or benchmark, with @VERSION.")
    ],
) -> int:
    """Build a program into the cache, once."""
    path = install(program, typer.echo)
    typer.echo(path)
    return 0


@tools.command("list")
def list_command() -> int:
    """Print what is there already: program, version, where it comes from."""
    programs = known_programs()
    for program in programs:
        typer.echo(f"{program.path.name:<18} {program.version:<10} {program.origin:<15} {program.path}")
    if not programs:
        typer.echo(f"nothing yet; programs are looked for on PATH and in {cache_folder()}")
    return 0
