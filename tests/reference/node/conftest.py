"""Nodes in one process: time moves by ticks, messages travel in lists, disks are dictionaries."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.reference import membership
from gauntlet.reference.apply import Applied, StateMachine
from gauntlet.reference.backend import MemoryBackend
from gauntlet.reference.formats import raftpb
from gauntlet.reference.node import Node
from gauntlet.reference.node_parts import NodeConfig
from gauntlet.reference.raft.config import Config
from gauntlet.reference.raft.rawnode import RawNode
from gauntlet.reference.raft.storage import MemoryStorage
from gauntlet.reference.raft.types import Entry, EntryType, HardState, Message, Snapshot
from gauntlet.reference.server.ids import RequestIds

TICK = 0.1


class FakePeers:
    def __init__(self) -> None:
        self.known: dict[int, list[str]] = {}

    def send(self, messages: Iterable[Message]) -> None:
        raise AssertionError("the node never sends by itself")

    def add_peer(self, member_id: int, urls: list[str]) -> None:
        self.known[member_id] = list(urls)

    def remove_peer(self, member_id: int) -> None:
        self.known.pop(member_id, None)

    def update_peer(self, member_id: int, urls: list[str]) -> None:
        self.known[member_id] = list(urls)

    def replace(self, urls_by_id: dict[int, list[str]]) -> None:
        self.known = dict(urls_by_id)

    def connected_since(self, member_id: int) -> float:
        return 0.0


class SimulatedMember:
    """A node and its disk. `crash` loses everything but what was synced. Options are the node's settings;
    `machine` those of its state machine."""

    def __init__(
        self, world: World, member_id: int, founders: list[membership.Member], **options: Any
    ) -> None:
        self.world = world
        self.id = member_id
        self.machine_options = options.pop("machine", {})
        self.options = options
        self.state = HardState(term=1, commit=len(founders))
        self.log = [
            Entry(
                term=1,
                index=index,
                type=EntryType.CONF_CHANGE,
                data=raftpb.encode_conf_change(membership.add_change(replace(member, name=""))),
            )
            for index, member in enumerate(founders, 1)
        ]
        self.snapshot: Snapshot | None = None
        self.start()

    def start(self) -> None:
        storage = MemoryStorage()
        machine = StateMachine(
            MemoryBackend(), cluster_id=7, min_lease_ttl=2, quota_bytes=1 << 30, **self.machine_options
        )
        if self.snapshot is not None:
            storage.apply_snapshot(replace(self.snapshot, data=b""))
            machine.load(self.snapshot.data)
        storage.set_hard_state(copy.copy(self.state))
        storage.append([copy.copy(entry) for entry in self.log])
        raft = RawNode(
            Config(
                id=self.id,
                election_tick=10,
                heartbeat_tick=1,
                storage=storage,
                random=lambda n: self.world.random(n),
                applied=self.snapshot.index if self.snapshot else 0,
                check_quorum=True,
                pre_vote=True,
            )
        )
        self.peers = FakePeers()
        self.node = Node(
            NodeConfig(member_id=self.id, cluster_id=7, **self.options),
            raft,
            storage,
            machine,
            self.peers,
            lambda: self.world.now,
            RequestIds(self.id, int(self.world.now * 1000) + 1),
            lambda: None,
        )

    def turn(self) -> bool:
        """One cycle with the write done at once. True when there was something to do."""
        effects = self.node.ready()
        if effects is None:
            return False
        self.world.post(effects.messages)
        if effects.snapshot is not None:
            self.snapshot = effects.snapshot
            self.log = []
        if effects.entries:
            first = effects.entries[0].index
            self.log = [entry for entry in self.log if entry.index < first] + list(effects.entries)
        if effects.hard_state is not None:
            self.state = copy.copy(effects.hard_state)
        self.world.post(self.node.persisted())
        outbox = self.node.outbox
        for message, frozen in outbox.snapshots_to_send:
            message.snapshot = Snapshot(
                frozen.index, frozen.term, frozen.conf_state, b"".join(frozen.chunks())
            )
            self.world.post([message])
        outbox.snapshots_to_send.clear()
        frozen, outbox.snapshot_to_save = outbox.snapshot_to_save, None
        if frozen is not None:
            self.snapshot = Snapshot(frozen.index, frozen.term, frozen.conf_state, b"".join(frozen.chunks()))
            self.log = [entry for entry in self.log if entry.index > frozen.index]
            self.node.snapshot_saved(frozen)
        return True


class World:
    def __init__(self, count: int, **options: Any) -> None:
        self.now = 1000.0
        self.mail: list[Message] = []
        self.down: set[int] = set()
        self._draw = 0
        founders = [
            membership.Member(100 + number, [f"http://127.0.0.1:{2000 + number}"])
            for number in range(1, count + 1)
        ]
        self.members = {
            founder.id: SimulatedMember(self, founder.id, founders, **options) for founder in founders
        }

    def random(self, n: int) -> int:
        self._draw = (self._draw * 1103515245 + 12345) % (1 << 31)
        return (self._draw >> 8) % n

    def post(self, messages: Iterable[Message]) -> None:
        self.mail.extend(messages)

    def settle(self) -> None:
        """Runs until nobody has anything to do."""
        while True:
            busy = False
            for member in self.members.values():
                if member.id not in self.down:
                    busy |= member.turn()
            mail, self.mail = self.mail, []
            for message in mail:
                if message.to in self.members and not {message.to, message.sender} & self.down:
                    self.members[message.to].node.step(copy.deepcopy(message))
                    busy = True
            if not busy:
                return

    def tick(self, count: int = 1) -> None:
        for _ in range(count):
            self.now += TICK
            for member in self.members.values():
                if member.id not in self.down:
                    member.node.tick()
                    member.node.compact_some()
            self.settle()

    def leader(self, limit: int = 100) -> SimulatedMember:
        """Lets time pass until somebody leads."""
        for _ in range(limit):
            for member in self.members.values():
                if (
                    member.id not in self.down
                    and member.node.is_leader
                    and member.node.raft.role.name == "LEADER"
                ):
                    return member
            self.tick()
        raise AssertionError("nobody became leader")

    def crash(self, member: SimulatedMember) -> None:
        self.down.add(member.id)

    def restart(self, member: SimulatedMember) -> None:
        member.start()
        self.down.discard(member.id)

    def ask(self, member: SimulatedMember, **request: Any) -> Applied:
        """Proposes on `member` and waits for the answer."""
        answers: list[Applied] = []
        member.node.propose(pb.InternalRaftRequest(**request), answers.append)
        self.settle()
        for _ in range(200):
            if answers:
                return answers[0]
            self.tick()
        raise AssertionError("no answer")

    def put(self, member: SimulatedMember, key: bytes, value: bytes) -> Applied:
        return self.ask(member, put=pb.PutRequest(key=key, value=value))

    def read(self, member: SimulatedMember, key: bytes) -> bytes | None:
        """A linearizable read of one key; AssertionError when it is refused."""
        results: list[Any] = []
        member.node.read(results.append)
        self.settle()
        for _ in range(200):
            if results:
                break
            self.tick()
        assert results == [None], results
        kvs = member.node.machine.store.range(key, b"").kvs
        return kvs[0].value if kvs else None


@pytest.fixture
def world() -> Callable[..., World]:
    return World
