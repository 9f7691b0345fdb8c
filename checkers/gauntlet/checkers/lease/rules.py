"""What etcd promises about a lease, checked against the evidence.

Source: etcd's lease package (release 3.7). With `r` a renewal (a grant or an answered keep-alive):

1. lives: a lease is not gone before its TTL after the last renewal. The TTL counts from a moment between
   call and return, so it is wrong only to be gone before r.call + TTL, if nobody revoked it.
2. ends: it is gone soon after. It may stay until the last renewal's return + TTL + `late`; an unanswered
   keep-alive may have renewed it; and a new leader starts the TTL anew, so every fault or leader change that
   comes before the end puts the end off to TTL + `late` after the fault. Where nobody recorded the leader
   changes, one more is allowed for.
3. final: what is gone stays gone, until it is granted again.
4. unique: an id that is in use is not granted. Ids that the server chose never come twice.
5. ttl: answers are plausible: the TTL that was granted, no more than that left, and as much left as the last
   renewals allow; keys listed are keys that were attached.
6. keys_go: the keys are gone when the lease is.
7. keys_stay: they do not go without it, as long as nobody deletes or overwrites them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import TypeVar

from gauntlet.checkers.etcd import calls as c
from gauntlet.checkers.guarantees import Finding, Tally
from gauntlet.checkers.lease.evidence import (
    NEVER,
    Bounds,
    Evidence,
    Lease,
    Renewal,
    Sight,
    Sighting,
    Touch,
    words,
)
from gauntlet.checkers.stats import Windows
from porcupine.history import Operation

GUARANTEES = ("lives", "ends", "final", "unique", "ttl", "keys_go", "keys_stay")
SECOND = 1_000_000_000
Timed = TypeVar("Timed", Sighting, Touch)


def last_called(items: Sequence[Timed]) -> list[Timed]:
    """For each prefix of what is sorted by its end: the one of it that was called last."""
    found: list[Timed] = []
    for item in items:
        found.append(item if not found or item.call >= found[-1].call else found[-1])
    return found


def fail(tally: Tally, guarantee: str, label: str, text: str, *operations: Operation) -> None:
    at_ns = max((each.return_time_ns or each.call_time_ns for each in operations), default=0)
    ids = [each.id for each in operations]
    tally.fail(Finding(guarantee, label, text, (), ids, at_ns))


class Timeline:
    """What is certain of one lease's life."""

    def __init__(self, lease: Lease, windows: Windows, bounds: Bounds, all_changes: bool = True) -> None:
        self.lease = lease
        self.windows = windows
        self.bounds = bounds
        self.all_changes = all_changes  # does `windows` hold every leader change
        sure = sorted((each for each in lease.renewals if each.sure and each.ttl), key=lambda each: each.back)
        self._backs = [each.back for each in sure]
        # The renewal that keeps it longest, of those that had returned by then.
        self._longest = list(accumulate(sure, self._longer))
        self._revoked = sorted(lease.revokes, key=lambda each: each.back)
        self._revoked_backs = [each.back for each in self._revoked]
        calls = [each.call for each in reversed(self._revoked)]
        self._revoke_calls = list(accumulate(calls, min))[::-1]  # the earliest call from a return time on
        self._by_call = sorted(lease.renewals, key=lambda each: each.call)
        self._calls = [each.call for each in self._by_call]
        self._latest = list(accumulate(map(self._end, self._by_call), max))

    def _longer(self, one: Renewal, other: Renewal) -> Renewal:
        return other if self.earliest_end(other) >= self.earliest_end(one) else one

    def earliest_end(self, renewal: Renewal) -> int:
        return renewal.call + int((renewal.ttl or 0) * SECOND * (1 - self.bounds.drift))

    def _end(self, renewal: Renewal) -> int:
        ttl = renewal.ttl if renewal.ttl is not None else self.lease.ttl
        if ttl is None or renewal.back == NEVER:
            return NEVER
        return renewal.back + int(ttl * SECOND * (1 + self.bounds.drift))

    def kept_by(self, call: int) -> Renewal | None:
        """The renewal, returned by then, that keeps the lease longest."""
        place = bisect_left(self._backs, call + 1)
        return self._longest[place - 1] if place else None

    def may_be_revoked(self, after: int, before: int) -> bool:
        """Could a revocation have happened between these moments?"""
        place = bisect_left(self._revoked_backs, after)
        return place < len(self._revoked) and self._revoke_calls[place] < before

    def certainly_alive(self, call: int, back: int) -> Renewal | None:
        """The renewal that shows that the lease lives from `call` to `back`."""
        renewal = self.kept_by(call)
        if renewal is None or self.earliest_end(renewal) <= back:
            return None
        return None if self.may_be_revoked(renewal.call, back) else renewal

    def latest_end(self, before: int) -> int:
        """The last moment at which it can still be there, going by what was called before this one."""
        place = bisect_left(self._calls, before)
        if not place:
            return NEVER
        ttl = self.lease.ttl
        if ttl is None:
            return NEVER
        end = self._latest[place - 1]
        if end == NEVER:
            return NEVER
        longest = int(ttl * SECOND * (1 + self.bounds.drift))
        begin = self._calls[0]
        for start, stop in zip(self.windows.starts, self.windows.ends, strict=True):
            if stop >= begin and start <= end + self.bounds.late:
                if stop == float("inf"):
                    return NEVER
                end = max(end, int(stop) + self.bounds.settle + longest)
        if not self.all_changes:
            end += self.bounds.settle + longest
        return end + self.bounds.late

    def undisturbed(self, until: int) -> bool:
        """No fault from the grant on, so that no leader extended anything."""
        return bool(self._calls) and not self.windows.touches(self._calls[0] - self.bounds.settle, until)

    def may_be_granted(self, after: int, before: int) -> bool:
        return any(grant.back >= after and grant.call <= before for grant in self.lease.grants)


def judge_lease(line: Timeline, evidence: Evidence, tally: Tally) -> None:
    """Rules 1 to 5 for one lease."""
    lease = line.lease
    for gone in lease.gone:
        if gone.firm:
            _lives(line, gone, tally)
    tally.saw("lives", sum(1 for each in lease.alive if line.certainly_alive(each.call, each.back)))
    for alive in lease.alive:
        _ends(line, alive, tally)
    _final(line, tally)
    _unique(line, tally)
    for operation in lease.answers:
        _answer(line, operation, evidence, tally)


def _lives(line: Timeline, gone: Sighting, tally: Tally) -> None:
    call = gone.operation.call
    if isinstance(call, c.Revoke) and gone.operation.response != c.LEASE_NOT_FOUND:
        return
    renewal = line.kept_by(gone.call)
    if renewal is None or line.may_be_revoked(renewal.call, gone.back):
        return
    tally.saw("lives")
    if gone.back < line.earliest_end(renewal):
        text = (
            f"Lease {line.lease.id:x} was gone by {words(gone.operation)}, although "
            f"{words(renewal.operation)} gave it {renewal.ttl} s and nobody revoked it."
        )
        fail(tally, "lives", "lease ended early", text, renewal.operation, gone.operation)


def _ends(line: Timeline, alive: Sighting, tally: Tally) -> None:
    end = line.latest_end(alive.call)
    if end == NEVER:
        return
    tally.saw("ends")
    if alive.call <= end:
        return
    last = max((each for each in line.lease.renewals if each.call < alive.call), key=lambda each: each.back)
    text = (
        f"Lease {line.lease.id:x} was still there for {words(alive.operation)}; the last that could renew it "
        f"was {words(last.operation)}, so that it should have been gone by {end / SECOND:.3f} s."
    )
    fail(tally, "ends", "lease outlived its TTL", text, last.operation, alive.operation)


def _final(line: Timeline, tally: Tally) -> None:
    firm = sorted((each for each in line.lease.gone if each.firm), key=lambda each: each.back)
    if not firm:
        return
    backs = [each.back for each in firm]
    latest = last_called(firm)
    for alive in line.lease.alive:
        place = bisect_left(backs, alive.call)
        if not alive.firm or not place:
            continue
        gone = latest[place - 1]
        if line.may_be_granted(gone.call, alive.back):
            continue
        tally.saw("final")
        text = f"Lease {line.lease.id:x} was gone by {words(gone.operation)}, and there again for "
        fail(
            tally,
            "final",
            "lease came back",
            f"{text}{words(alive.operation)}.",
            gone.operation,
            alive.operation,
        )
    tally.saw("final", len(firm))


def _unique(line: Timeline, tally: Tally) -> None:
    grants = sorted((each for each in line.lease.grants if each.sure), key=lambda each: each.call)
    tally.saw("unique", len(grants))
    for one, other in pairwise(grants):
        first, second = one.operation, other.operation
        chosen = not getattr(second.call, "id", 0)
        if chosen:
            text = f"The id {line.lease.id:x} was given by {words(first)} and again by {words(second)}."
            fail(tally, "unique", "lease id given twice", text, first, second)
            continue
        alive = other.back < line.earliest_end(one) and not line.may_be_revoked(one.call, other.back)
        if alive:
            text = f"Lease {line.lease.id:x} was granted by {words(second)} while it lived by {words(first)}."
            fail(tally, "unique", "lease granted twice", text, first, second)
    for grant in grants:
        asked = getattr(grant.operation.call, "id", 0)
        if asked and asked != line.lease.id:
            text = f"{words(grant.operation)} asked for the id {asked:x} and got {line.lease.id:x}."
            fail(tally, "unique", "another lease id", text, grant.operation)


def _answer(line: Timeline, operation: Operation, evidence: Evidence, tally: Tally) -> None:
    """Rule 5 for a time-to-live answer about a lease that is there."""
    answer = operation.response
    assert isinstance(answer, c.TimeToLiveAnswer)
    tally.saw("ttl")
    about = f"Lease {line.lease.id:x}: {words(operation)}"
    back = operation.return_time_ns or operation.call_time_ns
    granted, known = answer.granted_ttl, line.lease.ttl
    grant = next((each.operation for each in line.lease.grants if each.sure), None)
    if known is not None and granted is not None and granted != known and grant is not None:
        text = f"{about} tells of {granted} s, but {words(grant)} gave it {known} s."
        fail(tally, "ttl", "wrong granted TTL", text, grant, operation)
    kept = line.certainly_alive(operation.call_time_ns, back)
    if kept is not None:
        least = (line.earliest_end(kept) - back) // SECOND
        if answer.ttl < least:
            text = f"{about} leaves it less than {least} s, which {words(kept.operation)} gave it."
            fail(tally, "ttl", "TTL too short", text, kept.operation, operation)
    if not line.undisturbed(back) or known is None:
        return
    called = [each for each in line.lease.renewals if each.call <= back]
    latest = max((min(each.back, back) for each in called), default=None)
    if latest is None:
        return
    left = (latest + int(known * SECOND * (1 + line.bounds.drift)) - operation.call_time_ns) / SECOND
    # A new leader adds an election time-out to the whole TTL.
    most = min(known, left) if line.all_changes else known + line.bounds.settle / SECOND
    if answer.ttl > int(most):  # whole seconds, cut off towards zero, as etcd does
        text = f"{about} leaves it more than the {most:.3f} s that the last renewal allows."
        fail(tally, "ttl", "TTL too long", text, *([] if grant is None else [grant]), operation)
    for key in answer.keys or ():
        if key not in line.lease.keys:
            text = f"{about} lists the key {key!r}, which nobody attached to it."
            fail(tally, "ttl", "key that was never attached", text, operation)


class Keys:
    """Rules 6 and 7, for the keys that were ever attached to a lease."""

    def __init__(self, evidence: Evidence, lines: dict[int, Timeline], tally: Tally) -> None:
        self.evidence = evidence
        self.lines = lines
        self.tally = tally
        self._touched: dict[bytes, _Touches] = {}
        self._gone: dict[int, tuple[list[int], list[Sighting]]] = {}
        leased = {key for line in lines.values() for key in line.lease.keys}
        for key in leased:
            wide = [touch for delete, touch in evidence.wide if _covers(delete, key)]
            self._touched[key] = _Touches([*evidence.touches.get(key, ()), *wide])

    def judge(self) -> None:
        for sight in self.evidence.sights:
            if sight.key not in self._touched:
                continue
            if sight.kv is None:
                self._absent(sight)
            else:
                self._present(sight, sight.kv)

    def _present(self, sight: Sight, kv: c.KV) -> None:
        number = kv.lease
        if number is None:
            put = self._touched[sight.key].by_revision.get(kv.mod_revision or 0)
            number = put.lease if put is not None else 0
        line = self.lines.get(number)
        if not number or line is None:
            return
        back = sight.operation.return_time_ns or sight.operation.call_time_ns
        gone = self._gone_before(line.lease, sight.operation.call_time_ns)
        self.tally.saw("keys_go")
        if gone is not None and not line.may_be_granted(gone.call, back):
            text = (
                f"Lease {number:x} was gone by {words(gone.operation)}, but its key {sight.key!r} was still "
                f"there for {words(sight.operation)}."
            )
            fail(self.tally, "keys_go", "key outlived its lease", text, gone.operation, sight.operation)
        else:
            _ends(
                line,
                Sighting(sight.operation, sight.operation.call_time_ns, back, True, sight.key),
                self.tally,
            )

    def _gone_before(self, lease: Lease, call: int) -> Sighting | None:
        if lease.id not in self._gone:
            firm = sorted((each for each in lease.gone if each.firm), key=lambda each: each.back)
            latest = last_called(firm)
            self._gone[lease.id] = [each.back for each in firm], latest
        backs, latest = self._gone[lease.id]
        place = bisect_left(backs, call)
        return latest[place - 1] if place else None

    def _absent(self, sight: Sight) -> None:
        operation = sight.operation
        call, back = operation.call_time_ns, operation.return_time_ns or operation.call_time_ns
        put = self._touched[sight.key].last_before(call)
        if put is None or not put.lease or not put.operation.is_ok:
            return
        line = self.lines[put.lease]
        if self._touched[sight.key].others(put, back) or line.may_be_revoked(put.call, back):
            return
        self.tally.saw("keys_stay")
        kept = line.certainly_alive(call, back)
        later = next((each for each in line.lease.alive if each.firm and each.call >= back), None)
        if kept is None and (later is None or line.may_be_granted(put.back, later.back)):
            return
        proof = kept.operation if kept is not None else later.operation if later is not None else operation
        text = (
            f"The key {sight.key!r} was gone for {words(operation)}, although nobody had deleted or "
            f"overwritten it since {words(put.operation)} and lease {put.lease:x} lived, by {words(proof)}."
        )
        fail(self.tally, "keys_stay", "key gone before its lease", text, put.operation, operation, proof)


class _Touches:
    """The writes of one key."""

    def __init__(self, touches: Sequence[Touch]) -> None:
        self.by_revision = {
            each.revision: each for each in touches if each.revision is not None and each.lease
        }
        ordered = sorted(touches, key=lambda each: each.back)
        self._backs = [each.back for each in ordered]
        self._ordered = ordered
        self._newest = last_called(ordered)
        # From each return time on: the two earliest calls, so that one operation can be left out.
        self._earliest: list[list[Touch]] = []
        two: list[Touch] = []
        for touch in reversed(ordered):
            two = sorted([*two, touch], key=lambda each: each.call)[:2]
            self._earliest.append(two)
        self._earliest.reverse()

    def last_before(self, call: int) -> Touch | None:
        """The write that was called last, of those that had returned by then."""
        place = bisect_left(self._backs, call)
        return self._newest[place - 1] if place else None

    def others(self, put: Touch, before: int) -> bool:
        """Could another write have come after this one and before the moment?"""
        place = bisect_left(self._backs, put.call)
        if place == len(self._backs):
            return False
        return any(each is not put and each.call < before for each in self._earliest[place])


def _covers(delete: c.Delete, key: bytes) -> bool:
    return key >= delete.key and (delete.end == c.FROM_KEY or key < delete.end)
