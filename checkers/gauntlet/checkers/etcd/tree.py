"""A persistent sorted map from bytes to hashable values: a treap (Seidel and Aragon 1996).

Rules:
1. A node is never changed; an update copies the path from the root, so that old versions stay and are cheap.
2. Keys are in search-tree order, priorities in heap order. The priority is a hash of the key, so one content
   has exactly one shape, and two maps with a common past share most of their nodes.
3. Every node carries the count of its subtree and the sum of the hashes of its pairs: hashing a map is O(1),
   and comparing two versions only visits what they do not share.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any, Generic, TypeVar
from zlib import crc32

V = TypeVar("V", bound=Hashable)

# A node: (key, value, left, right, priority, count, digest). Tuples build faster than any class.
_Node = tuple[Any, ...]
_MASK = (1 << 61) - 1


def _node(key: bytes, value: Hashable, left: _Node | None, right: _Node | None, priority: int) -> _Node:
    count = 1
    digest = hash((key, value))
    if left is not None:
        count += left[5]
        digest += left[6]
    if right is not None:
        count += right[5]
        digest += right[6]
    return (key, value, left, right, priority, count, digest & _MASK)


def _put(node: _Node | None, key: bytes, value: Hashable, priority: int) -> _Node:
    if node is None:
        return _node(key, value, None, None, priority)
    here, old, left, right, own, _, _ = node
    if key == here:
        return _node(key, value, left, right, own)
    if key < here:
        left = _put(left, key, value, priority)
        if (left[4], left[0]) > (own, here):
            return _node(left[0], left[1], left[2], _node(here, old, left[3], right, own), left[4])
    else:
        right = _put(right, key, value, priority)
        if (right[4], right[0]) > (own, here):
            return _node(right[0], right[1], _node(here, old, left, right[2], own), right[3], right[4])
    return _node(here, old, left, right, own)


def _merge(left: _Node | None, right: _Node | None) -> _Node | None:
    if left is None:
        return right
    if right is None:
        return left
    if (left[4], left[0]) > (right[4], right[0]):
        return _node(left[0], left[1], left[2], _merge(left[3], right), left[4])
    return _node(right[0], right[1], _merge(left, right[2]), right[3], right[4])


def _remove(node: _Node | None, key: bytes) -> _Node | None:
    if node is None:
        return None
    here, value, left, right, own, _, _ = node
    if key == here:
        return _merge(left, right)
    if key < here:
        return _node(here, value, _remove(left, key), right, own)
    return _node(here, value, left, _remove(right, key), own)


def _walk(node: _Node | None, start: bytes, end: bytes | None) -> Iterator[tuple[bytes, Any]]:
    if node is None:
        return
    key = node[0]
    if key >= start:
        yield from _walk(node[2], start, end)
        if end is not None and key >= end:
            return
        yield key, node[1]
    yield from _walk(node[3], start, end)


def _equal(one: _Node | None, other: _Node | None) -> bool:
    if one is other:
        return True
    if one is None or other is None or one[5] != other[5] or one[6] != other[6]:
        return False
    return bool(one[0] == other[0] and one[1] == other[1]) and (
        _equal(one[2], other[2]) and _equal(one[3], other[3])
    )


class Tree(Generic[V]):
    """Treat it as a value: `put` and `remove` give another one."""

    __slots__ = ("_root",)

    def __init__(self, root: _Node | None = None) -> None:
        self._root = root

    def put(self, key: bytes, value: V) -> Tree[V]:
        return Tree(_put(self._root, key, value, crc32(key)))

    def remove(self, key: bytes) -> Tree[V]:
        """The map without the key, which need not be there."""
        return Tree(_remove(self._root, key))

    def get(self, key: bytes) -> V | None:
        node = self._root
        while node is not None:
            here = node[0]
            if key == here:
                found: V = node[1]
                return found
            node = node[2] if key < here else node[3]
        return None

    def range(self, start: bytes, end: bytes | None = None) -> Iterator[tuple[bytes, V]]:
        """The pairs with start <= key < end (None: no end) in the order of their keys."""
        return _walk(self._root, start, end)

    def __len__(self) -> int:
        return 0 if self._root is None else int(self._root[5])

    def __hash__(self) -> int:
        return 0 if self._root is None else int(self._root[6])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tree) and _equal(self._root, other._root)

    def __repr__(self) -> str:
        return f"Tree({dict(self.range(b''))!r})"
