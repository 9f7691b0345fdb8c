"""The revision witness in the native kernel of porcupine, where that is installed.

It knows gets, puts and deletes of single keys and transactions of one compare of a mod_revision, all
answered or never needed. It finds an order, and proves it with a replay of its own; where it cannot, it says
nothing, and `decide` goes on in Python.

It reads operations, or the lines of a run's file (`columns_of`). A file that has anything else in it, a
broken line for example, it leaves to Python's reader, which knows what to say about it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, overload

from gauntlet.checkers.etcd import calls as c
from porcupine.history import Operation
from porcupine.kernel import choose

WORDS: Final = (
    c.Range(b""),
    c.Put(b""),
    c.Delete(b""),
    c.Compare(b"", "mod", "=", 0),
    c.Txn(),
    c.RangeAnswer(None, (), False, 0),
    c.PutAnswer(None),
    c.DeleteAnswer(None, 0, ()),
    c.TxnAnswer(None, True, ()),
    c.KV(b"", b"", 1, 1, 1, 0),
)
"""One of each class, with the fields that a plain operation has."""


class Columnar(Sequence[Operation]):
    """A history that the native kernel has read. Its operations are made, all at once, when somebody looks at
    one: a proof needs none."""

    def __init__(self, columns: Any, read: Callable[[], Sequence[Operation]]) -> None:
        self.columns = columns
        self._read = read
        self._operations: Sequence[Operation] | None = None

    @property
    def operations(self) -> Sequence[Operation]:
        if self._operations is None:
            self._operations = self._read()
        return self._operations

    @overload
    def __getitem__(self, index: int) -> Operation: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Operation]: ...
    def __getitem__(self, index: int | slice) -> Operation | Sequence[Operation]:
        return self.operations[index]

    def __iter__(self) -> Iterator[Operation]:
        return iter(self.operations)

    def __len__(self) -> int:
        return sum(self.columns.outcomes)


def columns_of(pieces: Iterable[bytes]) -> Any:
    """A file of a run's lines as the native kernel reads it: `EtcdColumns`. None where there is no native
    kernel, and where it leaves the file to Python."""
    kernel = choose().native
    if kernel is None:
        return None
    lines = kernel.EtcdLines([refusal.message.encode() for refusal in c.REFUSALS])
    try:
        for piece in pieces:
            lines.feed(piece)
        return lines.columns()
    except NotImplementedError:
        return None


def witnessed(operations: Sequence[Operation]) -> tuple[list[Operation], dict[int, Operation]] | None:
    """A proven order and the writes by their revision, for a store that began empty at revision 1.

    None where there is no native kernel, where not all is plain or in the order of the calls, and where the
    revisions prove nothing.
    """
    kernel = choose().native
    if kernel is None:
        return None
    try:
        given = operations if isinstance(operations, list) else list(operations)
        columns = kernel.EtcdColumns(given, WORDS)
    except NotImplementedError:
        return None
    found: tuple[list[Operation], dict[int, Operation]] | None = columns.witness()
    return found
