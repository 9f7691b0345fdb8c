from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gauntlet.harness.aftermath import Hashes
from gauntlet.harness.judge import check_hashes, check_members, judge, summarize_faults
from gauntlet.harness.rundir import RunDirectory, RunDirectoryError
from porcupine.search import Verdict

Operation = Callable[..., dict[str, Any]]
WriteRun = Callable[..., Path]
LONG = 20  # operations, so that the statistics have something to say


def good_history(operation: Operation) -> list[dict[str, Any]]:
    lines = []
    for number in range(LONG):
        at = number * 20
        revision = number + 2
        args = {"value": f"v{number}"}
        lines.append(
            operation(2 * number, "put", at, at + 5, args=args, revision=revision, mod_revision=revision)
        )
        lines.append(
            operation(
                2 * number + 1,
                "get",
                at + 10,
                at + 15,
                revision=revision,
                value=f"v{number}",
                mod_revision=revision,
                create_revision=2,
                version=number + 1,
            )
        )
    return lines


def checks_of(results: dict[str, Any]) -> dict[str, str]:
    return {check["name"]: check["verdict"] for check in results["checks"]}


def test_a_good_run_is_valid(write_run: WriteRun, operation: Operation) -> None:
    run = RunDirectory.open(write_run(good_history(operation)))
    results = judge(run)
    assert (results["verdict"], results["exit_code"]) == ("valid", 0)
    assert set(checks_of(results).values()) == {"valid"}
    assert set(checks_of(results)) == {
        "linearizable",
        "revisions",
        "etcd",
        "stats",
        "faults",
        "members",
        "hashes",
    }
    assert results["explanation"] is None
    assert results["command"].startswith("gauntlet run ")
    assert run.read_results() == results


def test_a_stale_read_is_invalid_and_explained(write_run: WriteRun, operation: Operation) -> None:
    history = good_history(operation)
    history[-1]["response"] = history[-3]["response"]
    results = judge(RunDirectory.open(write_run(history)))
    assert (results["verdict"], results["exit_code"]) == ("invalid", 1)
    assert checks_of(results)["linearizable"] == "invalid"
    assert history[-1]["id"] in results["explanation"]["operations"]
    assert results["explanation"]["text"]


def test_invalid_outranks_unknown(write_run: WriteRun, operation: Operation) -> None:
    history = good_history(operation)
    history[-1]["response"] = history[-3]["response"]
    died = [{"error": "m1 ended by itself", "log": ""}]
    results = judge(RunDirectory.open(write_run(history, {"died": died})))
    assert checks_of(results)["members"] == "unknown"
    assert results["exit_code"] == 1


@pytest.mark.parametrize(
    ("members", "failing"),
    [
        ({"died": [{"error": "m1 ended by itself", "log": "panic"}]}, "members"),
        ({"unhealthy": {"error": "m1 does not serve", "log": ""}}, "members"),
        ({"recovery_seconds": None}, "members"),
        ({"faults_broke_off": "m1 is not running"}, "faults"),
        ({"hashes": None}, "hashes"),
    ],
)
def test_what_may_not_pass_is_unknown(
    write_run: WriteRun, operation: Operation, members: dict[str, Any], failing: str
) -> None:
    results = judge(RunDirectory.open(write_run(good_history(operation), members)))
    assert {name for name, verdict in checks_of(results).items() if verdict != "valid"} == {failing}
    assert (results["verdict"], results["exit_code"]) == ("unknown", 2)


def test_too_little_success_is_unknown(write_run: WriteRun, operation: Operation) -> None:
    refused = [operation(100 + n, "get", 1000 + n, 1001 + n, outcome="failed") for n in range(2 * LONG + 1)]
    results = judge(RunDirectory.open(write_run([*good_history(operation), *refused])))
    assert {name for name, verdict in checks_of(results).items() if verdict != "valid"} == {"stats"}
    assert results["exit_code"] == 2


def test_failures_during_faults_are_forgiven(write_run: WriteRun, operation: Operation) -> None:
    refused = [operation(100 + n, "get", 1000 + n, 1001 + n, outcome="failed") for n in range(4 * LONG)]
    fault = {
        "id": "f1",
        "name": "kill",
        "start_ns": 900 * 10**6,
        "end_ns": 5000 * 10**6,
        "evidence": {"bit": True},
    }
    results = judge(RunDirectory.open(write_run([*good_history(operation), *refused], faults=[fault])))
    assert results["verdict"] == "valid"
    assert results["faults"] == {
        "total": 1,
        "bit": 1,
        "by_name": {"kill": 1},
        "refused": [],
        "not_seen_to_bite": [],
    }


def test_an_interrupted_run_is_no_pass(write_run: WriteRun, operation: Operation) -> None:
    path = write_run(good_history(operation), {"hashes": None}, state="interrupted")
    results = judge(RunDirectory.open(path))
    assert results["verdict"] == "unknown"
    assert results["state"] == "interrupted"


def test_an_empty_history_is_unknown(write_run: WriteRun) -> None:
    assert judge(RunDirectory.open(write_run([])))["verdict"] == "unknown"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("{", "line 4"),
        ("[]", "line 4"),
        ('{"id": 3}', "line 4"),
        ('{"id":3,"client":1,"op":"fly","key":"k","call_ns":1,"return_ns":0,"outcome":"ok"}', "line 4"),
        (
            '{"id":3,"client":1,"op":"put","key":"k","args":{},"call_ns":1,"return_ns":2,"outcome":"ok"}',
            "line 4",
        ),
    ],
)
def test_a_broken_line_is_named(write_run: WriteRun, operation: Operation, change: str, words: str) -> None:
    lines = [json.dumps(line) for line in good_history(operation)]
    lines[3] = change
    path = write_run("\n".join(lines))
    with pytest.raises(RunDirectoryError, match=rf"history\.jsonl.*{words}"):
        judge(RunDirectory.open(path))
    assert not (path / "results.json").exists()


def test_a_line_that_is_not_text_is_named(write_run: WriteRun, operation: Operation) -> None:
    path = write_run(good_history(operation))
    lines = (path / "history.jsonl").read_bytes().splitlines()
    lines[5] = b'{"id": "\xff"}'
    (path / "history.jsonl").write_bytes(b"\n".join(lines))
    with pytest.raises(RunDirectoryError, match="line 6"):
        judge(RunDirectory.open(path))


def test_a_broken_line_of_the_faults_is_named(write_run: WriteRun, operation: Operation) -> None:
    path = write_run(good_history(operation), faults='{"id": "f1"}\nnonsense\n')
    with pytest.raises(RunDirectoryError, match=r"faults\.jsonl: line 2"):
        judge(RunDirectory.open(path))


@pytest.mark.parametrize("plan", [{"workload": "unheard"}, {"seed": "x"}, {"nodes": 0}])
def test_a_plan_nobody_can_read(write_run: WriteRun, operation: Operation, plan: dict[str, Any]) -> None:
    path = write_run(good_history(operation), **plan)
    with pytest.raises(RunDirectoryError, match=r"plan\.json"):
        judge(RunDirectory.open(path))


def hashes_of(*members: tuple[int, int] | str) -> Hashes:
    found = Hashes(revision=4)
    for number, member in enumerate(members, 1):
        answer = (
            {"error": member}
            if isinstance(member, str)
            else {"hash": member[0], "compact_revision": member[1]}
        )
        found.members[f"m{number}"] = answer
    found.judge()
    return found


@pytest.mark.parametrize(
    ("hashes", "equal", "verdict"),
    [
        (hashes_of((1, -1), (1, -1), (1, -1)), True, Verdict.VALID),
        (hashes_of((1, -1), (2, -1), (1, -1)), False, Verdict.INVALID),
        (hashes_of((1, -1), (2, 3), (1, -1)), None, Verdict.UNKNOWN),
        (hashes_of((1, -1), "gone", (1, -1)), None, Verdict.UNKNOWN),
        (hashes_of((1, -1), "gone", (2, -1)), False, Verdict.INVALID),
        (hashes_of("gone", "gone"), None, Verdict.UNKNOWN),
    ],
)
def test_hashes(hashes: Hashes, equal: bool | None, verdict: Verdict) -> None:
    assert hashes.equal is equal
    check = check_hashes({"hashes": hashes.to_json()}, interrupted=False)
    assert check.verdict is verdict
    assert (check.explanation is not None) == (verdict is Verdict.INVALID)


def test_members_that_nobody_looked_at_are_unknown() -> None:
    assert check_members({}).verdict is Verdict.UNKNOWN
    assert check_hashes({}, interrupted=True).verdict is Verdict.UNKNOWN


def test_faults_without_teeth_and_refused_ones_are_listed() -> None:
    records = [
        {"id": "f1", "name": "cut", "evidence": {"bit": True}},
        {"id": "f2", "name": "cut", "evidence": {"bit": False}},
        {"id": "f3", "name": "kill", "evidence": {"bit": False, "refused": "no process"}},
        {"id": "f4", "name": "pause"},
    ]
    found = summarize_faults(records)
    assert (found["total"], found["bit"]) == (3, 1)
    assert found["by_name"] == {"cut": 2, "pause": 1}
    assert [each["id"] for each in found["not_seen_to_bite"]] == ["f2", "f4"]
    assert [each["id"] for each in found["refused"]] == ["f3"]
