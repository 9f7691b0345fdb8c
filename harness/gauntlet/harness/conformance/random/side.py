"""One of the two targets of a random comparison: sends steps, gives back what became of them as text."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from gauntlet.api.errors import Code, RpcError
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.messages import services, v3electionpb
from gauntlet.harness.client import EtcdClient
from gauntlet.harness.conformance import http1
from gauntlet.harness.conformance.arena import PASSWORD, ROOT, Arena, clean_auth, disarm_all, revoke_all
from gauntlet.harness.conformance.case import Needs
from gauntlet.harness.conformance.normalise import Normaliser
from gauntlet.harness.conformance.random.blocked import Blocked
from gauntlet.harness.conformance.random.draws import LEASES, PASSWORDS
from gauntlet.harness.conformance.random.gateway import body_of, gateway_path
from gauntlet.harness.conformance.random.steps import (
    CONNECTIONS,
    EXPIRING,
    LEARNER,
    SELF,
    AnyStep,
    Blocking,
    Expire,
    Gateway,
    Http,
    KeepAlive,
    Leader,
    Login,
    Observe,
    SetUpRoot,
    Step,
    Watch,
    resolve,
)
from gauntlet.harness.conformance.random.watching import SENTINEL, WAIT, WatchStream
from gauntlet.harness.conformance.talk import ALL, open_stream, path_of
from google.protobuf.message import Message

NEEDS = Needs(flags=("--bcrypt-cost=4",), group="auth")
KEEP_ALIVE = "/etcdserverpb.Lease/LeaseKeepAlive"
OBSERVE = "/v3electionpb.Election/Observe"
_NOBODY = v3electionpb.LeaderKey(name=b"l", key=b"l/65", rev=1, lease=LEASES[0])


class Side:
    def __init__(self, arena: Arena) -> None:
        self.arena = arena
        self.base = 0
        self.restarts: list[str] = []  # why the target had to be started anew
        self.halted = False  # a second voter was added: without it there is no quorum
        self.names = Normaliser(0)
        self.clients: list[EtcdClient] = []
        self.streams: dict[int, WatchStream] = {}
        self.members: dict[int, int] = {}
        self.leader = _NOBODY
        self.blocked = Blocked(self.ask, self.names, self._won)
        self._admin: EtcdClient | None = None
        self._pages = ""
        self._added_in = 0  # the second in which a member was added last

    @property
    def name(self) -> str:
        return f"{self.arena.spec} ({self.arena.version_text})"

    # ---- before and after a sequence ----

    async def begin(self) -> int:
        """An empty store; a target that does not answer is started anew. Returns the revision."""
        if self.halted:
            await self.discard()
        try:
            return await self._begin()
        except (RpcError, TimeoutError) as error:
            self.restarts.append(str(error))
            await self.discard()
            return await self._begin()

    async def discard(self) -> None:
        await self.end()
        await self.arena.discard(NEEDS)
        self.halted = False

    async def _begin(self) -> int:
        await self.end()
        place = await self.arena.place(NEEDS)
        name, address = next(iter(place.addresses.items()))
        self._pages = place.pages.get(name, address)
        self.clients = [EtcdClient(address, timeout=WAIT) for _ in range(CONNECTIONS)]
        self._admin = EtcdClient(address, timeout=WAIT)
        status: Any = await self._admin.call("/etcdserverpb.Auth/AuthStatus", pb.AuthStatusRequest())
        if status.enabled:
            await self.ask(pb.AuthDisableRequest())
        self._admin.token = None
        await clean_auth(self._admin)
        await disarm_all(self._admin)
        await self._remove_learners(self._admin)
        await revoke_all(self._admin)
        await self._admin.put(SENTINEL, b"")
        return (await self._admin.delete(b"\0", ALL)).header.revision

    async def _remove_learners(self, admin: EtcdClient) -> None:
        members: Any = await admin.call("/etcdserverpb.Cluster/MemberList", pb.MemberListRequest())
        for member in members.members:
            if member.isLearner:
                await admin.call("/etcdserverpb.Cluster/MemberRemove", pb.MemberRemoveRequest(ID=member.ID))
            else:
                self.members = {SELF: member.ID, LEARNER: 4711}

    async def stand_at(self, base: int) -> None:
        """Brings the revision, which is below, to this one, and compacts everything before it.

        It compacts twice: a compaction leaves a hash of what it went over, and that of the last sequence
        may hold leases that the server named.
        """
        assert self._admin is not None
        revision = (await self._admin.put(SENTINEL, b"")).header.revision
        while revision < base - 1:
            revision = (await self._admin.put(SENTINEL, b"")).header.revision
        await self._admin.compact(revision, physical=True)
        self.base = (await self._admin.delete(b"\0", ALL)).header.revision
        await self._admin.compact(self.base, physical=True)
        self.names = Normaliser(self.base)
        self.names.shows_hashes = True
        status: Any = await self._admin.call("/etcdserverpb.Auth/AuthStatus", pb.AuthStatusRequest())
        self.names.auth_base = status.authRevision
        self.names.known_leases = {*LEASES, EXPIRING}
        self.leader = _NOBODY
        self.blocked = Blocked(self.ask, self.names, self._won)

    async def end(self) -> None:
        await self.blocked.cancel(look=not self.halted)
        streams, self.streams = self.streams, {}
        clients, self.clients = self.clients, []
        admin, self._admin = self._admin, None
        for stream in streams.values():
            await stream.close()
        for client in (*clients, *([admin] if admin else [])):
            await client.close()

    async def ask(self, request: Message) -> Any:
        """As root if authentication is on; None when the request cannot be had answered."""
        assert self._admin is not None
        for password in (None, PASSWORD, *PASSWORDS, ""):
            try:
                if password is not None:
                    self._admin.token = None
                    await self._admin.authenticate(ROOT, password)
                return await self._admin.call(path_of(request), request)
            except RpcError as error:
                if error.code not in (Code.INVALID_ARGUMENT, Code.PERMISSION_DENIED, Code.UNAUTHENTICATED):
                    return None
        return None

    def _won(self, leader: v3electionpb.LeaderKey) -> None:
        self.leader = leader

    # ---- one step ----

    async def do(self, step: AnyStep) -> str:
        """What became of it, and of the calls that waited for it; errors of every kind are text too."""
        text = await self._text(step)
        settled = "" if self.halted else await self.blocked.settle()
        return f"{text}; {settled}" if settled else text

    async def _text(self, step: AnyStep) -> str:
        try:
            return await self._dispatch(step)
        except RpcError as error:
            return self.names.outcome(error)
        except (OSError, EOFError) as error:  # TimeoutError is an OSError
            return f"no answer: {error}"

    async def _dispatch(self, step: AnyStep) -> str:
        match step:
            case Step():
                return await self._step(step)
            case Gateway():
                return await self._gateway(step)
            case Http():
                answer = await http1.request(self._pages, step.method, step.path, step.body)
                return self.names.http(answer)
            case Blocking():
                return await self.blocked.begin(self.clients[step.connection], step.request)
            case Leader():
                return await self._leader(step)
            case Observe():
                return await self._observe(step)
            case Expire():
                return await self._expire(step)
            case Login():
                return await self._login(step)
            case KeepAlive():
                return await self._keep_alive(step)
            case SetUpRoot():
                return await self._set_up_root()
            case Watch():
                return await self._watch(step)

    async def _step(self, step: Step) -> str:
        path = step.path or path_of(step.request)
        request = resolve(step.request, self.base, self.members)
        client = self.clients[step.connection]
        if isinstance(request, pb.MemberAddRequest):
            await self._another_second()
        if not services[path].server_streaming:
            answer: Any = await client.call(path, request)
            if isinstance(request, pb.LeaseGrantRequest) and not request.ID:
                self.names.lease_named(answer.ID)
            if isinstance(request, pb.MemberAddRequest):
                self._added(request, answer.member.ID)
            return self.names.outcome(answer)
        async with await open_stream(client, path, request, timeout=WAIT) as stream:
            pieces = [piece async for piece in stream]
        if isinstance(request, pb.SnapshotRequest):
            return snapshot_shape(pieces)
        whole = services[path].response()
        for piece in pieces:
            whole.MergeFrom(piece)
        return self.names.message(whole)

    async def _gateway(self, step: Gateway) -> str:
        request = resolve(step.request, self.base, self.members)
        token = self.clients[step.connection].token
        headers = {"Authorization": token} if token else {}
        path = gateway_path(request)
        if isinstance(request, pb.MemberAddRequest):
            await self._another_second()
        answer = await http1.request(self._pages, "POST", path, body_of(request), headers, timeout=WAIT)
        if answer.status == 200 and isinstance(request, pb.LeaseGrantRequest) and not request.ID:
            self.names.lease_named(int(answer.json()["ID"]))
        if answer.status == 200 and isinstance(request, pb.MemberAddRequest):
            self._added(request, int(answer.json()["member"]["ID"]))
        return self.names.http(answer)

    def _added(self, request: pb.MemberAddRequest, member: int) -> None:
        if request.isLearner:
            self.members[LEARNER] = member
        else:
            self.halted = True

    async def _another_second(self) -> None:
        """A member's id is made of its URLs and the second, and an id that was removed never comes back."""
        now = time.time()
        if int(now) <= self._added_in:
            await asyncio.sleep(self._added_in + 1.01 - now)
        self._added_in = int(time.time())

    async def _leader(self, step: Leader) -> str:
        request: Message = v3electionpb.ResignRequest(leader=self.leader)
        if step.value is not None:
            request = v3electionpb.ProclaimRequest(leader=self.leader, value=step.value)
        return self.names.outcome(await self.clients[step.connection].call(path_of(request), request))

    async def _observe(self, step: Observe) -> str:
        prefix = step.name + b"/"
        there = await self.ask(pb.RangeRequest(key=prefix, range_end=step.name + b"0", count_only=True))
        if there is None or not there.count:
            return "nobody leads"
        client = self.clients[step.connection]
        request = v3electionpb.LeaderRequest(name=step.name)
        async with await open_stream(client, OBSERVE, request, timeout=WAIT) as stream:
            return self.names.outcome(await stream.receive(WAIT))

    async def _expire(self, step: Expire) -> str:
        answers = [await self._text(Step(pb.LeaseGrantRequest(ID=EXPIRING, TTL=1), step.connection))]
        for key in step.keys:
            answers.append(await self._text(Step(pb.PutRequest(key=key, lease=EXPIRING), step.connection)))
        if step.renewed:
            answers.append(await self._text(KeepAlive((EXPIRING,), step.connection)))
        loop = asyncio.get_running_loop()
        deadline = loop.time() + 20.0
        while loop.time() < deadline:
            left = await self.ask(pb.LeaseTimeToLiveRequest(ID=EXPIRING))
            if left is not None and left.TTL == -1:
                return "; ".join([*answers, f"gone at {self.names.revision(left.header.revision)}"])
            await asyncio.sleep(0.05 if left is not None else 1.0)
        return "; ".join([*answers, "still there"])

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
        answers = [await self._text(Step(request)) for request in requests]
        answers.append(await self._text(Login(ROOT, PASSWORD, 0)))
        return "; ".join(answers)

    async def _keep_alive(self, step: KeepAlive) -> str:
        answers = []
        requests = [pb.LeaseKeepAliveRequest(ID=lease) for lease in step.leases]
        async with await open_stream(self.clients[step.connection], KEEP_ALIVE, *requests) as stream:
            for _ in step.leases:
                answers.append(self.names.outcome(await stream.receive(WAIT)))
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

    # ---- events ----

    async def flush(self) -> None:
        """Every event of a synced watcher has come; RpcError or TimeoutError when no sentinel can be put."""
        streams = [stream for stream in self.streams.values() if not stream.blind]
        if not streams:
            return
        counts = [stream.sentinels + 1 for stream in streams]
        if await self.ask(pb.PutRequest(key=SENTINEL)) is None:
            raise EOFError("no sentinel can be put")
        await asyncio.gather(
            *(stream.until_sentinels(count) for stream, count in zip(streams, counts, strict=True))
        )

    def seen(self) -> dict[tuple[int, int], list[str]]:
        return {
            (number, watcher): texts
            for number, stream in self.streams.items()
            for watcher, texts in stream.seen.items()
            if texts
        }


def snapshot_shape(pieces: Sequence[Any]) -> str:
    """What must agree of two snapshots whose bytes do not: that they are whole."""
    size = sum(len(piece.blob) for piece in pieces)
    left = pieces[-1].remaining_bytes if pieces else -1
    versions = sorted({piece.version for piece in pieces})
    return f"a snapshot of whole pages and a sum: {size % 512 == 32}, left {left}, versions {versions}"
