# Written by scripts/generate_messages.py from gauntlet/api/proto. Do not edit.
import builtins
import collections.abc
import typing

import google.protobuf.descriptor
import google.protobuf.message
import google.protobuf.internal.containers
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper

@typing.final
class UserAddOptions(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    NO_PASSWORD_FIELD_NUMBER: typing.Final = 1
    no_password: builtins.bool
    def __init__(
        self,
        *,
        no_password: builtins.bool = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["no_password"]) -> None: ...

@typing.final
class User(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    NAME_FIELD_NUMBER: typing.Final = 1
    PASSWORD_FIELD_NUMBER: typing.Final = 2
    ROLES_FIELD_NUMBER: typing.Final = 3
    OPTIONS_FIELD_NUMBER: typing.Final = 4
    name: builtins.bytes
    password: builtins.bytes
    @builtins.property
    def roles(self) -> google.protobuf.internal.containers.RepeatedScalarFieldContainer[builtins.str]: ...
    @builtins.property
    def options(self) -> UserAddOptions: ...
    def __init__(
        self,
        *,
        name: builtins.bytes = ...,
        password: builtins.bytes = ...,
        roles: collections.abc.Iterable[builtins.str] | None = ...,
        options: UserAddOptions | None = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["options"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["name", "password", "roles", "options"]) -> None: ...

@typing.final
class Permission(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    Type: EnumTypeWrapper
    READ: typing.Final = 0
    WRITE: typing.Final = 1
    READWRITE: typing.Final = 2
    PERMTYPE_FIELD_NUMBER: typing.Final = 1
    KEY_FIELD_NUMBER: typing.Final = 2
    RANGE_END_FIELD_NUMBER: typing.Final = 3
    permType: builtins.int
    key: builtins.bytes
    range_end: builtins.bytes
    def __init__(
        self,
        *,
        permType: builtins.int = ...,
        key: builtins.bytes = ...,
        range_end: builtins.bytes = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["permType", "key", "range_end"]) -> None: ...

@typing.final
class Role(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    NAME_FIELD_NUMBER: typing.Final = 1
    KEYPERMISSION_FIELD_NUMBER: typing.Final = 2
    name: builtins.bytes
    @builtins.property
    def keyPermission(self) -> google.protobuf.internal.containers.RepeatedCompositeFieldContainer[Permission]: ...
    def __init__(
        self,
        *,
        name: builtins.bytes = ...,
        keyPermission: collections.abc.Iterable[Permission] | None = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["name", "keyPermission"]) -> None: ...
