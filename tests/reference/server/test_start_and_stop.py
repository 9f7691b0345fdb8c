"""How a member begins and ends: addresses first, leadership handed over, a snapshot that holds nobody up."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.reference import backend
from gauntlet.reference.apply import Applied, Image
from gauntlet.reference.raft.types import ConfState, Message, MessageType, Snapshot
from gauntlet.reference.server.config import build
from gauntlet.reference.server.flags import parse
from gauntlet.reference.server.log import Logger
from gauntlet.reference.server.member import Member, local_host

DEADLINE = 30.0


def alone(folder: Path, client: int, peer: int, *more: str) -> list[str]:
    clients, peers = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
    return [
        *("--name", "m", "--data-dir", str(folder / "data"), "--initial-cluster", f"m={peers}"),
        *("--listen-client-urls", clients, "--advertise-client-urls", clients),
        *("--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers, "--unsafe-no-fsync", *more),
    ]


@pytest.fixture
def taken() -> Iterator[socket.socket]:
    """A socket that listens."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        yield holder


@pytest.mark.slow
@pytest.mark.parametrize("which", ["client", "peer", "metrics"])
def test_a_port_in_use_is_one_line_and_leaves_nothing_behind(
    which: str, launch: Any, ports: Any, tmp_path: Path, taken: socket.socket
) -> None:
    used = int(taken.getsockname()[1])
    client, peer = ports(2)
    flags = alone(
        tmp_path, used if which == "client" else client, used if which == "peer" else peer, "--log-level=warn"
    )
    if which == "metrics":
        flags += ["--listen-metrics-urls", f"http://127.0.0.1:{used}"]
    member = launch(*flags)
    assert member.process.wait(DEADLINE) == 1
    words = f"gauntlet-etcd: cannot listen on http://127.0.0.1:{used}: Address already in use\n"
    assert member.log == words
    assert not (tmp_path / "data").exists()


@pytest.mark.slow
def test_ports_can_be_shared_where_it_is_asked_for(launch: Any, ports: Any, tmp_path: Path) -> None:
    client, peer = ports(2)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", client))
        other.listen()
        refused = launch(*alone(tmp_path / "a", client, peer))
        assert refused.process.wait(DEADLINE) == 1
        launch(*alone(tmp_path / "b", client, peer, "--socket-reuse-port")).wait_for("ready to serve")


@pytest.mark.slow
def test_clients_may_come_before_the_member_is_ready(launch: Any, ports: Any, tmp_path: Path) -> None:
    """The first of two members waits for the second. Its port is there, and holds what clients send."""
    first, peer, second, other = ports(4)
    cluster = f"a=http://127.0.0.1:{peer},b=http://127.0.0.1:{other}"

    def start(name: str, client: int, peers: int) -> Any:
        flags = alone(tmp_path / name, client, peers)
        return launch(*flags, "--name", name, "--initial-cluster", cluster)

    early = start("a", first, peer)
    early.wait_for("starting local member")
    with socket.create_connection(("127.0.0.1", first), timeout=DEADLINE) as client:
        client.sendall(b"GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert "ready to serve client requests" not in early.log
        start("b", second, other)
        assert client.recv(12) == b"HTTP/1.1 200"


def status(endpoint: str) -> dict[str, Any]:
    request = urllib.request.Request(f"http://{endpoint}/v3/maintenance/status", b"{}")
    with urllib.request.urlopen(request, timeout=10) as answer:
        shown: dict[str, Any] = json.load(answer)
        return shown


def moment(log: str, words: str) -> str:
    """When the line with these words was written; times of one machine can be compared as texts."""
    found = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    return str(next(line["ts"] for line in found if str(line["msg"]).startswith(words)))


@pytest.mark.slow
def test_who_is_told_to_stop_hands_leadership_over_first(
    start_cluster: Callable[..., Any],
    ports: Any,
    wait_until: Callable[[Callable[[], bool], float, str], None],
) -> None:
    """The successor starts its election because it is told to, and leads before the old leader has gone."""
    cluster = start_cluster("reference", ports(6))
    shown = [status(endpoint) for endpoint in cluster.endpoints]
    leader = next(at for at, each in enumerate(shown) if each["leader"] == each["header"]["member_id"])
    leader_id = f"{int(shown[leader]['leader']):x}"
    # A transfer goes to a member that has been connected.
    others = [at for at in range(3) if at != leader]
    cluster.processes[leader].terminate()
    assert cluster.processes[leader].wait(DEADLINE) == 0
    logs = {at: (cluster.folder / f"m{at + 1}.log").read_text() for at in range(3)}
    told = [at for at in others if f"received MsgTimeoutNow from {leader_id}" in logs[at]]
    assert len(told) == 1
    successor = f"{int(shown[told[0]]['header']['member_id']):x}"
    took_over = moment(logs[told[0]], f"{successor} became leader at term")
    assert took_over < moment(logs[leader], "stopped")
    for at in others:
        endpoint = cluster.endpoints[at]
        wait_until(
            partial(lambda endpoint: int(status(endpoint)["leader"]) == int(successor, 16), endpoint),
            DEADLINE,
            "the successor to be known",
        )
        assert int(status(endpoint)["raftTerm"]) == int(shown[at]["raftTerm"]) + 1


def run_member(flags: list[str], work: Callable[[Member], Any]) -> None:
    """Runs `work` with a member in this process."""

    async def go() -> None:
        ended: list[str | None] = []
        log = Logger("fatal", ("stderr",), "json", None)
        member = Member(build(parse(flags, {})), log, ended.append)
        try:
            await member.start()
            await work(member)
        finally:
            await member.stop()
        assert ended == []

    asyncio.run(asyncio.wait_for(go(), 2 * DEADLINE))


async def put(member: Member, number: int) -> Applied:
    done: asyncio.Future[Applied] = asyncio.get_running_loop().create_future()
    request = pb.PutRequest(key=b"k%d" % number, value=b"v" * 100)
    member.node.propose(pb.InternalRaftRequest(put=request), done.set_result)
    return await done


def test_a_snapshot_holds_no_write_up(tmp_path: Path, ports: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The image is made while writes go on; it is that of the moment, and what is behind it may go after."""
    go_on = threading.Event()
    make = backend.dump

    def slow(frozen: backend.Frozen) -> Iterator[bytes]:
        for piece in make(frozen):
            assert go_on.wait(DEADLINE)
            yield piece

    monkeypatch.setattr(backend, "dump", slow)
    client, peer = ports(2)
    flags = alone(tmp_path, client, peer, "--snapshot-count=20", "--snapshot-catchup-entries=5")
    snapshots = tmp_path / "data" / "member" / "snap"

    async def work(member: Member) -> None:
        for number in range(50):
            assert (await put(member, number)).error is None
        assert not list(snapshots.glob("*.snap"))
        go_on.set()
        while not list(snapshots.glob("*.snap")):
            assert (await put(member, 50)).error is None
        (first,) = sorted(snapshots.glob("*.snap"))[:1]
        index = int(first.stem.split("-")[1], 16)
        while member.node.raft.raft.raft_log.first_index() <= 1:
            assert (await put(member, 50)).error is None
        assert index < 50
        assert len(member.node.machine.store.range(b"k", b"l").kvs) == 51

    run_member(flags, work)

    # What it left is a whole member.
    async def again(member: Member) -> None:
        assert member.restarted
        assert len(member.node.machine.store.range(b"k", b"l").kvs) == 51

    run_member(flags, again)


def test_a_member_that_stops_does_not_wait_for_its_snapshot(
    tmp_path: Path, ports: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = threading.Event()
    make = backend.dump

    def endless(frozen: backend.Frozen) -> Iterator[bytes]:
        for piece in make(frozen):
            begun.set()
            while True:
                yield piece

    monkeypatch.setattr(backend, "dump", endless)
    client, peer = ports(2)
    flags = alone(tmp_path, client, peer, "--snapshot-count=20")

    async def work(member: Member) -> None:
        number = 0
        while not begun.is_set():
            number += 1
            assert (await put(member, number)).error is None

    run_member(flags, work)
    monkeypatch.setattr(backend, "dump", make)

    async def again(member: Member) -> None:
        assert len(member.node.machine.store.range(b"k", b"l").kvs) >= 10
        assert not list((tmp_path / "data" / "member" / "snap").glob("*.tmp"))

    run_member(alone(tmp_path, client, peer), again)


def of_the_leader(member: Member, data: bytes) -> tuple[Message, bytes]:
    """A snapshot as a leader of a later term would send it."""
    member_id = member.member_id
    ahead = Snapshot(member.node.commit_index + 100, member.node.term + 1, ConfState([member_id, 1]))
    message = Message(MessageType.SNAP, member_id, 1, member.node.term + 1, snapshot=ahead)
    return message, data


def test_the_loop_runs_while_a_received_snapshot_is_made_out(
    tmp_path: Path, ports: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old store serves until the new one is there."""
    go_on = threading.Event()
    make = Image.of

    def slow(data: bytes) -> Image:
        assert go_on.wait(DEADLINE)
        return make(data)

    monkeypatch.setattr(Image, "of", slow)

    async def work(member: Member) -> None:
        machine = member.node.machine
        for number in range(3):
            await put(member, number)
        image = b"".join(machine.freeze().chunks())
        await put(member, 3)
        taken_over, adopt = asyncio.Event(), machine.adopt

        def adopt_and_tell(image: Image) -> None:
            adopt(image)
            taken_over.set()

        monkeypatch.setattr(machine, "adopt", adopt_and_tell)
        member.on_snapshot(*of_the_leader(member, image))
        ticks = member.config.tick_seconds
        for _ in range(3):
            await asyncio.sleep(ticks)
            assert len(machine.store.range(b"k", b"l").kvs) == 4
        go_on.set()
        await asyncio.wait_for(taken_over.wait(), DEADLINE)
        assert len(machine.store.range(b"k", b"l").kvs) == 3

    run_member(alone(tmp_path, *ports(2)), work)


def test_a_damaged_snapshot_ends_the_member_and_is_not_kept(tmp_path: Path, ports: Any) -> None:
    async def go() -> str | None:
        ended: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        log = Logger("fatal", ("stderr",), "json", None)
        member = Member(build(parse(alone(tmp_path, *ports(2)), {})), log, ended.set_result)
        try:
            await member.start()
            member.on_snapshot(*of_the_leader(member, b"damaged"))
            return await ended
        finally:
            await member.stop()

    reason = asyncio.run(asyncio.wait_for(go(), DEADLINE))
    assert reason == "the snapshot from the leader is damaged: the dump is cut short"
    assert not list((tmp_path / "data" / "member" / "snap").glob("*.snap*"))


def test_a_small_physical_compaction_is_answered_without_a_pause(tmp_path: Path, ports: Any) -> None:
    async def work(member: Member) -> None:
        for number in range(5):
            await put(member, number)
        done: asyncio.Future[Applied] = asyncio.get_running_loop().create_future()
        member.node.propose(
            pb.InternalRaftRequest(compaction=pb.CompactionRequest(revision=4)), done.set_result
        )
        job = (await done).job
        assert job is not None
        over = asyncio.Event()
        member.node.when_compacted(job, over.set)
        await asyncio.wait_for(over.wait(), DEADLINE)

    run_member(alone(tmp_path, *ports(2), "--compaction-sleep-interval=1h"), work)


def test_compaction_pauses_as_long_as_it_is_told(tmp_path: Path, ports: Any) -> None:
    """With an endless pause nothing but the first batch goes; with the usual one all does."""
    left = {}
    for pause in ("1h", "0s"):
        client, peer = ports(2)
        flags = alone(
            tmp_path / pause,
            client,
            peer,
            "--compaction-batch-limit=10",
            f"--compaction-sleep-interval={pause}",
        )

        async def work(member: Member, pause: str = pause) -> None:
            for _ in range(100):
                await put(member, 1)
            done: asyncio.Future[Applied] = asyncio.get_running_loop().create_future()
            request = pb.CompactionRequest(revision=90)
            member.node.propose(pb.InternalRaftRequest(compaction=request), done.set_result)
            job = (await done).job
            assert job is not None
            over = asyncio.Event()
            member.node.when_compacted(job, over.set)
            if pause == "0s":
                await over.wait()
            else:
                for _ in range(20):  # ticks go by
                    await asyncio.sleep(member.config.tick_seconds / 10)
                    await put(member, 2)
            left[pause] = member.node.machine.backend.count("key")

        run_member(flags, work)
    assert left["1h"] > 100
    assert left["0s"] < 20


@pytest.mark.parametrize(
    ("urls", "gate", "host"),
    [
        ("http://10.0.0.1:1", "true", "10.0.0.1"),
        ("http://10.0.0.1:1", "false", ""),
        ("http://127.0.0.1:1,http://localhost:2,http://[2001:db8::1]:1", "true", "2001:db8::1"),
        ("http://127.0.0.1:1", "true", ""),
        ("http://0.0.0.0:1", "true", ""),
        ("http://a.test:1", "true", ""),
    ],
)
def test_the_address_that_peers_are_dialed_from(urls: str, gate: str, host: str) -> None:
    flags = [f"--feature-gates=SetMemberLocalAddr={gate}", f"--initial-advertise-peer-urls={urls}"]
    assert local_host(build(parse(flags, {}))) == host
