"""The register workload's keys as two models: by value and revision, and by value alone.

What etcd promises about one key, seen through put, get, delete and compare-and-swap on mod_revision:

1. An effective write takes the store's next revision, which becomes the key's mod_revision and the revision
   in the answer's header; so on one key, in the order of effects, those revisions grow.
2. A get answers the value and mod_revision of the last effective write, or that the key is absent.
3. A delete tells how many keys it removed, 0 or 1; where it removed nothing it took no revision.
4. A compare-and-swap succeeds exactly when the key's mod_revision is the expected one (0: the key is absent),
   and otherwise changes nothing and may report what it saw.
5. An operation of unknown outcome either did exactly this, at any time after its call, or nothing.

`Revisions` holds all of it against the answers. `Values` ignores every revision that the cluster reports and
uses that written values are unique: it is independent evidence, because a cluster can lie about revisions,
and it tells a wrong value from a wrong revision. A compare-and-swap is then a compare with the value that the
expected revision was seen to stand for.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from gauntlet.checkers.records import Answer, Call, answer_of
from porcupine.history import Operation
from porcupine.model import ANYTHING, NOTHING, LastWriter, Rejected
from porcupine.models.kv import by_key

ABSENT = 0
UNSEEN = "(a value that nobody saw)"
_UNSEEN_TOKEN = ("unseen",)


class Key(NamedTuple):
    """The state of one key. `mod_revision` is None after a write whose revision nobody learned; it is then
    greater than `floor`, the greatest revision known to have been used on the key before."""

    value: str | None
    mod_revision: int | None
    floor: int


def parts_of(operation: Operation) -> tuple[str, str | None, int | None]:
    """(op, value, expected) of a call of this workload. ValueError for any other."""
    call = operation.call
    if isinstance(call, Call):
        return call.op, call.value, call.expected
    raise ValueError(f"not an operation of the register workload: {operation.call!r}")


def observed(operation: Operation) -> tuple[str | None, int] | None:
    """(value, mod_revision) that the answer shows of the key just before or at the operation, if it does."""
    answer = answer_of(operation)
    op, _, _ = parts_of(operation)
    if not operation.is_ok or answer.mod_revision is None:
        return None
    if op == "get" or (op == "cas" and answer.succeeded is False):
        return answer.value, answer.mod_revision
    return None


def effective(operation: Operation) -> bool:
    """Did the operation, by its own answer, change the key?"""
    answer = answer_of(operation)
    op, _, _ = parts_of(operation)
    return operation.is_ok and (
        op == "put" or (op == "delete" and bool(answer.deleted)) or (op == "cas" and bool(answer.succeeded))
    )


class _KeyModel(LastWriter[Key]):
    """What both models share: keys apart from each other, words for people."""

    uses_client = False

    def partition(self, operations: Sequence[Operation]) -> Mapping[Hashable, Sequence[Operation]]:
        return by_key(operations)

    def describe(self, operation: Operation) -> str:
        op, value, expected = parts_of(operation)
        key = operation.call[1] if isinstance(operation.call, tuple) else ""
        arguments = {"put": f", {value!r}", "cas": f", mod_revision {expected} -> {value!r}"}.get(op, "")
        return f"{op}({key}{arguments}) -> {describe_answer(op, operation)}"

    def weaker(self, operation: Operation) -> Operation | None:
        """A put of the same; of no value for a delete."""
        call = operation.call
        if not isinstance(call, Call) or call.op == "put" or not effective(operation):
            return None
        revision = answer_of(operation).revision
        return replace(operation, call=Call("put", call.key, call.value), response=Answer(revision))

    def is_read(self, operation: Operation) -> bool:
        op, _, _ = parts_of(operation)
        return op == "get" or (operation.is_ok and not effective(operation))


def describe_answer(op: str, operation: Operation) -> str:
    """The answer in words: ``'v7' at mod_revision 12 (revision 14)``."""
    if not operation.is_ok:
        return operation.outcome.value
    answer = answer_of(operation)
    seen = "absent" if not answer.mod_revision else f"{answer.value!r} at mod_revision {answer.mod_revision}"
    at = f"revision {answer.revision}"
    match op:
        case "get":
            return f"{seen} ({at})"
        case "delete":
            return f"deleted {answer.deleted or 0} ({at})"
        case "cas" if answer.succeeded:
            return f"swapped ({at})"
        case "cas":
            return f"refused, saw {seen} ({at})" if answer.mod_revision is not None else f"refused ({at})"
    return at


class Revisions(_KeyModel):
    """Rules 1 to 5 by value and revision. Tokens are mod_revisions."""

    name = "etcd-register"

    def __init__(
        self, learned: Mapping[str, int] | None = None, written: frozenset[int] = frozenset({ABSENT})
    ) -> None:
        self.learned = learned or {}
        self.written = written

    def for_part(self, operations: Sequence[Operation]) -> Revisions:
        """Learn which revision a write of unknown outcome got, from whoever saw its value, and which
        revisions have a known write."""
        learned: dict[str, int] = {}
        written = {ABSENT}
        for operation in operations:
            seen = observed(operation)
            if seen is not None and seen[0] is not None:
                learned.setdefault(seen[0], seen[1])
            revision = answer_of(operation).revision
            if effective(operation) and revision is not None:
                written.add(revision)
        return Revisions(learned, frozenset(written | set(learned.values())))

    def plain(self, operations: Sequence[Operation]) -> Revisions:
        return _Unlearned()

    def init(self) -> Key:
        return Key(None, ABSENT, 0)

    def step(self, state: Key, operation: Operation) -> Key | Rejected:
        if operation.is_unknown:
            return self._unknown(state, operation)
        op, value, expected = parts_of(operation)
        answer = answer_of(operation)
        match op:
            case "get":
                return self._same(state, answer)
            case "put":
                return self._write(state, value, answer.revision)
            case "delete":
                return self._delete(state, answer)
        if not answer.succeeded:
            if expected == state.mod_revision:
                return Rejected(
                    "it was refused, but the key has the expected mod_revision", "swapped", "refused"
                )
            return self._same(state, answer) if answer.mod_revision is not None else state
        if not _may_be(state, expected):
            return Rejected("it swapped, but the key has another mod_revision", state.mod_revision, expected)
        return self._write(state, value, answer.revision)

    def _same(self, state: Key, answer: Answer) -> Key | Rejected:
        got = (answer.value, answer.mod_revision or ABSENT)
        if got == (state.value, state.mod_revision):
            return state
        return Rejected("the key holds something else", self._show(state), _show(*got))

    def _write(self, state: Key, value: str | None, revision: int | None) -> Key | Rejected:
        if revision is not None and revision <= state.floor:
            return Rejected("the revision of a write did not grow", f"more than {state.floor}", revision)
        mod_revision = revision if value is not None else ABSENT
        return Key(value, mod_revision, state.floor if revision is None else revision)

    def _delete(self, state: Key, answer: Answer) -> Key | Rejected:
        there = 0 if state.value is None else 1
        if (answer.deleted or 0) != there:
            return Rejected("another number of keys was there to delete", there, answer.deleted or 0)
        return self._write(state, None, answer.revision) if there else state

    def _unknown(self, state: Key, operation: Operation) -> Key | Rejected:
        op, value, expected = parts_of(operation)
        if op == "get" or (op == "delete" and state.value is None):
            return state
        if op == "delete":
            return Key(None, ABSENT, state.floor)
        if op == "cas" and not _may_be(state, expected):
            return Rejected(
                "it can only have swapped the expected mod_revision", expected, state.mod_revision
            )
        return self._write(state, *self._learned(value))

    def _learned(self, value: str | None) -> tuple[str | None, int | None]:
        """What a write of unknown outcome leaves: writes that nobody saw are all alike."""
        if value is not None and value not in self.learned:
            return UNSEEN, None
        return value, self.learned.get(value or "")

    def identity(self, operation: Operation) -> Hashable:
        op, value, expected = parts_of(operation)
        if operation.is_unknown:
            return op, expected, self._learned(value)
        return super().identity(operation)

    def token(self, state: Key) -> Hashable:
        return _UNSEEN_TOKEN if state.mod_revision is None else state.mod_revision

    def initial_token(self) -> Hashable:
        return ABSENT

    def writes(self, operation: Operation) -> Hashable:
        op, value, _ = parts_of(operation)
        if operation.is_unknown:
            if op == "get":
                return NOTHING
            return ABSENT if op == "delete" else self.learned.get(value or "", _UNSEEN_TOKEN)
        if not effective(operation):
            return NOTHING
        return ABSENT if value is None else answer_of(operation).revision

    def reads(self, operation: Operation) -> Hashable:
        op, _, expected = parts_of(operation)
        answer = answer_of(operation)
        if operation.is_unknown:
            return self._compared(expected) if op == "cas" else NOTHING
        match op:
            case "get":
                return answer.mod_revision or ABSENT
            case "delete":
                return ANYTHING if answer.deleted else ABSENT
            case "cas" if answer.succeeded:
                return self._compared(expected)
            case "cas":
                return ANYTHING if answer.mod_revision is None else answer.mod_revision
        return NOTHING

    def _compared(self, expected: int | None) -> Hashable:
        """A revision that no known write has may be that of a write of unknown outcome: any of them."""
        return expected if expected in self.written else ANYTHING

    def sequence(self, operation: Operation) -> int | None:
        if operation.is_unknown:
            return self.learned.get(parts_of(operation)[1] or "")
        return answer_of(operation).revision if effective(operation) else None

    def hint(self, operation: Operation) -> int | None:
        return self.sequence(operation) if operation.is_unknown else answer_of(operation).revision

    def agrees(self, reader: Operation, writer: Operation) -> bool:
        seen = observed(reader)
        return seen is None or seen[0] is None or seen[0] == parts_of(writer)[1]

    def resembles(self, reader: Operation, writer: Operation) -> bool:
        seen, written = observed(reader), parts_of(writer)[1]
        return seen is not None and seen[0] is not None and seen[0] == written and not reader.is_unknown

    def claims(self, reader: Operation, write: Operation) -> bool | None:
        read_at, written_at = answer_of(reader).revision, answer_of(write).revision
        if read_at is None or written_at is None:
            return None
        return read_at >= written_at

    def describe_token(self, token: Hashable) -> str:
        if token == ABSENT:
            return "no key"
        return "a write of unknown revision" if isinstance(token, tuple) else f"mod_revision {token}"

    def _show(self, state: Key) -> str:
        if state.value is not None and state.mod_revision is None:
            return f"{state.value!r} at a mod_revision above {state.floor}"
        return _show(state.value, state.mod_revision)


class _Unlearned(Revisions):
    """To verify an order, told nothing before: a write of unknown outcome takes some revision, and the first
    answer that shows its value tells which."""

    def _learned(self, value: str | None) -> tuple[str | None, int | None]:
        return value, None

    def _same(self, state: Key, answer: Answer) -> Key | Rejected:
        told = answer.mod_revision or ABSENT
        if state.mod_revision is None and answer.value == state.value and told > state.floor:
            return Key(state.value, told, told)
        return super()._same(state, answer)


def _may_be(state: Key, expected: int | None) -> bool:
    if state.mod_revision is None:
        return expected is not None and expected > state.floor
    return state.mod_revision == expected


def _show(value: str | None, mod_revision: int | None) -> str:
    return "absent" if value is None else f"{value!r} at mod_revision {mod_revision}"


class Values(_KeyModel):
    """Rules 2 to 5 by value alone. Tokens are values; an absent key is None."""

    name = "etcd-register-values"

    def __init__(
        self, stands_for: Mapping[int, str | None] | None = None, guesses: Mapping[str, int] | None = None
    ) -> None:
        self.stands_for = stands_for or {}
        self.guesses = guesses or {}

    def for_part(self, operations: Sequence[Operation]) -> Values:
        """Learn which value each expected revision stands for, where that is beyond doubt."""
        seen: dict[int, set[str]] = {}
        written: dict[str, int] = {}
        guesses: dict[str, int] = {}
        for operation in operations:
            _, value, _ = parts_of(operation)
            if value is not None:
                written[value] = written.get(value, 0) + 1
            shown = observed(operation)
            revision = answer_of(operation).revision
            if shown is not None and shown[0] is not None:
                seen.setdefault(shown[1], set()).add(shown[0])
                guesses.setdefault(shown[0], shown[1])
            elif value is not None and revision is not None and effective(operation):
                seen.setdefault(revision, set()).add(value)
        stands_for: dict[int, str | None] = {ABSENT: None}
        for revision, values in seen.items():
            only = next(iter(values))
            if revision != ABSENT and len(values) == 1 and written.get(only, 0) <= 1:
                stands_for[revision] = only
        return Values(stands_for, guesses)

    def plain(self, operations: Sequence[Operation]) -> Values:
        """What an expected revision stands for is part of what is judged; every written value counts."""
        values = dict.fromkeys((value for _, value, _ in map(parts_of, operations) if value is not None), 0)
        return Values(self.for_part(operations).stands_for, values)

    def init(self) -> Key:
        return _key(None)

    def step(self, state: Key, operation: Operation) -> Key | Rejected:
        op, value, expected = parts_of(operation)
        answer = answer_of(operation)
        match op:
            case "put":
                return self._written(value, operation)
            case "get":
                return state if operation.is_unknown else self._same(state, answer)
            case "delete":
                there = 0 if state.value is None else 1
                if operation.is_ok and (answer.deleted or 0) != there:
                    return Rejected("another number of keys was there to delete", there, answer.deleted or 0)
                return _key(None)
        known = expected in self.stands_for
        wanted = self.stands_for.get(expected or ABSENT)
        if operation.is_unknown or answer.succeeded:
            if known and wanted != state.value:
                return Rejected("it swapped, but the key holds another value", wanted, state.value)
            if not known and state.value is None:
                return Rejected("it swapped, but the key is absent", "a value", None)
            return self._written(value, operation)
        if known and wanted == state.value:
            return Rejected("it was refused, but the key holds the expected value", "swapped", "refused")
        return self._same(state, answer) if answer.mod_revision is not None else state

    def _written(self, value: str | None, operation: Operation) -> Key:
        """Writes of unknown outcome whose value nobody saw are all alike."""
        return _key(UNSEEN if operation.is_unknown and value not in self.guesses else value)

    def identity(self, operation: Operation) -> Hashable:
        op, value, expected = parts_of(operation)
        if operation.is_unknown:
            return op, expected, value if value in self.guesses else UNSEEN
        return super().identity(operation)

    def hint(self, operation: Operation) -> int | None:
        """Revisions only suggest what to try first: the verdict does not depend on them."""
        if operation.is_unknown:
            return self.guesses.get(parts_of(operation)[1] or "")
        return answer_of(operation).revision

    def token(self, state: Key) -> Hashable:
        return state.value

    def _same(self, state: Key, answer: Answer) -> Key | Rejected:
        if answer.value == state.value:
            return state
        return Rejected("the key holds another value", state.value, answer.value)

    def initial_token(self) -> Hashable:
        return None

    def writes(self, operation: Operation) -> Hashable:
        op, value, _ = parts_of(operation)
        if operation.is_unknown:
            if op == "delete":
                return None
            return NOTHING if op == "get" else self._written(value, operation).value
        return value if effective(operation) else NOTHING

    def reads(self, operation: Operation) -> Hashable:
        op, _, expected = parts_of(operation)
        answer = answer_of(operation)
        if op == "cas" and (operation.is_unknown or answer.succeeded):
            return ANYTHING if expected is None else self.stands_for.get(expected, ANYTHING)
        if operation.is_unknown:
            return NOTHING
        match op:
            case "get":
                return answer.value
            case "delete":
                return ANYTHING if answer.deleted else None
            case "cas":
                return ANYTHING if answer.mod_revision is None else answer.value
        return NOTHING

    def describe_token(self, token: Hashable) -> str:
        return "no key" if token is None else repr(token)


def _key(value: str | None) -> Key:
    return Key(value, None, 0)
