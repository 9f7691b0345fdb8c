# Written by scripts/generate_messages.py from gauntlet/api/proto. Do not edit.
import builtins
import typing

import google.protobuf.descriptor
import google.protobuf.message
from gauntlet.api.messages import etcdserverpb

@typing.final
class Lease(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    ID_FIELD_NUMBER: typing.Final = 1
    TTL_FIELD_NUMBER: typing.Final = 2
    REMAININGTTL_FIELD_NUMBER: typing.Final = 3
    ID: builtins.int
    TTL: builtins.int
    RemainingTTL: builtins.int
    def __init__(
        self,
        *,
        ID: builtins.int = ...,
        TTL: builtins.int = ...,
        RemainingTTL: builtins.int = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["ID", "TTL", "RemainingTTL"]) -> None: ...

@typing.final
class LeaseInternalRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    LEASETIMETOLIVEREQUEST_FIELD_NUMBER: typing.Final = 1
    @builtins.property
    def LeaseTimeToLiveRequest(self) -> etcdserverpb.LeaseTimeToLiveRequest: ...
    def __init__(
        self,
        *,
        LeaseTimeToLiveRequest: etcdserverpb.LeaseTimeToLiveRequest | None = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["LeaseTimeToLiveRequest"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["LeaseTimeToLiveRequest"]) -> None: ...

@typing.final
class LeaseInternalResponse(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    LEASETIMETOLIVERESPONSE_FIELD_NUMBER: typing.Final = 1
    @builtins.property
    def LeaseTimeToLiveResponse(self) -> etcdserverpb.LeaseTimeToLiveResponse: ...
    def __init__(
        self,
        *,
        LeaseTimeToLiveResponse: etcdserverpb.LeaseTimeToLiveResponse | None = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["LeaseTimeToLiveResponse"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["LeaseTimeToLiveResponse"]) -> None: ...
