"""One member as a state machine: events in, effects out; no sockets, no clock of its own, no threads.

The shell (asyncio, or a simulator) calls `tick`, `step`, `propose`, `read` and so on as things happen, and
runs this cycle whenever something did:

    effects = node.ready()           # None: nothing to do, or a write is still under way
    send effects.messages
    write effects.entries and effects.hard_state; sync when effects.must_sync
    send node.persisted()            # only when the write is durable

Rules, and where they come from:

- Everything that arrived since the last cycle becomes one raft proposal, one disk write and one message a
  peer: the batch is the unit of work.
- A leader sends while its own disk still writes (raft thesis 10.2.1); everybody else promises nothing before
  the write is durable, so their messages come from `persisted`.
- Committed entries are applied as soon as raft hands them out: a quorum has them on disk. Replies leave then.
- A proposal without a leader waits for one (proposals.py has the time-outs). After the request time-out the
  caller hears why, as etcd words it; the entry may still commit, so every such error is indefinite.
- A snapshot is taken every `snapshot_count` entries; the log keeps `catch_up_entries` behind it for slow
  followers. A follower behind the log gets the store as it is at that moment.
- Leases are expired by the leader alone, and only after it has applied an entry of its own term
  (lease_duty.py).
"""

from __future__ import annotations

from collections.abc import Callable

from gauntlet.api import errors
from gauntlet.api.errors import RpcError
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.reference.apply import Applied, Frozen, Image, StateMachine
from gauntlet.reference.leadership import Leadership
from gauntlet.reference.lease_duty import LeaseDuty
from gauntlet.reference.mvcc.compaction import CompactionJob
from gauntlet.reference.node_parts import Effects, NodeConfig, Outbox
from gauntlet.reference.ports import Peers
from gauntlet.reference.proposals import Answer, Proposals
from gauntlet.reference.raft.errors import ProposalDropped, StepLocalMessage, StepPeerNotFound
from gauntlet.reference.raft.rawnode import RawNode, Ready
from gauntlet.reference.raft.storage import MemoryStorage
from gauntlet.reference.raft.types import (
    ConfChange,
    Entry,
    EntryType,
    Message,
    MessageType,
    Role,
    Snapshot,
)
from gauntlet.reference.reads import ReadIndexes, Release
from gauntlet.reference.reconfigure import Reconfiguration

__all__ = ["Answer", "Node"]

# A member that has fallen this far behind its own commit index takes no more work, but for what has priority.
MAX_APPLY_GAP = 5000
MAX_PRIORITY_GAP = 2 * MAX_APPLY_GAP
# etcd has no code of its own for this text: clients get it as Unknown.
TOO_MANY_REQUESTS = RpcError(errors.Code.UNKNOWN, errors.REQUEST_TOO_MANY_REQUESTS.message, definite=True)


class Node:
    """Drives raft and the state machine. Not thread safe: one thread calls everything."""

    def __init__(
        self,
        config: NodeConfig,
        raft: RawNode,
        storage: MemoryStorage,
        machine: StateMachine,
        peers: Peers,
        clock: Callable[[], float],
        next_id: Callable[[], int],
        wake: Callable[[], None],
    ) -> None:
        """`wake` is called whenever the cycle should run; `machine` is as of its last snapshot."""
        self.config = config
        self.raft = raft
        self.machine = machine
        self.outbox = Outbox()
        self.leadership = Leadership(clock())
        self.commit_index = raft.status().commit
        self.next_id = next_id
        self.wake = wake
        self._storage = storage
        self.peers = peers
        self._clock = clock
        self._snapshot_index = machine.applied_index
        self._saving_snapshot = False
        self._queue: list[bytes] = []
        self._proposals = Proposals(config.request_timeout)
        self._reads = ReadIndexes(raft.read_index, next_id, config.request_timeout)
        self._applied_waiters: list[tuple[int, Release]] = []
        self._written: Ready | None = None
        self._write_started = 0.0
        self._last_tick = clock()
        self.lease_duty = LeaseDuty(machine, self.propose)
        self._compacting: list[tuple[CompactionJob, Callable[[], None]]] = []
        self._stopped = False
        self._changes = Reconfiguration(config.member_id, raft, machine, peers)
        self.learner = machine.cluster.is_learner(config.member_id)
        machine.auth_requests.replay_until = self.commit_index
        self._tell_peers()

    # What others ask of the member.

    @property
    def leader(self) -> int:
        return self.leadership.leader

    @property
    def is_leader(self) -> bool:
        return self.leadership.leader == self.config.member_id

    @property
    def leads(self) -> bool:
        """Leader, and in charge: it has applied an entry of its own term."""
        return self.is_leader and self.machine.lessor.is_primary

    @property
    def pending(self) -> int:
        """Proposals that wait for their answer."""
        return len(self._proposals)

    @property
    def proposals_failed(self) -> int:
        """Proposals that timed out, since the start."""
        return self._proposals.failed

    @property
    def on_leader_loss(self) -> list[Callable[[], None]]:
        """Called, once, when there has been no leader for too long."""
        return self.leadership.on_loss

    @property
    def slow_reads(self) -> int:
        """Batches of reads that no leader answered in time, and answers that came too late."""
        return self._reads.slow

    @property
    def failed_reads(self) -> int:
        """Batches of reads that a new leader ended."""
        return self._reads.failed

    @property
    def installing(self) -> bool:
        """Whether a snapshot from the leader is being saved and applied."""
        return self._written is not None and self._written.snapshot is not None

    @property
    def term(self) -> int:
        return self.raft.term

    @property
    def ticking(self) -> bool:
        """False when ticks or a disk write have stood still for three ticks: such a leader may be deposed."""
        now = self._clock()
        limit = 3 * self.config.tick_seconds
        return now - self._last_tick < limit and not (self._written and now - self._write_started >= limit)

    def propose(self, request: pb.InternalRaftRequest, answer: Answer) -> None:
        """Takes `request` through the log; `answer` hears what applying it gave, or why that is not known."""
        refusal = self._refusal(self.config.priority_requests and request.HasField("lease_revoke"))
        if refusal is not None:
            answer(Applied(error=refusal))
            return
        request_id = self.next_id()
        request.header.ID = request_id
        data = request.SerializeToString()
        if len(data) > self.config.max_request_bytes:
            answer(Applied(error=errors.REQUEST_TOO_LARGE))
            return
        self._queue.append(data)
        self._proposals.expect(request_id, answer, self._clock())
        self.wake()

    def propose_conf_change(self, change: ConfChange, answer: Answer) -> Callable[[], None]:
        """There is no time-out: the result gives up waiting, and then `answer` hears nothing. A change that
        was not proposed by then never is; one that was may still be applied."""
        if self._stopped:
            answer(Applied(error=errors.STOPPED))
            return lambda: None
        change.id = change_id = self.next_id()
        self._proposals.expect_patiently(change_id, answer, self._clock())
        self._changes.add(change)
        self.wake()
        return lambda: self._proposals.forget(change_id)

    def read(self, release: Release) -> None:
        """Calls `release` when a local read is linearizable, or with the reason why it cannot be."""
        if self._stopped:
            release(errors.STOPPED)
        else:
            self._reads.add(release)
            self.wake()

    def when_applied(self, release: Release) -> None:
        """Calls `release` once everything committed by now is applied."""
        if self.machine.applied_index >= self.commit_index:
            release(None)
        else:
            self._applied_waiters.append((self.commit_index, release))

    def when_index_applied(self, index: int, release: Release) -> Callable[[], None]:
        """Calls `release` once this member has applied `index`; the result gives up waiting."""
        waiter = (index, release)
        if self.machine.applied_index >= index:
            release(None)
        else:
            self._applied_waiters.append(waiter)

        def give_up() -> None:
            if waiter in self._applied_waiters:
                self._applied_waiters.remove(waiter)

        return give_up

    def when_compacted(self, job: CompactionJob, then: Callable[[], None]) -> None:
        """Calls `then` once the job has freed what it frees: at once for a small one, which is over when it
        is applied."""
        if job.done:
            then()
        else:
            self._compacting.append((job, then))

    def ensure_leadership(self, then: Callable[[bool], None]) -> None:
        """Tells `then` whether this member may act as the leader, asking a quorum if it has stalled."""
        if not self.is_leader:
            then(False)
        elif self.ticking:
            then(True)
        else:
            self.read(lambda error: then(error is None and self.is_leader))

    def transfer_leadership(self, to: int, then: Release) -> None:
        """Hands leadership to a voter; `then` hears None once that member leads, or that it took too long."""
        self.raft.transfer_leader(to)
        self.wake()
        self.leadership.transfer(to, self._clock(), self.config.request_timeout, then)

    def now(self) -> float:
        """The shell's monotonic clock, in seconds."""
        return self._clock()

    def stop(self) -> None:
        """Answers everybody who still waits; nothing is accepted after."""
        self._stopped = True
        self._proposals.fail(errors.STOPPED)
        self._reads.fail(errors.STOPPED)

    # What happens to the member.

    def tick(self) -> None:
        """One heartbeat interval has passed."""
        now = self._clock()
        stalled = not self.ticking
        self.raft.tick()
        self._proposals.expire(now, self._timeout_reason)
        self._reads.tick(now)
        self.leadership.tick(now, self.config.election_timeout)
        if self.is_leader and not stalled:
            self.lease_duty.tick(now)
        self._last_tick = now

    @property
    def compacting(self) -> bool:
        """Whether a compaction has something left to free; see `compact_some`."""
        return bool(self.machine.store.compactions or self._compacting)

    def compact_some(self) -> None:
        """One batch of the compaction under way. The shell calls it every now and then while `compacting`."""
        self.machine.compact_some()
        if self._compacting:
            done = [then for job, then in self._compacting if job.done]
            self._compacting = [pair for pair in self._compacting if not pair[0].done]
            for then in done:
                then()

    def sync_watches(self) -> None:
        """One turn for watchers that are behind; wakes the loop again while there is more to do."""
        watches = self.machine.watches
        if watches.slow and watches.sync():
            self.wake()

    def step(self, message: Message) -> None:
        """A message from a peer. One that raft has no use for is dropped, as a network might have done."""
        try:
            self.raft.step(message)
        except (StepPeerNotFound, StepLocalMessage, ProposalDropped):
            return

    def ready(self) -> Effects | None:
        if self._written is not None or self._stopped:
            return None
        self._flush()
        self._changes.propose(self._proposals)
        self._reads.start(self._clock())
        if not self.raft.has_ready():
            return None
        ready = self.raft.ready()
        self._written = ready
        self._write_started = self._clock()
        if ready.soft_state is not None:
            self._follow_leader(ready.soft_state.lead)
        if ready.hard_state is not None:
            self.commit_index = max(self.commit_index, ready.hard_state.commit)
        for state in ready.read_states:
            self._reads.answered(state.request_context, state.index)
        # Before applying: a member that is removed should still hear that its removal is committed.
        messages = self._outgoing(ready.messages) if self.raft.role is Role.LEADER else []
        if ready.snapshot is None:
            self._apply(ready.committed_entries)
        return Effects(
            messages=messages,
            hard_state=ready.hard_state,
            entries=ready.entries,
            snapshot=ready.snapshot,
            must_sync=ready.must_sync,
        )

    def persisted(self, image: Image | None = None) -> list[Message]:
        """The last effects are durable. Gives the messages that had to wait for that. Without `image` a
        snapshot's data is made out here."""
        ready = self._written
        assert ready is not None, "persisted() without effects under way"
        self._written = None
        if ready.snapshot is not None:
            self._install(ready.snapshot, image or Image.of(ready.snapshot.data))
            self._apply(ready.committed_entries)
        self._storage.append(ready.entries)
        leading = self.raft.role is Role.LEADER
        messages = [] if leading else self._outgoing(ready.messages)
        self.raft.advance(ready)
        self._request_snapshot()
        return messages

    def snapshot_saved(self, frozen: Frozen) -> None:
        """The image that `outbox.snapshot_to_save` asked for is durable: the log before it may go."""
        self._saving_snapshot = False
        self._snapshot_index = max(self._snapshot_index, frozen.index)
        if frozen.index <= self._storage.snapshot().index:
            return
        self._storage.create_snapshot(frozen.index, frozen.conf_state, b"")
        keep_from = frozen.index - self.config.catch_up_entries
        if keep_from > self._storage.first_index():
            self._storage.compact(keep_from)

    # The inside.

    def _refusal(self, priority: bool) -> RpcError | None:
        if self._stopped:
            return errors.STOPPED
        gap = MAX_PRIORITY_GAP if priority else MAX_APPLY_GAP
        return TOO_MANY_REQUESTS if self.commit_index > self.machine.applied_index + gap else None

    def _flush(self) -> None:
        """Proposes what has queued up, in one message; it waits while nobody leads or leadership moves."""
        if not self._queue or not self.raft.leader:
            return
        try:
            self.raft.propose_entries(self._queue)
        except ProposalDropped:
            return
        self._queue = []

    def _follow_leader(self, leader: int) -> None:
        was_leader = self.is_leader
        if self.leadership.follow(leader, self._clock()):
            self._reads.leader_changed()
        if was_leader and not self.is_leader:
            self.lease_duty.deposed()

    def _apply(self, entries: list[Entry]) -> None:
        machine = self.machine
        now = self._clock()
        for entry in entries:
            if entry.index <= machine.applied_index:
                continue
            if entry.type is not EntryType.NORMAL:
                self._apply_conf_change(entry)
            elif entry.data:
                request = pb.InternalRaftRequest.FromString(entry.data)
                result = machine.apply(entry.index, entry.term, request, now)
                self._proposals.settle(request.header.ID, result)
            else:
                machine.skip(entry.index, entry.term)
                self._reads.committed_in_term(now)
                if self.is_leader:
                    machine.lessor.promote(now, self.config.election_timeout)
        if entries:
            self.commit_index = max(self.commit_index, entries[-1].index)
        self._release_applied()

    def _release_applied(self) -> None:
        index = self.machine.applied_index
        self._reads.applied(index)
        if self._applied_waiters:
            due = [release for wanted, release in self._applied_waiters if wanted <= index]
            self._applied_waiters = [pair for pair in self._applied_waiters if pair[0] > index]
            for release in due:
                release(None)

    def _apply_conf_change(self, entry: Entry) -> None:
        change_id, result = self._changes.apply(entry)
        self.learner = self.machine.cluster.is_learner(self.config.member_id)
        self.outbox.removed = self._changes.removed
        self._proposals.settle(change_id, result)

    def _outgoing(self, messages: list[Message]) -> list[Message]:
        """What may leave: nothing to removed members, the last of several append responses, images aside."""
        out: list[Message] = []
        last_response: dict[int, int] = {}
        for message in messages:
            if self.machine.cluster.is_removed(message.to):
                continue
            if message.type is MessageType.SNAP:
                self.outbox.snapshots_to_send.append(self._with_current_image(message))
                continue
            if message.type is MessageType.APP_RESP and not message.reject:
                earlier = last_response.get(message.to)
                if earlier is not None:
                    out[earlier] = message
                    continue
                last_response[message.to] = len(out)
            out.append(message)
        return out

    def _with_current_image(self, message: Message) -> tuple[Message, Frozen]:
        frozen = self.machine.freeze()
        message.snapshot = Snapshot(frozen.index, frozen.term, frozen.conf_state, b"")
        return message, frozen

    def _install(self, snapshot: Snapshot, image: Image) -> None:
        self._storage.apply_snapshot(Snapshot(snapshot.index, snapshot.term, snapshot.conf_state, b""))
        self.machine.adopt(image)
        self._snapshot_index = snapshot.index
        self.commit_index = max(self.commit_index, snapshot.index)
        self.learner = self.machine.cluster.is_learner(self.config.member_id)
        self._tell_peers()
        self._release_applied()

    def _tell_peers(self) -> None:
        """The members of a snapshot are the peers: the entries that added them are not applied again."""
        others = (m for m in self.machine.cluster.members() if m.id != self.config.member_id)
        self.peers.replace({member.id: member.peer_urls for member in others})

    def _request_snapshot(self) -> None:
        due = self.machine.applied_index - self._snapshot_index >= self.config.snapshot_count
        if due and not self._saving_snapshot:
            self._saving_snapshot = True
            self.outbox.snapshot_to_save = self.machine.freeze()

    def _timeout_reason(self, started: float) -> RpcError:
        elected_at = self.leadership.elected_at
        if elected_at - 2 * self.config.election_timeout < started < elected_at:
            return errors.TIMEOUT_DUE_TO_LEADER_FAIL
        if self.is_leader:
            voters = set(self.machine.conf_state.voters) - {self.config.member_id}
            connected = 1 + sum(self.peers.connected_since(peer) <= started for peer in sorted(voters))
            if connected <= (len(voters) + 1) // 2:
                return errors.TIMEOUT_DUE_TO_CONNECTION_LOST
        elif self.leader and self.peers.connected_since(self.leader) > started:
            return errors.TIMEOUT_DUE_TO_CONNECTION_LOST
        return errors.TIMEOUT
