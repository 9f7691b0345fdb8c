"""A map from keys to strings with put, append and get; keys are checked apart from each other.

Calls: ``("get", key)`` answered by the value (the empty string when absent), ``("put", key, value)``,
``("append", key, value)``.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Hashable, Mapping, Sequence

from porcupine.history import Operation, Outcome
from porcupine.model import NOTHING, LastWriter, Model, Rejected


class Kv(Model[str]):
    """One key: the state is its value."""

    name = "kv"

    def init(self) -> str:
        return ""

    def step(self, state: str, operation: Operation) -> str | Rejected:
        match operation.call:
            case ("get", _):
                if operation.is_unknown or operation.response == state:
                    return state
                return Rejected("the key holds another value", state, operation.response)
            case ("put", _, str(value)):
                return value
            case ("append", _, str(value)):
                return state + value
        raise ValueError(f"not an operation of a map: {operation.call!r}")

    def partition(self, operations: Sequence[Operation]) -> Mapping[Hashable, Sequence[Operation]]:
        return by_key(operations)

    def for_part(self, operations: Sequence[Operation]) -> Model[str]:
        """When every written value is its own, what was read tells where each append stood."""
        return KvSeen.learn(operations) or self

    def is_read(self, operation: Operation) -> bool:
        return isinstance(operation.call, tuple) and operation.call[0] == "get"


class KvSeen(LastWriter[str]):
    """One key whose written values are all different and none the beginning of another.

    Then a value that was read comes apart in only one way, and each part of it says what stood before that put
    or append when it took effect: an append is a compare-and-swap whose expectation the reads reveal. What no
    read contains left nothing that anybody saw until the next put: one state stands for all of those.
    """

    name = "kv"

    def __init__(self, places: Mapping[str, str]) -> None:
        self.places = places  # a written value -> what stood before it

    @classmethod
    def learn(cls, operations: Sequence[Operation]) -> KvSeen | None:
        """None when the written values do not have the two properties."""
        written = sorted(
            operation.call[2]
            for operation in operations
            if operation.outcome is not Outcome.FAILED
            and isinstance(operation.call, tuple)
            and operation.call[0] in ("put", "append")
        )
        if "" in written or any(after.startswith(before) for before, after in itertools.pairwise(written)):
            return None
        puts = {
            operation.call[2]
            for operation in operations
            if isinstance(operation.call, tuple) and operation.call[0] == "put"
        }
        places: dict[str, str] = {}
        known = {""}  # beginnings that have been taken apart
        for operation in operations:
            text = operation.response
            if operation.is_ok and _name(operation) == "get" and isinstance(text, str):
                _take_apart(text, written, puts, places, known)
        return cls(places)

    def init(self) -> str:
        return ""

    def step(self, state: str, operation: Operation) -> str | Rejected:
        match operation.call:
            case ("get", _):
                if operation.is_unknown or operation.response == state:
                    return state
                return Rejected("the key holds another value", _show(state), operation.response)
            case ("put", _, str(value)):
                return value if value in self.places else UNSEEN
            case ("append", _, str(value)):
                before = self.places.get(value)
                if before is None:
                    return UNSEEN
                if before == state:
                    return state + value
                return Rejected(
                    "by what was read later, it was appended to another value", before, _show(state)
                )
        raise ValueError(f"not an operation of a map: {operation.call!r}")

    def identity(self, operation: Operation) -> Hashable:
        match operation.call:
            case (str(name), _, str(value)) if value not in self.places:
                return name, UNSEEN, operation.outcome
        return super().identity(operation)

    def initial_token(self) -> Hashable:
        return ""

    def token(self, state: str) -> Hashable:
        return state

    def writes(self, operation: Operation) -> Hashable:
        match operation.call:
            case ("put" | "append", _, str(value)):
                return self.places[value] + value if value in self.places else UNSEEN
        return NOTHING

    def reads(self, operation: Operation) -> Hashable:
        match operation.call:
            case ("get", _) if operation.is_ok:
                return operation.response
            case ("append", _, str(value)) if value in self.places:
                return self.places[value]
        return NOTHING


UNSEEN = "\0(a value that nobody read)"


def _show(state: str) -> str:
    return state.removeprefix("\0")


def _name(operation: Operation) -> object:
    return operation.call[0] if isinstance(operation.call, tuple) and operation.call else None


def _take_apart(
    text: str, written: Sequence[str], puts: set[str], places: dict[str, str], known: set[str]
) -> None:
    """Note what stood before each part of a value that was read; stop at a part that cannot stand there."""
    if text in known:
        return
    position = _known_length(text, known)
    while position < len(text):
        index = bisect_right(written, text[position:]) - 1
        if index < 0 or not text.startswith(written[index], position):
            return
        part, before = written[index], text[:position]
        if (part in puts and position > 0) or places.setdefault(part, before) != before:
            return
        position += len(part)
        known.add(text[:position])


def _known_length(text: str, known: set[str]) -> int:
    """How much of it is taken apart already: reads of a growing value share all but their ends."""
    return next(length for length in range(len(text), -1, -1) if text[:length] in known)


class KvWhole(Model[tuple[tuple[str, str], ...]]):
    """The whole map as one state: slower, and needed only where operations would touch several keys."""

    name = "kv-whole"

    def init(self) -> tuple[tuple[str, str], ...]:
        return ()

    def step(
        self, state: tuple[tuple[str, str], ...], operation: Operation
    ) -> tuple[tuple[str, str], ...] | Rejected:
        one = Kv()
        call = operation.call
        if not isinstance(call, tuple) or len(call) < 2:
            raise ValueError(f"not an operation of a map: {call!r}")
        key = call[1]
        values = dict(state)
        before = values.get(key, "")
        after = one.step(before, operation)
        if isinstance(after, Rejected):
            return after
        if after == before:
            return state
        values[key] = after
        return tuple(sorted(values.items()))

    def is_read(self, operation: Operation) -> bool:
        return isinstance(operation.call, tuple) and operation.call[0] == "get"


def by_key(operations: Sequence[Operation]) -> dict[Hashable, list[Operation]]:
    """Split calls of the form (name, key, ...) by their key."""
    parts: dict[Hashable, list[Operation]] = {}
    for operation in operations:
        if not isinstance(operation.call, tuple) or len(operation.call) < 2:
            raise ValueError(f"not an operation with a key: {operation.call!r}")
        parts.setdefault(operation.call[1], []).append(operation)
    return parts
