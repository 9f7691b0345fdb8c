"""The order of versions as etcd's revisions tell it: evidence that needs no inference, and that can be a lie.

Rules:
1. A transaction that writes owns its revision: every key it wrote has that mod_revision.
2. A read that shows mod_revision m saw what the transaction of revision m left; 0 is an absent key.
3. The versions of a key follow each other in the order of their revisions.
4. A transaction that took effect at revision r read each key at its last mod_revision up to r (before r,
   where it writes itself).
5. A write of unknown outcome has the revision under which its value was read.

Rules 1, 2 and 4 are held against the values that were read; what does not fit is "revision-mismatch". Rule 3
gives a dependency graph of its own.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise

from gauntlet.checkers.txn.analysis import Analysis, Findings, Read
from gauntlet.checkers.txn.anomalies import WRONG_REVISION, Anomaly
from gauntlet.checkers.txn.graph import RW, WR, WW, Graph
from gauntlet.checkers.txn.records import Key, Txn
from gauntlet.checkers.txn.words import full, name, read_text, value_text


class RevisionOrder:
    """Each key's versions by revision, over one or two analyses that know the values."""

    def __init__(self, analyses: Sequence[Analysis], txns: Sequence[Txn]) -> None:
        self.findings = Findings()
        self.points: dict[Key, dict[int, Txn]] = {}
        self.order: dict[Key, list[int]] = {}
        self.revision: dict[int, int] = {}  # of each transaction that wrote, as far as it is known
        self._reads: list[tuple[Read, int]] = []
        self._owners(txns)
        for analysis in analyses:
            self._sources(analysis)
        for key, points in self.points.items():
            self.order[key] = sorted(points)
        self._by_reader: dict[int, list[tuple[Read, int]]] = {}
        for read, revision in self._reads:
            self._by_reader.setdefault(read.txn.index, []).append((read, revision))
            self._snapshot(read, revision)

    def _owners(self, txns: Sequence[Txn]) -> None:
        """Rule 1."""
        owner: dict[int, Txn] = {}
        for txn in txns:
            if txn.revision is None or not txn.ok:
                continue
            keys = self._keys(txn)
            if not keys:
                continue
            other = owner.setdefault(txn.revision, txn)
            if other is not txn:
                text = f"{full(other)} and {full(txn)} were both given revision {txn.revision}."
                self.findings.add(Anomaly(WRONG_REVISION, text, [other, txn]))
                continue
            self.revision[txn.index] = txn.revision
            for key in keys:
                self.points.setdefault(key, {})[txn.revision] = txn

    def _keys(self, txn: Txn) -> list[Key]:
        return list(dict.fromkeys(key for f, key, _ in txn.micro if f != "r"))

    def _sources(self, analysis: Analysis) -> None:
        """Rules 2 and 5."""
        for read in analysis.reads:
            revision = read.txn.mods[read.position] if read.txn.mods is not None else None
            if revision is None or not read.first:
                continue
            writer = analysis.writer(read.key, read.value)
            empty = analysis.source(read.key, read.value) is None
            if empty or revision == 0:
                if empty != (revision == 0):
                    self._mismatch(read, revision, None)
                else:
                    self._reads.append((read, revision))
                continue
            points = self.points.setdefault(read.key, {})
            if writer is not None and self.revision.setdefault(writer.index, revision) == revision:
                points.setdefault(revision, writer)
            if writer is None:
                continue  # an anomaly of its own
            if points.get(revision) is not writer:
                self._mismatch(read, revision, writer)
            else:
                self._reads.append((read, revision))

    def _mismatch(self, read: Read, revision: int, writer: Txn | None) -> None:
        seen = f"{full(read.txn)} read {read.key} = {value_text(read.value)} at mod_revision {revision}"
        if writer is None:
            self.findings.add(Anomaly(WRONG_REVISION, f"{seen}, but only an absent key has 0.", [read.txn]))
            return
        other = self.points.get(read.key, {}).get(revision)
        text = f"{seen}, but that was written by {full(writer)} at revision {self.revision.get(writer.index)}"
        if other is not None:
            text += f", and revision {revision} belongs to {full(other)}"
        self.findings.add(Anomaly(WRONG_REVISION, text + ".", [writer, read.txn]))

    def _snapshot(self, read: Read, seen: int) -> None:
        """Rule 4."""
        at = read.txn.revision
        if at is None:
            return
        order = self.order.get(read.key, [])
        place = bisect_right(order, at) - 1
        if place >= 0 and self.points[read.key][order[place]] is read.txn:
            place -= 1
        if seen > at:
            text = (
                f"{full(read.txn)} took effect at revision {at}, but read {read.key} at mod_revision {seen}."
            )
            self.findings.add(Anomaly(WRONG_REVISION, text, [read.txn]))
        elif place >= 0 and order[place] > seen:
            missed = self.points[read.key][order[place]]
            text = (
                f"{full(read.txn)} took effect at revision {at} and read {read.key} at mod_revision {seen}, "
                f"without what {full(missed)} wrote at revision {order[place]}."
            )
            self.findings.add(Anomaly(WRONG_REVISION, text, [missed, read.txn]))

    def add_edges(self, graph: Graph) -> None:
        for key, order in self.order.items():
            points = self.points[key]
            for one, other in pairwise(order):
                graph.add(points[one].index, points[other].index, WW)
        for read, revision in self._reads:
            order = self.order.get(read.key, [])
            points = self.points.get(read.key, {})
            if revision:
                graph.add(points[revision].index, read.txn.index, WR)
            place = bisect_right(order, revision)
            if place < len(order):
                graph.add(read.txn.index, points[order[place]].index, RW)

    def explain_ww(self, before: Txn, after: Txn) -> str | None:
        for key in self._keys(before):
            one, other = self._at(key, before), self._at(key, after)
            if one is not None and other is not None and one < other:
                return f"{name(before)} wrote {key} at revision {one}, {name(after)} at revision {other}"
        return None

    def _at(self, key: Key, txn: Txn) -> int | None:
        revision = self.revision.get(txn.index)
        return revision if revision is not None and self.points.get(key, {}).get(revision) is txn else None

    def explain_wr(self, before: Txn, after: Txn) -> str | None:
        for read, revision in self._by_reader.get(after.index, ()):
            if self.points.get(read.key, {}).get(revision) is before:
                seen = read_text(after, read.key, read.value)
                return f"{seen} at mod_revision {revision}, which {name(before)} wrote"
        return None

    def explain_rw(self, before: Txn, after: Txn) -> str | None:
        for read, revision in self._by_reader.get(before.index, ()):
            later = self._at(read.key, after)
            if later is not None and later > revision:
                seen = read_text(before, read.key, read.value)
                return f"{seen} at mod_revision {revision}, and {name(after)} wrote it at revision {later}"
        return None
