# Written by scripts/generate_messages.py from gauntlet/api/proto. Do not edit.
import builtins
import collections.abc
import typing

import google.protobuf.descriptor
import google.protobuf.message
import google.protobuf.internal.containers
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper

EntryType: EnumTypeWrapper
EntryNormal: typing.Final = 0
EntryConfChange: typing.Final = 1
EntryConfChangeV2: typing.Final = 2

MessageType: EnumTypeWrapper
MsgHup: typing.Final = 0
MsgBeat: typing.Final = 1
MsgProp: typing.Final = 2
MsgApp: typing.Final = 3
MsgAppResp: typing.Final = 4
MsgVote: typing.Final = 5
MsgVoteResp: typing.Final = 6
MsgSnap: typing.Final = 7
MsgHeartbeat: typing.Final = 8
MsgHeartbeatResp: typing.Final = 9
MsgUnreachable: typing.Final = 10
MsgSnapStatus: typing.Final = 11
MsgCheckQuorum: typing.Final = 12
MsgTransferLeader: typing.Final = 13
MsgTimeoutNow: typing.Final = 14
MsgReadIndex: typing.Final = 15
MsgReadIndexResp: typing.Final = 16
MsgPreVote: typing.Final = 17
MsgPreVoteResp: typing.Final = 18
MsgStorageAppend: typing.Final = 19
MsgStorageAppendResp: typing.Final = 20
MsgStorageApply: typing.Final = 21
MsgStorageApplyResp: typing.Final = 22
MsgForgetLeader: typing.Final = 23

ConfChangeTransition: EnumTypeWrapper
ConfChangeTransitionAuto: typing.Final = 0
ConfChangeTransitionJointImplicit: typing.Final = 1
ConfChangeTransitionJointExplicit: typing.Final = 2

ConfChangeType: EnumTypeWrapper
ConfChangeAddNode: typing.Final = 0
ConfChangeRemoveNode: typing.Final = 1
ConfChangeUpdateNode: typing.Final = 2
ConfChangeAddLearnerNode: typing.Final = 3

@typing.final
class Entry(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    TYPE_FIELD_NUMBER: typing.Final = 1
    TERM_FIELD_NUMBER: typing.Final = 2
    INDEX_FIELD_NUMBER: typing.Final = 3
    DATA_FIELD_NUMBER: typing.Final = 4
    Type: builtins.int
    Term: builtins.int
    Index: builtins.int
    Data: builtins.bytes
    def __init__(
        self,
        *,
        Type: builtins.int = ...,
        Term: builtins.int = ...,
        Index: builtins.int = ...,
        Data: builtins.bytes = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["Type", "Term", "Index", "Data"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["Type", "Term", "Index", "Data"]) -> None: ...

@typing.final
class SnapshotMetadata(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    CONF_STATE_FIELD_NUMBER: typing.Final = 1
    INDEX_FIELD_NUMBER: typing.Final = 2
    TERM_FIELD_NUMBER: typing.Final = 3
    @builtins.property
    def conf_state(self) -> ConfState: ...
    index: builtins.int
    term: builtins.int
    def __init__(
        self,
        *,
        conf_state: ConfState | None = ...,
        index: builtins.int = ...,
        term: builtins.int = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["conf_state", "index", "term"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["conf_state", "index", "term"]) -> None: ...

@typing.final
class Snapshot(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    DATA_FIELD_NUMBER: typing.Final = 1
    METADATA_FIELD_NUMBER: typing.Final = 2
    data: builtins.bytes
    @builtins.property
    def metadata(self) -> SnapshotMetadata: ...
    def __init__(
        self,
        *,
        data: builtins.bytes = ...,
        metadata: SnapshotMetadata | None = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["data", "metadata"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["data", "metadata"]) -> None: ...

@typing.final
class Message(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    TYPE_FIELD_NUMBER: typing.Final = 1
    TO_FIELD_NUMBER: typing.Final = 2
    FROM_FIELD_NUMBER: typing.Final = 3
    TERM_FIELD_NUMBER: typing.Final = 4
    LOGTERM_FIELD_NUMBER: typing.Final = 5
    INDEX_FIELD_NUMBER: typing.Final = 6
    ENTRIES_FIELD_NUMBER: typing.Final = 7
    COMMIT_FIELD_NUMBER: typing.Final = 8
    SNAPSHOT_FIELD_NUMBER: typing.Final = 9
    REJECT_FIELD_NUMBER: typing.Final = 10
    REJECTHINT_FIELD_NUMBER: typing.Final = 11
    CONTEXT_FIELD_NUMBER: typing.Final = 12
    VOTE_FIELD_NUMBER: typing.Final = 13
    RESPONSES_FIELD_NUMBER: typing.Final = 14
    type: builtins.int
    to: builtins.int
    term: builtins.int
    logTerm: builtins.int
    index: builtins.int
    @builtins.property
    def entries(self) -> google.protobuf.internal.containers.RepeatedCompositeFieldContainer[Entry]: ...
    commit: builtins.int
    @builtins.property
    def snapshot(self) -> Snapshot: ...
    reject: builtins.bool
    rejectHint: builtins.int
    context: builtins.bytes
    vote: builtins.int
    @builtins.property
    def responses(self) -> google.protobuf.internal.containers.RepeatedCompositeFieldContainer[Message]: ...
    def __init__(
        self,
        *,
        type: builtins.int = ...,
        to: builtins.int = ...,
        term: builtins.int = ...,
        logTerm: builtins.int = ...,
        index: builtins.int = ...,
        entries: collections.abc.Iterable[Entry] | None = ...,
        commit: builtins.int = ...,
        snapshot: Snapshot | None = ...,
        reject: builtins.bool = ...,
        rejectHint: builtins.int = ...,
        context: builtins.bytes = ...,
        vote: builtins.int = ...,
        responses: collections.abc.Iterable[Message] | None = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["type", "to", "from", "term", "logTerm", "index", "commit", "snapshot", "reject", "rejectHint", "context", "vote"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["type", "to", "from", "term", "logTerm", "index", "entries", "commit", "snapshot", "reject", "rejectHint", "context", "vote", "responses"]) -> None: ...

@typing.final
class HardState(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    TERM_FIELD_NUMBER: typing.Final = 1
    VOTE_FIELD_NUMBER: typing.Final = 2
    COMMIT_FIELD_NUMBER: typing.Final = 3
    term: builtins.int
    vote: builtins.int
    commit: builtins.int
    def __init__(
        self,
        *,
        term: builtins.int = ...,
        vote: builtins.int = ...,
        commit: builtins.int = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["term", "vote", "commit"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["term", "vote", "commit"]) -> None: ...

@typing.final
class ConfState(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    VOTERS_FIELD_NUMBER: typing.Final = 1
    LEARNERS_FIELD_NUMBER: typing.Final = 2
    VOTERS_OUTGOING_FIELD_NUMBER: typing.Final = 3
    LEARNERS_NEXT_FIELD_NUMBER: typing.Final = 4
    AUTO_LEAVE_FIELD_NUMBER: typing.Final = 5
    @builtins.property
    def voters(self) -> google.protobuf.internal.containers.RepeatedScalarFieldContainer[builtins.int]: ...
    @builtins.property
    def learners(self) -> google.protobuf.internal.containers.RepeatedScalarFieldContainer[builtins.int]: ...
    @builtins.property
    def voters_outgoing(self) -> google.protobuf.internal.containers.RepeatedScalarFieldContainer[builtins.int]: ...
    @builtins.property
    def learners_next(self) -> google.protobuf.internal.containers.RepeatedScalarFieldContainer[builtins.int]: ...
    auto_leave: builtins.bool
    def __init__(
        self,
        *,
        voters: collections.abc.Iterable[builtins.int] | None = ...,
        learners: collections.abc.Iterable[builtins.int] | None = ...,
        voters_outgoing: collections.abc.Iterable[builtins.int] | None = ...,
        learners_next: collections.abc.Iterable[builtins.int] | None = ...,
        auto_leave: builtins.bool = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["auto_leave"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["voters", "learners", "voters_outgoing", "learners_next", "auto_leave"]) -> None: ...

@typing.final
class ConfChange(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    ID_FIELD_NUMBER: typing.Final = 1
    TYPE_FIELD_NUMBER: typing.Final = 2
    NODE_ID_FIELD_NUMBER: typing.Final = 3
    CONTEXT_FIELD_NUMBER: typing.Final = 4
    id: builtins.int
    type: builtins.int
    node_id: builtins.int
    context: builtins.bytes
    def __init__(
        self,
        *,
        id: builtins.int = ...,
        type: builtins.int = ...,
        node_id: builtins.int = ...,
        context: builtins.bytes = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["id", "type", "node_id", "context"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["id", "type", "node_id", "context"]) -> None: ...

@typing.final
class ConfChangeSingle(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    TYPE_FIELD_NUMBER: typing.Final = 1
    NODE_ID_FIELD_NUMBER: typing.Final = 2
    type: builtins.int
    node_id: builtins.int
    def __init__(
        self,
        *,
        type: builtins.int = ...,
        node_id: builtins.int = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["type", "node_id"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["type", "node_id"]) -> None: ...

@typing.final
class ConfChangeV2(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    TRANSITION_FIELD_NUMBER: typing.Final = 1
    CHANGES_FIELD_NUMBER: typing.Final = 2
    CONTEXT_FIELD_NUMBER: typing.Final = 3
    transition: builtins.int
    @builtins.property
    def changes(self) -> google.protobuf.internal.containers.RepeatedCompositeFieldContainer[ConfChangeSingle]: ...
    context: builtins.bytes
    def __init__(
        self,
        *,
        transition: builtins.int = ...,
        changes: collections.abc.Iterable[ConfChangeSingle] | None = ...,
        context: builtins.bytes = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["transition", "context"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["transition", "changes", "context"]) -> None: ...
