"""The suite against members that answer wrongly on purpose: it must say so, of the right case."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.harness.conformance import cases
from gauntlet.harness.conformance.case import REGISTRY
from gauntlet.harness.conformance.random.machine import Duel, fight
from gauntlet.harness.conformance.runner import Status, compare, run_case

pytestmark = pytest.mark.slow
assert cases.__name__


def forget_prev_kv(path: str, answer: bytes) -> bytes:
    """A delete that was asked for the pairs returns none of them."""
    if not path.endswith("DeleteRange"):
        return answer
    message = pb.DeleteRangeResponse.FromString(answer)
    message.ClearField("prev_kvs")
    return message.SerializeToString()


def forget_more(path: str, answer: bytes) -> bytes:
    """A range that a limit has cut does not say so."""
    if not path.endswith("KV/Range"):
        return answer
    message = pb.RangeResponse.FromString(answer)
    message.more = False
    return message.SerializeToString()


def honest(_path: str, answer: bytes) -> bytes:
    return answer


def failing(stage: Any, alter: Callable[[str, bytes], bytes], names: list[str]) -> dict[str, str]:
    arena = stage.arena(alter)
    results = [stage.runner.run(run_case(case, arena, "t")) for case in REGISTRY.select(globs=names)]
    assert len(results) >= len(names)
    return {result.case.name: result.detail for result in results if result.status is Status.FAIL}


def test_a_deviation_fails_the_case_that_promises_otherwise(stage: Any) -> None:
    names = ["kv.delete_*"]
    assert failing(stage, honest, names) == {}
    found = failing(stage, forget_prev_kv, names)
    assert set(found) == {"kv.delete_with_prev_kv_returns_the_pairs_in_order"}
    assert "prev_kvs: expected [" in found["kv.delete_with_prev_kv_returns_the_pairs_in_order"]
    assert found["kv.delete_with_prev_kv_returns_the_pairs_in_order"].endswith("got []")


def test_another_deviation_fails_other_cases(stage: Any) -> None:
    found = failing(stage, forget_more, ["kv.limit_*", "kv.filters_come_before_the_limit"])
    assert set(found) == {
        "kv.limit_cuts_and_says_more",
        "kv.limit_is_taken_after_sorting",
        "kv.filters_come_before_the_limit",
    }


def test_a_comparison_names_the_exchange_that_differs(stage: Any) -> None:
    arenas = [stage.arena(), stage.arena(forget_more)]
    (case,) = REGISTRY.select(globs=["kv.limit_cuts_and_says_more"])
    one, other = [stage.runner.run(run_case(case, arena, "t")) for arena in arenas]
    result = compare(case, one, other, ["good", "bad"])
    assert result.status is Status.DIFFERENT
    assert "/etcdserverpb.KV/Range RangeRequest{" in result.detail
    assert "good answered RangeResponse{" in result.detail
    assert result.detail.count("more: True") == 1


def test_a_comparison_of_equals_is_a_pass(stage: Any) -> None:
    """Volatile fields differ between two members, and are not a difference."""
    arenas = [stage.arena(), stage.arena(honest)]
    for case in REGISTRY.select(globs=["kv.put_*", "lease.grant_*", "watch.prev_kv_*", "election.the_only*"]):
        results = [stage.runner.run(run_case(case, arena, "t")) for arena in arenas]
        compared = compare(case, results[0], results[1], ["one", "other"])
        assert compared.status is Status.PASS, compared.detail


def test_random_steps_find_a_planted_difference_and_make_it_short(stage: Any) -> None:
    duel = Duel((stage.arena(), stage.arena(forget_prev_kv)), stage.runner)
    duel.shrink_seconds = 5.0  # the rest is left to polishing, whose steps are counted
    found = fight(duel, 1000, 1, ("put", "put_2", "delete", "range", "grant", "members"))
    assert not found.same
    assert found.difference is not None
    kinds = [type(getattr(step, "request", step)).__name__ for step in found.difference.steps]
    assert kinds == ["PutRequest", "DeleteRangeRequest"]
    assert "prev_kvs" in found.difference.answers[0]
    assert "prev_kvs" not in found.difference.answers[1]
    source = found.text[found.text.index("@case(") :]
    compile(source, "pasted", "exec")
    assert "await t.outcome(pb.PutRequest(" in source


def test_random_steps_on_equals_find_nothing(stage: Any) -> None:
    found = fight(Duel((stage.arena(), stage.arena(honest)), stage.runner), 80, 5)
    assert found.same, found.text
    assert found.steps == 80
