"""The search against a checker that tries every order, on seeded random histories of all models.

`GAUNTLET_FUZZ` sets how many histories each model gets (default 400); 125000 make a million in all.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from porcupine import LastWriter, Model, OneOf, Operation, Outcome, Reductions, Rejected, Verdict, check
from porcupine.models import (
    CasRegister,
    Counter,
    FencedMutex,
    Kv,
    KvWhole,
    Mutex,
    Queue,
    Register,
    Set,
)
from porcupine.search import search
from porcupine.shrink import Shrinker
from porcupine.verify import verify

HISTORIES = int(os.environ.get("GAUNTLET_FUZZ", "400"))
ALL_OFF = Reductions(no_effect=False, interchangeable=False, pool=False, tighten=False)

Draw = tuple[tuple[Any, ...], Any]
Make = Callable[[random.Random, bool, int, int], Draw]


class Dice(Model[int]):
    """Non-deterministic: a roll leaves 1 or 2 more, nobody is told how many; two rolls of 3 are a third."""

    name = "dice"

    def init(self) -> int:
        return 0

    def step(self, state: int, operation: Operation) -> int | OneOf[int] | Rejected:
        if operation.call == ("roll",):
            return OneOf([state + 1, state + 2])
        if operation.is_unknown or operation.response == state:
            return state
        return Rejected("another sum", state, operation.response)

    def is_read(self, operation: Operation) -> bool:
        return operation.call == ("look",)


def explainable(operations: Sequence[Operation], model: Model[Any]) -> bool:
    """Is there an order? Tries all: no windows, no intervals, no knowledge of the model."""
    needed = [operation for operation in operations if operation.is_ok]
    everything = needed + [operation for operation in operations if operation.is_unknown]
    seen: set[tuple[int, Any]] = set()

    def go(placed: int, state: Any) -> bool:
        waiting = [each.return_time_ns for n, each in enumerate(needed) if not placed >> n & 1]
        if not waiting:
            return True
        if (placed, state) in seen:
            return False
        seen.add((placed, state))
        for number, operation in enumerate(everything):
            if placed >> number & 1 or operation.call_time_ns > min(waiting):
                continue
            answer = model.step(state, operation)
            if isinstance(answer, Rejected):
                continue
            following = answer.states if isinstance(answer, OneOf) else (answer,)
            if any(go(placed | 1 << number, after) for after in following):
                return True
        return False

    return go(0, model.init())


def history(rng: random.Random, make: Make) -> list[Operation]:
    """One to nine operations of up to four clients; unknown ones end their client, as in a real run."""
    count, clients = rng.randint(1, 9), rng.randint(1, 4)
    unique = rng.random() < 0.5
    names, free = list(range(clients)), dict.fromkeys(range(clients), 0)
    operations = []
    for number in range(count):
        slot = rng.randrange(clients)
        client = names[slot]
        called = free[client] + rng.randint(0, 3)
        returned: int | None = called + rng.randint(0, 6)
        draw = rng.random()
        outcome = Outcome.UNKNOWN if draw < 0.15 else Outcome.FAILED if draw < 0.2 else Outcome.OK
        free[client] = called + 6 if returned is None else returned
        call, response = make(rng, unique, number, count)
        if outcome is Outcome.UNKNOWN:
            names[slot] = len(free)
            free[names[slot]] = called
            returned = rng.choice([None, returned])
        answered = response if outcome is Outcome.OK else None
        operations.append(Operation(client, call, called, returned, outcome, answered))
    return operations


def _value(rng: random.Random, unique: bool, number: int) -> int:
    return number if unique else rng.randint(0, 2)


def _seen(rng: random.Random, unique: bool, count: int) -> int | None:
    return rng.choice([None, *range(count if unique else 3)])


def register(rng: random.Random, unique: bool, number: int, count: int) -> Draw:
    if rng.random() < 0.5:
        return ("write", _value(rng, unique, number)), None
    return ("read",), _seen(rng, unique, count)


def cas_register(rng: random.Random, unique: bool, number: int, count: int) -> Draw:
    if rng.random() < 0.4:
        return register(rng, unique, number, count)
    return ("cas", _seen(rng, unique, count), _value(rng, unique, number)), rng.random() < 0.6


def kv(rng: random.Random, unique: bool, number: int, count: int) -> Draw:
    draw = rng.random()
    key = rng.choice("kkkl")
    if not unique:
        if draw < 0.5:
            return ("append" if draw < 0.4 else "put", key, str(number % 2)), None
        return ("get", key), "".join(rng.choices("012", k=rng.randint(0, 2)))
    if draw < 0.5:
        letter = number if rng.random() < 0.8 else rng.randrange(count)
        return ("append" if draw < 0.4 else "put", key, chr(97 + letter)), None
    order = sorted(range(count), key=lambda each: each + 2 * rng.random())
    return ("get", key), "".join(chr(97 + each) for each in order if rng.random() < 2 / count)


def counter(rng: random.Random, _unique: bool, _number: int, _count: int) -> Draw:
    if rng.random() < 0.6:
        return ("add", rng.randint(1, 2)), rng.choice([None, None, rng.randint(1, 5)])
    return ("get",), rng.randint(0, 5)


def elements(rng: random.Random, _unique: bool, _number: int, _count: int) -> Draw:
    element = rng.randint(0, 2)
    return rng.choice(
        [
            (("add", element), None),
            (("remove", element), rng.choice([None, True, False])),
            (("contains", element), rng.random() < 0.5),
            (("read",), frozenset(each for each in range(3) if rng.random() < 0.5)),
        ]
    )


def queue(rng: random.Random, unique: bool, number: int, count: int) -> Draw:
    if rng.random() < 0.5:
        return ("enqueue", _value(rng, unique, number)), None
    return ("dequeue",), _seen(rng, unique, count)


def mutex(rng: random.Random, _unique: bool, _number: int, _count: int) -> Draw:
    return rng.choice([(("acquire",), None), (("release",), None)])


def fenced(rng: random.Random, _unique: bool, _number: int, count: int) -> Draw:
    return rng.choice([(("acquire",), rng.randint(1, count)), (("release",), None)])


def dice(rng: random.Random, _unique: bool, _number: int, _count: int) -> Draw:
    return rng.choice([(("roll",), None), (("look",), rng.randint(0, 5))])


MODELS: list[tuple[Model[Any], Make]] = [
    (Register(), register),
    (CasRegister(), cas_register),
    (Kv(), kv),
    (KvWhole(), kv),
    (Counter(), counter),
    (Set(), elements),
    (Queue(), queue),
    (Mutex(), mutex),
    (FencedMutex(), fenced),
    (Dice(), dice),
]


@pytest.mark.parametrize(("model", "make"), MODELS, ids=[model.name for model, _ in MODELS])
def test_search_agrees_with_trying_every_order(model: Model[Any], make: Make) -> None:
    rng = random.Random(f"fuzz:{model.name}")
    verdicts = {True: 0, False: 0}
    for number in range(HISTORIES):
        operations = history(rng, make)
        some = Reductions(*(rng.random() < 0.5 for _ in range(4)))
        expected = True
        for key, part in model.partition(operations).items():
            possible = explainable(part, model)
            expected = expected and possible
            learned = model.for_part(part)
            for reductions in (Reductions(), ALL_OFF, some):
                found = search(part, learned, reductions)
                assert (found.verdict is Verdict.VALID) == possible, (number, key, reductions, operations)
                if possible:
                    verify(part, found.order, model)
        verdicts[expected] += 1
        result = check(operations, model)
        assert (result.verdict is Verdict.VALID) == expected
        if not expected:
            _is_explained(result, model)
    assert min(verdicts.values()) > HISTORIES // 20, "the generator makes histories of one kind only"


def _is_explained(result: Any, model: Model[Any]) -> None:
    explanation = result.explanation
    assert explanation.label
    assert explanation.text
    part = result.failed[0]
    if part.shrunk is not None:
        assert not explainable(part.shrunk.operations, model), "the shrunk history does not fail"
        assert not explainable(part.shrunk.checked, model), "it fails only as recorded"
        assert len(part.shrunk.operations) <= len(part.operations)
    if isinstance(part.model, LastWriter):
        assert part.shrunk is not None


@pytest.mark.parametrize("switch", ["no_effect", "interchangeable", "pool", "tighten"])
def test_every_reduction_saves_work(switch: str) -> None:
    """A reduction that does nothing would pass the test above."""
    rng = random.Random(f"saves:{switch}")
    with_it = without = 0
    for _ in range(300):
        operations = history(rng, cas_register)
        with_it += search(operations, CasRegister()).stats.configurations
        without += search(operations, CasRegister(), Reductions(**{switch: False})).stats.configurations
    assert with_it < without


@pytest.mark.parametrize(("model", "make"), MODELS, ids=[model.name for model, _ in MODELS])
def test_shrinking_never_invents_a_failure(model: Model[Any], make: Make) -> None:
    """Every step of the shrinker, taken on a good history, leaves a good history."""
    rng = random.Random(f"steps:{model.name}")
    taken = 0
    for _ in range(HISTORIES):
        for part in model.partition(history(rng, make)).values():
            known = [operation for operation in part if operation.outcome is not Outcome.FAILED]
            if not known or not explainable(known, model):
                continue
            shrinker = Shrinker(known, model)
            smaller = shrinker._without(known, rng.sample(known, rng.randint(1, len(known))))
            cut = shrinker._until(rng.randint(0, 20))
            learned = model.for_part(known)
            weaker = list(known)
            if isinstance(learned, LastWriter):
                weaker = [shrinker._weaker(operation, learned) for operation in known]
            for candidate in (smaller or [], cut, weaker):
                taken += candidate != known
                assert explainable(candidate, model), (known, candidate)
    assert taken > HISTORIES // 10
