"""`gauntlet-etcd`: a drop-in for the `etcd` command.

Tools ask for the version before they start a member, so what a member needs is loaded after that question.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence

from gauntlet.reference.server.flags import FLAGS, UsageError, parse
from gauntlet.reference.server.release import VERSION

EXIT_USAGE = 2
EXIT_FAILED = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a member until it is told to stop. Errors are one line on stderr."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        given = parse(arguments, os.environ)
    except UsageError as error:
        print(f"gauntlet-etcd: {error}", file=sys.stderr)
        return EXIT_USAGE
    if given.get("version") == "true":
        return say(version_text())
    if given.get("help") == "true":
        return say(usage())
    # Nothing that is loaded now is ever garbage: looking for some would take time, now and later.
    gc.disable()
    from gauntlet.reference.server.life import live

    gc.freeze()
    gc.enable()
    return live(given, arguments)


def say(text: str) -> int:
    """Prints an answer; the exit status tells whether anybody could read it."""
    if sys.stdout is None:
        print("gauntlet-etcd: cannot write to stdout: it is closed", file=sys.stderr)
        return EXIT_FAILED
    try:
        print(text, flush=True)
    except OSError as error:
        print(f"gauntlet-etcd: cannot write to stdout: {error.strerror}", file=sys.stderr)
        # The interpreter will want to write what is left when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    return 0


def version_text() -> str:
    """What `--version` prints; the first line is the one that tools look for."""
    system = os.uname()
    return (
        f"etcd Version: {VERSION}\n"
        "Git SHA: gauntlet\n"
        f"Go Version: none ({sys.implementation.name} {sys.version.split()[0]})\n"
        f"Go OS/Arch: {system.sysname.lower()}/{system.machine}"
    )


def usage() -> str:
    lines = ["Usage:", "", "  gauntlet-etcd [flags]", "    Start an etcd member, in Python.", ""]
    for flag in FLAGS.values():
        if flag.supported:
            lines.append(f"  --{flag.name} '{flag.default}'  ({flag.variable})")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
