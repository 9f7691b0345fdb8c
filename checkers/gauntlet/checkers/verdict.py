"""A checker's answer: valid, invalid or unknown, with the reason in words and a JSON form.

Invalid outranks unknown outranks valid. Nothing counts unknown as a pass; no check at all is unknown too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from porcupine.checking import worst
from porcupine.search import Verdict

EXIT_CODES: Mapping[Verdict, int] = {Verdict.VALID: 0, Verdict.INVALID: 1, Verdict.UNKNOWN: 2}


@dataclass(slots=True)
class CheckResult:
    """`summary` is one sentence; `details` are numbers and lists for tables; `explanation` says why it
    failed.

    An explanation is an object with at least ``label``, ``text`` and ``operations`` (ids of the history's
    operations, the contradicting ones), and mostly ``expectations`` and ``shrunk`` (see `explained`).
    """

    name: str
    verdict: Verdict
    summary: str
    details: dict[str, Any] = field(default_factory=dict)
    explanation: dict[str, Any] | None = None
    proof: Callable[[], Iterable[dict[str, Any]]] | None = field(default=None, repr=False, compare=False)
    """Gives the lines that a judge can check again (`gauntlet.checkers.certificates`)."""

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "verdict": self.verdict.value,
            "summary": self.summary,
            "details": self.details,
            "explanation": self.explanation,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> CheckResult:
        """The inverse of `to_json`. ValueError or KeyError for anything else."""
        return cls(
            value["name"],
            Verdict(value["verdict"]),
            value["summary"],
            dict(value.get("details") or {}),
            value.get("explanation"),
        )


def overall(results: Iterable[CheckResult]) -> Verdict:
    """The verdict on a run: the worst of its checks, unknown when there was none."""
    verdicts = [result.verdict for result in results]
    return worst(verdicts) if verdicts else Verdict.UNKNOWN


def first_explanation(results: Iterable[CheckResult]) -> dict[str, Any] | None:
    """The explanation to show first: of the first check that failed and can name two or more operations that
    contradict each other; else of the first that can say anything. One operation alone convinces nobody."""
    explanations = [
        result.explanation
        for result in results
        if result.verdict is Verdict.INVALID and result.explanation is not None
    ]
    pairs = (found for found in explanations if len(found.get("operations", ())) > 1)
    return next(pairs, explanations[0] if explanations else None)
