"""A cluster in this process: members that speak gRPC, share one store, and can be told to misbehave."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.messages import mvccpb

# `run` and `testing` are imported here, not in the fixture: pytester forgets what a test imports first.
from gauntlet.harness import run, testing
from gauntlet.harness.targets import (
    NETWORK,
    Member,
    MemberDied,
    Target,
    TargetError,
    TargetOptions,
    create_target,
)


@dataclass
class Store:
    """One copy of the keys, with etcd's revisions."""

    revision: int = 1
    keys: dict[bytes, mvccpb.KeyValue] = field(default_factory=dict)

    def header(self) -> pb.ResponseHeader:
        return pb.ResponseHeader(revision=self.revision, member_id=1)

    def range(self, request: pb.RangeRequest) -> pb.RangeResponse:
        found = self.keys.get(request.key)
        kvs = [] if found is None else [found]
        return pb.RangeResponse(header=self.header(), kvs=kvs, count=len(kvs))

    def put(self, request: pb.PutRequest) -> pb.PutResponse:
        self.revision += 1
        old = self.keys.get(request.key)
        self.keys[request.key] = mvccpb.KeyValue(
            key=request.key,
            value=request.value,
            mod_revision=self.revision,
            create_revision=self.revision if old is None else old.create_revision,
            version=1 if old is None else old.version + 1,
        )
        return pb.PutResponse(header=self.header())

    def delete(self, request: pb.DeleteRangeRequest) -> pb.DeleteRangeResponse:
        deleted = self.keys.pop(request.key, None) is not None
        self.revision += deleted
        return pb.DeleteRangeResponse(header=self.header(), deleted=int(deleted))

    def txn(self, request: pb.TxnRequest) -> pb.TxnResponse:
        compare = request.compare[0]
        found = self.keys.get(compare.key)
        succeeded = (0 if found is None else found.mod_revision) == compare.mod_revision
        if succeeded:
            inner = pb.ResponseOp(response_put=self.put(request.success[0].request_put))
        else:
            inner = pb.ResponseOp(response_range=self.range(request.failure[0].request_range))
        return pb.TxnResponse(header=self.header(), succeeded=succeeded, responses=[inner])


class FakeMember(Member):
    server: grpc.aio.Server


class NoLinks:
    """Nothing is ever broken here."""

    async def release_all(self) -> None:
        return None

    async def unclean(self) -> list[str]:
        return []


METHODS: dict[str, dict[str, tuple[type, str]]] = {
    "etcdserverpb.KV": {
        "Range": (pb.RangeRequest, "range"),
        "Put": (pb.PutRequest, "put"),
        "DeleteRange": (pb.DeleteRangeRequest, "delete"),
        "Txn": (pb.TxnRequest, "txn"),
    },
    "etcdserverpb.Maintenance": {
        "Status": (pb.StatusRequest, "status"),
        "HashKV": (pb.HashKVRequest, "hash_kv"),
    },
}


class FakeTarget(Target):
    """`fake`, or `fake:BEHAVIOUR` with one of
    stale      the last member answers reads from a copy that it stopped updating early
    differs    the last member has another hash
    dies       the last member ends by itself after some operations
    refuses    every member refuses everything
    unhealthy  after the load no member serves
    broken     does not start
    """

    def __init__(self, spec: str, options: TargetOptions) -> None:
        super().__init__(spec, options)
        self.behaviour = spec.partition(":")[2]
        self.store = Store()
        self.old: Store | None = None
        self.calls = 0
        self.stopped = False
        self._links = NoLinks()  # type: ignore[assignment]  # the part of Links that a plan without faults needs

    @property
    def capabilities(self) -> frozenset[str]:
        return frozenset((NETWORK,))

    async def start(self) -> None:
        self.options.directory.mkdir(parents=True, exist_ok=True)
        if self.behaviour == "broken":
            raise TargetError("the fake is broken", detail="a line of its log")
        for name in self.member_names:
            server = grpc.aio.server()
            for service, methods in METHODS.items():
                handlers = {
                    method: grpc.unary_unary_rpc_method_handler(
                        self._handler(name, what),
                        request_deserializer=request.FromString,
                        response_serializer=lambda answer: answer.SerializeToString(),
                    )
                    for method, (request, what) in methods.items()
                }
                server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
            port = server.add_insecure_port("127.0.0.1:0")
            await server.start()
            member = FakeMember(name, f"127.0.0.1:{port}", f"127.0.0.1:{port}", None)
            member.server = server
            self.members[name] = member
            self.versions[name] = "3.7.1"

    async def stop(self) -> None:
        self.stopped = True
        for member in self.members.values():
            assert isinstance(member, FakeMember)
            await member.server.stop(0.1)

    def check(self) -> None:
        if self.behaviour == "dies" and self.calls > 50:
            raise MemberDied("m3 ended by itself with signal 11", detail="the end of its log")

    async def wait_healthy(self, timeout: float) -> None:
        self.check()
        if self.behaviour == "unhealthy":
            raise TargetError("m3 does not serve", detail="the end of its log")

    def _handler(self, member: str, what: str) -> Callable[[Any, Any], Any]:
        last = member == self.member_names[-1]

        async def handle(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            self.calls += 1
            if self.behaviour == "refuses" and what not in ("status", "hash_kv"):
                await context.abort(grpc.StatusCode.UNAVAILABLE, "etcdserver: no leader")
            if what == "status":
                leader = pb.ResponseHeader(revision=self.store.revision, member_id=1 if member == "m1" else 2)
                return pb.StatusResponse(header=leader, leader=1, raftTerm=2)
            if what == "hash_kv":
                odd = last and self.behaviour == "differs"
                return pb.HashKVResponse(
                    header=self.store.header(), hash=7 if odd else 6, compact_revision=-1
                )
            store = self.store
            if what == "range" and last and self.behaviour == "stale":
                if self.old is None and self.calls > 50:
                    self.old = Store(store.revision, dict(store.keys))
                store = self.old or store
            return getattr(store, what)(request)

        return handle


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> list[FakeTarget]:
    """Targets named fake... are made by FakeTarget while the test lasts; the list has those made."""
    made: list[FakeTarget] = []

    def create(spec: str, options: TargetOptions) -> Target:
        if spec.partition(":")[0] != "fake":
            return create_target(spec, options)
        made.append(FakeTarget(spec, options))
        return made[-1]

    monkeypatch.setattr(run, "create_target", create)
    monkeypatch.setattr(testing, "create_target", create)
    return made


@pytest.fixture
def etcd_target() -> str:
    """Real etcd, where there is a binary."""
    candidates = [
        os.environ.get("GAUNTLET_TEST_ETCD"),
        shutil.which("etcd"),
        str(Path.home() / ".cache" / "gauntlet" / "etcd" / "3.7.1" / "etcd"),
    ]
    for name in candidates:
        if name and Path(name).is_file():
            return f"etcd:{name}"
    pytest.skip("no etcd: set GAUNTLET_TEST_ETCD, or have it on PATH")


WriteRun = Callable[..., Path]


@pytest.fixture
def write_run(tmp_path: Path) -> WriteRun:
    """Writes a run directory: history lines as dicts (or raw text), members.json, the plan's fields."""

    def write(
        history: list[dict[str, Any]] | str,
        members: dict[str, Any] | None = None,
        faults: list[dict[str, Any]] | str = "",
        **plan: Any,
    ) -> Path:
        path = tmp_path / "run"
        path.mkdir()
        text = history if isinstance(history, str) else "".join(f"{json.dumps(line)}\n" for line in history)
        (path / "history.jsonl").write_text(text, encoding="utf-8")
        text = faults if isinstance(faults, str) else "".join(f"{json.dumps(line)}\n" for line in faults)
        (path / "faults.jsonl").write_text(text, encoding="utf-8")
        fields = {"target": "fake", "seed": 3, "state": "complete", **plan}
        (path / "plan.json").write_text(json.dumps(fields), encoding="utf-8")
        healthy = {
            "died": [],
            "unhealthy": None,
            "recovery_seconds": 0.1,
            "hashes": {
                "revision": 9,
                "members": {name: {"hash": 5, "compact_revision": -1} for name in ("m1", "m2")},
                "equal": True,
            },
        }
        (path / "members.json").write_text(json.dumps({**healthy, **(members or {})}), encoding="utf-8")
        return path

    return write


@pytest.fixture
def operation() -> Callable[..., dict[str, Any]]:
    """One line of a history: `operation(id, "put", start, end, value=..., revision=...)`, times in ms."""

    def make(
        id: int, op: str, start: int, end: int, outcome: str = "ok", args: Any = None, **response: Any
    ) -> dict[str, Any]:
        return {
            "id": id,
            "client": id,
            "member": f"m{id % 3 + 1}",
            "op": op,
            "key": "/gauntlet/register/0",
            "args": args or {},
            "call_ns": start * 10**6,
            "return_ns": end * 10**6,
            "outcome": outcome,
            "response": response if outcome == "ok" else None,
            "error": None if outcome == "ok" else {"code": "UNAVAILABLE", "message": "gone"},
        }

    return make
