"""What a member does by itself: compaction, corruption checks, log files. Rules first."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from gauntlet.reference.membership import Member
from gauntlet.reference.mvcc.hashing import KeyValueHash
from gauntlet.reference.mvcc.store import HashResult
from gauntlet.reference.server.compactors import ByRevision, Compactor, Periodic
from gauntlet.reference.server.corruption import differs_at_start, judge_compaction, judge_present
from gauntlet.reference.server.hashes import PeerHash
from gauntlet.reference.server.log import Logger
from gauntlet.reference.server.settings import LogRotation

HOUR = 3600.0


def run(compactor: Compactor, hours: float, revision: Callable[[float], int]) -> list[tuple[float, int]]:
    """(hour, revision) of each compaction when the store is at `revision(hour)`."""
    done, now = [], 0.0
    while now <= hours * HOUR:
        at = compactor.due(now, revision(now / HOUR), True)
        if at is not None:
            compactor.compacted(now, at)
            done.append((round(now / HOUR, 3), at))
        now += compactor.interval
    return done


@pytest.mark.parametrize(
    ("period", "expected"),
    [
        (0.5, [(0.5, 1), (1.0, 451), (1.5, 951), (2.0, 1451)]),
        (1.0, [(1.0, 1), (2.0, 901)]),
        (3.0, [(3.0, 1), (4.0, 901), (5.0, 1901)]),
    ],
)
def test_periodic_keeps_a_period_and_the_time_between_two_notes(
    period: float, expected: list[tuple[float, int]]
) -> None:
    compactor = Periodic(period * HOUR, 0.0)
    assert (
        run(compactor, max(2.0, period + 2), lambda hour: 1 + round(hour * 1000))[: len(expected)] == expected
    )


def test_periodic_waits_for_changes_and_leadership() -> None:
    assert run(Periodic(HOUR, 0.0), 5, lambda hour: 7) == [(1.0, 7)]
    compactor = Periodic(HOUR, 0.0)
    for step in range(20):
        assert compactor.due(step * 360.0, step, False) is None
    # The notes went on: the first compaction as a leader is at the revision of an hour ago.
    assert compactor.due(20 * 360.0, 20, True) == 9


def test_periodic_tries_again_after_a_failure() -> None:
    compactor = Periodic(HOUR, 0.0)
    asked = [compactor.due(step * 360.0, step + 1, True) for step in range(13)]
    assert asked == [None] * 10 + [1, 1, 2]


def test_by_revision() -> None:
    compactor = ByRevision(100)
    assert compactor.interval == 300
    assert compactor.due(0, 100, True) is None
    assert compactor.due(300, 150, False) is None
    assert compactor.due(300, 150, True) == 50
    compactor.compacted(300, 50)
    assert compactor.due(600, 150, True) is None


def peer(member_id: int, revision: int = 9, hash_: int = 1, compacted: int = 2, **more: Any) -> PeerHash:
    return PeerHash(Member(member_id, ["http://p"]), revision, hash_, compacted, **more)


def own(hash_: int = 1, current: int = 9, compacted: int = 2) -> HashResult:
    return HashResult(hash_, current, compacted, 9)


def test_at_start_only_like_is_compared() -> None:
    differing = peer(3, hash_=5)
    assert differs_at_start(own(), [peer(2), differing, peer(4, hash_=5, compacted=1)]) == [differing]
    assert differs_at_start(own(), [peer(2, hash_=5, reached=False)]) == []


@pytest.mark.parametrize(
    ("after", "peers", "corrupt"),
    [
        (own(), [peer(2), peer(3)], None),
        (own(), [peer(2), peer(3, hash_=5)], 3),
        (own(), [peer(2, hash_=5, compacted=1), peer(3, reached=False)], None),
        (own(), [peer(2, revision=10)], 2),
        (own(current=10), [peer(2, revision=10)], None),
        (own(), [peer(2, compacted=3)], 2),
        (own(hash_=8), [peer(2, hash_=5)], 1),
    ],
)
def test_who_is_corrupt_now(after: HashResult, peers: list[PeerHash], corrupt: int | None) -> None:
    found = judge_present(1, own(), after, peers)
    assert (None if found is None else found[0]) == corrupt


@pytest.mark.parametrize(
    ("peers", "settled", "corrupt"),
    [
        ([peer(2), peer(3)], True, ()),
        ([peer(2), peer(3, hash_=5)], True, (3,)),
        ([peer(2, hash_=5), peer(3, hash_=5)], True, (1,)),
        ([peer(2, hash_=5), peer(3, hash_=6)], True, (0,)),
        ([peer(2), peer(3, reached=False)], False, ()),
        ([peer(2), peer(3, compacted=1)], False, ()),
        ([peer(2, hash_=5), peer(3, reached=False)], True, (0,)),
    ],
)
def test_who_is_corrupt_by_compaction(peers: list[PeerHash], settled: bool, corrupt: tuple[int, ...]) -> None:
    verdict = judge_compaction(1, KeyValueHash(1, 2, 9), peers)
    assert (verdict.settled, verdict.corrupt) == (settled, corrupt)
    assert verdict.agreed == (settled and not corrupt)


def test_a_full_log_file_is_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "etcd.log"
    rotation = LogRotation(max_size=1, max_backups=2, compress=True)
    log = Logger("info", (str(path),), "json", rotation)
    for number in range(50):
        log.info("x" * 100_000, number=number)
    backups = sorted(tmp_path.glob("etcd-*.log.gz"))
    assert len(backups) == 2
    assert path.stat().st_size < 1024 * 1024
    assert json.loads(path.read_text().splitlines()[-1])["number"] == 49
    log.close()


# Running members.


def call(endpoint: str, path: str, body: object) -> Any:
    with closing(http.client.HTTPConnection(endpoint, timeout=10)) as connection:
        connection.request("POST", f"/v3/{path}", json.dumps(body))
        with connection.getresponse() as answer:
            return json.loads(answer.read())


def compacted(endpoint: str) -> bool:
    return bool(call(endpoint, "kv/range", {"key": "YQ==", "revision": "2"}).get("code"))


def alarms(endpoint: str) -> list[Any]:
    return list(call(endpoint, "maintenance/alarm", {}).get("alarms", []))


@pytest.mark.slow
def test_a_member_compacts_by_itself(
    start_cluster: Callable[..., Any], ports: Callable[[int], list[int]], wait_until: Callable[..., None]
) -> None:
    endpoint = start_cluster("reference", ports(2), "--auto-compaction-retention", "1s").endpoints[0]
    for _ in range(3):
        call(endpoint, "kv/put", {"key": "YQ=="})
    wait_until(partial(compacted, endpoint), 10.0, "the compaction")
    assert call(endpoint, "kv/range", {"key": "YQ=="})["kvs"][0]["mod_revision"] == "4"


CHANGED = """
from gauntlet.reference.mvcc.store import WriteTxn

put = WriteTxn.put

def other(self, key, value, lease=0):
    return put(self, key, b"other" if value == b"second" else value, lease)

WriteTxn.put = other
"""


@pytest.mark.slow
@pytest.mark.parametrize("changed", [False, True], ids=["healthy", "changed"])
@pytest.mark.parametrize("how", ["present", "compaction"])
def test_a_member_that_stores_something_else_is_found(
    launch: Callable[..., Any],
    ports: Callable[[int], list[int]],
    wait_until: Callable[..., None],
    tmp_path: Path,
    how: str,
    changed: bool,
) -> None:
    """One of three members runs a store that puts another value; the control runs like the others."""
    (tmp_path / "changed").mkdir()
    (tmp_path / "changed" / "sitecustomize.py").write_text(CHANGED)
    check = ("--corrupt-check-time", "500ms")
    if how == "compaction":
        check = ("--feature-gates", "CompactHashCheck=true", "--compact-hash-check-time", "500ms")
    numbers = ports(6)
    urls = {name: (numbers[at], numbers[at + 3]) for at, name in enumerate("abc")}
    founders = ",".join(f"{name}=http://127.0.0.1:{peer_port}" for name, (_, peer_port) in urls.items())

    def start(name: str, *more: str) -> Any:
        clients, peers = (f"http://127.0.0.1:{port}" for port in urls[name])
        different = changed and name == "c"
        return launch(
            *("--name", name, "--data-dir", str(tmp_path / name), "--unsafe-no-fsync"),
            *("--initial-cluster", founders, *more),
            *("--listen-client-urls", clients, "--advertise-client-urls", clients),
            *("--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers),
            environment={"PYTHONPATH": str(tmp_path / "changed")} if different else {},
        )

    members = [start(name, *check) for name in urls]
    for member in members:
        member.wait_for("ready to serve client requests")
    endpoint = f"127.0.0.1:{numbers[0]}"
    ids = {each["name"]: each["ID"] for each in call(endpoint, "cluster/member/list", {})["members"]}
    done = "finished peer corruption check" if how == "present" else "successfully checked hash on whole"
    for value in ("Zmlyc3Q=", "c2Vjb25k", "bGFzdA=="):
        call(endpoint, "kv/put", {"key": value, "value": value})
    if how == "compaction":
        call(endpoint, "kv/compaction", {"revision": "3"})
    if not changed:
        checks = sum(member.log.count(done) for member in members)
        wait_until(lambda: sum(m.log.count(done) for m in members) > checks, 20.0, "a check that passed")
        assert alarms(endpoint) == []
        return
    wait_until(lambda: bool(alarms(endpoint)), 20.0, "an alarm")
    (alarm, *_) = alarms(endpoint)
    assert alarm["alarm"] == "CORRUPT"
    # The leader trusts itself in the first check; in the second the majority decides.
    assert how == "present" or alarm["memberID"] == ids["c"]
    assert call(endpoint, "kv/put", {"key": "Yg=="})["message"] == "etcdserver: corrupt cluster"
    assert members[2].stop() == 0
    again = start("c", "--feature-gates", "InitialCorruptCheck=true")
    assert again.process.wait(30) != 0
    assert "found data inconsistency with peers" in again.log
