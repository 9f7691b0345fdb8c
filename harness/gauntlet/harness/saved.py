"""Saved histories of any known format, for any model or checker: what `gauntlet check` reads and judges.

A *model* here is one of three things:

- a model of `porcupine.models`: searched, with an order or a contradiction as certificate;
- a checker of `gauntlet.checkers`, by its name; set, counter and queue are models already, so the one-pass
  checkers of these are called sets, counters and queues;
- ``run``: the checkers that a run's own workload names. Only for run directories.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeVar

from gauntlet.checkers import certificates, txn
from gauntlet.checkers.etcd import robustness
from gauntlet.checkers.etcd.native import Columnar, columns_of
from gauntlet.checkers.etcd.register import decode as decode_whole
from gauntlet.checkers.linearizable import explained
from gauntlet.checkers.records import Run, decode
from gauntlet.checkers.registry import CHECKERS, cost, judge_one
from gauntlet.checkers.registry import judge as judge_run
from gauntlet.checkers.story import tell
from gauntlet.checkers.verdict import CheckResult
from gauntlet.checkers.watch import read_robustness_watches, read_watches
from gauntlet.harness.judge import peak_memory, planned, read_run
from gauntlet.harness.rundir import RunDirectory, read_lines
from porcupine import certificate
from porcupine.checking import Result, worst
from porcupine.checking import check as check_model
from porcupine.formats import detect
from porcupine.formats.events import TIMES
from porcupine.history import History, HistoryError, Operation
from porcupine.jsonl import Decode, Record, read_operations, read_records
from porcupine.model import Model
from porcupine.models import MODELS, by_name
from porcupine.models.keyed import Keyed, On
from porcupine.parallel import Executor
from porcupine.search import Budget, Verdict
from porcupine.uncollected import uncollected

T = TypeVar("T")

RUN_DIRECTORY, ROBUSTNESS, WATCHES = "run", "robustness", "watches"
FORMATS: Final = {
    **detect.FORMATS,
    ROBUSTNESS: "records of etcd's robustness tests",
    WATCHES: "JSON lines of what watchers were told",
    RUN_DIRECTORY: "a run directory",
}
GIVEN: Final = ("auto", detect.JSONL, detect.LOG, detect.EDN, detect.KV, ROBUSTNESS)
ONE_PASS: Final = {"sets": "set", "counters": "counter", "queues": "queue"}
CHECKS: Final = {
    **{name: name for name in CHECKERS if name not in MODELS and name != "stats"},
    **ONE_PASS,
}
AS_RUN: Final = "run"
PIECE: Final = 1 << 20  # bytes of a file at a time


class SavedError(ValueError):
    """The history cannot be judged as asked; one line says why."""


@dataclass(slots=True)
class Saved:
    """A history as it was read. `run.history` holds its operations."""

    path: Path
    format: str
    model: str
    run: Run
    checks: tuple[str, ...] = ()
    searched: Model[Any] | None = None
    seconds: float = 0.0

    @property
    def unit(self) -> str:
        """What its times count; empty for nanoseconds."""
        first = next(iter(self.run.history), None)
        return str(first.tags.get(TIMES, "")) if first is not None else ""


def known_models() -> list[str]:
    return [*sorted(MODELS), *sorted(CHECKS)]


def read(path: Path, format: str = "auto", model: str | None = None) -> Saved:
    """The history, ready to be judged. SavedError, HistoryError or RunDirectoryError in one line."""
    if format not in GIVEN:
        raise SavedError(f"unknown format {format!r}; there are: {', '.join(GIVEN)}")
    if model is not None and model not in MODELS and model not in CHECKS:
        raise SavedError(f"unknown model {model!r}; there are: {', '.join(known_models())}")
    begun = time.monotonic()
    if path.is_dir():
        saved = _directory(path, model)
    elif model is None:
        raise SavedError(f"which model? Give --model; there are: {', '.join(known_models())}")
    else:
        saved = _file(path, _recognised(path, model) if format == "auto" else format, model)
    if not saved.run.history and not saved.run.watches:
        raise SavedError(f"{path}: there is no operation in it ({FORMATS[saved.format]} was expected)")
    saved.seconds = time.monotonic() - begun
    return saved


def _lines(path: Path, read: Callable[[Iterator[str]], T]) -> T:
    try:
        with path.open("rb") as file:
            return read(detect.decoded(file))
    except OSError as error:
        raise SavedError(f"cannot read {path}: {error.strerror}") from error
    except HistoryError as error:
        raise SavedError(f"{path}: {error}") from error


def _recognised(path: Path, model: str) -> str:
    head = _lines(path, lambda lines: [line[:1000] for line in islice(lines, 200)])
    if not any(line.strip() for line in head):
        raise SavedError(f"{path} is empty")
    text = "".join(head)
    if '"Request"' in text or ('"Input"' in text and '"Output"' in text):
        return ROBUSTNESS
    if model == "watch" and ('"watcher"' in text or '"kind"' in text):
        return WATCHES
    found = _lines(path, detect.detect)
    if found is None:
        raise SavedError(
            f"{path} is none of the known formats ({', '.join(GIVEN[1:])}); name it with --format"
        )
    return found


def _directory(path: Path, model: str | None) -> Saved:
    directory = RunDirectory.open(path)
    if model in MODELS:
        return _file(directory.history_file, detect.JSONL, str(model))
    if model == "etcd":
        saved = _file(directory.history_file, detect.JSONL, model)
        saved.path, saved.format = path, RUN_DIRECTORY
        saved.run.leader_changes = directory.leader_changes()
        return saved
    if model is not None:
        return Saved(path, RUN_DIRECTORY, model, read_run(directory), (CHECKS[model],))
    _, workload = planned(directory, directory.read_plan())
    run = read_run(directory)
    names = (*workload.checks, "watch") if run.watches else workload.checks
    return Saved(path, RUN_DIRECTORY, AS_RUN, run, tuple(names))


def _file(path: Path, format: str, model: str) -> Saved:
    if model in MODELS:
        return _for_search(path, format, model)
    run = Run(())
    if format == ROBUSTNESS and model == "watch":
        client = path.parent.name or path.stem
        run.watches = _lines(path, lambda lines: read_robustness_watches(lines, client))
    elif format == ROBUSTNESS and model == "etcd":
        run.history = History(_lines(path, robustness.read))
    elif format == WATCHES or (format == detect.JSONL and model == "watch"):
        format = WATCHES
        run.watches = _lines(path, read_watches)
    elif format == detect.JSONL:
        run.history = _whole_store(path) if model == "etcd" else _operations(path, decode)
        beside = path.parent / "faults.jsonl"
        run.faults = list(read_lines(beside)) if beside.is_file() else []
    elif format in (detect.EDN, detect.LOG) and model in ("txn", *ONE_PASS):
        events = txn.read_jepsen if model == "txn" else txn.read_jepsen_objects
        run.history = _lines(path, lambda lines: events(lines, format == detect.LOG))
    else:
        raise _unfit(path, format, model)
    return Saved(path, format, model, run, (CHECKS[model],))


def _operations(path: Path, decode: Decode) -> History:
    def of_a_run(record: Record) -> tuple[Hashable, Hashable]:
        if "op" in record:
            return decode(record)
        raise ValueError("it has no field 'op': a line of a run was expected")

    with uncollected():
        return _lines(path, lambda lines: History(read_operations(lines, of_a_run)))


def _whole_store(path: Path) -> Sequence[Operation]:
    """In columns where the native kernel can read it: its operations are then made only for who needs
    them."""
    read = partial(_operations, path, decode_whole)
    try:
        with path.open("rb") as file:
            columns = columns_of(iter(partial(file.read, PIECE), b""))
    except OSError as error:
        raise SavedError(f"cannot read {path}: {error.strerror}") from error
    return read() if columns is None else Columnar(columns, read)


def _unfit(path: Path, format: str, model: str) -> SavedError:
    return SavedError(
        f"{path} is {FORMATS[format]}, which the model {model} cannot judge; try {_try(format)}"
    )


def _try(format: str) -> str:
    models = {
        detect.KV: ["kv", "kv-whole"],
        ROBUSTNESS: ["etcd", "watch"],
        detect.EDN: [*sorted(MODELS), "txn", *ONE_PASS],
        detect.LOG: [*sorted(MODELS), "txn", *ONE_PASS],
    }
    return ", ".join(models.get(format, known_models()))


def _for_search(path: Path, format: str, model: str) -> Saved:
    if format in (ROBUSTNESS, WATCHES):
        raise _unfit(path, format, model)
    if format == detect.JSONL and _is_of_a_run(path):
        raise SavedError(
            f"{path} holds operations of a run ('op', 'key', 'args'); the model {model} reads lines with"
            f" 'call'. Try {', '.join(CHECKS)}"
        )
    try:
        history = _lines(path, lambda lines: detect.read(lines, format, model))
    except SavedError:
        raise
    except ValueError as error:
        raise SavedError(f"{path}: {error}") from error
    one = by_name(model)
    keyed = bool(history) and isinstance(history[0].call, On)
    return Saved(path, format, model, Run(history), (), Keyed(one) if keyed else one)


def _is_of_a_run(path: Path) -> bool:
    first = _lines(path, lambda lines: next((line for line in lines if line.strip()), ""))
    return '"op"' in first and '"call"' not in first


@dataclass(slots=True)
class Judged:
    """`checks` as of a run; `result` where porcupine searched."""

    verdict: Verdict
    checks: list[CheckResult]
    seconds: float
    result: Result | None = None
    explanation: dict[str, Any] | None = field(default=None)


def judge(saved: Saved, seconds: float | None, kernel: str | None, executor: Executor | None) -> Judged:
    """The verdict. seconds: of search; without them it is never given up."""
    begun = time.monotonic()
    saved.run.clock, saved.run.seconds, saved.run.memory = time.monotonic, seconds, peak_memory
    if saved.searched is None:
        try:
            if saved.model == AS_RUN:
                verdict, checks = judge_run(saved.run, saved.checks)
            else:  # no word of the run as such: only the check that was asked for counts
                checks = [judge_one(name, saved.run) for name in saved.checks]
                verdict = checks[0].verdict
        except ValueError as error:
            raise SavedError(f"{saved.path}: {error}") from error
        return Judged(verdict, checks, time.monotonic() - begun)
    try:
        result = check_model(
            saved.run.history,
            saved.searched,
            budget=Budget(seconds=seconds),
            clock=time.monotonic,
            kernel=kernel,
            executor=executor,
        )
    except HistoryError as error:
        raise SavedError(f"{saved.path}: {error}") from error
    took = time.monotonic() - begun
    return Judged(result.verdict, [_as_check(saved, result, took)], took, result)


def _as_check(saved: Saved, result: Result, seconds: float) -> CheckResult:
    name = result.parts[0].model.name if result.parts else saved.model
    stats = result.stats
    details: dict[str, Any] = {
        "operations": stats.operations,
        "parts": len(result.parts),
        "configurations": stats.configurations,
        "steps": stats.steps,
        "certificate": certificate.summary(result),
        "reason": result.reason,
    }
    explanation = None
    if result.verdict is Verdict.VALID:
        summary = f"{stats.operations} operations have an order that explains every answer"
    elif result.verdict is Verdict.UNKNOWN:
        summary = f"not decided: {result.reason}"
        stuck = next(part for part in result.parts if part.verdict is Verdict.UNKNOWN)
        details["crowded"] = [operation.id for operation in stuck.found.crowded]
    else:
        found = result.explanation
        summary = (
            f"{found.label if found else 'no order'} in {len(result.failed)} of {len(result.parts)} parts"
        )
        if found is not None:
            explanation = explained(found)
            tell(explanation, saved.run)
    check = CheckResult(name, result.verdict, summary, details, explanation)
    details["cost"] = cost(check, saved.run, seconds)
    return check


def proof(saved: Saved, judged: Judged) -> Iterator[dict[str, Any]]:
    """The lines of the certificate; none where nothing is proven."""
    if judged.result is None or saved.searched is None:
        if any(each.verdict is not Verdict.UNKNOWN for each in judged.checks):
            yield from certificates.lines(judged.checks)
    elif judged.verdict is not Verdict.UNKNOWN:
        yield from certificate.lines(judged.result, saved.searched.name)


def verify(saved: Saved, lines: Iterable[str]) -> tuple[Verdict, list[str]]:
    """Judge a certificate: the verdict it proves, and how. CertificateError for one that proves nothing,
    HistoryError for a broken line."""
    if saved.searched is not None:
        verdict, how = certificate.recheck(lines, History(saved.run.history), saved.searched)
        return verdict, [how]
    names = (*saved.checks, "stats") if saved.model == AS_RUN else saved.checks
    found = certificates.recheck((line for _, line in read_records(lines)), saved.run, names)
    return worst(each.verdict for each in found), [
        f"{each.check}: {each.verdict.value}, {each.how}" for each in found
    ]
