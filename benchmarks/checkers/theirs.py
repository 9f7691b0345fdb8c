"""The Go checker porcupine, built from its module in a temporary folder, beside its recorded histories."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from porcupine import History

MODULE = "github.com/anishathalye/porcupine"
VERSION = "v1.3.1"
SOURCE = Path(__file__).with_name("porcupine.go")


class MissingError(Exception):
    """Go or its module cannot be had."""


def _go(*arguments: str, cwd: Path | None = None) -> str:
    go = shutil.which("go")
    if go is None:
        raise MissingError("Go is not installed")
    done = subprocess.run([go, *arguments], cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MissingError(f"go {' '.join(arguments)}: {(done.stderr or done.stdout).strip()[-400:]}")
    return done.stdout


def module() -> Path:
    """Where the module lies, with its recorded histories."""
    return Path(json.loads(_go("mod", "download", "-json", f"{MODULE}@{VERSION}"))["Dir"])


def build(folder: Path) -> Path:
    """The program that times porcupine."""
    (folder / "main.go").write_text(SOURCE.read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "go.mod").write_text(
        f"module timing\n\ngo 1.21\n\nrequire {MODULE} {VERSION}\n", encoding="utf-8"
    )
    _go("mod", "tidy", cwd=folder)
    _go("build", "-o", "timing", ".", cwd=folder)
    return folder / "timing"


def version() -> str:
    return f"porcupine {VERSION}, {re.sub(r'^go version ', '', _go('version').strip())}"


def neutral(history: History) -> list[dict[str, Any]]:
    """The operations as the Go program reads them; operations that failed did not happen."""
    numbers: dict[object, int] = {None: -1}
    clients: dict[object, int] = {}

    def number(value: object) -> int:
        return numbers.setdefault(value, len(numbers))

    calls = []
    for operation in history:
        if operation.outcome == "failed":
            continue
        assert isinstance(operation.call, tuple)
        name, *arguments = operation.call
        call: dict[str, Any] = {
            "client": clients.setdefault(operation.client, len(clients)),
            "start": operation.call_time_ns,
            "end": operation.return_time_ns if operation.is_ok else None,
            "op": name,
        }
        if name in ("get", "put", "append"):
            call["key"] = arguments[0]
            call["text"] = (operation.response or "") if name == "get" else arguments[1]
        elif name == "read":
            call["value"] = number(operation.response)
        else:
            call["value"] = number(arguments[-1])
            call["expect"] = number(arguments[0])
            call["swapped"] = bool(operation.response)
        calls.append(call)
    return calls


def run(program: Path, histories: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The answers, in the order of the histories."""
    lines = "\n".join(json.dumps(each) for each in histories)
    done = subprocess.run([str(program)], input=lines, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]
