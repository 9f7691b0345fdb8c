"""Names for what went wrong in a history of reads and writes (`LastWriter` models).

Each rule looks for two or three operations that contradict each other whatever else happened.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from porcupine.dependence import returned
from porcupine.history import Operation
from porcupine.model import ANYTHING, NOTHING, LastWriter, Model
from porcupine.shrink import writers_by_token

STALE_READ = "stale read"
LOST_WRITE = "lost write"
OVERWRITTEN = "read of an overwritten value"
PHANTOM_WRITE = "phantom write"
FUTURE_READ = "read from the future"
NON_REPEATABLE = "non-repeatable read"
LOST_UPDATE = "lost update"
WRONG_REFUSAL = "wrong refusal"
REUSED = "revision reused"
WRONG_REVISION = "wrong revision"
WENT_BACK = "revision went back"


@dataclass(slots=True)
class Finding:
    label: str
    text: str
    operations: list[Operation]


def seconds(time_ns: float) -> str:
    return f"{time_ns / 1e9:.6f} s"


def describe_fully(operation: Operation, model: Model[Any]) -> str:
    """``put('b') by client 3 on m2 (1.204110 s to 1.210377 s)``."""
    member = operation.tags.get("member")
    where = f" on {member}" if member else ""
    when = moment(operation, operation.call_time_ns)
    if operation.is_ok and operation.return_time_ns is not None:
        when += f" to {moment(operation, operation.return_time_ns)}"
    else:
        when = f"called at {when}"
    return f"{model.describe(operation)} by client {operation.client}{where} ({when})"


def moment(operation: Operation, time_ns: int) -> str:
    """A time of the operation for people: seconds, or a line or an event of a history without clock times."""
    counted = operation.tags.get("times")
    return f"{counted} {time_ns}" if counted else seconds(time_ns)


class _Facts:
    """Who wrote and who read what, in the whole history of the part."""

    def __init__(self, operations: Sequence[Operation], model: LastWriter[Any]) -> None:
        self.model = model
        self.operations = [operation for operation in operations if operation.is_ok or operation.is_unknown]
        self.writers = writers_by_token(self.operations, model)
        self.readers: dict[Hashable, list[Operation]] = {}
        for operation in self.operations:
            token = model.reads(operation)
            if operation.is_ok and token is not NOTHING and token is not ANYTHING:
                self.readers.setdefault(token, []).append(operation)

    def full(self, operation: Operation) -> str:
        return describe_fully(operation, self.model)

    def token(self, token: Hashable) -> str:
        return self.model.describe_token(token)


def classify(
    operations: Sequence[Operation], small: Sequence[Operation], model: LastWriter[Any]
) -> Finding | None:
    """The first rule that fits the small history; None when none does."""
    facts = _Facts(operations, model)
    readers = [
        operation
        for operation in small
        if operation.is_ok and model.reads(operation) not in (NOTHING, ANYTHING)
    ]
    rules = (_phantom, _future, _misplaced, _lost_update, _overwritten, _went_back, _gone)
    for rule in rules:
        for finding in rule(facts, small, readers):
            return finding
    return next(_refusals(facts, small), None)


def _phantom(facts: _Facts, _small: Sequence[Operation], readers: Sequence[Operation]) -> Iterator[Finding]:
    initial = facts.model.initial_token()
    for reader in readers:
        token = facts.model.reads(reader)
        if token == initial:
            continue
        twin = next((each for each in facts.operations if facts.model.resembles(reader, each)), None)
        if token not in facts.writers and twin is not None:
            text = f"{facts.full(reader)} saw what {facts.full(twin)} wrote, but as {facts.token(token)}."
            yield Finding(WRONG_REVISION, text, [twin, reader])
        elif token not in facts.writers:
            text = f"{facts.full(reader)} saw {facts.token(token)}, which no operation of the history wrote."
            yield Finding(PHANTOM_WRITE, text, [reader])
        elif not any(facts.model.agrees(reader, writer) for writer in facts.writers[token]):
            writer = facts.writers[token][0]
            text = (
                f"{facts.full(reader)} saw at {facts.token(token)} what {facts.full(writer)} did not write."
            )
            yield Finding(PHANTOM_WRITE, text, [reader, writer])


def _future(facts: _Facts, _small: Sequence[Operation], readers: Sequence[Operation]) -> Iterator[Finding]:
    initial = facts.model.initial_token()
    for reader in readers:
        token = facts.model.reads(reader)
        writers = facts.writers.get(token, [])
        if token == initial or not writers:
            continue
        if all(writer.call_time_ns > returned(reader) for writer in writers):
            writer = min(writers, key=lambda each: each.call_time_ns)
            text = f"{facts.full(reader)} saw what {facts.full(writer)} had not yet written."
            yield Finding(FUTURE_READ, text, [reader, writer])


def _misplaced(facts: _Facts, small: Sequence[Operation], _readers: Sequence[Operation]) -> Iterator[Finding]:
    """Two effects with one place, or in an order that real time forbids."""
    placed: list[tuple[int, Operation]] = []
    for operation in small:
        place = facts.model.sequence(operation)
        if place is None or not operation.is_ok:
            continue
        for other_place, other in placed:
            if other_place == place:
                text = f"{facts.full(other)} and {facts.full(operation)} were both given revision {place}."
                yield Finding(REUSED, text, [other, operation])
            first, second = sorted(((other_place, other), (place, operation)), key=lambda entry: entry[0])
            if returned(second[1]) < first[1].call_time_ns:
                text = (
                    f"{facts.full(second[1])} had been given revision {second[0]}; "
                    f"{facts.full(first[1])}, called after that, was given revision {first[0]}."
                )
                yield Finding(WENT_BACK, text, [second[1], first[1]])
        placed.append((place, operation))


def _lost_update(
    facts: _Facts, small: Sequence[Operation], readers: Sequence[Operation]
) -> Iterator[Finding]:
    """Two operations replaced one and the same write: the second overwrote the first without seeing it."""
    initial = facts.model.initial_token()
    consumers: dict[Hashable, Operation] = {}
    for reader in readers:
        token = facts.model.reads(reader)
        if facts.model.writes(reader) in (NOTHING, token):
            continue
        sources = len(facts.writers.get(token, ())) + (token == initial)
        other = consumers.get(token)
        if other is not None and sources == 1:
            text = (
                f"{facts.full(other)} and {facts.full(reader)} both replaced {facts.token(token)}: "
                "only one of them can have found it there."
            )
            yield Finding(LOST_UPDATE, text, [other, reader])
        consumers[token] = reader


def _sources(facts: _Facts, token: Hashable) -> list[Operation | None]:
    """Where a token can come from: its writers, and the beginning (None)."""
    sources: list[Operation | None] = list(facts.writers.get(token, ()))
    if token == facts.model.initial_token():
        sources.append(None)
    return sources


def _overwritten(
    facts: _Facts, small: Sequence[Operation], readers: Sequence[Operation]
) -> Iterator[Finding]:
    """A read of what had been overwritten for certain: stale read or lost write."""
    for reader in readers:
        token = facts.model.reads(reader)
        sources = _sources(facts, token)
        for newer in small:
            written = facts.model.writes(newer)
            if not newer.is_ok or newer is reader or written is NOTHING or written == token:
                continue
            if returned(newer) >= reader.call_time_ns:
                continue
            if not all(_follows(facts, newer, source) for source in sources):
                continue
            yield _stale_or_lost(facts, reader, newer, sources)


def _gone(facts: _Facts, _small: Sequence[Operation], readers: Sequence[Operation]) -> Iterator[Finding]:
    """A read of a value that several wrote, none of whom can have left it there: each had been overwritten
    for certain before the read was called, or was called after it had returned. Whether the read was stale
    or the newer write was lost is more than repeated values can tell."""
    certain = [each for each in facts.operations if each.is_ok and facts.model.writes(each) is not NOTHING]
    for reader in readers:
        token = facts.model.reads(reader)
        before = [
            source
            for source in _sources(facts, token)
            if source is None or (source is not reader and source.call_time_ns <= returned(reader))
        ]
        if not before:
            continue
        writers = [source for source in before if source is not None]
        last = max(writers, key=returned, default=None)
        over = -1 if last is None else returned(last)
        newer = [
            each
            for each in certain
            if (last is None or each.call_time_ns > over)
            and returned(each) < reader.call_time_ns
            and facts.model.writes(each) != token
        ]
        if not newer:
            continue
        first = min(newer, key=returned)
        origin = f"last written by {facts.full(last)}" if last is not None else "the initial state"
        text = (
            f"{facts.full(reader)} saw {facts.token(token)}, {origin}; "
            f"{facts.full(first)} had overwritten it and returned before the read was called."
        )
        yield Finding(OVERWRITTEN, text, [each for each in (last, first, reader) if each is not None])


def _follows(facts: _Facts, newer: Operation, source: Operation | None) -> bool:
    """Did `newer` take effect after `source` for certain? By time, by what it replaced, or by its place."""
    if source is None or returned(source) < newer.call_time_ns:
        return True
    written = facts.model.writes(source)
    if facts.model.reads(newer) == written and len(facts.writers.get(written, ())) == 1:
        return True
    first, second = facts.model.sequence(source), facts.model.sequence(newer)
    return first is not None and second is not None and first < second


def _stale_or_lost(
    facts: _Facts, reader: Operation, newer: Operation, sources: Sequence[Operation | None]
) -> Finding:
    token, written = facts.model.reads(reader), facts.model.writes(newer)
    witnesses = [other for other in facts.readers.get(written, ()) if other is not reader]
    still_there = any(returned(witness) >= reader.call_time_ns for witness in witnesses)
    origin = next((source for source in sources if source is not None), None)
    named = [each for each in (origin, newer, reader) if each is not None]
    before = f"written by {facts.full(origin)}" if origin is not None else "the initial state"
    story = f"{facts.full(reader)} saw {facts.token(token)}, {before}, after {facts.full(newer)} had returned"
    claimed = facts.model.claims(reader, newer)
    if claimed:
        return Finding(LOST_WRITE, f"{story}, and claimed a revision that includes it.", named)
    if claimed is False and not still_there:
        since = [
            other
            for other in facts.operations
            if other.is_ok and other is not newer and returned(other) >= reader.call_time_ns
        ]
        if any(facts.model.claims(other, newer) for other in since):
            return Finding(STALE_READ, f"{story}, and was answered from a revision before it.", named)
        text = f"{story}. Nobody was answered from a revision that includes it again."
        return Finding(LOST_WRITE, text, named)
    if still_there:
        witness = next(each for each in witnesses if returned(each) >= reader.call_time_ns)
        text = f"{story}; the newer write was not lost: {facts.full(witness)} saw it."
        return Finding(STALE_READ, text, named)
    seen_before = [witness for witness in witnesses if returned(witness) < reader.call_time_ns]
    if seen_before:
        text = f"{story}; it had been seen by {facts.full(seen_before[0])}, and never again."
        return Finding(LOST_WRITE, text, [*named, seen_before[0]])
    if _replaced_later(facts, newer, reader):
        return Finding(STALE_READ, f"{story}.", named)
    return Finding(LOST_WRITE, f"{story}, and nobody ever saw what it wrote.", named)


def _replaced_later(facts: _Facts, newer: Operation, reader: Operation) -> bool:
    """Nobody saw the newer write, but it was soon overwritten: then its absence later proves no loss, unless
    a second read agrees with the reader before anything else was written."""
    token = facts.model.reads(reader)
    again = [
        other
        for other in facts.readers.get(token, ())
        if other is not reader and other.call_time_ns > returned(newer) and other.client != reader.client
    ]
    return not again and any(
        operation.call_time_ns > newer.call_time_ns
        and operation is not newer
        and facts.model.writes(operation) not in (NOTHING, token)
        for operation in facts.operations
    )


def _went_back(facts: _Facts, _small: Sequence[Operation], readers: Sequence[Operation]) -> Iterator[Finding]:
    """Two reads, one after the other, that saw two writes in the wrong order."""
    for later in readers:
        old = facts.model.reads(later)
        sources = _sources(facts, old)
        for earlier in readers:
            new = facts.model.reads(earlier)
            if new == old or returned(earlier) >= later.call_time_ns:
                continue
            if not _certainly_before(facts, sources, earlier, new):
                continue
            text = (
                f"{facts.full(earlier)} had seen {facts.token(new)}; after it had returned, "
                f"{facts.full(later)} saw {facts.token(old)} again, which is older."
            )
            yield Finding(NON_REPEATABLE, text, [earlier, later])


def _certainly_before(
    facts: _Facts, sources: Sequence[Operation | None], earlier: Operation, new: Hashable
) -> bool:
    """Was the old token in place for the last time before the new one was seen?"""
    writers = facts.writers.get(new, [])
    for source in sources:
        if source is None:
            continue
        if returned(source) < earlier.call_time_ns and all(
            writer.call_time_ns > returned(source) for writer in writers
        ):
            continue
        seen = [
            reader
            for reader in facts.readers.get(facts.model.writes(source), ())
            if returned(reader) < earlier.call_time_ns
        ]
        if not seen:
            return False
    return True


def _refusals(facts: _Facts, small: Sequence[Operation]) -> Iterator[Finding]:
    for operation in small:
        if operation.is_ok and facts.model.reads(operation) is ANYTHING:
            others = [other for other in small if other is not operation][:2]
            text = f"{facts.full(operation)} contradicts what was there"
            if others:
                text += ": " + ", and ".join(facts.full(other) for other in others)
            yield Finding(WRONG_REFUSAL, text + ".", [*others, operation])
