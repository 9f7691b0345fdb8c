"""Jepsen's histories, from its EDN (history.edn) or its log (jepsen.log, history.txt), for the models of
`porcupine.models`.

An event, as EDN and as a line of the log::

    {:type :invoke, :process 0, :f :write, :value 3, :time 1200, :index 0}
    INFO  jepsen.util - 0	:invoke	:write	3            (or only what stands behind the dash)

What ``:fail`` means depends on the function: a compare-and-swap that failed was refused, and a dequeue that
failed with ``:empty`` found nothing; these are answers. Any other ``:fail`` says that nothing happened, and
``:info`` that nobody knows. Operations on many registers carry ``[key value]`` (`jepsen.independent`); they
become `porcupine.models.keyed.On`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from porcupine.formats import edn
from porcupine.formats.events import Pairing
from porcupine.history import History, HistoryError, Outcome
from porcupine.models.keyed import On


class Event(NamedTuple):
    line: int
    process: Hashable
    kind: str  # invoke, ok, fail, info
    function: str
    value: Any
    key: Any = None
    error: Any = None


_LOGGED = re.compile(
    r"(?:.*\bjepsen\.util(?:\s+-|:)\s+)?(?P<process>:?\w+)\s+:(?P<kind>\w+)\s+:(?P<function>[^\s,{}\[\]()]+)"
    r"(?:\s+(?P<value>.*?))?\s*"
)
_MEANT = re.compile(r".*\bjepsen\.util(?:\s+-|:)\s+\S+\s+:|:?\w+\t:")  # must be an event, then
_WITHOUT_ERROR = re.compile(r"(.*?)(?:\t.*)?")


def logged(lines: Iterable[str]) -> Iterator[Event]:
    """The events of a log; lines of other loggers are passed over."""
    for number, line in enumerate(lines, start=1):
        if not _MEANT.match(line):
            continue
        match = _LOGGED.fullmatch(line)
        if match is None:
            raise HistoryError(f"cannot read {line.strip()[:200]!r}", number)
        process, kind, function, text = match.group("process", "kind", "function", "value")
        if process == ":nemesis":
            continue
        try:
            values = list(edn.read_all(text or ""))  # a message may stand behind the value
        except edn.EdnError as error:
            raise HistoryError(str(error), number) from error
        value, error_value = (*values[:2], None, None)[:2]
        yield Event(number, process, kind, function, value, None, error_value)


def from_edn(lines: Iterable[str]) -> Iterator[Event]:
    """The events of an EDN history, one map each, with or without a vector around them; read line by line."""
    try:
        for number, value in edn.read_lines(lines):
            if not isinstance(value, dict) or not {"process", "type", "f"} <= value.keys():
                raise HistoryError("not a map with :process, :type and :f", number)
            process, kind, function = value["process"], value["type"], str(value["f"])
            if process != "nemesis":
                error = value.get("error")
                yield Event(number, process, kind, function, value.get("value"), value.get("key"), error)
    except edn.LineError as error:
        raise HistoryError(str(error), error.line) from error


Call = Callable[[Event], Hashable]
"""The call of an invocation. TypeError or ValueError for one that the model does not know."""
End = Callable[[Event, Any], tuple[Outcome, Hashable]]
"""Outcome and answer of an end that is not ``:info``, and the call that it ends."""


def read_events(events: Iterable[Event], call: Call, end: End) -> History:
    """The history. HistoryError with the number of a broken line."""
    pairing = Pairing()
    for event in events:
        try:
            if event.kind == "invoke":
                asked = call(event)
                hash(asked)
                pairing.invoke(event.process, asked, event.line)
            elif event.kind == "info":
                pairing.end(event.process, Outcome.UNKNOWN, None, event.line)
            elif event.kind in ("ok", "fail"):
                running = pairing.running(event.process, event.line)
                outcome, response = end(event, running.call)
                hash(response)
                pairing.end(event.process, outcome, response, event.line)
            else:
                raise HistoryError(f"unknown kind of event :{event.kind}", event.line)
        except (TypeError, ValueError) as error:
            if isinstance(error, HistoryError):
                raise
            raise HistoryError(str(error), event.line) from error
    return pairing.history()


def _unknown(event: Event, what: str) -> ValueError:
    return ValueError(f"not an operation of {what}: :{event.function} {event.value!r}")


def register_call(event: Event) -> Hashable:
    """Of one register, or of many by key."""
    match event.function, event.value:
        case "read", (key, _):
            return On(key, ("read",))
        case "read", _:
            return ("read",)
        case "write", (key, int() | str() as value):
            return On(key, ("write", value))
        case "write", int() | str() as value:
            return ("write", value)
        case "cas", (key, (expected, new)):
            return On(key, ("cas", expected, new))
        case "cas", (expected, new):
            return ("cas", expected, new)
    raise _unknown(event, "a register")


def register_end(event: Event, call: Any) -> tuple[Outcome, Hashable]:
    value = event.value
    if isinstance(call, On):
        call, value = call.call, value[1] if isinstance(value, tuple) and len(value) == 2 else value
    if call[0] == "cas" and value != "timed-out":
        return Outcome.OK, event.kind == "ok"
    if event.kind == "fail":
        return Outcome.FAILED, None
    return Outcome.OK, value if call[0] == "read" else None


def map_call(event: Event) -> Hashable:
    key, value = event.key, event.value
    if event.function == "get" and isinstance(key, str):
        return ("get", key)
    if event.function in ("put", "append") and isinstance(key, str) and isinstance(value, str):
        return (event.function, key, value)
    raise ValueError(f"not an operation of a map: :{event.function} :key {key!r} :value {value!r}")


def map_end(event: Event, call: Any) -> tuple[Outcome, Hashable]:
    if event.kind == "fail":
        return Outcome.FAILED, None
    return Outcome.OK, event.value if call[0] == "get" else None


def counter_call(event: Event) -> Hashable:
    match event.function, event.value:
        case "add", int(amount):
            return ("add", amount)
        case "read" | "get", _:
            return ("get",)
    raise _unknown(event, "a counter")


def set_call(event: Event) -> Hashable:
    if event.function in ("add", "remove"):
        return (event.function, event.value)
    if event.function == "read":
        return ("read",)
    raise _unknown(event, "a set")


def queue_call(event: Event) -> Hashable:
    if event.function == "enqueue":
        return ("enqueue", event.value)
    if event.function == "dequeue":
        return ("dequeue",)
    raise _unknown(event, "a queue")


def lock_call(event: Event) -> Hashable:
    if event.function in ("acquire", "release"):
        return (event.function,)
    raise _unknown(event, "a mutex")


def _object_end(event: Event, call: Any) -> tuple[Outcome, Hashable]:
    name, value = call[0], event.value
    if event.kind == "fail":
        empty = name == "dequeue" and {event.error, value} & {"empty", "exhausted"}
        return (Outcome.OK, None) if empty else (Outcome.FAILED, None)
    if name == "read":
        return Outcome.OK, frozenset(value) if isinstance(value, tuple) else value
    return Outcome.OK, value if name in ("get", "dequeue") else None


def _token_end(event: Event, call: Any) -> tuple[Outcome, Hashable]:
    outcome, _ = _object_end(event, call)
    return outcome, event.value if outcome is Outcome.OK and call == ("acquire",) else None


VOCABULARIES: Mapping[str, tuple[Call, End]] = {
    "register": (register_call, register_end),
    "cas-register": (register_call, register_end),
    "kv": (map_call, map_end),
    "kv-whole": (map_call, map_end),
    "counter": (counter_call, _object_end),
    "set": (set_call, _object_end),
    "queue": (queue_call, _object_end),
    "mutex": (lock_call, _object_end),
    "fenced-mutex": (lock_call, _token_end),
}
"""By the model's name."""
