"""Each watch guarantee: kept by a valid record, and its smallest violation caught under its own name."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from gauntlet.checkers.verdict import CheckResult
from gauntlet.checkers.watch import (
    Compaction,
    Delivery,
    Effect,
    Watcher,
    judge_watchers,
    read_watches,
    write_watches,
)
from porcupine.history import HistoryError
from porcupine.search import Verdict

# Four revisions: a is made, a and b together, a goes, a is made anew.
EFFECTS = [
    (2, [Effect("a", "1", 2, 1, 0)]),
    (3, [Effect("a", "2", 2, 2, 0), Effect("b", "1", 3, 1, 0)]),
    (4, [Effect("a", None, 0, 0, 0)]),
    (5, [Effect("a", "3", 5, 1, 0)]),
]


def put(key: str, value: str, mod: int, created: int, version: int, **more: Any) -> dict[str, Any]:
    revisions = {"mod_revision": mod, "create_revision": created, "version": version}
    return {"type": "put", "key": key, "value": value, **revisions, "lease": 0, **more}


def delete(key: str, mod: int, **more: Any) -> dict[str, Any]:
    return {"type": "delete", "key": key, "mod_revision": mod, **more}


A2, A3, B3, A4, A5 = (
    put("a", "1", 2, 2, 1),
    put("a", "2", 3, 2, 2),
    put("b", "1", 3, 3, 1),
    delete("a", 4),
    put("a", "3", 5, 5, 1),
)


def before(value: str, mod: int, created: int, version: int) -> dict[str, Any]:
    return {
        "value": value,
        "mod_revision": mod,
        "create_revision": created,
        "version": version,
        "lease": 0,
    }


P2, P3 = before("1", 2, 2, 1), before("2", 3, 2, 2)


def events(*items: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"kind": "events", "revision": items[-1]["mod_revision"], "events": list(items), **more}


def progress(revision: int) -> dict[str, Any]:
    return {"kind": "progress", "revision": revision}


def created(revision: int) -> dict[str, Any]:
    return {"kind": "created", "revision": revision}


def compacted(revision: int) -> dict[str, Any]:
    return {"kind": "canceled", "revision": 9, "compact_revision": revision, "reason": "compacted"}


def watch(*deliveries: dict[str, Any], name: str = "w", **request: Any) -> list[Watcher]:
    """One watcher of every key, or of what is asked for."""
    request = {"key": "", "range_end": "\0", **request}
    who = {"client": 1, "watcher": name}
    lines = [{"kind": "create", **who, "at_ns": 0, "member": "m1", "request": request}]
    lines += [{**who, "at_ns": 10 * number, **each} for number, each in enumerate(deliveries, 1)]
    return read_watches([json.dumps(line) for line in lines])


def judged(watchers: list[Watcher], compactions: list[Compaction] | None = None) -> CheckResult:
    """Against the history."""
    return judge_watchers(watchers, EFFECTS, complete=True, compactions=compactions or [])


def broken(result: CheckResult) -> list[str]:
    return [name for name, each in result.details["guarantees"].items() if each["state"] == "invalid"]


WHOLE = (created(1), events(A2), events(A3, B3), events(A4), progress(4), events(A5))
PREVIOUS = (
    created(1),
    events(A2),
    events({**A3, "prev_kv": P2}, B3),
    events({**A4, "prev_kv": P3}, A5),
)
COMPACTION = [Compaction(4, 5)]

VALID: dict[str, tuple[list[Watcher], list[Compaction]]] = {
    "whole": (watch(*WHOLE), []),
    "several revisions in a list": (watch(created(1), events(A2, A3, B3, A4, A5), progress(5)), []),
    "previous values": (watch(*PREVIOUS, prev_kv=True), []),
    "one key": (watch(created(1), events(B3), key="b", range_end=""), []),
    "without puts": (watch(created(1), events(A4), progress(5), filters=["noput"]), []),
    "without deletes": (watch(created(1), events(A2, A3, B3), events(A5), filters=["nodelete"]), []),
    "from a revision": (watch(created(5), events(A4), events(A5), start_revision=4), []),
    "from the future": (watch(created(1), progress(3), events(A4), start_revision=4), []),
    "later than its birth": (watch(created(3), events(A4), events(A5)), []),
    "told early": (watch(created(4), events(A4), events(A5)), []),
    "fragments": (watch(created(1), events(A2), events(A3, fragment=True), events(B3), fragment=True), []),
    "broken off in a fragment": (
        watch(created(1), events(A2), events(A3, fragment=True), {"kind": "error", "error": {}}),
        [],
    ),
    "compacted": (watch(created(5), compacted(4), start_revision=2), COMPACTION),
    "previous value compacted": (
        watch(created(5), events(A4), events(A5), start_revision=4, prev_kv=True),
        COMPACTION,
    ),
    "range": (watch(created(1), events(B3), progress(5), key="b", range_end="c"), []),
}

# guarantee -> smallest violations; each must be caught under this name, and under no other.
VIOLATIONS: dict[str, dict[str, tuple[list[Watcher], list[Compaction]]]] = {
    "filter": {
        "other key": (watch(created(1), events(A2), events(B3), key="b", range_end=""), []),
        "a put": (watch(created(1), events(A2), events(A4), filters=["noput"]), []),
        "a delete": (watch(*WHOLE, filters=["nodelete"]), []),
    },
    "ordered": {
        "swapped": (watch(created(1), events(A2), events(A4), events(A3, B3), events(A5)), []),
        "in one list": (watch(created(1), events(A2, A4, A3, B3, A5)), []),
    },
    "unique": {
        "again": (watch(created(1), events(A2), events(A2), events(A3, B3)), []),
        "in one list": (watch(created(1), events(A2, A2), events(A3, B3)), []),
        "later": (watch(created(1), events(A2), events(A3, B3), events(A2), events(A4)), []),
    },
    "atomic": {
        "split": (watch(created(1), events(A2), events(A3), events(B3), events(A4)), []),
        "half": (watch(created(1), events(A2), events(A3), events(A4)), []),
        "torn": (
            watch(created(1), events(A2), events(A3, B3, fragment=True), progress(3), fragment=True),
            [],
        ),
    },
    "bookmarkable": {
        "overtook": (watch(created(1), events(A2), progress(4), events(A3, B3), events(A4)), []),
        "without": (watch(created(1), events(A2), events(A3, B3), progress(4), events(A5)), []),
        "back": (watch(created(1), events(A2), progress(2), progress(1)), []),
        "behind": (watch(created(1), events(A2), events(A3, B3), progress(2)), []),
    },
    "resumable": {
        "too late": (watch(created(5), events(A4), events(A5), start_revision=3), []),
        "too old": (watch(created(5), events(A3, B3), events(A4), start_revision=4), []),
    },
    "reliable": {
        "gap": (watch(created(1), events(A2), events(A4), events(A5)), []),
        "from birth": (watch(created(1), events(A3, B3), events(A4)), []),
        "after a start": (watch(created(1), events(A2), events(A4), start_revision=2), []),
    },
    "is_create": {
        "not new": (watch(created(1), events(put("a", "1", 2, 1, 2))), []),
        "new": (watch(created(1), events(A2), events(put("a", "2", 3, 3, 1), B3)), []),
        "flag alone": (watch(created(1), events(A2), events(put("a", "2", 3, 3, 2), B3)), []),
    },
    "prev_kv": {
        "other value": (
            watch(created(1), events(A2), events({**A3, "prev_kv": {**P2, "value": "x"}}, B3), prev_kv=True),
            [],
        ),
        "of a new key": (
            watch(created(1), events({**A2, "prev_kv": before("0", 1, 1, 1)}), prev_kv=True),
            [],
        ),
        "missing": (watch(created(1), events(A2), events(A3, B3), prev_kv=True), []),
        "not asked for": (watch(*PREVIOUS[:3]), []),
        "of a delete": (watch(created(3), events({**A4, "prev_kv": P2}), prev_kv=True), []),
        "not old": (
            watch(created(3), events({**A4, "prev_kv": {**P3, "mod_revision": 4}}), prev_kv=True),
            [],
        ),
        "missing above the compaction": (
            watch(created(5), events(A4), events(A5), start_revision=4, prev_kv=True),
            [Compaction(3, 5)],
        ),
    },
    "compacted": {
        "silent": (watch(created(5), events(A4), events(A5), start_revision=2), COMPACTION),
        "needless": (watch(created(5), compacted(4), start_revision=4), COMPACTION),
        "nobody's": (watch(created(5), compacted(4), start_revision=2), []),
        "too early": (watch(created(5), compacted(4), start_revision=2), [Compaction(4, 1000)]),
    },
    "ended": {
        "after": (watch(created(5), compacted(4), events(A4), start_revision=2), COMPACTION),
        "closed": (watch(created(1), events(A2), {"kind": "closed"}, progress(5)), []),
    },
    "content": {
        "value": (watch(created(1), events(put("a", "x", 2, 2, 1))), []),
        "phantom": (watch(created(1), events(A2), events(A3, B3, put("c", "x", 3, 3, 1))), []),
        "type": (watch(created(1), events(delete("a", 2))), []),
        "lease": (watch(created(1), events({**A2, "lease": 7})), []),
    },
}


@pytest.mark.parametrize("case", VALID)
def test_a_valid_record_passes(case: str) -> None:
    result = judged(*VALID[case])
    assert result.verdict is Verdict.VALID, result.summary


@pytest.mark.parametrize(
    ("guarantee", "case"), [(name, case) for name, cases in VIOLATIONS.items() for case in cases]
)
def test_a_violation_has_its_own_name(guarantee: str, case: str) -> None:
    result = judged(*VIOLATIONS[guarantee][case])
    assert result.verdict is Verdict.INVALID
    # What is told after the end is judged too.
    further = {"after": {"compacted"}, "closed": {"bookmarkable"}}.get(case, set())
    assert guarantee in broken(result)
    assert set(broken(result)) <= {guarantee, *further}, result.details["findings"]
    explanation = result.explanation
    assert explanation is not None
    assert explanation["label"]
    assert "client 1 on m1" in explanation["text"]
    assert "line" in explanation["text"]


def test_without_a_history_the_rest_is_said_not_to_be_proven() -> None:
    result = judge_watchers(watch(*WHOLE))
    assert result.verdict is Verdict.UNKNOWN
    states = {name: each["state"] for name, each in result.details["guarantees"].items()}
    assert states["ordered"] == states["atomic"] == states["bookmarkable"] == "valid"
    assert states["reliable"] == states["content"] == "not proven"
    assert "not proven" in result.summary


def test_watchers_are_held_against_one_another() -> None:
    whole = watch(*WHOLE, name="w1")
    other = watch(created(1), events(A2), events(A3, B3), events(A5), filters=[], name="w2")
    assert broken(judge_watchers(whole + other)) == ["reliable"]
    liar = watch(created(1), events(put("a", "x", 2, 2, 1)), name="w2")
    result = judge_watchers(whole + liar)
    assert broken(result) == ["agreement"]
    assert result.explanation is not None
    assert len(result.explanation["records"]) == 2


@pytest.mark.parametrize(
    ("deliveries", "guarantee"),
    [
        ((created(1), events(A2), events(put("a", "4", 6, 2, 4))), "reliable"),
        ((created(1), events(A2), events(A5)), "reliable"),
        ((created(1), events(A4), events(delete("a", 9))), "reliable"),
        ((created(1), events(A4), events(put("a", "4", 6, 2, 3))), "is_create"),
    ],
)
def test_one_watcher_alone_shows_a_break_in_a_key(deliveries: tuple[Any, ...], guarantee: str) -> None:
    assert broken(judge_watchers(watch(*deliveries))) == [guarantee]


def test_nothing_recorded_is_not_valid() -> None:
    assert judge_watchers([], EFFECTS, complete=True).verdict is Verdict.UNKNOWN
    assert judged(watch(created(1))).verdict is Verdict.UNKNOWN


def test_a_history_with_holes_leaves_them_unproven() -> None:
    holes = [EFFECTS[0], EFFECTS[3]]
    result = judge_watchers(watch(*WHOLE), holes)
    assert result.verdict is Verdict.UNKNOWN
    assert result.details["guarantees"]["reliable"]["state"] == "not proven"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"kind": "events"}', "'client' is missing"),
        ('{"kind": "seen", "client": 1, "watcher": "w", "at_ns": 0}', "kind is 'seen'"),
        ('{"kind": "progress", "client": 1, "watcher": "x", "at_ns": 0}', "no line that creates it"),
        ("{", "not JSON"),
    ],
)
def test_a_broken_line_is_named(line: str, reason: str) -> None:
    first = '{"kind": "create", "client": 1, "watcher": "w", "at_ns": 0, "request": {"key": "a"}}'
    with pytest.raises(HistoryError, match=reason) as caught:
        read_watches([first, "", line])
    assert caught.value.line == 3


def test_records_survive_being_written(world: Callable[..., Any]) -> None:
    watchers = world(5).watchers
    again = read_watches([json.dumps(line) for line in write_watches(watchers)])
    assert [w.request for w in again] == [w.request for w in watchers]
    assert [[d.events for d in w.deliveries] for w in again] == [
        [d.events for d in w.deliveries] for w in watchers
    ]
    assert [[d.prev for d in w.deliveries] for w in again] == [
        [d.prev for d in w.deliveries] for w in watchers
    ]


# ---- one change in a valid record, drawn at random ----

Mutation = Callable[[random.Random, Watcher], set[str] | None]


def _lists(watcher: Watcher, least: int = 1) -> list[Delivery]:
    return [each for each in watcher.deliveries if len(each.events) >= least]


def drop(rng: random.Random, watcher: Watcher) -> set[str] | None:
    """An event that something later shows to be lost."""
    lists = _lists(watcher)[:-1]
    if not lists:
        return None
    chosen = rng.choice(lists)
    place = rng.randrange(len(chosen.events))
    del chosen.events[place], chosen.prev[place]
    if not chosen.events:
        watcher.deliveries.remove(chosen)
    return {"reliable", "atomic", "bookmarkable", "resumable"}


def duplicate(rng: random.Random, watcher: Watcher) -> set[str] | None:
    lists = _lists(watcher)
    chosen, target = rng.choice(lists), lists[-1]
    place = rng.randrange(len(chosen.events))
    target.events.append(chosen.events[place])
    target.prev.append(chosen.prev[place])
    return {"unique"}


def swap(rng: random.Random, watcher: Watcher) -> set[str] | None:
    lists = [each for each in _lists(watcher, 2) if each.events[0][0] < each.events[-1][0]]
    if not lists:
        return None
    chosen = rng.choice(lists)
    events, prev = chosen.events, chosen.prev
    events[0], events[-1] = events[-1], events[0]
    prev[0], prev[-1] = prev[-1], prev[0]
    return {"ordered"}


def split(rng: random.Random, watcher: Watcher) -> set[str] | None:
    """The list is cut within a revision."""
    places = [
        (each, cut)
        for each in _lists(watcher, 2)
        for cut in range(1, len(each.events))
        if each.events[cut - 1][0] == each.events[cut][0]
    ]
    if not places:
        return None
    chosen, cut = rng.choice(places)
    rest = Delivery("events", chosen.at_ns, chosen.line, chosen.revision)
    rest.events, rest.prev = chosen.events[cut:], chosen.prev[cut:]
    del chosen.events[cut:], chosen.prev[cut:]
    watcher.deliveries.insert(watcher.deliveries.index(chosen) + 1, rest)
    return {"atomic"}


def alter_prev(rng: random.Random, watcher: Watcher) -> set[str] | None:
    places = [(each, place) for each in _lists(watcher) for place, prev in enumerate(each.prev) if prev]
    if not places:
        return None
    chosen, place = rng.choice(places)
    prev = chosen.prev[place]
    assert prev is not None
    changes: list[dict[str, Any]] = [
        {"value": "other"},
        {"mod_revision": prev.mod_revision - 1},
        {"version": (prev.version or 0) + 1},
        {"create_revision": (prev.create_revision or 0) - 1},
    ]
    chosen.prev[place] = rng.choice([None, *(prev._replace(**change) for change in changes)])
    return {"prev_kv"}


def alter_flag(rng: random.Random, watcher: Watcher) -> set[str] | None:
    places = [
        (each, place)
        for each in _lists(watcher)
        for place, event in enumerate(each.events)
        if event.value is not None
    ]
    if not places:
        return None
    chosen, place = rng.choice(places)
    event = chosen.events[place]
    created = event.mod_revision - 1 if event.is_create else event.mod_revision
    chosen.events[place] = event._replace(is_create=not event.is_create, create_revision=created)
    return {"is_create"}


def early_progress(rng: random.Random, watcher: Watcher) -> set[str] | None:
    chosen = rng.choice(_lists(watcher))
    early = Delivery("progress", chosen.at_ns - 1, chosen.line, chosen.events[-1][0])
    watcher.deliveries.insert(watcher.deliveries.index(chosen), early)
    return {"bookmarkable"}


def alter_value(rng: random.Random, watcher: Watcher) -> set[str] | None:
    chosen = rng.choice(_lists(watcher))
    place = rng.randrange(len(chosen.events))
    event = chosen.events[place]
    chosen.events[place] = event._replace(value="other", version=event.version or 1)
    return {"content", "filter"}


def alter_key(rng: random.Random, watcher: Watcher) -> set[str] | None:
    chosen = rng.choice(_lists(watcher))
    place = rng.randrange(len(chosen.events))
    chosen.events[place] = chosen.events[place]._replace(key="zz")
    return {"filter", "content"}


MUTATIONS: list[Mutation] = [
    drop,
    duplicate,
    swap,
    split,
    alter_prev,
    alter_flag,
    early_progress,
    alter_value,
    alter_key,
]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda each: each.__name__)
def test_every_random_change_is_caught_by_a_fitting_guarantee(
    world: Callable[..., Any], mutation: Mutation
) -> None:
    done = 0
    for seed in range(60):
        made = world(seed)
        rng = random.Random(f"{seed}:{mutation.__name__}")
        args = {"complete": True, "compactions": made.compactions}
        clean = judge_watchers(made.watchers, made.effects, **args)
        assert clean.verdict is Verdict.VALID, (seed, clean.summary)
        watcher = rng.choice(made.watchers)
        if not _lists(watcher):
            continue
        expected = mutation(rng, watcher)
        if expected is None:
            continue
        done += 1
        result = judge_watchers(made.watchers, made.effects, **args)
        assert result.verdict is Verdict.INVALID, (seed, mutation.__name__)
        assert expected & set(broken(result)), (seed, result.summary)
    assert done >= 15


def test_without_a_history_no_valid_record_is_accused(world: Callable[..., Any]) -> None:
    for seed in range(40):
        made = world(seed)
        result = judge_watchers(made.watchers, compactions=[])
        assert not broken(result), (seed, result.summary)


def test_without_a_history_most_lost_events_are_seen(world: Callable[..., Any]) -> None:
    caught = done = 0
    for seed in range(40):
        made = world(seed)
        rng = random.Random(f"{seed}:alone")
        watcher = made.watchers[rng.randrange(len(made.watchers))]
        if len(_lists(watcher)) < 2 or drop(rng, watcher) is None:
            continue
        done += 1
        caught += judge_watchers(made.watchers, compactions=[]).verdict is Verdict.INVALID
    assert done >= 20
    assert caught >= 0.8 * done, f"{caught} of {done}"
