"""What is wrong with an invalid history, in words: a label, and the two or three operations that contradict
each other. Reads the label off where the forced order of revisions broke, and who else knows of the pair in
question.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gauntlet.checkers.etcd import words
from gauntlet.checkers.etcd.calls import (
    KV,
    Answer,
    Call,
    Delete,
    PutAnswer,
    RangeAnswer,
    Refused,
    Txn,
    TxnAnswer,
    answer_of,
    call_of,
    effective,
)
from gauntlet.checkers.etcd.decide import Judgement
from gauntlet.checkers.etcd.gaps import puts
from gauntlet.checkers.etcd.matching import agree
from gauntlet.checkers.etcd.model import Etcd, shown_revision
from gauntlet.checkers.etcd.store import Expected, SortedAnswer, apply, span
from porcupine.history import Operation
from porcupine.labels import (
    FUTURE_READ,
    LOST_UPDATE,
    LOST_WRITE,
    PHANTOM_WRITE,
    REUSED,
    STALE_READ,
    WENT_BACK,
    WRONG_REFUSAL,
    WRONG_REVISION,
    describe_fully,
)
from porcupine.model import Rejected

APPLIED_TWICE = "applied twice"
WRONG_VALUE = "wrong value"
WRONG_ANSWER = "wrong answer"
NO_ORDER = "no order"

_WORDS = Etcd()


@dataclass(slots=True)
class Diagnosis:
    label: str
    text: str
    operations: list[Operation]
    expectation: tuple[Operation, str, str, str] | None = field(default=None)
    """(operation, reason, expected, got)."""


def full(operation: Operation) -> str:
    """``get(a) -> ... by client 3 on m2 (1.204110 s to 1.210377 s)``."""
    return describe_fully(operation, _WORDS)


def diagnose(judgement: Judgement) -> Diagnosis:
    """Of an invalid history."""
    flaw = judgement.flaw
    if flaw is not None and flaw.operation is not None and flaw.other is not None:
        return _against_time(flaw.other, flaw.operation)
    resolved = judgement.resolved
    if resolved is None or resolved.stuck is None:
        return Diagnosis(NO_ORDER, "No order explains the operations.", [])
    return _Content(judgement).stuck()


def _against_time(earlier: Operation, later: Operation) -> Diagnosis:
    """`earlier` had returned when `later` was called, but revisions say the opposite; or both have the
    same."""
    first, second = _revision(earlier), _revision(later)
    had = f"{full(earlier)} had been answered at revision {first}"
    both = [earlier, later]
    if first == second:
        if effective(answer_of(later)) and effective(answer_of(earlier)):
            text = f"{full(earlier)} and {full(later)} were both given revision {first}."
            return Diagnosis(REUSED, text, both)
        text = f"{had}; {full(later)}, called after that, was given the same revision."
        return Diagnosis(REUSED, text, both)
    if effective(answer_of(later)):
        text = f"{had}; {full(later)}, called after that, was given revision {second}."
        return Diagnosis(WENT_BACK, text, both)
    text = f"{had}; {full(later)}, called after that, was answered from the older revision {second}."
    return Diagnosis(STALE_READ, text, both)


def _revision(operation: Operation) -> int | None:
    return shown_revision(call_of(operation), answer_of(operation))


class _Content:
    """The operation at which the replay stopped, and what the others know."""

    def __init__(self, judgement: Judgement) -> None:
        resolved = judgement.resolved
        assert resolved is not None
        assert resolved.stuck is not None
        self.judgement = judgement
        self.resolved = resolved
        self.operation = resolved.stuck
        self.rejection = resolved.rejection or Rejected("nothing explains it")
        self.writers: dict[tuple[bytes, bytes], list[Operation]] = {}
        for operation in judgement.operations:
            for put in puts(call_of(operation)):
                self.writers.setdefault((put.key, put.value), []).append(operation)
        self.by_revision = {
            _revision(operation): operation
            for operation in judgement.operations
            if operation.is_ok and effective(answer_of(operation))
        }

    def stuck(self) -> Diagnosis:
        state, operation = self.resolved.state, self.operation
        revision = _revision(operation)
        answer: Answer = answer_of(operation)
        took = effective(answer)
        if state is not None and revision is not None and state.revision < revision - took:
            found = self._gap(state.revision + 1)
        elif isinstance(answer, Refused):
            text = f"{full(operation)}, but the store was not so."
            found = Diagnosis(WRONG_REFUSAL, text, [operation])
        else:
            _, expected = apply(state, call_of(operation)) if state is not None else (None, None)
            found = self._compare(call_of(operation), expected, answer) or self._other(expected)
        rejection = self.rejection
        found.expectation = (operation, rejection.reason, str(rejection.expected), str(rejection.got))
        return found

    def _gap(self, gap: int) -> Diagnosis:
        """Nobody can have taken this revision."""
        operations = self.judgement.operations
        for operation in operations:
            for kv in _pairs(operation.response):
                if kv.mod_revision == gap:
                    return self._seen(operation, kv)
        text = f"Revision {gap} was taken before {full(self.operation)}, but no operation can have taken it."
        return Diagnosis(PHANTOM_WRITE, text, [self.operation])

    def _seen(self, reader: Operation, kv: KV) -> Diagnosis:
        """A pair at a mod_revision that is nobody's."""
        writers = self.writers.get((kv.key, kv.value or b""), [])
        if not writers:
            text = f"{full(reader)} saw {words.pair(kv)}, which no operation wrote."
            return Diagnosis(PHANTOM_WRITE, text, [reader])
        writer = writers[0]
        own = _revision(writer) if writer.is_ok else None
        shown = [
            each.mod_revision
            for other in self.judgement.operations
            for each in _pairs(other.response)
            if each.key == kv.key and each.value == kv.value
        ]
        twice = any(at != kv.mod_revision for at in shown) or (own in shown and own != kv.mod_revision)
        label = APPLIED_TWICE if twice else WRONG_REVISION
        if own is None and not twice:
            text = f"{full(reader)} saw {words.pair(kv)} before {full(writer)} was called."
            return Diagnosis(FUTURE_READ, text, [reader, writer])
        how = "again, under another revision" if twice else "under another revision"
        text = f"{full(reader)} saw {words.pair(kv)}: the write of {full(writer)} {how}."
        return Diagnosis(label, text, [writer, reader])

    def _compare(self, call: Call, expected: Expected | None, answer: Answer) -> Diagnosis | None:
        """The first pair that differs, in a txn too."""
        if isinstance(call, Txn) and isinstance(answer, TxnAnswer) and isinstance(expected, TxnAnswer):
            if answer.succeeded is not None and answer.succeeded != expected.succeeded:
                return self._branch(answer.succeeded, call)
            branch = call.success if expected.succeeded else call.failure
            inner = zip(branch, expected.answers or (), answer.answers or (), strict=False)
            return next((found for each in inner if (found := self._compare(*each)) is not None), None)
        if not isinstance(answer, RangeAnswer) or not isinstance(expected, (RangeAnswer, SortedAnswer)):
            return None
        return self._range(expected.kvs or (), answer.kvs) if answer.kvs is not None else None

    def _branch(self, succeeded: bool, txn: Txn) -> Diagnosis:
        operation, state = self.operation, self.resolved.state
        named = [operation]
        for compare in txn.compare:
            kv = state.keys.get(compare.key) if state is not None else None
            writer = self.by_revision.get(kv.mod_revision) if kv is not None else None
            if writer is not None and writer not in named:
                named.insert(0, writer)
                break
        other = f" {full(named[0])} came before it." if len(named) > 1 else ""
        if succeeded:
            text = f"{full(operation)} took effect, although its compares did not hold.{other}"
            return Diagnosis(LOST_UPDATE, text, named)
        text = f"{full(operation)} was refused, although its compares held.{other}"
        return Diagnosis(WRONG_REFUSAL, text, named)

    def _range(self, expected: Sequence[KV], got: Sequence[KV]) -> Diagnosis | None:
        due, shown = {kv.key: kv for kv in expected}, {kv.key: kv for kv in got}
        for key in sorted({*due, *shown}):
            mine, its = due.get(key), shown.get(key)
            if mine is None or its is None or not agree(mine, its):
                return self._pair(key, mine, its)
        return None

    def _pair(self, key: bytes, due: KV | None, got: KV | None) -> Diagnosis:
        operation = self.operation
        revision = _revision(operation)
        if got is not None and got.mod_revision is not None:
            if revision is not None and got.mod_revision > revision:
                text = f"{full(operation)} shows a mod_revision above the revision of the answer."
                return Diagnosis(FUTURE_READ, text, [operation])
            if due is None or due.mod_revision is None or got.mod_revision > due.mod_revision:
                known = self.by_revision.get(got.mod_revision)
                if known is None or not self._wrote(known, key, got.value):
                    return self._foreign(got, known)
        last = due.mod_revision if due is not None else self._last_delete(key)
        writer = self.by_revision.get(last)
        if due is not None and got is not None and got.mod_revision == due.mod_revision:
            return self._field(due, got, writer)
        named = [operation] if writer is None else [writer, operation]
        missed = f"revision {last}" if writer is None else full(writer)
        text = f"{full(operation)} was answered at revision {revision}, which includes {missed}, without it."
        return Diagnosis(LOST_WRITE, text, named)

    def _foreign(self, got: KV, owner: Operation | None) -> Diagnosis:
        if owner is None:
            return self._seen(self.operation, got)
        shown = f"{full(self.operation)} shows {words.pair(got)}"
        text = f"{shown}, but that revision had been given to {full(owner)}."
        return Diagnosis(REUSED, text, [owner, self.operation])

    def _field(self, due: KV, got: KV, writer: Operation | None) -> Diagnosis:
        named = [self.operation] if writer is None else [writer, self.operation]
        shown = f"{full(self.operation)} shows {words.full_pair(got)} where {words.full_pair(due)} was due"
        if got.value is not None and due.value is not None and got.value != due.value:
            if not self.writers.get((got.key, got.value)):
                return Diagnosis(PHANTOM_WRITE, f"{shown}; nobody wrote that value.", named)
            return Diagnosis(WRONG_VALUE, f"{shown}.", named)
        if got.version is not None and due.version is not None and got.version > due.version:
            return Diagnosis(APPLIED_TWICE, f"{shown}: a write was counted more than once.", named)
        if got.version is not None and due.version is not None and got.version < due.version:
            return Diagnosis(LOST_WRITE, f"{shown}: a write was not counted.", named)
        if got.create_revision != due.create_revision and got.create_revision is not None:
            return Diagnosis(WRONG_REVISION, f"{shown}.", named)
        return Diagnosis(WRONG_ANSWER, f"{shown}.", named)

    def _other(self, expected: Expected | None) -> Diagnosis:
        operation, rejection = self.operation, self.rejection
        text = f"{full(operation)}: {rejection.reason}; expected {rejection.expected}, got {rejection.got}."
        previous = getattr(expected, "prev_kv", None)
        writer = self.by_revision.get(previous.mod_revision) if previous is not None else None
        label = WRONG_ANSWER
        if isinstance(operation.response, PutAnswer) and previous is not None:
            label = LOST_WRITE
        return Diagnosis(label, text, [operation] if writer is None else [writer, operation])

    @staticmethod
    def _wrote(writer: Operation, key: bytes, value: bytes | None) -> bool:
        return any(
            put.key == key and (value is None or put.ignore_value or put.value == value)
            for put in puts(call_of(writer))
        )

    def _last_delete(self, key: bytes) -> int | None:
        """The latest revision before this answer at which the key was deleted by an answered delete."""
        for operation in reversed(self.resolved.order):
            call = operation.call
            if not isinstance(call, Delete) or not effective(answer_of(operation)):
                continue
            start, end = span(call.key, call.end)
            if start <= key and (end is None or key < end):
                return _revision(operation)
        return None


def _pairs(answer: object) -> list[KV]:
    kvs = getattr(answer, "kvs", None)
    if kvs:
        return list(kvs)
    return [kv for each in getattr(answer, "answers", None) or () for kv in _pairs(each)]
