"""The plugin, by running small test suites with it on the cluster that `fakes` makes."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

pytest_plugins = ["pytester"]

OPTIONS = ["-p", "no:cacheprovider", "-p", "no:hypothesispytest", "--gauntlet-target", "fake"]


def make(pytester: pytest.Pytester, mark: str, body: str) -> None:
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    pytester.makepyfile(
        f"""
import pytest

@pytest.mark.gauntlet({mark})
def test_it(request, gauntlet_run=None, gauntlet_cluster=None):
{lines}
""".replace("request, gauntlet_run=None, gauntlet_cluster=None", _fixtures(body))
    )


def _fixtures(body: str) -> str:
    return ", ".join(name for name in ("gauntlet_run", "gauntlet_cluster") if name in body)


QUICK = "faults='none', duration=0.5, rate=400"


def test_a_valid_run_passes(pytester: pytest.Pytester, fakes: list[Any]) -> None:
    make(pytester, QUICK, "gauntlet_run.check()")
    pytester.runpytest_inprocess(*OPTIONS).assert_outcomes(passed=1)
    assert fakes[-1].stopped
    assert fakes[-1].options.nodes == 3


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("fake:stale", "verdict: invalid"),
        ("fake:refuses", "verdict: unknown"),
    ],
)
def test_what_is_not_valid_fails_and_says_why(
    pytester: pytest.Pytester, fakes: list[Any], target: str, words: str
) -> None:
    make(pytester, f"{QUICK}, nodes=3, seed=8", "gauntlet_run.check()")
    result = pytester.runpytest_inprocess(*OPTIONS, "--gauntlet-target", target)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            f"*{words}*",
            f"*repeat: gauntlet run --target {target} --faults none --duration 0.5 --rate 400 --seed 8*",
        ]
    )


def test_any_failing_test_prints_its_run(pytester: pytest.Pytester, fakes: list[Any]) -> None:
    make(pytester, QUICK, "assert gauntlet_run.results['faults']['total'] == 99")
    result = pytester.runpytest_inprocess(*OPTIONS)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*gauntlet run*", "verdict: valid", "repeat: gauntlet run --target fake *"])


def test_junit_carries_seed_and_directory(
    pytester: pytest.Pytester, fakes: list[Any], tmp_path: Path
) -> None:
    make(pytester, QUICK, "gauntlet_run.check()")
    out = tmp_path / "kept"
    pytester.runpytest_inprocess(
        *OPTIONS, "--junitxml=junit.xml", "--gauntlet-seed=17", f"--gauntlet-out={out}"
    ).assert_outcomes(passed=1)
    root = ElementTree.parse(pytester.path / "junit.xml").getroot()
    properties = {each.attrib["name"]: each.attrib["value"] for each in root.iter("property")}
    assert properties["gauntlet_seed"] == "17"
    assert properties["gauntlet_verdict"] == "valid"
    assert "--seed 17" in properties["gauntlet_command"]
    directory = Path(properties["gauntlet_directory"])
    assert directory.is_relative_to(out)
    assert (directory / "results.json").exists()


def test_a_cluster_stands_for_several_runs(pytester: pytest.Pytester, fakes: list[Any]) -> None:
    make(
        pytester,
        f"{QUICK}, nodes=2",
        """
assert list(gauntlet_cluster.endpoints) == ["m1", "m2"]
first = gauntlet_cluster.run()
second = gauntlet_cluster.run(clients=2, rate=100)
assert first.directory.path != second.directory.path
assert first.command != second.command
assert not gauntlet_cluster.target.stopped
gauntlet_cluster.assert_valid()
""",
    )
    pytester.runpytest_inprocess(*OPTIONS).assert_outcomes(passed=1)
    assert len(fakes) == 3, "one cluster, and two looks at whether the words of the plan make sense"
    assert fakes[0].stopped


def test_a_cluster_where_nothing_ran_is_no_pass(pytester: pytest.Pytester, fakes: list[Any]) -> None:
    make(pytester, QUICK, "gauntlet_cluster.assert_valid()")
    pytester.runpytest_inprocess(*OPTIONS).assert_outcomes(failed=1)
    assert fakes[0].stopped


def test_an_invalid_run_fails_the_cluster(pytester: pytest.Pytester, fakes: list[Any]) -> None:
    make(pytester, QUICK, "gauntlet_cluster.run().assert_valid()")
    result = pytester.runpytest_inprocess(*OPTIONS, "--gauntlet-target=fake:stale")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*verdict: invalid*"])


@pytest.mark.parametrize(
    ("mark", "words"),
    [
        ("nodes=0", "--nodes must be at least 1"),
        ("color='red'", "a run has no 'color'"),
        ("'register'", "named arguments only"),
        ("duration='long'", "duration is 'long'"),
        ("faults='nonsense'", "unknown fault 'nonsense'"),
        ("workload='nonsense'", "unknown workload 'nonsense'"),
    ],
)
def test_wrong_marks(pytester: pytest.Pytester, fakes: list[Any], mark: str, words: str) -> None:
    make(pytester, mark, "gauntlet_run.check()")
    result = pytester.runpytest_inprocess(*OPTIONS)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*{words}*"])


def test_the_closest_mark_wins(pytester: pytest.Pytester, fakes: list[Any]) -> None:
    pytester.makepyfile(
        """
        import pytest
        pytestmark = pytest.mark.gauntlet(faults="none", duration=0.5, seed=1, nodes=2)

        @pytest.mark.gauntlet(seed=2)
        def test_it(gauntlet_run):
            plan = gauntlet_run.directory.read_plan()
            assert (plan["seed"], plan["nodes"]) == (2, 2)
        """
    )
    pytester.runpytest_inprocess(*OPTIONS).assert_outcomes(passed=1)


def test_the_marker_is_registered(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_inprocess("--markers")
    result.stdout.fnmatch_lines(["@pytest.mark.gauntlet(workload, faults, nodes, duration, ...)*"])


def test_the_plugin_loads_nothing_else() -> None:
    program = (
        "import sys, pytest; before = set(sys.modules); import gauntlet.harness.pytest_plugin; "
        "print(*sorted(name for name in set(sys.modules) - before if name.split('.')[0] != 'gauntlet'), "
        "*sorted(name for name in sys.modules if name.startswith('gauntlet')))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["gauntlet", "gauntlet.harness", "gauntlet.harness.pytest_plugin"]
