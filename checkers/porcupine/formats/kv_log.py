"""The key-value histories of the Go checker porcupine: one EDN map a line::

    {:process 0, :type :invoke, :f :append, :key "0", :value "x 0 0 y"}

Read with the model `Kv`: an absent key reads as the empty string.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from porcupine.formats import edn
from porcupine.formats.events import Pairing
from porcupine.history import History, HistoryError, Outcome

_OUTCOMES = {"ok": Outcome.OK, "fail": Outcome.FAILED, "info": Outcome.UNKNOWN}


def read(lines: Iterable[str]) -> History:
    """The history in the lines. Raises HistoryError with the number of a broken line."""
    pairing = Pairing()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            event = edn.read(line)
        except edn.EdnError as error:
            raise HistoryError(str(error), number) from error
        if not isinstance(event, dict) or not {"process", "type", "f"} <= event.keys():
            raise HistoryError("not a map with :process, :type and :f", number)
        process, kind, value = event["process"], event["type"], event.get("value")
        if kind == "invoke":
            pairing.invoke(process, _call(event, number), number)
        elif kind in _OUTCOMES:
            reads = event["f"] == "get" and kind == "ok"
            pairing.end(process, _OUTCOMES[kind], value if reads else None, number)
        else:
            raise HistoryError(f"unknown type of event :{kind}", number)
    return pairing.history()


def _call(event: dict[str, object], line: int) -> Hashable:
    function, key, value = event["f"], event.get("key"), event.get("value")
    if function == "get" and isinstance(key, str):
        return ("get", key)
    if function in ("put", "append") and isinstance(key, str) and isinstance(value, str):
        return (str(function), key, value)
    raise HistoryError(f"not an operation of a map: {event!r}", line)
