"""Histories of the whole store, 50 clients, judged by the revision witness: from a saved file, and from
Python's operations. Each measurement in a process of its own, for its memory."""

from __future__ import annotations

import gc
import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import histories
from common import child, peak, resident, shown
from gauntlet.checkers.etcd.decide import decide
from gauntlet.checkers.etcd.native import WORDS, columns_of
from gauntlet.checkers.etcd.records import encode_answer, encode_call
from gauntlet.checkers.etcd.register import decode, of_operation
from porcupine import KernelError, Operation
from porcupine.history import History
from porcupine.jsonl import read_operations
from porcupine.kernel import VARIABLE, choose
from porcupine.uncollected import uncollected

SIZES = ((100_000, "0.05 s, 0.5 s"), (1_000_000, "1 s and 0.5 GB, 6 s"))
PIECE = 1 << 20
READ, PROOF, DECIDE, BYTES = "reading", "verdict", "decide()", "bytes"


class Best:
    """The least seconds of several turns, by name."""

    def __init__(self) -> None:
        self.found: dict[str, float] = {}

    def least(self, name: str, run: Callable[[], Any]) -> Any:
        gc.collect()
        started = time.perf_counter()
        given = run()
        self.found[name] = min(time.perf_counter() - started, self.found.get(name, math.inf))
        return given


def turns(size: int) -> range:
    return range(5 if size <= 100_000 else 2)


def from_operations(size: int, path: str) -> dict[str, float]:
    """Both kernels on a list of Python's operations, which is then written to the file."""
    operations = histories.generate(1, size, 50, mix=histories.Mix.plain())
    gc.freeze()
    best = Best()
    try:
        native = choose("native").native
        os.environ[VARIABLE] = "native"
        before = resident()
        for _ in turns(size):
            best.least("columns", partial(native.EtcdColumns, operations, WORDS))
            best.least("native", partial(judge, operations))
        best.found["native bytes"] = float(peak() - before)
    except KernelError:
        pass
    os.environ[VARIABLE] = "python"
    before = resident()
    for _ in turns(size):
        best.least("python", partial(judge, operations))
    best.found["python bytes"] = float(peak() - before)
    write(operations, Path(path))
    return best.found


def write(operations: Iterable[Operation], path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        for operation in operations:
            call: Any = operation.call
            answer: Any = operation.response
            record = {
                "id": operation.id,
                "client": operation.client,
                "member": "m1",
                **encode_call(call),
                "call_ns": operation.call_time_ns,
                "return_ns": operation.return_time_ns,
                "outcome": operation.outcome.value,
                "response": encode_answer(answer),
                "error": None,
            }
            file.write(json.dumps(record, separators=(",", ":")) + "\n")


def valid(verdict: str) -> None:
    if verdict != "valid":
        raise SystemExit(f"the verdict on an etcd history is {verdict}, but it is valid")


def from_lines(kernel: str, size: int, path: str) -> dict[str, float]:
    """One kernel on the file: reading it, and the verdict on what was read. The memory is that of both."""
    os.environ[VARIABLE] = kernel
    best = Best()
    before = resident()
    for _ in turns(size) if kernel == "native" else range(1):
        if kernel == "native":
            best.least(PROOF, partial(prove, best.least(READ, partial(in_columns, path))))
        else:
            best.least(PROOF, partial(judge, best.least(READ, partial(in_python, path))))
    best.found[BYTES] = float(peak() - before)
    return best.found


def prove(columns: Any) -> None:
    valid("unknown" if columns.proof() is None else "valid")


def judge(operations: list[Operation]) -> None:
    valid(decide(operations).verdict)


def in_columns(path: str) -> Any:
    with Path(path).open("rb") as file:
        columns = columns_of(iter(partial(file.read, PIECE), b""))
    if columns is None:
        raise SystemExit("the native kernel did not read an etcd history")
    return columns


def in_python(path: str) -> list[Operation]:
    with uncollected(), Path(path).open(encoding="utf-8") as file:
        return list(map(of_operation, History(read_operations(file, decode))))


def table(native: bool) -> list[str]:
    rows = [
        [
            "etcd history",
            "aim: native, pure",
            "native, verdict on the columns",
            "native, reading the file into columns",
            "native, decide() on Python's operations",
            "pure Python, decide()",
            "pure Python, reading the file",
        ]
    ]
    rows.append(["---"] * len(rows[0]))
    with tempfile.TemporaryDirectory() as folder:
        for size, wanted in SIZES:
            print(f"etcd: {size}", file=sys.stderr, flush=True)
            path = str(Path(folder) / "history.jsonl")
            operations = child("etcd", size, path)
            pure = child("etcd-python", size, path)
            cells = ["", "", ""]
            if native:
                lines = child("etcd-native", size, path)
                cells = [
                    shown(lines[PROOF]),
                    f"{shown(lines[READ])}, {megabytes(lines[BYTES])} with the verdict",
                    f"{shown(operations['native'])} ({shown(operations['columns'])} of it for the columns),"
                    f" {megabytes(operations['native bytes'])}",
                ]
            cells += [
                f"{shown(operations['python'])}, {megabytes(operations['python bytes'])}",
                f"{shown(pure[READ])}, {megabytes(pure[BYTES])} with the verdict",
            ]
            rows.append([f"{size:,} operations", wanted, *cells])
    return ["| " + " | ".join(row) + " |" for row in rows]


def megabytes(size: float) -> str:
    return f"{size / 1e6:.0f} MB"
