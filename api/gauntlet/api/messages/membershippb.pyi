# Written by scripts/generate_messages.py from gauntlet/api/proto. Do not edit.
import builtins
import collections.abc
import typing

import google.protobuf.descriptor
import google.protobuf.message
import google.protobuf.internal.containers

@typing.final
class RaftAttributes(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    PEER_URLS_FIELD_NUMBER: typing.Final = 1
    IS_LEARNER_FIELD_NUMBER: typing.Final = 2
    @builtins.property
    def peer_urls(self) -> google.protobuf.internal.containers.RepeatedScalarFieldContainer[builtins.str]: ...
    is_learner: builtins.bool
    def __init__(
        self,
        *,
        peer_urls: collections.abc.Iterable[builtins.str] | None = ...,
        is_learner: builtins.bool = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["peer_urls", "is_learner"]) -> None: ...

@typing.final
class Attributes(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    NAME_FIELD_NUMBER: typing.Final = 1
    CLIENT_URLS_FIELD_NUMBER: typing.Final = 2
    name: builtins.str
    @builtins.property
    def client_urls(self) -> google.protobuf.internal.containers.RepeatedScalarFieldContainer[builtins.str]: ...
    def __init__(
        self,
        *,
        name: builtins.str = ...,
        client_urls: collections.abc.Iterable[builtins.str] | None = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["name", "client_urls"]) -> None: ...

@typing.final
class Member(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    ID_FIELD_NUMBER: typing.Final = 1
    RAFT_ATTRIBUTES_FIELD_NUMBER: typing.Final = 2
    MEMBER_ATTRIBUTES_FIELD_NUMBER: typing.Final = 3
    ID: builtins.int
    @builtins.property
    def raft_attributes(self) -> RaftAttributes: ...
    @builtins.property
    def member_attributes(self) -> Attributes: ...
    def __init__(
        self,
        *,
        ID: builtins.int = ...,
        raft_attributes: RaftAttributes | None = ...,
        member_attributes: Attributes | None = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["raft_attributes", "member_attributes"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["ID", "raft_attributes", "member_attributes"]) -> None: ...

@typing.final
class ClusterVersionSetRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    VER_FIELD_NUMBER: typing.Final = 1
    ver: builtins.str
    def __init__(
        self,
        *,
        ver: builtins.str = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["ver"]) -> None: ...

@typing.final
class ClusterMemberAttrSetRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    MEMBER_ID_FIELD_NUMBER: typing.Final = 1
    MEMBER_ATTRIBUTES_FIELD_NUMBER: typing.Final = 2
    member_ID: builtins.int
    @builtins.property
    def member_attributes(self) -> Attributes: ...
    def __init__(
        self,
        *,
        member_ID: builtins.int = ...,
        member_attributes: Attributes | None = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["member_attributes"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["member_ID", "member_attributes"]) -> None: ...

@typing.final
class DowngradeInfoSetRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    ENABLED_FIELD_NUMBER: typing.Final = 1
    VER_FIELD_NUMBER: typing.Final = 2
    enabled: builtins.bool
    ver: builtins.str
    def __init__(
        self,
        *,
        enabled: builtins.bool = ...,
        ver: builtins.str = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["enabled", "ver"]) -> None: ...
