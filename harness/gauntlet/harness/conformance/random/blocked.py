"""Calls that may wait for their turn: Lock and Campaign, on one side.

Rules (etcd's recipes): the call puts a key, its name, a slash and the lease in hexadecimal, in one txn. It
has its turn when no key below the name and slash is older than its own, and is answered then: with success
or, if its own key is gone, not. Having its turn writes nothing. So by looking at the keys one knows whether
an answer must come, and how long to wait is no guess.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from gauntlet.api.errors import RpcError
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.messages import mvccpb, v3electionpb
from gauntlet.harness.client import EtcdClient
from gauntlet.harness.conformance.normalise import Normaliser
from gauntlet.harness.conformance.random.watching import WAIT
from gauntlet.harness.conformance.talk import path_of
from google.protobuf.message import Message

# As root whatever happened, None when even that is refused.
Ask = Callable[[Message], Awaitable[Any]]
_PAUSE = 0.005
_UNSEEN = 0.3  # seconds a call is given when nobody may look at the keys


@dataclass(slots=True)
class Waiting:
    number: int
    task: asyncio.Task[Any]
    prefix: bytes
    created: int  # revision of its key


class Blocked:
    """`won` is told of the answer of every campaign that succeeds."""

    def __init__(self, ask: Ask, names: Normaliser, won: Callable[[v3electionpb.LeaderKey], None]) -> None:
        self._ask = ask
        self._names = names
        self._won = won
        self._count = 0
        self.waiting: list[Waiting] = []

    async def begin(self, client: EtcdClient, request: Any) -> str:
        """The answer, or that it waits."""
        prefix = request.name + b"/"
        key = prefix + f"{request.lease:x}".encode()
        before = await self._keys(prefix)
        if any(kv.key == key for kv in before[1:]):
            return "waits already"  # a second wait for the same key could not be told from the first
        self._count += 1
        task = asyncio.create_task(client.call(path_of(request), request, timeout=120.0))
        known = {kv.key for kv in before}
        loop = asyncio.get_running_loop()
        deadline = loop.time() + WAIT
        while not task.done() and loop.time() < deadline:
            keys = await self._keys(prefix)
            own = next((kv for kv in keys if (kv.key == key if request.lease else kv.key not in known)), None)
            if own is not None and not request.lease:
                self._names.lease_named(own.lease)
            if own is not None and own.key != keys[0].key:
                self.waiting.append(Waiting(self._count, task, prefix, own.create_revision))
                return "waits"
            await asyncio.wait({task}, timeout=_PAUSE)
        return await self._outcome(task)

    async def settle(self) -> str:
        """The answers of those whose turn has come by now."""
        found = []
        for item in list(self.waiting):
            older = pb.RangeRequest(
                key=item.prefix,
                range_end=_after(item.prefix),
                max_create_revision=item.created - 1,
                count_only=True,
            )
            answer = await self._ask(older)
            if answer is None:
                await asyncio.wait({item.task}, timeout=_UNSEEN)
            if item.task.done() or (answer is not None and answer.count == 0):
                self.waiting.remove(item)
                found.append(f"call {item.number} that waited: {await self._outcome(item.task)}")
        return "; ".join(found)

    async def cancel(self, look: bool = True) -> None:
        """Ends the calls that still wait; with `look` the server is given time to take their keys away."""
        waiting, self.waiting = self.waiting, []
        for item in reversed(waiting):
            item.task.cancel()
            await asyncio.wait({item.task})
            loop = asyncio.get_running_loop()
            deadline = loop.time() + 1.0
            while look and loop.time() < deadline:
                keys = await self._keys(item.prefix)
                if all(kv.create_revision != item.created for kv in keys):
                    break
                await asyncio.sleep(_PAUSE)

    async def _keys(self, prefix: bytes) -> list[mvccpb.KeyValue]:
        """Those below the prefix, the oldest first."""
        answer = await self._ask(pb.RangeRequest(key=prefix, range_end=_after(prefix)))
        return [] if answer is None else sorted(answer.kvs, key=lambda kv: kv.create_revision)

    async def _outcome(self, task: asyncio.Task[Any]) -> str:
        done, _ = await asyncio.wait({task}, timeout=WAIT)
        if not done:
            task.cancel()
            await asyncio.wait({task})
            return "no answer although it is its turn"
        try:
            answer = task.result()
        except RpcError as error:
            return self._names.outcome(error)
        campaign = isinstance(answer, v3electionpb.CampaignResponse)
        lease = answer.leader.lease if campaign else int(answer.key.rpartition(b"/")[2], 16)
        if lease not in self._names.known_leases:
            self._names.lease_named(lease)
        if campaign:
            self._won(answer.leader)
        return self._names.outcome(answer)


def _after(prefix: bytes) -> bytes:
    return prefix[:-1] + bytes([prefix[-1] + 1])
