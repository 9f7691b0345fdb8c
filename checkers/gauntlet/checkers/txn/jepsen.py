"""Jepsen's EDN histories (history.edn): one map per event, or a vector of them::

    {:type :invoke, :process 0, :f :txn, :value [[:append 5 1] [:r 3 nil]], :index 0, :time 1200}

A log of the same events does as well (`porcupine.formats.jepsen`). The position of an event is its time.
Events of the nemesis and of other functions are passed over. `read` gives a history for `check_transactions`,
`read_objects` one for the checks of sets, counters and queues.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any

from porcupine.formats import edn
from porcupine.formats.events import Pairing
from porcupine.formats.jepsen import from_edn, logged
from porcupine.history import History, HistoryError, Outcome

_OUTCOMES = {"ok": Outcome.OK, "fail": Outcome.FAILED, "info": Outcome.UNKNOWN}


Translate = Callable[[str, Any, int], tuple[Hashable, Hashable] | None]
"""(function, value, line) to (call, response) of the event, or None to pass it over."""


def read_events(lines: Iterable[str], translate: Translate, log: bool = False) -> History:
    """The history of the clients' events, from EDN or from a log. HistoryError with the number of a broken
    line."""
    pairing = Pairing()
    for event in (logged if log else from_edn)(lines):
        translated = translate(event.function, event.value, event.line)
        if translated is None:
            continue
        call, response = translated
        if event.kind == "invoke":
            pairing.invoke(event.process, call, event.line)
        elif event.kind in _OUTCOMES:
            pairing.end(event.process, _OUTCOMES[event.kind], response, event.line)
        else:
            raise HistoryError(f"unknown type of event :{event.kind}", event.line)
    return pairing.history()


def read(lines: Iterable[str], log: bool = False) -> History:
    """The transactions of a list-append or register history. log: it is a log, not EDN."""
    return read_events(lines, _txn, log)


def _txn(function: str, value: Any, line: int) -> tuple[Hashable, Hashable] | None:
    if function != "txn":
        return None
    if not isinstance(value, tuple):
        raise HistoryError(f"a transaction is {value!r}, not a vector of micro-operations", line)
    micros = tuple(tuple(map(_plain, each)) if isinstance(each, tuple) else each for each in value)
    parts = (("txn", micros),)
    return ("txn", None, parts), parts


def read_objects(lines: Iterable[str], log: bool = False) -> History:
    """The operations of a set (add, read), a counter (add, read) or a queue (enqueue, dequeue, drain)."""
    return read_events(lines, _object, log)


def _object(function: str, value: Any, _line: int) -> tuple[Hashable, Hashable] | None:
    if function in ("add", "enqueue"):
        return (function, _plain(value)), None
    return ((function,), _plain(value)) if function in ("read", "dequeue", "drain") else None


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, edn.Keyword) else value
