"""Locks and elections: valid histories pass, the smallest violation of each guarantee has its own name."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from gauntlet.checkers.election import judge_elections
from gauntlet.checkers.lock import World, judge_locks
from gauntlet.checkers.verdict import CheckResult
from gauntlet.checkers.watch import Effect
from porcupine.history import Operation
from porcupine.search import Verdict

Make = Callable[[Any], list[dict[str, Any]]]


def broken(result: CheckResult) -> list[str]:
    return [name for name, each in result.details["guarantees"].items() if each["state"] == "invalid"]


def locks_of(made: tuple[list[Operation], list[Operation]]) -> CheckResult:
    return judge_locks(made[0], World(made[1], leader_changes=()))


def elections_of(made: tuple[list[Operation], list[Operation]]) -> CheckResult:
    return judge_elections(made[0], World(made[1], leader_changes=()))


LOCKS: dict[str, Make] = {
    "in turn": lambda m: [
        m.grant(1),
        m.grant(2),
        m.lock(1, 0.2, 2, 2),
        m.write(1, 0.5, 2, 3),
        m.lock(2, 0.6, 4, 5, took=0.6),
        m.unlock(1, 1, 5),
        m.write(2, 1.5, 4, 6),
        m.unlock(2, 2, 7),
    ],
    "again by the same": lambda m: [
        m.grant(1),
        m.lock(1, 0.2, 2, 2),
        m.unlock(1, 0.5, 3),
        m.lock(1, 1, 4, 4),
        m.write(1, 1.2, 4, 5),
    ],
    "refused after the release": lambda m: [
        m.grant(1),
        m.lock(1, 0.2, 2, 2),
        m.write(1, 0.4, 2, 3),
        m.unlock(1, 0.5, 4),
        m.write(1, 1, 2, 4, done=False),
    ],
    "deleted by somebody": lambda m: [
        m.grant(1),
        m.grant(2),
        m.lock(1, 0.2, 2, 2),
        m.write(1, 0.4, 2, 3),
        m.line("delete_range", "l/", 0.6, {"revision": 4, "deleted": 1}, end="l0"),
        m.lock(2, 1, 5, 5),
    ],
}

LOCK_VIOLATIONS: dict[str, dict[str, Make]] = {
    "granted": {
        "key of another": lambda m: [m.grant(1), {**m.lock(2, 1, 2, 2), "args": {"lease": 1}}],
        "made later": lambda m: [m.grant(1), m.lock(1, 1, 3, 2)],
    },
    "order": {
        "older key there": lambda m: [
            m.grant(1),
            m.grant(2),
            m.lock(2, 0.2, 4, 5),
            m.unlock(2, 0.5, 6),
            m.lock(1, 1, 2, 7),
        ],
    },
    "exclusion": {
        "two": lambda m: [m.grant(1), m.grant(2), m.lock(1, 0.2, None, 2), m.lock(2, 0.5, None, 3)],
    },
    "kept": {
        "refused": lambda m: [m.grant(1), m.lock(1, 0.2, 2, 2), m.write(1, 1, 2, 3, done=False)],
    },
    "fencing": {
        "older after newer": lambda m: [
            m.grant(1, ttl=1),
            m.grant(2),
            m.lock(1, 0.2, 2, 2),
            m.lock(2, 3, 4, 5),
            m.write(2, 3.5, 4, 6),
            m.write(1, 4, 2, 7),
        ],
        "after the release": lambda m: [
            m.grant(1),
            m.lock(1, 0.2, 2, 2),
            m.unlock(1, 0.5, 3),
            m.write(1, 1, 2, 4),
        ],
    },
}


@pytest.mark.parametrize("case", LOCKS)
def test_valid_locks_pass(lines: Any, parse: Any, case: str) -> None:
    result = locks_of(parse(LOCKS[case](lines)))
    assert result.verdict is Verdict.VALID, result.summary


@pytest.mark.parametrize(
    ("name", "case"), [(name, case) for name, each in LOCK_VIOLATIONS.items() for case in each]
)
def test_a_violation_of_a_lock_has_its_own_name(lines: Any, parse: Any, name: str, case: str) -> None:
    result = locks_of(parse(LOCK_VIOLATIONS[name][case](lines)))
    assert result.verdict is Verdict.INVALID
    # A former holder's write also proves that its key was there when the next one was granted.
    further = {"order"} if case == "older after newer" else set()
    assert set(broken(result)) == {name, *further}, result.details["findings"]
    assert result.explanation is not None
    assert "on m1" in result.explanation["text"]


def test_an_overlap_after_the_lease_ended_is_a_remark(lines: Any, parse: Any) -> None:
    made = [lines.grant(1, ttl=2), lines.grant(2, ttl=60), lines.lock(1, 0.2, 2, 2), lines.lock(2, 3, 3, 5)]
    result = locks_of(parse([*made, lines.unlock(1, 9, 6)]))
    assert result.verdict is Verdict.VALID, result.summary
    (remark,) = result.details["remarks"]
    assert "as documented" in remark["label"]
    assert len(remark["operations"]) == 3
    assert "1 remarks" in result.summary


def test_an_overlap_of_holders_with_unknown_leases_is_not_decided(lines: Any, parse: Any) -> None:
    made = parse([lines.lock(1, 0.2, 2, 2), lines.unlock(1, 5, 6), lines.lock(2, 1, 3, 5)])
    result = judge_locks(made[0], World(made[1]))
    assert result.verdict is Verdict.UNKNOWN
    assert result.details["guarantees"]["exclusion"]["state"] == "not proven"


def test_the_history_tells_whether_the_key_was_there(lines: Any, parse: Any) -> None:
    made = parse([lines.grant(1), lines.lock(1, 0.2, 2, 3)])
    there = [(2, [Effect("l/1", "", 2, 1, 1)]), (3, [Effect("x", "", 3, 1, 0)])]
    gone = [there[0], (3, [Effect("l/1", None)])]
    assert judge_locks(made[0], World(made[1], there)).verdict is Verdict.VALID
    assert broken(judge_locks(made[0], World(made[1], gone))) == ["granted"]


def test_without_locks_there_is_nothing_to_check(lines: Any, parse: Any) -> None:
    made = parse([lines.grant(1)])
    result = judge_locks(made[0], World(made[1]))
    assert result.verdict is Verdict.UNKNOWN
    assert "nothing to check" in result.summary
    assert judge_elections(made[0], World(made[1])).verdict is Verdict.UNKNOWN


ELECTIONS: dict[str, Make] = {
    "in turn": lambda m: [
        m.grant(1),
        m.grant(2),
        m.campaign(1, 0.2, 2),
        m.seen(1, 0.4, 2, 2, 2),
        m.seen(1, 0.45, 2, 2, 2, "o"),
        m.campaign(2, 0.5, 3, took=1),
        m.proclaim(1, 0.6, 2, 4),
        m.seen(1, 0.8, 2, 4, 4, "o"),
        m.resign(1, 1, 2, 5),
        m.seen(2, 1.6, 3, 3, 5),
        m.seen(2, 1.7, 3, 3, 5, "o"),
        m.proclaim(2, 1.8, 3, 6),
    ],
    "told with a later header": lambda m: [
        m.grant(1),
        m.grant(2),
        m.campaign(1, 0.2, 2),
        m.proclaim(1, 0.4, 2, 3),
        m.campaign(2, 0.5, 4, took=1),
        m.resign(1, 0.7, 2, 5),
        m.seen(2, 1.6, 4, 4, 5),
        m.seen(1, 1.7, 2, 3, 6, "o"),
    ],
}

ELECTION_VIOLATIONS: dict[str, dict[str, Make]] = {
    "one_leader": {"two": lambda m: [m.seen(1, 0, 2, 2, 5), m.seen(2, 0.2, 3, 3, 5)]},
    "order": {"older later": lambda m: [m.seen(2, 0, 3, 3, 5), m.seen(1, 0.2, 2, 2, 6)]},
    "observe": {
        "back": lambda m: [m.seen(1, 0, 2, 5, 5, "o"), m.seen(1, 0.2, 2, 2, 5, "o")],
        "twice": lambda m: [m.seen(1, 0, 2, 5, 5, "o"), m.seen(1, 0.2, 2, 5, 5, "o")],
    },
    "proclaim": {
        "younger leads": lambda m: [m.seen(2, 0, 3, 3, 5), m.proclaim(1, 0.2, 2, 6)],
        "resigned": lambda m: [m.resign(1, 0, 2, 5), m.proclaim(1, 0.2, 2, 6)],
    },
    "resign": {"still leads": lambda m: [m.resign(1, 0, 2, 5), m.seen(1, 0.2, 2, 2, 6)]},
    "exclusion": {
        "two": lambda m: [m.grant(1), m.grant(2), m.campaign(1, 0.2, 2), m.campaign(2, 0.5, 3)],
    },
    "granted": {"key": lambda m: [{**m.campaign(1, 0.2, 2), "args": {"lease": 3, "value": ""}}]},
}


@pytest.mark.parametrize("case", ELECTIONS)
def test_valid_elections_pass(lines: Any, parse: Any, case: str) -> None:
    result = elections_of(parse(ELECTIONS[case](lines)))
    assert result.verdict is Verdict.VALID, result.summary


@pytest.mark.parametrize(
    ("name", "case"), [(name, case) for name, each in ELECTION_VIOLATIONS.items() for case in each]
)
def test_a_violation_of_an_election_has_its_own_name(lines: Any, parse: Any, name: str, case: str) -> None:
    result = elections_of(parse(ELECTION_VIOLATIONS[name][case](lines)))
    assert result.verdict is Verdict.INVALID
    assert broken(result) == [name], result.details["findings"]


# ---- one change in a valid history, drawn at random ----


def turns(lines: Any, rng: random.Random) -> tuple[list[dict[str, Any]], list[int]]:
    """Holders one after the other, each with guarded writes; (lines, where each one's lock line is)."""
    made, places = [], []
    now, revision = 0.0, 1
    waiting: list[tuple[int, int]] = []  # (lease, token)
    lease = 0
    for _ in range(rng.randint(4, 9)):
        while len(waiting) < rng.randint(1, 3):
            lease, revision = lease + 1, revision + 1
            waiting.append((lease, revision))
            made.append(lines.grant(lease, 0, ttl=1000))
        holder, token = waiting.pop(0)
        places.append(len(made))
        made.append(lines.lock(holder, now, token, revision))
        now += 0.2
        for _ in range(rng.randint(1, 3)):
            revision += 1
            made.append(lines.write(holder, now, token, revision))
            now += 0.2
        revision += 1
        made.append(lines.unlock(holder, now, revision))
        now += 0.2
    return made, places


def early_lock(rng: random.Random, made: list[dict[str, Any]], places: list[int]) -> set[str]:
    """One is granted while the one before still holds."""
    place = rng.randrange(1, len(places))
    before, line = made[places[place - 1]], made[places[place]]
    line["call_ns"] = before["return_ns"] + 10
    line["return_ns"] = before["return_ns"] + 20
    return {"exclusion"}


def early_revision(rng: random.Random, made: list[dict[str, Any]], places: list[int]) -> set[str] | None:
    """One claims to have been granted when its key was made, although others were before it."""
    candidates = [
        made[place]
        for place, before in zip(places[1:], places, strict=False)
        if made[place]["response"]["create_revision"] <= made[before + 1]["response"]["revision"]
    ]
    if not candidates:
        return None
    response = rng.choice(candidates)["response"]
    response["revision"] = response["create_revision"]
    return {"order"}


def late_write(rng: random.Random, made: list[dict[str, Any]], places: list[int]) -> set[str]:
    """A write under an old token lands at the end."""
    place = rng.randrange(len(places) - 1)
    write, last = made[places[place] + 1], made[-2]
    moved = {**write, "client": "late", "response": {**write["response"]}}
    moved["call_ns"], moved["return_ns"] = last["return_ns"] + 1, last["return_ns"] + 2
    moved["response"]["revision"] = last["response"]["revision"] + 5
    made.append(moved)
    return {"fencing"}


def refused_write(rng: random.Random, made: list[dict[str, Any]], places: list[int]) -> set[str]:
    write = made[rng.choice(places) + 1]
    write["response"] = {**write["response"], "succeeded": False, "responses": []}
    return {"kept"}


@pytest.mark.parametrize(
    "mutation", [early_lock, early_revision, late_write, refused_write], ids=lambda each: each.__name__
)
def test_every_random_change_is_caught_by_a_fitting_guarantee(lines: Any, parse: Any, mutation: Any) -> None:
    done = 0
    for seed in range(40):
        rng = random.Random(f"{seed}:{mutation.__name__}")
        made, places = turns(lines, rng)
        clean = locks_of(parse(made))
        assert clean.verdict is Verdict.VALID, (seed, clean.summary)
        assert not clean.details["remarks"]
        expected = mutation(rng, made, places)
        if expected is None:
            continue
        done += 1
        result = locks_of(parse(made))
        assert result.verdict is Verdict.INVALID, seed
        assert expected & set(broken(result)), (seed, result.summary)
    assert done >= 15
