"""Differences of upstream releases that are bugs of theirs, with where they are described.

A case that fails on a release named here is reported as a known difference and does not fail the run. Nothing
else may be entered here: an unexplained failure is a failure, and a promise that a release does not make is a
matter of the case's `since`. docs/conformance.md shows this table; a test holds the two against each other.
"""

from __future__ import annotations

from dataclasses import dataclass

from gauntlet.harness.conformance.case import Version, parse_version


@dataclass(frozen=True, slots=True)
class Known:
    case: str  # its full name
    spans: tuple[
        tuple[Version, Version], ...
    ]  # of each release line: the first with the bug, the first without
    where: str  # the issue, pull request or advisory
    why: str  # what those releases do

    def covers(self, case: str, version: Version) -> bool:
        return case == self.case and any(first <= version < until for first, until in self.spans)


def _known(case: str, spans: str, where: str, why: str) -> Known:
    """spans: `3.4-3.4.25 3.5-3.5.8`; where: what follows the repository's address."""
    pairs = [span.split("-") for span in spans.split()]
    versions = tuple((parse_version(first), parse_version(until)) for first, until in pairs)
    return Known(case, versions, f"https://github.com/etcd-io/etcd/{where}", why)


_SORT = "issues/13554"
_APIS = "security/advisories/GHSA-q8m4-xhhv-38mg"  # CVE-2026-33413
_NESTED = "security/advisories/GHSA-rfx7-8w68-q57q"  # CVE-2026-33343
_MARCH = "3.4-3.4.42 3.5-3.5.28 3.6-3.6.9"

KNOWN: tuple[Known, ...] = (
    _known("errors.range_with_an_unknown_order", "3.4-3.6", _SORT, "sort options are not checked"),
    _known(
        "errors.range_with_an_unknown_sort_target",
        "3.4-3.6",
        _SORT,
        "a range with an unknown sort target ends the process",
    ),
    _known(
        "auth.refuses_a_missing_permission",
        "3.4-3.4.25",
        "pull/13086",
        "granting a role no permission at all ends the process",
    ),
    _known(
        "auth.refuses_a_permission_over_an_empty_range",
        "3.4-3.4.25 3.5-3.5.8",
        "pull/15619",
        "a permission over a range that contains nothing is taken",
    ),
    _known(
        "auth.a_changed_password_counts_at_once",
        "3.4-3.4.28",
        "pull/12165",
        "Authenticate is refused when the call carries a token that has become void",
    ),
    _known(
        "errors.a_token_without_authentication_is_ignored",
        "3.4-3.4.28 3.5-3.5.10",
        "pull/16241",
        "a token is checked although authentication is off, and the call is refused",
    ),
    _known(
        "auth.txn_nested_put_denied",
        _MARCH,
        _NESTED,
        "permissions are not asked for what a nested txn does",
    ),
    _known(
        "auth.txn_nested_comparison_denied",
        _MARCH,
        _NESTED,
        "permissions are not asked for what a nested txn compares",
    ),
    _known(
        "auth.txn_prev_kv_denied",
        "3.4-3.4.44 3.5-3.5.30 3.6-3.6.11",
        "pull/21683",
        "a put in a txn returns the previous pair to a user who may not read it",
    ),
    _known("auth.only_root_may_compact", _MARCH, _APIS, "any user may compact"),
    _known("auth.only_root_may_move_the_leader", _MARCH, _APIS, "any user may move the leader"),
    _known("auth.only_root_may_raise_alarms", _MARCH, _APIS, "any user may raise alarms"),
    _known(
        "lock.a_contender_whose_lease_is_revoked_gets_an_error",
        "3.4-3.5",
        "pull/11408",
        "a contender whose lease has ended meanwhile is told that it holds the lock",
    ),
    _known(
        "gateway.maintenance_hash",
        "3.4-3.5.10",
        "pull/16490",
        "HashKV has the gateway path of Hash, so it cannot be reached",
    ),
)


def known(case: str, version: Version) -> Known | None:
    return next((entry for entry in KNOWN if entry.covers(case, version)), None)
