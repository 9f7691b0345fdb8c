"""The one-pass checkers, and the search behind those that are not exact, against trying every order."""

from __future__ import annotations

import os
import random
from collections import Counter as Tally
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from gauntlet.checkers.counter import check_counters
from gauntlet.checkers.objects import NO_ORDER
from gauntlet.checkers.queue import check_queues
from gauntlet.checkers.records import Run
from gauntlet.checkers.sets import check_sets
from porcupine import History, Model, Operation, Outcome, Rejected, Verdict
from porcupine.models import Counter, Queue, Set

RUNS = int(os.environ.get("GAUNTLET_OBJECT_RUNS", "2000"))
Draw = tuple[tuple[Any, ...], Any]


def explainable(operations: Sequence[Operation], model: Model[Any]) -> bool:
    """Tries every order that real time allows."""
    needed = [each for each in operations if each.is_ok]
    everything = needed + [each for each in operations if each.is_unknown]
    seen: set[tuple[int, Any]] = set()

    def go(placed: int, state: Any) -> bool:
        ends = [each.return_time_ns for n, each in enumerate(needed) if not placed >> n & 1]
        waiting = [end for end in ends if end is not None]
        if not waiting:
            return True
        if (placed, state) in seen:
            return False
        seen.add((placed, state))
        for number, operation in enumerate(everything):
            if placed >> number & 1 or operation.call_time_ns > min(waiting):
                continue
            after = model.step(state, operation)
            if not isinstance(after, Rejected) and go(placed | 1 << number, after):
                return True
        return False

    return go(0, model.init())


class Maker:
    """Histories of an object that is right, except where it lies: each answer may be replaced."""

    def __init__(self, seed: str, clean: bool, unique: bool) -> None:
        self.rng = random.Random(seed)
        self.clean = clean  # nothing of unknown outcome, nothing failed
        self.unique = unique
        self.lies = self.rng.choice([0.0, 0.15, 0.5])
        self.count = self.rng.randint(2, 9)

    def element(self, number: int) -> int:
        return number if self.unique else self.rng.randint(0, 2)

    def history(self, model: Model[Any], draw: Callable[[Maker, int, Any], Draw]) -> list[Operation]:
        rng, state = self.rng, model.init()
        clients = rng.randint(1, 4)
        free = dict.fromkeys(range(clients), 0)
        width = rng.choice([2, 6, 12])
        spans = []
        for number in range(self.count):
            client = rng.choice(list(free))
            called = free[client] + rng.randint(0, 3)
            returned = called + rng.randint(0, width)
            free[client] = returned
            spans.append((rng.uniform(called, returned), number, client, called, returned))
        operations = []
        for _, number, client, called, returned in sorted(spans):
            chance = rng.random()
            outcome = Outcome.OK
            if not self.clean and chance < 0.25:
                outcome = Outcome.UNKNOWN if chance < 0.2 else Outcome.FAILED
            call, answer = draw(self, number, state)
            ok = Operation(client, call, called, returned, outcome, answer if outcome is Outcome.OK else None)
            honest = Operation(client, call, called, returned, Outcome.UNKNOWN)
            if outcome is Outcome.OK or (outcome is Outcome.UNKNOWN and rng.random() < 0.5):
                state = model.step(state, honest)
            operations.append(ok)
        return operations


def sets(made: Maker, number: int, state: Any) -> Draw:
    rng = made.rng
    if rng.random() < 0.5:
        return ("add", made.element(number)), None
    answer = state
    if rng.random() < made.lies:
        answer = frozenset(each for each in range(made.count) if rng.random() < 0.4)
    return ("read",), answer


def members(made: Maker, number: int, state: Any) -> Draw:
    """Adds, removes that may tell, questions for one element, and reads of all, on few elements."""
    rng, element = made.rng, made.rng.randrange(3)
    kind, lies = rng.random(), rng.random() < made.lies
    there = (element in state) != lies
    if kind < 0.35:
        return ("add", element), None
    if kind < 0.6:
        return ("remove", element), there if rng.random() < 0.5 else None
    if kind < 0.8:
        return ("contains", element), there
    return ("read",), frozenset(rng.sample(range(3), rng.randint(0, 2))) if lies else state


def counters(made: Maker, number: int, state: Any) -> Draw:
    rng = made.rng
    if rng.random() < 0.5:
        amount = rng.choice([1, 2] if made.unique else [-2, -1, 1, 3])
        answer = None if rng.random() < 0.6 else state + amount
        if answer is not None and rng.random() < made.lies:
            answer += rng.choice([-1, 1, 2])
        return ("add", amount), answer
    return ("get",), state + (rng.choice([-2, -1, 1, 2]) if rng.random() < made.lies else 0)


def queues(made: Maker, number: int, state: Any) -> Draw:
    rng = made.rng
    if rng.random() < 0.5:
        return ("enqueue", made.element(number)), None
    answer = state[0] if state else None
    if rng.random() < made.lies:
        answer = rng.choice([None, *state, rng.randrange(made.count)])
    return ("dequeue",), answer


KINDS: dict[str, tuple[Any, Callable[[], Model[Any]], Callable[[Maker, int, Any], Draw]]] = {
    "set": (check_sets, Set, sets),
    "members": (check_sets, Set, members),
    "counter": (check_counters, Counter, counters),
    "queue": (check_queues, Queue, queues),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_verdict_is_that_of_trying_every_order(kind: str) -> None:
    check, model, draw = KINDS[kind]
    seen: Tally[tuple[bool, bool]] = Tally()
    searched = 0
    for seed in range(RUNS):
        made = Maker(f"{seed}:{kind}", clean=seed % 2 == 0, unique=seed % 4 < 2)
        operations = made.history(model(), draw)
        possible = explainable(operations, model())
        result = check(Run(History(operations)))
        refuted = result.verdict is Verdict.INVALID
        assert refuted != possible, (seed, result.explanation, operations)
        searched += refuted and NO_ORDER in result.details["labels"]
        seen[refuted, possible] += 1
    print(f"{kind}: {dict(seen)}, refuted by search alone: {searched}")
    assert seen[True, False] > RUNS / 20
    assert seen[False, True] > RUNS / 20
    assert kind in ("set", "queue") or searched
