"""Plans: drawn from the seed alone, never too bold, quiet at the right times."""

from __future__ import annotations

import json
from itertools import pairwise
from random import Random

import pytest
from gauntlet.harness.faults import FAULTS, FaultSpecError, make_plan, parse_faults
from gauntlet.harness.faults.base import LEADER
from gauntlet.harness.faults.catalogue import GROUPS
from gauntlet.harness.targets import NETWORK, PEER_NETWORK, PROCESS
from hypothesis import given, settings
from hypothesis import strategies as st

ALL = [NETWORK, PEER_NETWORK, PROCESS]


def members(count: int) -> list[str]:
    return [f"m{number}" for number in range(1, count + 1)]


def test_names_and_groups() -> None:
    assert [kind.name for kind in parse_faults("kill, cut,cut")] == ["cut", "kill"]
    assert parse_faults("none") == []
    assert [kind.name for kind in parse_faults("all")] == list(FAULTS)
    assert {"kill", "kill-all", "pause"} <= {kind.name for kind in parse_faults("process")}
    assert {kind.kind for kind in parse_faults("process")} == {"process"}
    assert {kind.kind for kind in parse_faults("network")} == {"network", "client"}
    assert {kind.kind for kind in parse_faults("peer")} == {"network"}
    assert not set(GROUPS) & set(FAULTS)


@pytest.mark.parametrize("text", ["", "cut,", "boom", "Kill", "cut;kill", "none,cut"])
def test_unknown_names_list_the_known(text: str) -> None:
    with pytest.raises(FaultSpecError) as caught:
        parse_faults(text)
    assert "\n" not in str(caught.value)
    if text != "none,cut":
        assert "known are cut, mute, isolate" in str(caught.value)


def test_the_same_seed_gives_the_same_plan() -> None:
    first, again = (make_plan(parse_faults("all"), members(5), "7", 60.0, ALL) for _ in range(2))
    assert first == again
    assert first.faults != make_plan(parse_faults("all"), members(5), "8", 60.0, ALL).faults
    assert json.loads(json.dumps(first.as_json())) == first.as_json()


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    count=st.integers(1, 7),
    duration=st.floats(3.0, 300.0),
    names=st.sets(st.sampled_from(sorted(FAULTS)), min_size=1),
)
def test_every_plan_keeps_the_rules(seed: int, count: int, duration: float, names: set[str]) -> None:
    kinds = parse_faults(",".join(sorted(names)))
    plan = make_plan(kinds, members(count), str(seed), duration, ALL)
    usable = {kind.name for kind in kinds if count >= kind.least_members}
    assert len(plan.refused) == len(names) - len(usable)
    assert bool(plan.faults) == bool(usable)
    assert len({fault.id for fault in plan.faults}) == len(plan.faults)
    moments = sorted({fault.start for fault in plan.faults})
    for fault in plan.faults:
        assert fault.name in usable
        assert 0.09 * min(20.0, duration) <= fault.start < fault.end <= duration * 0.99
        assert json.loads(json.dumps(fault.params)) == fault.params
    for moment in moments:
        held = [fault for fault in plan.faults if fault.start <= moment < fault.end]
        assert len(held) <= 3
        down = [
            fault.params.get("member", "all")
            for fault in held
            if FAULTS[fault.name].takes_down(fault.params, members(count))
        ]
        assert len(down) == len(set(down))
        assert len(down) <= max(1, (count - 1) // 2)
        if "all" in down:
            assert len(down) == 1


@pytest.mark.parametrize(("duration", "least"), [(15.0, 4), (20.0, 5), (30.0, 5), (60.0, 12)])
def test_there_are_enough_faults_and_enough_quiet(duration: float, least: int) -> None:
    for seed in range(30):
        plan = make_plan(parse_faults("peer,kill,pause"), members(3), str(seed), duration, ALL)
        assert len(plan.faults) >= least
        busy = 0.0
        until = 0.0
        for fault in sorted(plan.faults, key=lambda fault: fault.start):
            busy += max(0.0, fault.end - max(until, fault.start))
            until = max(until, fault.end)
        assert busy < duration * 0.8


@pytest.mark.parametrize("duration", [15.0, 30.0, 60.0])
def test_a_cluster_that_was_killed_gets_the_time_to_serve_again(duration: float) -> None:
    """Else no answer would show what the kill has lost."""
    for seed in range(30):
        plan = make_plan(parse_faults("kill-all"), members(3), str(seed), duration, ALL)
        assert len(plan.faults) >= 2
        for killed, again in pairwise(plan.faults):
            assert again.start - killed.end >= FAULTS["kill-all"].quiet_seconds - 0.01


def test_every_kind_comes_before_any_comes_twice() -> None:
    plan = make_plan(parse_faults("cut,mute,latency,kill"), members(3), "1", 60.0, ALL)
    names = [fault.name for fault in plan.faults]
    assert set(names[:4]) == {"cut", "mute", "latency", "kill"}


def test_what_a_target_cannot_do_is_named() -> None:
    plan = make_plan(parse_faults("all"), members(3), "1", 30.0, [NETWORK])
    assert {FAULTS[fault.name].kind for fault in plan.faults} == {"client"}
    assert "kill needs process faults, which this target does not allow" in plan.refused
    alone = make_plan(parse_faults("cut,kill"), members(1), "1", 30.0, ALL)
    assert {fault.name for fault in alone.faults} == {"kill"}
    assert alone.refused == ("cut needs at least 2 members, not 1",)


def test_no_faults_is_a_plan_too() -> None:
    assert make_plan([], members(3), "1", 30.0, ALL).faults == ()


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_parameters_name_members(name: str) -> None:
    kind = FAULTS[name]
    random = Random("parameters")
    known = members(5)
    for _ in range(50):
        params = kind.draw(random, known)
        for key in ("member", "otherwise", "from", "to", "bridge"):
            assert params.get(key, "m1") in [*known, LEADER, "all"]
        if "sides" in params:
            left, right = params["sides"]
            both = [*left, *right, *([params["bridge"]] if "bridge" in params else [])]
            assert sorted(both) == known
            assert left
            assert right
        if "circle" in params:
            assert sorted(params["circle"]) == known
