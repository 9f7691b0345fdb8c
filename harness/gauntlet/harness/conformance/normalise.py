"""Answers as text in which everything that may differ between two honest clusters has a neutral name.

What is replaced, and by what:
- revisions above the one at the start of the case: `base+n`; those at or below it: `base-n`; 0 stays 0
- cluster and member ids of headers, raft terms and indexes, sizes, hashes, tokens, versions, bytes of
  snapshots: `*` (an absent value stays absent, so that a forgotten field is a difference)
- leases that the server named: `lease#1`, `lease#2` ... in the order of their grants; also inside keys,
  where locks and elections write them in hexadecimal
- member ids where they are data: `member#1` ... in the order of their appearance; addresses: `ADDRESS`
- the time that is left of a lease: `granted` while it is within 2 s of what was granted
- the keys of a lease, which etcd lists in no order: sorted
- hashes of keys, unless `shows_hashes` says that both clusters stand at the same revision
- JSON: numbers in strings are numbers; fields with their zero value are left out (3.6 writes them, 3.7 not)
"""

from __future__ import annotations

import json
import re
from typing import Any

from gauntlet.api.errors import RpcError
from gauntlet.harness.conformance.http1 import HttpAnswer
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

_VOLATILE = frozenset(
    (
        *("cluster_id", "raft_term", "raftTerm", "raftIndex", "raftAppliedIndex"),
        *("dbSize", "dbSizeInUse", "token", "hash", "blob", "remaining_bytes"),
        *("storageVersion", "etcdserver", "etcdcluster", "storage"),
    )
)
_REVISIONS = frozenset(
    (
        *("revision", "create_revision", "mod_revision", "compact_revision", "hash_revision"),
        *("start_revision", "min_mod_revision", "max_mod_revision"),
        *("min_create_revision", "max_create_revision"),
    )
)
_MEMBERS = frozenset(("member_id", "memberID", "leader", "targetID"))
_ADDRESS = re.compile(r"\b(?:127\.0\.0\.1|localhost|\[::1\]):\d+")
_MEMBER_TEXT = re.compile(r"memberID:\d+")
_LEFT = 2  # seconds
_OLDEST = 10_000  # a revision further below the base than this was never a revision of this cluster


class Normaliser:
    """Of one case on one target. Not shared: the names depend on what was seen before."""

    def __init__(self, base: int, prefix: bytes = b"") -> None:
        self.base = base
        self.prefix = prefix
        self._leases: dict[int, str] = {}
        self._members: dict[int, str] = {}
        self.shows_hashes = False
        self.auth_base = 0  # auth revisions above it count from it
        self.known_leases: set[int] = set()  # those the case granted, by its own id or the server's

    def lease_named(self, lease: int) -> None:
        """The server chose this id."""
        if lease and lease not in self._leases:
            self._leases[lease] = f"lease#{len(self._leases) + 1}"
            self.shows_hashes = False  # the id is in what is hashed
        self.known_leases.add(lease)

    def outcome(self, value: object) -> str:
        """An answer, an error, an HTTP answer, or None for the end of a stream."""
        if isinstance(value, RpcError):
            return f"error {value.code.name}: {self._text(value.message)}"
        if isinstance(value, Message):
            return self.message(value)
        if isinstance(value, HttpAnswer):
            return self.http(value)
        return "end of stream" if value is None else str(value)

    def message(self, message: Message) -> str:
        return f"{message.DESCRIPTOR.name}{self._fields(message)}"

    def _fields(self, message: Message) -> str:
        kind = message.DESCRIPTOR.name
        parts = []
        for field, value in message.ListFields():
            if field.is_repeated:
                items = self._items(kind, field, list(value))
                parts.append(f"{field.name}: [{', '.join(items)}]")
            else:
                parts.append(f"{field.name}: {self._value(kind, field, value, message)}")
        return "{" + ", ".join(parts) + "}"

    def _items(self, kind: str, field: FieldDescriptor, values: list[Any]) -> list[str]:
        if kind == "LeaseLeasesResponse" and field.name == "leases":
            values = sorted((v for v in values if v.ID in self.known_leases), key=lambda v: self._lease(v.ID))
        if kind == "LeaseTimeToLiveResponse":
            values = sorted(values)
        if field.name == "members":  # stands in the order of the ids, which are chance
            values = sorted(values, key=lambda member: (member.name, member.isLearner))
        return [self._value(kind, field, value, None) for value in values]

    def _value(self, kind: str, field: FieldDescriptor, value: Any, owner: Message | None) -> str:
        name = field.name
        if isinstance(value, Message):
            return self._fields(value)
        if isinstance(value, bytes) and name != "blob":
            return self._bytes(value)
        if isinstance(value, str) and name not in _VOLATILE:
            return "*" if name == "version" else repr(self._text(value))
        if kind == "LeaseTimeToLiveResponse" and name == "TTL":
            return self._left(value, getattr(owner, "grantedTTL", 0))
        return self._number(kind, name, value)

    def _number(self, kind: str, name: str, value: Any) -> str:
        if name == "hash" and kind == "HashKVResponse" and self.shows_hashes:
            return str(value)
        if name == "authRevision" and self.auth_base:
            return f"auth+{value - self.auth_base}"
        if name in _VOLATILE:
            return "*"
        if kind == "ResponseHeader" and name == "member_id":
            return "*"
        if name in _REVISIONS:
            return self.revision(value)
        if name in _MEMBERS or (name == "ID" and kind.startswith("Member")):
            return self._member(value)
        if name == "lease" or (name == "ID" and kind.startswith("Lease")):
            return self._lease(value)
        return str(value)

    def revision(self, value: int) -> str:
        if value <= 0 or value > self.base + 1_000_000 or value < self.base - _OLDEST:
            return str(value)
        return f"base+{value - self.base}" if value > self.base else f"base-{self.base - value}"

    def _left(self, left: int, granted: int) -> str:
        return "granted" if 0 < granted - _LEFT <= left <= granted else str(left)

    def _lease(self, value: int) -> str:
        return self._leases.get(value, str(value))

    def _member(self, value: int) -> str:
        return self._members.setdefault(value, f"member#{len(self._members) + 1}") if value else "0"

    def _bytes(self, value: bytes) -> str:
        for lease, name in self._leases.items():
            value = value.replace(f"{lease:x}".encode(), name.encode())
        if self.prefix:
            value = value.replace(self.prefix, b"~/")
        return repr(value) if len(value) <= 200 else f"{value[:40]!r}... ({len(value)} bytes)"

    def _text(self, text: str) -> str:
        return _MEMBER_TEXT.sub("memberID:*", _ADDRESS.sub("ADDRESS", text))

    # ---- HTTP ----

    def http(self, answer: HttpAnswer) -> str:
        kind = answer.headers.get("content-type", "")
        body = self._text(answer.text)
        if body.startswith(("[+]", "[-]")):  # health checks, which etcd lists in no order
            body = "\n".join(sorted(body.splitlines()))
        if "json" in kind:
            try:
                body = json.dumps(self._json(answer.json()), sort_keys=True)
            except ValueError:
                pass  # a stream of values, or not JSON: compared as text
        return f"{answer.status} {kind} {body}"

    def _json(self, value: Any, name: str = "") -> Any:
        if isinstance(value, dict):
            if "peerURLs" in value and "ID" in value:
                value = {**value, "ID": self._member(int(value["ID"]))}
            if "grantedTTL" in value:
                value = self._json_time_to_live(value)
            found = {key: self._json(item, key) for key, item in value.items()}
            return {key: item for key, item in found.items() if item not in (0, "", False, None, [], {})}
        if isinstance(value, list):
            if name == "members":
                value = sorted(value, key=lambda item: (item.get("name", ""), item.get("isLearner", False)))
            if name == "leases":
                value = [item for item in value if int(item["ID"]) in self.known_leases]
            return [self._json(item, name) for item in value]
        if isinstance(value, str) and value.lstrip("-").isdigit():
            value = int(value)
        elif isinstance(value, str):
            value = self._text(value)
        if name in _VOLATILE or name in _MEMBERS or name == "version":
            return "*" if value else value
        if isinstance(value, int) and not isinstance(value, bool):
            if name == "authRevision":
                return value - self.auth_base
            if name in _REVISIONS:
                return self.revision(value)
            return self._lease(value) if name in ("lease", "ID") and value in self._leases else value
        return value

    def _json_time_to_live(self, value: dict[str, Any]) -> dict[str, Any]:
        left = self._left(int(value.get("TTL", 0)), int(value["grantedTTL"]))
        return {**value, "TTL": left, "keys": sorted(value.get("keys") or [])}
