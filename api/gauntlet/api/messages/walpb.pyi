# Written by scripts/generate_messages.py from gauntlet/api/proto. Do not edit.
import builtins
import typing

import google.protobuf.descriptor
import google.protobuf.message
from gauntlet.api.messages import raftpb

@typing.final
class Record(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    TYPE_FIELD_NUMBER: typing.Final = 1
    CRC_FIELD_NUMBER: typing.Final = 2
    DATA_FIELD_NUMBER: typing.Final = 3
    type: builtins.int
    crc: builtins.int
    data: builtins.bytes
    def __init__(
        self,
        *,
        type: builtins.int = ...,
        crc: builtins.int = ...,
        data: builtins.bytes = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["type", "crc", "data"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["type", "crc", "data"]) -> None: ...

@typing.final
class Snapshot(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    INDEX_FIELD_NUMBER: typing.Final = 1
    TERM_FIELD_NUMBER: typing.Final = 2
    CONF_STATE_FIELD_NUMBER: typing.Final = 3
    index: builtins.int
    term: builtins.int
    @builtins.property
    def conf_state(self) -> raftpb.ConfState: ...
    def __init__(
        self,
        *,
        index: builtins.int = ...,
        term: builtins.int = ...,
        conf_state: raftpb.ConfState | None = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["index", "term", "conf_state"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["index", "term", "conf_state"]) -> None: ...
