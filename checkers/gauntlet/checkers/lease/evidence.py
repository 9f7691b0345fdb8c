"""What a history says about leases: when each could have been renewed, and when it was seen alive or gone.

All of it is interval knowledge from the client's side: an operation took effect between its call and its
return. An operation of unknown outcome may still do so until `linger` after the client gave up.

Answers about leases come from the leader's memory, not from the log: a leader that was cut off may answer
from the past. So `firm` says of each sighting whether it can be relied upon: revocations, puts and reads went
through the log or a quorum; keep-alives and time-to-live answers count when no fault was near.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from gauntlet.checkers.etcd import calls as c
from gauntlet.checkers.guarantees import seconds
from gauntlet.checkers.stats import Windows
from porcupine.history import Operation

NEVER = 1 << 62


@dataclass(frozen=True, slots=True)
class Bounds:
    """How exact time is. Times in ns.

    late: how long after its end a lease may still be there: the leader looks twice a second, revokes at most
        1,000 leases a second, and each revocation is a write.
    linger: how long an operation without an answer may still take effect.
    settle: how long after a fault answers from memory are not relied upon.
    drift: by how much the clocks of client and member may run apart, as a share of the time.
    """

    late: int = 5_000_000_000
    linger: int = 10_000_000_000
    settle: int = 5_000_000_000
    drift: float = 0.01


@dataclass(slots=True)
class Sighting:
    """The lease was there, or was gone, at a moment between `call` and `back`."""

    operation: Operation
    call: int
    back: int
    firm: bool
    key: bytes | None = None  # the key that showed it


@dataclass(slots=True)
class Renewal:
    """A grant or keep-alive: the TTL (seconds) counts from a moment between `call` and `back`."""

    operation: Operation
    call: int
    back: int
    ttl: int | None  # None: not known
    sure: bool
    is_grant: bool


@dataclass(slots=True)
class Lease:
    id: int
    renewals: list[Renewal] = field(default_factory=list)
    revokes: list[Sighting] = field(default_factory=list)  # also those that may have happened
    alive: list[Sighting] = field(default_factory=list)
    gone: list[Sighting] = field(default_factory=list)
    answers: list[Operation] = field(default_factory=list)  # of time-to-live, for a lease that is there
    keys: set[bytes] = field(default_factory=set)

    @property
    def grants(self) -> list[Renewal]:
        return [renewal for renewal in self.renewals if renewal.is_grant]

    @property
    def ttl(self) -> int | None:
        """As granted; None when that is not known, or not one."""
        ttls = {renewal.ttl for renewal in self.grants if renewal.sure}
        return ttls.pop() if len(ttls) == 1 else None


@dataclass(slots=True)
class Touch:
    """An operation that wrote a key, or may have."""

    operation: Operation
    call: int
    back: int
    lease: int  # of a put that attached the key; 0 for anything else
    revision: int | None = None


@dataclass(slots=True)
class Sight:
    """A linearizable read of one key."""

    operation: Operation
    key: bytes
    kv: c.KV | None  # None: the key was absent


@dataclass(slots=True)
class Evidence:
    leases: dict[int, Lease] = field(default_factory=dict)
    touches: dict[bytes, list[Touch]] = field(default_factory=dict)
    wide: list[tuple[c.Delete, Touch]] = field(default_factory=list)  # deletes of ranges
    sights: list[Sight] = field(default_factory=list)

    def of(self, number: int) -> Lease:
        return self.leases.setdefault(number, Lease(number))


def back_of(operation: Operation, bounds: Bounds) -> int:
    """The last moment at which it can have taken effect."""
    returned = operation.return_time_ns
    if operation.is_ok and returned is not None:
        return returned
    return NEVER if returned is None else returned + bounds.linger


def gather(operations: Sequence[Operation], windows: Windows, bounds: Bounds) -> Evidence:
    """`operations` in the vocabulary of `gauntlet.checkers.etcd`, refusals made answers."""
    evidence = Evidence()
    for operation in operations:
        if operation.is_ok or operation.is_unknown:
            _lease_call(operation, evidence, windows, bounds)
            _key_calls(operation, evidence, bounds)
    return evidence


def _lease_call(operation: Operation, evidence: Evidence, windows: Windows, bounds: Bounds) -> None:
    call: Any = operation.call
    answer: Any = operation.response if operation.is_ok else None
    begin, back = operation.call_time_ns, back_of(operation, bounds)
    near = windows.touches(begin - bounds.settle, back)
    match call:
        case c.Grant():
            number = answer.id if isinstance(answer, c.GrantAnswer) else call.id
            if answer == c.LEASE_EXISTS:
                evidence.of(number).alive.append(Sighting(operation, begin, back, True))
            elif number and not isinstance(answer, c.Refused):
                ttl = call.ttl if answer is None or answer.ttl is None else answer.ttl
                sure = operation.is_ok
                evidence.of(number).renewals.append(Renewal(operation, begin, back, ttl, sure, True))
        case c.KeepAlive():
            lease = evidence.of(call.id)
            if answer is None:
                lease.renewals.append(Renewal(operation, begin, back, None, False, False))
            elif isinstance(answer, c.KeepAliveAnswer) and answer.ttl > 0:
                lease.renewals.append(Renewal(operation, begin, back, answer.ttl, True, False))
                lease.alive.append(Sighting(operation, begin, back, not near))
            else:
                lease.gone.append(Sighting(operation, begin, back, not near))
        case c.Revoke():
            lease = evidence.of(call.id)
            if answer == c.LEASE_NOT_FOUND:
                lease.gone.append(Sighting(operation, begin, back, True))
                return
            lease.revokes.append(Sighting(operation, begin, back, operation.is_ok))
            if operation.is_ok:
                lease.gone.append(Sighting(operation, begin, back, True))
        case c.TimeToLive() if isinstance(answer, c.TimeToLiveAnswer):
            lease = evidence.of(call.id)
            # Ran out and not yet revoked: a TTL of 0 or less, but still what was granted.
            if answer.granted_ttl or answer.ttl > 0:
                lease.alive.append(Sighting(operation, begin, back, not near))
                lease.answers.append(operation)
            elif answer.ttl < 0:
                lease.gone.append(Sighting(operation, begin, back, not near))


def _key_calls(operation: Operation, evidence: Evidence, bounds: Bounds) -> None:
    call: Any = operation.call
    answer: Any = operation.response if operation.is_ok else None
    begin, back = operation.call_time_ns, back_of(operation, bounds)
    if isinstance(answer, c.Refused):
        if answer == c.LEASE_NOT_FOUND and isinstance(call, c.Put) and call.lease:
            evidence.of(call.lease).gone.append(Sighting(operation, begin, back, True, call.key))
        return
    if isinstance(call, c.Range):
        if isinstance(answer, c.RangeAnswer) and not c.is_serializable(call):
            _sight(operation, call, answer, evidence)
        return
    for write, taken in _writes(call, answer):
        revision = None if answer is None or not taken else answer.revision
        if isinstance(write, c.Delete):
            touch = Touch(operation, begin, back, 0, revision)
            if write.end:
                evidence.wide.append((write, touch))
            else:
                evidence.touches.setdefault(write.key, []).append(touch)
            continue
        lease = 0 if write.ignore_lease else write.lease
        attached = lease if taken else 0
        touch = Touch(operation, begin, back, attached, revision)
        evidence.touches.setdefault(write.key, []).append(touch)
        if lease:
            evidence.of(lease).keys.add(write.key)
            if taken and operation.is_ok:
                evidence.of(lease).alive.append(Sighting(operation, begin, back, True, write.key))


def _sight(operation: Operation, call: c.Range, answer: c.RangeAnswer, evidence: Evidence) -> None:
    plain = not (call.revision or call.count_only or call.limit) and call[8:12] == (0, 0, 0, 0)
    if not plain or answer.kvs is None:
        return
    for kv in answer.kvs:
        evidence.sights.append(Sight(operation, kv.key, kv))
    if not call.end and not answer.kvs:
        evidence.sights.append(Sight(operation, call.key, None))


def _writes(call: Any, answer: Any) -> Iterator[tuple[c.Put | c.Delete, bool]]:
    """(put or delete, is it certain that it was carried out if the call was?)."""
    if isinstance(call, (c.Put, c.Delete)):
        yield call, True
    elif isinstance(call, c.Txn):
        taken = answer.succeeded if isinstance(answer, c.TxnAnswer) else None
        for branch, chosen in ((call.success, True), (call.failure, False)):
            if taken is not None and taken is not chosen:
                continue
            for each in branch:
                for write, sure in _writes(each, None):
                    yield write, sure and taken is not None and not isinstance(each, c.Txn)


def words(operation: Operation) -> str:
    """Who asked what of whom, and when."""
    call: Any = operation.call
    answer: Any = operation.response if operation.is_ok else None
    match call:
        case c.Grant():
            what = f"grant of a lease for {call.ttl} s"
        case c.KeepAlive():
            what = f"keep-alive of lease {call.id:x}"
        case c.Revoke():
            what = f"revocation of lease {call.id:x}"
        case c.TimeToLive():
            what = f"time-to-live of lease {call.id:x}"
        case c.Put():
            what = f"put of {call.key!r} with lease {call.lease:x}"
        case c.Range():
            what = f"read of {call.key!r}"
        case _:
            what = type(call).__name__.lower()
    member = operation.tags.get("member")
    where = f" on {member}" if member else ""
    said = f", answered {_said(answer)}" if answer is not None else f", {operation.outcome.value}"
    returned = operation.return_time_ns
    until = "no answer" if returned is None else seconds(returned)
    return (
        f"the {what} by client {operation.client}{where} ({seconds(operation.call_time_ns)} to {until}{said})"
    )


def _said(answer: Any) -> str:
    match answer:
        case c.Refused():
            return repr(answer.message)
        case c.GrantAnswer():
            return f"id {answer.id:x}, TTL {answer.ttl}"
        case c.KeepAliveAnswer():
            return f"TTL {answer.ttl}"
        case c.TimeToLiveAnswer():
            return f"TTL {answer.ttl} of {answer.granted_ttl}"
        case c.RangeAnswer():
            return f"{len(answer.kvs or ())} keys at revision {answer.revision}"
    return f"at revision {answer.revision}"
