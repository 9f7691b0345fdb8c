"""register: puts, gets, deletes and compare-and-swaps on a few keys, every value written once.

Compare-and-swap compares the key's mod_revision with one that some client has seen, so that about half of
them succeed while clients race. Every answer carries the header revision and, where there is a key, its
mod_revision, create_revision and version: the checker holds all of them against each other.
"""

from __future__ import annotations

import random
from typing import Any, Final

from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.workloads.base import Invocation, Response, Session

RANGE: Final = "/etcdserverpb.KV/Range"
PUT: Final = "/etcdserverpb.KV/Put"
DELETE: Final = "/etcdserverpb.KV/DeleteRange"
TXN: Final = "/etcdserverpb.KV/Txn"

# Out of a hundred operations; the rest are gets.
PUTS: Final = 30
SWAPS: Final = 20
DELETES: Final = 6


class Register:
    name = "register"
    checks = ("linearizable", "revisions")

    def __init__(self, seed: int, clients: int, keys: int = 8) -> None:
        self._keys = [f"/gauntlet/register/{number}" for number in range(keys)]
        self._random = [random.Random(f"{seed}:register:{client}") for client in range(clients)]
        self._written = [0] * clients
        self._seen: dict[str, int] = {}

    def next(self, client: int) -> Invocation:
        rng = self._random[client]
        key = rng.choice(self._keys)
        draw = rng.randrange(100)
        if draw < PUTS:
            return Invocation("put", key, {"value": self._value(client)})
        if draw < PUTS + SWAPS:
            return Invocation("cas", key, {"expected": self._seen.get(key, 0), "value": self._value(client)})
        if draw < PUTS + SWAPS + DELETES:
            return Invocation("delete", key)
        return Invocation("get", key)

    def finals(self) -> list[Invocation]:
        return [Invocation("get", key) for key in self._keys]

    async def execute(self, session: Session, invocation: Invocation, timeout: float) -> Response:
        response = await _ASK[invocation.op](session, invocation, timeout)
        seen = response.get("mod_revision")
        if seen is not None:
            self._seen[invocation.key] = seen
        return response

    def _value(self, client: int) -> str:
        self._written[client] += 1
        return f"{client}.{self._written[client]}"


async def _get(session: Session, invocation: Invocation, timeout: float) -> Response:
    answer = await session.call(RANGE, pb.RangeRequest(key=invocation.key.encode()), timeout)
    return {"revision": answer.header.revision, **_observed(answer.kvs)}


async def _put(session: Session, invocation: Invocation, timeout: float) -> Response:
    request = pb.PutRequest(key=invocation.key.encode(), value=invocation.args["value"].encode())
    answer = await session.call(PUT, request, timeout)
    revision = answer.header.revision
    return {"revision": revision, "mod_revision": revision}


async def _delete(session: Session, invocation: Invocation, timeout: float) -> Response:
    answer = await session.call(DELETE, pb.DeleteRangeRequest(key=invocation.key.encode()), timeout)
    response = {"revision": answer.header.revision, "deleted": answer.deleted}
    return {**response, "mod_revision": 0} if answer.deleted else response


async def _cas(session: Session, invocation: Invocation, timeout: float) -> Response:
    key = invocation.key.encode()
    request = pb.TxnRequest(
        compare=[
            pb.Compare(
                result=pb.Compare.EQUAL,
                target=pb.Compare.MOD,
                key=key,
                mod_revision=invocation.args["expected"],
            )
        ],
        success=[
            pb.RequestOp(request_put=pb.PutRequest(key=key, value=invocation.args["value"].encode()))
        ],
        failure=[pb.RequestOp(request_range=pb.RangeRequest(key=key))],
    )
    answer = await session.call(TXN, request, timeout)
    revision = answer.header.revision
    if answer.succeeded:
        return {"revision": revision, "succeeded": True, "mod_revision": revision}
    observed = _observed(answer.responses[0].response_range.kvs)
    return {"revision": revision, "succeeded": False, **observed}


def _observed(kvs: Any) -> Response:
    """What a read saw of its key; an absent key has value null and mod_revision 0."""
    if not kvs:
        return {"value": None, "mod_revision": 0}
    pair = kvs[0]
    return {
        "value": pair.value.decode("utf-8", "backslashreplace"),
        "mod_revision": pair.mod_revision,
        "create_revision": pair.create_revision,
        "version": pair.version,
    }


_ASK: Final = {"get": _get, "put": _put, "delete": _delete, "cas": _cas}
