"""What an explanation needs so that somebody who was not there can read it: of every operation that it names
who, where, what and when, and the faults that were active then."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from gauntlet.checkers import records as register
from gauntlet.checkers.etcd.calls import CALLS
from gauntlet.checkers.etcd.words import operation_words, text
from gauntlet.checkers.objects import WORDS
from gauntlet.checkers.records import Run
from gauntlet.checkers.register import Revisions
from gauntlet.checkers.txn.records import is_txn
from gauntlet.checkers.txn.words import operation_text
from porcupine.history import Operation
from porcupine.labels import moment
from porcupine.models.keyed import On

MOST_TOLD = 20
_REGISTER = Revisions()


def describe(operation: Operation) -> str:
    """The operation and its answer in words, whatever model it is for."""
    call = operation.call
    if isinstance(call, register.Call):
        return _REGISTER.describe(operation)
    if isinstance(call, CALLS):
        return operation_words(operation)
    if is_txn(operation):
        return operation_text(operation)
    if isinstance(call, On):
        return f"{WORDS.describe(replace(operation, call=call.call))} on {call.key!r}"
    return WORDS.describe(operation)


def subject(operation: Operation) -> tuple[str, Hashable]:
    """(what was done, on which key)."""
    call: Any = operation.call
    if is_txn(operation):
        return "txn", None
    if isinstance(call, CALLS):
        key = getattr(call, "key", None)
        return type(call).__name__.lower(), text(key) if isinstance(key, bytes) else None
    if isinstance(call, On):
        inner: Any = call.call
        return str(inner[0]), call.key
    if not isinstance(call, tuple) or not call:
        return str(call), None
    named = isinstance(call, register.Call) or len(call) == 3 or call[0] == "get"
    return str(call[0]), call[1] if named and len(call) > 1 else None


def active(faults: Iterable[Mapping[str, Any]], start_ns: int, end_ns: int) -> list[str]:
    """The faults that were on at any moment of that time, with what they were on."""
    found = []
    for fault in faults:
        begun, end, evidence = fault.get("start_ns"), fault.get("end_ns"), fault.get("evidence")
        if isinstance(evidence, Mapping) and evidence.get("refused"):
            continue
        if isinstance(begun, int) and begun <= end_ns and (not isinstance(end, int) or end >= start_ns):
            targets = ", ".join(str(target) for target in fault.get("targets") or ())
            found.append(f"{fault.get('name')} ({targets})" if targets else str(fault.get("name")))
    return list(dict.fromkeys(found))


def tell(explanation: dict[str, Any], run: Run) -> None:
    """Adds ``story`` (its operations, the first called first) and ``faults``, and names the faults in its
    text."""
    wanted = set(explanation.get("operations") or ())
    named = [operation for operation in run.history if operation.id in wanted] if wanted else []
    told = [_told(operation, run.faults) for operation in named[:MOST_TOLD]]
    explanation["story"] = told
    if "faults" not in explanation:
        during = list(dict.fromkeys(fault for each in told for fault in each["faults"]))
        explanation["faults"] = during
        if during:
            explanation["text"] = f"{explanation['text']} Faults active then: {', '.join(during)}."


def _told(operation: Operation, faults: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    called, returned = operation.call_time_ns, operation.return_time_ns
    return {
        "id": operation.id,
        "client": operation.client if isinstance(operation.client, int | str) else str(operation.client),
        "member": operation.tags.get("member"),
        "text": describe(operation),
        "outcome": operation.outcome.value,
        "called": moment(operation, called),
        "returned": None if returned is None else moment(operation, returned),
        "faults": active(faults, called, returned if returned is not None else called),
    }


def what_was_due(explanation: Mapping[str, Any]) -> str:
    """The heading of its expectations: of a search they are what it could not place."""
    searched = "explained_operations" in explanation
    return (
        "what could have come next, and why it could not" if searched else "what was due, and what was given"
    )


def in_words(explanation: Mapping[str, Any]) -> list[str]:
    """The whole explanation as lines of text: label and story, then expected against got."""
    lines = [f"{explanation.get('label', 'no label')}: {explanation.get('text', '')}"]
    told = explanation.get("story") or ()
    if told:
        lines += ["", "the operations:"]
    for each in told:
        where = f" on {each['member']}" if each.get("member") else ""
        when = (
            f"{each['called']} to {each['returned']}" if each["returned"] else f"called at {each['called']}"
        )
        lines.append(f"  #{each['id']}  {each['text']}, client {each['client']}{where}, {when}")
        if each["faults"]:
            lines.append(f"      faults then: {', '.join(each['faults'])}")
    expectations = explanation.get("expectations") or ()
    if expectations:
        lines += ["", f"{what_was_due(explanation)}:"]
    for each in expectations[:5]:
        lines.append(
            f"  {each['description']}: {each['reason']}; expected {each['expected']}, got {each['got']}"
        )
    return lines
