from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gauntlet.harness import cli
from gauntlet.harness.observer import View
from gauntlet.harness.plan import Plan
from gauntlet.harness.progress import LiveObserver, PlainObserver, Rate
from gauntlet.harness.recorder import RunClock
from gauntlet.harness.rundir import RunDirectory
from rich.console import Console

Operation = Callable[..., dict[str, Any]]
WriteRun = Callable[..., Path]

QUICK = ["--target", "fake", "--faults", "none", "--duration", "0.5", "--rate", "400", "--seed", "5"]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain").touch(mode=0o600)


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("nonsense", "nonsense"),
        ("run --nonsense", "--nonsense"),
        ("run --nodes three", "--nodes"),
        ("run --rate fast", "--rate"),
        ("run --nodes 0", "--nodes must be at least 1"),
        ("run --duration 0", "--duration must be"),
        ("run --timeout nan", "--timeout"),
        ("run --target nonsense", "unknown target 'nonsense'"),
        ("run --target etcd:three", "three"),
        ("run --target etcd:./missing/etcd --out x", "missing/etcd does not exist"),
        ("run --target etcd:./plain --out x", "not an executable"),
        ("run --target endpoints:localhost", "localhost"),
        ("run --workload nonsense", "unknown workload 'nonsense'; known: register"),
        ("run --faults nonsense", "unknown fault 'nonsense'"),
        ("run --faults none,cut", "none"),
        ("run --target endpoints:127.0.0.1:1 --faults kill", "kill needs process faults"),
        ("run --toxiproxy nonsense", "--toxiproxy takes"),
        ("run --env NOTHING", "--env takes"),
        ("run --env m7:A=b", "no member m7"),
        ("recheck", "directory"),
        ("recheck missing", "missing does not exist"),
        ("recheck .", "no plan.json"),
        ("report missing", "missing does not exist"),
        ("tools install nonsense", "unknown tool 'nonsense'"),
        ("tools install etcd", "which etcd"),
    ],
)
def test_wrong_words_are_one_line_and_code_3(
    arguments: str, words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert cli.call(arguments.split()) == 3
    error = capsys.readouterr().err
    assert words in error
    assert error.startswith("gauntlet: ")
    assert error.count("\n") == 1
    assert list(tmp_path.rglob("plan.json")) == []


def test_a_toxiproxy_nobody_reaches(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{closed_port()}"
    assert cli.call(["run", "--toxiproxy", url, "--out", "out"]) == 3
    error = capsys.readouterr().err
    assert url.removeprefix("http://") in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_out_must_be_empty(capsys: pytest.CaptureFixture[str], tmp_path: Path, fakes: list[Any]) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious").touch()
    assert cli.call(["run", *QUICK, "--out", "full"]) == 3
    assert "full exists and is not empty" in capsys.readouterr().err
    assert [each.name for each in (tmp_path / "full").iterdir()] == ["precious"]


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.call(["--version"]) == 0
    assert capsys.readouterr().out.startswith("gauntlet ")
    for arguments in ([], ["--help"], ["run", "--help"], ["tools", "--help"]):
        assert cli.call(arguments) == 0
        assert "Usage: gauntlet" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("target", "code", "words"),
    [("fake", 0, "VALID"), ("fake:stale", 1, "INVALID"), ("fake:refuses", 2, "UNKNOWN")],
)
def test_exit_codes(
    fakes: list[Any], capsys: pytest.CaptureFixture[str], tmp_path: Path, target: str, code: int, words: str
) -> None:
    arguments = ["run", *QUICK, "--out", "out", "--target", target]
    assert cli.call(arguments) == code
    printed = capsys.readouterr()
    assert printed.err == ""
    assert f"\n{words}: " in printed.out
    assert f"report       {tmp_path / 'out' / 'report.html'}" in printed.out
    assert f"repeat with  gauntlet run --target {target} --faults none" in printed.out
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["exit_code"] == code
    if code == 1:
        assert results["explanation"]["text"] in printed.out

    assert cli.call(["recheck", "out"]) == code
    assert f"{words}: " in capsys.readouterr().out
    (tmp_path / "out" / "report.html").unlink()
    assert cli.call(["report", "out"]) == 0
    assert (tmp_path / "out" / "report.html").exists()


def test_recheck_names_a_broken_line(
    write_run: WriteRun, operation: Operation, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_run('{"id":1\n')
    assert cli.call(["recheck", str(path)]) == 3
    error = capsys.readouterr().err
    assert "history.jsonl" in error
    assert "line 1" in error
    assert error.count("\n") == 1


def test_an_unexpected_error_is_one_line_with_its_traceback_saved(
    fakes: list[Any], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(directory: RunDirectory) -> None:
        raise ZeroDivisionError("a defect\nof two lines")

    monkeypatch.setattr(cli, "conclude", fail)
    assert cli.call(["run", *QUICK, "--out", "out"]) == 3
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "ZeroDivisionError: a defect of two lines" in error
    saved = tmp_path / "out" / "traceback.txt"
    assert str(saved) in error
    assert 'raise ZeroDivisionError("a defect' in saved.read_text()


def test_a_traceback_finds_a_place_without_a_directory(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path) -> RunDirectory:
        raise ZeroDivisionError

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(cli.RunDirectory, "open", fail)
    assert cli.call(["recheck", "missing"]) == 3
    (saved,) = tmp_path.glob("gauntlet-traceback-*.txt")
    assert str(saved) in capsys.readouterr().err


def test_ctrl_c_is_code_3_and_keeps_the_run(
    fakes: list[Any], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Impatient(PlainObserver):
        def tick(self, view: View) -> None:
            if view.counts.total >= 30:
                os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(cli, "make_observer", Impatient)
    before = signal.getsignal(signal.SIGINT)
    assert cli.call(["run", *QUICK, "--duration", "60", "--out", "out"]) == 3
    assert signal.getsignal(signal.SIGINT) == before
    printed = capsys.readouterr()
    assert (
        printed.err
        == f"gauntlet: interrupted; what was recorded is judged above and lies in {tmp_path}/out\n"
    )
    assert RunDirectory.open(tmp_path / "out").read_plan()["state"] == "interrupted"
    assert (tmp_path / "out" / "results.json").exists()
    assert fakes[-1].stopped


def view(phase: str = "load") -> View:
    shown = View(Plan(), Path("somewhere"), phase, RunClock())
    shown.counts.outcomes.update(ok=5, failed=2, unknown=1)
    shown.leader = lambda: "m2"
    shown.active = lambda: ["cut m1>m2", "kill [m3]"]
    return shown


def test_plain_lines() -> None:
    file = io.StringIO()
    observer = PlainObserver(Console(file=file, width=40))
    observer.begin(view())
    observer.tick(view())
    observer.tick(view())
    lines = file.getvalue().splitlines()
    assert len(lines) == 3, "one line in five seconds, and no line is folded"
    for words in ("5 ok, 2 failed, 1 unknown", "leader m2", "cut m1>m2, kill [m3]", "25 s left"):
        assert words in lines[-1]


def test_the_live_display() -> None:
    file = io.StringIO()
    observer = LiveObserver(Console(file=file, width=100, force_terminal=True))
    observer.begin(view())
    observer.phase(view("healing"))
    observer.end()
    for words in ("register on reference", "healing", "5 ok, 2 failed, 1 unknown", "m2", "kill [m3]"):
        assert words in file.getvalue()


def test_the_rate_is_of_the_last_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    rate = Rate()
    assert rate.of(0) == 0.0
    for total, moment in ((100, 1.0), (200, 2.0), (200, 3.0), (200, 4.5)):
        now = moment
        last = rate.of(total)
    assert last < 40


@pytest.mark.chaos
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_no_process(tmp_path: Path, number: signal.Signals) -> None:
    import psutil

    command = [sys.executable, "-m", "gauntlet.harness", "run", "--duration", "60", "--out", "out"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        history = tmp_path / "out" / "history.jsonl"
        deadline = time.monotonic() + 40
        while not (history.exists() and history.stat().st_size > 0):
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline
            select_nothing(0.05)
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) >= 4
        process.send_signal(number)
        _, error = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 3
    assert error.count("\n") == 1
    assert "interrupted" in error
    _, alive = psutil.wait_procs(children, timeout=5)
    assert alive == []
    assert RunDirectory.open(tmp_path / "out").read_plan()["state"] == "interrupted"


def select_nothing(seconds: float) -> None:
    """Between two looks at a file."""
    import select

    select.select([], [], [], seconds)
