"""``python -m porcupine FILE --model NAME``: the verdict on a file of operations.

Exit: 0 valid, 1 invalid, 2 unknown, 3 the file could not be judged (one line on stderr says why).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, NoReturn

from porcupine import certificate
from porcupine.checking import Result, check
from porcupine.formats.detect import FORMATS, decoded, detect, read
from porcupine.history import History, HistoryError
from porcupine.kernel import KernelError
from porcupine.labels import describe_fully
from porcupine.model import Model
from porcupine.models import MODELS, by_name
from porcupine.models.keyed import Keyed, On
from porcupine.search import Budget, Verdict
from porcupine.verify import CertificateError

EXIT_CODES = {Verdict.VALID: 0, Verdict.INVALID: 1, Verdict.UNKNOWN: 2}
FAILED = 3
MEANING = {
    Verdict.VALID: "an order explains every answer",
    Verdict.INVALID: "no order explains the answers",
    Verdict.UNKNOWN: "not decided",
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(FAILED, f"porcupine: {message} (see --help)\n")


def parser() -> argparse.ArgumentParser:
    made = _Parser(prog="python -m porcupine", description=__doc__)
    made.add_argument("file", help="the history")
    made.add_argument("--model", required=True, help=", ".join(sorted(MODELS)))
    made.add_argument("--format", default="auto", help=f"auto, {', '.join(FORMATS)}")
    made.add_argument("--budget", type=float, help="seconds, then the verdict is unknown")
    made.add_argument("--jobs", type=int, default=1, help="processes, one for a partition at a time")
    made.add_argument("--kernel", help="python or native; the best one when not given")
    made.add_argument("--json", action="store_true", help="print JSON")
    made.add_argument("--certificate", help="write what proves the verdict to this file")
    made.add_argument("--verify-certificate", help="judge this certificate instead of searching")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code."""
    asked = parser().parse_args(arguments)
    try:
        return _run(asked)
    except (HistoryError, CertificateError) as error:
        return _fail(f"{asked.file}: {error}")
    except OSError as error:
        return _fail(f"cannot open {error.filename}: {error.strerror}")
    except (ValueError, KernelError) as error:
        return _fail(str(error))


def load(path: str, format: str, model: str) -> tuple[str, History]:
    """(format, history). HistoryError or ValueError says in one line why not."""
    if format == "auto":
        with open(path, "rb") as file:
            found = detect(decoded(file))
        if found is None:
            _refuse_empty(path)
            raise HistoryError(f"this is none of the known formats: {', '.join(FORMATS)}")
        format = found
    elif format not in FORMATS:
        raise ValueError(f"unknown format {format!r}; there are: auto, {', '.join(FORMATS)}")
    with open(path, "rb") as file:
        history = read(decoded(file), format, model)
    if not history:
        raise HistoryError("there is no operation in it")
    return format, history


def _refuse_empty(path: str) -> None:
    with open(path, "rb") as file:
        if not any(line.strip() for line in file):
            raise HistoryError("the file is empty")


def model_for(name: str, history: Sequence[Any]) -> Model[Any]:
    """The model of that name, for one object or, where the calls have keys, for many."""
    one = by_name(name)
    return Keyed(one) if isinstance(history[0].call, On) else one


def _run(asked: argparse.Namespace) -> int:
    by_name(asked.model)
    begun = time.monotonic()
    format, history = load(asked.file, asked.format, asked.model)
    model = model_for(asked.model, history)
    read_in = time.monotonic() - begun
    if asked.verify_certificate:
        with open(asked.verify_certificate, "rb") as file:
            verdict, how = certificate.recheck(decoded(file), history, model)
        print(f"{verdict.value.upper()}: {how}")
        return EXIT_CODES[verdict]
    begun = time.monotonic()
    if asked.jobs > 1:
        with ProcessPoolExecutor(asked.jobs) as pool:
            result = _check(asked, history, model, pool)
    else:
        result = _check(asked, history, model, None)
    seconds = time.monotonic() - begun
    if asked.certificate:
        with open(asked.certificate, "w", encoding="utf-8") as out:
            for line in certificate.lines(result, model.name):
                out.write(json.dumps(line, default=repr) + "\n")
    about = {"file": asked.file, "format": format, "model": model.name, "operations": len(history)}
    about |= {"read_seconds": round(read_in, 3), "seconds": round(seconds, 3)}
    if asked.json:
        print(json.dumps(as_json(result) | about, indent=2, default=repr))
    else:
        print("\n".join(in_words(result, about)))
    return EXIT_CODES[result.verdict]


def _check(asked: argparse.Namespace, history: History, model: Model[Any], pool: Any) -> Result:
    budget = Budget(seconds=asked.budget)
    return check(history, model, budget=budget, clock=time.monotonic, kernel=asked.kernel, executor=pool)


def as_json(result: Result) -> dict[str, Any]:
    explanation = result.explanation
    return {
        "verdict": result.verdict.value,
        "reason": result.reason,
        "certificate": certificate.summary(result),
        "parts": len(result.parts),
        "explanation": None
        if explanation is None
        else {
            "label": explanation.label,
            "text": explanation.text,
            "operations": [operation.id for operation in explanation.operations],
            "shrunk": [operation.id for operation in explanation.shrunk],
            "expectations": [
                {"operation": e.operation.id, "reason": e.reason, "expected": e.expected, "got": e.got}
                for e in explanation.expectations
            ],
        },
    }


def in_words(result: Result, about: dict[str, Any]) -> list[str]:
    """The verdict, what proves it, why, and what it cost."""
    proof = certificate.summary(result)
    said = [
        f"{result.verdict.value.upper()}: {MEANING[result.verdict]}",
        f"history    {about['operations']} operations from {about['file']}, {FORMATS[about['format']]}",
        f"model      {about['model']}; {len(result.parts)} partitions",
        f"evidence   {proof['text']}",
        f"kernel     {proof['kernel']}; {proof['steps']} steps, {proof['peak_bytes'] / 1e6:.1f} MB of search,"
        f" {about['seconds']} s (reading: {about['read_seconds']} s)",
    ]
    explanation = result.explanation
    if explanation is not None:
        said += ["", f"{explanation.label}: {explanation.text}"]
        own = result.failed[0].model
        said += ["", "the operations:"]
        said += [f"  #{each.id}  {describe_fully(each, own)}" for each in explanation.operations]
        if 1 < len(explanation.shrunk) <= 20:
            said += ["", "a smaller history that still fails:"]
            said += [f"  #{each.id}  {describe_fully(each, own)}" for each in explanation.shrunk]
        for each in explanation.expectations[:5]:
            said.append(f"  {each.description}: {each.reason}; expected {each.expected}, got {each.got}")
    if result.verdict is Verdict.UNKNOWN:
        said += ["", f"not decided: {result.reason}"]
        part = next(part for part in result.parts if part.verdict is Verdict.UNKNOWN)
        crowd = part.found.crowded[:10]
        if crowd:
            said.append("most alternatives lay among these concurrent operations:")
            said += [f"  #{operation.id}  {describe_fully(operation, part.model)}" for operation in crowd]
    return said


def _fail(message: str) -> int:
    print(f"porcupine: {' '.join(message.split())}", file=sys.stderr)
    return FAILED


if __name__ == "__main__":
    sys.exit(main())
