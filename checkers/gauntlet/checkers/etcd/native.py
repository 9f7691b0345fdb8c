"""The revision witness in the native kernel of porcupine, where that is installed.

It knows gets, puts and deletes of single keys and transactions of one compare of a mod_revision, all
answered or never needed. It finds an order, and proves it with a replay of its own; where it cannot, it says
nothing, and `decide` goes on in Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

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


def witnessed(operations: Sequence[Operation]) -> tuple[list[Operation], dict[int, Operation]] | None:
    """A proven order and the writes by their revision, for a store that began empty at revision 1.

    None where there is no native kernel, where not all is plain or in the order of the calls, and where the
    revisions prove nothing.
    """
    kernel = choose().native
    if kernel is None:
        return None
    try:
        columns = kernel.EtcdColumns(list(operations), WORDS)
    except NotImplementedError:
        return None
    found: tuple[list[Operation], dict[int, Operation]] | None = columns.witness()
    return found
