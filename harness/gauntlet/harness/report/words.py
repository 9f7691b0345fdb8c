"""Sentences of the report: what the verdict means, and how a fault is known to have bitten."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gauntlet.harness.report.data import COUNTED_NS, Record, RunFiles

OF_A_HISTORY = {
    "valid": "Every answer in the history can be explained.",
    "invalid": "What the history holds should never happen.",
    "unknown": "Not decided.",
}
NOT_PROOFS = ("stats", "members", "hashes", "faults")  # checks of the run, not of answers
MEANING = {
    "valid": "Every answer of the cluster can be explained.",
    "invalid": "The cluster broke a promise.",
    "unknown": "The run proves nothing either way.",
}


def headline(run: RunFiles) -> tuple[str, str, list[str]]:
    """(verdict, what it means, sentences of reasons)."""
    verdict = str(run.results.get("verdict") or "unknown")
    checks = [check for check in run.results.get("checks") or [] if isinstance(check, Mapping)]
    if not run.results:
        return "unknown", "Nobody has judged this run yet.", []
    explanation = run.explanation()
    meaning = (OF_A_HISTORY if run.source else MEANING).get(verdict, verdict)
    if verdict == "invalid" and explanation is not None:
        return verdict, meaning, [str(explanation.get("text", ""))]
    wanted = ("invalid",) if verdict == "invalid" else ("unknown",)
    reasons = [f"{check['name']}: {check['summary']}" for check in checks if check.get("verdict") in wanted]
    if verdict == "valid":
        proving = [check for check in checks if check.get("name") not in NOT_PROOFS]
        reasons = [str(check["summary"]) for check in proving]
    return verdict, meaning, [_sentence(reason) for reason in reasons]


def _sentence(text: str) -> str:
    return text if text.endswith(".") else text + "."


def moment(run: RunFiles, time_ns: int) -> str:
    """A moment of the history, to the microsecond or by its line."""
    return f"{run.unit} {time_ns // COUNTED_NS}" if run.unit else f"{time_ns / 1e9:.6f} s"


def seconds(time_ns: float) -> str:
    return f"{time_ns / 1e9:.3f} s"


def evidence(fault: Record) -> tuple[str, str]:
    """(yes, no or refused; how it is known) in words for the table."""
    found = fault.get("evidence")
    if not isinstance(found, Mapping):
        return "no", "nothing was recorded"
    if found.get("refused"):
        return "refused", str(found["refused"])
    words = [*_of_links(found, str(fault.get("id", ""))), *_of_processes(found)]
    if not words:
        skipped = ("bit", "state", "probes", "traffic")
        words = [f"{name}: {_short(value)}" for name, value in found.items() if name not in skipped]
    return ("yes" if found.get("bit") else "no"), "; ".join(words)


def _of_links(found: Mapping[str, Any], own: str) -> list[str]:
    """`own` is the fault's id: toxics are named after their fault, and others may sit on the same link."""
    words = []
    state = [each for each in found.get("state") or [] if isinstance(each, Mapping)]
    cut = sum(1 for each in state if each.get("enabled") is False)
    if cut:
        words.append(f"{cut} link{'s' if cut > 1 else ''} switched off")
    toxics = sorted(
        {
            f"{toxic.get('type')} {_short(toxic.get('attributes'))}".strip()
            for each in state
            for toxic in each.get("toxics") or []
            if isinstance(toxic, Mapping) and str(toxic.get("name", "")).startswith(f"{own}-")
        }
    )
    words += [f"toxic {toxic}" for toxic in toxics]
    probes: dict[str, list[float]] = {}
    for probe in found.get("probes") or []:
        if isinstance(probe, Mapping):
            probes.setdefault(str(probe.get("result")), []).append(float(probe.get("ms") or 0))
    for result, took in probes.items():
        slowest = f" after {max(took):g} ms" if result == "answered" else ""
        words.append(f"{len(took)} probe{'s' if len(took) > 1 else ''} {result}{slowest}")
    traffic = [each for each in (found.get("traffic") or {}).values() if isinstance(each, Mapping)]
    refused = sum(int(each.get("refused") or 0) for each in traffic)
    if refused:
        words.append(f"{refused} connections refused")
    return words


def _of_processes(found: Mapping[str, Any]) -> list[str]:
    words = []
    pids, after = found.get("pids"), found.get("new_pids")
    if isinstance(pids, Mapping):
        for member, pid in sorted(pids.items()):
            new = after.get(member) if isinstance(after, Mapping) else None
            words.append(f"{member}: pid {pid}" + (f" became {new}" if new else ""))
    gone = found.get("gone")
    if isinstance(gone, Mapping) and gone:
        dead = [str(member) for member, is_gone in sorted(gone.items()) if is_gone]
        words.append(f"seen gone: {', '.join(dead) or 'none'}")
    return words


def _short(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {inner}" for name, inner in value.items())[:160]
    return str(value)[:160]
