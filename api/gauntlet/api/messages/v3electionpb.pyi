# Written by scripts/generate_messages.py from gauntlet/api/proto. Do not edit.
import builtins
import typing

import google.protobuf.descriptor
import google.protobuf.message
from gauntlet.api.messages import etcdserverpb
from gauntlet.api.messages import mvccpb

@typing.final
class CampaignRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    NAME_FIELD_NUMBER: typing.Final = 1
    LEASE_FIELD_NUMBER: typing.Final = 2
    VALUE_FIELD_NUMBER: typing.Final = 3
    name: builtins.bytes
    lease: builtins.int
    value: builtins.bytes
    def __init__(
        self,
        *,
        name: builtins.bytes = ...,
        lease: builtins.int = ...,
        value: builtins.bytes = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["name", "lease", "value"]) -> None: ...

@typing.final
class CampaignResponse(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    HEADER_FIELD_NUMBER: typing.Final = 1
    LEADER_FIELD_NUMBER: typing.Final = 2
    @builtins.property
    def header(self) -> etcdserverpb.ResponseHeader: ...
    @builtins.property
    def leader(self) -> LeaderKey: ...
    def __init__(
        self,
        *,
        header: etcdserverpb.ResponseHeader | None = ...,
        leader: LeaderKey | None = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["header", "leader"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["header", "leader"]) -> None: ...

@typing.final
class LeaderKey(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    NAME_FIELD_NUMBER: typing.Final = 1
    KEY_FIELD_NUMBER: typing.Final = 2
    REV_FIELD_NUMBER: typing.Final = 3
    LEASE_FIELD_NUMBER: typing.Final = 4
    name: builtins.bytes
    key: builtins.bytes
    rev: builtins.int
    lease: builtins.int
    def __init__(
        self,
        *,
        name: builtins.bytes = ...,
        key: builtins.bytes = ...,
        rev: builtins.int = ...,
        lease: builtins.int = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["name", "key", "rev", "lease"]) -> None: ...

@typing.final
class LeaderRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    NAME_FIELD_NUMBER: typing.Final = 1
    name: builtins.bytes
    def __init__(
        self,
        *,
        name: builtins.bytes = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["name"]) -> None: ...

@typing.final
class LeaderResponse(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    HEADER_FIELD_NUMBER: typing.Final = 1
    KV_FIELD_NUMBER: typing.Final = 2
    @builtins.property
    def header(self) -> etcdserverpb.ResponseHeader: ...
    @builtins.property
    def kv(self) -> mvccpb.KeyValue: ...
    def __init__(
        self,
        *,
        header: etcdserverpb.ResponseHeader | None = ...,
        kv: mvccpb.KeyValue | None = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["header", "kv"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["header", "kv"]) -> None: ...

@typing.final
class ResignRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    LEADER_FIELD_NUMBER: typing.Final = 1
    @builtins.property
    def leader(self) -> LeaderKey: ...
    def __init__(
        self,
        *,
        leader: LeaderKey | None = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["leader"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["leader"]) -> None: ...

@typing.final
class ResignResponse(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    HEADER_FIELD_NUMBER: typing.Final = 1
    @builtins.property
    def header(self) -> etcdserverpb.ResponseHeader: ...
    def __init__(
        self,
        *,
        header: etcdserverpb.ResponseHeader | None = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["header"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["header"]) -> None: ...

@typing.final
class ProclaimRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    LEADER_FIELD_NUMBER: typing.Final = 1
    VALUE_FIELD_NUMBER: typing.Final = 2
    @builtins.property
    def leader(self) -> LeaderKey: ...
    value: builtins.bytes
    def __init__(
        self,
        *,
        leader: LeaderKey | None = ...,
        value: builtins.bytes = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["leader"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["leader", "value"]) -> None: ...

@typing.final
class ProclaimResponse(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    HEADER_FIELD_NUMBER: typing.Final = 1
    @builtins.property
    def header(self) -> etcdserverpb.ResponseHeader: ...
    def __init__(
        self,
        *,
        header: etcdserverpb.ResponseHeader | None = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["header"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["header"]) -> None: ...
