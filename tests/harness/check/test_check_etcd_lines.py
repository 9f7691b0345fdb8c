"""`gauntlet check FILE --model etcd`: a run's lines, read by either kernel."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from gauntlet.checkers.etcd.native import Columnar
from gauntlet.harness import saved
from gauntlet.harness.saved import SavedError
from porcupine import History, KernelError, Verdict
from porcupine.kernel import VARIABLE, choose

Record = dict[str, Any]


@pytest.fixture(params=["python", "native"])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    name: str = request.param
    try:
        choose(name)
    except KernelError as error:
        pytest.skip(str(error))
    monkeypatch.setenv(VARIABLE, name)
    return name


def lines() -> list[Record]:
    """The register workload's put, get and swap, and the whole store's range and delete."""
    kv = {"key": "a", "value": "2", "create_revision": 2, "mod_revision": 3, "version": 2, "lease": 0}
    ok = {"outcome": "ok"}
    operations: list[Record] = [
        {"op": "put", "args": {"value": "1"}, "response": {"revision": 2}},
        {"op": "get", "args": {}, "response": {"revision": 2, "value": "1", "mod_revision": 2}},
        {"op": "cas", "args": {"expected": 2, "value": "2"}, "response": {"revision": 3, "succeeded": True}},
        {"op": "range", "args": {}, "response": {"revision": 3, "kvs": [kv], "more": False, "count": 1}},
        {"op": "put", "args": {"value": "lost"}, "response": None, "outcome": "unknown"},
        {"op": "delete_range", "args": {}, "response": {"revision": 4, "deleted": 1}},
    ]
    return [
        {"id": at, "client": at, "key": "a", "call_ns": 10 * at, "return_ns": 10 * at + 5} | ok | each
        for at, each in enumerate(operations)
    ]


def write(path: Path, found: list[Record]) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in found), encoding="utf-8")
    return path


def test_a_valid_file(tmp_path: Path, kernel: str) -> None:
    found = saved.read(write(tmp_path / "history.jsonl", lines()), model="etcd")
    assert type(found.run.history) is (Columnar if kernel == "native" else History)
    judged = saved.judge(found, None, kernel, None)
    assert judged.verdict is Verdict.VALID
    details = judged.checks[0].details
    assert details["outcomes"] == {"ok": 5, "unknown": 1}
    assert (details["operations"], details["explained_operations"], details["last_revision"]) == (6, 5, 4)
    assert details["certificate"]["kernel"] == choose(kernel).name
    assert [operation.id for operation in found.run.history] == list(range(6))
    proof = list(saved.proof(found, judged))
    verdict, _ = saved.verify(found, map(json.dumps, proof))
    assert verdict is Verdict.VALID


def test_a_wrong_answer_is_explained(tmp_path: Path, kernel: str) -> None:
    found = lines()
    found[3]["response"]["kvs"][0]["value"] = "1"
    judged = saved.judge(saved.read(write(tmp_path / "h", found), model="etcd"), None, kernel, None)
    assert judged.verdict is Verdict.INVALID
    assert 3 in (judged.checks[0].explanation or {})["operations"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"call_ns": None}, r"line 4: call_ns is None"),
        ({"return_ns": 1}, r"line 4: it returned before it was called"),
        ({"outcome": "perhaps"}, r"line 4: outcome is 'perhaps'"),
        ({"response": {"revision": "3"}}, r"line 4: revision is '3', not an integer"),
        ({"key": 5}, r"line 4: key is 5"),
        ({"op": None}, r"line 4: op is None"),
        ({"client": 2, "call_ns": 21}, r"was called while"),
        ({"op": "wait"}, r"wait"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, kernel: str, change: Record, message: str) -> None:
    found = lines()
    found[3] |= change
    with pytest.raises(SavedError, match=message):
        saved.judge(saved.read(write(tmp_path / "h", found), model="etcd"), None, kernel, None)


def test_a_broken_line_is_named(tmp_path: Path, kernel: str) -> None:
    path = write(tmp_path / "h", lines())
    path.write_bytes(path.read_bytes().replace(b'"op": "range"', b'"op" "range"'))
    with pytest.raises(SavedError, match="line 4: not JSON"):
        saved.read(path, model="etcd")
