"""Which of many key ranges contain a key.

Ranges are kept sorted by their start in an array that is read as a balanced binary tree, each node
knowing the largest end below it; a lookup visits only nodes whose subtree can reach the key. The array is
rebuilt only now and then: new ranges wait in a short list that every lookup scans, and ranges that nobody
uses any more stay until the next rebuild. Their number before a rebuild grows with the square root of the
array, so adding costs little however many ranges there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import isqrt
from typing import Generic, TypeVar

T = TypeVar("T")

Bounds = tuple[bytes, bytes | None]


class _Range(Generic[T]):
    __slots__ = ("end", "members", "start")

    def __init__(self, start: bytes, end: bytes | None) -> None:
        self.start = start
        self.end = end
        self.members: dict[T, None] = {}


class IntervalMap(Generic[T]):
    """Members by range [start, end); an end of None means no upper bound. A member may be in many ranges."""

    def __init__(self) -> None:
        self._ranges: dict[Bounds, _Range[T]] = {}
        self._tree: list[_Range[T]] = []
        self._reach: list[bytes | None] = []  # the largest end in the subtree of the node; None: unbounded
        self._fresh: list[_Range[T]] = []
        self._unused = 0

    def add(self, start: bytes, end: bytes | None, member: T) -> None:
        found = self._ranges.get((start, end))
        if found is None:
            found = self._ranges[start, end] = _Range(start, end)
            self._fresh.append(found)
        elif not found.members:
            self._unused -= 1
        found.members[member] = None
        if len(self._fresh) > self._slack():
            self._rebuild()

    def remove(self, start: bytes, end: bytes | None, member: T) -> None:
        members = self._ranges[start, end].members
        del members[member]
        if not members:
            self._unused += 1
            if self._unused > self._slack() and 2 * self._unused > len(self._ranges):
                self._rebuild()

    def containing(self, key: bytes) -> Iterator[dict[T, None]]:
        """The members of every range that contains the key; the dictionaries are the map's own."""
        for found in self._fresh:
            if found.start <= key and (found.end is None or key < found.end) and found.members:
                yield found.members
        tree, reach = self._tree, self._reach
        spans = [(0, len(tree))]
        while spans:
            low, high = spans.pop()
            if low >= high:
                continue
            middle = (low + high) // 2
            end = reach[middle]
            if end is not None and end <= key:
                continue
            spans.append((low, middle))
            found = tree[middle]
            if found.start <= key:
                if (found.end is None or key < found.end) and found.members:
                    yield found.members
                spans.append((middle + 1, high))

    def _slack(self) -> int:
        return 32 + 2 * isqrt(len(self._tree))

    def _rebuild(self) -> None:
        self._ranges = {bounds: found for bounds, found in self._ranges.items() if found.members}
        self._tree = sorted(self._ranges.values(), key=lambda found: found.start)
        self._reach = [None] * len(self._tree)
        self._set_reach(0, len(self._tree))
        self._fresh = []
        self._unused = 0

    def _set_reach(self, low: int, high: int) -> bytes | None:
        """Fills in the subtree of [low, high); returns its largest end, b"" if it is empty."""
        if low >= high:
            return b""
        middle = (low + high) // 2
        left = self._set_reach(low, middle)
        right = self._set_reach(middle + 1, high)
        own = self._tree[middle].end
        largest = None if left is None or right is None or own is None else max(left, right, own)
        self._reach[middle] = largest
        return largest
