"""Members come and go, on a cluster of ours and on one of etcd 3.7.1: the same answers from both."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gauntlet.api.messages import etcdserverpb as pb

pytestmark = [pytest.mark.upstream, pytest.mark.slow]

CLUSTER = "etcdserverpb.Cluster/"
STATUS = "etcdserverpb.Maintenance/Status"
RANGE, PUT = "etcdserverpb.KV/Range", "etcdserverpb.KV/Put"
# Longer than the five seconds for which members must have been connected.
SETTLED = 20.0


def until(condition: Callable[[], bool], seconds: float = SETTLED) -> None:
    pause = threading.Event()
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        pause.wait(0.1)


class Cluster:
    """The members of one kind, named m1, m2 ...; answers with ids and ports replaced by those names."""

    def __init__(self, kind: Any, connect: Any) -> None:
        self.kind = kind
        self.connect = connect
        self.members: dict[str, Any] = {}
        self.clients: dict[str, Any] = {}
        self.ids: dict[str, int] = {}
        self.notes: list[Any] = []

    def create(self, name: str, *flags: str) -> Any:
        self.members[name] = self.kind.member(name, *flags)
        return self.members[name]

    def start(self, name: str, cluster: str | None = None, *more: str) -> None:
        member = self.members[name]
        member.start(cluster, *more)
        self.clients.setdefault(name, self.connect(member.client_port))

    def url(self, name: str) -> str:
        return f"{name}={self.members[name].peer_url}"

    def describe(self, answer: tuple[str, Any]) -> Any:
        code, body = answer
        if code != "OK":
            return answer
        members = [self._member(each) for each in body.get("members", [])]
        added = self._member(body["member"]) if "member" in body else None
        return code, added, sorted(members)

    def _member(self, each: Any) -> Any:
        names = {member.peer_url: name for name, member in self.members.items()}
        urls = sorted(names.get(url, "elsewhere") for url in each.get("peerURLs", []))
        if len(urls) == 1 and urls[0] in self.members:
            self.ids[urls[0]] = int(each["ID"])
        return each.get("name", ""), urls, each.get("isLearner", False), len(each.get("clientURLs", []))

    def call(self, via: str, method: str, request: Any) -> Any:
        answer = self.describe(self.clients[via](CLUSTER + method, request, timeout=9))
        self.notes.append((via, method, answer))
        return answer

    def add(self, via: str, *names: str, learner: bool = False) -> Any:
        urls = [self.members[name].peer_url if name in self.members else name for name in names]
        return self.call(via, "MemberAdd", pb.MemberAddRequest(peerURLs=urls, isLearner=learner))

    def leader(self, via: str) -> str:
        number = int(self.clients[via](STATUS, pb.StatusRequest())[1]["leader"])
        return next(name for name, each in self.ids.items() if each == number)

    def remove(self, via: str, name: str) -> Any:
        request = pb.MemberRemoveRequest(ID=self.ids[name])
        return self.describe(self.clients[via](CLUSTER + "MemberRemove", request, timeout=9))

    def settled(self, via: str, count: int) -> None:
        """Until the cluster takes membership changes: everybody named, and connected for long enough."""

        def named() -> bool:
            code, body = self.clients[via](CLUSTER + "MemberList", pb.MemberListRequest())
            return code == "OK" and sum("name" in each for each in body["members"]) == count

        until(named)
        pause = threading.Event()
        pause.wait(6.5)


def grow(cluster: Cluster) -> None:
    cluster.create("m1", "--max-learners=1")
    cluster.create("m2")
    cluster.create("m3")
    cluster.create("m4")
    cluster.start("m1")
    cluster.members["m1"].wait()
    for bad in ([], ["nonsense"], ["http://a/b"], ["127.0.0.1:1"], ["ftp://a:1"]):
        cluster.notes.append(cluster.clients["m1"](CLUSTER + "MemberAdd", pb.MemberAddRequest(peerURLs=bad)))
    cluster.add("m1", "m1")
    cluster.call("m1", "MemberRemove", pb.MemberRemoveRequest(ID=cluster.ids.get("m1", 0)))
    cluster.call("m1", "MemberRemove", pb.MemberRemoveRequest(ID=12345))
    cluster.call("m1", "MemberUpdate", pb.MemberUpdateRequest(ID=12345, peerURLs=["http://127.0.0.1:1"]))
    cluster.call("m1", "MemberPromote", pb.MemberPromoteRequest(ID=12345))
    cluster.call("m1", "MemberList", pb.MemberListRequest(linearizable=True))
    cluster.call("m1", "MemberPromote", pb.MemberPromoteRequest(ID=cluster.ids["m1"]))
    for number in range(20):
        cluster.clients["m1"](PUT, pb.PutRequest(key=b"%d" % number, value=b"v"))
    # A learner: one is allowed, it cannot be promoted before it has started.
    cluster.add("m1", "m2", learner=True)
    cluster.add("m1", "m2", learner=True)
    cluster.add("m1", "m3", learner=True)
    cluster.call("m1", "MemberPromote", pb.MemberPromoteRequest(ID=cluster.ids["m2"]))
    cluster.start("m2", f"{cluster.url('m1')},{cluster.url('m2')}", "--initial-cluster-state=existing")
    cluster.members["m2"].wait()
    learner = cluster.clients["m2"]
    code, status = learner(STATUS, pb.StatusRequest())
    cluster.notes.append((code, status["isLearner"]))
    until(lambda: learner(RANGE, pb.RangeRequest(key=b"19", serializable=True))[1].get("count") == "1")
    cluster.notes.append(learner(RANGE, pb.RangeRequest(key=b"19")))
    cluster.notes.append(learner(PUT, pb.PutRequest(key=b"k")))
    cluster.notes.append(learner(CLUSTER + "MemberList", pb.MemberListRequest()))
    stream = learner.stream(
        "etcdserverpb.Watch/Watch", pb.WatchRequest(create_request=pb.WatchCreateRequest(key=b"k"))
    )
    cluster.notes.append(stream.next())
    stream.close()
    cluster.settled("m1", 2)
    cluster.call("m1", "MemberPromote", pb.MemberPromoteRequest(ID=cluster.ids["m2"]))
    cluster.call("m1", "MemberPromote", pb.MemberPromoteRequest(ID=cluster.ids["m2"]))
    # A third, as a voter; until it has started, no other may be added.
    cluster.settled("m2", 2)
    cluster.add("m2", "m3")
    cluster.add("m1", "m4")
    cluster.call("m1", "MemberRemove", pb.MemberRemoveRequest(ID=cluster.ids["m2"]))
    everybody = ",".join(cluster.url(name) for name in ("m1", "m2", "m3"))
    cluster.start("m3", everybody, "--initial-cluster-state=existing")
    cluster.members["m3"].wait()
    cluster.notes.append(cluster.clients["m3"](RANGE, pb.RangeRequest(key=b"19"))[1]["count"])
    cluster.settled("m3", 3)
    # A learner promoted through a follower, who passes it on.
    cluster.add("m3", "m4", learner=True)
    everybody += "," + cluster.url("m4")
    cluster.start("m4", everybody, "--initial-cluster-state=existing")
    cluster.members["m4"].wait()
    cluster.settled("m1", 4)
    leader = cluster.leader("m1")
    follower = next(name for name in ("m2", "m3") if name != leader)
    answer = cluster.describe(
        cluster.clients[follower](CLUSTER + "MemberPromote", pb.MemberPromoteRequest(ID=cluster.ids["m4"]))
    )
    cluster.notes.append(answer)
    cluster.notes.append(
        cluster.describe(
            cluster.clients[follower](
                CLUSTER + "MemberPromote", pb.MemberPromoteRequest(ID=cluster.ids["m4"])
            )
        )
    )
    cluster.settled("m1", 4)
    # The removed one stops by itself, without an error; the others go on.
    cluster.call("m1", "MemberRemove", pb.MemberRemoveRequest(ID=cluster.ids["m4"]))
    cluster.notes.append(cluster.members["m4"].child.wait(15))
    cluster.call("m1", "MemberRemove", pb.MemberRemoveRequest(ID=cluster.ids["m4"]))
    cluster.call(
        "m2", "MemberUpdate", pb.MemberUpdateRequest(ID=cluster.ids["m3"], peerURLs=["http://127.0.0.1:7"])
    )
    cluster.call("m1", "MemberList", pb.MemberListRequest())
    for name in ("m1", "m2"):
        code, _ = cluster.clients[name](PUT, pb.PutRequest(key=b"after"))
        cluster.notes.append(code)


def test_a_cluster_grows_and_shrinks(kinds: Any, connect: Any, notes_equal: Any) -> None:
    notes = []
    for kind in kinds:
        cluster = Cluster(kind, connect)
        grow(cluster)
        notes.append(cluster.notes)
        kind.close()
    notes_equal(*notes)


def start_three(kind: Any, connect: Any) -> Cluster:
    cluster = Cluster(kind, connect)
    for name in ("m1", "m2", "m3"):
        cluster.create(name)
    everybody = ",".join(cluster.url(name) for name in ("m1", "m2", "m3"))
    for name in ("m1", "m2", "m3"):
        cluster.start(name, everybody)
    for name in ("m1", "m2", "m3"):
        cluster.members[name].wait()
    return cluster


def ended(child: subprocess.Popen[bytes]) -> bool:
    """It stopped by itself. etcd does so with 0 or with 1: its end races with that of its own listeners."""
    return child.wait(20) in (0, 1)


def test_removed_members_and_lost_quorums(kinds: Any, connect: Any, notes_equal: Any) -> None:
    notes = []
    for kind in kinds:
        cluster = start_three(kind, connect)
        cluster.settled("m1", 3)
        cluster.call("m1", "MemberList", pb.MemberListRequest())
        # A follower that was down when it was removed stops when it comes back.
        leader = cluster.leader("m1")
        lost, other = (name for name in ("m1", "m2", "m3") if name != leader)
        cluster.members[lost].kill()
        removed = cluster.remove(other, lost)
        cluster.notes.append((removed[0], len(removed[2])))
        cluster.start(lost)
        cluster.notes.append(ended(cluster.members[lost].child))
        # The leader may go as well.
        removed = cluster.remove(leader, leader)
        cluster.notes.append((removed[0], len(removed[2])))
        cluster.notes.append(ended(cluster.members[leader].child))
        client = cluster.clients[other]
        until(lambda client=client: client(PUT, pb.PutRequest(key=b"k"))[0] == "OK")
        notes.append(cluster.notes)
        kind.close()
    notes_equal(*notes)


def test_one_is_left_and_starts_anew(kinds: Any, connect: Any, notes_equal: Any) -> None:
    notes = []
    for kind in kinds:
        cluster = start_three(kind, connect)
        cluster.clients["m1"](PUT, pb.PutRequest(key=b"kept", value=b"v"))
        # With later writes the log of every member says that the first is committed.
        for _ in range(5):
            cluster.clients["m1"](PUT, pb.PutRequest(key=b"more"))
            cluster.clients["m2"](RANGE, pb.RangeRequest(key=b"more"))
        for name in ("m1", "m2", "m3"):
            cluster.members[name].kill()
        cluster.start("m2", None, "--force-new-cluster")
        cluster.members["m2"].wait()
        cluster.call("m2", "MemberList", pb.MemberListRequest(linearizable=True))
        cluster.notes.append(cluster.clients["m2"](RANGE, pb.RangeRequest(key=b"kept"))[1]["kvs"])
        notes.append(cluster.notes)
        kind.close()
    notes_equal(*notes)


def test_a_lost_disk_does_not_found_the_cluster_again(kinds: Any, connect: Any, notes_equal: Any) -> None:
    notes = []
    for kind in kinds:
        cluster = start_three(kind, connect)
        cluster.members["m3"].kill()
        shutil.rmtree(kind.directory / "m3")
        everybody = ",".join(cluster.url(name) for name in ("m1", "m2", "m3"))
        cluster.start("m3", everybody)
        cluster.notes.append(cluster.members["m3"].child.wait(20) != 0)
        said = cluster.members["m3"].log.read_text()
        cluster.notes.append("has already been bootstrapped" in said)
        # Nor may a stranger join whom nobody has added.
        cluster.create("m9")
        cluster.start("m9", f"{everybody},{cluster.url('m9')}", "--initial-cluster-state=existing")
        cluster.notes.append(cluster.members["m9"].child.wait(20) != 0)
        cluster.notes.append("member count is unequal" in cluster.members["m9"].log.read_text())
        notes.append(cluster.notes)
        kind.close()
    notes_equal(*notes)


def test_etcdctl_on_our_cluster(ours: Any, connect: Any) -> None:
    """The real etcdctl grows, changes and shrinks a cluster of ours."""
    etcdctl = find_etcdctl()
    if etcdctl is None:
        pytest.skip("no etcdctl: set GAUNTLET_TEST_ETCD, or put etcdctl on PATH")
    cluster = start_three(ours, connect)
    cluster.create("m4")
    endpoint = f"--endpoints=127.0.0.1:{cluster.members['m1'].client_port}"

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [etcdctl, endpoint, *arguments], capture_output=True, text=True, timeout=30, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    cluster.settled("m1", 3)
    added = run("member", "add", "m4", f"--peer-urls={cluster.members['m4'].peer_url}", "--learner")
    assert 'ETCD_INITIAL_CLUSTER_STATE="existing"' in added
    number = added.split()[1]
    setting = next(line for line in added.splitlines() if line.startswith("ETCD_INITIAL_CLUSTER="))
    cluster.start("m4", setting.split("=", 1)[1].strip('"'), "--initial-cluster-state=existing")
    cluster.members["m4"].wait()
    assert run("member", "promote", number) == f"Member {number} promoted in cluster {cluster_id(run)}\n"
    listed = run("member", "list")
    assert listed.count("started") == 4
    assert listed.count("true") == 0
    updated = run("member", "update", number, f"--peer-urls={cluster.members['m4'].peer_url}")
    assert updated.startswith(f"Member {number} updated in cluster")
    cluster.settled("m1", 4)
    assert run("member", "remove", number).startswith(f"Member {number} removed from cluster")
    assert cluster.members["m4"].child.wait(15) == 0
    assert run("member", "list").count("started") == 3
    assert run("put", "a", "b") == "OK\n"


def cluster_id(run: Callable[..., str]) -> str:
    line = next(line for line in run("member", "list", "-w", "fields").splitlines() if "ClusterID" in line)
    return f"{int(line.split(':')[1]):16x}"


def find_etcdctl() -> str | None:
    given = os.environ.get("GAUNTLET_TEST_ETCD")
    beside = Path(given).with_name("etcdctl") if given else None
    return str(beside) if beside is not None and beside.exists() else shutil.which("etcdctl")
