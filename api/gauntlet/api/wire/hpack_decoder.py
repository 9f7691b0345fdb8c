"""HPACK decoding of one connection (RFC 7541). Static table and Huffman code come from the `hpack` library.

The loop is our own for two reasons. Clients written in Go put a new entry into the dynamic table with every
call that has a time-out, so nearly every block is a new one, and the library takes four times as long for it.
And an attacker's block costs time in proportion to its length here: integers are bounded while they are read,
and nothing is copied but names and values.

Rules:

- An indexed field is 1xxxxxxx, a literal that enters the table 01xxxxxx, one that does not 0000xxxx or
  0001xxxx, a resize of the table 001xxxxx; resizes come before all fields (4.2, 6).
- Indices 1 to 61 are the static table, those above are the dynamic one, newest first (2.3.3).
- An entry costs its name, its value and 32 bytes. Adding evicts the oldest until there is room; an entry that
  is larger than the table empties it (4.4).
"""

from __future__ import annotations

from collections import deque

from hpack.exceptions import HPACKDecodingError
from hpack.huffman_table import decode_huffman
from hpack.table import HeaderTable

TABLE_BYTES = 4096
"""What every HTTP/2 connection starts with; we never announce another size."""

_OVERHEAD = 32
_STATIC: tuple[tuple[bytes, bytes], ...] = ((b"", b""), *HeaderTable.STATIC_TABLE)
_FIRST_DYNAMIC = len(_STATIC)

Field = tuple[bytes, bytes]


class HpackFault(Exception):
    """The block breaks RFC 7541: the table's state is unknown from here on."""


class ListTooLarge(Exception):
    """The block means more than the limit on header lists."""


class HpackDecoder:
    """`changed` says whether the last block changed the dynamic table."""

    __slots__ = ("_entries", "_limit", "_room", "_size", "changed")

    def __init__(self, header_list_bytes: int) -> None:
        self._limit = header_list_bytes
        self._entries: deque[Field] = deque()
        self._size = 0
        self._room = TABLE_BYTES
        self.changed = False

    def decode(self, block: bytes) -> list[Field]:
        """The fields of a whole block. Raises HpackFault or ListTooLarge, after which nothing may follow."""
        self.changed = False
        try:
            return self._decode(block)
        except IndexError:
            raise HpackFault("index out of range or block cut short") from None
        except HPACKDecodingError as error:
            raise HpackFault(str(error)) from None

    def _decode(self, block: bytes) -> list[Field]:
        fields: list[Field] = []
        entries = self._entries
        position = 0
        left = self._limit
        end = len(block)
        while position < end:
            first = block[position]
            position += 1
            if first >= 0x80:
                index = first & 0x7F
                if index == 0x7F:
                    index, position = _integer(block, position, index)
                if index >= _FIRST_DYNAMIC:
                    field = entries[index - _FIRST_DYNAMIC]
                elif index:
                    field = _STATIC[index]
                else:
                    raise HpackFault("index 0")
            elif first & 0xE0 == 0x20:
                if fields:
                    raise HpackFault("resize behind a field")
                size = first & 0x1F
                if size == 0x1F:
                    size, position = _integer(block, position, size)
                self._resize(size)
                continue
            else:
                mask = 0x3F if first & 0x40 else 0x0F
                index = first & mask
                if index == mask:
                    index, position = _integer(block, position, index)
                if index == 0:
                    name, position = _string(block, position)
                elif index < _FIRST_DYNAMIC:
                    name = _STATIC[index][0]
                else:
                    name = entries[index - _FIRST_DYNAMIC][0]
                value, position = _string(block, position)
                field = (name, value)
                if first & 0x40:
                    self._add(field)
            left -= len(field[0]) + len(field[1]) + _OVERHEAD
            if left < 0:
                raise ListTooLarge
            fields.append(field)
        return fields

    def _add(self, field: Field) -> None:
        self.changed = True
        self._size += len(field[0]) + len(field[1]) + _OVERHEAD
        self._entries.appendleft(field)
        if self._size > self._room:
            self._evict()

    def _resize(self, size: int) -> None:
        if size > TABLE_BYTES:
            raise HpackFault("resize above the limit")
        self.changed = True
        self._room = size
        self._evict()

    def _evict(self) -> None:
        entries = self._entries
        while self._size > self._room:
            name, value = entries.pop()
            self._size -= len(name) + len(value) + _OVERHEAD


def _integer(block: bytes, position: int, value: int) -> tuple[int, int]:
    """The rest of an integer whose prefix was full (5.1); one above 28 bits is a fault."""
    shift = 0
    while True:
        byte = block[position]
        position += 1
        value += (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 21:
            raise HpackFault("integer too large")


def _string(block: bytes, position: int) -> tuple[bytes, int]:
    """A string literal (5.2)."""
    first = block[position]
    position += 1
    length = first & 0x7F
    if length == 0x7F:
        length, position = _integer(block, position, length)
    stop = position + length
    if stop > len(block):
        raise HpackFault("block cut short")
    data = block[position:stop]
    return (decode_huffman(data) if first & 0x80 else data), stop
