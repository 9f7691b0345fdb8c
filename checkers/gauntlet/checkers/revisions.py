"""Revisions across all keys: one counter for the whole store, and everybody sees it move forward.

What etcd promises, for every answer that is linearizable and whose header revision is read with the content:

1. Each effective write owns one revision, and no two writes share one.
2. An operation called after another one returned never shows a smaller header revision; a write shows a
   greater one than anything answered before it was called.
3. The value at mod_revision M of a key is what the write with revision M wrote to that key.
4. An answer at header revision H shows the key as of H: no write of the key lies between its mod_revision
   and H, and its mod_revision is not above H.

The per-key models cannot see 1 and 2 when two keys are involved; a member that forgets writes and counts on
from an older revision after a restart gives itself away here. Everything is one or two sorted passes.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from gauntlet.checkers.records import Run, answer_of, is_serializable
from gauntlet.checkers.register import Revisions, effective, observed, parts_of
from gauntlet.checkers.verdict import CheckResult
from porcupine.history import Operation
from porcupine.labels import (
    FUTURE_READ,
    LOST_WRITE,
    PHANTOM_WRITE,
    REUSED,
    STALE_READ,
    WENT_BACK,
    WRONG_REVISION,
    describe_fully,
)
from porcupine.search import Verdict

# The stronger evidence comes first: an answer from an old revision follows from a revision given twice.
_FIRST_SHOWN = (REUSED, WENT_BACK, LOST_WRITE)
KEPT = 20


@dataclass(slots=True)
class Violation:
    label: str
    text: str
    operations: list[Operation]

    @property
    def at(self) -> int:
        """When it was complete: its last return."""
        return max(operation.return_time_ns or operation.call_time_ns for operation in self.operations)


@dataclass(slots=True)
class _Writes:
    """Known effective writes by revision, and each key's revisions in order."""

    by_revision: dict[int, Operation] = field(default_factory=dict)
    by_value: dict[tuple[str, str | None], list[Operation]] = field(default_factory=dict)
    of_key: dict[str, list[int]] = field(default_factory=dict)


_WORDS = Revisions()


def _full(operation: Operation) -> str:
    return describe_fully(operation, _WORDS)


def _key(operation: Operation) -> str:
    return str(operation.call[1]) if isinstance(operation.call, tuple) else ""


def check_revisions(run: Run) -> CheckResult:
    """Rules 1 to 4 over the operations of the register workload."""
    operations = [operation for operation in run.history if _belongs(operation)]
    answered = [operation for operation in operations if answer_of(operation).revision is not None]
    writes = _Writes()
    violations: list[Violation] = []
    violations += _owners(operations, writes)
    violations += _real_time([operation for operation in answered if not is_serializable(operation)])
    violations += _contents(operations, writes)
    violations += _snapshots(operations, writes)
    violations.sort(key=lambda violation: violation.at)
    details = _details(answered, operations, writes, violations)
    if violations:
        first = min(violations, key=lambda violation: (_rank(violation.label), violation.at))
        summary = f"{first.label}: {len(violations)} contradiction{'s' if len(violations) > 1 else ''}"
        return CheckResult("revisions", Verdict.INVALID, summary, details, _explanation(first))
    if not answered:
        return CheckResult("revisions", Verdict.UNKNOWN, "no answer carries a revision", details)
    summary = f"{len(answered)} answers agree on {len(writes.by_revision)} revisions"
    return CheckResult("revisions", Verdict.VALID, summary, details)


def _belongs(operation: Operation) -> bool:
    try:
        parts_of(operation)
    except ValueError:
        return False
    return operation.is_ok or operation.is_unknown


def _owners(operations: Sequence[Operation], writes: _Writes) -> Iterator[Violation]:
    """Rule 1, and the tables that the others use."""
    for operation in operations:
        _, value, _ = parts_of(operation)
        if value is not None:
            writes.by_value.setdefault((_key(operation), value), []).append(operation)
        revision = answer_of(operation).revision
        if not effective(operation) or revision is None:
            continue
        other = writes.by_revision.get(revision)
        if other is not None:
            text = f"{_full(other)} and {_full(operation)} were both given revision {revision}."
            yield Violation(REUSED, text, [other, operation])
            continue
        writes.by_revision[revision] = operation
        writes.of_key.setdefault(_key(operation), []).append(revision)
    for revisions in writes.of_key.values():
        revisions.sort()


def _real_time(answered: Sequence[Operation]) -> Iterator[Violation]:
    """Rule 2: sweep in the order of calls, keeping the greatest revision that had been answered by then."""
    running: list[tuple[int, int, int]] = []  # (return, position, revision)
    greatest, holder = -1, -1
    for position, operation in enumerate(answered):
        while running and running[0][0] < operation.call_time_ns:
            _, earlier, revision = heapq.heappop(running)
            if revision > greatest:
                greatest, holder = revision, earlier
        answer = answer_of(operation)
        revision = answer.revision if answer.revision is not None else -1
        if holder >= 0:
            yield from _order(answered[holder], operation, greatest, revision)
        if operation.return_time_ns is not None:
            heapq.heappush(running, (operation.return_time_ns, position, revision))


def _order(earlier: Operation, later: Operation, greatest: int, revision: int) -> Iterator[Violation]:
    writes = effective(later)
    if revision > greatest or (revision == greatest and not writes):
        return
    had = f"{_full(earlier)} had been answered at revision {greatest}"
    if not writes:
        text = f"{had}; {_full(later)}, called after that, was answered from the older revision {revision}."
        yield Violation(STALE_READ, text, [earlier, later])
    elif revision < greatest:
        text = f"{had}; {_full(later)}, called after that, was given revision {revision}."
        yield Violation(WENT_BACK, text, [earlier, later])
    elif not effective(earlier):
        text = f"{had}; {_full(later)}, called after that, was given the same revision."
        yield Violation(REUSED, text, [earlier, later])


def _contents(operations: Sequence[Operation], writes: _Writes) -> Iterator[Violation]:
    """Rule 3. A revision that no known write has belongs to the unknown write of the value seen there."""
    owner: dict[int, tuple[str, str | None, Operation]] = {}
    for revision, operation in writes.by_revision.items():
        _, value, _ = parts_of(operation)
        owner[revision] = (_key(operation), value, operation)
    for operation in operations:
        seen = observed(operation)
        if seen is None or seen[0] is None:
            continue
        value, revision = seen
        key = _key(operation)
        writers = writes.by_value.get((key, value), [])
        if not writers:
            text = f"{_full(operation)} saw a value that no operation wrote to {key}."
            yield Violation(PHANTOM_WRITE, text, [operation])
            continue
        known = owner.setdefault(revision, (key, value, writers[0]))
        if (known[0], known[1]) != (key, value):
            text = (
                f"{_full(operation)} shows a value at mod_revision {revision}, "
                f"but that revision had been given to {_full(known[2])}."
            )
            yield Violation(REUSED, text, [known[2], writers[0], operation])
            continue
        sure = [writer for writer in writers if effective(writer)]
        if len(writers) == 1 and sure and answer_of(sure[0]).revision != revision:
            text = f"{_full(operation)} saw the write {_full(sure[0])} under another revision."
            yield Violation(WRONG_REVISION, text, [sure[0], operation])


def _snapshots(operations: Sequence[Operation], writes: _Writes) -> Iterator[Violation]:
    """Rule 4. A key may be absent because of a delete of unknown outcome."""
    unknown_deletes = {
        _key(operation)
        for operation in operations
        if operation.is_unknown and parts_of(operation)[0] == "delete"
    }
    for operation in operations:
        seen = observed(operation)
        header = answer_of(operation).revision
        if seen is None or header is None:
            continue
        value, mod_revision = seen
        if mod_revision > header:
            text = f"{_full(operation)} shows a mod_revision above the revision of the answer."
            yield Violation(FUTURE_READ, text, [operation])
            continue
        key = _key(operation)
        revisions = writes.of_key.get(key, [])
        position = bisect_right(revisions, header) - 1
        if position < 0 or revisions[position] <= mod_revision:
            continue
        last = writes.by_revision[revisions[position]]
        if value is None and (parts_of(last)[0] == "delete" or key in unknown_deletes):
            continue
        text = (
            f"{_full(operation)} was answered at revision {header}, which includes {_full(last)}, without it."
        )
        yield Violation(LOST_WRITE, text, [last, operation])


def _details(
    answered: Sequence[Operation],
    operations: Sequence[Operation],
    writes: _Writes,
    violations: Sequence[Violation],
) -> dict[str, Any]:
    revisions = sorted(writes.by_revision)
    gaps = revisions[-1] - revisions[0] + 1 - len(revisions) if revisions else 0
    unknown = sum(1 for each in operations if each.is_unknown and parts_of(each)[0] != "get")
    return {
        "answers": len(answered),
        "writes": len(revisions),
        "first_revision": revisions[0] if revisions else None,
        "last_revision": revisions[-1] if revisions else None,
        "revisions_without_known_write": gaps,
        "unknown_writes": unknown,
        "violations": len(violations),
        "labels": {label: sum(1 for v in violations if v.label == label) for label in _labels(violations)},
        "first_violations": [
            {"label": v.label, "text": v.text, "operations": [operation.id for operation in v.operations]}
            for v in violations[:KEPT]
        ],
    }


def _rank(label: str) -> int:
    return _FIRST_SHOWN.index(label) if label in _FIRST_SHOWN else len(_FIRST_SHOWN)


def _labels(violations: Sequence[Violation]) -> list[str]:
    return sorted({violation.label for violation in violations})


def _explanation(violation: Violation) -> dict[str, Any]:
    operations = sorted(violation.operations, key=lambda operation: operation.call_time_ns)
    return {
        "label": violation.label,
        "text": violation.text,
        "operations": [operation.id for operation in operations],
        "expectations": [],
        "shrunk": [operation.id for operation in operations],
        "part": _key(operations[-1]),
    }
