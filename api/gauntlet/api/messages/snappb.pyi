# Written by scripts/generate_messages.py from gauntlet/api/proto. Do not edit.
import builtins
import typing

import google.protobuf.descriptor
import google.protobuf.message

@typing.final
class snapshot(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    CRC_FIELD_NUMBER: typing.Final = 1
    DATA_FIELD_NUMBER: typing.Final = 2
    crc: builtins.int
    data: builtins.bytes
    def __init__(
        self,
        *,
        crc: builtins.int = ...,
        data: builtins.bytes = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["crc", "data"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["crc", "data"]) -> None: ...
