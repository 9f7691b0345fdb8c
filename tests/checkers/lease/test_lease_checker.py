"""Each lease guarantee: kept by a valid history, and its smallest violation caught under its own name."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from gauntlet.checkers.etcd.records import decode, refused
from gauntlet.checkers.lease import judge_leases
from gauntlet.checkers.verdict import CheckResult
from porcupine.history import Operation
from porcupine.jsonl import read_operations
from porcupine.search import Verdict

SECOND = 1_000_000_000
GONE = {"code": "NOT_FOUND", "message": "etcdserver: requested lease not found"}
IN_USE = {"code": "FAILED_PRECONDITION", "message": "etcdserver: lease already exists"}


def line(op: str, at: float, response: Any = None, key: str | None = None, **more: Any) -> dict[str, Any]:
    """One that took 0.1 s from `at` (s)."""
    outcome = more.pop("outcome", "failed" if "error" in more else "ok")
    extra: dict[str, Any] = {"error": more.pop("error")} if "error" in more else {}
    call = int(at * SECOND)
    return {
        "client": f"{op}-{at}",
        "member": "m1",
        "op": op,
        "key": key,
        "args": more,
        "call_ns": call,
        "return_ns": call + SECOND // 10,
        "outcome": outcome,
        "response": response,
        **extra,
    }


def grant(at: float, ttl: int = 5, id: int = 7, asked: int = 7, **more: Any) -> dict[str, Any]:
    return line("lease_grant", at, {"revision": 1, "id": id, "ttl": ttl}, id=asked, ttl=ttl, **more)


def keep(at: float, ttl: int = 5) -> dict[str, Any]:
    return line("lease_keep_alive", at, {"revision": 1, "ttl": ttl}, id=7)


def revoke(at: float, **more: Any) -> dict[str, Any]:
    return line("lease_revoke", at, None if more else {"revision": 9}, id=7, **more)


def left(at: float, ttl: int, granted: int = 5, keys: list[str] | None = None) -> dict[str, Any]:
    response = {"revision": 1, "ttl": ttl, "granted_ttl": granted, "keys": keys}
    return line("lease_time_to_live", at, response, id=7, keys=keys is not None)


def none_left(at: float) -> dict[str, Any]:
    return line("lease_time_to_live", at, {"revision": 1, "ttl": -1, "granted_ttl": 0}, id=7)


def put(at: float, lease: int = 7, revision: int = 2, **more: Any) -> dict[str, Any]:
    response = None if "error" in more else {"revision": revision}
    return line("put", at, response, "k", value="v", lease=lease, **more)


def present(at: float, lease: int | None = 7, revision: int = 2) -> dict[str, Any]:
    kv = {"key": "k", "value": "v", "create_revision": 2, "mod_revision": revision, "version": 1}
    return line("range", at, {"revision": 5, "kvs": [{**kv, "lease": lease}], "count": 1}, "k")


def absent(at: float) -> dict[str, Any]:
    return line("range", at, {"revision": 5, "kvs": [], "count": 0}, "k")


def operations(*lines: dict[str, Any]) -> list[Operation]:
    ordered = sorted(lines, key=lambda each: each["call_ns"])
    text = [json.dumps({"id": number, **each}) for number, each in enumerate(ordered)]
    return [refused(each) for each in read_operations(text, decode)]


def judged(lines: list[dict[str, Any]], **more: Any) -> CheckResult:
    return judge_leases(operations(*lines), leader_changes=(), **more)


def broken(result: CheckResult) -> list[str]:
    return [name for name, each in result.details["guarantees"].items() if each["state"] == "invalid"]


VALID: dict[str, list[dict[str, Any]]] = {
    "whole life": [
        grant(0),
        put(0.2),
        present(1),
        keep(3),
        left(4, 3, keys=["k"]),
        left(8.5, 0),
        none_left(9),
        absent(9.2),
    ],
    "revoked": [grant(0), put(0.2), revoke(1), none_left(2), absent(2), put(3, error=GONE)],
    "revoked without an answer": [
        grant(0),
        revoke(1, error={"code": "UNAVAILABLE"}, outcome="unknown"),
        none_left(2),
    ],
    "ran out": [grant(0), none_left(5.5)],
    "kept on and on": [grant(0), *(keep(at) for at in range(1, 40, 3)), left(41, 1)],
    "late but within bounds": [grant(0), left(8, -2)],
    "granted again": [grant(0), revoke(1), grant(2), left(3, 3)],
    "in use": [grant(0), line("lease_grant", 1, None, id=7, ttl=5, error=IN_USE)],
    "chosen by the server": [grant(0, asked=0, id=1), grant(1, asked=0, id=2)],
    "deleted": [grant(0), put(0.2), line("delete_range", 1, {"revision": 3, "deleted": 1}, "k"), absent(2)],
    "put without lease": [grant(0), put(0.2), put(1, lease=0, revision=3), none_left(6), present(7, 0, 3)],
    "not yet": [none_left(0), grant(1), left(2, 3)],
    "side by side": [grant(0), none_left(0.05), left(1, 4)],
}

VIOLATIONS: dict[str, dict[str, list[dict[str, Any]]]] = {
    "lives": {
        "gone": [grant(0), none_left(4)],
        "gone though kept": [grant(0), keep(4), none_left(8)],
        "keep-alive refused": [grant(0), keep(2, ttl=0)],
        "put refused": [grant(0), put(2, error=GONE)],
        "not to revoke": [grant(0), revoke(2, error=GONE)],
    },
    "ends": {
        "still there": [grant(0), left(11, -6)],
        "its key": [grant(0), put(0.2), present(20)],
        "kept too late": [grant(0), keep(20)],
    },
    "final": {
        "after a revocation": [grant(0), revoke(1), left(2, 2)],
        "after its end": [grant(0), none_left(6), keep(7)],
        "taken for a put": [grant(0), revoke(1), put(2)],
    },
    "unique": {
        "server's": [grant(0, asked=0), grant(1, asked=0)],
        "client's": [grant(0), grant(1)],
        "another": [grant(0, asked=8)],
    },
    "ttl": {
        "granted": [grant(0), left(1, 3, granted=6)],
        "too short": [grant(0), left(1, 1)],
        "too long": [grant(0), left(3, 4)],
        "more than granted": [grant(0), left(0.05, 6)],
        "key": [grant(0), left(1, 3, keys=["x"])],
    },
    "keys_go": {
        "revoked": [grant(0), put(0.2), revoke(1), present(2)],
        "by revision": [grant(0), put(0.2), revoke(1), present(2, lease=None)],
        "ran out": [grant(0), put(0.2), none_left(6), present(7)],
    },
    "keys_stay": {
        "alive by time": [grant(0), put(0.2), absent(3)],
        "alive by sight": [grant(0), put(0.2), keep(4), absent(8), left(8.2, 0)],
    },
}


@pytest.mark.parametrize("case", VALID)
def test_a_valid_history_passes(case: str) -> None:
    result = judged(VALID[case])
    assert result.verdict is Verdict.VALID, result.summary


@pytest.mark.parametrize(
    ("guarantee", "case"), [(name, case) for name, cases in VIOLATIONS.items() for case in cases]
)
def test_a_violation_has_its_own_name(guarantee: str, case: str) -> None:
    result = judged(VIOLATIONS[guarantee][case])
    assert result.verdict is Verdict.INVALID
    assert broken(result) == [guarantee], result.details["findings"]
    assert result.explanation is not None
    assert result.explanation["operations"]
    assert " on m1 (" in result.explanation["text"]


def test_a_fault_puts_the_end_off() -> None:
    lines = [grant(0), left(12, 3)]
    assert broken(judged(lines)) == ["ends", "ttl"]
    fault = {"name": "kill", "start_ns": 2 * SECOND, "end_ns": 4 * SECOND}
    assert not broken(judged(lines, faults=[fault]))
    assert not broken(judge_leases(operations(*lines), leader_changes=[4 * SECOND]))


def test_near_a_fault_answers_from_memory_are_not_relied_upon() -> None:
    fault = {"name": "cut", "start_ns": 3 * SECOND, "end_ns": 4 * SECOND}
    assert not broken(judged([grant(0), none_left(3)], faults=[fault]))
    assert broken(judged([grant(0), put(3, error=GONE)], faults=[fault])) == ["lives"]


def test_an_unseen_leader_change_is_allowed_for() -> None:
    assert not broken(judge_leases(operations(grant(0), left(11, 4))))
    assert broken(judge_leases(operations(grant(0), left(30, 0)))) == ["ends"]


def test_without_leases_there_is_nothing_to_check() -> None:
    result = judged([put(0, lease=0)])
    assert result.verdict is Verdict.UNKNOWN
    assert "nothing to check" in result.summary


# ---- one change in a valid history, drawn at random ----


def live(seed: int) -> list[Operation]:
    """A lease that is kept for a while, with a key, then left alone until it is gone."""
    rng = random.Random(f"{seed}:lease")
    ttl, now, lines = rng.randint(3, 9), 0.0, []
    lines += [grant(0, ttl=ttl), put(0.2)]
    renewed = 0.0
    for _ in range(rng.randint(3, 10)):
        now += rng.uniform(0.3, 0.8) * ttl * 0.9
        if now - renewed > 0.8 * ttl:
            now = renewed + 0.8 * ttl
        lines += [left(now, int(renewed + ttl - now), granted=ttl), present(now + 0.15)]
        now += 0.3
        lines.append(keep(now, ttl))
        renewed = now
    end = renewed + ttl + rng.uniform(0.2, 2)
    lines += [none_left(end), absent(end + 0.2), none_left(end + 1)]
    return operations(*lines)


Mutation = Callable[[random.Random, list[Operation]], set[str]]


def early_end(rng: random.Random, history: list[Operation]) -> set[str]:
    """A time-to-live answer says gone, at a time when the lease lives."""
    place = rng.choice([n for n, each in enumerate(history[:-3]) if type(each.call).__name__ == "TimeToLive"])
    answer: Any = history[place].response
    history[place] = replace(history[place], response=answer._replace(ttl=-1, granted_ttl=0))
    return {"lives", "final"}


def lost_key(rng: random.Random, history: list[Operation]) -> set[str]:
    place = rng.choice([n for n, each in enumerate(history[:-3]) if type(each.call).__name__ == "Range"])
    answer: Any = history[place].response
    history[place] = replace(history[place], response=answer._replace(kvs=(), count=0))
    return {"keys_stay"}


def key_stays(rng: random.Random, history: list[Operation]) -> set[str]:
    shown: Any = next(each.response for each in history if type(each.call).__name__ == "Range")
    place = next(n for n in range(len(history) - 1, 0, -1) if type(history[n].call).__name__ == "Range")
    history[place] = replace(history[place], response=shown)
    return {"keys_go"}


def comes_back(rng: random.Random, history: list[Operation]) -> set[str]:
    answer: Any = history[-1].response
    history[-1] = replace(history[-1], response=answer._replace(ttl=1, granted_ttl=granted(history)))
    return {"final"}


def granted(history: list[Operation]) -> int:
    answer: Any = history[0].response
    return int(answer.ttl)


def late_end(rng: random.Random, history: list[Operation]) -> set[str]:
    """Everything from the end on is moved by a minute, and the lease is still there."""
    last: Any = history[-3]
    moved = replace(
        last, call_time_ns=last.call_time_ns + 60 * SECOND, return_time_ns=last.return_time_ns + 60 * SECOND
    )
    answer = last.response._replace(ttl=0, granted_ttl=granted(history))
    history[-3:] = [replace(moved, response=answer)]
    return {"ends"}


def wrong_ttl(rng: random.Random, history: list[Operation]) -> set[str]:
    place = rng.choice([n for n, each in enumerate(history[:-3]) if type(each.call).__name__ == "TimeToLive"])
    answer: Any = history[place].response
    history[place] = replace(history[place], response=answer._replace(ttl=answer.ttl + rng.choice([-3, 3])))
    return {"ttl"}


@pytest.mark.parametrize(
    "mutation",
    [early_end, lost_key, key_stays, comes_back, late_end, wrong_ttl],
    ids=lambda each: each.__name__,
)
def test_every_random_change_is_caught_by_a_fitting_guarantee(mutation: Mutation) -> None:
    for seed in range(40):
        history = live(seed)
        clean = judge_leases(history, leader_changes=())
        assert clean.verdict is Verdict.VALID, (seed, clean.summary)
        expected = mutation(random.Random(f"{seed}:{mutation.__name__}"), history)
        result = judge_leases(history, leader_changes=())
        assert result.verdict is Verdict.INVALID, seed
        assert expected & set(broken(result)), (seed, result.summary)
