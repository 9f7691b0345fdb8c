"""Cuts a stream of bytes into JSON values, as they arrive.

Only where a value ends is looked at here: brackets are counted outside strings. Whether it is JSON is for who
reads it. A value that is not an object or an array ends at white space or at the next opening bracket.
"""

from __future__ import annotations

import re

_WHITE = b" \t\r\n"
_INTERESTING = re.compile(rb'["\\{}\[\]]')
_STRING_END = re.compile(rb'["\\]')
_SCALAR_END = re.compile(rb"[ \t\r\n{\[]")


class JsonValues:
    """Feed it pieces; `take` gives the values that are complete, `rest` what is left at the end."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._at = 0  # scanned so far
        self._depth = 0
        self._in_string = False

    def feed(self, data: bytes) -> None:
        self._buffer += data

    @property
    def size(self) -> int:
        """Bytes held."""
        return len(self._buffer)

    def take(self) -> bytes | None:
        """The next complete value, without the space around it; None while there is none."""
        buffer = self._buffer
        if self._at == 0:
            begin = len(buffer) - len(buffer.lstrip(_WHITE))
            del buffer[:begin]
            if not buffer:
                return None
            if buffer[0] not in b"{[":
                found = _SCALAR_END.search(buffer, 1)
                return None if found is None else self._cut(found.start())
        end = self._scan()
        return None if end is None else self._cut(end)

    def rest(self) -> bytes:
        """What has not been taken: empty, a number or a word at the end, or a value that was cut off."""
        return bytes(self._buffer).strip(_WHITE)

    def _cut(self, end: int) -> bytes:
        value = bytes(self._buffer[:end])
        del self._buffer[:end]
        self._at = self._depth = 0
        return value

    def _scan(self) -> int | None:
        """Where the value at the front ends; goes on where it stopped for want of bytes."""
        buffer, at = self._buffer, self._at
        while True:
            found = (_STRING_END if self._in_string else _INTERESTING).search(buffer, at)
            if found is None:
                self._at = len(buffer)
                return None
            at = found.end()
            byte = buffer[at - 1]
            if self._in_string:
                if byte == 0x22:
                    self._in_string = False
                elif at == len(buffer):
                    self._at = at - 1  # the escaped byte is not there yet
                    return None
                else:
                    at += 1
            elif byte == 0x22:
                self._in_string = True
            elif byte in b"{[":
                self._depth += 1
            elif byte in b"}]":
                self._depth -= 1
                if self._depth <= 0:
                    return at
