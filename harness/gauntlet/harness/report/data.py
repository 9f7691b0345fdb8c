"""From a history to what the charts draw: a run directory's files, or operations of any other format.

Rules for size: a page has at most `MOST_BYTES`. Of the points every operation that was not plainly ok is
kept, up to a bound far above what a run has; of the ok ones an even sample, with the slowest and the
contradicting ones always among them. Rates, counts and quantiles are taken over all operations, and what was
left out is said. A history is held in columns of numbers, the whole record of an operation is fetched again
where one is drawn: a million operations need some 80 MB.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gauntlet.checkers.story import describe as describe_operation
from gauntlet.checkers.story import subject
from gauntlet.harness.rundir import RunDirectory, RunDirectoryError, read_lines
from porcupine.history import Operation

Record = dict[str, Any]

MOST_BYTES = 5_000_000
OK_POINTS = 24_000
OTHER_POINTS = 12_000
SLOWEST_KEPT = 500
RATE_BINS = 240
DENSITY_BINS = 1_200
LEAST_BIN_NS = 500_000_000
OUTCOMES = ("ok", "failed", "unknown")
COUNTED_NS = 1_000_000  # how long a line or an event is drawn where a history has no clock times
LONGEST_NAME = 60  # characters of a key in the charts


class Names:
    """Numbers for repeated texts."""

    def __init__(self) -> None:
        self.known: dict[Any, int] = {}

    def number(self, text: Hashable) -> int:
        return self.known.setdefault("" if text is None else text, len(self.known))

    def listed(self) -> list[Any]:
        return list(self.known)


class Log:
    """All operations in columns, in the order of their calls; times in ns. `record(i)` has everything."""

    def __init__(self, fetch: Callable[[int], Record]) -> None:
        self._fetch = fetch
        self.call, self.end, self.id, self.place = array("q"), array("q"), array("q"), array("q")
        self.outcome = bytearray()
        self.returned = bytearray()
        self.op, self.member, self.client = array("l"), array("l"), array("l")
        self.key, self.error = array("l"), array("l")
        self.ops, self.members, self.clients, self.keys, self.errors = (Names() for _ in range(5))

    def add(self, record: Mapping[str, Any], place: int) -> None:
        """place: what `fetch` finds the record by."""
        call, end = record["call_ns"], record.get("return_ns")
        self.call.append(call)
        self.end.append(end if isinstance(end, int) else call)
        self.returned.append(isinstance(end, int))
        self.id.append(int(record.get("id", 0)))
        self.place.append(place)
        self.outcome.append(OUTCOMES.index(record["outcome"]))
        self.op.append(self.ops.number(_name(record.get("op"))))
        self.member.append(self.members.number(_name(record.get("member"))))
        self.client.append(self.clients.number(_hashable(record.get("client"))))
        self.key.append(self.keys.number(_hashable(record.get("key"))))
        self.error.append(self.errors.number(error_text(record)))

    def sort(self) -> None:
        """By call, as `History` has them."""
        call = self.call
        if all(call[i] <= call[i + 1] for i in range(len(call) - 1)):
            return
        order = sorted(range(len(call)), key=call.__getitem__)
        for name in ("call", "end", "id", "place", "op", "member", "client", "key", "error"):
            column = getattr(self, name)
            setattr(self, name, array(column.typecode, (column[i] for i in order)))
        self.outcome = bytearray(self.outcome[i] for i in order)
        self.returned = bytearray(self.returned[i] for i in order)

    def __len__(self) -> int:
        return len(self.call)

    def record(self, index: int) -> Record:
        return self._fetch(self.place[index])

    def until(self, index: int, end_ns: int) -> int:
        """When it was over: at the end of everything for one that never returned."""
        return self.end[index] if self.returned[index] else end_ns

    def indices(self, ids: Iterable[int]) -> list[int]:
        wanted = set(ids)
        return [index for index, number in enumerate(self.id) if number in wanted] if wanted else []


def _name(value: object) -> str:
    return "" if value is None else str(value)


def _hashable(value: Any) -> Hashable:
    return value if isinstance(value, int | str | None) else str(value)


@dataclass(slots=True)
class RunFiles:
    """What is to be shown. Missing optional files are empty. `unit`: what times count, seconds if nothing
    else."""

    path: Path
    plan: Record
    results: Record
    faults: list[Record]
    leaders: list[Record]
    history: Log
    unit: str = ""
    source: Record = field(default_factory=dict)
    """Of a saved history: file, format, model."""
    end_ns: int = 0
    """The last moment that anything happened at."""

    def __post_init__(self) -> None:
        ends = [fault["end_ns"] for fault in self.faults if isinstance(fault.get("end_ns"), int)]
        self.end_ns = max((max(self.history.end, default=1), *ends))

    def explanation(self) -> Record | None:
        """Why the run is invalid: the judge's choice, or the first check's that has one."""
        chosen = self.results.get("explanation")
        if isinstance(chosen, dict):
            return chosen
        for check in self.results.get("checks") or []:
            if check.get("verdict") == "invalid" and isinstance(check.get("explanation"), dict):
                found: Record = check["explanation"]
                return found
        return None


def load_run(path: Path) -> RunFiles:
    """Read a run directory. RunDirectoryError in one line for one that cannot be read."""
    run = RunDirectory(path)
    plan = run.read_plan()
    results: Record = {}
    if run.results_file.exists():
        results = _one_object(run.results_file)
    faults = [fault for fault in run.faults() if isinstance(fault.get("start_ns"), int)]
    leaders = list(read_lines(run.leaders_file)) if run.leaders_file.exists() else []
    return RunFiles(path, plan, results, faults, leaders, _read_history(run.history_file))


def _read_history(path: Path) -> Log:
    places = array("q")

    def fetch(place: int) -> Record:
        with path.open("rb") as file:
            file.seek(place)
            record: Record = json.loads(file.readline())
            return record

    log = Log(fetch)
    position = 0
    try:
        with path.open("rb") as file:
            for line in file:
                places.append(position)
                position += len(line)
    except OSError as error:
        raise RunDirectoryError(f"cannot read {path}: {error.strerror}") from error
    for number, record in enumerate(read_lines(path), 1):
        if not isinstance(record.get("call_ns"), int) or record.get("outcome") not in OUTCOMES:
            raise RunDirectoryError(f"{path}: line {number}: not an operation")
        log.add(record, places[number - 1])
    log.sort()
    return log


def log_of(operations: Sequence[Operation], counted: bool) -> Log:
    """Of operations in the order of their calls. counted: their times are lines or events, not ns."""
    scale = COUNTED_NS if counted else 1

    def fetch(place: int) -> Record:
        operation = operations[place]
        return brief(operation) | {"text": describe_operation(operation), "args": {}, "response": None}

    def brief(operation: Operation) -> Record:
        op, key = subject(operation)
        returned = operation.return_time_ns
        return {
            "id": operation.id,
            "client": _hashable(operation.client),
            "member": operation.tags.get("member"),
            "op": op,
            "key": key,
            "call_ns": operation.call_time_ns * scale,
            "return_ns": None if returned is None else returned * scale,
            "outcome": operation.outcome.value,
            "error": operation.tags.get("error"),
        }

    log = Log(fetch)
    for place, operation in enumerate(operations):
        log.add(brief(operation), place)
    log.sort()
    return log


def _one_object(path: Path) -> Record:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunDirectoryError(f"cannot read {path}: {error}") from error
    if not isinstance(value, dict):
        raise RunDirectoryError(f"{path} is not a JSON object")
    return value


def points(run: RunFiles, marked: Iterable[int], share: int = 1) -> Record:
    """The scatter's points in columns; times in microseconds, the first column and the ids as differences.
    share: one of how many of the usual number of points."""
    log = run.history
    kept = _sample(log, set(log.indices(marked)), share)
    names = {name: Names() for name in ("ops", "members", "clients", "keys", "errors")}
    columns: dict[str, list[int]] = {name: [] for name in ("t", "d", "o", "p", "m", "c", "k", "e", "id")}
    texts = {
        "ops": ("p", log.op, log.ops.listed()),
        "members": ("m", log.member, log.members.listed()),
        "clients": ("c", log.client, log.clients.listed()),
        "keys": ("k", log.key, log.keys.listed()),
        "errors": ("e", log.error, log.errors.listed()),
    }
    last_time = last_id = 0
    for index in kept:
        time, number = log.call[index] // 1000, log.id[index]
        columns["t"].append(time - last_time)
        columns["d"].append(max(1, (log.end[index] - log.call[index]) // 1000))
        columns["o"].append(log.outcome[index])
        columns["id"].append(number - last_id)
        for name, (column, numbers, listed) in texts.items():
            columns[column].append(names[name].number(str(listed[numbers[index]])[:LONGEST_NAME]))
        last_time, last_id = time, number
    all_ok = log.outcome.count(0)
    shown_ok = sum(1 for outcome in columns["o"] if outcome == 0)
    return {
        "columns": columns,
        "names": {name: known.listed() for name, known in names.items()},
        "shown": {
            "ok": shown_ok,
            "all_ok": all_ok,
            "other": len(kept) - shown_ok,
            "all_other": len(log) - all_ok,
        },
    }


def error_text(record: Mapping[str, Any]) -> str:
    error = record.get("error")
    if not isinstance(error, Mapping):
        return ""
    return f"{error.get('code', '')}: {error.get('message', '')}"[:160]


def _sample(log: Log, marked: set[int], share: int) -> list[int]:
    ok = [index for index, outcome in enumerate(log.outcome) if outcome == 0]
    other = [index for index, outcome in enumerate(log.outcome) if outcome != 0]
    slowest = sorted(ok, key=lambda index: log.call[index] - log.end[index])[:SLOWEST_KEPT]
    chosen = {*_even(ok, OK_POINTS // share), *_even(other, OTHER_POINTS // share), *marked, *slowest}
    return sorted(chosen)


def _even(indices: Sequence[int], bound: int) -> Sequence[int]:
    if len(indices) <= bound:
        return indices
    step = len(indices) / bound
    return [indices[int(number * step)] for number in range(bound)]


def rates(run: RunFiles) -> Record:
    """Answers per second by outcome, counted at their return, in bins of at least half a second."""
    log, end = run.history, run.end_ns
    width = max(LEAST_BIN_NS, -(-end // RATE_BINS))
    bins = [[0] * (end // width + 1) for _ in OUTCOMES]
    for outcome, at in zip(log.outcome, log.end, strict=True):
        bins[outcome][at // width] += 1
    per_second = 1e9 / width
    return {
        "width_us": width // 1000,
        **{
            outcome: [round(value * per_second, 1) for value in bins[number]]
            for number, outcome in enumerate(OUTCOMES)
        },
    }


def density(run: RunFiles) -> Record:
    """How many operations were called in each of many equal pieces of the time, from the beginning on."""
    width = max(1000, -(-(run.end_ns + 1) // DENSITY_BINS))
    counts = [0] * (run.end_ns // width + 1)
    for at in run.history.call:
        counts[at // width] += 1
    return {"width_us": width / 1000, "counts": counts}


def leader_spans(run: RunFiles) -> list[Record]:
    """Who led from when to when. A sample holds until the next one that differs."""
    spans: list[Record] = []
    samples = sorted(
        (sample for sample in run.leaders if isinstance(sample.get("at_ns"), int)),
        key=lambda sample: sample["at_ns"],
    )
    for sample in samples:
        member, term, at = sample.get("member"), sample.get("term"), sample["at_ns"] // 1000
        if spans and (spans[-1]["member"], spans[-1]["term"]) == (member, term):
            continue
        if spans:
            spans[-1]["to"] = at
        spans.append({"from": at, "to": run.end_ns // 1000, "member": member, "term": term})
    return spans


def fault_spans(run: RunFiles) -> list[Record]:
    """Faults for the bands; one that never ended lasts to the end."""
    spans = []
    for fault in run.faults:
        evidence = fault.get("evidence")
        refused = isinstance(evidence, Mapping) and bool(evidence.get("refused"))
        end = fault.get("end_ns")
        spans.append(
            {
                "id": str(fault.get("id", "")),
                "name": str(fault.get("name", "fault")),
                "kind": str(fault.get("kind", "")),
                "from": fault["start_ns"] // 1000,
                "to": (end if isinstance(end, int) else run.end_ns) // 1000,
                "targets": [str(target) for target in fault.get("targets") or []],
                "refused": refused,
                "bit": bool(evidence.get("bit")) if isinstance(evidence, Mapping) else False,
            }
        )
    return sorted(spans, key=lambda span: (span["from"], span["id"]))
