"""The descriptor pool that holds our messages, and nothing of anybody else's.

protobuf keeps one default pool per process and refuses two files that define the same name. Another etcd
client in the process would define "etcdserverpb.PutRequest" as well, so ours live in a pool of their own.
"""

from __future__ import annotations

import base64

from google.protobuf import descriptor_pb2, message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message import Message

from gauntlet.api.messages import _descriptors


def _load() -> tuple[DescriptorPool, tuple[str, ...]]:
    pool = DescriptorPool()
    names: list[str] = []
    for file in descriptor_pb2.FileDescriptorSet.FromString(base64.b64decode(_descriptors.FILES)).file:
        pool.AddSerializedFile(file.SerializeToString())
        names.append(file.name)
    return pool, tuple(names)


POOL, FILE_NAMES = _load()


def message(full_name: str) -> type[Message]:
    """The class of a message, by its name on the wire; always the same object for the same name."""
    descriptor = POOL.FindMessageTypeByName(full_name)
    found = message_factory.GetMessageClass(descriptor)
    # Where pickle looks a class up by name; several packages have a Member, a Snapshot, a Lease.
    found.__module__ = f"{__package__}.{descriptor.file.package.replace('.', '_')}"
    return found


def enum(full_name: str) -> EnumTypeWrapper:
    """The names and numbers of an enum, by its name on the wire."""
    return EnumTypeWrapper(POOL.FindEnumTypeByName(full_name))
