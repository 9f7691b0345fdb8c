"""Sets, counters and queues: each violation by name, from lines of ours, with the operations that show it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from gauntlet.checkers import by_name
from gauntlet.checkers.queue import check_queues
from gauntlet.checkers.records import Run, load
from gauntlet.checkers.txn import read_jepsen_objects
from gauntlet.checkers.verdict import CheckResult
from porcupine import History, Operation, Outcome, Verdict

Line = tuple[Any, ...]


def run_of(*lines: Line) -> Run:
    """Lines are (client, call, return, outcome, op, args, response)."""
    records = [
        {
            "id": number,
            "client": client,
            "call_ns": called,
            "return_ns": returned,
            "outcome": outcome,
            "op": op,
            "key": "k",
            "args": args,
            "response": response,
        }
        for number, (client, called, returned, outcome, op, args, response) in enumerate(lines)
    ]
    return load([json.dumps(record) for record in records])


def add(client: int, called: int, returned: int, element: int, outcome: str = "ok") -> Line:
    return (client, called, returned, outcome, "add", {"element": element}, None)


def read(client: int, called: int, returned: int, *elements: int) -> Line:
    return (client, called, returned, "ok", "read", {}, {"elements": list(elements)})


def plus(client: int, called: int, returned: int, amount: int, value: int | None = None) -> Line:
    return (client, called, returned, "ok", "add", {"amount": amount}, {"value": value})


def value(client: int, called: int, returned: int, number: int) -> Line:
    return (client, called, returned, "ok", "read", {}, {"value": number})


def put(client: int, called: int, returned: int, element: int, outcome: str = "ok") -> Line:
    return (client, called, returned, outcome, "enqueue", {"element": element}, None)


def take(client: int, called: int, returned: int, element: int | None, outcome: str = "ok") -> Line:
    response = {"element": element} if outcome == "ok" else None
    return (client, called, returned, outcome, "dequeue", {}, response)


def drain(client: int, called: int, returned: int, *elements: int) -> Line:
    return (client, called, returned, "ok", "drain", {}, {"elements": list(elements)})


BAD: dict[str, tuple[str, list[Line], list[int]]] = {
    "lost element": ("set", [add(1, 0, 9, 1), read(2, 10, 19)], [0, 1]),
    "stale read": ("set", [add(1, 0, 9, 1), read(2, 10, 19), read(2, 20, 29, 1)], [0, 1, 2]),
    "seen and gone": ("set", [add(1, 0, 9, 1, "unknown"), read(2, 10, 19, 1), read(2, 20, 29)], [1, 2]),
    "never added": ("set", [add(1, 0, 9, 1), read(2, 10, 19, 1, 7)], [1]),
    "duplicated": ("set", [add(1, 0, 9, 1), read(2, 10, 19, 1, 1)], [1]),
    "failed add": ("set", [add(1, 0, 9, 1, "failed"), read(2, 10, 19, 1)], [0, 1]),
    "seen before it was called": ("set", [read(2, 0, 9, 1), add(1, 10, 19, 1)], [1, 0]),
    "no order of reads": (
        "set",
        [add(1, 0, 9, 1), add(2, 0, 9, 2), read(3, 0, 9, 1), read(4, 0, 9, 2)],
        [2, 3],
    ),
    "adds against time": ("set", [add(1, 0, 9, 1), add(2, 10, 30, 2), read(3, 5, 30, 2)], [0, 1, 2]),
    "too small": ("counter", [plus(1, 0, 9, 5), value(2, 10, 19, 4)], [0, 1]),
    "too great": ("counter", [plus(1, 0, 9, 5), value(2, 10, 19, 6)], [0, 1]),
    "went back": (
        "counter",
        [(1, 0, 9, "unknown", "add", {"amount": 5}, None), value(2, 10, 19, 5), value(2, 20, 29, 0)],
        [1, 2],
    ),
    "same sum": ("counter", [plus(1, 0, 9, 1, 1), plus(2, 0, 9, 1, 1)], [0, 1]),
    "never enqueued": ("queue", [take(1, 0, 9, 7)], [0]),
    "dequeued twice": ("queue", [put(1, 0, 9, 1), take(1, 10, 19, 1), take(2, 10, 19, 1)], [0, 1, 2]),
    "lost": ("queue", [put(1, 0, 9, 1), take(1, 10, 19, None)], [0, 1]),
    "lost in a drain": ("queue", [put(1, 0, 9, 1), put(1, 10, 19, 2), drain(1, 20, 29, 2)], [0, 2]),
    "out of order": (
        "queue",
        [put(1, 0, 9, 1), put(1, 10, 19, 2), take(2, 20, 29, 2), take(2, 30, 39, 1)],
        [0, 1, 2, 3],
    ),
    "not empty": ("queue", [put(1, 0, 9, 1), take(2, 10, 19, None), take(2, 20, 29, 1)], [0, 1]),
    "not empty by two elements in turn": (
        "queue",
        [put(1, 0, 9, 1), put(1, 20, 29, 2), take(2, 10, 60, None), take(3, 35, 39, 1), take(3, 70, 79, 2)],
        [0, 1, 2],
    ),
    "failed enqueue": ("queue", [put(1, 0, 9, 1, "failed"), take(2, 10, 19, 1)], [0, 1]),
    "dequeued before": ("queue", [take(2, 0, 9, 1), put(1, 10, 19, 1)], [0, 1]),
}
LABELS = {
    "lost element": "lost write",
    "stale read": "stale read",
    "seen and gone": "lost write",
    "never added": "element never added",
    "duplicated": "duplicated element",
    "failed add": "failed add seen",
    "seen before it was called": "read from the future",
    "no order of reads": "reads without an order",
    "adds against time": "adds against real time",
    "too small": "sum too small",
    "too great": "sum too great",
    "went back": "stale read",
    "same sum": "two adds told the same sum",
    "never enqueued": "element never enqueued",
    "dequeued twice": "dequeued twice",
    "lost": "lost element",
    "lost in a drain": "lost element",
    "out of order": "out of order",
    "not empty": "empty answer of a queue that held something",
    "not empty by two elements in turn": "empty answer of a queue that held something",
    "failed enqueue": "failed enqueue seen",
    "dequeued before": "read from the future",
}


@pytest.mark.parametrize("case", BAD)
def test_a_violation_has_its_name_and_its_operations(case: str) -> None:
    name, lines, operations = BAD[case]
    result = by_name(name)(run_of(*lines))
    assert result.verdict is Verdict.INVALID
    assert result.explanation is not None
    assert result.explanation["label"] == LABELS[case]
    assert set(result.explanation["operations"]) == set(operations), result.explanation["text"]
    assert CheckResult.from_json(json.loads(json.dumps(result.to_json()))) == result


GOOD: dict[str, tuple[str, list[Line]]] = {
    "set": ("set", [add(1, 0, 9, 1), add(2, 5, 30, 2), read(3, 10, 20, 1), read(3, 30, 40, 1, 2)]),
    "an unknown add seen late": ("set", [add(1, 0, 9, 1, "unknown"), read(2, 20, 29), read(2, 30, 39, 1)]),
    "an element added again": ("set", [add(1, 0, 9, 1), add(1, 10, 19, 1), read(2, 5, 6, 1)]),
    "counter": (
        "counter",
        [plus(1, 0, 9, 5, 5), plus(2, 0, 20, -2), value(3, 10, 19, 3), value(3, 30, 39, 3)],
    ),
    "queue": (
        "queue",
        [put(1, 0, 9, 1), put(2, 0, 9, 2), take(3, 10, 19, 2), take(3, 20, 29, 1), drain(3, 30, 39)],
    ),
    "taken by nobody knows whom": (
        "queue",
        [put(1, 0, 9, 1), take(2, 10, 19, None, "unknown"), drain(3, 20, 29)],
    ),
    "left in the queue": ("queue", [put(1, 0, 9, 1), put(1, 10, 19, 2), take(2, 20, 29, 1)]),
}


@pytest.mark.parametrize("case", GOOD)
def test_what_is_right_passes(case: str) -> None:
    name, lines = GOOD[case]
    result = by_name(name)(run_of(*lines))
    assert result.verdict is Verdict.VALID, result.explanation


def test_the_numbers_of_a_set() -> None:
    run = run_of(
        add(1, 0, 9, 1),
        add(1, 10, 19, 2),
        add(2, 0, 9, 3, "unknown"),
        add(1, 200, 209, 4),
        read(3, 30, 39, 1, 3),
        read(3, 1_000_000, 1_000_009, 1, 2, 3),
        read(3, 2_000_000, 2_000_009, 2, 3, 4),
    )
    details = by_name("set")(run).details["keys"]["k"]
    assert details["stable"] == 3
    assert details["stale"] == 2
    assert details["lost"] == 1
    assert details["recovered"] == 1
    assert details["stable_latency_ms"]["p100"] == pytest.approx((1_000_000 - 209) / 1e6)
    assert details["lost_latency_ms"]["p100"] == pytest.approx((1_000_000 - 9) / 1e6)


def test_a_bag_has_no_order() -> None:
    _, lines, _ = BAD["out of order"]
    assert check_queues(run_of(*lines), fifo=False).verdict is Verdict.VALID


SHOWN, EMPTY = frozenset([1]), frozenset[int]()


@pytest.mark.parametrize(
    ("calls", "label", "named"),
    [
        ([("add", None), ("read", SHOWN), ("remove", None), ("read", EMPTY)], None, []),
        ([("add", None), ("remove", True), ("remove", False), ("contains", False)], None, []),
        ([("add", None), ("remove", None), ("read", SHOWN)], "removed element seen", [1, 2]),
        ([("add", None), ("remove", None), ("contains", True)], "removed element seen", [1, 2]),
        ([("add", None), ("remove", None), ("remove", True)], "removed element seen", [1, 2]),
        ([("add", None), ("remove", False)], "lost write", [0, 1]),
        ([("remove", None), ("add", None), ("contains", False)], "lost write", [1, 2]),
        ([("add?", None), ("contains", True), ("contains", False)], "stale read", [1, 2]),
        ([("contains", True), ("add", None)], "read from the future", [0]),
        ([("contains", True)], "element never added", [0]),
        ([("add", None), ("remove?", None), ("contains", True), ("contains", False)], None, []),
        ([("remove", None), ("read", (1, 1)), ("add", None)], "duplicated element", [1]),
    ],
)
def test_elements_that_are_removed(calls: list[tuple[str, Any]], label: str | None, named: list[int]) -> None:
    operations = []
    for i, (name, answer) in enumerate(calls):
        call: tuple[Any, ...] = ("read",) if name == "read" else (name.rstrip("?"), 1)
        outcome = Outcome.UNKNOWN if name.endswith("?") else Outcome.OK
        operations.append(Operation(i, call, 10 * i, 10 * i + 5, outcome, answer))
    result = by_name("set")(Run(History(operations)))
    assert result.verdict is (Verdict.VALID if label is None else Verdict.INVALID), result
    if label is not None:
        assert label in result.details["labels"]
        (first, *_) = [each for each in result.details["first_violations"] if each["label"] == label]
        assert first["operations"] == named


def test_a_remove_that_is_running_excuses_every_answer() -> None:
    operations = [
        Operation(0, ("add", 1), 0, 5),
        Operation(1, ("remove", 1), 10, 90),
        *(Operation(2, ("contains", 1), at, at + 5, response=at < 40) for at in range(20, 80, 10)),
        Operation(3, ("remove", 1), 20, 70, response=False),
        Operation(2, ("contains", 1), 91, 95, response=False),
    ]
    assert by_name("set")(Run(History(operations))).verdict is Verdict.VALID
    late = [*operations[:-1], Operation(2, ("contains", 1), 91, 95, response=True)]
    assert by_name("set")(Run(History(late))).details["labels"] == {"removed element seen": 1}


@pytest.mark.parametrize("name", ["set", "counter", "queue", "txn"])
def test_nothing_proves_nothing(name: str) -> None:
    assert by_name(name)(Run([])).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("name", "events", "label"),
    [
        ("set", ["add 1", "read #{1}"], None),
        ("set", ["add 1", "read #{}"], "lost write"),
        ("set", ["add 1", "read [1 1]"], "duplicated element"),
        ("counter", ["add 2", "read 2"], None),
        ("counter", ["add 2", "read 3"], "sum too great"),
        ("queue", ["enqueue 1", "enqueue 2", "dequeue 1", "drain [2]"], None),
        ("queue", ["enqueue 1", "enqueue 2", "dequeue 1", "drain []"], "lost element"),
    ],
)
def test_jepsen_histories(name: str, events: list[str], label: str | None) -> None:
    lines = []
    for event in events:
        function, value = event.split(" ", 1)
        asked = value if function in ("add", "enqueue") else "nil"
        lines.append(f"{{:type :invoke, :process 1, :f :{function}, :value {asked}}}")
        lines.append(f"{{:type :ok, :process 1, :f :{function}, :value {value}}}")
    result = by_name(name)(Run(read_jepsen_objects(lines)))
    assert result.verdict is (Verdict.INVALID if label else Verdict.VALID)
    assert (result.explanation or {}).get("label") == label
