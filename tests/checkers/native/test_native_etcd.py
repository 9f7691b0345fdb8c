"""The revision witness of the native kernel: it is never surer than the Python one."""

from __future__ import annotations

import importlib.util
import random
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from gauntlet.checkers.etcd import calls as c
from gauntlet.checkers.etcd.decide import decide
from gauntlet.checkers.etcd.native import WORDS, witnessed
from gauntlet.checkers.etcd.replay import certify
from gauntlet.checkers.etcd.witness import arrange
from porcupine import KernelError, Operation, Outcome, Verdict
from porcupine.kernel import VARIABLE, choose

SOURCE = Path(__file__).parents[3] / "benchmarks" / "histories.py"


@pytest.fixture(scope="module")
def native() -> Any:
    try:
        return choose("native").native
    except KernelError as error:
        pytest.skip(str(error))


@pytest.fixture(autouse=True)
def chosen(native: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "native")


@pytest.fixture(scope="module")
def histories() -> Any:
    """The generator that the benchmarks use."""
    specification = importlib.util.spec_from_file_location("native_histories", SOURCE)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module  # dataclasses look themselves up there
    specification.loader.exec_module(module)
    return module


Make = Callable[..., list[Operation]]


@pytest.fixture(scope="module")
def plain(histories: Any) -> Make:
    def make(seed: int, count: int, clients: int = 20, keys: int = 30) -> list[Operation]:
        made: list[Operation] = histories.generate(seed, count, clients, keys, histories.Mix.plain())
        return made

    return make


def in_python(operations: list[Operation], monkeypatch: pytest.MonkeyPatch) -> Verdict:
    monkeypatch.setenv(VARIABLE, "python")
    verdict = decide(operations).verdict
    monkeypatch.setenv(VARIABLE, "native")
    return verdict


@pytest.mark.parametrize("seed", range(3))
def test_its_order_is_certified_by_python(seed: int, plain: Make) -> None:
    operations = plain(seed, 4000)
    operations.append(replace(operations[-1], outcome=Outcome.FAILED, response=None, client="failed"))
    found = witnessed(operations)
    assert found is not None
    order, writes = found
    assert certify(operations, order) is None
    assert writes == arrange(operations).writes
    judgement = decide(operations)
    assert judgement.verdict is Verdict.VALID
    assert judgement.order == order
    assert len(judgement.operations) == len(operations)


def altered(rng: random.Random, operation: Operation, others: list[Operation]) -> Operation:
    """Another answer, or other times; now and then what any answer agrees with."""
    answer: Any = operation.response
    called, returned = operation.call_time_ns, operation.return_time_ns
    assert returned is not None
    draw = rng.random()
    if draw < 0.15:
        later = rng.randint(1, 3_000_000)
        return replace(operation, call_time_ns=called + later, return_time_ns=returned + later)
    if draw < 0.35:
        return replace(operation, response=answer._replace(revision=answer.revision + rng.choice([-1, 1])))
    if draw < 0.45:
        return replace(operation, response=rng.choice(others).response)
    if draw < 0.5:
        return replace(operation, outcome=Outcome.UNKNOWN, response=None)
    if isinstance(answer, c.DeleteAnswer):
        return replace(operation, response=answer._replace(deleted=1 - (answer.deleted or 0)))
    if isinstance(answer, c.PutAnswer):
        return replace(operation, call=operation.call._replace(value=b"another"))  # type: ignore[attr-defined]  # a Put
    if isinstance(answer, c.TxnAnswer):
        if draw < 0.7:
            return replace(operation, response=answer._replace(succeeded=not answer.succeeded))
        inner = tuple(spoiled(rng, each) for each in answer.answers or ())
        return replace(operation, response=answer._replace(answers=inner))
    return replace(operation, response=spoiled(rng, answer))


def spoiled(rng: random.Random, answer: Any) -> Any:
    if not isinstance(answer, c.RangeAnswer):
        return answer
    if not answer.kvs:
        pair = c.KV(b"/bench/000001", b"phantom", 2, 2, 1, 0)
        return answer._replace(kvs=rng.choice([None, (pair,)]), count=None)
    if rng.random() < 0.2:
        return answer._replace(**rng.choice([{"kvs": (), "count": 0}, {"count": 2}, {"more": True}]))
    pair: Any = answer.kvs[0]
    field = rng.choice(c.KV._fields[1:])
    held = getattr(pair, field)
    wrong = rng.choice([None, b"other" if field == "value" else held + rng.choice([-1, 1])])
    return answer._replace(kvs=(pair._replace(**{field: wrong}),))


def test_it_is_never_surer_than_python(plain: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random("altered etcd histories")
    seen: Counter[tuple[bool, str]] = Counter()
    for number in range(400):
        operations = plain(number, rng.randint(3, 60), rng.randint(1, 6), rng.randint(1, 4))
        victim = rng.randrange(len(operations))
        operations[victim] = altered(rng, operations[victim], operations)
        operations.sort(key=lambda operation: operation.call_time_ns)
        found = witnessed(operations)
        verdict = in_python(operations, monkeypatch)
        seen[found is not None, verdict.value] += 1
        if found is not None:
            assert certify(operations, found[0]) is None, f"history {number}"
            assert verdict is Verdict.VALID, f"history {number}"
    assert seen[False, "invalid"] > 50, seen
    assert seen[True, "valid"] > 50, seen


def test_its_verifier_refuses_bad_orders(native: Any, plain: Make) -> None:
    operations = plain(5, 300, keys=3)
    columns = native.EtcdColumns(operations, WORDS)
    found = columns.witness()
    assert found is not None
    place = {id(operation): at for at, operation in enumerate(operations)}
    order = [place[id(operation)] for operation in found[0]]
    assert columns.certify(order) is None
    assert columns.certify(order[:-1]) == "an operation is not placed"
    assert columns.certify([*order[:-1], order[0]]) == "an operation is placed twice"
    assert columns.certify([*order, len(order)]) == "an operation is placed that does not exist"
    assert "later one had returned" in columns.certify([*order[1:], order[0]])
    refused: Counter[str] = Counter()
    writes = [at for at, number in enumerate(order) if isinstance(operations[number].call, c.Put)]
    for one, other in pairwise(writes):
        swapped = list(order)
        swapped[one], swapped[other] = swapped[other], swapped[one]
        reason = columns.certify(swapped)
        assert reason is not None
        assert certify(operations, [operations[number] for number in swapped]) is not None
        refused["another answer" if "another answer" in reason else "time"] += 1
    assert min(refused["another answer"], refused["time"]) > 0, refused


def test_what_is_not_plain_is_left_to_python(native: Any, histories: Any, plain: Make) -> None:
    operations = histories.generate(3, 2000, 10, 30)
    assert witnessed(operations) is None
    assert decide(operations).verdict is Verdict.VALID
    ranged = c.Range(b"/bench/000000", b"/bench/9")
    for call, answer in (
        (ranged, c.RangeAnswer(1, (), False, 0)),
        (c.Range(b"a", serializable=True), c.RangeAnswer(1, (), False, 0)),
        (c.Range(b"a", revision=1), c.RangeAnswer(1, (), False, 0)),
        (c.Put(b"a", b"b", lease=1), c.PutAnswer(2)),
        (c.Put(b"", b"b"), c.PutAnswer(2)),
        (c.Put(b"a", b"b"), c.PutAnswer(None)),
        (c.Put(b"a", b"b"), c.PutAnswer(2, c.KV(b"a", b"", 1, 1, 1, 0))),
        (c.Delete(b"a", prev_kv=True), c.DeleteAnswer(1, 0, ())),
        (c.Txn((c.Compare(b"a", "version", "=", 0),)), c.TxnAnswer(1, True, ())),
        (c.Txn((c.Compare(b"a", "mod", ">", 0),)), c.TxnAnswer(1, False, ())),
        (c.Txn((), (c.Put(b"a", b"b"), c.Range(b"a"))), c.TxnAnswer(2, True, (c.PutAnswer(2),))),
        (c.Txn((), (c.Txn(),)), c.TxnAnswer(1, True, (c.TxnAnswer(1, True, ()),))),
        (c.Compact(1), c.CompactAnswer(1)),
        (c.Range(b"a"), c.COMPACTED),
    ):
        with pytest.raises(NotImplementedError):
            native.EtcdColumns([Operation(0, call, 0, 1, response=answer)], WORDS)
    with pytest.raises(NotImplementedError):
        native.EtcdColumns(plain(1, 10)[::-1], WORDS)


def test_unknown_writes_are_left_out_or_left_to_python(plain: Make) -> None:
    operations = plain(8, 200)
    lost = Operation("lost", c.Put(b"nobody reads it", b"x"), 0, None, Outcome.UNKNOWN)
    found = witnessed([lost, *operations])
    assert found is not None
    assert lost not in found[0]
    effective = next(at for at, each in enumerate(operations) if isinstance(each.call, c.Put))
    operations[effective] = replace(operations[effective], outcome=Outcome.UNKNOWN, response=None)
    assert witnessed(operations) is None
    assert decide(operations).verdict is Verdict.VALID
