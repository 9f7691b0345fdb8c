"""One of the two targets of a random comparison: sends steps, gives back what became of them as text."""

from __future__ import annotations

import asyncio
from typing import Any

from gauntlet.api.errors import RpcError
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.messages import services
from gauntlet.harness.client import EtcdClient, Stream
from gauntlet.harness.conformance.arena import Arena, clean_auth
from gauntlet.harness.conformance.case import Needs
from gauntlet.harness.conformance.normalise import Normaliser
from gauntlet.harness.conformance.random.steps import (
    CONNECTIONS,
    LEASES,
    PASSWORD,
    ROOT,
    AnyStep,
    KeepAlive,
    Login,
    SetUpRoot,
    Step,
    Watch,
    resolve,
)
from gauntlet.harness.conformance.talk import ALL, path_of
from google.protobuf.message import Message

NEEDS = Needs(flags=("--bcrypt-cost=4",), group="auth")
KEEP_ALIVE = "/etcdserverpb.Lease/LeaseKeepAlive"
SENTINEL = b"~sentinel"
SENTINEL_ID = 1000
_CATCH_UP = 0.4  # seconds that a watcher of history is given to become a synced one
_WAIT = 6.0


class WatchStream:
    """What came on a stream, by watcher; grouping and order between watchers are the server's business."""

    def __init__(self, stream: Stream[pb.WatchRequest, pb.WatchResponse], names: Normaliser) -> None:
        self._stream = stream
        self._names = names
        self.seen: dict[int, list[str]] = {}
        self._created = 0
        self._sentinels = 0
        self._progress = 0

    async def open(self) -> None:
        create = pb.WatchCreateRequest(key=SENTINEL, watch_id=SENTINEL_ID)
        await self.request(pb.WatchRequest(create_request=create))

    async def request(self, request: pb.WatchRequest) -> None:
        """Sends it and waits until the server has dealt with it."""
        await self._stream.send(request)
        if request.HasField("cancel_request"):
            # A cancel of an unknown id is not answered; a creation to be refused is, and comes after it.
            empty = pb.WatchCreateRequest(key=b"b", range_end=b"a")
            await self._stream.send(pb.WatchRequest(create_request=empty))
        created = self._created + 1
        while self._created < created:
            await self.read(_WAIT)
        if request.create_request.start_revision > 0:
            await self._catch_up()

    async def until_sentinels(self, count: int) -> None:
        while self._sentinels < count:
            await self.read(_WAIT)

    @property
    def sentinels(self) -> int:
        return self._sentinels

    async def read(self, timeout: float) -> None:
        """One answer; TimeoutError, RpcError."""
        answer = await self._stream.receive(timeout)
        if answer is None:
            raise EOFError("the watch stream ended")
        kept = self.seen.setdefault(answer.watch_id, [])
        if answer.created:
            self._created += 1
        if answer.watch_id == SENTINEL_ID:
            self._sentinels += len(answer.events)
            return
        if answer.created or answer.canceled:
            kept.append(self._names.message(answer))
        elif not answer.events:
            self._progress += 1
        kept += [self._names.message(event) for event in answer.events]

    async def _catch_up(self) -> None:
        """Until the stream tells progress; not for ever, for a watcher of the future keeps it from that."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _CATCH_UP
        before = self._progress
        while self._progress == before and loop.time() < deadline:
            await self._stream.send(pb.WatchRequest(progress_request=pb.WatchProgressRequest()))
            try:
                await self.read(0.05)
            except TimeoutError:
                continue

    async def close(self) -> None:
        await self._stream.close()


class Side:
    def __init__(self, arena: Arena) -> None:
        self.arena = arena
        self.base = 0
        self.names = Normaliser(0)
        self.clients: list[EtcdClient] = []
        self.streams: dict[int, WatchStream] = {}

    @property
    def name(self) -> str:
        return f"{self.arena.spec} ({self.arena.version_text})"

    async def begin(self) -> None:
        """An empty store, everything before compacted; a target that does not answer is started anew."""
        try:
            await self._begin()
        except (RpcError, TimeoutError):
            await self.end()
            await self.arena.discard(NEEDS)
            await self._begin()

    async def _begin(self) -> None:
        place = await self.arena.place(NEEDS)
        address = next(iter(place.addresses.values()))
        self.clients = [EtcdClient(address, timeout=_WAIT) for _ in range(CONNECTIONS)]
        client = self.clients[0]
        await clean_auth(client)
        alarms: Any = await client.call("/etcdserverpb.Maintenance/Alarm", pb.AlarmRequest())
        for alarm in alarms.alarms:
            request = pb.AlarmRequest(
                action=pb.AlarmRequest.DEACTIVATE, memberID=alarm.memberID, alarm=alarm.alarm
            )
            await client.call("/etcdserverpb.Maintenance/Alarm", request)
        for lease in (await client.leases()).leases:
            await client.lease_revoke(lease.ID)
        await client.put(SENTINEL, b"")
        self.base = (await client.delete(b"\0", ALL)).header.revision
        await client.compact(self.base, physical=True)
        self.names = Normaliser(self.base)
        self.names.known_leases = set(LEASES)

    async def end(self) -> None:
        streams, self.streams = self.streams, {}
        clients, self.clients = self.clients, []
        for stream in streams.values():
            await stream.close()
        for client in clients:
            await client.close()

    async def do(self, step: AnyStep) -> str:
        """What became of it; errors of every kind are text too."""
        try:
            if isinstance(step, Step):
                return await self._step(step)
            if isinstance(step, Login):
                return await self._login(step)
            if isinstance(step, KeepAlive):
                return await self._keep_alive(step)
            if isinstance(step, SetUpRoot):
                return await self._set_up_root()
            return await self._watch(step)
        except RpcError as error:
            return self.names.outcome(error)
        except (TimeoutError, EOFError) as error:
            return f"no answer: {error}"

    async def _step(self, step: Step) -> str:
        path = step.path or path_of(step.request)
        request = resolve(step.request, self.base)
        client = self.clients[step.connection]
        if not services[path].server_streaming:
            answer = await client.call(path, request)
            if isinstance(request, pb.LeaseGrantRequest) and not request.ID:
                self.names.lease_named(getattr(answer, "ID", 0))
            return self.names.outcome(answer)
        whole = services[path].response()
        async with await client.stream(path, request, timeout=_WAIT) as stream:
            async for piece in stream:
                whole.MergeFrom(piece)
        return self.names.message(whole)

    async def _login(self, step: Login) -> str:
        client = self.clients[step.connection]
        client.token = None
        if not step.name:
            return "no token"
        return self.names.outcome(await client.authenticate(step.name, step.password))

    async def _set_up_root(self) -> str:
        requests: list[Message] = [
            pb.AuthUserAddRequest(name=ROOT, password=PASSWORD),
            pb.AuthRoleAddRequest(name="root"),
            pb.AuthUserGrantRoleRequest(user=ROOT, role="root"),
            pb.AuthEnableRequest(),
        ]
        answers = [await self.do(Step(request)) for request in requests]
        answers.append(await self.do(Login(ROOT, PASSWORD, 0)))
        return "; ".join(answers)

    async def _keep_alive(self, step: KeepAlive) -> str:
        answers = []
        client = self.clients[step.connection]
        async with await client.lease_keep_alive(*step.leases) as stream:
            for _ in step.leases:
                answers.append(self.names.outcome(await stream.receive(_WAIT)))
        return "; ".join(answers)

    async def _watch(self, step: Watch) -> str:
        stream = self.streams.get(step.stream)
        if stream is None:
            opened = await self.clients[step.stream].watch()
            stream = self.streams[step.stream] = WatchStream(opened, self.names)
            await stream.open()
        request = resolve(step.request, self.base)
        assert isinstance(request, pb.WatchRequest)
        await stream.request(request)
        return "sent"

    async def flush(self) -> None:
        """Every event of a synced watcher has come; RpcError or TimeoutError when no sentinel can be put."""
        if not self.streams:
            return
        counts = {number: stream.sentinels for number, stream in self.streams.items()}
        await self.clients[0].put(SENTINEL, b"")
        await asyncio.gather(*(s.until_sentinels(counts[n] + 1) for n, s in self.streams.items()))

    def seen(self) -> dict[tuple[int, int], list[str]]:
        return {
            (number, watcher): texts
            for number, stream in self.streams.items()
            for watcher, texts in stream.seen.items()
            if texts
        }
