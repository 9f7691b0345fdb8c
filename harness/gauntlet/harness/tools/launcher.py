"""Run as a script by spawn.py: asks to be killed when the harness dies, then becomes the program.

    python -I -S launcher.py PARENT_PID PROGRAM ARGUMENT...

It imports little, for it delays the start of every member.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(parent: int, command: list[str]) -> None:
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            sys.exit(f"prctl(PR_SET_PDEATHSIG): {os.strerror(ctypes.get_errno())}")
        if os.getppid() != parent:
            sys.exit("the harness ended before its child began")
    try:
        os.execv(command[0], command)  # noqa: S606 - becoming the program is the purpose
    except OSError as error:
        sys.exit(f"cannot run {command[0]}: {error.strerror}")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
