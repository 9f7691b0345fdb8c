"""The same history by its values alone: every revision in the answers is ignored.

Independent evidence. Where the revisions cannot be explained and the values can, the cluster lies about its
revisions; where the values cannot either, what it stored is wrong.

1. Header, create and mod revisions and versions are dropped from the answers, and filters and sort orders by
   them are not judged.
2. A compare of a mod_revision stands for a compare with the value that was seen at that revision, where
   exactly one was seen and it was written once; 0 stands for an absent key. Any other compare of revisions
   may hold or not: its txn takes the branch that it was answered to take, or either one.
3. Reads of past revisions and compactions are left out, and serializable reads too: without revisions nothing
   says what they should have seen.
4. Keys that are never touched by one operation together are checked apart (union of the keys of txns, ranges
   and leases).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from gauntlet.checkers.etcd import calls as c
from gauntlet.checkers.etcd.gaps import pairs, puts
from gauntlet.checkers.etcd.matching import difference
from gauntlet.checkers.etcd.model import Etcd, as_granted, shown_revision, unordered, with_expiries
from gauntlet.checkers.etcd.store import State, apply
from gauntlet.checkers.etcd.words import value_words
from porcupine.checking import check
from porcupine.history import Operation
from porcupine.model import Model, OneOf, Rejected
from porcupine.search import Budget, Clock, Verdict

_UNKNOWN = (c.COMPACTED, c.FUTURE_REVISION)


def check_values(
    operations: Sequence[Operation], *, clock: Clock | None = None, seconds: float | None = None
) -> Verdict:
    """The verdict on the values alone; unknown where the bounds were reached."""
    kept = [
        replace(operation, response=_stripped(operation.response))
        for operation in operations
        if not unordered(operation) and not _of_the_past(operation)
    ]
    budget = Budget(50_000 + 4 * len(kept), seconds if clock is not None else None)
    model = Values(stands_for(operations), hints(operations))
    history = with_expiries(kept)
    return check(history, model, budget=budget, clock=clock, explained=False, first_failure=True).verdict


def _of_the_past(operation: Operation) -> bool:
    call = operation.call
    if isinstance(call, c.Compact) or operation.response in _UNKNOWN:
        return True
    return _asks_past(call)


def _asks_past(call: Any) -> bool:
    if isinstance(call, c.Range):
        return call.revision != 0
    return isinstance(call, c.Txn) and any(map(_asks_past, (*call.success, *call.failure)))


def _stripped(answer: Any) -> Any:
    """The answer without any revision or version."""
    match answer:
        case c.KV():
            return answer._replace(create_revision=None, mod_revision=None, version=None)
        case c.RangeAnswer():
            kvs = None if answer.kvs is None else tuple(map(_stripped, answer.kvs))
            return answer._replace(revision=None, kvs=kvs)
        case c.PutAnswer():
            return c.PutAnswer(None, None if answer.prev_kv is None else _stripped(answer.prev_kv))
        case c.DeleteAnswer():
            gone = None if answer.prev_kvs is None else tuple(map(_stripped, answer.prev_kvs))
            return c.DeleteAnswer(None, answer.deleted, gone)
        case c.TxnAnswer():
            inner = None if answer.answers is None else tuple(map(_stripped, answer.answers))
            return c.TxnAnswer(None, answer.succeeded, inner)
        case c.GrantAnswer() | c.RevokeAnswer():
            return answer._replace(revision=None)
    return answer


def stands_for(operations: Sequence[Operation]) -> dict[tuple[bytes, int], bytes]:
    """(key, mod_revision) -> the only value that was seen there, and that was written only once."""
    seen: dict[tuple[bytes, int], set[bytes]] = {}
    written: dict[tuple[bytes, bytes], int] = {}
    for operation in operations:
        for put in puts(c.call_of(operation)):
            written[put.key, put.value] = written.get((put.key, put.value), 0) + 1
        if not operation.is_ok:
            continue
        for kv in pairs(c.call_of(operation), c.answer_of(operation)):
            if kv.value is not None and kv.mod_revision:
                seen.setdefault((kv.key, kv.mod_revision), set()).add(kv.value)
        for key, revision, value in _own(operation):
            seen.setdefault((key, revision), set()).add(value)
    return {
        at: next(iter(values))
        for at, values in seen.items()
        if len(values) == 1 and written.get((at[0], next(iter(values))), 0) <= 1
    }


def _own(operation: Operation) -> list[tuple[bytes, int, bytes]]:
    """What an answered write wrote at its revision."""
    call, answer = operation.call, operation.response
    if isinstance(call, c.Put) and isinstance(answer, c.PutAnswer) and not call.ignore_value:
        return [(call.key, answer.revision or 0, call.value)]
    if isinstance(call, c.Txn) and isinstance(answer, c.TxnAnswer):
        branch = call.success if answer.succeeded else call.failure
        mine = (each for each in branch if isinstance(each, c.Put) and not each.ignore_value)
        return [(put.key, answer.revision or 0, put.value) for put in mine]
    return []


def hints(operations: Sequence[Operation]) -> dict[int, int]:
    """The revision of each answer by the operation's id: it decides only what is tried first."""
    found = {}
    for operation in operations:
        if operation.is_ok:
            revision = shown_revision(c.call_of(operation), c.answer_of(operation))
            if revision is not None:
                found[operation.id] = revision
    return found


class Values(Model[State]):
    """The whole store without revisions: the state keeps every pair at revision 1."""

    name = "etcd-values"

    def __init__(
        self,
        stands: Mapping[tuple[bytes, int], bytes] | None = None,
        hints: Mapping[int, int] | None = None,
    ) -> None:
        self.stands = stands or {}
        self.hints = hints or {}
        self._steps = Etcd()

    def init(self) -> State:
        return State()

    def step(self, state: State, operation: Operation) -> State | Rejected | OneOf[State]:
        call: Any = operation.call
        if not isinstance(call, c.Txn):
            return self._one(state, operation, call)
        answer = operation.response
        taken = answer.succeeded if isinstance(answer, c.TxnAnswer) and operation.is_ok else None
        outcomes = self._branches(state, call, taken)
        found: list[State] = []
        rejected: Rejected | None = None
        for each in outcomes:
            following = self._one(state, operation, each)
            if isinstance(following, Rejected):
                rejected = following
            else:
                found.append(following)
        if found:
            return found[0] if len(found) == 1 else OneOf(found)
        return rejected or Rejected("its compares contradict the branch that it took")

    def _one(self, state: State, operation: Operation, call: Any) -> State | Rejected:
        if operation.is_unknown:
            following = self._steps.if_it_happened(state, call)
            return following if isinstance(following, Rejected) else _flat(following)
        answer: Any = operation.response
        if isinstance(call, c.Grant) and isinstance(answer, c.GrantAnswer):
            call = as_granted(call, answer)
            if isinstance(call, Rejected):
                return call
        following, expected = apply(state, call, _nothing)
        found = difference(_stripped(expected), answer)
        if found is not None and not (isinstance(call, c.Range) and _by_revision(call)):
            return Rejected(found.reason, value_words(found.expected), value_words(found.got))
        return _flat(following)

    def _branches(self, state: State, txn: c.Txn, taken: bool | None) -> list[c.Txn]:
        """The txn with its compares of revisions decided: as answered, or both ways."""
        compares: list[c.Compare] = []
        open_ended = False
        for compare in txn.compare:
            if compare.target not in ("version", "create", "mod"):
                compares.append(compare)
                continue
            known = self._translated(compare)
            if known is None:
                open_ended = True
            else:
                compares.append(known)
        inner = [txn._replace(compare=tuple(compares))]
        if open_ended:
            # Compares that nothing is known of may fail: then it takes the other branch.
            inner.append(c.Txn((_NEVER,), txn.success, txn.failure))
        if taken is None or not open_ended:
            return inner
        return [inner[0]] if taken else [inner[1]]

    def _translated(self, compare: c.Compare) -> c.Compare | None:
        if compare.end or compare.result not in ("=", "!="):
            return None
        if compare.value == 0:
            return compare  # an absent key, in this store as in theirs
        if compare.target != "mod" or compare.result != "=":
            return None
        value = self.stands.get((compare.key, int(compare.value)))
        return None if value is None else c.Compare(compare.key, "value", "=", value)

    def partition(self, operations: Sequence[Operation]) -> Mapping[Hashable, Sequence[Operation]]:
        return partition(operations)

    def is_read(self, operation: Operation) -> bool:
        return self._steps.is_read(operation)

    def hint(self, operation: Operation) -> int | None:
        return self.hints.get(operation.id)

    def describe(self, operation: Operation) -> str:
        return self._steps.describe(operation)


_NEVER = c.Compare(b"\x00", "lease", "<", 0)


def _nothing(revision: int) -> bool:
    return False


def _flat(state: State) -> State:
    """Revisions and versions taken out of what was just written, so that equal content is an equal state."""
    if state.revision == 1:
        return state
    keys = state.keys
    for key, kv in list(keys.range(b"")):
        if kv.mod_revision != 1 or kv.version != 1 or kv.create_revision != 1:
            keys = keys.put(key, kv._replace(create_revision=1, mod_revision=1, version=1))
    return State(1, state.compacted, keys, state.leases)


def _by_revision(call: c.Range) -> bool:
    filtered = call.min_mod_revision or call.max_mod_revision
    filtered = filtered or call.min_create_revision or call.max_create_revision
    return bool(filtered) or call.sort_target in ("version", "create", "mod")


def partition(operations: Sequence[Operation]) -> dict[Hashable, Sequence[Operation]]:
    """Operations that share no key, directly or through others, apart; any true range keeps all together."""
    parent: dict[Hashable, Hashable] = {}

    def find(item: Hashable) -> Hashable:
        while parent.setdefault(item, item) != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    names: list[list[Hashable]] = []
    for operation in operations:
        mine = _names(operation)
        names.append(mine)
        for name in mine[1:]:
            parent[find(name)] = find(mine[0])
    if any(not mine or None in mine for mine in names):
        return {"all": list(operations)}
    parts: dict[Hashable, list[Operation]] = {}
    for operation, mine in zip(operations, names, strict=True):
        parts.setdefault(find(mine[0]), []).append(operation)
    return dict(parts.items())


def _names(operation: Operation) -> list[Hashable]:
    """The keys and leases that it touches; None for a range of keys."""
    call: Any = operation.call
    found: list[Hashable] = []
    work: list[Any] = [call]
    while work:
        each = work.pop()
        if isinstance(each, c.Txn):
            work += [*each.compare, *each.success, *each.failure]
        elif isinstance(each, (c.Grant, c.Revoke, c.Expire)):
            answer = operation.response
            found.append(("lease", answer.id if isinstance(answer, c.GrantAnswer) else each.id))
        else:
            found.append(None if getattr(each, "end", b"") else each.key)
            if isinstance(each, c.Put) and each.lease:
                found.append(("lease", each.lease))
    return found
