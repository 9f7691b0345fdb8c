"""Generated histories, random calls, and the same calls as etcd's own messages."""

from __future__ import annotations

import heapq
import importlib.util
import random
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.checkers.etcd import calls as c
from gauntlet.checkers.etcd.diagnose import APPLIED_TWICE, WRONG_ANSWER
from gauntlet.checkers.etcd.store import SortedAnswer, State, apply
from porcupine.history import Operation, Outcome
from porcupine.labels import (
    FUTURE_READ,
    LOST_UPDATE,
    LOST_WRITE,
    PHANTOM_WRITE,
    REUSED,
    STALE_READ,
    WENT_BACK,
    WRONG_REFUSAL,
    WRONG_REVISION,
)

HISTORIES = Path(__file__).parents[3] / "benchmarks" / "histories.py"


@pytest.fixture(scope="session")
def histories() -> ModuleType:
    """The generator of valid histories, which the benchmarks use too."""
    specification = importlib.util.spec_from_file_location("benchmark_histories", HISTORIES)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module  # dataclasses look themselves up there
    specification.loader.exec_module(module)
    return module


@dataclass
class RandomCalls:
    """Calls on few keys, so that they meet; every option now and then, mistakes as well."""

    rng: random.Random
    keys: tuple[bytes, ...] = (b"a", b"b", b"c", b"\xff")
    leases: tuple[int, ...] = (1, 2, 3)
    revision: int = 1
    written: int = field(default=0)

    def key(self) -> bytes:
        return self.rng.choice(self.keys)

    def span(self) -> tuple[bytes, bytes]:
        key = self.key()
        return key, self.rng.choice([b"", b"", b"", key + b"\x00", b"c", b"z", b"\x00"])

    def some_revision(self) -> int:
        return self.rng.choice([0, 0, 0, 0, self.rng.randint(1, self.revision + 1)])

    def range(self) -> c.Range:
        rng = self.rng
        key, end = self.span()
        if rng.random() < 0.4:
            return c.Range(key, revision=self.some_revision())
        bound = [rng.choice([0, 0, 0, rng.randint(1, self.revision + 1)]) for _ in range(4)]
        return c.Range(
            key,
            end,
            limit=rng.choice([0, 0, 1, 2]),
            revision=self.some_revision(),
            sort_order=rng.choice(c.SORT_ORDERS),
            sort_target=rng.choice(c.SORT_TARGETS),
            keys_only=rng.random() < 0.2,
            count_only=rng.random() < 0.2,
            min_mod_revision=bound[0],
            max_mod_revision=bound[1],
            min_create_revision=bound[2],
            max_create_revision=bound[3],
        )

    def put(self) -> c.Put:
        rng = self.rng
        self.written += 1
        keeps = rng.random() < 0.1
        return c.Put(
            self.key() if rng.random() > 0.01 else b"",
            b"" if keeps and rng.random() < 0.8 else b"v%d" % rng.choice([self.written, self.written % 3]),
            lease=rng.choice([0, 0, 0, *self.leases]),
            prev_kv=rng.random() < 0.3,
            ignore_value=keeps,
            ignore_lease=rng.random() < 0.1,
        )

    def delete(self) -> c.Delete:
        key, end = self.span()
        return c.Delete(key, end, self.rng.random() < 0.3)

    def compare(self) -> c.Compare:
        rng = self.rng
        key, end = self.span()
        target = rng.choice(c.COMPARE_TARGETS)
        value: int | bytes = b"v%d" % rng.randint(0, 2)
        if target == "lease":
            value = rng.choice([0, *self.leases])
        elif target != "value":
            value = rng.choice([0, 1, 2, rng.randint(1, self.revision + 1)])
        return c.Compare(key, target, rng.choice(c.COMPARE_RESULTS), value, rng.choice([b"", b"", end]))

    def txn(self, depth: int = 0) -> c.Txn:
        def branch() -> tuple[c.Request, ...]:
            makers: list[Any] = [self.range, self.put, self.put, self.delete]
            if depth < 2:
                makers.append(lambda: self.txn(depth + 1))
            return tuple(self.rng.choice(makers)() for _ in range(self.rng.randint(0, 3)))

        compares = tuple(self.compare() for _ in range(self.rng.choice([0, 1, 1, 2])))
        return c.Txn(compares, branch(), branch())

    def next(self) -> c.Call:
        draw = self.rng.random()
        lease = self.rng.choice(self.leases)
        if draw < 0.25:
            return self.range()
        if draw < 0.5:
            return self.put()
        if draw < 0.6:
            return self.delete()
        if draw < 0.82:
            return self.txn()
        if draw < 0.9:
            return c.Grant(lease, self.rng.choice([5, 60, 60, 10**10]))
        if draw < 0.95:
            return c.Revoke(lease)
        return c.Compact(self.rng.randint(0, self.revision + 1))


class Wire:
    """Calls as etcd's requests, responses as answers."""

    def request(self, call: c.Call) -> Any:
        match call:
            case c.Range():
                fields = call._asdict()
                fields["range_end"] = fields.pop("end")
                fields["sort_order"] = c.SORT_ORDERS.index(call.sort_order)
                fields["sort_target"] = c.SORT_TARGETS.index(call.sort_target)
                return pb.RangeRequest(**fields)
            case c.Put():
                return pb.PutRequest(**call._asdict())
            case c.Delete():
                return pb.DeleteRangeRequest(key=call.key, range_end=call.end, prev_kv=call.prev_kv)
            case c.Txn():
                return pb.TxnRequest(
                    compare=[self._compare(each) for each in call.compare],
                    success=[self._op(each) for each in call.success],
                    failure=[self._op(each) for each in call.failure],
                )
            case c.Grant():
                return pb.LeaseGrantRequest(ID=call.id, TTL=call.ttl)
            case c.Revoke():
                return pb.LeaseRevokeRequest(ID=call.id)
            case c.TimeToLive():
                return pb.LeaseTimeToLiveRequest(ID=call.id, keys=call.keys)
            case c.Compact():
                return pb.CompactionRequest(revision=call.revision, physical=call.physical)
        raise ValueError(call)

    def _compare(self, compare: c.Compare) -> Any:
        field = {"create": "create_revision", "mod": "mod_revision"}.get(compare.target, compare.target)
        operand: dict[str, Any] = {field: compare.value}
        return pb.Compare(
            key=compare.key,
            range_end=compare.end,
            target=c.COMPARE_TARGETS.index(compare.target),
            result={"=": 0, ">": 1, "<": 2, "!=": 3}[compare.result],
            **operand,
        )

    def _op(self, request: c.Request) -> Any:
        name = {c.Range: "range", c.Put: "put", c.Delete: "delete_range", c.Txn: "txn"}[type(request)]
        fields: dict[str, Any] = {f"request_{name}": self.request(request)}
        return pb.RequestOp(**fields)

    def answer(self, call: c.Call, response: Any, revision: int | None = None) -> c.Answer:
        """`revision`: instead of the header's, for responses that have none."""
        at = response.header.revision if revision is None else revision
        match call:
            case c.Range():
                return c.RangeAnswer(at, tuple(map(self.kv, response.kvs)), response.more, response.count)
            case c.Put():
                return c.PutAnswer(at, self.kv(response.prev_kv) if response.HasField("prev_kv") else None)
            case c.Delete():
                return c.DeleteAnswer(at, response.deleted, tuple(map(self.kv, response.prev_kvs)))
            case c.Txn():
                branch = call.success if response.succeeded else call.failure
                inner = [
                    self.answer(each, getattr(got, got.WhichOneof("response")))
                    for each, got in zip(branch, response.responses, strict=True)
                ]
                return c.TxnAnswer(at, response.succeeded, tuple(map(bare, inner)))
            case c.Grant():
                return c.GrantAnswer(at, response.ID, response.TTL)
            case c.Revoke():
                return c.RevokeAnswer(at)
            case c.TimeToLive():
                return c.TimeToLiveAnswer(
                    at, response.ID, response.TTL, response.grantedTTL, tuple(sorted(response.keys))
                )
            case c.Compact():
                return c.CompactAnswer(at)
        raise ValueError(call)

    def kv(self, kv: Any) -> c.KV:
        return c.KV(kv.key, kv.value, kv.create_revision, kv.mod_revision, kv.version, kv.lease)


def bare(answer: Any) -> c.Answer:
    """Without the revision: what stands in the headers inside a txn is no promise."""
    without: c.Answer = answer._replace(revision=None)
    return without


def mutate(rng: random.Random, answer: Any) -> Any:
    """The answer with one thing changed that matters; None where it has nothing to change."""
    choices: list[Any] = []
    if isinstance(answer, c.KV):
        for name in ("create_revision", "mod_revision", "version"):
            choices.append(answer._replace(**{name: getattr(answer, name) + rng.choice([-1, 1])}))
        choices.append(answer._replace(value=(answer.value or b"") + b"!"))
        return rng.choice(choices)
    if isinstance(answer, c.Refused):
        return c.KEY_NOT_FOUND if answer != c.KEY_NOT_FOUND else c.LEASE_NOT_FOUND
    if isinstance(answer, (c.CompactAnswer, c.TimeToLiveAnswer)):
        return None
    if answer.revision is not None:
        choices.append(answer._replace(revision=answer.revision + rng.choice([-1, 1])))
    if isinstance(answer, c.RangeAnswer):
        kvs = answer.kvs or ()
        choices.append(answer._replace(count=(answer.count or 0) + 1))
        if kvs:
            at = rng.randrange(len(kvs))
            choices.append(answer._replace(kvs=kvs[:at] + kvs[at + 1 :]))
            choices.append(answer._replace(kvs=(*kvs[:at], mutate(rng, kvs[at]), *kvs[at + 1 :])))
    elif isinstance(answer, c.PutAnswer) and answer.prev_kv is not None:
        choices += [answer._replace(prev_kv=None), answer._replace(prev_kv=mutate(rng, answer.prev_kv))]
    elif isinstance(answer, c.DeleteAnswer):
        choices.append(answer._replace(deleted=(answer.deleted or 0) + 1))
    elif isinstance(answer, c.TxnAnswer):
        inner = answer.answers or ()
        if inner:
            at = rng.randrange(len(inner))
            other = mutate(rng, inner[at])
            if other is not None:
                choices.append(answer._replace(answers=(*inner[:at], other, *inner[at + 1 :])))
    return rng.choice(choices) if choices else None


class Step(NamedTuple):
    """What really happened: one call, between two states."""

    operation: Operation
    before: State
    after: State


class Run(NamedTuple):
    operations: list[Operation]
    steps: list[Step]


def as_sent(call: c.Call, answer: Any) -> Any:
    """The model's answer as an etcd 3.7 sends it: keys only come without leases, and inner headers go."""
    if isinstance(answer, SortedAnswer):
        answer = c.RangeAnswer(answer.revision, answer.kvs, answer.more, answer.count)
    if isinstance(call, c.Range) and isinstance(answer, c.RangeAnswer) and call.keys_only:
        return answer._replace(kvs=tuple(kv._replace(lease=0) for kv in answer.kvs or ()))
    if isinstance(call, c.Txn) and isinstance(answer, c.TxnAnswer):
        branch = call.success if answer.succeeded else call.failure
        inner = zip(branch, answer.answers or (), strict=True)
        return answer._replace(answers=tuple(bare(as_sent(*each)) for each in inner))
    return answer


def goes_down(txn: c.Txn) -> bool:
    """A put that keeps something, in a txn that also deletes from a key on: etcd itself crashes there."""
    text = repr(txn)
    return "Delete(" in text and ("value=True" in text or "lease=True" in text)


@dataclass
class Served:
    """Random calls of overlapping clients on the model as the server. A call takes effect at one moment
    between its call and its return; one whose answer is lost also later, or never. Leases run out."""

    rng: random.Random
    chooser: Any
    count: int
    unknown: float
    expire: float
    state: State = field(default_factory=State)
    operations: list[Operation] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    events: list[tuple[int, int, Any]] = field(default_factory=list)
    scheduled: int = 0
    granted: Counter[int] = field(default_factory=Counter)

    def at(self, time: int, what: Any) -> None:
        self.scheduled += 1
        heapq.heappush(self.events, (time, self.scheduled, what))

    def run(self, clients: int) -> Run:
        for client in range(clients):
            self.at(self.rng.randint(0, 20), partial(self.begin, client, 0))
        while self.events:
            time, _, what = heapq.heappop(self.events)
            what(time)
        self.operations.sort(key=lambda operation: operation.call_time_ns)
        for number, operation in enumerate(self.operations):
            operation.id = number
        return Run(self.operations, self.steps)

    def begin(self, client: int, name: int, time: int) -> None:
        if len(self.operations) >= self.count:
            return
        rng, call = self.rng, self.chooser.next()
        while isinstance(call, c.Txn) and goes_down(call):
            call = self.chooser.next()
        missing, length = rng.random() < self.unknown, rng.randint(2, 60)
        outcome = Outcome.UNKNOWN if missing else Outcome.OK
        operation = Operation((client, name), call, time, time + length, outcome)
        self.operations.append(operation)
        if not missing:
            self.at(time + rng.randint(1, length - 1), partial(self.take_effect, operation))
        elif rng.random() < 0.6:
            late = rng.choice([rng.randint(1, 20), rng.randint(20, 400)])
            self.at(time + late, partial(self.take_effect, operation))
        self.at(time + length + rng.randint(1, 20), partial(self.begin, client, name + missing))

    def take_effect(self, operation: Operation, time: int) -> None:
        before, call = self.state, c.call_of(operation)
        self.state, answer = apply(before, call)
        self.chooser.revision = self.state.revision
        self.steps.append(Step(operation, before, self.state))
        if operation.is_ok:
            operation.response = as_sent(call, answer)
        if isinstance(call, c.Grant) and isinstance(answer, c.GrantAnswer):
            self.granted[call.id] += 1
            if self.rng.random() < self.expire:
                end = partial(self.end, call.id, self.granted[call.id])
                self.at(time + self.rng.randint(1, 300), end)

    def end(self, lease: int, number: int, time: int) -> None:
        if self.granted[lease] == number and self.state.lease(lease) is not None:
            operation = Operation("environment", c.Expire(lease), time, None, Outcome.UNKNOWN)
            self.take_effect(operation, time)


def serve(
    seed: int, count: int, clients: int = 4, unknown: float = 0.1, expire: float = 0.6, calls: Any = None
) -> Run:
    """A history of `count` calls, and what really happened. `calls`: who chooses them."""
    rng = random.Random(f"{seed}:served")
    chooser = calls or RandomCalls(random.Random(f"{seed}:calls"))
    return Served(rng, chooser, count, unknown, expire).run(clients)


@pytest.fixture(scope="session")
def served() -> Any:
    """(seed, count, clients, unknown, expire, calls) -> the history and what really happened."""
    return serve


ERRORS = (
    *(c.LEASE_NOT_FOUND, c.LEASE_EXISTS, c.KEY_NOT_FOUND, c.COMPACTED, c.FUTURE_REVISION),
    *(c.EMPTY_KEY, c.DUPLICATE_KEY),
)


def other_pairs(rng: random.Random, kv: c.KV, bare: bool) -> Iterator[tuple[str, c.KV]]:
    """(field, the pair with another one). `bare`: it was asked for keys only."""
    for name in ("create_revision", "mod_revision", "version"):
        other: dict[str, Any] = {name: getattr(kv, name) + rng.choice([-1, 1])}
        yield name, kv._replace(**other)
    if not bare:
        yield "value", kv._replace(value=(kv.value or b"") + b"!")
        yield "lease", kv._replace(lease=(kv.lease or 0) + 1)


def other_previous(rng: random.Random, call: Any, answer: Any) -> Iterator[Any]:
    """The answer of a put or delete with other previous pairs."""
    if isinstance(answer, c.PutAnswer):
        if answer.prev_kv is None:
            yield answer._replace(prev_kv=c.KV(call.key, b"new", 2, 2, 1, 0))
        else:
            yield answer._replace(prev_kv=None)
            yield from (answer._replace(prev_kv=kv) for _, kv in other_pairs(rng, answer.prev_kv, False))
    elif answer.prev_kvs:
        first, *rest = answer.prev_kvs
        yield answer._replace(prev_kvs=tuple(rest))
        yield from (answer._replace(prev_kvs=(kv, *rest)) for _, kv in other_pairs(rng, first, False))


def other_ranges(rng: random.Random, call: Any, answer: c.RangeAnswer) -> Iterator[tuple[str, Any]]:
    kvs, count = answer.kvs or (), answer.count or 0
    yield "count", answer._replace(count=count + rng.choice([-1, 1]))
    yield "more", answer._replace(more=not answer.more)
    if kvs:
        at = rng.randrange(len(kvs))
        yield "a missing pair", answer._replace(kvs=kvs[:at] + kvs[at + 1 :], count=count - 1)
        for name, kv in other_pairs(rng, kvs[at], call.keys_only):
            yield name, answer._replace(kvs=(*kvs[:at], kv, *kvs[at + 1 :]))
    if not call.count_only:
        extra = c.KV(call.key + b"0", b"" if call.keys_only else b"new", 2, 2, 1, 0)
        yield "a pair too many", answer._replace(kvs=(*kvs, extra), count=count + 1)
    if len(kvs) > 1 and call.sort_target == "key":
        yield "the order", answer._replace(kvs=kvs[::-1])


def alter(rng: random.Random, call: Any, answer: Any) -> Iterator[tuple[str, Any]]:
    """(what is altered, the answer so altered), once for every field that is judged."""
    if isinstance(answer, c.Refused):
        yield "another error", rng.choice([error for error in ERRORS if error != answer])
        return
    yield "an error instead", rng.choice(ERRORS)
    if answer.revision is not None and not isinstance(answer, c.CompactAnswer):
        yield "revision", answer._replace(revision=answer.revision + rng.choice([-1, 1]))
    match answer:
        case c.RangeAnswer():
            yield from other_ranges(rng, call, answer)
        case c.PutAnswer():
            yield from (("prev_kv", other) for other in other_previous(rng, call, answer))
        case c.DeleteAnswer():
            yield "deleted", answer._replace(deleted=(answer.deleted or 0) + 1)
            if answer.deleted:
                yield "deleted", answer._replace(deleted=answer.deleted - 1)
            yield from (("prev_kv", other) for other in other_previous(rng, call, answer))
        case c.TxnAnswer():
            yield "succeeded", answer._replace(succeeded=not answer.succeeded, answers=None)
            inner = answer.answers or ()
            if inner:
                at = rng.randrange(len(inner))
                request = (call.success if answer.succeeded else call.failure)[at]
                for name, other in alter(rng, request, inner[at]):
                    if name not in ("an error instead", "revision"):
                        yield name, answer._replace(answers=(*inner[:at], other, *inner[at + 1 :]))
        case c.GrantAnswer():
            yield "ttl", answer._replace(ttl=call.ttl - 1)
            yield "lease id", answer._replace(id=answer.id + 1)


FITTING: dict[str, set[str]] = {
    "another error": {WRONG_REFUSAL},
    "an error instead": {WRONG_REFUSAL, WRONG_ANSWER},
    "revision": {STALE_READ, REUSED, WENT_BACK, FUTURE_READ, LOST_WRITE, PHANTOM_WRITE, WRONG_ANSWER},
    "count": {WRONG_ANSWER},
    "more": {WRONG_ANSWER},
    "a missing pair": {LOST_WRITE},
    "a pair too many": {PHANTOM_WRITE, REUSED, FUTURE_READ},
    "the order": {WRONG_ANSWER},
    "create_revision": {WRONG_REVISION},
    "mod_revision": {WRONG_REVISION, FUTURE_READ},
    "version": {APPLIED_TWICE, LOST_WRITE},
    "value": {PHANTOM_WRITE},
    "lease": {WRONG_ANSWER},
    "prev_kv": {WRONG_ANSWER, LOST_WRITE},
    "deleted": {WRONG_ANSWER, REUSED},
    "succeeded": {LOST_UPDATE, WRONG_REFUSAL, WRONG_ANSWER},
    "ttl": {WRONG_ANSWER},
    "lease id": {WRONG_ANSWER},
}
"""The labels that say what was done. An altered revision may take that of another one, or leave a gap."""

POSSIBLE = {"revision", "an error instead", "another error", "deleted", "succeeded"}
"""Of operations at one time, one may as well have seen the revision before; a lease may have run out, so that
a refusal is right, or a revision somebody else's. Nothing makes the content of a read another one."""


@pytest.fixture(scope="session")
def fitting() -> dict[str, set[str]]:
    """By what was altered: the labels that fit."""
    return FITTING


@pytest.fixture(scope="session")
def possible() -> set[str]:
    """What may turn out to be possible all the same, with an order for a proof."""
    return POSSIBLE


@pytest.fixture(scope="session")
def altered() -> Any:
    """(rng, call, answer) -> every (what is altered, answer)."""
    return alter


@pytest.fixture(scope="session")
def wire() -> Wire:
    return Wire()


@pytest.fixture(scope="session")
def random_calls() -> type[RandomCalls]:
    return RandomCalls


@pytest.fixture(scope="session")
def mutated() -> Any:
    """(rng, answer) -> an answer that etcd would not have given, or None."""
    return mutate


def in_turn(pairs: list[tuple[c.Call, c.Answer]]) -> list[Operation]:
    """Operations one after the other."""
    return [
        Operation(0, call, 10 * position, 10 * position + 5, response=answer, id=position)
        for position, (call, answer) in enumerate(pairs)
    ]


@pytest.fixture(scope="session")
def sequential() -> Any:
    return in_turn
