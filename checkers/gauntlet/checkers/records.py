"""A run's history as operations on etcd keys.

The envelope of a line: ``id, client, member, op, key, args, call_ns, return_ns, outcome, response, error``.
The register workload's lines become a `Call` and an `Answer`. A line with another ``op`` becomes
``(op, key, frozen args)``, so that other workloads can share the file's reader.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from sys import intern
from typing import TYPE_CHECKING, Any, NamedTuple

from porcupine.history import History, HistoryError, Operation
from porcupine.jsonl import Record, frozen, read_operations, read_records
from porcupine.uncollected import uncollected

if TYPE_CHECKING:
    from gauntlet.checkers.watch.records import Watcher


class Call(NamedTuple):
    """What the register workload asks of one key."""

    op: str  # get, put, delete, cas
    key: str
    value: str | None = None  # of put and cas
    expected: int | None = None  # of cas: the mod_revision, 0 for an absent key


class Answer(NamedTuple):
    """What etcd said. None: the answer does not carry it."""

    revision: int | None = None  # of the header
    value: str | None = None
    mod_revision: int | None = None  # 0: the key is absent
    version: int | None = None
    create_revision: int | None = None
    deleted: int | None = None
    succeeded: bool | None = None


_INTEGERS = ("revision", "mod_revision", "version", "create_revision", "deleted")


def decode(record: Record) -> tuple[Hashable, Hashable]:
    """From a line to (call, answer). ValueError or KeyError says what is wrong with it."""
    op, key = record["op"], record.get("key")
    args = record.get("args") or {}
    key = intern(key) if type(key) is str else key
    if not isinstance(op, str):
        raise ValueError(f"op is {op!r}, not a string")
    if not isinstance(args, Mapping):
        raise ValueError(f"args is {args!r}, not an object")
    match op:
        case "get" | "delete":
            call = Call(op, _text("key", key))
        case "put" if args.keys() <= {"value"}:
            call = Call(op, _text("key", key), _text("value", args["value"]))
        case "cas":
            expected = _integer("expected", args["expected"])
            call = Call(op, _text("key", key), _text("value", args["value"]), expected)
        case _:
            return (op, frozen(key), frozen(args)), frozen(record.get("response"))
    return call, _answer(record.get("response"))


def _answer(response: object) -> Answer | None:
    if response is None:
        return None
    if not isinstance(response, Mapping):
        raise ValueError(f"response is {response!r}, not an object or null")
    numbers = {name: _integer(name, response[name]) for name in _INTEGERS if response.get(name) is not None}
    value, succeeded = response.get("value"), response.get("succeeded")
    if value is not None:
        _text("value", value)
    if succeeded is not None and not isinstance(succeeded, bool):
        raise ValueError(f"succeeded is {succeeded!r}, not a bool")
    return Answer(value=value, succeeded=succeeded, **numbers)


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} is {value!r}, not a string")
    return value


def _integer(name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{name} is {value!r}, not an integer")
    return value


@dataclass(slots=True)
class Run:
    """Everything a checker may look at. Times are ns since the run began.

    `leader_changes`: when etcd elected leaders, None where nobody wrote that down.
    `clock` gives seconds (`time.monotonic`); with one, a check gives up after `seconds` and says unknown.
    `memory` gives the most bytes that the process has held so far.
    """

    history: Sequence[Operation]
    faults: Sequence[Mapping[str, Any]] = ()
    clock: Callable[[], float] | None = None
    seconds: float | None = 120.0
    notes: dict[str, Any] = field(default_factory=dict)
    watches: Sequence[Watcher] = ()
    leader_changes: Sequence[int] | None = None
    memory: Callable[[], int] | None = None


def load(history_lines: Iterable[str], fault_lines: Iterable[str] = ()) -> Run:
    """A run from the lines of its two files. HistoryError names a broken line by its number."""
    with uncollected():
        history = History(read_operations(history_lines, decode))
    try:
        faults = [record for _, record in read_records(fault_lines)]
    except HistoryError as error:
        raise HistoryError(f"faults: {error.reason}", error.line) from error
    return Run(history, faults)


def is_serializable(operation: Operation) -> bool:
    """A read that asked for no more than some past state: real time says nothing about it."""
    args = operation.tags.get("args")
    return isinstance(args, Mapping) and bool(args.get("serializable"))


def answer_of(operation: Operation) -> Answer:
    """The answer of an ok operation of the register workload; empty where there is none."""
    return operation.response if isinstance(operation.response, Answer) else Answer()
