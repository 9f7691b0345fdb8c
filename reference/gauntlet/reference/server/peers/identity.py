"""Who speaks to whom: the headers members send with every peer request, and the checks they must pass.

Rules (etcd's rafthttp, 3.7.1):

- Member and cluster ids are lower-case hexadecimal without leading zeros.
- A member refuses another whose version is below the lowest it can work with, or that cannot work with a
  version as low as its own; only major and minor numbers count. A request without versions counts as 2.0.0.
- It refuses another cluster's members. Both refusals are 412 with the reason as the body.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

INCOMPATIBLE_VERSION = "incompatible version"
CLUSTER_ID_MISMATCH = "cluster ID mismatch"
TO_MISMATCH = "to field mismatch"

_OLDEST = "2.0.0"
_VERSION = re.compile(r"(\d{1,9})\.(\d{1,9})\.\d+")
_ID = re.compile(r"[0-9a-fA-F]{1,16}")


def format_id(member_id: int) -> str:
    return f"{member_id:x}"


def parse_id(text: str) -> int | None:
    return int(text, 16) if _ID.fullmatch(text) else None


def parse_version(text: str) -> tuple[int, int] | None:
    """Major and minor; None when it is not a version."""
    match = _VERSION.match(text)
    return (int(match[1]), int(match[2])) if match else None


@dataclass(frozen=True, slots=True)
class Identity:
    """What a member says of itself, and what it holds others to."""

    member_id: int
    cluster_id: int
    peer_urls: tuple[str, ...]
    version: str
    min_version: str

    def headers(self) -> dict[str, str]:
        """For every request to a peer. The peer learns our URLs even if it does not know us yet."""
        return {
            "X-Server-From": format_id(self.member_id),
            "X-Server-Version": self.version,
            "X-Min-Cluster-Version": self.min_version,
            "X-Etcd-Cluster-ID": format_id(self.cluster_id),
            "X-PeerURLs": ",".join(self.peer_urls),
        }

    def refuses(self, headers: Mapping[str, str]) -> str | None:
        """Why a request with these headers (lower-case names) is refused, or None."""
        theirs = parse_version(headers.get("x-server-version") or _OLDEST)
        their_lowest = parse_version(headers.get("x-min-cluster-version") or _OLDEST)
        ours = parse_version(self.version)
        our_lowest = parse_version(self.min_version)
        if theirs is None or their_lowest is None or ours is None or our_lowest is None:
            return INCOMPATIBLE_VERSION
        if theirs < our_lowest or their_lowest > ours:
            return INCOMPATIBLE_VERSION
        if headers.get("x-etcd-cluster-id") != format_id(self.cluster_id):
            return CLUSTER_ID_MISMATCH
        return None


def speaks_streams(headers: Mapping[str, str]) -> bool:
    """Whether the member that answered is new enough (2.1) for the streams."""
    version = parse_version(headers.get("x-server-version") or _OLDEST)
    return version is not None and version >= (2, 1)
