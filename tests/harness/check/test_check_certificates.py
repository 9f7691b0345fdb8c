"""Certificates of checks that are no models of porcupine: written, judged again, refused when bent."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gauntlet.harness import cli

Capture = pytest.CaptureFixture[str]
Line = dict[str, Any]
MS = 1_000_000


def write(path: Path, lines: list[Line]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def read(path: Path) -> list[Line]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def check(*arguments: object) -> int:
    return cli.call(["check", *map(str, arguments)])


def register(last: str) -> list[Line]:
    """Puts and gets of two clients in turn; the last get answers the value and revision of put `last`."""
    lines = []
    for number in range(30):
        at, revision, put = number * 20 * MS, number // 2 + 2, number % 2 == 0
        answer: Line = {"revision": revision, "mod_revision": revision}
        if not put:
            answer |= {"value": f"v{number - 1}", "create_revision": 2, "version": revision - 1}
        if number == 29 and last == "stale":
            answer |= {"value": "v26", "revision": 15, "mod_revision": 15, "version": 14}
        line: Line = {"id": number, "client": number % 2, "op": "put" if put else "get", "key": "k"}
        line |= {"args": {"value": f"v{number}"} if put else {}, "response": answer}
        lines.append(line | {"call_ns": at, "return_ns": at + 5 * MS, "outcome": "ok"})
    return lines


def txns(last: str) -> list[Line]:
    """Appends to x and reads of it; the last read misses the last append where it is stale."""
    lines = []
    for number in range(12):
        seen = list(range(0, number, 2))
        if number == 11 and last == "stale":
            seen.pop()
        micro = ["append", "x", number] if number % 2 == 0 else ["r", "x", seen]
        asked = micro if number % 2 == 0 else ["r", "x", None]
        line = {"id": number, "client": number % 3, "op": "txn", "key": None, "args": {"txn": [asked]}}
        line |= {"response": {"txn": [micro]}, "outcome": "ok"}
        lines.append(line | {"call_ns": number * MS, "return_ns": number * MS + 5})
    return lines


def adds(last: str) -> list[Line]:
    lines = []
    for number in range(10):
        add: Line = {"op": "add", "args": {"element": number}, "response": None}
        shown = list(range(number - (last == "stale" and number == 9)))
        each = add if number != 9 else {"op": "read", "args": {}, "response": {"elements": shown}}
        line = {"id": number, "client": 0, "key": "s", "call_ns": number * MS, "return_ns": number * MS + 5}
        lines.append(line | each | {"outcome": "ok"})
    return lines


HISTORIES: dict[str, Callable[[str], list[Line]]] = {
    "etcd": register,
    "linearizable": register,
    "txn": txns,
    "sets": adds,
}
KINDS = {"etcd": "order", "linearizable": "order", "txn": "order", "sets": "rules"}


@pytest.mark.parametrize("model", HISTORIES)
def test_written_judged_again_and_of_no_use_for_another_history(
    model: str, tmp_path: Path, capsys: Capture
) -> None:
    made = HISTORIES[model]
    good, bad = write(tmp_path / "good", made("good")), write(tmp_path / "bad", made("stale"))
    for history, code in ((good, 0), (bad, 1)):
        proof = tmp_path / f"proof{code}"
        assert check(history, "--model", model, "--certificate", proof) == code
        assert check(history, "--model", model, "--verify-certificate", proof) == code
        assert capsys.readouterr().out.count("the certificate stands") == 1
        lines = read(proof)
        assert lines[0]["verdict"] == ("valid", "invalid")[code]
        if code == 0:
            assert lines[1]["certificate"] == KINDS[model]
        else:
            assert lines[1]["certificate"] in ("contradiction", "anomaly", "rules")
    assert check(bad, "--model", model, "--verify-certificate", tmp_path / "proof0") == 3
    assert check(good, "--model", model, "--verify-certificate", tmp_path / "proof1") == 3
    said = capsys.readouterr().err
    assert said.count("\n") == 2, "one line each"
    assert said.count(f"{model.removesuffix('s')}: ") == 2, said


def orders(lines: list[Line]) -> Line:
    return next(line for line in lines if "order" in line)


def turn(lines: list[Line]) -> None:
    orders(lines)["order"].reverse()


def drop(lines: list[Line]) -> None:
    orders(lines)["order"].pop(3)


def twice(lines: list[Line]) -> None:
    orders(lines)["order"].append(orders(lines)["order"][0])


def strange(lines: list[Line]) -> None:
    orders(lines)["order"][2] = {"not": "a number"}


def refuted(lines: list[Line]) -> None:
    lines[0]["verdict"] = "invalid"


def nothing(lines: list[Line]) -> None:
    del lines[1:]


def headless(lines: list[Line]) -> None:
    del lines[0]


def other(lines: list[Line]) -> None:
    lines[0]["check"] = "queue"


def no_verdict(lines: list[Line]) -> None:
    lines[0]["verdict"] = "perfect"


def added(lines: list[Line]) -> None:
    lines += [{"check": "lock", "verdict": "valid"}, {"certificate": "rules"}]


TAMPERED = (turn, drop, twice, strange, refuted, nothing, headless, other, no_verdict, added)


@pytest.mark.parametrize("model", ["etcd", "linearizable", "txn"])
@pytest.mark.parametrize("tamper", TAMPERED, ids=lambda each: each.__name__)
def test_a_tampered_order_is_refused(
    tamper: Callable[[list[Line]], None], model: str, tmp_path: Path, capsys: Capture
) -> None:
    history, proof = write(tmp_path / "h", HISTORIES[model]("good")), tmp_path / "proof"
    assert check(history, "--model", model, "--certificate", proof) == 0
    lines = read(proof)
    tamper(lines)
    write(proof, lines)
    assert check(history, "--model", model, "--verify-certificate", proof) == 3
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("model", HISTORIES)
def test_a_tampered_contradiction_is_refused(model: str, tmp_path: Path, capsys: Capture) -> None:
    history, proof = write(tmp_path / "h", HISTORIES[model]("stale")), tmp_path / "proof"
    assert check(history, "--model", model, "--certificate", proof) == 1
    whole, accused = read(proof), len(HISTORIES[model]("stale")) - 1
    bends = 0
    for number, line in enumerate(whole):
        for name, value in line.items():
            if name in ("operation", "from", "to"):
                bent: Any = 0 if value == accused else value
            elif name in ("operations", "transactions", "history") and isinstance(value, list):
                bent = [0 if each == accused else each for each in value]
            else:
                continue
            if bent != value:
                bends += 1
                write(tmp_path / "bent", [*whole[:number], line | {name: bent}, *whole[number + 1 :]])
                assert check(history, "--model", model, "--verify-certificate", tmp_path / "bent") == 3, line
    assert bends
    claimed = [whole[0] | {"verdict": "valid"}, *whole[1:]]
    write(tmp_path / "bent", claimed)
    assert check(history, "--model", model, "--verify-certificate", tmp_path / "bent") == 3
    write(tmp_path / "bent", [whole[0] | {"verdict": "valid"}, {"certificate": "rules"}])
    assert check(history, "--model", model, "--verify-certificate", tmp_path / "bent") == 3
    assert "judged again, it is invalid, not valid" in capsys.readouterr().err


@pytest.mark.parametrize("last", ["good", "stale"])
def test_a_run_has_one_certificate_for_all_its_checks(last: str, tmp_path: Path, capsys: Capture) -> None:
    run = tmp_path / "run"
    run.mkdir()
    write(run / "history.jsonl", register(last))
    plan = {"target": "fake", "workload": "register", "seed": 3, "state": "complete", "prefix": "/r"}
    write(run / "plan.json", [plan])
    code = int(last == "stale")
    assert cli.call(["recheck", str(run)]) == (code or 2), "nobody looked at the members"
    proof = run / "certificate.jsonl"
    assert check(run, "--verify-certificate", proof) == code
    said = capsys.readouterr().out
    names = [line["check"] for line in read(proof) if "check" in line]
    assert {"etcd", "linearizable", "stats"} <= set(names)
    for name in names:
        assert f"\n{name}: " in said
    write(tmp_path / "less", [line for line in read(proof) if line.get("check") != "stats"][:-1])
    assert check(run, "--verify-certificate", tmp_path / "less") == 3
    assert "tells nothing of the check stats" in capsys.readouterr().err
    assert check(run, "--certificate", tmp_path / "again") == code
    assert read(tmp_path / "again") == read(proof)


def test_every_check_says_what_it_cost(tmp_path: Path, capsys: Capture) -> None:
    for model, made in HISTORIES.items():
        history = write(tmp_path / model, made("stale"))
        assert check(history, "--model", model, "--json") == 1
        (found,) = json.loads(capsys.readouterr().out)["checks"]
        spent = found["details"]["cost"]
        assert list(spent) == [
            "kernel",
            "operations",
            "steps",
            "search_bytes",
            "peak_memory_bytes",
            "seconds",
        ]
        assert spent["kernel"].split()[0] in ("python", "native")
        assert spent["operations"] == len(made("stale"))
        assert spent["peak_memory_bytes"] > 10_000_000
        assert spent["seconds"] >= 0
        assert check(history, "--model", model) == 1
        assert "  cost       " in capsys.readouterr().out
