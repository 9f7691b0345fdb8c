"""The part of EDN (extensible data notation, as Clojure prints it) that recorded histories use.

Values become Python's: nil None, true and false, integers and floats, strings str, keywords `Keyword`,
vectors and lists tuple, maps dict, sets frozenset. Tags (``#inst``, ``#jepsen...``) are read and left out.
Commas are space and ``;`` begins a comment, as in Clojure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any


class EdnError(ValueError):
    """The text is not EDN, or uses a part of it that histories do not."""


class Keyword(str):
    """``:read`` is Keyword("read"); it compares as the string without its colon."""

    __slots__ = ()


_TOKEN = re.compile(
    r"""[\s,]+|;[^\n]*|(?P<string>"(?:[^"\\]|\\.)*")|(?P<open>\#\{|[\[({])|(?P<close>[\])}])"""
    r"""|(?P<tag>\#[A-Za-z][^\s,"\[\](){};]*)|(?P<atom>[^\s,"\[\](){};]+)""",
    re.DOTALL,
)
_STRING_ENDS = re.compile(r'(?:[^";]|"(?:[^"\\]|\\.)*"|;[^\n]*)*', re.DOTALL)  # no text is left open
_FLAT = re.compile(r'\s*(?:#[\w.]+\s*)?\{(?:[^{}\[\]()"#;\\]|"[^"\\\n]*")*\}\s*')
_ITEM = re.compile(r'"[^"]*"|(?!#)[^\s,"{}]+(?![\w.]*\{)')
_CLOSING = {"[": "]", "(": ")", "{": "}", "#{": "}"}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\", "b": "\b", "f": "\f"}
_INTEGER = re.compile(r"[+-]?\d+N?")
_FLOAT = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?M?")


def read(text: str) -> object:
    """The one value in the text. Raises EdnError."""
    values = list(read_all(text))
    if len(values) != 1:
        raise EdnError(f"expected one value, found {len(values)}")
    return values[0]


def read_all(text: str) -> Iterator[object]:
    """Every value in the text, one after the other."""
    tokens = _tokens(text)
    for kind, token in tokens:
        if kind != "tag":
            yield _value(kind, token, tokens)


class LineError(EdnError):
    """Of `read_lines`: `line` is where it stopped, counted from 1."""

    def __init__(self, reason: str, line: int) -> None:
        super().__init__(reason)
        self.line = line


def read_lines(lines: Iterable[str]) -> Iterator[tuple[int, object]]:
    """(line of its beginning, value) for each value of a text, which is read line by line. A vector or list
    around everything is not a value: its items are. Raises LineError."""
    source = _Source(lines)
    tokens = source.tokens()
    around: str | None = None
    begun = False
    for kind, token in tokens:
        line = source.line
        try:
            if kind == "close" and around is not None and token == _CLOSING[around]:
                around = None
            elif token in ("[", "(") and not begun:
                around = token
            elif kind != "tag":
                yield line, _value(kind, token, tokens)
        except EdnError as error:
            raise error if isinstance(error, LineError) else LineError(str(error), line) from error
        begun = begun or kind != "tag"
    if around is not None:
        raise LineError(f"{around!r} is never closed", source.line)


class _Source:
    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = lines
        self.line = 0

    def tokens(self) -> Iterator[tuple[str, Any]]:
        """As `_tokens`; a line that is one map of simple values comes as that map, of the kind "value"."""
        open_string = ""  # a text that goes on on the next line
        for number, line in enumerate(self._lines, start=1):
            if not open_string:
                self.line = number
            if not open_string and _FLAT.fullmatch(line):
                flat = _flat(line, number)
                if flat is not None:
                    yield "value", flat
                    continue
            text = open_string + line
            if (text.count('"') % 2 or '\\"' in text) and _STRING_ENDS.fullmatch(text) is None:
                open_string = text
                continue
            open_string = ""
            try:
                yield from _tokens(text)
            except LineError:
                raise
            except EdnError as error:
                raise LineError(str(error), number) from error
        if open_string:
            raise LineError("a text is never closed", self.line)


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise EdnError(f"cannot read {text[position : position + 20]!r}")
        position = match.end()
        if match.lastgroup is not None:
            yield match.lastgroup, match.group()


def _flat(line: str, number: int) -> dict[object, object] | None:
    items = _ITEM.findall(line)
    if len(items) % 2:
        return None
    try:
        return dict(zip(map(_simple, items[::2]), map(_simple, items[1::2]), strict=True))
    except EdnError as error:
        raise LineError(str(error), number) from error


def _simple(item: str) -> object:
    if item.isdecimal():
        return int(item)
    return item[1:-1] if item[0] == '"' else _word(item)


def _value(kind: str, token: Any, tokens: Iterator[tuple[str, Any]]) -> object:
    if kind == "value":
        return token
    if kind == "string":
        return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[1]), token[1:-1], flags=re.DOTALL)
    if kind == "atom":
        return _atom(token)
    if kind == "close":
        raise EdnError(f"{token!r} closes nothing")
    items: list[object] = []
    for inner_kind, inner in tokens:
        if inner_kind == "close":
            if inner != _CLOSING[token]:
                raise EdnError(f"{token!r} is closed by {inner!r}")
            return _collection(token, items)
        if inner_kind != "tag":
            items.append(_value(inner_kind, inner, tokens))
    raise EdnError(f"{token!r} is never closed")


def _collection(opening: str, items: list[object]) -> object:
    try:
        if opening == "{":
            if len(items) % 2:
                raise EdnError("a map has a key without a value")
            return dict(zip(items[::2], items[1::2], strict=True))
        return frozenset(items) if opening == "#{" else tuple(items)
    except TypeError as error:
        raise EdnError("a map stands where only simple values can") from error


@lru_cache(maxsize=4096)
def _word(token: str) -> object:
    return _atom(token)


def _atom(token: str) -> object:
    if token.startswith(":") and len(token) > 1:
        return Keyword(token[1:])
    if token in ("nil", "true", "false"):
        return {"nil": None, "true": True, "false": False}[token]
    if _INTEGER.fullmatch(token):
        return int(token.rstrip("N"))
    if _FLOAT.fullmatch(token):
        return float(token.rstrip("M"))
    if re.fullmatch(r"[A-Za-z_.*+!?<>=$%&/-][^\s]*", token):
        return token  # a symbol
    raise EdnError(f"cannot read {token!r}")
