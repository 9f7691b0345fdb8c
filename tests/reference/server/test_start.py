"""What every start of a member has to wait for."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("library", ["dns", "yaml", "grpc"])
def test_libraries_that_few_members_need_are_not_loaded(library: str) -> None:
    code = f"import sys, gauntlet.reference.server.main; print({library!r} in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "False\n"
