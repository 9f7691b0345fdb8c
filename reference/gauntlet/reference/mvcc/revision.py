"""Revision keys: where a change lies in the `key` bucket.

A revision is (main, sub): main counts transactions that changed something, sub the changes within one.
Its key is main in eight big-endian bytes, `_`, sub in eight big-endian bytes, and a `t` after that for a
tombstone. Bytewise order of the keys is the order of the revisions, so the index keeps the keys
themselves and never decodes them to compare.
"""

from __future__ import annotations

import struct

_REVISION = struct.Struct(">QcQ")
_MAIN = struct.Struct(">Q")

LENGTH = _REVISION.size
TOMBSTONE_LENGTH = LENGTH + 1
MAX_MAIN = (1 << 63) - 1

_SEPARATOR = b"_"
_MARK = b"t"


def key_of(main: int, sub: int = 0) -> bytes:
    return _REVISION.pack(main, _SEPARATOR, sub)


def tombstone_of(main: int, sub: int = 0) -> bytes:
    return _REVISION.pack(main, _SEPARATOR, sub) + _MARK


def main_of(key: bytes) -> int:
    main: int = _MAIN.unpack_from(key)[0]
    return main


def is_tombstone(key: bytes) -> bool:
    return len(key) == TOMBSTONE_LENGTH and key.endswith(_MARK)


def bound_after(main: int) -> bytes:
    """Sorts after every key of `main` and before every key of `main + 1`; a negative main sorts first."""
    return _MAIN.pack(main + 1) if main >= 0 else b""


def successor(key: bytes) -> bytes:
    """The smallest key after this one, tombstone or not."""
    return key + b"\x00"
