"""The public face of the core: feed it events, take what is to be done from `ready`, report with `advance`.

The caller's duty (etcd's RawNode documentation), for each Ready, in this order:
1. Write `entries`, `hard_state` and `snapshot` to stable storage; sync if `must_sync`. The snapshot, if
   there is one, replaces the log before it. Entries overwrite whatever is at their index and beyond.
2. Only then send `messages`. (A leader's appends could go before; the answers among them may not.) Tell
   `report_unreachable` of what could not be sent, and `report_snapshot` how each snapshot ended.
3. Apply `snapshot` and `committed_entries`. Call `apply_conf_change` for each conf change entry, with node
   ids of 0 if the application refuses the change.
4. Call `advance`. There is no second Ready before that.

With async_storage_writes 1 and 3 come as messages: STORAGE_APPEND to LOCAL_APPEND_THREAD and STORAGE_APPLY to
LOCAL_APPLY_THREAD. Each thread works them off in order and then delivers their `responses`; everything else
in `messages` may be sent at once, and `advance` must not be called.

A Ready is accepted when it is returned. Not safe for threads. Nothing here blocks.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from . import membership
from .confchange import as_v2
from .config import Config
from .core import Raft
from .describe import (
    EntryFormatter,
    describe_entries,
    describe_hard_state,
    describe_message,
    describe_read_states,
    describe_snapshot,
    describe_soft_state,
    quote,
)
from .encoding import encode_conf_change, encode_conf_change_v2
from .errors import InvariantBroken, StepLocalMessage, StepPeerNotFound
from .progress import Progress
from .sizes import entries_size
from .tracker import Membership
from .types import (
    LOCAL_APPEND_THREAD,
    LOCAL_APPLY_THREAD,
    ConfChange,
    ConfChangeV2,
    ConfState,
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

__all__ = ["Config", "RawNode", "Ready", "Role", "Status", "describe_ready"]

_THREADS = (LOCAL_APPEND_THREAD, LOCAL_APPLY_THREAD)
_LOCAL = frozenset(
    {
        MessageType.HUP,
        MessageType.BEAT,
        MessageType.UNREACHABLE,
        MessageType.SNAP_STATUS,
        MessageType.CHECK_QUORUM,
        MessageType.STORAGE_APPEND,
        MessageType.STORAGE_APPEND_RESP,
        MessageType.STORAGE_APPLY,
        MessageType.STORAGE_APPLY_RESP,
    }
)
_ANSWERS = frozenset(
    {
        MessageType.APP_RESP,
        MessageType.VOTE_RESP,
        MessageType.HEARTBEAT_RESP,
        MessageType.READ_INDEX_RESP,
        MessageType.PRE_VOTE_RESP,
    }
)


@dataclass(slots=True)
class Ready:
    """What is to be done. `soft_state` and `hard_state` are None if they are as in the Ready before."""

    soft_state: SoftState | None = None
    hard_state: HardState | None = None
    read_states: list[ReadState] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    snapshot: Snapshot | None = None
    committed_entries: list[Entry] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    must_sync: bool = False


@dataclass(slots=True)
class Status:
    """A copy of the state. `progress` is empty unless the member leads."""

    id: int
    term: int
    vote: int
    commit: int
    lead: int
    role: Role
    applied: int
    lead_transferee: int
    membership: Membership
    progress: dict[int, Progress]


class RawNode:
    """One raft member. Methods that take proposals raise ProposalDropped: definite, it is in no log."""

    __slots__ = ("_async", "_last_hard_state", "_last_soft_state", "_steps_on_advance", "raft")

    def __init__(self, config: Config) -> None:
        self.raft = Raft(config)
        self._async = config.async_storage_writes
        self._last_soft_state = self.raft.soft_state()
        self._last_hard_state = self.raft.hard_state()
        self._steps_on_advance: list[Message] = []

    @property
    def id(self) -> int:
        return self.raft.id

    @property
    def term(self) -> int:
        return self.raft.term

    @property
    def leader(self) -> int:
        """The leader this member knows of, or 0."""
        return self.raft.lead

    @property
    def role(self) -> Role:
        return self.raft.role

    # --- events ---

    def tick(self) -> None:
        self.raft.tick()

    def campaign(self) -> None:
        """Start an election, if this member may."""
        self.raft.step(Message(MessageType.HUP))

    def propose(self, data: bytes) -> None:
        self.propose_entries([data])

    def propose_entries(self, batch: list[bytes]) -> None:
        """Propose several entries that get consecutive places in the log, or none of them."""
        entries = [Entry(data=data) for data in batch]
        self.raft.step(Message(MessageType.PROP, sender=self.raft.id, entries=entries))

    def propose_conf_change(self, change: ConfChange | ConfChangeV2) -> None:
        """Propose a membership change. One that may not follow the present state becomes an empty entry."""
        if isinstance(change, ConfChange):
            entry = Entry(type=EntryType.CONF_CHANGE, data=encode_conf_change(change))
        else:
            entry = Entry(type=EntryType.CONF_CHANGE_V2, data=encode_conf_change_v2(change))
        self.raft.step(Message(MessageType.PROP, entries=[entry]))

    def apply_conf_change(self, change: ConfChange | ConfChangeV2) -> ConfState:
        """Put a committed change into force; returns the configuration from now on. ConfChangeRefused."""
        return membership.apply_change(self.raft, as_v2(change))

    def step(self, message: Message) -> None:
        """Take a message from another member or a storage thread. StepLocalMessage, StepPeerNotFound.

        The message, and entries that it proposes, belong to the core from now on.
        """
        kind = message.type
        if kind in _LOCAL:
            if message.sender not in _THREADS:
                raise StepLocalMessage
        elif kind in _ANSWERS and message.sender not in self.raft.tracker.progress:
            raise StepPeerNotFound
        self.raft.step(message)

    def read_index(self, context: bytes) -> None:
        """Ask for a ReadState with this context. It may never come: repeat after a while."""
        self.raft.step(Message(MessageType.READ_INDEX, entries=[Entry(data=context)]))

    def transfer_leader(self, member: int) -> None:
        self.raft.step(Message(MessageType.TRANSFER_LEADER, sender=member))

    def forget_leader(self) -> None:
        """A follower forgets its leader, and may vote for somebody else in this term's pre-votes."""
        self.raft.step(Message(MessageType.FORGET_LEADER))

    def report_unreachable(self, member: int) -> None:
        self.raft.step(Message(MessageType.UNREACHABLE, sender=member))

    def report_snapshot(self, member: int, ok: bool) -> None:
        self.raft.step(Message(MessageType.SNAP_STATUS, sender=member, reject=not ok))

    # --- work ---

    def has_ready(self) -> bool:
        raft = self.raft
        log = raft.raft_log
        return bool(
            raft.messages
            or raft.messages_after_append
            or raft.read_states
            or log.unstable.has_next_entries()
            or log.has_next_committed(not self._async)
            or log.unstable.next_snapshot() is not None
            or self._soft_state_changed()
            or self._hard_state_changed()
        )

    def _soft_state_changed(self) -> bool:
        last = self._last_soft_state
        return last.lead != self.raft.lead or last.role is not self.raft.role

    def _hard_state_changed(self) -> bool:
        raft, last = self.raft, self._last_hard_state
        return last.commit != raft.raft_log.committed or last.term != raft.term or last.vote != raft.vote

    def ready(self) -> Ready:
        """The work that has come up since the last Ready. It must be done, and reported with `advance`."""
        if self._steps_on_advance:
            raise InvariantBroken("two accepted Ready structs without call to Advance")
        raft = self.raft
        unstable = raft.raft_log.unstable
        ready = Ready(
            entries=unstable.next_entries(),
            snapshot=unstable.next_snapshot(),
            committed_entries=raft.raft_log.next_committed(not self._async),
            messages=raft.messages,
            read_states=raft.read_states,
        )
        ready.must_sync = bool(ready.entries)
        if self._soft_state_changed():
            ready.soft_state = self._last_soft_state = raft.soft_state()
        if self._hard_state_changed():
            last, state = self._last_hard_state, raft.hard_state()
            ready.must_sync |= state.term != last.term or state.vote != last.vote
            ready.hard_state = self._last_hard_state = state
        self._hand_over_storage_work(ready)
        raft.messages = []
        raft.messages_after_append = []
        if raft.read_states:
            raft.read_states = []
        unstable.accept_in_progress()
        committed = ready.committed_entries
        if committed:
            raft.raft_log.accept_applying(committed[-1].index, entries_size(committed), not self._async)
        return ready

    def _hand_over_storage_work(self, ready: Ready) -> None:
        """Queue what has to wait for storage: in messages to the storage threads, or for `advance`."""
        raft = self.raft
        waiting = raft.messages_after_append
        acknowledge = self._append_acknowledgement(ready)
        if self._async:
            if ready.entries or waiting or ready.hard_state is not None or ready.snapshot is not None:
                responses = waiting if acknowledge is None else [*waiting, acknowledge]
                ready.messages.append(self._storage_append(ready, responses))
            if ready.committed_entries:
                ready.messages.append(self._storage_apply(ready))
            return
        for message in waiting:
            (self._steps_on_advance if message.to == raft.id else ready.messages).append(message)
        if acknowledge is not None:
            self._steps_on_advance.append(acknowledge)
        if ready.committed_entries:
            self._steps_on_advance.append(self._apply_acknowledgement(ready))

    def _append_acknowledgement(self, ready: Ready) -> Message | None:
        """The message that tells the core that its log is stable up to where it ends now.

        It names the end of the whole unstable log, not of this Ready's entries, and the present term: an
        acknowledgement of an earlier term is void, because the entry may have been replaced and restored by
        later writes that are still under way. So every change of term, which is a write of its own, brings
        a new acknowledgement for everything before it.
        """
        unstable = self.raft.raft_log.unstable
        if not unstable.entries and ready.snapshot is None:
            return None
        message = Message(
            MessageType.STORAGE_APPEND_RESP,
            to=self.raft.id,
            sender=LOCAL_APPEND_THREAD,
            term=self.raft.term,
            snapshot=ready.snapshot,
        )
        if unstable.entries:
            message.log_term, message.index = self.raft.raft_log.last_id()
        return message

    def _apply_acknowledgement(self, ready: Ready) -> Message:
        return Message(
            MessageType.STORAGE_APPLY_RESP,
            to=self.raft.id,
            sender=LOCAL_APPLY_THREAD,
            entries=ready.committed_entries,
        )

    def _storage_append(self, ready: Ready, responses: list[Message]) -> Message:
        message = Message(
            MessageType.STORAGE_APPEND,
            to=LOCAL_APPEND_THREAD,
            sender=self.raft.id,
            entries=ready.entries,
            snapshot=ready.snapshot,
            responses=responses,
        )
        state = ready.hard_state
        if state is not None:
            message.term, message.vote, message.commit = state.term, state.vote, state.commit
        return message

    def _storage_apply(self, ready: Ready) -> Message:
        return Message(
            MessageType.STORAGE_APPLY,
            to=LOCAL_APPLY_THREAD,
            sender=self.raft.id,
            entries=ready.committed_entries,
            responses=[self._apply_acknowledgement(ready)],
        )

    def advance(self, ready: Ready) -> None:
        """The work of the last Ready is done."""
        if self._async:
            raise InvariantBroken("Advance must not be called when using AsyncStorageWrites")
        steps, self._steps_on_advance = self._steps_on_advance, []
        for message in steps:
            self.raft.step(message)

    def status(self) -> Status:
        raft = self.raft
        progress = raft.tracker.progress if raft.role is Role.LEADER else {}
        return Status(
            id=raft.id,
            term=raft.term,
            vote=raft.vote,
            commit=raft.raft_log.committed,
            lead=raft.lead,
            role=raft.role,
            applied=raft.raft_log.applied,
            lead_transferee=raft.lead_transferee,
            membership=raft.tracker.membership,
            progress={member: each.copy(each.inflights.copy()) for member, each in progress.items()},
        )


def describe_ready(ready: Ready, formatter: EntryFormatter = quote) -> str:
    """What a Ready asks for, one thing a line."""
    lines = []
    if ready.soft_state is not None:
        lines.append(describe_soft_state(ready.soft_state) + "\n")
    if ready.hard_state is not None:
        lines.append(f"HardState {describe_hard_state(ready.hard_state)}\n")
    if ready.read_states:
        lines.append(f"ReadStates {describe_read_states(ready.read_states)}\n")
    if ready.entries:
        lines.append("Entries:\n" + describe_entries(ready.entries, formatter))
    if ready.snapshot is not None:
        lines.append(f"Snapshot {describe_snapshot(ready.snapshot)}\n")
    if ready.committed_entries:
        lines.append("CommittedEntries:\n" + describe_entries(ready.committed_entries, formatter))
    if ready.messages:
        lines.append("Messages:\n")
        lines += [describe_message(message, formatter) + "\n" for message in ready.messages]
    if not lines:
        return "<empty Ready>"
    return f"Ready MustSync={'true' if ready.must_sync else 'false'}:\n" + "".join(lines)
