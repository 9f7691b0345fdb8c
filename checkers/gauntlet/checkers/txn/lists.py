"""List-append: a read shows the whole history of its key, so the order of versions is known.

Rules (Alvaro and Kingsbury, "Elle: Inferring Isolation Anomalies from Experimental Observations"):
1. Elements are appended once, so an element names its transaction, and a list the version its last one left.
2. All lists read of a key are prefixes of the longest. Where two are not, the order of the key is known only
   as far as they agree, and that is the anomaly "incompatible order".
3. An append that was answered and that the longest list does not show came after all that it shows. One of
   unknown outcome counts only when some list shows it.
4. What a transaction reads after its own appends must end with them; without them it is a read of others.
"""

from __future__ import annotations

from collections.abc import Sequence

from gauntlet.checkers.txn.analysis import Analysis, Read
from gauntlet.checkers.txn.anomalies import (
    DIRTY_UPDATE,
    DUPLICATE_ELEMENTS,
    G1A,
    G1B,
    INCOMPATIBLE_ORDER,
    INTERNAL,
    PHANTOM,
    Anomaly,
)
from gauntlet.checkers.txn.graph import RW, WR, WW, Graph
from gauntlet.checkers.txn.records import APPEND, READ, Key, List, Txn, Txns, Value
from gauntlet.checkers.txn.words import full, name, read_text, value_text


class Lists(Analysis):
    def __init__(self, txns: Txns) -> None:
        super().__init__(txns, APPEND)
        self.order: dict[Key, List] = {}
        self.place: dict[Key, dict[Value, int]] = {}
        self.unobserved: dict[Key, list[Txn]] = {}
        self._by_key: dict[Key, list[Read]] = {}
        for txn in txns.real:
            if txn.ok:
                self._collect(txn)
        for read in self.reads:
            self._by_key.setdefault(read.key, []).append(read)
        for key in self.writers.of.keys() | self._by_key.keys():
            self._sort(key, self._by_key.get(key, []))
        self.find_lost_updates()

    def source(self, key: Key, value: Value) -> Value:
        return value[-1] if isinstance(value, tuple) and value else None

    def _collect(self, txn: Txn) -> None:
        """The transaction's reads of others, and rule 4."""
        own: dict[Key, List] = {}
        seen: dict[Key, List] = {}
        for position, (f, key, value) in enumerate(txn.micro):
            if f == APPEND:
                own[key] = (*own.get(key, ()), value)
                if value in seen.get(key, ()):
                    text = f"{full(txn)} read {value} in {key} before it appended it."
                    self.findings.add(Anomaly(INTERNAL, text, [txn]))
                continue
            if f != READ or not self._mine(key, value):
                continue
            elements: List = value or ()
            if key not in own and key not in seen:
                seen[key] = elements
                self.reads.append(Read(txn, key, elements, position, True))
                continue
            appended = own.get(key, ())
            cut = len(elements) - len(appended)
            if key in seen:
                fits = elements == seen[key] + appended
            else:
                fits = cut >= 0 and elements[cut:] == appended
            if not fits:
                self._internal(txn, key, elements, seen.get(key), appended)
            if fits or not appended:
                outside = elements[:cut]
                if seen.get(key) != outside:
                    self.reads.append(Read(txn, key, outside, position, not appended))
                seen[key] = outside

    def _mine(self, key: Key, value: object) -> bool:
        return isinstance(value, tuple) or (
            value is None and (key in self.writers.of or not self.txns.registers)
        )

    def _internal(self, txn: Txn, key: Key, got: List, seen: List | None, appended: List) -> None:
        if not self.findings.room(INTERNAL):
            return
        expected = (
            value_text(seen + appended) if seen is not None else f"[... {' '.join(map(str, appended))}]"
        )
        read = f"{full(txn)} read {key} = {value_text(got)}"
        text = f"{read} where its own reads and appends so far ask for {expected}."
        self.findings.kept.setdefault(INTERNAL, []).append(Anomaly(INTERNAL, text, [txn]))

    def _sort(self, key: Key, reads: Sequence[Read]) -> None:
        """Rules 2 and 3 for one key."""
        sure = True
        usable = reads
        longest = max(reads, key=_length, default=None)
        while longest is not None and len(set(_list(longest))) != len(_list(longest)):
            sure = False
            self._duplicate(longest)
            usable = [read for read in usable if len(set(_list(read))) == len(_list(read))]
            longest = max(usable, key=_length, default=None)
        order: List = _list(longest) if longest is not None else ()
        whole = order
        for read in usable:
            value = _list(read)
            if value == whole[: len(value)]:
                continue
            if len(set(value)) != len(value):
                self._duplicate(read)
            elif longest is not None:
                self._incompatible(longest, read)
                agreed = next(i for i, (a, b) in enumerate(zip(whole, value, strict=False)) if a != b)
                order = order[: min(agreed, len(order))]
            sure = False
            self._elements(read, value)
        if longest is not None:
            self._elements(longest, whole)
        self.order[key] = order
        place = self.place[key] = {value: i for i, value in enumerate(order)}
        if sure:
            unseen = {
                txn.index: txn
                for value, txn in self.writers.of.get(key, {}).items()
                if txn.ok and value not in place
            }
            if unseen:
                self.unobserved[key] = list(unseen.values())

    def _duplicate(self, read: Read) -> None:
        if self.findings.room(DUPLICATE_ELEMENTS):
            value = _list(read)
            twice = next(each for i, each in enumerate(value) if each in value[:i])
            writer = self.writers.of.get(read.key, {}).get(twice)
            by = f", which {full(writer)} appended once" if writer is not None else ""
            text = f"{full(read.txn)} read {read.key} = {value_text(value)}: {twice}{by}, is there twice."
            txns = [read.txn] if writer is None or writer is read.txn else [writer, read.txn]
            anomaly = Anomaly(DUPLICATE_ELEMENTS, text, txns)
            self.findings.kept.setdefault(DUPLICATE_ELEMENTS, []).append(anomaly)

    def _incompatible(self, longest: Read, read: Read) -> None:
        if self.findings.room(INCOMPATIBLE_ORDER):
            text = (
                f"{full(longest.txn)} read {read.key} = {value_text(longest.value)}, "
                f"{full(read.txn)} read {value_text(read.value)}: neither list begins with the other."
            )
            self.findings.kept.setdefault(INCOMPATIBLE_ORDER, []).append(
                Anomaly(INCOMPATIBLE_ORDER, text, [longest.txn, read.txn])
            )

    def _elements(self, read: Read, value: List) -> None:
        """Elements of failed transactions (G1a, dirty update) and of nobody, in one list that was read."""
        known = self.writers.of.get(read.key, {})
        if all(map(known.__contains__, value)):
            return
        failed = self.writers.failed.get(read.key, {})
        aborted: Value = None
        for element in value:
            if element in known:
                if aborted is not None and known[element].ok:
                    first, second = failed[aborted], known[element]
                    text = (
                        f"{full(first)} failed, and still {full(second)} appended {element} to {read.key} "
                        f"after its {aborted}: {read_text(read.txn, read.key, value)}."
                    )
                    self.findings.add(Anomaly(DIRTY_UPDATE, text, [first, second, read.txn]))
                    aborted = None
            elif element in failed:
                aborted = element
                text = (
                    f"{full(read.txn)} read {element} in {read.key}, but {full(failed[element])} had failed."
                )
                self.findings.add(Anomaly(G1A, text, [failed[element], read.txn]))
            else:
                text = f"{full(read.txn)} read {element} in {read.key}, which nobody appended."
                self.findings.add(Anomaly(PHANTOM, text, [read.txn]))

    def add_edges(self, graph: Graph) -> None:
        for key, order in self.order.items():
            known = self.writers.of.get(key, {})
            writers = [known.get(element) for element in order]
            following: list[Txn | None] = [None] * (len(order) + 1)
            for i in range(len(order) - 1, -1, -1):
                following[i] = writers[i] or following[i + 1]
                before, after = writers[i], following[i + 1]
                if before is not None and after is not None:
                    graph.add(before.index, after.index, WW)
            after_all = self._after_all(graph, key, next((each for each in reversed(writers) if each), None))
            self._read_edges(graph, key, order, following, after_all)

    def _after_all(self, graph: Graph, key: Key, last: Txn | None) -> int | None:
        """Rule 3: an auxiliary node for the readers of the longest list, and one for its last writer."""
        unseen = self.unobserved.get(key)
        if unseen is None:
            return None
        node = graph.auxiliary()
        for txn in unseen:
            graph.successors[node][txn.index] = 0
        if last is not None:
            own = graph.auxiliary()
            graph.add(last.index, own, WW)
            graph.successors[own][node] = 0
        return node

    def _read_edges(
        self, graph: Graph, key: Key, order: List, following: Sequence[Txn | None], after_all: int | None
    ) -> None:
        known = self.writers.of.get(key, {})
        intermediate = self.writers.intermediate.get(key, ())
        for read in self._by_key.get(key, ()):
            value, index = _list(read), read.txn.index
            if value:
                last = value[-1]
                writer = known.get(last)
                if writer is not None and writer is not read.txn:
                    graph.add(writer.index, index, WR)
                    if last in intermediate:
                        self._intermediate(read, writer, last)
            length = len(value)
            if value != order[:length]:
                continue
            after = following[length]
            if after is not None:
                graph.add(index, after.index, RW)
            elif after_all is not None:
                graph.add(index, after_all, RW)

    def _intermediate(self, read: Read, writer: Txn, last: Value) -> None:
        read_ = f"{full(read.txn)} read {read.key} up to {last}"
        text = f"{read_}, but {full(writer)} appended more to it after that."
        anomaly = Anomaly(G1B, text, [writer, read.txn])
        if not any(each.txns == anomaly.txns for each in self.findings.kept.get(G1B, ())):
            self.findings.add(anomaly)

    def _later(self, key: Key, element: Value, than: int) -> bool:
        """Was this element appended after the first `than` of the key's order?"""
        place = self.place.get(key, {}).get(element)
        return place >= than if place is not None else key in self.unobserved

    def explain_ww(self, before: Txn, after: Txn) -> str | None:
        for f, key, element in before.micro:
            place = self.place.get(key, {}).get(element) if f == APPEND else None
            if place is None:
                continue
            for other, where, later in after.micro:
                if other == APPEND and where == key and self._later(key, later, place + 1):
                    return f"{name(before)} appended {element} to {key} before {name(after)} appended {later}"
        return None

    def explain_rw(self, before: Txn, after: Txn) -> str | None:
        for read in self.reads_of(before):
            value = _list(read)
            if value != self.order.get(read.key, ())[: len(value)]:
                continue
            for f, key, element in after.micro:
                if f == APPEND and key == read.key and self._later(key, element, len(value)):
                    seen = read_text(before, key, value)
                    return f"{seen} and so did not see that {name(after)} appended {element}"
        return None


def _list(read: Read) -> List:
    assert isinstance(read.value, tuple)
    return read.value


def _length(read: Read) -> int:
    return len(_list(read))
