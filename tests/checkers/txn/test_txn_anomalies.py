"""Each anomaly by its smallest history, under its name, and no stronger one beside it."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from gauntlet.checkers.records import Run
from gauntlet.checkers.txn import MODELS, check_transactions, forbidden, refuted
from gauntlet.checkers.verdict import CheckResult
from porcupine import Verdict

History = Callable[..., Run]


def names(result: CheckResult) -> set[str]:
    return set(result.details["by_value"]["anomalies"])


# name -> (anomalies, the weakest models refuted, the history)
CASES: dict[str, tuple[set[str], set[str], list[str]]] = {
    "two writers interleave": (
        {"G0"},
        {"read-uncommitted"},
        ["1 0-9: ax1; ay1", "2 0-9: ax2; ay2", "3 20-29: rx1,2; ry2,1", "4 20-29: rx1,2"],
    ),
    "information in a circle": (
        {"G1c"},
        {"read-committed"},
        ["1 0-9: ax1; ry1,", "2 0-9: ay1; rx1,"],
    ),
    "read of a failed append": (
        {"G1a"},
        {"read-committed"},
        ["1 0-9 fail: ax1", "2 0-19: rx1,"],
    ),
    "read of a list in the middle of a transaction": (
        {"G1b", "G-single"},
        {"read-committed"},
        ["1 0-9: ax1; ax2", "2 0-9: rx1,"],
    ),
    "read skew": (
        {"G-single"},
        {"consistent-view", "repeatable-read"},
        ["1 0-9: ax1; ay1", "2 0-9: rx-; ry1,"],
    ),
    "long fork": (
        {"G-nonadjacent"},
        {"snapshot-isolation", "repeatable-read"},
        ["1 0-9: ax1", "2 0-9: ay1", "3 0-9: rx1,; ry-", "4 0-9: rx-; ry1,"],
    ),
    "write skew": (
        {"G2-item"},
        {"repeatable-read"},
        ["1 0-9: rx-; ry-; ax1", "2 0-9: rx-; ry-; ay1"],
    ),
    "lost update": (
        {"lost-update", "G2-item"},
        {"cursor-stability"},
        ["1 0-9: rx-; ax1", "2 0-9: rx-; ax2"],
    ),
    "append forgotten inside the transaction": (
        {"internal"},
        {"read-atomic"},
        ["1 0-9: ax1; rx-", "2 20-29: rx1,"],
    ),
    "own append read before it was made": ({"internal"}, {"read-atomic"}, ["1 0-9: rx1,; ax1"]),
    "registers: own write read before it was made": (
        {"internal"},
        {"read-atomic"},
        ["1 0-9: rx1; wx1; wx2", "2 10-19: rx2"],
    ),
    "two lists that do not begin alike": (
        {"incompatible-order"},
        {"read-committed"},
        ["1 0-9: ax1", "2 0-9: ax2", "3 0-9: rx1,2", "4 0-9: rx2,"],
    ),
    "one append is there twice": (
        {"duplicate-elements"},
        {"read-uncommitted"},
        ["1 0-9: ax1", "2 20-29: rx1,1"],
    ),
    "an element of nobody": ({"phantom-value"}, {"read-uncommitted"}, ["1 0-9: ax1", "2 0-9: rx1,7"]),
    "an append upon a failed one": (
        {"dirty-update", "G1a"},
        {"read-committed"},
        ["1 0-9 fail: ax1", "2 0-9: ax2", "3 0-9: rx1,2"],
    ),
    "an answered append is not there later": (
        {"G-single-realtime"},
        {"strong-snapshot-isolation"},
        ["1 0-9: ax1", "2 20-29: rx-"],
    ),
    "own append is not there later": (
        {"G-single-process"},
        {"strong-session-snapshot-isolation"},
        ["1 0-9: ax1", "1 9-29: rx-"],
    ),
    "seen before it was called": (
        {"G1c-realtime"},
        {"strong-read-committed"},
        ["1 20-29: ax1", "2 0-9: rx1,"],
    ),
    "appends in an order against time": (
        {"G0-realtime"},
        {"strong-read-uncommitted"},
        ["1 0-9: ax1", "2 20-29: ax2", "3 20-39: rx2,1"],
    ),
    "a client's appends in the wrong order": (
        {"G0-process"},
        {"strong-session-read-uncommitted"},
        ["1 0-9: ax1", "1 9-29: ax2", "2 9-39: rx2,1"],
    ),
    "a long fork against time": (
        {"G-nonadjacent-realtime"},
        {"strong-snapshot-isolation"},
        ["1 0-99: ax1", "2 0-99: rx1,; ry-", "3 0-9: ay1", "4 10-19: rx-"],
    ),
    "write skew against time": (
        {"G2-item-realtime"},
        {"strict-serializable"},
        ["1 0-9: ax1", "2 10-19: ry-", "3 0-99: rx-; ay1"],
    ),
    "registers: information in a circle": (
        {"G1c"},
        {"read-committed"},
        ["1 0-9: wx1; ry1", "2 0-9: wy1; rx1"],
    ),
    "registers: aborted read": ({"G1a"}, {"read-committed"}, ["1 0-9 fail: wx1", "2 0-9: rx1"]),
    "registers: intermediate read": ({"G1b"}, {"read-committed"}, ["1 0-9: wx1; wx2", "2 0-9: rx1"]),
    "registers: read skew": (
        {"G-single"},
        {"consistent-view", "repeatable-read"},
        ["1 0-9: wx1; wy1", "2 0-9: rx-; ry1"],
    ),
    "registers: write skew": (
        {"G2-item"},
        {"repeatable-read"},
        ["1 0-9: rx-; ry-; wx1", "2 0-9: rx-; ry-; wy1"],
    ),
    "registers: long fork": (
        {"G-nonadjacent"},
        {"snapshot-isolation", "repeatable-read"},
        ["1 0-9: wx1", "2 0-9: wy1", "3 0-9: rx1; ry-", "4 0-9: rx-; ry1"],
    ),
    "registers: lost update": (
        {"lost-update", "G2-item"},
        {"cursor-stability"},
        ["1 0-9: rx-; wx1", "2 0-9: rx-; wx2"],
    ),
    "registers: internal": ({"internal"}, {"read-atomic"}, ["1 0-9: wx1; rx2", "2 0-9: wx2"]),
    "registers: versions in a circle": (
        {"cyclic-versions", "G1c"},
        {"read-uncommitted"},
        ["1 0-9: rx2; wx1", "2 0-9: rx1; wx2"],
    ),
    "registers: a value of nobody": ({"phantom-value"}, {"read-uncommitted"}, ["1 0-9: rx7"]),
    "registers: stale read": (
        {"G-single-realtime"},
        {"strong-snapshot-isolation"},
        ["1 0-9: wx1", "1 10-19: wx2", "2 20-29: rx1"],
    ),
    "registers: two clients see the writes in two orders": (
        {"G-single-realtime", "G-nonadjacent-realtime"},
        {"strong-snapshot-isolation"},
        ["1 0-99: wx1", "2 0-99: wx2", "3 10-19: rx1", "3 20-29: rx2", "4 30-39: rx1"],
    ),
    "registers: two keys end with different last writers": (
        {"G0-realtime"},
        {"strong-read-uncommitted"},
        ["1 0-9: wx1; wy1", "2 0-9: wx2; wy2", "3 20-29: rx2; ry1"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_an_anomaly_has_its_name(history: History, case: str) -> None:
    anomalies, weakest, lines = CASES[case]
    result = check_transactions(history(*lines))
    assert result.verdict is Verdict.INVALID
    assert names(result) == anomalies, result.explanation
    assert set(result.details["weakest_refuted_models"]) == weakest
    assert result.explanation is not None
    shown = re.findall(r"\bT(\d+)\b", result.explanation["text"])
    assert set(result.explanation["operations"]) <= {int(number) for number in shown}


GOOD = {
    "reads of a prefix while it grows": ["1 0-9: ax1", "2 0-9: ax2", "3 0-9: rx2,", "4 5-15: rx2,1"],
    "an unknown append is seen": ["1 0-9 info: ax1", "2 20-29: rx1,"],
    "an unknown append is not seen": ["1 0-9 info: ax1", "2 20-29: rx-"],
    "an unknown append is seen late": ["1 0-9 info: ax1", "1 20-29: rx-", "2 30-39: rx1,"],
    "a failed append is not seen": ["1 0-9 fail: ax1", "2 20-29: rx-"],
    "a value that failed is written again": ["1 0-9 fail: ax1", "1 20-29: ax1", "2 30-39: rx1,"],
    "equal times are concurrent": ["1 0-9: ax1", "2 9-19: rx-"],
    "own appends": ["1 0-9: rx-; ax1; rx1,; ax2; rx1,2", "2 10-19: rx1,2; ax3; rx1,2,3"],
    "own appends upon those of others": ["1 0-9: ax1", "2 0-9: ax2; rx1,2"],
    "registers": ["1 0-9: wx1", "2 0-9: wx2", "3 10-19: rx2", "3 20-29: rx2; wx3", "1 30-39: rx3"],
    "registers: own writes": ["1 0-9: rx-; wx1; rx1; wx2; rx2", "2 10-19: rx2"],
    "registers: unknown write": ["1 0-9 info: wx1", "2 20-29: rx-", "2 30-39: rx1"],
    "lists and registers": ["1 0-9: ax1; wy1", "2 10-19: rx1,; ry1", "2 20-29: rz-"],
}


@pytest.mark.parametrize("case", GOOD)
def test_what_is_right_passes(history: History, case: str) -> None:
    result = check_transactions(history(*GOOD[case]))
    assert result.verdict is Verdict.VALID, result.explanation
    assert not names(result)


def test_the_story_names_reads_and_appends(history: History) -> None:
    result = check_transactions(history("1 0-9: ax1; ay1", "2 0-9: rx-; ry1,"))
    assert result.explanation is not None
    text = result.explanation["text"]
    assert "T1 read x = [] and so did not see that T0 appended 1 (rw)" in text
    assert "T1 read y = [1], and T0 wrote 1 (wr)" in text
    assert {step["type"] for step in result.explanation["steps"]} == {"rw", "wr"}
    assert "T0 before T1 before T0" in text or "T1 before T0 before T1" in text


def test_the_model_that_is_asked_for_decides(history: History) -> None:
    skew = history("1 0-9: rx-; ry-; ax1", "2 0-9: rx-; ry-; ay1")
    assert check_transactions(skew, "serializable").verdict is Verdict.INVALID
    assert check_transactions(skew, "snapshot-isolation").verdict is Verdict.VALID
    skew.notes["consistency_model"] = "read-committed"
    result = check_transactions(skew)
    assert result.verdict is Verdict.VALID
    assert "allows G2-item" in result.summary
    with pytest.raises(ValueError, match="unknown consistency model"):
        check_transactions(skew, "linearizable-ish")


def test_the_lattice() -> None:
    for model in MODELS:
        assert refuted(forbidden(model))[0] in MODELS
        assert forbidden(model) <= forbidden("strict-serializable")
    assert "serializable" in refuted({"lost-update"})
    assert "snapshot-isolation" not in refuted({"G2-item"})
    assert set(refuted({"G0"})) == set(MODELS)
    assert refuted({"G2-item-realtime"}) == ["strict-serializable"]


def test_what_cannot_be_judged_is_unknown(history: History) -> None:
    assert check_transactions(history("1 0-9 info: ax1")).verdict is Verdict.UNKNOWN
    twice = check_transactions(history("1 0-9: ax1", "2 10-19: ax1", "3 20-29: rx1,"))
    assert twice.verdict is Verdict.UNKNOWN
    assert "written once" in twice.summary


@pytest.mark.parametrize(
    ("lines", "message"),
    [(["1 0-9: ax1", "2 0-9: wx2"], "neither a list nor a register")],
)
def test_what_is_no_history_of_transactions_is_refused(
    history: History, lines: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        check_transactions(history(*lines))
