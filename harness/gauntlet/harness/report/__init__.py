"""report.html: one file that shows a run to people, offline, without anything beside it."""

from __future__ import annotations

from gauntlet.harness.report.write import write_report

__all__ = ["write_report"]
