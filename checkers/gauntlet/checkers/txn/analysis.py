"""What lists and registers have in common: who wrote what, what was read of others, and words for an edge."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from gauntlet.checkers.txn.anomalies import LOST_UPDATE, Anomaly
from gauntlet.checkers.txn.graph import Graph
from gauntlet.checkers.txn.records import READ, Key, Txn, Txns, Unsuitable, Value
from gauntlet.checkers.txn.words import full, name, read_text, value_text

KEPT = 10  # anomalies of a name that are kept with their stories; the rest are counted


class Read(NamedTuple):
    """What a transaction saw of others: without what it had itself appended before."""

    txn: Txn
    key: Key
    value: Value  # a tuple for lists; None: nothing yet
    position: int  # of the micro-operation
    first: bool  # before any write of the transaction to the key


@dataclass(slots=True)
class Findings:
    """Anomalies by name, each counted once per case; only the first few keep their stories."""

    kept: dict[str, list[Anomaly]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def room(self, name_: str) -> bool:
        """Counts one; True when its story is wanted."""
        self.counts[name_] = self.counts.get(name_, 0) + 1
        return self.counts[name_] <= KEPT

    def add(self, anomaly: Anomaly) -> None:
        if self.room(anomaly.name):
            self.kept.setdefault(anomaly.name, []).append(anomaly)


class Writers:
    """Who wrote each value of each key."""

    __slots__ = ("failed", "intermediate", "of", "written")

    def __init__(self, txns: Txns, f: str) -> None:
        self.of: dict[Key, dict[Value, Txn]] = {}
        self.failed: dict[Key, dict[Value, Txn]] = {}
        self.intermediate: dict[Key, set[Value]] = {}  # its writer wrote the key again
        for txn in txns.real:
            last: dict[Key, Value] = {}
            for micro in txn.micro:
                each, key, value = micro
                if each != f:
                    continue
                known = self.of.get(key)
                if known is None:
                    known = self.of[key] = {}
                if value in known:
                    raise Unsuitable(
                        f"{value!r} was written to {key!r} by operation {known[value].operation.id} and by "
                        f"operation {txn.operation.id}; every value of a key must be written once"
                    )
                known[value] = txn
                if key in last:
                    self.intermediate.setdefault(key, set()).add(last[key])
                last[key] = value
        for txn in txns.failed:
            for each, key, value in txn.micro:
                if each == f and value not in self.of.get(key, ()):
                    self.failed.setdefault(key, {})[value] = txn


class Analysis:
    """One kind of key. Subclasses fill `findings`, `reads` and the graph."""

    def __init__(self, txns: Txns, f: str) -> None:
        self.txns = txns
        self.findings = Findings()
        self.writers = Writers(txns, f)
        self.reads: list[Read] = []

    def add_edges(self, graph: Graph) -> None:
        raise NotImplementedError

    def source(self, key: Key, value: Value) -> Value:
        """The written value that a read saw last: itself for a register, the last element of a list."""
        raise NotImplementedError

    def writer(self, key: Key, value: Value) -> Txn | None:
        """Who left what a read saw; None for nothing, or for a value of nobody or of a failed transaction."""
        known = self.writers.of.get(key)
        return None if known is None else known.get(self.source(key, value))

    def explain_ww(self, before: Txn, after: Txn) -> str | None:
        """Why `after` replaced what `before` wrote; None where that is not so."""
        raise NotImplementedError

    def explain_rw(self, before: Txn, after: Txn) -> str | None:
        """Why `after` replaced what `before` read."""
        raise NotImplementedError

    def explain_wr(self, before: Txn, after: Txn) -> str | None:
        for read in self.reads_of(after):
            if self.writer(read.key, read.value) is before:
                source = self.source(read.key, read.value)
                return f"{read_text(after, read.key, read.value)}, and {name(before)} wrote {source}"
        return None

    def reads_of(self, txn: Txn) -> Iterator[Read]:
        """Built at the first question: only stories ask."""
        if not hasattr(self, "_by_reader"):
            self._by_reader: dict[int, list[Read]] = {}
            for read in self.reads:
                self._by_reader.setdefault(read.txn.index, []).append(read)
        return iter(self._by_reader.get(txn.index, ()))

    def find_lost_updates(self) -> None:
        """Two committed transactions read one version of a key and both wrote the key: whichever came second
        in a serial order would have read what the first had written."""
        updates: dict[tuple[Key, int, Value], list[Read]] = {}
        for read in self.reads:
            if read.first and any(
                f != READ and key == read.key for f, key, _ in read.txn.micro[read.position :]
            ):
                length = len(read.value) if isinstance(read.value, tuple) else 0
                case = read.key, length, self.source(read.key, read.value)
                same = updates.setdefault(case, [])
                if not same or same[-1].txn is not read.txn:
                    same.append(read)
        for (key, _, _), same in updates.items():
            if len(same) > 1 and self.findings.room(LOST_UPDATE):
                both = same[:2]
                text = (
                    f"{full(both[0].txn)} and {full(both[1].txn)} both read {key} = "
                    f"{value_text(both[0].value)} and then wrote it: in any serial order the second would "
                    "have seen the write of the first."
                )
                anomaly = Anomaly(LOST_UPDATE, text, [read.txn for read in same])
                self.findings.kept.setdefault(LOST_UPDATE, []).append(anomaly)
