"""Builds both distributions and tries each in a fresh virtual environment, as a user would."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent

CHECKER = """
from porcupine import History, Operation, check
from porcupine.models import Register

history = History([
    Operation(client=1, call=("write", 1), call_time_ns=0, return_time_ns=10),
    Operation(client=2, call=("read",), call_time_ns=20, return_time_ns=30, response=0),
])
result = check(history, Register())
assert result.verdict.value == "invalid", result
print("porcupine-py refutes the stale read")
"""


def run(*command: str | Path, cwd: Path | None = None) -> None:
    print("+", *command, flush=True)
    subprocess.run([str(part) for part in command], check=True, cwd=cwd)


def fresh(directory: Path) -> Path:
    """A new environment; returns its folder of commands."""
    venv.create(directory, with_pip=True)
    return directory / "bin"


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        for source in (TOP, TOP / "checkers"):
            run(sys.executable, "-m", "build", "--wheel", "--outdir", work / "dist", source)
        wheels = {wheel.name.split("-")[0]: wheel for wheel in (work / "dist").glob("*.whl")}

        checker = fresh(work / "checker")
        run(checker / "pip", "install", "--quiet", "--no-index", wheels["porcupine_py"])
        run(checker / "python", "-c", CHECKER, cwd=work)

        whole = fresh(work / "whole")
        run(whole / "pip", "install", "--quiet", wheels["etcd_gauntlet"])
        run(whole / "gauntlet", "--version", cwd=work)
        run(whole / "gauntlet-etcd", "--version", cwd=work)
        short = ["--duration", "5", "--toxiproxy", "embedded", "--seed", "1", "--out", work / "run"]
        run(whole / "gauntlet", "run", *short, cwd=work)
        run(whole / "gauntlet", "recheck", work / "run", cwd=work)
    return 0


if __name__ == "__main__":
    sys.exit(main())
