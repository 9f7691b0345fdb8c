"""What is wrong with an invalid history, in words: a label, and the two or three operations that contradict
each other. Reads the label off where the forced order of revisions broke, and who else knows of the pair in
question.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from gauntlet.checkers.etcd import words
from gauntlet.checkers.etcd.calls import (
    KV,
    Answer,
    Call,
    Delete,
    DeleteAnswer,
    PutAnswer,
    Range,
    RangeAnswer,
    Refused,
    Txn,
    TxnAnswer,
    answer_of,
    call_of,
    effective,
    writes,
)
from gauntlet.checkers.etcd.decide import Judgement
from gauntlet.checkers.etcd.gaps import pairs, puts
from gauntlet.checkers.etcd.matching import agree
from gauntlet.checkers.etcd.model import Etcd, shown_revision
from gauntlet.checkers.etcd.store import Expected, SortedAnswer, apply, span
from porcupine.history import Operation, Outcome
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
    if isinstance(later.call, Txn) and not (later.call.success or later.call.failure):
        text += " etcd (to 3.7 at least) answers a txn without operations from the member's own store."
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
        found.expectation = (self.operation, rejection.reason, str(rejection.expected), str(rejection.got))
        return found

    def _gap(self, gap: int) -> Diagnosis:
        """Nobody can have taken this revision."""
        operations = self.judgement.operations
        denying = self._denies(gap)
        if denying is not None:
            return denying
        reader = next(
            ((each, kv) for each in operations for kv in _pairs(each) if kv.mod_revision == gap), None
        )
        refused = self._refused(gap, None if reader is None else reader[1])
        if refused is not None:
            text = f"{full(refused)}, and yet revision {gap} was taken, which nothing else explains."
            named = [refused] if reader is None else [refused, reader[0]]
            return Diagnosis(WRONG_REFUSAL, text, named)
        if reader is not None:
            return self._seen(*reader)
        text = f"Revision {gap} was taken before {full(self.operation)}, but no operation can have taken it."
        return Diagnosis(PHANTOM_WRITE, text, [self.operation])

    def _denies(self, gap: int) -> Diagnosis | None:
        """Somebody shows this revision and says that nothing changed, but would have taken it."""
        state = self.resolved.state
        if state is None or state.revision != gap - 1:
            return None
        for operation in self.judgement.operations:
            call, answer = call_of(operation), answer_of(operation)
            if not operation.is_ok or _revision(operation) != gap or effective(answer) or not writes(call):
                continue
            after, expected = apply(state, call)
            rejection = _WORDS.step(state, operation)
            if after.revision == gap and isinstance(rejection, Rejected):
                self.operation, self.rejection = operation, rejection
                return self._compare(call, expected, answer) or self._other(expected)
        return None

    def _refused(self, gap: int, seen: KV | None) -> Operation | None:
        """The first that was refused, or failed, and would have taken this revision, with the pair that was
        seen there."""
        state = self.resolved.state
        if state is None or state.revision != gap - 1:
            return None
        returned = self.operation.return_time_ns or 0
        for operation in self.judgement.operations:
            failed = operation.outcome is Outcome.FAILED or isinstance(operation.response, Refused)
            if not failed or operation.call_time_ns > returned or not writes(call_of(operation)):
                continue
            after = _WORDS.if_it_happened(state, call_of(operation))
            if isinstance(after, Rejected) or after.revision != gap:
                continue
            written = None if seen is None else after.keys.get(seen.key)
            if seen is None or (written is not None and agree(written, seen)):
                return operation
        return None

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
            for each in _pairs(other)
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
            nobodys = got.value is not None and not self.writers.get((key, got.value))
            if nobodys and not self._bare() and (due is None or due.value != got.value):
                return self._nobodys(due, got)
            if revision is not None and got.mod_revision > revision:
                text = f"{full(operation)} shows a mod_revision above the revision of the answer."
                return Diagnosis(FUTURE_READ, text, [operation])
            if due is not None and self._moved(due, got):
                return self._field(due, got, self.by_revision.get(due.mod_revision))
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

    @staticmethod
    def _moved(due: KV, got: KV) -> bool:
        """Do they differ in nothing but the mod_revision, as far as both are known?"""
        same = agree(due, got._replace(mod_revision=due.mod_revision))
        known = None not in (got.value, got.version, due.value, due.version)
        return same and known and got.mod_revision != due.mod_revision

    def _bare(self) -> bool:
        """Was the stuck one a range for keys only? It shows no values, but sends empty ones."""
        call = call_of(self.operation)
        inner = (*call.success, *call.failure) if isinstance(call, Txn) else (call,)
        return any(isinstance(each, Range) and each.keys_only for each in inner)

    def _nobodys(self, due: KV | None, got: KV) -> Diagnosis:
        """A value that no operation wrote."""
        writer = None if due is None else self.by_revision.get(due.mod_revision)
        named = [self.operation] if writer is None else [writer, self.operation]
        instead = "" if due is None else f" where {words.full_pair(due)} was due"
        text = f"{full(self.operation)} shows {words.full_pair(got)}{instead}; nobody wrote that value."
        return Diagnosis(PHANTOM_WRITE, text, named)

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
            return Diagnosis(WRONG_VALUE, f"{shown}.", named)
        if got.version is not None and due.version is not None and got.version > due.version:
            return Diagnosis(APPLIED_TWICE, f"{shown}: a write was counted more than once.", named)
        if got.version is not None and due.version is not None and got.version < due.version:
            return Diagnosis(LOST_WRITE, f"{shown}: a write was not counted.", named)
        moved = got.mod_revision not in (None, due.mod_revision)
        if moved or got.create_revision not in (None, due.create_revision):
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
        elif isinstance(operation.response, DeleteAnswer) and isinstance(expected, DeleteAnswer):
            told, due = operation.response.deleted, expected.deleted
            if told is not None and due is not None and told < due:
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


def _pairs(operation: Operation) -> Iterator[KV]:
    return pairs(call_of(operation), answer_of(operation))
