"""The checks of a run by name: against the history as it is read from its file, and with nothing to check."""

from __future__ import annotations

import json
from typing import Any

import pytest
from gauntlet.checkers.records import Run, load
from gauntlet.checkers.registry import by_name, judge
from gauntlet.checkers.watch import read_watches
from porcupine.search import Verdict


def operation(number: int, op: str, key: str | None, args: Any, response: Any) -> str:
    at = 100 * number
    times = {"call_ns": at, "return_ns": at + 50, "outcome": "ok"}
    rest = {"member": "m1", "op": op, "key": key, "args": args, "response": response, "error": None}
    return json.dumps({"id": number, "client": 1, **times, **rest})


HISTORY = [
    operation(0, "lease_grant", None, {"id": 7, "ttl": 60}, {"revision": 1, "id": 7, "ttl": 60}),
    operation(1, "put", "a", {"value": "1", "lease": 7}, {"revision": 2}),
    operation(2, "put", "b", {"value": "1"}, {"revision": 3}),
    operation(
        3,
        "txn",
        None,
        {"success": [{"op": "put", "key": key, "args": {"value": "2", "lease": 7}} for key in "ab"]},
        {"revision": 4, "succeeded": True, "responses": [{}, {}]},
    ),
    operation(4, "lease_revoke", None, {"id": 7}, {"revision": 5}),
    operation(5, "range", "a", {}, {"revision": 5, "kvs": [], "count": 0}),
]


def put(key: str, value: str, mod: int, created: int, version: int, lease: int) -> dict[str, Any]:
    revisions = {"mod_revision": mod, "create_revision": created, "version": version, "lease": lease}
    return {"type": "put", "key": key, "value": value, **revisions}


EVENTS = [
    [put("a", "1", 2, 2, 1, 7)],
    [put("b", "1", 3, 3, 1, 0)],
    [put("a", "2", 4, 2, 2, 7), put("b", "2", 4, 3, 2, 7)],
    [{"type": "delete", "key": key, "mod_revision": 5} for key in "ab"],
]


def run_with(events: list[list[dict[str, Any]]]) -> Run:
    who = {"client": 9, "watcher": "w"}
    lines: list[dict[str, Any]] = [
        {"kind": "create", **who, "at_ns": 0, "request": {"key": "", "range_end": "\0"}},
        {"kind": "created", **who, "at_ns": 1, "revision": 1},
    ]
    for number, each in enumerate(events):
        lines.append({"kind": "events", **who, "at_ns": 1000 + number, "revision": 5, "events": each})
    run = load(HISTORY)
    run.watches = read_watches(map(json.dumps, lines))
    return run


def test_a_run_is_judged_against_its_history() -> None:
    result = by_name("watch")(run_with(EVENTS))
    assert result.verdict is Verdict.VALID, result.summary
    assert result.details["history_revisions"] == 4
    assert by_name("lease")(run_with(EVENTS)).verdict is Verdict.VALID


@pytest.mark.parametrize("lost", range(3))
def test_a_lost_event_of_a_run_is_seen(lost: int) -> None:
    events = [each for number, each in enumerate(EVENTS) if number != lost]
    result = by_name("watch")(run_with(events))
    assert result.verdict is Verdict.INVALID
    assert result.explanation is not None
    assert "was never sent" in result.explanation["text"]


def test_half_an_expiry_is_seen() -> None:
    result = by_name("watch")(run_with([*EVENTS[:3], EVENTS[3][:1]]))
    assert result.details["guarantees"]["atomic"]["state"] == "invalid"


def test_a_history_without_an_order_proves_nothing_of_its_watches() -> None:
    run = run_with(EVENTS)
    broken = load([*HISTORY, operation(6, "put", "c", {"value": "3"}, {"revision": 5})])
    broken.watches = run.watches
    result = by_name("watch")(broken)
    assert result.verdict is Verdict.UNKNOWN
    assert "no linearization" in result.summary


def test_nothing_recorded_is_said_and_is_no_pass() -> None:
    verdict, results = judge(load(HISTORY[1:3]), ["watch", "lease", "lock", "election"])
    assert verdict is Verdict.UNKNOWN
    for result in results[:4]:
        assert result.verdict is Verdict.UNKNOWN
        assert "nothing to check" in result.summary
