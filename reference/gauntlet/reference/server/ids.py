"""Request ids that no two members, and no two lives of one member, share for a long time."""

from __future__ import annotations


class RequestIds:
    """Two bytes of the member's id, five of the start time in ms, one to count: etcd's layout."""

    def __init__(self, member_id: int, wall_ms: int) -> None:
        self._prefix = (member_id & 0xFFFF) << 48
        self._suffix = (wall_ms & (1 << 40) - 1) << 8

    def __call__(self) -> int:
        self._suffix = (self._suffix + 1) & (1 << 48) - 1
        return self._prefix | self._suffix
