"""The values that raft reads and writes: entries, messages, states.

They are plain slotted objects: the core touches them millions of times, and it knows nothing of encodings.
Names and numbers follow the public raft message definitions of etcd, because they are also what goes over
the wire and into the log; `gauntlet.reference.formats.raftpb` turns them into bytes and back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

NONE = 0
"""The id that no member has: no leader, no vote."""

NO_LIMIT = (1 << 64) - 1
"""The size, in bytes or messages, that stands for "no limit"."""

LOCAL_APPEND_THREAD = (1 << 64) - 1
"""The address of the member's own writer of log and hard state (asynchronous storage writes)."""

LOCAL_APPLY_THREAD = (1 << 64) - 2
"""The address of the member's own applier of committed entries (asynchronous storage writes)."""


class Role(IntEnum):
    FOLLOWER = 0
    CANDIDATE = 1
    LEADER = 2
    PRE_CANDIDATE = 3


class EntryType(IntEnum):
    NORMAL = 0
    CONF_CHANGE = 1
    CONF_CHANGE_V2 = 2


class MessageType(IntEnum):
    HUP = 0
    BEAT = 1
    PROP = 2
    APP = 3
    APP_RESP = 4
    VOTE = 5
    VOTE_RESP = 6
    SNAP = 7
    HEARTBEAT = 8
    HEARTBEAT_RESP = 9
    UNREACHABLE = 10
    SNAP_STATUS = 11
    CHECK_QUORUM = 12
    TRANSFER_LEADER = 13
    TIMEOUT_NOW = 14
    READ_INDEX = 15
    READ_INDEX_RESP = 16
    PRE_VOTE = 17
    PRE_VOTE_RESP = 18
    STORAGE_APPEND = 19
    STORAGE_APPEND_RESP = 20
    STORAGE_APPLY = 21
    STORAGE_APPLY_RESP = 22
    FORGET_LEADER = 23


class ConfChangeType(IntEnum):
    ADD_NODE = 0
    REMOVE_NODE = 1
    UPDATE_NODE = 2
    ADD_LEARNER_NODE = 3


class ConfChangeTransition(IntEnum):
    AUTO = 0
    JOINT_IMPLICIT = 1
    JOINT_EXPLICIT = 2


@dataclass(slots=True)
class Entry:
    term: int = 0
    index: int = 0
    type: EntryType = EntryType.NORMAL
    data: bytes = b""


@dataclass(slots=True)
class HardState:
    term: int = 0
    vote: int = 0
    commit: int = 0


@dataclass(slots=True)
class ConfState:
    voters: list[int] = field(default_factory=list)
    learners: list[int] = field(default_factory=list)
    voters_outgoing: list[int] = field(default_factory=list)
    learners_next: list[int] = field(default_factory=list)
    auto_leave: bool = False


@dataclass(slots=True)
class Snapshot:
    """A state machine image at (index, term), and the configuration in force there. index 0 means none."""

    index: int = 0
    term: int = 0
    conf_state: ConfState = field(default_factory=ConfState)
    data: bytes = b""


@dataclass(slots=True)
class ConfChange:
    """One simple membership change; `context` is the application's."""

    type: ConfChangeType = ConfChangeType.ADD_NODE
    node_id: int = 0
    context: bytes = b""
    id: int = 0


@dataclass(slots=True)
class ConfChangeSingle:
    type: ConfChangeType = ConfChangeType.ADD_NODE
    node_id: int = 0


@dataclass(slots=True)
class ConfChangeV2:
    """Several changes at once, through a joint configuration where needed. None: leave the joint one."""

    transition: ConfChangeTransition = ConfChangeTransition.AUTO
    changes: list[ConfChangeSingle] = field(default_factory=list)
    context: bytes = b""


@dataclass(slots=True)
class Message:
    """What members send each other, and what a member's storage threads send it.

    `sender` is the field that the wire calls `from`. `snapshot` is None unless type is SNAP.
    """

    type: MessageType = MessageType.HUP
    to: int = 0
    sender: int = 0
    term: int = 0
    log_term: int = 0
    index: int = 0
    entries: list[Entry] = field(default_factory=list)
    commit: int = 0
    vote: int = 0
    snapshot: Snapshot | None = None
    reject: bool = False
    reject_hint: int = 0
    context: bytes = b""
    responses: list[Message] = field(default_factory=list)


@dataclass(slots=True)
class SoftState:
    """What is worth telling the application but need not survive a restart."""

    lead: int = NONE
    role: Role = Role.FOLLOWER


@dataclass(slots=True)
class ReadState:
    """The answer to one read request: once `index` is applied, the read may be served."""

    index: int = 0
    request_context: bytes = b""
