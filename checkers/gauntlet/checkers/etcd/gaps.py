"""Revisions that no answered write owns, and who may have taken them.

Every revision up to the greatest one that was seen is some write's. A gap is one that no answered write has:
a write of unknown outcome took it, or a lease that ran out. Whoever took it was called before the first
answer with that revision or a later one returned (the gap's deadline). Deadlines never fall as revisions
grow, so whoever can take a gap can take every later one, as far as time goes.

What is known of a gap g:
1. A pair seen with mod_revision g was written there, exactly so.
2. A key that a read at g or later shows with an older mod_revision was not touched there.
3. A key absent in a later read was deleted in between, by a known delete or in a gap.
4. A pair seen with version v and the same create_revision had exactly v - 1 overwrites since it was created:
   known ones and gaps; one more in g must not make it too many.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from gauntlet.checkers.etcd.calls import (
    KV,
    Answer,
    Call,
    Compare,
    Delete,
    DeleteAnswer,
    Expire,
    Put,
    PutAnswer,
    Range,
    RangeAnswer,
    Refused,
    Request,
    Revoke,
    RevokeAnswer,
    Txn,
    TxnAnswer,
    call_of,
    effective,
)
from gauntlet.checkers.etcd.matching import agree
from gauntlet.checkers.etcd.store import State, span
from porcupine.history import Operation


class Sight(NamedTuple):
    """A key as an answer showed it at a revision; None: it was absent."""

    revision: int
    kv: KV | None


class Evidence:
    """What the answers of a history tell about its gaps. `unknown`: who may have taken them."""

    def __init__(
        self, operations: Sequence[Operation], gaps: Sequence[int], unknown: Sequence[Operation]
    ) -> None:
        self.gaps = list(gaps)
        self.required: dict[int, dict[bytes, KV]] = {gap: {} for gap in self.gaps}
        self._operations = [operation for operation in operations if operation.is_ok]
        self._unknown = unknown
        self._sights: dict[bytes, list[Sight]] = {}
        self._written: dict[bytes, list[int]] = {}
        self._deletes: list[tuple[int, bytes, bytes | None]] = []
        self._leased: dict[int, list[tuple[int, bytes]]] = {}
        self._ended: dict[int, int] = {}  # leases by the revision of their answered revocation
        self._studied = False
        required = self.required
        for operation in self._operations:
            answer = operation.response
            if type(answer) is RangeAnswer:
                for kv in answer[1] or ():
                    if kv[3] in required:
                        self._require(call_of(operation), kv)
            elif type(answer) is TxnAnswer:
                for request, given in _inside(call_of(operation), answer):
                    if isinstance(given, RangeAnswer):
                        for kv in given.kvs or ():
                            if kv[3] in required:
                                self._require(request, kv)

    def _require(self, request: Call, kv: KV) -> None:
        here = self.required[kv.mod_revision or 0]
        shown = kv._replace(value=None) if isinstance(request, Range) and request.keys_only else kv
        known = here.get(kv.key)
        if known is None or known.value is None:
            here[kv.key] = shown

    def study(self, with_ends: bool = True) -> None:
        """Looks at all that concerns the keys which an unknown operation may have touched. Only gaps at which
        nothing was seen need it. `with_ends`: answered revocations end their leases."""
        if self._studied:
            return
        self._studied = True
        leases = {each.call.id for each in self._unknown if isinstance(each.call, (Revoke, Expire))}
        keys, everything = self._concerned()
        revoked: list[tuple[int, int]] = []
        for operation in self._operations:
            answer, ending = operation.response, operation.call
            if (
                isinstance(ending, Revoke)
                and isinstance(answer, RevokeAnswer)
                and answer.revision is not None
            ):
                revoked.append((answer.revision, ending.id))
                leases.add(ending.id)
        if leases:
            for operation in self._operations:
                call: Any = operation.call
                if type(call) is Put:
                    if call[2] in leases:
                        keys.add(call[0])
                elif type(call) is Txn:
                    keys.update(put.key for put in puts(call) if put.lease in leases)
        for operation in self._operations:
            call, given = operation.call, operation.response
            kind = type(call)
            if kind is Range:
                if (call[1] or everything or call[0] in keys) and type(given) is RangeAnswer:
                    self._see(call, given, given[0], None if everything else keys)
            elif kind is Put:
                if (everything or call[0] in keys) and type(given) is PutAnswer:
                    self._written.setdefault(call[0], []).append(given[0] or 0)
                    if call[2]:
                        self._leased.setdefault(call[2], []).append((given[0] or 0, call[0]))
            elif kind is Txn or kind is Delete:
                self._learn(call, given, None if everything else keys)  # type: ignore[arg-type]
        for sights in self._sights.values():
            sights.sort(key=lambda sight: sight.revision)
        for revisions in self._written.values():
            revisions.sort()
        self._deletes.sort(key=lambda delete: delete[0])
        for revision, lease in sorted(revoked) if with_ends else ():
            self._ended[lease] = revision
            for key in self.attached(lease, revision):
                self.note_delete(key, revision)

    def _concerned(self) -> tuple[set[bytes], bool]:
        """(keys that an unknown operation compares, writes or deletes, whether that may be any key)."""
        keys: set[bytes] = set()
        everything = False
        for operation in self._unknown:
            for request in _requests(call_of(operation)):
                if isinstance(request, (Put, Compare)):
                    keys.add(request.key)
                elif isinstance(request, Delete):
                    keys.add(request.key)
                    everything = everything or bool(request.end)
        return keys, everything

    def _learn(self, call: Call, answer: Answer, keys: set[bytes] | None) -> None:
        revision = None if isinstance(answer, Refused) else answer.revision
        if revision is None:
            return
        if isinstance(call, Txn):
            self._compared(call, answer, keys)
        for request, given in _inside(call, answer):
            if isinstance(request, Delete):
                if isinstance(given, DeleteAnswer) and given.deleted:
                    self._deletes.append((revision, *span(request.key, request.end)))
            elif isinstance(request, Range) and isinstance(given, RangeAnswer):
                self._see(request, given, revision, keys)
            elif isinstance(request, Put) and (keys is None or request.key in keys):
                self._written.setdefault(request.key, []).append(revision)
                if request.lease:
                    self._leased.setdefault(request.lease, []).append((revision, request.key))

    def _compared(self, txn: Txn, answer: Answer, keys: set[bytes] | None) -> None:
        """Compares of mod_revisions that held tell what was there before."""
        if not isinstance(answer, TxnAnswer) or not answer.succeeded or answer.revision is None:
            return
        at = answer.revision - effective(answer)
        for compare in txn.compare:
            if compare.target != "mod" or compare.result != "=" or compare.end:
                continue
            if keys is None or compare.key in keys:
                mod = int(compare.value)
                kv = KV(compare.key, None, None, mod, None, None) if mod else None
                self._sights.setdefault(compare.key, []).append(Sight(at, kv))

    def _see(
        self, request: Range, answer: RangeAnswer, revision: int | None, keys: set[bytes] | None
    ) -> None:
        at = request.revision if request.revision > 0 else revision
        if request.count_only or answer.kvs is None or at is None:
            return
        for kv in answer.kvs:
            if keys is None or kv.key in keys:
                self._sights.setdefault(kv.key, []).append(Sight(at, kv))
        filtered = request.min_mod_revision or request.max_mod_revision
        filtered = filtered or request.min_create_revision or request.max_create_revision
        if not answer.kvs and not request.end and not filtered:
            self._sights.setdefault(request.key, []).append(Sight(at, None))

    def against(self, before: State, after: State, call: Call) -> str | None:
        """Why a write of unknown outcome cannot have led from one state to the other; None: nothing is known
        that forbids it."""
        revision = after.revision
        self.study()
        required = self.required.get(revision)
        if required is None:
            return "an answered write has this revision"
        for key, kv in required.items():
            written = after.keys.get(key)
            if written is None or not agree(written, kv):
                return "another write was seen at this revision"
        for key in touched(call, before):
            written = after.keys.get(key)
            if written is not before.keys.get(key):
                reason = self._later(key, revision, written)
                if reason is not None:
                    return reason
        return None

    def _later(self, key: bytes, revision: int, written: KV | None) -> str | None:
        sights = self._sights.get(key)
        if sights is None:
            return None
        place = bisect_left(sights, revision, key=lambda sight: sight.revision)
        if place == len(sights):
            return None
        at, seen = sights[place]
        if seen is None:
            if written is not None and not self._may_vanish(key, revision, at):
                return "a later read shows the key absent"
            return None
        mod = seen.mod_revision
        if mod is None or mod == revision:
            return None
        if mod < revision:
            return "a later read shows the key untouched"
        create, version = seen.create_revision, seen.version
        if create is None or create > revision:
            return None
        if written is None or (written.create_revision or create) != create:
            return "a later read shows the key as it was created before"
        if version is None or written.version is None:
            return None
        known = self._written.get(key, [])
        more = bisect_right(known, mod) - bisect_right(known, revision)
        if mod in self.required:
            more += 1
        return "a later read shows fewer versions" if written.version + more > version else None

    def _may_vanish(self, key: bytes, after: int, until: int) -> bool:
        """Can the key have been deleted at a revision in (after, until]?"""
        if bisect_right(self.gaps, until) > bisect_right(self.gaps, after):
            return True
        return self._deleted(key, after, until)

    def _deleted(self, key: bytes, after: int, until: int) -> bool:
        """Was it deleted at a revision in (after, until], as far as is known?"""
        first = bisect_right(self._deletes, after, key=lambda delete: delete[0])
        last = bisect_right(self._deletes, until, key=lambda delete: delete[0])
        return any(start <= key and (end is None or key < end) for _, start, end in self._deletes[first:last])

    def present(self, key: bytes, revision: int) -> int:
        """The revision of the last known write of the key before this one; 0 where it is absent."""
        known = self._written.get(key, [])
        place = bisect_left(known, revision)
        last = known[place - 1] if place else 0
        return last if last and not self._deleted(key, last, revision - 1) else 0

    def fits(self, key: bytes, revision: int, deletes: bool) -> int:
        """Can the key have been written, or deleted, at this revision? 0: no; 1: nothing speaks against it;
        2: it is missed, because a later read shows more writes than are known, or the key absent."""
        sights = self._sights.get(key, [])
        place = bisect_left(sights, revision, key=lambda sight: sight.revision)
        if place == len(sights):
            return 1
        at, seen = sights[place]
        if seen is None:
            if not deletes:
                return 1 if self._may_vanish(key, revision, at) else 0
            return 1 if self._deleted(key, revision, at) else 2
        mod, create, version = seen.mod_revision, seen.create_revision, seen.version
        if mod is None:
            return 1
        if mod < revision:
            return 0
        if create is None or version is None:
            return 1
        if create > revision:  # it was created anew later, so it had been deleted before
            gone = self._deleted(key, revision, create)
            if deletes:
                return 1 if gone else 2
            return 1 if gone or self._may_vanish(key, revision, create) else 0
        if deletes:
            return 0
        known = self._written.get(key, [])
        writes = bisect_right(known, mod) - bisect_right(known, create)
        return 2 if 1 + writes < version else 0

    def missed(self, call: Call, gap: int, before: State) -> int:
        """2 where a later answer misses what the call does at this revision, else 1, or 0 for unlikely."""
        self.study()
        deletes = isinstance(call, (Delete, Revoke, Expire))
        return min((self.fits(key, gap, deletes) for key in touched(call, before)), default=0)

    def note(self, key: bytes, revision: int, lease: int) -> None:
        """The key was written in this gap."""
        insort(self._written.setdefault(key, []), revision)
        if lease:
            self._leased.setdefault(lease, []).append((revision, key))

    def note_delete(self, key: bytes, revision: int) -> None:
        """The key was deleted at this revision."""
        insort(self._deletes, (revision, key, key + b"\x00"), key=lambda delete: delete[0])

    def used_after(self, lease: int, revision: int) -> bool:
        """Does an answer at this revision or later show that the lease was still there, or had ended
        before?"""
        if lease in self._ended:
            return True
        leased = self._leased.get(lease)
        return bool(leased) and max(at for at, _ in leased or ()) > revision

    def end(self, lease: int, revision: int) -> None:
        """The lease went at this revision."""
        self._ended[lease] = revision

    def attached(self, lease: int, revision: int) -> list[bytes]:
        """The keys that hang on the lease before this revision, as far as answered puts tell."""
        if self._ended.get(lease, revision) < revision:
            return []
        return [
            key
            for at, key in self._leased.get(lease, ())
            if at < revision and self.present(key, revision) == at
        ]


def _inside(call: Call, answer: Answer) -> Iterator[tuple[Request, Answer]]:
    """The requests that were carried out, with their answers."""
    if isinstance(call, Txn):
        if isinstance(answer, TxnAnswer) and answer.answers is not None:
            branch = call.success if answer.succeeded else call.failure
            for request, given in zip(branch, answer.answers, strict=False):
                yield from _inside(request, given)
    elif isinstance(call, (Range, Put, Delete)):
        yield call, answer


def _requests(call: Call) -> Iterator[Range | Put | Delete | Compare]:
    """Every compare, and every operation on keys that the call may carry out."""
    if isinstance(call, Txn):
        yield from call.compare
        for request in (*call.success, *call.failure):
            yield from _requests(request)
    elif isinstance(call, (Range, Put, Delete)):
        yield call


def touched(call: Call, before: State) -> Iterator[bytes]:
    """The keys that a call may write or delete in this state."""
    if isinstance(call, Put):
        yield call.key
    elif isinstance(call, Delete):
        for key, _ in before.keys.range(*span(call.key, call.end)):
            yield key
    elif isinstance(call, Txn):
        for request in (*call.success, *call.failure):
            yield from touched(request, before)
    elif isinstance(call, (Revoke, Expire)):
        lease = before.lease(call.id)
        if lease is not None:
            yield from sorted(lease.keys)


def puts(call: Call) -> Iterator[Put]:
    """Every put that the call may carry out."""
    if isinstance(call, Put):
        yield call
    elif isinstance(call, Txn):
        for request in (*call.success, *call.failure):
            yield from puts(request)


class Filler:
    """Picks an unknown write for each gap: first by what was seen there, then by what is missed, then by
    what is not forbidden. A guess, cheap and mostly right; the verifier and the search behind it have the
    last word."""

    def __init__(self, evidence: Evidence, unknown: Sequence[Operation], deadlines: Sequence[float]) -> None:
        self.evidence = evidence
        self.deadlines = deadlines
        self.unused: dict[int, Operation] = {id(operation): operation for operation in unknown}
        self.writers: dict[tuple[bytes, bytes], list[Operation]] = {}
        for operation in unknown:
            for put in puts(call_of(operation)):
                self.writers.setdefault((put.key, put.value), []).append(operation)

    def fill(self) -> tuple[dict[int, Operation], list[int]]:
        """(who took each gap, the gaps that nobody could be found for)."""
        chosen: dict[int, Operation] = {}
        unseen: list[tuple[int, float]] = []
        for gap, deadline in zip(self.evidence.gaps, self.deadlines, strict=True):
            seen = self.evidence.required[gap]
            if not seen:
                unseen.append((gap, deadline))
                continue
            key, kv = next(iter(seen.items()))
            for operation in self.writers.get((key, kv.value or b""), ()):
                if id(operation) in self.unused and operation.call_time_ns <= deadline:
                    self._take(chosen, gap, operation)
                    break
        if unseen:
            self.evidence.study()
        for gap, deadline in unseen:
            found = self._unseen(gap, deadline)
            if found is not None:
                self._take(chosen, gap, found)
        return chosen, [gap for gap in self.evidence.gaps if gap not in chosen]

    def _take(self, chosen: dict[int, Operation], gap: int, operation: Operation) -> None:
        chosen[gap] = operation
        del self.unused[id(operation)]
        for put in puts(call_of(operation)):
            self.evidence.note(put.key, gap, put.lease)
        if isinstance(operation.call, (Revoke, Expire)):
            for key in self.evidence.attached(operation.call.id, gap):
                self.evidence.note_delete(key, gap)
            self.evidence.end(operation.call.id, gap)
        elif isinstance(operation.call, Delete):
            self.evidence.note_delete(operation.call.key, gap)

    def _unseen(self, gap: int, deadline: float) -> Operation | None:
        best, found = 0, None
        for operation in self.unused.values():
            if operation.call_time_ns <= deadline:
                fit = self._fit(call_of(operation), gap)
                if fit > best:
                    best, found = fit, operation
                    if fit == 2:
                        break
        return found

    def _fit(self, call: Call, gap: int) -> int:
        """As `Evidence.fits`, for all that the call would change at this revision."""
        evidence = self.evidence
        if isinstance(call, (Revoke, Expire)):
            if evidence.used_after(call.id, gap):
                return 0
            keys = evidence.attached(call.id, gap)
            return min((evidence.fits(key, gap, True) for key in keys), default=0)
        if isinstance(call, Delete):
            if call.end:
                return 1
            return evidence.fits(call.key, gap, True) if evidence.present(call.key, gap) else 0
        if isinstance(call, Txn) and not all(self._holds(compare, gap) for compare in call.compare):
            return 0
        return min((evidence.fits(put.key, gap, False) for put in puts(call)), default=0)

    def _holds(self, compare: Compare, gap: int) -> bool:
        """May it hold? Only the common one is looked at: a mod_revision that is what it was."""
        if compare.target != "mod" or compare.result != "=" or compare.end:
            return True
        return self.evidence.present(compare.key, gap) == compare.value
