"""`gauntlet check`: argument parsing, and words for people."""

from __future__ import annotations

import json
import os
import shlex
import sys
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer
from gauntlet.checkers.story import describe, in_words
from gauntlet.checkers.verdict import EXIT_CODES, first_explanation
from gauntlet.harness import saved
from gauntlet.harness.judge import peak_memory
from gauntlet.harness.report.about import cost
from gauntlet.harness.report.data import RunFiles, log_of
from gauntlet.harness.report.write import write_page
from gauntlet.harness.saved import FORMATS, GIVEN, Judged, Saved, SavedError, known_models, proof
from porcupine.formats.detect import decoded
from porcupine.history import HistoryError
from porcupine.kernel import VARIABLE, choose
from porcupine.search import Verdict
from porcupine.verify import CertificateError

MEANING = {
    Verdict.VALID: "every answer can be explained",
    Verdict.INVALID: "a promise is broken",
    Verdict.UNKNOWN: "not decided",
}


def check(
    file: Annotated[Path, typer.Argument(help="A history, or the directory of a run.")],
    model: Annotated[
        str | None,
        typer.Option(help=f"One of: {', '.join(known_models())}. A run directory needs none."),
    ] = None,
    format: Annotated[str, typer.Option(help=f"One of: {', '.join(GIVEN)}.")] = "auto",
    budget: Annotated[
        float | None, typer.Option(help="Seconds of search, then the verdict is unknown.")
    ] = None,
    jobs: Annotated[
        int, typer.Option(help="Processes for partitions of the Python kernel's searches.", min=1)
    ] = 1,
    kernel: Annotated[str | None, typer.Option(help="python or native; the best one when not given.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write a page to this file.")] = None,
    certificate: Annotated[
        Path | None, typer.Option(help="Write what proves the verdict to this file (JSON lines).")
    ] = None,
    verify_certificate: Annotated[
        Path | None, typer.Option(help="Do not search: judge this certificate.")
    ] = None,
) -> int:
    """Judge a saved history, without a cluster: Jepsen's, the Go checker porcupine's, etcd's, ours.

    Exit: 0 valid, 1 invalid, 2 unknown, 3 it could not be judged.
    """
    if budget is not None and not budget > 0:
        raise typer.BadParameter("--budget takes a number of seconds greater than 0")
    if kernel is not None:
        choose(kernel)
        os.environ[VARIABLE] = kernel  # for the checkers that search parts of a history themselves
    history = saved.read(file, format, model)
    if verify_certificate is not None:
        return _verify(history, verify_certificate)
    if history.searched is None and jobs > 1:
        raise SavedError(f"--jobs is for the models of porcupine; {history.model} is none of them")
    with ProcessPoolExecutor(jobs) if jobs > 1 else nullcontext() as pool:
        judged = saved.judge(history, budget, kernel, pool)
    judged.explanation = first_explanation(judged.checks)
    results = _results(history, judged)
    if certificate is not None:
        _write_certificate(certificate, history, judged)
    if html is not None:
        _write_html(html, history, results)
    print(
        json.dumps(results, indent=2, default=str) if as_json else "\n".join(_words(history, judged, results))
    )
    return EXIT_CODES[judged.verdict]


def _verify(history: Saved, path: Path) -> int:
    try:
        with path.open("rb") as file:
            verdict, how = saved.verify(history, decoded(file))
    except OSError as error:
        raise SavedError(f"cannot read {path}: {error.strerror}") from error
    except (CertificateError, HistoryError) as error:
        raise SavedError(f"{path}: {error}") from error
    print("\n".join([f"{verdict.value.upper()}: the certificate stands", *how]))
    return EXIT_CODES[verdict]


def _write_certificate(path: Path, history: Saved, judged: Judged) -> None:
    lines = (json.dumps(line, separators=(",", ":"), default=repr) + "\n" for line in proof(history, judged))
    first = next(lines, None)
    if first is None:
        print("no certificate: nothing is proven", file=sys.stderr)
        return
    try:
        with path.open("w", encoding="utf-8") as file:
            file.writelines(chain((first,), lines))
    except OSError as error:
        raise SavedError(f"cannot write {path}: {error.strerror}") from error


def _results(history: Saved, judged: Judged) -> dict[str, Any]:
    return {
        "verdict": judged.verdict.value,
        "exit_code": EXIT_CODES[judged.verdict],
        "file": str(history.path),
        "format": history.format,
        "model": history.model,
        "operations": len(history.run.history),
        "watchers": len(history.run.watches),
        "explanation": judged.explanation,
        "checks": [check.to_json() for check in judged.checks],
        "kernel": choose().name,
        "read_in_seconds": round(history.seconds, 3),
        "judged_in_seconds": round(judged.seconds, 3),
        "peak_memory_bytes": peak_memory(),
    }


def _words(history: Saved, judged: Judged, results: dict[str, Any]) -> list[str]:
    count = len(history.run.history)
    what = f"{count:,} operations" if count else f"{len(history.run.watches):,} watchers"
    said = [
        f"{judged.verdict.value.upper()}: {MEANING[judged.verdict]}",
        f"history      {what} in {history.path}, taken for {FORMATS[history.format]} ({history.format})",
    ]
    for each in judged.checks:
        found = each.details.get("certificate") or {}
        said.append(f"{each.name:<12} {each.verdict.value}: {each.summary}")
        if found:
            said.append(f"  evidence   {found['text']}")
        said.append(f"  cost       {cost(each.to_json())}")
    said.append(
        f"in all       read in {history.seconds:.2f} s, judged in {judged.seconds:.2f} s,"
        f" peak memory {results['peak_memory_bytes'] / 1e6:.0f} MB, {results['kernel']} kernel"
    )
    if judged.explanation is not None:
        said += ["", *in_words(judged.explanation)]
    return said + _undecided(history, judged)


def _undecided(history: Saved, judged: Judged) -> list[str]:
    """The operations that blew up."""
    crowd = {number for each in judged.checks for number in each.details.get("crowded") or ()}
    if not crowd:
        return []
    named = [operation for operation in history.run.history if operation.id in crowd][:10]
    said = ["", "most alternatives lay among these concurrent operations:"]
    return said + [f"  #{each.id}  {describe(each)}, client {each.client}" for each in named]


def _write_html(path: Path, history: Saved, results: dict[str, Any]) -> None:
    source = {
        "file": str(history.path),
        "format": FORMATS[history.format],
        "model": history.model,
        "command": shlex.join(["gauntlet", "check", str(history.path), "--model", history.model]),
    }
    unit = history.unit
    log = log_of(history.run.history, bool(unit))
    faults = [fault for fault in history.run.faults if isinstance(fault.get("start_ns"), int)]
    page = RunFiles(history.path, {}, results, list(map(dict, faults)), [], log, unit, source)
    try:
        write_page(page, path)
    except OSError as error:
        raise SavedError(f"cannot write {path}: {error.strerror}") from error
