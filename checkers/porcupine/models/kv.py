"""A map from keys to strings with put, append and get; keys are checked apart from each other.

Calls: ``("get", key)`` answered by the value (the empty string when absent), ``("put", key, value)``,
``("append", key, value)``.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Hashable, Mapping, Sequence

from porcupine.history import Operation, Outcome
from porcupine.model import ANYTHING, NOTHING, LastWriter, Model, Rejected


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
        """Where what was read comes apart in only one way, it tells where each append stood."""
        return KvSeen.learn(operations) or self

    def is_read(self, operation: Operation) -> bool:
        return isinstance(operation.call, tuple) and operation.call[0] == "get"


class KvSeen(LastWriter[str]):
    """One key of which no written value is the beginning of another, so that what was read comes apart in
    only one way. Two things follow.

    A value that no read begins with was seen by nobody until the next put: one state stands for all those.
    And where only one operation wrote a part, the reads tell what stood before it: such an append is a
    compare-and-swap whose expectation is revealed, and most orders need not be tried.
    """

    name = "kv"

    def __init__(self, known: frozenset[str], places: Mapping[str, str], repeated: frozenset[str]) -> None:
        self.known = known  # every beginning of a value that was read, cut between its parts
        self.places = places  # a value that one operation wrote and that was read -> what stood before it
        self.repeated = repeated  # values that several operations wrote
        self._blurred = frozenset(start for start in known if any(map(start.endswith, repeated)))

    @classmethod
    def learn(cls, operations: Sequence[Operation]) -> KvSeen | None:
        """None when some written value is the beginning of another."""
        writers: dict[str, list[str]] = {}
        for operation in operations:
            match operation.call:
                case ("put" | "append" as name, _, str(value)) if operation.outcome is not Outcome.FAILED:
                    writers.setdefault(value, []).append(name)
        values = sorted(writers)
        if "" in writers or any(after.startswith(before) for before, after in itertools.pairwise(values)):
            return None
        known, places = {""}, dict[str, str]()
        for operation in operations:
            text = operation.response
            if operation.is_ok and _name(operation) == "get" and isinstance(text, str):
                _take_apart(text, values, writers, places, known)
        repeated = frozenset(value for value, names in writers.items() if len(names) > 1)
        return cls(frozenset(known), places, repeated)

    def init(self) -> str:
        return ""

    def step(self, state: str, operation: Operation) -> str | Rejected:
        match operation.call:
            case ("get", _):
                if operation.is_unknown or operation.response == state:
                    return state
                return Rejected("the key holds another value", _show(state), operation.response)
            case ("put", _, str(value)):
                return value if value in self.known else UNSEEN
            case ("append", _, str(value)):
                before = self.places.get(value)
                if before is not None and before != state:
                    reason = "by what was read later, it was appended to another value"
                    return Rejected(reason, before, _show(state))
                return state + value if state + value in self.known else UNSEEN
        raise ValueError(f"not an operation of a map: {operation.call!r}")

    def identity(self, operation: Operation) -> Hashable:
        match operation.call:
            case (str(name), _, str(value)) if value not in self.places and value not in self.repeated:
                return name, UNSEEN, operation.outcome
        return super().identity(operation)

    def initial_token(self) -> Hashable:
        return ""

    def token(self, state: str) -> Hashable:
        return state

    def writes(self, operation: Operation) -> Hashable:
        match operation.call:
            case ("put" | "append", _, str(value)):
                if value in self.repeated:
                    return "one of several", value
                return self.places[value] + value if value in self.places else UNSEEN
        return NOTHING

    def reads(self, operation: Operation) -> Hashable:
        match operation.call:
            case ("get", _) if operation.is_ok:
                return self._named(operation.response)
            case ("append", _, str(value)) if value in self.places:
                return self._named(self.places[value])
            case ("append", _, str(value)) if value in self.repeated:
                return ANYTHING
        return NOTHING

    def _named(self, state: Hashable) -> Hashable:
        """What stands there after a write that several operations made is nobody's token."""
        return ANYTHING if state in self._blurred else state


UNSEEN = "\0(a value that nobody read)"


def _show(state: str) -> str:
    return state.removeprefix("\0")


def _name(operation: Operation) -> object:
    return operation.call[0] if isinstance(operation.call, tuple) and operation.call else None


def _take_apart(
    text: str,
    values: Sequence[str],
    writers: Mapping[str, Sequence[str]],
    places: dict[str, str],
    known: set[str],
) -> None:
    """Note what stood before each part of a value that was read; stop at a part that cannot stand there."""
    position = _known_length(text, known)
    while position < len(text):
        index = bisect_right(values, text[position:]) - 1
        if index < 0 or not text.startswith(values[index], position):
            return
        part, before = values[index], text[:position]
        if position > 0 and "append" not in writers[part]:
            return
        if len(writers[part]) == 1 and places.setdefault(part, before) != before:
            return
        position += len(part)
        known.add(text[:position])


def _known_length(text: str, known: set[str]) -> int:
    """How much of it is taken apart already: reads of a growing value share all but their ends."""
    return next(length for length in range(len(text), -1, -1) if text[:length] in known)


class KvWhole(Model[tuple[tuple[str, str], ...]]):
    """The whole map as one state: slower, and needed only where operations would touch several keys."""

    name = "kv-whole"

    def __init__(self, learned: Mapping[Hashable, KvSeen] | None = None) -> None:
        self.learned = learned or {}  # by key: what its own operations teach

    def init(self) -> tuple[tuple[str, str], ...]:
        return ()

    def for_part(self, operations: Sequence[Operation]) -> KvWhole:
        learned = {key: Kv().for_part(own) for key, own in by_key(operations).items()}
        return KvWhole({key: one for key, one in learned.items() if isinstance(one, KvSeen)})

    def identity(self, operation: Operation) -> Hashable:
        call = operation.call
        if not isinstance(call, tuple) or call[1] not in self.learned:
            return super().identity(operation)
        return call[1], self.learned[call[1]].identity(operation)

    def step(
        self, state: tuple[tuple[str, str], ...], operation: Operation
    ) -> tuple[tuple[str, str], ...] | Rejected:
        call = operation.call
        if not isinstance(call, tuple) or len(call) < 2:
            raise ValueError(f"not an operation of a map: {call!r}")
        key = call[1]
        values = dict(state)
        before = values.get(key, "")
        one = self.learned.get(key)
        after = _ONE_KEY.step(before, operation) if one is None else one.step(before, operation)
        if isinstance(after, Rejected):
            return after
        if after == before:
            return state
        values[key] = after
        return tuple(sorted(values.items()))

    def is_read(self, operation: Operation) -> bool:
        return isinstance(operation.call, tuple) and operation.call[0] == "get"


_ONE_KEY = Kv()


def by_key(operations: Sequence[Operation]) -> dict[Hashable, list[Operation]]:
    """Split calls of the form (name, key, ...) by their key."""
    parts: dict[Hashable, list[Operation]] = {}
    for operation in operations:
        if not isinstance(operation.call, tuple) or len(operation.call) < 2:
            raise ValueError(f"not an operation with a key: {operation.call!r}")
        parts.setdefault(operation.call[1], []).append(operation)
    return parts
