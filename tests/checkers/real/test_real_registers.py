"""A run recorded from the reference node is judged valid; with one answer changed it is refuted, whatever the
field, and the label says what is wrong."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gauntlet.checkers import judge
from gauntlet.checkers.records import load
from gauntlet.checkers.verdict import CheckResult
from gauntlet.harness.plan import Plan
from gauntlet.harness.testing import Settings, run_once
from gauntlet.workloads.register import Register
from porcupine import Verdict

pytestmark = pytest.mark.chaos

Record = dict[str, Any]
SEED = 5


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    plan = Plan(duration=4.0, seed=SEED, nodes=1, faults="none")
    result = run_once(Settings(plan), tmp_path_factory.mktemp("recorded"))
    lines = Path(result.directory.history_file).read_text(encoding="utf-8").splitlines()
    print(f"{len(lines)} operations recorded with seed {SEED}")
    return [json.loads(line) for line in lines]


def judged(records: list[Record]) -> tuple[Verdict, list[CheckResult]]:
    """By the checks that a run of the register workload has."""
    return judge(load([json.dumps(each) for each in records], []), Register.checks)


def answered(records: list[Record], op: str, **like: Any) -> Record:
    """One of the middle whose answer looks like that: a condition or a value for each field."""
    for record in records[len(records) // 2 :]:
        answer = record["response"]
        if record["op"] == op and record["outcome"] == "ok" and _looks(answer, like):
            return record
    raise AssertionError(f"nothing recorded looks like {op} {like}: record for longer")


def _looks(answer: Record, like: Record) -> bool:
    return all(name in answer and (want is any or answer[name] == want) for name, want in like.items())


def overwritten(records: list[Record]) -> Iterator[tuple[Record, Record]]:
    """Two reads of a key, the later one after the value that the earlier one saw had been overwritten."""
    reads = [each for each in records if each["op"] == "get" and each["outcome"] == "ok"]
    for late in reads:
        for early in reads:
            older = early["response"]["mod_revision"] < late["response"]["mod_revision"]
            seen_between = any(
                each["key"] == late["key"]
                and each["response"]["mod_revision"] == late["response"]["mod_revision"]
                and each["return_ns"] < late["call_ns"]
                for each in reads
            )
            if early["key"] == late["key"] and early["response"]["value"] and older and seen_between:
                yield early, late


def old_answer(records: list[Record]) -> Record:
    early, late = next(overwritten(records))
    late["response"] = dict(early["response"])
    return late


def old_value_at_the_new_revision(records: list[Record]) -> Record:
    early, late = next(overwritten(records))
    late["response"]["value"] = early["response"]["value"]
    return late


def with_field(
    op: str, field: str, change: Callable[[Any], Any], **like: Any
) -> Callable[[list[Record]], Record]:
    def alter(records: list[Record]) -> Record:
        record = answered(records, op, **{field: any, **like})
        record["response"][field] = change(record["response"][field])
        return record

    alter.__name__ = f"{op}-{field}"
    return alter


def up(number: int) -> int:
    return number + 1


def never(_: object) -> str:
    return "never written"


def other(truth: bool) -> bool:
    return not truth


def absent(records: list[Record]) -> Record:
    record = answered(records, "get", version=any)
    record["response"] = {"revision": record["response"]["revision"], "value": None, "mod_revision": 0}
    return record


# A version one too high is that of a key to which a write was applied twice.
ALTERATIONS: list[tuple[Callable[[list[Record]], Record], set[str]]] = [
    (old_answer, {"stale read"}),
    (old_value_at_the_new_revision, {"phantom write", "revision reused"}),
    (absent, {"lost write", "stale read"}),
    (with_field("get", "value", never, version=any), {"phantom write"}),
    (with_field("get", "mod_revision", up, version=any), {"wrong revision", "revision reused"}),
    (with_field("get", "create_revision", up, version=any), {"wrong revision"}),
    (with_field("get", "version", up), {"applied twice", "wrong version"}),
    (with_field("get", "revision", lambda _: 2), {"stale read"}),
    (with_field("get", "revision", lambda at: at + 100_000), {"revision went back"}),
    (with_field("put", "revision", lambda at: at - 1), {"revision reused"}),
    (with_field("put", "revision", lambda at: at + 100_000), {"revision went back"}),
    (with_field("delete", "deleted", up, deleted=0), {"revision reused"}),
    (with_field("delete", "deleted", lambda _: 0, deleted=1), {"lost write", "phantom write"}),
    (with_field("delete", "revision", lambda at: at - 1, deleted=1), {"revision reused"}),
    (with_field("cas", "version", up), {"applied twice", "wrong version"}),
    (with_field("cas", "value", never, succeeded=False, version=any), {"phantom write"}),
    (
        with_field("cas", "mod_revision", up, succeeded=False, version=any),
        {"wrong revision", "revision reused"},
    ),
    (with_field("cas", "succeeded", other, succeeded=False), {"revision reused"}),
    (with_field("cas", "succeeded", other, succeeded=True), {"phantom write"}),
    (with_field("cas", "revision", lambda at: at - 1, succeeded=True), {"revision reused"}),
]


def test_the_run_as_recorded_is_valid(recorded: list[Record]) -> None:
    verdict, results = judged(recorded)
    assert verdict is Verdict.VALID, [result.summary for result in results]


@pytest.mark.parametrize(
    ("alter", "labels"), ALTERATIONS, ids=[f"{n}-{each[0].__name__}" for n, each in enumerate(ALTERATIONS)]
)
def test_one_altered_answer_is_refuted(
    recorded: list[Record], alter: Callable[[list[Record]], Record], labels: set[str]
) -> None:
    records = copy.deepcopy(recorded)
    altered = alter(records)
    verdict, results = judged(records)
    found = {
        result.name: (result.explanation or {}).get("label")
        for result in results
        if result.verdict is Verdict.INVALID
    }
    assert verdict is Verdict.INVALID, altered
    assert labels & set(found.values()), (found, altered)
