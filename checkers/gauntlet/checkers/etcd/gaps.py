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
    Grant,
    GrantAnswer,
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
        self._lease_at: dict[tuple[bytes, int], int] = {}
        self._kept: dict[bytes, list[int]] = {}  # the revisions at which the key was there
        self.known_deletes: list[tuple[int, bytes, bytes | None]] = []
        self._granted: dict[int, int] = {}
        self.ended: dict[int, int] = {}
        """The revision of each lease's answered revocation."""
        self._last = 0  # the greatest revision that an answer shows
        self._studied = False
        self._names: list[bytes] = []
        required = self.required
        for operation in self._operations:
            answer: Any = operation.response
            kind = type(answer)
            if kind is RangeAnswer:
                showing = any(kv[3] in required for kv in answer[1] or ())
            elif kind is PutAnswer:
                showing = answer[1] is not None
            else:
                showing = kind is TxnAnswer or (kind is DeleteAnswer and bool(answer[2]))
            if showing:
                self._require(call_of(operation), answer)

    def _require(self, call: Call, answer: Answer) -> None:
        required = self.required
        for kv in pairs(call, answer):
            here = required.get(kv[3] or 0)
            if here is not None and (kv.key not in here or here[kv.key].value is None):
                here[kv.key] = kv

    def study(self) -> None:
        """Looks at all that concerns the keys which an unknown operation may have touched. Only gaps at which
        nothing was seen need it."""
        if self._studied:
            return
        self._studied = True
        leases = {each.call.id for each in self._unknown if isinstance(each.call, (Revoke, Expire))}
        keys, everything = self._concerned()
        revoked: list[tuple[int, int]] = []
        granted = [each for each in self._operations if type(each.response) is GrantAnswer]
        for operation in granted:
            self._granted.setdefault(operation.response[1], operation.response[0] or 0)  # type: ignore[index]  # a GrantAnswer, see above
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
            if kind in _TELLING and type(given) is not Refused:
                self._last = max(self._last, given[0] or 0)  # type: ignore[index]  # the revision of an answer
            if kind is Range:
                if (call[1] or everything or call[0] in keys) and type(given) is RangeAnswer:
                    self._see(call, given, given[0], None if everything else keys)
            elif kind is Put:
                if (everything or call[0] in keys) and type(given) is PutAnswer:
                    self._wrote(call, given, given[0] or 0)
            elif kind is Txn or kind is Delete:
                self._learn(call, given, None if everything else keys)  # type: ignore[arg-type]  # a Txn or Delete, by its kind
        for sights in self._sights.values():
            sights.sort(key=lambda sight: sight.revision)
        for revisions in self._written.values():
            revisions.sort()
        self._deletes.sort(key=lambda delete: delete[0])
        self.known_deletes = list(self._deletes)
        for revision, lease in sorted(revoked):
            self.ended[lease] = revision
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
        inside = list(_inside(call, answer))
        gone = [span(request.key, request.end) for request, _ in inside if isinstance(request, Delete)]
        for request, given in inside:
            if isinstance(request, Delete):
                if isinstance(given, DeleteAnswer):
                    self._removed(request, given, revision, keys)
            elif isinstance(request, Range) and isinstance(given, RangeAnswer):
                self._see(request, given, revision, keys)
            elif isinstance(request, Put) and (keys is None or request.key in keys):
                self._wrote(request, given, revision, gone)

    def _wrote(
        self, put: Put, answer: Answer, revision: int, gone: Sequence[tuple[bytes, bytes | None]] = ()
    ) -> None:
        """`gone`: the ranges that its own txn deletes, before it or after it."""
        self._written.setdefault(put.key, []).append(revision)
        if put.lease:
            self._leased.setdefault(put.lease, []).append((revision, put.key))
            self._lease_at[put.key, revision] = put.lease
        if not put.prev_kv or not isinstance(answer, PutAnswer):
            return
        if answer.prev_kv is not None or not any(_covers(each, put.key) for each in gone):
            self._sights.setdefault(put.key, []).append(Sight(revision - 1, answer.prev_kv))

    def _removed(self, request: Delete, answer: DeleteAnswer, revision: int, keys: set[bytes] | None) -> None:
        if answer.deleted:
            self._deletes.append((revision, *span(request.key, request.end)))
        for kv in answer.prev_kvs or ():
            if (kv.mod_revision or revision) < revision and (keys is None or kv.key in keys):
                self._sights.setdefault(kv.key, []).append(Sight(revision - 1, kv))
        if request.end or (keys is not None and request.key not in keys):
            return
        if answer.deleted == 0:
            self._sights.setdefault(request.key, []).append(Sight(revision, None))
        elif answer.deleted:
            self._kept.setdefault(request.key, []).append(revision - 1)

    def _compared(self, txn: Txn, answer: Answer, keys: set[bytes] | None) -> None:
        """Compares of mod_revisions that held tell what was there before."""
        if isinstance(answer, TxnAnswer) and answer.succeeded and answer.revision is not None:
            self._held(txn, answer.revision - effective(answer), keys)

    def guessed(self, call: Call, revision: int) -> None:
        """The call is guessed to have taken effect after this revision: its compares held."""
        if isinstance(call, Txn):
            self._held(call, revision, None)

    def _held(self, txn: Txn, at: int, keys: set[bytes] | None) -> None:
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
        if not filtered:
            self._miss(request, answer, at, keys)

    def _miss(self, request: Range, answer: RangeAnswer, at: int, keys: set[bytes] | None) -> None:
        """The keys that a range would have shown."""
        kvs = answer.kvs or ()
        if not request.end:
            if not kvs:
                self._sights.setdefault(request.key, []).append(Sight(at, None))
            return
        if keys is None:
            return
        if len(self._names) != len(keys):
            self._names = sorted(keys)
        start, end = span(request.key, request.end)
        names = self._names
        last = len(names) if end is None else bisect_left(names, end)
        if request.limit and len(kvs) >= request.limit:  # only up to the last one is known
            if request.sort_target != "key" or request.sort_order == "descend":
                return
            last = bisect_right(names, kvs[-1].key)
        shown = {kv.key for kv in kvs}
        for key in names[bisect_left(names, start) : last]:
            if key not in shown:
                self._sights.setdefault(key, []).append(Sight(at, None))

    def against(self, before: State, after: State, call: Call) -> str | None:
        """Why a write of unknown outcome cannot have led from one state to the other; None: nothing is known
        that forbids it."""
        revision = after.revision
        self.study()
        required = self.required.get(revision)
        if required is None:
            if revision > self._last:
                return None  # nobody saw as much: it may be any write's
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
        return any(_covers((start, end), key) for _, start, end in self._deletes[first:last])

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

    def note_delete(self, key: bytes, revision: int) -> None:
        """The key was deleted at this revision."""
        insort(self._deletes, (revision, key, key + b"\x00"), key=lambda delete: delete[0])

    def used_after(self, lease: int, revision: int) -> bool:
        """Does an answer at this revision or later show that the lease was still there, or had ended
        before?"""
        if lease in self.ended:
            return True
        leased = self._leased.get(lease)
        return bool(leased) and max(at for at, _ in leased or ()) > revision

    def lives(self, lease: int, revision: int) -> bool:
        """May the lease be used at this revision?"""
        granted = self._granted.get(lease, 0 if lease in self._leased else revision)
        return granted < revision <= self.ended.get(lease, revision)

    def end(self, lease: int, revision: int) -> None:
        """The lease went at this revision."""
        self.ended[lease] = revision

    def concerned(self) -> set[bytes]:
        """The keys of which anything is known."""
        return {*self._sights, *self._written, *self._kept}

    def seen_of(self, key: bytes) -> list[Sight]:
        """What was seen of the key, in order, with all that other answers tell of the same pair. A pair of
        which only the key is known: it was there."""
        sights = self._sights.get(key, [])
        known = {
            sight.kv.mod_revision: sight.kv
            for sight in sights
            if sight.kv is not None and sight.kv.create_revision is not None
        }
        found = [
            sight if sight.kv is None else Sight(sight.revision, known.get(sight.kv.mod_revision, sight.kv))
            for sight in sights
        ]
        there = KV(key, None, None, None, None, None)
        found += [Sight(revision, there) for revision in self._kept.get(key, ())]
        found.sort(key=lambda sight: (sight.revision, sight.kv is there))
        return found

    def writes_of(self, key: bytes) -> list[tuple[int, int]]:
        """(revision, lease) of its known writes."""
        return [(revision, self._lease_at.get((key, revision), 0)) for revision in self._written.get(key, ())]

    def keys_of(self, lease: int) -> set[bytes]:
        """The keys that were ever put with the lease."""
        return {key for _, key in self._leased.get(lease, ())}

    def attached(self, lease: int, revision: int) -> list[bytes]:
        """The keys that hang on the lease before this revision, as far as answered puts tell."""
        if self.ended.get(lease, revision) < revision:
            return []
        return [
            key
            for at, key in self._leased.get(lease, ())
            if at < revision and self.present(key, revision) == at
        ]


def _covers(within: tuple[bytes, bytes | None], key: bytes) -> bool:
    start, end = within
    return start <= key and (end is None or key < end)


def _inside(call: Call, answer: Answer) -> Iterator[tuple[Request, Answer]]:
    """The requests that were carried out, with their answers."""
    if isinstance(call, Txn):
        if isinstance(answer, TxnAnswer) and answer.answers is not None:
            branch = call.success if answer.succeeded else call.failure
            for request, given in zip(branch, answer.answers, strict=False):
                yield from _inside(request, given)
    elif isinstance(call, (Range, Put, Delete)):
        yield call, answer


_TELLING = frozenset({Range, Put, Delete, Txn, Grant, Revoke})
"""Calls whose answer shows the revision that it was read at."""


def pairs(call: Call, answer: Answer) -> Iterator[KV]:
    """The pairs that an answer shows, as far as it does: a range for keys only shows neither values nor,
    since etcd 3.7, leases, and sends empty ones."""
    if isinstance(answer, RangeAnswer):
        bare = isinstance(call, Range) and call.keys_only
        for kv in answer.kvs or ():
            yield kv._replace(value=None, lease=None) if bare else kv
    elif isinstance(answer, PutAnswer):
        if answer.prev_kv is not None:
            yield answer.prev_kv
    elif isinstance(answer, DeleteAnswer):
        yield from answer.prev_kvs or ()
    elif isinstance(answer, TxnAnswer) and isinstance(call, Txn):
        for request, given in _inside(call, answer):
            yield from pairs(request, given)


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
