"""What a file of operations is, and how its operations are read for a model of porcupine.

A format is recognised by the first lines that any of them can claim; lines before them (a log's talk) are
passed over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from porcupine.formats import jepsen
from porcupine.history import History, HistoryError
from porcupine.jsonl import read_operations

JSONL, LOG, EDN, KV = "jsonl", "jepsen-log", "edn", "kv"
FORMATS: Final = {
    JSONL: "JSON lines, one operation each",
    LOG: "a log of Jepsen",
    EDN: "an EDN history of Jepsen",
    KV: "a key-value history of the Go checker porcupine",
}
LOOKED_AT: Final = 20_000  # lines, until the format has to be plain

_LOGGED = re.compile(r".*\bjepsen\.util(?:\s+-|:)\s+\S+\s+:\w+\s+:\S+|:?\w+\t:\w+\t:\S+")
_MAP_OF_KEYS = re.compile(r".*:f :(?:get|put|append)\b.*:key\s")
_EDN = re.compile(r"\s*[\[(]*\s*(?:#[\w.]+\s*)?\{\s*:|\s*[\[(]\s*$|\s*;")


def detect(lines: Iterable[str]) -> str | None:
    """The format of the text that begins with these lines; None when it is none of ours."""
    for line in islice(lines, LOOKED_AT):
        if not line.strip():
            continue
        if _LOGGED.match(line):
            return LOG
        if _EDN.match(line):
            return KV if _MAP_OF_KEYS.match(line) else EDN
        if line.lstrip().startswith("{"):
            return JSONL if _is_operation(line) else None
    return None


def _is_operation(line: str) -> bool:
    try:
        record = json.loads(line)
    except ValueError:
        return '"call_ns"' in line or '"outcome"' in line
    return isinstance(record, dict) and ("call_ns" in record or "outcome" in record)


def read(lines: Iterable[str], format: str, model: str) -> History:
    """The history of the lines for a model of `porcupine.models`. HistoryError names a broken line;
    ValueError for a model that the format has no words for."""
    if format == JSONL:
        return History(read_operations(lines))
    if model not in jepsen.VOCABULARIES:
        raise ValueError(f"{FORMATS[format]} has no operations for the model {model}")
    if format == KV and not model.startswith("kv"):
        raise ValueError(f"{FORMATS[KV]} is judged by the models kv and kv-whole, not by {model}")
    source = jepsen.logged if format == LOG else jepsen.from_edn
    history = jepsen.read_events(source(lines), *jepsen.VOCABULARIES[model])
    if not history:
        raise HistoryError(f"there is no operation in it ({FORMATS[format]} was expected)")
    return history


def decoded(lines: Iterable[bytes]) -> Iterator[str]:
    """Lines as text. HistoryError for the first that is not UTF-8."""
    for number, line in enumerate(lines, start=1):
        try:
            yield line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise HistoryError(f"not UTF-8 at byte {error.start + 1}", number) from error
