"""The store below everything a member keeps: named buckets of ordered byte keys and byte values.

Bucket names and their contents are etcd's, so that a genuine database file can take the place of
`MemoryBackend` without a change above `Backend`.

Rules:

- A bucket is ordered by key, bytewise. Ranges are [start, end); an empty end means no upper bound.
- `freeze` is a point in time: later writes do not show in it, and another thread may `dump` it meanwhile.
- A dump is whole or refused: `load` changes nothing unless every frame's checksum and the number of
  entries at the end are right.

The serial form: a magic string, then frames. A frame is `length | CRC32C of the payload | payload`, both
numbers four bytes big-endian. A payload begins with its kind: `B` + bucket name opens a bucket; `E`
carries entries, each `key length | value length | key | value`; `P` is padding; `Z` + the number of entries
(eight bytes) ends the dump. The whole is padded to a multiple of 512 bytes, as the pages of a database are:
by that etcd's tools see that a saved snapshot has a digest behind it.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import google_crc32c

KEY = "key"
META = "meta"
LEASE = "lease"
ALARM = "alarm"
CLUSTER = "cluster"
MEMBERS = "members"
MEMBERS_REMOVED = "members_removed"
AUTH = "auth"
AUTH_USERS = "authUsers"
AUTH_ROLES = "authRoles"

# In the order of their names: the order in which a hash of the whole store visits them.
BUCKETS = tuple(
    sorted((KEY, META, LEASE, ALARM, CLUSTER, MEMBERS, MEMBERS_REMOVED, AUTH, AUTH_USERS, AUTH_ROLES))
)

Pair = tuple[bytes, bytes]


class CorruptDumpError(ValueError):
    """A dump that is cut short, altered, or no dump at all."""


@dataclass(frozen=True, slots=True)
class Frozen:
    """The contents of a backend at one moment, and what they count in `Backend.size`. Nobody changes the
    dictionaries any more."""

    buckets: dict[str, dict[bytes, bytes]]
    size: int

    @property
    def dump_size(self) -> int:
        """How many bytes `dump` gives, known without making them. Padding makes up for what is only bounded:
        the number of frames."""
        names = len(_MAGIC) + sum(_FRAME.size + 1 + len(name) for name in self.buckets)
        entries = self.size + (_ENTRY.size - _ENTRY_OVERHEAD) * sum(map(len, self.buckets.values()))
        frames = entries // _FRAME_BYTES + len(self.buckets)
        end = _FRAME.size + 1 + _COUNT.size
        least = names + entries + _LEAST_FRAME * frames + _LEAST_FRAME + end
        return least + -least % _SECTOR


class Backend(Protocol):
    """What the state machines ask of their store. One writer; calls never block on other threads."""

    def put(self, bucket: str, key: bytes, value: bytes) -> None: ...

    def delete(self, bucket: str, key: bytes) -> None:
        """Removes a key; one that is not there is no error."""

    def get(self, bucket: str, key: bytes) -> bytes | None: ...

    def range(self, bucket: str, start: bytes, end: bytes, limit: int = 0) -> list[Pair]:
        """The pairs of [start, end) in key order, at most `limit` when it is positive."""

    def count(self, bucket: str) -> int:
        """The number of keys in a bucket."""

    def size(self) -> int:
        """Bytes in use."""

    def defragment(self) -> None:
        """Gives back what deleted keys still hold."""

    def freeze(self) -> Frozen: ...

    def dump(self, frozen: Frozen) -> Iterator[bytes]:
        """The serial form, in chunks; safe in another thread."""

    def adopt(self, other: MemoryBackend) -> None:
        """Replaces everything by what `other` holds, which is not to be used any more."""


# What one entry costs besides its bytes: a leaf element of a database page has a header of this size.
_ENTRY_OVERHEAD = 16


class _Bucket:
    """A dictionary for lookups and a sorted list of its keys for ranges.

    A deleted key stays in the list until half of it is stale: compaction deletes in masses, and each removal
    from the middle of a list would move the rest.
    """

    __slots__ = ("order", "pairs", "stale")

    def __init__(self, pairs: dict[bytes, bytes] | None = None) -> None:
        self.pairs: dict[bytes, bytes] = {} if pairs is None else pairs
        self.order = sorted(self.pairs)
        self.stale = 0

    def put(self, key: bytes, value: bytes) -> int:
        """Returns by how much the size has grown; so does `delete`, with a number that is not positive."""
        old = self.pairs.get(key)
        if old is not None:
            grown = len(value) - len(old)
        else:
            order = self.order
            if not order or key > order[-1]:
                order.append(key)
            else:
                at = bisect_left(order, key)
                if order[at] == key:
                    self.stale -= 1
                else:
                    order.insert(at, key)
            grown = len(key) + len(value) + _ENTRY_OVERHEAD
        self.pairs[key] = value
        return grown

    def delete(self, key: bytes) -> int:
        old = self.pairs.pop(key, None)
        if old is None:
            return 0
        self.stale += 1
        if self.stale > 64 and self.stale > len(self.pairs):
            self.defragment()
        return -(len(key) + len(old) + _ENTRY_OVERHEAD)

    def defragment(self) -> None:
        self.order = [key for key in self.order if key in self.pairs]
        self.stale = 0

    def range(self, start: bytes, end: bytes, limit: int) -> list[Pair]:
        order, pairs = self.order, self.pairs
        low = bisect_left(order, start)
        high = bisect_left(order, end) if end else len(order)
        if not self.stale:
            if limit > 0:
                high = min(high, low + limit)
            return [(key, pairs[key]) for key in order[low:high]]
        found: list[Pair] = []
        for at in range(low, high):
            key = order[at]
            value = pairs.get(key)
            if value is not None:
                found.append((key, value))
                if len(found) == limit:
                    break
        return found


class MemoryBackend:
    """A `Backend` in memory. Durability is the log's: the whole store travels in snapshots."""

    def __init__(self) -> None:
        self._buckets = {name: _Bucket() for name in BUCKETS}
        self._size = 0

    def put(self, bucket: str, key: bytes, value: bytes) -> None:
        self._size += self._buckets[bucket].put(key, value)

    def delete(self, bucket: str, key: bytes) -> None:
        self._size += self._buckets[bucket].delete(key)

    def get(self, bucket: str, key: bytes) -> bytes | None:
        return self._buckets[bucket].pairs.get(key)

    def range(self, bucket: str, start: bytes, end: bytes, limit: int = 0) -> list[Pair]:
        return self._buckets[bucket].range(start, end, limit)

    def count(self, bucket: str) -> int:
        return len(self._buckets[bucket].pairs)

    def size(self) -> int:
        return self._size

    def defragment(self) -> None:
        for bucket in self._buckets.values():
            bucket.defragment()

    def freeze(self) -> Frozen:
        # Copying a dictionary of a million entries takes some 30 ms; the bytes themselves are shared.
        return Frozen({name: bucket.pairs.copy() for name, bucket in self._buckets.items()}, self._size)

    def dump(self, frozen: Frozen) -> Iterator[bytes]:
        return dump(frozen)

    def adopt(self, other: MemoryBackend) -> None:
        self._buckets, self._size = other._buckets, other._size

    def load(self, chunks: Iterable[bytes]) -> None:
        """Replaces everything by a dump; raises `CorruptDumpError` and changes nothing if it is damaged."""
        frozen = parse(chunks)
        self._buckets = {name: _Bucket(frozen.buckets.get(name)) for name in BUCKETS}
        self._size = frozen.size


_MAGIC = b"gauntlet-store-1"
_FRAME = struct.Struct(">II")
_ENTRY = struct.Struct(">II")
_COUNT = struct.Struct(">Q")
_FRAME_BYTES = 256 * 1024  # a frame is closed once it holds this much
_SECTOR = 512
_LEAST_FRAME = _FRAME.size + 1  # a frame that is nothing but its kind


def dump(frozen: Frozen) -> Iterator[bytes]:
    """The serial form of a frozen backend, one frame a chunk."""
    written = 0
    total = sum(map(len, frozen.buckets.values()))
    end = _frame(b"Z" + _COUNT.pack(total))
    for chunk in _contents(frozen):
        written += len(chunk)
        yield chunk
    missing = frozen.dump_size - written - len(end)
    yield _frame(b"P".ljust(missing - _FRAME.size, b"\0"))
    yield end


def _contents(frozen: Frozen) -> Iterator[bytes]:
    yield _MAGIC
    for name in sorted(frozen.buckets):
        pairs = frozen.buckets[name]
        yield _frame(b"B" + name.encode("ascii"))
        parts: list[bytes] = [b"E"]
        size = 0
        for key in sorted(pairs):
            value = pairs[key]
            parts += (_ENTRY.pack(len(key), len(value)), key, value)
            size += len(key) + len(value) + _ENTRY.size
            if size >= _FRAME_BYTES:
                yield _frame(b"".join(parts))
                parts, size = [b"E"], 0
        if size:
            yield _frame(b"".join(parts))


def parse(chunks: Iterable[bytes]) -> Frozen:
    """Reads a dump however it was cut into chunks. Raises `CorruptDumpError`."""
    buckets: dict[str, dict[bytes, bytes]] = {}
    current: dict[bytes, bytes] | None = None
    total = 0
    ended = False
    for payload in _payloads(chunks):
        kind = payload[:1]
        if ended:
            raise CorruptDumpError("data after the end of the dump")
        if kind == b"B":
            name = _bucket_name(payload[1:])
            if name in buckets:
                raise CorruptDumpError(f"bucket {name} appears twice")
            current = buckets[name] = {}
        elif kind == b"E" and current is not None:
            total += _read_entries(payload, current)
        elif kind == b"P":
            continue
        elif kind == b"Z" and len(payload) == 1 + _COUNT.size:
            if _COUNT.unpack_from(payload, 1)[0] != total:
                raise CorruptDumpError("the number of entries is not the one written at the end")
            ended = True
        else:
            raise CorruptDumpError("a frame of an unknown kind")
    if not ended:
        raise CorruptDumpError("the dump is cut short")
    pairs = (bucket.items() for bucket in buckets.values())
    return Frozen(
        buckets,
        sum(len(key) + len(value) + _ENTRY_OVERHEAD for items in pairs for key, value in items),
    )


def _frame(payload: bytes) -> bytes:
    return _FRAME.pack(len(payload), google_crc32c.value(payload)) + payload


def _bucket_name(raw: bytes) -> str:
    name = raw.decode("ascii", "replace")
    if name not in BUCKETS:
        raise CorruptDumpError(f"unknown bucket {name!r}")
    return name


def _payloads(chunks: Iterable[bytes]) -> Iterator[bytes]:
    buffer = bytearray()
    started = False
    for chunk in chunks:
        buffer += chunk
        at = 0
        if not started:
            if len(buffer) < len(_MAGIC):
                continue
            if buffer[: len(_MAGIC)] != _MAGIC:
                raise CorruptDumpError("not a dump of a store")
            started = True
            at = len(_MAGIC)
        while len(buffer) - at >= _FRAME.size:
            length, crc = _FRAME.unpack_from(buffer, at)
            if len(buffer) - at - _FRAME.size < length:
                break
            payload = bytes(buffer[at + _FRAME.size : at + _FRAME.size + length])
            if google_crc32c.value(payload) != crc:
                raise CorruptDumpError("a frame does not match its checksum")
            yield payload
            at += _FRAME.size + length
        del buffer[:at]
    if buffer or not started:
        raise CorruptDumpError("the dump is cut short")


def _read_entries(payload: bytes, into: dict[bytes, bytes]) -> int:
    """Adds the entries of one frame; returns how many."""
    at = 1
    end = len(payload)
    count = 0
    while at < end:
        if end - at < _ENTRY.size:
            raise CorruptDumpError("an entry is cut short")
        key_length, value_length = _ENTRY.unpack_from(payload, at)
        at += _ENTRY.size
        if end - at < key_length + value_length:
            raise CorruptDumpError("an entry is cut short")
        key = payload[at : at + key_length]
        at += key_length
        into[key] = payload[at : at + value_length]
        at += value_length
        count += 1
    return count
