"""From what a run left behind to its verdict. The same judgement after a run and at any time later, anywhere.

Four kinds of evidence, each a check of its own:
- the workload's checkers over the history, and always the statistics: they know if the run proves anything;
- members: one that ended by itself, or that never served again after all faults were healed. Neither breaks a
  promise of linearizability, but neither may pass: unknown at best;
- hashes: HashKV of all members at one revision. Different hashes are different stores: invalid.
- faults: a schedule that could not be carried out to its end is unknown. A fault that was not seen to bite
  changes no verdict; it is listed.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from gauntlet.checkers import certificates
from gauntlet.checkers.records import Run, load
from gauntlet.checkers.registry import judge as judge_history
from gauntlet.checkers.verdict import EXIT_CODES, CheckResult, first_explanation, overall
from gauntlet.checkers.watch import read_watches
from gauntlet.harness.plan import Plan
from gauntlet.harness.rundir import INTERRUPTED, RunDirectory, RunDirectoryError
from gauntlet.harness.versions import gauntlet_version
from gauntlet.workloads.base import Settings, Workload
from gauntlet.workloads.registry import make
from porcupine.formats.detect import decoded
from porcupine.history import HistoryError
from porcupine.kernel import choose
from porcupine.search import Verdict

T = TypeVar("T")

CHECK_SECONDS = 120.0  # for each checker of the history


def planned(directory: RunDirectory, stored: Mapping[str, Any]) -> tuple[Plan, Workload]:
    """The plan as it is stored in the directory, and its workload. RunDirectoryError for one that is none."""
    try:
        plan = Plan.from_json(stored)
        return plan, make(plan.workload, Settings(plan.seed, plan.clients, plan.keys, plan.prefix))
    except ValueError as error:
        raise RunDirectoryError(f"{directory.plan_file}: {error}") from error


def judge(directory: RunDirectory) -> dict[str, Any]:
    """Checks everything, writes results.json and gives its content. RunDirectoryError for a broken file."""
    stored = directory.read_plan()
    plan, workload = planned(directory, stored)
    kernel = choose().name
    begin = time.monotonic()
    checks = _check_history(directory, workload.checks)
    directory.write_certificate(certificates.lines(checks))
    members = directory.read_members()
    interrupted = stored.get("state") == INTERRUPTED
    faults = summarize_faults(directory.faults())
    checks += [
        check_faults(faults, members),
        check_members(members),
        check_hashes(members, interrupted),
    ]
    verdict = overall(checks)
    results = {
        "verdict": verdict.value,
        "exit_code": EXIT_CODES[verdict],
        "explanation": first_explanation(checks),
        "checks": [check.to_json() for check in checks],
        "stats": next((check.details for check in checks if check.name == "stats"), {}),
        "faults": faults,
        "state": stored.get("state"),
        "command": plan.command(),
        "run_dir": str(directory.path),
        "certificate": directory.certificate_file.name,
        "versions": {**stored.get("versions", {}), "judge": gauntlet_version(), "kernel": kernel},
        "judged_in_seconds": round(time.monotonic() - begin, 3),
    }
    directory.write_results(results)
    return results


def _check_history(directory: RunDirectory, names: tuple[str, ...]) -> list[CheckResult]:
    run = read_run(directory)
    run.clock, run.seconds, run.memory = time.monotonic, CHECK_SECONDS, peak_memory
    if run.watches:
        names = (*names, "watch")
    try:
        _, checks = judge_history(run, names)
    except (HistoryError, ValueError) as error:
        raise RunDirectoryError(f"{directory.history_file}: {error}") from error
    return checks


def peak_memory() -> int:
    """The most bytes that this process has held so far. Linux counts in KiB, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def read_run(directory: RunDirectory) -> Run:
    """Everything that the checkers look at. RunDirectoryError for a file that is missing or broken."""
    run = _read(directory.history_file, load)
    if directory.watches_file.exists():
        run.watches = _read(directory.watches_file, read_watches)
    run.faults = directory.faults()
    run.leader_changes = directory.leader_changes()
    return run


def _read(path: Path, read: Callable[[Iterable[str]], T]) -> T:
    try:
        with path.open("rb") as file:
            return read(decoded(file))
    except HistoryError as error:
        raise RunDirectoryError(f"{path}: {error}") from error
    except OSError as error:
        raise RunDirectoryError(f"cannot read {path}: {error.strerror}") from error


def check_faults(faults: Mapping[str, Any], members: Mapping[str, Any]) -> CheckResult:
    """Unknown when the schedule broke off: this is not the run that was asked for."""
    broke_off = members.get("faults_broke_off")
    if broke_off:
        summary = f"the schedule of faults broke off: {broke_off}"
        return CheckResult("faults", Verdict.UNKNOWN, summary, dict(faults))
    summary = f"{faults['bit']} of {faults['total']} faults were seen to bite" if faults["total"] else "none"
    return CheckResult("faults", Verdict.VALID, summary, dict(faults))


def check_members(members: Mapping[str, Any]) -> CheckResult:
    """Unknown when a member ended by itself or did not serve again."""
    died = members.get("died") or []
    unhealthy = members.get("unhealthy")
    details = {"died": died, "unhealthy": unhealthy, "recovery_seconds": members.get("recovery_seconds")}
    if died:
        return CheckResult("members", Verdict.UNKNOWN, died[0]["error"], details)
    if unhealthy:
        return CheckResult("members", Verdict.UNKNOWN, unhealthy["error"], details)
    if members.get("recovery_seconds") is None:
        return CheckResult("members", Verdict.UNKNOWN, "nobody looked whether all members recovered", details)
    return CheckResult("members", Verdict.VALID, "every member served at the end", details)


def check_hashes(members: Mapping[str, Any], interrupted: bool) -> CheckResult:
    """Invalid when two members that can be compared differ; unknown when some could not be compared."""
    hashes = members.get("hashes")
    if not hashes:
        why = (
            "the run was interrupted before the members could be compared" if interrupted else "not compared"
        )
        return CheckResult("hashes", Verdict.UNKNOWN, why)
    revision, answers = hashes["revision"], hashes["members"]
    listed = ", ".join(
        f"{name} {answer['hash']}" if "hash" in answer else f"{name} ({answer['error']})"
        for name, answer in answers.items()
    )
    if hashes["equal"] is True:
        return CheckResult("hashes", Verdict.VALID, f"all members are equal at revision {revision}", hashes)
    if hashes["equal"] is None:
        return CheckResult(
            "hashes", Verdict.UNKNOWN, f"not comparable at revision {revision}: {listed}", hashes
        )
    explanation = {
        "label": "members differ",
        "text": f"After all faults were healed the members hold different stores: HashKV at revision "
        f"{revision} is {listed}.",
        "operations": [],
        "expectations": [],
        "shrunk": [],
    }
    summary = f"members differ at revision {revision}"
    return CheckResult("hashes", Verdict.INVALID, summary, hashes, explanation)


def summarize_faults(records: list[dict[str, Any]]) -> dict[str, Any]:
    """How many faults there were, by name; those refused and those that were not seen to bite."""
    by_name: dict[str, int] = {}
    refused, toothless = [], []
    for record in records:
        evidence = record.get("evidence") or {}
        name = str(record.get("name"))
        if evidence.get("refused"):
            refused.append({"id": record.get("id"), "name": name, "reason": evidence["refused"]})
            continue
        by_name[name] = by_name.get(name, 0) + 1
        if not evidence.get("bit"):
            toothless.append({"id": record.get("id"), "name": name, "evidence": evidence})
    total = sum(by_name.values())
    return {
        "total": total,
        "bit": total - len(toothless),
        "by_name": dict(sorted(by_name.items())),
        "refused": refused,
        "not_seen_to_bite": toothless,
    }
