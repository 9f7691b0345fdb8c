from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from gauntlet.harness import cli
from gauntlet.harness.plan import Plan, PlanError

PLANS = [
    Plan(),
    Plan(target="etcd:/a path/with 'quotes'/etcd", seed=0),
    Plan(nodes=5, faults="cut,kill", duration=7.25, rate=1234.5678, clients=3, keys=1, timeout=0.123456789),
    Plan(
        toxiproxy="http://127.0.0.1:8474",
        flags=("--snapshot-count=10", "m2:--quota=1"),
        env=("A=b c", "m1:X="),
    ),
    Plan(seed=-7),
]


@pytest.mark.parametrize("plan", PLANS, ids=range(len(PLANS)))
def test_json_and_back(plan: Plan) -> None:
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


@pytest.mark.parametrize("plan", PLANS, ids=range(len(PLANS)))
def test_the_command_repeats_the_plan(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[Plan] = []

    def instead(plan: Plan, path: Path, console: Any) -> int:
        parsed.append(plan)
        return 0

    monkeypatch.setattr(cli, "_run", instead)
    words = shlex.split(plan.command())
    assert words[0] == "gauntlet"
    assert cli.call(words[1:]) == 0
    assert parsed == [plan]


def test_the_command_leaves_defaults_out() -> None:
    assert Plan(seed=4).command() == "gauntlet run --target reference --seed 4"


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"nodes": 0}, "--nodes"),
        ({"clients": -1}, "--clients"),
        ({"keys": 0}, "--keys"),
        ({"rate": 0.0}, "--rate"),
        ({"rate": float("inf")}, "--rate"),
        ({"timeout": float("nan")}, "--timeout"),
        ({"duration": 0.1}, "--duration"),
        ({"env": ("NOTHING",)}, "--env"),
        ({"env": ("m1:=x",)}, "--env"),
        ({"flags": ("m1:data",)}, "--flag"),
        ({"prefix": "/a/"}, "prefix"),
        ({"prefix": ""}, "prefix"),
    ],
)
def test_impossible_values(values: dict[str, Any], word: str) -> None:
    with pytest.raises(PlanError, match=word):
        Plan(**values)


@pytest.mark.parametrize(
    "value",
    [{"nodes": "3"}, {"seed": True}, {"duration": None}, {"flags": "--x"}, {"env": [1]}, {"rate": "fast"}],
)
def test_json_of_another_type(value: dict[str, Any]) -> None:
    with pytest.raises(PlanError, match=next(iter(value))):
        Plan.from_json(value)


def test_json_takes_integers_for_numbers_and_passes_over_the_rest() -> None:
    assert Plan.from_json({"duration": 5, "state": "complete"}) == Plan(duration=5.0)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("m2:A=b", ("m2", "A=b")),
        ("A=m2:b", (None, "A=m2:b")),
        ("--flag=m1:x", (None, "--flag=m1:x")),
        ("member:A=b", (None, "member:A=b")),
    ],
)
def test_settings_for_one_member(setting: str, expected: tuple[str | None, str]) -> None:
    assert Plan.for_member(setting) == expected
