"""Generated histories, random calls, and the same calls as etcd's own messages."""

from __future__ import annotations

import importlib.util
import random
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.checkers.etcd import calls as c
from porcupine.history import Operation

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
