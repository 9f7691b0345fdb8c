# Written by scripts/generate_messages.py from gauntlet/api/proto. Do not edit.
import builtins
import collections.abc
import typing

import google.protobuf.descriptor
import google.protobuf.message
import google.protobuf.internal.containers
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper

@typing.final
class HealthCheckRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    SERVICE_FIELD_NUMBER: typing.Final = 1
    service: builtins.str
    def __init__(
        self,
        *,
        service: builtins.str = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["service"]) -> None: ...

@typing.final
class HealthCheckResponse(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    ServingStatus: EnumTypeWrapper
    UNKNOWN: typing.Final = 0
    SERVING: typing.Final = 1
    NOT_SERVING: typing.Final = 2
    SERVICE_UNKNOWN: typing.Final = 3
    STATUS_FIELD_NUMBER: typing.Final = 1
    status: builtins.int
    def __init__(
        self,
        *,
        status: builtins.int = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["status"]) -> None: ...

@typing.final
class HealthListRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    def __init__(self) -> None: ...

@typing.final
class HealthListResponse(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    STATUSES_FIELD_NUMBER: typing.Final = 1
    @builtins.property
    def statuses(self) -> google.protobuf.internal.containers.MessageMap[builtins.str, HealthCheckResponse]: ...
    def __init__(
        self,
        *,
        statuses: collections.abc.Mapping[builtins.str, HealthCheckResponse] | None = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["statuses"]) -> None: ...
