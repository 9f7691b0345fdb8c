"""The judge of the judge, for long histories: does this order explain every answer? One pass, a dict for a
store.

It shares no code with the witness, the model or the search: it has its own etcd, written for speed instead of
for branching, so that a mistake has to be made twice to go unseen. Its rules are those of `porcupine.verify`:

1. Every ok operation is in the order exactly once, an unknown one at most once, a failed one never.
2. No operation stands behind one that was called after it had returned. Reads that may be answered from the
   past (`loose`) are bound on one side only: they never saw what was called after they returned.
3. Every answer is the one that etcd gives at that place; an unknown operation has an effect there.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Sequence
from itertools import compress, repeat
from operator import attrgetter, is_
from typing import Any, Final, NamedTuple

from gauntlet.checkers.etcd import calls as c
from porcupine.history import Operation, Outcome

MAX_TTL: Final = 9_000_000_000
_PLAIN: Final = c.Range(b"")[1:-1]
_BARE: Final = c.Put(b"")[2:]
_GET: Final = c.Range(b"")[1:]
_PUT: Final = (True, (c.PutAnswer(None),))
_NOTHING: Final = ((), False, 0)  # kvs, more, count
_NEVER: Final = float("inf")


class Flaw(NamedTuple):
    """Where an order proves nothing. `place` is a position in it, -1 for what is missing."""

    place: int
    operation: Operation | None
    reason: str
    expected: object = None
    got: object = None
    other: Operation | None = None  # it returned before `operation` was called, and stands behind it


class Start(NamedTuple):
    """The store when the history began."""

    revision: int = 1
    kvs: tuple[c.KV, ...] = ()
    leases: tuple[int, ...] = ()


def certify(
    operations: Sequence[Operation],
    order: Sequence[Operation],
    start: Start | None = None,
    loose: Callable[[Operation], bool] | None = None,
) -> Flaw | None:
    """None when the order is a linearization of the operations."""
    return (
        _complete(operations, order) or in_time(order, loose or _is_loose) or _replay(order, start or Start())
    )


def _complete(operations: Sequence[Operation], order: Sequence[Operation]) -> Flaw | None:
    ok, failed = Outcome.OK, Outcome.FAILED
    placed = set(map(id, order))
    if len(placed) != len(order):
        return Flaw(-1, None, "an operation is placed twice")
    answered = list(compress(map(id, operations), map(is_, map(_OUTCOME, operations), repeat(ok))))
    if not placed.issuperset(answered):
        missing = next(each for each in operations if each.outcome is ok and id(each) not in placed)
        return Flaw(-1, missing, "an operation is not placed")
    if len(placed) > len(answered) and not placed.issubset(
        id(operation) for operation in operations if operation.outcome is not failed
    ):
        return Flaw(-1, None, "an operation is placed that should not be")
    return None


_OUTCOME: Final = attrgetter("outcome")


def _is_loose(operation: Operation) -> bool:
    call = operation.call
    return type(call) is c.Range and call.serializable


def in_time(order: Sequence[Operation], loose: Callable[[Operation], bool]) -> Flaw | None:
    """Rule 2 alone."""
    ok = Outcome.OK
    earliest: float = _NEVER
    holder: Operation | None = None
    place = len(order)
    for operation in reversed(order):
        place -= 1
        if operation.call_time_ns > earliest and not loose(operation):
            return Flaw(place, operation, "it was called after a later one had returned", other=holder)
        returned = operation.return_time_ns
        if returned is not None and returned < earliest and operation.outcome is ok:
            earliest, holder = returned, operation
    return None


class _PastError(Exception):
    """Somebody reads an earlier revision."""


def _replay(order: Sequence[Operation], start: Start) -> Flaw | None:
    try:
        return _run(order, _Store(start, remember=False))
    except _PastError:
        return _run(order, _Store(start, remember=True))


def _run(order: Sequence[Operation], store: _Store) -> Flaw | None:
    kvs, write, remember = store.kvs, store.write, store.remember
    get = kvs.get
    ok = Outcome.OK
    put_type, range_type, txn_type, pair_type, new = c.Put, c.Range, c.Txn, c.KV, tuple.__new__
    put_answer, range_answer, txn_answer = c.PutAnswer, c.RangeAnswer, c.TxnAnswer
    for place, operation in enumerate(order):
        call: Any = operation.call
        answer: Any = operation.response
        if operation.outcome is not ok:
            if not store.happens(call):
                return Flaw(place, operation, "an unknown operation would have had no effect here")
            continue
        kind = type(call)
        if kind is range_type:
            # The same as `store.run`, for a plain get and the whole answer to it.
            if call[1:-1] == _PLAIN and type(answer) is range_answer and answer[0] == store.revision:
                kv = get(call[0])
                if kv is None:
                    if call[0] and answer[1:] == _NOTHING:
                        continue
                elif answer[1:] == ((kv,), False, 1):
                    continue
        else:
            # ... for a plain put, and for a swap that put.
            put: Any = None
            if kind is put_type:
                if type(answer) is put_answer and answer[1] is None:
                    put = call
            elif kind is txn_type and type(answer) is txn_answer and answer[1:] == _PUT:
                put = _swapped(call, get)
            if put is not None and put[2:] == _BARE and put[0]:
                revision = store.revision + 1
                if answer[0] == revision:
                    store.revision = revision
                    key = put[0]
                    old = get(key)
                    if old is None or old[5] or old[4] is None or remember:
                        write(key, put[1], 0)
                    else:
                        kvs[key] = new(pair_type, (key, put[1], old[2], revision, old[4] + 1, 0))
                    continue
        expected = store.run(call, answer)
        if not _same(expected, answer):
            return Flaw(place, operation, "another answer was due", expected, answer)
    return None


def _swapped(call: c.Txn, get: Callable[[bytes], c.KV | None]) -> c.Put | None:
    """The put of a txn that compares one mod_revision, which holds, and else gets; None for anything else."""
    compares, then, otherwise = call
    if len(compares) != 1 or len(then) != 1 or len(otherwise) != 1:
        return None
    key, target, result, value, end = compares[0]
    put, other = then[0], otherwise[0]
    if target != "mod" or result != "=" or end or not key or type(put) is not c.Put:
        return None
    if type(other) is not c.Range or not other[0] or other[1:] != _GET:
        return None
    kv = get(key)
    return put if (0 if kv is None else kv[3]) == value else None


def _same(expected: Any, got: Any) -> bool:
    """Equal, where None on either side and `_Unordered` pairs allow more than one answer."""
    if expected == got or expected is None or got is None:
        return True
    if isinstance(expected, _Unordered):
        return isinstance(got, tuple) and expected.allows(got)
    if type(expected) is not type(got) or not isinstance(expected, tuple) or len(expected) != len(got):
        return False
    if isinstance(expected, c.PutAnswer) and (expected.prev_kv is None) != (got.prev_kv is None):
        return False  # here None is no pair
    return all(map(_same, expected, got))


class _Unordered:
    """The pairs of a range that is sorted by something with equal elements: `ranks` has that of each."""

    def __init__(self, pool: list[c.KV], count: int, ranks: list[Any]) -> None:
        self.here = {kv.key: (kv, rank) for kv, rank in zip(pool, ranks, strict=True)}
        self.due = ranks[:count]

    def allows(self, got: tuple[c.KV, ...]) -> bool:
        if len(got) != len(self.due) or len({kv.key for kv in got}) != len(got):
            return False
        return all(
            kv.key in self.here and _same(self.here[kv.key][0], kv) and self.here[kv.key][1] == due
            for kv, due in zip(got, self.due, strict=True)
        )


class _Refusal(Exception):
    def __init__(self, answer: c.Refused) -> None:
        self.answer = answer


class _Store:
    """A mutable etcd."""

    def __init__(self, start: Start, remember: bool) -> None:
        self.revision = start.revision
        self.compacted = -1
        self.kvs: dict[bytes, c.KV] = {kv.key: kv for kv in start.kvs}
        self.keys = sorted(self.kvs)
        self.leases: dict[int, int | None] = dict.fromkeys(start.leases)
        self.attached: dict[int, set[bytes]] = {number: set() for number in start.leases}
        self.begin = start.revision
        self.remember = remember
        self.past: dict[bytes, list[tuple[int, c.KV | None]]] = {}
        if remember:
            self.past = {kv.key: [(start.revision, kv)] for kv in start.kvs}

    # ---- writing; self.revision is already that of the write ----

    def write(self, key: bytes, value: bytes | None, lease: int) -> None:
        revision = self.revision
        old = self.kvs.get(key)
        if old is None:
            kv = c.KV(key, value, revision, revision, 1, lease)
            insort(self.keys, key)
        else:
            version = old[4]
            kv = c.KV(key, value, old[2], revision, None if version is None else version + 1, lease)
            if old[5] and old[5] in self.attached:
                self.attached[old[5]].discard(key)
        self.kvs[key] = kv
        if lease and lease in self.attached:
            self.attached[lease].add(key)
        if self.remember:
            self.past.setdefault(key, []).append((revision, kv))

    def drop(self, key: bytes) -> None:
        kv = self.kvs.pop(key)
        del self.keys[bisect_left(self.keys, key)]
        if kv.lease and kv.lease in self.attached:
            self.attached[kv.lease].discard(key)
        if self.remember:
            self.past[key].append((self.revision, None))

    def within(self, key: bytes, end: bytes) -> list[bytes]:
        if not end:
            return [key] if key in self.kvs else []
        last = len(self.keys) if end == b"\x00" else bisect_left(self.keys, end)
        return self.keys[bisect_left(self.keys, key) : last]

    # ---- calls ----

    def happens(self, call: Any) -> bool:
        """Carries out an operation of unknown outcome; False when it would change nothing."""
        before = (self.revision, self.compacted, len(self.leases))
        if type(call) is c.Grant:
            if call.id and call.id not in self.leases:
                self.leases[call.id], self.attached[call.id] = None, set()
        elif isinstance(self.run(call, None), c.Refused):
            return False
        return (self.revision, self.compacted, len(self.leases)) != before

    def run(self, call: Any, answer: Any) -> Any:
        """Carries it out and gives the answer that is due."""
        try:
            if isinstance(call, (c.Range, c.Put, c.Delete, c.Txn)):
                _well_formed(call)
                return self._keys_call(call)
            return self._other(call, answer)
        except _Refusal as refusal:
            return refusal.answer

    def _keys_call(self, call: Any) -> Any:
        path: dict[int, bool] = {}
        self._choose(call, path)
        self._check(call, path, type(call) is c.Txn)
        due = self._do(call, path, self.revision)
        return due._replace(revision=self.revision)

    def _choose(self, call: Any, path: dict[int, bool]) -> None:
        if type(call) is c.Txn:
            path[id(call)] = taken = all(map(self._holds, call.compare))
            for request in call.success if taken else call.failure:
                self._choose(request, path)

    def _holds(self, compare: c.Compare) -> bool:
        keys = self.within(compare.key, compare.end)
        if not keys:
            return compare.target != "value" and _compares(compare, 0)
        field = {"version": 4, "create": 2, "mod": 3, "value": 1, "lease": 5}[compare.target]
        return all(_compares(compare, self.kvs[key][field]) for key in keys)

    def _check(self, call: Any, path: dict[int, bool], inside: bool) -> None:
        if type(call) is c.Txn:
            for request in call.success if path[id(call)] else call.failure:
                self._check(request, path, inside)
        elif type(call) is c.Range and call.revision:
            if call.revision > self.revision:
                raise _Refusal(c.FUTURE_REVISION)
            if call.revision < self.compacted and (inside or call.revision > 0):
                raise _Refusal(c.COMPACTED)
        elif type(call) is c.Put:
            if call.lease and call.lease not in self.leases:
                raise _Refusal(c.LEASE_NOT_FOUND)
            if (call.ignore_value or call.ignore_lease) and call.key not in self.kvs:
                raise _Refusal(c.KEY_NOT_FOUND)

    def _do(self, call: Any, path: dict[int, bool], now: int) -> Any:
        if type(call) is c.Range:
            return self._range(call)
        if type(call) is c.Put:
            old = self.kvs.get(call.key)
            value = (old.value if old else b"") if call.ignore_value else call.value
            lease = (old.lease or 0 if old else 0) if call.ignore_lease else call.lease
            self.revision = now + 1
            self.write(call.key, value, lease)
            return c.PutAnswer(None, old if call.prev_kv else None)
        if type(call) is c.Delete:
            gone = [self.kvs[key] for key in self.within(call.key, call.end)]
            if gone:
                self.revision = now + 1
            for kv in gone:
                self.drop(kv.key)
            return c.DeleteAnswer(None, len(gone), tuple(gone) if call.prev_kv else ())
        taken = path[id(call)]
        answers = tuple(self._do(each, path, now) for each in (call.success if taken else call.failure))
        return c.TxnAnswer(None, taken, answers)

    def _range(self, call: c.Range) -> Any:
        if 0 < call.revision < self.revision:
            if not self.remember:
                raise _PastError
            found = self._then(call)
            if found is None:
                return c.RangeAnswer(None, None)
        else:
            found = [self.kvs[key] for key in self.within(call.key, call.end)]
        if call.count_only:
            return c.RangeAnswer(None, (), False, len(found))
        low, high = call.min_mod_revision, call.max_mod_revision or _NEVER
        first, last = call.min_create_revision, call.max_create_revision or _NEVER
        pool = found
        if (low, high, first, last) != (0, _NEVER, 0, _NEVER):
            pool = [kv for kv in found if low <= (kv[3] or 0) <= high and first <= (kv[2] or 0) <= last]
        elif call.sort_order == "none" and call.limit > 0:
            pool = found[: call.limit + 1]  # cut first, then sorted
        field = {"key": 0, "version": 4, "create": 2, "mod": 3, "value": 1}[call.sort_target]
        down = call.sort_order == "descend"
        if field or down:
            unknown = b"" if field < 2 else 0  # what stands for a field that nobody knows
            pool = sorted(pool, key=lambda kv: kv[field] or unknown, reverse=down)
        ranks = [kv[field] for kv in pool]
        if call.keys_only:
            pool = [kv._replace(value=b"", lease=None) for kv in pool]
        size = call.limit if 0 < call.limit < len(pool) else len(pool)
        kvs: Any = _Unordered(pool, size, ranks) if field else tuple(pool[:size])
        return c.RangeAnswer(None, kvs, size < len(pool), len(found))

    def _then(self, call: c.Range) -> list[c.KV] | None:
        """The pairs of a range as of an earlier revision; None before the history began."""
        if call.revision < self.begin:
            return None
        end = call.key + b"\x00" if not call.end else None if call.end == b"\x00" else call.end
        found = []
        for key in sorted(self.past):
            if key < call.key or (end is not None and key >= end):
                continue
            versions = self.past[key]
            place = bisect_right(versions, call.revision, key=lambda version: version[0])
            kv = versions[place - 1][1] if place else None
            if kv is not None:
                found.append(kv)
        return found

    def _other(self, call: Any, answer: Any) -> Any:
        alive = getattr(call, "id", None) in self.leases
        match call:
            case c.Grant():
                if call.ttl > MAX_TTL:
                    return c.TTL_TOO_LARGE
                if isinstance(answer, c.Refused):
                    return c.LEASE_EXISTS if alive else c.GrantAnswer(self.revision, call.id)
                number = call.id or answer.id
                if number in self.leases:
                    return c.LEASE_EXISTS
                self.leases[number], self.attached[number] = answer.ttl, set()
                enough = answer.ttl is None or answer.ttl >= call.ttl
                return c.GrantAnswer(self.revision, number, answer.ttl if enough else call.ttl)
            case c.Revoke() | c.Expire():
                if not alive:
                    return c.LEASE_NOT_FOUND
                keys = sorted(self.attached.pop(call.id))
                del self.leases[call.id]
                self.revision += 1 if keys else 0
                for key in keys:
                    self.drop(key)
                return c.RevokeAnswer(self.revision)
            case c.Compact():
                if call.revision <= self.compacted:
                    return c.COMPACTED
                if call.revision > self.revision:
                    return c.FUTURE_REVISION
                self.compacted = call.revision
                return c.CompactAnswer(None)
            case c.KeepAlive():
                lives = answer is not None and (answer.ttl > 0) == alive
                return c.KeepAliveAnswer(None, call.id, answer.ttl if lives else int(alive))
            case c.Leases():
                return c.LeasesAnswer(None, tuple(sorted(self.leases)))
            case c.TimeToLive():
                return self._time_to_live(call, answer, alive)
        raise ValueError(f"not an operation of etcd: {call!r}")

    def _time_to_live(self, call: c.TimeToLive, answer: Any, alive: bool) -> Any:
        if not alive:
            return c.TimeToLiveAnswer(None, call.id, -1)
        keys = tuple(sorted(self.attached[call.id])) if call.keys else ()
        if answer is not None and answer.keys is not None and tuple(sorted(answer.keys)) == keys:
            keys = answer.keys
        lives = answer is not None and answer.ttl >= 0
        return c.TimeToLiveAnswer(None, call.id, answer.ttl if lives else 1, self.leases[call.id], keys)


def _compares(compare: c.Compare, held: Any) -> bool:
    wanted: Any = compare.value
    if held is None:
        held = type(wanted)()
    return bool(
        {"=": held == wanted, "!=": held != wanted, ">": held > wanted, "<": held < wanted}[compare.result]
    )


def _well_formed(call: Any, allowed: int = 128) -> None:
    """What is refused by the request alone."""
    if type(call) is not c.Txn:
        _single(call)
        return
    _operations(call, allowed)
    for branch in (call.success, call.failure):
        if len(branch) > 1 or (branch and type(branch[0]) is c.Txn):
            _collide(branch)


def _operations(txn: c.Txn, allowed: int) -> None:
    most = max(map(len, (txn.compare, txn.success, txn.failure)))
    if most > allowed:
        raise _Refusal(c.TOO_MANY_OPS)
    if any(not compare.key for compare in txn.compare):
        raise _Refusal(c.EMPTY_KEY)
    for request in txn.success + txn.failure:
        if type(request) is c.Txn:
            _operations(request, allowed - most)
        else:
            _single(request)


def _single(call: Any) -> None:
    if not call.key:
        raise _Refusal(c.EMPTY_KEY)
    if type(call) is c.Put:
        if call.ignore_value and call.value:
            raise _Refusal(c.VALUE_PROVIDED)
        if call.ignore_lease and call.lease:
            raise _Refusal(c.LEASE_PROVIDED)
    elif type(call) is c.Range and not (
        call.sort_order in c.SORT_ORDERS and call.sort_target in c.SORT_TARGETS
    ):
        raise _Refusal(c.INVALID_SORT)


def _collide(branch: tuple[Any, ...]) -> tuple[set[bytes], list[tuple[bytes, bytes]]]:
    """The keys that a branch puts and the ranges it deletes; refuses what meets."""
    gone = [(each.key, each.end or each.key + b"\x00") for each in branch if type(each) is c.Delete]
    puts: set[bytes] = set()

    def add(keys: set[bytes]) -> None:
        if keys & puts or any(start <= key < end for key in keys for start, end in gone):
            raise _Refusal(c.DUPLICATE_KEY)
        puts.update(keys)

    for each in branch:
        if type(each) is c.Txn:
            (one, less), (other, fewer) = _collide(each.success), _collide(each.failure)
            add(one | other)
            gone.extend(less + fewer)
    for each in branch:
        if type(each) is c.Put:
            add({each.key})
    return puts, gone
