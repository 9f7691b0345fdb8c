"""What stands behind a verdict of the check `etcd`, as lines of a file, and its judge.

Valid: ``{"order": [ids]}``, in pieces; the end of a lease, which no client called, is a negative number: -1
for that of the first grant, in the order of `with_expiries`. The judge is `replay.certify`, a store of its
own.

Invalid, in the head ``by``:
- "clash": ``{"operations": [ids]}`` contradict each other whatever else happened: by revisions and real time
  (`shrunk.contradict`) or by what they say of one key (`clash.clash`);
- "search": ``{"operations": [ids]}`` are taken as recorded and every other write as of unknown outcome; the
  search without reductions finds no order;
- "whole": nothing small was proven; the judge decides the whole history again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from gauntlet.checkers.etcd.clash import clash
from gauntlet.checkers.etcd.decide import Judgement, beginning, considered, decide, first_state
from gauntlet.checkers.etcd.model import Etcd, unordered
from gauntlet.checkers.etcd.replay import certify
from gauntlet.checkers.etcd.shrunk import Shrunk, contradict, still_fails
from porcupine.history import Operation
from porcupine.search import Verdict
from porcupine.verify import CertificateError

Line = dict[str, Any]
PIECE: Final = 1000  # ids on a line
CLASH, SEARCH, WHOLE = "clash", "search", "whole"


def order_lines(judgement: Judgement) -> Iterator[Line]:
    """Of a valid history."""
    yield {"certificate": "order", "operations": len(judgement.order)}
    numbers = {id(each): -1 - place for place, each in enumerate(_expiries(judgement.operations))}
    ids = [numbers.get(id(each), each.id) for each in judgement.order]
    for start in range(0, len(ids), PIECE):
        yield {"order": ids[start : start + PIECE]}


def contradiction_lines(shrunk: Shrunk | None) -> Iterator[Line]:
    """Of an invalid history."""
    by = WHOLE if shrunk is None else SEARCH if shrunk.searched else CLASH
    yield {"certificate": "contradiction", "by": by}
    if shrunk is not None:
        yield {"operations": [operation.id for operation in shrunk.operations]}


def _expiries(operations: Sequence[Operation]) -> list[Operation]:
    return [operation for operation in operations if operation.id < 0]


def recheck(head: Mapping[str, Any], lines: Iterable[Mapping[str, Any]], given: Sequence[Operation]) -> str:
    """How the lines prove it; CertificateError where they do not. `given`: all operations, in the vocabulary
    of the whole store."""
    operations = considered(given)
    if head.get("certificate") == "order":
        return _check_order(lines, operations)
    by = head.get("by")
    if by == WHOLE:
        if decide(given).verdict is not Verdict.INVALID:
            raise CertificateError("the history, judged again, is not invalid")
        return "the whole history was judged again"
    named = _found([number for line in lines for number in line.get("operations") or ()], operations)
    if by == CLASH and named:
        if not (len(named) == 2 and contradict(*named)) and clash(named) is None:
            raise CertificateError("the operations that it names do not contradict each other")
        return f"the {len(named)} operations that it names contradict each other, whatever else happened"
    if by != SEARCH or not named:
        raise CertificateError(f"{by!r} of {len(named)} operations is no contradiction that can be judged")
    model = Etcd(first_state(beginning(operations)))
    if still_fails(operations, {id(each) for each in named}, model) is None:
        raise CertificateError("the search finds an order of the operations that it names, or gives up")
    return f"no order of the {len(named)} operations that it names, all others as of unknown outcome (search)"


def _check_order(lines: Iterable[Mapping[str, Any]], operations: Sequence[Operation]) -> str:
    order = _found([number for line in lines for number in line.get("order") or ()], operations)
    flaw = certify(operations, order, beginning(operations), unordered)
    if flaw is not None:
        whose = f" (operation {flaw.operation.id})" if flaw.operation is not None else ""
        raise CertificateError(f"the order explains nothing: {flaw.reason}{whose}")
    return f"the verifier accepts the order of {len(order)} operations"


def _found(numbers: Sequence[object], operations: Sequence[Operation]) -> list[Operation]:
    known: dict[object, Operation] = {each.id: each for each in operations if each.id >= 0}
    known |= {-1 - place: each for place, each in enumerate(_expiries(operations))}
    try:
        return [known[number] for number in numbers]
    except (KeyError, TypeError) as error:
        raise CertificateError(f"the history has no operation {error.args[0]!r}") from error
