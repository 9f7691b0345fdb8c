"""Every case as a test; what the target's version does not offer is skipped, with the version it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from gauntlet.harness.conformance import cases
from gauntlet.harness.conformance.case import REGISTRY, Case
from gauntlet.harness.conformance.runner import Status

if TYPE_CHECKING:
    from gauntlet.harness.conformance.conftest import Bench

assert cases.__name__  # imported for what importing it does


@pytest.mark.parametrize("case", REGISTRY.all(), ids=lambda case: case.name)
def test_case(case: Case, conformance_bench: Bench) -> None:
    result = conformance_bench.run(case)
    if result.status in (Status.NOT_OFFERED, Status.NOT_POSSIBLE):
        pytest.skip(f"{result.status.value}: {result.detail}")
    if result.status is Status.KNOWN:
        pytest.xfail(result.detail)
    assert not result.status.bad, result.detail
