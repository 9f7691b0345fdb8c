"""One script of etcdctl commands against a real cluster and one of ours: what a user sees must be the same,
once ids, ports and times are out of the way."""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.upstream, pytest.mark.slow]

COMMAND_SECONDS = 30.0

# What differs between two runs of one and the same server, and what takes its place.
NOISE = [
    (r"lease [0-9a-f]{15,16}\b", "lease LEASE"),
    (r"^[0-9a-f]{15,16}$", "LEASE"),
    (r'"(ID|id|lease)":[0-9]{17,20}', r'"\1":LEASE'),
    (r"remaining\([0-9]+s\)", "remaining(Ns)"),
    (r'"ttl":[0-9]+,"granted-ttl"', '"ttl":N,"granted-ttl"'),
    (r'"raft_term":[0-9]+', '"raft_term":T'),
    (r'"(raftTerm|raftIndex|raftAppliedIndex)":[0-9]+', r'"\1":N'),
    (r'"(dbSize|dbSizeInUse)":[0-9]+', r'"\1":N'),
    (r'"(RaftTerm|RaftIndex|RaftAppliedIndex|DBSize|DBSizeInUse)" : [0-9]+', r'"\1" : N'),
    (r"took( =)? [0-9.]+[µnm]?s", "took T"),
    (r'"took":"[0-9.]+[µnm]?s"', '"took":"T"'),
]

TXN = """value("a") = "1"
version("nothing") = "0"

put txn/1 one
get a
get a --prefix
del b

put txn/2 two

"""
FAILING_TXN = """mod("a") > "100"

put txn/3 three

get a
del txn/ --prefix

"""

KEYS = ("a", "ab", "abc", "b", "c/1", "c/2", "quote\"'", "ü")
GETS = (
    ["get", "a"],
    ["get", "nothing"],
    ["get", ""],
    ["get", "", "--prefix"],
    ["get", "", "--from-key"],
    ["get", "a", "--prefix"],
    ["get", "a", "c"],
    ["get", "c", "a"],
    ["get", "ab", "--from-key"],
    ["get", "a", "--prefix", "--limit=2"],
    ["get", "a", "--prefix", "--limit=2", "-w", "json"],
    ["get", "a", "--prefix", "--keys-only"],
    ["get", "a", "--prefix", "--keys-only", "-w", "json"],
    ["get", "a", "--prefix", "--count-only"],
    ["get", "a", "--prefix", "--count-only", "-w", "json"],
    ["get", "a", "--prefix", "--count-only", "--write-out=fields"],
    ["get", "a", "--prefix", "--print-value-only"],
    ["get", "a", "--print-value-only", "-w", "json"],
    ["get", "a", "--prefix", "-w", "simple"],
    ["get", "a", "--hex"],
    ["get", "ü", "-w", "json"],
    ["get", "a", "--rev=2", "-w", "json"],
    ["get", "a", "--prefix", "--rev=4"],
    ["get", "a", "--rev=1"],
    ["get", "a", "--rev=1000"],
    ["get", "a", "--consistency=s"],
    ["get", "a", "--consistency=x"],
    ["get", "a", "--prefix", "--from-key"],
    ["get", "a", "--prefix", "--min-mod-rev=4", "-w", "json"],
    ["get", "a", "--prefix", "--max-create-rev=3", "-w", "json"],
    *(
        ["get", "", "--prefix", f"--sort-by={target}", f"--order={order}", "-w", "json"]
        for target in ("KEY", "VERSION", "CREATE", "MODIFY", "VALUE", "nonsense")
        for order in ("ASCEND", "DESCEND", "")
    ),
)


@dataclass
class Session:
    """Runs commands on one cluster and keeps what came of them, as (command, exit status, output, errors)."""

    etcdctl: Path
    endpoints: list[str]
    folder: Path
    shown: list[tuple[str, int, str, str]] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for number, endpoint in enumerate(self.endpoints, 1):
            self.names[endpoint] = f"ENDPOINT{number}"
        answer = self.json("member", "list")
        self.members: dict[str, int] = {member["name"]: member["ID"] for member in answer["members"]}
        self.know(answer["header"]["cluster_id"], "CLUSTER")
        for name, member_id in self.members.items():
            self.know(member_id, f"MEMBER-{name}")
        for member in answer["members"]:
            for number, url in enumerate(member["peerURLs"]):
                self.names[url] = f"PEER{number}-{member['name']}"

    def know(self, number: int, name: str) -> None:
        self.names[f"{number:x}"] = name
        self.names[str(number)] = name

    def execute(self, arguments: list[str], stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Asks the first member unless the arguments name others."""
        chosen = [] if "--endpoints" in arguments else ["--endpoints", self.endpoints[0]]
        return subprocess.run(
            [str(self.etcdctl), *arguments, *chosen],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            cwd=self.folder,
            env={},
        )

    def json(self, *arguments: str) -> Any:
        return json.loads(self.execute([*arguments, "-w", "json"]).stdout)

    def run(self, *arguments: str, stdin: str = "") -> str:
        """Runs a command of the script; returns its output as it came."""
        done = self.execute(list(arguments), stdin)
        self.shown.append(
            (
                self.plain(" ".join(arguments)),
                done.returncode,
                self.plain(done.stdout),
                self.plain(done.stderr),
            )
        )
        return done.stdout

    def run_everywhere(self, *arguments: str) -> None:
        self.run(*arguments, "--endpoints", ",".join(self.endpoints))

    def watch(self, *steps: tuple[str, str]) -> None:
        """`etcdctl watch -i`: gives it each line, and waits until the text beside the line has come out."""
        process = subprocess.Popen(
            [str(self.etcdctl), "watch", "-i", "--endpoints", self.endpoints[0]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        lines: list[str] = []
        overdue = threading.Timer(COMMAND_SECONDS, process.kill)
        overdue.start()
        try:
            for line, awaited in steps:
                process.stdin.write(line + "\n")
                process.stdin.flush()
                while awaited and (got := process.stdout.readline()):
                    lines.append(got)
                    if got.strip() == awaited:
                        break
        finally:
            overdue.cancel()
            process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()
        self.shown.append((f"watch {steps}", 0, self.plain("".join(lines)), ""))

    def plain(self, text: str) -> str:
        """The text without what may differ."""
        for known in sorted(self.names, key=len, reverse=True):
            text = text.replace(known, self.names[known])
        text = text.replace(str(self.folder), "FOLDER")
        lines = [self._quiet(line) for line in text.splitlines() if '"level":"info"' not in line]
        return "\n".join(lines)

    @staticmethod
    def _quiet(line: str) -> str:
        if line.startswith('{"level":'):
            entry = json.loads(line)
            return f"{entry['level']} {entry['msg']} {entry.get('error', '')}"
        for pattern, replacement in NOISE:
            line = re.sub(pattern, replacement, line)
        return line


def keys(session: Session) -> None:
    for number, key in enumerate(KEYS):
        session.run("put", key, str(number))
    session.run("put", "a", "1", "--prev-kv")
    session.run("put", "a", "1", "-w", "json")
    session.run("put", "a", "--ignore-value", "-w", "json")
    session.run("put", "none", "--ignore-value")
    session.run("put", "none", "v", "--lease=1234")
    session.run("put", "none", "v", "--ignore-lease")
    session.run("put", "from-stdin", stdin="the value")
    session.run("put", "", "empty key")
    for arguments in GETS:
        session.run(*arguments)
    session.run("del", "b", "--prev-kv")
    session.run("del", "b")
    session.run("del", "c/", "--prefix", "--prev-kv", "-w", "json")
    session.run("del", "", "--prefix", "--range")
    session.run("get", "", "--prefix", "-w", "json")
    session.run("get", "b", "--rev=5", "-w", "fields")


def txns(session: Session) -> None:
    session.run("txn", "-i", stdin=TXN)
    session.run("txn", stdin=TXN)
    session.run("txn", "-w", "json", stdin=TXN)
    session.run("txn", stdin=FAILING_TXN)
    session.run("txn", "-w", "json", stdin=FAILING_TXN)
    session.run("txn", stdin="\nput same 1\nput same 2\n\n\n")
    session.run("txn", stdin="\n\n\n")
    session.run("get", "txn", "--prefix", "-w", "json")


def watches(session: Session) -> None:
    session.run("put", "w/1", "first")
    session.run("put", "w/1", "second")
    session.run("put", "w/2", "third")
    session.run("del", "w/1")
    revision = session.json("get", "w/2")["header"]["revision"]
    session.watch((f"watch w/ --prefix --rev={revision - 3}", "w/1"), ("", "second"), ("", "third"))
    noted = ("progress", f"progress notify: {revision}")
    session.watch((f"watch w/ --prefix --prev-kv --rev={revision - 2}", "DELETE"), noted)
    session.watch((f"watch w/1 w/3 --rev={revision}", "DELETE"), noted)
    session.watch(("watch w/", ""), noted)


def maintenance(session: Session) -> None:
    revision = session.json("get", "a")["header"]["revision"]
    for endpoint in session.endpoints:
        session.run("endpoint", "health", "--endpoints", endpoint)
    session.run_everywhere("endpoint", "hashkv", "-w", "json")
    session.run_everywhere("endpoint", "hashkv", f"--rev={revision - 1}", "-w", "json")
    session.run("compaction", str(revision - 4))
    session.run("compaction", str(revision - 4))
    session.run("compaction", str(revision - 3), "--physical", "-w", "json")
    session.run("compaction", "100000")
    session.run("get", "a", f"--rev={revision - 5}")
    session.run("watch", "a", f"--rev={revision - 5}")
    session.run_everywhere("endpoint", "hashkv", "-w", "json")
    session.run_everywhere("endpoint", "hashkv", f"--rev={revision - 3}", "-w", "json")
    session.run_everywhere("endpoint", "status", "-w", "json")
    session.run("endpoint", "status", "--cluster", "-w", "fields")
    session.run("member", "list")
    session.run("member", "list", "-w", "json")
    session.run("member", "list", "-w", "table")
    session.run("alarm", "list")
    session.run("alarm", "disarm")
    session.run_everywhere("defrag")
    session.run("snapshot", "save", "saved.db")
    assert (session.folder / "saved.db").stat().st_size > 32
    session.run("version")


def leases(session: Session) -> None:
    granted = session.run("lease", "grant", "600")
    lease = granted.split()[1]
    session.run("put", "leased", "v", f"--lease={lease}")
    session.run("get", "leased", "-w", "json")
    session.run("lease", "timetolive", lease)
    # Of several keys upstream does not say any order.
    session.run("lease", "timetolive", lease, "--keys")
    session.run("lease", "timetolive", lease, "--keys", "-w", "json")
    session.run("put", "leased/2", "v", f"--lease={lease}")
    session.run("lease", "keep-alive", "--once", lease)
    session.run("lease", "keep-alive", "--once", lease, "-w", "json")
    session.run("lease", "list")
    session.run("lease", "list", "-w", "json")
    session.run("put", "leased", "kept", "--ignore-lease", "-w", "json")
    session.run("get", "leased", "-w", "json")
    session.run("lease", "revoke", lease)
    session.run("get", "leased", "--prefix")
    session.run("lease", "revoke", lease)
    session.run("lease", "timetolive", lease)
    session.run("lease", "timetolive", lease, "-w", "json")
    session.run("lease", "keep-alive", "--once", lease)
    session.run("lease", "grant", "0")
    session.run("lease", "grant", "9000000001")
    session.run("lease", "list")


def leadership(session: Session) -> None:
    """Moves the leader to the first member from wherever it is, so that the rest sees the same cluster."""
    first = session.members["m1"]
    for endpoint in session.endpoints:
        status = session.json("endpoint", "status", "--endpoints", endpoint)[0]["Status"]
        if status["header"]["member_id"] == status["leader"] != first:
            session.execute(["move-leader", f"{first:x}", "--endpoints", endpoint])
    session.run("move-leader", "1234")
    session.run("move-leader", "nonsense")
    session.run("move-leader", f"{first:x}")
    if len(session.endpoints) > 1:
        session.run("move-leader", f"{first:x}", "--endpoints", session.endpoints[1])
        session.run("move-leader", f"{session.members['m2']:x}")
        session.run("move-leader", f"{first:x}", "--endpoints", session.endpoints[1])


def storage_is_current(session: Session) -> bool:
    """etcd raises the version of each member's storage by a timer, a few seconds after its start."""
    answers = session.json("endpoint", "status", "--endpoints", ",".join(session.endpoints))
    return {answer["Status"].get("storageVersion") for answer in answers} == {"3.7.0"}


SCRIPT: tuple[Callable[[Session], None], ...] = (leadership, keys, txns, watches, maintenance, leases)


def find_etcdctl(folder: Path, release: str) -> Path:
    """The client of a release; an older one stands in a folder of its version beside the current one's."""
    found = (folder if release == "current" else folder.parent / release) / "etcdctl"
    if not found.is_file():
        pytest.skip(f"no etcdctl {release} in {found.parent.name}/ beside {folder.name}/")
    return found


@pytest.mark.parametrize("release", ["current", "3.5.33"])
@pytest.mark.parametrize("size", [1, 3], ids=["one member", "three members"])
def test_etcdctl_shows_the_same(
    start_cluster: Callable[..., Any],
    ports: Callable[[int], list[int]],
    upstream_folder: Path,
    tmp_path: Path,
    wait_until: Callable[[Callable[[], bool], float, str], None],
    size: int,
    release: str,
) -> None:
    etcdctl = find_etcdctl(upstream_folder, release)
    chosen = ports(2 * size)
    sessions = []
    for kind in ("upstream", "reference"):
        cluster = start_cluster(kind, chosen)
        folder = tmp_path / f"{kind}-work"
        folder.mkdir()
        current = Session(upstream_folder / "etcdctl", cluster.endpoints, folder)
        wait_until(partial(storage_is_current, current), 30, "every member's storage at the current version")
        session = Session(etcdctl, cluster.endpoints, folder)
        for part in SCRIPT:
            part(session)
        sessions.append(session)
        cluster.stop()
    theirs, ours = sessions
    assert len(theirs.shown) > 100
    different = [
        f"{command}\n  upstream:  {their}\n  reference: {our}"
        for (command, *their), (_, *our) in zip(theirs.shown, ours.shown, strict=True)
        if their != our
    ]
    assert not different, f"{len(different)} of {len(theirs.shown)} differ\n" + "\n".join(different)
