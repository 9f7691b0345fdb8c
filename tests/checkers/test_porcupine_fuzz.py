"""The search against a checker that tries every order, on seeded random histories of all models.

`GAUNTLET_FUZZ` sets how many histories each model gets (default 400), `PORCUPINE_KERNEL` the kernel. The test
marked campaign takes a million with each kernel, in as many processes as `GAUNTLET_FUZZ_JOBS` says (default
2); `GAUNTLET_FUZZ_SEED` gives it other histories; every `GAUNTLET_FUZZ_THOROUGH`-th (default 10) is judged in
every way there is.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import random
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from porcupine import LastWriter, Model, OneOf, Operation, Outcome, Reductions, Rejected, Verdict, check
from porcupine.exhaustive import has_order
from porcupine.kernel import choose
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

pytestmark = pytest.mark.usefixtures("kernel")

HISTORIES = int(os.environ.get("GAUNTLET_FUZZ", "400"))
MILLION = int(os.environ.get("GAUNTLET_FUZZ_MILLION", "1000000"))
JOBS = int(os.environ.get("GAUNTLET_FUZZ_JOBS", "2"))
SEED = os.environ.get("GAUNTLET_FUZZ_SEED", "1")
THOROUGH = int(os.environ.get("GAUNTLET_FUZZ_THOROUGH", "10"))
SWITCHES = ("no_effect", "interchangeable", "pool", "tighten", "tokens")
# Every reduction on and off, each with cuts everywhere and nowhere, and with a narrow and a wide window.
ALL_REDUCTIONS = [
    Reductions(**dict(zip(SWITCHES, values, strict=True)), cut_after=cut_after, window=window)
    for values in itertools.product((True, False), repeat=len(SWITCHES))
    for cut_after in (0, None)
    for window in (1, 32)
]
ALL_OFF = ALL_REDUCTIONS[-1]

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


def compare(number: int, rng: random.Random, model: Model[Any], make: Make, thorough: bool) -> bool:
    """One random history, judged by trying every order and by the search; is there an order?

    Thorough: with the default, with nothing, with one of all combinations of reductions in turn, with the
    second opinion of `porcupine.exhaustive`, and by `check` with an explanation. Otherwise one combination or
    the default in turn, and `check` without.
    """
    operations = history(rng, make)
    some = ALL_REDUCTIONS[number % len(ALL_REDUCTIONS)]
    kernel = choose()
    tries = (Reductions(), ALL_OFF, some) if thorough else (some if number % 2 else Reductions(),)
    expected = True
    for key, part in model.partition(operations).items():
        possible = explainable(part, model)
        expected = expected and possible
        learned = model.for_part(part)
        for reductions in tries:
            found = kernel.search(part, learned, reductions, quick=number % 3 == 0)
            said = (found.verdict is Verdict.VALID, found.verdict is Verdict.INVALID)
            assert said == (possible, not possible), (number, key, reductions, operations)
            if possible:
                verify(part, found.order, model)
        if thorough:
            assert has_order(part, model) == possible
    result = check(operations, model, explained=thorough, first_failure=number % 4 == 1)
    assert (result.verdict is Verdict.VALID) == expected
    if thorough and not expected:
        _is_explained(result, model)
    return expected


@pytest.mark.parametrize(("model", "make"), MODELS, ids=[model.name for model, _ in MODELS])
def test_search_agrees_with_trying_every_order(model: Model[Any], make: Make) -> None:
    rng = random.Random(f"fuzz:{model.name}")
    verdicts = {True: 0, False: 0}
    for number in range(HISTORIES):
        verdicts[compare(number, rng, model, make, thorough=True)] += 1
    assert min(verdicts.values()) > HISTORIES // 20, "the generator makes histories of one kind only"


CHUNK = 2500


def _campaign_chunk(task: tuple[int, int]) -> tuple[int, int, str]:
    """In another process: (histories, how many of them have an order, what went wrong)."""
    which, chunk = task
    model, make = MODELS[which]
    rng = random.Random(f"{SEED}:{model.name}:{chunk}")
    possible = 0
    for number in range(CHUNK):
        try:
            possible += compare(number + chunk, rng, model, make, thorough=number % THOROUGH == 0)
        except Exception:
            where = f"{model.name}, seed {SEED}, chunk {chunk}, history {number}"
            return number, possible, f"{where}\n{traceback.format_exc()}"
    return CHUNK, possible, ""


@pytest.mark.campaign
def test_a_million_histories() -> None:
    def tasks() -> Iterator[tuple[int, int]]:
        for chunk in range(-(-MILLION // (CHUNK * len(MODELS)))):
            for which in range(len(MODELS)):
                yield which, chunk

    histories = possible = 0
    with multiprocessing.get_context("fork").Pool(JOBS) as pool:
        for done, with_order, trouble in pool.imap_unordered(_campaign_chunk, tasks()):
            assert not trouble, trouble
            histories += done
            possible += with_order
    print(f"{histories} histories, {possible} with an order, kernel {choose().name}, seed {SEED}")
    assert histories >= MILLION
    assert histories // 20 < possible < histories * 19 // 20


def _is_explained(result: Any, model: Model[Any]) -> None:
    explanation = result.explanation
    assert explanation.label
    assert explanation.text
    part = result.failed[0]
    if part.shrunk is not None:
        assert not explainable(part.shrunk.checked, model), "the shrunk history does not fail"
        given = {id(each): part.shrunk.recorded.get(id(each), each) for each in part.shrunk.checked}
        if not any(each.is_ok and _answered_anew(each, given[id(each)]) for each in part.shrunk.checked):
            assert not explainable(part.shrunk.operations, model), "it does not fail as recorded"
        assert explanation.confirmed == "every order tried"
        assert len(part.shrunk.operations) <= len(part.operations)
    if isinstance(part.model, LastWriter):
        assert part.shrunk is not None


def _answered_anew(given: Operation, recorded: Operation) -> bool:
    """Its answer tells of operations that were left out, and was given without them."""
    return given.call == recorded.call and given.response != recorded.response


@pytest.mark.parametrize("switch", ["no_effect", "interchangeable", "pool", "tighten", "tokens"])
def test_every_reduction_saves_work(switch: str) -> None:
    """A reduction that does nothing would pass the test above."""
    rng = random.Random(f"saves:{switch}")
    with_it = without = 0
    for _ in range(300):
        operations = history(rng, cas_register)
        off = Reductions(**{switch: False})
        with_it += search(operations, CasRegister(), quick=False).stats.configurations
        without += search(operations, CasRegister(), off, quick=False).stats.configurations
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
    assert taken > HISTORIES // 20
