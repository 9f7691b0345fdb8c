# Written by scripts/generate_messages.py from gauntlet/api/proto. Do not edit.
import builtins
import typing

import google.protobuf.descriptor
import google.protobuf.message
from gauntlet.api.messages import etcdserverpb

@typing.final
class LockRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    NAME_FIELD_NUMBER: typing.Final = 1
    LEASE_FIELD_NUMBER: typing.Final = 2
    name: builtins.bytes
    lease: builtins.int
    def __init__(
        self,
        *,
        name: builtins.bytes = ...,
        lease: builtins.int = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["name", "lease"]) -> None: ...

@typing.final
class LockResponse(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    HEADER_FIELD_NUMBER: typing.Final = 1
    KEY_FIELD_NUMBER: typing.Final = 2
    @builtins.property
    def header(self) -> etcdserverpb.ResponseHeader: ...
    key: builtins.bytes
    def __init__(
        self,
        *,
        header: etcdserverpb.ResponseHeader | None = ...,
        key: builtins.bytes = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["header"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["header", "key"]) -> None: ...

@typing.final
class UnlockRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    KEY_FIELD_NUMBER: typing.Final = 1
    key: builtins.bytes
    def __init__(
        self,
        *,
        key: builtins.bytes = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["key"]) -> None: ...

@typing.final
class UnlockResponse(google.protobuf.message.Message):
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
