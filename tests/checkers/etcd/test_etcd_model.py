"""The model and the replaying verifier against the node's own store: every answer accepted, every altered one
refused."""

from __future__ import annotations

import random
from typing import Any

import pytest
from gauntlet.api.errors import RpcError
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.checkers.etcd import calls as c
from gauntlet.checkers.etcd.model import Etcd
from gauntlet.checkers.etcd.replay import certify
from gauntlet.checkers.etcd.store import State, apply
from gauntlet.checkers.etcd.tree import Tree
from gauntlet.reference.apply import StateMachine
from gauntlet.reference.backend import MemoryBackend
from gauntlet.reference.mvcc import operations
from porcupine.history import Operation
from porcupine.model import Rejected


class Node:
    """What the node would answer, one call after the other."""

    def __init__(self, wire: Any) -> None:
        self.wire = wire
        self.machine = StateMachine(MemoryBackend(), cluster_id=1, min_lease_ttl=10, quota_bytes=1 << 40)
        self.index = 0

    def run(self, call: c.Call) -> c.Answer:
        request = self.wire.request(call)
        try:
            match call:
                case c.Range():
                    operations.check_range(request)
                    response = operations.range_keys(self.machine.store, request)
                    return self._answer(call, response)
                case c.Put():
                    operations.check_put(request)
                case c.Delete():
                    operations.check_delete(request)
                case c.Txn():
                    operations.check_txn(request)
        except RpcError as error:
            return c.Refused(error.message)
        names: dict[type, str] = {
            c.Put: "put",
            c.Delete: "delete_range",
            c.Txn: "txn",
            c.Grant: "lease_grant",
            c.Revoke: "lease_revoke",
            c.Compact: "compaction",
        }
        name = names[type(call)]
        self.index += 1
        fields: dict[str, Any] = {name: request}
        applied = self.machine.apply(self.index, 1, pb.InternalRaftRequest(**fields), 0.0)
        if applied.error is not None:
            return c.Refused(applied.error.message)
        return self._answer(call, applied.response)

    def _answer(self, call: c.Call, response: Any) -> c.Answer:
        leased = isinstance(call, (c.Grant, c.Revoke, c.Compact))
        revision = self.machine.store.current_revision if leased else None
        answer: c.Answer = self.wire.answer(call, response, revision)
        return answer


def crashes(call: c.Call) -> bool:
    """A put that keeps the value, in a txn that also deletes from a key on: etcd itself goes down there."""
    if not isinstance(call, c.Txn):
        return False
    text = repr(call)
    return "ignore_" in text and "=True" in text and "Delete(" in text


@pytest.mark.parametrize(
    "seed", [*range(6), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(6, 60))]
)
def test_answers_of_the_node_are_accepted_and_altered_ones_refused(
    seed: int, wire: Any, random_calls: Any, mutated: Any, sequential: Any
) -> None:
    rng = random.Random(f"{seed}:model")
    node, chooser, model = Node(wire), random_calls(rng), Etcd()
    state = model.init()
    pairs: list[tuple[c.Call, c.Answer]] = []
    for _ in range(100):
        chooser.revision = state.revision
        call = chooser.next()
        if crashes(call):
            continue
        answer = node.run(call)
        altered = mutated(rng, answer)
        if altered is not None:
            step = model.step(state, Operation(0, call, 0, 1, response=altered))
            assert isinstance(step, Rejected), f"seed {seed}: {call} accepted with {altered} for {answer}"
            flaw = certify(history := sequential([*pairs, (call, altered)]), history)
            assert flaw is not None, f"seed {seed}: {call} {altered}"
            assert flaw.place == len(pairs)
        following = model.step(state, Operation(0, call, 0, 1, response=answer))
        assert not isinstance(following, Rejected), f"seed {seed}: {call} -> {answer}: {following}"
        state = following
        pairs.append((call, answer))
    assert state.revision == node.machine.store.current_revision
    history = sequential(pairs)
    assert certify(history, history) is None


def test_equal_states_are_equal_whatever_led_there() -> None:
    calls: list[c.Call] = [c.Grant(1, 60), c.Put(b"a", b"1", 1), c.Put(b"b", b"2"), c.Delete(b"a")]
    one = other = State()
    for call in calls:
        one, _ = apply(one, call)
    for call in [*calls[:3], c.Range(b"a"), calls[3]]:
        other, _ = apply(other, call)
    assert one == other
    assert hash(one) == hash(other)
    changed, _ = apply(other, c.Put(b"b", b"3"))
    assert changed != one


def test_a_tree_is_a_sorted_map_that_keeps_its_past() -> None:
    rng = random.Random("tree")
    tree: Tree[int] = Tree()
    versions: list[tuple[Tree[int], dict[bytes, int]]] = []
    known: dict[bytes, int] = {}
    for number in range(400):
        key = b"%d" % rng.randrange(60)
        if rng.random() < 0.7:
            tree, known = tree.put(key, number), {**known, key: number}
        else:
            tree, known = tree.remove(key), {each: held for each, held in known.items() if each != key}
        versions.append((tree, known))
    for then, content in versions:
        assert list(then.range(b"")) == sorted(content.items())
        assert list(then.range(b"2", b"5")) == [
            pair for pair in sorted(content.items()) if b"2" <= pair[0] < b"5"
        ]
        assert len(then) == len(content)
        rebuilt: Tree[int] = Tree()
        for key in rng.sample(sorted(content), len(content)):
            rebuilt = rebuilt.put(key, content[key])
        assert rebuilt == then
        assert hash(rebuilt) == hash(then)


def test_past_revisions_are_read_and_compacted() -> None:
    model = Etcd()
    state = model.init()
    for value in (b"1", b"2", b"3"):
        state, _ = apply(state, c.Put(b"a", value))
    _, answer = apply(state, c.Range(b"a", revision=3))
    assert isinstance(answer, c.RangeAnswer)
    assert answer.kvs is not None
    assert answer.kvs[0].value == b"2"
    assert answer.revision == 4
    state, _ = apply(state, c.Compact(3))
    assert apply(state, c.Range(b"a", revision=2))[1] == c.COMPACTED
    assert apply(state, c.Range(b"a", revision=5))[1] == c.FUTURE_REVISION
    assert apply(state, c.Compact(3))[1] == c.COMPACTED
