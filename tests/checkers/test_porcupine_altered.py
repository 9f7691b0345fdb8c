"""One answer of a good history is changed: it must be refuted, and the label must be true of it."""

from __future__ import annotations

import importlib.util
import json
import random
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from gauntlet.checkers import by_name
from gauntlet.checkers.records import load
from porcupine import Budget, History, Operation, Outcome, Reductions, Verdict, check
from porcupine.exhaustive import has_order
from porcupine.kernel import choose
from porcupine.models import CasRegister, Kv, Queue, Register
from porcupine.verify import verify

Record = dict[str, Any]
Simulate = Callable[..., list[Record]]


def _answered(records: list[Record], op: str, alone: bool = True) -> Iterator[Record]:
    """From the last two thirds; alone: with nothing else on the key then that could excuse an answer."""
    for each in records[len(records) // 3 :]:
        beside = (
            other
            for other in records
            if other is not each
            and other["key"] == each["key"]
            and other["call_ns"] <= each["return_ns"]
            and other["return_ns"] >= each["call_ns"]
        )
        if each["op"] == op and each["outcome"] == "ok" and not (alone and any(beside)):
            yield each


def stale_value(records: list[Record]) -> Record:
    late = next(each for each in _answered(records, "get") if each["response"]["value"])
    early = next(
        each
        for each in records
        if each["op"] == "get"
        and each["outcome"] == "ok"
        and each["key"] == late["key"]
        and each["response"]["value"] not in (None, late["response"]["value"])
        and each["return_ns"] + 2_000_000 < late["call_ns"]
    )
    late["response"] = dict(early["response"])
    return late


def value_never_written(records: list[Record]) -> Record:
    record = next(each for each in _answered(records, "get") if each["response"]["value"])
    record["response"]["value"] = "nobody wrote this"
    return record


def revision_off_by_one(records: list[Record]) -> Record:
    record = next(each for each in _answered(records, "get") if each["response"]["value"])
    record["response"]["mod_revision"] -= 1
    return record


def write_at_the_revision_before(records: list[Record]) -> Record:
    record = next(_answered(records, "put"))
    for name in ("revision", "mod_revision"):
        record["response"][name] -= 1
    return record


def swap_said_to_be_refused(records: list[Record]) -> Record:
    record = next(each for each in _answered(records, "cas") if each["response"]["succeeded"])
    seen = next(
        each
        for each in records
        if each["response"] and each["response"].get("mod_revision") == record["args"]["expected"]
    )
    value = seen["args"].get("value", seen["response"].get("value"))
    record["response"] = {
        "revision": record["response"]["revision"] - 1,
        "succeeded": False,
        "value": value,
        "mod_revision": record["args"]["expected"],
    }
    return record


def refusal_said_to_be_swap(records: list[Record]) -> Record:
    record = next(
        each
        for each in _answered(records, "cas", alone=False)
        if not each["response"]["succeeded"] and each["args"]["expected"]
    )
    revision = record["response"]["revision"] + 1
    record["response"] = {"revision": revision, "succeeded": True, "mod_revision": revision}
    return record


def delete_count(records: list[Record]) -> Record:
    record = next(each for each in _answered(records, "delete") if each["response"]["deleted"])
    record["response"] = {"revision": record["response"]["revision"], "deleted": 0}
    return record


# What the reader of the explanation has to be told, whatever else the rest of the history shows.
NOT_THERE = {"stale read", "lost write", "non-repeatable read", "read of an overwritten value"}
ALTERATIONS: list[tuple[Callable[[list[Record]], Record], str, set[str]]] = [
    (stale_value, "linearizable", {"stale read"}),
    (value_never_written, "linearizable", {"phantom write"}),
    (revision_off_by_one, "linearizable", {"wrong revision", "phantom write"}),
    (write_at_the_revision_before, "revisions", {"revision reused"}),
    (
        swap_said_to_be_refused,
        "linearizable",
        {"answer contradicts itself", "wrong revision", "phantom write"},
    ),
    (
        refusal_said_to_be_swap,
        "linearizable",
        {"lost update", "revision reused", "wrong refusal", "wrong revision"} | NOT_THERE,
    ),
    (delete_count, "linearizable", NOT_THERE),
]


@pytest.mark.parametrize(
    ("alter", "checker", "labels"), ALTERATIONS, ids=[alter.__name__ for alter, _, _ in ALTERATIONS]
)
@pytest.mark.parametrize("seed", range(4))
def test_one_altered_answer_is_refuted(
    simulate: Simulate,
    alter: Callable[[list[Record]], Record],
    checker: str,
    labels: set[str],
    seed: int,
) -> None:
    records = simulate(seed, 900, clients=3, keys=3, unknown=0, mean_ns=100_000)
    judge = by_name(checker)
    assert judge(load([json.dumps(each) for each in records], [])).verdict is Verdict.VALID
    altered = alter(records)
    result = judge(load([json.dumps(each) for each in records], []))
    assert result.verdict is Verdict.INVALID
    explanation = result.explanation or {}
    assert explanation["label"] in labels, (explanation["text"], altered)


def _random_history(rng: random.Random) -> list[Operation]:
    """Concurrent reads, writes and swaps of three values: most have no order."""
    operations = []
    free = [0, 0, 0]
    for _ in range(9):
        client = rng.randrange(3)
        start = free[client] + rng.randint(0, 3)
        end = free[client] = start + rng.randint(1, 5)
        call, answer = rng.choice(
            [
                (("read",), rng.choice([None, 1, 2, 3])),
                (("write", rng.randint(1, 3)), None),
                (("cas", rng.randint(1, 3), rng.randint(1, 3)), rng.random() < 0.5),
            ]
        )
        operations.append(Operation(client, call, start, end, Outcome.OK, answer))
    return operations


def test_read_of_an_overwritten_value_is_only_said_where_nobody_can_have_left_it() -> None:
    """The reader, the newer write, and all that ever wrote the value: no order explains these alone."""
    rng = random.Random("overwritten")
    model = CasRegister()
    found = 0
    for _ in range(1500):
        operations = _random_history(rng)
        explanation = check(operations, model).explanation
        if explanation is None or explanation.label != "read of an overwritten value":
            continue
        found += 1
        *_, newer, reader = sorted(explanation.operations, key=lambda each: each.return_time_ns or 0)
        writers = [each for each in operations if model.writes(each) == model.reads(reader)]
        core = [model.weaker(each) or each for each in (newer, *writers) if each is not reader]
        assert has_order([*core, reader], model) is False, explanation.text
        assert has_order(core, model) is True
    assert found > 20


def test_the_shrunk_history_is_judged_again() -> None:
    operations = [
        Operation(1, ("write", 1), 0, 10),
        Operation(1, ("write", 2), 20, 30),
        Operation(2, ("read",), 40, 50, response=1),
    ]
    explanation = check(operations, CasRegister()).explanation
    assert explanation is not None
    assert explanation.confirmed == "every order tried"
    assert has_order(explanation.shrunk, CasRegister()) is False


@pytest.fixture(scope="module")
def tracks() -> ModuleType:
    """The generator of registers that the benchmark uses."""
    source = Path(__file__).parents[2] / "benchmarks" / "checkers" / "tracks.py"
    specification = importlib.util.spec_from_file_location("benchmark_tracks", source)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module  # its dataclasses look for themselves there
    specification.loader.exec_module(module)
    return module


def _pairs(count: int) -> list[Operation]:
    """Pairs of concurrent writes with a moment of quiet after each, each of which leaves two possible states;
    the last read sees what was never there."""
    operations = []
    for number in range(count):
        at = 100 * number
        operations += [
            Operation(1, ("write", number % 3), at, at + 40),
            Operation(2, ("write", 3 + number % 2), at + 10, at + 50),
        ]
    operations.append(Operation(3, ("read",), 100 * count, 100 * count + 1, response=9))
    return operations


def test_cuts_bound_the_memory_of_a_search_that_tries_everything() -> None:
    kept, peaks = {}, {}
    for count in (100, 1000):
        for cut_after in (64, None):
            reductions = Reductions(tighten=False, cut_after=cut_after)
            found = choose().search(_pairs(count), CasRegister(), reductions)
            assert found.verdict is Verdict.INVALID
            peaks[count, cut_after] = found.stats.peak_configurations
            kept[count, cut_after] = found.stats.configurations
    assert peaks[1000, 64] == peaks[100, 64] < 400
    assert peaks[1000, None] > 8 * peaks[100, None]
    assert kept[1000, 64] < 2 * kept[1000, None]


@pytest.mark.parametrize("seed", [5, 6, 11])
def test_an_unknown_write_is_kept_for_where_it_is_needed(seed: int, tracks: ModuleType) -> None:
    """Used up early it would be missed hundreds of operations later, and all between searched in vain."""
    history = tracks.simulate(seed, 3000, unknown=0.01)
    found = choose().search(list(history), CasRegister(), quick=False)
    assert found.verdict is Verdict.VALID
    verify(history, found.order, CasRegister())
    assert found.stats.configurations < 2 * len(history)


def test_a_search_that_gives_up_names_the_operations_that_were_too_many() -> None:
    crowd = [Operation(n, ("enqueue", n), 1000, 2000 + n) for n in range(9)]
    before = [Operation(20, ("write", n), 10 * n, 10 * n + 5) for n in range(10)]
    calm = [replace(each, call=("enqueue", -1 - n)) for n, each in enumerate(before)]
    end = Operation(30, ("dequeue",), 3000, 3001, response="nothing of the kind")
    result = check([*calm, *crowd, end], Queue(), budget=Budget(configurations=3000), explained=False)
    assert result.verdict is Verdict.UNKNOWN
    found = result.parts[0].found
    assert {id(each) for each in found.crowded} <= {id(each) for each in crowd}
    assert len(found.crowded) > 4
    assert "operations were concurrent" in result.reason
    assert result.parts[0].order[:10] == calm
    assert result.stats.peak_bytes > 100 * result.stats.peak_configurations > 0


def test_partitions_may_be_searched_in_other_processes() -> None:
    rng = random.Random("apart")
    operations = []
    for key in "abcd":
        at = 0
        for number in range(30):
            at += rng.randint(1, 5)
            call = ("append", key, f"{number}.") if number % 2 == 0 else ("get", key)
            answer = "".join(f"{n}." for n in range(0, number, 2)) if number % 2 else None
            operations.append(Operation(key, call, at, at + 1, response=answer))
            at += 1
    operations[-1] = replace(operations[-1], response="0.0.")
    history = History(operations)
    alone = check(history, Kv(), kernel="python")
    with ProcessPoolExecutor(2) as executor:
        apart = check(history, Kv(), kernel="python", executor=executor)
    assert alone.verdict is apart.verdict is Verdict.INVALID
    assert alone.explanation == apart.explanation
    for one, other in zip(alone.parts, apart.parts, strict=True):
        assert (one.key, one.verdict, one.order) == (other.key, other.verdict, other.order)
        assert one.found == other.found


def _half_unknown(count: int, unique: bool, swaps: bool) -> list[Operation]:
    """What a register with many timed-out writes leaves behind: an unknown one takes effect soon, late or
    never."""
    rng = random.Random(f"unknown:{count}:{unique}:{swaps}")
    state: Any = None
    late: list[tuple[int, Operation]] = []
    operations: list[Operation] = []
    for number in range(count):
        at = 10 * number
        for due in [each for each in late if each[0] <= at]:
            late.remove(due)
            call: Any = due[1].call
            if call[0] == "write" or call[1] == state:
                state = call[-1]
        unknown = number % 2 == 0
        value = number if unique else rng.randrange(50)
        swap = swaps and rng.random() < 0.5
        call = ("cas", state if rng.random() < 0.7 else value, value) if swap else ("write", value)
        if not unknown and rng.random() < 0.6:
            call = ("read",)
        operation = Operation(number if unknown else "steady", call, at, None if unknown else at + 9)
        operations.append(operation)
        if unknown:
            operation.outcome = Outcome.UNKNOWN
            if rng.random() < 0.6:
                late.append((at + rng.choice([5, 200, 2000]), operation))
        elif call[0] == "read":
            operation.response = state
        else:
            operation.response = (call[1] == state) if swap else None
            state = value if operation.response is not False else state
    return operations


@pytest.mark.parametrize("swaps", [True, False])
@pytest.mark.parametrize("unique", [True, False])
def test_half_of_the_operations_may_be_of_unknown_outcome(unique: bool, swaps: bool) -> None:
    operations = _half_unknown(3000, unique, swaps)
    model = CasRegister() if swaps else Register()
    budget = Budget(configurations=400_000)
    assert check(operations, model, budget=budget).verdict is Verdict.VALID
    reads = [each for each in operations if each.call == ("read",)]
    reads[len(reads) // 2].response = "never written"
    assert check(operations, model, budget=budget, explained=False).verdict is Verdict.INVALID
