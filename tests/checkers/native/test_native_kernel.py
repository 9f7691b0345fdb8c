"""The choice of a kernel, and what the native one promises beyond the tests that run on both."""

from __future__ import annotations

import importlib
import itertools
import random
import threading
import time
import types
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from porcupine import (
    Budget,
    History,
    KernelError,
    Model,
    Operation,
    Outcome,
    Rejected,
    Verdict,
    check,
    verify,
)
from porcupine import kernel as kernels
from porcupine.kernel import VARIABLE, choose
from porcupine.models import CasRegister, Counter, Kv, KvWhole, Queue, Register
from porcupine.search import search as search_in_python


@pytest.fixture
def native(monkeypatch: pytest.MonkeyPatch) -> kernels.Kernel:
    try:
        found = choose("native")
    except KernelError as error:
        pytest.skip(str(error))
    monkeypatch.setenv(VARIABLE, "native")
    return found


@pytest.fixture
def looked_for_again() -> Iterator[None]:
    kernels._installed.cache_clear()
    yield
    kernels._installed.cache_clear()


def at_once(calls: list[tuple[Any, ...]], answers: list[Any]) -> list[Operation]:
    """All at one time."""
    return [
        Operation(number, call, 0, 10, Outcome.OK, answer)
        for number, (call, answer) in enumerate(zip(calls, answers, strict=True))
    ]


def puzzle(size: int) -> list[Operation]:
    """Concurrent additions of different powers, and a sum that they do not have: all subsets are tried."""
    added = [("add", 3**number) for number in range(size)]
    return at_once([*added, ("get",)], [None] * size + [2])


class Strict(Model[int]):
    """Written in Python only: counts, and raises on what it does not know."""

    name = "strict"

    def init(self) -> int:
        return 0

    def step(self, state: int, operation: Operation) -> int | Rejected:
        match operation.call:
            case ("add", int(amount)):
                return state + amount
            case ("get",):
                return (
                    state if operation.response == state else Rejected("another", state, operation.response)
                )
        raise ValueError(f"unknown call {operation.call!r}")


@pytest.mark.parametrize("wanted", ["rust", "Native", "python3"])
def test_an_unknown_kernel_is_refused(monkeypatch: pytest.MonkeyPatch, wanted: str) -> None:
    monkeypatch.setenv(VARIABLE, wanted)
    with pytest.raises(KernelError, match="is python or native"):
        check([], Register())


def test_the_environment_decides_and_the_argument_overrules_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "python")
    assert check([], Register()).kernel == "python"
    monkeypatch.setenv(VARIABLE, "nonsense")
    assert check([], Register(), kernel="python").kernel == "python"


@pytest.mark.usefixtures("looked_for_again")
@pytest.mark.parametrize("version", [None, "0.0.9", "9.1.0"])
def test_a_kernel_that_is_missing_or_does_not_fit(
    monkeypatch: pytest.MonkeyPatch, version: str | None
) -> None:
    def load(name: str) -> Any:
        if version is None:
            raise ModuleNotFoundError(f"No module named {name!r}")
        return types.SimpleNamespace(__version__=version)

    monkeypatch.setattr(importlib, "import_module", load)
    monkeypatch.delenv(VARIABLE, raising=False)
    assert choose().name == "python"
    with pytest.raises(KernelError, match="not installed" if version is None else "does not fit"):
        choose("native")


def test_it_is_chosen_by_itself(native: kernels.Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE)
    assert choose() is native
    result = check(at_once([("write", 1), ("read",)], [None, 1]), Register())
    assert result.verdict == "valid"
    assert result.kernel == native.name == f"native {native.native.__version__}"


@pytest.mark.parametrize("model", [Counter(), Strict()], ids=["native", "python"])
def test_budgets_give_unknown_with_what_was_found(native: kernels.Kernel, model: Model[Any]) -> None:
    operations = puzzle(16)
    ticks = itertools.count()
    for budget, reason in (
        (Budget(configurations=1000), "configurations"),
        (Budget(memory_bytes=100_000), "memory"),
        (Budget(seconds=1), "out of time"),
    ):
        result = check(operations, model, budget=budget, clock=lambda: float(next(ticks)))
        assert result.verdict is Verdict.UNKNOWN
        assert reason in result.reason
        found = result.parts[0].found
        assert found.dead_ends
        assert found.crowded
        assert found.stats.peak_bytes > 0
        assert found.stats.configurations >= 512


def test_an_error_of_the_model_or_the_clock_arrives(native: kernels.Kernel) -> None:
    with pytest.raises(ValueError, match="unknown call"):
        check(at_once([("nonsense",), ("get",)], [None, 0]), Strict())
    with pytest.raises(ValueError, match="not an operation of a counter"):
        check(at_once([("nonsense",), ("get",)], [None, 0]), Counter())

    asked = itertools.count()

    def broken() -> float:
        if next(asked) > 2:
            raise OSError("no clock")
        return 0.0

    with pytest.raises(OSError, match="no clock"):
        check(puzzle(16), Counter(), budget=Budget(seconds=5), clock=broken)


@pytest.mark.parametrize("width", [63, 64, 65, 300, 1100, 5000])
def test_any_concurrency(native: kernels.Kernel, width: int) -> None:
    """Masks of every size; beyond them the Python kernel takes over."""
    writes = at_once([("write", number) for number in range(width)], [None] * width)
    reads = [
        Operation(width + number, ("read",), 20, 30, response=answer) for number, answer in ((0, 7), (1, 7))
    ]
    good = native.search([*writes, *reads], Register(), budget=Budget(configurations=100_000))
    assert good.verdict is Verdict.VALID
    verify([*writes, *reads], good.order, Register())
    assert good.stats.kernel == ("python" if width > 4096 else native.name)
    reads[1].response = 8
    assert native.search([*writes, *reads], Register()).verdict is Verdict.INVALID


def test_values_are_equal_where_python_says_so(native: kernels.Kernel) -> None:
    same = at_once([("write", 1), ("read",)], [None, True])
    assert check(same, Register(initial=0)).verdict == "valid"
    assert check(at_once([("read",)], [5]), Register(initial=5)).verdict == "valid"
    assert check(at_once([("read",)], [None]), Register(initial=5)).verdict == "invalid"
    assert check(at_once([("add", 1), ("get",)], [None, 1.0]), Counter()).verdict == "valid"
    huge = at_once([("add", 2**70), ("get",)], [None, 2**70])
    assert check(huge, Counter()).verdict == "valid"
    assert check(at_once([("put", "k", "\ud800"), ("get", "k")], [None, "\ud800"]), Kv()).verdict == "valid"


def test_stuck_points_speak_the_models_language(native: kernels.Kernel) -> None:
    """At the stuck point the states are the model's own: it rejects what could not be placed."""
    later = {"call_time_ns": 20, "return_time_ns": 30}
    cases: list[tuple[Model[Any], list[Operation]]] = [
        (Register(initial=9), [Operation(9, ("read",), response=1, **later)]),
        (Queue(), [Operation(0, ("enqueue", "a"), 0, 10), Operation(9, ("dequeue",), response="b", **later)]),
        (Kv(), [Operation(0, ("put", "k", "x"), 0, 10), Operation(9, ("get", "k"), response="y", **later)]),
        (
            KvWhole(),
            [Operation(0, ("put", "k", "x"), 0, 10), Operation(9, ("get", "k"), response="y", **later)],
        ),
    ]
    for model, operations in cases:
        part = check(operations, model).failed[0]
        assert part.found.frontier is operations[-1]
        assert part.explanation is not None
        for end in part.found.dead_ends:
            assert isinstance(part.model.step(end.state, operations[-1]), Rejected)


def test_partitions_in_threads_are_all_answered(native: kernels.Kernel) -> None:
    rng = random.Random("threads")
    operations = []
    for number in range(4000):
        key, start = f"k{number % 40}", 10 * (number // 40)
        call = ("append", key, f"[{number}]") if rng.random() < 0.5 else ("get", key)
        operations.append(Operation(number % 40, call, start, start + 8))
    values: dict[str, str] = {}
    for operation in operations:
        name, key, *text = operation.call  # type: ignore[misc]  # they are the tuples from above
        if name == "get":
            operation.response = values.get(key, "")
        else:
            values[key] = values.get(key, "") + text[0]
    result = check(operations, Kv())
    assert result.verdict == "valid"
    assert [part.key for part in result.parts] == [f"k{number}" for number in range(40)]
    for part in result.parts:
        verify(part.operations, part.order, Kv())
    columns = native.columns(History(operations))
    for threads in (1, 2, 5, 100):
        judged = native.native.check(columns, "kv", threads=threads)
        assert [judged.part(number)[0] for number in range(len(judged))] == [f"k{key}" for key in range(40)]
        assert judged.verdict == "valid"
    victim = next(operation for operation in operations if operation.response)
    victim.response += "?"  # type: ignore[operator]  # a text
    result = check(operations, Kv())
    assert [part.key for part in result.failed] == [victim.call[1]]  # type: ignore[index]  # a tuple
    columns = native.columns(History(operations))
    for threads in (0, 1, 3):
        hasty = native.native.check(columns, "kv", threads=threads, hasty=True)
        assert hasty.verdict == "invalid"
        failed = [hasty.part(number)[0] for number in range(len(hasty)) if hasty.part(number)[1] == "invalid"]
        assert failed == [victim.call[1]]  # type: ignore[index]  # a tuple


def test_a_history_is_read_once(native: kernels.Kernel) -> None:
    history = History(at_once([("write", 1), ("cas", 1, 2), ("read",)], [None, True, 2]))
    check(history, CasRegister())
    columns = history.columns
    assert len(columns) == 3
    check(history, CasRegister())
    assert history.columns is columns


def test_both_kernels_agree_on_a_long_history(native: kernels.Kernel) -> None:
    """With the second half out of order in one place: the same verdict, found from both sides."""
    rng = random.Random("long")
    value, operations = 0, []
    for number in range(3000):
        start = 4 * number
        if rng.random() < 0.5:
            value = rng.randrange(5)
            operations.append(Operation(number % 9, ("write", value), start, start + 15))
        else:
            operations.append(Operation(number % 9, ("read",), start, start + 15, response=value))
    for answer in (value, "nobody wrote this"):
        last = Operation(99, ("read",), 20_000, 20_001, response=answer)
        both = [
            run([*operations, last], Register(), None, Budget(seconds=60), time.monotonic).verdict
            for run in (native.search, search_in_python)
        ]
        assert both[0] is both[1]


def test_other_threads_run_during_a_search(native: kernels.Kernel) -> None:
    """The GIL is released: somebody else is seen in the middle of a search that asks Python nothing."""
    columns = native.columns(History(puzzle(26)))
    stamps: list[float] = []
    searching = threading.Event()

    def count() -> None:
        while searching.is_set():
            stamps.append(time.perf_counter())

    for configurations in (20_000, 200_000, 2_000_000, 20_000_000):
        stamps.clear()
        searching.set()
        other = threading.Thread(target=count)
        other.start()
        begun = time.perf_counter()
        judged = native.native.check(columns, "counter", configurations=configurations, threads=1)
        ended = time.perf_counter()
        searching.clear()
        other.join()
        assert judged.verdict == "unknown"
        tenth = (ended - begun) / 10
        if sum(begun + tenth < stamp < ended - tenth for stamp in stamps) > 100:
            return
    pytest.fail(f"nobody else ran during a search of {ended - begun:.1f} s")


def test_its_verifier_refuses_bad_orders(native: kernels.Kernel) -> None:
    """What the kernel asks before it calls anything valid."""
    operations = [
        Operation(0, ("write", 1), 0, 10),
        Operation(1, ("read",), 5, 20, response=1),
        Operation(0, ("write", 2), 30, 40),
        Operation(1, ("read",), 30, 40, response=2),
        Operation(2, ("write", 3), 30, 40, Outcome.FAILED),
        Operation(3, ("write", 4), 30, None, Outcome.UNKNOWN),
    ]
    columns = native.native.Columns(operations)
    refuses = partial(native.native.certify, columns, "register")
    assert refuses([0, 1, 2, 3]) is None
    assert refuses([0, 1, 2, 3, 5]) is None
    assert "not placed" in refuses([0, 1, 2])
    assert "twice" in refuses([0, 1, 2, 3, 3])
    assert "failed" in refuses([0, 1, 2, 3, 4])
    assert "returned before" in refuses([0, 2, 1, 3])
    assert "rejects operation 1" in refuses([1, 0, 2, 3])
    assert "rejects operation 3" in refuses([0, 1, 2, 5, 3])
    with pytest.raises(ValueError, match="none of the history"):
        refuses([0, 1, 2, 6])
