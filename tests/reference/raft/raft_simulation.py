"""A cluster of cores on a network that loses, repeats and reorders, with crashes, under one seed.

Checked all the time (Raft paper, figure 3):
- election safety: at most one leader in a term;
- leader completeness: a new leader holds all that was committed in earlier terms;
- state machine safety: no two members apply different entries at one index, nor different snapshots;
- log matching (at intervals): two logs with the same term at an index are equal up to there;
- reads: a read index is never below what was committed anywhere when the read was asked for.
At the end the network heals, and a new proposal must reach every member of the configuration.

What is written with must_sync survives a crash; a hard state written without may be lost. Entries are
replayed from the last snapshot after a restart, as an etcd member does.

Loaded by conftest.py: there is no package to import it from.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, field, replace

from gauntlet.reference.raft.config import Config
from gauntlet.reference.raft.encoding import decode_conf_change_v2
from gauntlet.reference.raft.errors import ConfChangeRefused, InvariantBroken, ProposalDropped, RaftError
from gauntlet.reference.raft.rawnode import RawNode, Ready
from gauntlet.reference.raft.storage import MemoryStorage
from gauntlet.reference.raft.types import (
    LOCAL_APPEND_THREAD,
    LOCAL_APPLY_THREAD,
    NO_LIMIT,
    ConfChangeSingle,
    ConfChangeTransition,
    ConfChangeType,
    ConfChangeV2,
    ConfState,
    Entry,
    EntryType,
    HardState,
    Message,
    MessageType,
    Role,
    Snapshot,
)

FIRST = Snapshot(index=2, term=1, conf_state=ConfState(voters=[1, 2, 3]), data=b"start")


class Violation(Exception):
    """A safety property does not hold."""


@dataclass
class Peer:
    config: Config
    storage: MemoryStorage
    raw: RawNode
    written_state: HardState = field(default_factory=HardState)
    durable_state: HardState = field(default_factory=HardState)
    index: int = FIRST.index
    digest: bytes = FIRST.data
    conf_state: ConfState = field(default_factory=lambda: FIRST.conf_state)
    append_work: list[Message] = field(default_factory=list)
    apply_work: list[Message] = field(default_factory=list)
    reads: dict[bytes, int] = field(default_factory=dict)


class Simulation:
    def __init__(self, seed: int, members: int = 5) -> None:
        self.seed = seed
        self.rng = random.Random(f"{seed}:raft")
        self.options = self._draw_options()
        self.network: list[Message] = []
        self.cut: set[tuple[int, int]] = set()
        self.leaders: dict[int, int] = {}
        # index -> (term, type, data), the lowest term in which it was seen committed, digest after it
        self.committed: dict[int, tuple[tuple[int, EntryType, bytes], int, bytes]] = {}
        self.counter = 0
        self.served_reads = 0
        self.peers = {member: self._boot(member) for member in range(1, members + 1)}

    def _draw_options(self) -> dict[str, int | bool]:
        rng = self.rng
        return {
            "pre_vote": rng.random() < 0.5,
            "check_quorum": rng.random() < 0.5,
            "async_storage_writes": rng.random() < 0.3,
            "step_down_on_removal": rng.random() < 0.5,
            "max_size_per_msg": rng.choice([0, 40, NO_LIMIT]),
            "max_committed_size_per_ready": rng.choice([30, 100, NO_LIMIT]),
            "max_inflight_msgs": rng.choice([1, 3, 256]),
            "max_uncommitted_entries_size": rng.choice([0, 20]),
        }

    def _boot(self, member: int) -> Peer:
        storage = MemoryStorage()
        storage.apply_snapshot(FIRST)
        config = Config(
            id=member,
            election_tick=6,
            heartbeat_tick=2,
            storage=storage,
            random=self.rng.randrange,
            applied=FIRST.index,
        )
        for name, value in self.options.items():
            setattr(config, name, value)
        return Peer(config, storage, RawNode(config))

    # --- events ---

    def run(self, steps: int) -> None:
        """Chaos for `steps` events, then healing. Violation if anything is wrong."""
        rng = self.rng
        actions = [self._deliver, self._work, self._tick, self._propose, self._read, self._disturb]
        weights = [40, 30, 16, 6, 2, 3]
        try:
            for count, action in enumerate(rng.choices(actions, weights, k=steps)):
                action(rng.choice(self.order))
                if count % 100 == 99:
                    self.check_logs()
            self.heal()
        except InvariantBroken as error:
            raise Violation(f"the core gave up: {error}") from error

    @property
    def order(self) -> list[Peer]:
        return list(self.peers.values())

    def _deliver(self, _: Peer) -> None:
        for _ in range(min(len(self.network), self.rng.choice([1, 2, 4]))):
            self._deliver_one()

    def _deliver_one(self) -> None:
        rng = self.rng
        at = rng.randrange(min(len(self.network), 12)) if rng.random() < 0.5 else 0
        message = self.network.pop(at)
        fate = rng.random()
        if fate < 0.05:
            self._lost(message)
            return
        if fate > 0.95:
            self.network.append(replace(message))
        self._hand_over(message)

    def _lost(self, message: Message) -> None:
        sender = self.peers[message.sender].raw
        if message.type == MessageType.SNAP:
            sender.report_snapshot(message.to, ok=False)
        elif self.rng.random() < 0.3:
            sender.report_unreachable(message.to)

    def _hand_over(self, message: Message) -> None:
        if (message.sender, message.to) in self.cut:
            self._lost(message)
            return
        peer = self.peers[message.to]
        try:
            peer.raw.step(replace(message))
        except InvariantBroken:
            raise
        except RaftError:
            return
        finally:
            self.check_leader(peer)
            if message.type == MessageType.SNAP:
                # The transport knows that it arrived, not what became of it.
                self.peers[message.sender].raw.report_snapshot(message.to, ok=True)

    def _tick(self, peer: Peer) -> None:
        peer.raw.tick()

    def _propose(self, peer: Peer) -> None:
        self.counter += 1
        try:
            peer.raw.propose_entries([b"%d" % self.counter] * self.rng.choice([1, 1, 3]))
        except ProposalDropped:
            return

    def _read(self, peer: Peer) -> None:
        self.counter += 1
        context = b"read %d" % self.counter
        peer.reads[context] = max(each.raw.raft.raft_log.committed for each in self.order)
        peer.raw.read_index(context)

    def _disturb(self, peer: Peer) -> None:
        act = self.rng.choice(
            [self._crash, self._partition, self._partition, self._compact, self._reconfigure, self._transfer]
        )
        act(peer)

    def _partition(self, peer: Peer) -> None:
        if self.cut:
            self.cut = set()
            return
        alone = {peer.config.id, self.rng.choice(list(self.peers))}
        one_way = self.rng.random() < 0.3
        for a in alone:
            for b in self.peers:
                if b not in alone:
                    self.cut.add((a, b))
                    if not one_way:
                        self.cut.add((b, a))

    def _transfer(self, peer: Peer) -> None:
        peer.raw.transfer_leader(self.rng.choice(list(self.peers)))

    def _reconfigure(self, peer: Peer) -> None:
        rng = self.rng
        kinds = [ConfChangeType.ADD_NODE, ConfChangeType.REMOVE_NODE, ConfChangeType.ADD_LEARNER_NODE]
        changes = [
            ConfChangeSingle(rng.choice(kinds), rng.choice(list(self.peers)))
            for _ in range(rng.choice([0, 1, 1, 2, 3]))
        ]
        try:
            peer.raw.propose_conf_change(ConfChangeV2(rng.choice(list(ConfChangeTransition)), changes))
        except ProposalDropped:
            return

    def _snapshot(self, peer: Peer) -> None:
        if peer.index > peer.storage.snapshot().index:
            peer.storage.create_snapshot(peer.index, peer.conf_state, peer.digest)

    def _compact(self, peer: Peer) -> None:
        storage = peer.storage
        self._snapshot(peer)
        # What the core does not know to be applied it may still want to read.
        last = peer.raw.status().applied - self.rng.randrange(4)
        if last >= storage.first_index():
            storage.compact(last)

    def _crash(self, peer: Peer) -> None:
        """Lose all but the disk, and start again from the last snapshot."""
        snapshot = peer.storage.snapshot()
        peer.index, peer.digest, peer.conf_state = snapshot.index, snapshot.data, snapshot.conf_state
        peer.append_work.clear()
        peer.apply_work.clear()
        peer.reads.clear()
        commit = max(peer.durable_state.commit, snapshot.index)
        peer.durable_state = replace(peer.durable_state, commit=commit)
        peer.written_state = peer.durable_state
        peer.storage.set_hard_state(peer.durable_state)
        peer.config = replace(peer.config, applied=snapshot.index)
        peer.raw = RawNode(peer.config)

    # --- storage and application ---

    def _work(self, peer: Peer) -> None:
        if peer.append_work and self.rng.random() < 0.6:
            self._append_thread(peer)
        elif peer.apply_work and self.rng.random() < 0.6:
            self._apply_thread(peer)
        elif peer.raw.has_ready():
            self._ready(peer)

    def _ready(self, peer: Peer) -> None:
        ready = peer.raw.ready()
        self._check_reads(peer, ready)
        if peer.config.async_storage_writes:
            for message in ready.messages:
                if message.to == LOCAL_APPEND_THREAD:
                    peer.append_work.append(message)
                elif message.to == LOCAL_APPLY_THREAD:
                    peer.apply_work.append(message)
                else:
                    self.network.append(message)
            return
        self._write(peer, ready.hard_state, ready.entries, ready.snapshot, ready.must_sync)
        if self.rng.random() < 0.01:
            # Written, but nobody hears of it.
            self._crash(peer)
            return
        self.network += ready.messages
        self._apply(peer, ready.committed_entries)
        peer.raw.advance(ready)
        self.check_leader(peer)

    def _write(
        self,
        peer: Peer,
        state: HardState | None,
        entries: list[Entry],
        snapshot: Snapshot | None,
        sync: bool,
    ) -> None:
        if state is not None:
            peer.storage.set_hard_state(state)
            peer.written_state = state
        if sync or self.rng.random() < 0.5:
            # A sync covers all that was written before.
            peer.durable_state = peer.written_state
        if snapshot is not None:
            peer.storage.apply_snapshot(snapshot)
            self._check_snapshot(peer, snapshot)
            peer.index, peer.digest, peer.conf_state = snapshot.index, snapshot.data, snapshot.conf_state
        peer.storage.append(entries)

    def _append_thread(self, peer: Peer) -> None:
        work = peer.append_work.pop(0)
        state = HardState(work.term, work.vote, work.commit)
        changed = state != HardState()
        self._write(peer, state if changed else None, work.entries, work.snapshot, bool(work.responses))
        self._respond(peer, work)

    def _apply_thread(self, peer: Peer) -> None:
        work = peer.apply_work.pop(0)
        self._apply(peer, work.entries)
        self._respond(peer, work)

    def _respond(self, peer: Peer, work: Message) -> None:
        """What goes to the member itself never touches the network."""
        for message in work.responses:
            if message.to == peer.config.id:
                self._hand_over(message)
            else:
                self.network.append(message)

    def _apply(self, peer: Peer, entries: list[Entry]) -> None:
        for entry in entries:
            if entry.index <= peer.index and peer.config.async_storage_writes:
                # A snapshot, which the other thread applies, has overtaken these.
                continue
            if entry.index != peer.index + 1:
                raise Violation(f"{peer.config.id} applies {entry.index} after {peer.index}")
            peer.index = entry.index
            content = (entry.term, entry.type, entry.data)
            peer.digest = hashlib.blake2b(peer.digest + repr(content).encode(), digest_size=8).digest()
            known = self.committed.setdefault(entry.index, (content, peer.raw.term, peer.digest))
            if known[0] != content or known[2] != peer.digest:
                raise Violation(f"{peer.config.id} applies {content} at {entry.index}, not {known[0]}")
            if peer.raw.term < known[1]:
                self.committed[entry.index] = (content, peer.raw.term, peer.digest)
            if entry.type != EntryType.NORMAL:
                try:
                    peer.conf_state = peer.raw.apply_conf_change(decode_conf_change_v2(entry.data))
                except ConfChangeRefused:
                    # Every member is in the same configuration at this index, so all refuse it alike.
                    continue

    # --- properties ---

    def _check_snapshot(self, peer: Peer, snapshot: Snapshot) -> None:
        known = self.committed.get(snapshot.index)
        if known is not None and known[2] != snapshot.data:
            raise Violation(f"{peer.config.id} restores another state at {snapshot.index}")

    def _check_reads(self, peer: Peer, ready: Ready) -> None:
        for state in ready.read_states:
            floor = peer.reads.pop(state.request_context, 0)
            self.served_reads += 1
            if state.index < floor:
                raise Violation(f"{peer.config.id} may read at {state.index}, but {floor} was committed")

    def check_leader(self, peer: Peer) -> None:
        raw = peer.raw
        if raw.role is not Role.LEADER:
            return
        known = self.leaders.get(raw.term)
        if known == raw.id:
            return
        if known is not None:
            raise Violation(f"{known} and {raw.id} lead in term {raw.term}")
        self.leaders[raw.term] = raw.id
        log = raw.raft.raft_log
        for index, (content, term, _) in self.committed.items():
            if term < raw.term and index >= log.first_index() and log.find_term(index) != content[0]:
                raise Violation(f"{raw.id} leads in term {raw.term} without committed entry {index}")

    def check_logs(self) -> None:
        """Log matching, for every two members, on what neither has compacted."""
        logs = [peer.raw.raft.raft_log for peer in self.order]
        for position, one in enumerate(logs):
            for two in logs[position + 1 :]:
                first = max(one.first_index(), two.first_index())
                last = min(one.last_index(), two.last_index())
                if first > last:
                    continue
                pairs = list(
                    zip(
                        one.slice(first, last + 1, NO_LIMIT),
                        two.slice(first, last + 1, NO_LIMIT),
                        strict=True,
                    )
                )
                while pairs and pairs[-1][0].term != pairs[-1][1].term:
                    pairs.pop()
                for a, b in pairs:
                    if a != b:
                        raise Violation(f"logs agree on a later entry, but not on {a.index}")

    # --- the end ---

    def heal(self) -> None:
        """No more faults. The members of the configuration must agree on one more proposal."""
        self.cut = set()
        asked = 0
        for _ in range(400):
            state = max(self.order, key=lambda peer: peer.index).conf_state
            ids = sorted({*state.voters, *state.voters_outgoing, *state.learners})
            members = [self.peers[member] for member in ids]
            for peer in members:
                peer.raw.tick()
            self._settle(members)
            leaders = [peer for peer in members if peer.raw.role is Role.LEADER]
            if leaders:
                leader = max(leaders, key=lambda peer: peer.raw.term)
                # A snapshot from before a member was added does not help that member.
                self._snapshot(leader)
                if asked and all(peer.index >= asked for peer in members):
                    self.check_logs()
                    return
                try:
                    leader.raw.propose(b"last")
                except ProposalDropped:
                    continue
                asked = asked or leader.raw.raft.raft_log.last_index()
        raise Violation("no progress on a healthy network")

    def _settle(self, members: list[Peer]) -> None:
        for _ in range(200):
            busy = bool(self.network)
            waiting, self.network = self.network, []
            for message in waiting:
                self._hand_over(message)
            for peer in members:
                while peer.append_work:
                    self._append_thread(peer)
                while peer.apply_work:
                    self._apply_thread(peer)
                if peer.raw.has_ready():
                    self._ready(peer)
                    busy = True
            if not busy:
                return
