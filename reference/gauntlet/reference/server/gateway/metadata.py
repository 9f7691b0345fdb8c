"""HTTP headers of a gateway request as the metadata of the call it makes (grpc-gateway's rules).

`Grpc-Metadata-X` becomes `x`; the headers that HTTP itself defines become `grpcgateway-<name>`;
`Authorization` is also passed on under its own name; the host and the client's address travel as
`x-forwarded-*`. All others stay behind. `Grpc-Timeout` is the call's deadline.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping

from gauntlet.api.errors import Code, RpcError

PREFIX = "grpc-metadata-"
PERMANENT = frozenset(
    [
        "accept",
        "accept-charset",
        "accept-language",
        "accept-ranges",
        "authorization",
        "cache-control",
        "content-type",
        "cookie",
        "date",
        "expect",
        "from",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-schedule-tag-match",
        "if-unmodified-since",
        "max-forwards",
        "origin",
        "pragma",
        "referer",
        "user-agent",
        "via",
        "warning",
    ]
)
_KEY = re.compile(r"[0-9A-Za-z_.-]+")
_BASE64 = re.compile(r"[0-9A-Za-z+/]*")
_VALUE = re.compile(r"[ -~]*")
_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


def call_metadata(headers: Mapping[str, str], peer: str) -> dict[str, str]:
    """RpcError for a binary header that is not base64. `peer` is `host:port` or empty."""
    metadata: dict[str, str] = {}
    authorization = headers.get("authorization")
    if authorization is not None:
        metadata["authorization"] = authorization
    for name, value in headers.items():
        if name.startswith(PREFIX):
            key = name.removeprefix(PREFIX)
        elif name in PERMANENT:
            key = f"grpcgateway-{name}"
        else:
            continue
        if not _KEY.fullmatch(key):
            continue
        if name.endswith("-bin"):
            _check_binary(name, value)
        elif not _VALUE.fullmatch(value):
            continue
        metadata.setdefault(key, value)
    host = headers.get("x-forwarded-host") or headers.get("host") or headers.get(":authority")
    if host:
        metadata["x-forwarded-host"] = host
    addresses = [text for text in (headers.get("x-forwarded-for"), _address(peer)) if text]
    if addresses:
        metadata["x-forwarded-for"] = ", ".join(addresses)
    return metadata


def timeout(headers: Mapping[str, str]) -> float | None:
    """Seconds the call may take, None for ever; RpcError when the header makes no sense."""
    text = headers.get("grpc-timeout")
    if not text:
        return None
    unit = _UNITS.get(text[-1])
    if len(text) < 2 or unit is None or not re.fullmatch(r"[+-]?\d{1,18}", text[:-1]):
        raise RpcError(Code.INVALID_ARGUMENT, f"invalid grpc-timeout: {text}", definite=True)
    return int(text[:-1]) * unit or None


def _check_binary(name: str, value: str) -> None:
    try:
        base64.b64decode(value + "=" * (-len(value) % 4), validate=True)
    except (binascii.Error, ValueError):
        shown = "-".join(part.capitalize() for part in name.split("-"))
        good = _BASE64.match(value)
        at = good.end() if good is not None else 0
        text = f"invalid binary header {shown}: illegal base64 data at input byte {at}"
        raise RpcError(Code.INVALID_ARGUMENT, text, definite=True) from None


def _address(peer: str) -> str:
    return peer.rpartition(":")[0].strip("[]")
