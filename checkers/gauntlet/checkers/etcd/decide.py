"""The verdict on a history of etcd operations: guess, certify, go back where it must, search what stays open.

1. `witness.arrange` orders by revisions, `replay.certify` checks that order: valid histories mostly end here.
2. Two answered writes with one revision, or two revisions against real time, are proofs that it is invalid.
3. `resolve.Resolver` tries who took which gap and where answers without a revision stand. What it finds is
   certified again; what it exhausts is invalid.
4. `porcupine.search` with the whole-store model decides the rest, within bounds; its order is verified.

Keep-alives, TTL reads and lists of leases are left out: etcd does not promise that they are linearizable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter

from gauntlet.checkers.etcd.calls import (
    KV,
    Delete,
    Grant,
    GrantAnswer,
    KeepAlive,
    Leases,
    Refused,
    Revoke,
    TimeToLive,
    Txn,
    TxnAnswer,
    answer_of,
    call_of,
    effective,
    writes,
)
from gauntlet.checkers.etcd.gaps import Evidence, pairs, puts
from gauntlet.checkers.etcd.model import Etcd, relaxed, shown_revision, unordered, with_expiries
from gauntlet.checkers.etcd.native import witnessed
from gauntlet.checkers.etcd.replay import Flaw, Start, certify, in_time
from gauntlet.checkers.etcd.resolve import Resolved, Resolver, further, open_ended
from gauntlet.checkers.etcd.store import Lease, State, lease_key
from gauntlet.checkers.etcd.tree import Tree
from gauntlet.checkers.etcd.witness import Witness, arrange, used_leases
from porcupine.history import Operation
from porcupine.kernel import choose
from porcupine.search import Budget, Clock, Verdict, search
from porcupine.uncollected import uncollected
from porcupine.verify import verify


@dataclass(slots=True)
class Judgement:
    """`order` explains everything (valid) or is the longest prefix that was found."""

    verdict: Verdict
    how: str  # witness, replay with going back, search
    order: list[Operation]
    witness: Witness
    start: Start
    operations: list[Operation] = field(default_factory=list)
    flaw: Flaw | None = None
    """A contradiction of revisions with each other or with real time."""
    resolved: Resolved | None = None
    reason: str = ""
    kernel: str = "python"


def decide(
    operations: Sequence[Operation],
    *,
    start: Start | None = None,
    clock: Clock | None = None,
    seconds: float | None = None,
) -> Judgement:
    """Is there an order in which one etcd would have answered all this, in real time?"""
    proven = witnessed(operations) if start in (None, Start()) else None
    if proven is not None:
        order, written = proven
        witness = Witness(order, written)
        return Judgement(
            Verdict.VALID, "witness", order, witness, Start(), list(operations), kernel=choose().name
        )
    with uncollected():
        full = considered(operations)
        start = beginning(full) if start is None else start
        witness = arrange(full, start.revision)
        flaw = certify(full, witness.order, start, unordered)
    if flaw is None:
        return Judgement(Verdict.VALID, "witness", witness.order, witness, start, full)
    judgement = Judgement(Verdict.INVALID, "witness", [], witness, start, full)
    if witness.reused is not None:
        first, second = witness.reused
        judgement.flaw = Flaw(-1, second, "two writes have one revision", other=first)
        return judgement
    sure = [operation for operation in witness.order if id(operation) not in witness.guessed]
    judgement.flaw = in_time(sure, unordered)
    if judgement.flaw is not None:
        return judgement
    judgement = _resolve(judgement, sure, clock, seconds)
    if judgement.verdict is Verdict.INVALID and start != Start():
        judgement.verdict = Verdict.UNKNOWN
        judgement.reason = "the store held something before the history began, and nobody knows all of it"
    return judgement


_LEFT_OUT = frozenset({KeepAlive, TimeToLive, Leases})


def considered(operations: Sequence[Operation]) -> list[Operation]:
    """Those to order, by call, and the expiries of their leases."""
    kinds = set(map(type, map(_CALL, operations)))
    considered = list(operations)
    if kinds & _LEFT_OUT:
        considered = [each for each in operations if type(each.call) not in _LEFT_OUT]
    considered.sort(key=_CALLED)  # no cost where it is sorted
    return with_expiries(considered) if Grant in kinds else considered


_CALL, _CALLED = attrgetter("call"), attrgetter("call_time_ns")


def _resolve(
    judgement: Judgement, sure: Sequence[Operation], clock: Clock | None, seconds: float | None
) -> Judgement:
    """Steps 3 and 4."""
    full, witness = judgement.operations, judgement.witness
    placed = {id(operation) for operation in sure}
    floating = [each for each in full if each.is_ok and id(each) not in placed]
    unknown = [each for each in full if each.is_unknown]
    pool = [each for each in unknown if writes(call_of(each))]
    # A revocation may own a revision or not: what nobody else owns counts as a gap.
    revoked = [at for at, owner in witness.writes.items() if isinstance(owner.call, Revoke)]
    gaps = sorted([*witness.gaps, *revoked])
    evidence = Evidence(sure, gaps, pool) if gaps else None
    model = Etcd(first_state(judgement.start), evidence).for_part(full)
    revisions = list(map(_place, sure))
    judgement.how = "replay with going back"
    resolved = Resolver(sure, revisions, floating, unknown, model, evidence, witness.filled).run()
    judgement.resolved, judgement.order = resolved, resolved.order
    if resolved.complete and certify(full, resolved.order, judgement.start, unordered) is None:
        judgement.verdict = Verdict.VALID
        return judgement
    if resolved.exhausted:
        return judgement
    judgement.how = "search"
    loosened = relaxed(full)
    budget = Budget(20_000 + 4 * len(full), seconds if clock is not None else None)
    found = search(loosened, model, budget=budget, clock=clock)
    judgement.verdict, judgement.reason = found.verdict, found.reason
    if found.verdict is Verdict.VALID:
        verify(loosened, found.order, model)
        judgement.order = found.order
    else:
        judgement.resolved = further(resolved, found, model)
        judgement.order = judgement.resolved.order
    return judgement


def _place(operation: Operation) -> tuple[int, bool]:
    """(revision, does it surely take it). A revocation does if its lease has keys."""
    revision = shown_revision(call_of(operation), answer_of(operation))
    assert revision is not None, "only operations that show a revision are sure"
    return revision, effective(answer_of(operation))


def beginning(operations: Sequence[Operation]) -> Start:
    """Where the history, with its expiries, began: at revision 1 with nothing, unless its answers begin so
    late that unknown writes cannot have led there. Then at the greatest revision that all answers allow, with
    what they show of it."""
    least: int | None = None
    for operation in operations:
        if operation.is_ok:
            revision = shown_revision(call_of(operation), answer_of(operation))
            if revision is not None:
                either = open_ended(operation) and not isinstance(operation.call, Grant)
                before = revision - (effective(answer_of(operation)) or either)
                least = before if least is None else min(least, before)
                if least <= 1:
                    break
    if least is None or least <= 1:
        return Start()
    if least - 1 <= sum(1 for each in operations if _nowhere(each) and writes(call_of(each))):
        return Start()
    return Start(least, _shown_at(operations, least), _leases_before(operations))


def _nowhere(operation: Operation) -> bool:
    """May it have happened, at a revision that it does not tell?"""
    told = not operation.is_ok or isinstance(operation.response, Refused)
    return operation.is_unknown or not (told or shown_revision(call_of(operation), answer_of(operation)))


def _shown_at(operations: Sequence[Operation], revision: int) -> tuple[KV, ...]:
    """The pairs that some answer shows and that are as old as that."""
    shown: dict[bytes, KV] = {}
    written: set[bytes] = set()
    for operation in operations:
        call, answer = operation.call, operation.response
        if not operation.is_ok:
            written.update(put.key for put in puts(call_of(operation)))
            continue
        for kv in pairs(call_of(operation), answer_of(operation)):
            if kv.mod_revision is not None and kv.mod_revision <= revision:
                shown[kv.key] = shown[kv.key] if kv.key in shown and shown[kv.key].value else kv
            elif kv.create_revision is not None and kv.create_revision <= revision:
                shown.setdefault(kv.key, KV(kv.key, None, kv.create_revision, None, None, None))
        if isinstance(call, Txn) and isinstance(answer, TxnAnswer) and answer.succeeded:
            for compare in call.compare:
                if compare.target == "mod" and compare.result == "=" and 0 < int(compare.value) <= revision:
                    shown.setdefault(compare.key, KV(compare.key, None, None, int(compare.value), None, None))
        deleting = isinstance(call, Delete) and not call.end and effective(answer_of(operation))
        if isinstance(call, Delete) and deleting and call.key not in written:
            shown.setdefault(call.key, KV(call.key, None, None, None, None, None))
            written.add(call.key)
        written.update(put.key for put in puts(call_of(operation)))
    return tuple(shown.values())


def _leases_before(operations: Sequence[Operation]) -> tuple[int, ...]:
    """The leases that were used and that nobody was granted."""
    used: dict[int, None] = {}
    granted: set[int] = set()
    for operation in operations:
        call, answer = operation.call, operation.response
        if isinstance(call, Grant):
            granted.add(answer.id if isinstance(answer, GrantAnswer) else call.id)
        if operation.is_ok and not isinstance(answer, Refused):
            used.update(dict.fromkeys(used_leases(operation.call)))
    return tuple(number for number in used if number not in granted)


def first_state(start: Start) -> State:
    """The model's state for a beginning."""
    keys: Tree[KV] = Tree()
    for kv in start.kvs:
        keys = keys.put(kv.key, kv)
    leases: Tree[Lease] = Tree()
    for number in start.leases:
        leases = leases.put(lease_key(number), Lease(None))
    return State(start.revision, -1, keys, leases, None, start.revision)
