"""Differences of upstream releases that are bugs of theirs, with where they are described.

A case that fails on a release named here is reported as a known difference and does not fail the run. Nothing
else may be entered here: an unexplained failure is a failure.
"""

from __future__ import annotations

from dataclasses import dataclass

from gauntlet.harness.conformance.case import Version, parse_version


@dataclass(frozen=True, slots=True)
class Known:
    case: str  # its full name
    first: Version
    until: Version  # the first release without the bug
    where: str  # the issue, pull request or changelog entry
    why: str

    def covers(self, case: str, version: Version) -> bool:
        return case == self.case and self.first <= version < self.until


def _known(case: str, first: str, until: str, where: str, why: str) -> Known:
    return Known(case, parse_version(first), parse_version(until), where, why)


_SORT = "https://github.com/etcd-io/etcd/issues/13554"

KNOWN: tuple[Known, ...] = (
    _known("errors.range_with_an_unknown_order", "3.4", "3.6", _SORT, "sort options were not checked"),
    _known(
        "errors.range_with_an_unknown_sort_target",
        "3.4",
        "3.6",
        _SORT,
        "an unknown sort target took the member down",
    ),
)


def known(case: str, version: Version) -> Known | None:
    return next((entry for entry in KNOWN if entry.covers(case, version)), None)
