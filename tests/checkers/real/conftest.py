"""Clusters of the reference node and of real etcd, and clients that write down what they saw."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from gauntlet.api.errors import RpcError
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.messages import v3electionpb, v3lockpb
from gauntlet.checkers.etcd.records import OPS, decode
from gauntlet.checkers.records import Run
from gauntlet.checkers.watch import read_watches
from gauntlet.harness.client import EtcdClient, Stream
from gauntlet.harness.targets import TargetOptions, create_target
from porcupine.history import History
from porcupine.jsonl import frozen, read_operations

Line = dict[str, Any]
PATIENCE = 60.0  # seconds for anything to come


def text(data: bytes) -> Any:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def kv_line(kv: Any) -> Line:
    return {
        "key": text(kv.key),
        "value": text(kv.value),
        "create_revision": kv.create_revision,
        "mod_revision": kv.mod_revision,
        "version": kv.version,
        "lease": kv.lease,
    }


def event_line(event: Any) -> Line:
    kind = "delete" if event.type == 1 else "put"
    prev = kv_line(event.prev_kv) if event.HasField("prev_kv") else None
    return {"type": kind, **kv_line(event.kv), "prev_kv": prev}


class Log:
    """A history's lines and watch lines, on one clock."""

    def __init__(self, endpoints: dict[str, str]) -> None:
        self.endpoints = endpoints
        self.lines: list[Line] = []
        self.watches: list[Line] = []
        self._start = time.monotonic_ns()
        self._ids = itertools.count()

    def ns(self) -> int:
        return time.monotonic_ns() - self._start

    async def record(self, who: Any, member: str, op: str, key: Any, args: Line, call: Any) -> Any:
        """Awaits the call, which gives (response for the line, anything), and writes it down."""
        line: Line = {"id": next(self._ids), "client": who, "member": member, "op": op, "key": key}
        line |= {"args": args, "call_ns": self.ns(), "outcome": "unknown", "response": None, "error": None}
        answer = None
        try:
            line["response"], answer = await call
            line["outcome"] = "ok"
        except RpcError as error:
            line["outcome"] = "failed" if error.definite else "unknown"
            line["error"] = {"code": error.code.name, "message": error.message}
        line["return_ns"] = self.ns()
        self.lines.append(line)
        return answer

    def run(self) -> Run:
        """As a checker gets it. Each line stands for itself, as read from a file."""

        def decoded(record: Any) -> Any:
            if record["op"] in OPS:
                return decode(record)
            return (record["op"], frozen(record["key"]), frozen(record["args"])), frozen(record["response"])

        history = History(read_operations(map(json.dumps, self.lines), decoded))
        return Run(history, watches=read_watches(map(json.dumps, self.watches)))


class Client:
    """One client of one member; one call at a time."""

    def __init__(self, log: Log, name: str, member: str) -> None:
        self.log = log
        self.name = name
        self.member = member
        self.etcd = EtcdClient(log.endpoints[member], timeout=PATIENCE)

    async def do(self, op: str, key: Any, args: Line, request: Any, path: str, shape: Any) -> Any:
        async def call() -> tuple[Line, Any]:
            answer: Any = await self.etcd.call(path, request, timeout=PATIENCE)
            return {"revision": answer.header.revision, **shape(answer)}, answer

        return await self.log.record(self.name, self.member, op, key, args, call())

    async def put(self, key: str, value: str, lease: int = 0) -> Any:
        request = pb.PutRequest(key=key.encode(), value=value.encode(), lease=lease)
        args = {"value": value, "lease": lease}
        return await self.do("put", key, args, request, "/etcdserverpb.KV/Put", lambda _: {})

    async def delete(self, key: str, end: str = "") -> Any:
        request = pb.DeleteRangeRequest(key=key.encode(), range_end=end.encode())
        path = "/etcdserverpb.KV/DeleteRange"
        return await self.do(
            "delete_range", key, {"end": end}, request, path, lambda answer: {"deleted": answer.deleted}
        )

    async def get(self, key: str, end: str = "") -> Any:
        def shape(answer: Any) -> Line:
            return {"kvs": [kv_line(kv) for kv in answer.kvs], "more": answer.more, "count": answer.count}

        request = pb.RangeRequest(key=key.encode(), range_end=end.encode())
        return await self.do("range", key, {"end": end}, request, "/etcdserverpb.KV/Range", shape)

    async def txn(self, puts: dict[str, str], guard: tuple[str, int] | None = None) -> Any:
        """Several puts at once, if the guard's key still has its create revision."""
        compares, shown = [], []
        if guard is not None:
            compares.append(pb.Compare(key=guard[0].encode(), target=1, result=0, create_revision=guard[1]))
            shown.append({"key": guard[0], "target": "create", "result": "=", "value": guard[1]})
        requests = [
            pb.RequestOp(request_put=pb.PutRequest(key=key.encode(), value=value.encode()))
            for key, value in puts.items()
        ]
        success = [{"op": "put", "key": key, "args": {"value": value}} for key, value in puts.items()]
        request = pb.TxnRequest(compare=compares, success=requests)
        args = {"compare": shown, "success": success, "failure": []}

        def shape(answer: Any) -> Line:
            return {"succeeded": answer.succeeded, "responses": [{} for _ in answer.responses]}

        return await self.do("txn", None, args, request, "/etcdserverpb.KV/Txn", shape)

    async def compact(self, revision: int) -> Any:
        request = pb.CompactionRequest(revision=revision, physical=True)
        path = "/etcdserverpb.KV/Compact"
        return await self.do("compact", None, {"revision": revision}, request, path, lambda _: {})

    async def grant(self, ttl: int) -> int:
        def shape(answer: Any) -> Line:
            return {"id": answer.ID, "ttl": answer.TTL}

        path = "/etcdserverpb.Lease/LeaseGrant"
        args = {"id": 0, "ttl": ttl}
        answer = await self.do("lease_grant", None, args, pb.LeaseGrantRequest(TTL=ttl), path, shape)
        return int(answer.ID)

    async def revoke(self, lease: int) -> Any:
        path = "/etcdserverpb.Lease/LeaseRevoke"
        request = pb.LeaseRevokeRequest(ID=lease)
        return await self.do("lease_revoke", None, {"id": lease}, request, path, lambda _: {})

    async def time_to_live(self, lease: int) -> Any:
        def shape(answer: Any) -> Line:
            keys = [text(key) for key in answer.keys]
            return {"id": lease, "ttl": answer.TTL, "granted_ttl": answer.grantedTTL, "keys": keys}

        path = "/etcdserverpb.Lease/LeaseTimeToLive"
        request = pb.LeaseTimeToLiveRequest(ID=lease, keys=True)
        args = {"id": lease, "keys": True}
        return await self.do("lease_time_to_live", None, args, request, path, shape)

    async def keep_alive(self, lease: int) -> Any:
        async def call() -> tuple[Line, Any]:
            stream = await self.etcd.lease_keep_alive(lease)
            try:
                answer = await stream.receive(PATIENCE)
            finally:
                await stream.close()
            assert answer is not None
            return {"revision": answer.header.revision, "id": lease, "ttl": answer.TTL}, answer

        return await self.log.record(self.name, self.member, "lease_keep_alive", None, {"id": lease}, call())

    # ---- locks and elections ----

    async def lock(self, name: str, lease: int) -> int:
        """The create revision of the key, which a read tells; an operation's answer has to be whole."""

        async def call() -> tuple[Line, Any]:
            request = v3lockpb.LockRequest(name=name.encode(), lease=lease)
            answer: Any = await self.etcd.call("/v3lockpb.Lock/Lock", request, timeout=PATIENCE)
            shown = await self.etcd.get(answer.key)
            token = shown.kvs[0].create_revision if shown.kvs else None
            response = {"revision": answer.header.revision, "key": text(answer.key), "create_revision": token}
            return response, token

        token = await self.log.record(self.name, self.member, "lock", name, {"lease": lease}, call())
        return int(token)

    async def unlock(self, name: str, lease: int) -> Any:
        key = f"{name}/{lease:x}"
        request = v3lockpb.UnlockRequest(key=key.encode())
        path = "/v3lockpb.Lock/Unlock"
        return await self.do("unlock", name, {"key": key}, request, path, lambda _: {})

    async def campaign(self, name: str, lease: int, value: str) -> Any:
        def shape(answer: Any) -> Line:
            return {"key": text(answer.leader.key), "create_revision": answer.leader.rev}

        request = v3electionpb.CampaignRequest(name=name.encode(), lease=lease, value=value.encode())
        args = {"lease": lease, "value": value}
        path = "/v3electionpb.Election/Campaign"
        return (await self.do("campaign", name, args, request, path, shape)).leader

    async def proclaim(self, leader: Any, value: str) -> Any:
        args = {"key": text(leader.key), "create_revision": leader.rev, "value": value}
        request = v3electionpb.ProclaimRequest(leader=leader, value=value.encode())
        path = "/v3electionpb.Election/Proclaim"
        return await self.do("proclaim", text(leader.name), args, request, path, lambda _: {})

    async def resign(self, leader: Any) -> Any:
        args = {"key": text(leader.key), "create_revision": leader.rev}
        request = v3electionpb.ResignRequest(leader=leader)
        path = "/v3electionpb.Election/Resign"
        return await self.do("resign", text(leader.name), args, request, path, lambda _: {})

    async def leader(self, name: str) -> Any:
        def shape(answer: Any) -> Line:
            return {"kv": kv_line(answer.kv)}

        request = v3electionpb.LeaderRequest(name=name.encode())
        return await self.do("leader", name, {}, request, "/v3electionpb.Election/Leader", shape)

    async def observe(self, name: str, until: Callable[[int], bool]) -> None:
        """Writes the messages down until one of a leader whose create revision is told to be the last."""
        request = v3electionpb.LeaderRequest(name=name.encode())
        stream = await self.etcd.stream("/v3electionpb.Election/Observe", request)
        seen = 0
        while not until(seen):
            answer: Any = await stream.receive(PATIENCE)

            async def call(message: Any = answer) -> tuple[Line, Any]:
                return {"revision": message.header.revision, "kv": kv_line(message.kv)}, None

            await self.log.record(self.name, self.member, "observe", name, {"observer": self.name}, call())
            seen = answer.kv.create_revision
        await stream.close()

    async def close(self) -> None:
        await self.etcd.close()


class Watch:
    """A watcher on a stream of its own, written down until it has reached a revision."""

    def __init__(self, client: Client, name: str, **request: Any) -> None:
        self.client = client
        self.log = client.log
        self.who = {"client": client.name, "watcher": name}
        self.request = {"key": "", "range_end": "", **request}
        self.reached = 0
        self.ended = False
        self._stream: Stream[pb.WatchRequest, pb.WatchResponse] | None = None

    def note(self, kind: str, **fields: Any) -> None:
        self.log.watches.append({"kind": kind, **self.who, "at_ns": self.log.ns(), **fields})

    async def open(self) -> None:
        asked = {
            **self.request,
            "filters": [("noput", "nodelete").index(f) for f in self.request.get("filters", ())],
        }
        for name in ("key", "range_end"):
            asked[name] = asked[name].encode()
        create = pb.WatchRequest(create_request=pb.WatchCreateRequest(**asked))
        self.note("create", member=self.client.member, request=self.request)
        self._stream = await self.client.etcd.watch(create)

    async def follow(self, until: Callable[[], int | None]) -> None:
        """To the revision that `until` tells at last, by events or by progress, or to the watch's end."""
        assert self._stream is not None
        deadline = time.monotonic() + 2 * PATIENCE
        while not self.ended:
            goal = until()
            if goal is not None and self.reached >= goal:
                break
            assert time.monotonic() < deadline, f"{self.who} did not reach {goal}"
            try:
                self._take(await self._stream.receive(0.3))
            except TimeoutError:
                asked = pb.WatchRequest(progress_request=pb.WatchProgressRequest())
                await self._stream.send(asked)
        if not self.ended:
            self.note("closed")
        await self._stream.close()

    def _take(self, answer: Any) -> None:
        assert answer is not None
        revision = answer.header.revision
        if answer.created and not answer.canceled:
            self.note("created", revision=revision)
        elif answer.canceled:
            self.ended = True
            compacted = answer.compact_revision
            self.note("canceled", revision=revision, compact_revision=compacted, reason=answer.cancel_reason)
        elif answer.events:
            lines = [event_line(event) for event in answer.events]
            self.note("events", revision=revision, fragment=answer.fragment, events=lines)
            self.reached = max(self.reached, answer.events[-1].kv.mod_revision)
        else:
            self.note("progress", revision=revision)
            self.reached = max(self.reached, revision)


def upstream() -> str:
    given = os.environ.get("GAUNTLET_TEST_ETCD") or shutil.which("etcd")
    if not given or not Path(given).is_file():
        pytest.skip("no etcd: set GAUNTLET_TEST_ETCD, or have it on PATH")
    return given


@pytest.fixture(params=["reference", pytest.param("etcd", marks=pytest.mark.upstream)])
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Any]:
    """`async with cluster(nodes=3) as endpoints`: members by name, of the reference node or of real etcd."""
    spec = "reference" if request.param == "reference" else f"etcd:{upstream()}"

    @asynccontextmanager
    async def start(nodes: int = 3) -> AsyncIterator[dict[str, str]]:
        async with create_target(spec, TargetOptions(tmp_path / "members", nodes=nodes)) as target:
            yield dict(target.direct_endpoints)

    return start


@pytest.fixture
def tools() -> Any:
    """The classes above, for tests, which cannot import a conftest."""

    class Tools:
        log = Log
        client = Client
        watch = Watch
        patience = PATIENCE
        gather = staticmethod(asyncio.gather)

    return Tools
