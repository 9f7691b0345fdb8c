"""Jepsen's EDN histories (history.edn): one map per event, or a vector of them::

    {:type :invoke, :process 0, :f :txn, :value [[:append 5 1] [:r 3 nil]], :index 0, :time 1200}

The position of an event is its time. Events of the nemesis and of other functions are passed over. `read`
gives a history for `check_transactions`, `read_objects` one for the checks of sets, counters and queues.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Any

from porcupine.formats import edn
from porcupine.formats.events import Pairing
from porcupine.history import History, HistoryError, Outcome

Event = dict[Any, Any]
_OUTCOMES = {"ok": Outcome.OK, "fail": Outcome.FAILED, "info": Outcome.UNKNOWN}


def events(lines: Iterable[str]) -> Iterator[tuple[int, Event]]:
    """(line number, event). HistoryError with the number of a broken line; a vector of events is one text."""
    waiting: list[str] = []
    begun = 0
    for number, line in enumerate(lines, start=1):
        if waiting or line.lstrip().startswith(("[", "(")):
            begun = begun or number
            waiting.append(line)
            continue
        for value in _values(line, number):
            yield number, _event(value, number)
    for value in _values("".join(waiting), begun):
        for each in value if isinstance(value, tuple) else (value,):
            yield begun, _event(each, begun)


def _values(text: str, number: int) -> Iterator[object]:
    try:
        yield from edn.read_all(text)
    except edn.EdnError as error:
        raise HistoryError(str(error), number) from error


def _event(value: object, number: int) -> Event:
    if not isinstance(value, dict) or not {"process", "type", "f"} <= value.keys():
        raise HistoryError("not a map with :process, :type and :f", number)
    return value


Translate = Callable[[str, Any, int], tuple[Hashable, Hashable] | None]
"""(function, value, line) to (call, response) of the event, or None to pass it over."""


def read_events(lines: Iterable[str], translate: Translate) -> History:
    """The history of the clients' events. HistoryError with the number of a broken line."""
    pairing = Pairing()
    for number, event in events(lines):
        process, kind = event["process"], event["type"]
        if not isinstance(process, int):
            continue
        translated = translate(str(event["f"]), event.get("value"), number)
        if translated is None:
            continue
        call, response = translated
        if kind == "invoke":
            pairing.invoke(process, call, number)
        elif kind in _OUTCOMES:
            pairing.end(process, _OUTCOMES[kind], response, number)
        else:
            raise HistoryError(f"unknown type of event :{kind}", number)
    return pairing.history()


def read(lines: Iterable[str]) -> History:
    """The transactions of a list-append or register history."""
    return read_events(lines, _txn)


def _txn(function: str, value: Any, line: int) -> tuple[Hashable, Hashable] | None:
    if function != "txn":
        return None
    if not isinstance(value, tuple):
        raise HistoryError(f"a transaction is {value!r}, not a vector of micro-operations", line)
    micros = tuple(tuple(map(_plain, each)) if isinstance(each, tuple) else each for each in value)
    parts = (("txn", micros),)
    return ("txn", None, parts), parts


def read_objects(lines: Iterable[str]) -> History:
    """The operations of a set (add, read), a counter (add, read) or a queue (enqueue, dequeue, drain)."""
    return read_events(lines, _object)


def _object(function: str, value: Any, _line: int) -> tuple[Hashable, Hashable] | None:
    if function in ("add", "enqueue"):
        return (function, _plain(value)), None
    return ((function,), _plain(value)) if function in ("read", "dequeue", "drain") else None


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, edn.Keyword) else value
