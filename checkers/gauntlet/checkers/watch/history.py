"""From a run's history to what the watch, lease, lock and election checks need of it.

`etcd_operations`: the calls on keys and leases in the vocabulary of `gauntlet.checkers.etcd`, however the
lines were read. `effects_of`: what each revision did, by carrying out a linearization, one operation at a
time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gauntlet.checkers import records as register
from gauntlet.checkers.etcd import calls as c
from gauntlet.checkers.etcd.decide import decide, first_state
from gauntlet.checkers.etcd.records import OPS, decode_answer, decode_call, refused
from gauntlet.checkers.etcd.register import of_operation
from gauntlet.checkers.etcd.replay import Start
from gauntlet.checkers.etcd.store import State, apply
from gauntlet.checkers.records import Run
from gauntlet.checkers.watch.ledger import Compaction, Effect
from gauntlet.checkers.watch.records import text_of
from porcupine.history import Operation
from porcupine.search import Verdict

_KINDS = (
    c.Range,
    c.Put,
    c.Delete,
    c.Txn,
    c.Grant,
    c.Revoke,
    c.KeepAlive,
    c.TimeToLive,
    c.Compact,
    c.Expire,
)


@dataclass(slots=True)
class Told:
    """What the history tells. effects: None where it has no linearization, and then `why`."""

    operations: list[Operation]
    compactions: list[Compaction]
    effects: list[tuple[int, list[Effect]]] | None = None
    why: str = ""
    notes: dict[str, Any] = field(default_factory=dict)


def told_by(run: Run) -> Told:
    """The history's linearization, found once for a run and kept in its notes."""
    known = run.notes.get("told")
    if isinstance(known, Told):
        return known
    operations = etcd_operations(run.history)
    told = Told(operations, compactions_of(operations))
    if operations:
        judgement = decide(operations, clock=run.clock, seconds=run.seconds)
        if judgement.verdict is Verdict.VALID:
            told.effects = effects_of(judgement.order, judgement.start)
        else:
            told.why = f"the history has no linearization (it is {judgement.verdict.value})"
    else:
        told.why = "there is no history of the keys"
    run.notes["told"] = told
    return told


def etcd_operations(history: Iterable[Operation]) -> list[Operation]:
    """The calls on keys and leases, refusals made answers; everything else is left out."""
    found = []
    for operation in history:
        call = operation.call
        if isinstance(call, register.Call):
            found.append(_with_lease(of_operation(operation), operation))
        elif isinstance(call, _KINDS):
            found.append(refused(operation))
        elif isinstance(call, tuple) and len(call) == 3 and call[0] in OPS:
            op, key, args = call
            decoded = decode_call({"op": op, "key": _thaw(key), "args": _thaw(args) or {}})
            answer = decode_answer(decoded, _thaw(operation.response)) if operation.is_ok else None
            found.append(refused(replace(operation, call=decoded, response=answer)))
    return found


def _with_lease(operation: Operation, line: Operation) -> Operation:
    """The register workload's reader forgets the lease of a put."""
    args = line.tags.get("args")
    lease = args.get("lease") if isinstance(args, dict) else None
    if isinstance(operation.call, c.Put) and isinstance(lease, int) and lease:
        return replace(operation, call=operation.call._replace(lease=lease))
    return operation


def _thaw(value: Any) -> Any:
    """The JSON value that `porcupine.jsonl.frozen` made hashable. An empty one is a list."""
    if not isinstance(value, tuple):
        return value
    if value and all(
        isinstance(each, tuple) and len(each) == 2 and isinstance(each[0], str) for each in value
    ):
        return {name: _thaw(field) for name, field in value}
    return [_thaw(each) for each in value]


def compactions_of(operations: Iterable[Operation]) -> list[Compaction]:
    """Those that happened, or may have."""
    return [
        Compaction(operation.call.revision, operation.call_time_ns)
        for operation in operations
        if isinstance(operation.call, c.Compact)
        and (operation.is_unknown or (operation.is_ok and not isinstance(operation.response, c.Refused)))
    ]


def effects_of(order: Sequence[Operation], start: Start) -> list[tuple[int, list[Effect]]]:
    """What each revision did, when the operations are carried out in this order."""
    state = first_state(start)
    effects = []
    for operation in order:
        call: Any = operation.call
        if isinstance(operation.response, c.Refused) or isinstance(
            call, (c.Range, c.KeepAlive, c.TimeToLive)
        ):
            continue
        if isinstance(call, c.Grant) and isinstance(operation.response, c.GrantAnswer):
            call = call._replace(id=operation.response.id)
        after, _ = apply(state, call, _forget)
        if after.revision != state.revision:
            keys = dict.fromkeys(_touched(call, state))
            effects.append((after.revision, [found for key in keys if (found := _effect(key, state, after))]))
        state = after
    return effects


def _forget(_revision: int) -> bool:
    return False


def _touched(call: Any, state: State) -> Iterator[bytes]:
    """The keys that the call may change, each branch of a txn included."""
    match call:
        case c.Put():
            yield call.key
        case c.Delete():
            if not call.end:
                yield call.key
            else:
                end = None if call.end == c.FROM_KEY else call.end
                yield from (key for key, _ in state.keys.range(call.key, end))
        case c.Txn():
            for each in (*call.success, *call.failure):
                yield from _touched(each, state)
        case c.Revoke() | c.Expire():
            lease = state.lease(call.id)
            if lease is not None:
                yield from sorted(lease.keys)


def _effect(key: bytes, before: State, after: State) -> Effect | None:
    old, new = before.keys.get(key), after.keys.get(key)
    if new is None:
        return None if old is None else Effect(text_of(key), None, 0, 0, 0)
    if new.mod_revision != after.revision:
        return None
    value = "" if new.value is None else text_of(new.value)
    return Effect(text_of(key), value, new.create_revision, new.version, new.lease)
