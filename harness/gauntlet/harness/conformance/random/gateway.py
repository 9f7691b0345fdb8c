"""Requests as the JSON gateway takes them."""

from __future__ import annotations

from gauntlet.harness.conformance.talk import path_of
from google.protobuf import json_format
from google.protobuf.message import Message

# Where the gateway's path is not the service's and the method's name in small letters.
_IRREGULAR = {
    "KV/Compact": "kv/compaction",
    "Maintenance/MoveLeader": "maintenance/transfer-leadership",
    "Auth/UserChangePassword": "auth/user/changepw",
    "Auth/UserGrantRole": "auth/user/grant",
    "Auth/UserRevokeRole": "auth/user/revoke",
    "Auth/RoleGrantPermission": "auth/role/grant",
    "Auth/RoleRevokePermission": "auth/role/revoke",
}
_GROUPS = ("Lease", "Member", "User", "Role", "Auth")


def gateway_path(request: Message) -> str:
    """`/v3/kv/put` for a PutRequest."""
    service, method = path_of(request).rpartition(".")[2].split("/")
    irregular = _IRREGULAR.get(f"{service}/{method}")
    if irregular is not None:
        return f"/v3/{irregular}"
    for group in _GROUPS:
        rest = method.removeprefix(group)
        if rest and rest != method and rest[0].isupper():
            middle = "" if group == service else f"{group.lower()}/"
            return f"/v3/{service.lower()}/{middle}{rest.lower()}"
    return f"/v3/{service.lower()}/{method.lower()}"


def body_of(request: Message) -> bytes:
    return json_format.MessageToJson(request, preserving_proto_field_name=True, indent=None).encode()
