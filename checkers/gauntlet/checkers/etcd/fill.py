"""Who took each gap: a guess, by what the later answers about every key demand.

One pass over the gaps in their order. Every key that an unknown operation may touch is kept as the known
writes, and the choices so far, leave it. At a gap, in this order:

1. A pair seen with this mod_revision names its writer; one seen as created here names its key.
2. The key whose next sight misses a write or a delete, the one whose sight comes soonest: earliest deadline
   first misses no deadline that any order could meet (Jackson 1955, for jobs of one unit).
3. An operation against which no later sight speaks, on keys that nobody looks at again before others.

Of the operations on one key the one called first is taken: whoever can take a gap can take every later one.
A wrong guess costs time, never the verdict: the verifier and the search behind it have the last word.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from heapq import heappop, heappush
from typing import Any, Final, cast

from gauntlet.checkers.etcd.calls import Delete, Expire, Put, Revoke, Txn, call_of
from gauntlet.checkers.etcd.demand import NEVER, Key
from gauntlet.checkers.etcd.gaps import Evidence, puts
from gauntlet.checkers.etcd.store import span
from porcupine.history import Operation

_SCANNED: Final = 512  # keys looked at for an operation that nothing demands


class Filler:
    """`unknown`: who may have taken the gaps; `deadlines`: a time for each gap; `revocations`: answered ones
    whose header shows a gap. Such a gap is theirs if the lease had keys and nobody saw it before."""

    def __init__(
        self,
        evidence: Evidence,
        unknown: Sequence[Operation],
        deadlines: Sequence[float],
        revocations: Mapping[int, Sequence[Operation]] | None = None,
    ) -> None:
        self.revocations = revocations or {}
        self.evidence = evidence
        self.deadlines = deadlines
        self.unknown = unknown
        self.used: set[int] = set()
        self.writers: dict[tuple[bytes, bytes], list[Operation]] = {}
        for operation in unknown:
            for put in puts(call_of(operation)):
                self.writers.setdefault((put.key, put.value), []).append(operation)
        self.keys: dict[bytes, Key] = {}
        self.created: dict[int, bytes] = {}
        self.ends: dict[int, list[Operation]] = {}  # revocations and expiries by lease
        self.wide: list[Operation] = []  # they concern no key, one of many, or a lease
        self.leased: dict[int, set[bytes]] = {}  # the keys that the chosen ones put
        self.failed: list[tuple[int, bytes]] = []
        """(gap, key): demands that could not be met in time."""
        self.wants: list[tuple[float, bytes, int]] = []
        self.changes: list[tuple[float, bytes]] = []

    def fill(self) -> tuple[dict[int, Operation], list[int]]:
        """(who took each gap, the gaps that nobody could be found for). Among those who did are answered
        revocations."""
        evidence = self.evidence
        gaps, required = evidence.gaps, evidence.required
        chosen: dict[int, Operation] = {}
        for gap, deadline in zip(gaps, self.deadlines, strict=True):
            operation = self._writer(gap, deadline)
            if operation is not None:
                chosen[gap] = operation
                self.used.add(id(operation))
        if all(required.values()):
            return chosen, [gap for gap in gaps if gap not in chosen]
        self._prepare(chosen)
        revoked = deque(sorted((at, lease) for lease, at in evidence.ended.items()))
        for gap, deadline in zip(gaps, self.deadlines, strict=True):
            while revoked and revoked[0][0] < gap:
                self._end_lease(revoked[0][1], revoked.popleft()[0])
            self._look(gap)
            operation = chosen.get(gap)
            revocations = [each for each in self.revocations.get(gap, ()) if each.call_time_ns <= deadline]
            if operation is None:
                full = (each for each in revocations if self._attached(cast(Revoke, each.call).id, gap))
                operation = next(full, None)
            if operation is None and not required[gap]:
                operation = self._created(gap, deadline) or self._wanted(gap, deadline)
                operation = operation or self._spare(gap, deadline) or next(iter(revocations), None)
            if operation is not None:
                chosen[gap] = operation
                self.used.add(id(operation))
                self._carry_out(operation, gap)
        return chosen, [gap for gap in gaps if gap not in chosen]

    def _writer(self, gap: int, deadline: float) -> Operation | None:
        for key, kv in self.evidence.required[gap].items():
            for operation in self.writers.get((key, kv.value or b""), ()):
                if id(operation) not in self.used and operation.call_time_ns <= deadline:
                    return operation
        return None

    # ---- what is known of every key ----

    def _prepare(self, chosen: Mapping[int, Operation]) -> None:
        evidence = self.evidence
        evidence.study()
        for gap, operation in chosen.items():
            evidence.guessed(call_of(operation), gap - 1)
        keys = self.keys
        for operation in self.unknown:
            self._offer(operation)
        for key in evidence.concerned():
            keys.setdefault(key, Key())
        for key, k in keys.items():
            k.sights = evidence.seen_of(key)
            for sight in k.sights:
                kv = sight.kv
                create = kv.create_revision if kv is not None else None
                unseen = create in evidence.required and key not in evidence.required[create]
                if create is not None and unseen and create not in self.created:
                    self.created[create] = key
                    k.events.append((create, True, 0))
            k.events += [(revision, True, lease) for revision, lease in evidence.writes_of(key)]
        for gap, seen in evidence.required.items():
            for key, kv in seen.items():
                if key in keys:
                    keys[key].events.append((gap, True, kv.lease or 0))
        self._known_deletes()
        for key, k in keys.items():
            k.events.sort()
            self._ask(key, k, 0)

    def _offer(self, operation: Operation) -> None:
        """Notes whom an operation may serve. Those that were seen have been used before."""
        call: Any = operation.call
        if isinstance(call, (Revoke, Expire)):
            self.ends.setdefault(call.id, []).append(operation)
            return
        if id(operation) in self.used:
            return
        touched = [put.key for put in puts(call)]
        if isinstance(call, Put):
            self._key(call.key).plain.append(operation)
        elif isinstance(call, Delete) and not call.end:
            self._key(call.key).deletes.append(operation)
        elif isinstance(call, Txn) and len(touched) == 1 == len(call.success) and _bound(call) is not None:
            self._key(touched[0]).swaps.setdefault(_bound(call) or 0, deque()).append(operation)
        else:
            self.wide.append(operation)
            for key in touched:
                self._key(key).shared.append(operation)

    def _key(self, key: bytes) -> Key:
        return self.keys.setdefault(key, Key())

    def _known_deletes(self) -> None:
        names = sorted(self.keys)
        for revision, start, end in self.evidence.known_deletes:
            first = bisect_left(names, start)
            last = len(names) if end is None else bisect_left(names, end)
            for key in names[first:last]:
                self.keys[key].events.append((revision, False, 0))

    # ---- going on ----

    def _look(self, gap: int) -> None:
        """What has changed until this gap."""
        changes = self.changes
        while changes and changes[0][0] < gap:
            _, key = heappop(changes)
            need = self.keys[key].need
            if need.wanted and need.deadline < gap:
                self.failed.append((gap, key))
            self._ask(key, self.keys[key], gap)

    def _ask(self, key: bytes, k: Key, gap: int) -> None:
        k.advance(gap)
        k.stamp += 1
        k.need = k.demand(gap, self.evidence.ended)
        heappush(self.changes, (k.next_change(), key))
        if k.need.wanted:
            deadline = k.need.deadline
            if k.mod in k.swaps and self._scarce(k):
                deadline = min(deadline, k.next_change())
            heappush(self.wants, (deadline, key, k.stamp))

    def _carry_out(self, operation: Operation, gap: int) -> None:
        call: Any = operation.call
        if isinstance(call, (Revoke, Expire)):
            self._end_lease(call.id, gap)
            self.evidence.end(call.id, gap)
            return
        for put in puts(call) if isinstance(call, Put) else _branch_puts(call):
            k = self._key(put.key)
            k.advance(gap + 1)  # a pair that was seen here is among the events
            if put.lease:
                self.leased.setdefault(put.lease, set()).add(put.key)
            if k.mod != gap:
                k.put(gap, put.lease)
            self._ask(put.key, k, gap + 1)
        for key in self._gone(call):
            self.keys[key].vanish()
            self._ask(key, self.keys[key], gap + 1)

    def _time(self, k: Key) -> float:
        """Until when whoever fills its demand has to be called."""
        place = bisect_right(self.evidence.gaps, k.need.deadline)
        return self.deadlines[place - 1] if place else 0

    def _scarce(self, k: Key) -> bool:
        return k.scarce(self.used, self._time(k))

    def _gone(self, call: Any) -> Iterator[bytes]:
        for each in call.success if isinstance(call, Txn) else (call,):
            if isinstance(each, Delete) and not each.end:
                yield from [each.key] if each.key in self.keys else []
            elif isinstance(each, Delete):
                start, end = span(each.key, each.end)
                yield from [key for key in self.keys if start <= key and (end is None or key < end)]

    def _end_lease(self, lease: int, revision: int) -> None:
        for key in self._attached(lease, revision):
            self.keys[key].vanish()
            self._ask(key, self.keys[key], revision + 1)

    def _attached(self, lease: int, revision: int) -> list[bytes]:
        found = []
        for key in sorted(self.evidence.keys_of(lease) | self.leased.get(lease, set())):
            k = self._key(key)
            k.advance(revision)
            if k.mod and k.lease == lease:
                found.append(key)
        return found

    # ---- choices ----

    def _created(self, gap: int, deadline: float) -> Operation | None:
        key = self.created.get(gap)
        return None if key is None else self._put(self.keys[key], gap, deadline)

    def _wanted(self, gap: int, deadline: float) -> Operation | None:
        """Rule 2."""
        aside = []
        found = None
        while self.wants and found is None:
            entry = heappop(self.wants)
            k = self.keys[entry[1]]
            if entry[2] != k.stamp:
                continue
            aside.append(entry)
            find = self._put if k.need.wanted == "put" else self._delete
            found = find(k, gap, deadline)
        for entry in aside:
            heappush(self.wants, entry)
        return found

    def _spare(self, gap: int, deadline: float) -> Operation | None:
        """Rule 3."""
        best, found = (0, 0), None
        for k in list(self.keys.values())[:_SCANNED]:
            need = k.need
            left = len(k.plain) + len(k.deletes)
            if need.wanted or (need.put, left) <= best:
                continue
            operation = self._put(k, gap, deadline, alone=True) if need.put else None
            if operation is None and need.delete and k.mod:
                operation = self._first(k.deletes, deadline)
            if operation is not None:
                best, found = (need.put, left), operation
        if best[0] == 2:
            return found
        for operation in self.wide:
            if best[0] < self._fit(operation, gap) and self._free(operation, deadline):
                return operation
        for lease, ends in self.ends.items() if found is None else ():
            for operation in ends:
                if self._free(operation, deadline) and self._may_end(lease, gap):
                    return operation
        return found or self._hidden(gap, deadline)

    def _hidden(self, gap: int, deadline: float) -> Operation | None:
        """One on a key that waits for a delete, which will hide it; or on one for which there is a delete."""
        gaps = self.evidence.gaps
        place = bisect_right(gaps, gap)
        following = gaps[place] if place < len(gaps) else NEVER
        for k in self.keys.values():
            pair = not k.mod and not k.need.put and k.next_change() >= following
            if k.need.wanted == "delete" or pair:
                operation = self._put(k, gap, deadline, alone=True)
                if operation is not None and (not pair or self._may_go(k, operation, deadline)):
                    return operation
        return None

    def _may_go(self, k: Key, operation: Operation, deadline: float) -> bool:
        """Is there somebody to delete the key again?"""
        if self._first(k.deletes, deadline) is not None:
            return True
        lease = getattr(operation.call, "lease", 0)
        return any(self._free(each, deadline) for each in self.ends.get(lease, ())) if lease else False

    def _free(self, operation: Operation, deadline: float) -> bool:
        return id(operation) not in self.used and operation.call_time_ns <= deadline

    def _first(self, queue: deque[Operation], deadline: float) -> Operation | None:
        while queue and id(queue[0]) in self.used:
            queue.popleft()
        return queue[0] if queue and queue[0].call_time_ns <= deadline else None

    def _put(self, k: Key, gap: int, deadline: float, alone: bool = False) -> Operation | None:
        """A put of this key: a swap, which can only be used now, before others."""
        if k.mod in k.swaps:
            queue = k.swaps[k.mod]
            found = self._first(queue, deadline)
            if found is not None:
                return found
            if queue and not alone and self._scarce(k) and queue[0].call_time_ns <= self._time(k):
                return None  # it is called later, and another put would make it fail
        found = self._first(k.plain, deadline)
        if found is not None and not self._lives(found.call, gap):
            found = next((each for each in k.plain if self._usable(each, gap, deadline)), None)
        if found is not None or alone:
            return found
        return next((each for each in k.shared if self._free(each, deadline) and self._fit(each, gap)), None)

    def _usable(self, operation: Operation, gap: int, deadline: float) -> bool:
        return self._free(operation, deadline) and self._lives(operation.call, gap)

    def _lives(self, call: Any, gap: int) -> bool:
        """Does the lease of a put exist, as far as answers tell?"""
        return not call.lease or self.evidence.lives(call.lease, gap)

    def _delete(self, k: Key, gap: int, deadline: float) -> Operation | None:
        """A delete of this key, or the end of its lease."""
        for operation in self.ends.get(k.lease, ()) if k.lease else ():
            if self._free(operation, deadline) and self._may_end(k.lease, gap):
                return operation
        found = self._first(k.deletes, deadline)
        if found is not None:
            return found
        for operation in self.wide:
            if not self._free(operation, deadline) or not self._fit(operation, gap):
                continue
            if k in map(self.keys.get, self._gone(operation.call)):
                return operation
        return None

    def _may_end(self, lease: int, gap: int) -> bool:
        keys = self._attached(lease, gap)
        if not keys or self.evidence.used_after(lease, gap):
            return False
        return all(self.keys[key].need.delete for key in keys)

    def _fit(self, operation: Operation, gap: int) -> int:
        """The least that any of its keys says of it; 0 where it would change nothing."""
        call: Any = operation.call
        if isinstance(call, Txn) and not self._holds(call):
            return 0
        fits = []
        for put in _branch_puts(call):
            k = self._key(put.key)
            k.advance(gap)
            fits.append(k.need.put if self._lives(put, gap) else 0)
        for key in self._gone(call):
            k = self.keys[key]
            k.advance(gap)
            if k.mod:
                fits.append(k.need.delete)
        return min(fits, default=0)

    def _holds(self, txn: Txn) -> bool:
        """May its compares hold? Only the common one is looked at: a mod_revision that is what it was."""
        return all(
            compare.target != "mod"
            or compare.result != "="
            or bool(compare.end)
            or self._key(compare.key).mod == compare.value
            for compare in txn.compare
        )


def _bound(txn: Txn) -> int | None:
    """The mod_revision that it compares its one key with, if that is all it compares."""
    if len(txn.compare) != 1 or not isinstance(txn.success[0], Put):
        return None
    compare = txn.compare[0]
    plain = compare.target == "mod" and compare.result == "=" and not compare.end
    return int(compare.value) if plain and compare.key == txn.success[0].key else None


def _branch_puts(call: Any) -> Iterator[Put]:
    """The puts of a txn that succeeds."""
    for each in call.success if isinstance(call, Txn) else ():
        yield from puts(each)
