"""Jepsen's log of a compare-and-swap register, as `jepsen.util` prints it::

    INFO  jepsen.util - 3	:invoke	:cas	[0 3]
    INFO  jepsen.util - 3	:fail	:cas	[0 3]

Lines of other loggers are passed over. Read with the model `CasRegister`; `porcupine.formats.jepsen` has the
rules.
"""

from __future__ import annotations

from collections.abc import Iterable

from porcupine.formats.jepsen import logged, read_events, register_call, register_end
from porcupine.history import History


def read(lines: Iterable[str]) -> History:
    """The history of a log. Raises HistoryError with the number of a broken line."""
    return read_events(logged(lines), register_call, register_end)
