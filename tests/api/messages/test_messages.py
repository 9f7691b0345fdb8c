"""The generated messages: current, typed as they are, in a pool of their own, and etcd's to the number."""

from __future__ import annotations

import ast
import copy
import importlib
import importlib.util
import os
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from gauntlet.api import messages
from gauntlet.api.messages import _pool, etcdserverpb, grpc_health_v1, leasepb, mvccpb, raftpb, services
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.message import Message

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "scripts" / "generate_messages.py"
FOLDER = Path(messages.__file__).parent
PACKAGES = sorted(path.stem for path in FOLDER.glob("*.pyi"))

needs_compiler = pytest.mark.skipif(
    importlib.util.find_spec("grpc_tools") is None, reason="grpcio-tools is not installed"
)


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_messages", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ---- currency ----


@needs_compiler
def test_committed_code_is_current() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--check"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


@needs_compiler
def test_check_finds_each_kind_of_stale_file(
    generator: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "messages"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(generator, "MESSAGES", folder)
    assert generator.main(["--check"]) == 0

    (folder / "mvccpb.py").unlink()
    (folder / "leftoverpb.py").write_text("")
    (folder / "raftpb.pyi").write_text((folder / "raftpb.pyi").read_text().replace("int", "str", 1))
    assert generator.main(["--check"]) == 1
    assert re.findall(r"(\w+\.pyi?)$", capsys.readouterr().err, re.MULTILINE) == [
        "leftoverpb.py",
        "mvccpb.py",
        "raftpb.pyi",
    ]
    assert generator.main([]) == 0
    assert generator.main(["--check"]) == 0


@needs_compiler
def test_a_changed_proto_makes_the_code_stale(
    generator: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proto = tmp_path / "proto"
    shutil.copytree(generator.PROTO, proto)
    file = proto / "mvccpb" / "kv.proto"
    file.write_text(file.read_text().replace("int64 lease = 6;", "int64 lease = 7;"))
    monkeypatch.setattr(generator, "PROTO", proto)
    assert generator.main(["--check"]) == 1


@needs_compiler
def test_a_broken_proto_is_refused(
    generator: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.proto").write_text('syntax = "proto3"; message {')
    monkeypatch.setattr(generator, "PROTO", tmp_path)
    assert generator.main([]) == 2


# ---- the modules and their stubs ----


def annotated(body: list[ast.stmt]) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.AnnAssign):
            assert isinstance(node.target, ast.Name)
            yield node.target.id


@pytest.mark.parametrize("name", PACKAGES)
def test_stub_says_what_the_module_has(name: str) -> None:
    """Every name of the stub exists, every message field is in it, and nothing public is left out."""
    module = importlib.import_module(f"gauntlet.api.messages.{name}")
    tree = ast.parse((FOLDER / f"{name}.pyi").read_text())
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    constants = set(annotated(tree.body))
    assert set(module.__all__) == set(classes) | constants
    for class_name, node in classes.items():
        kind = getattr(module, class_name)
        declared = set(annotated(node.body))
        declared |= {item.name for item in node.body if isinstance(item, ast.FunctionDef)}
        for member in declared:
            assert hasattr(kind, member) or hasattr(kind(), member), f"{class_name}.{member}"
        fields = {field.name for field in kind.DESCRIPTOR.fields} - {"from"}  # a keyword cannot be declared
        assert fields <= declared, class_name


def test_values_survive_the_wire() -> None:
    sent = etcdserverpb.TxnRequest(
        compare=[etcdserverpb.Compare(key=b"k", target=etcdserverpb.Compare.MOD, mod_revision=7)],
        success=[etcdserverpb.RequestOp(request_put=etcdserverpb.PutRequest(key=b"k", value=b"v"))],
    )
    got = etcdserverpb.TxnRequest.FromString(sent.SerializeToString())
    assert got == sent
    assert got.success[0].WhichOneof("request") == "request_put"
    # Bytes worked out by hand from the field numbers: compare=1 {target=2: MOD, key=3, mod_revision=6}, ...
    assert sent.SerializeToString() == bytes.fromhex("0a0710021a016b3007" + "12081206" + "0a016b120176")


def test_packages_share_their_classes() -> None:
    assert isinstance(etcdserverpb.RangeResponse().kvs.add(), mvccpb.KeyValue)
    assert isinstance(
        leasepb.LeaseInternalRequest().LeaseTimeToLiveRequest, etcdserverpb.LeaseTimeToLiveRequest
    )
    health = grpc_health_v1.HealthListResponse()
    health.statuses[""].status = grpc_health_v1.HealthCheckResponse.SERVING
    assert health.statuses[""] == grpc_health_v1.HealthCheckResponse(status=1)


def test_enums_have_names_and_numbers() -> None:
    assert etcdserverpb.AlarmType.Name(etcdserverpb.CORRUPT) == "CORRUPT"
    assert mvccpb.Event.EventType.Value("DELETE") == mvccpb.Event.DELETE == 1
    assert raftpb.MsgForgetLeader == 23


@pytest.mark.parametrize("kind", [etcdserverpb.Member, raftpb.Snapshot, mvccpb.KeyValue, leasepb.Lease])
def test_messages_can_be_pickled_and_copied(kind: type[Message]) -> None:
    message = kind()
    assert pickle.loads(pickle.dumps(message)) == message
    assert type(copy.deepcopy(message)) is kind


def test_another_etcd_client_may_define_the_same_names() -> None:
    """The same files in the process's default pool, one of them with other contents, disturb nothing."""
    rival = descriptor_pb2.FileDescriptorProto(
        name="mvccpb/kv.proto",
        package="mvccpb",
        message_type=[descriptor_pb2.DescriptorProto(name="KeyValue")],
    )
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(rival.SerializeToString())
    assert not pool.FindMessageTypeByName("mvccpb.KeyValue").fields
    assert mvccpb.KeyValue(key=b"a").key == b"a"
    with pytest.raises(KeyError):
        pool.FindMessageTypeByName("etcdserverpb.PutRequest")


def test_services_table() -> None:
    by_service: dict[str, int] = {}
    for path, method in services.items():
        assert path == method.path == f"/{method.service}/{method.name}"
        by_service[method.service] = by_service.get(method.service, 0) + 1
    assert by_service == {
        "etcdserverpb.Auth": 17,
        "etcdserverpb.Cluster": 5,
        "etcdserverpb.KV": 6,
        "etcdserverpb.Lease": 5,
        "etcdserverpb.Maintenance": 8,
        "etcdserverpb.Watch": 1,
        "grpc.health.v1.Health": 3,
        "v3electionpb.Election": 5,
        "v3lockpb.Lock": 2,
    }
    assert services["/etcdserverpb.KV/Put"].request is etcdserverpb.PutRequest
    assert services["/etcdserverpb.KV/Put"].unary
    watch = services["/etcdserverpb.Watch/Watch"]
    assert (watch.client_streaming, watch.server_streaming, watch.unary) == (True, True, False)
    snapshot = services["/etcdserverpb.Maintenance/Snapshot"]
    assert (snapshot.client_streaming, snapshot.server_streaming, snapshot.unary) == (False, True, False)


# ---- against upstream's own descriptors ----

# Our file -> the module and file in Go's module cache that carries upstream's descriptor.
ETCD_API = "go.etcd.io/etcd/api/v3@v3.7.1"
ETCD_SERVER = "go.etcd.io/etcd/server/v3@v3.7.1"
UPSTREAM = {
    "authpb/auth.proto": (ETCD_API, "authpb/auth.pb.go"),
    "etcdserverpb/etcdserver.proto": (ETCD_API, "etcdserverpb/etcdserver.pb.go"),
    "etcdserverpb/raft_internal.proto": (ETCD_API, "etcdserverpb/raft_internal.pb.go"),
    "etcdserverpb/rpc.proto": (ETCD_API, "etcdserverpb/rpc.pb.go"),
    "grpc_health_v1/health.proto": ("google.golang.org/grpc@v1.82.1", "health/grpc_health_v1/health.pb.go"),
    "leasepb/lease.proto": (ETCD_SERVER, "lease/leasepb/lease.pb.go"),
    "membershippb/membership.proto": (ETCD_API, "membershippb/membership.pb.go"),
    "mvccpb/kv.proto": (ETCD_API, "mvccpb/kv.pb.go"),
    "raftpb/raft.proto": ("go.etcd.io/raft/v3@v3.7.0", "raftpb/raft.pb.go"),
    "snappb/snap.proto": (ETCD_SERVER, "etcdserver/api/snap/snappb/snap.pb.go"),
    "v3electionpb/v3election.proto": (ETCD_SERVER, "etcdserver/api/v3election/v3electionpb/v3election.pb.go"),
    "v3lockpb/v3lock.proto": (ETCD_SERVER, "etcdserver/api/v3lock/v3lockpb/v3lock.pb.go"),
    "walpb/record.proto": (ETCD_SERVER, "storage/wal/walpb/record.pb.go"),
}


def module_cache() -> Path:
    if cache := os.environ.get("GOMODCACHE"):
        return Path(cache)
    return Path(os.environ.get("GOPATH") or Path.home() / "go") / "pkg" / "mod"


def embedded_descriptor(go_source: str) -> descriptor_pb2.FileDescriptorProto:
    """Generated Go code carries its file's descriptor as a string constant of concatenated literals."""
    start = re.search(r"_rawDesc = \"\" \+\n", go_source)
    assert start is not None
    raw = bytearray()
    for line in go_source[start.end() :].splitlines():
        literal = line.strip().removesuffix(" +")
        if not literal.startswith('"'):
            break
        # Go's escapes mean the same in Python; other characters stand for their UTF-8 bytes.
        raw += ast.literal_eval(literal.encode().decode("latin-1")).encode("latin-1")
    return descriptor_pb2.FileDescriptorProto.FromString(bytes(raw))


def shape(proto: descriptor_pb2.DescriptorProto) -> Iterator[tuple[object, ...]]:
    """What matters of a message for its bytes and its JSON."""
    for field in proto.field:
        oneof = proto.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else None
        yield (
            proto.name,
            field.number,
            field.name,
            field.type,
            field.label,
            field.type_name,
            oneof,
            field.json_name,
        )
    for enum in proto.enum_type:
        yield from values(enum, f"{proto.name}.")
    for inner in proto.nested_type:
        yield from shape(inner)
    for taken in proto.reserved_range:
        yield proto.name, "reserved", taken.start, taken.end


def values(enum: descriptor_pb2.EnumDescriptorProto, scope: str = "") -> Iterator[tuple[object, ...]]:
    for value in enum.value:
        yield f"{scope}{enum.name}", value.number, value.name


@pytest.mark.upstream
@pytest.mark.parametrize("name", sorted(UPSTREAM))
def test_every_number_and_type_is_upstreams(name: str) -> None:
    module, path = UPSTREAM[name]
    source = module_cache() / module / path
    if not source.exists():
        pytest.skip(f"{module} is not in Go's module cache")
    theirs = embedded_descriptor(source.read_text())
    ours = _pool.POOL.FindFileByName(name)
    proto = descriptor_pb2.FileDescriptorProto()
    ours.CopyToProto(proto)

    assert proto.package == theirs.package
    assert (proto.syntax or "proto2") == (theirs.syntax or "proto2")
    assert sorted(shape_of_all(proto)) == sorted(shape_of_all(theirs))


def shape_of_all(file: descriptor_pb2.FileDescriptorProto) -> list[str]:
    rows: list[tuple[object, ...]] = [(message.name,) for message in file.message_type]
    for message in file.message_type:
        rows += shape(message)
    for enum in file.enum_type:
        rows += values(enum)
    for service in file.service:
        for method in service.method:
            types = (method.input_type, method.client_streaming, method.output_type, method.server_streaming)
            rows.append((service.name, method.name, *types))
    return [repr(row) for row in rows]


def test_every_file_of_ours_is_compared() -> None:
    assert set(UPSTREAM) == set(_pool.FILE_NAMES)
