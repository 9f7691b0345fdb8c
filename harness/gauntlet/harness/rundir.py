"""The run directory: everything about one run, complete enough to be judged again elsewhere.

    plan.json       what was to happen, and the command that repeats it; `state` tells how far it got
    history.jsonl   one operation a line, in the order of their ends
    faults.jsonl    one fault a line: when, on whom, and the evidence that it bit
    leaders.jsonl   who led when
    watches.jsonl   what watchers were told, where the workload watches (`gauntlet.checkers.watch.records`)
    members.json    what became of the members: versions, who ended by itself, their hashes at the end
    members/        data directories and logs of the members, where we ran them
    certificate.jsonl   what stands behind the verdict on the history (`gauntlet.checkers.certificates`)
    results.json    the verdict; report.html shows it

`state` goes from running to one of
    complete        everything that was planned happened
    interrupted     stopped early, the history is whole up to that moment
    failed          the harness could not go on; `error` says why; nobody judges such a run
plan.json, members.json and results.json are replaced in one step, so none of them is ever half there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

RUNNING, COMPLETE, INTERRUPTED, FAILED = "running", "complete", "interrupted", "failed"


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
    def watches_file(self) -> Path:
        return self.path / "watches.jsonl"

    @property
    def members_file(self) -> Path:
        return self.path / "members.json"

    @property
    def certificate_file(self) -> Path:
        return self.path / "certificate.jsonl"

    @property
    def results_file(self) -> Path:
        return self.path / "results.json"

    @property
    def report_file(self) -> Path:
        return self.path / "report.html"

    @property
    def crash_file(self) -> Path:
        return self.path / "traceback.txt"

    @property
    def members(self) -> Path:
        return self.path / "members"

    @classmethod
    def create(cls, path: Path) -> RunDirectory:
        """A new directory; RunDirectoryError where there is something already."""
        try:
            if path.is_symlink() or path.exists():
                if not path.is_dir():
                    raise RunDirectoryError(f"{path} exists and is not a directory")
                if any(path.iterdir()):
                    raise RunDirectoryError(f"{path} exists and is not empty")
            path.mkdir(parents=True, exist_ok=True)
            run = cls(path.resolve())
            run.members.mkdir()
        except OSError as error:
            raise RunDirectoryError(f"cannot make the run directory {path}: {error.strerror}") from error
        return run

    @classmethod
    def open(cls, path: Path) -> RunDirectory:
        """A complete or interrupted run; RunDirectoryError says what is missing."""
        run = cls(path.resolve())
        try:
            if not path.is_dir():
                why = "is not a directory" if path.exists() else "does not exist"
                raise RunDirectoryError(f"{path} {why}")
            has_plan, has_history = run.plan_file.is_file(), run.history_file.is_file()
        except OSError as error:
            raise RunDirectoryError(f"cannot read {path}: {error.strerror}") from error
        if not has_plan:
            raise RunDirectoryError(f"{path} is not a run directory: it has no {run.plan_file.name}")
        plan = run.read_plan()
        state = plan.get("state")
        if state == FAILED:
            raise RunDirectoryError(f"{path} holds a run that failed: {plan.get('error', 'no reason given')}")
        if state not in (COMPLETE, INTERRUPTED):
            raise RunDirectoryError(f"{path} holds a run that has not ended (state {state!r})")
        if not has_history:
            raise RunDirectoryError(f"{path} is not a whole run: it has no {run.history_file.name}")
        return run

    def read_plan(self) -> dict[str, Any]:
        return _read(self.plan_file)

    def write_plan(self, plan: Mapping[str, Any]) -> None:
        _replace(self.plan_file, plan)

    def update_plan(self, **changes: Any) -> None:
        self.write_plan({**self.read_plan(), **changes})

    def read_members(self) -> dict[str, Any]:
        """What became of the members; empty for a run that never came so far."""
        return _read(self.members_file) if self.members_file.exists() else {}

    def write_members(self, members: Mapping[str, Any]) -> None:
        _replace(self.members_file, members)

    def read_results(self) -> dict[str, Any]:
        return _read(self.results_file)

    def write_results(self, results: Mapping[str, Any]) -> None:
        _replace(self.results_file, results)

    def write_certificate(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Replaces the file. RunDirectoryError where it cannot be written."""
        text = (json.dumps(line, separators=(",", ":"), default=repr) + "\n" for line in lines)
        write_lines(self.certificate_file, text)

    def faults(self) -> list[dict[str, Any]]:
        return list(read_lines(self.faults_file)) if self.faults_file.exists() else []

    def leader_changes(self) -> list[int] | None:
        """When a leader was first seen, in ns; None where nobody looked."""
        if not self.leaders_file.exists():
            return None
        found: list[int] = []
        leading: tuple[object, object] | None = None
        for record in read_lines(self.leaders_file):
            at, seen = record.get("at_ns"), (record.get("member"), record.get("term"))
            if isinstance(at, int) and seen[0] is not None and seen != leading:
                leading = seen
                found.append(at)
        return found


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSON-lines file; RunDirectoryError names the first broken line by its number."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    value = json.loads(line.decode("utf-8"))
                except ValueError as error:
                    raise RunDirectoryError(f"{path}: line {number}: not JSON ({error})") from error
                if not isinstance(value, dict):
                    raise RunDirectoryError(f"{path}: line {number}: not a JSON object")
                yield value
    except OSError as error:
        raise RunDirectoryError(f"cannot read {path}: {error.strerror}") from error


class LineWriter:
    """Appends JSON objects, one a line. `close` returns when they are on the disk."""

    def __init__(self, path: Path) -> None:
        self._file: TextIO = path.open("a", encoding="utf-8", buffering=1 << 16)

    def write(self, value: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(value, separators=(",", ":")) + "\n")

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        """Safe to call twice."""
        if not self._file.closed:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RunDirectoryError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise RunDirectoryError(f"{path} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise RunDirectoryError(f"{path} is not a JSON object")
    return value


def _replace(path: Path, value: Mapping[str, Any]) -> None:
    write_lines(path, (json.dumps(value, indent=2), "\n"))


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """In one step: the file is never half there."""
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("w", encoding="utf-8") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise RunDirectoryError(f"cannot write {path}: {error.strerror}") from error
