"""The run directory: everything about one run, complete enough to be judged again elsewhere.

    plan.json       what was to happen, and the command that repeats it; `state` tells how far it got
    history.jsonl   one operation a line, in the order of their ends
    faults.jsonl    one fault a line: when, on whom, and the evidence that it bit
    leaders.jsonl   who led when
    members/        data directories and logs of the members, where we ran them
    results.json    the verdict; report.html shows it

`state` goes from running to complete, or to interrupted when the run was stopped early with its history
whole. plan.json and results.json are replaced in one step, so neither is ever half there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

RUNNING, COMPLETE, INTERRUPTED = "running", "complete", "interrupted"


class RunDirectoryError(Exception):
    """A directory that is not a whole run, said in one line."""


@dataclass(frozen=True, slots=True)
class RunDirectory:
    path: Path

    @property
    def plan_file(self) -> Path:
        return self.path / "plan.json"

    @property
    def history_file(self) -> Path:
        return self.path / "history.jsonl"

    @property
    def faults_file(self) -> Path:
        return self.path / "faults.jsonl"

    @property
    def leaders_file(self) -> Path:
        return self.path / "leaders.jsonl"

    @property
    def results_file(self) -> Path:
        return self.path / "results.json"

    @property
    def report_file(self) -> Path:
        return self.path / "report.html"

    @property
    def members(self) -> Path:
        return self.path / "members"

    @classmethod
    def create(cls, path: Path) -> RunDirectory:
        """A new directory; RunDirectoryError where there is something already."""
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise RunDirectoryError(f"{path} exists and is not empty")
        try:
            path.mkdir(parents=True, exist_ok=True)
            run = cls(path)
            run.members.mkdir()
        except OSError as error:
            raise RunDirectoryError(f"cannot make the run directory {path}: {error.strerror}") from error
        return run

    @classmethod
    def open(cls, path: Path) -> RunDirectory:
        """A finished or interrupted run; RunDirectoryError says what is missing."""
        run = cls(path)
        if not path.is_dir():
            raise RunDirectoryError(f"{path} is not a directory")
        for file in (run.plan_file, run.history_file):
            if not file.is_file():
                raise RunDirectoryError(f"{path} is not a run directory: it has no {file.name}")
        state = run.read_plan().get("state")
        if state not in (COMPLETE, INTERRUPTED):
            raise RunDirectoryError(f"{path} holds a run that never ended (state {state!r})")
        return run

    def read_plan(self) -> dict[str, Any]:
        try:
            plan = json.loads(self.plan_file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunDirectoryError(f"cannot read {self.plan_file}: {error}") from error
        if not isinstance(plan, dict):
            raise RunDirectoryError(f"{self.plan_file} is not a JSON object")
        return plan

    def write_plan(self, plan: dict[str, Any]) -> None:
        _replace(self.plan_file, plan)

    def write_results(self, results: dict[str, Any]) -> None:
        _replace(self.results_file, results)

    def faults(self) -> list[dict[str, Any]]:
        return list(read_lines(self.faults_file)) if self.faults_file.exists() else []


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSON-lines file; RunDirectoryError names the first broken line by its number."""
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                try:
                    value = json.loads(line)
                except ValueError as error:
                    raise RunDirectoryError(f"{path}: line {number}: not JSON ({error})") from error
                if not isinstance(value, dict):
                    raise RunDirectoryError(f"{path}: line {number}: not a JSON object")
                yield value
    except OSError as error:
        raise RunDirectoryError(f"cannot read {path}: {error.strerror}") from error


class LineWriter:
    """Appends JSON objects, one a line; every line is handed to the system whole."""

    def __init__(self, path: Path) -> None:
        self._file: TextIO = path.open("a", encoding="utf-8", buffering=1 << 16)

    def write(self, value: dict[str, Any]) -> None:
        self._file.write(json.dumps(value, separators=(",", ":")) + "\n")

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()


def _replace(path: Path, value: dict[str, Any]) -> None:
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8") as file:
        json.dump(value, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
