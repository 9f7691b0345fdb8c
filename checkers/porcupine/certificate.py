"""A verdict's evidence as a file of JSON lines, and its judge.

The first line says what follows: ``{"certificate": "order", "model": ..., "operations": N}`` for a history
that is valid, ``"contradiction"`` for one that is not. Then, for

- an order: ``{"part": KEY, "order": [ids]}``, an order of every partition in pieces one after the other;
- a contradiction: ``{"part": KEY, "operation": id, "as": AS}``, the operations that contradict each other. AS
  is "recorded"; "unknown" for one whose end came after the end of the contradiction; "weaker" for the
  operation that `LastWriter.weaker` gives for it, and ``{"response": ...}`` for an answer without what was
  left out. Then ``{"part": KEY, "explained": n, "stuck": id}``: how many operations of the part were placed,
  and which one then could not be.

`recheck` judges a file without the search that made it: an order is replayed by `porcupine.verify`; of a
contradiction all orders are tried by `porcupine.exhaustive`, and where they are too many the search in Python
goes without its reductions. That leaving the other operations out invents no failure rests on the rules of
`porcupine.shrink`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from porcupine.checking import Part, Result
from porcupine.exhaustive import has_order
from porcupine.history import History, Operation, Outcome
from porcupine.jsonl import frozen, read_records
from porcupine.model import LastWriter, Model
from porcupine.search import Budget, Verdict, search
from porcupine.shrink import UNREDUCED
from porcupine.verify import CertificateError, verify

Line = dict[str, Any]
PIECE = 1000  # ids on a line


def summary(result: Result) -> dict[str, Any]:
    """What stands behind a verdict, with a sentence for people (``text``)."""
    if result.verdict is Verdict.VALID:
        count = sum(len(part.order) for part in result.parts)
        what: dict[str, Any] = {"kind": "order", "operations": count}
        text = f"an order of {count} operations, re-checked by the verifier"
    elif result.verdict is Verdict.INVALID:
        part = next((part for part in result.failed if part.shrunk is not None), result.failed[0])
        what = {"kind": "contradiction", "explained": len(part.found.order), "operations": None}
        text = f"stuck after {len(part.found.order)} of {len(part.operations)} operations"
        if part.found.frontier is not None:
            what["stuck"] = part.found.frontier.id
            text += f" at operation {part.found.frontier.id}"
        if part.shrunk is not None:
            what |= {"operations": len(part.shrunk.operations), "confirmed": part.shrunk.confirmed}
            text += (
                f"; a history of {len(part.shrunk.operations)} operations still fails"
                f" (re-judged: {part.shrunk.confirmed})"
            )
    else:
        proven = sum(len(part.order) for part in result.parts)
        what = {"kind": "none", "explained": proven}
        text = f"none: not decided; {proven} of {result.stats.operations} operations are explained"
    return what | {"text": text, **costs(result)}


def costs(result: Result) -> dict[str, Any]:
    stats = result.stats
    return {"kernel": result.kernel, "steps": stats.steps, "peak_bytes": stats.peak_bytes}


def lines(result: Result, model: str) -> Iterator[Line]:
    """The file's lines. Nothing stands behind an unknown verdict: ValueError."""
    if result.verdict is Verdict.UNKNOWN:
        raise ValueError("there is no certificate of an unknown verdict")
    valid = result.verdict is Verdict.VALID
    head = {"model": model, "operations": result.stats.operations, "parts": len(result.parts)}
    yield {"certificate": "order" if valid else "contradiction", **head}
    for part in result.parts if valid else result.failed[:1]:
        key = _shown(part.key)
        if valid:
            ids = [operation.id for operation in part.order]
            for start in range(0, len(ids), PIECE):
                yield {"part": key, "order": ids[start : start + PIECE]}
        else:
            yield from _contradiction(part, key)


def _contradiction(part: Part, key: str) -> Iterator[Line]:
    shrunk = part.shrunk
    kept = shrunk.checked if shrunk is not None else part.operations
    for operation in kept:
        recorded = shrunk.recorded.get(id(operation), operation) if shrunk is not None else operation
        yield {"part": key, "operation": recorded.id, "as": _how(operation, recorded)}
    frontier = part.found.frontier
    stuck = None if frontier is None else frontier.id
    yield {"part": key, "explained": len(part.found.order), "stuck": stuck}


def _how(operation: Operation, recorded: Operation) -> Any:
    if operation is recorded:
        return "recorded"
    if operation.is_unknown:
        return "unknown"
    if operation.call == recorded.call and operation.response != recorded.response:
        return {"response": _plain(operation.response)}
    return "weaker"


def _plain(value: Any) -> Any:
    return {"set": sorted(value, key=repr)} if isinstance(value, frozenset) else value


def _shown(key: Hashable) -> str:
    return "" if key is None else str(key)


def recheck(text: Iterable[str], history: History, model: Model[Any]) -> tuple[Verdict, str]:
    """(the verdict it proves, how). CertificateError for one that proves nothing about this history,
    HistoryError for a broken line."""
    return recheck_lines((record for _, record in read_records(text)), history, model)


def recheck_lines(
    given: Iterator[Mapping[str, Any]], history: Iterable[Operation], model: Model[Any]
) -> tuple[Verdict, str]:
    """The same for lines that were read."""
    head = next(given, {})
    kind = head.get("certificate")
    if kind not in ("order", "contradiction"):
        raise CertificateError("the file is not a certificate: its first line does not say so")
    if head.get("model") != model.name:
        raise CertificateError(f"the certificate is for the model {head.get('model')}, not {model.name}")
    parts = {_shown(key): list(operations) for key, operations in model.partition(list(history)).items()}
    if kind == "order":
        return Verdict.VALID, _check_orders(given, parts, model)
    return Verdict.INVALID, _check_contradiction(given, parts, model)


def _check_orders(
    given: Iterable[Mapping[str, Any]], parts: Mapping[str, Sequence[Operation]], model: Model[Any]
) -> str:
    orders: dict[str, list[int]] = {}
    for record in given:
        orders.setdefault(str(record.get("part")), []).extend(record.get("order") or ())
    if not orders.keys() <= parts.keys():
        raise CertificateError("it orders a part that the history does not have")
    count = 0
    for key, operations in parts.items():
        verify(operations, _found(orders.get(key, []), operations), model.plain(operations))
        count += len(orders.get(key, []))
    return f"the verifier accepts the order of {count} operations"


def _found(ids: Iterable[object], operations: Iterable[Operation]) -> list[Operation]:
    by_id = {operation.id: operation for operation in operations}
    try:
        return [by_id[number] for number in ids]  # type: ignore[index]  # whatever the file holds is looked up
    except (KeyError, TypeError) as error:
        raise CertificateError(f"the history has no operation {error.args[0]!r} there") from error


def _check_contradiction(
    given: Iterable[Mapping[str, Any]], parts: Mapping[str, Sequence[Operation]], model: Model[Any]
) -> str:
    named: dict[str, list[tuple[object, Any]]] = {}
    for record in given:
        if "operation" in record:
            named.setdefault(str(record.get("part")), []).append((record["operation"], record.get("as")))
    if len(named) != 1 or not named.keys() <= parts.keys():
        raise CertificateError("it does not name operations of one part of the history")
    ((key, each),) = named.items()
    whole = model.for_part(parts[key])
    recorded = _found((number for number, _ in each), parts[key])
    kept = [_as(operation, how, whole) for operation, (_, how) in zip(recorded, each, strict=True)]
    own = model.for_part(kept)
    tried = has_order(kept, own)
    how = "every order tried"
    if tried is None:
        verdict = search(kept, own, UNREDUCED, Budget(configurations=1_000_000)).verdict
        if verdict is Verdict.UNKNOWN:
            raise CertificateError("not decided: too many orders are possible")
        tried, how = verdict is Verdict.VALID, "search without reductions"
    if tried:
        raise CertificateError("the operations that it names do not contradict each other")
    return f"the {len(kept)} operations that it names have no order ({how})"


def _as(operation: Operation, how: Any, model: Model[Any]) -> Operation:
    if how == "unknown":
        return replace(operation, outcome=Outcome.UNKNOWN, response=None)
    if how == "weaker" and isinstance(model, LastWriter):
        weaker = model.weaker(operation)
        if weaker is not None:
            return weaker
    if isinstance(how, dict) and "response" in how:
        response = how["response"]
        if isinstance(response, dict):
            response = frozenset(frozen(element) for element in response["set"])
        return replace(operation, response=frozen(response) if isinstance(response, list) else response)
    if how != "recorded":
        raise CertificateError(f"operation {operation.id} cannot be taken as {how!r}")
    return operation
