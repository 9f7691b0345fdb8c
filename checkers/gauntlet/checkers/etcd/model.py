"""etcd as a porcupine model: the whole store, answers held against `gauntlet.checkers.etcd.store`.

1. An answer is accepted in the states in which etcd would have given it, to the last field that was recorded.
2. An operation of unknown outcome leaves behind what it would have done, and is rejected where it would have
   been refused or would have changed nothing: it then need not have happened.
3. A lease may run out at any time: an `Expire` of the environment, of unknown outcome. `with_expiries` adds
   them.
4. Reads that a member may answer from its past (serializable ones) carry no order in real time: `unordered`
   says which; `relaxed` gives them all the time before their return. Keep-alives, TTL reads and lists of
   leases are a member's own knowledge and are not promised to be linearizable; the model knows what they
   mean, but a check of etcd does not order them by real time either.
5. A txn of compares only is taken at its word: it promises to be linearizable, although etcd (up to 3.7)
   answers it from the member's own store, as if it were serializable.
6. Alarms, permissions, quotas and overload refuse an operation at any moment and leave nothing behind: it is
   recorded as failed and says nothing (`calls.WITHOUT_EFFECT`).

`Evidence` tells what other answers saw at a revision that no answered write owns. With it, an unknown
operation is rejected at a revision where it contradicts what was seen there or later; that only cuts
branches which would be refuted further on.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace

from gauntlet.checkers.etcd.calls import (
    Answer,
    Call,
    Compact,
    Delete,
    Expire,
    Grant,
    GrantAnswer,
    KeepAlive,
    Leases,
    Range,
    Refused,
    Revoke,
    TimeToLive,
    Txn,
    TxnAnswer,
    answer_of,
    call_of,
    effective,
    is_serializable,
    writes,
)
from gauntlet.checkers.etcd.gaps import Evidence
from gauntlet.checkers.etcd.matching import difference
from gauntlet.checkers.etcd.store import State, apply
from gauntlet.checkers.etcd.words import operation_words, value_words
from porcupine.history import Operation, Outcome
from porcupine.model import Model, Rejected

ENVIRONMENT = "environment"


class Etcd(Model[State]):
    """The whole store. `start`: the state when the history began."""

    name = "etcd"

    def __init__(self, start: State | None = None, evidence: Evidence | None = None) -> None:
        self.start = State() if start is None else start
        self.evidence = evidence
        self._asked: frozenset[int] | None = None

    def for_part(self, operations: Sequence[Operation]) -> Etcd:
        """The same, remembering only those past revisions that somebody asks for."""
        part = Etcd(self.start, self.evidence)
        part._asked = past_revisions(operations)
        return part

    def _keeps(self, revision: int) -> bool:
        return self._asked is None or revision in self._asked

    def init(self) -> State:
        return self.start

    def step(self, state: State, operation: Operation) -> State | Rejected:
        call: Call = call_of(operation)
        if operation.is_unknown:
            return self.if_it_happened(state, call)
        answer: Answer = answer_of(operation)
        revision = shown_revision(call, answer)
        if revision is not None:
            took = effective(answer)
            taken = state.revision + 1 if took else state.revision
            silent = not took and isinstance(call, (Revoke, Delete, Txn))  # it may not tell what it changed
            if revision != taken and not (silent and revision == taken + 1):
                return Rejected("the answer's revision is another one", taken, revision)
        if isinstance(call, Grant) and isinstance(answer, GrantAnswer):
            granted = as_granted(call, answer)
            if isinstance(granted, Rejected):
                return granted
            call = granted
        following, expected = apply(state, call, self._keeps)
        found = difference(expected, answer)
        if found is None:
            return following
        return Rejected(found.reason, value_words(found.expected), value_words(found.got))

    def if_it_happened(self, state: State, call: Call) -> State | Rejected:
        """What a call of unknown outcome leaves behind, if it took effect here."""
        if isinstance(call, Grant):
            if call.id == 0:
                return state  # nobody knows its id, so nobody uses it
            call = Grant(call.id, 0)
        following, expected = apply(state, call, self._keeps)
        if isinstance(expected, Refused):
            return Rejected("it would have been refused", "an effect", expected.message)
        if following is state:
            return Rejected("it would have changed nothing", "an effect", "none")
        if self.evidence is not None and following.revision != state.revision:
            reason = self.evidence.against(state, following, call)
            if reason is not None:
                return Rejected(reason)
        return following

    def describe(self, operation: Operation) -> str:
        return operation_words(operation)

    def is_read(self, operation: Operation) -> bool:
        call, answer = operation.call, operation.response
        if isinstance(call, (Range, KeepAlive, TimeToLive, Leases)):
            return True
        if not operation.is_ok:
            return isinstance(call, Txn) and not writes(call)
        if isinstance(answer, Refused):
            return True
        if isinstance(call, Txn) and isinstance(answer, TxnAnswer):
            return not effective(answer) and answer.answers is not None
        return False

    def sequence(self, operation: Operation) -> int | None:
        if operation.is_ok and effective(answer_of(operation)):
            return shown_revision(call_of(operation), answer_of(operation))
        return None

    def hint(self, operation: Operation) -> int | None:
        if not operation.is_ok:
            return None
        return shown_revision(call_of(operation), answer_of(operation))

    def identity(self, operation: Operation) -> Hashable:
        return (operation.call, operation.response, operation.outcome)


def as_granted(call: Grant, answer: GrantAnswer) -> Grant | Rejected:
    """The grant with what the server chose: the number, where none was asked for, and a longer life."""
    if call.id not in (0, answer.id):
        return Rejected("the lease was granted under another number", call.id, answer.id)
    if answer.ttl is not None and answer.ttl < call.ttl:
        return Rejected("the lease was granted for a shorter time", call.ttl, answer.ttl)
    return Grant(answer.id, call.ttl if answer.ttl is None else answer.ttl)


def shown_revision(call: Call, answer: Answer) -> int | None:
    """The revision of the header, where it was read together with the content."""
    if (
        isinstance(call, (Compact, KeepAlive, TimeToLive, Leases))
        or isinstance(answer, Refused)
        or answer is None
    ):
        return None
    return answer.revision


def past_revisions(operations: Iterable[Operation]) -> frozenset[int]:
    """The revisions that reads of the past ask for."""
    asked: set[int] = set()
    for operation in operations:
        call = operation.call
        if isinstance(call, Range):
            if call.revision > 0:
                asked.add(call.revision)
        elif isinstance(call, Txn):
            asked |= _asked_in(call)
    return frozenset(asked)


def _asked_in(txn: Txn) -> set[int]:
    asked: set[int] = set()
    for request in (*txn.success, *txn.failure):
        if isinstance(request, Range) and request.revision > 0:
            asked.add(request.revision)
        elif isinstance(request, Txn):
            asked |= _asked_in(request)
    return asked


def unordered(operation: Operation) -> bool:
    """Does etcd promise nothing about its place in real time? (It cannot be from the future all the same.)"""
    call = call_of(operation)
    return isinstance(call, (KeepAlive, TimeToLive, Leases)) or is_serializable(call)


def relaxed(operations: Sequence[Operation]) -> list[Operation]:
    """The operations, unordered ones with all the time before their return."""
    begin = min((operation.call_time_ns for operation in operations), default=0)
    return [
        replace(operation, call_time_ns=begin, client=("past", position))
        if unordered(operation)
        else operation
        for position, operation in enumerate(operations)
    ]


def with_expiries(operations: Sequence[Operation]) -> list[Operation]:
    """The operations, and for every grant that happened or may have happened the end of that lease, which may
    come at any time later or never."""
    added: list[Operation] = []
    for operation in [each for each in operations if type(each.call) is Grant]:
        call, answer = call_of(operation), operation.response
        if not isinstance(call, Grant) or operation.outcome is Outcome.FAILED:
            continue
        number = answer.id if isinstance(answer, GrantAnswer) else call.id
        if number and not isinstance(answer, Refused):
            added.append(
                Operation(
                    (ENVIRONMENT, number, len(added)),
                    Expire(number),
                    operation.call_time_ns,
                    None,
                    Outcome.UNKNOWN,
                )
            )
    return [*operations, *added]
