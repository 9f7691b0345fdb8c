"""The lessor: what is granted, how long it lives, and what survives a change of leader."""

from __future__ import annotations

import itertools
import math
import random
import time
from collections.abc import Callable
from typing import Any

import pytest
from gauntlet.api import errors
from gauntlet.api.errors import RpcError
from gauntlet.api.messages import leasepb
from gauntlet.reference import backend as buckets
from gauntlet.reference.backend import MemoryBackend
from gauntlet.reference.lease import (
    FOREVER,
    MAX_TTL,
    Lessor,
    RevokePendingError,
    choose_id,
    min_ttl,
)

ELECTION = 1.0


@pytest.fixture
def backend() -> MemoryBackend:
    return MemoryBackend()


@pytest.fixture
def lessor(backend: MemoryBackend) -> Lessor:
    """A primary since time 0, with nothing to extend."""
    lessor = Lessor(backend, 2)
    lessor.promote(0.0, 0.0)
    return lessor


@pytest.mark.parametrize(
    ("election_ticks", "heartbeat", "seconds"), [(10, 0.1, 2), (10, 0.5, 8), (5, 0.1, 1), (100, 0.1, 15)]
)
def test_shortest_ttl(election_ticks: int, heartbeat: float, seconds: int) -> None:
    assert min_ttl(election_ticks, heartbeat) == seconds


def test_chosen_ids_are_positive_and_never_0() -> None:
    answers = iter([0, 1 << 63, (1 << 64) - 1])
    assert choose_id(lambda: next(answers)) == (1 << 63) - 1


@pytest.mark.parametrize(
    ("asked", "granted"), [(-5, 2), (0, 2), (1, 2), (2, 2), (60, 60), (MAX_TTL, MAX_TTL)]
)
def test_granted_ttl(lessor: Lessor, asked: int, granted: int) -> None:
    assert lessor.grant(7, asked, 0.0).ttl == granted
    assert lessor.remaining(7, 1.0) == granted - 1


NOT_FOUND = errors.LEASE_NOT_FOUND
REFUSALS: list[tuple[str, Callable[[Lessor], Any], RpcError]] = [
    ("grant 0", lambda lessor: lessor.grant(0, 10, 0.0), NOT_FOUND),
    ("grant twice", lambda lessor: lessor.grant(1, 10, 0.0), errors.LEASE_EXIST),
    ("grant too long", lambda lessor: lessor.grant(2, MAX_TTL + 1, 0.0), errors.LEASE_TTL_TOO_LARGE),
    ("revoke", lambda lessor: lessor.revoke(9), NOT_FOUND),
    ("renew", lambda lessor: lessor.renew(9, 0.0), NOT_FOUND),
    ("attach", lambda lessor: lessor.attach(9, b"k"), NOT_FOUND),
    ("detach", lambda lessor: lessor.detach(9, b"k"), NOT_FOUND),
    ("remaining", lambda lessor: lessor.remaining(9, 0.0), NOT_FOUND),
    ("time to live", lambda lessor: lessor.time_to_live(9, 0.0), NOT_FOUND),
]


@pytest.mark.parametrize(("what", "call", "error"), REFUSALS, ids=[row[0] for row in REFUSALS])
def test_refusals(lessor: Lessor, what: str, call: Callable[[Lessor], Any], error: RpcError) -> None:
    lessor.grant(1, 10, 0.0)
    with pytest.raises(RpcError) as caught:
        call(lessor)
    assert caught.value == error
    assert caught.value is not error, "a raised constant would collect tracebacks"
    assert lessor.leases() == [1]


def test_keys_follow_their_lease(lessor: Lessor) -> None:
    lessor.grant(1, 10, 0.0)
    lessor.grant(2, 20, 0.0)
    for key in (b"c", b"a", b"b", b"a"):
        lessor.attach(1, key)
    lessor.attach(2, b"z")
    assert lessor.lease_of(b"a") == 1
    assert lessor.lease_of(b"nothing") == 0
    lessor.detach(1, b"b")
    assert lessor.lease_of(b"b") == 0
    assert lessor.time_to_live(1, 0.5, keys=True) == (9, 10, [b"a", b"c"])
    assert lessor.time_to_live(1, 0.5) == (9, 10, [])
    assert lessor.revoke(1) == [b"a", b"c"]
    assert lessor.lease_of(b"a") == 0
    assert lessor.lease_of(b"z") == 2
    assert lessor.lookup(1) is None
    assert lessor.leases() == [2]


def test_leases_are_listed_by_expiry(lessor: Lessor) -> None:
    for lease_id, ttl in ((5, 30), (6, 10), (7, 20)):
        lessor.grant(lease_id, ttl, 0.0)
    assert lessor.leases() == [6, 7, 5]
    lessor.renew(6, 9.0)
    assert lessor.leases() == [6, 7, 5]
    lessor.renew(6, 15.0)
    assert lessor.leases() == [7, 6, 5]


# ---- expiry


def test_expired_in_order_and_limited(lessor: Lessor) -> None:
    for lease_id, ttl in ((1, 30), (2, 10), (3, 20), (4, 10)):
        lessor.grant(lease_id, ttl, 0.0)
    assert lessor.expired(9.999) == []
    assert lessor.expired(25.0, 2) == [2, 4]
    assert lessor.expired(25.0) == [3]
    assert lessor.expired(25.0) == []
    # Nothing was revoked: those named at 25 are named again after the retry interval, then the new one.
    assert lessor.expired(30.0) == [2, 3, 4, 1]


def test_renewing_puts_off(lessor: Lessor) -> None:
    lessor.grant(1, 10, 0.0)
    for now in (5.0, 9.0, 18.0):
        assert lessor.renew(1, now) == 10
        assert lessor.expired(now + 0.5) == []
    assert lessor.expired(27.9) == []
    assert lessor.expired(28.0) == [1]


def test_one_that_is_not_revoked_is_named_again(lessor: Lessor) -> None:
    lessor.grant(1, 10, 0.0)
    assert lessor.expired(10.0) == [1]
    assert lessor.expired(12.9) == []
    assert lessor.expired(13.0) == [1]
    lessor.revoke(1)
    assert lessor.expired(99.0) == []


def test_an_id_used_again_has_its_own_time(lessor: Lessor) -> None:
    lessor.grant(1, 10, 0.0)
    lessor.revoke(1)
    lessor.grant(1, 30, 5.0)
    assert lessor.expired(20.0) == []
    lessor.revoke(1)
    lessor.grant(1, 2, 20.0)
    assert lessor.expired(22.0) == [1]
    assert lessor.expired(34.0) == [1]
    assert lessor.expired(35.5) == [], "the earlier lease would have run out at 35"


def test_a_run_out_lease_is_neither_renewed_nor_called_gone(lessor: Lessor) -> None:
    lessor.grant(1, 10, 0.0)
    lessor.grant(2, 10, 0.0)
    heard: list[tuple[int, RpcError]] = []
    for lease_id in (1, 2):
        with pytest.raises(RevokePendingError):
            lessor.renew(lease_id, 10.0)
        lessor.when_revoked(lease_id, lambda error, lease_id=lease_id: heard.append((lease_id, error)))
    assert heard == []
    lessor.revoke(1)
    assert heard == [(1, errors.LEASE_NOT_FOUND)]
    lessor.demote()
    assert heard[1:] == [(2, errors.NOT_LEADER)]
    lessor.when_revoked(1, lambda error: heard.append((3, error)))
    lessor.when_revoked(2, lambda error: heard.append((4, error)))
    assert heard[2:] == [(3, errors.LEASE_NOT_FOUND), (4, errors.NOT_LEADER)]
    lessor.promote(100.0, ELECTION)
    assert lessor.renew(2, 100.0) == 10


def test_only_the_primary_counts_time(backend: MemoryBackend) -> None:
    lessor = Lessor(backend, 2)
    assert not lessor.is_primary
    lease = lessor.grant(1, 10, 0.0)
    assert lease.demoted
    assert lessor.expired(1e9) == []
    assert lessor.remaining(1, 5.0) == FOREVER
    with pytest.raises(RpcError) as caught:
        lessor.renew(1, 1.0)
    assert caught.value == errors.NOT_LEADER
    with pytest.raises(RpcError) as caught:
        lessor.time_to_live(1, 1.0)
    assert caught.value == errors.LEADER_CHANGED


def test_a_new_primary_gives_everybody_the_whole_time_and_more(backend: MemoryBackend) -> None:
    lessor = Lessor(backend, 2)
    lessor.grant(1, 10, 0.0)
    lessor.promote(100.0, ELECTION)
    assert lessor.remaining(1, 100.0) == 11
    assert lessor.expired(110.9) == []
    lessor.demote()
    assert lessor.expired(1e9) == []
    lessor.promote(200.0, ELECTION)
    assert lessor.expired(210.9) == []
    assert lessor.expired(211.0) == [1]


def test_a_primary_twice_has_one_place_for_each(lessor: Lessor) -> None:
    lessor.grant(1, 10, 0.0)
    lessor.promote(5.0, ELECTION)
    assert lessor.expired(15.9) == []
    assert lessor.expired(16.0) == [1]
    assert lessor.expired(16.0) == []


@pytest.mark.parametrize("ttls", [[60], [60, 60, 61], list(range(30, 90))])
def test_many_leases_do_not_run_out_together(backend: MemoryBackend, ttls: list[int]) -> None:
    """With a revoke rate of 100 a second at most 75 new ones may come due in a second."""
    lessor = Lessor(backend, 2, revoke_rate=100)
    choose = random.Random("ttls")
    wanted = {lease_id: choose.choice(ttls) for lease_id in range(1, 1001)}
    for lease_id, ttl in wanted.items():
        lessor.grant(lease_id, ttl, 0.0)
    lessor.promote(0.0, ELECTION)
    expiries = sorted(lessor.remaining(lease_id, 0.0) for lease_id in wanted)
    for lease_id, ttl in wanted.items():
        assert lessor.remaining(lease_id, 0.0) >= ttl + ELECTION
    if len(ttls) == 1:
        assert max(expiries) - min(expiries) == pytest.approx(1000 / 75)
    # A window of one second may start anywhere.
    for start in range(math.floor(expiries[0]), math.ceil(expiries[-1])):
        assert sum(start <= expiry < start + 1 for expiry in expiries) <= 2 * 75 + 1


def test_few_leases_are_not_spread(backend: MemoryBackend) -> None:
    lessor = Lessor(backend, 2, revoke_rate=100)
    for lease_id in range(1, 100):
        lessor.grant(lease_id, 60, 0.0)
    lessor.promote(0.0, ELECTION)
    assert {lessor.remaining(lease_id, 0.0) for lease_id in range(1, 100)} == {61.0}


# ---- checkpoints


def test_checkpoints_carry_the_remaining_time_over(backend: MemoryBackend) -> None:
    lessor = Lessor(backend, 2, checkpoints=True)
    lessor.promote(0.0, 0.0)
    lessor.grant(1, 1000, 0.0)
    lessor.grant(2, 200, 0.0)  # too short to be worth it
    assert lessor.due_checkpoints(299.0) == []
    assert lessor.due_checkpoints(300.0) == [(1, 700)]
    assert lessor.due_checkpoints(300.0) == []
    lessor.checkpoint(1, 700, 300.0)
    assert lessor.due_checkpoints(600.5) == [(1, 400)]
    lessor.checkpoint(1, 400, 600.5)
    assert lessor.needs_clearing(1, 600.5)
    assert not lessor.needs_clearing(1, 1001.0)  # it has run out

    other = Lessor(backend, 2, checkpoints=True)
    other.promote(5000.0, ELECTION)
    assert other.remaining(1, 5000.0) == 401
    other.checkpoint(1, 0, 5001.0)
    assert not other.needs_clearing(1, 5001.0)
    assert other.renew(1, 5001.0) == 1000
    assert other.remaining(1, 5001.0) == 1000


def test_checkpoints_come_in_batches(backend: MemoryBackend) -> None:
    lessor = Lessor(backend, 2, checkpoints=True)
    lessor.promote(0.0, 0.0)
    for lease_id in range(1, 11):
        lessor.grant(lease_id, 1000, 0.0)
    lessor.revoke(3)
    found = [lessor.due_checkpoints(300.0, 4) for _ in range(4)]
    assert [len(batch) for batch in found] == [4, 4, 1, 0]
    assert 3 not in {lease_id for batch in found for lease_id, _ in batch}


def test_without_the_feature_nothing_is_checkpointed(lessor: Lessor) -> None:
    lessor.grant(1, 1000, 0.0)
    assert lessor.due_checkpoints(900.0) == []
    lessor.checkpoint(99, 5, 0.0)  # of a lease that is gone
    assert lessor.leases() == [1]


@pytest.mark.parametrize("persist", [True, False])
def test_whether_a_checkpoint_is_stored(backend: MemoryBackend, persist: bool) -> None:
    lessor = Lessor(backend, 2)
    lessor.grant(1, 1000, 0.0)
    lessor.checkpoint(1, 321, 0.0, persist=persist)
    lessor = Lessor(backend, 2)
    lessor.promote(0.0, 0.0)
    assert lessor.remaining(1, 0.0) == (321 if persist else 1000)


# ---- storage


@pytest.mark.parametrize("lease_id", [1, 0x694D71D8DB5C8A01, (1 << 63) - 1, -1, -(1 << 63)])
def test_stored_as_etcd_does(backend: MemoryBackend, lease_id: int) -> None:
    lessor = Lessor(backend, 2)
    lessor.grant(lease_id, 60, 0.0)
    stored = backend.range(buckets.LEASE, b"", b"")
    assert stored == [
        (lease_id.to_bytes(8, "big", signed=True), leasepb.Lease(ID=lease_id, TTL=60).SerializeToString())
    ]
    assert Lessor(backend, 2).leases() == [lease_id]
    lessor.revoke(lease_id)
    assert backend.range(buckets.LEASE, b"", b"") == []


def test_recovery_forgets_what_was_there(lessor: Lessor) -> None:
    lessor.grant(1, 10, 0.0)
    lessor.attach(1, b"k")
    image = MemoryBackend()
    Lessor(image, 2).grant(5, 1, 0.0)
    image.put(buckets.LEASE, (6).to_bytes(8, "big"), leasepb.Lease(ID=6, TTL=1).SerializeToString())
    lessor.recover(image)
    assert sorted(lessor.leases()) == [5, 6]
    assert lessor.lease_of(b"k") == 0
    assert not lessor.is_primary
    found = lessor.lookup(6)
    assert found is not None
    assert found.ttl == 2, "the minimum holds for stored leases too"


def test_members_agree_whatever_their_clocks_say() -> None:
    """The same entries applied at different times leave the same state behind."""
    results = []
    for clock in (itertools.count(0), itertools.count(1000, 7)):
        backend = MemoryBackend()
        lessor = Lessor(backend, 2)
        choose = random.Random("entries")
        deleted: list[Any] = []
        for number in range(300):
            now = float(next(clock))
            if number == 100:
                lessor.promote(now, ELECTION)
            lease_id = choose.randrange(1, 30)
            action = choose.choice(["grant", "revoke", "attach", "attach", "checkpoint"])
            try:
                if action == "grant":
                    lessor.grant(lease_id, choose.randrange(1, 100), now)
                elif action == "revoke":
                    deleted.append(lessor.revoke(lease_id))
                elif action == "attach":
                    lessor.attach(lease_id, b"%d" % choose.randrange(50))
                else:
                    lessor.checkpoint(lease_id, choose.randrange(50), now)
            except RpcError as error:
                deleted.append(error)
        results.append((deleted, backend.range(buckets.LEASE, b"", b""), sorted(lessor.leases())))
    assert results[0] == results[1]


@pytest.mark.slow
def test_a_hundred_thousand_leases() -> None:
    """Generous limits: they catch a cost that grows with the number of leases, not a slow machine."""
    count = 100_000
    lessor = Lessor(MemoryBackend(), 2)
    for lease_id in range(1, count + 1):
        lessor.grant(lease_id, 60, 0.0)
    lessor.promote(0.0, ELECTION)
    begin = time.perf_counter()
    for lease_id in range(1, count + 1):
        lessor.renew(lease_id, 30.0)
    assert time.perf_counter() - begin < 2.0
    revoked = 0
    now = 30.0
    begin = time.perf_counter()
    while revoked < count:
        now += 0.5
        for lease_id in lessor.expired(now):
            lessor.revoke(lease_id)
            revoked += 1
    assert time.perf_counter() - begin < 10.0
    assert now == pytest.approx(90 + count / 1000, abs=1.0)
