"""The raft state machine of one member: its state, its roles, and the rules that hold in every role.

Rules (Raft paper, figure 2; thesis, chapters 3, 4, 6 and 9; etcd's raft):
1. Terms only grow. Whoever sees a later term in a message follows it, with three exceptions: a request for
   a pre-vote, the grant of one (its term is the one that would be campaigned for), and, with check_quorum,
   a request for a vote while a leader was heard within the last election timeout (its lease).
2. Messages of an earlier term are ignored. With pre_vote or check_quorum a deposed leader is told of the
   new term, or it and a member with a higher term could ignore each other for ever; a late request for a
   pre-vote is refused aloud for the same reason.
3. One vote per term, to the first candidate whose log is at least as new as ours; the vote is durable before
   it is told. The same holds for acknowledged entries: `messages_after_append` may leave only when all that
   was handed out for writing before is on disk. Even answers of a member to itself wait for that.
4. follower -> pre-candidate -> candidate -> leader; every one of them may become follower. A pre-candidate
   changes neither term nor vote.

The handlers of the roles are functions in follower.py, election.py and leader.py; replication.py is how a
leader feeds the others, membership.py what a configuration change and a snapshot do to a member.
Nothing here reads a clock: `tick` is called at even intervals. Randomness is the caller's.
"""

from __future__ import annotations

from collections.abc import Callable

from . import election, follower, leader, membership, replication
from .config import Config
from .describe import MESSAGE_NAMES
from .errors import ProposalDropped
from .log import RaftLog
from .logger import Logger
from .read_only import ReadOnly
from .sizes import entries_size, payload_size
from .tracker import ProgressTracker
from .types import (
    NONE,
    Entry,
    EntryType,
    HardState,
    Message,
    MessageType,
    ReadState,
    Role,
    Snapshot,
    SoftState,
)

_ELECTION_MESSAGES = frozenset(
    {MessageType.VOTE, MessageType.VOTE_RESP, MessageType.PRE_VOTE, MessageType.PRE_VOTE_RESP}
)
_AFTER_APPEND = frozenset({MessageType.APP_RESP, MessageType.VOTE_RESP, MessageType.PRE_VOTE_RESP})
# These are as good as local: whoever forwards them does so for a client, in no term of its own.
_WITHOUT_TERM = frozenset({MessageType.PROP, MessageType.READ_INDEX})

RoleStep = Callable[["Raft", Message], None]


class Raft:
    """The state machine. `RawNode` is its public face; everything else is for this package and its tests."""

    __slots__ = (
        "_random",
        "_role_step",
        "check_quorum",
        "disable_conf_change_validation",
        "disable_proposal_forwarding",
        "election_elapsed",
        "election_timeout",
        "heartbeat_elapsed",
        "heartbeat_timeout",
        "id",
        "is_learner",
        "lead",
        "lead_transferee",
        "log",
        "max_message_size",
        "max_uncommitted_size",
        "messages",
        "messages_after_append",
        "pending_conf_index",
        "pending_reads",
        "pre_vote",
        "raft_log",
        "randomized_election_timeout",
        "read_only",
        "read_only_lease_based",
        "read_states",
        "role",
        "step_down_on_removal",
        "term",
        "tracker",
        "uncommitted_size",
        "vote",
    )

    def __init__(self, config: Config) -> None:
        config.validate()
        self.log = Logger(config.log)
        self._random = config.random
        self.id = config.id
        self.raft_log = RaftLog(config.storage, self.log, config.applying_limit)
        self.tracker = ProgressTracker(config.max_inflight_msgs, config.max_inflight_bytes)
        self.max_message_size = config.max_size_per_msg
        self.max_uncommitted_size = config.uncommitted_limit
        self.election_timeout = config.election_tick
        self.heartbeat_timeout = config.heartbeat_tick
        self.check_quorum = config.check_quorum
        self.pre_vote = config.pre_vote
        self.read_only_lease_based = config.read_only_lease_based
        self.disable_proposal_forwarding = config.disable_proposal_forwarding
        self.disable_conf_change_validation = config.disable_conf_change_validation
        self.step_down_on_removal = config.step_down_on_removal

        self.term = 0
        self.vote = NONE
        self.role = Role.FOLLOWER
        self.lead = NONE
        self.is_learner = False
        self.election_elapsed = 0
        self.heartbeat_elapsed = 0
        self.randomized_election_timeout = 0
        self._role_step: RoleStep = follower.step

        self.messages: list[Message] = []
        self.messages_after_append: list[Message] = []
        self.read_states: list[ReadState] = []

        # What only a leader uses.
        self.lead_transferee = NONE
        self.pending_conf_index = 0
        self.uncommitted_size = 0
        self.read_only = ReadOnly()
        self.pending_reads: list[Message] = []

        self._boot(config)

    def _boot(self, config: Config) -> None:
        last_term, last_index = self.raft_log.last_id()
        hard_state, conf_state = config.storage.initial_state()
        membership.adopt_conf_state(self, conf_state, last_index)
        if hard_state != HardState():
            self._load(hard_state)
        if config.applied:
            self.raft_log.applied_to(config.applied, 0)
        self.become_follower(self.term, NONE)
        peers = ",".join(f"{voter:x}" for voter in self.tracker.membership.voters.ids())
        self.log.info(
            f"newRaft {self.id:x} [peers: [{peers}], term: {self.term}, commit: {self.raft_log.committed}, "
            f"applied: {self.raft_log.applied}, lastindex: {last_index}, lastterm: {last_term}]"
        )

    def _load(self, state: HardState) -> None:
        committed, last = self.raft_log.committed, self.raft_log.last_index()
        if not committed <= state.commit <= last:
            self.log.fatal(f"{self.id:x} state.commit {state.commit} is out of range [{committed}, {last}]")
        self.raft_log.committed = state.commit
        self.term = state.term
        self.vote = state.vote

    def soft_state(self) -> SoftState:
        return SoftState(self.lead, self.role)

    def hard_state(self) -> HardState:
        return HardState(self.term, self.vote, self.raft_log.committed)

    # --- roles ---

    def _reset(self, term: int) -> None:
        if self.term != term:
            self.term = term
            self.vote = NONE
        self.lead = NONE
        self.election_elapsed = 0
        self.heartbeat_elapsed = 0
        self.randomized_election_timeout = self.election_timeout + self._random(self.election_timeout)
        self.lead_transferee = NONE
        self.tracker.reset_votes()
        replication.reset_progress(self)
        self.pending_conf_index = 0
        self.uncommitted_size = 0
        self.read_only = ReadOnly()

    def become_follower(self, term: int, lead: int) -> None:
        self._role_step = follower.step
        self._reset(term)
        self.lead = lead
        self.role = Role.FOLLOWER
        self.log.info(f"{self.id:x} became follower at term {self.term}")

    def become_candidate(self) -> None:
        if self.role is Role.LEADER:
            self.log.fatal("invalid transition [leader -> candidate]")
        self._role_step = election.step
        self._reset(self.term + 1)
        self.vote = self.id
        self.role = Role.CANDIDATE
        self.log.info(f"{self.id:x} became candidate at term {self.term}")

    def become_pre_candidate(self) -> None:
        if self.role is Role.LEADER:
            self.log.fatal("invalid transition [leader -> pre-candidate]")
        self._role_step = election.step
        self.tracker.reset_votes()
        self.lead = NONE
        self.role = Role.PRE_CANDIDATE
        self.log.info(f"{self.id:x} became pre-candidate at term {self.term}")

    def become_leader(self) -> None:
        if self.role is Role.FOLLOWER:
            self.log.fatal("invalid transition [follower -> leader]")
        self._role_step = leader.step
        self._reset(self.term)
        self.lead = self.id
        self.role = Role.LEADER
        own = self.tracker.progress[self.id]
        own.become_replicate()
        own.recent_active = True
        # A membership change may be among the entries not yet applied. Finding out would mean to read
        # them all; to refuse new changes until they are applied is safe.
        self.pending_conf_index = self.raft_log.last_index()
        if not replication.append_proposals(self, [Entry()]):
            self.log.fatal("empty entry was dropped")
        self.log.info(f"{self.id:x} became leader at term {self.term}")

    def promotable(self) -> bool:
        """Whether this member could become leader: a voter with no snapshot to apply first."""
        progress = self.tracker.progress.get(self.id)
        return progress is not None and not progress.is_learner and self.raft_log.unstable.snapshot is None

    # --- time ---

    def tick(self) -> None:
        if self.role is Role.LEADER:
            self._tick_leader()
            return
        self.election_elapsed += 1
        if self.election_elapsed >= self.randomized_election_timeout and self.promotable():
            self.election_elapsed = 0
            self.step(Message(MessageType.HUP, sender=self.id))

    def _tick_leader(self) -> None:
        self.heartbeat_elapsed += 1
        self.election_elapsed += 1
        if self.election_elapsed >= self.election_timeout:
            self.election_elapsed = 0
            if self.check_quorum:
                self.step(Message(MessageType.CHECK_QUORUM, sender=self.id))
            if self.role is Role.LEADER:
                # A transfer that took this long has failed; take proposals again.
                self.lead_transferee = NONE
        if self.role is Role.LEADER and self.heartbeat_elapsed >= self.heartbeat_timeout:
            self.heartbeat_elapsed = 0
            self.step(Message(MessageType.BEAT, sender=self.id))

    # --- messages ---

    def send(self, message: Message) -> None:
        """Queue a message for the next Ready, in the queue that rule 3 asks for."""
        if message.sender == NONE:
            message.sender = self.id
        kind = message.type
        if kind in _ELECTION_MESSAGES:
            if message.term == 0:
                self.log.fatal(f"term should be set when sending {MESSAGE_NAMES[kind]}")
        else:
            if message.term != 0:
                self.log.fatal(
                    f"term should not be set when sending {MESSAGE_NAMES[kind]} (was {message.term})"
                )
            if kind not in _WITHOUT_TERM:
                message.term = self.term
        if kind in _AFTER_APPEND:
            self.messages_after_append.append(message)
            return
        if message.to == self.id:
            self.log.fatal(f"message should not be self-addressed when sending {MESSAGE_NAMES[kind]}")
        self.messages.append(message)

    def step(self, message: Message) -> None:
        """Take one message, from outside or of our own making. Raises ProposalDropped for proposals."""
        term = message.term
        if term != self.term and term != 0:
            if term < self.term:
                self._step_older(message)
                return
            if not self._enter_newer_term(message):
                return
        handler = _HANDLERS.get(message.type)
        if handler is None:
            self._role_step(self, message)
        else:
            handler(self, message)

    def _enter_newer_term(self, message: Message) -> bool:
        """Rule 1. False if the message is to be ignored."""
        kind = message.type
        if kind in (MessageType.VOTE, MessageType.PRE_VOTE):
            in_lease = (
                self.check_quorum and self.lead != NONE and self.election_elapsed < self.election_timeout
            )
            if in_lease and message.context != election.CAMPAIGN_TRANSFER:
                self.log.info(
                    f"{election.describe_request(self, message, 'ignored')}: lease is not expired "
                    f"(remaining ticks: {self.election_timeout - self.election_elapsed})"
                )
                return False
        if kind == MessageType.PRE_VOTE or (kind == MessageType.PRE_VOTE_RESP and not message.reject):
            return True
        self.log.info(
            f"{self.id:x} [term: {self.term}] received a {MESSAGE_NAMES[kind]} message with higher term "
            f"from {message.sender:x} [term: {message.term}]"
        )
        self.become_follower(message.term, message.sender if kind in election.FROM_LEADER else NONE)
        return True

    def _step_older(self, message: Message) -> None:
        """Rule 2."""
        kind = message.type
        if (self.check_quorum or self.pre_vote) and kind in (MessageType.HEARTBEAT, MessageType.APP):
            self.send(Message(MessageType.APP_RESP, to=message.sender))
        elif kind == MessageType.PRE_VOTE:
            self.log.info(election.describe_request(self, message, "rejected"))
            self.send(Message(MessageType.PRE_VOTE_RESP, to=message.sender, term=self.term, reject=True))
        elif kind == MessageType.STORAGE_APPEND_RESP:
            if message.index:
                # The entries may have been replaced since: an acknowledgement of the current term follows.
                self.log.info(
                    f"{self.id:x} [term: {self.term}] ignored entry appends from a {MESSAGE_NAMES[kind]} "
                    f"message with lower term [term: {message.term}]"
                )
            if message.snapshot is not None:
                # A snapshot holds committed state, which is right in any term.
                self.applied_snapshot(message.snapshot)
        else:
            self.log.info(
                f"{self.id:x} [term: {self.term}] ignored a {MESSAGE_NAMES[kind]} message with lower term "
                f"from {message.sender:x} [term: {message.term}]"
            )

    # --- what storage and application report ---

    def storage_appended(self, message: Message) -> None:
        if message.index:
            self.raft_log.unstable.stable_to(message.log_term, message.index)
        if message.snapshot is not None:
            self.applied_snapshot(message.snapshot)

    def storage_applied(self, message: Message) -> None:
        entries = message.entries
        if entries:
            self.applied_to(entries[-1].index, entries_size(entries))
            if self.uncommitted_size:
                self.uncommitted_size = max(0, self.uncommitted_size - payload_size(entries))

    def applied_snapshot(self, snapshot: Snapshot) -> None:
        self.raft_log.unstable.stable_snapshot_to(snapshot.index)
        self.applied_to(snapshot.index, 0)

    def applied_to(self, index: int, size: int) -> None:
        """The application has applied `index`. A leader then leaves a joint configuration if it shall."""
        log = self.raft_log
        index = max(index, log.applied)
        log.applied_to(index, size)
        membership_now = self.tracker.membership
        if membership_now.auto_leave and index >= self.pending_conf_index and self.role is Role.LEADER:
            # Without data it counts as nothing against the limit on uncommitted entries. A transfer of
            # leadership can still drop it; the next applied entry tries again.
            leave = Entry(type=EntryType.CONF_CHANGE_V2)
            try:
                self.step(Message(MessageType.PROP, entries=[leave]))
            except ProposalDropped as error:
                self.log.debug(
                    "not initiating automatic transition out of joint configuration "
                    f"{membership_now}: {error}"
                )
            else:
                self.log.info(f"initiating automatic transition out of joint configuration {membership_now}")


_HANDLERS: dict[MessageType, RoleStep] = {
    MessageType.HUP: election.hup,
    MessageType.STORAGE_APPEND_RESP: Raft.storage_appended,
    MessageType.STORAGE_APPLY_RESP: Raft.storage_applied,
    MessageType.VOTE: election.on_vote_request,
    MessageType.PRE_VOTE: election.on_vote_request,
}
