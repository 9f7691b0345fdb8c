"""Files of real etcd read by us, files of ours read by real etcd: the same release, the same bytes."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.messages import walpb
from gauntlet.reference import membership
from gauntlet.reference.formats import raftpb, wal
from gauntlet.reference.formats import snapshot as snapfile
from gauntlet.reference.raft.types import Entry, EntryType, HardState
from gauntlet.reference.server.disk import DataDirLockedError, FileDisk

pytestmark = [pytest.mark.slow, pytest.mark.upstream]

OpenDisk = Callable[..., FileDisk]
RELEASE = "3.7.1"
START_SECONDS = 30
CALL_SECONDS = 10
TOKEN = "files"


def etcd_binary() -> str:
    candidates = [
        os.environ.get("GAUNTLET_TEST_ETCD"),
        shutil.which("etcd"),
        str(Path.home() / ".cache" / "gauntlet" / "etcd" / RELEASE / "etcd"),
    ]
    for candidate in candidates:
        if candidate and Path(candidate).is_file():
            shown = subprocess.run([candidate, "--version"], capture_output=True, text=True, timeout=20)
            if f"etcd Version: {RELEASE}" in shown.stdout:
                return candidate
    pytest.skip(f"no etcd {RELEASE} in GAUNTLET_TEST_ETCD, on PATH or in the cache")


def free_url() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


class Client:
    def __init__(self, channel: grpc.Channel) -> None:
        def unary(path: str, request: type, response: type) -> Callable[..., object]:
            return channel.unary_unary(path, request.SerializeToString, response.FromString)

        self._put = unary("/etcdserverpb.KV/Put", pb.PutRequest, pb.PutResponse)
        self._range = unary("/etcdserverpb.KV/Range", pb.RangeRequest, pb.RangeResponse)
        self._members = unary("/etcdserverpb.Cluster/MemberList", pb.MemberListRequest, pb.MemberListResponse)

    def put(self, key: bytes, value: bytes) -> None:
        self._put(pb.PutRequest(key=key, value=value), timeout=CALL_SECONDS)

    def everything(self) -> dict[bytes, bytes]:
        found = self._range(pb.RangeRequest(key=b"\0", range_end=b"\0"), timeout=CALL_SECONDS)
        return {kv.key: kv.value for kv in found.kvs}

    def members(self) -> list[pb.Member]:
        return list(self._members(pb.MemberListRequest(), timeout=CALL_SECONDS).members)


@contextmanager
def etcd(data: Path, peer: str, *options: str, how: int = signal.SIGKILL) -> Iterator[Client]:
    """A member of real etcd named `m`, ended by the signal `how`."""
    client = free_url()
    with (data.parent / "etcd.log").open("ab") as log:
        process = subprocess.Popen(
            [
                etcd_binary(),
                *("--name", "m", "--data-dir", str(data)),
                *("--listen-client-urls", client, "--advertise-client-urls", client),
                *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
                *("--initial-cluster", f"m={peer}", "--initial-cluster-token", TOKEN),
                *options,
            ],
            stdout=log,
            stderr=log,
        )
    try:
        with grpc.insecure_channel(client.removeprefix("http://")) as channel:
            try:
                grpc.channel_ready_future(channel).result(timeout=START_SECONDS)
            except grpc.FutureTimeoutError:
                pytest.fail((data.parent / "etcd.log").read_text()[-3000:])
            yield Client(channel)
    finally:
        process.send_signal(how)
        process.wait(timeout=START_SECONDS)


def puts(entries: list[Entry]) -> dict[bytes, bytes]:
    found = {}
    for entry in entries:
        if entry.type is EntryType.NORMAL and entry.data:
            request = pb.InternalRaftRequest.FromString(entry.data)
            if request.HasField("put"):
                found[request.put.key] = request.put.value
    return found


def encoded_again(records: list[wal.Record]) -> bytes:
    """What our encoder makes of the values that were read."""
    encoder = wal.Encoder()
    for record in records:
        if record.type == wal.RecordType.CRC:
            encoder.carry_crc()
        elif record.type == wal.RecordType.METADATA:
            encoder.metadata(wal.decode_metadata(record.data))
        elif record.type == wal.RecordType.ENTRY:
            encoder.entries([raftpb.decode_entry(record.data)])
        elif record.type == wal.RecordType.STATE:
            encoder.hard_state(raftpb.decode_hard_state(record.data))
        else:
            mark = walpb.Snapshot.FromString(record.data)
            state = None
            if mark.HasField("conf_state"):
                state = raftpb.decode_conf_state(mark.conf_state.SerializeToString())
            encoder.snapshot(mark.index, mark.term, state)
    return encoder.take()


def test_we_read_what_etcd_wrote_and_would_write_it_the_same(open_disk: OpenDisk, tmp_path: Path) -> None:
    data, peer = tmp_path / "etcd", free_url()
    wanted = {b"key%d" % n: b"value %d" % n for n in range(60)}
    with etcd(data, peer, "--snapshot-count", "25") as client:
        for key, value in wanted.items():
            client.put(key, value)

    path = next((data / "member/wal").glob("*.wal"))
    content = path.read_bytes()
    assert len(content) == wal.SEGMENT_BYTES
    reader = wal.SegmentReader(content, 0, last=True)
    records = list(reader)
    assert encoded_again(records) == content[: reader.offset]
    snapshots = list((data / "member/snap").glob("*.snap"))
    assert snapshots
    for file in snapshots:
        assert (
            snapfile.encode_snapshot_file(snapfile.decode_snapshot_file(file.read_bytes()))
            == file.read_bytes()
        )

    disk = open_disk(data, segment_bytes=wal.SEGMENT_BYTES)
    found = disk.load()
    member = membership.Member.from_urls("m", [peer], TOKEN)
    assert found.node_id == member.id
    assert found.cluster_id == membership.cluster_id([member.id])
    assert found.snapshot is not None
    assert found.snapshot.conf_state.voters == [member.id]
    newest = max(snapfile.parse_snapshot_name(file.name) or (0, 0) for file in snapshots)
    assert (found.snapshot.term, found.snapshot.index) == newest
    assert found.hard_state.commit >= found.snapshot.index + len(found.entries) - 1
    after = puts(found.entries)
    assert after.items() <= wanted.items()
    assert after
    whole = wal.Replay()
    for record in records:
        whole.feed(record)
    assert puts(whole.entries) == wanted
    change = raftpb.decode_conf_change(whole.entries[0].data)
    assert change.context == membership.encode_member(member)


def test_etcd_goes_on_where_we_stopped(open_disk: OpenDisk, tmp_path: Path) -> None:
    """Several segments of ours, the last batch torn; then back again to us."""
    data, peer = tmp_path / "ours", free_url()
    member = membership.Member.from_urls("m", [peer], TOKEN)
    added = raftpb.encode_conf_change(membership.add_change(member))
    disk = open_disk(data, segment_bytes=32 * 1024, sync=True)
    disk.create(
        member.id,
        membership.cluster_id([member.id]),
        HardState(1, 0, 1),
        [Entry(1, 1, EntryType.CONF_CHANGE, added)],
    )
    wanted: dict[bytes, bytes] = {}
    for index in range(2, 402):
        request = pb.InternalRaftRequest(put=pb.PutRequest(key=b"k%d" % index, value=b"v" * (index % 900)))
        request.header.ID = index
        wanted[request.put.key] = request.put.value
        disk.save(HardState(2, member.id, index), [Entry(2, index, data=request.SerializeToString())], True)
    disk.close()
    segments = sorted(disk.wal_dir.glob("*.wal"))
    assert len(segments) > 3

    with etcd(data, peer) as client:
        assert client.everything() == wanted
        assert [found.ID for found in client.members()] == [member.id]
        client.put(b"by etcd", b"1")

    disk = open_disk(data, segment_bytes=wal.SEGMENT_BYTES)
    found = disk.load()
    assert puts(found.entries) == {**wanted, b"by etcd": b"1"}
    last = found.entries[-1]
    torn = Entry(found.hard_state.term, last.index + 1, data=b"x" * 3000)
    tail = sorted(disk.wal_dir.glob("*.wal"))[-1]
    before = len(tail.read_bytes().rstrip(b"\0"))
    disk.save(None, [torn], True)
    disk.close()
    os.truncate(tail, before + 2000)
    with etcd(data, peer) as client:
        assert client.everything() == {**wanted, b"by etcd": b"1"}


def test_etcd_and_we_lock_each_other_out(open_disk: OpenDisk, tmp_path: Path) -> None:
    data, peer = tmp_path / "shared", free_url()
    with etcd(data, peer) as client:
        client.put(b"k", b"1")
        disk = open_disk(data)
        with pytest.raises(DataDirLockedError, match=r"the log in .* is used by another process"):
            disk.load()
        disk.close()
        client.put(b"k", b"2")
    disk = open_disk(data, segment_bytes=wal.SEGMENT_BYTES)
    assert puts(disk.load().entries) == {b"k": b"2"}
    command = [etcd_binary(), "--data-dir", str(data), "--name", "m", "--listen-peer-urls", peer]
    command += ["--listen-client-urls", free_url(), "--advertise-client-urls", peer]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=START_SECONDS)
    assert refused.returncode != 0
    assert "file already locked" in refused.stderr
    disk.close()
    with etcd(data, peer) as client:
        assert client.everything() == {b"k": b"2"}
