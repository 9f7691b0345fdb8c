"""How a case says what it expects. Each function raises Mismatch, which says both sides in words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gauntlet.api.errors import RpcError
from google.protobuf import text_format
from google.protobuf.message import Message

_LONGEST = 600


class Mismatch(Exception):
    """The target did not answer as promised."""

    def __init__(self, what: str, expected: str, got: str) -> None:
        super().__init__(f"{what}: expected {expected}, got {got}")
        self.what = what
        self.expected = expected
        self.got = got


def words(value: object) -> str:
    """Any value for people, at most a few hundred characters long."""
    if isinstance(value, RpcError):
        text = f"the error {value.code.name} {value.message!r}"
    elif isinstance(value, Message):
        inner = text_format.MessageToString(value, as_one_line=True)
        text = f"{type(value).__name__}{{{inner}}}"
    else:
        text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({len(text)} characters)"


def expect(what: str, got: object, expected: object) -> None:
    """Equal, or a mismatch."""
    if got != expected:
        raise Mismatch(what, words(expected), words(got))


def expect_that(what: str, holds: bool, expected: str, got: object) -> None:
    """For what equality cannot say: `expected` is the condition in words."""
    if not holds:
        raise Mismatch(what, expected, words(got))


def expect_error(what: str, got: object, expected: RpcError) -> None:
    """The same code and the same message."""
    if not isinstance(got, RpcError) or got != expected:
        raise Mismatch(what, words(expected), words(got))


def expect_unset(message: Message, *fields: str) -> None:
    """Sub-messages that must be absent."""
    for field in fields:
        if message.HasField(field):
            raise Mismatch(field, "none", words(getattr(message, field)))


def expect_keys(answer: Any, *keys: bytes) -> None:
    """The keys of a range answer, in this order."""
    expect("keys in the answer", [kv.key for kv in answer.kvs], list(keys))


def expect_values(answer: Any, *values: bytes) -> None:
    expect("values in the answer", [kv.value for kv in answer.kvs], list(values))


def expect_in(what: str, got: object, choices: Iterable[object]) -> None:
    choices = list(choices)
    if got not in choices:
        raise Mismatch(what, f"one of {', '.join(words(choice) for choice in choices)}", words(got))
