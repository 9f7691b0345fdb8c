"""Upstream's black-box tests, built by Go in the cache, and a member of ours to run them on."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from gauntlet.harness.tools.build import find_go
from gauntlet.harness.tools.cache import ToolError, building, cached

RELEASE = "3.7.1"
MODULE = "go.etcd.io/etcd/tests/v3"
TOOLS = {name: f"go.etcd.io/etcd/{name}/v3" for name in ("etcdctl", "etcdutl")}
BUILD_SECONDS = 1200.0
# The longest test takes a minute on a quiet machine.
TEST_SECONDS = 600
# Upstream's members listen from here on, five ports for each of them.
PORTS = range(20000, 20025)
PORTS_SECONDS = 60.0
_RESULT = re.compile(r"^( *)--- (PASS|FAIL|SKIP): ", re.MULTILINE)
SUITE = pytest.StashKey["Suite"]()


@dataclass(frozen=True)
class Result:
    """What became of a Go test: PASS, FAIL, SKIP, or NONE when it came to no end; its subtests by outcome.

    `log` is the file of all that the test and its members wrote; it is the caller's to delete.
    """

    outcome: str
    subtests: Counter[str]
    log: Path


@dataclass(frozen=True)
class Suite:
    """A package of upstream's tests as one program.

    `folder` is empty; the certificates lie beside it as `fixtures`, for that is where the program looks for
    them. `tools` has etcd (the one under test), etcdctl and etcdutl. `logs` keeps what failed tests wrote.
    """

    program: Path
    folder: Path
    tools: Path
    logs: Path
    second_tries: list[str] = field(default_factory=list)

    def names(self) -> list[str]:
        command = [str(self.program), "-test.list", "."]
        listed = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, timeout=60, check=True
        )
        return listed.stdout.split()

    def run(self, name: str) -> Result:
        """Runs one test.

        Upstream's tests give a cluster 10 to 30 s of wall clock, its start included, which other work on the
        machine can use up; so what fails is run once more, and the summary says so.
        """
        first = self._run(name, self.logs / f"{name}.log")
        if first.outcome != "FAIL":
            return first
        self.second_tries.append(name)
        return self._run(name, self.logs / f"{name}-again.log")

    def _run(self, name: str, log: Path) -> Result:
        wait_for_ports()
        limit = ("-test.timeout", f"{TEST_SECONDS}s")
        with log.open("wb") as output:
            done = subprocess.run(
                [self.program, "-test.v", *limit, "-test.run", f"^{name}$", "-bin-dir", self.tools],
                cwd=self.folder,
                env={**os.environ, "EXPECT_DEBUG": "1"},
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=TEST_SECONDS + 60,
            )
        found = _RESULT.findall(log.read_text(encoding="utf-8", errors="replace"))
        own = [outcome for indent, outcome in found if not indent]
        # The program has the last word: goroutines that a test left behind fail it after the test has passed.
        ended = len(own) == 1 and (own[0] == "FAIL" or done.returncode == 0)
        return Result(own[0] if ended else "NONE", Counter(o for indent, o in found if indent), log)


def wait_for_ports() -> None:
    """Members of a test that was cut short hear of it by SIGHUP, and need a moment to go."""
    deadline = time.monotonic() + PORTS_SECONDS
    pause = threading.Event()
    while taken := [port for port in PORTS if not is_free(port)]:
        if time.monotonic() > deadline:
            pytest.fail(f"ports {taken} are taken, and upstream's tests can use no others")
        pause.wait(0.1)


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def go(folder: Path, *arguments: str, fetches: bool = False) -> str:
    """What Go prints. Skips the test without Go, and where it `fetches` in vain; else failure is failure."""
    try:
        command = [find_go("upstream's tests"), *arguments]
    except ToolError as error:
        pytest.skip(str(error))
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=BUILD_SECONDS
    )
    if done.returncode != 0:
        (pytest.skip if fetches else pytest.fail)(f"{' '.join(command)}: {done.stderr or done.stdout}")
    return done.stdout


def build(work: Path) -> Path:
    """The package `common` as it drives whole processes (build tag e2e), and the tools it calls."""
    go(work, "mod", "init", "gauntlet.invalid/build")
    wanted = (f"{MODULE}/common@v{RELEASE}", *(f"{module}@v{RELEASE}" for module in TOOLS.values()))
    go(work, "get", "-t", *wanted, fetches=True)
    with building("upstream-tests", RELEASE) as folder:
        go(work, "test", "-c", "-tags=e2e", "-o", str(folder / "common.test"), f"{MODULE}/common")
        for name, module in TOOLS.items():
            go(work, "build", "-trimpath", "-o", str(folder / name), module)
    built = cached("upstream-tests", RELEASE, "common.test")
    assert built is not None
    return built


@pytest.fixture(scope="session")
def common_suite(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Suite:
    """Upstream's package `common`, set on our node, or on the etcd that GAUNTLET_TEST_COMMON_ETCD names."""
    work = tmp_path_factory.mktemp("upstream")
    module = json.loads(go(work, "mod", "download", "-json", f"{MODULE}@v{RELEASE}", fetches=True))
    program = cached("upstream-tests", RELEASE, "common.test") or build(work)
    folder, tools, logs = work / "run", work / "bin", work / "logs"
    for made in (folder, tools, logs):
        made.mkdir()
    (work / "fixtures").symlink_to(Path(module["Dir"]) / "fixtures")
    for name in TOOLS:
        (tools / name).symlink_to(program.with_name(name))
    judged = os.environ.get("GAUNTLET_TEST_COMMON_ETCD")
    if judged:
        (tools / "etcd").symlink_to(Path(judged).resolve(strict=True))
    else:
        # The tests hand down little of the environment, so the interpreter is named.
        launcher = tools / "etcd"
        launcher.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m gauntlet.reference.server.main "$@"\n')
        launcher.chmod(0o755)
    suite = Suite(program, folder, tools, logs)
    request.config.stash[SUITE] = suite
    return suite


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    suite = config.stash.get(SUITE, None)
    if suite is None:
        return
    counts = {
        outcome: sum("test_common[" in report.nodeid for report in terminalreporter.getreports(outcome))
        for outcome in ("passed", "skipped", "failed", "error")
    }
    said = ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)
    terminalreporter.write_line(f"upstream's package common at v{RELEASE}: {said}")
    if suite.second_tries:
        names = ", ".join(suite.second_tries)
        terminalreporter.write_line(f"run a second time: {names}; logs of what failed are in {suite.logs}")
