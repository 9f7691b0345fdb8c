"""What a checker of several named guarantees collects, and the verdict that follows.

Each guarantee ends in one of four states:

- ``invalid``: a finding contradicts it;
- ``valid``: it was looked at (`checked` times) and nothing contradicts it;
- ``not proven``: the run could have broken it without anything in the records showing it (say, nobody knows
  what the store did, because there is no history);
- ``not exercised``: the run gave no occasion to break it. That is neither good nor bad.

The check is invalid with any finding; otherwise unknown when nothing at all was checked or a guarantee is not
proven; otherwise valid. *Remarks* are findings that break no promise of etcd, only what people tend to
assume; they are reported and change no verdict.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gauntlet.checkers.story import active
from gauntlet.checkers.verdict import CheckResult
from porcupine.search import Verdict

KEPT = 20  # findings that are kept in full; all are counted


@dataclass(slots=True)
class Finding:
    """A broken guarantee: `records` are the two or three that contradict each other, as JSON objects.

    `operations` are ids of the history's operations among them; `at_ns` is when it was plain to see;
    `revision` is the store's that it is about, where it is about one.
    """

    guarantee: str
    label: str
    text: str
    records: Sequence[Mapping[str, Any]] = ()
    operations: Sequence[int] = ()
    at_ns: int = 0
    part: str | None = None
    revision: int | None = None
    due: tuple[str, str] | None = None
    """(what was expected, what was got)."""

    def to_json(self, faults: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
        """The form of `CheckResult.explanation`."""
        during = active(faults, self.at_ns, self.at_ns)
        text = self.text if not during else f"{self.text} Faults active then: {', '.join(during)}."
        return {
            "guarantee": self.guarantee,
            "label": self.label,
            "text": text,
            "operations": list(self.operations),
            "expectations": self._expectations(),
            "shrunk": list(self.operations),
            "records": [dict(record) for record in self.records],
            "faults": during,
            "at_ns": self.at_ns,
            "part": self.part,
            "revision": self.revision,
        }

    def _expectations(self) -> list[dict[str, Any]]:
        if self.due is None:
            return []
        expected, got = self.due
        first = self.operations[0] if self.operations else None
        about = {"operation": first, "description": self.part or self.guarantee, "reason": self.label}
        return [{**about, "expected": expected, "got": got}]


@dataclass(slots=True)
class Tally:
    """Collects for one check. `names` are all guarantees it knows, in the order to show them."""

    names: Sequence[str]
    checked: dict[str, int] = field(default_factory=dict)
    unproven: dict[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    remarks: list[Finding] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def saw(self, guarantee: str, times: int = 1) -> None:
        if times:
            self.checked[guarantee] = self.checked.get(guarantee, 0) + times

    def doubt(self, guarantee: str, why: str) -> None:
        """Nothing shows whether it held; the first reason is kept."""
        self.unproven.setdefault(guarantee, why)

    def fail(self, finding: Finding) -> None:
        assert finding.guarantee in self.names, finding.guarantee
        self.counts[finding.guarantee] = self.counts.get(finding.guarantee, 0) + 1
        if self.counts[finding.guarantee] <= KEPT:
            self.findings.append(finding)

    def remark(self, finding: Finding) -> None:
        self.counts["remarks"] = self.counts.get("remarks", 0) + 1
        if self.counts["remarks"] <= KEPT:
            self.remarks.append(finding)

    def state(self, guarantee: str) -> str:
        if self.counts.get(guarantee):
            return "invalid"
        if guarantee in self.unproven:
            return "not proven"
        return "valid" if self.checked.get(guarantee) else "not exercised"

    def broken(self) -> list[str]:
        return [name for name in self.names if self.counts.get(name)]

    def result(
        self,
        name: str,
        subject: str,
        details: Mapping[str, Any],
        faults: Sequence[Mapping[str, Any]] = (),
        nothing: str | None = None,
    ) -> CheckResult:
        """The check's answer. `subject`: what was judged, in words; `nothing`: why there was nothing."""
        findings = sorted(self.findings, key=lambda finding: finding.at_ns)
        full = {
            **details,
            "guarantees": {each: self._details(each) for each in self.names},
            "findings": [finding.to_json(faults) for finding in findings],
            "remarks": [remark.to_json(faults) for remark in self.remarks],
            "remarks_in_all": self.counts.get("remarks", 0),
        }
        if findings:
            first = findings[0]
            summary = f"{first.label}; broken: {', '.join(self.broken())} ({subject})"
            return CheckResult(name, Verdict.INVALID, summary, full, first.to_json(faults))
        if nothing is not None or not self.checked:
            return CheckResult(name, Verdict.UNKNOWN, nothing or f"nothing to check ({subject})", full)
        if self.unproven:
            why = "; ".join(f"{each}: {reason}" for each, reason in self.unproven.items())
            return CheckResult(name, Verdict.UNKNOWN, f"nothing is wrong, but not proven: {why}", full)
        return CheckResult(name, Verdict.VALID, f"{self._held()} ({subject})", full)

    def _held(self) -> str:
        held = [each for each in self.names if self.state(each) == "valid"]
        remarks = self.counts.get("remarks", 0)
        more = f"; {remarks} remarks on what is not promised" if remarks else ""
        return f"kept: {', '.join(held)}{more}"

    def _details(self, guarantee: str) -> dict[str, Any]:
        return {
            "state": self.state(guarantee),
            "checked": self.checked.get(guarantee, 0),
            "violations": self.counts.get(guarantee, 0),
            "why_not_proven": self.unproven.get(guarantee),
        }


def seconds(ns: int) -> str:
    """A moment of the run for people."""
    return f"{ns / 1e9:.3f} s"


def listed(items: Iterable[object], most: int = 3) -> str:
    shown = [str(item) for item in items]
    more = f" and {len(shown) - most} more" if len(shown) > most else ""
    return ", ".join(shown[:most]) + more
