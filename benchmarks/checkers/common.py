"""What the measurements share: memory of this process, processes of their own, numbers in words."""

from __future__ import annotations

import json
import math
import resource
import subprocess
import sys
from pathlib import Path

GIVE_UP = 20.0  # seconds for one history


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def resident() -> int:
    """Bytes in memory now; where nobody tells, the most there ever were."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * resource.getpagesize() if statm.exists() else peak()


def child(who: str, size: int, program: str) -> dict[str, float]:
    """What a process of its own measured."""
    command = [sys.executable, str(Path(__file__).parent), "--child", who, str(size), program]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def shown(seconds: float) -> str:
    if math.isinf(seconds):
        return f"gave up after {GIVE_UP:.0f} s"
    if seconds < 1e-3:
        return f"{seconds * 1e6:.1f} us"
    return f"{seconds * 1e3:.2f} ms" if seconds < 1 else f"{seconds:.2f} s"
