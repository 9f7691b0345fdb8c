"""Lines of a history about locks and elections, for the lock and election services and for client recipes.

They share the envelope of `gauntlet.checkers.records`, and the file with the lines of
`gauntlet.checkers.etcd.records`, which tell of the leases behind the keys. By `op`:

    op        key    args                           response
    lock      name   lease                          revision key create_revision
    unlock    name   key                            revision
    campaign  name   lease value                    revision key create_revision
    proclaim  name   key create_revision value      revision
    resign    name   key create_revision            revision
    leader    name                                  revision kv
    observe   name   observer                       revision kv

- `key` in a response is the key that stands for the holder, ``name/lease in hex``; `create_revision` is the
  token that fences (LeaderKey.rev of an election; the lock service does not tell it, so a recorder reads the
  key to learn it, or leaves it out). `kv` has key, value, create_revision and mod_revision.
- `observe` is one message of an Observe stream; `observer` tells streams apart. Its call and return time are
  both the arrival.
- A write that is guarded by a lock is an ordinary txn line whose compare is ``create(lock key) = token`` and
  whose success branch holds puts.

    {"id": 4, "client": 1, "member": "m1", "op": "lock", "key": "l", "args": {"lease": 7}, "call_ns": 10,
     "return_ns": 20, "outcome": "ok", "response": {"revision": 9, "key": "l/7", "create_revision": 9}}
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from gauntlet.checkers.etcd.calls import KV
from porcupine.history import Operation


class Lock(NamedTuple):
    name: bytes
    lease: int


class Unlock(NamedTuple):
    name: bytes
    key: bytes


class Campaign(NamedTuple):
    name: bytes
    lease: int
    value: bytes


class Proclaim(NamedTuple):
    name: bytes
    key: bytes
    token: int | None
    value: bytes


class Resign(NamedTuple):
    name: bytes
    key: bytes
    token: int | None


class Leader(NamedTuple):
    name: bytes


class Observe(NamedTuple):
    name: bytes
    observer: str


class Held(NamedTuple):
    """The answer to a lock or a campaign."""

    revision: int | None
    key: bytes
    token: int | None


class Done(NamedTuple):
    revision: int | None


class Seen(NamedTuple):
    """The answer to leader, and a message of observe."""

    revision: int | None
    kv: KV


Recipe = Lock | Unlock | Campaign | Proclaim | Resign | Leader | Observe
OPS = frozenset({"lock", "unlock", "campaign", "proclaim", "resign", "leader", "observe"})


def recipes(history: Iterable[Operation]) -> list[Operation]:
    """The operations on locks and elections, with calls and answers of this module. ValueError for one that
    makes no sense."""
    found = []
    for operation in history:
        call = operation.call
        if isinstance(call, (Lock, Unlock, Campaign, Proclaim, Resign, Leader, Observe)):
            found.append(operation)
        elif isinstance(call, tuple) and len(call) == 3 and call[0] in OPS:
            try:
                found.append(_decoded(operation, *call))
            except (KeyError, TypeError) as error:
                raise ValueError(f"operation {operation.id} ({call[0]}): {error!r}") from error
    return found


def _decoded(operation: Operation, op: str, key: Any, frozen: Any) -> Operation:
    args, name = _thaw(frozen), _bytes(key)
    call: Recipe
    match op:
        case "lock":
            call = Lock(name, int(args.get("lease") or 0))
        case "unlock":
            call = Unlock(name, _bytes(args["key"]))
        case "campaign":
            call = Campaign(name, int(args.get("lease") or 0), _bytes(args.get("value", "")))
        case "proclaim":
            call = Proclaim(name, _bytes(args["key"]), args.get("create_revision"), _bytes(args["value"]))
        case "resign":
            call = Resign(name, _bytes(args["key"]), args.get("create_revision"))
        case "leader":
            call = Leader(name)
        case _:
            call = Observe(name, str(args["observer"]))
    answer = _answer(call, _thaw(operation.response)) if operation.is_ok else None
    return replace(operation, call=call, response=answer)


def _answer(call: Recipe, response: Mapping[str, Any]) -> Held | Done | Seen:
    revision = response.get("revision")
    if isinstance(call, (Lock, Campaign)):
        return Held(revision, _bytes(response["key"]), response.get("create_revision"))
    if isinstance(call, (Leader, Observe)):
        kv = _thaw(response["kv"])
        value = _bytes(kv.get("value", ""))
        return Seen(
            revision, KV(_bytes(kv["key"]), value, kv["create_revision"], kv["mod_revision"], None, None)
        )
    return Done(revision)


def _thaw(value: Any) -> Mapping[str, Any]:
    """The object that was frozen to sorted pairs."""
    return value if isinstance(value, Mapping) else dict(value or ())


def _bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    return base64.b64decode(_thaw(value)["base64"], validate=True)


def words(operation: Operation) -> str:
    """Who asked what of whom, and when."""
    call: Any = operation.call
    kind = type(call).__name__.lower()
    name = repr(call.name.decode("utf-8", "replace")) if hasattr(call, "name") else ""
    answer: Any = operation.response
    if isinstance(answer, Held):
        said = f", granted with key {answer.key.decode('utf-8', 'replace')!r} created at {answer.token}"
    elif isinstance(answer, Seen):
        said = f", showed {answer.kv.key.decode('utf-8', 'replace')!r} created at {answer.kv.create_revision}"
    elif operation.is_ok and getattr(answer, "revision", None) is not None:
        said = f", answered at revision {answer.revision}"
    else:
        said = f", {operation.outcome.value}"
    member = operation.tags.get("member")
    where = f" on {member}" if member else ""
    begin, end = operation.call_time_ns, operation.return_time_ns
    until = "no answer" if end is None else f"{end / 1e9:.3f} s"
    return f"{kind} {name} by client {operation.client}{where} ({begin / 1e9:.3f} s to {until}{said})"
