"""The key-value histories of the Go checker porcupine: one EDN map a line::

    {:process 0, :type :invoke, :f :append, :key "0", :value "x 0 0 y"}

Read with the model `Kv`: an absent key reads as the empty string.
"""

from __future__ import annotations

from collections.abc import Iterable

from porcupine.formats.jepsen import from_edn, map_call, map_end, read_events
from porcupine.history import History


def read(lines: Iterable[str]) -> History:
    """The history in the lines. Raises HistoryError with the number of a broken line."""
    return read_events(from_edn(lines), map_call, map_end)
