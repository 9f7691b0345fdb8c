"""h2spec, the conformance suite for HTTP/2 servers: every case passes, none is skipped."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gauntlet.api.wire.server import Limits

pytestmark = pytest.mark.upstream


def find_h2spec() -> str | None:
    named = os.environ.get("GAUNTLET_TEST_H2SPEC")
    cached = Path.home() / ".cache" / "gauntlet" / "h2spec"
    return named or shutil.which("h2spec") or (str(cached) if cached.is_file() else None)


def test_h2spec_none_failed(run_server: Callable[..., Any]) -> None:
    h2spec = find_h2spec()
    if h2spec is None:
        pytest.skip("h2spec is not installed (GAUNTLET_TEST_H2SPEC, PATH, ~/.cache/gauntlet/h2spec)")
    # One case opens as many streams as it may, and the next waits behind what they ask for.
    server = run_server(limits=Limits(max_concurrent_streams=1000))
    host, port = server.address.split(":")
    command = [h2spec, "-h", host, "-p", port, "-P", "/info", "-o", "10"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    summary = re.search(r"(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed", done.stdout)
    assert summary is not None, done.stdout + done.stderr
    tests, passed, skipped, failed = map(int, summary.groups())
    report = done.stdout[done.stdout.find("Failures:") :]
    assert failed == 0, report
    assert (passed, skipped) == (tests, 0)
    assert tests >= 145
