"""What stands behind a verdict of the check `txn`, as lines of a file, and its judge.

Valid, one of
- "serial": ``{"order": [ids]}``, the transactions one after the other. The judge carries them out in that
  order on an empty store: each reads what was left there. Unknown transactions that nobody saw are left out.
  `bound` says what the order keeps besides: "time" (none stands behind one that was called after it had
  returned), "process" (each client's own order), or "nothing". Strict serializability needs the first.
- "acyclic": the same lines, with unknown transactions. The versions of registers are not always known, and
  then an order that keeps every dependency need not be one that can be carried out. The judge infers the
  dependencies anew and looks whether each goes forward.

Invalid: the head names the anomaly and the reading (by_value, by_revision) that shows it; then
``{"transactions": [ids]}``, for a cycle ``{"from": id, "to": id, "type": ..., "by_time": ...}`` of each step,
and where a part of the history shows the anomaly by itself, ``{"history": [ids]}``. The judge infers
dependencies and findings anew, without looking for cycles in the whole, and asks that each step is there,
that the steps are a cycle of that name, and that the part shows it too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gauntlet.checkers.txn.analysis import Findings
from gauntlet.checkers.txn.anomalies import STRICT_SERIALIZABLE, WRONG_REVISION, Anomaly, forbidden
from gauntlet.checkers.txn.cycles import Step, classify, find_cycles
from gauntlet.checkers.txn.graph import (
    ALL,
    NAMES,
    PLAIN,
    PROCESS,
    RW_TIME,
    TIME,
    WITH_PROCESS,
    WW_TIME,
    Graph,
)
from gauntlet.checkers.txn.readings import BY_VALUE
from gauntlet.checkers.txn.readings import read as readings
from gauntlet.checkers.txn.records import (
    APPEND,
    READ,
    WRITE,
    Key,
    Txn,
    Txns,
    Unsuitable,
    Value,
    read_txns,
)
from porcupine.history import Operation, Outcome
from porcupine.verify import CertificateError

Line = Mapping[str, Any]

PIECE: Final = 1000  # ids on a line
LARGEST: Final = 200  # transactions of a part of the history
SERIAL, ACYCLIC = "serial", "acyclic"
NOTHING, BY_PROCESS, BY_TIME = "nothing", "process", "time"
MASKS: Final = {NOTHING: PLAIN, BY_PROCESS: WITH_PROCESS, BY_TIME: ALL}
_KINDS: Final = {(name, kind in (WW_TIME, RW_TIME)): kind for kind, name in NAMES.items()}


@dataclass(slots=True)
class Order:
    """`nodes` are transactions by their index."""

    kind: str
    bound: str
    nodes: list[int]


def needed(model: str) -> str:
    """What an order has to keep so that it proves the model."""
    if model == STRICT_SERIALIZABLE or (model.startswith("strong-") and "session" not in model):
        return BY_TIME
    return BY_PROCESS if model.startswith("strong-session") else NOTHING


# ---- the judge ----


def refusal(txns: Txns, order: Sequence[Txn], bound: str) -> str | None:
    """Why this order of transactions explains nothing; None where it explains every answer."""
    placed = {txn.index for txn in order}
    if len(placed) != len(order):
        return "a transaction is placed twice"
    missing = next((txn for txn in txns.real if txn.ok and txn.index not in placed), None)
    if missing is not None:
        return f"transaction {missing.operation.id} is not placed"
    late = (
        _against_time(order) if bound == BY_TIME else _against_clients(order) if bound == BY_PROCESS else None
    )
    return late or _replay(order)


def _against_time(order: Sequence[Txn]) -> str | None:
    earliest: float = float("inf")
    for txn in reversed(order):
        operation = txn.operation
        if operation.call_time_ns > earliest:
            return f"transaction {operation.id} was called after one that is placed behind it had returned"
        if txn.ok and operation.return_time_ns is not None:
            earliest = min(earliest, operation.return_time_ns)
    return None


def _against_clients(order: Sequence[Txn]) -> str | None:
    latest: dict[object, int] = {}
    for txn in order:  # one of unknown outcome may happen late
        called, client = txn.operation.call_time_ns, txn.operation.client
        known = latest.get(client, called)
        if txn.ok and called < known:
            return f"transaction {txn.operation.id} is placed behind a later one of its client"
        latest[client] = max(known, called)
    return None


def _replay(order: Sequence[Txn]) -> str | None:
    lists: dict[Key, list[Value]] = {}
    registers: dict[Key, Value] = {}
    for txn in order:
        for f, key, value in txn.micro:
            if f == APPEND:
                lists.setdefault(key, []).append(value)
            elif f == WRITE:
                registers[key] = value
            elif txn.ok:
                held = tuple(lists[key]) if key in lists else registers.get(key, ())
                if (() if value is None else value) != held:
                    return f"transaction {txn.operation.id} read {key} = {value!r} where it was {held!r}"
    return None


# ---- lines ----


def order_lines(order: Order, txns: Txns) -> Iterator[dict[str, Any]]:
    yield {"certificate": "order", "kind": order.kind, "bound": order.bound, "operations": len(order.nodes)}
    ids = [txns.real[node].operation.id for node in order.nodes]
    for start in range(0, len(ids), PIECE):
        yield {"order": ids[start : start + PIECE]}


def anomaly_lines(anomaly: Anomaly, reading: str, part: Sequence[Txn]) -> Iterator[dict[str, Any]]:
    yield {"certificate": "anomaly", "name": anomaly.name, "reading": reading}
    yield {"transactions": [txn.operation.id for txn in anomaly.txns]}
    for step in anomaly.steps:
        yield {name: step[name] for name in ("from", "to", "type", "by_time")}
    if part:
        yield {"history": [txn.operation.id for txn in part]}


def recheck(head: Line, lines: Iterable[Line], operations: Sequence[Operation], model: str) -> str:
    """How the lines prove it; CertificateError where they do not."""
    txns = read_txns(operations)
    if head.get("certificate") == "order":
        return _check_order(head, lines, txns, model)
    return _check_anomaly(head, list(lines), operations, txns, model)


def _check_order(head: Line, lines: Iterable[Line], txns: Txns, model: str) -> str:
    kind, bound = head.get("kind"), str(head.get("bound"))
    strength = [NOTHING, BY_PROCESS, BY_TIME]
    if bound not in strength or strength.index(bound) < strength.index(needed(model)):
        raise CertificateError(f"an order bound by {bound} does not prove {model}")
    numbers = [number for line in lines for number in line.get("order") or ()]
    if kind == SERIAL:
        why = refusal(txns, _named(numbers, txns), bound)
        if why is not None:
            raise CertificateError(why)
        return f"carried out one after the other, {len(numbers)} transactions read what they had read"
    reading = readings(txns)[BY_VALUE]
    _check_dependencies(_named(numbers, txns), reading.graph, MASKS[bound])
    wrong = {name for each in reading.findings for name in each.kept} & forbidden(model)
    if wrong:
        raise CertificateError(f"the history shows {', '.join(sorted(wrong))}")
    return f"all dependencies of {len(txns.real)} transactions go forward"


def _check_dependencies(order: Sequence[Txn], graph: Graph, mask: int) -> None:
    """Every dependency goes forward."""
    place = {txn.index: position for position, txn in enumerate(order)}
    if len(place) != len(order) or len(place) != graph.size:
        raise CertificateError("not every transaction is placed once")
    nearest: dict[int, list[int]] = {}
    for node, edges in enumerate(graph.successors[: graph.size]):
        for target, kinds in edges.items():
            if not kinds & mask:
                continue
            ends = [place[target]] if target < graph.size else _nearest(graph, target, place, nearest)
            # It may reach itself over an auxiliary node; that is no dependency.
            if any(end < place[node] for end in ends):
                raise CertificateError("a transaction is placed before one that it depends on")


def _nearest(graph: Graph, start: int, place: Mapping[int, int], known: dict[int, list[int]]) -> list[int]:
    """The first place that an auxiliary node leads to."""
    ahead = [start]
    while ahead:
        node = ahead[-1]
        if node in known:
            ahead.pop()
            continue
        beyond = graph.successors[node]
        unknown = [each for each in beyond if each >= graph.size and each not in known]
        if unknown:  # auxiliary nodes point only forward, so this ends
            ahead.extend(unknown)
            continue
        places = [place[each] for each in beyond if each < graph.size]
        places += [least for each in beyond if each >= graph.size for least in known[each]]
        known[node] = [min(places)] if places else []
        ahead.pop()
    return known[start]


def _named(numbers: Iterable[object], txns: Txns) -> list[Txn]:
    known: dict[object, Txn] = {txn.operation.id: txn for txn in (*txns.failed, *txns.real)}
    try:
        return [known[number] for number in numbers]
    except (KeyError, TypeError) as error:
        raise CertificateError(f"the history has no transaction {error.args[0]!r}") from error


def _check_anomaly(
    head: Line, lines: Sequence[Line], operations: Sequence[Operation], txns: Txns, model: str
) -> str:
    name, which = str(head.get("name")), str(head.get("reading"))
    if name not in forbidden(model) and name != WRONG_REVISION:
        raise CertificateError(f"{model} does not forbid {name!r}")
    reading = readings(txns).get(which)
    if reading is None:
        raise CertificateError(f"the history has no reading {which!r}")
    named = _named([number for line in lines for number in line.get("transactions") or ()], txns)
    steps = [line for line in lines if "type" in line]
    if steps:
        _check_cycle(name, steps, named, reading.graph, txns)
    elif not _finds(reading.findings, name, [txn.operation.id for txn in named]):
        raise CertificateError(f"{name} is not found in the transactions that it names")
    part = {number for line in lines for number in line.get("history") or ()}
    if not part:
        return f"{name} of {len(named)} transactions is found in the whole history"
    kept = [operation for operation in operations if operation.id in part]
    if len(kept) != len(part) or not shows(kept, name, which):
        raise CertificateError(f"the part of the history that it names does not show {name} by itself")
    return f"{name} of {len(named)} transactions; the {len(kept)} that it names still show it by themselves"


def _check_cycle(name: str, steps: Sequence[Line], named: Sequence[Txn], graph: Graph, txns: Txns) -> None:
    cycle: list[Step] = []
    for line in steps:
        source, target = _named((line.get("from"), line.get("to")), txns)
        kind = _KINDS.get((line.get("type"), bool(line.get("by_time"))))  # type: ignore[arg-type]  # as it stands in the file
        if kind is None or not _depends(graph, source, target, kind):
            raise CertificateError(
                f"there is no {line.get('type')} from {line.get('from')} to {line.get('to')}"
            )
        cycle.append(Step(source.index, target.index, kind))
    closed = all(cycle[place - 1].target == step.source for place, step in enumerate(cycle))
    if not closed or len({step.source for step in cycle}) != len(cycle):
        raise CertificateError("its steps are no cycle")
    if [txn.index for txn in named] != [step.source for step in cycle]:
        raise CertificateError("its steps are not those of the transactions that it names")
    if classify(cycle) != name:
        raise CertificateError(f"its steps are a {classify(cycle)}, not a {name}")


def _depends(graph: Graph, source: Txn, target: Txn, kind: int) -> bool:
    one, other = source.operation, target.operation
    if one.outcome is Outcome.FAILED or other.outcome is Outcome.FAILED:
        return False
    if kind == TIME:
        returned = one.return_time_ns
        return source.ok and returned is not None and returned < other.call_time_ns
    if kind == PROCESS:
        return source.ok and one.client == other.client and one.call_time_ns < other.call_time_ns
    ahead = [node for node, kinds in graph.successors[source.index].items() if kinds & kind]
    met = set(ahead)
    while ahead:
        node = ahead.pop()
        if node == target.index:
            return True
        beyond = [each for each in graph.successors[node] if each not in met] if node >= graph.size else []
        met.update(beyond)
        ahead.extend(beyond)
    return False


def _finds(findings: Sequence[Findings], name: str, ids: Sequence[int]) -> bool:
    return any(
        [txn.operation.id for txn in anomaly.txns] == list(ids)
        for each in findings
        for anomaly in each.kept.get(name, ())
    )


def shows(operations: Sequence[Operation], name: str, which: str) -> bool:
    """Does this part of a history show the anomaly by itself?"""
    try:
        reading = readings(read_txns(operations)).get(which)
    except (Unsuitable, ValueError):
        return False
    if reading is None:
        return False
    return any(name in each.kept for each in reading.findings) or name in find_cycles(reading.graph).kept


def part_of(anomaly: Anomaly, which: str, txns: Txns) -> list[Txn]:
    """A few transactions that show the anomaly by themselves: its own, with those that wrote what these read,
    and those that read most of their keys. Empty where they do not."""
    own = {txn.operation.id: txn for txn in anomaly.txns}
    keys = {key for txn in own.values() for _, key, _ in txn.micro}
    seen = {pair for txn in own.values() for pair in read_pairs(txn)}
    writers = dict(own)
    longest: dict[Key, tuple[int, Txn]] = {}
    for txn in txns.real:
        for f, key, value in txn.micro:
            if f != READ and (key, value) in seen:
                writers[txn.operation.id] = txn
            elif key in keys and isinstance(value, tuple) and len(value) > longest.get(key, (0, txn))[0]:
                longest[key] = len(value), txn
    readers = {txn.operation.id: txn for _, txn in longest.values()}
    for candidate in (own, own | readers, writers | readers):
        kept = sorted(candidate.values(), key=lambda txn: txn.operation.call_time_ns)
        if len(kept) <= LARGEST and shows([txn.operation for txn in kept], anomaly.name, which):
            return kept
    return []


def read_pairs(txn: Txn) -> Iterator[tuple[Key, Value]]:
    for f, key, value in txn.micro if txn.ok else ():
        if f == READ:
            yield from ((key, each) for each in (value if isinstance(value, tuple) else (value,)))
