"""`python -m porcupine`, and the checker alone: without anything installed but itself."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from porcupine import __main__ as command

CHECKERS = Path(__file__).resolve().parents[3] / "checkers"
GOOD = [
    '{:process 0, :type :invoke, :f :put, :key "a", :value "1"}',
    '{:process 0, :type :ok, :f :put, :key "a", :value "1"}',
    '{:process 1, :type :invoke, :f :get, :key "a", :value nil}',
    '{:process 1, :type :ok, :f :get, :key "a", :value "1"}',
]
BAD = [*GOOD[:3], GOOD[3].replace('"1"', '"2"')]


def write(path: Path, lines: list[str]) -> str:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return str(path)


def test_verdicts_certificates_and_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = write(tmp_path / "good", GOOD), write(tmp_path / "bad", BAD)
    proof = str(tmp_path / "proof")
    assert command.main([good, "--model", "kv", "--certificate", proof]) == 0
    said = capsys.readouterr().out
    assert "VALID" in said
    assert "an order of 2 operations, re-checked by the verifier" in said
    assert "a key-value history of the Go checker porcupine" in said
    assert command.main([good, "--model", "kv", "--verify-certificate", proof]) == 0
    assert command.main([bad, "--model", "kv", "--verify-certificate", proof]) == 3
    assert "the model rejects" in capsys.readouterr().err
    assert command.main([bad, "--model", "kv", "--certificate", proof]) == 1
    said = capsys.readouterr().out
    assert "phantom write" in said
    assert "get('a') -> '2' by client 1 (line 3 to line 4)" in said
    assert command.main([bad, "--model", "kv", "--verify-certificate", proof]) == 1
    capsys.readouterr()
    assert command.main([bad, "--model", "kv", "--json", "--jobs", "2"]) == 1
    assert json.loads(capsys.readouterr().out)["explanation"]["operations"] == [1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{good}", "--model", "nonsense"], "unknown model 'nonsense'; there are: cas-register"),
        (["{good}", "--model", "kv", "--format", "xml"], "unknown format 'xml'; there are: auto, jsonl"),
        (["{good}", "--model", "register"], "judged by the models kv"),
        (["{good}", "--model", "kv", "--kernel", "third"], "unknown kernel 'third'"),
        (["{good}", "--model"], "--model"),
        (["{good}"], "--model"),
        (["missing", "--model", "kv"], "cannot open missing"),
        (["{empty}", "--model", "kv"], "the file is empty"),
        (["{other}", "--model", "kv"], "none of the known formats"),
        (["{broken}", "--model", "kv"], "line 2: "),
        (["{good}", "--model", "kv", "--verify-certificate", "{good}"], "line 1: not JSON"),
    ],
)
def test_what_cannot_be_judged_is_one_line_and_code_3(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {
        "good": write(tmp_path / "good", GOOD),
        "empty": write(tmp_path / "empty", ["", ""]),
        "other": write(tmp_path / "other", ["root:x:0"]),
        "broken": write(tmp_path / "broken", [GOOD[0], "{:process 0, :type"]),
    }
    try:
        code = command.main([argument.format(**files) for argument in arguments])
    except SystemExit as error:
        code = int(str(error.code))
    assert code == 3
    error_text = capsys.readouterr().err
    assert words in error_text
    assert error_text.startswith("porcupine: ")
    assert error_text.count("\n") == 1


def alone(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """In an interpreter that sees the package porcupine and nothing else that was installed."""
    if not (tmp_path / "porcupine").exists():
        shutil.copytree(CHECKERS / "porcupine", tmp_path / "porcupine")
    return subprocess.run(
        [sys.executable, "-S", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_readme_runs_with_nothing_else_installed(tmp_path: Path) -> None:
    examples = re.findall(
        r"```python\n(.*?)```", (CHECKERS / "README.md").read_text(encoding="utf-8"), re.DOTALL
    )
    assert examples
    for example in examples:
        (tmp_path / "example.py").write_text(example, encoding="utf-8")
        ran = alone(tmp_path, "example.py")
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout.startswith("invalid\n")
        assert "another number" in ran.stdout
    ran = alone(tmp_path, "-m", "porcupine", write(tmp_path / "bad", BAD), "--model", "kv")
    assert ran.returncode == 1, ran.stderr
    assert "INVALID" in ran.stdout
