"""register: puts, gets, deletes and compare-and-swaps on a few keys, every value written once.

A history line of it has

    op "put"     args {"value": text}
    op "get"     args {}
    op "delete"  args {}
    op "cas"     args {"expected": mod_revision, "value": text}     0 expects that there is no such key

and, when it was answered, a response with the header's `revision` and

    put      mod_revision
    get      value (null when absent), mod_revision (0 when absent), create_revision, version
    delete   deleted, 0 or 1
    cas      succeeded; mod_revision when it swapped, and what the get above has when it was refused

A compare-and-swap expects the mod_revision that the client saw last, or the one that any client saw last,
half and half, so that some succeed and some fail while clients race. The checker holds every field against
the rest.
"""

from __future__ import annotations

import random
from typing import Any, Final

from gauntlet.api.errors import Code, RpcError
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.workloads.base import Invocation, Response, Session, Settings

RANGE: Final = "/etcdserverpb.KV/Range"
PUT: Final = "/etcdserverpb.KV/Put"
DELETE: Final = "/etcdserverpb.KV/DeleteRange"
TXN: Final = "/etcdserverpb.KV/Txn"

# Out of a hundred operations; the rest are gets.
PUTS: Final = 30
SWAPS: Final = 20
DELETES: Final = 6


class Seen:
    """The newest mod_revision somebody was shown of each key; 0 for a key that nobody saw."""

    def __init__(self) -> None:
        self._newest: dict[str, tuple[int, int]] = {}  # key -> (revision of the answer, mod_revision)

    def note(self, key: str, revision: int, mod_revision: int) -> None:
        if revision >= self._newest.get(key, (0, 0))[0]:
            self._newest[key] = revision, mod_revision

    def of(self, key: str) -> int:
        return self._newest.get(key, (0, 0))[1]


class Register:
    name = "register"
    checks: tuple[str, ...] = ("linearizable", "revisions", "etcd")

    def __init__(self, settings: Settings) -> None:
        self._keys = [f"{settings.prefix}/register/{number}" for number in range(settings.keys)]
        self._random = [random.Random(f"{settings.seed}:register:{n}") for n in range(settings.clients)]
        self._written = [0] * settings.clients
        self._own = [Seen() for _ in range(settings.clients)]
        self._all = Seen()

    def next(self, client: int) -> Invocation:
        rng = self._random[client]
        key = rng.choice(self._keys)
        draw = rng.randrange(100)
        if draw < PUTS:
            return Invocation("put", key, {"value": self._value(client)})
        if draw < PUTS + SWAPS:
            seen = rng.choice((self._own[client], self._all))
            return Invocation("cas", key, {"expected": seen.of(key), "value": self._value(client)})
        if draw < PUTS + SWAPS + DELETES:
            return Invocation("delete", key)
        return Invocation("get", key, reads_only=True)

    def finals(self) -> list[Invocation]:
        return [Invocation("get", key, reads_only=True) for key in self._keys]

    async def execute(
        self, client: int, session: Session, invocation: Invocation, timeout: float
    ) -> Response:
        response, mod_revision = await _ASK[invocation.op](session, invocation, timeout)
        if mod_revision is not None:
            revision = response["revision"]
            self._all.note(invocation.key, revision, mod_revision)
            if client < len(self._own):
                self._own[client].note(invocation.key, revision, mod_revision)
        return response

    def _value(self, client: int) -> str:
        self._written[client] += 1
        return f"{client}.{self._written[client]}"


# Each asks one thing of one member: the response for the history, and the key's mod_revision after it, where
# the answer tells it.
_Asked = tuple[Response, int | None]


async def _get(session: Session, invocation: Invocation, timeout: float) -> _Asked:
    answer = await session.call(RANGE, pb.RangeRequest(key=invocation.key.encode()), timeout=timeout)
    observed = _observed(answer.kvs, invocation.key)
    return {"revision": answer.header.revision, **observed}, observed["mod_revision"]


async def _put(session: Session, invocation: Invocation, timeout: float) -> _Asked:
    request = pb.PutRequest(key=invocation.key.encode(), value=invocation.args["value"].encode())
    answer = await session.call(PUT, request, timeout=timeout)
    revision = answer.header.revision
    return {"revision": revision, "mod_revision": revision}, revision


async def _delete(session: Session, invocation: Invocation, timeout: float) -> _Asked:
    request = pb.DeleteRangeRequest(key=invocation.key.encode())
    answer = await session.call(DELETE, request, timeout=timeout)
    return {"revision": answer.header.revision, "deleted": answer.deleted}, 0


async def _cas(session: Session, invocation: Invocation, timeout: float) -> _Asked:
    key = invocation.key.encode()
    value = invocation.args["value"].encode()
    unchanged = pb.Compare(
        result=pb.Compare.EQUAL,
        target=pb.Compare.MOD,
        key=key,
        mod_revision=invocation.args["expected"],
    )
    request = pb.TxnRequest(
        compare=[unchanged],
        success=[pb.RequestOp(request_put=pb.PutRequest(key=key, value=value))],
        failure=[pb.RequestOp(request_range=pb.RangeRequest(key=key))],
    )
    answer = await session.call(TXN, request, timeout=timeout)
    revision = answer.header.revision
    wanted = "response_put" if answer.succeeded else "response_range"
    if [response.WhichOneof("response") for response in answer.responses] != [wanted]:
        raise RpcError(Code.INTERNAL, f"the answer of a txn does not hold one {wanted}")
    if answer.succeeded:
        return {"revision": revision, "succeeded": True, "mod_revision": revision}, revision
    observed = _observed(answer.responses[0].response_range.kvs, invocation.key)
    return {"revision": revision, "succeeded": False, **observed}, observed["mod_revision"]


def _observed(kvs: Any, key: str) -> Response:
    """What a read saw of its key; an absent key has value null and mod_revision 0."""
    if not kvs:
        return {"value": None, "mod_revision": 0}
    if len(kvs) > 1 or kvs[0].key != key.encode():
        raise RpcError(Code.INTERNAL, f"a read of one key was answered with {[pair.key for pair in kvs]}")
    pair = kvs[0]
    return {
        "value": pair.value.decode("utf-8", "backslashreplace"),
        "mod_revision": pair.mod_revision,
        "create_revision": pair.create_revision,
        "version": pair.version,
    }


_ASK: Final = {"get": _get, "put": _put, "delete": _delete, "cas": _cas}
