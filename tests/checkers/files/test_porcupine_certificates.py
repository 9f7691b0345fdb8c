"""Certificates: every verdict's evidence passes its judge, and evidence that was touched does not. And the
shrinking of sets, queues and counters that contradictions rest on."""

from __future__ import annotations

import itertools
import json
import random
from typing import Any

import pytest
from porcupine import certificate
from porcupine.checking import check
from porcupine.exhaustive import has_order
from porcupine.history import History, Operation, Outcome
from porcupine.model import Model
from porcupine.models import Counter, Kv, Queue, Register, Set
from porcupine.verify import CertificateError

Calls = list[tuple[tuple[Any, ...], Any]]


def one_by_one(calls: Calls) -> History:
    return History(
        Operation(number % 3, call, 10 * number, 10 * number + 5, Outcome.OK, answer, number)
        for number, (call, answer) in enumerate(calls)
    )


def written(history: History, model: Model[Any]) -> tuple[str, list[str]]:
    result = check(history, model)
    return result.verdict.value, [json.dumps(line) for line in certificate.lines(result, model.name)]


SWAPPED: Calls = [(("enqueue", number), None) for number in range(60)]
SWAPPED += [(("dequeue",), number) for number in (*range(40), 41, 40, *range(42, 60))]
LOST: Calls = [(("add", number), None) for number in range(60)]
LOST += [(("read",), frozenset(range(60)) - {17})]
SHORT: Calls = [(("add", 2), None)] * 60 + [(("get",), 120), (("add", 5), None), (("get",), 124)]
CASES: list[tuple[Model[Any], Calls, int]] = [(Queue(), SWAPPED, 3), (Set(), LOST, 2), (Counter(), SHORT, 2)]


@pytest.mark.parametrize(("model", "calls", "most"), CASES, ids=["queue", "set", "counter"])
def test_a_long_failure_comes_down_to_a_few_operations(model: Model[Any], calls: Calls, most: int) -> None:
    history = one_by_one(calls)
    result = check(history, model)
    assert result.verdict == "invalid"
    explanation = result.explanation
    assert explanation is not None
    assert 0 < len(explanation.shrunk) <= most
    assert explanation.confirmed == "every order tried"
    assert all(operation in list(history) for operation in explanation.shrunk), "named as recorded"
    verdict, lines = written(history, model)
    assert certificate.recheck(lines, history, model)[0] == verdict == "invalid"


def test_a_counter_is_explained_in_what_was_recorded() -> None:
    explanation = check(one_by_one(SHORT), Counter()).explanation
    assert explanation is not None
    told = {(each.description, each.expected, each.got) for each in explanation.expectations}
    assert ("get() -> 124", "125", "124") in told


@pytest.mark.parametrize("model", [Queue(), Set(), Counter()], ids=["queue", "set", "counter"])
def test_leaving_out_invents_no_failure(model: Model[Any]) -> None:
    """Small random histories: what has an order still has one when any operations go."""
    kept_valid = 0
    for seed in range(400):
        rng = random.Random(f"{model.name}:{seed}")
        operations = _random_history(model, rng)
        if not has_order(operations, model):
            continue
        for size in (1, 2):
            for chunk in itertools.combinations(operations, size):
                staying = model.without(operations, list(chunk))
                assert staying is not None
                kept = [given for _, given in staying]
                assert has_order(kept, model), f"seed {seed}: {chunk} cannot go from {operations}"
                kept_valid += len(kept) < len(operations)
    assert kept_valid > 200, "nothing was left out"


def _random_history(model: Model[Any], rng: random.Random) -> list[Operation]:
    """Carried out one by one at a moment within each operation; sometimes an answer is bent afterwards."""
    spans = sorted((start := rng.randint(0, 20), start + rng.randint(1, 8)) for _ in range(rng.randint(3, 6)))
    state = model.init()
    operations: list[tuple[int, Operation]] = []
    calls: dict[str, list[tuple[Any, ...]]] = {
        "queue": [("enqueue", 1), ("enqueue", 2), ("enqueue", 3), ("dequeue",), ("dequeue",)],
        "set": [("add", 1), ("add", 2), ("remove", 1), ("contains", 2), ("read",)],
        "counter": [("add", 1), ("add", 3), ("add", -2), ("get",), ("get",)],
    }
    for client, (start, end) in enumerate(spans):
        outcome = Outcome.UNKNOWN if rng.random() < 0.15 else Outcome.OK
        call = rng.choice(calls[model.name])
        operations.append(
            (rng.randint(start, end), Operation(client, call, start, end, outcome, None, client))
        )
    for _, operation in sorted(operations, key=lambda pair: pair[0]):
        name = operation.call[0] if isinstance(operation.call, tuple) else ""
        answers: dict[str, Any] = {
            "dequeue": state[0] if name == "dequeue" and state else None,
            "contains": name == "contains" and operation.call[1] in state,  # type: ignore[index]  # a tuple
            "read": state,
            "get": state,
        }
        operation.response = answers.get(str(name)) if operation.is_ok else None
        if operation.is_ok or rng.random() < 0.5:
            state = model.step(state, operation)
    return [operation for _, operation in operations]


def kv_history() -> History:
    calls: Calls = [(("put", "a", "1"), None), (("put", "b", "2"), None), (("append", "a", "x"), None)]
    return one_by_one([*calls, (("get", "a"), "1x"), (("get", "b"), "2")])


def test_an_order_is_accepted_and_a_touched_one_is_not() -> None:
    history = kv_history()
    verdict, lines = written(history, Kv())
    assert verdict == "valid"
    assert certificate.recheck(lines, history, Kv())[0] == "valid"
    for number, line in enumerate(lines):
        record = json.loads(line)
        if len(record.get("order", ())) > 1:
            record["order"].reverse()
            with pytest.raises(CertificateError):
                certificate.recheck(
                    [*lines[:number], json.dumps(record), *lines[number + 1 :]], history, Kv()
                )
            with pytest.raises(CertificateError, match="not placed"):
                certificate.recheck([*lines[:number], *lines[number + 1 :]], history, Kv())


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([], "not a certificate"),
        (['{"certificate": "order", "model": "queue"}'], "for the model queue"),
        (['{"certificate": "contradiction", "model": "register"}'], "one part"),
        (
            [
                '{"certificate": "contradiction", "model": "register"}',
                '{"part": "", "operation": 0, "as": "recorded"}',
            ],
            "do not contradict",
        ),
        (
            [
                '{"certificate": "contradiction", "model": "register"}',
                '{"part": "", "operation": 9, "as": "recorded"}',
            ],
            "no operation 9",
        ),
        (
            [
                '{"certificate": "contradiction", "model": "register"}',
                '{"part": "", "operation": 0, "as": "x"}',
            ],
            "cannot be taken as 'x'",
        ),
    ],
)
def test_what_proves_nothing_is_refused(lines: list[str], reason: str) -> None:
    history = one_by_one([(("write", 1), None), (("read",), 1)])
    with pytest.raises(CertificateError, match=reason):
        certificate.recheck(lines, history, Register())


def test_unknown_has_no_certificate() -> None:
    from porcupine.search import Budget

    history = History(
        Operation(number, ("enqueue", number), 0, 100, Outcome.OK, None, number) for number in range(8)
    )
    reads = [Operation(9, ("dequeue",), 200, 210, Outcome.OK, 99, 99)]
    result = check([*history, *reads], Queue(), budget=Budget(configurations=5))
    assert result.verdict == "unknown"
    with pytest.raises(ValueError, match="unknown verdict"):
        list(certificate.lines(result, "queue"))
    assert certificate.summary(result)["kind"] == "none"
