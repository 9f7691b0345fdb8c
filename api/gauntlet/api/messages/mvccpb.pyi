# Written by scripts/generate_messages.py from gauntlet/api/proto. Do not edit.
import builtins
import typing

import google.protobuf.descriptor
import google.protobuf.message
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper

@typing.final
class KeyValue(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    KEY_FIELD_NUMBER: typing.Final = 1
    CREATE_REVISION_FIELD_NUMBER: typing.Final = 2
    MOD_REVISION_FIELD_NUMBER: typing.Final = 3
    VERSION_FIELD_NUMBER: typing.Final = 4
    VALUE_FIELD_NUMBER: typing.Final = 5
    LEASE_FIELD_NUMBER: typing.Final = 6
    key: builtins.bytes
    create_revision: builtins.int
    mod_revision: builtins.int
    version: builtins.int
    value: builtins.bytes
    lease: builtins.int
    def __init__(
        self,
        *,
        key: builtins.bytes = ...,
        create_revision: builtins.int = ...,
        mod_revision: builtins.int = ...,
        version: builtins.int = ...,
        value: builtins.bytes = ...,
        lease: builtins.int = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["key", "create_revision", "mod_revision", "version", "value", "lease"]) -> None: ...

@typing.final
class Event(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    EventType: EnumTypeWrapper
    PUT: typing.Final = 0
    DELETE: typing.Final = 1
    TYPE_FIELD_NUMBER: typing.Final = 1
    KV_FIELD_NUMBER: typing.Final = 2
    PREV_KV_FIELD_NUMBER: typing.Final = 3
    type: builtins.int
    @builtins.property
    def kv(self) -> KeyValue: ...
    @builtins.property
    def prev_kv(self) -> KeyValue: ...
    def __init__(
        self,
        *,
        type: builtins.int = ...,
        kv: KeyValue | None = ...,
        prev_kv: KeyValue | None = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["kv", "prev_kv"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["type", "kv", "prev_kv"]) -> None: ...
