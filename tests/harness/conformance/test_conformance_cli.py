"""`gauntlet conformance` as a user types it: good input, bad input, the three forms of the table."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from gauntlet.harness import cli


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--area nonsense", "there is no area 'nonsense'; there are kv, txn, watch"),
        ("--case nonsense", "no case has such a name"),
        ("--area lock --case put_then_get", "no case has such a name"),
        ("--target nonsense", "unknown target 'nonsense'"),
        ("--against nonsense --case put_then_get", "unknown target 'nonsense'"),
        ("--target etcd:/nowhere/etcd", "/nowhere/etcd does not exist"),
        ("--target endpoints:nonsense", "is not HOST:PORT"),
        ("--random 10", "give --against as well"),
        ("--random 0 --against reference", "--random"),
        ("--random 10 --against endpoints:127.0.0.1:1", "give a target that we start"),
        ("--toxiproxy nonsense", "--toxiproxy takes auto, real, embedded"),
    ],
)
def test_bad_input_is_one_clear_line(arguments: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.call(["conformance", *arguments.split()]) == 3
    shown = capsys.readouterr()
    assert words in shown.err
    assert len(shown.err.strip().splitlines()) == 1


@pytest.mark.slow
def test_an_endpoint_that_nobody_serves(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["conformance", "--target", f"endpoints:127.0.0.1:{port}", "--case", "put_then_get"]
    assert cli.call([*command, "--toxiproxy", "embedded"]) == 3
    assert "m1 does not serve after 10 s" in capsys.readouterr().err


def test_the_list_says_since_when(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.call(["conformance", "--list", "--area", "watch"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 50
    assert all(line.startswith("watch.") and "(needs 3." in line for line in lines)


@pytest.mark.slow
def test_a_comparison_in_three_forms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, page = tmp_path / "table.json", tmp_path / "table.html"
    command = ["conformance", "--against", "reference", "--case", "kv.put_*", "--toxiproxy", "embedded"]
    assert cli.call([*command, "--seed", "7", "--json", str(table), "--html", str(page)]) == 0
    text = capsys.readouterr().out
    data = json.loads(table.read_text(encoding="utf-8"))
    count = len(data["cases"])
    assert count > 5
    assert data["ok"] is True
    assert data["counts"]["pass"] == count
    assert data["seed"] == 7
    assert f"{count} cases in " in text
    assert "seed 7" in text
    assert text.startswith("reference (3.7.1) against reference (3.7.1)")
    html = page.read_text(encoding="utf-8")
    assert all(row["name"].removeprefix("kv.") in html for row in data["cases"])
