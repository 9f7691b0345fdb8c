"""Histories as JSON lines, read one line at a time; a broken line is named by its number.

Every line is one operation in this envelope; fields that are not named here travel along in the tags::

    {"id": 7, "client": 2, "call_ns": 1200, "return_ns": 1900, "outcome": "ok",
     "call": ["write", 5], "response": null}

Other tools put their call in other fields; they pass a `decode` that turns a record into call and response.
A field that is null is left out of the tags. Lists become tuples and objects sorted tuples of pairs, since
calls and responses must be hashable.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from sys import intern
from typing import Any

from porcupine.history import HistoryError, Operation, Outcome

Record = Mapping[str, Any]
Decode = Callable[[Record], tuple[Hashable, Hashable]]
"""From a record to (call, response). Raises KeyError, TypeError or ValueError for one that makes no sense."""

ENVELOPE = frozenset({"id", "client", "call_ns", "return_ns", "outcome", "call", "response"})
_OUTCOMES = {outcome.value: outcome for outcome in Outcome}


_FROZEN = frozenset({str, int, bool, float})


def frozen(value: object) -> Hashable:
    """The hashable twin of a JSON value."""
    if value is None or type(value) in _FROZEN:
        return value
    if isinstance(value, list):
        return tuple(frozen(item) for item in value)
    if isinstance(value, dict):
        return tuple(sorted((str(key), frozen(item)) for key, item in value.items()))
    return value if isinstance(value, Hashable) else repr(value)


def plain_call(record: Record) -> tuple[Hashable, Hashable]:
    """The decode of the envelope above."""
    return frozen(record["call"]), frozen(record.get("response"))


def read_records(lines: Iterable[str]) -> Iterator[tuple[int, Record]]:
    """(line number, object) for every line that is not empty. Raises HistoryError with the line's number."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise HistoryError(f"not JSON: {error.msg} at column {error.colno}", number) from error
        if not isinstance(record, dict):
            raise HistoryError(f"not an object but {type(record).__name__}", number)
        yield number, record


def read_operations(lines: Iterable[str], decode: Decode = plain_call) -> Iterator[Operation]:
    """The operations of a file of JSON lines, in its order. Raises HistoryError with the line's number."""
    for number, record in read_records(lines):
        try:
            yield _operation(record, decode)
        except KeyError as error:
            raise HistoryError(f"the field {error.args[0]!r} is missing", number) from error
        except (TypeError, ValueError) as error:
            raise HistoryError(str(error), number) from error


def _operation(record: Record, decode: Decode) -> Operation:
    called, returned, outcome = record["call_ns"], record.get("return_ns"), record["outcome"]
    if type(called) is not int:  # nor a bool
        raise ValueError(f"call_ns is {called!r}, not an integer")
    if returned is not None and type(returned) is not int:
        raise ValueError(f"return_ns is {returned!r}, not an integer or null")
    if outcome not in _OUTCOMES:
        raise ValueError(f"outcome is {outcome!r}, not one of {', '.join(_OUTCOMES)}")
    if returned is None and outcome == "ok":
        raise ValueError("the outcome is ok, but there is no return_ns")
    if returned is not None and returned < called:
        raise ValueError("it returned before it was called")
    number = record.get("id", -1)
    if type(number) is not int:
        raise ValueError(f"id is {number!r}, not an integer")
    call, response = decode(record)
    tags = {
        intern(key): intern(value) if type(value) is str else value
        for key, value in record.items()
        if key not in ENVELOPE and value is not None
    }
    return Operation(
        frozen(record["client"]), call, called, returned, _OUTCOMES[outcome], response, number, tags
    )
