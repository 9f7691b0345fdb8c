"""The revision witness: etcd's own revisions are an order of the operations, which only has to be checked.

1. An answer's header revision names the state it was read from; a write's is its own. So operations are
   ordered by (revision, write before read, call): n log n, with no search.
2. A revision that no answered write owns is a gap: `gaps.Filler` finds an unknown write or an expiry for it.
   A revocation whose header shows a gap is guessed to be its write, because its lease had keys, unless
   somebody saw that revision before it was called: then another lease ran out there.
3. Answers whose revision is not read with the content (compactions, refusals) float: they are put behind all
   that had returned before they were called, as far as a look at the latest ones tells. A refusal for want of
   a lease moves behind the end of that lease.
4. An unknown grant is put in front of the first use of its lease, and an expiry that took no revision in
   front of the first refusal for want of it.
5. The order that comes out is handed to `replay.certify`. What it accepts is proven, whatever was guessed
   here.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Final

from gauntlet.checkers.etcd.calls import (
    LEASE_NOT_FOUND,
    Compact,
    DeleteAnswer,
    Expire,
    Grant,
    GrantAnswer,
    KeepAlive,
    Put,
    PutAnswer,
    RangeAnswer,
    Refused,
    Revoke,
    RevokeAnswer,
    TimeToLive,
    Txn,
    TxnAnswer,
    call_of,
    effective,
    writes,
)
from gauntlet.checkers.etcd.fill import Filler
from gauntlet.checkers.etcd.gaps import Evidence
from porcupine.history import Operation, Outcome

NEVER = float("inf")
LOOK_BACK: Final = 2000  # operations called before a floating one

# An operation's key is four times its revision and one of these.
_WRITE, _BEFORE, _READ, _AFTER = 0, 1, 2, 3


@dataclass(slots=True)
class Witness:
    """An order of the operations, and what was learned on the way."""

    order: list[Operation]
    writes: dict[int, Operation]  # answered ones by their revision
    reused: tuple[Operation, Operation] | None = None
    """Two answered writes with one revision."""
    gaps: list[int] = field(default_factory=list)
    deadlines: list[float] = field(default_factory=list)
    filled: dict[int, Operation] = field(default_factory=dict)
    missing: list[int] = field(default_factory=list)
    """Gaps for which nobody was found."""
    evidence: Evidence | None = None
    guessed: set[int] = field(default_factory=set)
    """The id() of operations whose place no revision tells."""


def arrange(operations: Sequence[Operation], first: int = 1) -> Witness:
    """The order by revisions. `operations` by call; `first`: the revision that the history began at."""
    placed: list[Operation] = []
    keys: list[int] = []
    unknown: list[Operation] = []
    revocations: list[int] = []  # positions in `placed`
    floating: list[int] = []
    owners: dict[int, Operation] = {}
    reused: tuple[Operation, Operation] | None = None
    ok, failed = Outcome.OK, Outcome.FAILED
    for operation in operations:
        outcome = operation.outcome
        if outcome is not ok:
            if outcome is not failed:
                unknown.append(operation)
            continue
        answer: Any = operation.response
        kind = type(answer)
        if kind is RangeAnswer:
            revision, writing = answer[0], False
        elif kind is PutAnswer:
            revision, writing = answer[0], True
        elif kind is TxnAnswer or kind is DeleteAnswer:
            revision, writing = answer[0], effective(answer)
        elif kind is Refused or type(operation.call) in _FLOATING:
            revision, writing = None, False
        else:
            revision, writing = answer[0], False
            if kind is RevokeAnswer:
                revocations.append(len(placed))
        if revision is None:
            floating.append(len(placed))
            keys.append(_latest(placed, keys, operation.call_time_ns, 4 * first + _READ))
        elif writing:
            keys.append(4 * revision)
            other = owners.setdefault(revision, operation)
            if other is not operation and reused is None:
                reused = other, operation
        else:
            keys.append(4 * revision + _READ)
        placed.append(operation)
    if revocations:
        _revocations(revocations, placed, keys, unknown, owners, first)
    last = max(keys) >> 2 if keys else first
    witness = Witness(placed, owners, reused, guessed={id(placed[position]) for position in floating})
    if last - first > len(owners) or unknown:
        _fill(witness, placed, keys, unknown, first, last)
        _leases(witness, placed, keys, unknown, floating)
    witness.order = [placed[position] for position in sorted(range(len(placed)), key=keys.__getitem__)]
    return witness


def _revocations(
    revocations: list[int],
    placed: list[Operation],
    keys: list[int],
    unknown: list[Operation],
    owners: dict[int, Operation],
    first: int,
) -> None:
    """Those whose header shows a gap are guessed to be its write, because their lease had keys; where it was
    seen before they were called, another lease ran out at it. Where unknown writes might be it instead, the
    filler decides."""
    if any(writes(call_of(operation)) and not isinstance(operation.call, Expire) for operation in unknown):
        return
    shown = sorted({keys[position] >> 2 for position in revocations} - owners.keys())
    latest = dict(zip(shown, deadlines(shown, placed, keys), strict=True))
    for position in revocations:
        revision = keys[position] >> 2
        early = placed[position].call_time_ns <= latest.get(revision, -1)
        if early and revision > first and revision not in owners:
            owners[revision] = placed[position]
            keys[position] = 4 * revision


_FLOATING: Final = frozenset({Compact, KeepAlive, TimeToLive})


def _latest(placed: list[Operation], keys: list[int], called: int, key: int) -> int:
    """The greatest revision among the latest operations that had returned by then, as a read's key."""
    for position in range(len(placed) - 1, max(-1, len(placed) - 1 - LOOK_BACK), -1):
        if keys[position] > key and (placed[position].return_time_ns or 0) < called:
            key = keys[position]
    return key | _READ


def _fill(
    witness: Witness,
    placed: list[Operation],
    keys: list[int],
    unknown: list[Operation],
    first: int,
    last: int,
) -> None:
    """Puts unknown operations into the gaps."""
    owners = witness.writes
    witness.gaps = [revision for revision in range(first + 1, last + 1) if revision not in owners]
    if not witness.gaps:
        return
    witness.deadlines = deadlines(witness.gaps, placed, keys)
    pool = [operation for operation in unknown if writes(call_of(operation))]
    witness.evidence = Evidence(placed, witness.gaps, pool)
    revoked: dict[int, dict[int, int]] = {}  # by revision: positions by id()
    for position, operation in enumerate(placed):
        if type(operation.response) is RevokeAnswer and keys[position] & 3 == _READ:
            revoked.setdefault(keys[position] >> 2, {})[id(operation)] = position
    revocations = {at: [placed[each] for each in those.values()] for at, those in revoked.items()}
    filler = Filler(witness.evidence, pool, witness.deadlines, revocations)
    witness.filled, witness.missing = filler.fill()
    for gap, operation in list(witness.filled.items()):
        if operation.is_ok:
            owners[gap] = witness.filled.pop(gap)
            keys[revoked[gap][id(operation)]] = 4 * gap
            witness.gaps.remove(gap)
            continue
        placed.append(operation)
        keys.append(4 * gap + _WRITE)
        witness.guessed.add(id(operation))


def deadlines(gaps: Sequence[int], placed: Sequence[Operation], keys: Sequence[int]) -> list[float]:
    """For each gap the earliest return of an answer with that revision or a later one."""
    where = [bisect_left(gaps, (key >> 2) + 1) for key in keys]  # that many gaps lie up to its revision
    earliest: list[float] = [NEVER] * (len(gaps) + 1)
    for operation, count in zip(placed, where, strict=True):
        returned = operation.return_time_ns
        if returned is not None and returned < earliest[count]:
            earliest[count] = returned
    suffix = list(accumulate(reversed(earliest), min))
    suffix.reverse()
    return suffix[1:]


def _leases(
    witness: Witness,
    placed: list[Operation],
    keys: list[int],
    unknown: list[Operation],
    floating: list[int],
) -> None:
    """Grants and ends of leases that took no revision and that answers tell of."""
    grants: dict[int, Operation] = {}
    ends: dict[int, Operation] = {}
    for operation in unknown:
        call = operation.call
        if isinstance(call, Grant) and call.id:
            grants.setdefault(call.id, operation)
        elif isinstance(call, (Revoke, Expire)):
            ends.setdefault(call.id, operation)
    if not grants and not ends:
        return
    used: dict[int, int] = {}  # the least key of an answer that needs the lease
    last_used: dict[int, int] = {}
    ended: dict[int, int] = {}  # the key of the end of the lease
    known: set[int] = set()
    for operation, key in zip(placed, keys, strict=True):
        if isinstance(operation.response, Refused):
            continue
        call = operation.call
        if isinstance(call, (Revoke, Expire)):
            ended[call.id] = key
        elif isinstance(operation.response, GrantAnswer):
            known.add(operation.response.id)
        for lease in used_leases(call):
            used[lease] = min(key, used.get(lease, key))
            last_used[lease] = max(key, last_used.get(lease, key))
    added: list[tuple[int, Operation]] = []
    for lease, key in sorted(used.items()):
        if lease in grants:
            added.append((key - 1, grants[lease]))
            known.add(lease)
    for position in floating:
        if placed[position].response != LEASE_NOT_FOUND:
            continue
        for lease in used_leases(placed[position].call):
            if lease in ended:
                behind = _READ if ended[lease] & 3 == _WRITE else _AFTER
                keys[position] = max(keys[position], ended[lease] | behind)
            elif lease in ends and lease in known:
                keys[position] = max(keys[position], last_used.get(lease, 0) | _AFTER)
                ended[lease] = keys[position] - 1
                added.append((keys[position] - 1, ends[lease]))
    for key, operation in added:
        keys.append(key)
        placed.append(operation)
        witness.guessed.add(id(operation))


def used_leases(call: Any) -> list[int]:
    """The leases that must exist for the call to be answered."""
    if isinstance(call, Put):
        return [call.lease] if call.lease else []
    if isinstance(call, Revoke):
        return [call.id]
    if isinstance(call, Txn):
        return [lease for each in (*call.success, *call.failure) for lease in used_leases(each)]
    return []
