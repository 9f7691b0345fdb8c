"""The register workload's checkers: good histories pass, each kind of bent one is refuted under its name."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from gauntlet.checkers import by_name, judge
from gauntlet.checkers.records import Run, load
from gauntlet.checkers.register import Revisions, Values
from gauntlet.checkers.stats import Windows, quantiles
from gauntlet.checkers.verdict import CheckResult, first_explanation, overall
from porcupine import HistoryError, Operation, Reductions, Rejected, Verdict, verify
from porcupine.exhaustive import has_order
from porcupine.models.kv import by_key
from porcupine.search import search

pytestmark = pytest.mark.usefixtures("kernel")

Record = dict[str, Any]
Simulate = Callable[..., list[Record]]


def run_of(records: list[Record], faults: list[Record] | None = None) -> Run:
    return load([json.dumps(record) for record in records], [json.dumps(fault) for fault in faults or []])


def verdicts(records: list[Record]) -> dict[str, CheckResult]:
    run = run_of(records)
    return {name: by_name(name)(run) for name in ("linearizable", "revisions")}


@pytest.mark.parametrize("seed", range(6))
def test_a_correct_store_passes(simulate: Simulate, seed: int) -> None:
    records = simulate(seed, 1500, clients=6, keys=3, unknown=0.08)
    verdict, results = judge(run_of(records), ["linearizable", "revisions"])
    assert verdict is Verdict.VALID, [result.summary for result in results]
    assert [result.name for result in results] == ["linearizable", "revisions", "stats"]


@pytest.mark.parametrize("model", [Revisions(), Values()], ids=["revisions", "values"])
@pytest.mark.parametrize("count", [120, pytest.param(20_000, marks=pytest.mark.campaign)])
def test_the_models_agree_with_trying_every_order(simulate: Simulate, model: Any, count: int) -> None:
    plain = Reductions(no_effect=False, interchangeable=False, pool=False, tighten=False)
    verdict_counts = {Verdict.VALID: 0, Verdict.INVALID: 0}
    rng = random.Random("models")
    for seed in range(count):
        records = simulate(seed, 14, clients=4, keys=1, unknown=0.2)
        _bend_anything(records, rng, seed)
        for part in by_key(list(run_of(records).history)).values():
            learned = model.for_part(part)
            found = search(part, learned)
            verdict = found.verdict
            assert verdict is search(part, learned, plain).verdict, records
            assert has_order(part, learned) is (verdict is Verdict.VALID)
            if verdict is Verdict.VALID:
                verify(part, found.order, model.plain(part))
            verdict_counts[verdict] += 1
    assert min(verdict_counts.values()) >= 10


def _bend_anything(records: list[Record], rng: random.Random, seed: int) -> None:
    answered = [record for record in records if record["outcome"] == "ok"]
    if seed % 2 == 0 or not answered:
        return
    record = rng.choice(answered)
    others = [each for each in answered if each["op"] == record["op"] and each is not record]
    if others:
        record["response"] = copy.deepcopy(rng.choice(others)["response"])


def _gets(records: list[Record]) -> list[Record]:
    return [r for r in records if r["op"] == "get" and r["outcome"] == "ok" and r["response"]["value"]]


def _long_before(early: Record, late: Record) -> bool:
    """Same key, and overwritten at least 20 ms before the later one was called."""
    return (
        early["key"] == late["key"]
        and early["return_ns"] + 20_000_000 < late["call_ns"]
        and early["response"]["mod_revision"] < late["response"]["mod_revision"]
    )


def bend_stale(records: list[Record]) -> Record:
    """A get is given the answer of one that had returned long before, and been overwritten since."""
    gets = _gets(records)
    for late in reversed(gets):
        for early in gets:
            if _long_before(early, late):
                late["response"] = dict(early["response"])
                return late
    raise AssertionError("no pair of gets to bend")


def bend_phantom(records: list[Record]) -> Record:
    record = _gets(records)[-5]
    record["response"]["value"] = "written by nobody"
    return record


def bend_lost(records: list[Record]) -> Record:
    """A get at the newest revision that shows the key as it was before its last write."""
    for late in reversed(_gets(records)):
        header = late["response"]["revision"]
        for early in _gets(records):
            if _long_before(early, late):
                late["response"] = {**early["response"], "revision": header}
                return late
    raise AssertionError("no pair of gets to bend")


def bend_reused(records: list[Record]) -> Record:
    """A put that failed for certain is said to have succeeded, at a revision that another write has."""
    puts = [record for record in records if record["op"] == "put"]
    failed = next(record for record in puts if record["outcome"] == "failed")
    near = min(
        (record for record in puts if record["outcome"] == "ok"),
        key=lambda record: abs(record["call_ns"] - failed["call_ns"]),
    )
    failed.update(outcome="ok", error=None, response=dict(near["response"]))
    return failed


BENDS: list[tuple[Callable[[list[Record]], Record], str, set[str]]] = [
    (bend_stale, "linearizable", {"stale read"}),
    (bend_stale, "revisions", {"stale read"}),
    (bend_phantom, "linearizable", {"phantom write"}),
    (bend_phantom, "revisions", {"phantom write"}),
    (bend_lost, "linearizable", {"lost write"}),
    (bend_lost, "revisions", {"lost write"}),
    (bend_reused, "revisions", {"revision reused", "stale read", "revision went back"}),
]


@pytest.mark.parametrize(
    ("bend", "checker", "labels"), BENDS, ids=[f"{b.__name__[5:]}-{c}" for b, c, _ in BENDS]
)
@pytest.mark.parametrize("seed", range(3))
def test_a_bent_answer_is_refuted_under_its_name(
    simulate: Simulate,
    bend: Callable[[list[Record]], Record],
    checker: str,
    labels: set[str],
    seed: int,
) -> None:
    records = simulate(seed, 1500, clients=6, keys=3, failed=0.03)
    bent = bend(records)
    result = by_name(checker)(run_of(records))
    assert result.verdict is Verdict.INVALID
    assert result.explanation is not None
    assert result.explanation["label"] in labels, result.explanation["text"]
    assert bent["id"] in result.explanation["operations"]
    assert 1 <= len(result.explanation["operations"]) <= 4
    assert bent["member"] in result.explanation["text"]
    assert CheckResult.from_json(json.loads(json.dumps(result.to_json()))) == result


@pytest.mark.parametrize("field", ["version", "create_revision"])
def test_what_the_register_models_do_not_look_at_is_refuted_by_the_whole_store(
    simulate: Simulate, field: str
) -> None:
    checks = ("linearizable", "revisions", "etcd")
    records = simulate(4, 600, clients=4, keys=2)
    assert judge(run_of(records), checks)[0] is Verdict.VALID
    _gets(records)[-20]["response"][field] += 1
    verdict, results = judge(run_of(records), checks)
    assert verdict is Verdict.INVALID
    (refuted,) = (result for result in results if result.verdict is Verdict.INVALID)
    assert refuted.name == "etcd"
    assert refuted.explanation is not None
    assert _gets(records)[-20]["id"] in refuted.explanation["operations"]


def test_the_values_alone_tell_lying_revisions_from_wrong_values(simulate: Simulate) -> None:
    records = simulate(1, 800, clients=5, keys=2)
    put = next(r for r in records if r["op"] == "put" and r["outcome"] == "ok" and r["id"] > 400)
    put["response"]["revision"] = put["response"]["mod_revision"] = 3
    results = verdicts(records)
    assert results["revisions"].verdict is Verdict.INVALID
    linearizable = results["linearizable"]
    assert linearizable.verdict is Verdict.INVALID
    assert linearizable.details["by_value"]["verdict"] == "valid"
    assert "the values alone could be explained" in linearizable.summary


def test_revisions_across_keys_are_held_against_each_other() -> None:
    """Two keys, each linearizable alone; together their revisions go backwards in real time."""
    records = [
        _record(0, "put", "a", {"value": "1"}, 0, 10, {"revision": 9}),
        _record(1, "put", "b", {"value": "2"}, 20, 30, {"revision": 4}),
    ]
    results = verdicts(records)
    assert results["linearizable"].verdict is Verdict.VALID
    assert results["revisions"].verdict is Verdict.INVALID
    assert (results["revisions"].explanation or {})["label"] == "revision went back"


def _record(
    number: int, op: str, key: str, args: Record, start: int, end: int, response: Record | None
) -> Record:
    return {
        "id": number,
        "client": number,
        "member": "m1",
        "op": op,
        "key": key,
        "args": args,
        "call_ns": start,
        "return_ns": end,
        "outcome": "ok" if response is not None else "unknown",
        "response": response,
        "error": None,
    }


def test_serializable_reads_may_be_old() -> None:
    old = {"revision": 2, "value": "1", "mod_revision": 2}
    records = [
        _record(0, "put", "a", {"value": "1"}, 0, 10, {"revision": 2}),
        _record(1, "put", "a", {"value": "2"}, 20, 30, {"revision": 3}),
        _record(2, "get", "a", {"serializable": True}, 40, 50, old),
    ]
    assert all(result.verdict is Verdict.VALID for result in verdicts(records).values())
    records[2]["args"] = {}
    assert all(result.verdict is Verdict.INVALID for result in verdicts(records).values())


def test_values_written_twice_are_not_judged() -> None:
    records = [
        _record(n, "put", "a", {"value": "same"}, 10 * n, 10 * n + 5, {"revision": n + 2}) for n in (0, 1)
    ]
    result = by_name("linearizable")(run_of(records))
    assert result.verdict is Verdict.UNKNOWN
    assert "unique" in result.summary


def test_an_unknown_swap_takes_effect_only_on_the_expected_revision() -> None:
    model = Revisions({"new": 7}).for_part([])
    swap = Operation(1, ("ignored",), 0)
    run = run_of([_record(0, "cas", "a", {"expected": 5, "value": "new"}, 0, 10, None)])
    swap = run.history[0]
    state = model.init()
    assert isinstance(model.step(state, swap), Rejected)
    assert not isinstance(model.step(state._replace(value="x", mod_revision=5, floor=5), swap), Rejected)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"op": 7}, "op is 7"),
        ({"key": None}, "key is None"),
        ({"args": {}}, "'value' is missing"),
        ({"args": {"value": 4}}, "value is 4"),
        ({"response": [1]}, "not an object"),
        ({"response": {"revision": "9"}}, "revision is '9'"),
        ({"outcome": "great"}, "outcome is 'great'"),
    ],
)
def test_a_broken_line_of_a_history_is_named(change: Record, reason: str) -> None:
    good = _record(0, "put", "a", {"value": "1"}, 0, 10, {"revision": 2})
    with pytest.raises(HistoryError, match=reason) as error:
        run_of([good, {**good, "id": 1, "client": 1, **change}])
    assert error.value.line == 2


def test_lines_of_other_workloads_are_kept_as_they_are() -> None:
    record = _record(0, "lock", "a", {"ttl": 4}, 0, 10, {"owner": "x"})
    (operation,) = run_of([record]).history
    assert operation.call == ("lock", "a", (("ttl", 4),))
    assert operation.response == (("owner", "x"),)


def test_half_of_the_operations_outside_faults_must_succeed() -> None:
    answer = {"revision": 2, "value": None, "mod_revision": 0}
    records = [_record(n, "get", "a", {}, 10 * n, 10 * n + 5, answer) for n in range(10)]
    for record in records[:6]:
        record.update(outcome="failed", response=None, error={"code": "UNAVAILABLE", "message": "no"})
    verdict, results = judge(run_of(records), ["linearizable"])
    assert verdict is Verdict.UNKNOWN
    assert "only 4 of 10" in results[-1].summary
    fault = {"id": "f1", "name": "cut", "start_ns": 0, "end_ns": 38, "targets": []}
    verdict, results = judge(run_of(records, [fault]), ["linearizable"])
    assert verdict is Verdict.VALID
    assert results[-1].details["inside_faults"] == {"operations": 4, "ok": 0, "share": 0.0}
    assert results[-1].details["errors"] == {"UNAVAILABLE: no": 6}


def test_nothing_recorded_is_unknown() -> None:
    verdict, results = judge(run_of([]), ["linearizable", "revisions"])
    assert verdict is Verdict.UNKNOWN
    assert {result.verdict for result in results} == {Verdict.UNKNOWN}
    assert overall([]) is Verdict.UNKNOWN


def test_invalid_outranks_unknown_outranks_valid() -> None:
    valid, unknown, invalid = (
        CheckResult(
            verdict.value, verdict, "", {}, {"label": verdict.value} if verdict == "invalid" else None
        )
        for verdict in (Verdict.VALID, Verdict.UNKNOWN, Verdict.INVALID)
    )
    assert overall([valid, unknown]) is Verdict.UNKNOWN
    assert overall([unknown, invalid, valid]) is Verdict.INVALID
    assert overall([valid]) is Verdict.VALID
    assert first_explanation([valid, unknown, invalid]) == {"label": "invalid"}


def test_fault_windows_merge_and_an_open_one_lasts() -> None:
    spans = [(10, 20), (15, 30), (50, None)]
    windows = Windows([{"start_ns": start, "end_ns": end} for start, end in spans])
    assert [windows.touches(*span) for span in [(0, 9), (0, 10), (30, 31), (31, 49), (49, 50), (99, 99)]] == [
        False,
        True,
        True,
        False,
        True,
        True,
    ]


def test_quantiles() -> None:
    assert quantiles([]) == {}
    assert quantiles([n * 1_000_000 for n in range(1, 101)])["p50"] == 51.0
    assert quantiles([5_000_000]) == dict.fromkeys(("p50", "p90", "p99", "p99.9", "p100"), 5.0)


def test_checkers_by_name() -> None:
    with pytest.raises(ValueError, match=r"there are: .*linearizable.*revisions.*stats"):
        by_name("nonsense")


@pytest.mark.slow
@pytest.mark.parametrize(("keys", "clients"), [(1, 10), (10, 50)])
def test_a_hundred_thousand_operations(simulate: Simulate, keys: int, clients: int) -> None:
    """Near-linear: a search that branches on a long history would not come back."""
    records = simulate(7, 100_000, clients=clients, keys=keys)
    result = by_name("linearizable")(run_of(records))
    assert result.verdict is Verdict.VALID
    assert result.details["by_revision"]["configurations"] < 3 * len(records)
