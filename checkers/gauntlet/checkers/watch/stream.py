"""JSON values read from a text that is never held whole.

A file of one object may hold a million events in one list. Whoever reads it goes down to that list and takes
its elements one by one; what is held is the element and the text that was read ahead.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

from porcupine.history import HistoryError

AHEAD: Final = 1 << 16  # characters
LONGEST: Final = 1 << 28  # characters of one value: 256 Mi
_SPACE: Final = " \t\r\n"
_DECODE: Final = json.JSONDecoder().raw_decode


class JsonStream:
    """Errors are HistoryErrors with the number of the line. `line` counts from 1."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self._text = ""
        self._at = 0
        self._counted = 0  # up to where the lines of the text are in `_line`
        self._line = 1
        self._ended = False

    @property
    def line(self) -> int:
        """Where it stands."""
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line

    def next(self) -> str:
        """The next character that is no space, without taking it; empty at the end."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in _SPACE:
                    return self._text[self._at]
                self._at += 1
            if not self._more(AHEAD):
                return ""

    def take(self, character: str, where: str) -> None:
        found = self.next()
        if found != character:
            shown = repr(found) if found else "the end of the file"
            raise HistoryError(f"not JSON: {shown} where {character!r} belongs in {where}", self.line)
        self._at += 1

    def value(self) -> Any:
        """The next value, whole."""
        self.next()
        wanted = AHEAD
        while True:
            try:
                found, end = _DECODE(self._text, self._at)
            except json.JSONDecodeError as error:
                unfinished = error.msg.startswith("Unterminated") or error.pos >= len(self._text) - 8
                if unfinished and wanted < LONGEST and self._more(wanted):
                    wanted *= 2
                    continue
                self._at = max(self._at, min(error.pos, len(self._text)))
                raise HistoryError(f"not JSON: {error.msg}", self.line) from error
            if end < len(self._text) or not self._more(AHEAD):  # a number may go on
                self._at = end
                return found

    def fields(self) -> Iterator[str]:
        """The names of an object's fields; the caller takes each value before it asks for the next name."""
        yield from self._members("{", "}", "an object")

    def elements(self) -> Iterator[str]:
        """One for each element of a list; the caller takes it before it asks for the next."""
        yield from self._members("[", "]", "a list")

    def _members(self, first: str, last: str, where: str) -> Iterator[str]:
        self.take(first, where)
        if self.next() == last:
            self._at += 1
            return
        while True:
            name = ""
            if first == "{":
                if self.next() != '"':
                    self.take('"', where)
                name = self.value()
                self.take(":", where)
            yield name
            if self.next() == last:
                self._at += 1
                return
            self.take(",", where)

    def _more(self, characters: int) -> bool:
        """Reads so much more; False at the end of the text. What was taken is let go."""
        read, wanted = [], characters
        for line in self._lines:
            read.append(line)
            wanted -= len(line)
            if wanted <= 0:
                break
        if not read:
            return False
        self._line, self._counted = self.line, 0
        self._text = self._text[self._at :] + "".join(read)
        self._at = 0
        return True
