"""The evidence of a run's checks as one file of JSON lines, and its judge.

Each check begins with ``{"check": NAME, "verdict": ...}``, and a line with ``certificate`` follows:

- of `linearizable` those of `porcupine.certificate`, for a valid history one for each of its two models;
- of `etcd` and `txn` as in `gauntlet.checkers.etcd.proof` and `gauntlet.checkers.txn.proof`;
- ``{"certificate": "rules", "label": ..., "operations": [ids]}`` of checks that hold a history against rules
  in one pass: there is no shorter way to judge them again than that pass, and the judge takes it;
- ``{"certificate": "none"}`` of an unknown verdict, behind which nothing stands.

The judge believes nothing in the file but what it can see in the history. A file that leaves out a check, or
that proves another verdict than it says, is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from gauntlet.checkers import linearizable
from gauntlet.checkers.etcd import proof as etcd_proof
from gauntlet.checkers.etcd.check import stray_lease
from gauntlet.checkers.etcd.decide import beginning, considered
from gauntlet.checkers.etcd.register import of_operation
from gauntlet.checkers.records import Run
from gauntlet.checkers.registry import by_name
from gauntlet.checkers.txn import proof as txn_proof
from gauntlet.checkers.txn.checking import model_of
from gauntlet.checkers.verdict import CheckResult
from porcupine.search import Verdict
from porcupine.verify import CertificateError

Line = dict[str, Any]
RULES, NONE = "rules", "none"


class Rechecked(NamedTuple):
    check: str
    verdict: Verdict
    how: str


def lines(results: Iterable[CheckResult]) -> Iterator[Line]:
    """The file's lines."""
    for result in results:
        yield {"check": result.name, "verdict": result.verdict.value}
        if result.verdict is Verdict.UNKNOWN:
            yield {"certificate": NONE}
        elif result.proof is not None:
            yield from result.proof()
        else:
            yield {"certificate": RULES, **_told(result)}


def _told(result: CheckResult) -> Line:
    told = result.explanation or {}
    return {"label": told.get("label"), "operations": list(told.get("operations") or ())}


def recheck(given: Iterable[Mapping[str, Any]], run: Run, names: Iterable[str]) -> list[Rechecked]:
    """What the file proves of each of these checks. CertificateError where it does not prove what it says."""
    proven = []
    wanted = list(dict.fromkeys(names))
    for name, verdict, section in _sections(given):
        if name not in wanted:
            raise CertificateError(f"it tells of a check {name!r} that is not one of: {', '.join(wanted)}")
        wanted.remove(name)
        try:
            proven.append(Rechecked(name, verdict, _judge(name, verdict, section, run)))
        except CertificateError as error:
            raise CertificateError(f"{name}: {error}") from error
    if wanted:
        raise CertificateError(f"it tells nothing of the check {wanted[0]}")
    return proven


def _sections(given: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, Verdict, list[Line]]]:
    """(check, verdict, its lines)."""
    name, verdict, section = "", Verdict.UNKNOWN, list[Line]()
    for line in given:
        if "check" in line:
            if name:
                yield name, verdict, section
            name, section = str(line["check"]), []
            try:
                verdict = Verdict(str(line.get("verdict")))
            except ValueError as error:
                raise CertificateError(f"{name}: {line.get('verdict')!r} is no verdict") from error
        elif not name:
            raise CertificateError("the file is not a certificate of checks: its first line does not say so")
        else:
            section.append(dict(line))
    if name:
        yield name, verdict, section


_PROVES = {
    Verdict.VALID: ("order", RULES),
    Verdict.INVALID: ("contradiction", "anomaly", RULES),
    Verdict.UNKNOWN: (NONE,),
}


def _judge(name: str, verdict: Verdict, section: Sequence[Line], run: Run) -> str:
    head: Line = section[0] if section else {}
    kind = head.get("certificate")
    if kind not in _PROVES[verdict]:
        raise CertificateError(f"a certificate {kind!r} does not prove the verdict {verdict.value}")
    if kind == NONE:
        return "nothing is proven"
    own = _JUDGES.get(name)
    if kind == RULES or own is None:
        return _again(name, verdict, head, run)
    return own(section, verdict, run)


def _again(name: str, verdict: Verdict, head: Line, run: Run) -> str:
    result = by_name(name)(run)
    if result.verdict is not verdict:
        raise CertificateError(f"judged again, it is {result.verdict.value}, not {verdict.value}")
    if verdict is Verdict.VALID:
        return "every rule held when they were judged again"
    told = _told(result)
    if any(head.get(name) != told[name] for name in told):
        raise CertificateError(f"judged again, the broken rule is {told['label']} of {told['operations']}")
    return f"{told['label']} of {len(told['operations'])} operations was found again"


def _linearizable(section: Sequence[Line], verdict: Verdict, run: Run) -> str:
    return linearizable.recheck(section, verdict, run)


def _etcd(section: Sequence[Line], verdict: Verdict, run: Run) -> str:
    operations = [of_operation(operation) for operation in run.history]
    how = etcd_proof.recheck(section[0], section[1:], operations)
    if verdict is Verdict.VALID and stray_lease(operations, beginning(considered(operations))) is not None:
        raise CertificateError("a lease lives that nobody was granted")
    return how


def _txn(section: Sequence[Line], _verdict: Verdict, run: Run) -> str:
    return txn_proof.recheck(section[0], section[1:], run.history, model_of(run))


_JUDGES: dict[str, Callable[[Sequence[Line], Verdict, Run], str]] = {
    linearizable.NAME: _linearizable,
    "etcd": _etcd,
    "txn": _txn,
}
