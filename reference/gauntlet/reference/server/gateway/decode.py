"""JSON into messages, with the leniency and the error texts of Go's protojson (what grpc-gateway reads with).

Rules (encoding/json for the syntax, protojson 1.36 for the meaning):

- The whole value must be JSON before anything in it is looked at.
- A field goes by its proto name or its lower-camel name. Unknown fields and unknown enum names are passed
  over; null leaves a field as it was; a field or a oneof given twice is an error.
- Integers may be numbers or strings of numbers, and may have an exponent or a fraction of zeros; bytes are
  base64 of either alphabet, padded or not; a bool is true or false and nothing else.
- Positions are line and column, counted from 1; columns count characters.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from json import JSONDecodeError
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

MAX_DEPTH = 10_000
_SURROGATE = re.compile("[\\udc80-\\udcff]")
_LONE = re.compile("[\\ud800-\\udfff]")
_SPACE = re.compile(r"[ \t\n\r]*")
_TOKEN = re.compile(r'[{}\[\],:]|"(?:[^"\\]|\\.)*"|[^\s{}\[\],:"]+', re.DOTALL)
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")

_INT_BOUNDS: Final = {
    FieldDescriptor.CPPTYPE_INT32: (-(1 << 31), (1 << 31) - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(1 << 63), (1 << 63) - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, (1 << 32) - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, (1 << 64) - 1),
}
_KINDS: Final = {
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_UINT32: "uint32",
    FieldDescriptor.TYPE_UINT64: "uint64",
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_BYTES: "bytes",
    FieldDescriptor.TYPE_ENUM: "enum",
}


# The scanner of Python's own decoder: text and the position after the opening quote, to value and end.
# typeshed does not know the attribute.
_scan_string: Callable[[str, int], tuple[str, int]] = json.JSONDecoder().parse_string  # type: ignore[attr-defined]


class JsonError(Exception):
    """The text is not such a message; the words are what the client is told."""


def read_message(data: bytes, message: Message) -> None:
    """Fills `message` from one JSON value. JsonError when it cannot be; the message may be half filled."""
    text = _checked(data)
    try:
        _Reader(text).message(message, 0)
    except RecursionError:
        raise JsonError("proto: exceeded max recursion depth") from None


def _checked(data: bytes) -> str:
    """The text, once it is sure to be one JSON value."""
    text = data.decode("utf-8", "surrogateescape")
    try:
        json.loads(text, parse_constant=_refuse_constant, parse_int=_zero, parse_float=_zero)
    except JSONDecodeError as error:
        raise JsonError(_syntax(text, error)) from None
    except _ConstantError as error:
        raise JsonError(_bad_word(str(error), 0)) from None
    except RecursionError:
        raise JsonError("exceeded max depth") from None
    if not text.isascii() and _SURROGATE.search(text):
        raise JsonError("proto: syntax error (line 1:1): invalid UTF-8 detected")
    return text


def _zero(_: str) -> int:
    return 0


class _ConstantError(Exception):
    """NaN and the infinities, which Python takes for JSON."""


def _refuse_constant(name: str) -> None:
    raise _ConstantError(name)


_WORDS = {"t": "true", "f": "false", "n": "null"}


def _bad_word(text: str, at: int) -> str:
    """What is wrong with the value that should begin at `at`."""
    word = _WORDS.get(text[at])
    if word is None and text[at] != "-":
        return f"invalid character {_quoted(text[at])} looking for beginning of value"
    shared = 1
    while word is not None and text[at : at + shared + 1] == word[: shared + 1]:
        shared += 1
    if at + shared >= len(text):
        return "unexpected EOF"
    found = _quoted(text[at + shared])
    if word is None:
        return f"invalid character {found} in numeric literal"
    return f"invalid character {found} in literal {word} (expecting '{word[shared]}')"


_CONTEXTS = (
    ("Expecting property name", "looking for beginning of object key string"),
    ("Illegal trailing comma before end of object", "looking for beginning of object key string"),
    ("Illegal trailing comma before end of array", "looking for beginning of value"),
    ("Expecting ':'", "after object key"),
    ("Extra data", "after top-level value"),
    ("Invalid control character", "in string literal"),
    ("Invalid \\escape", "in string escape code"),
    ("Invalid \\uXXXX", "in \\u hexadecimal character escape"),
)


def _syntax(text: str, error: JSONDecodeError) -> str:
    """encoding/json's words for what Python's parser found."""
    at = error.pos
    if error.msg.startswith("Unterminated") or at >= len(text):
        return "unexpected EOF"
    if error.msg.startswith("Illegal trailing comma"):
        at = _SPACE.match(text, at + 1).end()  # type: ignore[union-attr]  # the pattern matches everywhere
    if error.msg.startswith("Invalid \\escape"):
        at += 1
    if error.msg.startswith("Expecting value"):
        return _bad_word(text, at)
    context = next((words for start, words in _CONTEXTS if error.msg.startswith(start)), None)
    if context is None:
        in_object = text.rfind("{", 0, at) > text.rfind("[", 0, at)
        context = "after object key:value pair" if in_object else "after array element"
    return f"invalid character {_quoted(text[at : at + 1])} {context}"


def _quoted(char: str) -> str:
    if char == "'":
        return "'\\''"
    if char == '"':
        return "'\"'"
    return f"'{char}'" if char.isprintable() else repr(char)


class _Reader:
    """Walks a text that is known to be JSON."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def message(self, message: Message, depth: int) -> None:
        if depth >= MAX_DEPTH:
            raise JsonError("proto: exceeded max recursion depth")
        word, start = self._next()
        if word != "{":
            raise self._unexpected(word, start)
        fields = _fields(message.DESCRIPTOR)
        seen: set[str] = set()
        unions: set[str] = set()
        if self._peek() == "}":
            self._next()
            return
        while True:
            raw, start = self._next()
            name = json.loads(raw)
            self._next()  # the colon
            field = fields.get(name)
            if field is None:
                self._skip()
            else:
                if field.name in seen:
                    raise self._error(start, f"duplicate field {raw}")
                seen.add(field.name)
                self._field(message, field, raw, start, unions, depth)
            if self._next()[0] == "}":
                return

    def _field(
        self, message: Message, field: FieldDescriptor, raw: str, start: int, unions: set[str], depth: int
    ) -> None:
        if self._peek() == "null":
            self._next()
            return
        if field.is_repeated:
            self._list(message, field, depth)
            return
        union = field.containing_oneof
        if union is not None:
            if union.name in unions:
                raise self._error(start, f"error parsing {raw}, oneof {union.full_name} is already set")
            unions.add(union.name)
        if field.message_type is not None:
            child = getattr(message, field.name)
            child.SetInParent()
            self.message(child, depth + 1)
            return
        value = self._scalar(field)
        if value is not None:
            setattr(message, field.name, value)

    def _list(self, message: Message, field: FieldDescriptor, depth: int) -> None:
        word, start = self._next()
        if word != "[":
            raise self._unexpected(word, start)
        items = getattr(message, field.name)
        if self._peek() == "]":
            self._next()
            return
        while True:
            if field.message_type is not None:
                self.message(items.add(), depth + 1)
            elif (value := self._scalar(field)) is not None:
                items.append(value)
            if self._next()[0] == "]":
                return

    def _scalar(self, field: FieldDescriptor) -> Any:
        """A value for the field, or None for an enum name that is not known."""
        start = _SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]  # matches everywhere
        if self._text[start] == '"':
            value, self._at = _scan_string(self._text, start + 1)
            if not value.isascii() and _LONE.search(value):
                raise self._syntax_error(
                    start, f"invalid escape code in string {self._text[start : self._at]}"
                )
            converted = _from_string(field, value)
        else:
            word, start = self._next()
            converted = _from_word(field, word)
        if converted is _INVALID:
            raw = self._text[start : self._at]
            kind = _KINDS[field.type]
            raise self._error(start, f"invalid value for {kind} field {field.json_name}: {raw}")
        return converted

    def _skip(self) -> None:
        depth = 0
        while True:
            word, _ = self._next()
            if word in "{[":
                depth += 1
            elif word in "}]":
                depth -= 1
            if depth == 0:
                return

    def _next(self) -> tuple[str, int]:
        start = _SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]  # matches everywhere
        if self._text[start] == '"':
            _, self._at = _scan_string(self._text, start + 1)
        else:
            self._at = _TOKEN.match(self._text, start).end()  # type: ignore[union-attr]  # it is JSON
        return self._text[start : self._at], start

    def _peek(self) -> str:
        held = self._at
        word, _ = self._next()
        self._at = held
        return word

    def _error(self, at: int, words: str) -> JsonError:
        return JsonError(f"proto: ({self._position(at)}): {words}")

    def _unexpected(self, word: str, at: int) -> JsonError:
        return self._syntax_error(at, f"unexpected token {word}")

    def _syntax_error(self, at: int, words: str) -> JsonError:
        return JsonError(f"proto: syntax error ({self._position(at)}): {words}")

    def _position(self, at: int) -> str:
        line = self._text.count("\n", 0, at) + 1
        column = at - (self._text.rfind("\n", 0, at) + 1) + 1
        return f"line {line}:{column}"


_INVALID: Final = object()


def _from_string(field: FieldDescriptor, value: str) -> Any:
    kind = field.type
    if kind == FieldDescriptor.TYPE_BYTES:
        return _bytes(value)
    if kind == FieldDescriptor.TYPE_STRING:
        return value
    if kind == FieldDescriptor.TYPE_ENUM:
        assert field.enum_type is not None
        known = field.enum_type.values_by_name.get(value)
        return None if known is None else known.number
    bounds = _INT_BOUNDS.get(field.cpp_type)
    return _INVALID if bounds is None else _integer(value, *bounds)


def _from_word(field: FieldDescriptor, word: str) -> Any:
    kind = field.type
    if kind == FieldDescriptor.TYPE_BOOL:
        return {"true": True, "false": False}.get(word, _INVALID)
    if kind == FieldDescriptor.TYPE_ENUM:
        return _integer(word, *_INT_BOUNDS[FieldDescriptor.CPPTYPE_INT32])
    bounds = _INT_BOUNDS.get(field.cpp_type)
    return _INVALID if bounds is None else _integer(word, *bounds)


def _integer(text: str, low: int, high: int) -> Any:
    if not _NUMBER.fullmatch(text):
        return _INVALID
    if text.lstrip("-").isdigit():
        value = int(text) if len(text) <= 20 else high + 1
    else:
        try:
            exact = Decimal(text)
        except InvalidOperation:
            return _INVALID
        if exact.adjusted() > 20 or exact != exact.to_integral_value():
            return _INVALID
        value = int(exact)
    return value if low <= value <= high else _INVALID


def _bytes(text: str) -> Any:
    """Base64 as Go decodes it: either alphabet but not both, padding only if the length wants it."""
    text = text.replace("\r", "").replace("\n", "") if "\n" in text or "\r" in text else text
    url = "-" in text or "_" in text
    if url and ("+" in text or "/" in text):
        return _INVALID
    if len(text) % 4:
        if "=" in text:
            return _INVALID
        text += "=" * (-len(text) % 4)
    try:
        raw = text.encode("ascii")
        return base64.b64decode(raw.translate(_FROM_URL) if url else raw, validate=True)
    except (UnicodeEncodeError, binascii.Error):
        return _INVALID


_FROM_URL = bytes.maketrans(b"-_", b"+/")
_FIELDS: dict[str, dict[str, FieldDescriptor]] = {}


def _fields(descriptor: Any) -> dict[str, FieldDescriptor]:
    """Fields by both of their names; the JSON name wins, as in Go."""
    known = _FIELDS.get(descriptor.full_name)
    if known is None:
        known = {field.name: field for field in descriptor.fields}
        known |= {field.json_name: field for field in descriptor.fields}
        _FIELDS[descriptor.full_name] = known
    return known
