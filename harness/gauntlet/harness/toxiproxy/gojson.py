"""Reads JSON the way the real server does, down to the words of its complaints.

Clients show these messages to people and tests compare them, so the embedded server says the same. Rules of
Go's encoding/json that matter here: only the first value of the body is read; field names match without
regard to case; null leaves a field as it is; fields nobody knows are skipped; a wrong type is noted, the rest
is still read, and the first such note is the error.
"""

from __future__ import annotations

import json
import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_SPACE = " \t\r\n"
_LITERALS = {"t": "true", "f": "false", "n": "null"}
_ESCAPES = frozenset('bfnrt\\/"')
_INT_BOUNDS = {"int64": 2**63, "int": 2**63}


class BadBody(Exception):
    """The message is Go's."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number as it was written."""

    text: str


class _Scanner:
    """One JSON value; errors as encoding/json words them."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def document(self) -> Any:
        if self._peek(skip=True) == "":
            raise BadBody("EOF")
        return self._value()

    def _peek(self, skip: bool = False) -> str:
        if skip:
            while self._at < len(self._text) and self._text[self._at] in _SPACE:
                self._at += 1
        return self._text[self._at] if self._at < len(self._text) else ""

    def _next(self, context: str, skip: bool = True) -> str:
        letter = self._peek(skip)
        if letter == "":
            raise BadBody("unexpected EOF")
        self._at += 1
        return letter

    def _bad(self, letter: str, context: str) -> BadBody:
        return BadBody(f"invalid character {_quoted(letter)} {context}")

    def _value(self) -> Any:
        letter = self._next("looking for beginning of value")
        if letter == "{":
            return self._object()
        if letter == "[":
            return self._array()
        if letter == '"':
            return self._string()
        if letter in _LITERALS:
            return self._literal(_LITERALS[letter])
        if letter == "-" or letter in string.digits:
            return self._number(letter)
        raise self._bad(letter, "looking for beginning of value")

    def _object(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        letter = self._next("")
        if letter == "}":
            return found
        while True:
            if letter != '"':
                raise self._bad(letter, "looking for beginning of object key string")
            key = self._string()
            letter = self._next("")
            if letter != ":":
                raise self._bad(letter, "after object key")
            found[key] = self._value()
            letter = self._next("")
            if letter == "}":
                return found
            if letter != ",":
                raise self._bad(letter, "after object key:value pair")
            letter = self._next("")

    def _array(self) -> list[Any]:
        found: list[Any] = []
        if self._peek(skip=True) == "]":
            self._at += 1
            return found
        while True:
            found.append(self._value())
            letter = self._next("")
            if letter == "]":
                return found
            if letter != ",":
                raise self._bad(letter, "after array element")

    def _string(self) -> str:
        start = self._at - 1
        while (letter := self._next("", skip=False)) != '"':
            if ord(letter) < 0x20:
                raise self._bad(letter, "in string literal")
            if letter != "\\":
                continue
            escape = self._next("", skip=False)
            if escape == "u":
                for _ in range(4):
                    digit = self._next("", skip=False)
                    if digit not in string.hexdigits:
                        raise self._bad(digit, "in \\u hexadecimal character escape")
            elif escape not in _ESCAPES:
                raise self._bad(escape, "in string escape code")
        text = json.loads(self._text[start : self._at])
        assert isinstance(text, str)
        return text

    def _literal(self, word: str) -> bool | None:
        for expected in word[1:]:
            letter = self._next("", skip=False)
            if letter != expected:
                raise self._bad(letter, f"in literal {word} (expecting {_quoted(expected)})")
        return {"true": True, "false": False, "null": None}[word]

    def _number(self, first: str) -> Number:
        start = self._at - 1
        if first == "-":
            first = self._next("", skip=False)
            if first not in string.digits:
                raise self._bad(first, "in numeric literal")
        if first != "0":
            self._digits()
        if self._peek() == ".":
            self._at += 1
            self._some_digits("after decimal point in numeric literal")
        if self._peek() in ("e", "E"):
            self._at += 1
            if self._peek() in ("+", "-"):
                self._at += 1
            self._some_digits("in exponent of numeric literal")
        return Number(self._text[start : self._at])

    def _some_digits(self, context: str) -> None:
        letter = self._next("", skip=False)
        if letter not in string.digits:
            raise self._bad(letter, context)
        self._digits()

    def _digits(self) -> None:
        while self._peek() != "" and self._peek() in string.digits:
            self._at += 1


def _quoted(letter: str) -> str:
    if letter == "'":
        return "'\\''"
    if letter == '"':
        return "'\"'"
    escaped = json.dumps(letter, ensure_ascii=False)[1:-1]
    return f"'{escaped}'"


def decode(body: bytes | bytearray) -> Any:
    """The first value: dict, list, str, Number, bool or None."""
    return _Scanner(body.decode("utf-8", "replace")).document()


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a Go struct: its Go type is one of string, bool, int64, int, float32, raw."""

    name: str
    go_type: str


def fill(value: Any, fields: Mapping[str, Field], prefix: str, wanted: str) -> dict[str, Any]:
    """The known fields of an object, each with a value of its type; BadBody words the first mismatch.

    prefix stands before the field in the message (`Proxy.`, `LatencyToxic.attributes.`); wanted is what the
    message says when the value is no object at all (`value of type toxiproxy.Proxy`).
    """
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadBody(f"json: cannot unmarshal {kind_of(value)} into Go {wanted}")
    lowered = {name.lower(): field for name, field in fields.items()}
    found: dict[str, Any] = {}
    first: BadBody | None = None
    for name, given in value.items():
        field = fields.get(name) or lowered.get(name.lower())
        if field is None or given is None:
            continue
        try:
            found[field.name] = _convert(given, field, f"{prefix}{field.name}")
        except BadBody as error:
            first = first or error
    if first is not None:
        raise first
    return found


def _convert(value: Any, field: Field, where: str) -> Any:
    kind = field.go_type
    if kind == "raw":
        return value
    if kind == "string" and isinstance(value, str):
        return value
    if kind == "bool" and isinstance(value, bool):
        return value
    if isinstance(value, Number):
        if kind in _INT_BOUNDS and value.text.lstrip("-").isdigit():
            number = int(value.text)
            if -_INT_BOUNDS[kind] <= number < _INT_BOUNDS[kind]:
                return number
        if kind == "float32":
            real = float(value.text)
            if abs(real) <= 3.4028235e38:
                return real
        # Go names the number only where a number was wanted.
        shown = f"number {value.text}" if kind in _INT_BOUNDS or kind == "float32" else "number"
        raise BadBody(f"json: cannot unmarshal {shown} into Go struct field {where} of type {kind}")
    raise BadBody(f"json: cannot unmarshal {kind_of(value)} into Go struct field {where} of type {kind}")


def kind_of(value: Any) -> str:
    if isinstance(value, dict):
        return "object"
    if isinstance(value, list):
        return "array"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, Number):
        return "number"
    return "string"
