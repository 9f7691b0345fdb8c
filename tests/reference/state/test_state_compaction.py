"""A compaction through the log: what it leaves to later steps, and what not."""

from __future__ import annotations

import pytest
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.reference.apply import Image, StateMachine
from gauntlet.reference.backend import CorruptDumpError, MemoryBackend


def machine_with(puts: int, batch: int) -> StateMachine:
    machine = StateMachine(
        MemoryBackend(), cluster_id=7, min_lease_ttl=2, quota_bytes=1 << 30, compaction_batch=batch
    )
    for number in range(puts):
        put = pb.PutRequest(key=b"k%d" % (number % 3), value=b"v")
        machine.apply(number + 1, 1, pb.InternalRaftRequest(put=put), 0.0)
    return machine


def compact(machine: StateMachine, revision: int) -> None:
    request = pb.InternalRaftRequest(compaction=pb.CompactionRequest(revision=revision))
    applied = machine.apply(machine.applied_index + 1, 1, request, 0.0)
    assert applied.error is None


def test_a_small_compaction_is_over_when_it_is_answered() -> None:
    machine = machine_with(10, batch=1000)
    compact(machine, 5)
    assert not machine.store.compactions
    compact(machine, 7)
    # So the second knows every change since the first, and its hash is kept.
    result = machine.store.hash_kv(7)
    assert (result.compact_revision, result.hash_revision) == (5, 7)


@pytest.mark.parametrize("batch", [1, 2, 3, 4, 7])
def test_a_large_one_goes_on_in_steps(batch: int) -> None:
    machine, at_once = machine_with(40, batch), machine_with(40, batch=1000)
    compact(machine, 30)
    compact(at_once, 30)
    assert machine.store.compactions
    steps = 0
    while machine.store.compactions:
        machine.compact_some()
        steps += 1
    assert steps >= 30 // batch
    assert machine.store.hash_kv(30).hash == at_once.store.hash_kv(30).hash
    assert machine.backend.size() == at_once.backend.size()


def test_an_image_is_taken_over_with_its_compaction_under_way() -> None:
    """Whoever gets the data of a snapshot goes on where the sender was, in its own store."""
    sender, at_once, taker = machine_with(40, batch=5), machine_with(40, batch=1000), machine_with(7, batch=5)
    compact(taker, 6)
    (given_up,) = taker.store.compactions
    compact(sender, 30)
    compact(at_once, 30)
    store, backend = taker.store, taker.backend
    taker.adopt(Image.of(b"".join(sender.freeze().chunks())))
    assert (taker.store, taker.backend) == (store, backend)
    assert given_up.done
    assert taker.applied_index == sender.applied_index
    while taker.store.compactions:
        taker.compact_some()
    assert taker.store.hash_kv(0).hash == at_once.store.hash_kv(0).hash
    assert taker.backend.size() == at_once.backend.size()


def test_a_damaged_image_is_refused_before_it_is_taken_over() -> None:
    data = bytearray(b"".join(machine_with(5, batch=5).freeze().chunks()))
    data[len(data) // 2] ^= 1
    with pytest.raises(CorruptDumpError):
        Image.of(bytes(data))
