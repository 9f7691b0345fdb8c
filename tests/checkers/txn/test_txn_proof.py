"""What stands behind a verdict on transactions: accepted as it is written, refused when it is bent."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from gauntlet.checkers.records import Run
from gauntlet.checkers.txn import check_transactions
from gauntlet.checkers.txn.proof import ACYCLIC, SERIAL, needed, recheck
from porcupine.search import Verdict
from porcupine.verify import CertificateError

Line = dict[str, Any]
STRICT = "strict-serializable"


def proven(run: Run, model: str = STRICT) -> tuple[Verdict, list[Line]]:
    result = check_transactions(run, model)
    assert result.verdict is not Verdict.UNKNOWN
    return result.verdict, list(result.proof()) if result.proof is not None else []


def judged(run: Run, lines: list[Line], model: str = STRICT) -> str:
    return recheck(lines[0], lines[1:], run.history, model)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("lists", [True, False], ids=["lists", "registers"])
def test_a_valid_history_has_an_order(seed: int, lists: bool, store: Callable[..., Any]) -> None:
    rng = random.Random(f"{seed}:{lists}:proof")
    run = store("serializable", rng, lists, failing=0.1, unknown=0.1).run(120, 5, 4)
    verdict, lines = proven(run)
    assert verdict is Verdict.VALID
    assert lines[0]["bound"] == "time"
    assert lines[0]["kind"] == SERIAL or not lists
    assert judged(run, lines)
    refused = 0
    for _ in range(20):
        bent = list(lines[1]["order"])
        one, other = rng.randrange(len(bent)), rng.randrange(len(bent))
        bent[one], bent[other] = bent[other], bent[one]
        try:
            judged(run, [lines[0], {"order": bent}])
        except CertificateError:
            refused += 1
    assert refused > 8, f"seed {seed}: only {refused} of 20"


@pytest.mark.parametrize("level", ["snapshot", "read-committed", "read-uncommitted"])
@pytest.mark.parametrize("lists", [True, False], ids=["lists", "registers"])
def test_every_anomaly_of_a_weaker_store_is_judged_again(
    level: str, lists: bool, store: Callable[..., Any]
) -> None:
    alone = named = 0
    for seed in range(15):
        rng = random.Random(f"{seed}:{level}:{lists}")
        run = store(level, rng, lists, failing=0.1, unknown=0.1).run(40, 5, 3)
        verdict, lines = proven(run)
        how = judged(run, lines)
        if verdict is Verdict.VALID:
            continue
        named += 1
        alone += "by themselves" in how
        with pytest.raises(CertificateError):
            judged(run, [lines[0] | {"name": "G1c" if lines[0]["name"] != "G1c" else "G0"}, *lines[1:]])
        with pytest.raises(CertificateError):
            judged(run, [lines[0], {"transactions": [lines[1]["transactions"][0]]}, *lines[2:]])
    assert named > 3
    assert alone > named / 2, f"only {alone} of {named} were shown by a part"


def test_the_order_keeps_what_the_model_asks_for(history: Callable[..., Run]) -> None:
    # Client 1 reads what client 0 had long replaced: serializable, but neither of a session nor in real time.
    run = history("0 0-1: ax1", "0 2-3: ax2", "0 4-5: rx1,")
    assert [needed(each) for each in ("serializable", "strong-session-serializable", STRICT)] == [
        "nothing",
        "process",
        "time",
    ]
    assert proven(run)[0] is Verdict.INVALID
    verdict, lines = proven(run, "serializable")
    assert (verdict, lines[0]["bound"]) == (Verdict.VALID, "nothing")
    assert judged(run, lines, "serializable")
    for model in ("strong-session-serializable", STRICT):
        with pytest.raises(CertificateError, match="does not prove"):
            judged(run, lines, model)
        with pytest.raises(CertificateError, match=r"placed behind|later one"):
            judged(run, [lines[0] | {"bound": needed(model)}, *lines[1:]], model)


def test_weaker_models_allow_cycles_and_then_there_is_no_order(history: Callable[..., Run]) -> None:
    skew = history("0 0-9: rx-; wy1", "1 0-9: ry-; wx2", "2 20-29: rx2; ry1")
    assert proven(skew)[0] is Verdict.INVALID
    result = check_transactions(skew, "snapshot-isolation")
    assert result.verdict is Verdict.VALID
    assert result.proof is None
    assert "no order to show" in result.details["certificate"]["text"]


def test_registers_whose_versions_nobody_tells(history: Callable[..., Run]) -> None:
    """Which write came first follows only from a read that came late."""
    run = history("0 0-90: wx1", "1 0-90: wx2", "2 5-80: rx2; rz-", "3 6-80: rx1; wz5", "4 95-99: rx1")
    verdict, lines = proven(run)
    assert (verdict, lines[0]["kind"]) == (Verdict.VALID, SERIAL)
    assert lines[1]["order"].index(1) < lines[1]["order"].index(0)
    assert judged(run, [lines[0] | {"kind": ACYCLIC}, *lines[1:]]), "an order keeps the dependencies too"


def test_an_order_of_dependencies_alone_is_judged_as_such(store: Callable[..., Any]) -> None:
    found = 0
    for seed in range(10):
        run = store("serializable", random.Random(f"{seed}:acyclic"), False).run(120, 5, 4)
        verdict, lines = proven(run)
        assert verdict is Verdict.VALID
        if lines[0]["kind"] == SERIAL:
            continue
        found += 1
        order = lines[1]["order"]
        assert judged(run, lines)
        with pytest.raises(CertificateError, match=" read "):
            judged(run, [lines[0] | {"kind": SERIAL}, *lines[1:]])
        for bent in (order[::-1], order[1:], [*order, order[0]], [*order[1:], 10_000]):
            with pytest.raises(CertificateError, match=r"placed|no transaction"):
                judged(run, [lines[0], {"order": bent}])
    assert found


def test_revisions_tell_the_order(history: Callable[..., Run]) -> None:
    lines = ["0 0-90: wx1", "1 0-90: wx2", "2 5-80: rx2", "3 6-80: rx1"]
    run = history(*lines)
    for operation, revision in zip(run.history, (3, 2, 2, 3), strict=True):
        operation.response = (*operation.response, ("revision", revision))  # type: ignore[misc]  # a tuple of pairs
    verdict, lines_ = proven(run)
    assert verdict is Verdict.VALID
    assert lines_[0]["kind"] == SERIAL
    assert lines_[1]["order"] == [1, 2, 0, 3]
