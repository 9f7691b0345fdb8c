"""Histories of other tools: what their events mean, and how a broken file is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from porcupine.checking import check
from porcupine.formats import edn, jepsen
from porcupine.formats.detect import decoded, detect, read
from porcupine.history import HistoryError, Outcome
from porcupine.models import CasRegister
from porcupine.models.keyed import Keyed, On


def event(kind: str, function: str, value: str, process: int = 0, more: str = "") -> str:
    return f"{{:type :{kind}, :process {process}, :f :{function}, :value {value}{more}}}\n"


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("{:a 1}\n{:a 2}\n", [(1, {"a": 1}), (2, {"a": 2})]),
        ("[{:a 1}\n {:a 2}]\n", [(1, {"a": 1}), (2, {"a": 2})]),
        ("(\n{:a 1}\n)\n", [(2, {"a": 1})]),
        ("{:a [1\n 2]}\n{:b #{3}}\n", [(1, {"a": (1, 2)}), (3, {"b": frozenset({3})})]),
        ('{:a "one\ntwo"} ; said\n{:b 2}\n', [(1, {"a": "one\ntwo"}), (3, {"b": 2})]),
        ('#jepsen.history.Op{:a nil, :b "x, }y"}\n', [(1, {"a": None, "b": "x, }y"})]),
        ('{:a "q\\"{" :b -1.5}\n', [(1, {"a": 'q"{', "b": -1.5})]),
    ],
)
def test_edn_is_read_line_by_line(text: str, values: list[tuple[int, object]]) -> None:
    assert list(edn.read_lines(text.splitlines(keepends=True))) == values


def test_reading_holds_no_more_than_a_line() -> None:
    """A million lines are not gathered first: each event is there when its line has been read."""
    taken = 0

    def lines() -> Iterator[str]:
        nonlocal taken
        for _ in range(1_000_000):
            taken += 1
            yield event("invoke", "read", "nil")

    for source in (edn.read_lines(lines()), jepsen.from_edn(lines()), decoded(map(str.encode, lines()))):
        taken = 0
        next(iter(source))
        assert taken <= 2


@pytest.mark.parametrize(
    ("line", "reason", "number"),
    [
        ("{:type :invoke, :process 0 :f}\n", "without a value", 2),
        ("{:type :invoke, :process 0 :f\n", "never closed", 2),
        ("[1 2]\n", "not a map", 2),
        ('{:type :invoke, "\n', "never closed", 2),
        ("{:type :invoke, :process 0, :f :swap, :value 1}\n", "not an operation of a register", 2),
        ("{:type :ok, :process 7, :f :read, :value 1}\n", "never called", 2),
        ("{:type :odd, :process 0, :f :read, :value 1}\n", "unknown kind", 2),
        ("{:type :invoke, :process 1, :f :read, :value 1}\n", "calls again", 2),
    ],
)
def test_a_broken_edn_line_is_named(line: str, reason: str, number: int) -> None:
    lines = [event("invoke", "read", "nil", 1), line, event("invoke", "read", "nil", 9)]
    with pytest.raises(HistoryError, match=reason) as error:
        read(lines, "edn", "cas-register")
    assert error.value.line == number


def test_text_that_is_not_utf8_is_named() -> None:
    with pytest.raises(HistoryError, match="not UTF-8 at byte 3") as error:
        list(decoded([b"fine\n", b"ab\xff\n"]))
    assert error.value.line == 2


LOGS: dict[str, Callable[[str], str]] = {
    "old": lambda text: f"INFO  jepsen.util - {text}\n",
    "new": lambda text: f"2026-01-02 03:04:05,678{{GMT}}\tINFO\t[jepsen worker 1] jepsen.util: {text}\n",
    "history.txt": lambda text: f"{text}\n",
}


@pytest.mark.parametrize("kind", LOGS)
def test_three_shapes_of_a_log(kind: str) -> None:
    said = LOGS[kind]
    lines = [
        "INFO  jepsen.core - hello\n" if kind != "history.txt" else "\n",
        said("0\t:invoke\t:write\t3"),
        said(":nemesis\t:info\t:start\tnil"),
        said("0\t:ok\t:write\t3"),
        said("1\t:invoke\t:cas\t[3 4]"),
        said("1\t:info\t:cas\t[3 4]\tindeterminate: timed out"),
    ]
    assert detect(lines) == "jepsen-log"
    history = read(lines, "jepsen-log", "cas-register")
    assert [(each.call, each.outcome) for each in history] == [
        (("write", 3), Outcome.OK),
        (("cas", 3, 4), Outcome.UNKNOWN),
    ]
    assert [(each.call_time_ns, each.return_time_ns) for each in history] == [(2, 4), (5, None)]


def test_registers_under_keys_are_apart() -> None:
    lines = [
        event("invoke", "write", "[1 5]"),
        event("ok", "write", "[1 5]"),
        event("invoke", "write", "[2 6]"),
        event("ok", "write", "[2 6]"),
        event("invoke", "cas", "[1 [5 7]]"),
        event("ok", "cas", "[1 [5 7]]"),
        event("invoke", "read", "[1 nil]"),
        event("ok", "read", "[1 7]"),
        event("invoke", "read", "[2 nil]"),
        event("ok", "read", "[2 %s]"),
    ]
    for seen, verdict in (("6", "valid"), ("7", "invalid")):
        history = read([line.replace("%s", seen) for line in lines], "edn", "cas-register")
        assert history[0].call == On(1, ("write", 5))
        result = check(history, Keyed(CasRegister()))
        assert result.verdict == verdict
        assert [part.key for part in result.failed] == ([] if verdict == "valid" else [2])


@pytest.mark.parametrize(
    ("model", "events", "verdict"),
    [
        ("set", [("add", "1", "1"), ("add", "2", "2"), ("read", "nil", "#{1 2}")], "valid"),
        ("set", [("add", "1", "1"), ("read", "nil", "[1 2]")], "invalid"),
        ("counter", [("add", "3", "3"), ("add", "-1", "-1"), ("read", "nil", "2")], "valid"),
        ("counter", [("add", "3", "3"), ("read", "nil", "4")], "invalid"),
        ("queue", [("enqueue", "1", "1"), ("enqueue", "2", "2"), ("dequeue", "nil", "1")], "valid"),
        ("queue", [("enqueue", "1", "1"), ("enqueue", "2", "2"), ("dequeue", "nil", "2")], "invalid"),
        ("mutex", [("acquire", "nil", "nil"), ("release", "nil", "nil")], "valid"),
        ("mutex", [("acquire", "nil", "nil"), ("acquire", "nil", "nil")], "invalid"),
        (
            "fenced-mutex",
            [("acquire", "nil", "7"), ("release", "nil", "nil"), ("acquire", "nil", "7")],
            "invalid",
        ),
    ],
)
def test_events_of_each_model(model: str, events: list[tuple[str, str, str]], verdict: str) -> None:
    from porcupine.models import by_name

    lines = [
        event(kind, function, asked if kind == "invoke" else told)
        for function, asked, told in events
        for kind in ("invoke", "ok")
    ]
    assert detect(lines) == "edn"
    assert check(read(lines, "edn", model), by_name(model)).verdict == verdict


def test_a_dequeue_that_failed_because_of_nothing_is_an_answer() -> None:
    lines = [event("invoke", "dequeue", "nil"), event("fail", "dequeue", "nil", more=", :error :empty")]
    (operation,) = read(lines, "edn", "queue")
    assert (operation.outcome, operation.response) == (Outcome.OK, None)
    lines = [event("invoke", "dequeue", "nil"), event("fail", "dequeue", "nil", more=", :error :timeout")]
    assert read(lines, "edn", "queue")[0].outcome is Outcome.FAILED


@pytest.mark.parametrize(
    ("text", "format"),
    [
        ('{:process 0, :type :invoke, :f :get, :key "0", :value nil}', "kv"),
        ("[{:process 0, :type :invoke}]", "edn"),
        ("[", "edn"),
        ('{"id": 1, "call_ns": 3, "outcome": "ok"}', "jsonl"),
        ('{"id": 1, "call_ns": ', "jsonl"),
        ("{}", None),
        ("root:x:0:0", None),
        ("", None),
    ],
)
def test_what_a_file_is_taken_for(text: str, format: str | None) -> None:
    assert detect([f"{text}\n"]) == format
