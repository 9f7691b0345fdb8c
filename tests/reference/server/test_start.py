"""What every start of a member has to wait for."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from gauntlet.reference.server.main import main, usage

COMMAND = [sys.executable, "-m", "gauntlet.reference.server.main"]
RARE = ["bcrypt", "cryptography", "ctypes", "dns", "grpc", "jwt", "prometheus_client", "yaml"]


def loaded(module: str) -> set[str]:
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    return set(done.stdout.split())


def test_libraries_that_few_members_need_are_not_loaded() -> None:
    assert loaded("gauntlet.reference.server.life").isdisjoint(RARE)


def test_the_version_is_told_before_the_member_is_loaded() -> None:
    modules = loaded("gauntlet.reference.server.main")
    assert modules.isdisjoint({"asyncio", "google.protobuf", "gauntlet.reference.server.life"})


@pytest.mark.parametrize(("flag", "words"), [("--version", "etcd Version: 3.7.1"), ("--help", "Usage:")])
def test_version_and_help(flag: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([flag]) == 0
    assert capsys.readouterr().out.startswith(f"{words}\n")
    assert "--data-dir" in usage()


def test_an_answer_nobody_can_read_is_an_error_with_its_reason() -> None:
    shell = ["sh", "-c", 'exec "$@" >&-', "sh", *COMMAND, "--version"]
    done = subprocess.run(shell, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (1, "gauntlet-etcd: cannot write to stdout: it is closed\n")
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as broken:
        done = subprocess.run(
            [*COMMAND, "--help"], stdout=broken, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert (done.returncode, done.stderr) == (1, "gauntlet-etcd: cannot write to stdout: Broken pipe\n")
