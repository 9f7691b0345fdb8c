"""Messages as the gateway writes them: proto field names, 64-bit integers as strings, bytes as base64, enums
by name, fields with their default left out, no white space."""

from __future__ import annotations

import json
from typing import Any

from gauntlet.api.errors import RpcError
from google.protobuf import json_format
from google.protobuf.message import Message


def to_json(message: Message) -> bytes:
    return _text(_fields(message))


def result_line(message: Message) -> bytes:
    """A message of a stream."""
    return _text({"result": _fields(message)}) + b"\n"


def error_body(error: RpcError) -> bytes:
    return _text(_status(error))


def error_line(error: RpcError) -> bytes:
    """The error that ends a stream."""
    return _text({"error": _status(error)}) + b"\n"


def _fields(message: Message) -> dict[str, Any]:
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


def _status(error: RpcError) -> dict[str, object]:
    body: dict[str, object] = {}
    if error.code:
        body["code"] = int(error.code)
    if error.message:
        body["message"] = error.message
    return body


def _text(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
