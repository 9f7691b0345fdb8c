"""What a user of the checker meets first: histories, budgets, certificates, the documented examples."""

from __future__ import annotations

import ast
import re
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import porcupine.model
import pytest
from porcupine import (
    Budget,
    CertificateError,
    History,
    HistoryError,
    Operation,
    Outcome,
    Reductions,
    Rejected,
    Verdict,
    check,
    verify,
)
from porcupine.jsonl import read_operations
from porcupine.models import CasRegister, FencedMutex, Kv, Mutex, Queue, Register, by_name
from porcupine.search import search

pytestmark = pytest.mark.usefixtures("kernel")

README = Path(__file__).parents[2] / "checkers" / "README.md"


def op(client: int, call: tuple[Any, ...], start: int, end: int | None, response: Any = None) -> Operation:
    outcome = Outcome.UNKNOWN if end is None else Outcome.OK
    return Operation(client, call, start, end, outcome, response)


def test_the_example_of_the_model_interface_runs() -> None:
    text = porcupine.model.__doc__ or ""
    block = text.split("::\n\n", 1)[1].split("\nRules for", 1)[0]
    code = "\n".join(line[4:] for line in block.splitlines())
    names: dict[str, Any] = {}
    exec(compile(ast.parse(code), "the docstring", "exec"), names)  # the example is ours
    assert names["result"].verdict == "invalid"


def test_the_example_of_the_readme_runs(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 1
    exec(compile(blocks[0], "README.md", "exec"), {})  # the example is ours
    assert capsys.readouterr().out.startswith("invalid\n")


@pytest.mark.parametrize(
    ("operations", "reason"),
    [
        ([op(1, ("read",), 10, 5)], "returned before it was called"),
        ([Operation(1, ("read",), 0)], "no return time"),
        ([op(1, ("read",), 0, 10), op(1, ("read",), 5, 20)], "still running"),
    ],
)
def test_impossible_histories_are_refused(operations: list[Operation], reason: str) -> None:
    with pytest.raises(HistoryError, match=reason):
        History(operations)


def test_equal_times_are_concurrent() -> None:
    operations = [op(1, ("write", 1), 0, 10), op(2, ("read",), 10, 20, None)]
    assert check(operations, Register()).verdict is Verdict.VALID
    operations[1].call_time_ns = 11
    assert check(operations, Register()).verdict is Verdict.INVALID


def test_an_unknown_write_may_happen_late_or_never() -> None:
    write = op(1, ("write", 1), 0, None)
    write.return_time_ns = 5  # the client gave up
    reads = [op(2, ("read",), 10, 20, None), op(2, ("read",), 30, 40, 1), op(2, ("read",), 50, 60, 1)]
    assert check([write, *reads], Register()).verdict is Verdict.VALID
    back = [*reads, op(2, ("read",), 70, 80, None)]
    assert check([write, *back], Register()).verdict is Verdict.INVALID


def test_a_failed_write_never_happened() -> None:
    write = Operation(1, ("write", 1), 0, 5, Outcome.FAILED)
    assert check([write, op(2, ("read",), 10, 20, 1)], Register()).verdict is Verdict.INVALID


def _many_concurrent(count: int) -> list[Operation]:
    """Concurrent enqueues and a dequeue that none of them explains: every order has to be tried."""
    operations = [op(n, ("enqueue", n), 0, 1000 + n) for n in range(count)]
    return [*operations, op(count, ("dequeue",), 2000, 2001, "nothing of the kind")]


def test_a_budget_of_configurations_gives_unknown_with_the_proven_prefix() -> None:
    first = op(99, ("enqueue", "first"), -20, -10)
    result = check([first, *_many_concurrent(9)], Queue(), budget=Budget(configurations=2000))
    assert result.verdict is Verdict.UNKNOWN
    assert "2000" not in result.parts[0].order  # operations, not text
    assert result.parts[0].order[0] is first
    assert "configurations" in result.reason


def test_a_budget_of_time_needs_a_clock_and_gives_unknown() -> None:
    with pytest.raises(ValueError, match="clock"):
        search(_many_concurrent(3), Queue(), budget=Budget(seconds=1))
    now = iter(range(10**9))
    result = check(_many_concurrent(9), Queue(), budget=Budget(seconds=3), clock=lambda: float(next(now)))
    assert result.verdict is Verdict.UNKNOWN
    assert "time" in result.reason


def test_a_budget_of_memory_gives_unknown() -> None:
    result = check(_many_concurrent(9), Queue(), budget=Budget(memory_bytes=120_000))
    assert result.verdict is Verdict.UNKNOWN
    assert "memory" in result.reason
    assert check(_many_concurrent(5), Queue()).verdict is Verdict.INVALID


GOOD = [
    op(1, ("write", 1), 0, 10),
    op(2, ("cas", 1, 2), 5, 20, True),
    op(3, ("read",), 30, 40, 2),
    op(4, ("write", 9), 0, None),
]


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        ([0, 1], "not placed"),
        ([0, 1, 2, 2], "placed twice"),
        ([0, 2, 1], "returned before its call"),
        ([1, 0, 2], "rejects"),
        ([3, 0, 1, 2], None),
        ([0, 1, 2], None),
    ],
)
def test_the_verifier_accepts_only_linearizations(order: list[int], reason: str | None) -> None:
    placed = [GOOD[index] for index in order]
    if reason is None:
        verify(GOOD, placed, CasRegister())
        return
    with pytest.raises(CertificateError, match=reason):
        verify(GOOD, placed, CasRegister())


def test_the_verifier_refuses_operations_from_elsewhere() -> None:
    with pytest.raises(CertificateError, match="not in the history"):
        verify(GOOD, [*GOOD[:3], op(7, ("read",), 50, 60, 2)], CasRegister())
    failed = Operation(1, ("write", 1), 0, 5, Outcome.FAILED)
    with pytest.raises(CertificateError, match="failed"):
        verify([failed], [failed], Register())


def test_a_wrong_suggestion_does_not_count() -> None:
    wrong = {None: [GOOD[1], GOOD[0], GOOD[2]]}
    result = check(GOOD, CasRegister(), witnesses=wrong)
    assert result.verdict is Verdict.VALID
    assert result.stats.configurations > 0
    right = check(GOOD, CasRegister(), witnesses={None: GOOD[:3]})
    assert right.verdict is Verdict.VALID
    assert right.stats.configurations == 0


def test_an_order_is_verified_with_the_model_as_written() -> None:
    class Learned(Register):
        """What it learns is wrong: nothing is ever rejected."""

        def step(self, state: Hashable, operation: Operation) -> Hashable | Rejected:
            found = super().step(state, operation)
            return state if isinstance(found, Rejected) else found

    class Careless(Register):
        def for_part(self, operations: Sequence[Operation]) -> Register:
            return Learned()

    with pytest.raises(CertificateError, match="rejects"):
        check([op(1, ("read",), 0, 10, 7)], Careless())


def test_the_first_failure_may_end_the_check() -> None:
    operations = [op(n, ("get", key), 0, 10, "" if key == "a" else "x") for n, key in enumerate("abcd")]
    whole = check(operations, Kv(), explained=False)
    assert [part.key for part in whole.failed] == ["b", "c", "d"]
    assert whole.unjudged == []
    result = check(operations, Kv(), first_failure=True)
    assert result.verdict is Verdict.INVALID
    assert [part.key for part in result.parts] == ["a", "b"]
    assert result.unjudged == ["c", "d"]
    assert result.explanation is not None
    hasty = check(operations, Kv(), explained=False, first_failure=True)
    assert hasty.verdict is Verdict.INVALID
    assert [part.key for part in hasty.failed] == ["b"]
    assert {part.key for part in hasty.parts} | set(hasty.unjudged) == set("abcd")


def test_a_model_that_calls_a_write_a_read_is_found_out() -> None:
    class Liar(Register):
        def is_read(self, operation: Operation) -> bool:
            return True

    with pytest.raises(ValueError, match="changes the state"):
        check([op(1, ("write", 1), 0, 10)], Liar())


@pytest.mark.parametrize(
    ("operations", "label"),
    [
        ([op(1, ("read",), 0, 10, 7)], "phantom write"),
        ([op(1, ("read",), 0, 10, 7), op(2, ("write", 7), 20, 30)], "read from the future"),
        (
            [
                op(1, ("write", 1), 0, 10),
                op(1, ("write", 2), 20, 30),
                op(2, ("read",), 40, 50, 1),
                op(2, ("read",), 60, 70, 2),
            ],
            "stale read",
        ),
        (
            [
                op(1, ("write", 1), 0, 10),
                op(1, ("write", 2), 20, 30),
                op(2, ("read",), 40, 50, 1),
                op(3, ("read",), 60, 70, 1),
            ],
            "lost write",
        ),
        (
            [
                op(1, ("write", 1), 0, 10),
                op(2, ("write", 2), 20, 100),
                op(3, ("read",), 30, 40, 2),
                op(3, ("read",), 50, 60, 1),
            ],
            "non-repeatable read",
        ),
        (
            [
                op(1, ("write", 1), 0, 10),
                op(2, ("cas", 1, 2), 20, 60, True),
                op(3, ("cas", 1, 3), 20, 60, True),
            ],
            "lost update",
        ),
        ([op(1, ("write", 1), 0, 10), op(2, ("cas", 1, 2), 20, 30, False)], "wrong refusal"),
    ],
)
def test_labels(operations: Sequence[Operation], label: str) -> None:
    result = check(operations, CasRegister())
    assert result.explanation is not None
    assert result.explanation.label == label
    named = {id(each) for each in result.explanation.operations}
    assert named <= {id(each) for each in operations}
    assert 1 <= len(named) <= 4


def test_an_explanation_says_expected_and_got() -> None:
    result = check([op(1, ("write", 1), 0, 10), op(2, ("read",), 20, 30, None)], Register())
    assert result.explanation is not None
    (only,) = result.explanation.expectations
    assert (only.expected, only.got) == ("1", "None")
    assert len(result.explanation.shrunk) == 2


def test_mutexes() -> None:
    taken = [op(1, ("acquire",), 0, 10, 4), op(2, ("acquire",), 20, 30, 5)]
    assert check(taken, Mutex()).verdict is Verdict.INVALID
    freed = [taken[0], op(1, ("release",), 12, 14), taken[1]]
    assert check(freed, Mutex()).verdict is Verdict.VALID
    assert check(freed, FencedMutex()).verdict is Verdict.VALID
    stuck = [taken[0], op(1, ("release",), 12, 14), op(2, ("acquire",), 20, 30, 4)]
    assert check(stuck, FencedMutex()).verdict is Verdict.INVALID


def test_lines_of_json_are_read_and_a_broken_one_is_named() -> None:
    good = (
        '{"client": 1, "call_ns": 0, "return_ns": 5, "outcome": "ok", '
        '"call": ["put", "k", "v"], "member": "m1"}'
    )
    (only,) = read_operations([good, "", "\n"])
    assert only.call == ("put", "k", "v")
    assert only.tags == {"member": "m1"}
    assert check([only], Kv()).verdict is Verdict.VALID
    for broken, reason in [
        ("{", "not JSON"),
        ("[]", "not an object"),
        ('{"client": 1}', "'call_ns' is missing"),
        (good.replace('"ok"', '"fine"'), "outcome is 'fine'"),
        (good.replace('"return_ns": 5', '"return_ns": null'), "no return_ns"),
        (good.replace('"call_ns": 0', '"call_ns": 9'), "returned before"),
        (good.replace('"call_ns": 0', '"call_ns": "0"'), "not an integer"),
    ]:
        with pytest.raises(HistoryError, match=re.escape(reason)) as error:
            list(read_operations([good, broken]))
        assert error.value.line == 2


def test_models_by_name() -> None:
    assert isinstance(by_name("cas-register"), CasRegister)
    with pytest.raises(ValueError, match="there are: cas-register, counter"):
        by_name("nonsense")


def test_a_sequential_history_keeps_no_memory_of_itself() -> None:
    operations = [op(1, ("write", n), 2 * n, 2 * n + 1) for n in range(5000)]
    found = search(operations, Register(), Reductions(tighten=False))
    assert found.verdict is Verdict.VALID
    assert found.stats.peak_configurations <= 2
    assert found.stats.width == 1
