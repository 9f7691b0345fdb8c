"""`gauntlet tools install` and `gauntlet tools list`; cli.py hangs `app` in under the name tools."""

from __future__ import annotations

from typing import Annotated

import typer
from gauntlet.harness.tools.build import install
from gauntlet.harness.tools.cache import ToolError, cache_folder
from gauntlet.harness.tools.find import known_programs

app = typer.Typer(
    help="Programs that runs use: etcd of any version, toxiproxy-server, h2spec.", no_args_is_help=True
)

_FAILED = 3  # the exit code of a harness that could not do its work


@app.command("install")
def install_command(
    tools: Annotated[
        list[str], typer.Argument(metavar="etcd@VERSION|toxiproxy[@VERSION]|h2spec[@VERSION]...")
    ],
) -> None:
    """Build tools through Go modules into the cache."""
    for tool in tools:
        try:
            path = install(tool, typer.echo)
        except ToolError as error:
            typer.echo(f"gauntlet tools install {tool}: {error}", err=True)
            raise typer.Exit(_FAILED) from None
        typer.echo(str(path))


@app.command("list")
def list_command() -> None:
    """Show what is on this machine: in the cache, on PATH, in packages."""
    typer.echo(f"cache: {cache_folder()}")
    for program in known_programs():
        typer.echo(f"{program.path.name} {program.version} ({program.origin}): {program.path}")
