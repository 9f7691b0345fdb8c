"""The whole suite on the reference node, and where each of etcd's errors is reached.

Every error of `api.errors` stands in exactly one of three tables: a case of the suite meets it (this is seen
in what the cases were answered), a test names it, or it cannot be reached, for a reason.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from gauntlet.api import errors
from gauntlet.api.errors import RpcError
from gauntlet.harness.conformance import cases
from gauntlet.harness.conformance.case import REGISTRY
from gauntlet.harness.conformance.runner import Outcome, Status, run_suite

assert cases.__name__

TESTS = Path(__file__).parents[2]
FACTS = TESTS.parents[1] / "shared" / "facts" / "errors.tsv"

ERRORS: dict[str, RpcError] = {
    name: value
    for name, value in vars(errors).items()
    if isinstance(value, RpcError) and value.message.startswith("etcdserver: ")
}

BY_TESTS = {
    "INVALID_CLIENT_API_VERSION": "reference/node/test_node_recipes.py",
    "NOT_SUPPORTED_FOR_LEARNER": "reference/node/test_node_recipes.py",
    "NO_LEADER": "reference/node/test_node_recipes.py",
    "MEMBER_EXIST": "reference/state/test_state_membership.py",
    "AUTH_OLD_REVISION": "reference/node/test_node_auth.py",
    "LEADER_CHANGED": "reference/state/test_state_lease.py",
    "STOPPED": "reference/node/test_node.py",
    "TIMEOUT": "reference/node/test_node_refusals.py",
    "TIMEOUT_DUE_TO_LEADER_FAIL": "reference/node/test_node_refusals.py",
    "TIMEOUT_DUE_TO_CONNECTION_LOST": "reference/node/test_node_refusals.py",
    "REQUEST_TOO_MANY_REQUESTS": "reference/node/test_node_refusals.py",
    "CLUSTER_VERSION_UNAVAILABLE": "reference/node/test_node_refusals.py",
}

UNREACHED = {
    "WATCH_CANCELED": "ends a watch stream whose client has gone, so nobody can read it",
    "CANCELED": "answers a call whose client has gone, so nobody can read it",
    "DEADLINE_EXCEEDED": "answers a call whose deadline has passed: the client's library says its own words",
    "CLUSTER_ID_MISMATCH": "no server sends it; members tell each other so over HTTP, in other words",
    "NOT_CAPABLE": "only a cluster of version 2 cannot do what clients ask",
    "TIMEOUT_WAIT_APPLIED_INDEX": "a lease is renewed by the thread that applies, so nothing waits for it",
    "NO_INFLIGHT_DOWNGRADE": "3.6 and later log it and answer with success",
}


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    return asyncio.run(run_suite("reference", REGISTRY.all(), toxiproxy="embedded"))


@pytest.mark.chaos
def test_every_case_passes(outcome: Outcome) -> None:
    assert [f"{r.case.name}: {r.detail}" for r in outcome.results if r.status.bad] == [], outcome.seed
    assert {r.case.name for r in outcome.results if r.status is Status.NOT_OFFERED} == {
        "auth.only_root_may_do_maintenance_and_is_told_so_without_code",
        "maintenance.cancelling_no_downgrade_is_refused",
        "errors.range_stream_is_not_implemented",
    }
    assert outcome.count(Status.PASS) == len(REGISTRY.all()) - 3


@pytest.mark.chaos
def test_the_cases_meet_every_other_error(outcome: Outcome) -> None:
    answers = "\n".join(exchange.answer for result in outcome.results for exchange in result.record)
    expected = ERRORS.keys() - BY_TESTS.keys() - UNREACHED.keys()
    assert {name for name in expected if ERRORS[name].message not in answers} == set()


def test_no_error_is_in_two_tables_or_gone() -> None:
    assert BY_TESTS.keys() & UNREACHED.keys() == set()
    assert ERRORS.keys() >= BY_TESTS.keys() | UNREACHED.keys()


@pytest.mark.parametrize("name", BY_TESTS)
def test_a_test_names_the_error(name: str) -> None:
    source = (TESTS / BY_TESTS[name]).read_text(encoding="utf-8")
    assert re.search(rf"assert\b.*\b{name}\b|\b{name}\),$", source, re.MULTILINE)


def test_what_cannot_be_reached_is_raised_nowhere() -> None:
    used = {name for name in UNREACHED for source in _reference() if f"errors.{name}" in source}
    assert used == set()


def _reference() -> Iterator[str]:
    for path in (TESTS.parent / "reference").rglob("*.py"):
        yield path.read_text(encoding="utf-8")


def test_the_errors_are_upstreams() -> None:
    if not FACTS.exists():
        pytest.skip(f"{FACTS} is not here")
    rows = [line.split("\t") for line in FACTS.read_text(encoding="utf-8").splitlines()[1:]]
    upstream = {(int(row[2]), row[3]) for row in rows}
    assert {(int(error.code), error.message) for error in ERRORS.values()} == upstream
