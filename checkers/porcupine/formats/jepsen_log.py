"""Jepsen's log of a compare-and-swap register, as `jepsen.util` prints it::

    INFO  jepsen.util - 3	:invoke	:cas	[0 3]
    INFO  jepsen.util - 3	:fail	:cas	[0 3]

Lines of other loggers are passed over. Read with the model `CasRegister`: a ``:fail`` of a compare-and-swap
says that the compare was refused, which is an answer; any other ``:fail`` says that nothing happened, and
``:info`` that nobody knows.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable

from porcupine.formats import edn
from porcupine.formats.events import Pairing
from porcupine.history import History, HistoryError, Outcome

_EVENT = re.compile(r"INFO\s+jepsen\.util\s+-\s+(\S+)\s+:(\w+)\s+:(\w+)\s+(.*?)\s*")
_LOGGER = re.compile(r"INFO\s+jepsen\.util\s+-\s+\S+\s+:")


def read(lines: Iterable[str]) -> History:
    """The history of a log. Raises HistoryError with the number of a broken line."""
    pairing = Pairing()
    for number, line in enumerate(lines, start=1):
        match = _EVENT.fullmatch(line)
        if match is None:
            if _LOGGER.match(line):
                raise HistoryError(f"cannot read {line.strip()!r}", number)
            continue
        process, kind, function, text = match.groups()
        if process == ":nemesis":
            continue
        try:
            value = edn.read(text)
        except edn.EdnError as error:
            raise HistoryError(str(error), number) from error
        if kind == "invoke":
            pairing.invoke(process, _call(function, value, number), number)
        elif kind in ("ok", "fail", "info"):
            _end(pairing, process, kind, value, number)
        else:
            raise HistoryError(f"unknown kind of event :{kind}", number)
    return pairing.history()


def _call(function: str, value: object, line: int) -> Hashable:
    match function, value:
        case "read", _:
            return ("read",)
        case "write", int() | str():
            return ("write", value)
        case "cas", (expected, new):
            return ("cas", expected, new)
    raise HistoryError(f"not an operation of a register: :{function} {value!r}", line)


def _end(pairing: Pairing, process: str, kind: str, value: object, line: int) -> None:
    call = pairing.running(process, line).call
    name = call[0] if isinstance(call, tuple) else ""
    if kind == "info":
        pairing.end(process, Outcome.UNKNOWN, None, line)
    elif name == "cas" and value != "timed-out":
        pairing.end(process, Outcome.OK, kind == "ok", line)
    elif kind == "fail":
        pairing.end(process, Outcome.FAILED, None, line)
    elif name == "read":
        if not isinstance(value, Hashable):
            raise HistoryError(f"cannot read the value {value!r}", line)
        pairing.end(process, Outcome.OK, value, line)
    else:
        pairing.end(process, Outcome.OK, None, line)
