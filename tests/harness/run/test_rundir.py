from __future__ import annotations

import json
from pathlib import Path

import pytest
from gauntlet.harness.rundir import (
    COMPLETE,
    FAILED,
    INTERRUPTED,
    RUNNING,
    LineWriter,
    RunDirectory,
    RunDirectoryError,
    read_lines,
)


def whole(path: Path, state: str = COMPLETE) -> RunDirectory:
    run = RunDirectory.create(path)
    run.history_file.touch()
    run.write_plan({"state": state, "error": "the disk is full"})
    return run


def test_create_takes_new_and_empty_places(tmp_path: Path) -> None:
    assert RunDirectory.create(tmp_path / "a" / "b").members.is_dir()
    (tmp_path / "empty").mkdir()
    assert RunDirectory.create(tmp_path / "empty").members.is_dir()


def test_create_leaves_what_is_there_alone(tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "precious").write_text("x")
    with pytest.raises(RunDirectoryError, match="not empty"):
        RunDirectory.create(full)
    assert [each.name for each in full.iterdir()] == ["precious"]
    with pytest.raises(RunDirectoryError, match="not a directory"):
        RunDirectory.create(full / "precious")
    with pytest.raises(RunDirectoryError, match="cannot make"):
        RunDirectory.create(full / "precious" / "below")


@pytest.mark.parametrize("state", [COMPLETE, INTERRUPTED])
def test_open_takes_runs_that_ended(tmp_path: Path, state: str) -> None:
    run = whole(tmp_path / "run", state)
    assert RunDirectory.open(tmp_path / "run") == run


@pytest.mark.parametrize(
    ("state", "words"), [(RUNNING, "has not ended"), (FAILED, "the disk is full"), ("odd", "odd")]
)
def test_open_refuses_runs_that_did_not(tmp_path: Path, state: str, words: str) -> None:
    whole(tmp_path / "run", state)
    with pytest.raises(RunDirectoryError, match=words):
        RunDirectory.open(tmp_path / "run")


@pytest.mark.parametrize("missing", ["plan.json", "history.jsonl"])
def test_open_names_what_is_missing(tmp_path: Path, missing: str) -> None:
    whole(tmp_path / "run")
    (tmp_path / "run" / missing).unlink()
    with pytest.raises(RunDirectoryError, match=missing):
        RunDirectory.open(tmp_path / "run")


def test_errors_of_the_system_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match=r"cannot read.*too long"):
        RunDirectory.open(tmp_path / ("x" * 300))
    with pytest.raises(RunDirectoryError, match=r"cannot make.*too long"):
        RunDirectory.create(tmp_path / ("x" * 300))
    run = whole(tmp_path / "run")
    run.results_file.mkdir()
    with pytest.raises(RunDirectoryError, match=r"cannot write .*results\.json"):
        run.write_results({})


def test_open_refuses_what_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunDirectoryError, match="not a directory"):
        RunDirectory.open(tmp_path / "file")
    with pytest.raises(RunDirectoryError, match="does not exist"):
        RunDirectory.open(tmp_path / "nothing")


@pytest.mark.parametrize("text", ["{", "[]", "\ufeff{}"])
def test_a_broken_plan(tmp_path: Path, text: str) -> None:
    whole(tmp_path / "run").plan_file.write_text(text, encoding="utf-8")
    with pytest.raises(RunDirectoryError, match=r"plan\.json"):
        RunDirectory.open(tmp_path / "run")


def test_plans_are_replaced_whole(tmp_path: Path) -> None:
    run = whole(tmp_path / "run")
    before = run.plan_file.read_text()
    with pytest.raises(TypeError):
        run.write_plan({"state": {1, 2}})
    assert run.plan_file.read_text() == before
    run.update_plan(state=INTERRUPTED)
    assert run.read_plan() == {"state": INTERRUPTED, "error": "the disk is full"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"a":1}\n{"b":\n', "line 2: not JSON"),
        (b'{"a":1}\n\n', "line 2: not JSON"),
        (b'{"a":1}\n{}\n[1]\n', "line 3: not a JSON object"),
        (b'{"a":1}\n{"b":"\xff"}\n', "line 2: not JSON"),
    ],
)
def test_broken_lines_are_named(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "lines"
    path.write_bytes(content)
    with pytest.raises(RunDirectoryError, match=words):
        list(read_lines(path))


def test_lines_come_back(tmp_path: Path) -> None:
    writer = LineWriter(tmp_path / "lines")
    values = [{"id": number, "text": "ä\n\u2028"} for number in range(3)]
    for value in values:
        writer.write(value)
    writer.close()
    writer.close()
    assert list(read_lines(tmp_path / "lines")) == values
    assert len((tmp_path / "lines").read_text().split("\n")) == 4
    assert json.loads((tmp_path / "lines").read_text().split("\n")[0]) == values[0]
