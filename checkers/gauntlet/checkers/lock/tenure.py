"""Those who hold a lock or lead an election, and what etcd promises about them.

How it works in etcd (packages concurrency, v3lock and v3election of release 3.7): a contender writes a key
``name/lease`` attached to its lease; whoever's key has the smallest create revision holds. So:

What etcd promises:
1. granted: the holder's key existed when it was granted: it is the key of its name and lease, created at or
   before the revision of the answer; by the history, where there is one, it was there at that revision.
2. order: grants go in the order of the create revisions. Somebody is granted at revision r only when no older
   key is left at r.
3. kept: the key stays while its lease lives and nobody deletes it, so that a write guarded by it succeeds.
4. fencing: guarded writes land in the order of the holders' create revisions; none lands after its release.
5. exclusion: two do not hold at once while the leases of both live and neither has let go.

What users assume beyond that is that nobody else holds between their acquiring and their releasing. It is
not promised: when a lease runs out (its client was too slow to renew it, or cut off) the next one is granted,
and the former holder may still think that it holds. Such an overlap is a remark, "as documented", and no
violation; that is what fencing is for.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gauntlet.checkers.etcd import calls as c
from gauntlet.checkers.guarantees import Finding, Tally
from gauntlet.checkers.lease import Bounds, Timeline, timelines
from gauntlet.checkers.lock.records import Campaign, Held, Lock, Proclaim, Resign, Unlock, words
from gauntlet.checkers.watch.ledger import Effects, Ledger
from gauntlet.checkers.watch.records import text_of
from porcupine.history import Operation

NEVER = 1 << 62


@dataclass(slots=True)
class Tenure:
    """Held from the return of what acquired it to the call of what let it go."""

    operation: Operation
    name: bytes
    key: bytes
    lease: int
    token: int | None  # the key's create revision
    revision: int | None  # at which it was granted; None where the answer does not tell
    start: int
    end: int = NEVER
    release: Operation | None = None
    deletions: list[Operation] = field(default_factory=list)  # all that may have deleted the key
    present: int = 0  # the greatest revision at which the key is known to have been there
    present_by: Operation | None = None


@dataclass(slots=True)
class Guarded:
    """A write that only happens while a lock's key has this create revision."""

    operation: Operation
    key: bytes
    token: int
    resources: tuple[bytes, ...]
    revision: int | None  # None: refused


def fail(tally: Tally, guarantee: str, label: str, text: str, *operations: Operation | None) -> None:
    tally.fail(_finding(guarantee, label, text, operations))


def _finding(guarantee: str, label: str, text: str, operations: Iterable[Operation | None]) -> Finding:
    known = [each for each in operations if each is not None]
    at_ns = max((each.return_time_ns or each.call_time_ns for each in known), default=0)
    return Finding(guarantee, label, text, (), [each.id for each in known], at_ns)


def tenures(operations: Sequence[Operation], others: Sequence[Operation]) -> list[Tenure]:
    """Who held what. `others`: the history's calls on keys, of which deletes may take a holder's key away."""
    found: dict[tuple[bytes, bytes], list[Tenure]] = {}
    held: list[Tenure] = []
    for operation in operations:
        call, answer = operation.call, operation.response
        if isinstance(call, (Lock, Campaign)) and isinstance(answer, Held):
            revision = answer.revision if isinstance(call, Lock) else None
            start = operation.return_time_ns or operation.call_time_ns
            present = max(answer.token or 0, revision or 0)
            tenure = Tenure(operation, call.name, answer.key, call.lease, answer.token, revision, start)
            tenure.present, tenure.present_by = present, operation
            held.append(tenure)
            found.setdefault((call.name, answer.key), []).append(tenure)
    for operation in operations:
        call = operation.call
        # Whatever else is recorded, only these end or prove a tenure.
        if isinstance(call, (Unlock, Resign)) and (operation.is_ok or operation.is_unknown):
            for tenure in found.get((call.name, call.key), ()):
                _released(tenure, operation)
        elif isinstance(call, Proclaim) and operation.is_ok:
            _shown(found.get((call.name, call.key), ()), call.token, operation)
    by_key = {key: group for (_, key), group in found.items()}
    ordered = sorted(by_key)
    for operation in others:
        if operation.is_ok or operation.is_unknown:
            _gone(operation, ordered, by_key)
    return held


def _gone(operation: Operation, ordered: Sequence[bytes], by_key: Mapping[bytes, list[Tenure]]) -> None:
    for start, end in _deleted(operation.call):
        stop = len(ordered) if end == c.FROM_KEY else bisect_left(ordered, end or start + b"\0")
        for key in ordered[bisect_left(ordered, start) : stop]:
            for tenure in by_key[key]:
                tenure.deletions.append(operation)


def _released(tenure: Tenure, operation: Operation) -> None:
    """What may have deleted the key, and the first release after the acquisition."""
    tenure.deletions.append(operation)
    call = operation.call_time_ns
    if call >= tenure.operation.call_time_ns and call < tenure.end:
        token = getattr(operation.call, "token", None)
        if token is None or tenure.token is None or token == tenure.token:
            tenure.end, tenure.release = max(call, tenure.start), operation


def _shown(group: Iterable[Tenure], token: int | None, operation: Operation) -> None:
    revision = getattr(operation.response, "revision", None) or 0
    for tenure in group:
        if tenure.token == token and revision > tenure.present:
            tenure.present, tenure.present_by = revision, operation


def _deleted(call: Any) -> list[tuple[bytes, bytes]]:
    if isinstance(call, c.Delete):
        return [(call.key, call.end)]
    if isinstance(call, c.Txn):
        return [span for each in (*call.success, *call.failure) for span in _deleted(each)]
    return []


def guarded_writes(operations: Iterable[Operation], held: Sequence[Tenure]) -> list[Guarded]:
    """The txns that compare the create revision of a holder's key, carried out or refused."""
    keys = {tenure.key for tenure in held}
    found = []
    for operation in operations:
        call, answer = operation.call, operation.response
        if not isinstance(call, c.Txn) or not isinstance(answer, c.TxnAnswer) or not operation.is_ok:
            continue
        resources = tuple(each.key for each in call.success if isinstance(each, c.Put))
        for compare in call.compare:
            guards = compare.target == "create" and compare.result == "=" and not compare.end
            if guards and compare.key in keys and isinstance(compare.value, int) and compare.value:
                alone = len(call.compare) == 1
                if answer.succeeded or alone:
                    revision = answer.revision if answer.succeeded else None
                    found.append(Guarded(operation, compare.key, compare.value, resources, revision))
    return found


@dataclass(slots=True)
class World:
    """What holders are judged by. operations: those that are no calls of locks or elections, in the
    vocabulary of `gauntlet.checkers.etcd`: they tell of the leases and of guarded writes. effects: a complete
    history of what each revision did. leader_changes: of etcd's own leader."""

    operations: Sequence[Operation]
    effects: Effects | None = None
    faults: Sequence[Mapping[str, Any]] = ()
    leader_changes: Sequence[int] | None = None
    bounds: Bounds = field(default_factory=Bounds)


class Holders:
    """Checks the tenures of all names."""

    def __init__(self, held: Sequence[Tenure], lines: Mapping[int, Timeline], tally: Tally) -> None:
        self.held = held
        self.lines = lines
        self.tally = tally
        for tenure in held:
            line = lines.get(tenure.lease)
            if tenure.release is None:
                # It never let go: it may think that it holds for as long as its lease can live.
                known = line is not None and line.lease.ttl is not None
                tenure.end = line.latest_end(NEVER) if line is not None and known else tenure.start

    @classmethod
    def judged(cls, ours: Sequence[Operation], tally: Tally, world: World) -> tuple[Holders, list[Guarded]]:
        """What locks and elections have in common: grants, exclusion, fencing, and keys that are kept.
        `ours`: the calls of their own."""
        held = tenures(ours, world.operations)
        _, lines = timelines(world.operations, world.faults, world.leader_changes, world.bounds)
        writes = guarded_writes(world.operations, held)
        holders = cls(held, lines, tally)
        holders.shown(writes)
        holders.granted(None if world.effects is None else Ledger(world.effects, (), complete=True))
        holders.exclusion()
        holders.fencing(writes)
        holders.kept(writes)
        return holders, writes

    def certainly_there(self, tenure: Tenure, at: int) -> bool:
        """Does the tenure's key exist at this moment, by lease and by what may have deleted it?"""
        line = self.lines.get(tenure.lease)
        if line is None or line.certainly_alive(at, at) is None:
            return False
        return not any(
            each.call_time_ns < at and not _over(each, tenure.operation.call_time_ns)
            for each in tenure.deletions
        )

    # ---- granted ----

    def granted(self, ledger: Ledger | None) -> None:
        for tenure in self.held:
            self.tally.saw("granted")
            why = self._wrong_key(tenure) or self._not_there(tenure, ledger)
            if why is not None:
                text = f"{words(tenure.operation)}: {why}."
                fail(self.tally, "granted", "granted without its key", text, tenure.operation)

    def _wrong_key(self, tenure: Tenure) -> str | None:
        key = tenure.name + b"/" + (b"%x" % tenure.lease if tenure.lease else b"")
        if not (tenure.key == key if tenure.lease else tenure.key.startswith(key)):
            return f"its key should be {text_of(key)!r}"
        if tenure.token is not None and tenure.revision is not None and tenure.token > tenure.revision:
            return f"its key was created after the revision of the answer, {tenure.revision}"
        return None

    def _not_there(self, tenure: Tenure, ledger: Ledger | None) -> str | None:
        revision = tenure.revision if tenure.revision is not None else tenure.token
        if ledger is None or revision is None or tenure.token is None:
            return None
        key = text_of(tenure.key)
        if not ledger.accounts_for(revision) or not ledger.knows_before(key, revision + 1):
            return None
        event = ledger.before(key, revision + 1)
        if event is None or event.value is None:
            return f"by the history its key did not exist at revision {revision}"
        if event.create_revision is not None and event.create_revision != tenure.token:
            return f"by the history its key was created at revision {event.create_revision}"
        return None

    # ---- order ----

    def order(self) -> None:
        """Nobody is granted at a revision at which an older key is known to have been there."""
        groups: dict[bytes, list[Tenure]] = {}
        for tenure in self.held:
            if tenure.token is not None:
                groups.setdefault(tenure.name, []).append(tenure)
            else:
                self.tally.doubt("order", "the keys' create revisions were not recorded")
        for group in groups.values():
            group.sort(key=lambda each: each.token or 0)
            latest: list[Tenure] = []
            for tenure in group:
                best = latest[-1] if latest else tenure
                latest.append(tenure if tenure.present > best.present else best)
            for tenure in group:
                if tenure.revision is None:
                    continue
                self.tally.saw("order")
                older = bisect_left(group, tenure.token or 0, key=lambda each: each.token or 0)
                if not older or latest[older - 1].present < tenure.revision:
                    continue
                other = latest[older - 1]
                text = (
                    f"{words(tenure.operation)} was granted at revision {tenure.revision}, although the "
                    f"older key of {words(other.operation)} was still there at revision {other.present}."
                )
                evidence = dict.fromkeys((other.operation, other.present_by, tenure.operation))
                fail(self.tally, "order", "granted out of order", text, *evidence)

    # ---- exclusion ----

    def exclusion(self) -> None:
        groups: dict[bytes, list[Tenure]] = {}
        for tenure in self.held:
            groups.setdefault(tenure.name, []).append(tenure)
        for group in groups.values():
            group.sort(key=lambda each: each.start)
            active: list[tuple[int, int, Tenure]] = []
            for number, tenure in enumerate(group):
                while active and active[0][0] <= tenure.start:
                    heapq.heappop(active)
                self.tally.saw("exclusion")
                for _, _, other in active:
                    if other.key != tenure.key:
                        self._overlap(other, tenure)
                heapq.heappush(active, (tenure.end, number, tenure))

    def _overlap(self, first: Tenure, second: Tenure) -> None:
        both = (
            f"{words(first.operation)} and {words(second.operation)} both held at {second.start / 1e9:.3f} s"
        )
        operations = (first.operation, second.operation, first.release)
        if first.lease not in self.lines or second.lease not in self.lines:
            why = "holders overlap, and it is not recorded how long their leases lived"
            self.tally.doubt("exclusion", why)
        elif self.certainly_there(first, second.start) and self.certainly_there(second, second.start):
            text = f"{both}, although the leases of both were alive and neither had let go."
            found = _finding("exclusion", "two holders at once", text, operations)
            found.due = "the second waits until the first lets go or its lease ends", "both were granted it"
            self.tally.fail(found)
        else:
            text = (
                f"{both}: a lease may have run out. As documented: etcd promises no exclusion to a holder "
                "whose lease has ended; only writes guarded by its key's create revision are safe."
            )
            self.tally.remark(_finding("exclusion", "overlap as documented", text, operations))

    # ---- fencing and kept ----

    def shown(self, writes: Sequence[Guarded]) -> None:
        """A guarded write that succeeded shows that the key was there at its revision."""
        holders = {(each.key, each.token): each for each in self.held}
        for write in writes:
            tenure = holders.get((write.key, write.token))
            if tenure is not None and write.revision is not None and write.revision > tenure.present:
                tenure.present, tenure.present_by = write.revision, write.operation

    def fencing(self, writes: Sequence[Guarded]) -> None:
        holders = {(each.key, each.token): each for each in self.held}
        landed: dict[tuple[bytes, bytes], list[Guarded]] = {}
        for write in writes:
            tenure = holders.get((write.key, write.token))
            if write.revision is None:
                if tenure is not None:
                    self._refused(write, tenure)
                continue
            name = tenure.name if tenure is not None else write.key.rpartition(b"/")[0]
            for resource in write.resources:
                landed.setdefault((name, resource), []).append(write)
            if tenure is not None:
                self._landed(write, tenure)
        for (_, resource), group in landed.items():
            self._in_order(resource, group)

    def _in_order(self, resource: bytes, group: list[Guarded]) -> None:
        group.sort(key=lambda each: each.revision or 0)
        newest = group[0]
        for write in group:
            self.tally.saw("fencing")
            if write.token < newest.token:
                text = (
                    f"{words(write.operation)} wrote {text_of(resource)!r} at revision {write.revision} "
                    f"under the key created at {write.token}, after {words(newest.operation)} of the newer "
                    f"holder (key created at {newest.token}) had landed at revision {newest.revision}."
                )
                fail(
                    self.tally, "fencing", "write of a former holder", text, newest.operation, write.operation
                )
            elif write.token > newest.token:
                newest = write

    def _landed(self, write: Guarded, tenure: Tenure) -> None:
        release = tenure.release
        if release is None or not release.is_ok:
            return
        if write.operation.call_time_ns > (release.return_time_ns or NEVER):
            text = f"{words(write.operation)} landed under a key that {words(release)} had removed."
            fail(self.tally, "fencing", "write after the release", text, release, write.operation)

    def _refused(self, write: Guarded, tenure: Tenure) -> None:
        operation = write.operation
        back = operation.return_time_ns or operation.call_time_ns
        if operation.call_time_ns < tenure.start or not self.certainly_there(tenure, back):
            return
        self.tally.saw("kept")
        text = (
            f"{words(operation)} was refused, although {words(tenure.operation)} held, its lease was alive "
            "and nobody had removed its key."
        )
        fail(self.tally, "kept", "holder lost its key", text, tenure.operation, operation)

    def kept(self, writes: Sequence[Guarded]) -> None:
        """Each guarded write that succeeded showed that the key was kept."""
        self.tally.saw("kept", sum(1 for write in writes if write.revision is not None))


def _over(operation: Operation, moment: int) -> bool:
    """Had the operation surely taken all the effect it ever has before the moment?"""
    return operation.is_ok and operation.return_time_ns is not None and operation.return_time_ns < moment
