"""Which keys a user may read and write: the ranges of all roles of a user, merged once and then looked up.

Rules (etcd's unified range permissions, server v3.7.1):

- A permission without a range end is for one key. A range end of one zero byte means "no end"; any other is
  the first key that no longer belongs.
- A key may be used if some range holds it. A range may be used if the ranges together cover all of it; two
  that touch count as one.
- A request for an empty range is judged by its start alone.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from gauntlet.api.messages import authpb

NO_END = b"\x00"


def valid_range(key: bytes, range_end: bytes) -> bool:
    """Whether a permission for this range may be granted."""
    if not key:
        return False
    return not range_end or key < range_end or range_end == NO_END


class Ranges:
    """A set of keys as disjoint intervals in order; an end of None means no upper bound."""

    __slots__ = ("_ends", "_starts")

    def __init__(self, permissions: Iterable[authpb.Permission]) -> None:
        self._starts: list[bytes] = []
        self._ends: list[bytes | None] = []
        for start, end in sorted(map(_interval, permissions), key=lambda pair: pair[0]):
            if self._starts and self._reaches(start):
                last = self._ends[-1]
                if last is not None and (end is None or end > last):
                    self._ends[-1] = end
            else:
                self._starts.append(start)
                self._ends.append(end)

    def _reaches(self, start: bytes) -> bool:
        last = self._ends[-1]
        return last is None or start <= last

    def covers(self, key: bytes, range_end: bytes) -> bool:
        """Whether the key, or all of [key, range_end), is in the set; `range_end` as in requests."""
        at = bisect_right(self._starts, key) - 1
        if at < 0:
            return False
        end = self._ends[at]
        if end is None:
            return True
        if key >= end:
            return False
        return not range_end or (range_end != NO_END and range_end <= end)


class UserRanges:
    """What one user may read and write through all roles."""

    __slots__ = ("read", "write")

    def __init__(self, permissions: Iterable[authpb.Permission]) -> None:
        given = list(permissions)
        both = authpb.Permission.READWRITE
        self.read = Ranges(p for p in given if p.permType in (both, authpb.Permission.READ))
        self.write = Ranges(p for p in given if p.permType in (both, authpb.Permission.WRITE))


def _interval(permission: authpb.Permission) -> tuple[bytes, bytes | None]:
    if not permission.range_end:
        return permission.key, permission.key + b"\x00"
    return permission.key, None if permission.range_end == NO_END else permission.range_end
