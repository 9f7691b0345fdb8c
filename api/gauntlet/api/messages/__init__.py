"""etcd's messages, one module per proto package, and the table of its services.

    from gauntlet.api.messages import etcdserverpb as pb
    pb.PutRequest(key=b"a", value=b"1")

Enums are plain integers, as proto3 leaves them open: a member of a later version may send numbers that we do
not know. The field `from` of raftpb.Message is a Python keyword: reach it with getattr and setattr.

Everything here except this file and `_pool.py` is written by scripts/generate_messages.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from google.protobuf.message import Message

from gauntlet.api.messages import _pool

__all__ = ["MethodInfo", "services"]


@dataclass(frozen=True, slots=True)
class MethodInfo:
    """One RPC: where it is called, what goes in and what comes out."""

    path: str  # "/etcdserverpb.KV/Put"
    service: str  # "etcdserverpb.KV"
    name: str  # "Put"
    request: type[Message]
    response: type[Message]
    client_streaming: bool
    server_streaming: bool

    @property
    def unary(self) -> bool:
        return not (self.client_streaming or self.server_streaming)


def _table() -> dict[str, MethodInfo]:
    table: dict[str, MethodInfo] = {}
    for file_name in _pool.FILE_NAMES:
        for service in _pool.POOL.FindFileByName(file_name).services_by_name.values():
            for method in service.methods:
                path = f"/{service.full_name}/{method.name}"
                table[path] = MethodInfo(
                    path=path,
                    service=service.full_name,
                    name=method.name,
                    request=_pool.message(method.input_type.full_name),
                    response=_pool.message(method.output_type.full_name),
                    client_streaming=method.client_streaming,
                    server_streaming=method.server_streaming,
                )
    return table


services: dict[str, MethodInfo] = _table()
"""Every RPC of every service, by path."""
